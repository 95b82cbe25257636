"""Docker's first manifest schema: signed JSON, read and verified, never written.

Source: "Image Manifest Version 2, Schema 1" of Docker distribution; JSON Web Signature, RFC 7515. The signature
covers a *payload* that is not the body: its first ``formatLength`` bytes, then the decoded ``formatTail``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwcrypto import jwk, jws
from jwcrypto.common import JWException

from regfs.exceptions import (
    DXFDigestMismatchError,
    DXFDisallowedSignatureAlgorithmError,
    DXFSignatureChainNotImplementedError,
    DXFUnexpectedDigestMethodError,
    DXFUnexpectedKeyTypeError,
)
from regfs.oci.manifest import SCHEMA1_SIGNED, Descriptor, InvalidManifest, Manifest, digest_of, load
from regfs.oci.reference import is_digest

_MAX_SIGNATURES = 16  # each is checked against the whole payload; docker makes one


@dataclass(frozen=True)
class _Signature:
    algorithm: str
    key: jwk.JWK
    protected: str
    value: str
    format_length: int
    format_tail: bytes


def verified_layers(content: bytes, digest: str | None, verify: bool = True) -> list[str]:
    """The blobs of a schema 1 manifest, in its own order (the top layer first).

    :param content: the manifest as the registry sent it
    :param digest: its Docker-Content-Digest, the hash of the payload; None when there was none
    :param verify: whether to check the signatures as well
    :raises DXFDisallowedSignatureAlgorithmError: signed with ``none``
    :raises DXFSignatureChainNotImplementedError: signed through a certificate chain
    :raises DXFUnexpectedKeyTypeError: signed with anything but EC P-256
    :raises DXFDigestMismatchError: when the payload does not hash to *digest*
    :raises DXFUnexpectedDigestMethodError: for a digest that is not sha256
    :raises jwcrypto.jws.InvalidJWSSignature: when a signature is wrong
    :raises InvalidManifest: when a field that is needed is missing or of another type
    """
    document = load(content)
    try:
        return _layers(content, document, digest, verify)
    except InvalidManifest:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InvalidManifest(f"not a schema 1 manifest: {type(error).__name__} {error}") from None


def _layers(content: bytes, document: Mapping[str, Any], digest: str | None, verify: bool) -> list[str]:
    payload, signatures = _payload(content, document, verify)
    if digest is not None:
        require_sha256(digest)
        if digest_of(payload) != digest:
            raise DXFDigestMismatchError(digest_of(payload), digest)
    if verify:
        for signature in signatures:
            _verify(payload, signature)
    return [require_sha256(layer["blobSum"]) for layer in document["fsLayers"]]


def _payload(content: bytes, document: Mapping[str, Any], verify: bool) -> tuple[bytes, list[_Signature]]:
    if not verify and "signatures" not in document:
        return content, []
    if len(document["signatures"]) > _MAX_SIGNATURES:
        raise InvalidManifest("not a schema 1 manifest: it has too many signatures")
    signatures = [_signature(item) for item in document["signatures"]]
    first = signatures[0]
    if any((s.format_length, s.format_tail) != (first.format_length, first.format_tail) for s in signatures):
        raise InvalidManifest("not a schema 1 manifest: its signatures cover different payloads")
    return content[: first.format_length] + first.format_tail, signatures


def _signature(item: Mapping[str, Any]) -> _Signature:
    protected = json.loads(_decoded(item["protected"]))
    header = item["header"]
    if header["alg"].lower() == "none":
        raise DXFDisallowedSignatureAlgorithmError("none")
    if header.get("chain"):
        raise DXFSignatureChainNotImplementedError
    length = protected["formatLength"]
    if not isinstance(length, int) or length < 0:
        raise InvalidManifest("not a schema 1 manifest: formatLength is not a length")
    tail = _decoded(protected["formatTail"])
    return _Signature(header["alg"], _key(header["jwk"]), item["protected"], item["signature"], length, tail)


def _key(item: Mapping[str, Any]) -> jwk.JWK:
    if item["kty"] != "EC":
        raise DXFUnexpectedKeyTypeError(item["kty"], "EC")
    if item["crv"] != "P-256":
        raise DXFUnexpectedKeyTypeError(item["crv"], "P-256")
    try:
        return jwk.JWK(kty="EC", crv="P-256", x=item["x"], y=item["y"])
    except JWException as error:
        raise InvalidManifest(f"not a schema 1 manifest: its key is broken ({type(error).__name__})") from None


def _verify(payload: bytes, signature: _Signature) -> None:
    encoded = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    token = {"payload": encoded, "protected": signature.protected, "signature": signature.value}
    verifier = jws.JWS()
    try:
        verifier.deserialize(json.dumps(token), signature.key, signature.algorithm)
    except jws.InvalidJWSSignature:
        raise
    except (JWException, ValueError) as error:
        raise jws.InvalidJWSSignature(f"the signature cannot be checked ({type(error).__name__})") from None


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def require_sha256(digest: str) -> str:
    """Return *digest* when it is a sha256 one.

    :raises DXFUnexpectedDigestMethodError: with the algorithm that it names instead
    """
    algorithm, _, _ = digest.partition(":")
    if algorithm != "sha256":
        raise DXFUnexpectedDigestMethodError(algorithm, "sha256")
    return digest


def parse(content: bytes, digest: str | None) -> Manifest:
    """A verified schema 1 manifest as one set of blobs of unknown size, the base layer first; read-only.

    :raises: as :func:`verified_layers`, but InvalidManifest for a wrong signature
    """
    try:
        verified = verified_layers(content, digest)
    except jws.InvalidJWSSignature:
        raise InvalidManifest("a schema 1 manifest whose signature is wrong") from None
    layers = list(dict.fromkeys(reversed(verified)))
    return Manifest(
        digest=digest or digest_of(content),
        media_type=SCHEMA1_SIGNED,
        content=content,
        layers=tuple(Descriptor(layer, -1) for layer in layers if is_digest(layer)),
        writable=False,
    )
