"""The cases of writing. Every run has a registry of its own, and bytes that no registry has seen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmark import processes
from scripts.benchmark.contenders import (
    MEMORY,
    MOVED,
    REQUESTS,
    SKOPEO,
    Command,
    Ready,
    go,
    python_process,
    skopeo_push,
)
from scripts.benchmark.content import Loader, digest_of, image_directory, renew, write_random
from scripts.benchmark.harness import Attempt, Case, Contender, Goal
from scripts.benchmark.lab import Lab, Registry
from scripts.benchmark.reading import AT_MOST_DXF, MIB

_HEADERS = 64 << 10  # bytes that requests, answers and manifests may come to where no blob moves


class _Writing:
    """Contenders that write one source, a file or a directory of files, which is made new before each run."""

    def __init__(self, lab: Lab, source: Path) -> None:
        self._lab = lab
        self._source = source

    def _renew(self) -> None:
        for path in sorted(self._source.iterdir()) if self._source.is_dir() else [self._source]:
            renew(path)
        os.sync()

    @contextmanager
    def _fresh(self) -> Iterator[tuple[Registry, Path]]:
        with self._lab.registry() as registry, self._lab.scratch() as directory:
            self._renew()
            yield registry, directory

    def regfs(self, commands: Callable[[Path], Sequence[Command]]) -> Ready:
        """Programs one after another in a new mount of regfs."""

        def ready(registry: Registry, directory: Path) -> Iterator[Attempt]:
            with self._lab.regfs(registry.host) as mount:

                def run() -> None:
                    for command in commands(mount.directory):
                        processes.run(command, self._lab.env)

                yield Attempt(run, lambda: {MEMORY: mount.peak_memory()})

        return self._ready(ready)

    def python(self, verb: str) -> Ready:
        """One of the Python clients."""

        def ready(registry: Registry, directory: Path) -> Iterator[Attempt]:
            with python_process(self._lab, verb, registry.host, "bench", str(self._source)) as process:
                yield Attempt(lambda: go([process]))

        return self._ready(ready)

    def command(self, command: Callable[[Registry, Path], Command]) -> Ready:
        """One program; the command is made before the run, untimed."""

        def ready(registry: Registry, directory: Path) -> Iterator[Attempt]:
            made = command(registry, directory)
            yield Attempt(lambda: processes.run(made, self._lab.env))

        return self._ready(ready)

    def _ready(self, make: Callable[[Registry, Path], Iterator[Attempt]]) -> Ready:
        made = contextmanager(make)

        @contextmanager
        def ready() -> Iterator[Attempt]:
            with self._fresh() as (registry, directory), made(registry, directory) as attempt:
                before = registry.requests()
                yield Attempt(attempt.run, lambda: {REQUESTS: registry.requests() - before, **attempt.facts()})

        return ready


def large(lab: Lab, size: int) -> Case:
    """A large file copied in."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with lab.scratch() as scratch:
            source = scratch / "blob"
            write_random(source, size)
            writing = _Writing(lab, source)

            def upload(registry: Registry, directory: Path) -> Command:
                script = (
                    'to=$(curl -sSf -X POST -D - -o /dev/null "$1" | tr -d "\\r" | sed -n "s/^[Ll]ocation: //p"); '
                    'exec curl -sSf --upload-file "$2" "$to&digest=$3"'
                )
                start = f"http://{registry.host}/v2/bench/blobs/uploads/"
                return ("sh", "-c", script, "sh", start, str(source), digest_of(source))

            def skopeo(registry: Registry, directory: Path) -> Command:
                image_directory(directory, source)
                return skopeo_push(directory, registry.host, "bench")

            def cp(mount: Path) -> Sequence[Command]:
                return [("mkdir", str(mount / "bench:v1")), ("cp", str(source), str(mount / "bench:v1/blob"))]

            yield [
                Contender("regfs", writing.regfs(cp), [AT_MOST_DXF]),
                Contender("curl", writing.command(upload)),
                Contender("dxf", writing.python("dxf-push")),
                Contender("skopeo", writing.command(skopeo)),
                Contender("oras-py", writing.python("oras-push")),
            ]

    note = (
        "`cp` into a new alias, which returns when the registry has it. curl is given the digest and hashes nothing; "
        "dxf, skopeo and oras-py hash, push and name the file."
    )
    return Case("write-large", "Writing a large file", note, "dxf", contenders, size)


