"""A fetcher under attack: stopped processes, transfers that die, races, and what is left open after all of it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from random import Random

import pytest

import regfs.cache.claims
import regfs.cache.fetcher
from regfs.cache.fetcher import Fetcher
from regfs.cache.storage import CHUNK_BYTES, SMALL_BLOB_BYTES
from regfs.cache.store import BlobStore
from regfs.oci.manifest import Descriptor, digest_of
from regfs.registry.api import Body, DigestMismatch, Source
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from tests.cache.conftest import digests, keep, put_chunk
from tests.cache.fetching.conftest import Lying, Reading, read_from
from tests.contents import content_of
from tests.logs import OTHER_BYTES
from tests.servers import Answer, Request

LARGE = content_of(20 * CHUNK_BYTES + 777)
QUICK = 5.0  # seconds that are enough, on a busy machine, for what waits for nobody
Make = Callable[..., Reading]


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Make]:
    """Makes a fetcher on a cache that all of them share."""
    with ExitStack() as ends:

        def make(content: bytes = LARGE, always: Callable[[Request, Answer], Answer] | None = None) -> Reading:
            registry = Lying(content, always=always)
            remote = HttpRegistry(registry.server.host, True, PooledTransport(timeout=5))
            cache = BlobStore(tmp_path / "cache")
            fetcher = Fetcher(cache, remote.source)
            for end in (registry.server.stop, remote.close, fetcher.close):
                ends.callback(end)
            return Reading(fetcher, cache, registry)

        yield make


def eventually(condition: Callable[[], bool], within: float = QUICK) -> bool:
    """Whether a condition comes true in time."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def in_thread(call: Callable[[], object]) -> Callable[[], object]:
    """Start a call; returns what waits for its result, or the exception it raised."""
    results: list[object] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - handed to the test
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> object:
        thread.join(QUICK)
        assert results, "it still waits"
        return results[0]

    return result


def test_a_stopped_process_that_claimed_chunks_holds_up_no_other_blob(reading: Make) -> None:
    mine = reading()
    stopped = BlobStore(mine.cache.directory).sparse(mine.registry.descriptor.digest, len(LARGE))
    assert all(stopped.claim(chunk) for chunk in range(20))
    for chunk in range(8):
        in_thread(lambda chunk=chunk: mine.read(chunk * CHUNK_BYTES, 10))  # type: ignore[misc]
    mine.registry.content = content_of(12 * CHUNK_BYTES, seed=1)
    other = Descriptor(digest_of(mine.registry.content), len(mine.registry.content))
    reader = mine.open(other)
    assert in_thread(lambda: read_from(reader, 0, other.size))() == mine.registry.content
    reader.close()
    stopped.close()


def test_the_chunks_of_a_stopped_process_are_fetched_after_a_while(
    reading: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regfs.cache.claims, "_PATIENCE_SECONDS", 0.3)
    mine = reading()
    stopped = BlobStore(mine.cache.directory).sparse(mine.registry.descriptor.digest, len(LARGE))
    assert all(stopped.claim(chunk) for chunk in range(21))
    assert in_thread(mine.read)() == LARGE
    stopped.close()


def test_a_process_that_is_slow_is_waited_for(reading: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regfs.cache.claims, "_PATIENCE_SECONDS", 1.0)
    mine = reading()
    slow = BlobStore(mine.cache.directory).sparse(mine.registry.descriptor.digest, len(LARGE))
    assert all(slow.claim(chunk) for chunk in range(21))
    result = in_thread(lambda: mine.read(4 * CHUNK_BYTES, 10))
    for chunk in range(5):
        time.sleep(0.4)  # the slowness
        put_chunk(slow, LARGE, chunk)
        slow.release(chunk)
    assert result() == LARGE[4 * CHUNK_BYTES : 4 * CHUNK_BYTES + 10]
    assert mine.registry.asked == []
    slow.close()


