"""Under systemd: readiness, status and a clean stop; the units are ones that systemd understands."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import REGFS

UNITS = Path(__file__).parents[2] / "docs/systemd"


class Manager:
    """What systemd is to a service: a socket that is told how it fares."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path.replace("@", "\0", 1) if path[0] == "@" else path)
        self._socket.settimeout(30)

    def told(self) -> list[str]:
        """The next message."""
        return self._socket.recv(4096).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the manager listens: a path, or a name that no file has."""
    return str(tmp_path / "notify") if request.param == "path" else f"@regfs-test-{os.getpid()}"


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    """A manager that listens there."""
    made = Manager(address)
    yield made
    made.close()


def test_a_mount_in_the_foreground_tells_when_it_answers_and_when_it_ends(
    home: dict[str, str], directory: Path, registry: Registry, manager: Manager, address: str
) -> None:
    command = [sys.executable, REGFS, "mount", "--foreground", registry.url, str(directory)]
    with subprocess.Popen(command, env={**home, "NOTIFY_SOCKET": address}, stderr=subprocess.PIPE) as service:
        assert manager.told() == ["READY=1", f"STATUS={registry.url} is mounted on {directory}"]
        assert os.path.ismount(directory)
        service.send_signal(signal.SIGTERM)
        assert manager.told() == ["STOPPING=1"]
        service.communicate(timeout=30)
    assert service.returncode == 0
    assert not os.path.ismount(directory)


def test_the_stop_of_a_service_pushes_what_is_still_being_written(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    command = [sys.executable, REGFS, "mount", "--foreground", registry.url, str(directory)]
    with subprocess.Popen(command, env=home, stderr=subprocess.PIPE, text=True) as service:
        assert service.stderr is not None
        assert "is mounted" in service.stderr.readline()
        (directory / f"{repository}:v1").mkdir()
        written = os.open(directory / f"{repository}:v1" / "a", os.O_WRONLY | os.O_CREAT)
        os.write(written, b"not closed yet")
        service.send_signal(signal.SIGTERM)
        service.communicate(timeout=60)
    with pytest.raises(OSError, match="not connected"):
        os.close(written)
    assert foreign.files(repository, "v1") == {"a": b"not closed yet"}
    assert service.returncode == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize(("unit", "instance"), [("regfs@.service", "mnt-reg"), ("user/regfs@.service", "reg")])
def test_systemd_understands_the_units(tmp_path: Path, unit: str, instance: str) -> None:
    text = (UNITS / unit).read_text().replace("/usr/local/bin/regfs", REGFS).replace("%h/.local/bin/regfs", REGFS)
    path = tmp_path / f"regfs@{instance}.service"
    path.write_text(text.replace("Documentation=man:regfs-mount(1)\n", ""))
    user = ["--user"] if unit.startswith("user/") else []
    done = subprocess.run(
        ["systemd-analyze", *user, "verify", path], capture_output=True, text=True, check=False, timeout=60,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
