"""What a registry says a tag is: manifests, indexes and their descriptors, parsed. :mod:`regfs.oci.edits` changes them.

Pure: bytes in, frozen values or bytes out. A manifest comes from outside, so nothing in it is believed before it is
checked; an entry that is not sane is left out and the good ones beside it stay.

Sources: OCI image specification 1.1 (manifest, image index, descriptor, annotations); Docker image manifest
version 2, schemas 1 and 2.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from regfs.oci.errors import InvalidManifest, UnsupportedManifest
from regfs.oci.reference import is_digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT = "application/vnd.oci.artifact.manifest.v1+json"  # of image specification 1.1-rc2, "Artifact Manifest"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
SIGNED = frozenset({SCHEMA1, SCHEMA1_SIGNED})
ACCEPT = ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, SCHEMA1_SIGNED, SCHEMA1))
ACCEPT_ALL = f"{ACCEPT}, {OCI_ARTIFACT}"

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
EMPTY_MEDIA_TYPE = "application/vnd.oci.empty.v1+json"
EMPTY_CONTENT = b"{}"
BLOB_MEDIA_TYPE = "application/octet-stream"
ARTIFACT_TYPE = "application/vnd.regfs.files.v1"
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"
# A title by the ModelPack specification, and what it says of the file; the older names last.
MODEL_PATHS = ("org.cncf.model.filepath", "org.cnai.model.filepath")
FILE_METADATA = ("org.cncf.model.file.metadata+json", "org.cnai.model.file.metadata+json")
_LAYERS = (  # how media types of blobs begin that an index has in the place of manifests
    "application/vnd.buildkit.cacheconfig.",
    "application/vnd.docker.image.rootfs.diff.",
    "application/vnd.oci.image.layer.",
)

MAX_BYTES = 4 * 1024 * 1024  # the limit of docker-registry 2.8.2, measured: one byte more is refused
_MAX_SIZE = 2**63 - 1
_MAX_DESCRIPTORS = 150_000
_MAX_PARTS = 1_000_000  # objects, lists and members of JSON; 100,000 layers are 600,000
_NOTHING: Mapping[str, Any] = {}  # one for all: a manifest has 100,000 descriptors, and few of them say anything more
_KNOWN = frozenset({"mediaType", "digest", "size", "annotations", "platform"})


def digest_of(content: bytes, like: str | None = None) -> str:
    """The digest of *content*: sha256, or of the algorithm that the digest *like* is of."""
    algorithm = like.partition(":")[0] if like and is_digest(like) else "sha256"
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"


@dataclass(frozen=True)
class Platform:
    """The system that a manifest in an index is for.

    :param unknown: the other fields of its JSON object, such as ``os.version``
    """

    os: str
    architecture: str
    variant: str = ""
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, hash=False)

    def join(self, separator: str) -> str:
        """The name as ``os`` *separator* ``architecture`` and, where there is one, the variant."""
        return separator.join(part for part in (self.os, self.architecture, self.variant) if part)

    def to_json(self) -> dict[str, Any]:
        """The platform as a descriptor holds it."""
        document: dict[str, Any] = {"architecture": self.architecture, "os": self.os}
        return document | ({"variant": self.variant} if self.variant else {}) | dict(self.unknown)


@dataclass(frozen=True)
class Descriptor:
    """A pointer to content: its digest and what is known of it without fetching it.

    :param size: length of the content in bytes; -1 where the manifest does not say (schema 1)
    :param unknown: the other fields of its JSON object, such as ``urls``, ``data``, ``artifactType``; and, under its
        own name, what of ``annotations`` or ``platform`` is not as the specification has it
    """

    digest: str
    size: int
    media_type: str = BLOB_MEDIA_TYPE
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    unknown: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)

    def __hash__(self) -> int:
        return hash((self.digest, self.size, self.title))  # files with the same bytes, as empty ones, are many

    @property
    def title(self) -> str | None:
        """The file name that the publisher gave the content; :mod:`regfs.oci.producers` says how it is shown."""
        return next((self.annotations[key] for key in (TITLE, *MODEL_PATHS) if self.annotations.get(key)), None)

    @property
    def urls(self) -> tuple[str, ...]:
        """Where else the content is (image specification 1.1, "Properties")."""
        urls = self.unknown.get("urls")
        return tuple(url for url in urls if isinstance(url, str)) if isinstance(urls, list) else ()

    def data(self) -> bytes | None:
        """The content, where the descriptor itself has it (image specification 1.1, "Embedded Content").

        None also where it is not what size and digest say.
        """
        data = self.unknown.get("data")
        if not isinstance(data, str):
            return None
        try:
            content = base64.b64decode(data, validate=True)
        except ValueError:
            return None
        return content if len(content) == self.size and digest_of(content, self.digest) == self.digest else None

    def to_json(self) -> dict[str, Any]:
        """The descriptor as a manifest holds it."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        document.update(self.unknown)
        if self.annotations:
            odd = self.unknown.get("annotations")
            document["annotations"] = {**(odd if isinstance(odd, dict) else {}), **self.annotations}
        if self.platform is not None:
            document["platform"] = self.platform.to_json()
        return document


