"""The names that the entries of an index get, as directories. Pure; a platform from a registry can be hostile."""

from __future__ import annotations

from regfs.oci.manifest import Descriptor, Index
from regfs.oci.titles import title_path


def platforms_of(index: Index) -> dict[str, Descriptor]:
    """Name the entries of an index: ``os-arch[-variant]``; by digest where that is missing, repeated or harmful."""
    named: dict[str, Descriptor] = {}
    for entry in index.entries:
        name = entry.platform.join("-") if entry.platform else entry.digest
        if name in named or title_path(name) != (name,):
            name = entry.digest
        named.setdefault(name, entry)
    return named
