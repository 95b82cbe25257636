"""kill -9 at any moment: what close acknowledged is in the registry, what it did not is there whole or not at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, eventually, run

Mount = Callable[..., Mounted]

_WRITER = """
import os, pathlib, sys
where, number = pathlib.Path(sys.argv[1]), int(sys.argv[2])
for turn in range(1000):
    content = f"{number} {turn} ".encode() * 40_000
    path = where / f"{turn % 4}.bin"
    try:
        with open(path.with_suffix(".part") if turn % 3 == 0 else path, "wb") as file:
            for start in range(0, len(content), 65_536):
                file.write(content[start:start + 65_536])
            file.flush()
            os.fsync(file.fileno())
        if turn % 3 == 0:
            os.replace(path.with_suffix(".part"), path)
    except OSError as error:
        print("failed", path.name, turn, flush=True)
        break
    print("closed", path.name, turn, flush=True)
"""


def whole(number: int, turn: int) -> bytes:
    """What the writer writes in a turn."""
    return f"{number} {turn} ".encode() * 40_000


@pytest.mark.parametrize("seed", range(12))
def test_what_close_acknowledged_survives_a_kill(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, seed: int, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {"there.txt": b"there"})
    view = mount(registry.url, tmp_path / "user")
    command = [sys.executable, "-c", _WRITER, view.path(f"{repository}/v1"), str(seed)]
    writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    time.sleep(random.Random(seed).uniform(0.05, 1.2))
    os.kill(view.pid, signal.SIGKILL)
    lines = [line.split() for line in writer.communicate(timeout=30)[0].splitlines()]
    closed = {name: int(turn) for result, name, turn in lines if result == "closed"}
    files = foreign.files(repository, "v1")
    assert files.pop("there.txt") == b"there"
    for name, turn in closed.items():
        later = [whole(seed, turn + more) for more in (0, 4)]  # the next write may have come through unacknowledged
        assert files.get(name) in later, f"{name} of turn {turn} is not what close acknowledged"
    for name, content in files.items():
        turn = int(content.split(b" ")[1])
        assert content == whole(seed, turn), f"{name} is half of turn {turn}"
    again = mount(registry.url, tmp_path / "user")
    pushed = run("push-pending", environment=again.environment)
    assert pushed.returncode == 0, pushed.stderr
    eventually(again.journal, [])
    checked = run("cache", "check", environment=again.environment)
    assert checked.returncode == 0, checked.stdout
    assert {name: again.read_bytes(f"{repository}/v1/{name}") for name in again.list(f"{repository}/v1")} == (
        foreign.files(repository, "v1")
    )


def test_bytes_that_were_written_but_not_closed_are_in_the_journal_after_a_kill(
    mount: Mount, registry: Registry, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    foreign.artifact(repository, "v1", {})
    view = mount(registry.url, tmp_path / "user")
    handle = view.open(f"{repository}/v1/new.txt", os.O_WRONLY | os.O_CREAT)
    handle.write(b"not closed", 0)
    os.kill(view.pid, signal.SIGKILL)
    with pytest.raises(OSError):
        handle.close()
    assert view.journal() == [b"not closed"]
    assert "new.txt" in run("pending", environment=view.environment).stdout
    assert run("push-pending", environment=view.environment).returncode == 0
    assert foreign.files(repository, "v1") == {"new.txt": b"not closed"}
