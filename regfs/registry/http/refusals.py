"""What an answer means whose status is one of an error: the error of the registry, with the reason that it gives.

Source: OCI distribution specification 1.1, "Error codes"; RFC 9110 section 15.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from requests import Response

from regfs.registry import api
from regfs.registry.http.answers import netloc_of, release, retry_after_seconds, without_queries

_BY_STATUS: dict[int, type[api.RegistryError]] = {
    401: api.Unauthenticated,
    403: api.Denied,
    404: api.NotFound,
    405: api.Unsupported,
    413: api.TooLarge,
    415: api.Unsupported,
    429: api.Busy,
    501: api.Unsupported,
    507: api.NoSpace,
}
_SAID_CHARACTERS = 500  # of a reason; a person reads one line
_ERRORS = 5  # of one answer
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


def error_of(response: Response) -> api.RegistryError:
    """The error that an answer means whose status is one of an error; its body is read, and let go of."""
    release(response)
    codes, reason = _said(response)
    code, status = (codes or [""])[0], response.status_code
    said = ": ".join(part for part in (code, reason) if part)
    message = f"{netloc_of(response.url)} answers {status} {_phrase(response)}" + (f": {said}" if said else "")
    if status in (400, 404) and response.request.method == "PUT" and any("BLOB_UNKNOWN" in item for item in codes):
        return api.BlobUnknown(message, code=code, reason=reason)
    kind = _BY_STATUS.get(status, api.Failed if status >= 500 else api.Invalid)
    if kind is api.Busy:
        wait = retry_after_seconds(response)
        return api.Busy(message, code=code, reason=reason, retry_after_seconds=wait)
    return kind(message, code=code, reason=reason)


def _phrase(response: Response) -> str:
    try:
        return HTTPStatus(response.status_code).phrase
    except ValueError:
        return _line(response.reason or "")


def _said(response: Response) -> tuple[list[str], str]:
    """The codes and the reason that an answer gives, whoever it is from: a registry, its token server, a proxy."""
    text = response.content.decode("utf-8", "replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return [], _line(_plain(text, response.headers.get("Content-Type", "")))
    if not isinstance(document, dict):
        return [], ""
    errors = document.get("errors")
    if isinstance(errors, list) and errors:
        found = [item for item in errors if isinstance(item, dict)][:_ERRORS]
        codes = [_line(_text(item, "code")) for item in found]
        reasons = dict.fromkeys(_line(_reason(item)) for item in found)
        return [code for code in codes if code], "; ".join(reason for reason in reasons if reason)
    return [code for code in [_line(_text(document, "code", "error"))] if code], _line(_reason(document))


def _reason(document: dict[str, Any]) -> str:
    """What an error says for a person; its detail where that is a sentence, too."""
    message = _text(document, "message", "error_description", "details")
    detail = document.get("detail")
    if isinstance(detail, dict):  # of whoever has put a sentence into it
        detail = _text(detail, "message", "description", "reason", "error")
    elif not isinstance(detail, str):
        detail = ""
    return f"{message}: {detail}" if message and detail and detail not in message else message or detail


def _text(document: dict[str, Any], *names: str) -> str:
    """The first of some fields that is a text."""
    found = (document.get(name) for name in names)
    return next((value for value in found if isinstance(value, str) and value), "")


def _plain(text: str, content_type: str) -> str:
    """A body that is not JSON, as a proxy sends it: the title of a page, else its text."""
    if "html" not in content_type and "<html" not in text[:500].lower():
        return text
    title = _TITLE.search(text)
    return title[1] if title else _TAG.sub(" ", text)


def _line(text: str) -> str:
    """*text* as a part of one line: without control characters, and without the queries of addresses."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return without_queries(" ".join(printable.split()))[:_SAID_CHARACTERS]