def test_what_is_published_between_two_looks_is_not_fetched(reading: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = reading()
    first_look = mine.cache.open

    def looked(digest: str, size: int | None = None) -> int | None:
        found = first_look(digest, size)
        monkeypatch.setattr(mine.cache, "open", first_look)
        keep(BlobStore(mine.cache.directory), LARGE)
        return found

    monkeypatch.setattr(mine.cache, "open", looked)
    assert mine.read() == LARGE
    assert mine.registry.asked == []


def test_closing_the_fetcher_ends_all_waiting(reading: Make) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def hangs(request: Request, answer: Answer) -> Answer:
        begun.set()
        go_on.wait(20)
        return answer

    mine = reading(always=hangs)
    waiting = [in_thread(lambda chunk=chunk: mine.read(chunk * CHUNK_BYTES, 10)) for chunk in range(10)]  # type: ignore[misc]
    assert begun.wait(QUICK)
    mine.fetcher.close()
    assert all(isinstance(result(), Exception) for result in waiting)
    go_on.set()


class Dying:
    """A source whose transfers die of a defect, a few times."""

    def __init__(self, source: Source, times: int) -> None:
        self.source, self.times = source, times

    def open(self, start: int, end: int, size: int) -> AbstractContextManager[Body]:
        """Die, or ask."""
        self.times -= 1
        if self.times >= 0:
            raise ZeroDivisionError("a defect")
        return self.source.open(start, end, size)

    def blame(self) -> bool:
        """Blame who answered."""
        return self.source.blame()


@contextmanager
def dying(mine: Reading, times: int) -> Iterator[Fetcher]:
    """A fetcher whose first transfers die."""
    remote = HttpRegistry(mine.registry.server.host, True, PooledTransport(timeout=5))
    fetcher = Fetcher(mine.cache, lambda repository, digest: Dying(remote.source(repository, digest), times))
    yield fetcher
    fetcher.close()
    remote.close()


def test_a_transfer_that_dies_of_a_defect_is_an_error_to_its_reader(reading: Make) -> None:
    mine = reading()
    with dying(mine, 1) as fetcher:
        reader = fetcher.open("some/repository", mine.registry.descriptor)
        assert isinstance(in_thread(lambda: read_from(reader, 0, 10))(), ZeroDivisionError)
        assert in_thread(lambda: read_from(reader, 0, 10))() == LARGE[:10]
        reader.close()


def test_transfers_ahead_that_die_of_a_defect_hold_up_nobody(reading: Make) -> None:
    mine = reading()
    mine.read(0, CHUNK_BYTES)
    with dying(mine, 3) as fetcher:
        reader = fetcher.open("some/repository", mine.registry.descriptor)
        found = bytearray()
        for _ in range(8):  # each of the three is at most one error
            with suppress(ZeroDivisionError):
                found += read_from(reader, len(found), len(LARGE) - len(found))
        assert bytes(found) == LARGE
        reader.close()


def test_a_cache_file_cut_short_behind_its_back_is_an_error_and_no_endless_wait(reading: Make) -> None:
    mine = reading()
    reader = mine.open()
    # a jump, to its end: nothing is under way that would lengthen the file again
    read_from(reader, 10 * CHUNK_BYTES, CHUNK_BYTES)
    data = next(path for path in (mine.cache.directory / "partial").iterdir() if path.suffix != ".map")
    os.truncate(data, 1000)
    assert isinstance(in_thread(lambda: read_from(reader, 10 * CHUNK_BYTES, 10))(), OSError)
    reader.close()


@pytest.mark.logs(OTHER_BYTES)
def test_one_reader_after_the_other_of_bad_bytes_gets_the_error(reading: Make) -> None:
    mine = reading(always=lambda request, answer: Answer(206, answer.headers, b"!" + answer.body[1:]))
    waiting = [in_thread(mine.read) for _ in range(6)]
    assert all(isinstance(result(), DigestMismatch) for result in waiting)
    assert eventually(lambda: mine.cache.usage().size == 0)


def test_opening_evicting_and_removing_at_once_never_reads_wrong_bytes(reading: Make) -> None:
    contents = [
        content_of(size, seed)
        for seed, size in enumerate((1000, 3 * CHUNK_BYTES, SMALL_BLOB_BYTES + CHUNK_BYTES, SMALL_BLOB_BYTES + 9))
    ]
    mine = [reading(content) for content in contents]
    one_cache = mine[0].cache
    end = time.monotonic() + 4

    def read(seed: int) -> int:
        random, count = Random(seed), 0
        while time.monotonic() < end:
            which = random.randrange(4)
            offset = random.randrange(len(contents[which]))
            size = random.choice((10, CHUNK_BYTES, len(contents[which])))
            assert mine[which].read(offset, size) == contents[which][offset : offset + size], "wrong bytes"
            count += 1
        return count

    def evict() -> int:
        random, count = Random(1), 0
        while time.monotonic() < end:
            one_cache.make_room(random.choice((0, 5 * CHUNK_BYTES)))
            one_cache.remove(digest_of(random.choice(contents)))
            count += 1
        return count

    results = [in_thread(lambda seed=seed: read(seed)) for seed in range(4)] + [in_thread(evict)]  # type: ignore[misc]
    for result in results:
        found = result()
        assert isinstance(found, int), found
        assert found > 0
    assert list(one_cache.check()) == []


def open_files() -> int:
    """How many descriptors this process has."""
    return len(os.listdir("/proc/self/fd"))


def cache_files(directory: Path) -> list[str]:
    """The files of a cache that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            path = os.readlink(f"/proc/self/fd/{fd}")
            if path.startswith(str(directory)):
                found.append(path)
    return found


@pytest.mark.logs(OTHER_BYTES)
def test_after_any_number_of_opens_closes_and_failures_nothing_is_open(reading: Make) -> None:
    random = Random(5)

    def sometimes_wrong(request: Request, answer: Answer) -> Answer:
        lot = random.random()
        if lot < 0.1:
            return Answer(404)
        return Answer(206, answer.headers, b"!" + answer.body[1:]) if lot < 0.2 else answer

    mine = reading(content_of(SMALL_BLOB_BYTES + 2 * CHUNK_BYTES), sometimes_wrong)

    def some(seed: int) -> None:
        lots = Random(seed)
        for _ in range(25):
            offset = lots.randrange(len(mine.registry.content))
            with suppress(Exception):
                mine.read(offset, lots.choice((10, CHUNK_BYTES, len(mine.registry.content))))
            mine.cache.make_room(0)

    some(0)  # the threads and connections that stay
    threads = threading.active_count()
    for result in [in_thread(lambda seed=seed: some(seed)) for seed in range(1, 4)]:  # type: ignore[misc]
        while not eventually(lambda result=result: result() is None):  # type: ignore[misc]
            pass
    assert eventually(lambda: cache_files(mine.cache.directory) == []), cache_files(mine.cache.directory)
    assert eventually(lambda: open_files() < 60), open_files()
    assert threading.active_count() <= threads + regfs.cache.fetcher._AHEAD + regfs.cache.fetcher._DEMANDED + 16
    assert list(mine.cache.check()) == []


def test_a_blob_that_no_longer_fits_its_descriptor_s_file_goes(reading: Make) -> None:
    mine = reading()
    keep(mine.cache, LARGE)
    os.truncate(mine.cache.path(mine.registry.descriptor.digest), 1000)
    assert mine.read() == LARGE
    mine.fetcher.finish()
    assert digests(mine.cache) == {mine.registry.descriptor.digest}


def test_a_reader_keeps_its_bytes_when_the_blob_is_evicted(reading: Make) -> None:
    mine = reading()
    digest = keep(mine.cache, LARGE)
    reader = mine.fetcher.open("some/repository", Descriptor(digest, len(LARGE)))
    mine.cache.remove(digest)
    assert read_from(reader, 0, len(LARGE)) == LARGE
    reader.close()
