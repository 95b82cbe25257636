"""The behaviours that pjdfstest tests, as far as a registry can have them: docs/RELIABILITY.md has them as a table.

Each case is a few system calls in a directory of an alias, and the errno that they end in, exactly; None for success.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.endurance.ground import Ground
from tests.scenarios.views import refused

pytestmark = pytest.mark.logs(r"^\w+ /")  # what is refused is logged
_numbers = itertools.count(1)
Case = Callable[[Path], object]
LONG = "n" * 255


@pytest.fixture
def directory(here: Ground) -> Path:
    """A directory of an alias, with the file ``file``, the empty directory ``empty`` and ``full`` with a file."""
    alias = f"posix:v{next(_numbers)}"
    here.view.makedirs(f"{alias}/there/empty")
    here.view.mkdir(f"{alias}/there/full")
    for name in ("file", "full/file"):
        here.view.write_bytes(f"{alias}/there/{name}", b"bytes")
    return Path(here.view.path(f"{alias}/there"))


def opened(path: Path, flags: int) -> None:
    """Open, and close again."""
    os.close(os.open(path, flags, 0o644))


CASES: dict[str, tuple[Case, int]] = {
    "mkdir of what exists": (lambda at: os.mkdir(at / "empty"), errno.EEXIST),
    "mkdir of a file": (lambda at: os.mkdir(at / "file"), errno.EEXIST),
    "mkdir in nothing": (lambda at: os.mkdir(at / "none/new"), errno.ENOENT),
    "mkdir in a file": (lambda at: os.mkdir(at / "file/new"), errno.ENOTDIR),
    "mkdir of a name too long": (lambda at: os.mkdir(at / f"{LONG}n"), errno.ENAMETOOLONG),
    "mkdir of a path too long": (lambda at: os.mkdir(at / ("d/" * 2048)), errno.ENAMETOOLONG),
    "rmdir of nothing": (lambda at: os.rmdir(at / "none"), errno.ENOENT),
    "rmdir of a file": (lambda at: os.rmdir(at / "file"), errno.ENOTDIR),
    "rmdir of a directory with a file": (lambda at: os.rmdir(at / "full"), errno.ENOTEMPTY),
    "rmdir of a directory with a directory": (lambda at: os.rmdir(at), errno.ENOTEMPTY),
    "rmdir of .": (lambda at: os.rmdir(f"{at}/empty/."), errno.EINVAL),
    "rmdir of ..": (lambda at: os.rmdir(f"{at}/empty/.."), errno.ENOTEMPTY),
    "rmdir of the mount": (lambda at: os.rmdir(at.parents[1]), errno.EBUSY),
    "unlink of nothing": (lambda at: os.unlink(at / "none"), errno.ENOENT),
    "unlink of a directory": (lambda at: os.unlink(at / "empty"), errno.EISDIR),
    "unlink below a file": (lambda at: os.unlink(at / "file/none"), errno.ENOTDIR),
    "unlink of a name too long": (lambda at: os.unlink(at / f"{LONG}n"), errno.ENAMETOOLONG),
    "open of nothing": (lambda at: opened(at / "none", os.O_RDONLY), errno.ENOENT),
    "open below a file": (lambda at: opened(at / "file/none", os.O_RDONLY), errno.ENOTDIR),
    "open of a directory for writing": (lambda at: opened(at / "empty", os.O_WRONLY), errno.EISDIR),
    "open of a directory to truncate it": (lambda at: opened(at / "empty", os.O_RDWR | os.O_TRUNC), errno.EISDIR),
    "create of a directory": (lambda at: opened(at / "empty", os.O_RDONLY | os.O_CREAT), errno.EISDIR),
    "create of what exists, exclusively": (lambda at: opened(at / "file", os.O_CREAT | os.O_EXCL), errno.EEXIST),
    "create in nothing": (lambda at: opened(at / "none/new", os.O_CREAT | os.O_WRONLY), errno.ENOENT),
    "create of a name too long": (lambda at: opened(at / f"{LONG}n", os.O_CREAT | os.O_WRONLY), errno.ENAMETOOLONG),
    "open of a file as a directory": (lambda at: opened(at / "file", os.O_DIRECTORY), errno.ENOTDIR),
    "rename of nothing": (lambda at: os.rename(at / "none", at / "new"), errno.ENOENT),
    "rename into nothing": (lambda at: os.rename(at / "file", at / "none/new"), errno.ENOENT),
    "rename into a file": (lambda at: os.rename(at / "full/file", at / "file/new"), errno.ENOTDIR),
    "rename of a file to a directory": (lambda at: os.rename(at / "file", at / "empty"), errno.EISDIR),
    "rename of a directory to a file": (lambda at: os.rename(at / "empty", at / "file"), errno.ENOTDIR),
    "rename to a directory with a file": (lambda at: os.rename(at / "empty", at / "full"), errno.ENOTEMPTY),
    "rename into itself": (lambda at: os.rename(at / "full", at / "full/new"), errno.EINVAL),
    "rename to what it is in": (lambda at: os.rename(at / "full/file", at / "full"), errno.ENOTEMPTY),
    "rename to a name too long": (lambda at: os.rename(at / "file", at / f"{LONG}n"), errno.ENAMETOOLONG),
    "rename of .": (lambda at: os.rename(f"{at}/full/.", at / "new"), errno.EBUSY),
    "rename out of the mount": (lambda at: os.rename(at / "file", "/tmp/regfs-nowhere"), errno.EXDEV),
    "truncate of nothing": (lambda at: os.truncate(at / "none", 0), errno.ENOENT),
    "truncate of a directory": (lambda at: os.truncate(at / "empty", 0), errno.EISDIR),
    "truncate below a file": (lambda at: os.truncate(at / "file/none", 0), errno.ENOTDIR),
    "truncate to less than nothing": (lambda at: os.truncate(at / "file", -1), errno.EINVAL),
    "link": (lambda at: os.link(at / "file", at / "new"), errno.EPERM),
    "symlink": (lambda at: os.symlink("file", at / "new"), errno.EPERM),
    "readlink of a file": (lambda at: os.readlink(at / "file"), errno.EINVAL),
    "mkfifo": (lambda at: os.mkfifo(at / "new"), errno.ENOSYS),
    "chmod of nothing": (lambda at: os.chmod(at / "none", 0o600), errno.ENOENT),
    "chown of nothing": (lambda at: os.chown(at / "none", 0, 0), errno.ENOENT),
    "utimens of nothing": (lambda at: os.utime(at / "none"), errno.ENOENT),
    "list of a file": (lambda at: os.listdir(at / "file"), errno.ENOTDIR),
    "list of nothing": (lambda at: os.listdir(at / "none"), errno.ENOENT),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_ends_in_the_errno_of_posix(directory: Path, case: str) -> None:
    act, number = CASES[case]
    with refused(number):
        act(directory)
    assert sorted(os.listdir(directory)) == ["empty", "file", "full"]
    assert (directory / "file").read_bytes() == (directory / "full/file").read_bytes() == b"bytes"


def test_a_name_of_255_bytes_is_a_name(directory: Path) -> None:
    (directory / LONG).write_bytes(b"long")
    assert (directory / LONG).read_bytes() == b"long"
    os.rename(directory / LONG, directory / ("m" * 255))
    os.unlink(directory / ("m" * 255))


def test_o_trunc_empties_a_file(directory: Path) -> None:
    opened(directory / "file", os.O_WRONLY | os.O_TRUNC)
    assert (directory / "file").stat().st_size == 0


def test_o_append_writes_to_the_end_wherever_that_is_now(directory: Path) -> None:
    first = os.open(directory / "file", os.O_WRONLY | os.O_APPEND)
    second = os.open(directory / "file", os.O_WRONLY | os.O_APPEND)
    for fd, data in ((first, b"1"), (second, b"22"), (first, b"3")):
        os.write(fd, data)
    os.close(first)
    os.close(second)
    assert (directory / "file").read_bytes() == b"bytes1223"


def test_o_excl_makes_what_is_not_there(directory: Path) -> None:
    opened(directory / "new", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert (directory / "new").read_bytes() == b""


@pytest.mark.parametrize(("flags", "act"), [
    (os.O_RDONLY, lambda fd: os.write(fd, b"x")), (os.O_WRONLY, lambda fd: os.read(fd, 1)),
])  # fmt: skip
def test_a_descriptor_does_what_it_was_opened_for(directory: Path, flags: int, act: Callable[[int], object]) -> None:
    fd = os.open(directory / "file", flags)
    try:
        with refused(errno.EBADF):
            act(fd)
        if flags == os.O_RDONLY:
            with refused(errno.EINVAL):
                os.ftruncate(fd, 0)
    finally:
        os.close(fd)
    assert (directory / "file").read_bytes() == b"bytes"


@pytest.mark.parametrize("size", [0, 3, 5, 9000])
@pytest.mark.parametrize("by_descriptor", [True, False])
def test_truncate_cuts_and_lengthens_with_zeros(directory: Path, size: int, by_descriptor: bool) -> None:
    if by_descriptor:
        with open(directory / "file", "r+b") as file:
            os.ftruncate(file.fileno(), size)
            assert os.fstat(file.fileno()).st_size == size
    else:
        os.truncate(directory / "file", size)
    assert (directory / "file").read_bytes() == b"bytes"[:size].ljust(size, b"\0")


def test_a_file_that_was_removed_while_open_is_read_and_written_on(here: Ground, directory: Path) -> None:
    fd = os.open(directory / "file", os.O_RDWR)
    os.unlink(directory / "file")
    assert not (directory / "file").exists()
    os.pwrite(fd, b"BY", 0)
    os.ftruncate(fd, 4)
    os.fsync(fd)
    assert os.pread(fd, 10, 0) == b"BYte"
    with refused(errno.ENOENT):
        os.fstat(fd)
    os.close(fd)
    assert sorted(os.listdir(directory)) == ["empty", "full"]


def test_a_name_can_be_made_anew_while_its_old_file_is_open(directory: Path) -> None:
    fd = os.open(directory / "file", os.O_RDWR)
    os.unlink(directory / "file")
    (directory / "file").write_bytes(b"another")
    os.pwrite(fd, b"old", 0)
    assert os.pread(fd, 10, 0) == b"oldes"
    os.close(fd)
    assert (directory / "file").read_bytes() == b"another"


def test_a_file_replaced_by_rename_is_read_on_by_who_has_it_open(directory: Path) -> None:
    fd = os.open(directory / "file", os.O_RDONLY)
    (directory / "new").write_bytes(b"another")
    os.rename(directory / "new", directory / "file")
    assert os.pread(fd, 10, 0) == b"bytes"
    os.close(fd)
    assert (directory / "file").read_bytes() == b"another"


def test_a_rename_to_itself_changes_nothing(directory: Path) -> None:
    os.rename(directory / "file", directory / "file")
    os.rename(directory / "full", directory / "full")
    assert sorted(os.listdir(directory)) == ["empty", "file", "full"]


def test_a_directory_takes_the_place_of_an_empty_one(directory: Path) -> None:
    os.rename(directory / "full", directory / "empty")
    assert sorted(os.listdir(directory)) == ["empty", "file"]
    assert os.listdir(directory / "empty") == ["file"]


def test_listings_are_whole_and_have_no_name_twice(directory: Path) -> None:
    names = {f"name{number}" for number in range(40)}
    for name in names:
        os.mkdir(directory / name)
    listed = os.listdir(directory)
    assert len(listed) == len(set(listed))
    assert set(listed) == names | {"empty", "file", "full"}


def test_utimens_sets_a_files_time_to_the_second(directory: Path) -> None:
    os.utime(directory / "file", (1_000_000_000, 1_000_000_000))
    assert int((directory / "file").stat().st_mtime) == 1_000_000_000


def test_writing_moves_a_files_time_on(directory: Path) -> None:
    os.utime(directory / "file", (1_000_000_000, 1_000_000_000))
    (directory / "file").write_bytes(b"now")
    assert (directory / "file").stat().st_mtime > 1_500_000_000


def test_a_hole_reads_as_zeros(directory: Path) -> None:
    with open(directory / "file", "r+b") as file:
        os.pwrite(file.fileno(), b"end", 10_000)
    assert (directory / "file").read_bytes() == b"bytes".ljust(10_000, b"\0") + b"end"
