"""What a registry says an alias is: manifests, indexes and their descriptors, parsed, edited and built.

Pure: bytes in, frozen values or bytes out. A manifest comes from outside, so nothing in it is believed before it is
checked; an entry that is not sane is left out and the good ones beside it stay.

Sources: OCI image specification 1.1 (manifest, image index, descriptor, annotations); Docker image manifest
version 2, schemas 1 and 2.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regfs.exceptions import DXFUnsupportedSchemaType
from regfs.oci.reference import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
SIGNED = frozenset({SCHEMA1, SCHEMA1_SIGNED})
ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, SCHEMA1_SIGNED, SCHEMA1))

DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
EMPTY_MEDIA_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT = b"{}"
BLOB_MEDIA_TYPE = "application/octet-stream"
ARTIFACT_TYPE = "application/vnd.regfs.files.v1"
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"

MAX_BYTES = 4 * 1024 * 1024  # the limit of docker-registry 2.8.2, measured: one byte more is refused
_MAX_SIZE = 2**63 - 1
_MAX_DESCRIPTORS = 150_000
_MAX_PARTS = 1_000_000  # objects, lists and members of JSON; 100,000 layers are 600,000


class InvalidManifest(ValueError):
    """Bytes that claim to be a manifest and are not one."""


def digest_of(content: bytes, like: str | None = None) -> str:
    """The digest of *content*: sha256, or of the algorithm that the digest *like* is of."""
    algorithm = like.partition(":")[0] if like and is_digest(like) else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass(frozen=True)
class Platform:
    """The system that a manifest in an index is for."""

    os: str
    architecture: str
    variant: str = ""

    def join(self, separator: str) -> str:
        """The name as ``os`` *separator* ``architecture`` and, where there is one, the variant."""
        return separator.join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content: its digest and what is known of it without fetching it.

    :param size: length of the content in bytes; -1 where the manifest does not say (schema 1)
    """

    digest: str
    size: int
    media_type: str = BLOB_MEDIA_TYPE
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None

    def __hash__(self) -> int:
        return hash((self.digest, self.size, self.title))  # files with the same bytes, as empty ones, are many

    @property
    def title(self) -> str | None:
        """The file name that the publisher gave the content."""
        return self.annotations.get(TITLE)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as a manifest holds it."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            document["annotations"] = dict(self.annotations)
        return document


EMPTY_DESCRIPTOR = Descriptor(digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT), EMPTY_MEDIA_TYPE)


@dataclass(frozen=True)
class Manifest:
    """One set of blobs.

    :param content: the exact bytes that *digest* is the hash of
    :param writable: whether a file can be added; schema 1 manifests are signed and cannot be edited
    """

    digest: str
    media_type: str
    content: bytes
    layers: tuple[Descriptor, ...]
    config: Descriptor | None = None
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None
    writable: bool = True

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """What it names: the layers, then the config."""
        return self.layers if self.config is None else (*self.layers, self.config)


@dataclass(frozen=True)
class Index:
    """One manifest per platform, or per whatever its entries say."""

    digest: str
    media_type: str
    content: bytes
    entries: tuple[Descriptor, ...]
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    artifact_type: str | None = None


def load(content: bytes | str) -> dict[str, Any]:
    """Decode the JSON object that *content* is.

    :raises InvalidManifest: when it is not JSON, not an object, nested to exhaustion, or of so many parts that
        decoding them would need much more memory than they have bytes
    """
    if isinstance(content, bytes):
        parts = content.count(b"{") + content.count(b"[") + content.count(b",")
    else:
        parts = content.count("{") + content.count("[") + content.count(",")
    if parts > _MAX_PARTS:
        raise InvalidManifest("not a manifest: of too many parts")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InvalidManifest(f"not a manifest: {type(error).__name__}") from None
    if not isinstance(document, dict):
        raise InvalidManifest("not a manifest: not a JSON object")
    return document


def kind(document: Mapping[str, Any], content_type: str | None = None) -> str:
    """The media type of a decoded manifest.

    The document's own ``mediaType`` decides; OCI lets it be absent, then the response's Content-Type, then the
    fields that are there (image specification 1.1, "mediaType").

    :param content_type: the Content-Type header of the response that brought it
    :raises DXFUnsupportedSchemaType: when it is none of the known types
    """
    if document.get("schemaVersion") == 1:
        return SCHEMA1_SIGNED if "signatures" in document else SCHEMA1
    stated = document.get("mediaType")
    if stated is None:
        header = (content_type or "").partition(";")[0].strip()
        stated = header if header in MANIFESTS | INDEXES else _kind_by_fields(document)
    if not isinstance(stated, str) or stated not in MANIFESTS | INDEXES:
        raise DXFUnsupportedSchemaType(stated)
    return stated


def _kind_by_fields(document: Mapping[str, Any]) -> str | None:
    if isinstance(document.get("manifests"), list):
        return OCI_INDEX
    return OCI_MANIFEST if "layers" in document or "config" in document else None


