"""A file being written: any pattern of writes, and what stays of it."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import PooledTransport
from regfs.write.staging import Journal, Staged, Target
from tests.contents import MIB
from tests.write.conftest import HOST, TARGET, contents, names, take_all_files

ELSEWHERE = Target("another/repository", "v2", ("june.png",))


@pytest.fixture(scope="module")
def nowhere() -> Iterator[Remote]:
    """A registry that nobody can reach."""
    made = Remote("localhost:1", True, PooledTransport())
    yield made
    made.close()


def digest_of(content: bytes) -> str:
    """The sha256 digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def pushed(file: Staged, nowhere: Remote) -> tuple[str, int, int]:
    """What a push says of a file whose bytes the registry has already."""
    return file.push(nowhere, lambda digest: True)


def content_of(file: Staged) -> bytes:
    """The bytes of a file."""
    buffer = bytearray(file.size + 100)
    return bytes(buffer[: file.read_into(memoryview(buffer), 0)])


def test_a_new_file_is_of_now(journal: Journal) -> None:
    before = time.time_ns()
    file = journal.stage(TARGET)
    assert before <= file.mtime_ns <= time.time_ns()
    file.close()


def test_a_new_file_is_clean_and_empty(staged: Staged) -> None:
    assert (staged.size, staged.digest, staged.sent, staged.version) == (0, None, 0, 0)
    assert (staged.is_dirty, staged.is_broken, staged.is_untouched) == (False, False, True)


def test_what_was_written_is_read(staged: Staged) -> None:
    assert staged.write(b"some bytes", 0) == 10
    assert staged.write(b"more", 12) == 4
    assert content_of(staged) == b"some bytes\0\0more"
    assert (staged.size, staged.is_dirty, staged.is_untouched) == (16, True, False)
    buffer = bytearray(4)
    assert (staged.read_into(memoryview(buffer), 3), buffer) == (4, b"e by")


def test_every_change_is_counted_and_moves_the_time_on(staged: Staged) -> None:
    changes = [lambda: staged.write(b"x", 0), lambda: staged.truncate(5), staged.touch]
    for number, change in enumerate(changes, 1):
        before = time.time_ns()
        change()
        assert staged.version == number
        assert before <= staged.mtime_ns <= time.time_ns()


def test_a_file_that_was_written_and_not_pushed_stays_in_the_journal(journal: Journal) -> None:
    file = journal.stage(TARGET)
    file.write(b"some ", 0)
    file.write(b"bytes", 5)
    file.truncate(9)
    file.close()
    assert contents(journal) == [b"some byte"]


def test_a_new_empty_file_that_counts_stays_in_the_journal(journal: Journal) -> None:
    file = journal.stage(TARGET)
    file.touch()
    assert file.is_untouched
    file.close()
    assert contents(journal) == [b""]


def test_a_file_that_nothing_was_done_to_leaves_nothing(journal: Journal, directory: Path) -> None:
    journal.stage(TARGET).close()
    assert names(directory) == []


def test_taking_bytes_over_is_no_change(staged: Staged, nowhere: Remote) -> None:
    content = os.urandom(2 * MIB + 77)

    def read_into(buffer: memoryview, offset: int) -> int:
        piece = content[offset : offset + len(buffer)]
        buffer[: len(piece)] = piece
        return len(piece)

    staged.fill(read_into)
    assert (staged.is_dirty, staged.version, staged.size) == (False, 0, len(content))
    assert content_of(staged) == content
    assert pushed(staged, nowhere)[0] == digest_of(content)


