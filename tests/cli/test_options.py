"""Options behind -o, as in /etc/fstab."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import run


def _mounted_options(directory: Path) -> set[str]:
    """The words that the kernel has for the mount on *directory*."""
    lines = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    return set(next(line[3] for line in reversed(lines) if line[1] == str(directory)).split(","))


def test_every_option_of_mount_can_stand_behind_o(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    options = "ro,uid=1000,gid=1001,umask=027,ttl=5,cache_size=1G,log-level=debug"
    done = run("mount", "-o", options, registry.url, str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    status = (directory / repository / "v1" / "a").stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1001, 0o440)
    assert "ro" in _mounted_options(directory)


def test_o_can_be_repeated_and_a_comma_in_a_value_is_escaped(
    home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path
) -> None:
    log = tmp_path / "a,b.log"
    escaped = str(log).replace(",", "\\,")
    done = run("mount", registry.url, str(directory), "-oro", "-o", f"log_file={escaped},uid=7", environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert directory.stat().st_uid == 7
    assert "is mounted" in log.read_text()


def test_an_option_by_itself_wins_over_one_behind_o(home: dict[str, str], directory: Path, registry: Registry) -> None:
    done = run("mount", registry.url, str(directory), "--uid", "8", "-o", "uid=7", environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert directory.stat().st_uid == 8


def test_words_that_are_for_mount_and_systemd_alone_are_ignored(
    home: dict[str, str], directory: Path, registry: Registry
) -> None:
    words = "rw,defaults,noauto,nofail,_netdev,user=fred,users,relatime,x-systemd.automount,x-gvfs-show,comment=a b"
    done = run("mount", "-o", words, registry.url, str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")


def test_words_that_the_kernel_heeds_reach_it(home: dict[str, str], directory: Path, registry: Registry) -> None:
    done = run("mount", "-o", "noexec,noatime", registry.url, str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"noexec", "noatime"} <= _mounted_options(directory)


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("allow-ohter", "did you mean allow_other?"),
        ("roo", "did you mean ro?"),
        ("cachesize=1G", "did you mean cache_size?"),
        ("frobnicate", "see: regfs mount -h"),
        ("uid", "write it as uid=VALUE"),
        ("ro=1", "write it as ro"),
        ("password=secret-word", "run: regfs login HOST, or set REGFS_PASSWORD"),
        ("uid=fred", "'fred' is not a valid integer"),
    ],
)
def test_a_wrong_word_is_one_line_that_says_what_to_do(
    home: dict[str, str], directory: Path, registry: Registry, word: str, told: str
) -> None:
    done = run("mount", "-o", word, registry.url, str(directory), environment=home)
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret-word" not in done.stderr
    assert os.listdir(directory) == []
