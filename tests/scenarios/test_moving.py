"""Renaming, moving and removing: descriptors move, bytes do not, and no other alias is touched."""

from __future__ import annotations

import errno
import os

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import TITLE, Foreign, digest_of
from tests.scenarios.making import NewView
from tests.scenarios.views import View, refused


@pytest.fixture
def there(foreign: Foreign, repository: str) -> str:
    """A repository that exists, with the alias v1 of the files a, b and sub/c."""
    foreign.artifact(repository, "v1", {"a": b"aa", "b": b"bb", "sub/c": b"cc"})
    return repository


def test_moving_a_file_in_its_alias_changes_its_title(view: View, foreign: Foreign, there: str) -> None:
    view.rename(f"{there}/v1/b", f"{there}/v1/renamed")
    assert foreign.files(there, "v1") == {"a": b"aa", "renamed": b"bb", "sub/c": b"cc"}
    assert view.list(f"{there}/v1") == ["a", "renamed", "sub"]
    assert view.read_bytes(f"{there}/v1/renamed") == b"bb"


def test_moving_a_file_onto_another_replaces_it(view: View, foreign: Foreign, there: str) -> None:
    view.rename(f"{there}/v1/b", f"{there}/v1/a")
    assert foreign.files(there, "v1") == {"a": b"bb", "sub/c": b"cc"}
    assert view.read_bytes(f"{there}/v1/a") == b"bb"


def test_moving_a_file_into_a_directory_changes_its_title(view: View, foreign: Foreign, there: str) -> None:
    view.rename(f"{there}/v1/b", f"{there}/v1/sub/b")
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/c": b"cc", "sub/b": b"bb"}


def test_a_file_without_a_title_is_given_one_by_moving_it(view: View, foreign: Foreign, repository: str) -> None:
    foreign.publish(repository, "v1", [foreign.layer(repository, b"nameless")])
    view.rename(f"{repository}/v1/{digest_of(b'nameless')}", f"{repository}/v1/named")
    assert foreign.files(repository, "v1") == {"named": b"nameless"}


def test_moving_keeps_a_layers_type_and_annotations(view: View, foreign: Foreign, repository: str) -> None:
    annotations = {TITLE: "a", "org.example.x": "1"}
    layer = foreign.layer(repository, b"a", mediaType="application/x.type", annotations=annotations)
    foreign.publish(repository, "v1", [layer])
    view.rename(f"{repository}/v1/a", f"{repository}/v1/b")
    assert foreign.document(repository, "v1")["layers"] == [{**layer, "annotations": {**annotations, TITLE: "b"}}]


def test_moving_a_file_to_another_alias_moves_its_descriptor(view: View, foreign: Foreign, there: str) -> None:
    foreign.artifact(there, "v2", {"x": b"xx"})
    view.rename(f"{there}/v1/b", f"{there}/v2/b")
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/c": b"cc"}
    assert foreign.files(there, "v2") == {"x": b"xx", "b": b"bb"}


