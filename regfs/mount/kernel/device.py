"""/dev/fuse: a file system put on a directory, its requests read and answered. Knows the protocol's frame alone.

As root the mount is made by mount(2): newer Ubuntu confines fusermount3 to certain directories. As a user it is made by
fusermount3, or fusermount, which passes the descriptor over a socket (util/fusermount.c of libfuse). A descriptor that
somebody else has mounted with, as CSI drivers and rootless containers do, is taken as it is.
"""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import shutil
import socket
import stat
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from regfs.mount.kernel.protocol import answer_header

PATH = "/dev/fuse"
NUMBER = os.makedev(10, 229)  # Documentation/admin-guide/devices.txt
HELPERS = ("fusermount3", "fusermount")  # fuse3 of Debian 12 replaces fuse
READ_AHEAD_KIB = 1024

# linux/mount.h; a word of mount(8) that begins with "no" sets its flag, one that does not clears it
_NOSUID, _NODEV, _RDONLY = 2, 4, 1
_FLAGS = {"suid": 2, "dev": 4, "exec": 8, "atime": 1024}
_DETACH = 2
_BACKING = struct.Struct("=iIQ")
_BACKING_OPEN, _BACKING_CLOSE = 0x4010E501, 0x4004E502  # FUSE_DEV_IOC_BACKING_OPEN, …_CLOSE of linux/fuse.h


_ENDED = (errno.ENODEV, errno.ECONNABORTED, errno.ENOTCONN, errno.EBADF)


class MountRefused(Exception):
    """The kernel, or fusermount, does not mount it; the text is one line that says why."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be mounted.

    :param source: what mount(8) shows in the place of a device
    :param check_permissions: let the kernel refuse by modes (``default_permissions``)
    :param words: of mount(8) that the kernel heeds, such as ``noexec``
    """

    directory: Path
    source: str
    allow_other: bool = False
    check_permissions: bool = False
    read_only: bool = False
    words: tuple[str, ...] = ()