def small(lab: Lab, count: int, size: int) -> Case:
    """Many small files copied in."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with lab.scratch() as scratch:
            source = scratch / "files"
            source.mkdir()
            for number in range(count):
                write_random(source / f"{number:04}.bin", size)
            writing = _Writing(lab, source)

            def cp(mount: Path) -> Sequence[Command]:
                return [("mkdir", str(mount / "bench:v1")), ("cp", "-r", f"{source}/.", str(mount / "bench:v1"))]

            def eight(mount: Path) -> Sequence[Command]:
                script = 'ls "$1" | xargs -P 8 -n 16 sh -c \'cd "$0" && exec cp "$@" "$MOUNT"\' "$1"'
                to = str(mount / "bench:v1")
                return [("mkdir", to), ("env", f"MOUNT={to}", "sh", "-c", script, "sh", str(source))]

            def put(registry: Registry, directory: Path) -> Command:
                program = str(Path(sys.executable).with_name("regfs"))
                return (program, "put", f"http://{registry.host}/bench:v1", f"{source}/.")

            yield [
                Contender("regfs put", writing.command(put), [Goal("at most oras-py's time", 1.0, "oras-py")]),
                Contender("regfs, cp -r", writing.regfs(cp), [Goal("at most oras-py's time", 1.0, "oras-py")]),
                Contender("regfs, 8 cp at a time", writing.regfs(eight)),
                Contender("oras-py", writing.python("oras-push")),
                Contender("dxf", writing.python("dxf-push-directory")),
            ]

    note = (
        f"{count} files of {size >> 10} KiB as one artifact: `regfs put`, oras-py and dxf put one manifest for all; "
        "`cp -r` into a mount puts one for each, since close tells the truth; eight `cp` at a time share manifests. "
        "The start of `regfs put` is timed, those of the libraries are not."
    )
    return Case("write-small", f"Writing {count} small files", note, "oras-py", contenders)


def move(lab: Lab, size: int) -> Case:
    """A large file moved from one repository to another one."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with lab.scratch() as scratch:
            source = scratch / "blob"
            write_random(source, size)

            def regfs() -> Iterator[Attempt]:
                with _one_blob(lab, source) as (host, moved), lab.regfs(host) as mount:
                    old, new = mount.directory / "bench/v1/blob", mount.directory / "other:v1"
                    processes.run(["mkdir", str(new)], lab.env)
                    before = moved()
                    yield Attempt(
                        lambda: processes.run(["mv", str(old), str(new / "blob")], lab.env),
                        lambda: {MOVED: moved() - before, MEMORY: mount.peak_memory()},
                    )

            def skopeo() -> Iterator[Attempt]:
                with _one_blob(lab, source) as (host, moved):
                    before = moved()
                    insecure = ("--src-tls-verify=false", "--dest-tls-verify=false")
                    images = (f"docker://{host}/bench:v1", f"docker://{host}/other:v1")
                    command = [*SKOPEO, "copy", "-q", *insecure, *images]
                    yield Attempt(lambda: processes.run(command, lab.env), lambda: {MOVED: moved() - before})

            yield [
                Contender("regfs", contextmanager(regfs), [Goal("moves no blob", _HEADERS, fact=MOVED)]),
                Contender("skopeo copy", contextmanager(skopeo)),
            ]

    note = (
        f"`mv` of a file of {size // MIB:,} MiB from one repository to another through one mount. skopeo copies, and "
        "leaves the source. Through a proxy that counts; bytes moved are those of both directions, headers and all."
    )
    return Case("move", "Moving a file to another repository", note, "skopeo copy", contenders)


@contextmanager
def _one_blob(lab: Lab, source: Path) -> Iterator[tuple[str, Callable[[], int]]]:
    """A new registry that has the file in ``bench:v1``; yields its host, behind a link, and the bytes moved so far."""
    with lab.registry() as registry:
        loader = Loader(registry.host)
        digest = loader.blob("bench", source)
        loader.artifact("bench", ["v1"], [("blob", digest, source.stat().st_size)])
        loader.close()
        with lab.link(registry.port) as link:
            yield link.host, link.moved
