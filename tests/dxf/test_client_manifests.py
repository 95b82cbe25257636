"""Aliases and manifests: given, read back in every shape, deleted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from regfs import DXF, hash_bytes
from regfs.exceptions import (
    DXFDigestMismatchError,
    DXFPlatformDataNotFound,
    DXFUnexpectedDigestMethodError,
    DXFUnsupportedSchemaType,
)
from regfs.oci import manifest as manifests
from tests.registries import Registry
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]
A, B = b"blob a", b"blob b!"
DIGEST_A, DIGEST_B = hash_bytes(A), hash_bytes(B)
ACCEPTED = {
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v1+json",
}
AMD64 = {"os": "linux", "architecture": "amd64"}
ARM64 = {"os": "linux", "architecture": "arm64", "variant": "v8"}
FORMS = {
    "docker": (manifests.DOCKER_MANIFEST, manifests.DOCKER_LIST),
    "oci": (manifests.OCI_MANIFEST, manifests.OCI_INDEX),
    "oci without media types": (None, None),
}
CASES = [
    ("plain", "docker"),
    ("plain", "oci"),
    ("plain", "oci without media types"),
    ("tls", "docker"),
    ("htpasswd", "oci"),
    ("token_registry", "oci without media types"),
    ("schema1", "docker"),
]


def push(client: DXF, *contents: bytes) -> list[str]:
    return [client.push_blob(data=iter([content]), digest=hash_bytes(content)) for content in contents]


def descriptor(content: bytes, media_type: str | None = manifests.BLOB_MEDIA_TYPE, **extra: object) -> dict[str, Any]:
    stated = {"mediaType": media_type} if media_type else {}
    return {**stated, "digest": hash_bytes(content), "size": len(content), **extra}


def image(media_type: str | None, *contents: bytes) -> str:
    """A manifest whose first blob is its configuration."""
    stated = {"mediaType": media_type} if media_type else {}
    config = descriptor(contents[0], manifests.DOCKER_CONFIG)
    layers = [descriptor(content) for content in contents[1:]]
    return json.dumps({"schemaVersion": 2, **stated, "config": config, "layers": layers})


def index(media_type: str | None, *entries: dict[str, Any]) -> str:
    stated = {"mediaType": media_type} if media_type else {}
    return json.dumps({"schemaVersion": 2, **stated, "manifests": list(entries)})


class Images:
    """Two images and an index of them, in a repository; each image is also an alias."""

    def __init__(self, client: DXF, manifest_type: str | None, index_type: str | None) -> None:
        self.client = client
        push(client, A, B)
        self.amd64, self.arm64 = image(manifest_type, A, B), image(manifest_type, B, A)
        client.set_manifest("amd64", self.amd64)
        client.set_manifest("arm64", self.arm64)
        stated = manifest_type or manifests.OCI_MANIFEST
        self.entries = [
            descriptor(self.amd64.encode(), stated, platform=AMD64),
            descriptor(self.arm64.encode(), stated, platform=ARM64),
        ]
        self.index = index(index_type, *self.entries)
        client.set_manifest("multi", self.index)


@pytest.fixture(params=CASES, ids=" ".join)
def images(request: pytest.FixtureRequest, repository: str) -> Iterator[Images]:
    """Images and an index of each form, and in a registry of each kind."""
    kind, form = request.param
    registry: Registry = request.getfixturevalue(kind)
    with DXF(repo=repository, **registry.client_arguments) as client:
        yield Images(client, *FORMS[form])


@pytest.fixture
def docker_images(plain_client: DXF) -> Images:
    """Images and an index of Docker's form in the plain registry."""
    return Images(plain_client, *FORMS["docker"])


def serving(serve: NewServer, *documents: tuple[str, bytes], **headers: str) -> DXF:
    """A client of a server that has *documents* under their names."""
    by_name = dict(documents)

    def respond(request: Request) -> Answer:
        name = request.path.rpartition("/")[2]
        if name not in by_name:
            return Answer(404)
        stated = {"Docker-Content-Digest": hash_bytes(by_name[name]), **headers}
        return Answer(200, tuple((k, v) for k, v in stated.items() if v), by_name[name])

    return DXF(serve(respond).host, "a/b", insecure=True)


