"""Sending a blob to a repository: in one request, and, when that is cut, in pieces that can be gone on with.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks". Measured on docker-registry 2.8.2: a cut
between two pieces can be gone on with, also after the registry was restarted; one within a piece begins anew.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urljoin

from regfs.registry.client import DXF
from regfs.registry.manifest import BLOB_MEDIA_TYPE
from regfs.registry.transport import NOT_FOUND, TRANSIENT, ConnectionFailed, HTTPError, Response, Timeout, rewind

log = logging.getLogger(__name__)

PIECE = 64 << 20  # bytes of a large blob that one request sends, once sending it whole has failed
_ATTEMPTS = 4  # in a row without progress
_TYPE = {"Content-Type": BLOB_MEDIA_TYPE}


class Content(Protocol):
    """Bytes of known length, that can be sent again from any place."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[bytes]: ...

    def read(self, size: int = -1) -> bytes: ...

    def seek(self, offset: int) -> None: ...

    def piece(self, start: int, end: int) -> Content:
        """The bytes from *start* up to *end*."""


def upload(dxf: DXF, content: Content | bytes, digest: str) -> None:
    """Make *content* the blob *digest* of the repository of *dxf*.

    :raises requests.RequestException: when it could not be, also after some tries; nothing half is left visible
    """
    if len(content) == 0:
        content = b""  # a body of no bytes would be sent without a length
    for attempt in range(_ATTEMPTS):
        try:
            if attempt == 0:
                _send_whole(dxf, content, digest)
            elif not has_blob(dxf, digest):  # the answer may be all that was lost
                _send_again(dxf, content, digest)
        except (ConnectionFailed, Timeout, HTTPError) as error:
            if not is_transient(error) or attempt == _ATTEMPTS - 1:
                raise
            log.info("%s: sent again: %s", digest, type(error).__name__)
            pause(attempt)
        else:
            return


def _send_whole(dxf: DXF, content: Content | bytes, digest: str) -> None:
    _put(dxf, _start(dxf), content, digest)


def _send_again(dxf: DXF, content: Content | bytes, digest: str) -> None:
    if isinstance(content, bytes) or len(content) <= PIECE:
        _send_whole(dxf, content, digest)
    else:
        _InPieces(dxf, content).send(digest)


def _start(dxf: DXF) -> Response:
    return dxf._request("post", "blobs/uploads/", repeat=True)


def _put(dxf: DXF, started: Response, content: Content | bytes, digest: str) -> None:
    rewind(content)
    dxf._base_request("put", dxf._upload_url(started, digest), data=content, headers=_TYPE)


class _InPieces:
    """One upload session and how far it has come."""

    def __init__(self, dxf: DXF, content: Content) -> None:
        self._dxf = dxf
        self._content = content
        self._session = _start(dxf)
        self._offset = 0

    def send(self, digest: str) -> None:
        furthest, failures = 0, 0
        while self._offset < len(self._content):
            try:
                self._send_piece()
            except (ConnectionFailed, Timeout, HTTPError) as error:
                failures += 1
                if not is_transient(error) or failures >= _ATTEMPTS:
                    raise
                pause(failures)
                self._resume()
            if self._offset > furthest:
                furthest, failures = self._offset, 0
        _put(self._dxf, self._session, b"", digest)

    def _send_piece(self) -> None:
        end = min(self._offset + PIECE, len(self._content))
        headers = {**_TYPE, "Content-Range": f"{self._offset}-{end - 1}"}
        data = self._content.piece(self._offset, end)
        self._session = self._dxf._base_request("patch", self._location(), data=data, headers=headers)
        self._offset = end

    def _resume(self) -> None:
        """Go on with what the registry says it has; begin anew when it has lost the session."""
        try:
            self._session = self._dxf._base_request("get", self._location())
            self._offset = int(self._session.headers["Range"].rpartition("-")[2]) + 1
        except (HTTPError, KeyError, ValueError):
            log.info("the registry has lost an upload; it begins anew")
            self._session = _start(self._dxf)
            self._offset = 0

    def _location(self) -> str:
        return urljoin(self._session.url, self._session.headers["Location"])


def has_blob(dxf: DXF, digest: str) -> bool:
    """Whether the repository says that it has a blob."""
    try:
        dxf.blob_size(digest)
    except HTTPError as error:
        if error.response is None or error.response.status_code != NOT_FOUND:
            raise
        return False
    return True


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, HTTPError):
        return error.response is not None and error.response.status_code in TRANSIENT
    return isinstance(error, ConnectionFailed | Timeout)


def pause(attempt: int) -> None:
    """Wait longer the more attempts there were, and never as long as anybody else."""
    threading.Event().wait(random.uniform(0.5, 1) * 0.2 * 2**attempt)  # noqa: S311 - jitter
