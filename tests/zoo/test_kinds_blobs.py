"""Blobs: existence is not size, and ranges are a favour."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contents import MIB, content_of
from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.calls import Call
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.profile import Blobs
from tests.zoo.shapes import only

LARGE = content_of(9 * MIB)


def read(path: Path, offset: int) -> bytes:
    """Five bytes of a file."""
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        return file.read(5)


@pytest.fixture
def content(memory: Memory) -> None:
    """A small and a large file."""
    memory.artifact("a/b", "v1", {"small": b"small", "large": LARGE})


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize("length", ["none", "0"])
def test_what_only_looks_whether_a_blob_is_there_needs_no_size(
    home: Home, memory: Memory, zoo: NewZoo, length: str
) -> None:
    """zuul-registry, head_blob: 200, and no word of a length."""

    def script(call: Call) -> Answer | None:
        head = call.kind == "blob" and call.method == "HEAD" and (call.repository, call.reference) in memory.blobs
        return Answer(200, (("Content-Length", "0"),)) if head and length == "0" else None

    with zoo(only(blobs=Blobs(length=False)), script=script) as registry:
        home.write("small", b"small")
        home("put", f"{registry.host}/a/b:v2", "small")
        home("tag", f"{registry.host}/a/b:v1", "v3")
        with home.mount("--ttl", "0", f"{registry.host}/a/b") as where:
            (where / "v2/again").write_bytes(b"small")
            (where / "v2/again").rename(where / "v2/moved")
        assert memory.files("a/b", "v2") == {"small": b"small", "moved": b"small"}


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize("status", [400, 416, 501])
def test_a_registry_that_takes_no_range_is_read_whole(home: Home, zoo: NewZoo, status: int) -> None:
    """giuseppe/crfs-plugin#1 (400), oras-project/oras-go#368."""
    with zoo(only(blobs=Blobs(range_error=status))) as registry:
        home("get", "--retries", "0", f"{registry.host}/a/b:v1", "-o", "got")
        assert (home.here / "got/small").read_bytes() == b"small"
        assert (home.here / "got/large").read_bytes() == LARGE


@pytest.mark.usefixtures("content")
@pytest.mark.parametrize("status", [400, 416, 501])
def test_a_mount_reads_without_ranges(home: Home, zoo: NewZoo, status: int) -> None:
    blobs = Blobs(range_error=status)
    with zoo(only(blobs=blobs)) as registry, home.mount(f"{registry.host}/a/b:v1") as where:
        assert read(where / "large", 8 * MIB) == LARGE[8 * MIB : 8 * MIB + 5]
        assert [status for _, status in registry.statuses("blob") if status >= 400] == [status]


@pytest.mark.usefixtures("content")
def test_a_range_that_is_ignored_is_no_error(home: Home, zoo: NewZoo) -> None:
    """artifact-keeper/artifact-keeper#3586: 200 and the whole."""
    blobs = Blobs(ranges=False)
    with zoo(only(blobs=blobs)) as registry, home.mount(f"{registry.host}/a/b:v1") as where:
        assert read(where / "large", 8 * MIB) == LARGE[8 * MIB : 8 * MIB + 5]


@pytest.mark.usefixtures("content")
def test_small_blobs_are_asked_for_without_a_range(home: Home, zoo: NewZoo) -> None:
    with zoo() as registry:
        with home.mount(f"{registry.host}/a/b:v1") as where, open(where / "small", "rb") as file:
            assert file.read(2) == b"sm"
        assert [call.request.headers.get("range") for call in registry.calls if call.kind == "blob"] == [None]


@pytest.mark.usefixtures("content")
def test_a_signed_address_that_has_expired_is_asked_for_again(home: Home, zoo: NewZoo) -> None:
    """containerd/stargz-snapshotter#167."""
    blobs = Blobs(redirect=307)
    with zoo(only(blobs=blobs)) as registry, home.mount(f"{registry.host}/a/b:v1") as where:
        assert read(where / "large", 0) == LARGE[:5]
        registry.expire()
        assert read(where / "large", 8 * MIB) == LARGE[8 * MIB : 8 * MIB + 5]