# Giving


def test_an_alias_is_a_schema_2_manifest_whose_config_is_its_first_blob(client: DXF) -> None:
    push(client, A, B)
    assert json.loads(client.set_alias("v1", DIGEST_A, DIGEST_B)) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": len(A),
            "digest": DIGEST_A,
        },
        "layers": [
            {"mediaType": "application/octet-stream", "size": len(A), "digest": DIGEST_A},
            {"mediaType": "application/octet-stream", "size": len(B), "digest": DIGEST_B},
        ],
    }


def test_setting_an_alias_returns_the_manifest_that_the_registry_has(client: DXF) -> None:
    push(client, A)
    assert client.set_alias("v1", DIGEST_A) == client.get_manifest("v1")


def test_an_alias_can_be_given_to_other_blobs(client: DXF) -> None:
    push(client, A, B)
    client.set_alias("v1", DIGEST_A)
    client.set_alias("v1", DIGEST_B)
    assert client.get_alias("v1") == [DIGEST_B]


def test_an_alias_of_a_missing_blob_is_an_http_error(client: DXF) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        client.set_alias("v1", hash_bytes(b"never pushed"))
    assert caught.value.response.status_code == 404


def test_an_alias_of_no_blobs_is_a_type_error(proxy: Server, repository: str) -> None:
    with pytest.raises(TypeError):
        DXF(proxy.host, repository, insecure=True).set_alias("v1")
    assert proxy.requests == []


def test_a_manifest_is_kept_byte_for_byte(client: DXF) -> None:
    push(client, A)
    content = image(manifests.OCI_MANIFEST, A).replace(", ", " ,\n ") + "\n"
    assert client.set_manifest("v1", content) is None  # type: ignore[func-returns-value]
    assert client.get_manifest("v1") == content


def test_a_manifest_may_have_any_text(client: DXF) -> None:
    push(client, A)
    content = json.dumps(
        {**json.loads(image(manifests.OCI_MANIFEST, A)), "annotations": {"é": "ж"}}, ensure_ascii=False
    )
    client.set_manifest("v1", content)
    assert client.get_manifest("v1") == content


@pytest.mark.parametrize(
    ("document", "media_type"),
    [
        ({"mediaType": manifests.OCI_MANIFEST}, manifests.OCI_MANIFEST),
        ({"mediaType": manifests.DOCKER_LIST}, manifests.DOCKER_LIST),
        ({"mediaType": "application/vnd.example+json"}, "application/vnd.example+json"),
        ({"layers": []}, manifests.OCI_MANIFEST),
        ({"manifests": []}, manifests.OCI_INDEX),
        ({"schemaVersion": 1, "signatures": []}, manifests.SCHEMA1_SIGNED),
    ],
)
def test_a_manifest_is_sent_as_what_it_is(serve: NewServer, document: dict[str, Any], media_type: str) -> None:
    server = serve(lambda request: Answer(201))
    DXF(server.host, "a/b", insecure=True).set_manifest("v1", json.dumps({"schemaVersion": 2, **document}))
    assert server.requests[0].headers["content-type"] == media_type


def test_a_manifest_of_no_type_is_not_supported(proxy: Server) -> None:
    with pytest.raises(DXFUnsupportedSchemaType):
        DXF(proxy.host, "a/b", insecure=True).set_manifest("v1", '{"schemaVersion": 2}')
    assert proxy.requests == []


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_what_is_no_manifest_is_a_value_error(proxy: Server, content: str) -> None:
    with pytest.raises(ValueError):
        DXF(proxy.host, "a/b", insecure=True).set_manifest("v1", content)
    assert proxy.requests == []


# Reading the blobs of an alias


def test_the_blobs_of_an_alias_are_listed_in_order(client: DXF) -> None:
    push(client, A, B)
    client.set_alias("v1", DIGEST_B, DIGEST_A)
    assert client.get_alias("v1") == [DIGEST_B, DIGEST_A]


def test_the_blobs_of_an_alias_have_sizes(client: DXF) -> None:
    push(client, A, B)
    client.set_alias("v1", DIGEST_A, DIGEST_B)
    assert client.get_alias("v1", sizes=True) == [(DIGEST_A, len(A)), (DIGEST_B, len(B))]


