"""``regfs://`` for fsspec: pandas, pyarrow, Dask, zarr and others read and write a registry without a mount.

Adapts :class:`regfs.library.files.Files`, and decides nothing about registries. fsspec belongs to this room.

What fsspec calls a path is ``HOST[:PORT]/REPOSITORY[:TAG|@DIGEST]/PATH`` here: the tree of a mount, below the host.
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("fsspec") is None:
    raise ModuleNotFoundError("regfs.fsspec needs fsspec: pip install 'regfs[fsspec]'", name="fsspec")

from regfs.fsspec.writing import RegistryFileSystem

__all__ = ["RegistryFileSystem"]
RegistryFileSystem.__module__ = __name__  # as pickles and JSON name it
