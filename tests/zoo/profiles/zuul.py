"""The registry of Zuul (zuul-registry)."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import JSON, Call
from tests.zoo.profile import Access, Blobs, Deletes, Listing, Manifests, Profile, Uploads
from tests.zoo.registry import Zoo

_NOT_FOUND = Answer(404, (("Content-Type", "text/html;charset=utf-8"),), b"<h2>404 Not Found</h2>")


def _challenge(zoo: Zoo, call: Call) -> str:
    # opendev.org/zuul/zuul-registry: zuul_registry/main.py, tools.auth_basic
    return 'Basic realm="Registry", charset="UTF-8"'


def _none(zoo: Zoo, call: Call) -> Answer:
    # zuul_registry/main.py, route_map: no such route
    return _NOT_FOUND


PROFILE = Profile(
    name="zuul",
    title="zuul-registry",
    # zuul_registry/main.py, version_check: no Docker-Distribution-Api-Version
    ping=Answer(200, (JSON,), b'{"version": "1.0"}'),
    access=Access(scheme="basic", challenge=_challenge, public=False),
    # zuul_registry/main.py, route_map: no tags/list (later ones have it, without a query), no _catalog
    listing=Listing(tags=False, catalog=_none),
    # zuul_registry/main.py, get_blob: no Range; head_blob: no length
    blobs=Blobs(ranges=False, length=False),
    # zuul_registry/main.py, upload_chunk: 204, and the length where the last byte's offset belongs
    uploads=Uploads(piece_status=204, sent_range=lambda size: f"0-{size}"),
    # zuul_registry/main.py, route_map: no HEAD of manifests
    manifests=Manifests(head=False),
    # zuul_registry/main.py, route_map: no DELETE
    deletes=Deletes(by_tag=_none, by_digest=_none, works=False),
)
