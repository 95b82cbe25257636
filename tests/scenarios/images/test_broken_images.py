"""Images that cannot be read: EIO and one line in the log, never a shorter list, and no mount that hangs or swells."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.archive.making import directory, file, hardlink, header, symlink, tar
from tests.contents import MIB, content_of
from tests.gate import Gate
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.scenarios.images.conftest import LOWER, UPPER
from tests.scenarios.making import Mount, NewView
from tests.scenarios.views import Mounted, eventually, refused, run

ROOTFS = ".oci/rootfs"
# Limits.entries names 300 bytes for each of a million entries, and the pool has 64 MiB; Python and the rest take 60.
MEMORY_BYTES_MAX = 600 << 20


@pytest.mark.logs(r"^(list|stat) /\.oci/rootfs")
def test_a_cut_layer_is_an_error_and_no_shorter_list(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", LOWER[: len(LOWER) // 2 - 100], tar(directory("top"), file("top/a", b"a")))
    view = new_mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EIO):
        view.list(ROOTFS)
    with refused(errno.EIO):
        view.read_bytes(f"{ROOTFS}/etc/os-release")
    assert view.read_bytes(f"{ROOTFS}/top/a") == b"a"
    assert view.log().count("ERROR list /.oci/rootfs: ") == 1


@pytest.mark.logs(r"^(list|stat) /\.oci/rootfs")
def test_a_layer_of_another_diff_id_is_an_error(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", LOWER, UPPER, diff_ids=[digest_of(UPPER), digest_of(UPPER)])
    view = new_mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EIO):
        view.list(ROOTFS)


def test_paths_that_climb_stay_inside(
    new_mount: NewView, registry: Registry, foreign: Foreign, repository: str
) -> None:
    members = [file("../../../a", b"a"), file("/b", b"b"), symlink("up", "../../.."), file("up/c", b"c")]
    foreign.image(repository, "v1", tar(*members))
    view = new_mount(f"{registry.url}/{repository}:v1")
    assert {"a", "b", "c", "up"} >= set(view.list(ROOTFS)) >= {"a", "b", "up"}


@pytest.mark.logs(r"^(list|stat) /\.oci/rootfs")
def test_links_in_a_circle_are_an_error(mount: Mount, registry: Registry, foreign: Foreign, repository: str) -> None:
    foreign.image(repository, "v1", tar(symlink("a", "b"), symlink("b", "a"), file("c"), hardlink("d", "d")))
    view = mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EIO, errno.ELOOP):
        view.list(ROOTFS)
        view.read_bytes(f"{ROOTFS}/a")


@pytest.mark.logs(r"^(list|stat) /\.oci/rootfs")
def test_a_million_entries_end_in_an_error_and_little_memory(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.image(repository, "v1", header(directory("d")) * 1_000_001 + bytes(1024))
    view = mount(f"{registry.url}/{repository}:v1")
    with refused(errno.EIO):
        view.list(ROOTFS)
    assert peak_memory(view.pid) < MEMORY_BYTES_MAX


def peak_memory(pid: int) -> int:
    """The most bytes that a process had in memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:"))) << 10


def test_two_mounts_that_open_an_image_at_once_both_read_it(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.image(repository, "v1", tar(file("a", content_of(20 * MIB)), file("b", b"b")), UPPER)
    cache = tmp_path / "shared"
    views = [mount(f"{registry.url}/{repository}:v1", cache_dir=cache) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        read = [pool.submit(view.read_bytes, f"{ROOTFS}/{name}") for view in views for name in "ab"]
        assert [len(future.result()) for future in read] == [20 * MIB, 1, 20 * MIB, 1]
    assert len(list((cache / "indexes").iterdir())) == 2


def test_a_mount_killed_while_it_indexes_leaves_nothing_wrong(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.image(repository, "v1", tar(file("a", content_of(60 * MIB)), file("b", b"b")))
    cache = tmp_path / "shared"
    for delay in (0.05, 0.2, 0.6):
        view = mount(f"{registry.url}/{repository}:v1", cache_dir=cache)
        listing = subprocess.Popen(["ls", view.path(ROOTFS)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(delay)
        os.kill(view.pid, signal.SIGKILL)
        listing.wait(20)
    view = mount(f"{registry.url}/{repository}:v1", cache_dir=cache)
    assert view.list(ROOTFS) == ["a", "b"]
    assert view.read_bytes(f"{ROOTFS}/b") == b"b"


@pytest.mark.logs(r"^list /\.oci/rootfs")
def test_a_mount_ends_though_a_layer_does_not_come(mount: Mount, gate: Gate, foreign: Foreign, repository: str) -> None:
    foreign.image(repository, "v1", LOWER)
    layer = foreign.document(repository, "v1")["layers"][0]["digest"]
    gate.holds = lambda request: layer in request.path
    view = mount(f"{gate.url}/{repository}:v1")
    pid = view.pid
    gate.close()
    listing = subprocess.Popen(["ls", view.path(ROOTFS)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert gate.reached.wait(20)
    listing.kill()
    listing.wait(20)
    os.kill(pid, signal.SIGTERM)
    eventually(partial(is_running, pid), False)


def is_running(pid: int) -> bool:
    """Whether a process is there, and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def indexing(view: Mounted) -> list[dict[str, Any]]:
    """What ``regfs status`` says is being indexed."""
    done = run("status", str(view.directory), "--json", environment=view.environment)
    (found,) = json.loads(done.stdout)["mounts"]
    return list(found["indexing"])


def test_the_status_says_how_far_an_index_is(mount: Mount, gate: Gate, foreign: Foreign, repository: str) -> None:
    foreign.image(repository, "v1", tar(file("a", content_of(20 * MIB))))
    layer = foreign.document(repository, "v1")["layers"][0]
    gate.holds = lambda request: layer["digest"] in request.path
    view = mount(f"{gate.url}/{repository}:v1")
    gate.close()
    listing = subprocess.Popen(["ls", view.path(ROOTFS)], stdout=subprocess.DEVNULL)
    assert gate.reached.wait(20)
    eventually(lambda: [item["digest"] for item in indexing(view)], [layer["digest"]])
    gate.opened.set()
    assert listing.wait(30) == 0
    assert indexing(view) == []
