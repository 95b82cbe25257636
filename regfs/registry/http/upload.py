"""Sending a blob to a repository: in one request, and, when that is cut, in pieces that can be gone on with.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks". Measured on docker-registry 2.8.2: a cut
between two pieces can be gone on with, also after the registry was restarted; one within a piece begins anew.
"""

from __future__ import annotations

import io
import logging
import random
import threading
from collections.abc import Iterator

from regfs.oci.manifest import BLOB_MEDIA_TYPE
from regfs.registry.api import (
    Busy,
    Content,
    Failed,
    Interrupted,
    Invalid,
    NotFound,
    RegistryError,
    TimedOut,
    TooLarge,
    Unreachable,
    Unsupported,
    Untrustworthy,
)
from regfs.registry.http import wire
from regfs.registry.http.client import Client
from regfs.registry.http.transport import Response, rewind

log = logging.getLogger(__name__)

PIECE = 64 << 20  # bytes of a large blob that one request sends, once sending it whole has failed
_PIECES = (PIECE, 16 << 20, 4 << 20, 1 << 20)  # what a piece is cut down to where a registry, or a proxy, takes no more
_ATTEMPTS = 4  # in a row without progress
_READ_BYTES = 1 << 20
_REDIRECTS = frozenset({307, 308})
_REDIRECTS_MAX = 5
_TYPE = {"Content-Type": BLOB_MEDIA_TYPE}
_TRANSIENT = (Busy, Failed, Interrupted, TimedOut, Unreachable)
_REFUSED = (Invalid, TooLarge, Unsupported)


class _SessionLost(RegistryError):
    """The registry no longer knows the upload: it restarted, or a proxy on the way sent the end of it twice."""


def upload(client: Client, content: Content | bytes, digest: str) -> None:
    """Make *content* the blob *digest* of the repository of *client*.

    :raises RegistryError: when it could not be, also after some tries; nothing half is left visible
    """
    if len(content) == 0:
        content = b""  # a body of no bytes would be sent without a length
    elif isinstance(content, bytes):
        content = _InMemory(content)
    ways = _Ways(content)
    while True:
        try:
            if ways.failures and has_blob(client, digest):  # the answer may be all that was lost
                return
            if ways.in_pieces and not isinstance(content, bytes):
                PiecewiseUpload(client).finish(content, digest)
            else:
                _put(client, _start(client), content, digest)
        except (*_TRANSIENT, _SessionLost) as error:
            ways.fail(error)
            log.info("%s: sent again: %s", digest, type(error).__name__)
            pause(ways.failures - 1)
        except _REFUSED as error:
            ways.refuse(error)
            log.info("%s: sent in another way: %s", digest, error)
        else:
            return


