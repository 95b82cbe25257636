"""What was measured, kept as JSON, and shown as Markdown.

Cases that a run leaves out keep what an earlier run found; each says when and of what size it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.benchmark.contenders import MEMORY, MOVED, REQUESTS
from scripts.benchmark.harness import SECONDS, Case, Goal, Result

BEGIN, END = "<!-- the numbers: written by scripts/bench -->", "<!-- the end of the numbers -->"
_PAGE = f"# Benchmarks\n\n{BEGIN}\n{END}\n"
_RESULTS = "results.json"
Document = dict[str, Any]


def load(directory: Path) -> Document:
    """What is known so far."""
    path = directory / _RESULTS
    return json.loads(path.read_text()) if path.exists() else {"cases": {}}


def save(directory: Path, document: Document) -> None:
    """Keep it."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / _RESULTS).write_text(json.dumps(document, indent=1) + "\n")


def case_document(
    case: Case, results: Mapping[str, Result], goals: Mapping[str, Sequence[Goal]], conditions: Mapping[str, object]
) -> Document:
    """What one case came to.

    :param conditions: when, how often, and how large
    """
    return {
        "title": case.title,
        "note": case.note,
        "reference": case.reference,
        "amount": case.amount,
        **conditions,
        "contenders": {
            name: {
                "rounds": result.rounds,
                "failure": result.failure,
                "goals": [{"text": g.text, "reached": g.reached(name, results)} for g in goals[name]],
            }
            for name, result in results.items()
        },
    }


def write_page(page: Path, document: Document, order: Sequence[str], plot: str) -> None:
    """Put the tables between the markers of a page; the text around them stays.

    :param plot: the picture's path as the page names it
    """
    text = page.read_text() if page.exists() else _PAGE
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    cases = document["cases"]
    parts = [_machine(document["machine"]), f"![The medians of every case]({plot})"]
    parts += [_section(cases[name]) for name in order if name in cases]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(before + BEGIN + "\n\n" + "\n\n".join(parts) + "\n\n" + END + after)


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"Measured on {machine['cores']} cores ({machine['processor']}), {_bytes(machine['memory'])} of memory, "
        f"{machine['system']}, Linux {machine['kernel']}, as {'root' if machine['root'] else 'a user'}.\n\n"
        f"Versions: {versions}."
    )


def _section(case: Document) -> str:
    medians = {name: _contender(entry) for name, entry in case["contenders"].items()}
    facts = [f for f in (MEMORY, MOVED, REQUESTS) if any(m.median(f) is not None for m in medians.values())]
    heads = ["", "median", "fastest to slowest", f"times {case['reference']}"]
    heads += (["MB/s"] if case["amount"] else []) + facts + ["goal"]
    rows = [heads, ["---"] + ["---:"] * (len(heads) - 2) + ["---"]]
    for name, result in medians.items():
        rows.append(_row(name, result, medians, case, facts))
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"### {case['title']}\n\n{case['note']}\n\n{table}\n\n{_conditions(case)}"


def _contender(entry: Document) -> Result:
    return Result(entry["rounds"], entry["failure"])


def _row(name: str, result: Result, medians: Mapping[str, Result], case: Document, facts: Sequence[str]) -> list[str]:
    goals = case["contenders"][name]["goals"]
    goal = "<br>".join(f"{g['text']}: {_reached(g['reached'])}" for g in goals)
    own, reference = result.median(), medians[case["reference"]].median()
    if own is None:
        return [name, "failed", "", "", *([""] if case["amount"] else []), *[""] * len(facts), goal or result.failure]
    seconds = result.values(SECONDS)
    ratio = f"{own / reference:.2f}" if reference else ""
    rate = [f"{case['amount'] / own / 1e6:,.0f}"] if case["amount"] else []
    spread = f"{_seconds(min(seconds))} to {_seconds(max(seconds))}"
    return [name, _seconds(own), spread, ratio, *rate, *(_fact(fact, result.median(fact)) for fact in facts), goal]


def _reached(reached: bool | None) -> str:
    return {True: "reached", False: "**not reached**", None: "not known"}[reached]


def _fact(fact: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if fact == REQUESTS else _bytes(value)


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1000:.1f} ms" if value < 0.1 else f"{value * 1000:.0f} ms"


def _bytes(value: float) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= size:
            return f"{value / size:.3g} {unit}" if value < 1000 * size else f"{value / size:,.0f} {unit}"
    return f"{value:.0f} B"


def _conditions(case: Document) -> str:
    quick = " A quick run, for trying: not to be quoted." if case["quick"] else ""
    size = f" of {_bytes(case['amount'])}" if case["amount"] else ""
    rounds = case["rounds"]
    return f"*{rounds} round{'s' if rounds != 1 else ''}{size}, {case['date']}.{quick}*"
