"""What is written after the last close, as through a memory map, is pushed when the last handle goes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.gate import Gate
from tests.scenarios.foreign import Foreign
from tests.scenarios.views import Direct


def test_a_reader_that_comes_and_goes_during_a_late_push_does_not_end_it(
    gate: Gate, foreign: Foreign, repository: str, tmp_path: Path
) -> None:
    view = Direct(tmp_path, f"http://{gate.server.host}")
    filesystem = view._filesystem
    view.mkdir(f"{repository}:v1")
    path = f"/{repository}:v1/file"
    handle = filesystem.create(path)
    filesystem.write(handle, b"early", 0)
    filesystem.flush(handle)
    filesystem.write(handle, b"later", 0)
    gate.close()
    last = threading.Thread(target=filesystem.release, args=(handle,))
    last.start()
    assert gate.reached.wait(30)
    reader = filesystem.open(path, os.O_RDONLY)
    filesystem.release(reader)
    gate.opened.set()
    last.join()
    assert view.journal() == []
    assert view.read_bytes(path[1:]) == b"later"
    assert foreign.files(repository, "v1") == {"file": b"later"}
    view.close()
