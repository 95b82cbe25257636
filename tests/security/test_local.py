"""Other users of the machine: what is on disk is the user's alone, and the mount is entered by whom it is open to."""

from __future__ import annotations

import itertools
import os
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regfs.util.private import NotPrivate, private_directory
from tests.logs import A_MOMENT_AGO, NOT_PUSHED
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, environment, present, run

NewMount = Callable[..., Mounted]
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_numbers = itertools.count()


@pytest.fixture
def name(plain: Registry) -> str:
    """A repository with one file."""
    client, name = Foreign(plain), f"local{next(_numbers)}"
    client.artifact(name, "v1", {"file": b"content"})
    client.close()
    return name


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that another user can get to; those of pytest are for their user alone."""
    with tempfile.TemporaryDirectory(prefix="regfs-tests-") as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


def open_to_others(directory: Path) -> dict[str, str]:
    """What under a directory others can get at, in its own right."""
    found = {}
    for path in (directory, *present(directory)):
        try:
            mode = stat.S_IMODE(path.lstat().st_mode)
        except FileNotFoundError:  # it was pushed just now
            continue
        if mode & 0o077 and not path.is_symlink():
            found[str(path.relative_to(directory))] = oct(mode)
    return found


def as_nobody(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NOBODY, *command], capture_output=True, text=True, check=False, cwd="/")


def used(mount: NewMount, directory: Path, registry: Registry, name: str, umask: int) -> Mounted:
    """A mount under a umask that has read, written and failed to push."""
    before = os.umask(umask)
    try:
        view = mount(registry.url, directory, log_level="debug")
    finally:
        os.umask(before)
    assert view.read_bytes(f"{name}/v1/file") == b"content"
    view.write_bytes(f"{name}/v1/new", b"new content")
    return view


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_on_disk_is_the_users_alone_whatever_the_umask(
    mount: NewMount, plain: Registry, name: str, tmp_path: Path, umask: int
) -> None:
    view = used(mount, tmp_path, plain, name, umask)
    try:
        kinds = {path.name for path in (view.state).iterdir()}
        assert kinds >= {"journal", "locks", "mounts", "log"}
        for directory in (view.state.parent, view.cache.parent):
            assert open_to_others(directory) == {}
    finally:
        view.close()


@pytest.mark.logs(r"^close /r:v1/file: \S+ Failed to establish a new connection: ", A_MOMENT_AGO, NOT_PUSHED)
def test_a_journal_of_a_failed_push_is_the_users_alone(
    mount: NewMount, plain: Registry, name: str, lab: object, tmp_path: Path
) -> None:
    own = plain.lab.start("plain")
    before = os.umask(0)
    try:
        view = mount(own.url, tmp_path, retries=0, timeout=1)
    finally:
        os.umask(before)
    view.mkdir("r:v1")
    handle = (
        view.open("r/v1/file", os.O_WRONLY | os.O_CREAT)
        if view.exists("r/v1")
        else view.open("r:v1/file", os.O_WRONLY | os.O_CREAT)
    )
    handle.write(b"precious", 0)
    own.stop()
    with pytest.raises(OSError):
        handle.close()
    assert view.journal() == [b"precious"]
    assert open_to_others(view.state) == {}
    view.close()
    assert view.journal() == [b"precious"]


def test_a_log_file_is_the_users_alone(mount: NewMount, plain: Registry, name: str, tmp_path: Path) -> None:
    log = tmp_path / "my.log"
    before = os.umask(0)
    try:
        view = mount(plain.url, tmp_path, log_file=log)
    finally:
        os.umask(before)
    view.close()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_a_link_in_the_place_of_a_log_file_is_not_followed(mount: NewMount, plain: Registry, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "my.log").symlink_to(victim)
    done = mounting(tmp_path, plain, "--log-file", str(tmp_path / "my.log"))
    assert done.returncode == 1
    assert victim.read_text() == "precious"


def mounting(directory: Path, registry: Registry, *arguments: str) -> subprocess.CompletedProcess[str]:
    (directory / "mnt").mkdir()
    return run("mount", *arguments, registry.url, str(directory / "mnt"), environment=environment(directory))


PLACES = {
    "state": "state/regfs",
    "journal": "state/regfs/journal",
    "locks": "state/regfs/locks",
    "mounts": "state/regfs/mounts",
    "log": "state/regfs/log",
    "cache": "cache/regfs",
    "blobs": "cache/regfs/blobs",
    "partial": "cache/regfs/partial",
    "names": "cache/regfs/names/",
}


def made(directory: Path, place: str, registry: Registry) -> Path:
    """The parent of a place, which the user has; and the place."""
    path = directory / PLACES[place]
    if place == "names":
        path = path / registry.host.replace(":", "%3A")
    for above in reversed(path.relative_to(directory).parents):
        (directory / above).mkdir(mode=0o700, exist_ok=True)
    return path


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.logs(r" is a link; ")
def test_a_link_that_somebody_put_there_is_refused(
    mount: NewMount, plain: Registry, tmp_path: Path, place: str
) -> None:
    path = made(tmp_path, place, plain)
    (tmp_path / "trap").mkdir(mode=0o700)
    path.symlink_to(tmp_path / "trap")
    done = mounting(tmp_path, plain)
    assert done.returncode == 1
    assert f"{path} is a link" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list((tmp_path / "trap").iterdir()) == []


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.logs(r" belongs to another user; ")
def test_a_directory_of_another_user_is_refused(mount: NewMount, plain: Registry, tmp_path: Path, place: str) -> None:
    path = made(tmp_path, place, plain)
    path.mkdir(mode=0o700)
    os.chown(path, 65534, 65534)
    done = mounting(tmp_path, plain)
    assert done.returncode == 1
    assert f"{path} belongs to another user" in done.stderr


@pytest.mark.parametrize("place", list(PLACES))
@pytest.mark.logs(r" is open to other users; run: chmod 700 ")
def test_a_directory_that_others_can_write_to_is_refused(
    mount: NewMount, plain: Registry, tmp_path: Path, place: str
) -> None:
    path = made(tmp_path, place, plain)
    path.mkdir()
    path.chmod(0o777)
    done = mounting(tmp_path, plain)
    assert done.returncode == 1
    assert f"chmod 700 {path}" in done.stderr


def test_a_state_directory_that_others_could_only_look_into_is_closed(
    mount: NewMount, plain: Registry, tmp_path: Path
) -> None:
    path = made(tmp_path, "state", plain)
    path.mkdir()
    path.chmod(0o755)
    view = mount(plain.url, tmp_path)
    view.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_shared_parent_directory_does_no_harm(mount: NewMount, plain: Registry, name: str, tmp_path: Path) -> None:
    for shared in ("state", "cache"):
        (tmp_path / shared).mkdir()
        (tmp_path / shared).chmod(0o1777)
    view = used(mount, tmp_path, plain, name, 0)
    assert open_to_others(view.state) == {}
    assert open_to_others(view.cache) == {}
    view.close()


def test_a_parent_that_is_missing_is_made_for_the_user_alone(mount: NewMount, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_directory(tmp_path / "a" / "b" / "c", "do otherwise")
    finally:
        os.umask(before)
    assert open_to_others(tmp_path / "a") == {}


def test_two_makers_of_a_directory_do_not_disturb_each_other(mount: NewMount, tmp_path: Path) -> None:
    private_directory(tmp_path / "a", "")
    private_directory(tmp_path / "a", "")
    (tmp_path / "a").chmod(0o750)
    with pytest.raises(NotPrivate, match="chmod 700"):
        private_directory(tmp_path / "a", "")


def test_another_user_cannot_enter_the_mount(mount: NewMount, plain: Registry, name: str, reachable: Path) -> None:
    view = mount(plain.url, reachable)
    try:
        for command in (("ls", str(view.directory)), ("cat", view.path(f"{name}/v1/file"))):
            done = as_nobody(*command)
            assert done.returncode != 0
            assert "Permission denied" in done.stderr
    finally:
        view.close()


def test_another_user_who_is_let_in_reads_and_does_not_write(
    mount: NewMount, plain: Registry, name: str, reachable: Path
) -> None:
    view = mount(plain.url, reachable, allow_other=True)
    try:
        assert as_nobody("cat", view.path(f"{name}/v1/file")).stdout == "content"
        for command in (
            ("touch", view.path(f"{name}/v1/new")),
            ("rm", "-f", view.path(f"{name}/v1/file")),
            ("mkdir", view.path("r:v1")),
            ("mv", view.path(f"{name}/v1/file"), view.path(f"{name}/v1/other")),
            ("sh", "-c", f"echo x >> {view.path(f'{name}/v1/file')}"),
        ):
            done = as_nobody(*command)
            assert (done.returncode != 0, "ermission denied" in done.stderr) == (True, True), (command, done.stderr)
        assert view.list(f"{name}/v1") == ["file"]
    finally:
        view.close()


def test_the_umask_of_a_mount_keeps_others_from_reading(
    mount: NewMount, plain: Registry, name: str, reachable: Path
) -> None:
    view = mount(plain.url, reachable, allow_other=True, umask="077")
    try:
        for command in (("ls", str(view.directory)), ("cat", view.path(f"{name}/v1/file"))):
            assert "Permission denied" in as_nobody(*command).stderr
    finally:
        view.close()


def test_the_cache_of_another_user_is_refused_to_them(
    mount: NewMount, plain: Registry, name: str, reachable: Path
) -> None:
    view = used(mount, reachable, plain, name, 0)
    view.close()
    (reachable / "nobody").mkdir()
    os.chown(reachable / "nobody", 65534, 65534)
    assert as_nobody("ls", str(view.cache)).returncode != 0
    assert "ermission" in as_nobody("cat", str(view.cache / "blobs")).stderr
