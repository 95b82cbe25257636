"""Zot."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import API, JSON, Call
from tests.zoo.profile import Access, Deletes, Listing, Profile, Tokens, untagging
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/project-zot/zot/issues/71: /v2/ names a repository "repo"; the realm's host is the service
    actions = "pull" if call.reads else "push"
    return f'Bearer realm="{zoo.realm()}",service="{zoo.host}",scope="repository:{call.repository or "repo"}:{actions}"'


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # github.com/project-zot/zot: pkg/api/routes.go, ListTags: no brackets
    return f'{call.path}?n={n}&last={last}; rel="next"'


PROFILE = Profile(
    name="zot",
    title="Zot",
    # pkg/api/routes.go, CheckVersionSupport: an empty body
    ping=Answer(200, (JSON, API), b""),
    # pkg/api/authn.go, bearerAuthHandler: push for whatever is no GET or HEAD
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        tokens=Tokens(path="/auth/token"),
        needs=lambda call: frozenset({"pull" if call.reads else "push"}),
    ),
    # pkg/api/routes.go, ListTags: pages where n is given and smaller than all
    listing=Listing(link=_link),
    # pkg/api/routes.go, DeleteManifest: 202 by tag
    deletes=Deletes(by_tag=untagging),
)
