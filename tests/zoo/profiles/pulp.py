"""Pulp's container plugin."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.servers import Answer
from tests.zoo.calls import Call
from tests.zoo.profile import (
    Access,
    Blobs,
    Deletes,
    Listing,
    Profile,
    Token,
    Tokens,
    absolute_link,
    deleting,
    untagging,
)
from tests.zoo.registry import Zoo

_LATER = 0.7  # seconds after which a delete is done


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/pulp/pulp_container: app/token_verification.py, authenticate_header: push alone for what changes things
    bearer = f'Bearer realm="{zoo.realm()}",service="{zoo.host}"'
    return f'{bearer},scope="repository:{call.repository}:{_action(call)}"' if call.repository else bearer


def _action(call: Call) -> str:
    return "pull" if call.reads else "push"


def _ping(token: Token) -> bool:
    # app/token_verification.py, _contains_accessible_actions: a token with any scope is refused for /v2/
    return not token.scopes


def _later(delete: Callable[[Zoo, Call], Answer]) -> Callable[[Zoo, Call], Answer]:
    # measured with pulp-container of PyPI: 202, and done by a task
    def begin(zoo: Zoo, call: Call) -> Answer:
        threading.Timer(_LATER, delete, (zoo, call)).start()
        return Answer(202)

    return begin


PROFILE = Profile(
    name="pulp",
    title="Pulp",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # app/authorization.py: "token" and expires_in 300; app/registry_api.py, BearerTokenView: GET
        tokens=Tokens(path="/token/", expires_in=300),
        ping=_ping,
        needs=lambda call: frozenset({_action(call)}),
    ),
    # app/registry_api.py, ContainerTagListPagination: 1000 names at most, 100 by default
    listing=Listing(page=1000, page_by_default=100, link=absolute_link),
    # app/redirects.py: 302 for blobs and manifests, to the content app, whose address is signed
    blobs=Blobs(redirect=302, elsewhere=False, prefix="/pulp/container", manifests=True),
    deletes=Deletes(by_tag=_later(untagging), by_digest=_later(deleting)),
)
