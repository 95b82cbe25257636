"""On a machine that lacks something, a mount says in one line what: tried in mount namespaces that lack it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.views import ALONE, APART, REGFS, environment

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="only root can change what a machine has"
)
_READS = "--inh-caps=+dac_read_search --ambient-caps=+dac_read_search"  # regfs, wherever it is
_NOBODY = f"setpriv --reuid=65534 --regid=65534 --clear-groups {_READS}"
_OPEN = 'mknod -m 666 "$place/fuse" c 10 229; mount --bind "$place/fuse" /dev/fuse\n'


def said(directory: Path, lacking: str, command: str, status: int = 1) -> str:
    """What a command says, for which the machine is as a script makes it. ``$mnt`` is a directory to mount on."""
    script = f"""
        set -e
        place=/mnt
        mount -t tmpfs none "$place"
        mkdir -m 777 "$place/home" "$place/home/mnt"
        export HOME="$place/home" XDG_CACHE_HOME="$place/home/cache" XDG_STATE_HOME="$place/home/state"
        mnt=$place/home/mnt regfs="{sys.executable} {REGFS}"
        {lacking}
        exec {command}"""
    done = subprocess.run(
        [*APART, "bash", "-c", ALONE + script],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment(directory), timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    return done.stderr


MISSING = "regfs: /dev/fuse is missing; load it (modprobe fuse), or give it to the container (--device /dev/fuse)\n"


_BARE = """touch "$place/null"; mount --bind /dev/null "$place/null"; mount -t tmpfs none /dev
        touch /dev/null; mount --bind "$place/null" /dev/null"""


@pytest.mark.parametrize("lacking", [_BARE, "mount --bind /dev/null /dev/fuse"], ids=["none", "masked"])
def test_a_machine_without_the_device_is_told_how_to_get_it(plain: Registry, tmp_path: Path, lacking: str) -> None:
    assert said(tmp_path, lacking, f"$regfs mount {plain.url} $mnt") == MISSING


def test_a_device_that_is_closed_to_the_user_is_told(plain: Registry, tmp_path: Path) -> None:
    lacking = 'mknod -m 600 "$place/fuse" c 10 229; mount --bind "$place/fuse" /dev/fuse'
    line = said(tmp_path, lacking, f"{_NOBODY} $regfs mount {plain.url} $mnt")
    told = "as root, run: chmod 666 /dev/fuse; a container needs --device /dev/fuse"
    assert line == f"regfs: /dev/fuse is closed to you; {told}\n"


def test_a_user_without_fusermount_is_told_the_package(plain: Registry, tmp_path: Path) -> None:
    command = f"{_NOBODY} env PATH=/nowhere $regfs mount {plain.url} $mnt"
    assert said(tmp_path, _OPEN, command) == "regfs: fusermount is missing; install it: apt install fuse\n"


def test_a_user_who_may_not_let_others_in_is_told_where_that_is_set(plain: Registry, tmp_path: Path) -> None:
    lacking = f'{_OPEN} : > "$place/conf"; mount --bind "$place/conf" /etc/fuse.conf'
    line = said(tmp_path, lacking, f"{_NOBODY} $regfs mount --allow-other {plain.url} $mnt")
    assert line.startswith("regfs: ")
    assert "option allow_other only allowed if 'user_allow_other' is set in /etc/fuse.conf" in line
    assert line.count("\n") == 1


def test_an_unmount_without_a_table_of_mounts_says_how_to_get_one(plain: Registry, tmp_path: Path) -> None:
    lacking = f"""{_OPEN} {_NOBODY} $regfs mount {plain.url} $mnt
        mkdir "$place/etc" "$place/up" "$place/work"
        mount -t overlay overlay -o "lowerdir=/etc,upperdir=$place/up,workdir=$place/work" /etc
        rm /etc/mtab; trap 'ln -s /proc/self/mounts /etc/mtab; umount "$mnt"' EXIT"""
    line = said(tmp_path, lacking, f"bash -c '{_NOBODY} '\"$regfs umount $mnt\"")
    assert line.endswith("; as root, run: ln -s /proc/self/mounts /etc/mtab\n")
