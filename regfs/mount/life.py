"""The life of a mount: checks, background, readiness, end."""

from __future__ import annotations

import errno
import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from regfs.fs.remedies import remedy_of
from regfs.mount.kernel.device import MountRefused, Wanted, detach, handed_over, helper, usable
from regfs.mount.kernel.device import mount as mount_device
from regfs.mount.kernel.entries import ENTRY_SECONDS, FOR_EVER_SECONDS
from regfs.mount.kernel.serving import serve
from regfs.mount.ownership import Ownership
from regfs.mount.processes import is_in, mounts
from regfs.mount.systemd import notify
from regfs.mount.table import Register, without_touching
from regfs.mount.unmounting import MountFailed, count_of_files
from regfs.observe.counters import Failures
from regfs.observe.logs import log_file, log_to
from regfs.observe.report import answering, document
from regfs.session import Graph, Options, Unusable
from regfs.util.jobs import answered
from regfs.util.private import NotPrivate
from regfs.util.text import printable

log = logging.getLogger(__name__)

_READY = b"ready\n"
_DEVICE, _FUSE = "/dev/fuse", os.makedev(10, 229)  # its number in Linux: Documentation/admin-guide/devices.txt
_ANSWER_SECONDS = 5.0  # to list a directory: the mount on it may hang


@dataclass(frozen=True, kw_only=True)
class MountOptions(Options):
    """The options of ``regfs mount``.

    :param metrics: host and port to serve metrics on, for Prometheus
    :param kernel_options: words of mount(8) that the kernel heeds, such as ``noexec``
    :param fuse: the adapter: ``kernel``, ``fusepy``, or ``auto`` for the first of these that can be used
    :param fuse_fd: a descriptor of /dev/fuse that somebody has mounted with
    """

    directory: Path
    allow_other: bool = False
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    umask: int = 0
    log_file: Path | None = None
    log_level: str = "info"
    kernel_options: tuple[str, ...] = ()
    metrics: tuple[str, int] | None = None
    fuse: str = "auto"
    fuse_fd: int | None = None

    @property
    def entry_seconds(self) -> float:
        """Seconds that the kernel may keep a name: an image is pinned when it is mounted, and never changes."""
        return FOR_EVER_SECONDS if self.rootfs else min(ENTRY_SECONDS, self.ttl)

    @property
    def speaks_protocol(self) -> bool:
        """Whether the mount speaks the kernel's own protocol, and needs no libfuse."""
        return self.fuse_fd is not None or self.fuse == "kernel" or (self.fuse == "auto" and usable())


def mount_in_foreground(options: MountOptions) -> None:
    """Mount, and serve until unmounted.

    :raises MountFailed: if mounting fails
    """
    _check(options)
    log_to(logging.StreamHandler(), options.log_level)

    def ready() -> None:
        notify(os.environ, "READY=1", f"STATUS={options.reference} is mounted on {options.directory}")

    _serve(options, ready)


def mount_in_background(options: MountOptions) -> None:
    """Mount, and return when the mount answers; another process serves it until it is unmounted.

    :raises MountFailed: if mounting fails
    """
    _check(options)
    told, tell = os.pipe()
    server = os.fork()
    if server == 0:
        os.close(told)
        _serve_detached(options, tell)
    os.close(tell)
    try:
        with open(told, "rb") as pipe:
            answer = pipe.read()
    except KeyboardInterrupt:
        os.kill(server, signal.SIGTERM)
        raise
    if not answer.endswith(_READY):
        raise MountFailed(_one_line(answer.decode(errors="replace").splitlines()))
    os.stat(options.directory)


def _check(options: MountOptions) -> None:
    """Make sure that the mount can be made.

    :raises MountFailed: when not
    """
    if options.fuse_fd is None:  # else the directory is mounted on, and answers once it is served
        check_directory(options.directory)
    check_own_files(options)


def _one_line(lines: list[str]) -> str:
    """Return the error of a failed mount: its own last line, then the line of libfuse before it."""
    told = [line.removeprefix("fusermount: ").removeprefix("fuse: ") for line in lines if line.strip()]
    if not told:
        return "the mount ended before it answered; see its log"
    return told[-1] if len(told) == 1 else f"{told[-1]} ({told[-2]})"


