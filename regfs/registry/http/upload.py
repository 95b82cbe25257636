"""Sending a blob to a repository: in one request, and, when that is cut, in pieces that can be gone on with.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks". Measured on docker-registry 2.8.2: a cut
between two pieces can be gone on with, also after the registry was restarted; one within a piece begins anew.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from regfs.dxf.client import DXF
from regfs.exceptions import DXFError
from regfs.oci.manifest import BLOB_MEDIA_TYPE
from regfs.registry.http.transport import (
    NOT_FOUND,
    TRANSIENT,
    ConnectionFailed,
    HTTPError,
    RequestException,
    Response,
    Timeout,
    location_of,
    rewind,
    status_of,
)

log = logging.getLogger(__name__)

PIECE = 64 << 20  # bytes of a large blob that one request sends, once sending it whole has failed
AHEAD_PIECE = 16 << 20  # bytes that one request sends of a file that is still being written
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
            elif not dxf._has_blob(digest):  # the answer may be all that was lost
                _send_again(dxf, content, digest)
        except (ConnectionFailed, Timeout, HTTPError) as error:
            if not (is_transient(error) or _is_of_a_lost_session(error)) or attempt == _ATTEMPTS - 1:
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
        PiecewiseUpload(dxf).finish(content, digest)


def _start(dxf: DXF) -> Response:
    return dxf._request("post", "blobs/uploads/", repeat=True)


def _put(dxf: DXF, started: Response, content: Content | bytes, digest: str) -> None:
    rewind(content)
    dxf._base_request("put", dxf._upload_url(started, digest), data=content, headers=_TYPE)


class PiecewiseUpload:
    """An upload in pieces, which can begin before its content is complete. For one thread at a time."""

    def __init__(self, dxf: DXF) -> None:
        self._dxf = dxf
        self._session = _start(dxf)
        self._offset = 0

    def send(self, content: Content, end: int, piece: int = PIECE) -> None:
        """Send the bytes of *content* up to *end* that were not sent yet, going on after failures that pass.

        :raises requests.RequestException: when it could not be done, also after some tries
        """
        furthest, failures = self._offset, 0
        while self._offset < end:
            try:
                self._send_piece(content, min(self._offset + piece, end))
            except (ConnectionFailed, Timeout, HTTPError) as error:
                failures += 1
                if not is_transient(error) or failures >= _ATTEMPTS:
                    raise
                pause(failures)
                self._resume()
            if self._offset > furthest:
                furthest, failures = self._offset, 0

    def finish(self, content: Content, digest: str) -> None:
        """Send the rest, and make it all the blob *digest*.

        :raises requests.RequestException: when it could not be done
        """
        self.send(content, len(content))
        _put(self._dxf, self._session, b"", digest)

    def cancel(self) -> None:
        """Let the registry forget what was sent."""
        try:
            self._dxf._base_request("delete", self._location())
        except (RequestException, DXFError):
            log.debug("an upload was not cancelled; the registry purges it by itself")

    def _send_piece(self, content: Content, end: int) -> None:
        headers = {**_TYPE, "Content-Range": f"{self._offset}-{end - 1}"}
        data = content.piece(self._offset, end)
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
        return location_of(self._session)


class UploadAhead:
    """A large file's upload while it is still being written, by a thread of its own. Thread-safe.

    Nothing waits for it but :meth:`finish`; when anything goes wrong with it, the file is pushed as if it had never
    begun.

    :param begin: starts the upload
    """

    def __init__(self, begin: Callable[[], PiecewiseUpload]) -> None:
        self._begin = begin
        self._upload: PiecewiseUpload | None = None
        self._changed = threading.Condition()
        self._busy = False
        self._sent = 0
        self._failed = False

    def claims(self, written: int) -> bool:
        """Whether there is something to send of a file of which so many bytes are written; :meth:`send` must follow."""
        if self._busy or self._failed or written - self._sent < AHEAD_PIECE:
            return False
        with self._changed:
            if self._busy:
                return False
            self._busy = True
            return True

    def send(self, content: Content) -> None:
        """Send the whole pieces of what is written."""
        end = len(content) // AHEAD_PIECE * AHEAD_PIECE
        try:
            if self._upload is None:
                self._upload = self._begin()
            self._upload.send(content, end, AHEAD_PIECE)
        except (RequestException, DXFError, KeyError) as error:
            log.info("an upload ahead of close failed: %s", type(error).__name__)
            self._failed = True
        finally:
            with self._changed:
                self._sent, self._busy = end, False
                self._changed.notify_all()

    def finish(self, content: Content, digest: str) -> bool:
        """Send the rest and make it all the blob *digest*; returns whether that was done."""
        self._wait()
        if self._upload is None or self._failed:
            return False
        try:
            self._upload.finish(content, digest)
        except (RequestException, DXFError, KeyError) as error:
            log.info("%s: an upload ahead of close failed at its end: %s", digest, type(error).__name__)
            self.cancel()
            return False
        return True

    def cancel(self) -> None:
        """Let the registry forget what was sent: it is not needed, or was written over since."""
        self._failed = True
        self._wait()
        if self._upload is not None:
            self._upload.cancel()

    def _wait(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)


def is_transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    if isinstance(error, HTTPError):
        return status_of(error) in TRANSIENT
    return isinstance(error, ConnectionFailed | Timeout)


def _is_of_a_lost_session(error: Exception) -> bool:
    """Whether the registry no longer knows the upload: it restarted, or a proxy on the way sent the end of it twice."""
    if not isinstance(error, HTTPError) or error.response is None:
        return False
    return status_of(error) == NOT_FOUND and error.response.request.method == "PUT"


def pause(attempt: int) -> None:
    """Wait longer the more attempts there were, and never as long as anybody else."""
    threading.Event().wait(random.uniform(0.5, 1) * 0.2 * 2**attempt)  # noqa: S311 - jitter
