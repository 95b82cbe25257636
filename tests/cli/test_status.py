"""regfs status, the metrics, and what the log and docs/TROUBLESHOOTING.md say of errors."""

from __future__ import annotations

import ast
import base64
import ctypes
import errno
import json
import mmap
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from regfs.fs import errnos
from regfs.fs.remedies import REMEDIES
from regfs.observe.counters import Activity
from regfs.oci.target import Target
from regfs.registry.api import AHEAD_PIECE
from regfs.write.journal import Journal, Pending
from tests.gate import Gate
from tests.logs import NOT_PUSHED, STALE
from tests.registries import PASSWORD, USER, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import REGFS, Mounted, eventually, refused, run

ROOT = Path(__file__).parents[2]
SENT_AHEAD = AHEAD_PIECE + 5  # bytes
LIBC = ctypes.CDLL(None)  # its mmap keeps no descriptor of its own, as Python's does
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LARGE = 9 << 20  # bytes; more than is fetched whole


@pytest.fixture
def mounted(tmp_path: Path, registry: Registry) -> Iterator[Mounted]:
    """A mount of the registry."""
    view = Mounted(tmp_path, registry.url, log_level="debug")
    yield view
    view.close()


def told(view: Mounted, *arguments: str) -> dict[str, Any]:
    """What ``regfs status --json`` says of the only mount."""
    done = run("status", "--json", *arguments, environment=view.environment)
    assert (done.returncode, done.stderr) == (0, "")
    (found,) = json.loads(done.stdout)["mounts"]
    assert isinstance(found, dict)
    return found


def counted(found: dict[str, Any], method: str, kind: str) -> int:
    """How many requests of a kind there were."""
    return sum(item["count"] for item in found["requests"] if (item["method"], item["kind"]) == (method, kind))


def test_a_mount_says_what_it_is(mounted: Mounted, registry: Registry) -> None:
    found = told(mounted)
    assert (found["directory"], found["reference"]) == (str(mounted.directory), registry.url)
    assert (found["state"], found["pid"]) == ("serves", mounted.pid)
    assert found["uptime"] >= 0
    printed = run("status", environment=mounted.environment).stdout
    assert printed.startswith(f"{mounted.directory}  {registry.url}\n  process   {mounted.pid}, for 0:00:")