def _serve_detached(options: MountOptions, tell: int) -> NoReturn:
    """Run the background process. The waiting command also gets the output of libfuse until the mount is ready."""
    status = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(tell, 2)
        os.close(tell)

        def ready() -> None:
            os.write(2, _READY)
            os.dup2(null, 2)

        log_to(log_file(options.log_file, options.state_dir), options.log_level)
        _serve(options, ready)
        status = 0
    except (MountFailed, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - it is one line for a person
        text = error.strerror or "" if isinstance(error, NotPrivate) else str(error)
        os.write(2, f"{printable(text)}\n".encode())
    except BaseException:
        log.exception("the mount failed")
        raise
    finally:
        logging.shutdown()
        os._exit(status)


def check_own_files(options: MountOptions) -> None:
    """Require that the mount never waits for itself or another mount, by its cache, journal or log.

    :raises MountFailed: if one of these is in the directory to mount on, or on a mount of regfs
    """
    mounted_on = os.fspath(without_touching(os.fspath(options.directory)))
    there = [mount for mount in mounts() if mount.kind == "fuse.regfs"]
    own = {"--cache-dir": options.cache_dir, "XDG_STATE_HOME": options.state_dir, "--log-file": options.log_file}
    for name, path in own.items():
        where = os.path.realpath(path) if path is not None else ""
        if is_in(where, mounted_on):
            raise MountFailed(f"{path} would be in the mount itself; set {name} to a place outside {options.directory}")
        if any(is_in(where, os.fspath(mount.directory)) for mount in there):
            raise MountFailed(
                f"{path} is on a mount of regfs, which could wait for itself; set {name} to another place"
            )


def check_directory(directory: Path) -> None:
    """Require that *directory* can be mounted on; remove a dead mount of a killed process.

    :raises MountFailed: if it cannot be mounted on
    """
    try:
        entries = _entries(directory)
    except FileNotFoundError:
        raise MountFailed(f"{directory} does not exist; run: mkdir -p {directory}") from None
    except NotADirectoryError:
        raise MountFailed(f"{directory} is not a directory; name an empty one") from None
    except OSError as error:
        if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED):
            raise MountFailed(f"{directory}: {error.strerror}") from None
        detach(directory)
        return
    if os.path.ismount(directory):
        raise MountFailed(f"{directory} is busy: something is mounted there; run: regfs umount {directory}")
    if entries:
        raise MountFailed(f"{directory} is not empty; name an empty directory")


def _entries(directory: Path) -> list[str]:
    """List *directory*; a mount on it may hang.

    :raises MountFailed: if it does not answer
    """

    def listed() -> list[str] | OSError:
        try:
            return os.listdir(directory)
        except OSError as error:
            return error

    for found in answered([listed], _ANSWER_SECONDS):
        if isinstance(found, OSError):
            raise found
        return found
    raise MountFailed(f"{directory} does not answer; run: regfs umount --lazy {directory}")


def _check_device() -> None:
    """Require that this user can mount with FUSE.

    :raises MountFailed: if not
    """
    if not os.path.exists(_DEVICE) or os.stat(_DEVICE).st_rdev != _FUSE:
        raise MountFailed(
            "/dev/fuse is missing; load it (modprobe fuse), or give it to the container (--device /dev/fuse)"
        )
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise MountFailed(
            "/dev/fuse is closed to you; as root, run: chmod 666 /dev/fuse; a container needs --device /dev/fuse"
        )
    if os.geteuid() != 0 and helper() is None:
        raise MountFailed("fusermount is missing; install it: apt install fuse")


