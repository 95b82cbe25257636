"""scripts/frames: it prints what an uncached read goes through, which is little."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts/frames"


def test_an_uncached_read_is_few_frames_in_few_rooms() -> None:
    done = subprocess.run([SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = re.search(r"^(\d+) frames in (\d+) rooms", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout
    assert int(found[1]) <= 12, done.stdout
    assert int(found[2]) <= 5, done.stdout
