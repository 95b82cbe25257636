"""What an answer that is an error becomes: its kind, the registry's own code, and the reason that it gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from regfs.registry import api
from regfs.registry.http.client import Client
from regfs.registry.http.transport import PooledTransport
from tests.servers import Answer, Server

NewServer = Callable[..., Server]
JSON = (("Content-Type", "application/json"),)


@pytest.fixture
def raised(serve: NewServer) -> Iterator[Callable[..., api.RegistryError]]:
    """The error that an answer becomes."""
    transport = PooledTransport(retries=0, timeout=5)

    def ask(answer: Answer, method: str = "get") -> api.RegistryError:
        client = Client(serve(lambda request: answer).host, "r", insecure=True, transport=transport)
        with pytest.raises(api.RegistryError) as caught:
            client.request(method, "r/manifests/v1")
        return caught.value

    yield ask
    transport.close()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, api.Invalid),
        (403, api.Denied),
        (404, api.NotFound),
        (405, api.Unsupported),
        (413, api.TooLarge),
        (415, api.Unsupported),
        (429, api.Busy),
        (500, api.Failed),
        (501, api.Unsupported),
        (502, api.Failed),
        (507, api.NoSpace),
        (599, api.Failed),
    ],
)
def test_a_status_is_an_error_of_its_kind(
    raised: Callable[..., api.RegistryError], status: int, kind: type[api.RegistryError]
) -> None:
    error = raised(Answer(status))
    assert type(error) is kind
    assert f" answers {status}" in str(error)


def document(*errors: object) -> bytes:
    """The body of an error."""
    return json.dumps({"errors": errors}).encode()


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (document({"code": "DENIED", "message": "quota exceeded"}), "DENIED", "quota exceeded"),
        (document({"code": "DENIED", "message": "no", "detail": "over 5 GiB"}), "DENIED", "no: over 5 GiB"),
        (document({"code": "A", "message": "one"}, {"code": "B", "message": "two"}), "A", "one; two"),
        (document({"code": "A", "message": "line\nline\x1b[0m"}), "A", "line line [0m"),
        (b'{"message": "forbidden by policy"}', "", "forbidden by policy"),
        (b'{"error": "invalid_grant", "error_description": "expired"}', "invalid_grant", "expired"),
        (b'{"details": "incorrect username or password"}', "", "incorrect username or password"),
        (b"<html><head><title>403 by proxy</title></head><body>x</body></html>", "", "403 by proxy"),
        (b"access denied\n", "", "access denied"),
        (b"", "", ""),
        (b"[1]", "", ""),
        (document("x"), "", ""),
    ],
)
def test_what_a_registry_says_is_kept(
    raised: Callable[..., api.RegistryError], body: bytes, code: str, reason: str
) -> None:
    error = raised(Answer(403, JSON, body))
    assert (error.code, error.reason) == (code, reason)
    assert str(error).endswith(": ".join(part for part in ("answers 403 Forbidden", code, reason) if part))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("nonsense", None), ("", None)])
def test_a_registry_that_is_busy_says_how_long(
    raised: Callable[..., api.RegistryError], header: str, seconds: float | None
) -> None:
    error = raised(Answer(429, (("Retry-After", header),)))
    assert isinstance(error, api.Busy)
    assert error.retry_after_seconds == seconds


def test_a_date_to_wait_for_is_a_number_of_seconds(raised: Callable[..., api.RegistryError]) -> None:
    error = raised(Answer(429, (("Retry-After", "Wed, 21 Oct 2015 07:28:00 GMT"),)))
    assert isinstance(error, api.Busy)
    assert error.retry_after_seconds == 0


@pytest.mark.parametrize("status", [400, 404])
def test_a_put_that_names_a_missing_blob_is_of_a_kind_of_its_own(
    raised: Callable[..., api.RegistryError], status: int
) -> None:
    answer = Answer(status, JSON, document({"code": "MANIFEST_BLOB_UNKNOWN", "message": "blob unknown"}))
    assert type(raised(answer, "put")) is api.BlobUnknown
    assert type(raised(answer, "get")) is not api.BlobUnknown
