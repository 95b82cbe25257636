"""Archives made to harm: bounded in memory and time, and ended with an error."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from regfs.archive.build import IndexBuilder
from regfs.archive.errors import ArchiveLimit, CorruptArchive
from regfs.archive.limits import Limits
from regfs.archive.reader import BytesReader, ReaderFile
from regfs.archive.rootfs.merge import Root
from regfs.archive.rootfs.views import unpacked
from tests.archive.making import (
    END,
    Member,
    archive_of,
    digest_of,
    directory,
    extended,
    file,
    hardlink,
    header,
    index_of,
    symlink,
    tar,
)


def tree_of(*members: Member | bytes, limits: Limits | None = None) -> Root:
    return unpacked(archive_of(tar(*members)), "sha256:1", limits=limits or Limits())


def test_a_bomb_is_refused() -> None:
    zeros = gzip.compress(header(Member("zeros", size=40 << 20)) + bytes(40 << 20) + END)
    limits = Limits(unpacked_bytes=1 << 20, ratio=100)
    with pytest.raises(ArchiveLimit, match="unpack to more"):
        index_of(zeros, limits)
    assert len(index_of(zeros).listing) == 1


def test_a_bomb_takes_no_memory() -> None:
    bomb = gzip.compress(header(Member("zeros", size=100 << 20)) + bytes(100 << 20) + END)
    tracemalloc.start()
    index_of(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20


def test_too_many_entries_are_refused() -> None:
    with pytest.raises(ArchiveLimit, match="entries"):
        index_of(tar(*map(file, "abcdef")), Limits(entries=5))


def test_too_much_in_the_entries_is_refused() -> None:
    value = {"SCHILY.xattr.user.a": b"x" * 1000}
    with pytest.raises(ArchiveLimit, match="too much"):
        index_of(tar(*(file(name, pax=value) for name in "abcdef")), Limits(listing_bytes=5000))
    with pytest.raises(ArchiveLimit, match="too much"):
        index_of(tar(*(file(name, pax={"path": name.encode() * 200}) for name in "abcdef")), Limits(listing_bytes=1000))


def test_an_endless_header_is_refused() -> None:
    with pytest.raises(ArchiveLimit):
        index_of(tar(extended([("comment", b"x" * 5000)]), file("f")), Limits(header_bytes=1000))


def test_deep_paths_are_refused() -> None:
    with pytest.raises(ArchiveLimit, match="components"):
        tree_of(file("f", pax={"path": b"d/" * 1000 + b"f"}))


def test_a_path_deep_through_links_is_refused() -> None:
    with pytest.raises(ArchiveLimit, match="components"):
        tree_of(Member("a", type=b"2", link="x", pax={"linkpath": b"d/" * 1000}), file("a/f"))


def test_too_many_implied_directories_are_refused() -> None:
    with pytest.raises(ArchiveLimit, match="directories"):
        tree_of(*(file(f"{number}/a/b/f") for number in range(10)), limits=Limits(entries=20))


@pytest.mark.parametrize(
    "members",
    [
        [symlink("a", "a"), file("a/f")],
        [symlink("a", "b"), symlink("b", "a"), file("a/f")],
        [symlink("a", "a/a"), file("a/f")],
        [symlink("a", "/a/../a"), hardlink("l", "a/f")],
    ],
)
def test_a_loop_of_links_is_an_error(members: list[Member]) -> None:
    with pytest.raises(CorruptArchive, match="symbolic links"):
        tree_of(*members)


def test_too_many_detours_are_refused() -> None:
    long_way = "/".join(["x", ".."] * 800)
    members = [directory("x"), Member("a", type=b"2", pax={"linkpath": long_way.encode()})]
    turns = [file(f"{'a/' * 30}{'b' if number % 2 else 'c'}/f") for number in range(5)]
    with pytest.raises(ArchiveLimit, match="too many symbolic links"):
        tree_of(*members, *turns)


def test_a_loop_below_a_hard_link_is_an_error() -> None:
    root = Root(["sha256:1", "sha256:2"])
    root.add(1, archive_of(tar(symlink("a", "b"), symlink("b", "a"))))
    root.add(2, archive_of(tar(hardlink("l", "a/f"))))
    with pytest.raises(CorruptArchive, match="symbolic links"):
        root.lookup(("l",))


def test_hard_links_in_a_circle_are_an_error() -> None:
    root = Root(["sha256:1"])
    root.add(1, archive_of(tar(hardlink("a", "b"), hardlink("b", "c"), hardlink("c", "a"), hardlink("d", "a"))))
    for name in "abcd":
        with pytest.raises(CorruptArchive, match="hard link to nothing"):
            root.lookup((name,))


def test_a_hard_link_to_a_directory_is_an_error() -> None:
    for target in ("d", "/"):
        with pytest.raises(CorruptArchive):
            tree_of(directory("d"), hardlink("l", target))
    root = Root(["sha256:1", "sha256:2"])
    root.add(1, archive_of(tar(directory("d"))))
    root.add(2, archive_of(tar(hardlink("l", "d"))))
    with pytest.raises(CorruptArchive, match="directory"):
        root.lookup(("l",))


def test_a_chain_of_hard_links_is_followed_once() -> None:
    count = 2000
    links = [hardlink(f"l{number}", f"l{number + 1}") for number in range(count)]
    root = tree_of(*links, file(f"l{count}", b"1"))
    node = root.lookup(("l0",))
    assert node is not None
    assert node.nlink == count + 1


def test_a_chunk_of_memory_asked_for_is_refused() -> None:
    made = ReaderFile(BytesReader(bytes(100)), read_limit=50)
    assert len(made.read(50)) == 50
    assert made.seek(-10, 2) == 90
    assert len(made.read()) == 10
    made.seek(0)
    with pytest.raises(CorruptArchive):
        made.read()
    with pytest.raises(OSError, match="Invalid"):
        made.seek(-1)


def test_a_listing_is_lean() -> None:
    count = 5000
    blob = gzip.compress(tar(*(file(f"usr/share/{number % 300}/name-{number}") for number in range(count))), 1)
    tracemalloc.start()
    root = unpacked(archive_of(blob), digest_of(blob))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(root.names(("usr", "share"))) == 300
    assert used < 400 * count


def test_one_error_is_the_end_of_a_builder() -> None:
    builder = IndexBuilder()
    with pytest.raises(CorruptArchive):
        builder.feed(b"no archive" * 1000)