def test_moving_a_file_into_a_new_alias_makes_it(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v2")
    view.rename(f"{there}/v1/b", f"{there}/v2/b")
    assert foreign.files(there, "v2") == {"b": b"bb"}


def test_moving_a_file_to_another_repository_moves_no_bytes(
    new_view: NewView, registry: Registry, foreign: Foreign, there: str
) -> None:
    foreign.artifact(f"{there}-other", "v1", {"x": b"xx"})
    view = new_view(registry.url)
    view.rename(f"{there}/v1/b", f"{there}-other/v1/b")
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/c": b"cc"}
    assert foreign.files(f"{there}-other", "v1") == {"x": b"xx", "b": b"bb"}
    assert view.cached(digest_of(b"bb")) == []


def test_a_file_being_written_can_be_moved(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/.part", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"whole", 0)
        view.rename(f"{there}/v1/.part", f"{there}/v1/a")
    assert foreign.files(there, "v1") == {"a": b"whole", "b": b"bb", "sub/c": b"cc"}
    assert view.list(f"{there}/v1") == ["a", "b", "sub"]


def test_a_directory_that_holds_nothing_can_be_renamed(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v2")
    view.rename(f"{there}/v2", f"{there}/v3")
    assert "v2" not in view.list(there)
    view.write_bytes(f"{there}/v3/a", b"a")
    assert foreign.aliases(there) == {"v1", "v3"}


@pytest.mark.logs(r"^rename .*: a registry cannot have that name$")
def test_a_directory_cannot_be_renamed_to_what_no_registry_takes(view: View, there: str) -> None:
    view.mkdir(f"{there}/v2")
    with refused(errno.EINVAL):
        view.rename(f"{there}/v2", f"{there}/not an alias")
    assert view.list(there) == ["v1", "v2"]


def test_a_directory_of_an_alias_can_be_renamed(view: View, foreign: Foreign, there: str) -> None:
    view.rename(f"{there}/v1/sub", f"{there}/v1/other")
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "other/c": b"cc"}
    assert view.list(f"{there}/v1") == ["a", "b", "other"]


def test_a_file_being_written_moves_along_with_its_directory(view: View, foreign: Foreign, there: str) -> None:
    with (
        view.open(f"{there}/v1/sub/c", os.O_WRONLY) as handle,
        view.open(f"{there}/v1/sub/new", os.O_WRONLY | os.O_CREAT) as new,
    ):
        handle.write(b"CC", 0)
        new.write(b"new", 0)
        view.rename(f"{there}/v1/sub", f"{there}/v1/moved")
        assert view.list(f"{there}/v1/moved") == ["c", "new"]
        assert view.read_bytes(f"{there}/v1/moved/new") == b"new"
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "moved/c": b"CC", "moved/new": b"new"}
    assert view.list(f"{there}/v1") == ["a", "b", "moved"]


def test_a_file_being_written_moves_along_with_its_alias(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/a", os.O_WRONLY) as handle:
        handle.write(b"A", 0)
        view.rename(f"{there}/v1", f"{there}/v2")
        assert view.read_bytes(f"{there}/v2/a") == b"Aa"
    assert foreign.files(there, "v2") == {"a": b"Aa", "b": b"bb", "sub/c": b"cc"}
    assert foreign.aliases(there) == {"v2"}


def test_a_file_being_written_moves_along_with_the_other_name_of_its_alias(
    view: View, foreign: Foreign, there: str
) -> None:
    with view.open(f"{there}/v1/a", os.O_WRONLY) as handle:
        handle.write(b"A", 0)
        view.rename(f"{there}:v1", f"{there}:v2")
        assert view.read_bytes(f"{there}/v2/a") == b"Aa"
    assert foreign.files(there, "v2") == {"a": b"Aa", "b": b"bb", "sub/c": b"cc"}
    assert foreign.aliases(there) == {"v2"}


def test_a_file_being_written_moves_along_with_a_directory_that_is_in_the_mount_alone(
    view: View, foreign: Foreign, there: str
) -> None:
    view.mkdir(f"{there}/v1/made")
    with view.open(f"{there}/v1/made/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"new", 0)
        view.rename(f"{there}/v1/made", f"{there}/v1/moved")
        assert view.list(f"{there}/v1/moved") == ["new"]
        assert not view.exists(f"{there}/v1/made")
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "sub/c": b"cc", "moved/new": b"new"}


@pytest.mark.logs(r"^rename .*: a file in it is being written; ")
def test_where_a_directory_of_no_alias_goes_while_a_file_in_it_is_written_is_not_decided_twice(
    view: View, foreign: Foreign, repository: str, there: str
) -> None:
    view.makedirs(f"{repository}-new/v1")
    with view.open(f"{repository}-new/v1/a", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"a", 0)
        with refused(errno.EBUSY):
            view.rename(f"{repository}-new/v1", f"{there}/v1/sub/v1")
    assert foreign.files(f"{repository}-new", "v1") == {"a": b"a"}


def test_moving_a_directory_leaves_the_one_it_was_in(view: View, foreign: Foreign, there: str) -> None:
    foreign.artifact(there, "v2", {"deep/er/file": b"x"})
    view.rename(f"{there}/v2/deep/er", f"{there}/v2/moved")
    assert view.list(f"{there}/v2") == ["deep", "moved"]
    assert view.list(f"{there}/v2/deep") == []


def test_a_file_being_written_does_not_take_the_directory_along_that_it_is_moved_to(view: View, there: str) -> None:
    view.mkdir(f"{there}/v1/made")
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        view.rename(f"{there}/v1/new", f"{there}/v1/made/new")
        assert view.list(f"{there}/v1/made") == ["new"]
        handle.write(b"new", 0)
    assert view.read_bytes(f"{there}/v1/made/new") == b"new"


@pytest.mark.logs(r"^rename .* moved file by file$")
def test_a_directory_that_becomes_an_alias_is_moved_file_by_file(view: View, foreign: Foreign, there: str) -> None:
    with refused(errno.EXDEV):
        view.rename(f"{there}/v1/sub", f"{there}/v2")
    view.mkdir(f"{there}/v2")
    with refused(errno.EXDEV):
        view.rename(f"{there}/v1", f"{there}/v2/sub")
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "sub/c": b"cc"}


def test_an_alias_can_be_renamed(view: View, foreign: Foreign, there: str) -> None:
    content = foreign.manifest(there, "v1")
    foreign.put(there, "sibling", content)
    view.rename(f"{there}/v1", f"{there}/v2")
    assert foreign.aliases(there) == {"sibling", "v2"}
    assert foreign.manifest(there, "v2") == foreign.manifest(there, "sibling") == content
    assert view.list(there) == ["sibling", "v2"]


def test_moving_onto_a_directory_that_holds_something_is_refused(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v1/empty")
    with refused(errno.ENOTEMPTY, errno.EEXIST):
        view.rename(f"{there}/v1/empty", f"{there}/v1/sub")
    with refused(errno.EISDIR):
        view.rename(f"{there}/v1/a", f"{there}/v1/sub")
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "sub/c": b"cc"}


def test_moving_what_is_not_there_is_refused(view: View, there: str) -> None:
    with refused(errno.ENOENT):
        view.rename(f"{there}/v1/missing", f"{there}/v1/x")


def test_a_file_can_be_removed(view: View, foreign: Foreign, there: str) -> None:
    view.remove(f"{there}/v1/a")
    assert foreign.files(there, "v1") == {"b": b"bb", "sub/c": b"cc"}
    assert view.list(f"{there}/v1") == ["b", "sub"]
    with refused(errno.ENOENT):
        view.remove(f"{there}/v1/a")


def test_removing_an_alias_leaves_others_of_the_same_manifest_alone(view: View, foreign: Foreign, there: str) -> None:
    content = foreign.manifest(there, "v1")
    foreign.put(there, "sibling", content)
    view.remove_tree(f"{there}/v1")
    assert foreign.aliases(there) == {"sibling"}
    assert foreign.manifest(there, "sibling") == content
    assert view.list(there) == ["sibling"]
    assert not view.exists(f"{there}/v1")
    assert view.read_bytes(f"{there}/sibling/a") == b"aa"


def test_removing_an_alias_without_files_leaves_its_siblings_alone(
    view: View, foreign: Foreign, repository: str
) -> None:
    foreign.publish(repository, "v1", [])
    foreign.put(repository, "sibling", foreign.manifest(repository, "v1"))
    view.rmdir(f"{repository}/v1")
    assert foreign.aliases(repository) == {"sibling"}
    assert view.list(f"{repository}/sibling") == []


def test_a_directory_that_was_made_can_be_removed(view: View, foreign: Foreign, there: str) -> None:
    view.makedirs(f"{there}/v2/sub")
    with refused(errno.ENOTEMPTY):
        view.rmdir(f"{there}/v2")
    view.rmdir(f"{there}/v2/sub")
    view.rmdir(f"{there}/v2")
    assert view.list(there) == ["v1"]
    assert not view.exists(f"{there}/v2")
    assert foreign.aliases(there) == {"v1"}


def test_a_directory_that_holds_something_is_not_removed(view: View, foreign: Foreign, there: str) -> None:
    for path in (there, f"{there}/v1", f"{there}/v1/sub"):
        with refused(errno.ENOTEMPTY):
            view.rmdir(path)
    assert foreign.files(there, "v1") == {"a": b"aa", "b": b"bb", "sub/c": b"cc"}


def test_an_alias_that_was_removed_can_be_made_again(view: View, foreign: Foreign, there: str) -> None:
    view.remove_tree(f"{there}/v1")
    view.mkdir(f"{there}/v1")
    assert view.list(f"{there}/v1") == []
    view.write_bytes(f"{there}/v1/new", b"new")
    assert foreign.files(there, "v1") == {"new": b"new"}


@pytest.mark.logs(r"^rmdir .*: \S+ answers 405 ")
def test_where_deleting_is_refused_the_alias_stays_as_it_was(
    new_view: NewView, registry: Registry, repository: str
) -> None:
    registry = registry.lab.start("plain", deletes=False)
    foreign = Foreign(registry)
    foreign.publish(repository, "v1", [])
    before = foreign.manifest(repository, "v1")
    view = new_view(registry.url)
    with refused(errno.EPERM):
        view.rmdir(f"{repository}/v1")
    assert foreign.manifest(repository, "v1") == before
    assert view.list(repository) == ["v1"]
    foreign.close()
