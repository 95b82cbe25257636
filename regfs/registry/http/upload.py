"""Sending a blob to a repository: in one request, and, when that is cut, in pieces that can be gone on with.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks". Measured on docker-registry 2.8.2: a cut
between two pieces can be gone on with, also after the registry was restarted; one within a piece begins anew.
"""

from __future__ import annotations

import logging
import random
import threading

from regfs.oci.manifest import BLOB_MEDIA_TYPE
from regfs.registry.api import (
    Busy,
    Content,
    Failed,
    Interrupted,
    NotFound,
    RegistryError,
    TimedOut,
    Unreachable,
    Untrustworthy,
)
from regfs.registry.http import wire
from regfs.registry.http.client import Client
from regfs.registry.http.transport import Response, rewind

log = logging.getLogger(__name__)

PIECE = 64 << 20  # bytes of a large blob that one request sends, once sending it whole has failed
_ATTEMPTS = 4  # in a row without progress
_TYPE = {"Content-Type": BLOB_MEDIA_TYPE}
_TRANSIENT = (Busy, Failed, Interrupted, TimedOut, Unreachable)


class _SessionLost(RegistryError):
    """The registry no longer knows the upload: it restarted, or a proxy on the way sent the end of it twice."""


def upload(client: Client, content: Content | bytes, digest: str) -> None:
    """Make *content* the blob *digest* of the repository of *client*.

    :raises RegistryError: when it could not be, also after some tries; nothing half is left visible
    """
    if len(content) == 0:
        content = b""  # a body of no bytes would be sent without a length
    for attempt in range(_ATTEMPTS):
        try:
            if attempt == 0:
                _send_whole(client, content, digest)
            elif not has_blob(client, digest):  # the answer may be all that was lost
                _send_again(client, content, digest)
        except (*_TRANSIENT, _SessionLost) as error:
            if attempt == _ATTEMPTS - 1:
                raise
            log.info("%s: sent again: %s", digest, type(error).__name__)
            pause(attempt)
        else:
            return


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


def _send_whole(client: Client, content: Content | bytes, digest: str) -> None:
    _put(client, _start(client), content, digest)


def _send_again(client: Client, content: Content | bytes, digest: str) -> None:
    if isinstance(content, bytes) or len(content) <= PIECE:
        _send_whole(client, content, digest)
    else:
        PiecewiseUpload(client).finish(content, digest)


def _start(client: Client) -> Response:
    return wire.start_upload(client.request, client.repository, repeat=True)


def _put(client: Client, started: Response, content: Content | bytes, digest: str) -> None:
    rewind(content)
    client.location(started)
    url = wire.upload_url(started, digest, client.scheme)
    try:
        client.request("put", url, data=content, headers=_TYPE)
    except NotFound as error:
        raise _SessionLost(error.message, code=error.code, reason=error.reason) from None


class PiecewiseUpload:
    """An upload in pieces, which can begin before its content is complete. For one thread at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._session = _start(client)
        self._offset = 0

    def send(self, content: Content, end: int, piece: int = PIECE) -> None:
        """Send the bytes of *content* up to *end* that were not sent yet, going on after failures that pass.

        :raises RegistryError: when it could not be done, also after some tries
        """
        furthest, failures = self._offset, 0
        while self._offset < end:
            try:
                self._send_piece(content, min(self._offset + piece, end))
            except _TRANSIENT:
                failures += 1
                if failures >= _ATTEMPTS:
                    raise
                pause(failures)
                self._resume()
            if self._offset > furthest:
                furthest, failures = self._offset, 0

    def finish(self, content: Content, digest: str) -> None:
        """Send the rest, and make it all the blob *digest*.

        :raises RegistryError: when it could not be done
        """
        self.send(content, len(content))
        _put(self._client, self._session, b"", digest)

    def cancel(self) -> None:
        """Let the registry forget what was sent."""
        cancel(self._client, self._session)

    def _send_piece(self, content: Content, end: int) -> None:
        headers = {**_TYPE, "Content-Range": f"{self._offset}-{end - 1}"}
        data = content.piece(self._offset, end)
        location = self._client.location(self._session)
        self._session = self._client.request("patch", location, data=data, headers=headers)
        self._offset = end

    def _resume(self) -> None:
        """Go on with what the registry says it has; begin anew when it has lost the session."""
        try:
            self._session = self._client.request("get", self._client.location(self._session))
            self._offset = int(self._session.headers["Range"].rpartition("-")[2]) + 1
        except (Unreachable, TimedOut, Untrustworthy):
            raise
        except (RegistryError, KeyError, ValueError):
            log.info("the registry has lost an upload; it begins anew")
            self._session = _start(self._client)
            self._offset = 0


def pause(attempt: int) -> None:
    """Wait longer the more attempts there were, and never as long as anybody else."""
    threading.Event().wait(random.uniform(0.5, 1) * 0.2 * 2**attempt)  # noqa: S311 - jitter
