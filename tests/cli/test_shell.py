"""In a shell: completion, manual pages, JSON, Ctrl-C, and what a busy mount says."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from regfs.cli import commands
from tests.logs import A_MOMENT_AGO, NOT_PUSHED
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import REGFS, run

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "docs/man"


def _completed(home: dict[str, str], words: str) -> list[str]:
    """What bash offers behind *words*."""
    script = f"""
        source <(regfs completion bash)
        COMP_WORDS=({words} '') COMP_CWORD={len(words.split())}
        _regfs_completion regfs
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    path = f"{os.path.dirname(REGFS)}:{home['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**home, "PATH": path}, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_bash_completes_the_commands(home: dict[str, str]) -> None:
    assert set(_completed(home, "regfs")) == commands.commands.keys()
    assert "prune" in _completed(home, "regfs cache")


LINES = {
    "regfs pre": "regfs prefetch ",
    "regfs cache pr": "regfs cache prune ",
    "regfs mount --read": "regfs mount --read-only ",
    "regfs umount {here}/some": "regfs umount {here}/somewhere/",
}  # what is typed before the tabulator, and what is there after it


@pytest.fixture
def here(home: dict[str, str], tmp_path: Path) -> Path:
    """A directory with a directory in it; ``regfs`` is found."""
    home["PATH"] = f"{os.path.dirname(REGFS)}:{home['PATH']}"
    (tmp_path / "here/somewhere").mkdir(parents=True)
    return tmp_path / "here"


@pytest.mark.parametrize("typed", LINES)
def test_fish_completes_commands_options_and_directories(home: dict[str, str], here: Path, typed: str) -> None:
    script = run("completion", "fish", environment=home).stdout
    line, wanted = (text.format(here=here) for text in (typed, LINES[typed]))
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"{script}\ncomplete -C '{line}'"],
        env=home, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    offered = [one.partition("\t")[0] for one in done.stdout.splitlines()]
    assert offered == [wanted.split()[-1]]


_TYPED_IN_ZSH = """
    zmodload zsh/zpty
    zpty shell zsh -i
    zpty -r shell printed '*READY*'
    zpty -n -w shell "$1"$'\\t'
    zpty -r shell printed "*$2*"
    zpty -d shell
"""


@pytest.mark.parametrize("typed", LINES)
def test_zsh_completes_commands_options_and_directories(home: dict[str, str], here: Path, typed: str) -> None:
    (here / "_regfs").write_text(run("completion", "zsh", environment=home).stdout)
    settings = f"fpath=({here} $fpath); autoload -Uz compinit; compinit -u -D; zle_highlight=(none); PS1=READY"
    (here / ".zshrc").write_text(f"{settings}\n")
    line, wanted = (text.format(here=here) for text in (typed, LINES[typed]))
    subprocess.run(
        ["zsh", "-f", "-c", _TYPED_IN_ZSH, "zsh", line, wanted.split()[-1]],
        env={**home, "ZDOTDIR": str(here), "TERM": "dumb", "COLUMNS": "500"}, timeout=90, check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip


def _pages(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.glob("man?/*")}


def test_the_manual_pages_are_those_of_the_commands(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "scripts.manual", tmp_path / "man"], cwd=ROOT, check=True)
    made, kept = (_pages(where) for where in (tmp_path / "man", MANUAL))
    assert made == kept, "run: scripts/man"


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_pages_are_rendered_without_a_warning() -> None:
    for path in MANUAL.glob("man?/*"):
        done = subprocess.run(["groff", "-man", "-ww", "-z", path], capture_output=True, text=True, check=True)
        assert done.stderr == "", path.name


def test_the_cache_tells_programs_what_it_holds(home: dict[str, str]) -> None:
    told = json.loads(run("cache", "info", "--json", environment=home).stdout)
    assert told["directory"] == f"{home['XDG_CACHE_HOME']}/regfs"
    assert (told["blobs"], told["partial"], told["size"]) == (0, 0, 0)
    assert json.loads(run("cache", "check", "--json", environment=home).stdout) == {"removed": [], "blobs": 0}


