"""From the kernel's requests to :class:`regfs.fs.filesystem.Filesystem`: which verb answers which request."""

from __future__ import annotations

import errno

from regfs.fs.filesystem import Filesystem
from regfs.mount.kernel import answers, protocol
from regfs.mount.kernel.backing import Backing
from regfs.mount.kernel.directories import DirectoryVerbs
from regfs.mount.kernel.entries import Entries
from regfs.mount.kernel.files import FileVerbs
from regfs.mount.kernel.names import NameVerbs
from regfs.mount.kernel.nodes import Nodes
from regfs.mount.kernel.notices import Notices
from regfs.mount.kernel.protocol import Flag, Opcode, Request
from regfs.mount.kernel.verbs import Answer, stale
from regfs.mount.kernel.writers import Writers
from regfs.mount.ownership import Ownership

WANTED = (
    Flag.ASYNC_READ | Flag.ATOMIC_O_TRUNC | Flag.BIG_WRITES | Flag.DO_READDIRPLUS | Flag.READDIRPLUS_AUTO
    | Flag.PARALLEL_DIROPS | Flag.HANDLE_KILLPRIV | Flag.HANDLE_KILLPRIV_V2 | Flag.ABORT_ERROR | Flag.MAX_PAGES
    | Flag.INIT_EXT | Flag.DIRECT_IO_ALLOW_MMAP | Flag.PASSTHROUGH
)  # fmt: skip

# These wait for the registry nearly always.
_SLOW = frozenset(
    {
        Opcode.FLUSH, Opcode.FSYNC, Opcode.MKDIR, Opcode.MKNOD, Opcode.UNLINK, Opcode.RMDIR, Opcode.RENAME,
        Opcode.RENAME2, Opcode.SETATTR, Opcode.CREATE,
    }
)  # fmt: skip


class Adapter:
    """Answers what the kernel asks.

    :param entry_seconds: that the kernel may keep what a name stands for
    """

    def __init__(
        self,
        filesystem: Filesystem,
        ownership: Ownership,
        nodes: Nodes,
        notices: Notices,
        backing: Backing,
        entry_seconds: float,
    ) -> None:
        entries = Entries(filesystem, nodes, ownership, entry_seconds)
        writers = Writers(filesystem)
        self._nodes = nodes
        self._files = FileVerbs(entries, writers, notices, backing)
        self._verbs = {
            **NameVerbs(entries, writers, notices).verbs(),
            **self._files.verbs(),
            **DirectoryVerbs(entries).verbs(),
        }

    def answer(self, request: Request) -> Answer:
        """Do what is asked for.

        :raises OSError: with the errno for the program that asks
        :raises Malformed: when the request is none
        """
        verb = self._verbs.get(request.opcode)
        if verb is None:
            raise OSError(errno.ENOSYS, "the kernel does without")
        node = self._nodes.get(request.node)
        if node is None:
            raise stale(f"node {request.node}")
        return verb(node, request)

    def waits(self, request: Request) -> bool:
        """Whether it is known that a request waits: for the registry, or for bytes that are not in the cache yet."""
        return request.opcode in _SLOW or (request.opcode == Opcode.READ and not self._files.is_there(request))

    def forget(self, request: Request) -> None:
        """The kernel has forgotten nodes.

        :raises Malformed: when the request is none
        """
        if request.opcode == Opcode.BATCH_FORGET:
            for number, times in protocol.forgotten(request.body):
                self._nodes.forget(number, times)
        else:
            (times,) = protocol.fields(protocol.FORGET_IN, request.body)
            self._nodes.forget(request.node, times)

    def undo(self, request: Request, answer: Answer) -> None:
        """An answer was not taken: let go of what it promised.

        :raises OSError: when a file cannot be closed
        """
        if request.opcode == Opcode.LOOKUP:
            self._nodes.forget(answers.node_of(answer), 1)
        elif request.opcode == Opcode.OPEN:
            node = self._nodes.get(request.node)
            if node is not None:
                self._files.closed(node, answers.node_of(answer))
