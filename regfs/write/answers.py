"""What an error of the registry means for a push or an edit."""

from __future__ import annotations

from regfs.exceptions import DXFUnauthorizedError
from regfs.registry.http.transport import BAD_REQUEST, NOT_FOUND, HTTPError, status_of

_FORBIDDEN = 403
_CANNOT_DELETE = frozenset({400, NOT_FOUND, 405, 415, 501})


def is_denial(error: Exception) -> bool:
    """Whether the user may not push there."""
    return isinstance(error, DXFUnauthorizedError) or (isinstance(error, HTTPError) and status_of(error) == _FORBIDDEN)


def is_refusal(error: Exception) -> bool:
    """Whether the registry refused what it was sent, as bytes of another digest."""
    return isinstance(error, HTTPError) and status_of(error) == BAD_REQUEST


def names_unknown_blob(error: Exception) -> bool:
    """Whether a manifest was refused because the repository does not have a blob that it names."""
    return is_refusal(error) and isinstance(error, HTTPError) and "BLOB_UNKNOWN" in error.response.text


def cannot_delete_tags(error: Exception) -> bool:
    """Whether the registry may only delete manifests by their digests, or says that the tag is not there."""
    return isinstance(error, HTTPError) and status_of(error) in _CANNOT_DELETE
