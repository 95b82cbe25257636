"""The verbs on names and attributes, as the kernel asks for them. Short bodies; the filesystem decides."""

from __future__ import annotations

import errno
import os
import stat
import time

from regfs.fs.errnos import errors_as_errno
from regfs.mount.kernel import answers, protocol
from regfs.mount.kernel.entries import Entries
from regfs.mount.kernel.nodes import Node
from regfs.mount.kernel.notices import Notices
from regfs.mount.kernel.protocol import Opcode, Request
from regfs.mount.kernel.verbs import Answer, Verbs, stale
from regfs.mount.kernel.writers import Writers
from regfs.mount.removing import removed_trees

_USER = "user."


class NameVerbs:
    """LOOKUP, GETATTR, SETATTR, what makes and removes names, and extended attributes."""

    def __init__(self, entries: Entries, writers: Writers, notices: Notices) -> None:
        self._entries = entries
        self._filesystem = entries.filesystem
        self._nodes = entries.nodes
        self._writers = writers
        self._notices = notices

    def verbs(self) -> Verbs:
        """What answers each request."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.GETATTR: self.getattr,
            Opcode.SETATTR: self.setattr,
            Opcode.MKDIR: self.mkdir,
            Opcode.MKNOD: self.mknod,
            Opcode.SYMLINK: self.link,
            Opcode.LINK: self.link,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename2,
            Opcode.GETXATTR: self.getxattr,
            Opcode.LISTXATTR: self.listxattr,
            Opcode.STATFS: self.statfs,
            Opcode.READLINK: self.readlink,
        }

    def lookup(self, node: Node, request: Request) -> Answer:
        (name,) = protocol.names(request.body)
        try:
            with errors_as_errno("stat", node.child(name)):
                return self._entries.looked_up(node, name)[1]
        except FileNotFoundError:
            return answers.no_entry_answer(self._entries.entry_seconds)

    def getattr(self, node: Node, request: Request) -> Answer:
        """The bytes of a node never change, or it is asked for: by a handle when one has it open, else by its name."""
        remembered = self._entries.remembered(node)
        if remembered is not None:
            return remembered
        with errors_as_errno("stat", node.path):
            handle = self._nodes.handle_of(node)
            found = self._filesystem.getattr(node.path) if handle is None else self._filesystem.getattr_open(handle)
            return self._entries.described(node, found)

    def setattr(self, node: Node, request: Request) -> Answer:
        """Set the size or the time; a registry keeps no modes and no owners, and nobody is stopped for that."""
        wanted = protocol.changes(request.body)
        if _has_own_attributes(node):
            with errors_as_errno("chmod", node.path):
                self._filesystem.require_settable(node.path)
        if wanted.valid & protocol.SetAttr.SIZE:
            with errors_as_errno("truncate", node.path):
                self._writers.truncate(node, request.pid, wanted)
        if wanted.valid & protocol.SetAttr.MTIME:
            now = wanted.valid & protocol.SetAttr.MTIME_NOW
            self._set_time(node, time.time_ns() if now else wanted.mtime_ns)
        return self.getattr(node, request)

    def _set_time(self, node: Node, mtime_ns: int) -> None:
        path = node.path
        with errors_as_errno("utimens", path):
            if node.unlinked:
                return
            if not node.is_directory and self._filesystem.getattr(path).content != node.content:
                raise stale(path)
            self._filesystem.utimens(path, mtime_ns)
            self._entries.described(node, self._filesystem.getattr(path))  # it is remembered
        self._notices.changed(path)

    def mkdir(self, node: Node, request: Request) -> Answer:
        (name,) = protocol.names(request.body[protocol.MKDIR_IN.size :])
        path = node.child(name)
        with errors_as_errno("mkdir", path):
            self._filesystem.mkdir(path)
            answer = self._entries.looked_up(node, name)[1]
        self._notices.changed(path)
        return answer

    def mknod(self, node: Node, request: Request) -> Answer:
        """Make an empty file; a registry has no devices, pipes and sockets."""
        mode, *_ = protocol.fields(protocol.MKNOD_IN, request.body)
        (name,) = protocol.names(request.body[protocol.MKNOD_IN.size :])
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise OSError(errno.EPERM, "a registry has files and directories alone")
        path = node.child(name)
        with errors_as_errno("create", path):
            handle = self._filesystem.create(path)
            try:
                self._filesystem.flush(handle)
            finally:
                self._filesystem.release(handle)
            answer = self._entries.looked_up(node, name)[1]
        self._notices.changed(path)
        return answer

    def link(self, node: Node, request: Request) -> Answer:
        if _has_own_attributes(node):
            raise OSError(errno.EROFS, "an archive is read-only")
        raise OSError(errno.EPERM, "a registry has no links")

    def unlink(self, node: Node, request: Request) -> Answer:
        (name,) = protocol.names(request.body)
        path = node.child(name)
        with errors_as_errno("unlink", path):
            self._filesystem.unlink(path, removed_trees(request.pid))
        self._nodes.unlinked(node, name)
        self._notices.changed(path)
        return b""

    def rmdir(self, node: Node, request: Request) -> Answer:
        (name,) = protocol.names(request.body)
        path = node.child(name)
        with errors_as_errno("rmdir", path):
            self._filesystem.rmdir(path, removed_trees(request.pid))
        self._nodes.unlinked(node, name)
        self._notices.changed(path)
        return b""

    def rename(self, node: Node, request: Request) -> Answer:
        (goal,) = protocol.fields(protocol.RENAME_IN, request.body)
        return self._rename(node, goal, 0, request.body[protocol.RENAME_IN.size :])

    def rename2(self, node: Node, request: Request) -> Answer:
        goal, flags, _ = protocol.fields(protocol.RENAME2_IN, request.body)
        return self._rename(node, goal, flags, request.body[protocol.RENAME2_IN.size :])

    def _rename(self, node: Node, number: int, flags: int, body: memoryview) -> Answer:
        name, new = protocol.names(body, 2)
        goal = self._nodes.get(number)
        if goal is None:
            raise stale(new)
        if flags & ~protocol.Rename.NOREPLACE:
            raise OSError(errno.EINVAL, "two names cannot be exchanged at once")
        source, target = node.child(name), goal.child(new)
        with errors_as_errno("rename", f"{source} to {target}"):
            if flags and self._is_there(target):
                raise OSError(errno.EEXIST, "exists")
            self._filesystem.rename(source, target)
        self._nodes.renamed(node, name, goal, new)
        self._notices.changed(source)
        self._notices.changed(target)
        return b""

    def _is_there(self, path: str) -> bool:
        try:
            self._filesystem.getattr(path)
        except FileNotFoundError:
            return False
        return True

    def getxattr(self, node: Node, request: Request) -> Answer:
        """Only ``user.`` attributes can be there, unless it lies in an archive.

        Told so of others, coreutils asks once for a device; told that a file has no such one, it asks for each file.
        """
        size, _ = protocol.fields(protocol.GETXATTR_IN, request.body)
        (name,) = protocol.names(request.body[protocol.GETXATTR_IN.size :])
        others = not name.startswith(_USER)
        if others and not _has_own_attributes(node):
            raise OSError(errno.EOPNOTSUPP, name)
        with errors_as_errno("getxattr", node.path):
            value = self._filesystem.xattrs(node.path).get(name)
            if value is not None:
                return _sized(value, size)
            if not others:
                raise OSError(errno.ENODATA, name)
        raise OSError(errno.EOPNOTSUPP, name)

    def listxattr(self, node: Node, request: Request) -> Answer:
        size, _ = protocol.fields(protocol.GETXATTR_IN, request.body)
        with errors_as_errno("listxattr", node.path):
            names = "".join(f"{name}\0" for name in self._filesystem.xattrs(node.path))
            return _sized(names.encode(), size)

    def readlink(self, node: Node, request: Request) -> Answer:
        with errors_as_errno("readlink", node.path):
            return os.fsencode(self._filesystem.readlink(node.path))

    def statfs(self, node: Node, request: Request) -> Answer:
        with errors_as_errno("statfs", node.path):
            room: os.statvfs_result = self._filesystem.free_space()
        return answers.statfs_answer(room.f_bsize, room.f_frsize, room.f_blocks, room.f_bfree, room.f_bavail)


def _has_own_attributes(node: Node) -> bool:
    """Whether it lies in an archive, and has a mode, an owner and extended attributes of its own."""
    told = node.told
    return told is not None and told[0].mode is not None


def _sized(value: bytes, size: int) -> bytes:
    """A value, or its length when that was asked for.

    :raises OSError: ERANGE when it is longer than what there is room for
    """
    if size == 0:
        return answers.GETXATTR_OUT.pack(len(value), 0)
    if len(value) > size:
        raise OSError(errno.ERANGE, "longer than that")
    return value
