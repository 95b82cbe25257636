"""Imported by every Python that starts with this directory in PYTHONPATH: it tells the frames of an uncached read."""

import os
from pathlib import Path

from scripts.uncached_read import watch

watch(Path(os.environ["FRAMES_OF_A_READ"]))
