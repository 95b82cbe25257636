"""Where the bytes of one blob come from: ranges, redirects that are remembered, mirrors that are asked first."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Protocol
from urllib.parse import urljoin, urlsplit

from regfs.exceptions import DXFError
from regfs.registry.http.pooled import PooledDXF, UnexpectedAnswer
from regfs.registry.http.transport import (
    NOT_FOUND,
    HTTPError,
    RequestException,
    Response,
    UnsafeRedirect,
    check_status,
    location_of,
    read_into,
    status_of,
)

_PARTIAL = 206
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_GONE = frozenset({401, 403, 404, 410})  # what a redirect target answers once it has expired
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Body:
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
        """Read the next bytes; returns how many, 0 at the end, which may come too early."""
        count = read_into(self._response, buffer[: self._left]) if self._left else 0
        self._left -= count
        return count


class BlobSource:
    """The content of one blob, in ranges. Remembers where the registry redirected to until that expires."""

    def __init__(self, dxf: PooledDXF, digest: str) -> None:
        self._dxf = dxf
        self.digest = digest
        self._target: str | None = None
        self._url = urljoin(dxf._base_url, f"{dxf._repo_path}/blobs/{digest}")

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[Body]:
        """Ask for the bytes from *start* up to *end* of a blob of *size* bytes.

        A registry may ignore the range and send the whole blob (RFC 9110 section 14.2): ``Body.start`` says so.

        :raises UnexpectedAnswer: when the answer is of another range or of another size
        :raises requests.HTTPError: when the registry refused
        """
        response = self._get(start, end)
        try:
            if response.status_code == _PARTIAL:
                yield Body(response, start, self._last(response, start, end, size) + 1)
            else:
                self._require_length(response, size)
                yield Body(response, 0, size)
        finally:
            response.close()

    def _get(self, start: int, end: int) -> Response:
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        target = self._target
        if target is not None:
            response = self._follow(target, headers)
            if response.status_code not in _GONE:
                return check_status(response)
            response.close()
            self._target = None
        response = self._dxf._base_request("get", self._url, headers=headers, stream=True, allow_redirects=False)
        if response.status_code not in _REDIRECTS:
            return response
        response.close()
        target = location_of(response)
        if urlsplit(self._url).scheme == "https" and urlsplit(target).scheme != "https":
            raise UnsafeRedirect(f"{urlsplit(self._url).netloc} redirects from HTTPS to plain HTTP")
        answer = check_status(self._follow(target, headers))
        self._target = target
        return answer

    def _follow(self, target: str, headers: dict[str, str]) -> Response:
        return self._dxf.pool.send("get", target, headers=headers, stream=True, access=None, allow_redirects=True)

    def _require_length(self, response: Response, size: int) -> None:
        length = response.headers.get("Content-Length")
        if length is not None and length != str(size):
            raise UnexpectedAnswer(f"{self.digest} has {length} bytes here, its manifest says {size}")

    def _last(self, response: Response, start: int, end: int, size: int) -> int:
        """The last byte of a partial answer, which may be of less than was asked for, but of nothing else."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if match is None:
            raise UnexpectedAnswer(f"{self.digest}: an answer of a range that does not say which")
        first, last, total = match.groups()
        if total not in ("*", str(size)):
            raise UnexpectedAnswer(f"{self.digest} has {total} bytes here, its manifest says {size}")
        if int(first) != start or not start <= int(last) < end:
            raise UnexpectedAnswer(f"{self.digest}: asked for bytes {start}-{end - 1}, got {first}-{last}")
        return int(last)


class Mirror(Protocol):
    """A registry that may have the same content; :class:`regfs.registry.http.remote.Remote` is one."""

    def rest(self) -> None:
        """Leave it alone for a while: it failed, or lied."""


class MirroredSource:
    """The content of one blob, from the first mirror that has it, else from the registry itself."""

    def __init__(self, mirrors: Sequence[tuple[Mirror, BlobSource]], origin: BlobSource) -> None:
        self._mirrors = list(mirrors)
        self._origin = origin

    @contextmanager
    def open(self, start: int, end: int, size: int) -> Iterator[Body]:
        """As :meth:`BlobSource.open`; a mirror that fails, also in the middle, is not asked again."""
        with ExitStack() as opened:
            mirror, body = self._first(opened, start, end, size)
            try:
                yield body
            except RequestException:
                if mirror is not None:
                    self._leave(mirror)
                raise

    def _first(self, opened: ExitStack, start: int, end: int, size: int) -> tuple[Mirror | None, Body]:
        for mirror, source in list(self._mirrors):
            try:
                return mirror, opened.enter_context(source.open(start, end, size))
            except HTTPError as error:
                self._leave(mirror, rest=status_of(error) != NOT_FOUND)  # a mirror need not have everything
            except (RequestException, DXFError):
                self._leave(mirror)
        return None, opened.enter_context(self._origin.open(start, end, size))

    def _leave(self, mirror: Mirror, rest: bool = True) -> None:
        self._mirrors = [(other, source) for other, source in self._mirrors if other is not mirror]
        if rest:
            mirror.rest()

    def blame(self) -> bool:
        """Note that what came was not the blob; returns whether somebody else is left to ask."""
        blamed = bool(self._mirrors)
        for mirror, _ in list(self._mirrors):
            self._leave(mirror)
        return blamed
