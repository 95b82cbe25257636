"""A local disk that is full: the writer is told, nothing half is published, the mount goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.making import Mount
from tests.scenarios.views import Handle, Mounted, eventually, refused, run

TOO_MUCH = 12 << 20  # bytes


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", "-l", directory], check=True)


@pytest.fixture
def view(mount: Mount, registry: Registry, foreign: Foreign, repository: str, small_disk: Path) -> Mounted:
    """A mount whose cache and journal are on it; an alias has one file."""
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    return mount(registry.url, small_disk)


@pytest.fixture
def too_big(view: Mounted, repository: str) -> Handle:
    """A file that is open for writing, and did not fit."""
    handle = view.open(f"{repository}/v1/big.bin", os.O_WRONLY | os.O_CREAT)
    with refused(errno.ENOSPC):
        handle.write(os.urandom(TOO_MUCH), 0)
    return handle


@pytest.mark.parametrize("program", ["cp", "dd"])
def test_a_full_disk_is_told_to_the_writer_and_nothing_is_published(
    view: Mounted, foreign: Foreign, repository: str, tmp_path: Path, program: str
) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(os.urandom(TOO_MUCH))
    goal = view.path(f"{repository}/v1/big.bin")
    command = ["cp", str(big), goal] if program == "cp" else ["dd", f"if={big}", f"of={goal}", "bs=64k"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert sorted(foreign.files(repository, "v1")) == ["there.txt"]
    assert view.list(f"{repository}/v1") == ["there.txt"]


def test_the_mount_goes_on_after_the_disk_was_full(view: Mounted, foreign: Foreign, repository: str) -> None:
    with refused(errno.ENOSPC):
        view.write_bytes(f"{repository}/v1/big.bin", os.urandom(TOO_MUCH))
    eventually(lambda: list((view.state / "journal").iterdir()), [])
    view.write_bytes(f"{repository}/v1/small.txt", b"small")
    assert view.read_bytes(f"{repository}/v1/there.txt") == b"there"
    assert foreign.files(repository, "v1") == {"there.txt": b"there", "small.txt": b"small"}


def test_a_write_that_failed_is_not_pushed_later_either(
    view: Mounted, too_big: Handle, foreign: Foreign, repository: str
) -> None:
    os.kill(view.pid, signal.SIGKILL)
    with refused(errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
        too_big.close()
    assert run("pending", environment=view.environment).stdout == ""
    assert run("push-pending", environment=view.environment).returncode == 0
    assert sorted(foreign.files(repository, "v1")) == ["there.txt"]


def test_a_file_that_is_begun_again_after_a_write_that_failed_is_kept_when_its_push_fails(
    view: Mounted, too_big: Handle, registry: Registry
) -> None:
    too_big.truncate(0)
    too_big.write(b"small", 0)
    registry.stop()
    with refused(errno.EHOSTUNREACH):
        too_big.close()
    eventually(view.journal, [b"small"])
