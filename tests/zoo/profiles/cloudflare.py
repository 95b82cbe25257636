"""Cloudflare's serverless registry, on Workers and R2."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, digest_of
from tests.zoo.profile import Access, Blobs, Deletes, Listing, Profile, Uploads, untagging
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/cloudflare/serverless-registry: src/errors.ts, AuthErrorResponse: the realm is the request's address
    return f'Basic realm="{zoo.origin}{call.request.path}"'


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # src/router.ts, tags/list: no brackets, no quotes
    return f"{zoo.origin}{call.path}?n={n}&last={last}; rel=next"


def _digests(zoo: Zoo, call: Call) -> list[str]:
    # src/router.ts, tags/list: every key below manifests/, the digests of the manifests among them
    return [digest_of(tag.encode()) for tag in zoo.backend.tags(call.repository)[:2]]


def _location(zoo: Zoo, repository: str, session: str) -> str:
    # src/errors.ts, RangeError: ?_stateHash=
    return f"/v2/{repository}/blobs/uploads/{session}?_stateHash={session}"


PROFILE = Profile(
    name="cloudflare",
    title="Cloudflare serverless registry",
    # src/router.ts: new Response()
    ping=Answer(200),
    # index.ts: nothing without a login; src/user.ts: Basic
    access=Access(scheme="basic", challenge=_challenge, public=False),
    # src/router.ts, tags/list: 50 by default, and a Link on every page, the last as well
    listing=Listing(page_by_default=50, page=1000, link=_link, always_linked=True, extra=_digests),
    # src/router.ts, GET blobs/: no Range
    blobs=Blobs(ranges=False),
    # src/router.ts, POST, and src/chunk.ts: the limits of pieces; README.md: bodies up to 500 MB
    uploads=Uploads(
        location=_location,
        body_bytes_max=500_000_000,
        headers=(("OCI-Chunk-Min-Length", str(5 << 20)), ("OCI-Chunk-Max-Length", "100000000")),
    ),
    # src/router.ts, DELETE manifests/: what has that key, and what has that digest
    deletes=Deletes(by_tag=untagging),
)
