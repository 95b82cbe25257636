"""A manifest as a registry sent it, and what the client core's operations read of it."""

from __future__ import annotations

from typing import TypeVar

from regfs.exceptions import DXFDigestMismatchError, DXFDigestNotAvailableForSchema1
from regfs.oci import manifest as manifests
from regfs.oci import schema1

Value = TypeVar("Value", str, int)


class FetchedManifest:
    """A manifest as it came, checked against the digest that it was asked for by, else came with.

    Schema 1 is checked when its layers are read.
    """

    def __init__(self, content: bytes, stated_digest: str | None, content_type: str | None) -> None:
        self.content = content
        self._stated_digest = stated_digest
        self.document = manifests.load(content)
        self.media_type = manifests.kind(self.document, content_type)
        if stated_digest is not None and not self.is_schema1:
            schema1.require_sha256(stated_digest)
            if manifests.digest_of(content) != stated_digest:
                raise DXFDigestMismatchError(manifests.digest_of(content), stated_digest)

    @property
    def is_schema1(self) -> bool:
        """Whether it is of the signed first schema."""
        return self.media_type in manifests.SIGNED

    @property
    def is_index(self) -> bool:
        """Whether it has a manifest per platform."""
        return self.media_type in manifests.INDEXES

    @property
    def digest(self) -> str:
        """What the registry knows the manifest by."""
        return self._stated_digest or manifests.digest_of(self.content)

    def text(self) -> str:
        """The manifest (JSON)."""
        return self.content.decode("utf-8")

    def config(self) -> str:
        """The digest of the configuration blob.

        :raises DXFDigestNotAvailableForSchema1: for a schema 1 manifest
        """
        if self.is_schema1:
            raise DXFDigestNotAvailableForSchema1
        return schema1.require_sha256(_field(self.document.get("config"), "digest", str))

    def layers(self, verify: bool) -> list[str]:
        """The digests of the layers, in the manifest's order.

        :param verify: for schema 1, whether to verify its signatures
        """
        if self.is_schema1:
            return schema1.verified_layers(self.content, self._stated_digest, verify)
        return [schema1.require_sha256(_field(layer, "digest", str)) for layer in self._layers()]

    def sizes(self) -> list[int]:
        """Their sizes in bytes."""
        return [_field(layer, "size", int) for layer in self._layers()]

    def _layers(self) -> list[object]:
        layers = self.document.get("layers") or []
        if not isinstance(layers, list):
            raise manifests.InvalidManifest("not a manifest: its layers are not a list")
        return layers

    def platforms(self) -> list[tuple[str, str]]:
        """Platform name and digest of each entry, the first of repeated ones; entries of no platform are left out."""
        found: dict[str, str] = {}
        for entry in manifests.descriptors(self.document.get("manifests")):
            if entry.platform is not None:
                found.setdefault(entry.platform.join("/"), entry.digest)
        return list(found.items())


def _field(descriptor: object, name: str, kind: type[Value]) -> Value:
    value = descriptor.get(name) if isinstance(descriptor, dict) else None
    if not isinstance(value, kind):
        raise manifests.InvalidManifest(f"not a manifest: a descriptor without its {name}")
    return value
