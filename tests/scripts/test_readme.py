"""The pages for users: their blocks of commands are run, in order, against real registries; outputs are compared."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from regfs.cli import commands
from tests.registries import PASSWORD, USER, Registry
from tests.scenarios.foreign import Foreign

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LISTED = re.compile(r"([-d][-rwx]{9}) \d+ \S+ \S+ +(\d+) \w{3} +\d+ +[\d:]+ (.+)")  # of ls -l: mode, size, name
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_SUDO = '#!/bin/sh\necho "$@" >> "$HOME/sudo.log"\n'


class Reader:
    """Somebody who types what README.md says, with a home directory of their own."""

    def __init__(self, home: Path, plain: Registry, htpasswd: Registry) -> None:
        self.home = home
        self._hosts = {"localhost:5000": plain.host, "registry.example.com": htpasswd.host}
        self._ca = htpasswd.lab.ca
        self.clone = home / "clone"
        self._prepare()

    def _prepare(self) -> None:
        """What the text speaks of without making it: a clone, some files, sudo."""
        self.clone.mkdir(parents=True)
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, self.clone)
        shutil.copytree(ROOT / "docs/man", self.clone / "docs/man")
        shutil.copytree(ROOT / "regfs", self.clone / "regfs", ignore=shutil.ignore_patterns("__pycache__"))
        (self.clone / "config.json").write_text('{"layers": 12, "heads": 8}\n')
        (self.clone / "weights.bin").write_bytes(os.urandom(64 << 20))
        (self.clone / "report.txt").write_text("a report, with an x in it\n")
        (self.home / "bin").mkdir()
        (self.home / "bin/sudo").write_text(_SUDO)
        (self.home / "bin/sudo").chmod(0o755)

    def run(self, script: str) -> str:
        """Run a script as it stands in the text; returns what it printed."""
        for name, host in self._hosts.items():
            script = script.replace(name, host)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.clone, env=self._environment(script),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\n{done.stdout}"
        return done.stdout

    def _environment(self, script: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGFS_", "XDG_"))}
        path = [str(self.home / ".local/bin"), str(self.home / "bin"), sysconfig.get_path("scripts"), kept["PATH"]]
        caches = kept.get("PIP_CACHE_DIR", os.path.expanduser("~/.cache/pip"))
        trust = {}
        if self._hosts["registry.example.com"] in script:  # the user's machine knows the CA; each client is told
            names = ("SSL_CERT_FILE", "REGFS_CA_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
            trust = dict.fromkeys(names, self._ca)
        return kept | trust | {
            "HOME": str(self.home),
            "PATH": os.pathsep.join(path),
            "PIP_CACHE_DIR": caches,
            "PASSWORD": PASSWORD,
            "XDG_RUNTIME_DIR": str(self.home),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }  # fmt: skip

    def leave(self) -> None:
        """Unmount what a failure has left mounted."""
        if os.path.ismount(self.home / "reg"):
            subprocess.run(["fusermount", "-u", "-z", self.home / "reg"], check=True)


def _published_before(registry: Registry) -> None:
    """What docs/IMAGES.md speaks of: an image of one platform, and one of two."""
    foreign = Foreign(registry)
    for alias, architecture, text in (("v1", "amd64", "old"), ("amd64", "amd64", "new"), ("arm64", "arm64", "new")):
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w:gz") as layer:
            entry = tarfile.TarInfo("etc/app.conf")
            entry.size = len(text)
            layer.addfile(entry, io.BytesIO(text.encode()))
        config = json.dumps({"os": "linux", "architecture": architecture, "config": {"Cmd": [text]}}).encode()
        layers = [foreign.layer("app", archive.getvalue(), mediaType=LAYER)]
        described = foreign.layer("app", config, mediaType="application/vnd.oci.image.config.v1+json")
        foreign.publish("app", alias, layers, config=described)
    platforms = {"amd64": {"os": "linux", "architecture": "amd64"},
                 "arm64": {"os": "linux", "architecture": "arm64", "variant": "v8"}}  # fmt: skip
    foreign.index("app", "v2", [(foreign.digest("app", alias), platform) for alias, platform in platforms.items()])
    foreign.close()


def _made_before(clone: Path) -> None:
    """What docs/MODELS.md speaks of: a model, a program that reads one tensor of it, and a data set."""
    (clone / "model").mkdir()
    (clone / "model/config.json").write_text("{}\n")
    (clone / "model/tokenizer.json").write_text("{}\n")
    weights = [("embed.weight", os.urandom(32 << 20)), ("norm.weight", struct.pack("<1024f", *[0.5] * 1024)),
               ("head.weight", os.urandom(16 << 20))]  # fmt: skip
    header, offset = {}, 0
    for name, content in weights:
        header[name] = {"dtype": "F32", "shape": [len(content) // 4], "data_offsets": [offset, offset + len(content)]}
        offset += len(content)
    written = json.dumps(header).encode()
    tensors = b"".join(content for _, content in weights)
    (clone / "model/model.safetensors").write_bytes(struct.pack("<Q", len(written)) + written + tensors)
    program = re.search(r"(?ms)^\$ cat tensor.py\n(.*?)^\$", (ROOT / "docs/MODELS.md").read_text())
    assert program is not None
    (clone / "tensor.py").write_text(program[1])
    (clone / "shards").mkdir()
    for number in range(4):
        (clone / f"shards/{number}.txt").write_text("some words of a text\n" * 1000)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home directory of a reader."""
    return tmp_path / "home"


