"""Several processes on one cache, and processes that are killed: each byte is fetched once, and every byte is right."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from regfs.cache.fetcher import Fetcher
from regfs.cache.storage import CHUNK_BYTES, SMALL_BLOB_BYTES
from regfs.cache.store import BlobStore
from regfs.metadata.names import NameStore
from regfs.oci.manifest import Descriptor, digest_of
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from tests.cache import workers
from tests.cache.conftest import digests
from tests.cache.fetching.conftest import read_from
from tests.contents import content_of
from tests.registries import Registry
from tests.scenarios.foreign import Foreign
from tests.servers import Server, forward

KILLS = 30  # each of two processes
CONTENTS = [
    content_of(size, seed)
    for seed, size in enumerate((300_000, 3 * CHUNK_BYTES + 5, SMALL_BLOB_BYTES + 5, 12 * CHUNK_BYTES + 99))
]
BLOBS = [Descriptor(digest_of(content), len(content)) for content in CONTENTS]


@pytest.fixture(scope="module", autouse=True)
def fork_server() -> None:
    """The process that others are forked from lives as long as the tests."""
    workers.start(hash, 0).join()


@pytest.fixture
def repository(plain: Registry, repository: str) -> str:
    """A repository that has the blobs."""
    client = Foreign(plain)
    for content in CONTENTS:
        client.push(repository, content)
    client.close()
    return repository


@pytest.fixture
def proxy(plain: Registry) -> Iterator[Server]:
    """Counts what is asked of a real registry."""
    with Server(forward(plain.host)) as server:
        yield server


def moved(proxy: Server, digest: str) -> int:
    """How many bytes of a blob were sent."""
    return sum(len(answer.body) for request, answer in proxy.exchanges if request.path.endswith(digest))


@pytest.mark.parametrize("order", ["the same", "each another"])
def test_processes_that_share_a_cache_fetch_each_byte_once(
    directory: Path, proxy: Server, repository: str, order: str
) -> None:
    found: workers.SimpleQueue[dict[str, str]] = workers.processes.SimpleQueue()
    started = []
    for number in range(4):
        turn = 0 if order == "the same" else number
        blobs = BLOBS[turn:] + BLOBS[:turn]
        started.append(workers.start(workers.read_all, directory, proxy.host, repository, blobs, found))
    for process in started:
        process.join(60)
        assert process.exitcode == 0
    for _ in started:
        assert found.get() == {blob.digest: blob.digest for blob in BLOBS}
    assert {blob.digest: moved(proxy, blob.digest) for blob in BLOBS} == {blob.digest: blob.size for blob in BLOBS}
    assert digests(BlobStore(directory)) == {blob.digest for blob in BLOBS}


def test_nothing_is_wrong_or_left_over_after_any_kill(directory: Path, plain: Registry, repository: str) -> None:
    random = Random(20)
    seen = 0
    for number in range(KILLS):
        started = [
            workers.start(workers.do_everything, directory, plain.host, repository, BLOBS, 2 * number + which)
            for which in range(2)
        ]
        for process in started:
            time.sleep(random.uniform(0.02, 0.4))  # a point at random is the point of it
            assert process.exitcode is None, "it ended by itself"
            process.kill()
        for process in started:
            process.join()
        seen += require_sound(directory)
    assert seen > KILLS
    require_readable(directory, plain.host, repository)


def require_sound(directory: Path) -> int:
    """Open the cache again; nothing in it is wrong, and nothing is there that nobody would ever remove. Returns how
    many blobs and chunks were looked at."""
    cache = BlobStore(directory)
    assert list(cache.check()) == []
    names = [path.name for path in (directory / "partial").iterdir()]
    assert not [name for name in names if name.startswith("adding-")]
    assert not [name for name in names if name.endswith(".map") and name.removesuffix(".map") not in names]
    seen = 0
    for content, blob in zip(CONTENTS, BLOBS, strict=True):
        fd = cache.open(blob.digest, blob.size)
        if fd is not None:
            assert os.pread(fd, blob.size + 1, 0) == content
            os.close(fd)
            seen += 1
        if f"{blob.digest.replace(':', '-')}-{blob.size}" in names:
            seen += require_right_chunks(cache, content, blob)
    return seen


def require_right_chunks(cache: BlobStore, content: bytes, blob: Descriptor) -> int:
    """Each chunk that is said to be there is; returns how many."""
    sparse = cache.sparse(blob.digest, blob.size)
    there = [chunk for chunk in range(sparse.chunks) if sparse.has(chunk)]
    for chunk in there:
        expected = content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        buffer = memoryview(bytearray(len(expected)))
        assert sparse.read_into(buffer, chunk * CHUNK_BYTES) == len(expected)
        assert buffer == expected, f"chunk {chunk} of {blob.digest}"
        assert sparse.claim(chunk), "a killed process still has it"
        sparse.release(chunk)
    sparse.close()
    return len(there)


def require_readable(directory: Path, host: str, repository: str) -> None:
    """Everything reads right in the end, and can all be removed."""
    cache = BlobStore(directory)
    remote = HttpRegistry(host, True, PooledTransport())
    fetcher = Fetcher(cache, remote.source)
    for content, blob in zip(CONTENTS, BLOBS, strict=True):
        reader = fetcher.open(repository, blob)
        assert read_from(reader, 0, blob.size) == content
        reader.close()
    fetcher.finish()
    fetcher.close()
    remote.close()
    cache.make_room(0)
    assert cache.usage().size == 0
    assert list((directory / "partial").iterdir()) == []


def test_a_half_written_answer_of_a_killed_process_is_removed(directory: Path) -> None:
    store = NameStore(directory, "localhost:5000")
    store.put(("aliases", "some/repository"), frozenset({"v1"}))
    half = next(directory.rglob("*.json")).with_suffix(".4711")
    half.write_text('{"key": ["alia')
    other = half.with_suffix(".4712")  # of a process that is writing it now
    other.write_text('{"key": ["alia')
    os.utime(half, (1000, 1000))
    NameStore(directory, "localhost:5000")
    assert not half.exists()
    assert other.exists()
    assert store.get(("aliases", "some/repository")) == {"v1"}
