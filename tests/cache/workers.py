"""What processes that share a cache do in the tests; each is started anew, and may be killed at any point."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from random import Random
from typing import Any

from regfs.cache.fetcher import Fetcher
from regfs.cache.storage import CHUNK_BYTES
from regfs.cache.store import BlobStore
from regfs.metadata.names import NameStore
from regfs.oci.manifest import Descriptor
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from tests.cache.fetching.conftest import read_from

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload([__name__])
Answers = SimpleQueue  # of what each worker found


def start(target: Any, *arguments: object) -> BaseProcess:
    """Start a process."""
    process = processes.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def read_all(
    directory: Path, host: str, repository: str, blobs: Sequence[Descriptor], found: SimpleQueue[dict[str, str]]
) -> None:
    """Read blobs one after the other; tell the digest of what was read of each."""
    remote = HttpRegistry(host, True, PooledTransport())
    fetcher = Fetcher(BlobStore(directory), remote.source)
    got = {}
    for blob in blobs:
        reader = fetcher.open(repository, blob)
        got[blob.digest] = f"sha256:{hashlib.sha256(read_from(reader, 0, blob.size)).hexdigest()}"
        reader.close()
    fetcher.finish()
    found.put(got)


def do_everything(directory: Path, host: str, repository: str, blobs: Sequence[Descriptor], seed: int) -> None:
    """Read, evict, remove, keep and remember at random, until it is killed."""
    random = Random(seed)
    remote = HttpRegistry(host, True, PooledTransport())
    cache = BlobStore(directory)
    fetcher = Fetcher(cache, remote.source)
    names = NameStore(directory, host)
    while True:
        blob = random.choice(blobs)
        lot = random.random()
        if lot < 0.7:
            reader = fetcher.open(repository, blob)
            whole = random.random() < 0.5
            read_from(reader, 0 if whole else random.randrange(blob.size), blob.size if whole else CHUNK_BYTES, 1 << 20)
            reader.close()
        elif lot < 0.8:
            cache.make_room(random.choice((0, 4 * CHUNK_BYTES, 12 * CHUNK_BYTES)))
        elif lot < 0.85:
            cache.remove(blob.digest)
        elif lot < 0.95:
            content = random.randbytes(random.randrange(100_000))
            cache.add(f"sha256:{hashlib.sha256(content).hexdigest()}", content)
        else:
            names.put(("aliases", repository), frozenset({str(random.random())}))
            time.sleep(0.001)
