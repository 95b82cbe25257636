"""Google Artifact Registry, and the Container Registry before it."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Blobs, Deletes, Profile, Tokens, Uploads, untagging
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/davedoesdev/dxf/issues/28, github.com/containerd/containerd/pull/1465: no scope
    return f'Bearer realm="{zoo.realm()}",service="{zoo.host}"'


def _location(zoo: Zoo, repository: str, session: str) -> str:
    # "artifacts-uploads/namespaces" is in the tests of many proxies: not below /v2/ at all
    return f"/artifacts-uploads/namespaces/{repository}/uploads/{session}"


def _no_piece(size: int) -> Answer | None:
    # github.com/dotnet/sdk-container-builds/pull/287, of cloud.google.com/artifact-registry/docs/reference/docker-api:
    # "does not support Docker chunked uploads"; the status is not public, 400 stands for it
    return error(400, "UNSUPPORTED", "chunked uploads are not supported")


PROFILE = Profile(
    name="gar",
    title="Google Artifact Registry",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # github.com/davedoesdev/dxf/issues/28: realm https://gcr.io/v2/token
        tokens=Tokens(path="/v2/token"),
    ),
    # github.com/ahmetb/serverless-registry-proxy/issues/8: 302 to a path of the same host, where no login is needed
    blobs=Blobs(redirect=302, elsewhere=False, prefix="/artifacts-downloads"),
    uploads=Uploads(location=_location, refuse_piece=_no_piece),
    # cloud.google.com/artifact-registry/docs/reference/docker-api: the distribution specification 1.1, which has tags
    # deleted by name
    deletes=Deletes(by_tag=untagging),
)
