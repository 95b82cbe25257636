"""docs/SEMANTICS.md: each promise names tests, and each test that it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/SEMANTICS.md").read_text(encoding="utf-8")


def _tests() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    return {name for source in sources for name in re.findall(r"^\s*def (test_\w+)", source, re.MULTILINE)}


def test_every_test_that_is_named_exists() -> None:
    assert sorted(set(re.findall(r"`(test_\w+)`", PAGE)) - _tests()) == []


def test_every_promise_names_its_tests_or_says_that_there_is_none() -> None:
    promises = re.findall(r"^- \*\*(\d+\.\d+)\*\* (.+?)(?=^- |^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| E.+$", PAGE, re.MULTILINE)
    assert promises
    assert rows
    held = re.compile(r"`test_\w+`|\(no test\)")
    assert [text for text in [*(text for _, text in promises), *rows] if not held.search(text)] == []


def test_promises_are_numbered_in_order() -> None:
    numbers = [
        tuple(map(int, number.split("."))) for number in re.findall(r"^- \*\*(\d+\.\d+)\*\*", PAGE, re.MULTILINE)
    ]
    assert numbers == sorted(set(numbers))
