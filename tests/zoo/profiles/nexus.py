"""Sonatype Nexus Repository, a hosted repository on a connector of its own."""

from __future__ import annotations

from tests.servers import Answer
from tests.zoo.calls import Call, error
from tests.zoo.profile import Access, Deletes, Listing, Profile, deleting
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/sonatype/nexus-public/issues/921: capital letters, and Basic by default
    return 'BASIC realm="Sonatype Nexus Repository Manager"'


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # github.com/sonatype/nexus-public/issues/1011: an absolute address that this port does not serve
    return f'<{zoo.origin}/repository/images{call.path}?n={n}&last={last}>; rel="next"'


def _by_tag(zoo: Zoo, call: Call) -> Answer:
    # github.com/sonatype/nexus-public/issues/317: "manifest unknown" for what is there
    return error(404, "MANIFEST_UNKNOWN", "manifest unknown")


def no_updates(zoo: Zoo, call: Call) -> Answer:
    """The refusal of a repository whose redeployment is off."""
    # github.com/GoogleContainerTools/jib/issues/3057
    detail = "Repository does not allow updating assets: images"
    return error(400, "BLOB_UPLOAD_INVALID", "blob upload invalid", detail=detail)


PROFILE = Profile(
    name="nexus",
    title="Sonatype Nexus",
    # github.com/sonatype/nexus-public/issues/921: forceBasicAuth, then nobody pulls without a login
    access=Access(scheme="basic", challenge=_challenge, public=False),
    listing=Listing(link=_link),
    # github.com/sonatype/nexus-public/issues/925: by digest, and with it its tags, up to 3.81
    deletes=Deletes(by_tag=_by_tag, by_digest=deleting),
)
