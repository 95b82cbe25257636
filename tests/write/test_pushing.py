"""Pushing a file that is written: to a real registry, while it is written, and in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from regfs.registry.http.remote import Remote
from regfs.registry.http.transport import PooledTransport
from regfs.registry.http.upload import AHEAD_PIECE, UploadAhead
from regfs.write.staging import CutShort, Journal, Piece, Staged, Target
from tests.contents import MIB
from tests.registries import Registry
from tests.scenarios.foreign import Foreign, digest_of
from tests.servers import Answer, Request, Server, forward
from tests.write.conftest import write_down


@pytest.fixture
def proxy(plain: Registry) -> Iterator[Server]:
    """Counts what is asked of the registry."""
    with Server(forward(plain.host)) as server:
        yield server


@pytest.fixture
def remote(proxy: Server) -> Iterator[Remote]:
    """The registry to push to, through the proxy."""
    made = Remote(proxy.host, True, PooledTransport())
    yield made
    made.close()


@pytest.fixture
def direct(plain: Registry) -> Iterator[Remote]:
    """The registry to push to, and nothing between that waits for the rest of what was cut."""
    made = Remote(plain.host, True, PooledTransport())
    yield made
    made.close()


@pytest.fixture
def target(repository: str) -> Target:
    """A file of a repository of its own."""
    return Target(repository, "v1", ("big.bin",))


@pytest.fixture
def staged(journal: Journal, target: Target) -> Iterator[Staged]:
    """A new file."""
    file = journal.stage(target)
    yield file
    file.close()


def has(registry: Foreign, repository: str, content: bytes) -> bool:
    """Whether a repository has a blob of these bytes."""
    try:
        return registry.blob(repository, digest_of(content)) == content
    except AssertionError:
        return False


def unknown(digest: str) -> bool:
    """The repository does not have a digest."""
    return False


def sent(proxy: Server, method: str) -> list[int]:
    """How many bytes each request of a method had."""
    return [len(request.body) for request in proxy.requests if request.method == method]


def test_a_push_makes_the_bytes_a_blob(staged: Staged, remote: Remote, registry_has: Foreign, target: Target) -> None:
    content = os.urandom(3 * MIB + 7)
    staged.write(content, 0)
    assert staged.push(remote, unknown) == (digest_of(content), len(content), staged.version)
    assert has(registry_has, target.repository, content)
    assert staged.sent == len(content)


def test_what_the_registry_has_is_not_sent(staged: Staged, remote: Remote, proxy: Server) -> None:
    asked: list[str] = []
    staged.write(b"bytes", 0)
    digest, size, _ = staged.push(remote, lambda digest: not asked.append(digest))
    assert (digest, size, asked, proxy.requests) == (digest_of(b"bytes"), 5, [digest], [])
    assert staged.sent == 0


def test_a_file_of_the_journal_is_pushed_after_all(
    journal: Journal, remote: Remote, registry_has: Foreign, target: Target
) -> None:
    write_down(journal, b"some bytes", target)
    (pending,) = journal.pending()
    file = journal.again(pending)
    digest, size, version = file.push(remote, unknown)
    assert (digest, size) == (digest_of(b"some bytes"), 10)
    assert has(registry_has, target.repository, b"some bytes")
    file.clean(version, digest)
    file.close()
    assert list(journal.directory.iterdir()) == []


def test_what_is_appended_during_a_push_is_pushed_with_it(
    staged: Staged, remote: Remote, registry_has: Foreign, target: Target
) -> None:
    staged.write(b"some bytes", 0)
    asked: list[str] = []

    def meanwhile(digest: str) -> bool:
        if not asked:
            staged.write(b" more", 10)
        asked.append(digest)
        return False

    assert staged.push(remote, meanwhile) == (digest_of(b"some bytes more"), 15, staged.version)
    assert asked == [digest_of(b"some bytes"), digest_of(b"some bytes more")]
    assert has(registry_has, target.repository, b"some bytes more")


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("change", ["written over", "cut", "emptied"])
def test_what_is_changed_during_a_push_is_no_error(
    staged: Staged, direct: Remote, registry_has: Foreign, target: Target, change: str, size: int
) -> None:
    content = os.urandom(size)
    expected = {"written over": b"other" + content[5:], "cut": content[: size - 5], "emptied": b""}[change]
    staged.write(content, 0)
    asked: list[str] = []

    def meanwhile(digest: str) -> bool:
        if not asked and change == "written over":
            staged.write(b"other", 0)
        elif not asked:
            staged.truncate(len(expected))
        asked.append(digest)
        return False

    assert staged.push(direct, meanwhile) == (digest_of(expected), len(expected), staged.version)
    assert asked == [digest_of(content), digest_of(expected)]
    assert has(registry_has, target.repository, expected)


def test_a_file_that_was_cut_by_somebody_else_is_an_error_at_once(
    journal: Journal, staged: Staged, direct: Remote
) -> None:
    staged.write(bytes(3 * MIB), 0)
    data = next(journal.directory.glob("*/data"))
    with pytest.raises(CutShort, match=r"^the file was cut short while it was sent$"):
        staged.push(direct, lambda digest: bool(os.truncate(data, MIB)))
    assert staged.is_dirty


def test_bytes_that_changed_on_the_way_are_refused(staged: Staged, plain: Registry) -> None:
    honest, spoilt = forward(plain.host), []

    def spoil(request: Request) -> Answer:
        if request.method == "PUT":
            spoilt.append(request)
            return Answer(400)
        return honest(request)

    with Server(spoil) as proxy:
        remote = Remote(proxy.host, True, PooledTransport())
        staged.write(b"some bytes", 0)
        with pytest.raises(requests.HTTPError):
            staged.push(remote, unknown)
        remote.close()
    assert len(spoilt) == 1
    assert staged.is_dirty


class Ahead:
    """Sends a file while it is written, as a mount does, but when it is told to."""

    def __init__(self, file: Staged, remote: Remote) -> None:
        self.file = file
        self.remote = remote
        self.begun: list[str] = []

    def write(self, content: bytes, offset: int) -> bool:
        """Write; returns whether something was sent then."""
        self.file.write(content, offset)
        return self.send()

    def send(self) -> bool:
        """Send what there is to send; returns whether there was something."""
        send = self.file.sending_ahead(lambda repository: self.begun.append(repository) or self._begin(repository))
        if send is not None:
            send()
        return send is not None

    def _begin(self, repository: str) -> UploadAhead:
        return self.remote.upload_ahead(repository)


@pytest.fixture
def ahead(staged: Staged, remote: Remote) -> Ahead:
    """Sends the file while it is written."""
    return Ahead(staged, remote)


CONTENT = os.urandom(AHEAD_PIECE + 4 * MIB)


def test_a_large_file_is_sent_while_it_is_written(
    staged: Staged, ahead: Ahead, remote: Remote, proxy: Server, registry_has: Foreign, target: Target
) -> None:
    assert not ahead.write(CONTENT[: AHEAD_PIECE - 1], 0)
    assert ahead.write(CONTENT[AHEAD_PIECE - 1 : AHEAD_PIECE], AHEAD_PIECE - 1)
    assert (sent(proxy, "PATCH"), staged.sent) == ([AHEAD_PIECE], AHEAD_PIECE)
    assert not ahead.write(CONTENT[AHEAD_PIECE:], AHEAD_PIECE)
    assert staged.push(remote, unknown)[:2] == (digest_of(CONTENT), len(CONTENT))
    assert ahead.begun == [target.repository]
    assert sent(proxy, "PATCH") == [AHEAD_PIECE, 4 * MIB]
    assert sent(proxy, "PUT") == [0]
    assert staged.sent == len(CONTENT)
    assert has(registry_has, target.repository, CONTENT)


@pytest.mark.parametrize("change", ["written over", "cut", "emptied", "moved", "filled"])
def test_what_was_sent_and_is_no_longer_so_is_cancelled(
    staged: Staged, ahead: Ahead, remote: Remote, proxy: Server, registry_has: Foreign, target: Target, change: str
) -> None:
    assert ahead.write(CONTENT, 0)
    expected = CONTENT
    if change == "written over":
        staged.write(b"other", 7)
        expected = CONTENT[:7] + b"other" + CONTENT[12:]
    elif change == "cut":
        staged.truncate(5)
        expected = CONTENT[:5]
    elif change == "emptied":
        staged.truncate(0)
        staged.write(b"other", 0)
        expected = b"other"
    elif change == "moved":
        target = Target(f"{target.repository}2", "v1", target.title)
        staged.aim(target)
    else:
        staged.fill(lambda buffer, offset: 0)
    assert not ahead.send()
    assert staged.push(remote, unknown)[:2] == (digest_of(expected), len(expected))
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([0], [len(expected)])
    assert has(registry_has, target.repository, expected)


def test_another_name_in_the_same_repository_cancels_nothing(
    staged: Staged, ahead: Ahead, remote: Remote, proxy: Server, target: Target
) -> None:
    assert ahead.write(CONTENT, 0)
    staged.aim(Target(target.repository, "v2", ("other.bin",)))
    staged.push(remote, unknown)
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([], [0])


@pytest.mark.parametrize("more", [0, 5])
def test_a_file_that_is_not_cut_shorter_is_not_cancelled(
    staged: Staged, ahead: Ahead, remote: Remote, proxy: Server, more: int
) -> None:
    assert ahead.write(CONTENT, 0)
    staged.truncate(len(CONTENT) + more)
    assert staged.push(remote, unknown)[0] == digest_of(CONTENT + bytes(more))
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([], [0])


def test_a_file_that_is_cut_to_its_own_size_goes_on_being_sent(staged: Staged, ahead: Ahead) -> None:
    assert ahead.write(CONTENT, 0)
    staged.truncate(len(CONTENT))
    assert ahead.write(CONTENT, len(CONTENT))


def test_what_the_repository_has_after_all_is_cancelled(
    staged: Staged, ahead: Ahead, remote: Remote, proxy: Server
) -> None:
    assert ahead.write(CONTENT, 0)
    staged.push(remote, lambda digest: True)
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([0], [])
    assert not ahead.write(CONTENT, len(CONTENT))


def test_a_file_that_is_let_go_of_is_cancelled(journal: Journal, target: Target, remote: Remote, proxy: Server) -> None:
    file = journal.stage(target)
    assert Ahead(file, remote).write(CONTENT, 0)
    file.close()
    assert sent(proxy, "DELETE") == [0]


def test_a_pushed_file_that_grows_is_not_sent_ahead_again(staged: Staged, ahead: Ahead, remote: Remote) -> None:
    assert ahead.write(CONTENT, 0)
    staged.push(remote, unknown)
    assert not ahead.write(CONTENT, len(CONTENT))


@pytest.mark.parametrize("before", ["over", "cut", "gap", "filled"])
def test_a_file_that_is_not_written_in_order_is_not_sent_ahead(staged: Staged, ahead: Ahead, before: str) -> None:
    if before == "over":
        staged.write(b"some bytes", 0)
        staged.write(b"x", 5)
    elif before == "cut":
        staged.write(b"some bytes", 0)
        staged.truncate(5)
    elif before == "gap":
        staged.write(b"x", 5)
    else:
        staged.fill(lambda buffer, offset: 0)
    assert not ahead.write(CONTENT, staged.size)


def test_a_file_that_is_emptied_before_anything_was_sent_is_sent_ahead(staged: Staged, ahead: Ahead) -> None:
    staged.write(b"some bytes", 0)
    staged.truncate(0)
    assert ahead.write(CONTENT, 0)


def test_a_file_of_the_journal_is_not_sent_ahead(journal: Journal, target: Target, remote: Remote) -> None:
    write_down(journal, b"some bytes", target)
    (pending,) = journal.pending()
    file = journal.again(pending)
    file.push(remote, lambda digest: True)
    assert not Ahead(file, remote).write(CONTENT, 10)
    file.close()


Pieces = Callable[[bytes], Piece]


@pytest.fixture
def open_piece(tmp_path: Path) -> Iterator[Pieces]:
    """Makes a piece of a file that begins at its tenth byte and ends before its last ten."""
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)

    def make(content: bytes) -> Piece:
        os.pwrite(fd, b"0123456789" + content + b"9876543210", 0)
        return Piece(fd, 10, 10 + len(content))

    yield make
    os.close(fd)


def test_a_piece_is_the_bytes_between_its_ends(open_piece: Pieces) -> None:
    content = os.urandom(2 * MIB + 5)
    piece = open_piece(content)
    assert len(piece) == len(content)
    parts = list(piece)
    assert b"".join(parts) == content
    assert [len(part) for part in parts] == [MIB, MIB, 5]
    assert list(piece) == []
    piece.seek(3)
    assert b"".join(piece) == content[3:]


def test_a_piece_that_is_asked_for_a_few_bytes_gives_many_and_for_more_gives_more(open_piece: Pieces) -> None:
    content = os.urandom(4 * MIB)
    piece = open_piece(content)
    assert piece.read(16 << 10) == content[:MIB]
    assert piece.read(2 * MIB) == content[MIB : 3 * MIB]
    assert piece.read() == content[3 * MIB :]
    assert piece.read() == b""


def test_a_piece_of_a_piece_is_counted_from_its_start(open_piece: Pieces) -> None:
    piece = open_piece(b"some bytes").piece(5, 9)
    assert (len(piece), piece.read()) == (4, b"byte")
    assert piece.piece(1, 3).read() == b"yt"


def test_a_piece_tells_how_far_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(3 * MIB))
    told: list[int] = []
    with open(path, "rb") as file:
        piece = Piece(file.fileno(), 5, 3 * MIB, told.append)
        assert [len(part) for part in piece.piece(MIB, 2 * MIB + 9)] == [MIB, 9]
    assert told == [2 * MIB + 5, 2 * MIB + 14, 2 * MIB + 14]
