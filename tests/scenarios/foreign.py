"""A foreign client: says to a registry, over its API alone, what other programs would. Knows nothing of regfs."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import requests

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
TAR_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"
TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"
_ACCEPT = {"Accept": ", ".join((OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, SCHEMA1_SIGNED))}

Document = dict[str, Any]


def digest_of(content: bytes) -> str:
    """The sha256 digest of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


class HasUrl(Protocol):
    """A registry; ``url`` is where it is."""

    @property
    def url(self) -> str: ...


class Foreign:
    """A client of one registry without authentication."""

    def __init__(self, registry: HasUrl) -> None:
        self._url = f"{registry.url}/v2"
        self._session = requests.Session()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _send(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        response = self._session.request(method, path if "://" in path else f"{self._url}/{path}", **kwargs)
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        return response

    def push(self, repository: str, content: bytes) -> str:
        """Upload a blob; returns its digest."""
        digest = digest_of(content)
        location = self._send("POST", f"{repository}/blobs/uploads/").headers["Location"]
        self._send("PUT", location, params={"digest": digest}, data=content)
        return digest

    def layer(self, repository: str, content: bytes, title: object = None, **fields: Any) -> Document:
        """Upload a blob; returns its descriptor, titled unless *title* is None."""
        document: Document = {
            "mediaType": "application/octet-stream",
            "digest": self.push(repository, content),
            "size": len(content),
        }
        if title is not None:
            document["annotations"] = {TITLE: title}
        return {**document, **fields}

    def put(self, repository: str, reference: str, document: Document | bytes, media_type: str = OCI_MANIFEST) -> str:
        """Give a manifest to an alias; returns its digest."""
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._send("PUT", f"{repository}/manifests/{reference}", data=content, headers={"Content-Type": media_type})
        return digest_of(content)

    def artifact(self, repository: str, alias: str, files: Mapping[str, bytes], **fields: Any) -> str:
        """Publish files under their titles; returns the manifest's digest."""
        layers = [self.layer(repository, content, title) for title, content in files.items()]
        return self.publish(repository, alias, layers, **fields)

    def publish(self, repository: str, alias: str, layers: Iterable[Document], **fields: Any) -> str:
        """Publish layers that are uploaded; returns the manifest's digest."""
        config = {"mediaType": EMPTY, "digest": self.push(repository, b"{}"), "size": 2}
        document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": list(layers), **fields}
        return self.put(repository, alias, document)

    def image(self, repository: str, alias: str, *tars: bytes, diff_ids: Iterable[str] = (), level: int = 1) -> str:
        """Publish an image of layers, the lowest one first; returns the manifest's digest.

        :param tars: the layers, uncompressed
        :param diff_ids: what the config says of them, if that is not the truth
        :param level: of the compression
        """
        config = {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids) or [digest_of(tar) for tar in tars]},
            "history": [{"created_by": f"RUN step {number}"} for number in range(1, len(tars) + 1)],
        }
        content = json.dumps(config).encode()
        descriptor = {"mediaType": IMAGE_CONFIG, "digest": self.push(repository, content), "size": len(content)}
        layers = [self.layer(repository, gzip.compress(tar, level, mtime=0), mediaType=TAR_GZIP) for tar in tars]
        return self.publish(repository, alias, layers, config=descriptor)

    def index(self, repository: str, alias: str, entries: Iterable[tuple[str, Document | None]]) -> str:
        """Publish an index of (manifest digest, platform); returns its digest."""
        manifests = []
        for digest, platform in entries:
            size = len(self.manifest(repository, digest))
            entry: Document = {"mediaType": OCI_MANIFEST, "digest": digest, "size": size}
            manifests.append(entry if platform is None else {**entry, "platform": platform})
        document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}
        return self.put(repository, alias, document, OCI_INDEX)

    def manifest(self, repository: str, reference: str) -> bytes:
        """The bytes of a manifest."""
        return self._send("GET", f"{repository}/manifests/{reference}", headers=_ACCEPT).content

    def digest(self, repository: str, alias: str) -> str:
        """The digest of an alias's manifest."""
        return digest_of(self.manifest(repository, alias))

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, and every alias of it."""
        self._send("DELETE", f"{repository}/manifests/{digest}")

    def document(self, repository: str, reference: str) -> Document:
        """A manifest, decoded."""
        decoded: Document = json.loads(self.manifest(repository, reference))
        return decoded

    def blob(self, repository: str, digest: str) -> bytes:
        """The bytes of a blob."""
        content = self._send("GET", f"{repository}/blobs/{digest}").content
        assert digest_of(content) == digest
        return content

    def files(self, repository: str, alias: str) -> dict[str, bytes]:
        """The files of an alias by their titles, or digests, in the manifest's order."""
        found = {}
        for layer in self.document(repository, alias)["layers"]:
            name = layer.get("annotations", {}).get(TITLE, layer["digest"])
            assert name not in found, f"two layers are called {name}"
            found[name] = self.blob(repository, layer["digest"])
        return found

    def aliases(self, repository: str) -> set[str]:
        """The aliases of a repository."""
        return set(self._send("GET", f"{repository}/tags/list").json()["tags"] or ())
