"""fio on a mount, in little; scripts/soak runs it with larger files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endurance.suites import PATTERNS, Pattern, written_and_read_again
from tests.registries import Registry


@pytest.mark.parametrize("pattern", PATTERNS[:2], ids=lambda pattern: pattern.name)
def test_fio_finds_its_blocks_in_this_mount_and_the_next(plain: Registry, tmp_path: Path, pattern: Pattern) -> None:
    written_and_read_again(plain, tmp_path, pattern, "1m", seed=1)
