"""A mount beside its model, step by step, while another client changes the same repository."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path as Directory

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from regfs import DXF
from tests.endurance.ground import Ground, ground
from tests.endurance.model import Handle, Model, Path

_numbers = itertools.count(1)
_FLAGS = (os.O_RDONLY, os.O_RDWR, os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR | os.O_CREAT,
          os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)  # fmt: skip
_REMEMBERED = 1.1  # seconds after which the kernel has forgotten a name
_PATIENCE = 4.0  # seconds
_COUNT = 6000  # bytes of a read
FILES, DIRECTORIES = ("a", "b", "d/a", "d/e/a"), ("", "d", "d/e", "e")  # a title is never another one's directory

aliases = st.sampled_from(["v1", "v2", "v3"])
contents = st.builds(lambda byte, count: byte * count, st.sampled_from([b"x", b"y", b"\0"]), st.integers(0, 5000))
places = st.sampled_from([0, 1, 5, 4096, 10_000])
files = st.builds(lambda alias, name: (alias, *name.split("/")), aliases, st.sampled_from(FILES))
directories = st.builds(
    lambda alias, name: (alias, *name.split("/")) if name else (alias,), aliases, st.sampled_from(DIRECTORIES)
)
paths = st.one_of(files, directories)
pushed = st.dictionaries(st.sampled_from(FILES).map(lambda name: tuple(name.split("/"))), contents, max_size=3)


class Beside(RuleBasedStateMachine):
    """Each rule is done in both places, and comes to the same. Subclassed with the ground that it stands on."""

    on: Ground

    @initialize(content=contents)
    def begin(self, content: bytes) -> None:
        """A repository with one alias; nothing else makes a repository."""
        self.repository = f"model{next(_numbers)}"
        self.model = Model()
        self.fds: dict[Handle, int] = {}
        self.another("push", "v1", "v1", {("a",): content})

    def _at(self, path: Path) -> str:
        return self.on.view.path("/".join((self.repository, *path)))

    def _same(self, real: Callable[[], object], model: Callable[[], object]) -> None:
        """Both come to the same; or the real one to one of several."""
        expected, got = _outcome(model), _outcome(real)
        allowed = expected if isinstance(expected, set) else {expected}
        assert got in allowed, f"{got!r} is not in {allowed!r}"

    # Files by their paths

    @rule(path=paths, data=contents)
    def put(self, path: Path, data: bytes) -> None:
        def real() -> None:
            with open(self._at(path), "wb", buffering=0) as file:
                file.write(data)

        if path[-1] in "ab" or self.model.is_directory(path):
            self._same(real, lambda: self.model.put(path, data))

    @rule(path=paths)
    def get(self, path: Path) -> None:
        self._same(lambda: self._read(path), lambda: self.model.get(path))

    def _read(self, path: Path) -> bytes:
        with open(self._at(path), "rb", buffering=0) as file:
            return file.read()

    @rule(path=paths, size=places)
    def truncate(self, path: Path, size: int) -> None:
        self._same(lambda: os.truncate(self._at(path), size), lambda: self.model.truncate(path, size))

    @rule(path=paths)
    def stat(self, path: Path) -> None:
        self._same(lambda: self._stat(path), lambda: self.model.stat(path))

    def _stat(self, path: Path) -> object:
        found = self.on.view.stat("/".join((self.repository, *path)))
        return "directory" if found.is_directory else found.size

    @rule(path=paths)
    def list(self, path: Path) -> None:
        self._same(lambda: tuple(sorted(os.listdir(self._at(path)))), lambda: self.model.list(path))

    # Files by their handles

    @rule(path=paths, flags=st.sampled_from(_FLAGS))
    def open(self, path: Path, flags: int) -> None:
        if len(self.fds) == 4 or (path[-1] not in "ab" and not flags & 3 and self.model.is_directory(path)):
            return  # a directory can be opened, too: that is another system call here
        if path[-1] in "ab" or self.model.is_directory(path) or not flags & os.O_CREAT:
            opened: list[object] = []
            self._same(lambda: opened.append(os.open(self._at(path), flags)),
                       lambda: opened.append(self.model.open(path, flags)))  # fmt: skip
            if opened:
                handle, fd = opened
                assert isinstance(handle, Handle)
                assert isinstance(fd, int)
                self.fds[handle] = fd

    def _handle(self, number: int) -> Handle:
        return list(self.fds)[number % len(self.fds)]

    numbers = st.integers(0, 3)
    some_open = precondition(lambda self: self.fds)

    @some_open
    @rule(number=numbers, offset=places)
    def pread(self, number: int, offset: int) -> None:
        handle = self._handle(number)
        fd = self.fds[handle]
        self._same(lambda: os.pread(fd, _COUNT, offset), lambda: self.model.pread(handle, offset, _COUNT))

    @some_open
    @rule(number=numbers)
    def fstat(self, number: int) -> None:
        handle = self._handle(number)
        fd = self.fds[handle]
        self._same(lambda: os.fstat(fd).st_size, lambda: self.model.fstat(handle))

    @some_open
    @rule(number=numbers, offset=places, data=contents)
    def pwrite(self, number: int, offset: int, data: bytes) -> None:
        handle = self._handle(number)
        fd = self.fds[handle]
        self._same(lambda: os.pwrite(fd, data, offset), lambda: self.model.pwrite(handle, offset, data))

    @some_open
    @rule(number=numbers, size=places)
    def ftruncate(self, number: int, size: int) -> None:
        handle = self._handle(number)
        fd = self.fds[handle]
        self._same(lambda: os.ftruncate(fd, size), lambda: self.model.ftruncate(handle, size))

    @some_open
    @rule(number=numbers)
    def fsync(self, number: int) -> None:
        handle = self._handle(number)
        fd = self.fds[handle]
        self._same(lambda: os.fsync(fd), lambda: self.model.fsync(handle))

    @some_open
    @rule(number=numbers)
    def close(self, number: int) -> None:
        handle = self._handle(number)
        fd = self.fds.pop(handle)
        self._same(lambda: os.close(fd), lambda: self.model.close(handle))

    # Names

    @rule(path=directories)
    def mkdir(self, path: Path) -> None:
        self._same(lambda: os.mkdir(self._at(path)), lambda: self.model.mkdir(path))

    @rule(path=paths)
    def rmdir(self, path: Path) -> None:
        self._same(lambda: os.rmdir(self._at(path)), lambda: self.model.rmdir(path))

    @rule(path=paths)
    def unlink(self, path: Path) -> None:
        self._same(lambda: os.unlink(self._at(path)), lambda: self.model.unlink(path))

    @rule(names=st.one_of(st.tuples(files, files), st.tuples(directories, directories), st.tuples(directories, files)))
    def rename(self, names: tuple[Path, Path]) -> None:
        old, new = names
        self._same(lambda: os.rename(self._at(old), self._at(new)), lambda: self.model.rename(old, new))

    # Another client

    @rule(what=st.sampled_from(["push", "retag", "delete"]), alias=aliases, other=aliases, files=pushed)
    def another(self, what: str, alias: str, other: str, files: dict[Path, bytes]) -> None:
        before = self._there()
        if what == "push":
            self.on.foreign.artifact(self.repository, alias, {"/".join(title): files[title] for title in files})
            self.model.push(alias, files)
        elif alias in self.model.aliases and what == "retag":
            self.on.foreign.put(self.repository, other, self.on.foreign.manifest(self.repository, alias))
            self.model.retag(alias, other)
        elif alias in self.model.aliases:
            self.on.registry.untag(self.repository, alias)
            self.model.delete(alias)
        if any(before[path] != "ENOENT" and there == "ENOENT" for path, there in self._there().items()):
            time.sleep(_REMEMBERED)
        self._settle()

    def _there(self) -> dict[Path, object]:
        names = [tuple(filter(None, name.split("/"))) for name in FILES + DIRECTORIES]
        every = [(alias, *name) for alias in ("v1", "v2", "v3") for name in names]
        return {path: _outcome(lambda path=path: self.model.stat(path)) for path in every}

    def _settle(self) -> None:
        """Wait until the kernel has forgotten what was there, and what was not: a second at most (4.2)."""
        expected = self._there()
        end = time.monotonic() + _PATIENCE
        while (got := {path: _outcome(lambda path=path: self._stat(path)) for path in expected}) != expected:
            assert time.monotonic() < end, {
                path: (got[path], expected[path]) for path in got if got[path] != expected[path]
            }
            time.sleep(0.1)

    @rule()
    def a_third_client_pulls(self) -> None:
        """The registry has what the model says that it has: with foreign's eyes, and with those of the client API."""
        expected = {
            alias: {"/".join(title): content for title, content in files.items()}
            for alias, files in self.model.aliases.items()
        }
        assert self.on.foreign.aliases(self.repository) == set(expected)
        assert {alias: self.on.foreign.files(self.repository, alias) for alias in expected} == expected
        with DXF(self.on.registry.host, self.repository, insecure=True) as client:
            assert set(client.list_aliases()) == set(expected)
            for alias, wanted in expected.items():
                digests = [layer["digest"] for layer in self.on.foreign.document(self.repository, alias)["layers"]]
                assert client.get_alias(alias) == digests
                assert {b"".join(client.pull_blob(digest)) for digest in digests} == set(wanted.values())

    def teardown(self) -> None:
        """Close what is open; all is as the model says."""
        try:
            for handle in [*self.fds]:
                self._same(lambda fd=self.fds[handle]: os.close(fd), lambda handle=handle: self.model.close(handle))
                del self.fds[handle]
            self.a_third_client_pulls()
            self._settle()
        finally:
            for fd in self.fds.values():
                _outcome(lambda fd=fd: os.close(fd))


def _outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def run(on: Ground, examples: int, steps: int, number: int | None = None) -> int:
    """Run some examples; returns how many rules were done.

    :param number: a seed; None for the same examples each time
    """
    done = 0

    class Standing(Beside):
        def check_invariants(self, *arguments: object, **more: object) -> None:
            nonlocal done
            done += 1
            super().check_invariants(*arguments, **more)

    Standing.on = on
    machine = Standing if number is None else seed(number)(Standing)
    run_state_machine_as_test(machine, settings=settings(
        max_examples=examples, stateful_step_count=steps, derandomize=number is None, database=None, deadline=None,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink)))  # fmt: skip
    return done


def soak(number: int, seconds: float, directory: Directory) -> str:
    """Run one bundle of examples after another."""
    steps = turns = 0
    end = time.monotonic() + seconds
    with ground(directory) as on:
        while time.monotonic() < end:
            steps, turns = steps + run(on, 20, 60, number + turns), turns + 1
    return f"{steps} steps in {turns * 20} repositories"
