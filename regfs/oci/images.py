"""What a container image is, and what its config says of its layers. Pure.

Sources: OCI image specification 1.1, "Image Configuration"; Docker image specification v1.2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regfs.oci.manifest import Manifest
from regfs.oci.reference import is_digest

OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
CONFIG_BYTES_MAX = 4 << 20
_LAYERS_MAX = 1000
_COMMAND_CHARACTERS = 4096


@dataclass(frozen=True)
class ImageConfig:
    """What is needed of an image's config.

    :param diff_ids: the digests of the layers' uncompressed tars, the lowest layer first
    :param created_by: the command that made each layer; empty where the config does not say
    """

    diff_ids: tuple[str, ...]
    created_by: tuple[str, ...]


def may_be_image(manifest: Manifest) -> bool:
    """Tell by the manifest alone whether it can be an image: an image config, layers, and no titles."""
    config = manifest.config
    return (
        config is not None
        and config.media_type in (OCI_CONFIG, DOCKER_CONFIG)
        and 0 < len(manifest.layers) <= _LAYERS_MAX
        and not any(layer.title for layer in manifest.layers)
    )


def image_config(manifest: Manifest, content: bytes) -> ImageConfig | None:
    """Return the config of an image; None when the manifest and the config are not those of one.

    :param content: of the config's blob
    """
    try:
        document = json.loads(content)
        diff_ids = tuple(document["rootfs"]["diff_ids"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not may_be_image(manifest) or len(diff_ids) != len(manifest.layers):
        return None
    if not all(isinstance(diff_id, str) and is_digest(diff_id) for diff_id in diff_ids):
        return None
    commands = list(_commands(document.get("history")))
    return ImageConfig(diff_ids, tuple(commands if len(commands) == len(diff_ids) else [""] * len(diff_ids)))


def _commands(history: Any) -> Iterator[str]:
    """Yield the command of each entry of the history that made a layer."""
    for entry in history if isinstance(history, list) else ():
        if isinstance(entry, Mapping) and not entry.get("empty_layer"):
            command = entry.get("created_by")
            yield command[:_COMMAND_CHARACTERS] if isinstance(command, str) else ""
