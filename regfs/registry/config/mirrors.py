"""Which mirrors a registry has, from where containerd and podman are told. Asks nobody.

Sources: containerd, "Registry Configuration" (``hosts.toml``); containers-registries.conf(5), version 2.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regfs.oci.reference import InvalidReference, Reference, parse_reference
from regfs.util.xdg import config_home

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)

_CONTAINERD = Path("/etc/containerd/certs.d")


def configured(environment: Mapping[str, str], host: str) -> list[Reference]:
    """The mirrors of *host*, in the order that they are to be asked: containerd's, then podman's.

    :param environment: the process environment; says where the user's files are
    :returns: references to whole registries; ``http`` is the scheme of one to be spoken to in plain HTTP
    """
    found = [mirror for path in _hosts_toml(environment, host) for mirror in _in_hosts_toml(path)]
    for path in _registries_conf(environment):
        if path.exists():
            found += _in_registries_conf(path, host)
            break
    return list(dict.fromkeys(mirror for mirror in found if mirror.host != host))


def _hosts_toml(environment: Mapping[str, str], host: str) -> Iterator[Path]:
    """The user's own, as nerdctl has it, and the machine's."""
    yield config_home(environment) / "containerd" / "certs.d" / host / "hosts.toml"
    yield _CONTAINERD / host / "hosts.toml"


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


def _in_hosts_toml(path: Path) -> Iterator[Reference]:
    hosts = _load(path).get("host")
    for name, settings in hosts.items() if isinstance(hosts, dict) else ():
        can = settings.get("capabilities", ["pull", "resolve"]) if isinstance(settings, dict) else []
        if isinstance(can, list) and "pull" in can and "resolve" in can:
            yield from _mirror(path, name)


def _in_registries_conf(path: Path, host: str) -> Iterator[Reference]:
    registries = _load(path).get("registry")
    for registry in registries if isinstance(registries, list) else ():
        if not isinstance(registry, dict) or host != (registry.get("prefix") or registry.get("location")):
            continue
        mirrors = registry.get("mirror")
        for mirror in mirrors if isinstance(mirrors, list) else ():
            if isinstance(mirror, dict) and mirror.get("pull-from-mirror", "all") == "all":
                scheme = "http://" if mirror.get("insecure") is True else ""
                location = mirror.get("location")
                yield from _mirror(path, f"{scheme}{location if isinstance(location, str) else ''}")


def _mirror(path: Path, text: str) -> Iterator[Reference]:
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        log.warning("%s: %s; it is left out", path, error)
        return
    if reference.repository is None:
        yield reference
    else:
        log.warning("%s: a mirror below a path (%s) is not supported; it is left out", path, text)
