"""The same random programs in an alias of a mount and in a plain directory; docs/SEMANTICS.md says what may differ."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.endurance.differential import DEVIATIONS, compare
from tests.endurance.ground import Ground
from tests.endurance.programs import Operation, programs

_SEMANTICS = (Path(__file__).parents[2] / "docs/SEMANTICS.md").read_text(encoding="utf-8")


@pytest.mark.timeout(900)  # to find the shortest program that fails takes a while
def test_programs_come_to_the_same_in_a_mount_as_in_a_plain_directory(
    here: Ground, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("plain")

    @settings(max_examples=40, derandomize=True, database=None, deadline=None,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))  # fmt: skip
    @given(programs)
    def one(program: list[Operation]) -> None:
        compare(here, program, directory)

    one()


def test_a_difference_is_told(here: Ground, tmp_path: Path) -> None:
    program: list[Operation] = [("put", "a", b"x"), ("chmod", "a", 0o600), ("mode", "a")]
    with pytest.raises(AssertionError, match="2: "):  # 7.1
        compare(here, program, tmp_path)


def test_each_deviation_is_in_the_semantics() -> None:
    assert set(DEVIATIONS) <= set(re.findall(r"^- \*\*(\d+\.\d+)\*\*", _SEMANTICS, re.MULTILINE))
