"""Builds the object graph of a mount, and takes it through its life: checks, background, readiness, end."""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import platformdirs

from regfs.cache import BlobCache
from regfs.catalog import Catalog
from regfs.fetch import Fetcher
from regfs.filesystem import Filesystem
from regfs.names import NameStore
from regfs.publish import Publisher
from regfs.registry.connect import CannotConnect, Connection, connect, explain
from regfs.registry.exceptions import DXFError
from regfs.registry.manifest import InvalidManifest
from regfs.registry.reference import Reference, is_digest
from regfs.registry.remote import Remote
from regfs.registry.transport import RequestException
from regfs.staging import Journal
from regfs.tree import Alias, Directory, Tree

log = logging.getLogger(__name__)

_READY = b"ready\n"
_LOG_BYTES, _LOG_FILES = 5 << 20, 3


class MountFailed(Exception):
    """There is no mount; the text is one line that says what to do."""


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/regfs``."""
    return Path(platformdirs.user_cache_dir("regfs"))


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/regfs``: the journal and the logs."""
    return Path(platformdirs.user_state_dir("regfs"))


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the object graph is built for.

    :param ttl: seconds that what is known of the registry's names is fresh
    :param cache_size: bytes; None is half of what is free
    :param strict: verify every blob whole before any byte of it is served
    """

    reference: Reference
    connection: Connection = field(default_factory=Connection)
    read_only: bool = False
    repositories: tuple[str, ...] = ()
    ttl: float = 30.0
    cache_dir: Path = field(default_factory=default_cache_dir)
    cache_size: int | None = None
    state_dir: Path = field(default_factory=default_state_dir)
    strict: bool = False


@dataclass(frozen=True, kw_only=True)
class MountOptions(Options):
    """What ``regfs mount`` was asked for."""

    directory: Path
    allow_other: bool = False
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)
    umask: int = 0
    log_file: Path | None = None
    log_level: str = "info"


def mount_in_foreground(options: MountOptions) -> None:
    """Mount, and serve until unmounted.

    :raises MountFailed: when there is no mount
    """
    check_directory(options.directory)
    _log_to(logging.StreamHandler(), options)
    _serve(options, lambda: log.info("%s is mounted on %s", options.reference, options.directory))


def mount_in_background(options: MountOptions) -> None:
    """Mount, and return when the mount answers; another process serves it until it is unmounted.

    :raises MountFailed: when there is no mount
    """
    check_directory(options.directory)
    told, tell = os.pipe()
    if os.fork() == 0:
        os.close(told)
        _serve_detached(options, tell)
    os.close(tell)
    with open(told, "rb") as pipe:
        answer = pipe.read()
    if not answer.endswith(_READY):
        lines = answer.decode(errors="replace").strip().splitlines()
        raise MountFailed(lines[-1] if lines else "the mount ended before it answered; see its log")
    os.stat(options.directory)


def _serve_detached(options: MountOptions, tell: int) -> NoReturn:
    """The life of the background process. What libfuse prints before it is ready goes to who waits, too."""
    status = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(tell, 2)
        os.close(tell)

        def ready() -> None:
            log.info("%s is mounted on %s", options.reference, options.directory)
            os.write(2, _READY)
            os.dup2(null, 2)

        _log_to(_log_file(options), options)
        _serve(options, ready)
        status = 0
    except (MountFailed, OSError) as error:
        log.error("%s", error)  # noqa: TRY400 - it is one line for a person
        os.write(2, f"{error}\n".encode())
    except BaseException:
        log.exception("the mount failed")
        raise
    finally:
        logging.shutdown()
        os._exit(status)


def check_directory(directory: Path) -> None:
    """Make sure that a mount can be put on *directory*; heal what a killed mount left there.

    :raises MountFailed: when it cannot
    """
    try:
        entries = os.listdir(directory)
    except FileNotFoundError:
        raise MountFailed(f"{directory} does not exist; run: mkdir -p {directory}") from None
    except NotADirectoryError:
        raise MountFailed(f"{directory} is not a directory; name an empty one") from None
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise MountFailed(f"{directory}: {error.strerror}") from None
        subprocess.run(["fusermount", "-u", "-z", os.fspath(directory)], check=False, stderr=subprocess.DEVNULL)
        return
    if os.path.ismount(directory):
        raise MountFailed(f"{directory} is busy: something is mounted there; run: regfs umount {directory}")
    if entries:
        raise MountFailed(f"{directory} is not empty; name an empty directory")


def _serve(options: MountOptions, ready: Callable[[], None]) -> None:
    try:
        from regfs.operations import DirectReads, Operations, Ownership
    except OSError:
        raise MountFailed("libfuse 2 is missing; install it: apt install fuse libfuse2") from None
    if not os.path.exists("/dev/fuse"):
        raise MountFailed(
            "/dev/fuse is missing; load it (modprobe fuse), or give it to the container (--device /dev/fuse)"
        )
    graph = Graph(options)
    ownership = Ownership(options.uid, options.gid, options.umask, options.read_only)
    try:
        DirectReads(
            Operations(graph.filesystem, ownership, ready),
            os.fspath(options.directory),
            foreground=True,
            fsname=str(options.reference),
            subtype="regfs",
            auto_cache=True,
            ac_attr_timeout=0,
            negative_timeout=1,
            big_writes=True,
            hard_remove=True,
            default_permissions=True,
            ro=options.read_only,
            allow_other=options.allow_other,
        )
    except RuntimeError:
        raise MountFailed(f"{options.directory}: libfuse could not mount it") from None
    finally:
        graph.close()
    log.info("%s is unmounted from %s", options.reference, options.directory)


class Graph:
    """The objects of one mount, built from the bottom up. Built after a fork, never before.

    :raises MountFailed: when the registry, or a directory of the user's, is not usable
    """

    def __init__(self, options: Options) -> None:
        try:
            self.remote: Remote = connect(options.reference, options.connection)
            self.cache = BlobCache(options.cache_dir, options.cache_size)
            self.journal = Journal(options.state_dir / "journal", options.reference.host)
        except CannotConnect as error:
            raise MountFailed(str(error)) from None
        except OSError as error:
            raise MountFailed(error.strerror or str(error)) from None
        names = NameStore(options.cache_dir, options.reference.host)
        self.catalog = Catalog(self.remote, self.cache, names, options.ttl, options.repositories)
        self.fetcher = Fetcher(self.cache, self.remote.source, options.strict)
        self.publisher = Publisher(self.remote, self.catalog, options.state_dir / "locks")
        self.tree = Tree(self.catalog, root_of(options.reference, self.catalog))
        self.filesystem = Filesystem(
            self.tree, self.catalog, self.cache, self.fetcher, self.publisher, self.journal, options.read_only
        )

    def __enter__(self) -> Graph:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop transfers and close connections."""
        self.fetcher.close()
        self.remote.close()


