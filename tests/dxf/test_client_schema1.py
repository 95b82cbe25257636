"""Schema 1 aliases through the client: from a registry that takes them, and broken ones from one that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from jwcrypto.jws import InvalidJWSSignature

from regfs import DXF, hash_bytes
from regfs.exceptions import (
    DXFDigestMismatchError,
    DXFDigestNotAvailableForSchema1,
    DXFDisallowedSignatureAlgorithmError,
    DXFSignatureChainNotImplementedError,
    DXFUnexpectedKeyTypeError,
)
from regfs.oci.manifest import SCHEMA1_SIGNED
from tests.oci import signing
from tests.registries import Registry
from tests.servers import Answer, Request, Server

NewServer = Callable[..., Server]
A, B = hash_bytes(b"a"), hash_bytes(b"bb")
TAMPERED = signing.stored("tampered")
TAMPERED_LAYERS = [layer["blobSum"] for layer in json.loads(TAMPERED)["fsLayers"]]


@pytest.fixture
def schema1_client(schema1: Registry, repository: str) -> Iterator[DXF]:
    """A client of a registry that takes schema 1; its repository has two blobs."""
    with DXF(repo=repository, **schema1.client_arguments) as client:
        for content in (b"a", b"bb"):
            client.push_blob(data=iter([content]), digest=hash_bytes(content))
        yield client


@pytest.fixture
def alias(schema1_client: DXF) -> str:
    """A schema 1 alias with text that is not ASCII."""
    content, _ = signing.signed(signing.document(A, B, A, name=schema1_client._repo, tag="v1", author="ж"))
    schema1_client.set_manifest("v1", content.decode())
    return "v1"


def serving(serve: NewServer, content: bytes, digest: str | None = None) -> DXF:
    stated = digest or hash_bytes(signing.payload_of(content))
    headers = (("Docker-Content-Digest", stated), ("Content-Type", SCHEMA1_SIGNED))

    def respond(request: Request) -> Answer:
        return Answer(200, headers, content) if request.method == "GET" else Answer(200, (("Content-Length", "7"),))

    return DXF(serve(respond).host, "img/v1", insecure=True)


@pytest.mark.parametrize("verify", [True, False])
def test_a_schema_1_alias_has_its_blobs_in_its_own_order(schema1_client: DXF, alias: str, verify: bool) -> None:
    assert schema1_client.get_alias(alias, verify=verify) == [A, B, A]


def test_the_blobs_of_a_schema_1_alias_have_sizes(schema1_client: DXF, alias: str) -> None:
    assert schema1_client.get_alias(alias, sizes=True) == [(A, 1), (B, 2), (A, 1)]


def test_a_given_schema_1_manifest_has_its_blobs(schema1_client: DXF, alias: str) -> None:
    manifest = schema1_client.get_manifest(alias)
    assert isinstance(manifest, str)
    assert schema1_client.get_alias(manifest=manifest) == [A, B, A]


def test_a_schema_1_alias_has_no_digest_of_a_configuration(schema1_client: DXF, alias: str) -> None:
    with pytest.raises(DXFDigestNotAvailableForSchema1):
        schema1_client.get_digest(alias)


def test_a_given_schema_1_manifest_has_no_digest_of_a_configuration(schema1_client: DXF) -> None:
    with pytest.raises(DXFDigestNotAvailableForSchema1):
        schema1_client.get_digest(manifest=signing.stored("pulled_es256").decode())


def test_a_schema_1_manifest_is_returned_with_its_response(schema1_client: DXF, alias: str) -> None:
    manifest, response = schema1_client.get_manifest_and_response(alias)
    digest = hash_bytes(signing.payload_of(manifest.encode()))
    assert response.headers["Docker-Content-Digest"] == digest
    assert schema1_client.head_manifest_and_response(alias)[0] == digest


def test_a_schema_1_alias_can_be_read_by_its_digest(schema1_client: DXF, alias: str) -> None:
    digest, _ = schema1_client.head_manifest_and_response(alias)
    assert schema1_client.get_alias(digest) == [A, B, A]


def test_a_schema_1_alias_is_deleted_by_the_digest_of_its_payload(schema1_client: DXF, alias: str) -> None:
    assert schema1_client.del_alias(alias) == [A, B, A]
    assert schema1_client.list_aliases() == []


@pytest.mark.parametrize("name", signing.GOOD)
def test_what_another_registry_signed_is_believed(serve: NewServer, name: str) -> None:
    content = signing.stored(name)
    assert serving(serve, content).get_alias("v1") == [layer["blobSum"] for layer in json.loads(content)["fsLayers"]]


def test_a_schema_1_manifest_that_was_tampered_with_is_refused(serve: NewServer) -> None:
    with pytest.raises(InvalidJWSSignature):
        serving(serve, TAMPERED).get_alias("v1")


def test_a_schema_1_manifest_that_was_tampered_with_is_read_when_told_so(serve: NewServer) -> None:
    client = serving(serve, TAMPERED)
    assert client.get_alias("v1", verify=False) == TAMPERED_LAYERS
    assert client.get_alias("v1", verify=False, sizes=True) == [(digest, 7) for digest in TAMPERED_LAYERS]


def test_a_schema_1_manifest_that_was_tampered_with_is_not_deleted(serve: NewServer) -> None:
    with pytest.raises(InvalidJWSSignature):
        serving(serve, TAMPERED).del_alias("v1")


@pytest.mark.parametrize("verify", [True, False])
def test_a_schema_1_manifest_of_another_digest_is_a_mismatch(serve: NewServer, verify: bool) -> None:
    content = signing.stored("pulled_es256")
    with pytest.raises(DXFDigestMismatchError) as caught:
        serving(serve, content, A).get_alias("v1", verify=verify)
    assert (caught.value.got, caught.value.expected) == (hash_bytes(signing.payload_of(content)), A)


@pytest.mark.parametrize("verify", [True, False])
def test_a_schema_1_manifest_asked_for_by_digest_has_that_digest(serve: NewServer, verify: bool) -> None:
    with pytest.raises(DXFDigestMismatchError):
        serving(serve, signing.stored("pulled_es256")).get_alias(A, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
def test_a_schema_1_manifest_signed_with_none_is_refused(serve: NewServer, verify: bool) -> None:
    with pytest.raises(DXFDisallowedSignatureAlgorithmError) as caught:
        serving(serve, signing.stored("alg_none")).get_alias("v1", verify=verify)
    assert caught.value.alg == "none"


def test_a_schema_1_manifest_with_a_chain_is_refused(serve: NewServer) -> None:
    content = signing.header_replaced(signing.stored("pulled_es256"), chain=["certificate"])
    with pytest.raises(DXFSignatureChainNotImplementedError):
        serving(serve, content).get_alias("v1")


def test_a_schema_1_manifest_with_another_type_of_key_is_refused(serve: NewServer) -> None:
    content = signing.header_replaced(signing.stored("pulled_es256"), jwk={"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    with pytest.raises(DXFUnexpectedKeyTypeError) as caught:
        serving(serve, content).get_alias("v1")
    assert (caught.value.got, caught.value.expected) == ("RSA", "EC")
