"""Harbor."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Blobs, Deletes, Profile, Tokens, actions_of, refusing
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/goharbor/harbor: src/server/middleware/v2auth/auth.go, getChallenge: Basic for the catalog, and for
    # whoever has sent a login
    if call.authorization or call.kind == "catalog":
        return 'Basic realm="harbor"'
    bearer = f'Bearer realm="{zoo.realm()}",service="harbor-registry"'
    if not call.repository:
        return bearer
    return f'{bearer},scope="repository:{call.repository}:{actions_of(call)}"'


def _catalog(zoo: Zoo, call: Call) -> Answer:
    # github.com/goharbor/harbor/issues/7898: only for system administrators
    return error(401, "UNAUTHORIZED", "unauthorized to list catalog", ("WWW-Authenticate", 'Basic realm="harbor"'))


def immutable(zoo: Zoo, call: Call) -> Answer:
    """The refusal of a tag that a rule makes immutable."""
    # src/server/middleware/immutable/pushmf.go, error.go; src/lib/http/error.go: 412
    name = call.repository.partition("/")[2]
    message = f"Failed to process request due to '{name}:{call.reference}' configured as immutable."
    return error(412, "PRECONDITION", message)


PROFILE = Profile(
    name="harbor",
    title="Harbor",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # getChallenge: Basic is what a login that was refused is asked for
        basic=True,
        tokens=Tokens(path="/service/token"),
    ),
    # src/server/registry/tag.go: pages where n is given, with a relative Link
    # github.com/spring-attic/spring-cloud-dataflow/issues/4065: 307 to a signed address where its storage is S3
    blobs=Blobs(redirect=307),
    # src/server/registry/manifest.go, deleteManifest: "v2 doesn't support delete by tag"; error.go: 400
    deletes=Deletes(by_tag=refusing(400, "UNSUPPORTED", "unsupported digest")),
)
