"""A mount by the kernel's own protocol: what it keeps, what it promises, and that it can always be removed."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.test_mount_life import gone, is_mounted
from tests.scenarios.views import ALONE, APART, REGFS, Mounted, environment, eventually, refused, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can abort a mount, and be another user")
LARGE = b"0123456789abcdef" * (512 << 10 >> 4)
_NOREPLACE, _EXCHANGE, _HERE = 1, 2, -100


@pytest.fixture
def view(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> Mounted:
    foreign.artifact(repository, "v1", {"a": b"old bytes", "large": LARGE})
    return mount(f"{registry.url}/{repository}", fuse="kernel")


@pytest.fixture
def connections(tmp_path: Path) -> Iterator[Path]:
    """Where the kernel's connections to mounts are."""
    place = Path("/sys/fs/fuse/connections")
    if any(place.iterdir()):
        yield place
        return
    place = tmp_path / "connections"
    place.mkdir()
    subprocess.run(["mount", "-t", "fusectl", "none", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


def renamed(view: Mounted, old: str, new: str, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    paths = (_HERE, os.fsencode(view.path(old)), _HERE, os.fsencode(view.path(new)))
    if libc.renameat2(*paths, flags):
        raise OSError(ctypes.get_errno(), "renameat2")


# Nodes


def test_fstat_of_a_removed_file_has_its_size_and_no_name(view: Mounted) -> None:
    with open(view.path("v1/a"), "rb") as file:
        view.remove("v1/a")
        found = os.fstat(file.fileno())
        assert (found.st_size, found.st_nlink, file.read()) == (9, 0, b"old bytes")


def test_fstat_of_a_replaced_file_has_its_size(view: Mounted) -> None:
    with open(view.path("v1/a"), "rb") as file:
        view.write_bytes("v1/new", b"other bytes")
        view.rename("v1/new", "v1/a")
        assert (os.fstat(file.fileno()).st_size, file.read()) == (9, b"old bytes")
    assert view.read_bytes("v1/a") == b"other bytes"


def test_fstat_of_a_removed_file_that_is_written_goes_on(view: Mounted) -> None:
    with open(view.path("v1/new"), "wb", buffering=0) as file:
        file.write(b"some")
        view.remove("v1/new")
        file.write(b" more")
        assert os.fstat(file.fileno()).st_size == 9
    assert not view.exists("v1/new")


def test_a_handle_keeps_bytes_and_size_while_its_file_is_cut(view: Mounted) -> None:
    with open(view.path("v1/a"), "rb") as file:
        os.truncate(view.path("v1/a"), 3)
        assert (os.fstat(file.fileno()).st_size, file.read()) == (9, b"old bytes")
    assert view.read_bytes("v1/a") == b"old"


def test_a_change_by_one_name_is_seen_by_the_other_at_once(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"old bytes"})
    view = mount(registry.url, fuse="kernel", ttl=60)
    by_slash, by_colon = f"{repository}/v1", f"{repository}:v1"
    assert view.stat(f"{by_colon}/a").size == 9
    assert not view.exists(f"{by_colon}/b")
    view.write_bytes(f"{by_slash}/a", b"new")
    view.write_bytes(f"{by_slash}/b", b"made")
    eventually(lambda: view.read_bytes(f"{by_colon}/a"), b"new")
    eventually(lambda: view.exists(f"{by_colon}/b"))
    view.remove(f"{by_slash}/a")
    eventually(lambda: view.exists(f"{by_colon}/a"), False)


def test_a_file_by_both_names_has_the_same_pages_while_written(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"old bytes"})
    view = mount(registry.url, fuse="kernel")
    by_slash, by_colon = view.path(f"{repository}/v1/a"), view.path(f"{repository}:v1/a")
    with open(by_slash, "r+b", buffering=0) as one, open(by_colon, "r+b", buffering=0) as other:
        assert other.read() == b"old bytes"
        one.write(b"new")
        assert os.pread(other.fileno(), 100, 0) == b"new bytes"
        assert os.fstat(one.fileno()).st_ino == os.fstat(other.fileno()).st_ino


def test_readers_beside_an_appender_see_no_zeros(view: Mounted) -> None:
    reads, zeros = 0, 0
    with open(view.path("v1/grows"), "wb", buffering=0) as writer, open(view.path("v1/grows"), "rb") as reader:
        appender = threading.Thread(target=lambda: [writer.write(b"x" * 777) for _ in range(2000)])
        appender.start()
        while appender.is_alive() or reads < 1000:
            size = os.fstat(reader.fileno()).st_size
            zeros += os.pread(reader.fileno(), 8192, max(0, size - 4096)).count(0)
            reads += 1
        appender.join()
        assert (zeros, os.fstat(reader.fileno()).st_size) == (0, 2000 * 777)


# Names


def test_names_are_not_exchanged(view: Mounted) -> None:
    with refused(errno.EINVAL):
        renamed(view, "v1/a", "v1/large", _EXCHANGE)
    assert view.read_bytes("v1/a") == b"old bytes"


def test_a_rename_that_may_replace_nothing_replaces_nothing(view: Mounted) -> None:
    with refused(errno.EEXIST):
        renamed(view, "v1/a", "v1/large", _NOREPLACE)
    renamed(view, "v1/a", "v1/b", _NOREPLACE)
    assert view.list("v1") == ["b", "large"]


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK])
def test_devices_pipes_and_sockets_cannot_be_made(view: Mounted, kind: int) -> None:
    with refused(errno.EPERM):
        os.mknod(view.path("v1/special"), kind | 0o600, os.makedev(1, 3))


