"""mount.regfs: real mount(8) and umount(8), and an fstab, in a mount namespace that has the helper in /sbin."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import ALONE, APART

HELPER = os.path.join(sysconfig.get_path("scripts"), "mount.regfs")
_SET_UP = """
set -eu
mount -t tmpfs none "$1"
mkdir "$1/up" "$1/work" "$1/mnt" "$1/other"
mount -t overlay overlay -o "lowerdir=/usr/sbin,upperdir=$1/up,workdir=$1/work" /usr/sbin
ln -s "$2" /sbin/mount.regfs
ln -s mount.regfs /sbin/mount.fuse.regfs
host=$3
cd "$1"
exec 2>&1
set -x
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/dev/fuse", os.W_OK), reason="mount(8) calls the helper for root alone"
)


class Namespace:
    """Runs scripts as root in a mount namespace in which /sbin has the helper."""

    def __init__(self, directory: Path, host: str) -> None:
        self._directory = directory
        self._host = host

    def run(self, script: str, status: int = 0) -> str:
        """Run a script that has to end with a status; returns what it printed. The host is in ``$host``."""
        scratch = self._directory / "ns"
        scratch.mkdir(exist_ok=True)
        kept = {
            "PATH": os.environ["PATH"],
            "XDG_CACHE_HOME": f"{self._directory}/c",
            "XDG_STATE_HOME": f"{self._directory}/s",
        }
        done = subprocess.run(
            [*APART, "bash", "-c", ALONE + _SET_UP + script, "bash", str(scratch), HELPER, self._host],
            env=kept, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout


@pytest.fixture
def namespace(tmp_path: Path, registry: Registry) -> Namespace:
    """A namespace for one registry."""
    return Namespace(tmp_path, registry.host)


@pytest.mark.parametrize("kind", ["regfs", "fuse.regfs"])
def test_mount_mounts_and_umount_unmounts(namespace: Namespace, foreign: Foreign, repository: str, kind: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"the bytes\n"})
    printed = namespace.run(f"""
        mount -t {kind} "$host" mnt -o ro,_netdev,uid=1000,umask=022
        cat mnt/{repository}/v1/a
        stat -c 'owned by %u' mnt/{repository}/v1/a
        umount mnt
        ls mnt | wc -l""")
    assert "the bytes" in printed
    assert "owned by 1000" in printed
    assert printed.splitlines()[-1] == "0"


def test_lines_of_an_fstab_are_mounted(namespace: Namespace, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"the bytes\n"})
    printed = namespace.run(f"""
        echo "$host/{repository}:v1 $PWD/mnt fuse.regfs ro,_netdev,x-systemd.automount,allow_other,gid=5 0 0" > fstab
        echo "$host $PWD/other fuse.regfs noauto,nofail,cache_size=1G 0 0" >> fstab
        mount --fstab fstab --all
        cat mnt/a
        ls other | wc -l
        mount --fstab fstab "$PWD/other"
        mkdir other/{repository}:v2
        cp mnt/a other/{repository}:v2/
        umount other mnt""")
    assert "the bytes" in printed
    assert foreign.files(repository, "v2") == {"a": b"the bytes\n"}


def test_without_a_home_it_mounts(namespace: Namespace) -> None:
    namespace.run("""
        test -z "${HOME+is set}"
        mount -t fuse.regfs "$host" mnt
        umount mnt""")


@pytest.mark.parametrize(
    ("command", "status", "told"),
    [
        ('mount -t fuse.regfs "$host/no/such" mnt', 32, "there is no such repository"),
        ('mount -t fuse.regfs "$host" mnt -o roo', 1, "did you mean ro?"),
        ("mount -t fuse.regfs UPPER/Case mnt", 1, "did you mean 'UPPER/case'?"),
        ('mount.regfs "$host"', 1, "Missing argument 'DIRECTORY'"),
    ],
)
def test_a_failure_has_the_status_of_mount_and_one_line(
    namespace: Namespace, command: str, status: int, told: str
) -> None:
    printed = namespace.run(command, status)
    assert told in printed.splitlines()[-1]


def test_a_fake_mount_mounts_nothing_and_a_sloppy_one_leaves_out_what_it_does_not_know(namespace: Namespace) -> None:
    printed = namespace.run("""
        mount.regfs "$host" mnt -f -o ro
        mount.regfs "$host" mnt -s -v -o ro,frobnicate
        umount mnt
        umount mnt""", 32)  # fmt: skip
    assert "is mounted on mnt" in printed


def test_a_sloppy_mount_heeds_the_words_for_the_kernel(namespace: Namespace) -> None:
    printed = namespace.run("""
        mount.regfs "$host" mnt -s -o noexec,frobnicate
        grep " $PWD/mnt " /proc/self/mounts
        umount mnt""")
    assert "noexec" in printed.partition(" fuse.regfs ")[2].split()[0]


def test_a_dead_mount_is_healed(namespace: Namespace) -> None:
    namespace.run("""
        mount -t fuse.regfs "$host" mnt -o ro
        kill -9 $(sed -n 's/.*"pid": \\([0-9]*\\).*/\\1/p' "$XDG_STATE_HOME"/regfs/mounts/*.json)
        while ls mnt 2>/dev/null; do sleep 0.1; done
        mount -t fuse.regfs "$host" mnt -o ro
        ls mnt
        umount mnt""")
