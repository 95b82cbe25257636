"""Writing: files copied in are blobs that an alias names; the rest of the alias stays as it was."""

from __future__ import annotations

import os
import random

import pytest

from tests.scenarios.foreign import CREATED, EMPTY, OCI_MANIFEST, TITLE, Foreign, digest_of
from tests.scenarios.views import View, eventually

pytestmark = pytest.mark.both_adapters

LARGE = random.Random(4).randbytes(20 << 20)


@pytest.fixture
def there(foreign: Foreign, repository: str) -> str:
    """A repository that exists, with the alias v1 of the file a."""
    foreign.artifact(repository, "v1", {"a": b"content of a"})
    return repository


@pytest.mark.parametrize("content", [b"", b"x", LARGE], ids=["empty", "byte", "large"])
def test_a_file_put_into_an_alias_is_in_the_registry(view: View, foreign: Foreign, there: str, content: bytes) -> None:
    view.write_bytes(f"{there}/v1/new", content)
    assert foreign.files(there, "v1") == {"a": b"content of a", "new": content}
    assert view.read_bytes(f"{there}/v1/new") == content
    assert view.list(f"{there}/v1") == ["a", "new"]
    assert view.stat(f"{there}/v1/new").size == len(content)


def test_an_alias_is_made_by_a_directory_and_a_file(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v2")
    assert foreign.aliases(there) == {"v1"}
    assert "v2" in view.list(there)
    assert view.list(f"{there}/v2") == []
    view.write_bytes(f"{there}/v2/b", b"b")
    assert foreign.files(there, "v2") == {"b": b"b"}
    assert view.list(there) == ["v1", "v2"]


def test_a_new_alias_is_an_oci_artifact(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v2")
    view.write_bytes(f"{there}/v2/b.json", b"[]")
    document = foreign.document(there, "v2")
    assert (document["schemaVersion"], document["mediaType"]) == (2, OCI_MANIFEST)
    assert document["config"] == {"mediaType": EMPTY, "digest": digest_of(b"{}"), "size": 2}
    assert document["artifactType"]
    assert document["annotations"][CREATED]
    assert [layer["mediaType"] for layer in document["layers"]] == ["application/json"]


def test_where_nothing_exists_the_first_file_decides(view: View, foreign: Foreign, repository: str) -> None:
    view.makedirs(f"{repository}/deep/er/v1")
    view.write_bytes(f"{repository}/deep/er/v1/a", b"a")
    assert foreign.files(f"{repository}/deep/er", "v1") == {"a": b"a"}
    assert view.list(f"{repository}/deep") == ["er"]
    assert view.list(f"{repository}/deep/er") == ["v1"]
    assert view.read_bytes(f"{repository}/deep/er/v1/a") == b"a"


def test_directories_made_beside_the_first_file_stay(view: View, foreign: Foreign, repository: str) -> None:
    view.makedirs(f"{repository}/v1/sub/below")
    view.makedirs(f"{repository}/v2")
    view.write_bytes(f"{repository}/v1/a", b"a")
    assert view.list(repository) == ["v1", "v2"]
    assert view.list(f"{repository}/v1") == ["a", "sub"]
    view.write_bytes(f"{repository}/v1/sub/below/b", b"b")
    view.write_bytes(f"{repository}/v2/c", b"c")
    assert foreign.files(repository, "v1") == {"a": b"a", "sub/below/b": b"b"}
    assert foreign.files(repository, "v2") == {"c": b"c"}


def test_repository_colon_alias_makes_exactly_that_alias(view: View, foreign: Foreign, repository: str) -> None:
    view.mkdir(f"{repository}:v1")
    assert f"{repository}:v1" in view.list()
    view.mkdir(f"{repository}:v1/sub")
    view.write_bytes(f"{repository}:v1/sub/a", b"a")
    assert foreign.files(repository, "v1") == {"sub/a": b"a"}
    assert view.list(f"{repository}/v1") == ["sub"]
    assert view.read_bytes(f"{repository}:v1/sub/a") == b"a"
    assert f"{repository}:v1" not in view.list()


def test_repository_colon_alias_works_inside_a_namespace(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/nested:v1")
    view.write_bytes(f"{there}/nested:v1/a", b"nested")
    assert foreign.files(f"{there}/nested", "v1") == {"a": b"nested"}
    assert view.read_bytes(f"{there}/nested/v1/a") == b"nested"


def test_directories_in_an_alias_are_the_starts_of_titles(view: View, foreign: Foreign, there: str) -> None:
    view.makedirs(f"{there}/v1/plots/may")
    assert view.list(f"{there}/v1/plots") == ["may"]
    view.write_bytes(f"{there}/v1/plots/may/1.png", b"1")
    assert foreign.files(there, "v1") == {"a": b"content of a", "plots/may/1.png": b"1"}


def test_the_last_file_of_a_directory_leaves_the_directory(view: View, foreign: Foreign, there: str) -> None:
    view.mkdir(f"{there}/v1/sub")
    view.write_bytes(f"{there}/v1/sub/b", b"b")
    view.remove(f"{there}/v1/sub/b")
    assert view.list(f"{there}/v1/sub") == []
    view.rmdir(f"{there}/v1/sub")
    assert view.list(f"{there}/v1") == ["a"]
    assert foreign.files(there, "v1") == {"a": b"content of a"}


@pytest.fixture
def foreign_manifest(foreign: Foreign, repository: str) -> dict[str, object]:
    """The alias v1 as another program made it, with what regfs knows nothing of."""
    layers = [
        foreign.layer(repository, b"one", annotations={TITLE: "one", "org.example.x": "1"}, mediaType="text/plain"),
        foreign.layer(repository, b"nameless", mediaType="application/x.strange", urls=["http://localhost/x"]),
        foreign.layer(repository, b"two", annotations={TITLE: "two"}),
        foreign.layer(repository, b"three", annotations={TITLE: "sub/three"}),
    ]
    config = foreign.layer(repository, b'{"of": "another program"}', mediaType="application/x.config+json")
    fields = {"config": config, "artifactType": "application/x.type", "annotations": {"a": "b", "größe": "ü"}}
    foreign.publish(repository, "v1", layers, **fields)
    return foreign.document(repository, "v1")


def test_writing_over_a_file_leaves_the_rest_of_the_manifest(
    view: View, foreign: Foreign, repository: str, foreign_manifest: dict[str, object]
) -> None:
    view.write_bytes(f"{repository}/v1/two", b"other bytes")
    document = foreign.document(repository, "v1")
    new = document["layers"].pop(2)
    old = foreign_manifest["layers"].pop(2)  # type: ignore[attr-defined]
    assert document == foreign_manifest
    assert (new["digest"], new["size"]) == (digest_of(b"other bytes"), 11) != (old["digest"], old["size"])
    assert new["annotations"][TITLE] == "two"
    assert view.read_bytes(f"{repository}/v1/two") == b"other bytes"


def test_a_new_file_is_put_at_the_end_of_the_manifest(
    view: View, foreign: Foreign, repository: str, foreign_manifest: dict[str, object]
) -> None:
    view.write_bytes(f"{repository}/v1/new", b"new")
    document = foreign.document(repository, "v1")
    assert document["layers"].pop()["digest"] == digest_of(b"new")
    assert document == foreign_manifest


def test_removing_a_file_leaves_the_rest_of_the_manifest(
    view: View, foreign: Foreign, repository: str, foreign_manifest: dict[str, object]
) -> None:
    view.remove(f"{repository}/v1/two")
    del foreign_manifest["layers"][2]  # type: ignore[attr-defined]
    assert foreign.document(repository, "v1") == foreign_manifest
    assert not view.exists(f"{repository}/v1/two")


def test_a_file_without_a_title_can_be_removed(
    view: View, foreign: Foreign, repository: str, foreign_manifest: dict[str, object]
) -> None:
    view.remove(f"{repository}/v1/{digest_of(b'nameless')}")
    del foreign_manifest["layers"][1]  # type: ignore[attr-defined]
    assert foreign.document(repository, "v1") == foreign_manifest


def test_other_aliases_of_the_same_manifest_are_left_alone(view: View, foreign: Foreign, there: str) -> None:
    before = foreign.manifest(there, "v1")
    foreign.put(there, "sibling", before)
    view.write_bytes(f"{there}/v1/a", b"other")
    assert foreign.manifest(there, "sibling") == before


def test_until_it_is_closed_the_registry_has_the_old_bytes(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/a", os.O_WRONLY | os.O_TRUNC) as handle:
        handle.write(b"half of the ", 0)
        assert foreign.files(there, "v1") == {"a": b"content of a"}
        handle.write(b"bytes", 12)
    assert foreign.files(there, "v1") == {"a": b"half of the bytes"}


def test_until_a_new_file_is_closed_the_registry_does_not_have_it(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"half", 0)
        assert view.stat(f"{there}/v1/new").size == 4
        assert "new" in view.list(f"{there}/v1")
        assert foreign.files(there, "v1") == {"a": b"content of a"}
    assert foreign.files(there, "v1")["new"] == b"half"


def test_a_file_that_is_written_by_both_of_its_names_is_one(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/a", os.O_WRONLY) as one, view.open(f"{there}:v1/a", os.O_WRONLY) as other:
        one.write(b"CON", 0)
        other.write(b"TENT", 3)
    assert foreign.files(there, "v1") == {"a": b"CONTENT of a"}


def test_a_file_being_written_is_there_by_both_of_its_names(view: View, there: str) -> None:
    with view.open(f"{there}:v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"new", 0)
        assert view.list(f"{there}/v1") == ["a", "new"]
        assert view.stat(f"{there}/v1/new").size == 3
        assert view.read_bytes(f"{there}/v1/new") == b"new"
        handle.write(b"NEW", 0)
        assert view.read_bytes(f"{there}/v1/new") == b"NEW"


def test_a_file_that_is_written_by_one_name_is_removed_by_the_other(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}:v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"new", 0)
        view.remove(f"{there}/v1/new")
    assert foreign.files(there, "v1") == {"a": b"content of a"}


def test_a_file_being_written_can_be_read(view: View, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"written so far", 0)
        assert view.read_bytes(f"{there}/v1/new") == b"written so far"


def test_fsync_pushes(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"first", 0)
        handle.sync()
        assert foreign.files(there, "v1")["new"] == b"first"
        handle.write(b" second", 5)
    assert foreign.files(there, "v1")["new"] == b"first second"


def test_writes_can_come_in_any_order(view: View, foreign: Foreign, there: str) -> None:
    content = random.Random(5).randbytes(1_000_000)
    pieces = [(start, content[start : start + 70_001]) for start in range(0, len(content), 70_001)]
    random.Random(6).shuffle(pieces)
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        for offset, piece in pieces:
            handle.write(piece, offset)
    assert foreign.files(there, "v1")["new"] == content


def test_a_hole_is_zeros(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"end", 5000)
    assert foreign.files(there, "v1")["new"] == bytes(5000) + b"end"


def test_bytes_in_the_middle_of_a_file_can_be_replaced(view: View, foreign: Foreign, there: str) -> None:
    foreign.artifact(there, "v2", {"large": LARGE})
    with view.open(f"{there}/v2/large", os.O_RDWR) as handle:
        assert handle.read(10, 100) == LARGE[100:110]
        handle.write(b"changed", 1_000_000)
        assert handle.read(9, 999_999) == LARGE[999_999:1_000_000] + b"changed" + LARGE[1_000_007:1_000_008]
    assert foreign.files(there, "v2") == {"large": LARGE[:1_000_000] + b"changed" + LARGE[1_000_007:]}


def test_bytes_can_be_appended(view: View, foreign: Foreign, there: str) -> None:
    size = view.stat(f"{there}/v1/a").size
    with view.open(f"{there}/v1/a", os.O_WRONLY) as handle:
        handle.write(b", and more", size)
    assert foreign.files(there, "v1") == {"a": b"content of a, and more"}


@pytest.mark.parametrize(("size", "expected"), [(0, b""), (7, b"content"), (15, b"content of a\0\0\0")])
def test_a_file_can_be_truncated(view: View, foreign: Foreign, there: str, size: int, expected: bytes) -> None:
    view.truncate(f"{there}/v1/a", size)
    assert foreign.files(there, "v1") == {"a": expected}
    assert view.read_bytes(f"{there}/v1/a") == expected


def test_an_open_file_can_be_truncated(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/a", os.O_WRONLY) as handle:
        handle.truncate(7)
        handle.write(b"!", 7)
    assert foreign.files(there, "v1") == {"a": b"content!"}


def test_a_handle_that_writes_nothing_pushes_nothing(view: View, foreign: Foreign, there: str) -> None:
    before = foreign.manifest(there, "v1")
    view.open(f"{there}/v1/a", os.O_RDWR).close()
    assert foreign.manifest(there, "v1") == before


def test_the_root_is_there_while_a_file_is_written(view: View, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"bytes", 0)
        assert there.split("/")[0] in view.list()
        assert view.stat("").is_directory


def test_a_file_removed_while_it_is_written_is_not_pushed(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"gone", 0)
        view.remove(f"{there}/v1/new")
        assert not view.exists(f"{there}/v1/new")
    assert foreign.files(there, "v1") == {"a": b"content of a"}
    eventually(view.journal, [])  # the kernel tells of the last close some time after it


def test_two_handles_on_one_file_write_into_the_same_bytes(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as one, view.open(f"{there}/v1/new", os.O_RDWR) as two:
        one.write(b"one", 0)
        two.write(b"two", 3)
    assert foreign.files(there, "v1")["new"] == b"onetwo"


def test_a_time_set_while_writing_is_published(view: View, foreign: Foreign, there: str) -> None:
    moment = 1_431_302_400 * 10**9
    with view.open(f"{there}/v1/new", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"x", 0)
        view.utime(f"{there}/v1/new", moment)
    layer = foreign.document(there, "v1")["layers"][-1]
    assert layer["annotations"][CREATED] == "2015-05-11T00:00:00Z"
    assert view.stat(f"{there}/v1/new").mtime_ns // 10**9 * 10**9 == moment


@pytest.mark.parametrize("opened", [False, True])
def test_a_time_can_be_set_later(view: View, foreign: Foreign, there: str, opened: bool) -> None:
    moment = 1_431_302_400 * 10**9
    handle = view.open(f"{there}/v1/a", os.O_WRONLY) if opened else None
    view.utime(f"{there}/v1/a", moment)
    if handle is not None:
        handle.close()
    layer = foreign.document(there, "v1")["layers"][0]
    assert (layer["digest"], layer["annotations"][CREATED]) == (digest_of(b"content of a"), "2015-05-11T00:00:00Z")
    assert view.stat(f"{there}/v1/a").mtime_ns // 10**9 * 10**9 == moment


def test_what_another_client_wrote_meanwhile_is_kept(view: View, foreign: Foreign, there: str) -> None:
    with view.open(f"{there}/v1/mine", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"mine", 0)
        foreign.artifact(there, "v1", {"a": b"changed", "theirs": b"theirs"})
    assert foreign.files(there, "v1") == {"a": b"changed", "theirs": b"theirs", "mine": b"mine"}


def test_a_blob_that_the_repository_has_is_not_uploaded_again(view: View, foreign: Foreign, there: str) -> None:
    view.write_bytes(f"{there}/v1/same", b"content of a")
    assert foreign.files(there, "v1") == {"a": b"content of a", "same": b"content of a"}
    eventually(lambda: view.list(f"{there}/v1"), ["a", "same"])


def test_nothing_stays_in_the_journal(view: View, there: str) -> None:
    view.write_bytes(f"{there}/v1/new", b"new")
    assert view.journal() == []


def test_an_alias_can_be_made_by_its_full_name_in_a_directory_made_for_it(
    view: View, foreign: Foreign, repository: str
) -> None:
    view.mkdir(repository)
    view.mkdir(f"{repository}/model:v1")
    view.write_bytes(f"{repository}/model:v1/a.txt", b"a")
    assert foreign.files(f"{repository}/model", "v1") == {"a.txt": b"a"}
    assert view.list(f"{repository}/model/v1") == ["a.txt"]
