"""``regfs get``: files that are whole, verified and below the directory, or one line and none."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import oras.client
import pytest

from tests.cli.conftest import Regfs
from tests.contents import MIB, content_of
from tests.counting import Counting
from tests.links import Link
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.servers import Answer, Request

FILES = {"a.txt": b"a", "empty": b"", "plots/may.csv": b"may", "plots/old/april.csv": b"april"}


def test_all_files_of_an_alias_are_written_under_their_titles(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    files = {**FILES, "large.bin": content_of(20 * MIB)}
    foreign.artifact(repository, "v1", files)
    said = regfs("get", f"{registry.host}/{repository}:v1", "-o", "out")
    assert said == f"{registry.host}/{repository}:v1: 5 files, {20 * MIB + 9} bytes in out\n"
    assert regfs.files("out") == files


def test_what_oras_pushed_is_got(regfs: Regfs, registry: Registry, repository: str) -> None:
    path = regfs.write("in/a.bin", content_of(MIB))
    client = oras.client.OrasClient(hostname=registry.host, insecure=True)
    client.push(f"{registry.host}/{repository}:v1", files=[str(path)], disable_path_validation=True, quiet=True)
    regfs("get", f"{registry.host}/{repository}:v1", "-o", "out")
    assert list(regfs.files("out").values()) == [content_of(MIB)]


def test_files_and_directories_can_be_chosen(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", FILES)
    regfs("get", f"{registry.host}/{repository}:v1", "a.txt", "plots/old/", "-o", "out")
    assert regfs.files("out") == {"a.txt": b"a", "plots/old/april.csv": b"april"}
    assert "no file nix" in regfs.fails("get", f"{registry.host}/{repository}:v1", "a.txt", "nix", "-o", "none")
    assert not (regfs.here / "none").exists()


def test_one_file_can_be_given_a_name_a_directory_or_standard_output(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", FILES)
    reference = f"{registry.host}/{repository}:v1"
    regfs("get", reference, "plots/may.csv", "-o", "may.csv")
    regfs("get", reference, "plots/may.csv", "-o", "out/")
    assert regfs.files() == {"may.csv": b"may", "out/plots/may.csv": b"may"}
    assert regfs("get", reference, "plots/may.csv", "-o", "-") == "may"
    assert "takes one file" in regfs.fails("get", reference, "-o", "-", status=2)
    regfs("get", reference, "plots/may.csv", "-o", "/dev/null")
    assert Path("/dev/null").is_char_device()


def test_existing_files_are_overwritten_unless_they_are_to_be_kept(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", FILES)
    regfs.write("a.txt", b"mine, and longer")
    regfs("get", "--keep", f"{registry.host}/{repository}:v1")
    assert regfs.files() == {**FILES, "a.txt": b"mine, and longer"}
    regfs("get", f"{registry.host}/{repository}:v1")
    assert regfs.files() == FILES


def test_what_is_in_the_cache_is_not_fetched_again(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a", "large": content_of(9 * MIB)})
    regfs("get", f"{proxy.url}/{repository}:v1", "-o", "one")
    proxy.begin()
    regfs("get", f"{proxy.url}/{repository}:v1", "-o", "two")
    assert proxy.blobs == []
    assert regfs.files("one") == regfs.files("two")


def test_a_hostile_title_does_not_leave_the_directory(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    titles = ["../up", "/abs", "a/../../up", "link/evil"]
    foreign.artifact(repository, "v1", {title: title.encode() for title in titles})
    (regfs.here / "out").mkdir()
    (regfs.here / "elsewhere").mkdir()
    regfs("get", f"{registry.host}/{repository}:v1", "-o", "out")
    by_digest = {digest_of(title.encode()): title.encode() for title in titles[:3]}
    assert regfs.files() == {
        f"out/{name}": content for name, content in {**by_digest, "link/evil": b"link/evil"}.items()
    }
    (regfs.here / "out/link/evil").unlink()
    (regfs.here / "out/link").rmdir()
    (regfs.here / "out/link").symlink_to("../elsewhere")
    assert "link, which is not followed" in regfs.fails("get", f"{registry.host}/{repository}:v1", "-o", "out")
    assert regfs.files("elsewhere") == {}


def test_a_link_in_the_place_of_a_file_is_replaced_not_written_through(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a.txt": b"new"})
    regfs.write("elsewhere", b"mine")
    (regfs.here / "a.txt").symlink_to("elsewhere")
    regfs("get", f"{registry.host}/{repository}:v1")
    assert regfs.files() == {"a.txt": b"new", "elsewhere": b"mine"}


def test_a_directory_in_the_place_of_a_file_is_one_line(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    regfs.write("a/mine", b"mine")
    assert "is a directory" in regfs.fails("get", f"{registry.host}/{repository}:v1")
    assert regfs.files() == {"a/mine": b"mine"}


def test_platforms_are_directories_or_one_is_chosen(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    entries = []
    for architecture in ("amd64", "arm64"):
        digest = foreign.artifact(repository, f"for-{architecture}", {"bin": architecture.encode()})
        entries.append((digest, {"os": "linux", "architecture": architecture}))
    foreign.index(repository, "multi", entries)
    reference = f"{registry.host}/{repository}:multi"
    regfs("get", reference, "-o", "all")
    assert regfs.files("all") == {"linux-amd64/bin": b"amd64", "linux-arm64/bin": b"arm64"}
    regfs("get", "--platform", "linux-arm64", reference, "-o", "one")
    assert regfs.files("one") == {"bin": b"arm64"}
    assert "there are: linux-amd64, linux-arm64" in regfs.fails("get", "--platform", "plan9-mips", reference)


def test_bytes_that_are_not_the_blobs_never_become_a_file(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str
) -> None:
    large = content_of(9 * MIB)
    foreign.artifact(repository, "v1", {"good": b"good", "large": large})

    def lies(request: Request) -> Answer | None:
        return Answer(200, (), large[:-1] + b"!") if request.path.endswith(digest_of(large)) else None

    proxy.instead = lies
    done = regfs.run("get", f"{proxy.url}/{repository}:v1", "-o", "out")
    assert done.returncode == 1
    assert digest_of(large) in done.stderr
    assert "Traceback" not in done.stderr
    assert regfs.files("out").keys() <= {"good"}
    piped = regfs.run("get", f"{proxy.url}/{repository}:v1", "good", "-o", "-")
    assert (piped.returncode, piped.stdout) == (0, "good")


def test_a_network_that_is_cut_is_one_line_and_leaves_no_half_file(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {f"{number}": content_of(12 * MIB, number) for number in range(3)})
    with Link(registry.host) as link:
        process = regfs.start("get", f"http://{link.host}/{repository}:v1", "-o", "out")
        while not list(regfs.here.glob("out/.*")):
            time.sleep(0.01)
        link.down()
        _, told = process.communicate(timeout=80)
    whole = {f"{number}": content_of(12 * MIB, number) for number in range(3)}
    assert regfs.files("out").items() <= whole.items()
    assert (process.returncode, len(told.splitlines())) in ((1, 1), (0, 0)), told


@pytest.mark.parametrize("size", [4 * MIB, 12 * MIB])
def test_ctrl_c_ends_it_soon_with_nothing_half(
    regfs: Regfs, proxy: Counting, foreign: Foreign, repository: str, size: int
) -> None:
    foreign.artifact(repository, "v1", {f"{number}": content_of(size, number) for number in range(6)})
    asked, ended = threading.Event(), threading.Event()

    def hangs(request: Request) -> Answer | None:
        if "/blobs/" in request.path:
            asked.set()
            ended.wait(60)
        return None

    proxy.instead = hangs
    process = regfs.start("get", f"{proxy.url}/{repository}:v1", "-o", "out")
    assert asked.wait(30)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    ended.set()
    assert (process.returncode, told.strip()) == (130, "")
    assert regfs.files("out") == {}


def test_a_killed_one_leaves_no_file_that_is_half(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    files = {f"{number}": content_of(12 * MIB, number) for number in range(4)}
    foreign.artifact(repository, "v1", files)
    process = regfs.start("get", f"{registry.url}/{repository}:v1", "-o", "out")
    while not list(regfs.here.glob("out/.*")):
        time.sleep(0.01)
    process.kill()
    process.communicate()
    named = {name: content for name, content in regfs.files("out").items() if not name.startswith(".")}
    assert named.items() <= files.items()
    regfs("get", f"{registry.url}/{repository}:v1", "-o", "out")
    assert regfs.files("out").items() >= files.items()


@pytest.fixture
def small_disk(regfs: Regfs) -> Iterator[str]:
    """A directory here on a file system of 4 MiB."""
    directory = regfs.here / "disk"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", directory], check=True)
    yield "disk"
    subprocess.run(["umount", "-l", directory], check=True)


def test_a_full_disk_is_one_line_and_leaves_nothing_half(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str, small_disk: str
) -> None:
    foreign.artifact(repository, "v1", {"small": b"small", "large": content_of(6 * MIB)})
    told = regfs.fails("get", f"{registry.host}/{repository}:v1", "-o", small_disk)
    assert "disk/large: No space left on device" in told
    assert regfs.files(small_disk).keys() <= {"small"}


def test_two_at_once_into_one_directory_are_as_one(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    files = {f"{number}": content_of(MIB, number) for number in range(12)}
    foreign.artifact(repository, "v1", files)
    processes = [regfs.start("get", f"http://{registry.host}/{repository}:v1", "-o", "out") for _ in range(2)]
    for process in processes:
        _, told = process.communicate(timeout=60)
        assert (process.returncode, told) == (0, "")
    assert regfs.files("out") == files


def test_a_reader_that_has_enough_is_no_trace(
    regfs: Regfs, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"large": content_of(9 * MIB)})
    process = regfs.start("get", f"{registry.host}/{repository}:v1", "large", "-o", "-")
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(30) == 1
