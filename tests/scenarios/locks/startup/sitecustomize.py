"""Imported by every Python that starts with this directory in PYTHONPATH: its locks are watched from the start."""

import json
import os
import traceback

from tests.scenarios.locks.watched import watch


def _tell(held: str, taken: str) -> None:
    where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_stack()[:-3]]
    line = json.dumps({"held": held, "taken": taken, "where": [step for step in where if "/regfs/" in step]})
    with open(os.environ["WATCHED_LOCKS"], "a") as file:
        file.write(f"{line}\n")


watch(_tell)
