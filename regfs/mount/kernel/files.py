"""The verbs on open files, as the kernel asks for them. Short bodies; the filesystem decides."""

from __future__ import annotations

import errno
import os
import threading

from regfs.fs.errnos import errors_as_errno
from regfs.mount.closing import closes_first
from regfs.mount.kernel import answers, protocol
from regfs.mount.kernel.backing import Backing
from regfs.mount.kernel.entries import Entries
from regfs.mount.kernel.nodes import Node
from regfs.mount.kernel.notices import Notices
from regfs.mount.kernel.protocol import Opcode, OpenFlag, Request
from regfs.mount.kernel.verbs import Answer, Verbs, stale
from regfs.mount.kernel.writers import Writers

_WRITING = os.O_WRONLY | os.O_RDWR


class FileVerbs:
    """OPEN, CREATE, and what is done with a handle.

    ``_modes`` orders the opens and closes of each node; it is held while the kernel is given a backing file.
    """

    def __init__(self, entries: Entries, writers: Writers, notices: Notices, backing: Backing) -> None:
        self._entries = entries
        self._filesystem = entries.filesystem
        self._nodes = entries.nodes
        self._writers = writers
        self._notices = notices
        self._backing = backing
        self._modes = threading.Lock()

    def verbs(self) -> Verbs:
        """What answers each request."""
        return {
            Opcode.OPEN: self.open,
            Opcode.CREATE: self.create,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.FLUSH: self.flush,
            Opcode.FSYNC: self.fsync,
            Opcode.RELEASE: self.release,
        }

    def open(self, node: Node, request: Request) -> Answer:
        """Open the bytes that a node has; when its path stands for others now, the kernel looks it up again."""
        flags, _ = protocol.fields(protocol.OPEN_IN, request.body)
        path = node.path
        try:
            with errors_as_errno("open", path):
                handle = self._handle(path, flags, request.pid)
                content = self._content(handle)
        except FileNotFoundError:
            raise stale(path) from None
        if content != node.content:
            if flags & _WRITING:
                self._writers.hold(path, request.pid, handle)
            else:
                self._filesystem.release(handle)
            raise stale(path)
        return self._opened(node, handle, flags)

    def _handle(self, path: str, flags: int, process: int) -> int:
        held = self._writers.claim(path, process) if flags & _WRITING else None
        if held is not None:
            return held
        return self._filesystem.open(path, flags, bool(flags & os.O_TRUNC) and closes_first(process))

    def _content(self, handle: int) -> object:
        try:
            return self._filesystem.getattr_open(handle).content
        except BaseException:
            self._filesystem.release(handle)
            raise

    def _opened(self, node: Node, handle: int, flags: int) -> bytes:
        with self._modes:
            mode = self._mode(node, handle, flags)
            self._nodes.opened(node, handle)
            return answers.open_answer(handle, mode, node.backing if mode & OpenFlag.PASSTHROUGH else 0)

    def _mode(self, node: Node, handle: int, flags: int) -> int:
        """What the kernel's pages of a node are worth to a handle.

        Who only reads a file that is being written bypasses them. Through them it could read zeros behind the end that
        it knows, when another program lengthens the file in that moment.
        """
        if node.is_changing and not flags & _WRITING:
            return OpenFlag.DIRECT_IO
        if not node.is_immutable:
            return 0
        if node.handles is None:
            node.backing = self._backing.open(node.size, lambda: self._filesystem.backing_file(handle))
        if node.backing:
            return OpenFlag.PASSTHROUGH | OpenFlag.NOFLUSH
        keeps, node.spoiled = not node.spoiled, False
        return OpenFlag.NOFLUSH | (OpenFlag.KEEP_CACHE if keeps else 0)

    def create(self, node: Node, request: Request) -> Answer:
        flags, *_ = protocol.fields(protocol.CREATE_IN, request.body)
        (name,) = protocol.names(request.body[protocol.CREATE_IN.size :])
        path = node.child(name)
        with errors_as_errno("create", path):
            handle = self._made(path, flags, request.pid)
            attributes = self._filesystem.getattr_open(handle)
        child, answer = self._entries.named(node, name, attributes)
        opened = self._opened(child, handle, flags)
        self._notices.changed(path)
        return answer + opened

    def _made(self, path: str, flags: int, process: int) -> int:
        """A handle on a new file, or on one that somebody else has made since the kernel looked."""
        if not flags & os.O_TRUNC:
            try:
                self._filesystem.getattr(path)
            except FileNotFoundError:
                return self._filesystem.create(path, closes_first(process))
            if flags & os.O_EXCL:
                raise OSError(errno.EEXIST, "exists")
            return self._filesystem.open(path, flags)
        return self._filesystem.create(path, closes_first(process))

    def is_there(self, request: Request) -> bool:
        """Whether the bytes that a READ is about are likely to be on this machine."""
        try:
            handle, *_ = protocol.fields(protocol.READ_IN, request.body)
            return self._filesystem.is_quick(handle)
        except (OSError, protocol.Malformed):  # it is answered with that error
            return True

    def read(self, node: Node, request: Request) -> Answer:
        handle, offset, size = protocol.fields(protocol.READ_IN, request.body)
        room = request.room[:size]
        try:
            with errors_as_errno("read", node.path):
                return room[: self._filesystem.read_into(handle, room, offset)]
        except OSError:
            node.spoiled = True  # what was read before is not kept
            raise

    def write(self, node: Node, request: Request) -> Answer:
        handle, offset, size, *_ = protocol.fields(protocol.WRITE_IN, request.body)
        data = request.body[protocol.WRITE_IN.size :]
        if len(data) < size:
            raise protocol.Malformed(f"{len(data)} bytes in the place of {size}")
        with errors_as_errno("write", node.path):
            return answers.WRITE_OUT.pack(self._filesystem.write(handle, data[:size], offset), 0)

    def flush(self, node: Node, request: Request) -> Answer:
        (handle,) = protocol.fields(protocol.HANDLE_IN, request.body)
        with errors_as_errno("close", node.path):
            self._filesystem.flush(handle)
        return b""

    def fsync(self, node: Node, request: Request) -> Answer:
        (handle,) = protocol.fields(protocol.HANDLE_IN, request.body)
        with errors_as_errno("fsync", node.path):
            self._filesystem.flush(handle)
        return b""

    def release(self, node: Node, request: Request) -> Answer:
        (handle,) = protocol.fields(protocol.HANDLE_IN, request.body)
        self.closed(node, handle)
        return b""

    def closed(self, node: Node, handle: int) -> None:
        """A handle is not used any more."""
        with self._modes:
            if self._nodes.released(node, handle) and node.backing:
                self._backing.close(node.backing)
                node.backing = 0
        with errors_as_errno("release", node.path):
            self._filesystem.release(handle)
