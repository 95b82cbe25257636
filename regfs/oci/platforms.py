"""The names that the entries of an index get, as directories; a platform from a registry can be hostile."""

from __future__ import annotations

import platform

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


# Names of machines in uname(2), and in images.
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def runnable(index: Index) -> str | None:
    """Return the name of the platform of this machine, or of the only one that there is; None when that is unclear.

    Attestations and indexes of layers are for the platform ``unknown``, and are none.
    """
    names = [name for name, entry in platforms_of(index).items() if entry.platform and entry.platform.os != "unknown"]
    if len(names) == 1:
        return names[0]
    machine = platform.machine()
    own = f"linux-{_ARCHITECTURES.get(machine, machine)}"
    return next((name for name in names if name == own or name.startswith(f"{own}-")), None)
