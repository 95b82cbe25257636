"""Edits of manifests: layers added, replaced, renamed and removed. Pure: bytes and values in, bytes out.

A manifest is edited, not rewritten: its config, its annotations, the order of its other layers and every field that
is unknown here stay. Nothing that a descriptor says is lost when its layer gets another title.

Sources: OCI image specification 1.1 (manifest, descriptor, annotations; "Guidelines for Artifact Usage").
"""

from __future__ import annotations

import errno
import json
import mimetypes
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from regfs.oci.errors import InvalidManifest
from regfs.oci.manifest import (
    ARTIFACT_TYPE,
    BLOB_MEDIA_TYPE,
    CREATED,
    EMPTY_DESCRIPTOR,
    MODEL_PATH,
    OCI_MANIFEST,
    SIGNED,
    TITLE,
    Descriptor,
    Index,
    Manifest,
    descriptor,
    layers_key,
    load,
)
from regfs.oci.titles import title_path

Path = tuple[str, ...]
_OF_THE_BYTES = frozenset({"urls", "data"})  # fields that say where the bytes are, or are the bytes
_NOTES_ON_BYTES = frozenset({"io.deis.oras.content.digest"})  # annotations that describe the bytes


class Refused(OSError):
    """A change that cannot be made to this tag; the text says why."""


@dataclass(frozen=True)
class NewBytes:
    """New bytes for a file. What else the layer of that file says, as its media type and annotations, stays.

    :param size: in bytes
    :param created: the file's time of modification, RFC 3339
    """

    digest: str
    size: int
    created: str


# What becomes of the file at a path: this layer exactly, these bytes, or, with None, no file.
Change = Descriptor | NewBytes | None


def editable(name: str, manifest: Manifest | Index | None) -> Manifest | None:
    """The manifest of the tag *name*, if it has one, when its files can be changed.

    :raises Refused: EROFS
    """
    if isinstance(manifest, Index):
        raise Refused(errno.EROFS, f"{name} is multi-platform; its files cannot be changed")
    if manifest is not None and manifest.media_type in SIGNED:
        raise Refused(errno.EROFS, f"{name} is a signed schema 1 manifest; it cannot be changed")
    if manifest is not None and not manifest.writable:
        raise Refused(errno.EROFS, f"{name} is of a kind that cannot be changed")
    return manifest


def edited(
    old: Manifest | None, present: Mapping[Path, Descriptor], changes: Mapping[Path, Change], created: str
) -> bytes | None:
    """The manifest *old*, or a new one, with *changes* made; None when they change nothing.

    :param present: the files that *old* has
    :param created: when a new manifest is made, RFC 3339
    """
    content = old.content if old is not None else new_artifact(created)
    remove: set[Descriptor] = set()
    add: dict[Descriptor, Descriptor | None] = {}
    whole: set[Descriptor] = set()
    titled = _by_title(old, changes)
    for path, change in changes.items():
        place = present.get(path)
        # The first layer of a title has it; others of the same title would come up when that one goes.
        remove.update(layer for layer in titled.get(path, ()) if layer != place)
        if change is None:
            remove.update([place] if place is not None else [])
            continue
        layer = change if isinstance(change, Descriptor) else _with_bytes(change, place, path[-1])
        if place is None or path != (layer.digest,):  # else it goes by its digest, also with a title nobody can use
            layer = _titled(layer, path)
        if layer == place:
            continue
        add[layer] = place
        if isinstance(change, Descriptor):
            whole.add(layer)
    if not remove and not add:
        return None
    return edit_layers(content, frozenset(remove), add, frozenset(whole))


def _by_title(old: Manifest | None, paths: Collection[Path]) -> Mapping[Path, list[Descriptor]]:
    """Every layer that has one of *paths* as its title."""
    found: dict[Path, list[Descriptor]] = {}
    for layer in old.layers if old is not None else ():
        path = title_path(layer.title)
        if path is not None and path in paths:
            found.setdefault(path, []).append(layer)
    return found