class Device:
    """An open /dev/fuse on which a file system is mounted.

    :param fd: taken over
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def read(self, buffer: memoryview) -> int:
        """Wait for a request; returns its length, 0 when there will be none any more.

        :raises OSError: when the device fails in a way that ends nothing
        """
        while True:
            try:
                return os.readv(self._fd, [buffer])
            except OSError as error:
                # ENOENT: the request was taken back meanwhile. ENODEV: unmounted. ECONNABORTED: aborted.
                if error.errno in _ENDED:
                    return 0
                if error.errno not in (errno.ENOENT, errno.EAGAIN):
                    raise

    def answer(self, unique: int, parts: Sequence[bytes | memoryview], error: int = 0) -> bool:
        """Answer a request; returns whether the kernel took it: not when nobody waits for it any more.

        :param error: an errno, 0 when the request succeeded
        """
        length = sum(map(len, parts))
        try:
            os.writev(self._fd, [answer_header(unique, length, error), *parts])
        except OSError as failed:
            if failed.errno in (errno.ENOENT, *_ENDED):
                return False
            raise
        return True

    def notify(self, notice: bytes) -> None:
        """Tell the kernel what has changed; what it does not know needs no telling.

        :raises OSError: when the mount has ended
        """
        try:
            os.write(self._fd, notice)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENOTEMPTY):
                raise

    def backing_open(self, fd: int) -> int:
        """Register a file to be read in the place of others; returns its number.

        :raises OSError: EPERM without CAP_SYS_ADMIN, ELOOP when the file is on a file system upon others
        """
        number: int = fcntl.ioctl(self._fd, _BACKING_OPEN, bytearray(_BACKING.pack(fd, 0, 0)))
        return number

    def backing_close(self, number: int) -> None:
        """Let go of a file that was registered; what has it open keeps it."""
        try:
            fcntl.ioctl(self._fd, _BACKING_CLOSE, struct.pack("=I", number))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EBADF, errno.ENODEV, errno.EPERM):
                raise

    def close(self) -> None:
        """Let go of it; programs that still use the mount get ENOTCONN."""
        os.close(self._fd)


def usable() -> bool:
    """Whether this user can open /dev/fuse and mount with it."""
    try:
        found = os.stat(PATH)
    except OSError:
        return False
    mounts = os.geteuid() == 0 or helper() is not None
    return found.st_rdev == NUMBER and os.access(PATH, os.R_OK | os.W_OK) and mounts


def helper() -> str | None:
    """The program that mounts for users, when there is one."""
    return next((name for name in HELPERS if shutil.which(name)), None)


def handed_over(fd: int) -> Device:
    """Take a descriptor of /dev/fuse that somebody has mounted with.

    :raises MountRefused: when it is none
    """
    try:
        found = os.fstat(fd)
    except OSError:
        raise MountRefused(f"--fuse-fd {fd}: there is no such descriptor; pass an open /dev/fuse") from None
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != NUMBER:
        raise MountRefused(f"--fuse-fd {fd}: not /dev/fuse; pass the descriptor that it was mounted with")
    os.set_inheritable(fd, False)
    return Device(fd)


def mount(wanted: Wanted) -> Device:
    """Put a file system on a directory.

    :raises MountRefused: when that is refused
    """
    return _mount_as_root(wanted) if os.geteuid() == 0 else _mount_as_user(wanted)


def _mount_as_root(wanted: Wanted) -> Device:
    fd = os.open(PATH, os.O_RDWR | os.O_CLOEXEC)
    options = [f"fd={fd},rootmode=40000,user_id={os.geteuid()},group_id={os.getegid()}"]
    options += ["allow_other"] if wanted.allow_other else []
    options += ["default_permissions"] if wanted.check_permissions else []
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.mount(
        wanted.source.encode(errors="surrogateescape"),
        os.fsencode(wanted.directory),
        b"fuse.regfs",
        ctypes.c_ulong(_flags(wanted)),
        ",".join(options).encode(),
    )
    if failed:
        error = _from_errno(str(wanted.directory))
        os.close(fd)
        raise MountRefused(f"{wanted.directory}: {error.strerror}; a container needs --cap-add SYS_ADMIN")
    return Device(fd)


def _flags(wanted: Wanted) -> int:
    flags = _NOSUID | _NODEV | (_RDONLY if wanted.read_only else 0)
    for word in wanted.words:
        flag = _FLAGS[word.removeprefix("no")]
        flags = flags | flag if word.startswith("no") else flags & ~flag
    return flags


def _mount_as_user(wanted: Wanted) -> Device:
    program = helper()
    if program is None:
        raise MountRefused("fusermount is missing; install it: apt install fuse3")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        command = [program, "-o", _helper_options(wanted), "--", os.fspath(wanted.directory)]
        environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
        done = subprocess.run(
            command, check=False, env=environment, pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["it says nothing"]
            raise MountRefused(lines[-1].removeprefix(f"{program}: ").removeprefix("fusermount: "))
        return Device(_received(ours))


def _helper_options(wanted: Wanted) -> str:
    escaped = wanted.source.replace("\\", "\\\\").replace(",", "\\,")
    options = [f"fsname={escaped}", "subtype=regfs", *wanted.words]
    options += ["allow_other"] if wanted.allow_other else []
    options += ["default_permissions"] if wanted.check_permissions else []
    return ",".join([*options, "ro"] if wanted.read_only else options)


def _received(connection: socket.socket) -> int:
    """The descriptor that fusermount has sent (unix(7), SCM_RIGHTS)."""
    numbers = array.array("i")
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(numbers.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(data[: numbers.itemsize])
            os.set_inheritable(numbers[0], False)
            return numbers[0]
    raise MountRefused("fusermount passed no descriptor")


def detach(directory: Path) -> bool:
    """Take what is mounted on a directory out of the tree, whoever uses it and whether it answers or not.

    :returns: whether that was done
    """
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.umount2(os.fsencode(directory), _DETACH) == 0)
    program = helper()
    if program is None:
        return False
    command = [program, "-u", "-q", "-z", "--", os.fspath(directory)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def read_ahead(number: str, kibibytes: int = READ_AHEAD_KIB) -> None:
    """Let the kernel read ahead by more than 128 KiB, where this user may say so.

    :param number: of the mount, as in /proc/self/mountinfo
    """
    try:
        Path(f"/sys/class/bdi/{number}/read_ahead_kb").write_text(str(kibibytes), encoding="ascii")
    except OSError:  # root's to say; without it, requests are smaller
        return


def _from_errno(subject: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), subject)
