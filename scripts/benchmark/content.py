"""Bytes and manifests to work on, put into a registry by plain requests."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/octet-stream"
_EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}"}
_STEP = 1 << 20


def write_random(path: Path, size: int) -> None:
    """Write *size* bytes that nobody has seen before."""
    with open(path, "wb") as file:
        for start in range(0, size, _STEP):
            file.write(os.urandom(min(_STEP, size - start)))


def renew(path: Path) -> None:
    """Change the first bytes of a file: its digest is one that no registry has."""
    with open(path, "r+b") as file:
        file.write(os.urandom(32))


def digest_of(path: Path) -> str:
    """The digest of a file."""
    hasher = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_STEP):
            hasher.update(chunk)
    return f"sha256:{hasher.hexdigest()}"


@dataclass(frozen=True)
class Shelf:
    """Blobs of one alias: name → digest, and name → the registry's own file."""

    host: str
    repository: str
    alias: str
    digests: Mapping[str, str]
    files: Mapping[str, Path]

    def warm(self) -> None:
        """Read the registry's files, so that they are in memory for whoever comes next."""
        for path in self.files.values():
            with open(path, "rb") as file:
                while file.read(_STEP):
                    pass


class Loader:
    """Fills a registry."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._url = f"http://{host}/v2"
        self._session = requests.Session()
        self._session.trust_env = False

    def shelf(self, sizes: Mapping[str, int], blob: Callable[[str], Path], scratch: Path) -> Shelf:
        """Put random blobs into ``bench:v1``.

        :param sizes: name → bytes
        :param blob: digest → the registry's file
        """
        digests = {}
        for name, size in sizes.items():
            write_random(scratch / name, size)
            digests[name] = self.blob("bench", scratch / name)
            (scratch / name).unlink()
        self.artifact("bench", ["v1"], [(name, digests[name], size) for name, size in sizes.items()])
        return Shelf(self._host, "bench", "v1", digests, {name: blob(digest) for name, digest in digests.items()})

    def blob(self, repository: str, path: Path) -> str:
        """Upload a file; returns its digest."""
        digest = digest_of(path)
        with open(path, "rb") as file:
            self._upload(repository, digest, file)
        return digest

    def _upload(self, repository: str, digest: str, body: Any) -> None:
        begun = self._session.post(f"{self._url}/{repository}/blobs/uploads/")
        begun.raise_for_status()
        done = self._session.put(
            begun.headers["Location"],
            params={"digest": digest},
            data=body,
            headers={"Content-Type": "application/octet-stream"},
        )
        done.raise_for_status()

    def artifact(self, repository: str, aliases: Iterable[str], layers: Iterable[tuple[str, str, int]]) -> None:
        """Put one manifest under each of some aliases.

        :param layers: title, digest and size of each blob, which the repository has
        """
        self._upload(repository, _EMPTY["digest"], b"{}")
        manifest = manifest_of(layers)
        for alias in aliases:
            url = f"{self._url}/{repository}/manifests/{alias}"
            self._session.put(url, data=manifest, headers={"Content-Type": _MANIFEST}).raise_for_status()

    def close(self) -> None:
        """Close connections."""
        self._session.close()


def manifest_of(layers: Iterable[tuple[str, str, int]]) -> bytes:
    """An artifact's manifest; the layers as title, digest and size."""
    document = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST,
        "artifactType": "application/vnd.example.benchmark",
        "config": _EMPTY | {"size": 2},
        "layers": [
            {
                "mediaType": _LAYER,
                "digest": digest,
                "size": size,
                "annotations": {"org.opencontainers.image.title": title},
            }
            for title, digest, size in layers
        ],
    }
    return json.dumps(document).encode()


def image_directory(directory: Path, blob: Path) -> None:
    """What ``skopeo copy dir:`` takes: the manifest, the empty config, and a link to the blob, by their digests."""
    digest = digest_of(blob)
    (directory / "version").write_text("Directory Transport Version: 1.1\n")
    (directory / "manifest.json").write_bytes(manifest_of([(blob.name, digest, blob.stat().st_size)]))
    (directory / _EMPTY["digest"].partition(":")[2]).write_bytes(b"{}")
    (directory / digest.partition(":")[2]).symlink_to(blob)
