"""What the kernel is told of nodes: numbers, attributes, and for how long it may keep these."""

from __future__ import annotations

from regfs.fs.filesystem import Filesystem
from regfs.mount.kernel import answers
from regfs.mount.kernel.nodes import Node, Nodes
from regfs.mount.ownership import Ownership
from regfs.tree.attributes import Attributes

FOR_EVER_SECONDS = 86_400.0  # the bytes, and with them the size, never change
ENTRY_SECONDS = 1.0


class Entries:
    """Describes what names stand for.

    :param entry_seconds: that the kernel may keep what a name stands for, and the attributes of a directory
    """

    def __init__(self, filesystem: Filesystem, nodes: Nodes, ownership: Ownership, entry_seconds: float) -> None:
        self.filesystem = filesystem
        self.nodes = nodes
        self.entry_seconds = entry_seconds
        self._ownership = ownership

    def named(self, parent: Node, name: str, attributes: Attributes) -> tuple[Node, bytes]:
        """The node of a name, and the answer that tells the kernel of it."""
        node = self.nodes.found(parent, name, attributes)
        packed = self._packed(node, attributes)
        return node, answers.entry_answer(node.number, packed, self.entry_seconds, self._kept(node))

    def looked_up(self, parent: Node, name: str) -> tuple[Node, bytes]:
        """The same for a name of which nothing is known yet.

        :raises OSError: ENOENT when nothing is there
        """
        return self.named(parent, name, self.filesystem.getattr(parent.child(name)))

    def described(self, node: Node, attributes: Attributes) -> bytes:
        """The answer to GETATTR."""
        return answers.attr_answer(self._packed(node, attributes), self._kept(node))

    def remembered(self, node: Node) -> bytes | None:
        """The same for a file whose bytes never change, without asking."""
        told = node.told
        return self.described(node, told[0]) if node.is_immutable and told is not None else None

    def _kept(self, node: Node) -> float:
        """Seconds that attributes may be kept; none for the root: a mount whose process is gone would look alive."""
        if node.is_immutable:
            return FOR_EVER_SECONDS
        return 0.0 if node.is_changing or node.parent is None else self.entry_seconds

    def _packed(self, node: Node, attributes: Attributes) -> bytes:
        told = node.told
        if told is not None and told[0] == attributes and not node.unlinked:
            return told[1]
        found = self._ownership.stat(attributes)
        packed = answers.Inode(
            attributes.inode or node.inode, attributes.size, attributes.mtime_ns, found.changed_ns, found.mode,
            0 if node.unlinked else found.links, found.uid, found.gid, found.device,
        ).pack()  # fmt: skip
        node.told = attributes, packed
        return packed
