"""The command line of ``scripts/bench``: which cases, how large, how often, and where the results go."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from scripts.benchmark import adapters, images, listing, machine, plot, reading, report, writing
from scripts.benchmark.harness import Case, measure
from scripts.benchmark.lab import Lab

_CHECKOUT = Path(__file__).parents[2]
_COMMITTED = Path("docs/benchmarks")
_QUICK = Path("build/benchmarks")
_PLOT = "benchmarks.svg"
_INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ROOM = 6  # times the size of the largest file, on disk at once


@dataclass(frozen=True)
class Scale:
    """How large the cases are.

    :param size: bytes of the large file
    :param share: bytes of each of four
    :param slow: bytes over the slow link
    """

    size: int
    share: int
    slow: int
    rounds: int
    aliases: int = 1000
    repositories: int = 300
    files: int = 500
    entries: int = 10_000
    image: int = 800 << 20


_FULL_SCALE = Scale(1 << 30, 256 << 20, 128 << 20, 3)
_QUICK_SCALE = Scale(64 << 20, 16 << 20, 32 << 20, 2, image=80 << 20)

CASES: dict[str, Callable[[Lab, Scale], Case]] = {
    "sequential": lambda lab, scale: reading.sequential(lab, scale.size),
    "first-byte": lambda lab, scale: reading.first_byte(lab, scale.size),
    "far-offset": lambda lab, scale: reading.far_offset(lab, scale.size),
    "re-read": lambda lab, scale: reading.re_read(lab, scale.size),
    "four-readers": lambda lab, scale: reading.four_readers(lab, scale.share),
    "slow-link": lambda lab, scale: reading.slow_link(lab, scale.slow),
    "list-tags": lambda lab, scale: listing.tags(lab, scale.aliases),
    "list-repositories": lambda lab, scale: listing.repositories(lab, scale.repositories),
    "ls": lambda lab, scale: adapters.ls(lab, scale.entries),
    "find": lambda lab, scale: adapters.find(lab, scale.entries // 2),
    "grep": lambda lab, scale: adapters.grep(lab, scale.entries // 2),
    "stat": lambda lab, scale: adapters.stat(lab),
    "large": lambda lab, scale: adapters.large(lab, scale.size),
    "images-first": lambda lab, scale: images.first_listing(lab, scale.image),
    "images-file": lambda lab, scale: images.one_file(lab, scale.image),
    "images-find": lambda lab, scale: images.find(lab, scale.image),
    "images-tar": lambda lab, scale: images.tar(lab, scale.image),
    "images-grep": lambda lab, scale: images.grep(lab, scale.image // 10),
    "write-large": lambda lab, scale: writing.large(lab, scale.size),
    "write-small": lambda lab, scale: writing.small(lab, scale.files, 4 << 10),
    "move": lambda lab, scale: writing.move(lab, scale.size),
}


_GROUPS = ("images",)  # the cases whose names begin so


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Time regfs beside curl, dxf, skopeo, oras-py and rclone, all on loopback.",
        epilog=f"Cases: {', '.join(CASES)}.",
    )
    parser.add_argument("--quick", action="store_true", help="64 MiB and 2 rounds, for trying; not to be quoted")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each case (3, quick 2)")
    parser.add_argument(
        "--only", nargs="+", choices=[*CASES, *_GROUPS], metavar="NAME", help="these; the others' results stay"
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help=f"results and plot ({_COMMITTED}; quick {_QUICK}, also the page)"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, and write the report after each case."""
    options = _options()
    scale = _QUICK_SCALE if options.quick else _FULL_SCALE
    rounds = options.rounds or scale.rounds
    output = options.output or (_QUICK if options.quick else _COMMITTED)
    names = [name for name in CASES if not options.only or {name, name.partition("-")[0]} & set(options.only)]
    for number in _INTERRUPTIONS:
        signal.signal(number, _interrupt)
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < _ROOM * scale.size:
        print(f"scripts/bench: {tempfile.gettempdir()} has less than {_ROOM * scale.size >> 30} GiB free; set TMPDIR")
        return 1
    with tempfile.TemporaryDirectory(prefix="regfs-bench.", ignore_cleanup_errors=True) as directory:
        lab = Lab(Path(directory))
        try:
            for name in names:
                _measure(lab, name, scale, rounds, options.quick, output)
        finally:
            lab.close()
    return 0


def _measure(lab: Lab, name: str, scale: Scale, rounds: int, quick: bool, output: Path) -> None:
    case = CASES[name](lab, scale)
    _say(f"{name}: {case.title}")
    results, goals = measure(case, rounds, _say)
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    document = report.load(output)
    document["machine"] = machine.describe()
    conditions = {"date": date, "rounds": rounds, "quick": quick}
    document["cases"][name] = report.case_document(case, results, goals, conditions)
    report.save(output, document)
    plot.draw(output / _PLOT, document["cases"], list(CASES))
    committed = output.resolve() == (_CHECKOUT / _COMMITTED).resolve()
    page = _CHECKOUT / "docs/BENCHMARKS.md" if committed else output / "BENCHMARKS.md"
    report.write_page(page, document, list(CASES), f"benchmarks/{_PLOT}" if committed else _PLOT)


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for other in _INTERRUPTIONS:
        signal.signal(other, signal.SIG_IGN)  # once is enough; what follows is tidying up
    raise KeyboardInterrupt


def run() -> int:
    """:func:`main`, with an interruption as a status."""
    try:
        return main()
    except KeyboardInterrupt:
        print("scripts/bench: interrupted; everything is taken away", file=sys.stderr)
        return 130


sys.exit(run())
