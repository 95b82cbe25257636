"""Reading: the bytes of the moment of the open, verified, from the registry once."""

from __future__ import annotations

import errno
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.logs import OTHER_BYTES, READ_ONLY, STALE
from tests.oci import signing
from tests.registries import Registry
from tests.scenarios.foreign import SCHEMA1_SIGNED, TITLE, Foreign, digest_of
from tests.scenarios.making import NewView
from tests.scenarios.views import Mounted, View, eventually, refused

pytestmark = pytest.mark.both_adapters

LARGE = random.Random(1).randbytes(20 << 20)


@pytest.mark.parametrize("content", [b"", b"x", b"small" * 1000, LARGE], ids=["empty", "byte", "small", "large"])
def test_a_file_has_its_blobs_bytes(view: View, foreign: Foreign, repository: str, content: bytes) -> None:
    foreign.artifact(repository, "v1", {"a": content})
    assert view.read_bytes(f"{repository}/v1/a") == content
    assert view.read_bytes(f"{repository}/v1/a") == content


def test_reads_anywhere_have_the_right_bytes(view: View, foreign: Foreign, repository: str) -> None:
    content = repository.encode() + LARGE
    foreign.artifact(repository, "v1", {"a": content})
    chooser = random.Random(2)
    offsets = [
        0,
        len(content) - 1,
        len(content),
        len(content) + 5,
        *(chooser.randrange(len(content)) for _ in range(40)),
    ]
    with view.open(f"{repository}/v1/a") as handle:
        for offset in offsets:
            assert handle.read(5000, offset) == content[offset : offset + 5000]


def test_many_readers_get_the_same_bytes(view: View, foreign: Foreign, repository: str) -> None:
    content = repository.encode() + LARGE
    foreign.artifact(repository, "v1", {"a": content})
    with ThreadPoolExecutor(8) as readers:
        found = list(readers.map(lambda _: digest_of(view.read_bytes(f"{repository}/v1/a")), range(8)))
    assert set(found) == {digest_of(content)}


@pytest.mark.parametrize("number", range(6))
def test_old_bytes_or_new_bytes_whatever_their_sizes(
    view: View, foreign: Foreign, repository: str, number: int
) -> None:
    """A file changes again and again, sooner than the kernel forgets its size."""
    for turn in range(4):
        content = random.Random(number * 10 + turn).randbytes(1 << ((turn * 5 + number) % 20))
        foreign.artifact(repository, "v1", {"a": content})
        assert view.read_bytes(f"{repository}/v1/a") == content


def test_other_bytes_of_the_same_size_are_seen_at_the_next_open(view: View, foreign: Foreign, repository: str) -> None:
    for content in (b"old", b"new", b"old", b"odd"):
        foreign.artifact(repository, "v1", {"a": content})
        assert view.read_bytes(f"{repository}/v1/a") == content


def test_an_alias_that_changed_is_seen_after_the_time_to_live(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"old"})
    view = new_view(registry.url, ttl=0.5)
    assert view.read_bytes(f"{repository}/v1/a") == b"old"
    foreign.artifact(repository, "v1", {"a": b"new"})
    eventually(lambda: view.read_bytes(f"{repository}/v1/a"), b"new")


def test_an_alias_that_changed_is_not_asked_for_before_that(
    new_view: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"old"})
    view = new_view(registry.url, ttl=3600)
    assert view.read_bytes(f"{repository}/v1/a") == b"old"
    foreign.artifact(repository, "v1", {"a": b"new"})
    assert view.read_bytes(f"{repository}/v1/a") == b"old"


