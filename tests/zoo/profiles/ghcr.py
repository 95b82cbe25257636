"""GHCR, the registry of GitHub's packages."""

from __future__ import annotations

from collections.abc import Sequence

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import (
    Access,
    Blobs,
    Deletes,
    Listing,
    Profile,
    Scope,
    Tokens,
    Uploads,
    refusing,
)
from tests.zoo.registry import Zoo

_PIECE = 4 << 20  # bytes


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/cloudflare/serverless-registry/issues/148: /v2/ names a placeholder for the repository
    scope = f"repository:{call.repository or 'user/image'}:pull"
    return f'Bearer realm="{zoo.realm()}",service="ghcr.io",scope="{scope}"'


def _refuse(scopes: Sequence[str], user: str) -> Answer | None:
    # github.com/cloudflare/serverless-registry/issues/148: 403 DENIED for pull,push by who may only pull
    # github.com/containerd/containerd/issues/9648: so is a second scope, of a repository that is not there
    for scope in map(Scope.parse, scopes):
        may = scope.kind == "repository" and (user or (scope.name.startswith("public/") and scope.actions == {"pull"}))
        if not may or scope.name == "user/image":
            return error(403, "DENIED", "requested access to the resource is denied")
    return None


def _piece(size: int) -> Answer | None:
    # github.com/ocx-sh/ocx/pull/237: a PATCH of more than 4 MiB
    if size <= _PIECE:
        return None
    return error(416, "REQUESTED_RANGE_NOT_SATISFIABLE", "the request body is too large and exceeds the maximum "
                 "permissible limit of 4.00MiB")  # fmt: skip


def _no_catalog(zoo: Zoo, call: Call) -> Answer:
    # github.com/oras-project/oras-go/issues/621: no /v2/_catalog; which status it has is not in there
    return Answer(404, body=b"404 page not found\n")


PROFILE = Profile(
    name="ghcr",
    title="GHCR",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # github.com/Mic92/niks3/issues/229: GET /token?service=ghcr.io&scope=..., "token"
        tokens=Tokens(refuse=_refuse),
    ),
    # github.com/linyows/dewy/pull/320: 100 tags on a page, then a Link
    listing=Listing(page_by_default=100, catalog=_no_catalog),
    # github.com/containerd/stargz-snapshotter/pull/167: 307 to a storage, which refuses HEAD and expires soon
    blobs=Blobs(redirect=307),
    uploads=Uploads(refuse_piece=_piece),
    # github.com/podman-container-tools/skopeo/issues/1880: 405 by digest
    deletes=Deletes(
        by_tag=refusing(405, "UNSUPPORTED", "The operation is unsupported."),
        by_digest=refusing(405, "UNSUPPORTED", "The operation is unsupported."),
        works=False,
    ),
)
