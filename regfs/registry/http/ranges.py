"""Where the bytes of one blob come from: ranges, and redirects that are remembered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urljoin

from regfs.registry.api import Invalid, Unsupported, Untrustworthy
from regfs.registry.http.client import Client
from regfs.registry.http.errors import translated
from regfs.registry.http.refusals import error_of
from regfs.registry.http.transport import Response, read_into
from regfs.registry.http.wire import blob_path

_PARTIAL = 206
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})  # what a redirect target answers once it has expired
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class AnswerBody:
    """The bytes that an answer brings.

    :param start: offset in the blob of the first one
    :param end: offset after the last one
    """

    def __init__(self, response: Response, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._response = response
        self._left = end - start

    def read_into(self, buffer: memoryview) -> int:
        """Read the next bytes; returns how many, 0 at the end, which may come too early.

        :raises TimedOut: when none came in time
        :raises Interrupted: when the connection was cut
        """
        with translated():
            count = read_into(self._response, buffer[: self._left]) if self._left else 0
        self._left -= count
        return count


class BlobSource:
    """The content of one blob, in ranges. Remembers where the registry redirected to until that expires."""

    def __init__(self, client: Client, digest: str) -> None:
        self._client = client
        self.digest = digest
        self._target: str | None = None
        self._heeds_ranges = True  # as far as is known
        self._url = urljoin(client.base_url, blob_path(client.repository, digest))

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[AnswerBody]:
        """Ask for the bytes from *start* up to *end* of a blob of *size* bytes.

        A registry may ignore the range and send the whole blob (RFC 9110 section 14.2): ``Body.start`` says so.

        :raises Untrustworthy: when the answer is of another range or of another size
        :raises RegistryError: when the registry refused
        """
        response = self._get(start, end, size)
        try:
            if response.status_code == _PARTIAL:
                yield AnswerBody(response, start, self._last(response, start, end, size) + 1)
            else:
                self._require_length(response, size)
                yield AnswerBody(response, 0, size)
        finally:
            response.close()

    def _get(self, start: int, end: int, size: int) -> Response:
        headers = {"Accept-Encoding": "identity"}
        if (start, end) != (0, size) and self._heeds_ranges:
            headers["Range"] = f"bytes={start}-{end - 1}"
        try:
            return self._answer(headers)
        except (Invalid, Unsupported):
            if "Range" not in headers:
                raise
        self._heeds_ranges = False  # some answer any range with 400, 416 or 501: without one the blob is there
        return self._answer({"Accept-Encoding": "identity"})

    def _answer(self, headers: dict[str, str]) -> Response:
        target = self._target
        if target is not None:
            response = self._follow(target, headers)
            if response.status_code not in _GONE:
                return _successful(response)
            response.close()
            self._target = None
        response = self._client.request(
            "get", self._url, headers=headers, stream=True, patient=True, allow_redirects=False
        )
        if response.status_code not in _REDIRECTS:
            return response
        response.close()
        target = self._client.location(response)
        answer = _successful(self._follow(target, headers))
        self._target = target
        return answer

    def _follow(self, target: str, headers: dict[str, str]) -> Response:
        return self._client.request("get", target, errors=False, headers=headers, stream=True, patient=True)

    def blame(self) -> bool:
        """Note that what came was not the blob; returns False: nobody else is left to ask."""
        return False

    def _require_length(self, response: Response, size: int) -> None:
        length = response.headers.get("Content-Length")
        if length is not None and length != str(size):
            raise Untrustworthy(f"{self.digest} has {length} bytes here, its manifest says {size}")

    def _last(self, response: Response, start: int, end: int, size: int) -> int:
        """The last byte of a partial answer, which may be of less than was asked for, but of nothing else."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise Untrustworthy(f"{self.digest}: an answer of a range that does not say which")
        first, last, total = match.groups()
        if total not in ("*", str(size)):
            raise Untrustworthy(f"{self.digest} has {total} bytes here, its manifest says {size}")
        if int(first) != start or not start <= int(last) < end:
            raise Untrustworthy(f"{self.digest}: asked for bytes {start}-{end - 1}, got {first}-{last}")
        return int(last)


def _successful(response: Response) -> Response:
    """Return an answer that is not an error.

    :raises RegistryError: for one that is
    """
    if not response.ok:
        raise error_of(response)
    return response
