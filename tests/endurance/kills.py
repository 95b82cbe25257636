"""A mount, its registry, or both killed at random moments while programs write and read; looked at after each."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path

from tests.endurance import holding
from tests.endurance.claims import Claims
from tests.endurance.writer import content_of
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted, eventually

_WRITER = Path(__file__).with_name("writer.py")
_WRITERS = ("a", "b")
_REPOSITORY, _ALIAS = "killed", "v1"
_BLOCK, _SHORT = 4096, 80  # bytes; a short block may have no whole line
_LATEST = 2.0  # seconds after the start that a kill comes at most
_CLOSE_WAIT = "08"  # include/net/tcp_states.h
_PATIENCE = 60.0  # seconds that a writer may take to notice


class Kills:
    """One user and one registry, whose mounts are killed over and over.

    ``done`` counts what was killed, acknowledged, found in the journal, and read.
    """

    def __init__(self, registry: Registry, directory: Path) -> None:
        self.done: Counter[str] = Counter()
        self._registry = registry
        self._directory = directory
        self._foreign = Foreign(registry)
        self._foreign.artifact(_REPOSITORY, _ALIAS, {})
        self._verified: set[str] = set()

    def round(self, seed: int) -> None:
        """Mount, write and read, kill, look at everything.

        :raises AssertionError: when something is not as it was acknowledged
        """
        chosen = random.Random(seed)
        victims = chosen.choices((("mount",), ("registry",), ("mount", "registry")), (7, 2, 1))[0]
        view = Mounted(self._directory, self._registry.url, cache_size="200M")
        claims = Claims(self._there())
        with self._reading(view, seed):
            writers = [self._writer(view, name, seed) for name in _WRITERS]
            time.sleep(chosen.uniform(0.02, _LATEST))
            self._kill(view, victims, chosen)
            for writer in writers:
                writer.terminate()
            said = [writer.communicate(timeout=_PATIENCE)[0].splitlines() for writer in writers]
        for lines in said:
            claims.follow(lines)
            self.done["acknowledged"] += sum(line.startswith(("done", "renames")) for line in lines)
        if "mount" not in victims:
            with suppress(AssertionError):
                view.close()  # it says so when something was not pushed
        self._look(view, claims)

    def _writer(self, view: Mounted, name: str, seed: int) -> subprocess.Popen[str]:
        command = [sys.executable, str(_WRITER), view.path(f"{_REPOSITORY}/{_ALIAS}"), name, str(seed)]
        environment = {**os.environ, "PYTHONPATH": ""}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def _kill(self, view: Mounted, victims: tuple[str, ...], chosen: random.Random) -> None:
        process = view.pid
        for victim in chosen.sample(victims, len(victims)):
            if victim == "mount":
                os.kill(process, signal.SIGKILL)
            else:
                self._registry.kill()
                time.sleep(chosen.uniform(0, 0.5))
            self.done[f"kills of the {victim}"] += 1
            time.sleep(chosen.uniform(0, 0.2))
        if "registry" in victims:
            self.done["links of the registry cut short"] += _mend_links(self._registry.root)
            self._registry.restart()
            time.sleep(chosen.uniform(0, 1))

    @contextmanager
    def _reading(self, view: Mounted, seed: int) -> Iterator[None]:
        """Meanwhile, read whatever is there: it is the beginning of something that was written, or an error."""
        ended, wrong = threading.Event(), []

        def read() -> None:
            chosen = random.Random(seed)
            while not ended.wait(0.01):
                with suppress(OSError):
                    path = f"{_REPOSITORY}/{_ALIAS}/{chosen.choice(_WRITERS)}{chosen.randrange(3)}"
                    content = _read_past_the_pages(view.path(path))
                    self.done["read"] += 1
                    if not _is_ours(content):
                        wrong.append(f"{path} reads {_described(content)}")

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(_PATIENCE)
        assert not thread.is_alive(), "a read does not end"
        assert not wrong, wrong

    def _look(self, view: Mounted, claims: Claims) -> None:
        eventually(self._registry_has_answered)
        there = self._there()
        assert not (wrong := claims.wrong(there)), "\n".join(wrong)
        journal = holding.kept(view)
        self.done["in the journal"] += len(journal)
        for item in journal:
            tokens = claims.begun.get(item.title, set())
            assert any(content_of(token).startswith(item.content) for token in tokens), f"{item.title} is strange"
        for name, token in claims.whole.items():
            safe = [item.content for item in journal if item.title == name]
            digest = hashlib.sha256(content_of(token)).hexdigest()
            assert content_of(token) in safe or there.get(name) == f"sha256:{digest}", f"{token} of {name} is lost"
        holding.push_pending(view)
        pushed = {item.title: f"sha256:{hashlib.sha256(item.content).hexdigest()}" for item in journal}
        now = self._there()
        differ = {name: (there.get(name), pushed.get(name), now.get(name)) for name in {*now, *there, *pushed}
                  if now.get(name) != (there | pushed).get(name)}  # fmt: skip
        assert not differ, f"before, pushed, now: {differ}"
        holding.whole_cache(view)
        assert "Traceback" not in view.log(), view.log()

    def _registry_has_answered(self) -> bool:
        """Whether it works at no request any more of one who was killed: it would close that one's connection then."""
        port = int(self._registry.host.rpartition(":")[2])
        tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
        sockets = (line.split() for lines in tables for line in lines)
        return not any(local.endswith(f":{port:04X}") and state == _CLOSE_WAIT for _, local, _, state, *_ in sockets)

    def _there(self) -> dict[str, str]:
        found = holding.digests(self._foreign, self._registry, _REPOSITORY, _ALIAS)
        for digest in set(found.values()) - self._verified:
            self._foreign.blob(_REPOSITORY, digest)
            self._verified.add(digest)
        return found

    def close(self) -> None:
        """End the last mount, which is dead, and the client."""
        subprocess.run(["fusermount", "-u", "-z", self._directory / "mnt"], check=False, stderr=subprocess.DEVNULL)
        self._foreign.close()

    def __str__(self) -> str:
        return ", ".join(f"{number} {what}" for what, number in sorted(self.done.items()))


