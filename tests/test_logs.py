"""The log of a mount is read: what it warns of fails the test that did not announce it, and a trace fails any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.logs import Logs

ROOT = Path(__file__).parents[1]
WARNING = "2026-11-24 12:00:00,000 4711 WARNING the disk is full\n"
TRACE = "2026-11-24 12:00:00,000 4711 ERROR it failed\nTraceback (most recent call last):\n"
_TESTS = f"""
import pytest
from tests.scenarios.views import environment

@pytest.fixture(scope="module")
def log(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    environment(home)
    file = home / "state/regfs/log/mount.log"
    file.parent.mkdir(parents=True)
    return file

def warn(log):
    with open(log, "a") as file:
        file.write({WARNING!r})

@pytest.mark.logs("disk is full$")
def test_announced(log):
    warn(log)

def test_quiet(log):
    pass

@pytest.mark.logs("something else")
def test_not_announced(log):
    warn(log)
"""


def test_a_warning_of_a_mount_fails_the_test_that_did_not_announce_it_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(_TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider",
         "--basetemp", tmp_path / "base", tmp_path / "test_it.py"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "3 passed, 1 error" in done.stdout
    assert "ERROR at teardown of test_not_announced" in done.stdout
    assert "not announced by @pytest.mark.logs(pattern): the disk is full" in done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A log."""
    return tmp_path / "mount.log"


@pytest.fixture
def logs(file: Path) -> Logs:
    """They follow it, before it is there."""
    following = Logs()
    following.follow(file)
    return following


def test_each_line_is_read_once(logs: Logs, file: Path) -> None:
    assert logs.unannounced([]) == []
    file.write_text(WARNING)
    assert (logs.unannounced([]), logs.unannounced([])) == (["the disk is full"], [])


def test_a_trace_cannot_be_announced(logs: Logs, file: Path) -> None:
    file.write_text(TRACE)
    assert logs.unannounced(["."]) == ["Traceback (most recent call last):"]


def test_a_log_that_was_given_another_name_meanwhile_is_read_to_its_end(logs: Logs, file: Path) -> None:
    file.write_text(WARNING * 3)
    logs.unannounced(["."])
    with open(file, "a") as old:
        old.write(WARNING.replace("disk", "old disk"))
    file.rename(f"{file}.1")
    file.write_text(WARNING.replace("disk", "new disk"))
    assert logs.unannounced([]) == ["the old disk is full", "the new disk is full"]
