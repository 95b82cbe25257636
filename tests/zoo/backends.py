"""Where a zoo registry has its content: in memory, or in a docker-registry process."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tests.registries import Registry
from tests.scenarios.foreign import CREATED, EMPTY, OCI_MANIFEST, TITLE
from tests.servers import Answer, Request, forward
from tests.zoo.calls import API, JSON, Call, call_of, digest_of, document, error, ranged


class Backend(Protocol):
    """Answers as the specification says, to anybody."""

    def answer(self, request: Request) -> Answer: ...

    def untag(self, repository: str, tag: str) -> None:
        """Take a tag away, and nothing else."""

    def tags(self, repository: str) -> list[str]: ...

    def repositories(self) -> list[str]: ...


class Real:
    """The content of a docker-registry process.

    :param suffix: how the names of the repositories end that this is about; others are not listed
    """

    def __init__(self, registry: Registry, suffix: str) -> None:
        self._registry, self._suffix = registry, suffix
        self._forward = forward(registry.host)

    def answer(self, request: Request) -> Answer:
        return self._forward(request)

    def untag(self, repository: str, tag: str) -> None:
        self._registry.untag(repository, tag)

    def tags(self, repository: str) -> list[str]:
        answer = self.answer(Request("GET", f"/v2/{repository}/tags/list", {}, b""))
        return sorted(json.loads(answer.body).get("tags") or ()) if answer.status == 200 else []

    def repositories(self) -> list[str]:
        answer = self.answer(Request("GET", "/v2/_catalog?n=1000", {}, b""))
        return sorted(name for name in json.loads(answer.body)["repositories"] if name.endswith(self._suffix))


class Memory:
    """Content in this process; the tests look into it and put into it."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.uploads: dict[str, bytes] = {}
        self._numbers = itertools.count()

    # what tests put in and look at

    def blob(self, repository: str, content: bytes) -> str:
        """Add a blob; returns its digest."""
        self.blobs[repository, digest_of(content)] = content
        return digest_of(content)

    def layer(self, repository: str, content: bytes, title: str | None, **fields: Any) -> dict[str, Any]:
        """Add a blob; returns its descriptor."""
        made: dict[str, Any] = {
            "mediaType": "application/octet-stream",
            "digest": self.blob(repository, content),
            "size": len(content),
        }
        if title is not None:
            made["annotations"] = {TITLE: title}
        return {**made, **fields}

    def put(self, repository: str, reference: str, content: object, media_type: str = OCI_MANIFEST) -> str:
        """Add a manifest, bytes or a document; returns its digest."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        digest = digest_of(body)
        self.manifests[repository, reference] = self.manifests[repository, digest] = (media_type, body)
        return digest

    def publish(self, repository: str, reference: str, layers: Iterable[Mapping[str, Any]], **fields: Any) -> str:
        """Add an artifact of layers; returns its digest."""
        config = {"mediaType": EMPTY, "digest": self.blob(repository, b"{}"), "size": 2}
        made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": list(layers), **fields}
        return self.put(repository, reference, made)

    def artifact(self, repository: str, reference: str, files: Mapping[str, bytes]) -> str:
        """Add an artifact of files; returns its digest."""
        return self.publish(repository, reference, [self.layer(repository, c, t) for t, c in files.items()])

    def document(self, repository: str, reference: str) -> dict[str, Any]:
        """A manifest, decoded, without the times that regfs notes."""
        decoded: dict[str, Any] = json.loads(self.manifests[repository, reference][1])
        for layer in decoded.get("layers", ()):
            layer.get("annotations", {}).pop(CREATED, None)
        return decoded

    def files(self, repository: str, reference: str) -> dict[str, bytes]:
        """The files of a tag by their titles."""
        layers = self.document(repository, reference)["layers"]
        return {layer["annotations"][TITLE]: self.blobs[repository, layer["digest"]] for layer in layers}

    def tags(self, repository: str) -> list[str]:
        return sorted(reference for name, reference in self.manifests if name == repository and ":" not in reference)

    def repositories(self) -> list[str]:
        return sorted({name for name, _ in self.manifests})

    def untag(self, repository: str, tag: str) -> None:
        self.manifests.pop((repository, tag), None)

    # what the network asks

    def answer(self, request: Request) -> Answer:
        call = call_of(request)
        answers = {
            "ping": lambda call: document(200, {}, [API]),
            "catalog": lambda call: document(200, {"repositories": self.repositories()}),
            "tags": self._tags,
            "manifest": self._manifest,
            "blob": self._blob,
            "upload": self._upload,
        }
        return answers.get(call.kind, lambda call: error(404, "NOT_FOUND"))(call)

    def _tags(self, call: Call) -> Answer:
        if call.repository not in self.repositories():
            return error(404, "NAME_UNKNOWN")
        return document(200, {"name": call.repository, "tags": self.tags(call.repository)})

    def _manifest(self, call: Call) -> Answer:
        key = (call.repository, call.reference)
        if call.method == "PUT":
            digest = self.put(*key, call.request.body, call.request.headers.get("content-type", OCI_MANIFEST))
            return Answer(201, (("Docker-Content-Digest", digest),))
        if key not in self.manifests:
            return error(404, "MANIFEST_UNKNOWN")
        media_type, body = self.manifests[key]
        if call.method == "DELETE":
            of_it = [k for k, entry in self.manifests.items() if k[0] == call.repository and entry[1] == body]
            for gone in [key] if call.by_tag else of_it:
                del self.manifests[gone]
            return Answer(202)
        return Answer(200, (("Content-Type", media_type), ("Docker-Content-Digest", digest_of(body))), body)

    def _blob(self, call: Call) -> Answer:
        content = self.blobs.get((call.repository, call.reference))
        if content is None:
            return error(404, "BLOB_UNKNOWN")
        headers = (("Content-Type", "application/octet-stream"), ("Docker-Content-Digest", call.reference))
        return ranged(content, headers, call.request.headers.get("range", "") if call.method == "GET" else "")

    def _upload(self, call: Call) -> Answer:
        if call.method == "POST":
            return self._start(call)
        if call.reference not in self.uploads:
            return error(404, "BLOB_UPLOAD_UNKNOWN")
        if call.method == "DELETE":
            del self.uploads[call.reference]
            return Answer(204)
        self.uploads[call.reference] += call.request.body
        if call.method != "PUT":
            return self._state(202 if call.method == "PATCH" else 204, call.repository, call.reference)
        content = self.uploads.pop(call.reference)
        if digest_of(content) != call.query.get("digest"):
            return error(400, "DIGEST_INVALID")
        self.blob(call.repository, content)
        return Answer(201, (("Docker-Content-Digest", digest_of(content)),))

    def _start(self, call: Call) -> Answer:
        mounted = self.blobs.get((call.query.get("from", ""), call.query.get("mount", "")))
        if mounted is not None:
            self.blob(call.repository, mounted)
            return Answer(201, (("Docker-Content-Digest", digest_of(mounted)),))
        number = f"upload{next(self._numbers)}"
        self.uploads[number] = b""
        return self._state(202, call.repository, number)

    def _state(self, status: int, repository: str, number: str) -> Answer:
        last = max(0, len(self.uploads[number]) - 1)
        location = f"/v2/{repository}/blobs/uploads/{number}"
        return Answer(status, (("Location", location), ("Range", f"0-{last}"), JSON))
