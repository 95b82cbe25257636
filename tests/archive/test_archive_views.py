"""Roots of one archive: a layer with its markers, an archive unpacked, a directory that oras packed."""

from __future__ import annotations

import pytest

from regfs.archive.errors import CorruptArchive
from regfs.archive.rootfs.views import packed_directory, unpacked
from tests.archive.making import Member, archive_of, contents, directory, file, hardlink, symlink, tar

DIGEST = "sha256:1"


def test_a_layer_shows_its_markers() -> None:
    layer = archive_of(tar(file(".wh.f"), file("f", b"1"), file("d/.wh..wh..opq"), file("d/x")))
    root = unpacked(layer, DIGEST, number=7)
    assert sorted(root.names(())) == [".wh.f", "d", "f"]
    assert sorted(root.names(("d",))) == [".wh..wh..opq", "x"]
    node = root.lookup(("f",))
    assert node is not None
    assert (node.layer, node.layer_digest) == (7, DIGEST)


def test_a_link_out_of_the_layer_cannot_be_opened() -> None:
    root = unpacked(archive_of(tar(hardlink("l", "lower/f"))), DIGEST)
    node = root.lookup(("l",))
    assert node is not None
    assert (node.size, node.nlink) == (0, 1)
    with pytest.raises(CorruptArchive, match="hard link to 'lower/f'"):
        root.open(node)


def test_only_files_are_opened() -> None:
    root = unpacked(archive_of(tar(directory("d"), file("i/f"), symlink("s", "d"))), DIGEST)
    for name in ("d", "i", "s"):
        node = root.lookup((name,))
        assert node is not None
        with pytest.raises(CorruptArchive, match="not a file"):
            root.open(node)


def test_no_directory_has_no_names() -> None:
    root = unpacked(archive_of(tar(file("f"))), DIGEST)
    assert root.names(("f",)) == root.names(("nothing",)) == []
    assert list(root.children(("f",))) == []
    assert root.lookup(("f", "x")) is None


@pytest.mark.parametrize("prefix", ["plots", "./plots", "plots/may"])
def test_a_packed_directory_begins_with_its_title(prefix: str) -> None:
    archive = archive_of(tar(directory(prefix), file(f"{prefix}/a", b"1"), file(f"{prefix}/b/c", b"2")))
    root = packed_directory(archive, DIGEST, prefix)
    assert sorted(root.names(())) == ["a", "b"]
    assert contents(root, "b/c") == b"2"


def test_oras_py_names_by_the_last_component() -> None:
    archive = archive_of(tar(directory("may"), file("may/a", b"1"), hardlink("may/l", "may/a")))
    root = packed_directory(archive, DIGEST, "plots/may")
    assert contents(root, "a") == b"1"
    node = root.lookup(("l",))
    assert node is not None
    assert node.nlink == 2


def test_directories_above_the_title_are_fine() -> None:
    archive = archive_of(tar(directory("./"), directory("plots"), file("plots/may/a", b"1")))
    assert packed_directory(archive, DIGEST, "plots/may").names(()) == ["a"]


@pytest.mark.parametrize(
    "outside", [file("b"), file("plots/../../b"), file("plots"), symlink("plots", "/etc"), directory("plot")]
)
def test_entries_outside_are_refused(outside: Member) -> None:
    with pytest.raises(CorruptArchive, match="outside"):
        packed_directory(archive_of(tar(file("plots/a"), outside)), DIGEST, "plots")


def test_an_empty_title_is_refused() -> None:
    with pytest.raises(CorruptArchive):
        packed_directory(archive_of(tar(file("a"))), DIGEST, "")