@pytest.mark.parametrize("verify", [True, False])
def test_the_blobs_of_a_given_manifest_cost_no_request(proxy: Server, verify: bool) -> None:
    client = DXF(proxy.host, "a/b", insecure=True)
    assert client.get_alias(manifest=image(manifests.DOCKER_MANIFEST, A, B), verify=verify) == [DIGEST_B]
    assert proxy.requests == []


def test_an_alias_goes_before_a_given_manifest(client: DXF) -> None:
    push(client, A, B)
    client.set_alias("v1", DIGEST_A)
    assert client.get_alias("v1", image(manifests.DOCKER_MANIFEST, A, B)) == [DIGEST_A]


@pytest.mark.parametrize("get", [DXF.get_alias, DXF.get_digest])
def test_neither_alias_nor_manifest_is_a_type_error(plain_client: DXF, get: Callable[[DXF], object]) -> None:
    with pytest.raises(TypeError):
        get(plain_client)


def test_an_alias_can_be_read_by_its_digest(client: DXF) -> None:
    push(client, A)
    manifest = client.set_alias("v1", DIGEST_A)
    assert client.get_alias(hash_bytes(manifest.encode())) == [DIGEST_A]


@pytest.mark.parametrize("layers", [None, []])
def test_an_alias_may_have_no_blobs(client: DXF, layers: object) -> None:
    push(client, A)
    client.set_manifest("v1", json.dumps({**json.loads(image(manifests.OCI_MANIFEST, A)), "layers": layers}))
    assert (client.get_alias("v1"), client.get_alias("v1", sizes=True)) == ([], [])


# Reading the other shapes


def test_the_digest_of_an_alias_is_that_of_its_first_blob(client: DXF) -> None:
    push(client, A, B)
    client.set_alias("v1", DIGEST_B, DIGEST_A)
    assert client.get_digest("v1") == DIGEST_B


def test_the_digest_of_a_given_manifest_is_that_of_its_configuration(proxy: Server) -> None:
    client = DXF(proxy.host, "a/b", insecure=True)
    assert client.get_digest(manifest=image(manifests.OCI_MANIFEST, A, B)) == DIGEST_A
    assert proxy.requests == []


def test_a_manifest_is_returned_with_its_response(client: DXF) -> None:
    push(client, A)
    made = client.set_alias("v1", DIGEST_A)
    manifest, response = client.get_manifest_and_response("v1")
    assert (manifest, response.status_code) == (made, 200)
    assert response.headers["Docker-Content-Digest"] == hash_bytes(made.encode())


def test_a_manifest_of_any_type_is_returned_with_its_response(serve: NewServer) -> None:
    assert serving(serve, ("v1", b"anything")).get_manifest_and_response("v1")[0] == "anything"


def test_the_digest_of_a_manifest_is_returned_with_its_response(client: DXF) -> None:
    push(client, A)
    made = client.set_alias("v1", DIGEST_A)
    digest, response = client.head_manifest_and_response("v1")
    assert (digest, response.status_code, response.content) == (hash_bytes(made.encode()), 200, b"")
    assert response.request.method == "HEAD"


@pytest.mark.parametrize(
    "get",
    [
        DXF.get_alias,
        DXF.get_digest,
        DXF.get_manifest,
        DXF.get_manifest_and_response,
        DXF.head_manifest_and_response,
        DXF.del_alias,
    ],
)
def test_an_alias_that_is_not_there_is_an_http_error(client: DXF, get: Callable[[DXF, str], object]) -> None:
    with pytest.raises(requests.HTTPError) as caught:
        get(client, "missing")
    assert caught.value.response.status_code == 404


