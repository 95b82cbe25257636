"""GitLab's container registry."""

from __future__ import annotations

from collections.abc import Sequence

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import PUBLIC, Access, Blobs, Deletes, Profile, Scope, Tokens, actions_of, untagging
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/genuinetools/reg/issues/198; docs.gitlab.com, "Troubleshooting the container registry":
    # service="container_registry"
    bearer = f'Bearer realm="{zoo.realm()}",service="container_registry"'
    if call.kind == "catalog":
        return f'{bearer},scope="registry:catalog:*"'
    if not call.repository:
        return bearer
    return f'{bearer},scope="repository:{call.repository}:{actions_of(call)}"'


def _refuse(scopes: Sequence[str], user: str) -> Answer | None:
    # github.com/mayflower/docker-ls/issues/36: 403 of the token server for the catalog and for what one may not;
    # github.com/genuinetools/reg/issues/198: and for who is anonymous and asks for no repository
    for scope in map(Scope.parse, scopes):
        if scope.kind != "repository" or not (user or scope.name.startswith(PUBLIC)):
            return error(403, "DENIED", "access forbidden")
    return None if user or scopes else error(403, "DENIED", "access forbidden")


PROFILE = Profile(
    name="gitlab",
    title="GitLab",
    access=Access(scheme="bearer", challenge=_challenge, tokens=Tokens(path="/jwt/auth", refuse=_refuse)),
    # github.com/giuseppe/crfs-plugin/issues/1: 400 for a Range (gitlab.com's storage redirects only in parts; not here)
    blobs=Blobs(range_error=400),
    # gitlab.com/gitlab-org/container-registry/-/issues/1094: by tag, since 16.4
    deletes=Deletes(by_tag=untagging),
)
