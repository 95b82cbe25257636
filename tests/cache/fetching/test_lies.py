"""Registries that lie or die: each answer here is spoiled by a server that really does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from regfs.cache.partial import CHUNK
from regfs.exceptions import DXFDigestMismatchError
from regfs.registry.http.pooled import UnexpectedAnswer
from regfs.registry.http.transport import ConnectionFailed, HTTPError, Timeout
from tests.cache.fetching.conftest import Reading, read_from
from tests.contents import content_of
from tests.logs import OTHER_BYTES
from tests.servers import Answer, Request, Server

Make = Callable[..., Reading]
LARGE = 12 * CHUNK + 777


def ignores_the_range(request: Request, answer: Answer) -> Answer:
    """The whole blob, 200."""
    return Answer(200, (), CONTENT)


def is_short(request: Request, answer: Answer) -> Answer:
    """A 206 of half of what was asked for, which says so."""
    span = answer.header("Content-Range").split(" ")[1].partition("/")[0].split("-")
    start, half = int(span[0]), len(answer.body) // 2
    return Answer(206, (("Content-Range", f"bytes {start}-{start + half - 1}/{len(CONTENT)}"),), answer.body[:half])


def is_cut(request: Request, answer: Answer) -> Answer:
    """Half of the body, then the connection is closed."""
    length = ("Content-Length", str(len(answer.body)))
    return replace(
        answer, headers=(*answer.headers, length, ("Connection", "close")), body=answer.body[: len(answer.body) // 2]
    )


def stalls(request: Request, answer: Answer) -> Answer:
    """Half of the body, then nothing more."""
    length = ("Content-Length", str(len(answer.body)))
    return replace(answer, headers=(*answer.headers, length), body=answer.body[: len(answer.body) // 2])


def is_busy(request: Request, answer: Answer) -> Answer:
    """429, come back at once."""
    return Answer(429, (("Retry-After", "0"),))


def is_down(request: Request, answer: Answer) -> Answer:
    """503, come back at once."""
    return Answer(503, (("Retry-After", "0"),))


def is_empty(request: Request, answer: Answer) -> Answer:
    """200 without a body: what docker-registry answers for a blob that garbage collection took."""
    return Answer(200)


def is_of_another_range(request: Request, answer: Answer) -> Answer:
    """A Content-Range that was not asked for."""
    return Answer(206, (("Content-Range", f"bytes 5-{4 + len(answer.body)}/{len(CONTENT)}"),), answer.body)


def is_of_another_size(request: Request, answer: Answer) -> Answer:
    """A Content-Range whose total is not the blob's size."""
    return Answer(206, (("Content-Range", answer.header("Content-Range").partition("/")[0] + "/99"),), answer.body)


def has_no_range(request: Request, answer: Answer) -> Answer:
    """A 206 that does not say of what."""
    return Answer(206, (), answer.body)


def is_gone(request: Request, answer: Answer) -> Answer:
    """404."""
    return Answer(404)


def is_flipped(request: Request, answer: Answer) -> Answer:
    """One bit is wrong."""
    return replace(answer, body=bytes([answer.body[0] ^ 1]) + answer.body[1:])


CONTENT = content_of(LARGE)
PASSING = [ignores_the_range, is_short, is_cut, stalls, is_busy, is_down]
LYING = [is_of_another_range, is_of_another_size, has_no_range, is_empty]


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("turn", [0, 1, 3])
def test_what_passes_is_gone_on_with(reading: Make, fault: Callable[..., Answer], turn: int) -> None:
    large = reading(CONTENT, *[None] * turn, fault)
    assert large.read() == CONTENT


