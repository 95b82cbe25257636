"""The nodes that the kernel knows: an inode for each content that a name stands for. Knows no device.

A node is a directory, or a file with certain bytes under a certain name: when the name stands for other bytes, it gets
another node, and whoever has the old one open keeps it with its pages and its size. Only a file that is being written
is one node by all of its names. A node is there until the kernel has forgotten it as often as it was told of it.

``Nodes._lock`` is innermost; nothing is called while it is held.
"""

from __future__ import annotations

import itertools
import threading

from regfs.mount.kernel.protocol import ROOT
from regfs.tree.attributes import Attributes

_NUMBER_BITS = (1 << 63) - 1


class Node:
    """A directory, or the bytes that a name stands for.

    :param number: by which the kernel names it, never used twice
    :param content: as in :class:`Attributes`
    """

    __slots__ = (
        "backing", "content", "handles", "inode", "is_directory", "known", "name", "number", "parent",
        "size", "spoiled", "told", "unlinked",
    )  # fmt: skip

    def __init__(
        self, number: int, parent: Node | None, name: str, content: object, size: int, is_directory: bool
    ) -> None:
        self.number = number
        self.parent = parent
        self.name = name
        self.content = content
        self.size = size
        self.is_directory = is_directory
        self.inode = inode_number(parent, name, content)
        self.known = 0  # how often the kernel was told of it
        self.told: tuple[Attributes, bytes] | None = None  # what the kernel was told last, and as it takes that
        self.handles: set[int] | None = None  # those that have it open
        self.backing = 0  # the number of the file that is read in its place, while it is open
        self.spoiled = False  # whether a read failed, after which its pages are not kept
        self.unlinked = False

    @property
    def path(self) -> str:
        """Where it is, from the root of the mount."""
        parts = []
        node: Node | None = self
        while node is not None and node.parent is not None:
            parts.append(node.name)
            node = node.parent
        return "/" + "/".join(reversed(parts))

    def child(self, name: str) -> str:
        """The path of a name in it."""
        return f"{self.path.rstrip('/')}/{name}"

    @property
    def is_immutable(self) -> bool:
        """Whether its bytes are the same for ever."""
        return isinstance(self.content, str)

    @property
    def is_changing(self) -> bool:
        """Whether it is a file that is being written."""
        return self.content is not None and not isinstance(self.content, str)


def inode_number(parent: Node | None, name: str, content: object) -> int:
    """What stat(2) says as the number of a node: the same when the kernel forgot it and looks it up again."""
    if parent is None:
        return ROOT
    return hash((parent.inode, name, content)) & _NUMBER_BITS | 2


class Nodes:
    """The table of nodes."""

    def __init__(self) -> None:
        self.root = Node(ROOT, None, "", None, 0, True)
        self._lock = threading.Lock()
        self._numbers = itertools.count(ROOT + 1)
        self._nodes = {ROOT: self.root}
        self._names: dict[tuple[int, str], Node] = {}  # by the number of the directory
        self._changing: dict[object, Node] = {}  # files that are being written, by their content

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, number: int) -> Node | None:
        """The node with a number."""
        return self._nodes.get(number)

    def found(self, parent: Node, name: str, attributes: Attributes) -> Node:
        """The node of a name that was looked up; the kernel is about to be told of it once more.

        :param attributes: of what the name stands for
        """
        content, is_directory = attributes.content, attributes.is_directory
        with self._lock:
            node = self._names.get((parent.number, name))
            if node is None or node.content != content or node.is_directory != is_directory:
                node = self._changing.get(content)
                if node is None:
                    number = next(self._numbers)
                    node = Node(number, parent, name, content, attributes.size, is_directory)
                    self._nodes[number] = node
                    if node.is_changing:
                        self._changing[content] = node
                self._put(node, parent, name)
            node.known += 1
            return node

    def _put(self, node: Node, parent: Node, name: str) -> None:
        """With the lock held: a name stands for a node, which is found by no other name then."""
        if node.parent is not None and self._names.get((node.parent.number, node.name)) is node:
            del self._names[(node.parent.number, node.name)]
        node.parent, node.name = parent, name
        self._names[(parent.number, name)] = node

    def forget(self, number: int, times: int) -> None:
        """The kernel has forgotten a node that often."""
        with self._lock:
            node = self._nodes.get(number)
            if node is None or number == ROOT:
                return
            node.known -= times
            if node.known <= 0:
                del self._nodes[number]
                self._drop(node)

    def _drop(self, node: Node) -> None:
        """With the lock held: no name stands for it any more."""
        if node.parent is not None and self._names.get((node.parent.number, node.name)) is node:
            del self._names[(node.parent.number, node.name)]
        if self._changing.get(node.content) is node:
            del self._changing[node.content]

    def unlinked(self, parent: Node, name: str) -> None:
        """A name is gone; who has its node open keeps it."""
        with self._lock:
            node = self._names.pop((parent.number, name), None)
            if node is not None:
                node.unlinked = True

    def renamed(self, parent: Node, name: str, goal: Node, new: str) -> None:
        """A node has another name, and takes along all that is in it."""
        with self._lock:
            node = self._names.pop((parent.number, name), None)
            replaced = self._names.pop((goal.number, new), None)
            if replaced is not None and replaced is not node:
                replaced.unlinked = True
            if node is not None:
                self._put(node, goal, new)

    def at(self, path: str) -> Node | None:
        """The node that the kernel knows at a path, if there is one."""
        node: Node | None = self.root
        with self._lock:
            for name in path.split("/"):
                if name and node is not None:
                    node = self._names.get((node.number, name))
        return node

    # Handles

    def opened(self, node: Node, handle: int) -> None:
        """A handle has a node open."""
        with self._lock:
            if node.handles is None:
                node.handles = set()
            node.handles.add(handle)

    def released(self, node: Node, handle: int) -> bool:
        """A handle is gone; returns whether it was the last one."""
        with self._lock:
            if node.handles is not None:
                node.handles.discard(handle)
            node.handles = node.handles or None
            return node.handles is None

    def handle_of(self, node: Node) -> int | None:
        """A handle that has a node open, if there is one."""
        with self._lock:
            return next(iter(node.handles or ()), None)
