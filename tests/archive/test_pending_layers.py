"""A root answers as soon as the layers above a name are indexed, and says which layer it waits for."""

from __future__ import annotations

import pytest

from regfs.archive.errors import CorruptArchive, LayerPending
from regfs.archive.rootfs.merge import Root
from tests.archive.making import Member, archive_of, directory, file, hardlink, tar

TOP = [directory("d"), file("d/x", b"top"), file("e/y", b"top"), file(".wh.gone"), file("o/.wh..wh..opq")]
BOTTOM = [file("d/z", b"low"), directory("e", 0o700), file("low", b"low"), file("gone"), directory("o"), file("o/old")]


def root_with(**layers: list[Member]) -> Root:
    """A root of three layers, of which some are indexed."""
    root = Root(["sha256:1", "sha256:2", "sha256:3"])
    for name, members in layers.items():
        root.add({"bottom": 1, "middle": 2, "top": 3}[name], archive_of(tar(*members)))
    return root


def test_nothing_is_known_without_the_top() -> None:
    root = root_with(bottom=BOTTOM)
    assert root.pending == [2, 3]
    for path in ((), ("low",), ("d", "x")):
        with pytest.raises(LayerPending, match="layer 3 "):
            root.lookup(path)


def test_names_of_the_top_layer_are_final() -> None:
    root = root_with(top=TOP)
    node = root.lookup(("d", "x"))
    assert node is not None
    assert root.open(node).read(0, 9) == b"top"
    assert node.nlink == 1
    assert root.lookup(("gone",)) is None
    assert root.names(("o",)) == []
    directory_node = root.lookup(("d",))
    assert directory_node is not None
    assert directory_node.layer == 3


def test_what_lower_layers_decide_waits() -> None:
    root = root_with(top=TOP, bottom=BOTTOM)
    assert root.pending == [2]
    for ask in (
        lambda: root.lookup(("low",)),
        lambda: root.names(()),
        lambda: root.names(("d",)),
        lambda: list(root.children(("d",))),
        lambda: root.lookup(("e",)),
        lambda: root.lookup(("d", "z")),
    ):
        with pytest.raises(LayerPending) as raised:
            ask()
        assert raised.value.number == 2


def test_the_last_layer_completes_the_root() -> None:
    root = root_with(bottom=BOTTOM, top=TOP, middle=[])
    assert root.pending == []
    assert sorted(root.names(())) == ["d", "e", "low", "o"]
    assert sorted(root.names(("d",))) == ["x", "z"]
    node = root.lookup(("e",))
    assert node is not None
    assert (node.mode, node.layer) == (0o700, 1)


def test_a_link_into_a_pending_layer_waits() -> None:
    root = root_with(top=[hardlink("l", "low"), file("f")])
    with pytest.raises(LayerPending):
        root.lookup(("l",))
    assert root.lookup(("f",)) is not None
    root.add(2, archive_of(tar()))
    root.add(1, archive_of(tar(*BOTTOM)))
    node = root.lookup(("l",))
    assert node is not None
    assert (node.nlink, node.layer) == (2, 1)


def test_a_layer_that_makes_no_tree_has_failed() -> None:
    root = root_with(top=TOP, middle=[])
    with pytest.raises(CorruptArchive):
        root.add(1, archive_of(tar(file("./"))))
    assert root.pending == []
    with pytest.raises(CorruptArchive):
        root.lookup(("low",))
    assert root.lookup(("d", "x")) is not None


def test_inodes_tell_layers_apart() -> None:
    root = root_with(bottom=BOTTOM, middle=[file("m")], top=TOP)
    nodes = [node for name in ((), ("d",), ("e",), ("o",)) for _, node in root.children(name)]
    assert len({node.inode for node in nodes}) == len(nodes)
