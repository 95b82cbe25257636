"""Docker Hub."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Blobs, Deletes, Listing, Profile, Tokens, actions_of, refusing
from tests.zoo.registry import Zoo

_REFUSED = refusing(405, "UNSUPPORTED", "The operation is unsupported.")


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/davedoesdev/dxf/issues/28 (catalog), github.com/docker/hub-feedback/issues/2360 (delete)
    bearer = f'Bearer realm="{zoo.realm()}",service="registry.docker.io"'
    if call.kind == "catalog":
        return f'{bearer},scope="registry:catalog:*"'
    if not call.repository:
        return bearer
    return f'{bearer},scope="repository:{call.repository}:{actions_of(call)}"'


def _catalog(zoo: Zoo, call: Call) -> Answer:
    # github.com/regclient/regclient/issues/539: unauthorized, whoever asks
    challenge = f'{_challenge(zoo, call)},error="insufficient_scope"'
    return error(401, "UNAUTHORIZED", "authentication required", ("WWW-Authenticate", challenge))


PROFILE = Profile(
    name="docker-hub",
    title="Docker Hub",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # github.com/snowdrop/k8s-infra/issues/270: "token"
        tokens=Tokens(),
    ),
    # github.com/gadievron/raptor/pull/495: pages of 100 names (github.com/docker/hub-feedback/issues/1960 had all)
    listing=Listing(page=100, page_by_default=100, catalog=_catalog),
    # github.com/containerd/stargz-snapshotter/pull/167: a storage, which refuses HEAD
    blobs=Blobs(redirect=307),
    # github.com/docker/hub-feedback/issues/2360: 405
    deletes=Deletes(by_tag=_REFUSED, by_digest=_REFUSED, works=False),
)
