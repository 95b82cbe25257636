"""regfs: a container registry as a filesystem, and the client that it is built on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regfs import exceptions
    from regfs.dxf.client import DXF, DXFBase, hash_bytes, hash_file
    from regfs.dxf.docker_auth import docker_auth
    from regfs.library.access import Access
    from regfs.library.sessions import Session, open  # noqa: A004

__all__ = ["DXF", "Access", "DXFBase", "Session", "docker_auth", "exceptions", "hash_bytes", "hash_file", "open"]
__version__ = "0.1.0"


_MODULES = {
    "Access": "regfs.library.access",
    "Session": "regfs.library.sessions",
    "docker_auth": "regfs.dxf.docker_auth",
    "open": "regfs.library.sessions",
}


def __getattr__(name: str) -> object:
    """The client is loaded when it is asked for: a command says first what an interrupt does meanwhile (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "exceptions":
        return import_module("regfs.exceptions")
    return getattr(import_module(_MODULES.get(name, "regfs.dxf.client")), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