def _serve(options: MountOptions, ready: Callable[[], None]) -> None:
    if options.fuse_fd is None:
        _check_device()
    if not options.speaks_protocol:
        _check_libfuse()
    try:
        graph = Graph(options)
        filesystem = graph.filesystem
    except Unusable as error:
        raise MountFailed(str(error)) from None

    def mounted() -> None:
        user = f" as {graph.user}" if graph.user else ""
        log.info("%s is mounted on %s%s", options.reference, options.directory, user)
        ready()

    register, where = Register(options.state_dir / "mounts"), without_touching(os.fspath(options.directory))
    entered = register.entered(str(options.reference), options.reference.host, where)
    with graph, entered as left, _telling(graph, options):
        run = _run_kernel if options.speaks_protocol else _run_libfuse
        run(graph, options, mounted)
        notify(os.environ, "STOPPING=1")
        left.append(filesystem.shutdown())
    counts = graph.activity.counts()
    log.info("%s is unmounted from %s: %d files were pushed, %d bytes of blobs received",
             options.reference, options.directory, counts.pushed, counts.received)  # fmt: skip
    if sum(left):
        raise MountFailed(f"{count_of_files(sum(left))} not pushed; see: regfs pending")


def _check_libfuse() -> None:
    try:
        import regfs.mount.fusepy_adapter  # noqa: F401 - with it fusepy, which looks for libfuse
    except OSError:
        raise MountFailed("libfuse 2 is missing; install it: apt install fuse libfuse2") from None


def _run_kernel(graph: Graph, options: MountOptions, mounted: Callable[[], None]) -> None:
    """Answer the kernel, by its own protocol, until the mount is unmounted.

    :raises MountFailed: when it cannot be mounted
    """
    directory = without_touching(os.fspath(options.directory))
    wanted = Wanted(
        directory=directory,
        source=str(options.reference),
        allow_other=options.allow_other,
        check_permissions=options.allow_other,  # alone, a user needs no check
        read_only=options.read_only,
        words=options.kernel_options,
    )
    ownership = Ownership(options.uid, options.gid, options.umask, options.read_only)
    try:
        device = mount_device(wanted) if options.fuse_fd is None else handed_over(options.fuse_fd)
        serve(device, graph.filesystem, ownership, directory, options.entry_seconds, mounted)
    except MountRefused as error:
        raise MountFailed(str(error)) from None


def _run_libfuse(graph: Graph, options: MountOptions, mounted: Callable[[], None]) -> None:
    """Answer the kernel until the mount is unmounted.

    :param mounted: called once the kernel can ask
    :raises MountFailed: if libfuse cannot mount it
    """
    from regfs.mount.fusepy_adapter import FILE_NAMES, DirectReads, Operations

    ownership = Ownership(options.uid, options.gid, options.umask, options.read_only)
    try:
        DirectReads(
            Operations(graph.filesystem, ownership, mounted),
            os.fspath(options.directory),
            encoding=FILE_NAMES,
            foreground=True,
            fsname=str(options.reference),
            subtype="regfs",
            attr_timeout=FOR_EVER_SECONDS if options.rootfs else 0,
            entry_timeout=FOR_EVER_SECONDS if options.rootfs else 1,
            negative_timeout=FOR_EVER_SECONDS if options.rootfs else 1,
            big_writes=True,
            atomic_o_trunc=True,
            hard_remove=True,
            default_permissions=options.allow_other,  # alone, a user needs no check: it would be a getattr per step
            ro=options.read_only,
            allow_other=options.allow_other,
            **dict.fromkeys(options.kernel_options, True),
        )
    except RuntimeError:
        raise MountFailed(f"{options.directory}: libfuse could not mount it") from None


@contextmanager
def _telling(graph: Graph, options: MountOptions) -> Iterator[None]:
    """Answer ``regfs status``, and serve metrics to Prometheus if the options ask for it."""
    errors = logging.getLogger("regfs")
    failures = Failures(graph.activity)

    def handles() -> int:
        return graph.filesystem.handles

    with ExitStack() as told:
        if options.metrics is not None:
            from regfs.observe.metrics import served

            try:
                told.enter_context(served(options.metrics, graph.activity, handles))
            except OSError as error:
                host, port = options.metrics
                raise MountFailed(f"--metrics {host}:{port}: {error.strerror}; name another port") from None
        told.enter_context(
            answering(options.state_dir / "mounts", lambda: document(graph.activity, handles(), remedy_of))
        )
        errors.addHandler(failures)
        told.callback(errors.removeHandler, failures)
        yield