@pytest.mark.parametrize(("old_size", "new_size"), [(3 << 20, 3 << 20), (3 << 20, 5), (2 << 20, 4 << 20)])
def test_a_handle_reads_the_bytes_it_was_opened_with(
    view: View, foreign: Foreign, repository: str, old_size: int, new_size: int
) -> None:
    old, new = random.Random(repository).randbytes(old_size), random.Random(f"new {repository}").randbytes(new_size)
    foreign.artifact(repository, "v1", {"a": old})
    with view.open(f"{repository}/v1/a") as handle:
        assert handle.read(4096, 0) == old[:4096]
        foreign.artifact(repository, "v1", {"a": new})
        assert view.read_bytes(f"{repository}/v1/a") == new
        eventually(lambda: view.stat(f"{repository}/v1/a").size, new_size)
        assert _rest(handle, 4096) == old[4096:]
        assert view.read_bytes(f"{repository}/v1/a") == new
        assert _rest(handle, 0) == old
    assert view.read_bytes(f"{repository}/v1/a") == new


def _rest(handle: object, offset: int) -> bytes:
    content = b""
    while piece := handle.read(1 << 16, offset + len(content)):  # type: ignore[attr-defined]
        content += piece
    return content


def test_a_handle_reads_on_when_its_alias_is_gone(view: View, foreign: Foreign, repository: str) -> None:
    content = random.Random(repository).randbytes(3 << 20)
    foreign.artifact(repository, "v1", {"a": content})
    with view.open(f"{repository}/v1/a") as handle:
        assert handle.read(10, 0) == content[:10]
        view.remove(f"{repository}/v1/a")
        view.rmdir(f"{repository}/v1")
        assert _rest(handle, 10) == content[10:]


def test_a_blob_in_the_cache_is_read_without_the_registry(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"content"})
    foreign.close()
    view = new_view(own_registry.url, ttl=3600)
    assert view.read_bytes(f"{repository}/v1/a") == b"content"
    own_registry.stop()
    assert view.read_bytes(f"{repository}/v1/a") == b"content"
    assert view.list(f"{repository}/v1") == ["a"]


@pytest.mark.logs(STALE)
def test_what_is_known_is_served_when_the_registry_cannot_be_reached(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"content"})
    foreign.close()
    view = new_view(own_registry.url)
    assert view.read_bytes(f"{repository}/v1/a") == b"content"
    own_registry.stop()
    assert view.read_bytes(f"{repository}/v1/a") == b"content"


@pytest.mark.logs(OTHER_BYTES)
@pytest.mark.parametrize("size", [1000, 12 << 20], ids=["small", "large"])
def test_bytes_that_are_not_the_blobs_are_an_error_and_are_not_kept(
    new_view: NewView, own_registry: Registry, repository: str, size: int
) -> None:
    foreign = Foreign(own_registry)
    content = random.Random(size).randbytes(size)
    foreign.artifact(repository, "v1", {"bad": content, "good": b"good"})
    foreign.close()
    with _flipped(own_registry.blob_path(digest_of(content))):
        view = new_view(own_registry.url)
        for _ in range(2):
            with refused(errno.EIO):
                view.read_bytes(f"{repository}/v1/bad")
            assert view.cached(digest_of(content)) == []
        assert view.read_bytes(f"{repository}/v1/good") == b"good"
    assert view.read_bytes(f"{repository}/v1/bad") == content


class _flipped:  # noqa: N801 - a context manager
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        self._good = self._path.read_bytes()
        middle = len(self._good) // 2
        self._path.write_bytes(self._good[:middle] + bytes([self._good[middle] ^ 1]) + self._good[middle + 1 :])

    def __exit__(self, *error: object) -> None:
        self._path.write_bytes(self._good)


@pytest.mark.logs(OTHER_BYTES)
def test_with_strict_verification_no_byte_of_a_wrong_blob_is_served(
    registry: Registry, own_registry: Registry, repository: str, tmp_path: Path
) -> None:
    foreign = Foreign(own_registry)
    content = random.Random(3).randbytes(12 << 20)
    foreign.artifact(repository, "v1", {"bad": content})
    foreign.close()
    view = Mounted(tmp_path, own_registry.url, verify="strict")
    try:
        with _flipped(own_registry.blob_path(digest_of(content))), refused(errno.EIO):
            view.open(f"{repository}/v1/bad")
        assert view.read_bytes(f"{repository}/v1/bad") == content
    finally:
        view.close()


