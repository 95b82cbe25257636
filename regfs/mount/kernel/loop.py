"""The threads that answer the kernel. Knows the protocol's frame, and no verb.

One thread at a time leads: it reads the device, and answers what it can answer at once, without waking another thread.
Before a request that is known to wait, for the registry or the disk, it hands the lead to a spare thread. One that was
thought to be quick and is not loses the lead to a spare thread by the watch, which looks every two milliseconds while
there are requests. Handing over for each request would wake two threads for it, and with Python's lock that costs more
than most answers.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from regfs.mount.kernel.device import Device
from regfs.mount.kernel.protocol import (
    INTERRUPT_IN,
    UNANSWERED,
    Agreement,
    Flag,
    Malformed,
    Opcode,
    Request,
    agree,
    fields,
    parse,
)
from regfs.mount.kernel.verbs import Answer

log = logging.getLogger(__name__)

_THREADS = 13  # one leads; with 3, blocked reads of a cold file stop the others
_WATCH_SECONDS = 0.002
_IDLE_LOOKS = 25  # without a request, after which the watch sleeps
_LARGEST_FRAME = 4096  # what comes in a request besides the bytes of a write
# These change nothing: a program that is killed does not wait for them.
_INTERRUPTIBLE = frozenset(
    {
        Opcode.LOOKUP, Opcode.GETATTR, Opcode.OPEN, Opcode.READ, Opcode.OPENDIR, Opcode.READDIR, Opcode.GETXATTR,
        Opcode.LISTXATTR, Opcode.READLINK,
    }
)  # fmt: skip
_SIGKILL_BIT = 1 << 8


@dataclass
class _Lead:
    """Who leads, and what it does."""

    lock: threading.Lock = field(default_factory=threading.Lock)  # innermost
    baton: SimpleQueue[None] = field(default_factory=SimpleQueue)  # one item: the thread that takes it leads
    term: int = 0  # counts the leaders
    answered: int = 0  # counts the requests
    busy: bool = False  # whether the leader answers one


@dataclass(frozen=True)
class Answers:
    """What the loop calls.

    :param answer: answers a request, or raises
    :param forget: heeds a request that has no answer
    :param waits: whether a request is known to wait, for the registry or the disk
    :param undo: takes back what was promised by an answer that nobody waits for
    """

    answer: Callable[[Request], Answer]
    forget: Callable[[Request], None]
    waits: Callable[[Request], bool]
    undo: Callable[[Request, Answer], None]


class Loop:
    """Reads requests and answers them until the mount has ended."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._lead = _Lead()
        self._waiting: dict[int, Request] = {}  # requests that are being answered, by number
        self._watched = threading.Event()
        self._over = False

    def agree(self, wanted: Flag) -> Agreement | None:
        """Answer INIT, with which the kernel begins; None when the mount has ended before that.

        :raises OSError: EPROTO when the kernel is too old
        """
        buffer = memoryview(bytearray(2 * _LARGEST_FRAME))
        while length := self._device.read(buffer):
            request = parse(buffer[:length])
            if request.opcode != Opcode.INIT:
                self._device.answer(request.unique, [], errno.EIO)
                continue
            agreed, answer = agree(request.body, wanted)
            self._device.answer(request.unique, [answer])
            if agreed is not None:
                return agreed
        return None

    def start(self, agreed: Agreement, answers: Answers, ended: Callable[[], None]) -> None:
        """Begin to answer.

        :param ended: called, by another thread, when the mount has ended
        """
        serving = (agreed.max_write, answers, ended)
        self._lead.baton.put(None)
        for number in range(_THREADS):
            threading.Thread(target=self._serve, args=serving, name=f"regfs-fuse-{number}", daemon=True).start()
        threading.Thread(target=self._watch, name="regfs-fuse-watch", daemon=True).start()

    def _serve(self, largest: int, answers: Answers, ended: Callable[[], None]) -> None:
        buffer, room = memoryview(bytearray(largest + _LARGEST_FRAME)), memoryview(bytearray(largest))
        lead = self._lead
        while True:
            lead.baton.get()
            if self._over:
                lead.baton.put(None)
                return
            term = lead.term
            while length := self._read(buffer):
                if not self._led(buffer[:length], room, term, answers):
                    break
            else:
                self._end()
                ended()

    def _read(self, buffer: memoryview) -> int:
        try:
            return self._device.read(buffer)
        except OSError:
            log.exception("the device fails; the mount ends")
            return 0

    def _led(self, message: memoryview, room: memoryview, term: int, answers: Answers) -> bool:
        """Answer one request as the leader; returns whether that still leads."""
        try:
            request = parse(message, room)
        except Malformed as error:
            log.error("the kernel sent %s", error)  # noqa: TRY400 - one line
            return True
        if request.opcode in UNANSWERED:
            self._heed(request, answers)
            return True
        self._waiting[request.unique] = request
        lead = self._lead
        if answers.waits(request):
            with lead.lock:
                lead.term += 1
            lead.baton.put(None)
            self._answer(request, answers)
            return False
        lead.answered += 1
        lead.busy = True
        if not self._watched.is_set():
            self._watched.set()
        self._answer(request, answers)
        with lead.lock:
            if lead.term == term:
                lead.busy = False
                return True
            return False

    def _answer(self, request: Request, answers: Answers) -> None:
        error, answer = 0, None
        try:
            answer = answers.answer(request)
        except OSError as failed:
            error = failed.errno or errno.EIO
        except Malformed as failed:
            log.error("the kernel sent %s", failed)  # noqa: TRY400 - one line
            error = errno.EINVAL
        except Exception:
            log.exception("request %d was not answered", request.opcode)
            error = errno.EIO
        waits = self._waiting.pop(request.unique, None) is not None
        taken = waits and self._device.answer(request.unique, [answer] if answer else [], error)
        if answer and not taken:
            self._undo(request, answer, answers)

    def _undo(self, request: Request, answer: Answer, answers: Answers) -> None:
        try:
            answers.undo(request, answer)
        except OSError as error:  # it was logged, and nobody waits for it
            log.debug("%s", error)

    def _heed(self, request: Request, answers: Answers) -> None:
        try:
            if request.opcode == Opcode.INTERRUPT:
                (unique,) = fields(INTERRUPT_IN, request.body)
                self._interrupt(unique)
            elif request.opcode != Opcode.DESTROY:
                answers.forget(request)
        except Malformed as error:
            log.error("the kernel sent %s", error)  # noqa: TRY400 - one line

    def _interrupt(self, unique: int) -> None:
        """Answer for the thread that is at it, when the program that waits is being killed.

        Other signals do not count: with EINTR from a file, few programs reckon.
        """
        request = self._waiting.get(unique)
        if request is None or request.opcode not in _INTERRUPTIBLE or not _is_killed(request.pid):
            return
        if self._waiting.pop(unique, None) is not None:
            self._device.answer(unique, [], errno.EINTR)

    def _watch(self) -> None:
        """Take the lead from a thread that is at one request for too long."""
        lead, last, idle = self._lead, 0, 0
        while not self._over:
            self._watched.wait()
            time.sleep(_WATCH_SECONDS)
            with lead.lock:
                answered = lead.answered
                if lead.busy and answered == last:
                    lead.term += 1
                    lead.busy = False
                    lead.baton.put(None)
            idle = idle + 1 if answered == last else 0
            last = answered
            if idle > _IDLE_LOOKS:
                idle = 0
                self._watched.clear()
                if lead.busy:  # since a moment ago
                    self._watched.set()

    def _end(self) -> None:
        """Let every thread end: one after the other gets the baton, and passes it on."""
        self._over = True
        self._lead.baton.put(None)
        self._watched.set()


def _is_killed(thread: int) -> bool:
    """Whether a thread has a signal to handle that ends it: the kernel makes SIGKILL of these."""
    try:
        status = Path(f"/proc/{thread}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    pending = [line.split()[1] for line in status.splitlines() if line.startswith(("SigPnd:", "ShdPnd:"))]
    return any(int(bits, 16) & _SIGKILL_BIT for bits in pending)
