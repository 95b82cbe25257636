"""A mount of a repository beside its model in memory, while another client changes the repository."""

from __future__ import annotations

import pytest

from tests.endurance import machine
from tests.endurance.ground import Ground


@pytest.mark.timeout(900)  # to find the fewest steps that fail takes a while
def test_a_mount_is_what_its_model_says(here: Ground) -> None:
    assert machine.run(here, examples=9, steps=40) > 200