def _dialogue(block: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines that it printed."""
    for part in re.split(r"(?m)^\$ ", block)[1:]:
        command, *printed = part.rstrip("\n").split("\n")
        yield command, printed


def _comparable(line: str) -> str | tuple[str, ...]:
    """A line without what differs from machine to machine: owners and times."""
    listed = _LISTED.fullmatch(line)
    return listed.groups() if listed else line


@pytest.mark.timeout(300)  # README.md installs regfs with everything that it needs
@pytest.mark.parametrize("page", ["README.md", "docs/MODELS.md", "docs/IMAGES.md", "docs/CI.md", "docs/SYSTEM.md"])
def test_every_command_of_a_page_works_and_prints_what_it_says(
    page: str, home: Path, own_registry: Registry, htpasswd: Registry
) -> None:
    assert USER == "fred"
    _published_before(own_registry)
    reader = Reader(home, own_registry, htpasswd)
    _made_before(reader.clone)
    try:
        _read(reader, (ROOT / page).read_text(encoding="utf-8"))
        assert not os.path.ismount(reader.home / "reg")
    finally:
        reader.leave()


def _read(reader: Reader, page: str) -> None:
    for kind, block in _BLOCK.findall(page):
        if kind == "sh":
            reader.run(block)
            continue
        for command, printed in _dialogue(block):
            got = reader.run(command).splitlines()
            assert list(map(_comparable, got)) == list(map(_comparable, printed)), command


def test_the_readme_asks_for_the_packages_that_setup_installs() -> None:
    setup = (ROOT / "scripts/setup").read_text()
    asked = re.findall(r"^sudo apt-get install -y (.+)$", README, re.MULTILINE)
    assert asked
    assert all(re.search(rf"echo .*\b{re.escape(name)}\b", setup) for line in asked for name in line.split())


def test_the_readme_has_every_option_of_mount_and_no_other() -> None:
    table = re.findall(r"^\| (`-.+?) \|", README.partition("## Options")[2].partition("\n## ")[0], re.MULTILINE)
    written = {option for row in table for option in re.findall(r"`(?:-f`, `)?(--[a-z-]+|-o\b)", row)}
    mount = commands.get_command(click.Context(commands), "mount")
    assert mount is not None
    options = [option for option in mount.params if isinstance(option, click.Option)]
    there = {max(option.opts, key=len) for option in options if not option.hidden}
    assert written == there


def test_the_readme_has_every_command_and_says_which_are_missing() -> None:
    missing = set(re.findall(r"`regfs ([a-z-]+)`", README.partition("- Not there yet:")[2].partition("\n\n")[0]))
    named = set(re.findall(r"regfs ([a-z-]+)", README)) - missing
    there = set(commands.list_commands(click.Context(commands)))
    assert there
    assert missing.isdisjoint(there)
    assert named >= there


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]), ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_interpreter_is_one_that_the_readme_names() -> None:
    assert sys.version_info >= tuple(map(int, re.findall(r"Python (\d+)\.(\d+)", README)[0]))
