"""Whole blobs: how they join the cache, and how they leave it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from regfs.cache.store import BlobStore
from regfs.oci.manifest import digest_of
from regfs.registry.api import DigestMismatch
from regfs.util.private import NotPrivate
from tests.cache.conftest import digests, keep, leftovers, put_chunk
from tests.contents import MIB, content_of, flip

NOBODY = 65534


def content(number: int, size: int = MIB) -> bytes:
    """Bytes that no other number has."""
    return content_of(size, number)


def test_a_blob_that_was_added_is_read(cache: BlobStore) -> None:
    assert cache.read(keep(cache, b"some bytes")) == b"some bytes"


def test_a_blob_has_no_name_in_the_cache_until_it_is_whole(cache: BlobStore) -> None:
    digest = digest_of(b"one, two")
    with cache.adding(digest) as file:
        file.write(b"one, ")
        file.flush()
        assert cache.open(digest) is None
        file.write(b"two")
    assert cache.read(digest) == b"one, two"
    assert leftovers(cache) == []


def test_bytes_that_are_not_the_digest_s_leave_nothing(cache: BlobStore) -> None:
    with pytest.raises(DigestMismatch) as caught, cache.adding(digest_of(b"right")) as file:
        file.write(b"wrong")
    assert (caught.value.got, caught.value.expected) == (digest_of(b"wrong"), digest_of(b"right"))
    assert (digests(cache), leftovers(cache)) == (set(), [])


def test_an_error_while_it_is_filled_leaves_nothing(cache: BlobStore) -> None:
    with suppress(ZeroDivisionError), cache.adding(digest_of(b"right")) as file:
        file.write(b"rig")
        raise ZeroDivisionError
    assert (digests(cache), leftovers(cache)) == (set(), [])


def test_a_file_of_the_wrong_size_is_not_the_blob_and_goes(cache: BlobStore) -> None:
    digest = keep(cache, content(1))
    os.truncate(cache.path(digest), 0)
    assert cache.open(digest, MIB) is None
    assert digests(cache) == set()


def test_a_file_that_has_bytes_is_not_the_empty_blob(cache: BlobStore) -> None:
    digest = keep(cache, b"")
    cache.path(digest).write_bytes(b"bytes")
    assert cache.open(digest, 0) is None
    assert digests(cache) == set()


def test_a_link_is_not_a_blob(cache: BlobStore, tmp_path: Path) -> None:
    digest = keep(cache, b"bytes")
    cache.path(digest).rename(tmp_path / "elsewhere")
    cache.path(digest).symlink_to(tmp_path / "elsewhere")
    assert cache.open(digest) is None


def test_a_blob_is_where_every_version_looks_for_it(cache: BlobStore) -> None:
    assert cache.path("sha256:" + "abcdef12" * 8) == cache.directory / "blobs/sha256/ab" / ("abcdef12" * 8)


def test_a_disk_that_can_only_be_read_is_read(disk: Callable[[int], Path]) -> None:
    directory = disk(MIB)
    digest = keep(BlobStore(directory / "cache"), b"bytes")
    subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
    assert BlobStore(directory / "cache").read(digest) == b"bytes"


def test_a_blob_that_is_forgotten_is_not_here(cache: BlobStore) -> None:
    digest, other = keep(cache, b"bytes"), keep(cache, b"other")
    cache.remove(digest)
    cache.remove(digest)
    assert digests(cache) == {other}


def test_a_file_that_is_taken_over_is_the_blob(cache: BlobStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"bytes")
    cache.adopt(digest_of(b"bytes"), tmp_path / "file")
    assert cache.read(digest_of(b"bytes")) == b"bytes"
    assert not (tmp_path / "file").exists()


def test_a_file_of_another_disk_is_left_where_it_is(
    cache: BlobStore, disk: Callable[[int], Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = disk(MIB) / "file"
    path.write_bytes(b"bytes")
    with caplog.at_level("DEBUG", "regfs.cache.store"):
        cache.adopt(digest_of(b"bytes"), path)
    assert caplog.messages == [f"cache: {digest_of(b'bytes')} is not taken over: Invalid cross-device link"]
    assert path.read_bytes() == b"bytes"
    assert digests(cache) == set()


def test_what_is_not_a_digest_never_becomes_a_path(cache: BlobStore) -> None:
    for name in ("../../etc/passwd", "sha256:../x", "sha256:abc", ""):
        with pytest.raises(ValueError, match="not a digest"):
            cache.path(name)


def test_the_least_recently_used_go_first(directory: Path) -> None:
    cache = BlobStore(directory)
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(6)]
    cache.make_room(3 * MIB)
    assert digests(cache) == set(kept[3:])


def test_reading_a_blob_is_using_it(directory: Path) -> None:
    cache = BlobStore(directory)
    kept = [keep(cache, content(number), used_at=1000 + number) for number in range(4)]
    cache.read(kept[0])
    cache.make_room(MIB)
    assert digests(cache) == {kept[0]}


def test_a_cache_stays_below_its_limit(directory: Path) -> None:
    cache = BlobStore(directory, limit=5 * MIB)
    for number in range(20):
        keep(cache, content(number))
        assert cache.usage().size <= 5 * MIB


def test_a_large_disk_that_is_nearly_full_still_has_a_cache(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = shutil._ntuple_diskusage(1000 << 30, 970 << 30, 30 << 30)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: room)
    cache = BlobStore(directory)
    kept = {keep(cache, content(number)) for number in range(3)}
    assert digests(cache) == kept


def test_an_open_blob_is_never_evicted(cache: BlobStore) -> None:
    digest = keep(cache, content(1))
    fd = cache.open(digest)
    assert fd is not None
    cache.make_room(0)
    assert digests(cache) == {digest}
    os.close(fd)
    cache.make_room(0)
    assert digests(cache) == set()


def test_a_blob_that_another_process_reads_is_never_evicted(cache: BlobStore) -> None:
    digest = keep(cache, content(1))
    code = (
        "import sys; from pathlib import Path; from regfs.cache.store import BlobStore\n"
        "fd = BlobStore(Path(sys.argv[1])).open(sys.argv[2]); print(fd, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(cache.directory), digest]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline().strip() != b"None"
        cache.make_room(0)
        assert digests(cache) == {digest}
        reader.kill()
        reader.wait()
    cache.make_room(0)
    assert digests(cache) == set()


def test_a_partial_blob_counts_for_the_blocks_it_has(cache: BlobStore) -> None:
    sparse = cache.sparse("sha256:" + "1" * 64, 1000 * MIB)
    put_chunk(sparse, content(1), 0)
    usage = cache.usage()
    assert usage.partial == 1
    assert MIB <= usage.size <= MIB + 65536
    sparse.close()


def test_a_partial_blob_is_evicted_with_its_map(cache: BlobStore) -> None:
    sparse = cache.sparse("sha256:" + "1" * 64, 100 * MIB)
    put_chunk(sparse, content(1), 0)
    cache.make_room(0)
    assert len(leftovers(cache)) == 2
    sparse.close()
    cache.make_room(0)
    assert leftovers(cache) == []


def test_what_a_killed_process_was_adding_is_removed_at_the_next_start(cache: BlobStore) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from regfs.cache.store import BlobStore\n"
        "with BlobStore(Path(sys.argv[1])).adding(sys.argv[2]) as file:\n"
        "    file.write(bytes(100000)); file.flush(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(cache.directory), "sha256:" + "1" * 64], check=False)
    assert len(leftovers(cache)) == 1
    assert leftovers(BlobStore(cache.directory)) == []


def test_what_another_process_is_adding_is_left_alone(cache: BlobStore) -> None:
    digest = digest_of(b"bytes")
    with cache.adding(digest) as file:
        file.write(b"bytes")
        BlobStore(cache.directory)
    assert cache.read(digest) == b"bytes"


def test_check_names_and_removes_a_blob_with_a_bit_flipped(cache: BlobStore) -> None:
    good, bad = keep(cache, content(1)), keep(cache, content(2))
    flip(cache.path(bad), 4711)
    assert list(cache.check()) == [bad]
    assert digests(cache) == {good}
    assert list(cache.check()) == []


def test_check_goes_on_after_a_blob_that_went_meanwhile(cache: BlobStore) -> None:
    kept = sorted((keep(cache, content(number)) for number in range(3)), key=cache.path)
    for digest in kept:
        flip(cache.path(digest), 4711)
    found = cache.check()
    assert next(found) == kept[0]
    cache.remove(kept[1])
    assert list(found) == [kept[2]]


def test_a_cache_is_for_its_user_alone(cache: BlobStore) -> None:
    keep(cache, b"bytes")
    for path in (cache.directory, cache.directory / "blobs", cache.directory / "partial"):
        assert path.stat().st_mode & 0o777 == 0o700


def refusal(directory: Path) -> str:
    """The line that says why a directory is not used."""
    with pytest.raises(NotPrivate) as caught:
        BlobStore(directory)
    assert caught.value.strerror
    assert "\n" not in caught.value.strerror
    return caught.value.strerror


def test_a_directory_that_others_may_read_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o750)
    directory.chmod(0o750)
    assert refusal(directory) == f"{directory} is open to other users; run: chmod 700 {directory}"


def test_a_directory_of_somebody_else_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    assert refusal(directory) == f"{directory} belongs to another user; name another with --cache-dir"


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_refused(directory: Path, tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    directory.symlink_to(tmp_path / target)
    assert refusal(directory) == f"{directory} is a link; name another with --cache-dir"


def test_a_file_is_refused(directory: Path) -> None:
    directory.write_text("not a directory")
    assert refusal(directory) == f"{directory} is not a directory; name another with --cache-dir"


@pytest.mark.parametrize("name", ["blobs", "partial"])
def test_a_file_in_the_place_of_a_part_of_it_is_refused(directory: Path, name: str) -> None:
    directory.mkdir(mode=0o700)
    (directory / name).touch()
    assert refusal(directory) == f"{directory / name} is not a directory; name another with --cache-dir"


def test_a_place_where_no_directory_can_be_made_is_refused(directory: Path) -> None:
    directory.write_text("not a directory")
    assert str(directory / "below") in refusal(directory / "below")