def parse(content: bytes, content_type: str | None = None, digest: str | None = None) -> Manifest | Index:
    """Parse a manifest or index of schema 2 or OCI.

    Entries that are not sane descriptors are left out.

    :param content_type: the Content-Type header of the response that brought it
    :param digest: what it is known by, to hash it with the same algorithm
    :raises InvalidManifest: when *content* is not a JSON object
    :raises DXFUnsupportedSchemaType: for schema 1 (see :mod:`regfs.oci.schema1`) and unknown types
    """
    document = load(content)
    media_type = kind(document, content_type)
    got = digest_of(content, digest)
    annotations = _strings(document.get("annotations"))
    artifact_type = _string(document.get("artifactType"))
    if media_type in INDEXES:
        entries = descriptors(document.get("manifests"))
        return Index(got, media_type, content, entries, annotations, artifact_type)
    if media_type not in MANIFESTS:
        raise DXFUnsupportedSchemaType(media_type)
    config = descriptor(document.get("config"))
    layers = descriptors(document.get("layers"))
    return Manifest(got, media_type, content, layers, config, annotations, artifact_type)


def descriptors(value: object) -> tuple[Descriptor, ...]:
    """The sane descriptors of a JSON list, in order.

    :raises InvalidManifest: when there are absurdly many
    """
    if isinstance(value, list) and len(value) > _MAX_DESCRIPTORS:
        raise InvalidManifest(f"not a manifest that can be worked with: it has {len(value)} entries")
    found = (descriptor(item) for item in value) if isinstance(value, list) else iter(())
    return tuple(item for item in found if item is not None)


def descriptor(value: object) -> Descriptor | None:
    """A descriptor from JSON; None when its digest or size is not one."""
    if not isinstance(value, dict):
        return None
    digest, size = value.get("digest"), value.get("size")
    if not isinstance(digest, str) or not is_digest(digest):
        return None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
        return None
    media_type = _string(value.get("mediaType")) or BLOB_MEDIA_TYPE
    return Descriptor(digest, size, media_type, _strings(value.get("annotations")), platform(value.get("platform")))


def platform(value: object) -> Platform | None:
    """A platform from JSON; None when it names no system."""
    if not isinstance(value, dict):
        return None
    system, architecture = _string(value.get("os")), _string(value.get("architecture"))
    if not system or not architecture:
        return None
    return Platform(system, architecture, _string(value.get("variant")) or "")


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _strings(value: object) -> Mapping[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def new_artifact(created: str) -> bytes:
    """A manifest without files: an OCI 1.1 artifact with the empty config.

    :param created: when it was made, RFC 3339
    """
    return _dump(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": EMPTY_DESCRIPTOR.to_json(),
            "layers": [],
            "annotations": {CREATED: created},
        }
    )


def schema2(layers: Iterable[tuple[str, int]]) -> str:
    """A Docker schema 2 manifest of blobs without names; the first doubles as its configuration.

    :param layers: (digest, size in bytes) of each blob, at least one
    """
    items = [{"mediaType": BLOB_MEDIA_TYPE, "size": size, "digest": digest} for digest, size in layers]
    config = {**items[0], "mediaType": DOCKER_CONFIG}
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": items}
    return json.dumps(document, sort_keys=True)


def edit_layers(content: bytes, remove: frozenset[Descriptor], add: Mapping[Descriptor, Descriptor | None]) -> bytes:
    """Replace, add and remove layers of a manifest, leaving everything else as it is.

    Config, annotations, unknown fields and the order of the other layers stay.

    :param remove: layers to drop, compared whole
    :param add: new layer → the layer whose place it takes, or None to put it at the end
    :raises InvalidManifest: when *content* is not an editable manifest
    """
    document = load(content)
    old = document.get("layers")
    if old is not None and not isinstance(old, list):
        raise InvalidManifest("its layers are not a list")
    replacements: dict[Descriptor, Descriptor] = {}
    last = []
    for layer, place in add.items():
        if place is None or place in replacements:
            last.append(layer)
        else:
            replacements[place] = layer
    layers = []
    for item in old or []:
        known = descriptor(item)
        if known is not None and known in replacements:
            layers.append(_renewed(item, replacements.pop(known)))
        elif known is None or known not in remove:
            layers.append(item)
    layers += [layer.to_json() for layer in (*replacements.values(), *last)]
    return _dump({**document, "layers": layers})


def _renewed(item: dict[str, Any], layer: Descriptor) -> dict[str, Any]:
    """*item* pointing at *layer*: its media type and foreign fields stay, what described the old bytes goes."""
    renewed = {k: v for k, v in item.items() if k not in ("urls", "data")}
    renewed.update(layer.to_json())
    return renewed


def _dump(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only write as an escape
        return json.dumps(document, separators=(",", ":")).encode()
