"""Timing contenders against each other: interleaved rounds, medians, spread, ratios, goals.

Knows nothing of registries or mounts: a contender is something that can be made ready, run, and asked for facts.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

SECONDS = "seconds"
Facts = Mapping[str, float]


class Failed(Exception):
    """A contender could not do its work; the text says why."""


@dataclass(frozen=True)
class Attempt:
    """One run, made ready.

    :param run: what is timed
    :param facts: read after it, untimed: fact → value
    """

    run: Callable[[], object]
    facts: Callable[[], Facts] = dict


@dataclass(frozen=True)
class Goal:
    """What a contender's fact is to be: at most *limit*, or at most *limit* times the same fact of *other*."""

    text: str
    limit: float
    other: str | None = None
    fact: str = SECONDS

    def reached(self, contender: str, results: Mapping[str, Result]) -> bool | None:
        """Whether it is; None when one of the facts is not known."""
        value = results[contender].median(self.fact)
        measure = 1.0 if self.other is None else results[self.other].median(self.fact)
        return None if value is None or measure is None else value <= self.limit * measure


@dataclass(frozen=True)
class Contender:
    """Somebody who does a case's work.

    :param ready: makes one run ready, and takes everything away after it
    """

    name: str
    ready: Callable[[], AbstractContextManager[Attempt]]
    goals: Sequence[Goal] = ()


@dataclass(frozen=True)
class Case:
    """One table.

    :param reference: the contender whose median is 1 in the column of ratios
    :param note: how it is measured, in a sentence or two
    :param amount: bytes that each contender moves; 0 where a rate would say nothing
    :param contenders: sets the case up, yields its contenders, takes everything away
    """

    name: str
    title: str
    note: str
    reference: str
    contenders: Callable[[], AbstractContextManager[Sequence[Contender]]]
    amount: int = 0


@dataclass
class Result:
    """What a contender's runs came to: one entry of facts, time included, per round."""

    rounds: list[Facts] = field(default_factory=list)
    failure: str = ""

    def values(self, fact: str) -> list[float]:
        """The fact in each round that has it."""
        return [facts[fact] for facts in self.rounds if fact in facts]

    def median(self, fact: str = SECONDS) -> float | None:
        """The median over the rounds."""
        values = self.values(fact)
        return statistics.median(values) if values else None


def measure(
    case: Case, rounds: int, say: Callable[[str], object]
) -> tuple[dict[str, Result], dict[str, Sequence[Goal]]]:
    """Run every contender once per round, each round beginning with another one.

    :returns: the results and the goals by contender's name, in the order of the case
    """
    with case.contenders() as contenders:
        results = {contender.name: Result() for contender in contenders}
        for number in range(rounds):
            for contender in _rotated(contenders, number):
                result = results[contender.name]
                if not result.failure:
                    _run(contender, result)
                    say(f"  round {number + 1}: {contender.name}: {_last(result)}")
        return results, {contender.name: contender.goals for contender in contenders}


def _rotated(contenders: Sequence[Contender], by: int) -> Iterator[Contender]:
    for place in range(len(contenders)):
        yield contenders[(place + by) % len(contenders)]


def _run(contender: Contender, result: Result) -> None:
    try:
        with contender.ready() as attempt:
            began = time.perf_counter()
            attempt.run()
            took = time.perf_counter() - began
            result.rounds.append({SECONDS: took, **attempt.facts()})
    except (Failed, OSError, subprocess.SubprocessError) as error:
        lines = str(error).strip().splitlines()
        result.failure = lines[-1][:200] if lines else type(error).__name__


def _last(result: Result) -> str:
    return f"failed: {result.failure}" if result.failure else f"{result.rounds[-1][SECONDS]:.3f} s"