@pytest.mark.parametrize(
    ("call", "count"),
    [
        (lambda client: client.get_alias("multi"), 3),
        (lambda client: client.get_alias("multi", sizes=True), 3),
        (lambda client: client.get_alias("multi", platform="linux/amd64"), 2),
        (lambda client: client.get_digest("multi"), 3),
        (lambda client: client.get_manifest("multi"), 3),
        (lambda client: client.get_manifest_and_response("multi"), 1),
        (lambda client: client.head_manifest_and_response("multi"), 1),
    ],
)
def test_every_manifest_request_accepts_every_type(
    proxy: Server, docker_images: Images, repository: str, call: Callable[[DXF], object], count: int
) -> None:
    call(DXF(proxy.host, repository, insecure=True))
    accepted = [set(request.headers["accept"].split(", ")) for request in proxy.requests]
    assert accepted == [ACCEPTED] * count


def test_the_manifest_to_delete_is_looked_up_with_every_type(
    proxy: Server, docker_images: Images, repository: str
) -> None:
    DXF(proxy.host, repository, insecure=True).del_alias("multi")
    lookup, deletion = proxy.requests
    assert set(lookup.headers["accept"].split(", ")) == ACCEPTED
    assert deletion.path.endswith(hash_bytes(docker_images.index.encode()))


# Several platforms


def test_a_multi_platform_alias_has_the_blobs_of_each_platform(images: Images) -> None:
    assert images.client.get_alias("multi") == {"linux/amd64": [DIGEST_B], "linux/arm64/v8": [DIGEST_A]}


def test_a_multi_platform_alias_has_the_sizes_of_each_platform(images: Images) -> None:
    assert images.client.get_alias("multi", sizes=True) == {
        "linux/amd64": [(DIGEST_B, len(B))],
        "linux/arm64/v8": [(DIGEST_A, len(A))],
    }


def test_a_multi_platform_alias_has_the_digest_of_each_platform(images: Images) -> None:
    assert images.client.get_digest("multi") == {"linux/amd64": DIGEST_A, "linux/arm64/v8": DIGEST_B}


def test_a_multi_platform_alias_has_the_manifest_of_each_platform(images: Images) -> None:
    assert images.client.get_manifest("multi") == {"linux/amd64": images.amd64, "linux/arm64/v8": images.arm64}


def test_one_platform_is_returned_without_its_name(images: Images) -> None:
    platform = "linux/arm64/v8"
    assert images.client.get_alias("multi", platform=platform) == [DIGEST_A]
    assert images.client.get_alias("multi", sizes=True, platform=platform) == [(DIGEST_A, len(A))]
    assert images.client.get_digest("multi", platform=platform) == DIGEST_B
    assert images.client.get_manifest("multi", platform=platform) == images.arm64


def test_the_platforms_of_a_given_index_are_fetched(images: Images) -> None:
    assert images.client.get_alias(manifest=images.index, platform="linux/amd64") == [DIGEST_B]
    assert images.client.get_digest(manifest=images.index) == {"linux/amd64": DIGEST_A, "linux/arm64/v8": DIGEST_B}


@pytest.mark.parametrize("platform", ["linux/arm64", "linux", "windows/amd64", "Linux/amd64"])
@pytest.mark.parametrize("get", [DXF.get_alias, DXF.get_digest, DXF.get_manifest])
@pytest.mark.usefixtures("docker_images")
def test_a_platform_that_is_not_there_is_named(plain_client: DXF, get: Callable[..., object], platform: str) -> None:
    with pytest.raises(DXFPlatformDataNotFound) as caught:
        get(plain_client, "multi", platform=platform)
    assert caught.value.platform == platform


@pytest.mark.usefixtures("docker_images")
def test_the_empty_platform_means_all(plain_client: DXF) -> None:
    assert plain_client.get_digest("multi", platform="") == plain_client.get_digest("multi")


def test_a_platform_is_of_no_matter_to_a_single_manifest(images: Images) -> None:
    assert images.client.get_alias("amd64", platform="plan9/mips") == [DIGEST_B]


@pytest.mark.parametrize("platform", [{}, {"platform": None}, {"platform": {"os": "linux"}}])
def test_entries_without_a_platform_are_left_out(
    plain_client: DXF, docker_images: Images, platform: dict[str, Any]
) -> None:
    amd64, arm64 = docker_images.entries
    attestation = {**{k: v for k, v in arm64.items() if k != "platform"}, **platform}
    plain_client.set_manifest("partial", index(manifests.OCI_INDEX, amd64, attestation))
    assert plain_client.get_alias("partial") == {"linux/amd64": [DIGEST_B]}


