"""The cases of reading blobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmark.contenders import (
    MEMORY,
    MOVED,
    Command,
    Ready,
    counting,
    curl,
    drop_caches,
    on_files,
    python_client,
    skopeo_pull,
    through_mount,
)
from scripts.benchmark.content import Loader, Shelf
from scripts.benchmark.harness import Case, Contender, Goal
from scripts.benchmark.lab import ROOT, Lab, Link

MIB = 1 << 20
_ROUND_TRIP, _RATE = 0.040, 10e6  # seconds; bytes per second and connection
_FAR, _PIECE = 0.7, 64 << 10  # where the far read is, of the blob's size; its bytes
AT_MOST_DXF = Goal("at most dxf's time", 1.0, "dxf")


@dataclass(frozen=True)
class Shop:
    """A registry that has a shelf, and nginx with the same files; *registry* and *web* are where clients find them."""

    lab: Lab
    shelf: Shelf
    registry: str
    web: int

    def before(self) -> None:
        """What precedes every run: nothing is left to be written to disk, the registry's files are in memory."""
        os.sync()
        self.shelf.warm()

    def blob(self, name: str) -> str:
        """A blob's URL."""
        return f"http://{self.registry}/v2/bench/blobs/{self.shelf.digests[name]}"

    def regfs(self, commands: Callable[[Path], Sequence[Command]], first: bool = False) -> Ready:
        """Programs in a new mount of regfs; they get the alias's directory.

        :param first: whether the alias is listed before, untimed
        """
        listing = (lambda mount: [("ls", str(mount / "bench/v1"))]) if first else (lambda mount: ())
        return through_mount(
            self.lab,
            lambda: self.lab.regfs(self.registry),
            lambda mount: commands(mount / "bench/v1"),
            self.before,
            listing,
        )

    def rclone(self, commands: Callable[[Path], Sequence[Command]]) -> Ready:
        """The same in a new mount of rclone."""
        return through_mount(self.lab, lambda: self.lab.rclone(self.web), commands, self.before)

    def curl(self, *names: str) -> Ready:
        """curl, blobs to files."""
        return on_files(
            self.lab, lambda to: [curl(self.blob(name), "-o", str(to / name)) for name in names], self.before
        )

    def dxf(self, *names: str) -> Ready:
        """python-dxf, blobs to files."""
        digests = self.shelf.digests
        return python_client(
            self.lab,
            lambda to: [("dxf-pull", self.registry, "bench", digests[name], str(to / name)) for name in names],
            self.before,
        )

    def skopeo(self) -> Ready:
        """skopeo, the alias with all its blobs to a directory."""
        return on_files(self.lab, lambda to: [skopeo_pull(self.registry, "bench", to / "image")], self.before)


@contextmanager
def _open(lab: Lab, sizes: dict[str, int]) -> Iterator[Shop]:
    with lab.registry() as registry, lab.scratch() as scratch:
        loader = Loader(registry.host)
        shelf = loader.shelf(sizes, registry.blob, scratch)
        loader.close()
        with lab.web_server(shelf) as web:
            yield Shop(lab, shelf, registry.host, web)


@contextmanager
def _open_behind_links(
    lab: Lab, sizes: dict[str, int], round_trip: float = 0.0, rate: float = 0.0
) -> Iterator[tuple[Shop, Link, Link]]:
    with _open(lab, sizes) as near:
        port = int(near.registry.rpartition(":")[2])
        with lab.link(port, round_trip, rate) as to_registry, lab.link(near.web, round_trip, rate) as to_web:
            yield Shop(lab, near.shelf, to_registry.host, to_web.port), to_registry, to_web


def _cat(*names: str) -> Callable[[Path], Sequence[Command]]:
    return lambda directory: [("cat", str(directory / name)) for name in names]


