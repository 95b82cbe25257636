"""Which mirrors a registry has, and where its content is, as containerd and podman are configured. Asks nobody.

Sources: containerd, "Registry Configuration" (``hosts.toml``) and the directories that it looks at;
containers-registries.conf(5), version 2.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regfs.oci.reference import InvalidReference, Reference, normal_host, parse_reference
from regfs.registry.config import registries_conf
from regfs.registry.config.toml import load
from regfs.util.xdg import config_home

log = logging.getLogger(__name__)

_CONTAINERD = Path("/etc/containerd/certs.d")
_PORT = re.compile(r"(.+):(\d+)")


@dataclass(frozen=True)
class Mirror:
    """Another registry that has the content of one, and the name under which it has it.

    :param location: the other registry as a whole; ``http`` is the scheme of one to be spoken to in plain HTTP
    :param covers: the namespace or repository that it has; empty for all
    :param below: the path that stands in the place of *covers* there
    :param excluded: namespaces and repositories below *covers* that it does not have
    :param authorities: files of certificate authorities, for it alone
    """

    location: Reference
    covers: str = ""
    below: str = ""
    excluded: tuple[str, ...] = ()
    authorities: tuple[str, ...] = ()

    def name_of(self, repository: str) -> str | None:
        """The name of *repository* there; None if it is not there."""
        if not is_below(repository, self.covers) or any(is_below(repository, one) for one in self.excluded):
            return None
        rest = repository[len(self.covers) :].lstrip("/")
        return "/".join(part for part in (self.below, rest) if part)


def is_below(repository: str, namespace: str) -> bool:
    """Whether *repository* is *namespace* or below it; everything is below the empty one."""
    return not namespace or repository == namespace or repository.startswith(f"{namespace}/")


def of_reference(reference: Reference) -> Mirror:
    """The mirror that a reference of the user's means; a repository in it is the path below which content is."""
    return Mirror(replace(reference, repository=None, alias=None), below=reference.repository or "")


def configured(environment: Mapping[str, str], host: str) -> list[Mirror]:
    """The mirrors of *host*, in the order that they are to be asked: containerd's, then podman's.

    :param environment: the process environment; says where the user's files are
    """
    found = [mirror for path in _hosts_toml(environment, host) for mirror in _in_hosts_toml(path)]
    for rule in registries_conf.rules(environment, host):
        for location, insecure in rule.mirrors:
            found += _mirror(rule.path, _url(location, insecure), rule.covers, rule.excluded)
    return list(dict.fromkeys(mirror for mirror in found if mirror.location.host != host or mirror.below))


def locations(environment: Mapping[str, str], host: str) -> list[Mirror]:
    """Where podman is told that content of *host* is, if that is somewhere else than its names say."""
    found: list[Mirror] = []
    for rule in registries_conf.rules(environment, host):
        if rule.location:
            found += _mirror(rule.path, _url(rule.location, rule.insecure), rule.covers, rule.excluded)
    return [one for one in found if (normal_host(one.location.host), one.below) != (normal_host(host), one.covers)]


def _url(location: str, insecure: bool) -> str:
    return f"{'http://' if insecure else ''}{location}"


def _hosts_toml(environment: Mapping[str, str], host: str) -> Iterator[Path]:
    """The user's own, as nerdctl has it, and the machine's; of each, the first directory that exists counts."""
    names = dict.fromkeys(name for one in (host, normal_host(host)) for name in (_PORT.sub(r"\1_\2_", one), one))
    for root in (config_home(environment) / "containerd" / "certs.d", _CONTAINERD):
        for name in (*names, "_default"):
            if (root / name).is_dir():
                yield root / name / "hosts.toml"
                break


def _in_hosts_toml(path: Path) -> Iterator[Mirror]:
    hosts = load(path).get("host")
    for name, settings in hosts.items() if isinstance(hosts, dict) else ():
        can = settings.get("capabilities", ["pull", "resolve"]) if isinstance(settings, dict) else []
        if isinstance(can, list) and "pull" in can and "resolve" in can:
            for mirror in _mirror(path, _without_version(path, name, settings)):
                yield replace(mirror, authorities=_authorities(path, settings.get("ca")))


def _authorities(path: Path, value: object) -> tuple[str, ...]:
    """The files of a ``ca``; a relative path starts at the directory of the file that names it."""
    names = value if isinstance(value, list) else [value]
    return tuple(str(path.parent / name) for name in names if isinstance(name, str))


def _without_version(path: Path, name: str, settings: Mapping[str, Any]) -> str:
    """The URL of a mirror without ``/v2``, which containerd's has if ``override_path`` is set; empty if regfs cannot.

    Without ``override_path`` containerd adds ``/v2`` to the path, and the API of such a mirror is not at its root.
    """
    scheme, separator, rest = name.partition("://")
    host, _, below = (rest if separator else name).rstrip("/").partition("/")
    first, _, others = below.partition("/")
    origin = f"{scheme}://{host}" if separator else host
    if first == "v2" and (settings.get("override_path") is True or not others):
        return f"{origin}/{others}".rstrip("/")
    if not below:
        return origin
    log.warning("%s: a mirror whose API is below a path (%s) is not supported; it is left out", path, name)
    return ""


def _mirror(path: Path, text: str, covers: str = "", excluded: tuple[str, ...] = ()) -> Iterator[Mirror]:
    if not text:
        return
    try:
        reference = parse_reference(text)
    except InvalidReference as error:
        log.warning("%s: %s; it is left out", path, error)
        return
    if reference.alias is not None:
        log.warning("%s: %s names a tag, not a place for a mirror; it is left out", path, text)
        return
    # Not the reference's own repository: on Docker Hub a namespace is no official image.
    below = urlsplit(text if "://" in text else f"//{text}").path.strip("/")
    yield Mirror(replace(reference, repository=None, alias=None), covers, below, excluded)