@pytest.mark.parametrize("platform", [None, "linux/amd64"])
def test_of_repeated_entries_the_first_counts(
    proxy: Server, plain_client: DXF, docker_images: Images, repository: str, platform: str | None
) -> None:
    amd64, arm64 = docker_images.entries
    plain_client.set_manifest("repeated", index(manifests.OCI_INDEX, amd64, {**arm64, "platform": AMD64}))
    found = DXF(proxy.host, repository, insecure=True).get_alias("repeated", platform=platform)
    assert found == ([DIGEST_B] if platform else {"linux/amd64": [DIGEST_B]})
    assert len(proxy.requests) == 2


def test_an_index_in_an_index_is_not_supported(plain_client: DXF, docker_images: Images) -> None:
    inner = descriptor(docker_images.index.encode(), manifests.DOCKER_LIST, platform=AMD64)
    plain_client.set_manifest("outer", index(manifests.OCI_INDEX, inner))
    with pytest.raises(DXFUnsupportedSchemaType):
        plain_client.get_alias("outer")


# Deleting


def test_a_deleted_alias_returns_its_blobs_and_is_gone(images: Images) -> None:
    assert images.client.del_alias("amd64") == [DIGEST_B]
    with pytest.raises(requests.HTTPError):
        images.client.get_alias("amd64")


def test_the_blobs_of_a_deleted_alias_stay(images: Images) -> None:
    images.client.del_alias("amd64")
    assert images.client.blob_size(DIGEST_B) == len(B)


def test_a_deleted_multi_platform_alias_returns_the_manifest_of_each_platform(images: Images) -> None:
    assert images.client.del_alias("multi") == {
        "linux/amd64": hash_bytes(images.amd64.encode()),
        "linux/arm64/v8": hash_bytes(images.arm64.encode()),
    }
    with pytest.raises(requests.HTTPError):
        images.client.get_manifest("multi")


def test_what_a_deleted_multi_platform_alias_returned_can_be_deleted(images: Images) -> None:
    deleted = images.client.del_alias("multi")
    assert isinstance(deleted, dict)
    assert [images.client.del_alias(digest) for digest in deleted.values()] == [[DIGEST_B], [DIGEST_A]]


def test_a_registry_without_digests_gets_the_digest_of_the_bytes(serve: NewServer) -> None:
    content = image(manifests.OCI_MANIFEST, A, B).encode()
    deleted: list[str] = []

    def respond(request: Request) -> Answer:
        if request.method == "DELETE":
            deleted.append(request.path.rpartition("/")[2])
        return Answer(200, (), content)

    DXF(serve(respond).host, "a/b", insecure=True).del_alias("v1")
    assert deleted == [hash_bytes(content)]


# What cannot be trusted


@pytest.mark.parametrize("get", [DXF.get_alias, DXF.get_digest, DXF.get_manifest, DXF.del_alias])
def test_a_manifest_that_changed_in_the_registry_is_a_mismatch(
    plain: Registry, plain_client: DXF, repository: str, get: Callable[[DXF, str], object]
) -> None:
    push(plain_client, A)
    content = json.dumps({**json.loads(image(manifests.OCI_MANIFEST, A)), "annotations": {"a": repository}})
    plain_client.set_manifest("v1", content)
    digest = hash_bytes(content.encode())
    plain.blob_path(digest).write_text(content + " ")
    with pytest.raises(DXFDigestMismatchError) as caught:
        get(plain_client, "v1")
    assert (caught.value.got, caught.value.expected) == (hash_bytes(content.encode() + b" "), digest)


@pytest.mark.parametrize("stated", ["", "of the bytes"])
def test_a_manifest_asked_for_by_digest_has_that_digest(serve: NewServer, stated: str) -> None:
    content = image(manifests.OCI_MANIFEST, A).encode()
    headers = {} if stated else {"Docker-Content-Digest": ""}
    with pytest.raises(DXFDigestMismatchError) as caught:
        serving(serve, (DIGEST_A, content), **headers).get_alias(DIGEST_A)
    assert (caught.value.got, caught.value.expected) == (hash_bytes(content), DIGEST_A)