def sequential(lab: Lab, size: int) -> Case:
    """A large blob that is not in the cache, from its first byte to its last."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _open(lab, {"blob": size}) as shop:
            faster_than_rclone = Goal("faster than rclone", 1.0, "rclone mount")
            yield [
                Contender("regfs", shop.regfs(_cat("blob")), [AT_MOST_DXF, faster_than_rclone]),
                Contender("curl", shop.curl("blob")),
                Contender("dxf", shop.dxf("blob")),
                Contender("skopeo", shop.skopeo()),
                Contender("rclone mount", shop.rclone(_cat("blob"))),
            ]

    note = "A new mount with an empty cache each round, read by `cat` to /dev/null; the others write a file."
    return Case("sequential", "Reading a cold blob to its end", note, "dxf", contenders, size)


def first_byte(lab: Lab, size: int) -> Case:
    """The first byte of a large blob."""

    def head(directory: Path) -> Sequence[Command]:
        return [("head", "-c", "1", str(directory / "blob"))]

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        goals = [Goal("within twice curl's time", 2.0, "curl"), Goal("at most one chunk moved", 4 * MIB, fact=MOVED)]
        with _open_behind_links(lab, {"blob": size}) as (shop, link, web):
            ranged = on_files(lab, lambda to: [curl(shop.blob("blob"), "-r", "0-0", "-o", str(to / "b"))], shop.before)
            yield [
                Contender("regfs, new mount", counting(link, shop.regfs(head)), goals),
                Contender("regfs, alias listed before", counting(link, shop.regfs(head, first=True)), goals),
                Contender("curl", counting(link, ranged)),
                Contender("rclone mount", counting(web, shop.rclone(head))),
            ]

    note = (
        "`head -c 1` of a cold blob; `curl -r 0-0`, which is told the digest. A new mount first asks for the names "
        "above the blob. Through a proxy that counts."
    )
    return Case("first-byte", "The first byte of a cold blob", note, "curl", contenders)


def far_offset(lab: Lab, size: int) -> Case:
    """A little out of the middle of a large blob."""
    offset = int(size * _FAR) // _PIECE * _PIECE

    def dd(directory: Path) -> Sequence[Command]:
        skip = f"skip={offset // _PIECE}"
        return [("dd", f"if={directory / 'blob'}", "of=/dev/null", f"bs={_PIECE}", "count=1", skip, "status=none")]

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _open_behind_links(lab, {"blob": size}) as (shop, link, web):
            span = f"{offset}-{offset + _PIECE - 1}"
            ranged = on_files(lab, lambda to: [curl(shop.blob("blob"), "-r", span, "-o", str(to / "b"))], shop.before)
            yield [
                Contender("regfs, new mount", counting(link, shop.regfs(dd))),
                Contender("regfs, alias listed before", counting(link, shop.regfs(dd, first=True))),
                Contender("curl", counting(link, ranged)),
                Contender("rclone mount", counting(web, shop.rclone(dd))),
            ]

    note = "64 KiB at seven tenths of a cold blob; bytes moved are those of both directions, headers and all."
    return Case("far-offset", "64 KiB at a far offset", note, "curl", contenders)


def re_read(lab: Lab, size: int) -> Case:
    """A blob that has been read before."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _open(lab, {"blob": size}) as shop, lab.scratch() as cache:
            blob = shop.shelf.files["blob"]
            native = on_files(lab, lambda to: [("cat", str(blob))], shop.before)
            cold = on_files(lab, lambda to: [("cat", str(blob))], _forget)

            def regfs(first: bool, before: Callable[[], object]) -> Ready:
                cat = _cat("bench/v1/blob")
                return through_mount(
                    lab, lambda: lab.regfs(shop.registry, cache=cache / "regfs"), cat, before, cat if first else _none
                )

            def rclone() -> Ready:
                cat = _cat("blob")
                return through_mount(lab, lambda: lab.rclone(shop.web, cache=cache / "rclone"), cat, shop.before, cat)

            goal = Goal("within 1.5 times native", 1.5, "native file, page cache")
            yield [
                Contender("regfs, page cache", regfs(True, shop.before), [goal]),
                Contender("native file, page cache", native),
                Contender("rclone mount, page cache", rclone()),
                Contender("regfs, from its cache", regfs(False, lambda: _warm(cache / "regfs"))),
                *(
                    [
                        Contender("regfs, from the disk", regfs(True, _forget)),
                        Contender("native file, from the disk", cold),
                    ]
                    if ROOT
                    else []
                ),
            ]

    note = (
        "*Page cache*: the same mount has read it before. *From its cache*: another mount has; the cache's file is in "
        "the kernel's memory. *From the disk*: after `echo 3 > /proc/sys/vm/drop_caches`."
    )
    return Case("re-read", "Reading it again", note, "native file, page cache", contenders, size)


def _none(directory: Path) -> Sequence[Command]:
    return ()


def _forget() -> None:
    os.sync()
    drop_caches()


def _warm(directory: Path) -> None:
    for path in directory.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                while file.read(MIB):
                    pass


def four_readers(lab: Lab, size: int) -> Case:
    """Four cold blobs at once."""
    names = [f"blob{number}" for number in range(4)]

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _open(lab, dict.fromkeys(names, size)) as shop:
            goal = Goal("under 200 MB", 200e6, fact=MEMORY)
            yield [
                Contender("regfs", shop.regfs(_cat(*names)), [goal]),
                Contender("curl", shop.curl(*names)),
                Contender("dxf", shop.dxf(*names)),
                Contender("skopeo", shop.skopeo()),
                Contender("rclone mount", shop.rclone(_cat(*names))),
            ]

    note = "Four blobs read by four processes at once; skopeo copies the alias that has them. Memory is the mount's."
    return Case("four-readers", "Four readers of four cold blobs", note, "dxf", contenders, 4 * size)


def slow_link(lab: Lab, size: int) -> Case:
    """A cold blob over a link that is slow per connection."""

    @contextmanager
    def contenders() -> Iterator[Sequence[Contender]]:
        with _open_behind_links(lab, {"blob": size}, _ROUND_TRIP, _RATE) as (shop, _, _):
            yield [
                Contender("regfs", shop.regfs(_cat("blob")), [Goal("at least 3 times as fast as curl", 1 / 3, "curl")]),
                Contender("curl", shop.curl("blob")),
                Contender("dxf", shop.dxf("blob")),
                Contender("skopeo", shop.skopeo()),
                Contender("rclone mount", shop.rclone(_cat("blob"))),
            ]

    note = (
        "40 ms from a request to its answer, one more such round trip for each new connection, 10 MB/s per "
        "connection, no limit for all together; TCP's slow start and losses are not imitated."
    )
    return Case("slow-link", "A cold blob over a slow link", note, "curl", contenders, size)