def _mend_links(storage: Path) -> int:
    """Make a registry's links whole that a kill left empty; returns how many.

    docker-registry 2.8 empties a link's file before it writes it, and answers 500 for an empty one from then on. The
    link of a tag becomes what the registry was about to write, which it has put into the tag's index just before; any
    other one is not there yet.
    """
    cut = [link for link in storage.rglob("link") if link.stat().st_size == 0]
    tags = [link for link in cut if link.parent.name == "current"]
    for link in cut:
        link.unlink()
    for link in tags:
        index = link.parent.with_name("index").glob("*/*/link")
        link.write_bytes(max(index, key=lambda path: path.stat().st_mtime_ns).read_bytes())
    return len(cut)


def _read_past_the_pages(path: str) -> bytes:
    """What regfs answers. The kernel's pages have one size for a file, also for who opened it before it was changed.

    Not a byte more than the file has is asked for: where a direct read ends early, and the size has grown since, the
    kernel reads the rest through the pages.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        size = os.fstat(fd).st_size
        if not size:
            return b""
        buffer = mmap.mmap(-1, size)
        return buffer[: os.preadv(fd, [buffer], 0)]
    finally:
        os.close(fd)


def _described(content: bytes) -> str:
    """Its lines, each once, with how many bytes are before the first of each."""
    found: dict[bytes, int] = {}
    for match in re.finditer(rb"[^\n]*\n?", content):
        found.setdefault(match[0][:40], match.start())
    return f"{len(content)} bytes: {dict(list(found.items())[:6])}"


def _is_ours(content: bytes) -> bool:
    """Whether every block is the one of something that was written there.

    Not of one thing alone: who opens a file that is being written shares its bytes with those who write it over
    (SEMANTICS.md, 5.4), and :mod:`tests.scenarios.test_reading` holds that who opens a blob does not.
    """
    return all(_is_written(content[start : start + _BLOCK], start) for start in range(0, len(content), _BLOCK))


def _is_written(block: bytes, start: int) -> bool:
    line = re.search(rb"(?:^|\n)([ab]-\d+-\d+)\n", block)
    if line is None:
        return len(block) < _SHORT
    return _content(line[1].decode())[start : start + len(block)] == block


@lru_cache(maxsize=8)
def _content(token: str) -> bytes:
    return content_of(token)


def soak(seed: int, seconds: float, directory: Path) -> str:
    """Kill for a while."""
    (directory / "lab").mkdir()
    lab = Lab(directory / "lab")
    kills = Kills(lab.start("plain"), directory / "user")
    end, turn = time.monotonic() + seconds, seed
    try:
        while time.monotonic() < end:
            turn += 1
            try:
                kills.round(turn)
            except BaseException:
                print(f"kills: round {turn}, after {kills}", flush=True)
                raise
    finally:
        kills.close()
        lab.stop()
    return f"{turn - seed} rounds: {kills}"