def test_the_platforms_of_an_index_are_verified(serve: NewServer) -> None:
    content = image(manifests.OCI_MANIFEST, A).encode()
    other = index(manifests.OCI_INDEX, descriptor(b"another", manifests.OCI_MANIFEST, platform=AMD64)).encode()
    with pytest.raises(DXFDigestMismatchError):
        serving(serve, ("v1", other), (hash_bytes(b"another"), content)).get_alias("v1")


@pytest.mark.parametrize("get", [DXF.get_alias, DXF.get_digest, DXF.get_manifest, DXF.del_alias])
@pytest.mark.parametrize("stated", ["application/vnd.example+json", "", 3])
def test_an_unknown_type_of_manifest_is_not_supported(
    serve: NewServer, get: Callable[[DXF, str], object], stated: object
) -> None:
    content = json.dumps({"schemaVersion": 2, "mediaType": stated, "layers": []}).encode()
    with pytest.raises(DXFUnsupportedSchemaType):
        get(serving(serve, ("v1", content)), "v1")


def test_a_given_manifest_of_an_unknown_type_is_not_supported(plain_client: DXF) -> None:
    with pytest.raises(DXFUnsupportedSchemaType):
        plain_client.get_alias(manifest='{"schemaVersion": 2, "mediaType": "x/y"}')


@pytest.mark.parametrize(("get", "field"), [(DXF.get_alias, "layers"), (DXF.get_digest, "config")])
def test_a_blob_of_another_digest_method_is_unexpected(
    serve: NewServer, get: Callable[[DXF, str], object], field: str
) -> None:
    document = json.loads(image(manifests.OCI_MANIFEST, A, B))
    sha512 = {"digest": "sha512:" + "0" * 128, "size": 1}
    document[field] = [sha512] if field == "layers" else sha512
    with pytest.raises(DXFUnexpectedDigestMethodError) as caught:
        get(serving(serve, ("v1", json.dumps(document).encode())), "v1")
    assert (caught.value.got, caught.value.expected) == ("sha512", "sha256")


def test_a_manifest_of_another_digest_method_is_unexpected(serve: NewServer) -> None:
    content = image(manifests.OCI_MANIFEST, A).encode()
    client = serving(serve, ("v1", content), **{"Docker-Content-Digest": "md5:" + "0" * 32})
    with pytest.raises(DXFUnexpectedDigestMethodError):
        client.get_alias("v1")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"schemaVersion": 2, "layers": 3}',
        b'{"schemaVersion": 2, "layers": [3]}',
        b'{"schemaVersion": 2, "layers": [{}]}',
        b'{"schemaVersion": 2, "layers": [{"digest": 3}]}',
    ],
)
@pytest.mark.parametrize("sizes", [False, True])
def test_a_broken_manifest_is_a_value_error(serve: NewServer, content: bytes, sizes: bool) -> None:
    with pytest.raises(ValueError):
        serving(serve, ("v1", content)).get_alias("v1", sizes=sizes)


@pytest.mark.parametrize("config", [{}, {"config": None}, {"config": 3}, {"config": {}}])
def test_a_manifest_without_configuration_is_a_value_error(serve: NewServer, config: dict[str, object]) -> None:
    content = json.dumps({"schemaVersion": 2, "layers": [], **config}).encode()
    with pytest.raises(ValueError):
        serving(serve, ("v1", content)).get_digest("v1")


def test_an_index_is_told_by_its_content_type(serve: NewServer) -> None:
    child = image(None, A, B).encode()
    entry = descriptor(child, None, platform=AMD64)
    content = json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode()
    client = serving(serve, ("v1", content), (hash_bytes(child), child))
    assert client.get_alias("v1") == {"linux/amd64": [DIGEST_B]}


@pytest.mark.parametrize("get", [DXF.get_alias, DXF.get_digest, DXF.get_manifest, DXF.head_manifest_and_response])
def test_a_registry_that_fails_is_an_http_error(serve: NewServer, get: Callable[[DXF, str], object]) -> None:
    server = serve(lambda request: Answer(500))
    with pytest.raises(requests.HTTPError):
        get(DXF(server.host, "a/b", insecure=True), "v1")
    assert len(server.requests) == 1