def test_an_empty_file_is_made_by_mknod(view: Mounted) -> None:
    os.mknod(view.path("v1/empty"))
    assert view.read_bytes("v1/empty") == b""


# Passthrough


def test_a_cached_blob_is_read_by_the_kernel_alone(view: Mounted) -> None:
    view.read_bytes("v1/large")  # into the cache
    eventually(lambda: bool(view.cached("sha256:" + _digest(LARGE))))
    with open(view.path("v1/large"), "rb", buffering=0) as file:
        os.kill(view.pid, signal.SIGSTOP)
        try:
            assert os.pread(file.fileno(), len(LARGE), 0) == LARGE
        finally:
            os.kill(view.pid, signal.SIGCONT)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_opens_of_a_blob_while_it_is_fetched_and_after_that_agree(view: Mounted) -> None:
    with open(view.path("v1/large"), "rb") as first:
        assert first.read(10) == LARGE[:10]
        with open(view.path("v1/large"), "rb") as second:
            assert second.read() == LARGE
        assert first.read() == LARGE[10:]
    with open(view.path("v1/large"), "rb") as first, open(view.path("v1/large"), "rb") as second:
        assert first.read() == second.read() == LARGE


# Ends


def test_an_aborted_mount_ends_and_leaves_nothing(view: Mounted, connections: Path) -> None:
    process = view.pid
    (connections / str(os.minor(os.stat(view.directory).st_dev)) / "abort").write_text("1")
    eventually(lambda: gone(process))
    eventually(lambda: is_mounted(view.directory), False)


def test_a_mount_that_hangs_can_be_removed(view: Mounted) -> None:
    process = view.pid
    os.kill(process, signal.SIGSTOP)
    done = run("umount", "--lazy", str(view.directory), environment=view.environment)
    assert (done.returncode, is_mounted(view.directory)) == (0, False)
    os.kill(process, signal.SIGKILL)
    eventually(lambda: gone(process))


def test_a_reader_of_a_killed_mount_is_told(view: Mounted) -> None:
    with open(view.path("v1/a"), "rb", buffering=0) as file:
        os.kill(view.pid, signal.SIGKILL)
        eventually(lambda: _errno(lambda: os.listdir(view.directory)), errno.ENOTCONN)
        assert _errno(lambda: os.pread(file.fileno(), 9, 0)) in (errno.ENOTCONN, errno.ECONNABORTED)
    done = run("umount", str(view.directory), environment=view.environment)
    assert (done.returncode, is_mounted(view.directory)) == (0, False)


def _errno(call: object) -> int | None:
    try:
        call()  # type: ignore[operator]
    except OSError as error:
        return error.errno
    return None


# Who mounts


def test_a_descriptor_that_was_mounted_with_is_served(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    program = (
        "import ctypes, os, sys\n"
        "fd = os.open('/dev/fuse', os.O_RDWR)\n"
        "options = f'fd={fd},rootmode=40000,user_id=0,group_id=0'.encode()\n"
        "assert not ctypes.CDLL(None).mount(b'csi', sys.argv[-1].encode(), b'fuse.regfs', 0, options)\n"
        "os.set_inheritable(fd, True)\n"
        "os.execv(sys.argv[1], [*sys.argv[1:2], 'mount', f'--fuse-fd={fd}', *sys.argv[2:]])\n"
    )
    command = [sys.executable, "-c", program, REGFS, registry.url, directory]
    done = subprocess.run(command, env=home, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / repository / "v1/a").read_bytes() == b"a"
    done = run("umount", str(directory), environment=home)
    assert (done.returncode, is_mounted(directory)) == (0, False)


@pytest.mark.logs("not /dev/fuse", "there is no such descriptor")
@pytest.mark.parametrize(("fd", "said"), [("0", "not /dev/fuse"), ("99", "there is no such descriptor")])
def test_a_descriptor_that_is_none_is_one_line(
    home: dict[str, str], directory: Path, registry: Registry, fd: str, said: str
) -> None:
    done = run("mount", f"--fuse-fd={fd}", registry.url, str(directory), environment=home)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("options", ["", "--read-only", "-o noexec,noatime"])
def test_an_unprivileged_user_mounts(
    registry: Registry, foreign: Foreign, repository: str, tmp_path: Path, options: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"bytes of a\n"})
    nobody = (
        "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+dac_read_search --ambient-caps=+dac_read_search"
    )
    script = f"""
        set -e
        mount -t tmpfs none /mnt
        mknod -m 666 /mnt/fuse c 10 229; mount --bind /mnt/fuse /dev/fuse
        mkdir -m 777 /mnt/home /mnt/home/mnt
        export HOME=/mnt/home XDG_CACHE_HOME=/mnt/home/cache XDG_STATE_HOME=/mnt/home/state
        {nobody} {sys.executable} {REGFS} mount --fuse kernel {options} {registry.url}/{repository} /mnt/home/mnt
        {nobody} cat /mnt/home/mnt/v1/a
        {nobody} {sys.executable} {REGFS} umount /mnt/home/mnt
    """
    done = subprocess.run(
        [*APART, "bash", "-c", ALONE + script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(tmp_path), timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "bytes of a\n", "")
