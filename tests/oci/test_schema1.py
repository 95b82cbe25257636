"""Signed schema 1 manifests: which are believed, and what each kind of broken one is called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwcrypto import jwk
from jwcrypto.jws import InvalidJWSSignature

from regfs import hash_bytes
from regfs.exceptions import (
    DXFDigestMismatchError,
    DXFDisallowedSignatureAlgorithmError,
    DXFError,
    DXFSignatureChainNotImplementedError,
    DXFUnexpectedDigestMethodError,
    DXFUnexpectedKeyTypeError,
)
from regfs.oci import schema1
from regfs.oci.manifest import SCHEMA1_SIGNED, InvalidManifest
from regfs.oci.schema1 import verified_layers
from tests.oci import signing
from tests.oci.signing import GOOD, stored

A, B = hash_bytes(b"a"), hash_bytes(b"b")
CONTENT, DIGEST = signing.signed(signing.document(A, B))
RSA = jwk.JWK.generate(kty="RSA", size=2048)
P384 = jwk.JWK.generate(kty="EC", crv="P-384")
OTHER = jwk.JWK.generate(kty="EC", crv="P-256")


def public(key: jwk.JWK) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(key.export_public())
    return document


def signature_changed(content: bytes, **fields: object) -> bytes:
    signatures = json.loads(content)["signatures"]
    signatures[0].update(fields)
    return signing.with_signatures(signing.payload_of(content), signatures)


@pytest.mark.parametrize("name", GOOD)
def test_what_a_registry_signed_is_believed(name: str) -> None:
    content = stored(name)
    layers = [layer["blobSum"] for layer in json.loads(content)["fsLayers"]]
    assert verified_layers(content, hash_bytes(signing.payload_of(content))) == layers


def test_layers_are_in_the_manifests_own_order() -> None:
    assert verified_layers(CONTENT, DIGEST) == [A, B]


def test_without_a_digest_the_signatures_are_verified_alone() -> None:
    assert verified_layers(CONTENT, None) == [A, B]


@pytest.mark.parametrize("text", ["é", "ж" * 100, "\U0001f600", "a\u0301"])
def test_the_payload_is_measured_in_bytes(text: str) -> None:
    content, digest = signing.signed(signing.document(A, author=text))
    assert text.encode() in content
    assert verified_layers(content, digest) == [A]


def test_every_signature_is_verified() -> None:
    content, digest = signing.signed(signing.document(A), signing.KEY, OTHER)
    assert verified_layers(content, digest) == [A]
    signatures = json.loads(content)["signatures"]
    signatures[1]["signature"] = signatures[0]["signature"]
    with pytest.raises(InvalidJWSSignature):
        verified_layers(signing.with_signatures(signing.payload_of(content), signatures), digest)


def test_a_manifest_that_was_tampered_with_is_refused() -> None:
    content = stored("tampered")
    with pytest.raises(InvalidJWSSignature):
        verified_layers(content, hash_bytes(signing.payload_of(content)))


def test_a_manifest_that_was_tampered_with_is_read_when_nothing_is_to_be_verified() -> None:
    content = stored("tampered")
    layers = [layer["blobSum"] for layer in json.loads(content)["fsLayers"]]
    assert verified_layers(content, hash_bytes(signing.payload_of(content)), verify=False) == layers


@pytest.mark.parametrize("verify", [True, False])
def test_another_digest_is_a_mismatch(verify: bool) -> None:
    with pytest.raises(DXFDigestMismatchError) as caught:
        verified_layers(CONTENT, A, verify)
    assert (caught.value.got, caught.value.expected) == (DIGEST, A)


def test_a_digest_of_another_method_is_unexpected() -> None:
    with pytest.raises(DXFUnexpectedDigestMethodError) as caught:
        verified_layers(CONTENT, "sha512:" + "0" * 128)
    assert (caught.value.got, caught.value.expected) == ("sha512", "sha256")


@pytest.mark.parametrize("verify", [True, False])
def test_a_stored_manifest_signed_with_none_is_refused(verify: bool) -> None:
    with pytest.raises(DXFDisallowedSignatureAlgorithmError) as caught:
        verified_layers(stored("alg_none"), None, verify)
    assert caught.value.alg == "none"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_none_in_any_case_is_refused(algorithm: str) -> None:
    with pytest.raises(DXFDisallowedSignatureAlgorithmError):
        verified_layers(signing.header_replaced(CONTENT, alg=algorithm), DIGEST)


def test_none_in_the_second_signature_is_refused() -> None:
    content, digest = signing.signed(signing.document(A), signing.KEY, OTHER)
    signatures = json.loads(content)["signatures"]
    signatures[1]["header"]["alg"] = "none"
    with pytest.raises(DXFDisallowedSignatureAlgorithmError):
        verified_layers(signing.with_signatures(signing.payload_of(content), signatures), digest)


@pytest.mark.parametrize("algorithm", ["RS256", "HS256", "ES384", "PS256", "", "unknown"])
def test_an_algorithm_that_is_not_of_the_key_is_refused(algorithm: str) -> None:
    with pytest.raises(InvalidJWSSignature):
        verified_layers(signing.header_replaced(CONTENT, alg=algorithm), DIGEST)


@pytest.mark.parametrize("verify", [True, False])
def test_a_chain_of_certificates_is_not_followed(verify: bool) -> None:
    with pytest.raises(DXFSignatureChainNotImplementedError):
        verified_layers(signing.header_replaced(CONTENT, chain=["certificate"]), DIGEST, verify)


def test_an_empty_chain_is_none() -> None:
    assert verified_layers(signing.header_replaced(CONTENT, chain=[]), DIGEST) == [A, B]


@pytest.mark.parametrize(
    ("key", "algorithm", "got", "expected"),
    [(RSA, "RS256", "RSA", "EC"), (P384, "ES384", "P-384", "P-256")],
    ids=["RSA", "P-384"],
)
def test_another_type_of_key_is_unexpected(key: jwk.JWK, algorithm: str, got: str, expected: str) -> None:
    text = signing.payload(signing.document(A))
    content = signing.with_signatures(text, [signing.signature(text, key, algorithm)])
    with pytest.raises(DXFUnexpectedKeyTypeError) as caught:
        verified_layers(content, hash_bytes(text))
    assert (caught.value.got, caught.value.expected) == (got, expected)


def test_the_algorithm_goes_before_the_chain_and_the_chain_before_the_key() -> None:
    with pytest.raises(DXFDisallowedSignatureAlgorithmError):
        verified_layers(signing.header_replaced(CONTENT, alg="none", chain=["x"], jwk=public(RSA)), A)
    with pytest.raises(DXFSignatureChainNotImplementedError):
        verified_layers(signing.header_replaced(CONTENT, chain=["x"], jwk=public(RSA)), A)


def test_the_key_goes_before_the_digest_and_the_digest_before_the_signature() -> None:
    with pytest.raises(DXFUnexpectedKeyTypeError):
        verified_layers(signing.header_replaced(CONTENT, jwk=public(RSA)), A)
    with pytest.raises(DXFDigestMismatchError):
        verified_layers(signing.header_replaced(CONTENT, jwk=public(OTHER)), A)


def test_a_signature_of_another_key_is_refused() -> None:
    with pytest.raises(InvalidJWSSignature):
        verified_layers(signing.header_replaced(CONTENT, jwk=public(OTHER)), DIGEST)


@pytest.mark.parametrize("value", ["", "AAAA", "not base64!", "é"])
def test_what_is_no_signature_is_refused(value: str) -> None:
    with pytest.raises(InvalidJWSSignature):
        verified_layers(signature_changed(CONTENT, signature=value), DIGEST)


@pytest.mark.parametrize(
    "protected",
    [b"{}", b"[]", b"3", b"not JSON", b"\xff", b'{"formatLength": -1, "formatTail": "Cn0"}',
     b'{"formatLength": "1", "formatTail": "Cn0"}', b'{"formatLength": 1, "formatTail": 3}',
     b'{"formatLength": 1, "formatTail": "A"}', '{"formatLength": 1, "formatTail": "é"}'.encode(),
     b'{"formatLength": ' + b"9" * 5000 + b', "formatTail": "Cn0"}', b"[" * 100_000],
)  # fmt: skip
def test_a_broken_protected_header_is_no_manifest(protected: bytes) -> None:
    with pytest.raises(InvalidManifest):
        verified_layers(signature_changed(CONTENT, protected=signing.encoded(protected)), DIGEST)


@pytest.mark.parametrize("fields", [{"protected": 3}, {"protected": "é"}, {"header": 3}, {"header": {}}])
def test_a_broken_signature_is_no_manifest(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidManifest):
        verified_layers(signature_changed(CONTENT, **fields), DIGEST)


@pytest.mark.parametrize("key", [{}, 3, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": "", "y": ""}])
def test_a_broken_key_is_no_manifest(key: object) -> None:
    with pytest.raises(InvalidManifest):
        verified_layers(signing.header_replaced(CONTENT, jwk=key), DIGEST)


@pytest.mark.parametrize("signatures", [None, [], {}, "x", [3]])
@pytest.mark.parametrize("verify", [True, False])
def test_a_manifest_without_a_usable_signature_is_no_manifest(signatures: object, verify: bool) -> None:
    with pytest.raises(InvalidManifest):
        verified_layers(json.dumps({**signing.document(A), "signatures": signatures}).encode(), None, verify)


def test_an_unsigned_manifest_is_read_only_when_nothing_is_to_be_verified() -> None:
    content = json.dumps(signing.document(A)).encode()
    assert verified_layers(content, hash_bytes(content), verify=False) == [A]
    with pytest.raises(InvalidManifest):
        verified_layers(content, hash_bytes(content))


def test_signatures_of_different_payloads_are_no_manifest() -> None:
    text = signing.payload(signing.document(A))
    signatures = [signing.signature(text), signing.signature(text, tail=text[-5:])]
    with pytest.raises(InvalidManifest):
        verified_layers(signing.with_signatures(text, signatures), hash_bytes(text))


@pytest.mark.parametrize("layers", [None, 3, [3], [{}], [{"blobSum": 3}]])
def test_broken_layers_are_no_manifest(layers: object) -> None:
    content, digest = signing.signed({**signing.document(A), "fsLayers": layers})
    with pytest.raises(InvalidManifest):
        verified_layers(content, digest)


def test_a_parsed_manifest_has_each_blob_once_and_the_base_first() -> None:
    content, digest = signing.signed(signing.document(A, B, B))
    parsed = schema1.parse(content, digest)
    assert [layer.digest for layer in parsed.layers] == [B, A]
    assert (parsed.digest, parsed.media_type, parsed.content) == (digest, SCHEMA1_SIGNED, content)
    assert ({layer.size for layer in parsed.layers}, parsed.config, parsed.writable) == ({-1}, None, False)


def test_a_parsed_manifest_leaves_out_what_is_no_digest() -> None:
    content, digest = signing.signed(signing.document(A, "sha256:../../x"))
    assert [layer.digest for layer in schema1.parse(content, digest).layers] == [A]


@given(st.integers(0, len(CONTENT) - 1), st.integers(0, 255))
def test_a_changed_byte_never_changes_the_layers(position: int, byte: int) -> None:
    changed = CONTENT[:position] + bytes([byte]) + CONTENT[position + 1 :]
    try:
        layers = verified_layers(changed, DIGEST)
    except (InvalidManifest, InvalidJWSSignature, DXFError):
        return
    assert layers == [A, B]


@given(st.sampled_from(GOOD), st.integers(0, 1800), st.integers(0, 40), st.binary(max_size=8), st.booleans())
def test_a_changed_range_is_an_error_of_a_known_kind(
    name: str, start: int, length: int, replacement: bytes, verify: bool
) -> None:
    content = stored(name)
    changed = content[:start] + replacement + content[start + length :]
    try:
        verified_layers(changed, None, verify)
    except (InvalidManifest, InvalidJWSSignature, DXFError):
        return
