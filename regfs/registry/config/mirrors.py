"""Which mirrors a registry has, from where containerd and podman are told. Asks nobody.

Sources: containerd, "Registry Configuration" (``hosts.toml``); containers-registries.conf(5), version 2.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regfs.oci.reference import InvalidReference, Reference, parse_reference
from regfs.registry.hub import HUB, is_hub
from regfs.util.xdg import config_home

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

_CONTAINERD = Path("/etc/containerd/certs.d")


@dataclass(frozen=True)
class Mirror:
    """A registry that may have the same content.

    :param reference: which one; ``http`` is the scheme of one to be spoken to in plain HTTP
    :param below: what of the registry's names it has: those below this namespace, without it; empty is all
    :param path: what stands before those names in its own
    :param authorities: files of certificate authorities, for it alone
    """

    reference: Reference
    below: str = ""
    path: str = ""
    authorities: tuple[str, ...] = ()


def configured(environment: Mapping[str, str], host: str) -> list[Mirror]:
    """The mirrors of *host*, in the order that they are to be asked: containerd's, then podman's.

    :param environment: the process environment; says where the user's files are
    """
    found = [mirror for path in _hosts_toml(environment, host) for mirror in _in_hosts_toml(path)]
    for path in _registries_conf(environment):
        if path.exists():
            found += _in_registries_conf(path, host)
            break
    return list(dict.fromkeys(mirror for mirror in found if mirror.reference.host != host))


def _names(host: str) -> list[str]:
    """How a host may be written."""
    return [HUB, *(() if host == HUB else (host,))] if is_hub(host) else [host]


def _hosts_toml(environment: Mapping[str, str], host: str) -> Iterator[Path]:
    """The user's own, as nerdctl has it, and the machine's; in each the host's own directory, else the default one."""
    directories = [
        form for name in _names(host) for form in (name, f"{name.replace(':', '_')}_" if ":" in name else name)
    ]
    for base in (config_home(environment) / "containerd" / "certs.d", _CONTAINERD):
        for directory in (*dict.fromkeys(directories), "_default"):
            path = base / directory / "hosts.toml"
            if path.exists():
                yield path
                break


def _registries_conf(environment: Mapping[str, str]) -> Iterator[Path]:
    if environment.get("CONTAINERS_REGISTRIES_CONF"):
        yield Path(environment["CONTAINERS_REGISTRIES_CONF"])
    yield config_home(environment) / "containers" / "registries.conf"
    yield Path("/etc/containers/registries.conf")


def _load(path: Path) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: cannot be read (%s); it is left out", path, type(error).__name__)
        return {}
    return loaded


def _in_hosts_toml(path: Path) -> Iterator[Mirror]:
    hosts = _load(path).get("host")
    for name, settings in hosts.items() if isinstance(hosts, dict) else ():
        can = settings.get("capabilities", ["pull", "resolve"]) if isinstance(settings, dict) else []
        if isinstance(can, list) and "pull" in can and "resolve" in can:
            yield from _mirror(path, name, authorities=_authorities(path, settings.get("ca")))


def _authorities(path: Path, value: object) -> tuple[str, ...]:
    """The files of a ``ca``, which stand beside the file that names them."""
    names = value if isinstance(value, list) else [value]
    return tuple(str(path.parent / name) for name in names if isinstance(name, str))


def _in_registries_conf(path: Path, host: str) -> Iterator[Mirror]:
    registries = _load(path).get("registry")
    for registry in registries if isinstance(registries, list) else ():
        if not isinstance(registry, dict):
            continue
        prefix = registry.get("prefix") or registry.get("location")
        named, _, below = (prefix if isinstance(prefix, str) else "").partition("/")
        if named not in _names(host):
            continue
        mirrors = registry.get("mirror")
        for mirror in mirrors if isinstance(mirrors, list) else ():
            if isinstance(mirror, dict) and mirror.get("pull-from-mirror", "all") == "all":
                scheme = "http://" if mirror.get("insecure") is True else ""
                location = mirror.get("location")
                yield from _mirror(path, f"{scheme}{location if isinstance(location, str) else ''}", below.rstrip("/"))


def _mirror(path: Path, text: str, below: str = "", authorities: tuple[str, ...] = ()) -> Iterator[Mirror]:
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        log.warning("%s: %s; it is left out", path, error)
        return
    if reference.alias is not None:
        log.warning("%s: %s is no place for a mirror; it is left out", path, text)
        return
    yield Mirror(Reference(reference.host, reference.scheme), below, reference.repository or "", authorities)
