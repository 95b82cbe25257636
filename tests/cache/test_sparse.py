"""Blobs of which some chunks are there: the marks are right whatever happens to the files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from regfs.cache.sparse import SparseBlob
from regfs.cache.storage import CHUNK_BYTES, SMALL_BLOB_BYTES
from regfs.cache.store import BlobStore
from regfs.oci.manifest import digest_of
from tests.cache.conftest import digests, keep, leftovers, put_chunk
from tests.contents import MIB, content_of

SIZE = 11 * CHUNK_BYTES + 77
CONTENT = content_of(SIZE)
DIGEST = digest_of(CONTENT)
CHUNKS = 12


def marks(sparse: SparseBlob) -> set[int]:
    """The chunks that are there."""
    return {chunk for chunk in range(sparse.chunks) if sparse.has(chunk)}


def require_right(sparse: SparseBlob) -> None:
    """Each chunk that is there has the blob's bytes."""
    for chunk in marks(sparse):
        start, end = chunk * CHUNK_BYTES, min((chunk + 1) * CHUNK_BYTES, SIZE)
        buffer = memoryview(bytearray(end - start))
        assert sparse.read_into(buffer, start) == end - start
        assert buffer == CONTENT[start:end], f"chunk {chunk} is wrong"


def test_what_is_there_survives(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in (0, 5, 11):
        put_chunk(sparse, CONTENT, chunk)
    sparse.close()
    again = BlobStore(cache.directory).sparse(DIGEST, SIZE)
    assert marks(again) == {0, 5, 11}
    require_right(again)
    again.close()


def test_the_first_missing_chunk_is_found(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in (0, 1, 3):
        put_chunk(sparse, CONTENT, chunk)
    assert [sparse.missing(0, 11), sparse.missing(3, 11), sparse.missing(0, 1)] == [2, 4, None]
    sparse.close()


def test_another_process_sees_a_chunk_at_once(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), BlobStore(cache.directory).sparse(DIGEST, SIZE)
    put_chunk(one, CONTENT, 4)
    assert marks(other) == {4}
    require_right(other)
    one.close()
    other.close()


def test_a_chunk_is_claimed_by_one_at_a_time(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), BlobStore(cache.directory).sparse(DIGEST, SIZE)
    assert one.claim(4)
    assert not other.claim(4)
    assert other.claim(5)
    one.release(4)
    assert other.claim(4)
    one.close()
    other.close()


def test_a_claim_ends_with_its_files(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), BlobStore(cache.directory).sparse(DIGEST, SIZE)
    assert one.claim(4)
    one.close()
    assert other.claim(4)
    other.close()


def test_a_whole_blob_joins_the_cache_and_leaves_nothing_behind(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in range(CHUNKS):
        put_chunk(sparse, CONTENT, chunk)
    sparse.publish()
    require_right(sparse)
    sparse.close()
    assert cache.read(DIGEST) == CONTENT
    assert leftovers(cache) == []
    assert cache.path(DIGEST).stat().st_mode & 0o777 == 0o600


def test_two_who_had_it_open_publish_it_once(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), BlobStore(cache.directory).sparse(DIGEST, SIZE)
    for chunk in range(CHUNKS):
        put_chunk(one, CONTENT, chunk)
    one.publish()
    fresh = cache.sparse(DIGEST, SIZE)  # of somebody who looked just before it was published
    other.publish()
    assert cache.read(DIGEST) == CONTENT
    for sparse in (one, other, fresh):
        sparse.close()


def test_a_map_that_a_kill_left_of_published_data_is_not_believed(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in range(CHUNKS):
        put_chunk(sparse, CONTENT, chunk)
    sparse.close()
    data = next(path for path in (cache.directory / "partial").iterdir() if path.suffix != ".map")
    cache.path(DIGEST).parent.mkdir(parents=True)
    data.rename(cache.path(DIGEST))  # and killed here, before it removed the map
    cache.make_room(0)  # a process that was there all the time evicts the blob
    again = cache.sparse(DIGEST, SIZE)
    assert marks(again) == set()
    again.close()


def test_a_small_map_that_a_kill_left_is_not_believed_either(cache: BlobStore) -> None:
    content = content_of(2 * MIB + 5, seed=3)
    digest = digest_of(content)
    sparse = cache.sparse(digest, len(content))
    for chunk in range(3):
        put_chunk(sparse, content, chunk)
    sparse.close()
    next(path for path in (cache.directory / "partial").iterdir() if path.suffix != ".map").unlink()
    again = cache.sparse(digest, len(content))
    assert marks(again) == set()
    again.close()


def test_data_whose_map_a_kill_took_is_not_cut_short_under_its_reader(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    put_chunk(sparse, CONTENT, 3)
    next((cache.directory / "partial").glob("*.map")).unlink()
    again = cache.sparse(DIGEST, SIZE)
    assert marks(again) == set()
    assert marks(sparse) == {3}
    require_right(sparse)
    again.close()
    sparse.close()


@pytest.mark.parametrize("form", [b"", b"x", b"another version".ljust(100), bytes(32 + CHUNKS)])
def test_a_map_of_another_form_is_not_believed(cache: BlobStore, form: bytes) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    put_chunk(sparse, CONTENT, 3)
    sparse.close()
    next((cache.directory / "partial").glob("*.map")).write_bytes(form)
    again = cache.sparse(DIGEST, SIZE)
    assert marks(again) == set()
    put_chunk(again, CONTENT, 5)
    require_right(again)
    again.close()


def test_a_map_cut_short_is_whole_again_with_its_chunks_missing(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in (1, 10):
        put_chunk(sparse, CONTENT, chunk)
    sparse.close()
    os.truncate(next((cache.directory / "partial").glob("*.map")), 32 + 4)
    again = cache.sparse(DIGEST, SIZE)
    assert marks(again) == {1}
    require_right(again)
    again.close()


def test_chunks_whose_bytes_a_power_cut_took_are_missing(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    for chunk in (2, 4, 11):
        put_chunk(sparse, CONTENT, chunk)
    for chunk in (3, 5, 10):
        sparse.mark(chunk)  # the map came to the disk, the data did not
    sparse.close()
    again = cache.sparse(DIGEST, SIZE)
    assert marks(again) == {2, 4, 11}
    require_right(again)
    again.close()


def test_bytes_that_were_cut_off_are_an_error_and_no_endless_wait(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    put_chunk(sparse, CONTENT, 11)
    os.ftruncate(sparse.fd, 100)
    with pytest.raises(OSError, match="cut short"):
        sparse.read_into(memoryview(bytearray(10)), 11 * CHUNK_BYTES)
    sparse.close()


def test_what_is_discarded_is_gone_for_all_who_have_it_open(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), BlobStore(cache.directory).sparse(DIGEST, SIZE)
    put_chunk(one, CONTENT, 4)
    one.discard()
    assert marks(other) == set()
    assert leftovers(cache) == []
    other.publish()
    assert digests(cache) == set()
    one.close()
    other.close()


def test_discarding_leaves_what_somebody_began_anew(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), cache.sparse(DIGEST, SIZE)
    one.discard()
    fresh = cache.sparse(DIGEST, SIZE)
    put_chunk(fresh, CONTENT, 4)
    other.discard()
    assert marks(fresh) == {4}
    assert len(leftovers(cache)) == 2
    for sparse in (one, other, fresh):
        sparse.close()


def test_one_digest_in_two_sizes_is_two_files(cache: BlobStore) -> None:
    one, other = cache.sparse(DIGEST, SIZE), cache.sparse(DIGEST, SIZE + 1)
    put_chunk(one, CONTENT, 4)
    assert marks(other) == set()
    one.close()
    other.close()


@settings(max_examples=60)
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, CHUNKS - 1)),
            st.tuples(st.just("reopen"), st.just(0)),
            st.tuples(st.just("discard"), st.just(0)),
            st.tuples(st.just("evict"), st.just(0)),
        ),
        max_size=25,
    )
)
def test_marks_are_those_of_a_set(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        cache = BlobStore(Path(directory) / "cache")
        sparse, model = cache.sparse(DIGEST, SIZE), set[int]()
        for verb, chunk in steps:
            if verb == "put":
                put_chunk(sparse, CONTENT, chunk)
                model.add(chunk)
            elif verb == "discard":
                sparse.discard()
                sparse.close()
                sparse, model = cache.sparse(DIGEST, SIZE), set()
            elif verb == "evict":
                cache.make_room(0)  # it is open
            else:
                sparse.close()
                sparse = BlobStore(cache.directory).sparse(DIGEST, SIZE)
            assert marks(sparse) == model
            assert sparse.arrived() == len(model)
            assert sparse.missing(0, CHUNKS - 1) == min(set(range(CHUNKS)) - model, default=None)
        require_right(sparse)
        sparse.close()


@settings(max_examples=60)
@given(size=st.integers(1, SMALL_BLOB_BYTES + 3 * CHUNK_BYTES), data=st.data())
def test_every_size_has_as_many_chunks_as_it_needs(size: int, data: st.DataObject) -> None:
    chunk = data.draw(st.integers(0, -(-size // CHUNK_BYTES) - 1))
    with tempfile.TemporaryDirectory() as directory:
        sparse = BlobStore(Path(directory) / "cache").sparse(DIGEST, size)
        content = CONTENT[:size].ljust(size, b"\1")
        put_chunk(sparse, content, chunk)
        assert marks(sparse) == {chunk}
        buffer = memoryview(bytearray(min(CHUNK_BYTES, size - chunk * CHUNK_BYTES)))
        assert sparse.read_into(buffer, chunk * CHUNK_BYTES) == len(buffer)
        assert buffer == content[chunk * CHUNK_BYTES : (chunk + 1) * CHUNK_BYTES]
        sparse.close()


def test_a_blob_kept_meanwhile_is_not_lost_to_its_partial_files(cache: BlobStore) -> None:
    sparse = cache.sparse(DIGEST, SIZE)
    keep(cache, CONTENT)
    for chunk in range(CHUNKS):
        put_chunk(sparse, CONTENT, chunk)
    sparse.publish()
    sparse.close()
    assert cache.read(DIGEST) == CONTENT
    assert leftovers(cache) == []
