"""Quay."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.servers import Answer
from tests.zoo.calls import API, Call, error
from tests.zoo.profile import Access, Blobs, Deletes, Listing, Profile, Token, Tokens, Uploads, absolute, untagging
from tests.zoo.registry import Zoo

# github.com/quay/quay: endpoints/v2/v2auth.py, SCOPE_REGEX_TEMPLATE
_SCOPE = re.compile(r"repository:[.a-zA-Z0-9_\-/]+:(push|pull|\*)(,(push|pull|\*))*")


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/google/go-containerregistry/pull/985: no scope for /v2/; endpoints/v2/__init__.py: else its own
    bearer = f'Bearer realm="{zoo.realm()}",service="{zoo.host}"'
    if not call.repository:
        return bearer
    return f'{bearer},scope="repository:{call.repository}:{"pull" if call.reads else "pull,push"}"'


def _refuse(scopes: Sequence[str], user: str) -> Answer | None:
    # v2auth.py, generate_registry_jwt: nobody gets a token for nothing; other scopes are a bad request
    if not user and not scopes:
        return error(401, "UNAUTHORIZED", "access to the requested resource is not authorized")
    for scope in scopes:
        if not _SCOPE.fullmatch(scope):
            return error(400, "INVALID_REQUEST", f"Unable to decode repository and actions: {scope}")
    return None


def _ping(token: Token) -> bool:
    # endpoints/v2/__init__.py, v2_support_enabled: 401 for who is anonymous, whatever token they have
    return bool(token.user)


def _needs(call: Call) -> frozenset[str]:
    # endpoints/v2/manifest.py, blob.py: pull and push for whatever changes something, DELETE as well
    return frozenset({"pull"} if call.reads and call.kind != "upload" else {"pull", "push"})


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # endpoints/v2/__init__.py, oci_tag_paginate: absolute
    return f'<{zoo.origin}{call.path}?n={n}&last={last}>; rel="next"'


def _catalog(zoo: Zoo, call: Call) -> Answer:
    # the catalog's scope is refused by v2auth.py, so nobody gets here
    return error(401, "UNAUTHORIZED")


def _status(size: int) -> str:
    # endpoints/v2/blob.py, fetch_existing_upload: with "bytes=", and one more than there are
    return f"bytes=0-{size}"


PROFILE = Profile(
    name="quay",
    title="Quay",
    # endpoints/v2/__init__.py: "true", as text
    ping=Answer(200, (("Content-Type", "text/html; charset=utf-8"), API), b"true"),
    refusal=Answer(401, (("Content-Type", "text/html; charset=utf-8"), API), b"true"),
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # v2auth.py: {"token": ...} alone
        tokens=Tokens(path="/v2/auth", refuse=_refuse),
        ping=_ping,
        needs=_needs,
    ),
    # endpoints/v2/__init__.py: _MAX_RESULTS_PER_PAGE, 100
    listing=Listing(page=100, page_by_default=100, link=_link, catalog=_catalog),
    # endpoints/v2/blob.py, download_blob: 302 to a signed address
    blobs=Blobs(redirect=302),
    # endpoints/v2/blob.py, start_blob_upload: an absolute Location, and _render_range(0)
    uploads=Uploads(location=absolute, start_range="bytes=0--1", status_range=_status),
    # endpoints/v2/manifest.py, delete_manifest_by_tag: 202
    deletes=Deletes(by_tag=untagging),
)