def _with_bytes(change: NewBytes, place: Descriptor | None, name: str) -> Descriptor:
    """The layer *place*, or a new one for a file *name*, with other bytes.

    The media type of a layer that is there stays, unless it says nothing and the file's name says something.
    """
    created = {CREATED: change.created}
    if place is None:
        return Descriptor(change.digest, change.size, media_type(name), created)
    unknown, annotations = place.unknown, place.annotations
    if change.digest != place.digest:
        unknown = {field: value for field, value in unknown.items() if field not in _OF_THE_BYTES}
        annotations = {name: value for name, value in annotations.items() if name not in _NOTES_ON_BYTES}
    kind = media_type(name) if place.media_type == BLOB_MEDIA_TYPE else place.media_type
    return replace(place, digest=change.digest, size=change.size, media_type=kind,
                   annotations={**annotations, **created}, unknown=unknown)  # fmt: skip


def _titled(layer: Descriptor, path: Path) -> Descriptor:
    """The layer at *path*; a blob that goes by its digest has no title."""
    if path == (layer.digest,):
        kept = {name: value for name, value in layer.annotations.items() if name not in (TITLE, MODEL_PATH)}
        return replace(layer, annotations=kept)
    names = (TITLE, MODEL_PATH) if MODEL_PATH in layer.annotations else (TITLE,)
    return replace(layer, annotations={**layer.annotations, **dict.fromkeys(names, "/".join(path))})


def edit_layers(
    content: bytes,
    remove: frozenset[Descriptor],
    add: Mapping[Descriptor, Descriptor | None],
    whole: frozenset[Descriptor] = frozenset(),
) -> bytes:
    """Replace, add and remove layers of a manifest, leaving everything else as it is.

    Config, annotations, unknown fields and the order of the other layers stay.

    :param remove: layers to drop, compared whole
    :param add: new layer → the layer whose place it takes, or None to put it at the end
    :param whole: those of *add* that take over no field of the layer whose place they take
    :raises InvalidManifest: when *content* is not an editable manifest
    """
    document = load(content)
    key = layers_key(document)
    old = document.get(key)
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
    gone = set(remove)
    for item in old or []:
        known = descriptor(item)
        if known is not None and known in replacements:
            layer = replacements.pop(known)
            layers.append(layer.to_json() if layer in whole else _renewed(item, layer))
            gone.add(known)  # another one that is equal is the same file
        elif known is None or known not in gone:
            layers.append(item)
    layers += [layer.to_json() for layer in (*replacements.values(), *last)]
    return _dump({**document, key: layers})


def _renewed(item: dict[str, Any], layer: Descriptor) -> dict[str, Any]:
    """*item* pointing at *layer*: its unknown fields stay, what described the old bytes goes."""
    renewed = {name: value for name, value in item.items() if name not in _OF_THE_BYTES}
    renewed.update(layer.to_json())
    return renewed


def new_artifact(created: str) -> bytes:
    """A manifest without files: an OCI 1.1 artifact with the empty config.

    :param created: when it was made, RFC 3339
    """
    return _dump(_artifact(created))


def throw_away(created: str, word: str) -> bytes:
    """A manifest without files that no tag has: to take a tag's place, and to be deleted with it.

    :param word: makes its digest unlike any other
    """
    document = _artifact(created)
    document["annotations"]["org.regfs.deleting"] = word
    return _dump(document)


def _artifact(created: str) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": EMPTY_DESCRIPTOR.to_json(),
        "layers": [],
        "annotations": {CREATED: created},
    }


def _dump(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can only write as an escape
        return json.dumps(document, separators=(",", ":")).encode()


def media_type(name: str) -> str:
    """The media type that a file's name suggests."""
    guessed, encoding = mimetypes.guess_type(name, strict=False)
    if encoding == "gzip" and guessed == "application/x-tar":
        return "application/vnd.oci.image.layer.v1.tar+gzip"
    return guessed if guessed and not encoding else BLOB_MEDIA_TYPE


def rfc3339(time_ns: int) -> str:
    """A time, nanoseconds since the epoch, as annotations have it (RFC 3339)."""
    return datetime.fromtimestamp(time_ns // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
