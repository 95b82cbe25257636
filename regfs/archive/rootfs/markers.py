"""The names by which a layer says that something below is gone. Source: image-spec layer.md, Whiteouts."""

from __future__ import annotations

WHITEOUT = ".wh."
_AUFS = ".wh..wh."
OPAQUE = ".wh..wh..opq"
_NAMELESS = (".wh.", ".wh..", ".wh...")


def is_hidden(name: str) -> bool:
    """Whether a name is a marker, or the metadata of AUFS, neither of which is a file of the image."""
    return name.startswith(WHITEOUT)


def removed_name(name: str) -> str | None:
    """Return the name that a whiteout removes; None when *name* is not a whiteout."""
    if not name.startswith(WHITEOUT) or name.startswith(_AUFS) or is_nameless(name):
        return None
    return name[len(WHITEOUT) :]


def is_nameless(name: str) -> bool:
    """Whether a whiteout would remove nothing, or the directory itself or the one above it. Such a one is ignored."""
    return name in _NAMELESS
