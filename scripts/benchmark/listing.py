"""The cases of listing names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.benchmark.contenders import (
    REQUESTS,
    SKOPEO,
    Command,
    Ready,
    counted,
    curl,
    on_files,
    python_client,
    through_mount,
)
from scripts.benchmark.content import Loader
from scripts.benchmark.harness import Case, Contender, Facts, Goal
from scripts.benchmark.lab import Lab, Mount, Registry

_FIRST = [Goal("one request", 1, fact=REQUESTS)]
_AGAIN = [Goal("no request", 0, fact=REQUESTS)]


def _nothing() -> None:
    pass


def _no_facts(mount: Mount) -> Facts:
    return {}


class _Listing:
    """Contenders that list what one registry has, each with its requests."""

    def __init__(self, lab: Lab, registry: Registry) -> None:
        self._lab = lab
        self._registry = registry
        self.host = registry.host

    def regfs(self, path: str, *, again: bool) -> Ready:
        def list_it(mount: Path) -> Sequence[Command]:
            return [("ls", "-l", str(mount / path))]

        def first(mount: Path) -> Sequence[Command]:
            return list_it(mount) if again else ()

        mount = through_mount(self._lab, lambda: self._lab.regfs(self.host), list_it, _nothing, first, _no_facts)
        return self._counted(mount)

    def command(self, *command: str) -> Ready:
        return self._counted(on_files(self._lab, lambda _: [command], _nothing))

    def dxf(self, *arguments: str) -> Ready:
        return self._counted(python_client(self._lab, lambda _: [arguments], _nothing))

    def _counted(self, ready: Ready) -> Ready:
        return counted(ready, REQUESTS, self._registry.requests)


@contextmanager
def _filled(lab: Lab, fill: Callable[[Loader], object]) -> Iterator[_Listing]:
    with lab.registry() as registry:
        loader = Loader(registry.host)
        fill(loader)
        loader.close()
        yield _Listing(lab, registry)


def tags(lab: Lab, count: int) -> Case:
    """A repository of many aliases."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        names = [f"v{number}" for number in range(count)]
        with _filled(lab, lambda loader: loader.artifact("bench", names, [])) as listing:
            skopeo = (*SKOPEO, "list-tags", "--tls-verify=false", f"docker://{listing.host}/bench")
            yield [
                Contender("regfs, first", listing.regfs("bench", again=False), _FIRST),
                Contender("regfs, repeated", listing.regfs("bench", again=True), _AGAIN),
                Contender("dxf", listing.dxf("dxf-aliases", listing.host, "bench")),
                Contender("skopeo", listing.command(*skopeo)),
            ]

    note = f"`ls -l` of a repository of {count:,} aliases in a new mount, and once more; the others print names alone."
    return Case("list-tags", f"Listing {count:,} aliases", note, "dxf", contenders)


def repositories(lab: Lab, count: int) -> Case:
    """A registry of many repositories."""

    def fill(loader: Loader) -> None:
        for number in range(count):
            loader.artifact(f"bench{number:03}", ["v1"], [])

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _filled(lab, fill) as listing:
            catalog = curl(f"http://{listing.host}/v2/_catalog?n=1000", "-o", "/dev/null")
            yield [
                Contender("regfs, first", listing.regfs("", again=False), _FIRST),
                Contender("regfs, repeated", listing.regfs("", again=True), _AGAIN),
                Contender("dxf", listing.dxf("dxf-repositories", listing.host)),
                Contender("curl", listing.command(*catalog)),
            ]

    note = f"`ls -l` of the root of a new mount of a registry with {count:,} repositories, and once more."
    return Case("list-repositories", f"Listing {count:,} repositories", note, "dxf", contenders)
