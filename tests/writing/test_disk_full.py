"""A local disk that is full: the writer is told, nothing half is published, the mount goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, refused

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
    (pending,) = view.state.rglob("meant.json")
    for path in (pending, pending.with_name("data")):
        path.unlink()
    view.write_bytes(f"{repository}/v1/small.txt", b"small")
    assert view.read_bytes(f"{repository}/v1/there.txt") == b"there"
    assert foreign.files(repository, "v1") == {"there.txt": b"there", "small.txt": b"small"}
