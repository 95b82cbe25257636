"""The node table: an inode for each content, and nothing that the kernel has forgotten."""

from __future__ import annotations

from regfs.mount.kernel.nodes import Node, Nodes
from regfs.mount.kernel.notices import other_names
from regfs.tree.attributes import Attributes, Kind

DIRECTORY = Attributes(Kind.DIRECTORY, 0, 0)


class Writing:
    """A file that is being written: equal to no other."""


def file(content: object) -> Attributes:
    return Attributes(Kind.FILE, 3, 0, content=content)  # type: ignore[arg-type]


def looked_up(nodes: Nodes, name: str, attributes: Attributes, parent: Node | None = None) -> Node:
    return nodes.found(parent or nodes.root, name, attributes)


def test_the_same_bytes_under_the_same_name_are_one_node() -> None:
    nodes = Nodes()
    assert looked_up(nodes, "a", file("x")) is looked_up(nodes, "a", file("x"))


def test_other_bytes_are_another_node_and_the_old_one_stays() -> None:
    nodes = Nodes()
    old, new = looked_up(nodes, "a", file("x")), looked_up(nodes, "a", file("y"))
    assert old is not new
    assert old.inode != new.inode
    assert nodes.get(old.number) is old


def test_the_same_bytes_under_two_names_are_two_nodes() -> None:
    nodes = Nodes()
    assert looked_up(nodes, "a", file("x")).inode != looked_up(nodes, "b", file("x")).inode


def test_a_file_that_is_being_written_is_one_node_by_both_names() -> None:
    nodes, writing = Nodes(), Writing()
    node = looked_up(nodes, "a", file(writing))
    assert looked_up(nodes, "b", file(writing)) is node
    assert looked_up(nodes, "a", file(writing)) is node


def test_a_directory_in_the_place_of_a_file_is_another_node() -> None:
    nodes = Nodes()
    link = looked_up(nodes, "a", Attributes(Kind.SYMLINK, 0, 0))
    assert looked_up(nodes, "a", DIRECTORY) is not link


def test_what_is_forgotten_is_gone_and_has_its_number_again() -> None:
    nodes = Nodes()
    node = looked_up(nodes, "a", file("x"))
    looked_up(nodes, "a", file("x"))
    nodes.forget(node.number, 1)
    assert nodes.get(node.number) is node
    nodes.forget(node.number, 1)
    assert nodes.get(node.number) is None
    again = looked_up(nodes, "a", file("x"))
    assert again.number != node.number
    assert again.inode == node.inode


def test_the_root_is_never_forgotten() -> None:
    nodes = Nodes()
    nodes.forget(1, 1000)
    assert nodes.get(1) is nodes.root


def test_forgetting_more_often_than_told_breaks_nothing() -> None:
    nodes = Nodes()
    node = looked_up(nodes, "a", file("x"))
    nodes.forget(node.number, 5)
    nodes.forget(node.number, 5)
    nodes.forget(4711, 1)
    assert len(nodes) == 1


def test_nothing_is_left_of_nodes_that_are_forgotten() -> None:
    nodes = Nodes()
    found = [looked_up(nodes, f"f{number}", file("x")) for number in range(1000)]
    found += [looked_up(nodes, f"w{number}", file(Writing())) for number in range(1000)]
    assert len(nodes) == 2001
    for node in found:
        nodes.forget(node.number, 1)
    assert len(nodes) == 1
    assert not nodes._names
    assert not nodes._changing


def test_what_is_in_a_renamed_directory_goes_along() -> None:
    nodes = Nodes()
    directory = looked_up(nodes, "old", DIRECTORY)
    child = looked_up(nodes, "a", file("x"), directory)
    nodes.renamed(nodes.root, "old", nodes.root, "new")
    assert child.path == "/new/a"
    assert looked_up(nodes, "new", DIRECTORY) is directory


def test_a_file_that_is_replaced_by_a_rename_is_unlinked() -> None:
    nodes = Nodes()
    source, goal = looked_up(nodes, "a", file("x")), looked_up(nodes, "b", file("y"))
    nodes.renamed(nodes.root, "a", nodes.root, "b")
    assert goal.unlinked
    assert not source.unlinked
    assert looked_up(nodes, "b", file("x")) is source


def test_a_name_that_is_made_anew_is_another_node() -> None:
    nodes = Nodes()
    node = looked_up(nodes, "a", file("x"))
    nodes.unlinked(nodes.root, "a")
    assert looked_up(nodes, "a", file("x")) is not node


def test_a_handle_is_found_as_long_as_one_is_open() -> None:
    nodes = Nodes()
    node = looked_up(nodes, "a", file(Writing()))
    nodes.opened(node, 3)
    nodes.opened(node, 4)
    assert not nodes.released(node, 3)
    assert nodes.handle_of(node) == 4
    assert nodes.released(node, 4)
    assert nodes.handle_of(node) is None


def test_a_tag_has_two_paths() -> None:
    assert list(other_names("/fred/data/v1/a")) == ["/fred:data/v1/a", "/fred/data:v1/a", "/fred/data/v1:a"]
    assert "/fred/data/v1/a" in list(other_names("/fred/data:v1/a"))
