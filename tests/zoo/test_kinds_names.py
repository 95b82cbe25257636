"""Names of registries, and where their mirrors are written down.

Nothing here asks the network: the proxy of the environment refuses everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Answer
from tests.zoo.backends import Memory
from tests.zoo.client import Home
from tests.zoo.conftest import NewZoo
from tests.zoo.listener import Listener
from tests.zoo.registry import Zoo
from tests.zoo.shapes import PLAIN


@pytest.fixture
def mirror(memory: Memory, zoo: NewZoo) -> Zoo:
    """What is asked first."""
    memory.artifact("library/tool", "v1", {"f": b"official"})
    memory.artifact("team/tool", "v1", {"f": b"team's"})
    return zoo(PLAIN)


@pytest.fixture
def alone(home: Home) -> Iterator[Home]:
    """A home behind a proxy that lets nobody out."""
    with Listener(lambda request: Answer(403)) as proxy:
        home.environment |= {"HTTPS_PROXY": proxy.origin, "HTTP_PROXY": proxy.origin}
        yield home


def hosts_toml(home: Home, directory: str, mirror: Zoo) -> None:
    """Name a mirror as containerd and nerdctl do."""
    file = home.directory / ".config/containerd/certs.d" / directory / "hosts.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'[host."{mirror.origin}"]\n  capabilities = ["pull", "resolve"]\n')


def registries_conf(home: Home, prefix: str, mirror: Zoo, path: str = "") -> None:
    """Name a mirror as podman and skopeo do."""
    file: Path = home.directory / ".config/containers/registries.conf"
    file.parent.mkdir(parents=True)
    file.write_text(
        f'[[registry]]\nprefix = "{prefix}"\nlocation = "{prefix}"\n'
        f'[[registry.mirror]]\nlocation = "{mirror.host}{path}"\ninsecure = true\n'
    )


CONTENTS = [("tool", "official"), ("library/tool", "official"), ("team/tool", "team's")]
HUB = ["docker.io", "index.docker.io", "registry-1.docker.io", "docker.io:443"]


@pytest.mark.parametrize("host", HUB)
@pytest.mark.parametrize(("name", "content"), CONTENTS)
def test_docker_hub_has_many_names(alone: Home, mirror: Zoo, host: str, name: str, content: str) -> None:
    """``docker.io/tool`` is ``library/tool``, at every one of its hosts."""
    hosts_toml(alone, "docker.io", mirror)
    assert alone("get", "--retries", "0", f"{host}/{name}:v1", "f", "-o", "-") == content


@pytest.mark.parametrize("directory", ["{host}", "{underscored}_", "_default"])
def test_containerd_writes_mirrors_in_three_places(home: Home, mirror: Zoo, zoo: NewZoo, directory: str) -> None:
    """containerd/containerd#6592, #4011, and its documentation of hosts."""
    origin = zoo(PLAIN)
    hosts_toml(home, directory.format(host=origin.host, underscored=origin.host.replace(":", "_")), mirror)
    assert home("get", "--insecure", f"{origin.host}/team/tool:v1", "f", "-o", "-") == "team's"
    assert mirror.calls


def test_the_own_place_comes_before_the_default(home: Home, mirror: Zoo, zoo: NewZoo) -> None:
    origin, other = zoo(PLAIN), zoo(PLAIN)
    hosts_toml(home, origin.host, mirror)
    hosts_toml(home, "_default", other)
    home("get", "--insecure", f"{origin.host}/team/tool:v1", "f", "-o", "-")
    assert mirror.calls
    assert not other.calls


@pytest.mark.parametrize("below", ["", "/team", "/team/tool"])
def test_a_prefix_of_podman_is_a_host_or_what_is_below(home: Home, mirror: Zoo, zoo: NewZoo, below: str) -> None:
    """containers-registries.conf(5), "prefix"."""
    origin = zoo(PLAIN)
    registries_conf(home, origin.host + below, mirror, below)
    assert home("get", "--insecure", f"{origin.host}/team/tool:v1", "f", "-o", "-") == "team's"
    assert mirror.calls


def test_a_prefix_of_something_else_is_not_used(home: Home, mirror: Zoo, zoo: NewZoo) -> None:
    origin = zoo(PLAIN)
    registries_conf(home, f"{origin.host}/tea", mirror)
    home("get", "--insecure", f"{origin.host}/team/tool:v1", "f", "-o", "-")
    assert not mirror.calls


def test_a_mirror_may_be_below_a_path(home: Home, memory: Memory, zoo: NewZoo) -> None:
    memory.artifact("team/tool", "v1", {"f": b"of the origin"})
    memory.artifact("cache/team/tool", "v1", {"f": b"of the mirror"})
    origin, mirror = zoo(PLAIN), zoo(PLAIN)
    registries_conf(home, origin.host, mirror, "/cache")
    assert home("get", "--insecure", f"{origin.host}/team/tool:v1", "f", "-o", "-") == "of the mirror"


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_an_ipv6_address_is_a_host(home: Home, memory: Memory, zoo: NewZoo, scheme: str) -> None:
    memory.artifact("team/tool", "v1", {"f": b"content"})
    with zoo(PLAIN, address="::1", name="[::1]") as registry:
        assert home("get", f"{scheme}{registry.host}/team/tool:v1", "f", "-o", "-") == "content"
