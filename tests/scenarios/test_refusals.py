"""What cannot be: read-only places, names that no registry has, files that belong to no alias, failing pushes."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

import pytest

from tests.logs import A_MOMENT_AGO, NOT_PUSHED, READ_ONLY
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, View, eventually, refused


@pytest.fixture
def there(foreign: Foreign, repository: str) -> str:
    """A repository that exists, with the aliases v1 and a multi-platform v2."""
    digest = foreign.artifact(repository, "v1", {"a": b"aa", "sub/b": b"bb"})
    foreign.index(repository, "v2", [(digest, {"os": "linux", "architecture": "amd64"})])
    return repository


def _changes(view: View, directory: str) -> list[Callable[[], object]]:
    """Every way to change a directory that has the file a."""
    return [
        lambda: view.write_bytes(f"{directory}/new", b"x"),
        lambda: view.write_bytes(f"{directory}/a", b"x"),
        lambda: view.write_bytes(f"{directory}/a", b"x", flags=0),
        lambda: view.truncate(f"{directory}/a", 1),
        lambda: view.remove(f"{directory}/a"),
        lambda: view.rename(f"{directory}/a", f"{directory}/x"),
        lambda: view.mkdir(f"{directory}/made"),
    ]


def _all_refused(changes: list[Callable[[], object]], number: int) -> None:
    for change in changes:
        with refused(number):
            change()


@pytest.mark.logs(READ_ONLY)
def test_a_platform_is_read_only(view: View, foreign: Foreign, there: str) -> None:
    before = foreign.manifest(there, "v2")
    _all_refused(_changes(view, f"{there}/v2/linux-amd64"), errno.EROFS)
    assert foreign.manifest(there, "v2") == before


@pytest.mark.logs(READ_ONLY)
def test_a_multi_platform_alias_is_read_only(view: View, foreign: Foreign, there: str) -> None:
    for change in (
        lambda: view.write_bytes(f"{there}/v2/new", b"x"),
        lambda: view.mkdir(f"{there}/v2/linux-arm64"),
        lambda: view.rename(f"{there}/v1/a", f"{there}/v2/a"),
    ):
        with refused(errno.EROFS):
            change()
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/b": b"bb"}


@pytest.mark.logs(READ_ONLY)
def test_a_digest_is_read_only(view: View, foreign: Foreign, there: str) -> None:
    digest = digest_of(foreign.manifest(there, "v1"))
    _all_refused(_changes(view, f"{there}@{digest}"), errno.EROFS)
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/b": b"bb"}


@pytest.mark.logs(READ_ONLY)
def test_a_read_only_mount_is_read_only(new_view: NewView, registry: Registry, foreign: Foreign, there: str) -> None:
    view = new_view(registry.url, read_only=True)
    _all_refused(_changes(view, f"{there}/v1"), errno.EROFS)
    with refused(errno.EROFS):
        view.mkdir(f"{there}/v3")
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/b": b"bb"}
    assert view.read_bytes(f"{there}/v1/a") == b"aa"


@pytest.mark.logs(
    READ_ONLY, r"what the registry says cannot be written over$", r"^unlink .*: it is named by no alias; "
)
def test_what_the_registry_says_of_an_alias_is_read_only(view: View, foreign: Foreign, there: str) -> None:
    before = foreign.manifest(there, "v1")
    for change in (
        lambda: view.write_bytes(f"{there}/v1/.oci/manifest.json", b"{}"),
        lambda: view.write_bytes(f"{there}/v1/.oci/new", b"{}"),
        lambda: view.remove(f"{there}/v1/.oci/manifest.json"),
        lambda: view.remove(f"{there}/v1/.oci/blobs/{digest_of(b'aa')}"),
        lambda: view.mkdir(f"{there}/v1/.oci/new"),
        lambda: view.rmdir(f"{there}/v1/.oci"),
    ):
        with refused(errno.EROFS, errno.EPERM):
            change()
    assert foreign.manifest(there, "v1") == before


@pytest.mark.logs(r": it belongs to no alias; make one and copy it there: mkdir ALIAS$")
def test_a_file_in_a_repository_belongs_to_no_alias(view: View, there: str) -> None:
    with refused(errno.EPERM):
        view.write_bytes(f"{there}/file", b"x")
    with refused(errno.EPERM):
        view.rename(f"{there}/v1/a", f"{there}/file")


@pytest.mark.logs(r": it belongs to no alias; make one and copy it there: mkdir ALIAS$")
def test_a_file_in_a_namespace_belongs_to_no_alias(view: View, foreign: Foreign, repository: str) -> None:
    foreign.artifact(f"{repository}/below", "v1", {"a": b"a"})
    with refused(errno.EPERM):
        view.write_bytes(f"{repository}/file", b"x")
    with refused(errno.EPERM):
        view.write_bytes("file", b"x")


@pytest.mark.logs(r": it is in no repository's alias; make one: ")
def test_a_file_in_a_new_directory_at_the_root_belongs_to_no_alias(view: View, repository: str) -> None:
    view.mkdir(repository)
    with refused(errno.EPERM):
        view.write_bytes(f"{repository}/file", b"x")
    view.rmdir(repository)


@pytest.mark.logs(r": it belongs to no alias; make one and copy it there: mkdir ALIAS$")
def test_the_log_says_what_to_do_instead(mounted: Mounted, there: str) -> None:
    before = len(mounted.log())
    with refused(errno.EPERM):
        mounted.write_bytes(f"{there}/file", b"x")
    lines = mounted.log()[before:].splitlines()
    assert len([line for line in lines if "mkdir" in line and f"{there}/file" in line]) == 1


@pytest.mark.parametrize(
    "name", ["UPPER", "with space", "-dash", ".dot", "a..b", "ö", "a:b:c", ":v1", "a:", "a@b", "a" * 256]
)
@pytest.mark.logs(r": a (registry|file in a registry) cannot have that name$")
def test_a_name_that_no_repository_has_is_invalid(view: View, name: str) -> None:
    with refused(errno.EINVAL, errno.ENAMETOOLONG):
        view.mkdir(name)


@pytest.mark.parametrize("name", ["with space", "-dash", ".dot", "ö", "a" * 129, "a+b"])
@pytest.mark.logs(r": a (registry|file in a registry) cannot have that name$")
def test_a_name_that_no_alias_has_is_invalid(view: View, there: str, name: str) -> None:
    with refused(errno.EINVAL):
        view.mkdir(f"{there}/{name}")


@pytest.mark.parametrize("name", ["new\nline", "tab\t", "delete\x7f"])
@pytest.mark.logs(r": a (registry|file in a registry) cannot have that name$")
def test_a_title_that_would_not_be_used_is_invalid(view: View, foreign: Foreign, there: str, name: str) -> None:
    with refused(errno.EINVAL):
        view.write_bytes(f"{there}/v1/{name}", b"x")
    assert foreign.files(there, "v1") == {"a": b"aa", "sub/b": b"bb"}


@pytest.mark.logs(r": a (registry|file in a registry) cannot have that name$")
def test_a_name_that_is_no_text_is_invalid_and_not_there(mounted: Mounted, there: str) -> None:
    name = os.fsencode(mounted.path(f"{there}/v1/")) + b"\xff"
    with refused(errno.ENOENT):
        os.stat(name)
    with refused(errno.EINVAL):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    with refused(errno.EINVAL):
        os.mkdir(os.fsencode(mounted.path(there)) + b"/\xff")


def test_what_exists_cannot_be_made(view: View, there: str) -> None:
    for path in (there, f"{there}/v1", f"{there}/v1/a", f"{there}/v1/sub", f"{there}:v1", f"{there}/.blobs"):
        with refused(errno.EEXIST):
            view.mkdir(path)


def test_nothing_can_be_made_in_a_file(view: View, there: str) -> None:
    for change in (lambda: view.mkdir(f"{there}/v1/a/x"), lambda: view.write_bytes(f"{there}/v1/a/x", b"")):
        with refused(errno.ENOTDIR):
            change()


def test_nothing_can_be_made_where_there_is_nothing(view: View, repository: str) -> None:
    for change in (lambda: view.mkdir(f"{repository}/x"), lambda: view.write_bytes(f"{repository}/x/y", b"")):
        with refused(errno.ENOENT):
            change()


def test_directories_are_no_files_and_files_no_directories(view: View, there: str) -> None:
    with refused(errno.EISDIR):
        view.open(f"{there}/v1", os.O_WRONLY)
    with refused(errno.EISDIR):
        view.remove(f"{there}/v1/sub")
    with refused(errno.ENOTDIR):
        view.rmdir(f"{there}/v1/a")
    with refused(errno.ENOTDIR):
        view.list(f"{there}/v1/a")


@pytest.mark.logs(r"^rmdir .*: it is a repository, ")
def test_a_repository_cannot_be_removed(view: View, foreign: Foreign, repository: str) -> None:
    foreign.push(repository, b"blob")
    with refused(errno.EPERM):
        view.rmdir(repository)


def test_links_cannot_be_made(mounted: Mounted, there: str) -> None:
    with refused(errno.EPERM):
        os.symlink("a", mounted.path(f"{there}/v1/link"))
    with refused(errno.EPERM):
        os.link(mounted.path(f"{there}/v1/a"), mounted.path(f"{there}/v1/link"))


@pytest.mark.parametrize("directory", ["v1", ".blobs"])
@pytest.mark.logs(r"^close .*: a file named by a digest can only have the bytes of that digest$", NOT_PUSHED)
def test_bytes_of_another_digest_than_their_name_are_refused(
    new_view: NewView, registry: Registry, there: str, directory: str
) -> None:
    view = new_view(registry.url)
    with refused(errno.EINVAL):
        view.write_bytes(f"{there}/{directory}/{digest_of(b'other')}", b"bytes")
    assert not view.exists(f"{there}/{directory}/{digest_of(b'other')}")


def test_a_file_named_by_its_digest_has_no_title(view: View, foreign: Foreign, there: str) -> None:
    name = digest_of(b"nameless")
    view.write_bytes(f"{there}/v1/{name}", b"nameless")
    assert foreign.files(there, "v1")[name] == b"nameless"
    assert view.read_bytes(f"{there}/v1/{name}") == b"nameless"


@pytest.mark.logs(r"^close .*: Failed to establish a new connection: ", A_MOMENT_AGO, NOT_PUSHED)
def test_a_failed_push_makes_close_fail_and_keeps_the_bytes(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"aa"})
    view = new_view(own_registry.url, ttl=3600)
    handle = view.open(f"{repository}/v1/new", os.O_WRONLY | os.O_CREAT)
    handle.write(b"precious", 0)
    own_registry.stop()
    with refused(errno.EHOSTUNREACH):
        handle.close()
    assert view.journal() == [b"precious"]
    own_registry.restart()
    assert foreign.files(repository, "v1") == {"a": b"aa"}
    foreign.close()


@pytest.mark.logs(r"^(fsync|close) .*: Failed to establish a new connection: ", A_MOMENT_AGO, NOT_PUSHED)
def test_a_failed_push_makes_fsync_fail_and_the_next_one_can_succeed(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"aa"})
    view = new_view(own_registry.url, ttl=3600)
    with view.open(f"{repository}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"precious", 0)
        own_registry.stop()
        with refused(errno.EHOSTUNREACH):
            handle.sync()
        own_registry.restart()
        eventually(handle.sync, None)
        assert foreign.files(repository, "v1") == {"a": b"aa", "new": b"precious"}
    assert view.journal() == []
    foreign.close()


@pytest.mark.logs(r"^(close|unlink) .*: \S+ answers 405 ", NOT_PUSHED)
def test_a_registry_that_takes_no_writes_makes_close_fail(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"aa"})
    frozen = own_registry.lab.start("plain", root=own_registry.root, read_only=True)
    view = new_view(frozen.url)
    with refused(errno.EPERM):
        view.write_bytes(f"{repository}/v1/new", b"precious")
    with refused(errno.EPERM):
        view.remove(f"{repository}/v1/a")
    assert view.journal() == [b"precious"]
    assert view.list(f"{repository}/v1") == ["a"]
    frozen.stop()
    foreign.close()
