"""Random programs of several threads on a mount, while the way to the registry, the disk and the clock fail."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from tests.endurance import holding
from tests.endurance.clock import Clock
from tests.endurance.proxy import Chance, Proxy
from tests.registries import Lab, Registry
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Mounted

_ALIAS = "v1"
_THREADS = 3
_STEPS = 14
_RATE = 0.12  # of the requests are harmed
_LARGE = 9 << 20  # bytes: more than what is fetched whole
_AHEAD = 17 << 20  # bytes: more than what is sent while it is written
_SMALL_DISK = "24m"
_PATIENCE = 240.0  # seconds that a program may take
Content = bytes | None  # None: no file


class Names:
    """The names that one thread writes: what each may be, and what the journal must have."""

    def __init__(self) -> None:
        self.possible: dict[str, set[Content]] = {}
        self.kept: dict[str, list[bytes]] = {}

    def of(self, name: str) -> set[Content]:
        """What a name may be."""
        return self.possible.setdefault(name, {None})


class Program:
    """What one thread does in one directory; every step is checked as far as it can be at once.

    :param there: the files that somebody else published
    :param may_be_spoilt: whether bytes of one of these, before its end, may be others by now
    """

    def __init__(self, number: int, seed: int, view: Mounted, foreign: Foreign, where: str, repository: str,
                 there: dict[str, bytes], may_be_spoilt: Callable[[str], bool]) -> None:  # fmt: skip
        self.names = Names()
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._random = random.Random(f"{seed} {number}")
        self._number = number
        self._view, self._foreign, self._where, self._repository = view, foreign, where, repository
        self._there, self._may_be_spoilt = there, may_be_spoilt

    def close(self) -> None:
        """Close its client."""
        self._foreign.close()

    def run(self) -> None:
        """Do all steps; what is found wrong is in ``wrong``."""
        steps = (self._read, self._write, self._append, self._rename, self._remove, self._list, self._read_own)
        for _ in range(_STEPS):
            step = self._random.choices(steps, (5, 6, 2, 2, 1, 1, 3))[0]
            try:
                step()
            except Exception as error:  # noqa: BLE001 - told at the end, whatever it is
                self.wrong.append(f"{step.__name__}: {error!r}")

    def _name(self) -> str:
        return f"t{self._number}/{self._random.randrange(3)}"

    def _path(self, name: str) -> str:
        return f"{self._where}{name}"

    def _content(self) -> bytes:
        chosen = self._random
        size = _AHEAD if chosen.random() < 0.06 else chosen.choice((0, 1, 5000, 150_000))
        return chosen.randbytes(size)

    def _tried(self, what: str, act: Callable[[], None]) -> OSError | None:
        """Do it; returns what went wrong."""
        try:
            act()
        except OSError as error:
            self.done[f"failed {what}s"] += 1
            return error
        self.done[f"{what}s"] += 1
        return None

    def _read(self) -> None:
        name = self._random.choice(sorted(self._there))
        expected = self._there[name]
        offset = self._random.choice((0, self._random.randrange(len(expected))))
        size = self._random.choice((len(expected), 1, 4096, 1 << 20))
        got = bytearray()

        def read() -> None:
            with self._view.open(self._path(name)) as handle:
                while len(got) < size and (piece := handle.read(min(1 << 17, size - len(got)), offset + len(got))):
                    got.extend(piece)

        error = self._tried("read", read)
        wanted = expected[offset : offset + size]
        whole = error is None and offset + len(got) == len(expected)
        if got != (wanted if error is None else wanted[: len(got)]) and (whole or not self._may_be_spoilt(name)):
            self.wrong.append(f"{name}: bytes that are not its own, of {offset} to {offset + len(got)}")
        if isinstance(error, FileNotFoundError):
            self.wrong.append(f"{name} is said not to be there")

    def _read_own(self) -> None:
        name = self._name()
        possible = self.names.of(name)
        got: list[Content] = []
        error = self._tried("read", lambda: got.append(self._view.read_bytes(self._path(name))))
        if isinstance(error, FileNotFoundError):
            got.append(None)
        if got and got[0] not in possible:
            self.wrong.append(f"{name} reads {_told(got[0])}, not one of {sorted(map(_told, possible))}")

    def _write(self) -> None:
        self._store(self._name(), self._content(), os.O_TRUNC)

    def _append(self) -> None:
        name = self._name()
        known = self.names.of(name)
        if len(known) == 1 and (old := next(iter(known))) is not None:
            self._store(name, self._random.randbytes(100), os.O_APPEND, old)

    def _store(self, name: str, content: bytes, flags: int, before: bytes = b"") -> None:
        """Write and close; a close that returns 0 is believed, and so is one that fails."""
        closing: list[bool] = []

        def store() -> None:
            fd = os.open(self._view.path(self._path(name)), os.O_WRONLY | os.O_CREAT | flags)
            try:
                for start in range(0, len(content), 1 << 17):
                    assert os.write(fd, content[start : start + (1 << 17)]) == len(content[start : start + (1 << 17)])
                closing.append(True)
            finally:
                os.close(fd)

        error = self._tried("write", store)
        whole = before + content
        if error is None:
            self.names.possible[name] = {whole}
            self.names.kept.pop(name, None)
            self._seen_by_others(name, whole)
        elif closing:
            self.names.of(name).add(whole)
            self.names.kept.setdefault(name, []).append(whole)
        else:
            self.done["writes that failed before close"] += 1

    def _seen_by_others(self, name: str, content: bytes) -> None:
        """What close acknowledged, another client has at once."""
        layers = holding.document(self._foreign, self._repository, _ALIAS)["layers"]
        found = [layer["digest"] for layer in layers if layer["annotations"][holding.TITLE] == name]
        if found != [f"sha256:{hashlib.sha256(content).hexdigest()}"]:
            self.wrong.append(f"{name} was closed, and is {found or 'not there'} to others")
        elif self._foreign.blob(self._repository, found[0]) != content:
            self.wrong.append(f"{name} was closed, and has other bytes to others")

    def _rename(self) -> None:
        old, new = self._name(), self._name()
        if old == new or None in self.names.of(old):
            return
        error = self._tried("rename", lambda: os.rename(*(self._view.path(self._path(name)) for name in (old, new))))
        possible = self.names.possible
        if error is None:
            possible[old], possible[new] = {None}, possible[old]
        else:
            possible[new], possible[old] = possible[old] | self.names.of(new), possible[old] | {None}

    def _remove(self) -> None:
        name = self._name()
        error = self._tried("remove", lambda: os.remove(self._view.path(self._path(name))))
        if error is None or isinstance(error, FileNotFoundError):
            if error is not None and None not in self.names.of(name):
                self.wrong.append(f"{name} is said not to be there")
            self.names.possible[name] = {None}
        else:
            self.names.of(name).add(None)

    def _list(self) -> None:
        found: list[set[str]] = []
        self._tried("list", lambda: found.append(set(self._view.list(self._where or "."))))
        if found and not {"small", "large"} <= found[0]:
            self.wrong.append(f"the listing is {sorted(found[0])}")


class Round:
    """One mount, some programs, some faults, and the looking after.

    :param seed: of every choice
    """

    def __init__(self, registry: Registry, directory: Path, seed: int) -> None:
        self._registry = registry
        self._directory = directory
        self._seed = seed
        self._random = random.Random(seed)
        self._repository = f"faults/r{seed}"
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        """Do it.

        :raises AssertionError: when something is not as it was acknowledged
        """
        with ExitStack() as ends:
            foreign = Foreign(self._registry)
            ends.callback(foreign.close)
            there = {name: self._random.randbytes(size) for name, size in
                     (("small", 3000), ("dir/middle", 400_000), ("large", _LARGE))}  # fmt: skip
            foreign.artifact(self._repository, _ALIAS, there)
            if self._random.random() < 0.2:
                ends.enter_context(_small_disk(self._directory))
                self.done["small disks"] += 1
            proxy = ends.enter_context(Proxy(self._registry.host))
            view = self._mounted(ends, proxy)
            programs = self._programs(view, foreign, there)
            proxy.choose = Chance(self._seed, _RATE)
            self._together(programs, view)
            proxy.calm()
            with suppress(AssertionError):
                view.close()  # it says so when something was not pushed
            self.done["jumps of the clock"] += self._clock.jumps
            self.done.update({f"faults: {kind}": number for kind, number in proxy.done.items()})
            try:
                self._look(view, foreign, there, programs)
            except AssertionError:
                print("\n".join(line for line in proxy.said if "/manifests/" in line))
                raise

    def _mounted(self, ends: ExitStack, proxy: Proxy) -> Mounted:
        self._where, below = self._random.choice(
            ((f"{self._repository}/{_ALIAS}/", ""), (f"{_ALIAS}/", f"/{self._repository}"),
             ("", f"/{self._repository}:{_ALIAS}"))
        )  # fmt: skip
        self._clock = ends.enter_context(Clock(self._directory, self._random.random() < 0.3))
        options = {"ttl": self._random.choice((0, 30)), "timeout": 2, "retries": self._random.choice((0, 2))}
        options["verify"] = verify = self._random.choice(("lazy", "strict"))
        self._may_be_spoilt = lambda name: name == "large" and verify == "lazy" and proxy.done["spoilt"] > 0  # 3.6
        view = Mounted(self._directory, proxy.url + below, **options)
        ends.callback(subprocess.run, ["fusermount", "-u", "-z", view.directory], stderr=subprocess.DEVNULL)
        self._clock.jump_about(self._random)
        return view

    def _programs(self, view: Mounted, foreign: Foreign, there: dict[str, bytes]) -> list[Program]:
        made = []
        for number in range(_THREADS):
            client = Foreign(self._registry)
            made.append(Program(number, self._seed, view, client, self._where, self._repository, there,
                                self._may_be_spoilt))  # fmt: skip
            os.makedirs(view.path(f"{self._where}t{number}"), exist_ok=True)
        return made

    def _together(self, programs: list[Program], view: Mounted) -> None:
        threads = [threading.Thread(target=program.run, daemon=True) for program in programs]
        for thread in threads:
            thread.start()
        end = time.monotonic() + _PATIENCE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads), f"it hangs\n{view.log()[-3000:]}"

    def _look(self, view: Mounted, foreign: Foreign, there: dict[str, bytes], programs: list[Program]) -> None:
        for program in programs:
            self.done.update(program.done)
            program.close()
        wrong = [line for program in programs for line in program.wrong]
        digests = holding.digests(foreign, self._registry, self._repository, _ALIAS)
        wrong += self._other_bytes(foreign, digests, there, programs)
        journal = holding.kept(view)
        self.done["in the journal"] += len(journal)
        wrong += _other_journal(journal, {k: v for program in programs for k, v in program.names.kept.items()})
        assert not wrong, "\n".join([*wrong, view.log()[-6000:]])
        holding.push_pending(view)
        pushed = {item.title: f"sha256:{hashlib.sha256(item.content).hexdigest()}" for item in journal}
        assert holding.digests(foreign, self._registry, self._repository, _ALIAS) == digests | pushed
        holding.whole_cache(view)
        assert "Traceback" not in view.log(), view.log()

    def _other_bytes(
        self, foreign: Foreign, digests: dict[str, str], there: dict[str, bytes], programs: list[Program]
    ) -> list[str]:
        """The files of which the registry has others than it may have."""
        possible: dict[str, set[Content]] = {name: {content} for name, content in there.items()}
        for program in programs:
            possible.update(program.names.possible)
        now = {name: foreign.blob(self._repository, digest) for name, digest in digests.items()}
        return [
            f"{name} is {_told(now.get(name))}, not one of {sorted(map(_told, possible.get(name, ())))}"
            for name in sorted({*possible, *now})
            if now.get(name) not in possible.get(name, {None})
        ]


def _other_journal(journal: list[holding.Kept], kept: dict[str, list[bytes]]) -> list[str]:
    """What is not in the journal and must be, and what is there and must not be."""
    must = [holding.Kept(name, content) for name, contents in kept.items() for content in contents]
    lost = [f"{item.title}: {_told(item.content)} is lost" for item in must if item not in journal]
    return lost + [f"{item.title}: {_told(item.content)} is in the journal" for item in journal if item not in must]


def _told(content: Content) -> str:
    return "none" if content is None else f"{len(content)} bytes {hashlib.sha256(content).hexdigest()[:8]}"


@contextmanager
def _small_disk(directory: Path) -> Iterator[None]:
    """The user's cache and state are on a small disk."""
    directory.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def soak(seed: int, seconds: float, directory: Path) -> str:
    """Fail for a while."""
    (directory / "lab").mkdir()
    lab = Lab(directory / "lab")
    done: Counter[str] = Counter()
    end, turn = time.monotonic() + seconds, seed
    try:
        registry = lab.start("plain")
        while time.monotonic() < end:
            turn += 1
            here = Round(registry, directory / f"user{turn}", turn)
            try:
                here.run()
            except BaseException:
                print(f"faults: round {turn}", flush=True)
                raise
            done.update(here.done)
    finally:
        lab.stop()
    return f"{turn - seed} rounds: {told(done)}"


def told(done: Counter[str]) -> str:
    """What was done, in a line."""
    faults = sum(number for what, number in done.items() if what.startswith("faults: "))
    return f"{faults} faults; " + ", ".join(f"{number} {what}" for what, number in sorted(done.items()))