def test_reads_are_counted_by_where_the_bytes_came_from(mounted: Mounted, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a" * LARGE})
    mounted.read_bytes(f"{repository}/v1/a")
    first = told(mounted)
    assert (first["cache"]["misses"], first["cache"]["hits"]) == (1, 0)
    assert first["network"]["received"] == LARGE
    assert counted(first, "GET", "blob") > 0
    mounted.read_bytes(f"{repository}/v1/a")
    second = told(mounted)
    assert (second["cache"]["misses"], second["cache"]["hits"]) == (1, 1)
    assert second["network"]["received"] == LARGE


def test_writes_are_counted_and_so_are_open_files(mounted: Mounted, repository: str) -> None:
    mounted.mkdir(f"{repository}:v1")
    with mounted.open(f"{repository}:v1/a", os.O_WRONLY | os.O_CREAT) as handle:
        handle.write(b"a" * 1000, 0)
        assert told(mounted)["handles"] == 1
    eventually(lambda: told(mounted)["handles"], 0)
    found = told(mounted)
    assert found["pushed"] == 1
    assert found["network"]["sent"] > 1000
    assert counted(found, "PUT", "manifest") == 1


@pytest.mark.parametrize(
    ("method", "path", "size"),
    [
        ("HEAD", r"/blobs/sha256:", 3),  # is it there already?
        ("POST", r"/blobs/uploads/", 3),
        ("PUT", r"/blobs/uploads/", 3),
        ("PUT", r"/manifests/v1$", 3),
        ("PUT", r"/blobs/uploads/", SENT_AHEAD),  # the end of what was sent while it was written
    ],
)
def test_a_file_on_its_way_is_shown(
    tmp_path: Path, gate: Gate, repository: str, method: str, path: str, size: int
) -> None:
    gate.holds = lambda request: request.method == method and re.search(path, request.path) is not None
    view = Mounted(tmp_path, gate.url)
    view.mkdir(f"{repository}:v1")
    written = view.open(f"{repository}:v1/a", os.O_WRONLY | os.O_CREAT)
    written.write(b"a" * size, 0)
    gate.close()
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(written.close)
        try:
            assert gate.reached.wait(30)
            found = told(view)
            shown = run("status", environment=view.environment).stdout
        finally:
            gate.opened.set()
        closing.result()
    (push,) = found["pushes"]
    assert (push["target"], push["size"], found["pushed"]) == (f"{repository}:v1 a", size, 0)
    assert f"  pushing   {repository}:v1 a, " in shown
    assert (told(view)["pushes"], told(view)["pushed"]) == ([], 1)
    view.close()


def test_how_much_of_a_file_is_on_its_way_is_counted() -> None:
    activity, sent = Activity(), [0]
    with activity.pushing("a:v1 b", 10, lambda: sent[0]):
        sent[0] = 4
        (push,) = activity.pushes()
        assert (push.size, push.sent) == (10, 4)
    assert activity.pushes() == []


@pytest.mark.logs(r"^create .*: it belongs to no alias; ")
def test_the_last_errors_are_shown_with_what_to_do(mounted: Mounted, foreign: Foreign, repository: str) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    with refused(errno.EPERM):
        mounted.write_bytes(f"{repository}/belongs-nowhere", b"a")
    (error,) = told(mounted)["errors"]
    assert (error["verb"], error["path"], error["errno"]) == ("create", f"/{repository}/belongs-nowhere", "EPERM")
    assert error["remedy"] == REMEDIES[errno.EPERM].remedy
    assert REMEDIES[errno.EPERM].remedy in run("status", environment=mounted.environment).stdout


@pytest.mark.logs(r"^push .*; its bytes are kept, see: regfs pending$", STALE, NOT_PUSHED)
def test_a_push_that_fails_after_the_last_close_is_among_the_last_errors(
    tmp_path: Path, own_registry: Registry, repository: str
) -> None:
    view = Mounted(tmp_path, own_registry.url)
    view.mkdir(f"{repository}:v1")
    with open(view.path(f"{repository}:v1/a"), "w+b") as file:
        file.write(b"early")
        file.flush()
        memory = LIBC.mmap(None, 5, mmap.PROT_WRITE, mmap.MAP_SHARED, file.fileno(), 0)
    own_registry.stop()
    ctypes.memmove(memory, b"later", 5)
    assert LIBC.munmap(memory, 5) == 0
    eventually(
        lambda: [(error["verb"], error["path"], error["errno"]) for error in told(view)["errors"]],
        [("push", f"/{repository}:v1/a", "EHOSTUNREACH")],
    )
    (error,) = told(view)["errors"]
    assert error["text"].endswith("; its bytes are kept, see: regfs pending")
    assert error["remedy"] == REMEDIES[errno.EHOSTUNREACH].remedy
    assert view.journal() == [b"later"]
    assert view.log().count(" ERROR ") == 1
    own_registry.restart()
    view.write_bytes(f"{repository}:v1/a", b"latest")
    assert view.journal() == []
    view.close()


def left_for(view: Mounted, host: str) -> Pending:
    """A file of the journal whose push to a registry failed."""
    journal, target = Journal(view.state / "journal", host), Target("a", "v1", ("file",))
    file = journal.stage(target)
    file.write(b"abc", 0)
    file.close()
    return next(item for item in journal.pending() if item.host == host)


def test_files_that_were_not_pushed_are_counted_for_each_registry(mounted: Mounted, registry: Registry) -> None:
    left = [left_for(mounted, host) for host in (registry.host, "other.example.com", "other.example.com")]
    own = f"1 file for {registry.host} was not pushed; see: regfs pending\n"
    others = "2 files for other.example.com were not pushed; see: regfs pending\n"
    assert run("status", environment=mounted.environment).stdout.endswith(own + others)
    shown = run("status", str(mounted.directory), environment=mounted.environment).stdout
    assert shown.endswith(own)
    assert "other.example.com" not in shown
    done = run("status", "--json", environment=mounted.environment)
    assert json.loads(done.stdout)["pending"] == {registry.host: 1, "other.example.com": 2}
    for pending in (*left, *Journal(mounted.state / "journal", "").pending()):
        pending.drop()


def test_one_mount_can_be_asked_for(mounted: Mounted, tmp_path: Path) -> None:
    assert told(mounted, str(mounted.directory))["pid"] == mounted.pid
    done = run("status", str(tmp_path), environment=mounted.environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not a mount of regfs" in done.stderr


def test_a_mount_that_hangs_is_shown_as_such(mounted: Mounted) -> None:
    process = mounted.pid
    os.kill(process, signal.SIGSTOP)
    try:
        assert told(mounted, str(mounted.directory))["state"] == "hangs"
    finally:
        os.kill(process, signal.SIGCONT)


def test_a_mount_whose_process_is_gone_is_shown_until_it_is_unmounted(mounted: Mounted) -> None:
    os.kill(mounted.pid, signal.SIGKILL)
    eventually(lambda: told(mounted)["state"], "dead")
    assert run("umount", str(mounted.directory), environment=mounted.environment).returncode == 0
    done = run("status", environment=mounted.environment)
    assert (done.returncode, done.stdout) == (0, "nothing is mounted\n")
    assert list((mounted.state / "mounts").iterdir()) == []
    run("mount", told_reference(mounted), str(mounted.directory), environment=mounted.environment)


def told_reference(view: Mounted) -> str:
    """A reference that can be mounted where the killed one was."""
    return str(re.findall(r"INFO (\S+) is mounted", view.log())[-1])


def test_who_asks_and_never_reads_keeps_nobody_waiting(mounted: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mounted.state / "mounts")  # a socket's address has 107 bytes at most
    with ExitStack() as asked:
        for _ in range(3):
            asking = asked.enter_context(socket.socket(socket.AF_UNIX))
            asking.connect(f"{mounted.pid}.sock")
        assert told(mounted)["state"] == "serves"


def test_nobody_else_can_ask(mounted: Mounted) -> None:
    assert (mounted.state / "mounts").stat().st_mode & 0o077 == 0


def test_metrics_are_what_prometheus_understands(tmp_path: Path, registry: Registry, foreign: Foreign) -> None:
    foreign.artifact("metrics", "v1", {"a": b"abc"})
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    view = Mounted(tmp_path, registry.url, metrics=port)
    view.read_bytes("metrics/v1/a")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = {(sample.name, *sorted(sample.labels.values())): sample.value for f in families for sample in f.samples}
    assert samples["regfs_cache_misses_total",] == 1
    assert samples["regfs_received_bytes_total",] == 3
    assert samples["regfs_requests_total", "200", "GET", "blob"] == 1
    view.close()


@pytest.mark.logs(r": Address already in use; name another port$")
def test_a_port_that_is_taken_is_one_line_and_nothing_is_mounted(
    home: dict[str, str], directory: Path, registry: Registry
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("mount", "--metrics", str(port), registry.url, str(directory), environment=home)
    assert done.returncode == 1
    assert done.stderr == f"regfs: --metrics 127.0.0.1:{port}: Address already in use; name another port\n"
    assert not os.path.ismount(directory)


def test_neither_status_nor_metrics_nor_the_log_has_a_secret(
    home: dict[str, str], directory: Path, htpasswd: Registry
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--username", USER, "--ca-file", htpasswd.lab.ca, "--metrics", str(port), "--log-level", "debug"]
    environment = {**home, "REGFS_PASSWORD": PASSWORD}
    assert run("mount", *options, htpasswd.url, str(directory), environment=environment).returncode == 0
    (directory / "secret:v1").mkdir()
    (directory / "secret:v1" / "a").write_bytes(b"a")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        printed = answer.read().decode()
    printed += run("status", environment=home).stdout + run("status", "--json", environment=home).stdout
    printed += Path(home["XDG_STATE_HOME"], "regfs/log/mount.log").read_text()
    assert "PUT" in printed
    assert f"is mounted on {directory} as {USER}\n" in printed
    for secret in (PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode(), "digest=", "_state="):
        assert secret not in printed
    assert run("umount", str(directory), environment=home).returncode == 0


def test_at_debug_the_log_has_every_request_and_by_default_it_is_short(
    mounted: Mounted, tmp_path: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    quiet = Mounted(tmp_path / "quiet", registry.url)
    for view in (mounted, quiet):
        view.read_bytes(f"{repository}/v1/a")
    assert re.search(
        rf"DEBUG GET {registry.url}/v2/{repository}/blobs/sha256:\S+: 200, \d+ ms, 0 bytes sent, 1 to come",
        mounted.log(),
    )
    quiet.close()
    lines = [line.split(" ", 3)[3] for line in quiet.log().splitlines()]
    assert lines == [
        f"INFO {registry.url} is mounted on {quiet.directory}",
        f"INFO {registry.url} is unmounted from {quiet.directory}: 0 files were pushed, 1 bytes of blobs received",
    ]


@pytest.mark.logs(STALE)
def test_the_log_says_when_old_answers_are_served_and_when_the_registry_is_back(
    tmp_path: Path, own_registry: Registry, repository: str
) -> None:
    view = Mounted(tmp_path, own_registry.url, ttl=0.2)
    view.mkdir(f"{repository}:v1")
    view.write_bytes(f"{repository}:v1/a", b"a")
    view.list(repository)
    own_registry.stop()
    eventually(lambda: (view.list(repository), "what was known is served" in view.log())[1], True)
    own_registry.restart()
    eventually(lambda: (view.list(repository), "INFO the registry answers again" in view.log())[1], True)
    view.close()
    assert view.log().count("answers again") == 1


def test_under_systemd_lines_begin_with_their_priority(
    home: dict[str, str], directory: Path, registry: Registry, tmp_path: Path
) -> None:
    with (tmp_path / "journal").open("w") as journal:
        status = os.fstat(journal.fileno())
        environment = {**home, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        command = [sys.executable, REGFS, "mount", "-f", registry.url, str(directory)]
        with subprocess.Popen(command, env=environment, stderr=journal) as service:
            eventually(lambda: os.path.ismount(directory), True)
            service.send_signal(signal.SIGTERM)
    assert (tmp_path / "journal").read_text().startswith(f"<6>{registry.url} is mounted on {directory}\n")


def _raised() -> Iterator[int]:
    """The error numbers that the code names where it raises or translates."""
    yield from (number for _, number in errnos._BY_TYPE)
    for path in (ROOT / "regfs").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("OSError", "Refused") and node.args:
                named = node.args[0]
                if isinstance(named, ast.Attribute) and getattr(named.value, "id", "") == "errno":
                    yield getattr(errno, named.attr)


def test_every_error_that_a_user_can_get_has_a_remedy() -> None:
    assert set(_raised()) <= REMEDIES.keys()


def test_the_document_has_every_remedy() -> None:
    rows = re.findall(
        r"^\| `(E[A-Z0-9]+)` \| (.+?) \| (.+?) \|$", (ROOT / "docs/TROUBLESHOOTING.md").read_text(), re.MULTILINE
    )
    there = {errno.errorcode[number]: (item.cause, item.remedy) for number, item in REMEDIES.items()}
    assert {name: (cause, remedy) for name, cause, remedy in rows} == there
