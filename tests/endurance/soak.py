"""Runs of any length: ``python -m tests.endurance.soak KIND... [--minutes N] [--seed S]``. See ``scripts/soak``.

A kind is a function of a seed, the seconds that it may take and a directory of its own. It returns one line that says
how much it did, and raises what it found.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from tests.endurance import differential, faults, fsx, kills, load, machine, suites
from tests.scenarios.locks.watching import watching

Kind = Callable[[int, float, Path], str]

KINDS: dict[str, Kind] = {
    "differential": differential.soak,
    "faults": faults.soak,
    "fsx": fsx.soak,
    "kills": kills.soak,
    "load": load.soak,
    "model": machine.soak,
    "programs": suites.soak,
}


def soak(name: str, seed: int, seconds: float, watched: bool = False) -> bool:
    """Run one kind for a while; returns whether it found nothing. What it found is printed, with the seed.

    :param watched: the mounts' locks are watched; one that is taken out of their order was found, too
    """
    print(f"{name}: seed {seed}, {seconds / 60:g} minutes", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"soak-{name}-", ignore_cleanup_errors=True) as directory:
        try:
            with watching(Path(directory)) if watched else nullcontext():
                done = KINDS[name](seed, seconds, Path(directory))
        except Exception:  # noqa: BLE001 - whatever it is, it was found
            traceback.print_exc()
            print(f"{name}: failed; once more: scripts/soak {name} --seed {seed}", flush=True)
            return False
    print(f"{name}: {done} in {time.monotonic() - started:.0f} s; nothing found", flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all of them without any")
    parser.add_argument("--minutes", type=float, default=5.0, help="for each kind")
    parser.add_argument("--seed", type=int, default=None, help="of the random choices; a new one each time")
    parser.add_argument("--locks", action="store_true", help="watch the order of the mounts' locks; it is slower")
    given = parser.parse_args()
    for name in given.kinds:
        if name not in KINDS:
            parser.error(f"{name} is no kind; there are {', '.join(KINDS)}")
    logging.disable()
    seed = random.randrange(1 << 30) if given.seed is None else given.seed
    failed = [name for name in given.kinds or KINDS if not soak(name, seed, given.minutes * 60, given.locks)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
