"""What lies in an archive → files of a directory, as ``oras pull`` writes a directory that was packed.

Archives are hostile: no link is followed on the way to a file, and of a packed directory none is written that leads out
of it. Owners, devices and special mode bits are not written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from regfs.cache.fetcher import Reader
from regfs.library.artifacts import NotPossible
from regfs.library.get import Destination
from regfs.oci.titles import Path
from regfs.tree.attributes import Attributes, Kind
from regfs.tree.node import Node

Progress = Callable[[int], object]
_COPY_BYTES = 1 << 20
_PERMISSIONS = 0o777


def unpack(node: Node, goal: Destination, path: Path, progress: Progress, any_link: bool = False) -> int:
    """Write a directory, or a file, and all that is in it; returns how many files were written.

    :param path: where it goes
    :param any_link: whether a link may lead out of the directory, as those of an image do
    :param progress: called with a number of bytes when they are there
    :raises NotPossible: for a link that leads out of the directory
    :raises ArchiveError: when the archive cannot be read
    :raises OSError: when it cannot be written
    """
    written = 0
    for below, found in _below(node, ()):
        link = found.attributes().link_target
        if link is not None and not any_link:
            _require_inside(below, link)
        written += _write(found, goal, (*path, *below), progress)
    return written


def _below(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """Yield a node and all in it, a directory after what is in it: its time is set when nothing changes it any more."""
    if node.is_directory:
        for name, child in node.children():
            yield from _below(child, (*path, name))
    yield path, node


def _write(node: Node, goal: Destination, there: Path, progress: Progress) -> int:
    found = node.attributes()
    if found.kind is Kind.DIRECTORY:
        goal.make_directory(there, found.mtime_ns)
        return 0
    if found.kind is Kind.SYMLINK:
        goal.add_link(there, found.link_target or "")
        return 1
    if found.kind is not Kind.FILE:
        return 0
    with goal.adding(there) as fd:
        copy_node(node, fd, progress)
        _describe(fd, found)
    return 1


def _describe(fd: int, found: Attributes) -> None:
    made = os.fstat(fd).st_mode & _PERMISSIONS
    executable = (found.mode or 0) & 0o111
    os.fchmod(fd, made | (executable & (made >> 2)))  # who may read it may run it
    os.utime(fd, ns=(found.mtime_ns, found.mtime_ns))


def _require_inside(below: Path, target: str) -> None:
    """Make sure that a link stays in the directory that is written.

    :param below: where it is in there
    :raises NotPossible: when it does not
    """
    depth = len(below) - 1
    for name in target.split("/"):
        depth += -1 if name == ".." else name not in ("", ".")
        if depth < 0 or target.startswith("/"):
            raise NotPossible(f"{'/'.join(below)} is a link to {target}, outside of its directory; try --no-unpack")


def copy_node(node: Node, fd: int, progress: Progress) -> None:
    """Write the bytes of a file to an open one.

    :raises ArchiveError: when the archive cannot be read
    :raises OSError: EISDIR, and when they could not be written
    """
    with _opened(node) as reader:
        buffer, offset = memoryview(bytearray(max(1, min(_COPY_BYTES, reader.size)))), 0
        while count := reader.read_into(buffer, offset):
            data = buffer[:count]
            while data:
                data = data[os.write(fd, data) :]
            offset += count
            progress(count)


@contextmanager
def _opened(node: Node) -> Iterator[Reader]:
    reader = node.open()
    try:
        yield reader
    finally:
        reader.close()
