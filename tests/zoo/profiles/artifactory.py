"""JFrog Artifactory, a repository behind a host name or a path of its own."""

from __future__ import annotations

from urllib.parse import quote

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Listing, Profile, Tokens, Uploads, actions_of
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/oras-project/oras/issues/2047: realm and service with the port;
    # github.com/oras-project/oras-go/issues/650: the scope lacks the repository's first part
    bearer = f'Bearer realm="{zoo.realm()}",service="{zoo.host}"'
    if not call.repository:
        return bearer
    inner = call.repository.partition("/")[2]
    return f'{bearer},scope="repository:{inner}:{actions_of(call)}"'


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # github.com/renovatebot/renovate/issues/15030: the Link lacks the repository's first part, and leads to a 404
    inner = call.path.replace(call.repository, call.repository.partition("/")[2])
    return f'<{inner}?last={quote(last)}&n={n}>; rel="next"'


def _needs_patch(size: int, before: int) -> Answer | None:
    # github.com/containerd/containerd/issues/3533 (RTFACT-19344): a PUT with the whole is refused; the status is not
    # public, 400 stands for it
    return error(400, "BLOB_UPLOAD_INVALID", "blob upload invalid") if size and not before else None


def immutable(zoo: Zoo, call: Call) -> Answer:
    """The refusal of a user who may not overwrite."""
    # github.com/GoogleContainerTools/kaniko/issues/1095
    return error(403, "MANIFEST_INVALID", "manifest invalid", detail={"description": "HTTP 403 Forbidden"})


PROFILE = Profile(
    name="artifactory",
    title="JFrog Artifactory",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # github.com/oras-project/oras-go/issues/650: either name lets one in
        names=lambda call: frozenset({call.repository, call.repository.partition("/")[2]}),
        # of anonymous pulls there is no public source
        public=False,
        # github.com/oras-project/oras/issues/2047
        tokens=Tokens(path="/artifactory/api/docker/images/v2/token"),
    ),
    # jfrog.com/help, "List Docker Tags": pages
    listing=Listing(link=_link),
    uploads=Uploads(refuse_whole=_needs_patch),
    # of deletes there is no public source
)
