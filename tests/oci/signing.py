"""Schema 1 manifests, signed as a registry does it: stored ones, and new ones of any kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jwcrypto import jwk, jws

from regfs import hash_bytes

DATA = Path(__file__).with_name("data")
GOOD = ("pulled_es256", "converted_from_v2")
KEY = jwk.JWK(**json.loads((DATA / "key.json").read_text()))


def stored(name: str) -> bytes:
    """A manifest that a real registry signed, or one that was broken afterwards."""
    return (DATA / f"{name}.json").read_bytes()


def payload_of(content: bytes) -> bytes:
    """What the signatures of a manifest cover."""
    protected = json.loads(decoded(json.loads(content)["signatures"][0]["protected"]))
    return content[: protected["formatLength"]] + decoded(protected["formatTail"])


def decoded(text: str) -> bytes:
    """The bytes of unpadded base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(content: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def document(*blobs: str, **fields: object) -> dict[str, Any]:
    """An unsigned manifest of *blobs*, the top layer first."""
    history = [{"v1Compatibility": json.dumps({"id": f"{number:064x}"})} for number, _ in enumerate(blobs)]
    layers = [{"blobSum": blob} for blob in blobs]
    named = {"schemaVersion": 1, "name": "img/v1", "tag": "signed", "architecture": "amd64"}
    return {**named, "fsLayers": layers, "history": history, **fields}


def signature(payload: bytes, key: jwk.JWK = KEY, algorithm: str = "ES256", tail: bytes = b"\n}") -> dict[str, Any]:
    """One signature of a payload that ends with *tail*."""
    protected = json.dumps({"formatLength": len(payload) - len(tail), "formatTail": encoded(tail)})
    signed = jws.JWS(payload)
    signed.add_signature(key, algorithm, protected, json.dumps({"alg": algorithm}))
    parts = json.loads(signed.serialize())
    header = {"jwk": json.loads(key.export_public()), "alg": algorithm}
    return {"header": header, "signature": parts["signature"], "protected": parts["protected"]}


def payload(manifest: dict[str, Any]) -> bytes:
    """The text of an unsigned manifest; what is not ASCII stays as it is."""
    return json.dumps(manifest, indent=3, ensure_ascii=False).encode()


def with_signatures(text: bytes, signatures: Sequence[dict[str, Any]]) -> bytes:
    """A payload with its signatures put in, as they travel."""
    return text.removesuffix(b"\n}") + b',\n   "signatures": ' + json.dumps(signatures).encode() + b"\n}"


def signed(manifest: dict[str, Any], *keys: jwk.JWK) -> tuple[bytes, str]:
    """A signed manifest and its digest."""
    text = payload(manifest)
    return with_signatures(text, [signature(text, key) for key in keys or (KEY,)]), hash_bytes(text)


def header_replaced(content: bytes, **fields: object) -> bytes:
    """A signed manifest whose first signature's header has other fields."""
    text = payload_of(content)
    signatures = json.loads(content)["signatures"]
    signatures[0]["header"].update(fields)
    return with_signatures(text, signatures)
