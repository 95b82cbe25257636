"""How the tools that push artifacts name their layers, and in which form: one table. Pure.

A new producer is a new row of :data:`PRODUCERS`; docs/ARTIFACTS.md lists them for users.

Sources: oras-go content/file (``io.deis.oras.content.unpack``); oras-py defaults; CNCF ModelPack model-spec,
docs/annotations.md and specs-go/v1/mediatype.go; docker/model-runner pkg/distribution/types.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from regfs.oci.manifest import FILE_METADATA, MODEL_PATHS, TITLE, Descriptor, Manifest

UNPACK = "io.deis.oras.content.unpack"
ARCHIVE_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst", ".zip", ".whl", ".jar")
_TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
_ORAS_PY_CONFIG = "application/vnd.unknown.config.v1+json"
_DOCKER_MODEL = "application/vnd.docker.ai."
# The file names that model-runner writes for the layers of its first format, which have none.
_DOCKER_MODEL_NAMES = {
    "application/vnd.docker.ai.gguf.v3": "model.gguf",
    "application/vnd.docker.ai.safetensors": "model.safetensors",
    "application/vnd.docker.ai.mmproj": "model.mmproj",
    "application/vnd.docker.ai.license": "LICENSE",
    "application/vnd.docker.ai.chat.template.jinja": "template.jinja",
}
_METADATA_CHARACTERS = 10_000


class Form(Enum):
    """What a layer is shown as."""

    FILE = "file"
    DIRECTORY = "directory"  # packed in a tar, in which the names begin with the title


@dataclass(frozen=True)
class Named:
    """A layer, and how it is shown.

    :param title: hostile until it is checked; None for the digest
    """

    layer: Descriptor
    title: str | None
    form: Form = Form.FILE


@dataclass(frozen=True)
class Producer:
    """A row of the table.

    :param made: whether it has made a layer of a manifest
    :param title: the layer's name; None for its digest
    """

    name: str
    made: Callable[[Manifest, Descriptor], bool]
    title: Callable[[Descriptor], str | None]
    form: Form = Form.FILE


def _unpacks(manifest: Manifest, layer: Descriptor) -> bool:
    return layer.annotations.get(UNPACK) == "true" and bool(layer.annotations.get(TITLE))


def _oras_py_packed(manifest: Manifest, layer: Descriptor) -> bool:
    """oras-py gives this type to directories alone, unless its user names another; it writes no annotation."""
    return (
        layer.media_type == _TAR_GZIP
        and manifest.config is not None
        and manifest.config.media_type == _ORAS_PY_CONFIG
        and bool(layer.annotations.get(TITLE))
        and not layer.annotations[TITLE].endswith(ARCHIVE_SUFFIXES)
    )


def _titled(manifest: Manifest, layer: Descriptor) -> bool:
    return bool(layer.annotations.get(TITLE))


def _model_tar(manifest: Manifest, layer: Descriptor) -> bool:
    """The names of such a layer are those in the tar; its path is of no use (model-spec, "Layer Annotation Keys")."""
    return has_model_path(layer) and layer.media_type.endswith((".tar", ".tar+gzip", ".tar+zstd"))


def _model_file(manifest: Manifest, layer: Descriptor) -> bool:
    return has_model_path(layer)


def _docker_model(manifest: Manifest, layer: Descriptor) -> bool:
    return layer.media_type in _DOCKER_MODEL_NAMES


def _any(manifest: Manifest, layer: Descriptor) -> bool:
    return True


def _title(layer: Descriptor) -> str | None:
    return layer.annotations.get(TITLE)


def _directory_title(layer: Descriptor) -> str | None:
    return layer.annotations[TITLE].rstrip("/")


def _model_path(layer: Descriptor) -> str | None:
    return next((layer.annotations[key] for key in MODEL_PATHS if layer.annotations.get(key)), None)


def _docker_model_name(layer: Descriptor) -> str | None:
    return _DOCKER_MODEL_NAMES[layer.media_type]


def _no_title(layer: Descriptor) -> str | None:
    return None


# The first row that fits a layer decides.
PRODUCERS = (
    Producer("oras: a directory", _unpacks, _directory_title, Form.DIRECTORY),
    Producer("oras-py: a directory", _oras_py_packed, _directory_title, Form.DIRECTORY),
    Producer("oras, regfs, Homebrew, wasm: a file", _titled, _title),
    Producer("ModelPack: files in a tar", _model_tar, _no_title),
    Producer("ModelPack, Docker model runner: a file", _model_file, _model_path),
    Producer("Docker model runner, first format: a file", _docker_model, _docker_model_name),
    Producer("images, Helm, Flux, KitOps: an archive", _any, _no_title),
)


def has_model_path(layer: Descriptor) -> bool:
    """Tell whether a layer has the path that ModelPack gives it, by the newest or an older name."""
    return _model_path(layer) is not None


def named(manifest: Manifest) -> list[Named]:
    """Return the layers of a manifest in their order, each with its name and form."""
    found = [_named(manifest, layer) for layer in manifest.layers]
    return list(_numbered(found))


def _named(manifest: Manifest, layer: Descriptor) -> Named:
    producer = next(producer for producer in PRODUCERS if producer.made(manifest, layer))
    return Named(layer, producer.title(layer), producer.form)


def _numbered(layers: list[Named]) -> Iterator[Named]:
    """Give layers that are named by their type alone a number when there are several: ``model-00001-of-00002.gguf``."""
    counts = Counter(item.title for item in layers if _is_named_by_type(item))
    numbers: Counter[str | None] = Counter()
    for item in layers:
        count = counts[item.title] if _is_named_by_type(item) else 0
        if item.title is None or count < 2:
            yield item
            continue
        numbers[item.title] += 1
        stem, dot, suffix = item.title.partition(".")
        yield Named(item.layer, f"{stem}-{numbers[item.title]:05}-of-{count:05}{dot}{suffix}", item.form)


def _is_named_by_type(item: Named) -> bool:
    layer = item.layer
    return layer.media_type.startswith(_DOCKER_MODEL) and item.title == _DOCKER_MODEL_NAMES.get(layer.media_type)


@dataclass(frozen=True)
class FileMetadata:
    """What ModelPack says of a file.

    :param mode: permission bits; None where it does not say
    :param mtime: RFC 3339; None where it does not say
    """

    mode: int | None
    mtime: str | None


def file_metadata(layer: Descriptor) -> FileMetadata:
    """Return what ModelPack says of a file; nothing of what is hostile or not there."""
    text = next((layer.annotations[key] for key in FILE_METADATA if key in layer.annotations), "")
    try:
        document = json.loads(text) if len(text) <= _METADATA_CHARACTERS else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return FileMetadata(None, None)
    mode, mtime = document.get("mode"), document.get("mtime")
    bits = mode & 0o777 if isinstance(mode, int) and not isinstance(mode, bool) else None
    return FileMetadata(bits, mtime if isinstance(mtime, str) else None)