def test_what_is_pushed_is_clean_and_leaves_nothing(journal: Journal, directory: Path, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, size, version = pushed(file, nowhere)
    assert (digest, size, version) == (digest_of(b"bytes"), 5, file.version)
    assert file.is_dirty  # it has no name yet
    assert len(list(directory.glob("*/meant.json"))) == 1
    file.clean(version, digest)
    assert (file.is_dirty, file.digest, file.is_untouched) == (False, digest, False)
    assert list(directory.glob("*/meant.json")) == []
    file.close()
    assert names(directory) == []


def test_what_was_written_since_the_push_stays_in_the_journal(journal: Journal, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.write(b"other", 0)
    file.clean(version, digest)
    assert file.is_dirty
    file.close()
    assert contents(journal) == [b"other"]


def test_what_is_written_after_the_push_stays_in_the_journal(journal: Journal, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.clean(version, digest)
    file.write(b"other", 0)
    file.close()
    assert contents(journal) == [b"other"]


def test_an_older_push_that_ends_later_does_not_undo_the_newer_one(
    journal: Journal, directory: Path, nowhere: Remote
) -> None:
    file = journal.stage(TARGET)
    file.write(b"older", 0)
    older, _, first = pushed(file, nowhere)
    file.write(b"newer", 0)
    newer, _, second = pushed(file, nowhere)
    file.clean(second, newer)
    file.clean(first, older)
    assert (file.is_dirty, file.digest) == (False, newer)
    file.close()
    assert names(directory) == []


def test_a_pushed_file_is_given_to_who_adopts_it(journal: Journal, directory: Path, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.clean(version, digest)
    adopted = {}
    file.close(lambda digest, path: adopted.update({digest: path.read_bytes()}))
    assert adopted == {digest_of(b"bytes"): b"bytes"}
    assert names(directory) == []


def test_a_file_that_the_registry_does_not_have_is_given_to_nobody(journal: Journal, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.clean(version, digest)
    file.write(b"other", 0)
    untouched = journal.stage(TARGET)
    adopted: list[str] = []
    for closed in (file, untouched):
        closed.close(lambda digest, path: adopted.append(digest))
    assert adopted == []


def test_a_file_that_nobody_wants_leaves_nothing(journal: Journal, directory: Path, nowhere: Remote) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.clean(version, digest)
    file.write(b"other", 0)
    file.discard()
    file.discard()
    assert (file.is_dirty, file.digest) == (False, None)
    assert names(directory) == []
    adopted: list[str] = []
    file.close(lambda digest, path: adopted.append(digest))
    assert adopted == []


def test_a_file_that_gets_another_name_is_meant_to_be_that(journal: Journal) -> None:
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    file.aim(ELSEWHERE)
    assert file.target == ELSEWHERE
    file.close()
    assert [pending.target for pending in journal.pending()] == [ELSEWHERE]


def test_a_clean_file_that_gets_another_name_is_not_written_down(journal: Journal, directory: Path) -> None:
    file = journal.stage(TARGET)
    file.aim(ELSEWHERE)
    assert list(directory.glob("*/meant.json")) == []
    file.write(b"bytes", 0)
    file.close()
    assert [pending.target for pending in journal.pending()] == [ELSEWHERE]


def test_where_a_name_cannot_be_written_down_it_stays_the_old_one(disk: Path) -> None:
    journal = Journal(disk / "journal", HOST)
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    take_all_files(disk)
    with pytest.raises(OSError, match="No space left"):
        file.aim(ELSEWHERE)
    assert file.target == TARGET
    file.close()
    assert [pending.target for pending in journal.pending()] == [TARGET]


def test_a_change_that_cannot_be_written_down_is_not_made(disk: Path) -> None:
    journal = Journal(disk / "journal", HOST)
    file = journal.stage(TARGET)
    give_back = take_all_files(disk)
    for change in (lambda: file.write(b"bytes", 0), lambda: file.truncate(5), file.touch):
        with pytest.raises(OSError, match="No space left"):
            change()
    assert (file.size, file.is_dirty, content_of(file)) == (0, False, b"")
    give_back()
    file.write(b"bytes", 0)
    file.close()
    assert contents(journal) == [b"bytes"]


def broken(journal: Journal) -> Staged:
    """A file of which a write failed."""
    file = journal.stage(TARGET)
    with pytest.raises(OSError, match="No space left"):
        file.write(bytes(5 * MIB), 0)
    return file


def test_a_file_of_which_a_write_failed_is_not_kept(disk: Path, nowhere: Remote) -> None:
    journal = Journal(disk / "journal", HOST)
    file = broken(journal)
    assert file.is_broken
    assert 3 * MIB < file.size <= 4 * MIB
    assert list(journal.directory.glob("*/meant.json")) == []
    with pytest.raises(OSError, match="not published, a write failed: No space left on device") as caught:
        pushed(file, nowhere)
    assert caught.value.errno == errno.ENOSPC
    adopted: list[str] = []
    file.close(lambda digest, path: adopted.append(digest))
    assert (names(journal.directory), adopted) == ([], [])


def test_a_file_that_was_pushed_and_then_broken_is_not_adopted(disk: Path, nowhere: Remote) -> None:
    journal = Journal(disk / "journal", HOST)
    file = journal.stage(TARGET)
    file.write(b"bytes", 0)
    digest, _, version = pushed(file, nowhere)
    file.clean(version, digest)
    with pytest.raises(OSError, match="No space left"):
        file.fill(lambda buffer, offset: len(buffer))
    assert (file.is_broken, file.is_dirty) == (True, False)
    file.write(b"other", 0)
    assert list(journal.directory.glob("*/meant.json")) == []
    adopted: list[str] = []
    file.close(lambda digest, path: adopted.append(digest))
    assert (names(journal.directory), adopted) == ([], [])


def test_a_broken_file_is_not_written_down_again_by_what_follows(disk: Path) -> None:
    journal = Journal(disk / "journal", HOST)
    file = broken(journal)
    file.truncate(MIB)
    file.write(b"bytes", 0)
    file.aim(ELSEWHERE)
    assert file.is_broken
    assert list(journal.directory.glob("*/meant.json")) == []
    file.close()
    assert names(journal.directory) == []


def test_a_broken_file_that_is_begun_again_is_whole(disk: Path, nowhere: Remote) -> None:
    journal = Journal(disk / "journal", HOST)
    file = broken(journal)
    file.truncate(0)
    file.write(b"bytes", 0)
    assert not file.is_broken
    assert pushed(file, nowhere)[0] == digest_of(b"bytes")
    file.close()
    assert contents(journal) == [b"bytes"]


def test_a_broken_file_that_cannot_be_written_down_when_it_is_begun_again_stays_broken(disk: Path) -> None:
    journal = Journal(disk / "journal", HOST)
    file = broken(journal)
    give_back = take_all_files(disk)
    with pytest.raises(OSError, match="No space left"):
        file.truncate(0)
    assert file.is_broken
    give_back()
    file.truncate(0)
    file.write(b"bytes", 0)
    file.close()
    assert contents(journal) == [b"bytes"]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.binary(max_size=20)),
        st.tuples(st.just("append"), st.just(0), st.binary(max_size=20)),
        st.tuples(st.just("truncate"), st.integers(0, 60), st.just(b"")),
        st.tuples(st.just("fill"), st.just(0), st.binary(max_size=20)),
        st.tuples(st.just("push"), st.just(0), st.just(b"")),
    ),
    max_size=20,
)


@settings(max_examples=100)
@given(steps=STEPS)
def test_the_digest_is_that_of_the_bytes_however_they_were_written(
    nowhere: Remote, steps: list[tuple[str, int, bytes]]
) -> None:
    model = bytearray()
    with tempfile.TemporaryDirectory() as directory:
        file = Journal(Path(directory) / "journal", HOST).stage(TARGET)
        for verb, place, data in [*steps, ("push", 0, b"")]:
            if verb == "push":
                digest, size, version = pushed(file, nowhere)
                assert (digest, size, version) == (digest_of(model), len(model), file.version)
                file.clean(version, digest)
            elif verb == "truncate":
                file.truncate(place)
                model[place:] = bytes(max(0, place - len(model)))
            elif verb == "fill":
                file.fill(lambda buffer, offset, data=data: _read(data, buffer, offset))
                model[: len(data)] = data
            else:
                place = len(model) if verb == "append" else place
                file.write(data, place)
                if data:
                    model.extend(bytes(max(0, place - len(model))))
                    model[place : place + len(data)] = data
            assert (content_of(file), file.size) == (model, len(model))
        file.close()


def _read(content: bytes, buffer: memoryview, offset: int) -> int:
    piece = content[offset : offset + len(buffer)]
    buffer[: len(piece)] = piece
    return len(piece)


def test_a_large_file_is_hashed_whole(staged: Staged, nowhere: Remote) -> None:
    content = os.urandom(3 * MIB + 5)
    staged.write(content[MIB:], MIB)
    staged.write(content[:MIB], 0)
    assert pushed(staged, nowhere)[:2] == (digest_of(content), len(content))


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty")
def test_a_version_has_every_write_that_it_counts(staged: Staged, nowhere: Remote) -> None:
    def write() -> None:
        for number in range(3000):
            staged.write(b"x" * 10, number * 10)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        digest, size, version = pushed(staged, nowhere)
        assert (digest, size) == (digest_of(b"x" * 10 * version), 10 * version)
    writer.join()