def test_a_cut_transfer_goes_on_where_it_stopped(reading: Make) -> None:
    large = reading(CONTENT, is_cut)
    assert large.read(0, CHUNK) == CONTENT[:CHUNK]
    assert large.registry.asked[:2] == [(0, CHUNK), (CHUNK // 2, CHUNK)]


def test_a_registry_that_never_heeds_ranges_sends_the_blob_once(reading: Make) -> None:
    large = reading(CONTENT, always=ignores_the_range)
    assert large.read() == CONTENT
    assert large.registry.moved <= 2 * LARGE


def test_a_registry_that_never_heeds_ranges_still_serves_the_end(reading: Make) -> None:
    large = reading(CONTENT, always=ignores_the_range)
    assert large.read(LARGE - 10) == CONTENT[-10:]


@pytest.mark.parametrize("fault", LYING)
def test_what_lies_is_one_clear_error(reading: Make, fault: Callable[..., Answer]) -> None:
    large = reading(CONTENT, always=fault)
    with pytest.raises(UnexpectedAnswer, match=large.registry.descriptor.digest):
        large.read()


def is_silent(request: Request, answer: Answer) -> Answer:
    """The headers, and not a byte of the body."""
    return Answer(206, (*answer.headers, ("Content-Length", str(len(answer.body)))))


@pytest.mark.parametrize(("fault", "error"), [(is_gone, HTTPError), (is_silent, Timeout), (is_down, HTTPError)])
def test_what_does_not_pass_ends_in_an_error(
    reading: Make, fault: Callable[..., Answer], error: type[Exception]
) -> None:
    large = reading(CONTENT, always=fault, timeout=0.2)
    with pytest.raises(error):
        large.read(0, 1)


def test_a_registry_that_hangs_up_each_time_ends_in_an_error(reading: Make) -> None:
    def hangs_up(request: Request, answer: Answer) -> Answer:
        length = ("Content-Length", str(len(answer.body)))
        return replace(answer, headers=(*answer.headers, length, ("Connection", "close")), body=b"")

    large = reading(CONTENT, always=hangs_up)
    with pytest.raises(ConnectionFailed):
        large.read(0, 1)


def test_after_an_error_the_next_read_tries_again(reading: Make) -> None:
    large = reading(CONTENT, is_gone)
    reader = large.open()
    with pytest.raises(HTTPError):
        read_from(reader, 0, 10)
    assert read_from(reader, 0, 10) == CONTENT[:10]
    reader.close()


@pytest.mark.logs(OTHER_BYTES)
def test_a_small_blob_that_is_not_its_digest_is_never_served(reading: Make) -> None:
    small = reading(CONTENT[:1000], is_flipped)
    with pytest.raises(DXFDigestMismatchError):
        small.open()
    assert small.cache.usage().size == 0
    assert small.read() == CONTENT[:1000]


@pytest.mark.logs(OTHER_BYTES)
@pytest.mark.parametrize("turn", [0, 2])
def test_the_end_of_a_large_blob_that_is_not_its_digest_is_withheld(reading: Make, turn: int) -> None:
    large = reading(CONTENT, *[None] * turn, is_flipped)
    reader = large.open()
    with pytest.raises(DXFDigestMismatchError) as caught:
        read_from(reader, 0, LARGE)
    assert caught.value.expected == large.registry.descriptor.digest
    reader.close()
    assert large.cache.usage().size == 0
    assert large.read() == CONTENT


def test_a_blob_longer_than_its_descriptor_is_an_error(reading: Make) -> None:
    large = reading(CONTENT)
    with pytest.raises(UnexpectedAnswer):
        large.open(replace(large.registry.descriptor, size=1000))


class Storage:
    """Where a registry redirects to; each address works as often as it is told to."""

    def __init__(self) -> None:
        self.uses = 1000
        self.signed = 0
        self.used: dict[str, int] = {}
        self.server = Server(self.respond)

    def redirect(self, request: Request, answer: Answer) -> Answer:
        """Redirect to a fresh address."""
        self.signed += 1
        return Answer(307, (("Location", f"http://{self.server.host}/storage?signature={self.signed}"),))

    def respond(self, request: Request) -> Answer:
        """The range asked for, until the address has expired."""
        assert "authorization" not in request.headers
        self.used[request.path] = self.used.get(request.path, 0) + 1
        if self.used[request.path] > self.uses:
            return Answer(403, (), b"Request has expired")
        start, end = (int(number) for number in request.headers["range"].removeprefix("bytes=").split("-"))
        headers = (("Content-Range", f"bytes {start}-{end}/{LARGE}"),)
        return Answer(206, headers, CONTENT[start : end + 1])


@pytest.fixture
def storage() -> Iterator[Storage]:
    """Another server, that the registry redirects to."""
    made = Storage()
    yield made
    made.server.stop()


def test_a_redirect_is_asked_for_once(reading: Make, storage: Storage) -> None:
    large = reading(CONTENT, always=storage.redirect)
    reader = large.open()
    for chunk in (9, 5, 1):
        assert read_from(reader, chunk * CHUNK, 10) == CONTENT[chunk * CHUNK : chunk * CHUNK + 10]
    reader.close()
    assert storage.signed == 1


def test_an_expired_redirect_is_asked_for_again(reading: Make, storage: Storage) -> None:
    storage.uses = 2
    large = reading(CONTENT, always=storage.redirect)
    assert large.read() == CONTENT
    assert storage.signed > 1
