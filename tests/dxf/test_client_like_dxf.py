"""Side by side with python-dxf, whose API this is: the same calls give the same results by the same requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import dxf
import dxf.exceptions
import pytest
import requests

import regfs
from regfs.oci import manifest as manifests
from tests.registries import Registry
from tests.servers import Answer, Request, Server, forward

NewServer = Callable[..., Server]
Exchange = tuple[Request, Answer]
A, B = b"blob a", bytes(range(256)) * 100
DIGEST_A, DIGEST_B = regfs.hash_bytes(A), regfs.hash_bytes(B)
MISSING = regfs.hash_bytes(b"never pushed")
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}
_UPLOAD = re.compile(r"(/blobs/uploads/)[^/?]+\?.*(digest=)")


def image(media_type: str, *contents: bytes) -> str:
    layers = [{"mediaType": "x/y", "digest": regfs.hash_bytes(content), "size": len(content)} for content in contents]
    config = {**layers[0], "mediaType": manifests.DOCKER_CONFIG}
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers})


def index(media_type: str, child_type: str) -> str:
    children = [image(child_type, A, B).encode(), image(child_type, B, A).encode()]
    entries = [
        {"mediaType": child_type, "digest": regfs.hash_bytes(child), "size": len(child), "platform": platform}
        for child, platform in zip(children, (AMD64, ARM64), strict=True)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})


FORMS = {
    "docker": (manifests.DOCKER_LIST, manifests.DOCKER_MANIFEST),
    "oci": (manifests.OCI_INDEX, manifests.OCI_MANIFEST),
}


def fill(client: regfs.DXF) -> None:
    """What every call finds in its repository: two blobs and an alias of each kind."""
    for content in (A, B):
        client.push_blob(data=[content], digest=regfs.hash_bytes(content))
    client.set_alias("v1", DIGEST_B, DIGEST_A)
    for name, (index_type, child_type) in FORMS.items():
        client.set_manifest(f"{name}-amd64", image(child_type, A, B))
        client.set_manifest(f"{name}-arm64", image(child_type, B, A))
        client.set_manifest(name, index(index_type, child_type))


@dataclass(frozen=True)
class New:
    """Content that no repository has yet: in a file, and in chunks."""

    path: str
    content: bytes

    @property
    def chunks(self) -> list[bytes]:
        return [self.content[:10], b"", self.content[10:]]

    @property
    def digest(self) -> str:
        return regfs.hash_bytes(self.content)


@pytest.fixture
def new(tmp_path: Path, repository: str) -> New:
    """Content of this test alone."""
    path = tmp_path / "new"
    path.write_bytes(repository.encode() * 3000)
    return New(str(path), path.read_bytes())


def with_progress(push: Callable[[Callable[..., None]], str]) -> object:
    calls: list[tuple[object, ...]] = []
    return push(lambda *call: calls.append(call)), calls


CALLS: dict[str, Callable[[Any, New], object]] = {
    "api_version_check": lambda c, _: c.api_version_check()[0],
    "push_blob of a new file": lambda c, new: c.push_blob(new.path),
    "push_blob of a file that is there": lambda c, new: [c.push_blob(new.path), c.push_blob(new.path)],
    "push_blob without looking": lambda c, new: c.push_blob(new.path, check_exists=False),
    "push_blob with progress": lambda c, new: with_progress(lambda p: c.push_blob(new.path, p)),
    "push_blob of chunks": lambda c, new: c.push_blob(data=iter(new.chunks), digest=new.digest),
    "push_blob of bytes": lambda c, new: c.push_blob(data=new.content, digest=new.digest),
    "push_blob of chunks with progress": lambda c, new: with_progress(
        lambda p: c.push_blob(None, p, iter(new.chunks), new.digest)
    ),
    "push_blob of chunks of another digest": lambda c, _: c.push_blob(data=iter([b"x"]), digest=MISSING),
    "push_blob without a digest": lambda c, _: c.push_blob(data=iter([b"x"])),
    "pull_blob": lambda c, _: list(c.pull_blob(DIGEST_B)),
    "pull_blob with size": lambda c, _: (lambda found: (list(found[0]), found[1]))(c.pull_blob(DIGEST_B, True)),
    "pull_blob in chunks": lambda c, _: list(c.pull_blob(DIGEST_B, chunk_size=1000)),
    "pull_blob that is missing": lambda c, _: c.pull_blob(MISSING),
    "blob_size": lambda c, _: c.blob_size(DIGEST_B),
    "blob_size that is missing": lambda c, _: c.blob_size(MISSING),
    "mount_blob": lambda c, _: c.mount_blob(c._repo + "-2", DIGEST_A),
    "mount_blob that is missing": lambda c, _: c.mount_blob(c._repo + "-2", MISSING),
    "set_alias": lambda c, _: c.set_alias("new", DIGEST_B, DIGEST_A),
    "set_alias of a missing blob": lambda c, _: c.set_alias("new", MISSING),
    "set_manifest": lambda c, _: c.set_manifest("new", image(manifests.OCI_MANIFEST, A)),
    "get_alias": lambda c, _: c.get_alias("v1"),
    "get_alias with sizes": lambda c, _: c.get_alias("v1", sizes=True),
    "get_alias of a manifest": lambda c, _: c.get_alias(manifest=image(manifests.OCI_MANIFEST, A, B)),
    "get_alias that is missing": lambda c, _: c.get_alias("missing"),
    "get_digest": lambda c, _: c.get_digest("v1"),
    "get_digest of a manifest": lambda c, _: c.get_digest(manifest=image(manifests.OCI_MANIFEST, A, B)),
    "get_manifest": lambda c, _: c.get_manifest("v1"),
    "get_manifest_and_response": lambda c, _: c.get_manifest_and_response("docker")[0],
    "head_manifest_and_response": lambda c, _: c.head_manifest_and_response("oci")[0],
    "list_aliases": lambda c, _: sorted(c.list_aliases()),
    "list_aliases iterated": lambda c, _: sorted(c.list_aliases(2, iterate=True)),
    "list_repos": lambda c, _: c.list_repos(5),
}
DELETING: dict[str, Callable[[Any], object]] = {
    "del_blob": lambda c: c.del_blob(DIGEST_A),
    "del_blob that is missing": lambda c: c.del_blob(MISSING),
    "del_alias": lambda c: c.del_alias("v1"),
    "del_alias of docker": lambda c: c.del_alias("docker"),
    "del_alias of oci": lambda c: c.del_alias("oci"),
    "del_alias that is missing": lambda c: c.del_alias("missing"),
}
AUTHENTICATED = [
    "push_blob of a new file",
    "push_blob with progress",
    "push_blob of chunks",
    "pull_blob",
    "mount_blob",
    "set_alias",
    "get_alias",
    "get_alias of docker for None",
    "list_aliases",
]


for _form in FORMS:
    for _platform in (None, "linux/amd64", "linux/arm64/v8", "plan9/mips"):
        for _name in ("get_alias", "get_digest", "get_manifest"):
            CALLS[f"{_name} of {_form} for {_platform}"] = lambda c, _, name=_name, form=_form, platform=_platform: (  # type: ignore[misc]
                getattr(c, name)(form, platform=platform)
            )
    CALLS[f"get_alias of {_form} with sizes"] = lambda c, _, form=_form: c.get_alias(form, sizes=True)  # type: ignore[misc]


def outcome(call: Callable[[], object]) -> object:
    """What a call returns, or what it raises, comparable between the two libraries."""
    try:
        return call()
    except requests.HTTPError as error:
        return "HTTPError", error.response.status_code
    except (regfs.exceptions.DXFError, dxf.exceptions.DXFError) as error:
        return type(error).__name__, vars(error)
    except TypeError:
        return "TypeError"


def seen(exchanges: Iterable[Exchange], repository: str) -> list[tuple[str, str, int]]:
    """Method, path and status of each exchange, without what is different each time."""
    return [
        (request.method, _UPLOAD.sub(r"\1…?\2", unquote(request.path)).replace(repository, "REPOSITORY"), answer.status)
        for request, answer in exchanges
    ]


class Pair:
    """The two libraries at one registry, each in a repository of its own with the same content.

    :param server: what they talk to, which passes everything on to *registry*
    """

    def __init__(self, server: Server, registry: Registry, repository: str) -> None:
        self.server = server
        self.repositories = {"dxf": f"{repository}-a", "regfs": f"{repository}-b"}
        self._arguments = {**registry.client_arguments, "host": server.host}
        for name in self.repositories.values():
            for suffix in ("", "-2"):
                with regfs.DXF(repo=name + suffix, **registry.client_arguments) as client:
                    fill(client)

    def run(self, library: Any, call: Callable[[Any], object]) -> tuple[object, list[tuple[str, str, int]]]:
        """The outcome of a call with one of them, and the requests that it made."""
        repository = self.repositories[library.__name__]
        self.server.exchanges.clear()
        with library.DXF(repo=repository, **self._arguments) as client:
            found = outcome(lambda: call(client))
        return found, seen(self.server.exchanges, repository)


@pytest.fixture(scope="module")
def plain_pair(plain: Registry) -> Iterator[Pair]:
    """The two libraries at a registry that asks for nothing."""
    with Server(forward(plain.host)) as server:
        yield Pair(server, plain, "like/dxf")


@pytest.fixture(scope="module", params=["htpasswd", "token_registry"])
def authenticated_pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """The two libraries at a registry that asks for a password, and at one that asks for a token."""
    registry: Registry = request.getfixturevalue(request.param)
    upstream = forward(registry.host, registry.lab.client_context())
    with Server(upstream, registry.lab.server_context()) as server:
        yield Pair(server, registry, "like/dxf")


@pytest.mark.parametrize("name", CALLS)
def test_a_call_returns_the_same_by_the_same_requests(plain_pair: Pair, new: New, name: str) -> None:
    expected = plain_pair.run(dxf, lambda client: CALLS[name](client, new))
    assert plain_pair.run(regfs, lambda client: CALLS[name](client, new)) == expected


@pytest.mark.parametrize("name", AUTHENTICATED)
def test_an_authenticated_call_returns_the_same_by_the_same_requests(
    authenticated_pair: Pair, new: New, name: str
) -> None:
    expected = authenticated_pair.run(dxf, lambda client: CALLS[name](client, new))
    assert authenticated_pair.run(regfs, lambda client: CALLS[name](client, new)) == expected


@pytest.mark.parametrize("call", DELETING.values(), ids=DELETING.keys())
def test_a_deletion_returns_the_same_by_the_same_requests(
    proxy: Server, plain: Registry, repository: str, call: Callable[[Any], object]
) -> None:
    pair = Pair(proxy, plain, repository)
    expected = pair.run(dxf, call)
    assert pair.run(regfs, call) == expected