def root_of(reference: Reference, catalog: Catalog) -> Directory | Alias:
    """What the mount's root is: the registry, a repository or an alias.

    :raises MountFailed: when the registry does not have it
    """
    repository, alias = reference.repository, reference.alias
    if repository is None:
        return Directory("")
    try:
        if alias is not None and catalog.manifest(repository, alias) is None:
            raise MountFailed(f"{reference}: there is no such alias; mount the repository to see which there are")
        if alias is None and catalog.aliases(repository) is None:
            raise MountFailed(f"{reference}: there is no such repository; to make it, mount the registry, then mkdir")
    except (RequestException, DXFError, InvalidManifest) as error:
        raise MountFailed(explain(error, reference.host)) from None
    catalog.visited(repository)
    if alias is None:
        return Directory(repository, is_repository=True)
    return Alias(repository, alias, pinned=is_digest(alias))


def unmount(directory: Path) -> None:
    """Unmount *directory*.

    :raises MountFailed: when nothing of regfs is mounted there, or it is busy
    """
    if not _is_ours(directory):
        raise MountFailed(f"{directory} is not a mount of regfs")
    done = subprocess.run(
        ["fusermount", "-u", os.fspath(directory)], check=False, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it cannot be unmounted"])[-1]
        raise MountFailed(f"{directory}: {reason.removeprefix('fusermount: ')}")


def _is_ours(directory: Path) -> bool:
    """Whether the last mount on *directory* is one of regfs, alive or dead."""
    wanted = os.path.realpath(directory.parent / directory.name)
    kind = ""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        for line in mounts:
            _, where, what, *_ = line.split(" ")
            if where.encode().decode("unicode_escape") == wanted:
                kind = what
    return kind == "fuse.regfs"


def _log_file(options: MountOptions) -> logging.Handler:
    path = options.log_file or options.state_dir / "log" / "mount.log"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    return handler


def _log_to(handler: logging.Handler, options: MountOptions) -> None:
    if handler.formatter is None:
        handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    logger = logging.getLogger("regfs")
    logger.addHandler(handler)
    logger.setLevel(options.log_level.upper())
    logging.getLogger("fuse").addHandler(handler)
