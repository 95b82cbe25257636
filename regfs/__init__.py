"""regfs: a container registry as a filesystem, and the client that it is built on."""

from regfs import exceptions
from regfs.registry.client import DXF, DXFBase, hash_bytes, hash_file

__all__ = ["DXF", "DXFBase", "exceptions", "hash_bytes", "hash_file"]
__version__ = "0.1.0"
