"""Azure Container Registry."""

from __future__ import annotations

from urllib.parse import quote

from tests.zoo.calls import Call
from tests.zoo.profile import Access, Blobs, Listing, Profile, Tokens, actions_of
from tests.zoo.registry import Zoo


def _challenge(zoo: Zoo, call: Call) -> str:
    # github.com/Azure/acr/blob/main/docs/AAD-OAuth.md, "Calling POST /oauth2/token"
    scope = {"catalog": "registry:catalog:*", "ping": ""}.get(call.kind)
    if scope is None:
        scope = f"repository:{call.repository}:{actions_of(call)}"
    bearer = f'Bearer realm="{zoo.realm()}",service="{zoo.host}"'
    return f'{bearer},scope="{scope}"' if scope else bearer


def _link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    # AAD-OAuth.md, "Pagination"
    return f'<{call.path}?last={quote(last)}&n={n}&orderby=>; rel="next"'


PROFILE = Profile(
    name="acr",
    title="Azure Container Registry",
    access=Access(
        scheme="bearer",
        challenge=_challenge,
        # AAD-OAuth.md: access_token alone, without expires_in; GET with Basic, POST with a refresh token
        tokens=Tokens(path="/oauth2/token", members=("access_token",), methods=frozenset({"GET", "POST"})),
    ),
    # AAD-OAuth.md: pages where n is given
    listing=Listing(link=_link),
    # github.com/Azure/azure-sdk-for-java/issues/33183: 307 to a signed address of the blob storage;
    # github.com/Azure/acr/issues/217: which refuses a second login
    blobs=Blobs(redirect=307),
    # of deletes by the distribution API there is no public source
)