@pytest.mark.logs(r"^open .*/lost: sha256:\w+ ended at byte 0 of \d+$")
def test_a_blob_that_the_registry_lost_is_an_error_and_the_others_are_read(
    view: View, registry: Registry, foreign: Foreign, repository: str
) -> None:
    lost = repository.encode()
    foreign.artifact(repository, "v1", {"lost": lost, "kept": b"kept"})
    registry.blob_path(digest_of(lost)).unlink()
    with pytest.raises(OSError):
        view.read_bytes(f"{repository}/v1/lost")
    assert view.read_bytes(f"{repository}/v1/kept") == b"kept"
    assert view.list(f"{repository}/v1") == ["kept", "lost"]


@pytest.mark.logs(r"^list .*: expected digest ")
def test_a_manifest_that_is_not_its_digests_is_an_error(
    new_view: NewView, own_registry: Registry, repository: str
) -> None:
    foreign = Foreign(own_registry)
    digest = foreign.artifact(repository, "v1", {"a": b"a"})
    foreign.artifact(repository, "v2", {"b": b"b"})
    foreign.close()
    path = own_registry.blob_path(digest)
    path.write_bytes(path.read_bytes().replace(b'"a"', b'"b"'))
    view = new_view(own_registry.url)
    with refused(errno.EIO):
        view.list(f"{repository}/v1")
    assert view.list(repository) == ["v1", "v2"]
    assert view.read_bytes(f"{repository}/v2/b") == b"b"


def test_an_empty_blob_needs_no_request(view: View, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.publish(repository, "v1", [foreign.layer(repository, b"", annotations={TITLE: "empty"})])
    assert view.read_bytes(f"{repository}/v1/empty") == b""


def test_two_views_share_a_cache(new_view: NewView, own_registry: Registry, repository: str, tmp_path: Path) -> None:
    foreign = Foreign(own_registry)
    foreign.artifact(repository, "v1", {"a": b"shared"})
    foreign.close()
    first = new_view(own_registry.url, tmp_path / "one")
    assert first.read_bytes(f"{repository}/v1/a") == b"shared"
    second = new_view(own_registry.url, tmp_path / "two", cache_dir=first.cache)
    own_registry.blob_path(digest_of(b"shared")).unlink()
    assert second.read_bytes(f"{repository}/v1/a") == b"shared"


@pytest.fixture(scope="session")
def signed_repository(schema1: Registry) -> str:
    """A repository with a schema 1 alias, v1, of the blobs ``bottom`` and ``top``."""
    foreign = Foreign(schema1)
    blobs = [foreign.push("img/v1", content) for content in (b"top", b"bottom")]
    content, _ = signing.signed(signing.document(*blobs, name="img/v1", tag="v1"))
    foreign.put("img/v1", "v1", content, SCHEMA1_SIGNED)
    foreign.close()
    return "img/v1"


def test_a_schema_1_alias_can_be_read(new_view: NewView, schema1: Registry, signed_repository: str) -> None:
    view = new_view(schema1.url)
    names = sorted(map(digest_of, (b"top", b"bottom")))
    assert view.list(f"{signed_repository}/v1") == names
    assert view.stat(f"{signed_repository}/v1/{digest_of(b'bottom')}").size == 6
    assert view.read_bytes(f"{signed_repository}/v1/{digest_of(b'top')}") == b"top"
    assert b"signatures" in view.read_bytes(f"{signed_repository}/v1/.oci/manifest.json")


@pytest.mark.logs(READ_ONLY)
def test_a_schema_1_alias_cannot_be_changed(new_view: NewView, schema1: Registry, signed_repository: str) -> None:
    view = new_view(schema1.url)
    path = f"{signed_repository}/v1"
    there = f"{path}/{digest_of(b'top')}"
    for change in (
        lambda: view.write_bytes(f"{path}/new", b"x"),
        lambda: view.write_bytes(there, b"x"),
        lambda: view.truncate(there, 0),
        lambda: view.remove(there),
        lambda: view.rename(there, f"{path}/name"),
        lambda: view.mkdir(f"{path}/sub"),
    ):
        with refused(errno.EROFS):
            change()
