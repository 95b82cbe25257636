"""One file under random operations, by several descriptors, beside an array of its bytes."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from tests.endurance.fsx import Exerciser
from tests.endurance.ground import Ground


@pytest.mark.parametrize("seed", range(3))
def test_a_file_under_random_operations_has_the_bytes_that_were_written(here: Ground, seed: int) -> None:
    here.view.mkdir(f"fsx:v{seed}")
    with closing(Exerciser(here.view.path(f"fsx:v{seed}/file.bin"), seed)) as exerciser:
        exerciser.run(250)
        exerciser.finish()
    assert here.foreign.files("fsx", f"v{seed}") == {"file.bin": exerciser.expected}


def test_the_exerciser_tells_when_a_byte_is_wrong(tmp_path: Path) -> None:
    with closing(Exerciser(os.fspath(tmp_path / "file"), 0)) as exerciser:
        exerciser.run(100)
        with open(tmp_path / "file", "r+b") as file:
            file.write(bytes(255 - byte for byte in exerciser.expected[:1]))
        with pytest.raises(AssertionError, match="byte 0 is"):
            exerciser.finish()