@pytest.mark.logs(r"^close .*: Failed to establish a new connection: ", A_MOMENT_AGO, NOT_PUSHED)
def test_programs_are_told_what_is_pending(home: dict[str, str], directory: Path, lab: Lab, repository: str) -> None:
    registry = lab.start("plain")
    assert run("mount", "--retries", "0", registry.url, str(directory), environment=home).returncode == 0
    (directory / f"{repository}:v1").mkdir()
    registry.stop()
    with pytest.raises(OSError):
        (directory / f"{repository}:v1" / "a b").write_bytes(b"abc")
    (told,) = json.loads(run("pending", "--json", environment=home).stdout)
    assert (told["registry"], told["repository"], told["alias"]) == (registry.host, repository, "v1")
    assert (told["title"], told["size"]) == ("a b", 3)
    run("umount", str(directory), environment=home)


def _typed(home: dict[str, str], *arguments: str) -> tuple[int, int]:
    """Start a command on a terminal of its own; returns its process and the terminal."""
    process, terminal = pty.fork()
    if process == 0:
        os.execve(sys.executable, [sys.executable, REGFS, *arguments], home)
    return process, terminal


def _until(terminal: int, awaited: str) -> str:
    printed = ""
    with suppress(OSError):  # the terminal is gone when the process is
        while awaited not in printed:
            printed += os.read(terminal, 4096).decode()
    return printed


def _ended(process: int, terminal: int) -> tuple[int, str]:
    printed = _until(terminal, "\0")
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), printed


def test_an_interrupt_while_a_password_is_typed_ends_the_command(home: dict[str, str], registry: Registry) -> None:
    process, terminal = _typed(home, "login", registry.url, "--username", "fred")
    _until(terminal, "Password: ")
    os.write(terminal, b"half a pass\x03")
    status, printed = _ended(process, terminal)
    assert status == 130
    assert "Traceback" not in printed
    assert "half" not in printed


@pytest.mark.parametrize("command", ["mount", "prefetch"])
def test_an_interrupt_while_a_registry_does_not_answer_ends_the_command(
    home: dict[str, str], directory: Path, command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reference = f"http://localhost:{silent.getsockname()[1]}/a:b"
        arguments = [command, reference, *([str(directory)] if command == "mount" else [])]
        process, terminal = _typed(home, *arguments)
        connection, _ = silent.accept()
        with connection:
            connection.recv(4096)
            os.write(terminal, b"\x03")
            status, printed = _ended(process, terminal)
    assert status == 130
    assert "Traceback" not in printed
    assert not os.path.ismount(directory)


@pytest.mark.parametrize("program", ["regfs", "mount.regfs"])
def test_an_interrupt_while_a_command_is_loaded_ends_it_without_a_trace(
    home: dict[str, str], tmp_path: Path, program: str
) -> None:
    (tmp_path / "click.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(60)\n")
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, Path(REGFS).with_name(program), "--version"],
        env={**home, "PYTHONPATH": str(tmp_path)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stdout.readline() == "loading\n"
        command.send_signal(signal.SIGINT)
        told = command.communicate()
    assert (command.returncode, told) == (-signal.SIGINT, ("", ""))


def test_a_busy_unmount_says_who_is_busy_and_a_lazy_one_does_not_mind(
    home: dict[str, str], directory: Path, registry: Registry, foreign: Foreign, repository: str
) -> None:
    foreign.artifact(repository, "v1", {"a": b"a"})
    assert run("mount", registry.url, str(directory), environment=home).returncode == 0
    opened = f"{directory}/{repository}/v1/a"
    with open(opened, "rb") as file, subprocess.Popen(["sleep", "60"], stdin=file) as sleeper:
        while Path(f"/proc/{sleeper.pid}/comm").read_text() != "sleep\n":
            time.sleep(0.01)
        file.close()
        done = run("umount", str(directory), environment=home)
        assert done.returncode == 1
        assert done.stderr == (
            f"regfs: {directory} is busy: sleep ({sleeper.pid}) uses {opened}; end that, or run: "
            f"regfs umount --lazy {directory}\n"
        )
        assert run("umount", "--lazy", str(directory), environment=home).returncode == 0
        assert not os.path.ismount(directory)
        sleeper.send_signal(signal.SIGKILL)
