"""How much room a cache takes, and what it lets go of to stay there."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from regfs.cache.store import BlobStore, Usage
from tests.cache.conftest import digests, fill, keep, leftovers, put_chunk
from tests.cache.test_blobs import content
from tests.contents import MIB

SMALL = MIB // 8  # well below the twentieth of a limit after which a cache is looked through anyway


def test_the_usage_is_what_is_there(directory: Path) -> None:
    cache = BlobStore(directory, limit=50 * MIB)
    for number in range(3):
        keep(cache, content(number))
    sparse = [cache.sparse("sha256:" + str(number) * 64, 100 * MIB) for number in range(2)]
    put_chunk(sparse[0], content(1), 0)
    assert cache.usage() == Usage(3, 2, 4 * MIB, 50 * MIB)
    for blob in sparse:
        blob.close()


def test_by_default_a_cache_takes_half_of_what_is_free_or_its_own(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(BlobStore(directory), content(1))
    room = shutil._ntuple_diskusage(100 * MIB, 50 * MIB, 50 * MIB + 1)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    limit = BlobStore(directory).limit
    assert (limit, type(limit)) == ((50 * MIB + 1 + MIB) // 2, int)


def test_a_cache_of_small_blobs_stays_below_its_limit(directory: Path) -> None:
    cache = BlobStore(directory, limit=8 * MIB)
    for number in range(100):
        keep(cache, content(number, SMALL))
        assert cache.usage().size <= 8 * MIB


def test_a_cache_that_was_full_when_it_was_opened_stays_below_its_limit(directory: Path) -> None:
    before = BlobStore(directory, limit=9 * MIB)
    for number in range(8):
        keep(before, content(number))
    cache = BlobStore(directory, limit=8 * MIB)
    keep(cache, content(8, SMALL))
    assert cache.usage().size <= 8 * MIB


def test_caches_that_share_a_directory_stay_near_the_limit_together(directory: Path) -> None:
    caches = [BlobStore(directory, limit=8 * MIB) for _ in range(3)]
    for number in range(150):
        keep(caches[number % 3], content(number, SMALL))
        assert caches[0].usage().size <= 8 * MIB + 3 * (8 * MIB // 20 + SMALL)


def test_a_cache_at_its_limit_loses_nothing(directory: Path) -> None:
    cache = BlobStore(directory, limit=10 * MIB)
    kept = {keep(cache, content(number)) for number in range(10)}
    cache.make_room()
    assert digests(cache) == kept


def test_a_cache_over_its_limit_goes_down_to_nine_tenths_of_it(directory: Path) -> None:
    cache = BlobStore(directory, limit=10 * MIB)
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(11)]
    assert digests(cache) == set(kept[2:])


def test_a_twentieth_of_the_disk_is_left_free(disk: Callable[[int], Path]) -> None:
    cache = BlobStore(disk(64 * MIB) / "cache", limit=1 << 40)
    fill(cache.directory.parent, 18 * MIB + 65536)
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(15)]
    assert digests(cache) == set(kept)  # the disk is asked at each 16 MiB
    kept.append(keep(cache, content(15)))
    assert digests(cache) == set(kept[2:])


def test_what_is_being_read_does_not_count_as_removed(cache: BlobStore) -> None:
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(4)]
    fd = cache.open(kept[0])
    assert fd is not None
    os.utime(fd, (1000, 1000))
    cache.make_room(2 * MIB)
    assert digests(cache) == {kept[0], kept[3]}
    os.close(fd)


def test_what_goes_meanwhile_does_not_disturb_the_count(cache: BlobStore) -> None:
    files = [cache.directory / "partial" / f"sha256-{number}-7" for number in range(3000)]
    for path in files:
        path.touch()

    def remove() -> None:
        for path in files:
            path.unlink()

    other = threading.Thread(target=remove)
    other.start()
    while other.is_alive():
        cache.usage()
    other.join()
    assert cache.usage().partial == 0


def test_a_cache_is_not_looked_through_when_it_is_opened(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = keep(BlobStore(directory), content(1))
    looked_at: list[Path] = []
    lstat = Path.lstat
    monkeypatch.setattr(Path, "lstat", lambda path: looked_at.append(path) or lstat(path))
    cache = BlobStore(directory)
    assert cache.read(digest) == content(1)
    assert cache.path(digest) not in looked_at
    assert cache.usage().blobs == 1
    assert cache.path(digest) in looked_at


def test_a_map_whose_data_is_gone_is_removed_at_the_next_start(cache: BlobStore) -> None:
    sparse = [cache.sparse("sha256:" + str(number) * 64, 100 * MIB) for number in range(2)]
    for blob in sparse:
        put_chunk(blob, content(1), 0)
        blob.close()
    gone, stays = sorted((cache.directory / "partial").glob("*.map"))
    gone.with_suffix("").unlink()
    BlobStore(cache.directory)
    assert leftovers(cache) == [stays.with_suffix("").name, stays.name]
