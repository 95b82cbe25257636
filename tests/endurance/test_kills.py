"""kill -9 of the mount, the registry, or both, at random moments; scripts/soak does it for longer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endurance.kills import Kills
from tests.logs import A_MOMENT_AGO, NOT_PUSHED, STALE
from tests.registries import Registry

_ROUNDS = 12


@pytest.mark.logs(r"^\w+ /killed/", STALE, A_MOMENT_AGO, NOT_PUSHED)
def test_nothing_acknowledged_is_lost_to_kills_of_the_mount_and_of_the_registry(
    own_registry: Registry, tmp_path: Path
) -> None:
    kills = Kills(own_registry, tmp_path / "user")
    try:
        for seed in range(_ROUNDS):
            kills.round(seed)
    finally:
        kills.close()
    assert kills.done["kills of the mount"] >= _ROUNDS // 2
    assert kills.done["kills of the registry"] >= 1
    assert kills.done["acknowledged"] > 0