EMPTY_DESCRIPTOR = Descriptor(digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT), EMPTY_MEDIA_TYPE)


class _Content:
    """The bytes of a manifest."""

    content: bytes

    @cached_property
    def content_digest(self) -> str:
        """The digest of *content*, with the signatures that *digest* leaves out (schema 1)."""
        return digest_of(self.content)


@dataclass(frozen=True)
class Manifest(_Content):
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
class Index(_Content):
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
    :raises UnsupportedManifest: when it is none of the known types
    """
    if document.get("schemaVersion") == 1:
        return SCHEMA1_SIGNED if "signatures" in document else SCHEMA1
    stated = document.get("mediaType")
    if stated is None:
        header = (content_type or "").partition(";")[0].strip()
        stated = header if header in MANIFESTS | INDEXES else _kind_by_fields(document)
    if not isinstance(stated, str) or stated not in MANIFESTS | INDEXES:
        raise UnsupportedManifest(stated)
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
    :raises UnsupportedManifest: for schema 1 (see :mod:`regfs.oci.schema1`) and unknown types
    """
    document = load(content)
    media_type = kind(document, content_type)
    got = digest_of(content, digest)
    annotations = _strings(document.get("annotations"))
    artifact_type = _string(document.get("artifactType"))
    if media_type in INDEXES:
        entries = descriptors(document.get("manifests"))
        if entries and all(entry.media_type.startswith(_LAYERS) for entry in entries):  # a build cache
            return Manifest(got, media_type, content, entries, None, annotations, artifact_type, writable=False)
        return Index(got, media_type, content, entries, annotations, artifact_type)
    if media_type not in MANIFESTS:
        raise UnsupportedManifest(media_type)
    config = descriptor(document.get("config"))
    layers = descriptors(document.get(layers_key(document)))
    return Manifest(got, media_type, content, layers, config, annotations, artifact_type)


def layers_key(document: Mapping[str, Any]) -> str:
    """The field of a manifest that lists its blobs: ``blobs`` in the artifact manifests of 1.1-rc2."""
    return "blobs" if document.get("mediaType") == OCI_ARTIFACT and "blobs" in document else "layers"


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
    annotations, system = _strings(value.get("annotations")), platform(value.get("platform"))
    return Descriptor(digest, size, media_type, annotations, system, _unknown(value, annotations, system))


def _unknown(value: Mapping[str, Any], annotations: Mapping[str, str], system: Platform | None) -> Mapping[str, Any]:
    """What a descriptor's JSON object has that no field of :class:`Descriptor` holds."""
    found = {name: item for name, item in value.items() if name not in _KNOWN}
    stated = value.get("annotations")
    if isinstance(stated, dict) and len(stated) != len(annotations):
        found["annotations"] = {name: item for name, item in stated.items() if name not in annotations}
    elif stated is not None and not isinstance(stated, dict):
        found["annotations"] = stated
    if system is None and "platform" in value:
        found["platform"] = value["platform"]
    return found or _NOTHING


def platform(value: object) -> Platform | None:
    """A platform from JSON; None when it names no system."""
    if not isinstance(value, dict):
        return None
    system, architecture = _string(value.get("os")), _string(value.get("architecture"))
    if not system or not architecture:
        return None
    variant = _string(value.get("variant")) or ""
    known = {"os", "architecture"} | ({"variant"} if variant else set())
    unknown = {name: item for name, item in value.items() if name not in known}
    return Platform(system, architecture, variant, unknown or _NOTHING)


def _string(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _strings(value: object) -> Mapping[str, str]:
    return {k: v for k, v in value.items() if isinstance(v, str)} if isinstance(value, dict) else {}


def schema2(layers: Iterable[tuple[str, int]]) -> str:
    """A Docker schema 2 manifest of blobs without names; the first doubles as its configuration.

    :param layers: (digest, size in bytes) of each blob, at least one
    """
    items = [{"mediaType": BLOB_MEDIA_TYPE, "size": size, "digest": digest} for digest, size in layers]
    config = {**items[0], "mediaType": DOCKER_CONFIG}
    document = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": items}
    return json.dumps(document, sort_keys=True)
