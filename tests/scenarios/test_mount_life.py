"""A mount's life: it answers when the command returns, says in one line why there is none, and ends cleanly."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.registries import PASSWORD, USER, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import REGFS, Mounted, eventually, refused, run
from tests.servers import Answer, Server


def fails(home: dict[str, str], *arguments: object, status: int = 1) -> str:
    """Run a command that has to fail with one line on standard error; returns that line."""
    done = run(*map(str, arguments), environment=home)
    assert (done.returncode, done.stdout) == (status, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("regfs: ")
    return lines[0]


def is_mounted(directory: Path) -> bool:
    """Whether something is mounted there."""
    return any(line.split(" ")[1] == str(directory) for line in Path("/proc/self/mounts").read_text().splitlines())


def server_of(directory: Path) -> int:
    """The process that serves a mount on *directory*."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if os.fsencode(directory) in arguments and b"mount" in arguments:
            return int(process.name)
    raise AssertionError(f"nobody serves {directory}")


def gone(process: int) -> bool:
    """Whether a process has ended."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return True


def test_when_the_command_returns_the_mount_answers(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    done = run("mount", registry.url, str(directory), environment=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (directory / repository / "v1" / "a").read_bytes() == b"a"
    done = run("umount", str(directory), environment=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not is_mounted(directory)
    assert list(directory.iterdir()) == []


def test_a_loopback_registry_without_a_scheme_is_found(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    done = run("mount", f"{registry.host}/{repository}:v1", str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / "a").read_bytes() == b"a"


def test_in_the_foreground_it_serves_until_it_is_unmounted(
    home: dict[str, str], directory: Path, registry: Registry
) -> None:
    process = subprocess.Popen(
        [sys.executable, REGFS, "mount", "-f", registry.url, directory], env=home, stderr=subprocess.PIPE, text=True
    )
    eventually(lambda: is_mounted(directory))
    assert run("umount", str(directory), environment=home).returncode == 0
    _, logged = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "is mounted on" in logged
    assert "ERROR" not in logged
    assert "Traceback" not in logged


@pytest.mark.logs(r"^nohost.invalid: no host of that name is known; ")
def test_an_unknown_host_is_named(home: dict[str, str], directory: Path) -> None:
    assert "nohost.invalid" in fails(home, "mount", "nohost.invalid", directory)
    assert not is_mounted(directory)


@pytest.mark.logs(r": the connection is refused; ")
def test_a_refused_connection_is_named(home: dict[str, str], directory: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert "refused" in fails(home, "mount", f"localhost:{port}", directory)


@pytest.mark.logs(r": its TLS certificate cannot be verified; ")
def test_a_certificate_that_nobody_vouches_for_is_named_and_with_its_ca_it_is_mounted(
    home: dict[str, str], directory: Path, tls: Registry
) -> None:
    line = fails(home, "mount", tls.host, directory)
    assert "certificate" in line
    assert "--ca-file" in line
    done = run("mount", "--ca-file", tls.lab.ca, tls.host, str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.path.ismount(directory)


@pytest.mark.logs(r" does not speak TLS as expected; ")
def test_plain_http_where_tls_was_asked_for_is_named(home: dict[str, str], directory: Path, registry: Registry) -> None:
    assert "--insecure" in fails(home, "mount", f"https://{registry.host}", directory)


@pytest.mark.logs(r" refuses the login; ")
def test_a_login_that_is_refused_is_named(home: dict[str, str], directory: Path, htpasswd: Registry) -> None:
    ca = ("--ca-file", htpasswd.lab.ca)
    assert "login" in fails(home, "mount", *ca, htpasswd.host, directory)
    wrong = {**home, "REGFS_PASSWORD": "wrong"}
    line = fails(wrong, "mount", *ca, "--username", USER, htpasswd.host, directory)
    assert "login" in line
    assert "wrong" not in line
    right = {**home, "REGFS_PASSWORD": PASSWORD}
    done = run("mount", *ca, "--username", USER, htpasswd.host, str(directory), environment=right)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, (("Content-Type", "text/html"),), b"<html>Welcome</html>"),
        Answer(404, (("Content-Type", "text/html"),), b"<html>nothing</html>"),
        Answer(500, (), b"broken"),
    ],
    ids=["a web page", "not found", "broken"],
)
@pytest.mark.logs(r", not as a registry does$")
def test_what_is_not_a_registry_is_named(home: dict[str, str], directory: Path, answer: Answer) -> None:
    with Server(lambda request: answer) as server:
        assert server.host in fails(home, "mount", "--retries", "0", f"http://{server.host}", directory)


def test_a_missing_directory_is_named(home: dict[str, str], tmp_path: Path, registry: Registry) -> None:
    assert str(tmp_path / "missing") in fails(home, "mount", registry.url, tmp_path / "missing")


def test_a_file_as_the_directory_is_named(home: dict[str, str], tmp_path: Path, registry: Registry) -> None:
    (tmp_path / "file").touch()
    assert "not a directory" in fails(home, "mount", registry.url, tmp_path / "file")


def test_a_directory_that_is_not_empty_is_refused(home: dict[str, str], directory: Path, registry: Registry) -> None:
    (directory / "mine").touch()
    assert "not empty" in fails(home, "mount", registry.url, directory)


def test_a_directory_that_is_mounted_already_is_refused(
    home: dict[str, str], directory: Path, registry: Registry
) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    assert "busy" in fails(home, "mount", registry.url, directory)
    assert os.listdir(directory) is not None


REFERENCES = {
    "no host": "/repository",
    "a scheme that is none": "ftp://localhost:5000",
    "a port that is none": "localhost:99999",
    "an uppercase repository": "localhost:5000/Repository",
    "an alias that is none": "localhost:5000/repository:-x",
    "a digest that is none": "localhost:5000/repository@sha256:12",
    "both": f"localhost:5000/repository:v1@sha256:{'0' * 64}",
    "an alias of nothing": "localhost:5000/:v1",
    "credentials": "user:secret@localhost:5000",
}


@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
def test_a_bad_reference_is_told_the_right_form(home: dict[str, str], directory: Path, reference: str) -> None:
    line = fails(home, "mount", reference, directory, status=2)
    assert re.search(r"form|did you mean|written|letters|range|keep one", line), line
    assert "secret" not in line


@pytest.mark.logs(r": there is no such repository; ")
def test_a_repository_that_is_not_there_is_named(home: dict[str, str], directory: Path, registry: Registry) -> None:
    assert "no such repository" in fails(home, "mount", f"{registry.url}/no/such", directory)


@pytest.mark.logs(r": there is no such (tag|manifest); ")
def test_an_alias_that_is_not_there_is_named(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    assert "no such tag" in fails(home, "mount", f"{registry.url}/{repository}:v2", directory)
    assert "no such" in fails(home, "mount", f"{registry.url}/{repository}@sha256:{'0' * 64}", directory)


@pytest.mark.logs(r"^libfuse 2 is missing; ")
def test_a_missing_libfuse_is_named(home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    patch = "import ctypes.util\nctypes.util.find_library = lambda _: None\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(patch)
    home["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path / "site"), home.get("PYTHONPATH"))))
    assert "libfuse" in fails(home, "mount", "--fuse=fusepy", registry.url, directory)


@pytest.mark.logs(r" is open to other users; ")
def test_a_cache_that_cannot_be_used_is_named(
    home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "open").mkdir(mode=0o755)
    line = fails(home, "mount", "--cache-dir", tmp_path / "open", registry.url, directory)
    assert "chmod 700" in line
    fails(home, "mount", "--cache-dir", tmp_path / "file", registry.url, directory, status=2)


def test_a_log_that_cannot_be_written_is_named(
    home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    line = fails(home, "mount", "--log-file", tmp_path / "file" / "log", registry.url, directory)
    assert str(tmp_path / "file") in line


def test_after_a_kill_the_next_mount_heals_the_directory(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    server = server_of(directory)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: gone(server))
    with refused(errno.ENOTCONN, errno.ECONNABORTED):
        os.listdir(directory)
    done = run("mount", registry.url, str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert (directory / repository / "v1" / "a").read_bytes() == b"a"


def test_after_a_kill_umount_unmounts(home: dict[str, str], directory: Path, registry: Registry) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    server = server_of(directory)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: gone(server))
    done = run("umount", str(directory), environment=home)
    assert (done.returncode, done.stderr) == (0, "")
    assert not is_mounted(directory)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_unmounts(home: dict[str, str], directory: Path, registry: Registry, number: signal.Signals) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    server = server_of(directory)
    os.kill(server, number)
    eventually(lambda: gone(server))
    assert not is_mounted(directory)


def test_bytes_that_were_not_closed_survive_a_kill(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    handle = os.open(directory / repository / "v1" / "new", os.O_WRONLY | os.O_CREAT)
    os.write(handle, b"precious")
    server = server_of(directory)
    os.kill(server, signal.SIGKILL)
    eventually(lambda: gone(server))
    with refused(errno.ENOTCONN, errno.ECONNABORTED):
        os.close(handle)
    assert [path.with_name("data").read_bytes() for path in (tmp_path / "state").rglob("meant.json")] == [b"precious"]


def test_umount_of_what_is_not_a_mount_is_refused(home: dict[str, str], directory: Path) -> None:
    assert "is not a mount of regfs" in fails(home, "umount", directory)
    assert "is not a mount of regfs" in fails(home, "umount", directory / "missing")
    assert "is not a mount of regfs" in fails(home, "umount", "/proc")


def test_umount_of_a_busy_mount_is_refused(home: dict[str, str], directory: Path, registry: Registry) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    with subprocess.Popen(["sleep", "60"], cwd=directory) as inside:
        try:
            assert "busy" in fails(home, "umount", directory)
        finally:
            inside.kill()
    assert run("umount", str(directory), environment=home).returncode == 0


def test_umount_does_not_wait_for_who_has_the_mount_in_a_namespace_of_its_own(
    home: dict[str, str], directory: Path, registry: Registry
) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    server = server_of(directory)
    with subprocess.Popen(["unshare", "-m", "sh", "-c", "echo; read line"], stdin=PIPE, stdout=PIPE) as apart:
        assert apart.stdout is not None
        apart.stdout.readline()
        done = run("umount", str(directory), environment=home)
        assert done.returncode == 0
        assert f"{directory} is unmounted; the same mount is still on {directory} for " in done.stderr
        assert not is_mounted(directory)
        assert not gone(server)
        apart.communicate(b"\n")


def test_umount_does_not_wait_for_another_place_of_the_mount(
    home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path
) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    (other := tmp_path / "other").mkdir()
    subprocess.run(["mount", "--bind", directory, other], check=True)
    try:
        done = run("umount", str(directory), environment=home)
    finally:
        subprocess.run(["umount", other], check=True)
    assert done.returncode == 0
    assert done.stderr == f"regfs: {directory} is unmounted; the same mount is still on {other}\n"


@pytest.mark.parametrize("name", ["with space", "größe", "back\\slash", 'quote\'d "x"', "comma,comma"])
def test_a_directory_can_have_any_name(home: dict[str, str], tmp_path: Path, registry: Registry, name: str) -> None:
    directory = tmp_path / name
    directory.mkdir()
    try:
        assert run("mount", registry.url, str(directory), environment=home).returncode == 0
        assert os.path.ismount(directory)
        done = run("umount", str(directory), environment=home)
        assert (done.returncode, done.stderr) == (0, "")
    finally:
        subprocess.run(["fusermount", "-u", "-z", directory], check=False, stderr=subprocess.DEVNULL)


def test_a_directory_can_be_named_relatively_and_through_a_link(
    home: dict[str, str], directory: Path, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory.parent)
    os.symlink("mnt", "link")
    for name in ("mnt", "./link", "link"):
        done = run("mount", registry.url, name, environment=home)
        assert (done.returncode, done.stderr) == (0, "")
        assert os.path.ismount(directory)
        done = run("umount", name, environment=home)
        assert (done.returncode, done.stderr) == (0, "")


def test_two_mounts_of_one_registry_agree(
    registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    one, two = Mounted(tmp_path / "one", registry.url), Mounted(tmp_path / "two", registry.url)
    try:
        one.write_bytes(f"{repository}/v1/of-one", b"1")
        two.write_bytes(f"{repository}/v1/of-two", b"2")
        eventually(lambda: one.list(f"{repository}/v1"), ["a", "of-one", "of-two"])
        assert one.read_bytes(f"{repository}/v1/of-two") == b"2"
        assert foreign.files(repository, "v1") == {"a": b"a", "of-one": b"1", "of-two": b"2"}
    finally:
        one.close()
        two.close()


def test_the_mount_table_says_what_is_mounted(home: dict[str, str], directory: Path, registry: Registry) -> None:
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    lines = [line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines()]
    assert [(line[0], line[2]) for line in lines if line[1] == str(directory)] == [(registry.url, "fuse.regfs")]


def test_what_nobody_catches_in_a_thread_is_in_the_log(tmp_path: Path) -> None:
    program = """if True:
        import pathlib, sys, threading
        from regfs.observe.logs import log_file, log_to
        log_to(log_file(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]).parent), "info")
        thread = threading.Thread(target=lambda: 1 / 0, name="fetching")
        thread.start()
        thread.join()"""
    log = tmp_path / "mount.log"
    done = subprocess.run([sys.executable, "-c", program, log], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert " ERROR fetching failed\nTraceback " in log.read_text()
