"""The rules of podman's ``registries.conf`` for one host: which namespaces they cover, locations, mirrors.

Source: containers-registries.conf(5), version 2. Of the rules that cover a repository, the one with the longest prefix
counts and no other; so each rule names the prefixes below its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regfs.oci.reference import normal_host
from regfs.registry.config.toml import load
from regfs.util.xdg import config_home


@dataclass(frozen=True)
class Rule:
    """One ``[[registry]]``, as far as it is of the host that was asked for.

    :param path: the file that it is from
    :param covers: namespace or repository that its prefix names below the host; empty for the whole host
    :param excluded: longer prefixes, which have rules of their own
    :param location: host and path that stand in the place of its prefix; empty if it names none
    :param insecure: whether the location is spoken to in plain HTTP
    :param mirrors: host and path of each mirror, and whether it is spoken to in plain HTTP
    """

    path: Path
    covers: str
    excluded: tuple[str, ...]
    location: str
    insecure: bool
    mirrors: tuple[tuple[str, bool], ...]


def rules(environment: Mapping[str, str], host: str) -> list[Rule]:
    """The rules for *host*, from the one file that counts and from the drop-in files beside it."""
    entries: dict[str, tuple[Path, Mapping[str, Any]]] = {}
    named: dict[str, bool] = {}  # covers -> whether a wildcard did
    for path in _files(environment):
        registries = load(path).get("registry")
        for entry in registries if isinstance(registries, list) else ():
            prefix = _text(entry, "prefix") or _text(entry, "location")
            name, _, covers = prefix.rstrip("/").partition("/")
            wild = name.startswith("*.")
            if not _is_of(name, host) or (wild and named.get(covers) is False):
                continue
            entries[covers], named[covers] = (path, entry), wild
    return [_rule(covers, *entry, others=tuple(entries)) for covers, entry in entries.items()]


def _is_of(name: str, host: str) -> bool:
    if name.startswith("*."):
        return normal_host(host).partition(":")[0].endswith(name[1:].lower())
    return bool(name) and normal_host(name) == normal_host(host)


def _rule(covers: str, path: Path, entry: Mapping[str, Any], others: tuple[str, ...]) -> Rule:
    below = f"{covers}/" if covers else ""
    return Rule(
        path=path,
        covers=covers,
        excluded=tuple(other for other in others if other != covers and other.startswith(below)),
        location=_text(entry, "location").rstrip("/"),
        insecure=entry.get("insecure") is True,
        mirrors=tuple(_mirrors(entry)),
    )


def _mirrors(entry: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Those that may be asked for tags as well as for digests."""
    mirrors = entry.get("mirror")
    if entry.get("mirror-by-digest-only") is True:
        return
    for mirror in mirrors if isinstance(mirrors, list) else ():
        place = _text(mirror, "location").rstrip("/")
        if place and mirror.get("pull-from-mirror", "all") == "all":
            yield place, mirror.get("insecure") is True


def _text(entry: object, name: str) -> str:
    value = entry.get(name) if isinstance(entry, dict) else None
    return value if isinstance(value, str) else ""


def _files(environment: Mapping[str, str]) -> Iterator[Path]:
    """The file that counts, then drop-in files; a later rule of the same prefix replaces an earlier one."""
    if environment.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(environment["CONTAINERS_REGISTRIES_CONF"])
        return
    own, machine = config_home(environment) / "containers", Path("/etc/containers")
    yield from [path for path in (own / "registries.conf", machine / "registries.conf") if path.exists()][:1]
    for root in (machine, own):
        yield from sorted((root / "registries.conf.d").glob("*.conf"))
