"""A local disk that is full: the writer is told, nothing half is published, the mount goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, eventually, refused, run

Mount = Callable[..., Mounted]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


@pytest.mark.parametrize("program", ["cp", "dd"])
def test_a_full_disk_is_told_to_the_writer_and_nothing_is_published(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, small_disk: Path, tmp_path: Path, program: str
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    view = mount(registry.url, small_disk)
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(12 << 20))
    goal = view.path(f"{repository}/v1/big.bin")
    command = ["cp", str(big), goal] if program == "cp" else ["dd", f"if={big}", f"of={goal}", "bs=64k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert sorted(foreign.files(repository, "v1")) == ["there.txt"]
    assert view.list(f"{repository}/v1") == ["there.txt"]


def test_the_mount_goes_on_after_the_disk_was_full(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, small_disk: Path
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    view = mount(registry.url, small_disk)
    with refused(errno.ENOSPC):
        view.write_bytes(f"{repository}/v1/big.bin", os.urandom(12 << 20))
    eventually(lambda: list((view.state / "journal").iterdir()), [])
    view.write_bytes(f"{repository}/v1/small.txt", b"small")
    assert view.read_bytes(f"{repository}/v1/there.txt") == b"there"
    assert foreign.files(repository, "v1") == {"there.txt": b"there", "small.txt": b"small"}


def test_a_write_that_failed_is_not_pushed_later_either(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, small_disk: Path
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    view = mount(registry.url, small_disk)
    handle = view.open(f"{repository}/v1/big.bin", os.O_WRONLY | os.O_CREAT)
    with refused(errno.ENOSPC):
        handle.write(os.urandom(12 << 20), 0)
    os.kill(view.pid, signal.SIGKILL)
    with refused(errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
        handle.close()
    assert run("pending", environment=view.environment).stdout == ""
    assert run("push-pending", environment=view.environment).returncode == 0
    assert sorted(foreign.files(repository, "v1")) == ["there.txt"]


def test_a_file_that_is_begun_again_after_a_write_that_failed_is_kept_when_its_push_fails(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, small_disk: Path
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    view = mount(registry.url, small_disk)
    handle = view.open(f"{repository}/v1/big.bin", os.O_WRONLY | os.O_CREAT)
    with refused(errno.ENOSPC):
        handle.write(os.urandom(12 << 20), 0)
    handle.truncate(0)
    handle.write(b"small", 0)
    registry.stop()
    with refused(errno.EHOSTUNREACH):
        handle.close()
    eventually(view.journal, [b"small"])
