"""What any registry does: one suite for every implementation of the port, on a real registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO

import pytest

from regfs import hash_bytes
from regfs.oci import edits
from regfs.oci import manifest as manifests
from regfs.oci.manifest import Descriptor, Index, Manifest
from regfs.oci.reference import Reference
from regfs.registry.api import (
    BlobUnknown,
    NotFound,
    NotModified,
    Offline,
    Registry,
    RegistryError,
    Unauthenticated,
)
from regfs.registry.config.mirrors import Mirror as Place
from regfs.registry.config.mirrors import of_reference
from regfs.registry.credential import Credential
from regfs.registry.http.registry import HttpRegistry
from regfs.registry.http.transport import PooledTransport
from regfs.registry.located import LocatedRegistry, Location
from regfs.registry.mirrored import Mirror, MirroredRegistry
from regfs.registry.offline import OfflineRegistry
from tests.registries import Lab
from tests.registries import Registry as Running
from tests.servers import Answer, Server

CONTENT = bytes(range(256)) * 5000
DIGEST = hash_bytes(CONTENT)
MISSING = hash_bytes(b"never pushed")
LAYER = Descriptor(DIGEST, len(CONTENT))
Make = Callable[[], Registry]


def transport(running: Running) -> PooledTransport:
    """What talks to a running registry, as its user."""
    tls = running.lab.client_context() if running.tls else None
    fred = Credential("fred", "!WordPass0$")
    return PooledTransport(tls=tls, retries=0, timeout=10, credential=lambda _: fred)


def over_http(running: Running) -> HttpRegistry:
    """The registry itself."""
    return HttpRegistry(running.host, not running.tls, transport(running))


ALL = of_reference(Reference("localhost"))  # a mirror that may have everything, under the same names
KINDS = [
    "plain", "tls", "htpasswd", "token_registry",
    "mirror that has nothing", "mirror that is down", "below a path elsewhere",
]  # fmt: skip


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest, lab: Lab, plain: Running) -> Iterator[Registry]:
    """Each implementation on a real registry."""
    kind: str = request.param
    if kind == "below a path elsewhere":
        gone = HttpRegistry("localhost:1", True, PooledTransport(retries=0))
        place = Place(Reference("localhost"), below="elsewhere/team")
        made: Registry = LocatedRegistry(gone, [Location(over_http(plain), place)])
    elif not kind.startswith("mirror"):
        made = over_http(request.getfixturevalue(kind))
    elif kind == "mirror that is down":
        made = MirroredRegistry(
            over_http(plain), [Mirror(HttpRegistry("localhost:1", True, PooledTransport(retries=0)), ALL)]
        )
    else:
        made = MirroredRegistry(over_http(plain), [Mirror(over_http(request.getfixturevalue("tls")), ALL)])
    yield made
    made.close()


@dataclass
class Bytes:
    """Content in memory, in the pieces that an upload asks for."""

    content: bytes

    def __post_init__(self) -> None:
        self._file = BytesIO(self.content)

    def __len__(self) -> int:
        return len(self.content)

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(1 << 16), b"")

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        return self._file.read(size)

    def seek(self, offset: int) -> None:
        """Go elsewhere."""
        self._file.seek(offset)

    def piece(self, start: int, end: int) -> Bytes:
        """Some of them."""
        return Bytes(self.content[start:end])


def put(registry: Registry, repository: str, tag: str, *layers: Descriptor) -> str:
    """Give a tag a manifest of some blobs; returns its digest."""
    registry.push_blob(repository, manifests.EMPTY_CONTENT, manifests.EMPTY_DESCRIPTOR.digest)
    content = edits.edit_layers(edits.new_artifact("2024-05-01T00:00:00Z"), frozenset(), dict.fromkeys(layers))
    return registry.put_manifest(repository, tag, content, manifests.OCI_MANIFEST)


def read(registry: Registry, repository: str, start: int, end: int) -> bytes:
    """Some bytes of the blob."""
    buffer = memoryview(bytearray(end - start))
    with registry.source(repository, DIGEST).open(start, end, len(CONTENT)) as body:
        assert (body.start, body.end) == (start, end)
        got = 0
        while got < len(buffer) and (count := body.read_into(buffer[got:])):
            got += count
    return bytes(buffer[:got])


def test_a_registry_that_is_there_is_checked(registry: Registry) -> None:
    registry.check()


@pytest.mark.parametrize(
    "content", [CONTENT, Bytes(CONTENT), b"", Bytes(b"")], ids=["bytes", "pieces", "none", "no piece"]
)
def test_a_pushed_blob_is_there(registry: Registry, repository: str, content: bytes | Bytes) -> None:
    digest = hash_bytes(content if isinstance(content, bytes) else content.content)
    assert not registry.has_blob(repository, digest)
    registry.push_blob(repository, content, digest)
    assert registry.has_blob(repository, digest)
    assert registry.blob_size(repository, digest) == len(content)


def test_a_blob_that_is_missing_has_no_size(registry: Registry, repository: str) -> None:
    assert registry.blob_size(repository, MISSING) is None


def test_an_upload_can_begin_before_its_end(registry: Registry, repository: str) -> None:
    content = bytes(33 << 20)
    ahead = registry.upload_ahead(repository)
    assert not ahead.claims(1)
    assert ahead.claims(20 << 20)
    ahead.send(Bytes(content[: 20 << 20]))
    assert ahead.finish(Bytes(content), hash_bytes(content))
    assert registry.blob_size(repository, hash_bytes(content)) == len(content)


@pytest.mark.parametrize(
    ("start", "end"), [(0, 1), (1000, 70_000), (len(CONTENT) - 1, len(CONTENT)), (0, len(CONTENT))]
)
def test_any_range_of_a_blob_is_read(registry: Registry, repository: str, start: int, end: int) -> None:
    registry.push_blob(repository, CONTENT, DIGEST)
    assert read(registry, repository, start, end) == CONTENT[start:end]


def test_a_blob_that_is_missing_is_not_found(registry: Registry, repository: str) -> None:
    with pytest.raises(NotFound) as caught, registry.source(repository, MISSING).open(0, 1, 1):
        pass
    assert caught.value.code == "BLOB_UNKNOWN"


def test_a_blob_of_another_repository_is_mounted(registry: Registry, repository: str) -> None:
    registry.push_blob(repository, CONTENT, DIGEST)
    assert registry.mount_blob(f"{repository}-2", repository, DIGEST)
    assert registry.has_blob(f"{repository}-2", DIGEST)
    assert not registry.mount_blob(f"{repository}-2", repository, MISSING)


def test_a_manifest_is_read_as_it_was_put(registry: Registry, repository: str) -> None:
    registry.push_blob(repository, CONTENT, DIGEST)
    digest = put(registry, repository, "v1", LAYER)
    by_tag, by_digest = registry.manifest(repository, "v1"), registry.manifest(repository, digest)
    assert isinstance(by_tag, Manifest)
    assert (by_tag, by_tag.digest, by_tag.layers) == (by_digest, digest, (LAYER,))


def test_an_index_is_read_as_it_was_put(registry: Registry, repository: str) -> None:
    child = put(registry, repository, "v1")
    content = (
        f'{{"schemaVersion":2,"mediaType":"{manifests.OCI_INDEX}","manifests":'
        f'[{{"mediaType":"{manifests.OCI_MANIFEST}","digest":"{child}","size":1}}]}}'
    ).encode()
    digest = registry.put_manifest(repository, "all", content, manifests.OCI_INDEX)
    index = registry.manifest(repository, "all")
    assert isinstance(index, Index)
    assert (index.digest, [entry.digest for entry in index.entries]) == (digest, [child])


def test_a_tag_that_has_not_moved_is_not_modified(registry: Registry, repository: str) -> None:
    digest = put(registry, repository, "v1")
    assert registry.manifest(repository, "v1", digest) == NotModified()
    assert isinstance(registry.manifest(repository, "v1", MISSING), Manifest)


def test_what_is_not_there_is_none(registry: Registry, repository: str) -> None:
    assert registry.manifest(repository, "v1") is None
    assert registry.manifest(repository, MISSING) is None
    assert registry.tags(repository) is None


def test_what_is_there_is_listed(registry: Registry, repository: str) -> None:
    put(registry, repository, "v1")
    put(registry, repository, "v2")
    assert sorted(registry.tags(repository) or ()) == ["v1", "v2"]
    assert repository in (registry.repositories() or ())


def test_a_manifest_that_names_a_missing_blob_is_told_so(registry: Registry, repository: str) -> None:
    with pytest.raises(BlobUnknown) as caught:
        put(registry, repository, "v1", Descriptor(MISSING, 1))
    assert caught.value.code == "MANIFEST_BLOB_UNKNOWN"
    assert caught.value.reason.startswith("blob unknown to registry")


def test_a_deleted_manifest_is_gone(registry: Registry, repository: str) -> None:
    digest = put(registry, repository, "v1")
    registry.delete_manifest(repository, digest)
    assert registry.manifest(repository, "v1") is None
    registry.delete_manifest(repository, digest)


def test_a_tag_is_deleted_alone_or_not_at_all(registry: Registry, repository: str) -> None:
    put(registry, repository, "v1")
    with pytest.raises(RegistryError):
        registry.delete_tag(repository, "v1")
    assert registry.manifest(repository, "v1") is not None


def test_a_wrong_password_is_unauthenticated(htpasswd: Running, repository: str) -> None:
    tls = htpasswd.lab.client_context()
    made = HttpRegistry(
        htpasswd.host, False, PooledTransport(tls=tls, credential=lambda _: Credential("fred", "no"), retries=0)
    )
    with pytest.raises(Unauthenticated):
        made.tags(repository)
    made.close()


OFFLINE: dict[str, Callable[[Registry], object]] = {
    "repositories": lambda registry: registry.repositories(),
    "tags": lambda registry: registry.tags("r"),
    "manifest": lambda registry: registry.manifest("r", "v1"),
    "put_manifest": lambda registry: registry.put_manifest("r", "v1", b"{}", manifests.OCI_MANIFEST),
    "delete_manifest": lambda registry: registry.delete_manifest("r", DIGEST),
    "delete_tag": lambda registry: registry.delete_tag("r", "v1"),
    "has_blob": lambda registry: registry.has_blob("r", DIGEST),
    "blob_size": lambda registry: registry.blob_size("r", DIGEST),
    "source": lambda registry: registry.source("r", DIGEST).open(0, 1, 1).__enter__(),
    "push_blob": lambda registry: registry.push_blob("r", b"", DIGEST),
    "mount_blob": lambda registry: registry.mount_blob("r", "s", DIGEST),
}


@pytest.mark.parametrize("call", OFFLINE.values(), ids=OFFLINE.keys())
def test_offline_everything_that_asks_fails(call: Callable[[Registry], object]) -> None:
    with pytest.raises(Offline):
        call(OfflineRegistry("localhost:5000"))


def test_offline_an_upload_ahead_is_not_finished() -> None:
    ahead = OfflineRegistry("localhost:5000").upload_ahead("r")
    assert ahead.claims(20 << 20)
    ahead.send(Bytes(bytes(20 << 20)))
    assert not ahead.finish(Bytes(b""), DIGEST)


def test_a_mirror_is_asked_first_and_left_when_it_lies(
    plain: Running, repository: str, serve: Callable[..., Server]
) -> None:
    other = hash_bytes(b"other")
    lying = serve(lambda request: Answer(200, (("Docker-Content-Digest", other),), b"{}"))
    made = MirroredRegistry(over_http(plain), [Mirror(HttpRegistry(lying.host, True, PooledTransport(retries=0)), ALL)])
    digest = put(made, repository, "v1")
    for _ in range(2):
        found = made.manifest(repository, "v1")
        assert isinstance(found, Manifest)
        assert found.digest == digest
    assert len(lying.requests) == 1
    made.close()
