"""Reading lazily: what is fetched, when, and that it is the blob."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from regfs.cache.partial import CHUNK, SMALL
from regfs.oci.manifest import Descriptor, digest_of
from tests.cache.fetching.conftest import Reading, read_from
from tests.contents import content_of

Make = Callable[..., Reading]
LARGE = 40 * CHUNK + 12345


def wait_until_published(reading: Reading) -> None:
    """Wait for the whole blob to join the cache, which happens behind the reader's back."""
    for _ in range(500):
        if reading.cache.path(reading.registry.descriptor.digest).exists():
            return
        threading.Event().wait(0.01)
    pytest.fail("the blob never joined the cache")


def test_a_small_blob_is_one_request(reading: Make) -> None:
    small = reading(content_of(SMALL))
    assert small.read() == small.registry.content
    assert small.registry.asked == [(0, SMALL)]


def test_an_empty_blob_is_no_request(reading: Make) -> None:
    empty = reading(b"")
    assert empty.read() == b""
    assert empty.registry.server.requests == []


def test_one_byte_of_a_large_blob_moves_one_chunk(reading: Make) -> None:
    large = reading(content_of(LARGE))
    assert large.read(0, 1) == large.registry.content[:1]
    assert large.registry.moved <= CHUNK


def test_the_end_of_a_large_blob_moves_one_chunk(reading: Make) -> None:
    large = reading(content_of(LARGE))
    assert large.read(LARGE - 100) == large.registry.content[-100:]
    assert large.registry.moved <= CHUNK


def test_three_random_reads_start_no_prefetch(reading: Make) -> None:
    large = reading(content_of(LARGE))
    reader = large.open()
    for chunk in (30, 7, 19):
        offset = chunk * CHUNK + 1000
        assert read_from(reader, offset, 4096) == large.registry.content[offset : offset + 4096]
    reader.close()
    assert sorted(large.registry.asked) == [(c * CHUNK, (c + 1) * CHUNK) for c in (7, 19, 30)]


def test_reading_in_order_asks_for_more_and_more_at_once(reading: Make) -> None:
    large = reading(content_of(LARGE))
    assert large.read() == large.registry.content
    assert len(large.registry.asked) < 20
    assert large.registry.moved == LARGE


def test_every_byte_is_fetched_once_however_many_read(reading: Make) -> None:
    large = reading(content_of(LARGE))
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(large.read())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [large.registry.content] * 4
    assert large.registry.moved == LARGE


def test_a_whole_blob_is_read_again_without_a_request(reading: Make) -> None:
    large = reading(content_of(LARGE))
    large.read()
    wait_until_published(large)
    asked = len(large.registry.asked)
    large.registry.server.stop()
    assert large.read() == large.registry.content
    assert len(large.registry.asked) == asked


def test_what_was_fetched_is_not_fetched_again_by_the_next_process(reading: Make) -> None:
    content = content_of(LARGE)
    first = reading(content)
    first.read(0, 5 * CHUNK)
    second = reading(content)
    assert second.read() == content
    assert first.registry.moved + second.registry.moved <= LARGE + 16 * CHUNK
    assert all(start >= 5 * CHUNK for start, _ in second.registry.asked)


def test_a_seek_ahead_fetches_nothing_of_what_it_skips(reading: Make) -> None:
    large = reading(content_of(LARGE))
    reader = large.open()
    read_from(reader, 0, 4096)
    read_from(reader, 35 * CHUNK, 4096)
    reader.close()
    assert [start // CHUNK for start, _ in large.registry.asked] == [0, 35]


def test_a_reader_that_closes_stops_what_was_fetched_ahead(reading: Make) -> None:
    large = reading(content_of(LARGE))
    large.read(0, 3 * CHUNK)
    assert large.registry.moved < 16 * CHUNK


def test_strict_verification_fetches_whole_before_the_first_byte(reading: Make) -> None:
    large = reading(content_of(LARGE), strict=True)
    reader = large.open()
    assert large.registry.moved == LARGE
    reader.close()


def test_one_digest_with_two_sizes_is_two_blobs_to_the_cache(reading: Make) -> None:
    large = reading(content_of(LARGE))
    lie = Descriptor(large.registry.descriptor.digest, LARGE - CHUNK)
    assert large.read(0, 10) == large.registry.content[:10]
    reader = large.open(lie)
    with pytest.raises(Exception, match="its manifest says"):
        read_from(reader, 20 * CHUNK, 10)
    reader.close()
    assert large.read() == large.registry.content


def test_a_sha512_digest_is_verified_as_one(reading: Make) -> None:
    small = reading(content_of(1000))
    descriptor = Descriptor(digest_of(small.registry.content, "sha512:" + "0" * 128), 1000)
    reader = small.open(descriptor)
    assert read_from(reader, 0, 1000) == small.registry.content
    reader.close()
