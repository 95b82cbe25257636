"""The journal: what it keeps, for whom, and what it lets go."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from regfs.util.private import NotPrivate
from regfs.write.staging import Journal, Target
from tests.write.conftest import HOST, TARGET, another_process, contents, names, take_all_files, write_down

OTHERS = [
    Target("some/other", "v1", TARGET.title),
    Target(TARGET.repository, "v2", TARGET.title),
    Target(TARGET.repository, None, TARGET.title),
    Target(TARGET.repository, "v1", ("plots", "june.png")),
]


def test_a_target_is_written_as_a_person_would() -> None:
    assert str(TARGET) == "some/repository:v1 plots/may.png"
    assert str(replace(TARGET, alias=None)) == "some/repository plots/may.png"


def test_bytes_that_were_not_pushed_are_pending(journal: Journal) -> None:
    write_down(journal, b"some bytes")
    (pending,) = journal.pending()
    assert (pending.host, pending.target, pending.size) == (HOST, TARGET, 10)
    assert (pending.directory / "data").read_bytes() == b"some bytes"
    assert pending.mtime_ns == (pending.directory / "data").stat().st_mtime_ns
    assert pending.id == pending.directory.name
    assert pending.directory.parent == journal.directory


@pytest.mark.parametrize("target", [*OTHERS, Target("some/repository", "v1", ("caf\u00e9\udcff",))])
def test_what_they_are_meant_to_be_is_read_as_it_was_written(journal: Journal, target: Target) -> None:
    write_down(journal, b"bytes", target)
    assert [pending.target for pending in journal.pending()] == [target]


def test_pending_files_are_listed_oldest_first(journal: Journal) -> None:
    for number in range(4):
        write_down(journal, str(number).encode())
    for path in journal.directory.glob("*/data"):
        number = int(path.read_bytes())
        os.utime(path, ns=(0, (10 - number) * 10**9))
    assert contents(journal) == [b"3", b"2", b"1", b"0"]


def test_a_file_that_is_being_written_is_not_pending(journal: Journal) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    assert list(journal.pending()) == []
    file.close()
    assert contents(journal) == [b"bytes"]


def test_a_file_that_another_process_writes_is_pending_when_that_is_killed(journal: Journal) -> None:
    with another_process(journal.directory, "journal.stage(target).write(b'bytes', 0)") as writer:
        assert list(journal.pending()) == []
        writer.kill()
        writer.wait()
        assert contents(journal) == [b"bytes"]


@pytest.mark.parametrize("meant", [b"", b"{", b"[]", b"{}", b'{"host": "h", "repository": "r", "alias": "a"}',
                                   b'{"host": "h", "repository": "r", "alias": "a", "title": 7}'])  # fmt: skip
def test_what_is_not_whole_is_not_pending(journal: Journal, meant: bytes) -> None:
    write_down(journal, b"bytes")
    path = next(journal.directory.glob("*/meant.json"))
    path.write_bytes(meant)
    assert list(journal.pending()) == []


def test_what_has_no_bytes_is_not_pending(journal: Journal) -> None:
    write_down(journal, b"bytes")
    next(journal.directory.glob("*/data")).unlink()
    assert list(journal.pending()) == []


def test_what_is_dropped_is_forgotten(journal: Journal) -> None:
    write_down(journal, b"bytes")
    (pending,) = journal.pending()
    pending.drop()
    assert names(journal.directory) == []
    pending.drop()


def test_a_later_success_drops_what_was_left_of_that_file_alone(journal: Journal, directory: Path) -> None:
    for target in (TARGET, TARGET, *OTHERS):
        write_down(journal, b"bytes", target)
    write_down(Journal(directory, "another:5000"), b"bytes")
    journal.superseded(TARGET)
    left = [(pending.host, pending.target) for pending in journal.pending()]
    assert left == [*((HOST, target) for target in OTHERS), ("another:5000", TARGET)]


def test_a_file_of_the_journal_goes_on_as_it_was(journal: Journal) -> None:
    write_down(journal, b"some bytes")
    (pending,) = journal.pending()
    file = journal.again(pending)
    assert (file.target, file.size, file.mtime_ns) == (TARGET, 10, pending.mtime_ns)
    assert (file.is_dirty, file.is_untouched, file.is_broken) == (True, False, False)
    buffer = bytearray(10)
    assert (file.read_into(memoryview(buffer), 0), buffer) == (10, b"some bytes")
    file.close()
    assert contents(journal) == [b"some bytes"]


def test_a_file_of_the_journal_that_gets_another_name_is_still_for_its_registry(directory: Path) -> None:
    write_down(Journal(directory, "another:5000"), b"bytes")
    journal = Journal(directory, HOST)
    (pending,) = journal.pending()
    file = journal.again(pending)
    file.aim(OTHERS[0])
    file.close()
    assert [(pending.host, pending.target) for pending in journal.pending()] == [("another:5000", OTHERS[0])]


def test_a_file_of_the_journal_is_taken_up_by_one_at_a_time(journal: Journal) -> None:
    write_down(journal, b"bytes")
    (pending,) = journal.pending()
    with another_process(journal.directory, "file = journal.again(next(journal.pending()))") as pusher:
        with pytest.raises(BlockingIOError):
            journal.again(pending)
        assert list(journal.pending()) == []
        pusher.kill()
        pusher.wait()
        journal.again(pending).close()
    assert contents(journal) == [b"bytes"]


def test_a_file_that_is_gone_cannot_be_taken_up(journal: Journal) -> None:
    write_down(journal, b"bytes")
    (pending,) = journal.pending()
    pending.drop()
    with pytest.raises(FileNotFoundError):
        journal.again(pending)


def test_what_a_killed_mount_left_that_the_registry_has_is_removed(journal: Journal, directory: Path) -> None:
    with another_process(directory, "file = journal.stage(target)") as writer:
        Journal(directory, HOST)
        assert len(list(directory.iterdir())) == 1
        writer.kill()
        writer.wait()
        Journal(directory, HOST)
    assert names(directory) == []


def test_what_a_killed_mount_left_that_the_registry_does_not_have_is_kept(journal: Journal, directory: Path) -> None:
    with another_process(directory, "journal.stage(target).write(b'bytes', 0)") as writer:
        writer.kill()
        writer.wait()
    assert contents(Journal(directory, HOST)) == [b"bytes"]


def test_what_a_mount_left_that_was_killed_before_it_had_a_file_is_removed(journal: Journal, directory: Path) -> None:
    (directory / "tmp1234").mkdir()
    Journal(directory, HOST)
    assert names(directory) == []


def test_what_cannot_be_removed_keeps_nobody_from_starting(journal: Journal, directory: Path) -> None:
    (directory / "a file").touch()
    Journal(directory, HOST)
    assert list(journal.pending()) == []
    assert names(directory) == ["a file"]


def test_a_journal_is_for_its_user_alone(journal: Journal, directory: Path) -> None:
    write_down(journal, b"bytes")
    modes = {path.stat().st_mode & 0o777 for path in directory.rglob("*")}
    assert directory.stat().st_mode & 0o777 == 0o700
    assert modes == {0o700, 0o600}


def test_a_journal_that_others_may_read_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(NotPrivate, match=f"run: chmod 700 {directory}"):
        Journal(directory, HOST)


def test_a_journal_that_is_no_directory_says_what_to_do(directory: Path) -> None:
    directory.touch()
    with pytest.raises(NotPrivate, match="set XDG_STATE_HOME to another"):
        Journal(directory, HOST)


def test_where_there_is_no_room_nothing_is_staged_and_nothing_left(disk: Path) -> None:
    journal = Journal(disk / "journal", HOST)
    give_back = take_all_files(disk)
    (disk / "taken0").unlink()  # room for a directory, and for nothing in it
    with pytest.raises(OSError, match="No space left"):
        journal.stage(TARGET)
    assert names(journal.directory) == []
    (disk / "taken0").touch()
    give_back()
    journal.stage(TARGET).close()


def test_what_is_meant_does_not_follow_a_link(journal: Journal, directory: Path, tmp_path: Path) -> None:
    file = journal.stage(TARGET)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (next(directory.iterdir()) / "meant.json.new").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        file.write(b"bytes", 0)
    assert precious.read_text() == "precious"
    file.close()


def test_what_is_meant_is_json_that_says_the_host(journal: Journal) -> None:
    write_down(journal, b"bytes")
    document = json.loads(next(journal.directory.glob("*/meant.json")).read_text())
    assert document == {"host": HOST, "repository": "some/repository", "alias": "v1", "title": ["plots", "may.png"]}


def test_a_directory_that_vanishes_is_not_pending(journal: Journal) -> None:
    write_down(journal, b"bytes")
    write_down(journal, b"other")
    found = journal.pending()
    for path in list(journal.directory.iterdir()):
        shutil.rmtree(path)
    assert len(list(found)) == 2
    assert list(journal.pending()) == []
