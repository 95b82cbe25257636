"""Logins are found as docker and podman find them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import regfs
from tests.zoo.backends import Memory
from tests.zoo.client import Home, login
from tests.zoo.conftest import NewZoo
from tests.zoo.registry import Zoo
from tests.zoo.shapes import PLAIN, basic


@pytest.fixture
def registry(memory: Memory, zoo: NewZoo) -> Zoo:
    """A private registry."""
    memory.artifact("team/tool", "v1", {"f": b"content"})
    return zoo(basic())


def get(home: Home, registry: Zoo) -> None:
    """Read from it, and be warned of nothing."""
    done = home.run("get", f"{registry.host}/team/tool:v1", "f", "-o", "-")
    assert (done.status, done.output, done.error) == (0, "content", "")


KEYS = ["{}", "https://{}", "http://{}", "https://{}/", "{}/", "https://{}/v1/", "https://{}/v1", "https://{}/v2/",
        "https://{}/v2", "http://{}/v2/", "{}/v2/"]  # fmt: skip


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_cut_down_to_its_host(home: Home, registry: Zoo, key: str) -> None:
    """oras-project/oras#1143, containers/image#96, fabric8io/docker-maven-plugin#367, genuinetools/reg#10."""
    home.log_in(key.format(registry.host))
    get(home, registry)


@pytest.mark.parametrize("part", ["", "/team", "/team/tool"])
def test_a_key_may_be_a_namespace(home: Home, registry: Zoo, part: str) -> None:
    """podman-container-tools/buildah#3412, containers/podman#11054; containers-auth.json(5)."""
    file = home.directory / "run/containers/auth.json"
    file.parent.mkdir()
    auths = {f"{registry.host}{part}": {"auth": login()}, f"{registry.host}/team/other": {"auth": login("no", "one")}}
    file.write_text(json.dumps({"auths": auths}))
    get(home, registry)
    assert home("ls", f"{registry.host}/team/tool") == "v1\n"
    with home.mount(f"{registry.host}/team/tool") as where:
        assert (where / "v1/f").read_bytes() == b"content"


GOOD = """echo '{"ServerURL":"'$key'","Username":"fred","Secret":"!WordPass0$"}'"""
NONE = "echo 'credentials not found in native keychain'; exit 1"
STALE = {"HOST": {"auth": login("fred", "old")}}
HELPERS = {
    "good": GOOD,
    "noisy": f"echo 'WARNING: a new version is available' >&2\n{GOOD}",
    "none": NONE,
    "oddly": "echo 'error getting credentials - err: exit status 1, out: `The specified item could not be found in the "
             "keychain.`'; exit 1",
    "https": f'case "$key" in https://*) {GOOD};; *) {NONE};; esac',
    "broken": "exit 3",
    "words": "echo 'hello'; echo '{'",
}  # fmt: skip
FOUND = {
    "a store": {"credsStore": "good"},
    "a helper": {"credHelpers": {"HOST": "good"}},
    "a store that warns": {"credsStore": "noisy"},
    "an empty entry beside": {"credsStore": "good", "auths": {"HOST": {}}},  # GoogleContainerTools/jib#1819
    "an email beside": {"credsStore": "good", "auths": {"HOST": {"email": "not@val.id"}}},
    "an empty auth beside": {"credsStore": "good", "auths": {"HOST": {"auth": ""}}},
    "a stale auth beside a store": {"credsStore": "good", "auths": STALE},
    "a stale auth beside a helper": {
        "credHelpers": {"HOST": "good"},
        "auths": {"HOST": {"auth": login("fred", "old")}},
    },
    "a helper before the store": {"credsStore": "none", "credHelpers": {"HOST": "good"}},
    "user and password in words": {"auths": {"HOST": {"username": "fred", "password": "!WordPass0$"}}},
    "an entry where the store has none": {"credsStore": "none", "auths": {"HOST": {"auth": login()}}},
    "an entry where the store oddly has none": {"credsStore": "oddly", "auths": {"HOST": {"auth": login()}}},
}


def configured(home: Home, registry: Zoo, document: object) -> None:
    """Write docker's configuration, and the helpers that it may name."""
    for name, script in HELPERS.items():
        home.helper(name, script)
    home.docker(json.loads(json.dumps(document).replace("HOST", registry.host)))


@pytest.mark.parametrize("name", FOUND)
def test_a_login_is_found(home: Home, registry: Zoo, name: str) -> None:
    """GoogleContainerTools/jib#1819, spotify/docker-client#1143, containers/image#656: the store comes first."""
    configured(home, registry, FOUND[name])
    get(home, registry)


@pytest.mark.parametrize("store", ["none", "oddly"])
def test_a_helper_without_a_login_is_no_warning(home: Home, memory: Memory, zoo: NewZoo, store: str) -> None:
    """google/containerregistry#144: what is public is public."""
    memory.artifact("team/tool", "v1", {"f": b"content"})
    registry = zoo(PLAIN)
    configured(home, registry, {"credsStore": store})
    get(home, registry)


@pytest.mark.parametrize("store", ["broken", "words", "missing"])
def test_a_helper_that_fails_is_named_where_it_matters(home: Home, registry: Zoo, store: str) -> None:
    configured(home, registry, {"credsStore": store})
    done = home.run("get", f"{registry.host}/team/tool:v1", "f")
    assert done.status == 1
    assert f"docker-credential-{store}" in done.error


def test_the_environment_may_hold_the_configuration(home: Home, registry: Zoo) -> None:
    """DOCKER_AUTH_CONFIG, as docker and GitLab's runners have it."""
    home.environment["DOCKER_AUTH_CONFIG"] = json.dumps({"auths": {registry.host: {"auth": login()}}})
    get(home, registry)


def test_the_library_finds_them_too(home: Home, registry: Zoo, monkeypatch: pytest.MonkeyPatch, zoo: NewZoo) -> None:
    home.log_in(registry.host)
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, home.environment[name])
    auth: Any = getattr(regfs, "docker_auth", None)
    dxf = regfs.DXF(registry.host, "team/tool", auth=auth, insecure=True)
    assert dxf.list_aliases() == ["v1"]
