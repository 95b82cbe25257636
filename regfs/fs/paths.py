"""Paths as a program writes them. Pure."""

from __future__ import annotations

import errno

from regfs.oci.titles import MAX_NAME, Path


def split(path: str) -> Path:
    """Return the names in an absolute path.

    :raises OSError: ENAMETOOLONG when the last one is too long
    """
    parts = tuple(part for part in path.split("/") if part)
    if parts and len(parts[-1].encode("utf-8", "surrogateescape")) > MAX_NAME:
        raise OSError(errno.ENAMETOOLONG, f"a name has {MAX_NAME} bytes at most")
    return parts
