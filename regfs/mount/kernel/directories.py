"""The verbs on open directories, as the kernel asks for them. Short bodies; the filesystem decides."""

from __future__ import annotations

import itertools
import stat
from collections.abc import Callable

from regfs.fs.errnos import errors_as_errno
from regfs.mount.kernel import answers, protocol
from regfs.mount.kernel.entries import Entries
from regfs.mount.kernel.nodes import Node, inode_number
from regfs.mount.kernel.protocol import Opcode, Request
from regfs.mount.kernel.verbs import Answer, Verbs
from regfs.tree.attributes import Attributes

_NOTHING = answers.no_entry_answer(0)
_DOTS = 2  # "." and ".." come first
_Pack = Callable[[Node, str, Attributes], tuple[bytes, int]]


class DirectoryVerbs:
    """OPENDIR, READDIR, READDIRPLUS, RELEASEDIR. An open directory lists what was there at its first read."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._filesystem = entries.filesystem
        self._handles = itertools.count(1)
        self._open: dict[int, list[tuple[str, Attributes]]] = {}

    def verbs(self) -> Verbs:
        """What answers each request."""
        return {
            Opcode.OPENDIR: self.opendir,
            Opcode.READDIR: self.readdir,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.RELEASEDIR: self.releasedir,
            Opcode.FSYNCDIR: self.fsyncdir,
        }

    def opendir(self, node: Node, request: Request) -> Answer:
        with errors_as_errno("list", node.path):
            self._filesystem.opendir(node.path)
        return answers.open_answer(next(self._handles))

    def readdir(self, node: Node, request: Request) -> Answer:
        return self._listed(node, request, b"", self._name)

    def readdirplus(self, node: Node, request: Request) -> Answer:
        return self._listed(node, request, _NOTHING, self._name_and_node)

    def releasedir(self, node: Node, request: Request) -> Answer:
        (handle,) = protocol.fields(protocol.HANDLE_IN, request.body)
        self._open.pop(handle, None)
        return b""

    def fsyncdir(self, node: Node, request: Request) -> Answer:
        return b""

    def _listed(self, node: Node, request: Request, before_dots: bytes, pack: _Pack) -> bytes:
        """As many names from the offset on as there is room for."""
        handle, offset, room = protocol.fields(protocol.READ_IN, request.body)
        if offset == 0:
            with errors_as_errno("list", node.path):
                self._open[handle] = list(self._filesystem.readdir(node.path))
        parts = [before_dots + dots for dots in self._dots(node)[offset:]]
        room -= sum(map(len, parts))
        position = max(offset, _DOTS)
        for name, attributes in self._open.get(handle, ())[position - _DOTS :]:
            encoded = name.encode("utf-8", "surrogateescape")
            room -= len(before_dots) + answers.directory_entry_bytes(len(encoded))
            if room < 0:
                break
            position += 1
            entry, inode = pack(node, name, attributes)
            parts += entry, answers.directory_entry(encoded, inode, position, attributes.kind.value)
        return b"".join(parts)

    @staticmethod
    def _dots(node: Node) -> list[bytes]:
        above = node.parent or node
        return [
            answers.directory_entry(b".", node.inode, 1, stat.S_IFDIR),
            answers.directory_entry(b"..", above.inode, 2, stat.S_IFDIR),
        ]

    @staticmethod
    def _name(node: Node, name: str, attributes: Attributes) -> tuple[bytes, int]:
        return b"", attributes.inode or inode_number(node, name, attributes.content)

    def _name_and_node(self, node: Node, name: str, attributes: Attributes) -> tuple[bytes, int]:
        child, entry = self._entries.named(node, name, attributes)
        return entry, attributes.inode or child.inode
