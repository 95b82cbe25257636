"""Pushing a file that is written: to a real registry, while it is written, and in pieces."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regfs.oci.manifest import Descriptor
from regfs.oci.target import Target
from regfs.registry.ahead import Ahead as UploadAhead
from regfs.registry.api import AHEAD_PIECE, RegistryError
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from regfs.write.ahead import AheadUploads
from regfs.write.blobs import BlobPusher
from regfs.write.content import CutShort, Piece, Snapshot
from regfs.write.journal import Journal
from regfs.write.staging import Staged
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
def remote(proxy: Server) -> Iterator[HttpRegistry]:
    """The registry to push to, through the proxy."""
    made = HttpRegistry(proxy.host, True, PooledTransport())
    yield made
    made.close()


@pytest.fixture
def direct(plain: Registry) -> Iterator[HttpRegistry]:
    """The registry to push to, and nothing between that waits for the rest of what was cut."""
    made = HttpRegistry(plain.host, True, PooledTransport())
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


def pushed(file: Staged, remote: HttpRegistry) -> Snapshot:
    """Push a file to a registry of which nothing is known."""
    return BlobPusher(remote, AheadUploads(remote.upload_ahead)).push(file.target.repository, file)


class Changing:
    """A file that is changed between its hashing and its sending.

    :param change: what is done then, the first time
    """

    def __init__(self, file: Staged, change: Callable[[], object]) -> None:
        self.file = file
        self.change = change
        self.digests: list[str] = []  # of what was to be sent

    def snapshot(self) -> Snapshot:
        """Hash the bytes, then change them."""
        taken = self.file.snapshot()
        if not self.digests:
            self.change()
        self.digests.append(taken.digest)
        return taken

    def is_still(self, snapshot: Snapshot) -> bool:
        """Whether nothing was changed since."""
        return self.file.is_still(snapshot)

    def pushed(self, remote: HttpRegistry) -> Snapshot:
        """Push it."""
        return BlobPusher(remote, AheadUploads(remote.upload_ahead)).push(self.file.target.repository, self)


def sent(proxy: Server, method: str) -> list[int]:
    """How many bytes each request of a method had."""
    return [len(request.body) for request in proxy.requests if request.method == method]


def test_a_push_makes_the_bytes_a_blob(
    staged: Staged, remote: HttpRegistry, registry_has: Foreign, target: Target
) -> None:
    content = os.urandom(3 * MIB + 7)
    staged.write(content, 0)
    snapshot = pushed(staged, remote)
    assert (snapshot.digest, snapshot.size, snapshot.version) == (digest_of(content), len(content), staged.version)
    assert has(registry_has, target.repository, content)
    assert staged.sent == len(content)


def test_what_the_registry_has_is_not_sent(staged: Staged, remote: HttpRegistry, proxy: Server) -> None:
    pusher, asked = BlobPusher(remote, AheadUploads(remote.upload_ahead)), list[str]()
    staged.write(b"bytes", 0)
    pusher.seen(staged.target.repository, [Descriptor(digest_of(b"bytes"), 5)])
    snapshot = pusher.push(staged.target.repository, staged, lambda digest: not asked.append(digest))
    assert (snapshot.digest, snapshot.size, asked, proxy.requests) == (digest_of(b"bytes"), 5, [], [])
    assert staged.sent == 0


def test_a_small_file_that_is_likely_there_is_asked_for(
    staged: Staged, remote: HttpRegistry, proxy: Server, registry_has: Foreign, target: Target
) -> None:
    registry_has.push(target.repository, b"bytes")
    staged.write(b"bytes", 0)
    asked: list[str] = []
    snapshot = BlobPusher(remote, AheadUploads(remote.upload_ahead)).push(
        target.repository, staged, lambda digest: not asked.append(digest)
    )
    assert (snapshot.digest, asked) == (digest_of(b"bytes"), [digest_of(b"bytes")])
    assert [request.method for request in proxy.requests] == ["HEAD"]
    assert staged.sent == 0


def test_a_file_of_the_journal_is_pushed_after_all(
    journal: Journal, remote: HttpRegistry, registry_has: Foreign, target: Target
) -> None:
    write_down(journal, b"some bytes", target)
    (pending,) = journal.pending()
    file = journal.again(pending)
    snapshot = pushed(file, remote)
    assert (snapshot.digest, snapshot.size) == (digest_of(b"some bytes"), 10)
    assert has(registry_has, target.repository, b"some bytes")
    file.clean(snapshot)
    file.close()
    assert list(journal.directory.iterdir()) == []


def test_what_is_appended_during_a_push_is_pushed_with_it(
    staged: Staged, remote: HttpRegistry, registry_has: Foreign, target: Target
) -> None:
    staged.write(b"some bytes", 0)
    changing = Changing(staged, lambda: staged.write(b" more", 10))
    snapshot = changing.pushed(remote)
    assert (snapshot.digest, snapshot.size, snapshot.version) == (digest_of(b"some bytes more"), 15, staged.version)
    assert changing.digests == [digest_of(b"some bytes"), digest_of(b"some bytes more")]
    assert has(registry_has, target.repository, b"some bytes more")


@pytest.mark.parametrize("size", [10, 3 * MIB])
@pytest.mark.parametrize("change", ["written over", "cut", "emptied"])
def test_what_is_changed_during_a_push_is_no_error(
    staged: Staged, direct: HttpRegistry, registry_has: Foreign, target: Target, change: str, size: int
) -> None:
    content = os.urandom(size)
    expected = {"written over": b"other" + content[5:], "cut": content[: size - 5], "emptied": b""}[change]
    staged.write(content, 0)
    changing = Changing(
        staged,
        lambda: staged.write(b"other", 0) if change == "written over" else staged.truncate(len(expected)),
    )
    snapshot = changing.pushed(direct)
    assert (snapshot.digest, snapshot.size, snapshot.version) == (digest_of(expected), len(expected), staged.version)
    assert changing.digests == [digest_of(content), digest_of(expected)]
    assert has(registry_has, target.repository, expected)


def test_a_file_that_was_cut_by_somebody_else_is_an_error_at_once(
    journal: Journal, staged: Staged, direct: HttpRegistry
) -> None:
    staged.write(bytes(3 * MIB), 0)
    data = next(journal.directory.glob("*/data"))
    with pytest.raises(CutShort, match=r"^the file was cut short while it was sent$"):
        Changing(staged, lambda: os.truncate(data, MIB)).pushed(direct)
    assert staged.is_dirty


def test_bytes_that_changed_on_the_way_are_refused(staged: Staged, plain: Registry) -> None:
    honest, spoilt = forward(plain.host), []

    def spoil(request: Request) -> Answer:
        if request.method == "PUT":
            spoilt.append(request)
            return Answer(400)
        return honest(request)

    with Server(spoil) as proxy:
        remote = HttpRegistry(proxy.host, True, PooledTransport())
        staged.write(b"some bytes", 0)
        with pytest.raises(RegistryError):
            pushed(staged, remote)
        remote.close()
    assert len(spoilt) == 1
    assert staged.is_dirty


class Ahead:
    """Sends a file while it is written, as a mount does, but when it is told to."""

    def __init__(self, file: Staged, remote: HttpRegistry) -> None:
        self.file = file
        self.remote = remote
        self.begun: list[str] = []
        self.uploads = AheadUploads(self._begin)
        self.pusher = BlobPusher(remote, self.uploads)

    def write(self, content: bytes, offset: int) -> bool:
        """Write; returns whether something was sent then."""
        self.file.write(content, offset)
        return self.send()

    def send(self) -> bool:
        """Send what there is to send; returns whether there was something."""
        send = self.uploads.sending(self.file.target.repository, self.file)
        if send is not None:
            send()
        return send is not None

    def _begin(self, repository: str) -> UploadAhead:
        self.begun.append(repository)
        return self.remote.upload_ahead(repository)

    def pushed(self, likely: bool = False) -> Snapshot:
        """Push the file, to a repository that has it already when that is *likely*."""
        if likely:
            self.pusher.seen(self.file.target.repository, [Descriptor(self.file.snapshot().digest, self.file.size)])
        return self.pusher.push(self.file.target.repository, self.file)


@pytest.fixture
def ahead(staged: Staged, remote: HttpRegistry) -> Ahead:
    """Sends the file while it is written."""
    return Ahead(staged, remote)


CONTENT = os.urandom(AHEAD_PIECE + 4 * MIB)


def test_a_large_file_is_sent_while_it_is_written(
    staged: Staged, ahead: Ahead, remote: HttpRegistry, proxy: Server, registry_has: Foreign, target: Target
) -> None:
    assert not ahead.write(CONTENT[: AHEAD_PIECE - 1], 0)
    assert ahead.write(CONTENT[AHEAD_PIECE - 1 : AHEAD_PIECE], AHEAD_PIECE - 1)
    assert (sent(proxy, "PATCH"), staged.sent) == ([AHEAD_PIECE], AHEAD_PIECE)
    assert not ahead.write(CONTENT[AHEAD_PIECE:], AHEAD_PIECE)
    snapshot = ahead.pushed()
    assert (snapshot.digest, snapshot.size) == (digest_of(CONTENT), len(CONTENT))
    assert ahead.begun == [target.repository]
    assert sent(proxy, "PATCH") == [AHEAD_PIECE, 4 * MIB]
    assert sent(proxy, "PUT") == [0]
    assert staged.sent == len(CONTENT)
    assert has(registry_has, target.repository, CONTENT)


@pytest.mark.parametrize("change", ["written over", "cut", "emptied", "moved", "filled"])
def test_what_was_sent_and_is_no_longer_so_is_cancelled(
    staged: Staged,
    ahead: Ahead,
    remote: HttpRegistry,
    proxy: Server,
    registry_has: Foreign,
    target: Target,
    change: str,
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
    snapshot = ahead.pushed()
    assert (snapshot.digest, snapshot.size) == (digest_of(expected), len(expected))
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([0], [len(expected)])
    assert has(registry_has, target.repository, expected)


def test_another_name_in_the_same_repository_cancels_nothing(
    staged: Staged, ahead: Ahead, remote: HttpRegistry, proxy: Server, target: Target
) -> None:
    assert ahead.write(CONTENT, 0)
    staged.aim(Target(target.repository, "v2", ("other.bin",)))
    ahead.pushed()
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([], [0])


@pytest.mark.parametrize("more", [0, 5])
def test_a_file_that_is_not_cut_shorter_is_not_cancelled(
    staged: Staged, ahead: Ahead, remote: HttpRegistry, proxy: Server, more: int
) -> None:
    assert ahead.write(CONTENT, 0)
    staged.truncate(len(CONTENT) + more)
    assert ahead.pushed().digest == digest_of(CONTENT + bytes(more))
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([], [0])


def test_a_file_that_is_cut_to_its_own_size_goes_on_being_sent(staged: Staged, ahead: Ahead) -> None:
    assert ahead.write(CONTENT, 0)
    staged.truncate(len(CONTENT))
    assert ahead.write(CONTENT, len(CONTENT))


def test_what_the_repository_has_after_all_is_cancelled(
    staged: Staged, ahead: Ahead, remote: HttpRegistry, proxy: Server
) -> None:
    assert ahead.write(CONTENT, 0)
    ahead.pushed(likely=True)
    assert (sent(proxy, "DELETE"), sent(proxy, "PUT")) == ([0], [])
    assert not ahead.write(CONTENT, len(CONTENT))


def test_a_file_that_is_let_go_of_is_cancelled(
    journal: Journal, target: Target, remote: HttpRegistry, proxy: Server
) -> None:
    file = journal.stage(target)
    ahead = Ahead(file, remote)
    assert ahead.write(CONTENT, 0)
    ahead.pusher.forget(file)
    file.close()
    assert sent(proxy, "DELETE") == [0]


def test_a_pushed_file_that_grows_is_not_sent_ahead_again(staged: Staged, ahead: Ahead, remote: HttpRegistry) -> None:
    assert ahead.write(CONTENT, 0)
    ahead.pushed()
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


def test_a_file_of_the_journal_is_not_sent_ahead(journal: Journal, target: Target, remote: HttpRegistry) -> None:
    write_down(journal, b"some bytes", target)
    (pending,) = journal.pending()
    file = journal.again(pending)
    ahead = Ahead(file, remote)
    ahead.pushed(likely=True)
    assert not ahead.write(CONTENT, 10)
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
