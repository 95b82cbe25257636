"""What a family of registries does in its own way: data, and small functions of the registry and a request.

The defaults are what the distribution specification and docker-registry do. A profile says nothing that has no public
source; the source stands beside each thing it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.servers import Answer
from tests.zoo.calls import API, JSON, Call, error

if TYPE_CHECKING:
    from tests.zoo.registry import Zoo

PUBLIC = "public/"  # what the names of repositories begin with that anybody may pull from


@dataclass(frozen=True)
class Scope:
    """One scope of a token ("Token Scope Documentation" of docker's registry)."""

    kind: str
    name: str
    actions: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Scope:
        """Read ``repository:a/b:pull,push``."""
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        return cls(kind, name, frozenset(actions.split(",")))


def allowed(scope: Scope, user: str, public: bool) -> frozenset[str]:
    """The actions that a user gets of a scope: the one user all, anybody else ``pull`` of what is public."""
    if user:
        return scope.actions
    return scope.actions & {"pull"} if public and scope.name.startswith(PUBLIC) else frozenset()


@dataclass(frozen=True)
class Token:
    """What a token is good for: whose it is (empty: nobody's), and up to which time.monotonic()."""

    user: str
    scopes: tuple[Scope, ...]
    until: float


@dataclass(frozen=True)
class Tokens:
    """A token server.

    :param path: of its realm, on the registry's own host
    :param members: by which names its answer has the token
    :param expires_in: seconds as its answer says; None says nothing
    :param lifetime: seconds that a token is good for
    :param methods: what it takes: GET with a query, POST with a form ("Token Authentication: OAuth 2")
    :param refuse: refuses to give any token for some scopes to a user
    """

    path: str = "/token"
    members: tuple[str, ...] = ("token",)
    expires_in: int | None = None
    lifetime: float = 300.0
    methods: frozenset[str] = frozenset({"GET"})
    refuse: Callable[[Sequence[str], str], Answer | None] = lambda scopes, user: None


def needs(call: Call) -> frozenset[str]:
    """The actions of the repository that a request needs."""
    if call.kind == "manifest" and call.method == "DELETE":
        return frozenset({"delete"})
    return frozenset({"pull"} if call.reads and call.kind != "upload" else {"push"})


def own_name(call: Call) -> frozenset[str]:
    """The repository's name."""
    return frozenset({call.repository})


def actions_of(call: Call) -> str:
    """The actions that docker-registry's challenge names (its ``registry/handlers``, appendAccessRecords)."""
    if call.method == "DELETE" and call.kind != "upload":
        return "delete"
    return "pull" if call.reads else "pull,push"


def no_challenge(zoo: Zoo, call: Call) -> str:
    """Nobody is asked who they are."""
    return ""


@dataclass(frozen=True)
class Access:
    """How one is let in.

    :param scheme: none, basic or bearer
    :param challenge: the WWW-Authenticate header of a refusal
    :param ping: whether ``/v2/`` lets the bearer of a token in
    :param public: whether anybody may pull from repositories whose names begin with ``public/``
    :param needs: the actions that a request needs
    :param names: of the repository in a scope that lets a request in
    :param basic: whether user and password let a request in where tokens do
    """

    scheme: str = "none"
    challenge: Callable[[Zoo, Call], str] = no_challenge
    tokens: Tokens = field(default_factory=Tokens)
    ping: Callable[[Token], bool] = lambda token: True
    public: bool = True
    needs: Callable[[Call], frozenset[str]] = needs
    names: Callable[[Call], frozenset[str]] = own_name
    basic: bool = False


def relative_link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    """A Link as docker-registry writes it."""
    return f'<{call.path}?last={quote(last)}&n={n}>; rel="next"'


def absolute_link(zoo: Zoo, call: Call, n: int, last: str) -> str:
    """A Link with scheme and host."""
    return f'<{zoo.origin}{call.path}?n={n}&last={quote(last)}>; rel="next"'


@dataclass(frozen=True)
class Listing:
    """The lists of tags and repositories.

    :param page: how many names a page has at most, whatever is asked for; None is no limit
    :param page_by_default: how many it has when none is asked for; None is all
    :param link: the header that leads to the next page; None says nothing
    :param always_linked: whether the last page has a Link, too
    :param follows: the names after ``last``; None is a bad request
    :param tags: whether there is a list of tags at all
    :param catalog: the answer to ``/v2/_catalog`` where it does not list
    :param extra: names that a list of tags has and that are no tags
    """

    page: int | None = None
    page_by_default: int | None = None
    link: Callable[[Zoo, Call, int, str], str | None] = relative_link
    always_linked: bool = False
    tags: bool = True
    catalog: Callable[[Zoo, Call], Answer] | None = None
    extra: Callable[[Zoo, Call], list[str]] = lambda zoo, call: []


@dataclass(frozen=True)
class Blobs:
    """How the bytes of blobs are served.

    :param redirect: the status with which a GET is sent elsewhere; None serves it
    :param elsewhere: whether that is the host of a storage, which refuses Authorization headers, rather than a path
        of the registry's own host
    :param prefix: of that path
    :param wants_login: whether the path of the own host wants the login as well
    :param manifests: whether manifests are redirected as well
    :param ranges: whether ranges are served; if not, the whole is
    :param range_error: the status of any request with a Range
    :param length: whether a HEAD says how long a blob is
    """

    redirect: int | None = None
    elsewhere: bool = True
    prefix: str = "/storage"
    wants_login: bool = False
    manifests: bool = False
    ranges: bool = True
    range_error: int | None = None
    length: bool = True


def inclusive(size: int) -> str:
    """The Range of an upload that has so many bytes ("Pushing a blob in chunks")."""
    return f"0-{max(0, size - 1)}"


def own_path(zoo: Zoo, repository: str, session: str) -> str:
    """A Location that is a path."""
    return f"/v2/{repository}/blobs/uploads/{session}"


def absolute(zoo: Zoo, repository: str, session: str) -> str:
    """A Location with scheme and host."""
    return zoo.origin + own_path(zoo, repository, session)


@dataclass(frozen=True)
class Uploads:
    """How blobs are sent.

    :param location: where to go on; its path ends with the session, and it may have a query
    :param start_range: the Range of an upload that begins
    :param sent_range: the Range after so many bytes
    :param status_range: the Range that a GET says
    :param piece_status: of a PATCH
    :param refuse_piece: refuses a PATCH of so many bytes
    :param refuse_whole: refuses a PUT that has so many bytes, after so many that were sent in pieces
    :param body_bytes_max: what a proxy before the registry lets through; more is 413
    :param headers: further ones of a POST's answer
    """

    location: Callable[[Zoo, str, str], str] = own_path
    start_range: str = "0-0"
    sent_range: Callable[[int], str] = inclusive
    status_range: Callable[[int], str] = inclusive
    piece_status: int = 202
    refuse_piece: Callable[[int], Answer | None] = lambda size: None
    refuse_whole: Callable[[int, int], Answer | None] = lambda size, before: None
    body_bytes_max: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


def untagging(zoo: Zoo, call: Call) -> Answer:
    """Delete a tag and nothing else (distribution specification 1.1, "Deleting tags")."""
    if call.reference not in zoo.backend.tags(call.repository):
        return error(404, "MANIFEST_UNKNOWN")
    zoo.backend.untag(call.repository, call.reference)
    return Answer(202)


def deleting(zoo: Zoo, call: Call) -> Answer:
    """Delete a manifest, and every tag of it."""
    return zoo.backend.answer(call.request)


def by_digest_alone(zoo: Zoo, call: Call) -> Answer:
    """Delete nothing by its tag: docker-registry's answer."""
    return error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")


def refusing(status: int, code: str, message: str) -> Callable[[Zoo, Call], Answer]:
    """Delete nothing, and say so."""
    return lambda zoo, call: error(status, code, message)


@dataclass(frozen=True)
class Deletes:
    """What DELETE of a manifest does, by tag and by digest."""

    by_tag: Callable[[Zoo, Call], Answer] = by_digest_alone
    by_digest: Callable[[Zoo, Call], Answer] = deleting
    works: bool = True


@dataclass(frozen=True)
class Manifests:
    """What is taken for a manifest.

    :param refuse: refuses to give a manifest to a tag
    :param immutable: the answer to who gives another one, or the same, to a tag that exists; None lets them
    :param head: whether there is a HEAD of manifests
    """

    refuse: Callable[[Zoo, Call], Answer | None] = lambda zoo, call: None
    immutable: Callable[[Zoo, Call], Answer] | None = None
    head: bool = True


PING = Answer(200, (JSON, API), b"{}")


@dataclass(frozen=True)
class Profile:
    """One family of registries.

    :param name: as the tests call it
    :param title: as people do
    :param ping: the answer to ``/v2/`` for those who are let in
    :param refusal: the body and further headers of a 401
    """

    name: str
    title: str
    ping: Answer = PING
    access: Access = field(default_factory=Access)
    listing: Listing = field(default_factory=Listing)
    blobs: Blobs = field(default_factory=Blobs)
    uploads: Uploads = field(default_factory=Uploads)
    manifests: Manifests = field(default_factory=Manifests)
    deletes: Deletes = field(default_factory=Deletes)
    refusal: Answer = field(default_factory=lambda: error(401, "UNAUTHORIZED", "authentication required", API))
