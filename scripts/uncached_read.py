"""The frames of an uncached read: of the thread that the kernel waits for, and of the one that brings the bytes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from tests.registries import Lab

_ROOT = Path(__file__).parents[1]
_REGFS = os.path.join(sysconfig.get_path("scripts"), "regfs")
_FILE_BYTES = 20 << 20  # larger than a blob that is fetched when it is opened
_Frame = tuple[str, str]  # module and function


def watch(file: Path) -> None:
    """Tell the frames of the first read of a blob's bytes from a socket, to the end of the process.

    :param file: where to; JSON, a list of frames for each of the two threads
    """
    receive = socket.socket.recv_into

    def recv_into(self: socket.socket, *arguments: Any, **named: Any) -> int:
        bringing = _frames(sys._getframe(1))
        if not file.exists() and any(module == "regfs.cache.receiver" for module, _ in bringing) and _is_body(bringing):
            waiting = [_frames(frame) for frame in sys._current_frames().values()]
            reads = [frames for frames in waiting if {"mount", "cache"} <= _rooms(frames)]
            if reads:
                file.write_text(json.dumps([reads[0], bringing]))
        return receive(self, *arguments, **named)

    socket.socket.recv_into = recv_into  # type: ignore[method-assign]


def _rooms(frames: list[_Frame]) -> set[str]:
    return {module.split(".")[1] for module, _ in frames if module.startswith("regfs.")}


def _is_the_verb(module: str, name: str) -> bool:
    """Whether a frame is the adapter's own read: above it are only those that every verb has."""
    return module.startswith("regfs.mount.") and name.endswith(".read")


def _is_body(frames: list[_Frame]) -> bool:
    return any(module.startswith("regfs.registry") and name.endswith("read_into") for module, name in frames)


def _frames(frame: FrameType | None) -> list[_Frame]:
    """Module and function of each frame, the outermost first."""
    found = []
    while frame is not None:
        owner = frame.f_locals.get("self")
        name = frame.f_code.co_name if owner is None else f"{type(owner).__name__}.{frame.f_code.co_name}"
        found.append((str(frame.f_globals.get("__name__")), name))
        frame = frame.f_back
    return found[::-1]


def main() -> None:
    """Read a byte through a mount and print the frames."""
    with tempfile.TemporaryDirectory(prefix="regfs-frames-") as name:
        waiting, bringing = _watched_read(Path(name))
    waiting = waiting[next(number for number, frame in enumerate(waiting) if _is_the_verb(*frame)) :]
    for title, frames in (("The kernel waits for", waiting), ("The bytes come by", bringing)):
        print(f"{title}\n")
        for line in _lines(frames):
            print(f"    {line}")
        print()
    own = [module for module, _ in waiting + bringing if module.startswith("regfs.")]
    rooms = _rooms(waiting + bringing)
    print(f"{len(own)} frames in {len(rooms)} rooms: {', '.join(sorted(rooms))}")


def _lines(frames: list[_Frame]) -> Iterator[str]:
    """The frames from the first one of regfs on; those of others are indented."""
    first = next(number for number, (module, _) in enumerate(frames) if module.startswith("regfs."))
    for module, name in frames[first:]:
        yield f"{'' if module.startswith('regfs.') else '  '}{module}: {name}"


def _watched_read(directory: Path) -> list[list[_Frame]]:
    """Read from the middle of a file that the cache has nothing of; returns the frames of the two threads."""
    found = directory / "frames.json"
    mount = directory / "mount"
    mount.mkdir()
    (directory / "file").write_bytes(os.urandom(_FILE_BYTES))
    environment = os.environ | {"XDG_CACHE_HOME": str(directory), "XDG_STATE_HOME": str(directory)}
    watched = environment | {
        "PYTHONPATH": f"{_ROOT / 'scripts/startup'}{os.pathsep}{_ROOT}", "FRAMES_OF_A_READ": str(found)
    }  # fmt: skip
    (directory / "lab").mkdir()
    lab = Lab(directory / "lab")
    try:
        reference = f"{lab.start('plain').host}/some/repository:v1"
        subprocess.run([_REGFS, "put", reference, directory / "file"], env=environment, check=True)
        cache = ["--cache-dir", directory / "cache"]
        subprocess.run([_REGFS, "mount", "--read-only", *cache, reference, mount], env=watched, check=True)
        try:
            with open(mount / "file", "rb", buffering=0) as file:
                os.pread(file.fileno(), 1, _FILE_BYTES // 2)
        finally:
            subprocess.run([_REGFS, "umount", mount], env=environment, check=True)
    finally:
        lab.stop()
    frames: list[list[list[str]]] = json.loads(found.read_text())
    return [[(module, name) for module, name in thread] for thread in frames]


if __name__ == "__main__":
    main()