class _InMemory:
    """Bytes that can be sent in pieces."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._file = io.BytesIO(content)

    def __len__(self) -> int:
        return len(self._content)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(_READ_BYTES), b"")

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def seek(self, offset: int) -> None:
        self._file.seek(offset)

    def piece(self, start: int, end: int) -> _InMemory:
        return _InMemory(self._content[start:end])


class _Ways:
    """Whether a blob is sent whole or in pieces: what is cut is gone on with in pieces, what is refused changes."""

    def __init__(self, content: Content | bytes) -> None:
        self.failures = 0
        self.in_pieces = False
        self._refusals = 0
        self._is_large = len(content) > PIECE
        self._whole_is_too_large = False
        self._may_be_cut = not isinstance(content, bytes)

    def fail(self, error: RegistryError) -> None:
        """Note a failure that may pass.

        :raises RegistryError: *error*, after too many
        """
        self.failures += 1
        if self.failures == _ATTEMPTS:
            raise error
        self.in_pieces = self.in_pieces or self._is_large

    def refuse(self, error: RegistryError) -> None:
        """Choose another way: one more try for a small one, pieces instead of the whole, the whole instead of pieces.

        :raises RegistryError: *error*, when all were tried
        """
        if isinstance(error, Invalid) and error.code in ("", "DIGEST_INVALID") and not self.in_pieces:
            raise error  # it does not say that another way would do, or the bytes are not those that were hashed
        self._refusals += 1
        if isinstance(error, TooLarge) and not self.in_pieces:
            self._whole_is_too_large = True
        if self._refusals == (3 if self._may_be_cut else 2) or (self.in_pieces and self._whole_is_too_large):
            raise error
        if self._whole_is_too_large and not self._may_be_cut:
            raise error
        first_of_small = self._refusals == 1 and not self._is_large and not isinstance(error, TooLarge)
        self.in_pieces = self._may_be_cut and not self.in_pieces and not first_of_small


def has_blob(client: Client, digest: str) -> bool:
    """Whether the repository has a blob."""
    try:
        client.request("head", wire.blob_path(client.repository, digest))
    except NotFound:
        return False
    return True


def cancel(client: Client, started: Response) -> None:
    """Let the registry forget an upload that was started."""
    try:
        client.request("delete", client.location(started))
    except RegistryError:
        log.debug("an upload was not cancelled; the registry purges it by itself")


def _start(client: Client) -> Response:
    return wire.start_upload(client.request, client.repository, repeat=True)


def _put(client: Client, started: Response, content: Content | bytes, digest: str) -> None:
    url = wire.upload_url(client.location(started), digest)
    try:
        _send(client, "put", url, content, _TYPE)
    except NotFound as error:
        raise _SessionLost(error.message, code=error.code, reason=error.reason) from None


def _send(client: Client, method: str, url: str, content: Content | bytes, headers: dict[str, str]) -> Response:
    """Send bytes, and again where a redirect says so: its first address got them and does not want them."""
    for _ in range(_REDIRECTS_MAX):
        rewind(content)
        answer = client.request(method, url, data=content, headers=headers, exact=True, allow_redirects=False)
        if answer.status_code not in _REDIRECTS:
            return answer
        url = client.location(answer)
    raise Untrustworthy(f"{client.host} redirects an upload without end")


class PiecewiseUpload:
    """An upload in pieces, which can begin before its content is complete. For one thread at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._piece = PIECE
        self._begin()

    def _begin(self) -> None:
        self._session = _start(self._client)
        self._offset = 0
        least = self._session.headers.get("OCI-Chunk-Min-Length", "")
        self._least = int(least[:12]) if least.isascii() and least.isdigit() else 1

    def send(self, content: Content, end: int, piece: int = PIECE) -> None:
        """Send bytes of *content* before *end* that were not sent yet, going on after failures that pass.

        What is less than the registry takes as a piece waits.

        :raises RegistryError: when it could not be done, also after some tries
        """
        self._send_up_to(content, end, piece, is_last=False)

    def _send_up_to(self, content: Content, end: int, piece: int, is_last: bool) -> None:
        furthest, failures = self._offset, 0
        while self._offset < end:
            size = max(min(piece, self._piece), self._least)
            if not is_last and end - self._offset < self._least:
                return
            try:
                self._send_piece(content, min(self._offset + size, end))
            except _TRANSIENT:
                failures += 1
                if failures >= _ATTEMPTS:
                    raise
                pause(failures)
                self._resume()
            except _REFUSED as error:
                # While the file is being written, it can still be sent whole: only a limit is worth another try.
                if not is_last and not isinstance(error, TooLarge):
                    raise
                self._cut_down(error, size)
            if self._offset > furthest:
                furthest, failures = self._offset, 0

    def _cut_down(self, error: RegistryError, size: int) -> None:
        """Begin anew with smaller pieces than those of *size* bytes that were refused.

        :raises RegistryError: *error*, when no piece is taken at all
        """
        smaller = max(next((piece for piece in _PIECES if piece < size), 0), self._least)
        if smaller >= size or smaller == 1 or error.code == "UNSUPPORTED":
            raise error
        self._piece = smaller
        self._begin()

    def finish(self, content: Content, digest: str) -> None:
        """Send the rest, and make it all the blob *digest*.

        :raises RegistryError: when it could not be done
        """
        self._send_up_to(content, len(content), PIECE, is_last=True)
        _put(self._client, self._session, b"", digest)

    def cancel(self) -> None:
        """Let the registry forget what was sent."""
        cancel(self._client, self._session)

    def _send_piece(self, content: Content, end: int) -> None:
        headers = {**_TYPE, "Content-Range": f"{self._offset}-{end - 1}"}
        data = content.piece(self._offset, end)
        self._session = _send(self._client, "patch", self._client.location(self._session), data, headers)
        self._offset = end

    def _resume(self) -> None:
        """Go on where the registry has exactly what was taken before; else begin anew.

        What a registry says it has cannot be trusted further: ``0-0`` is nothing or one byte, others say one more than
        they have, or the first piece's end for ever; and a piece that was cut cannot be gone on with anyway.
        """
        try:
            session = self._client.request("get", self._client.location(self._session))
            has = int(session.headers["Range"].rpartition("-")[2]) + 1
        except (Unreachable, TimedOut, Untrustworthy):
            raise
        except (RegistryError, KeyError, ValueError):
            has = 0
        if self._offset and has == self._offset:
            self._session = session
            return
        log.info("the registry does not have what was sent of an upload; it begins anew")
        self._begin()


def pause(attempt: int) -> None:
    """Wait longer the more attempts there were, and never as long as anybody else."""
    threading.Event().wait(random.uniform(0.5, 1) * 0.2 * 2**attempt)  # noqa: S311 - jitter
