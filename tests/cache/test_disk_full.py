"""A full disk: what is read is right, uncached, and the log says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from regfs.cache.fetcher import Fetcher
from regfs.cache.memory import MEMORY_BYTES
from regfs.cache.storage import CHUNK_BYTES
from regfs.cache.store import BlobStore
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from tests.cache.conftest import digests, fill
from tests.cache.fetching.conftest import Lying, Reading, read_from
from tests.contents import MIB, content_of
from tests.logs import OTHER_BYTES

pytestmark = pytest.mark.logs(r": No space left on device$")
Disk = Callable[[int], Path]
Make = Callable[..., Reading]
LARGE = content_of(20 * CHUNK_BYTES + 777)
HUGE = content_of(MEMORY_BYTES + 9 * CHUNK_BYTES)


@pytest.fixture
def reading_on() -> Iterator[Make]:
    """Makes a fetcher whose cache is in a directory."""
    with ExitStack() as ends:

        def make(directory: Path, content: bytes, strict: bool = False) -> Reading:
            registry = Lying(content)
            remote = HttpRegistry(registry.server.host, True, PooledTransport(timeout=5))
            cache = BlobStore(directory / "cache")
            fetcher = Fetcher(cache, remote.source, strict)
            for end in (registry.server.stop, remote.close, fetcher.close):
                ends.callback(end)
            return Reading(fetcher, cache, registry)

        yield make


def warned(caplog: pytest.LogCaptureFixture, digest: str) -> bool:
    """Whether the log says that a blob is not cached, and why."""
    return any(digest in line and "No space left" in line for line in caplog.messages)


@pytest.mark.parametrize("leave", [64 << 10, 1 * MIB + 300_000, 3 * MIB + 500_000, 7 * MIB])
def test_a_large_blob_reads_right_when_the_disk_fills_up_in_the_middle(
    disk: Disk, reading_on: Make, caplog: pytest.LogCaptureFixture, leave: int
) -> None:
    large = reading_on(disk(64 * MIB), LARGE)
    fill(large.cache.directory, leave)
    assert large.read() == LARGE
    assert warned(caplog, large.registry.descriptor.digest)


@pytest.mark.parametrize("leave", [0, 64 << 10, 1 * MIB + 300_000])
def test_pieces_read_right_when_the_disk_fills_up_in_the_middle(disk: Disk, reading_on: Make, leave: int) -> None:
    large = reading_on(disk(64 * MIB), LARGE)
    fill(large.cache.directory, leave)
    reader = large.open()
    for chunk in (9, 3, 3, 18, 9, 0, 4, 5, 6, 7, 18):
        offset = chunk * CHUNK_BYTES + 12345
        assert read_from(reader, offset, 700_000) == LARGE[offset : offset + 700_000]
    reader.close()


@pytest.mark.parametrize("leave", [0, 64 << 10, 1 * MIB + 300_000])
def test_a_small_blob_reads_right_when_there_is_no_room(disk: Disk, reading_on: Make, leave: int) -> None:
    small = reading_on(disk(16 * MIB), LARGE[: 4 * MIB + 3])
    fill(small.cache.directory, leave)
    assert small.read() == small.registry.content


def test_a_blob_larger_than_memory_reads_right_without_a_disk(disk: Disk, reading_on: Make) -> None:
    huge = reading_on(disk(16 * MIB), HUGE)
    fill(huge.cache.directory)
    reader = huge.open()
    assert read_from(reader, 0, len(HUGE)) == HUGE
    assert read_from(reader, CHUNK_BYTES, CHUNK_BYTES) == HUGE[CHUNK_BYTES : 2 * CHUNK_BYTES]  # memory has let go of it
    reader.close()


@pytest.mark.logs(OTHER_BYTES)
def test_a_blob_larger_than_memory_that_is_not_its_digest_is_refused_at_its_end(disk: Disk, reading_on: Make) -> None:
    huge = reading_on(disk(16 * MIB), HUGE)
    huge.registry.content = HUGE[:5] + b"!" + HUGE[6:]
    fill(huge.cache.directory)
    with pytest.raises(Exception, match="sha256:"):
        huge.read()


def test_strict_verification_works_in_memory(disk: Disk, reading_on: Make) -> None:
    large = reading_on(disk(16 * MIB), LARGE, strict=True)
    fill(large.cache.directory)
    assert large.read() == LARGE


def test_strict_verification_of_what_memory_cannot_hold_is_no_space(disk: Disk, reading_on: Make) -> None:
    huge = reading_on(disk(16 * MIB), HUGE, strict=True)
    fill(huge.cache.directory)
    with pytest.raises(OSError, match="no room to verify") as caught:
        huge.open()
    assert caught.value.errno == 28


def test_what_is_cached_is_read_from_a_full_disk(disk: Disk, reading_on: Make) -> None:
    large = reading_on(disk(64 * MIB), LARGE)
    with suppress(OSError):
        large.fetcher.prefetch("some/repository", large.registry.descriptor, lambda count: None)
    large.fetcher.finish()
    fill(large.cache.directory)
    large.registry.server.stop()
    assert large.read() == LARGE


def test_when_there_is_room_again_blobs_are_kept_again(disk: Disk, reading_on: Make) -> None:
    large = reading_on(disk(64 * MIB), LARGE)
    ballast = fill(large.cache.directory)
    assert large.read() == LARGE
    assert digests(large.cache) == set()
    ballast.unlink()
    large.fetcher.prefetch("some/repository", large.registry.descriptor, lambda count: None)
    large.fetcher.finish()
    assert digests(large.cache) == {large.registry.descriptor.digest}


def test_a_full_disk_makes_room_by_evicting(disk: Disk, reading_on: Make) -> None:
    directory = disk(40 * MIB)
    first = reading_on(directory, LARGE)
    first.fetcher.prefetch("some/repository", first.registry.descriptor, lambda count: None)
    first.fetcher.finish()
    second = reading_on(directory, content_of(len(LARGE), seed=1))
    assert second.read() == second.registry.content
    second.fetcher.finish()
    assert digests(second.cache) == {second.registry.descriptor.digest}


def test_a_manifest_that_has_no_room_is_not_kept(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    cache = BlobStore(disk(MIB) / "cache")
    fill(cache.directory)
    cache.add("sha256:" + "1" * 64, b"x" * 100_000)
    assert digests(cache) == set()
    assert caplog.messages == [f"cache: sha256:{'1' * 64} is not kept: No space left on device"]
