"""The scriptable registry: what a profile says, in front of where the bytes are.

A :class:`Zoo` lets in whom its profile lets in, and does the rest in the profile's way. ``script`` comes before it all:
it may answer a request itself.
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.registries import USER
from tests.servers import Answer, Request
from tests.zoo.backends import Backend
from tests.zoo.calls import Call, call_of, document, error, ranged
from tests.zoo.listener import NO_LENGTH, Listener
from tests.zoo.profile import PUBLIC, Profile, Token
from tests.zoo.tokens import TokenServer, user_of

_SCALE = 20  # pages are so much shorter here than there: as many pages of fewer names
_SIGNATURE_SECONDS = 60.0
_REFUSED_BY_STORAGE = b"<Error><Code>InvalidArgument</Code><Message>Only one auth mechanism allowed</Message></Error>"
Script = Callable[[Call], Answer | None]


@dataclass
class _Session:
    repository: str
    there: str  # where the backend has it
    size: int = 0


class Zoo:
    """One registry of a family, on ports of its own.

    ``host`` is its name and port, ``storage`` the host to which it sends for blobs, if it does.

    :param tls: makes it, its token server and its storage HTTPS
    :param script: answers a request before the profile does, if it wants to
    """

    def __init__(
        self,
        profile: Profile,
        backend: Backend,
        tls: ssl.SSLContext | None = None,
        script: Script = lambda call: None,
        address: str = "127.0.0.1",
        name: str = "localhost",
    ) -> None:
        self.profile, self.backend, self.script = profile, backend, script
        self.tokens = TokenServer(profile.access.tokens, profile.access.public)
        self.listener = Listener(self._respond, tls, name, address)
        self.storage = Listener(self._store, tls, "127.0.0.1") if profile.blobs.redirect else None
        self.host, self.origin = self.listener.host, self.listener.origin
        self._sessions: dict[str, _Session] = {}
        self._signed: dict[str, tuple[str, float]] = {}  # signature → path and time.monotonic() up to when it is good
        self._numbers = itertools.count(1)

    @property
    def calls(self) -> list[Call]:
        """The requests so far, taken apart."""
        return [call_of(request) for request in self.listener.requests]

    def statuses(self, kind: str) -> list[tuple[str, int]]:
        """Method and status of the requests of a kind."""
        return [(request.method, a.status) for request, a in self.listener.exchanges if call_of(request).kind == kind]

    def expire(self) -> None:
        """Let every token and every signed address expire now."""
        self.tokens.revoke()
        self._signed.clear()

    def stop(self) -> None:
        """Stop listening."""
        self.listener.stop()
        if self.storage:
            self.storage.stop()

    def __enter__(self) -> Zoo:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def realm(self) -> str:
        """Where its tokens are."""
        return f"{self.origin}{self.profile.access.tokens.path}"

    def _respond(self, request: Request) -> Answer:
        call = call_of(request)
        answer = self.script(call)
        if answer is not None:
            return answer
        if self.profile.access.scheme == "bearer" and call.path == self.profile.access.tokens.path:
            return self.tokens.answer(request)
        if call.path.startswith(f"{self.profile.blobs.prefix}/v2/") and not self.profile.blobs.elsewhere:
            return self._redirected(call)
        if not self._lets_in(call):
            challenge = self.profile.access.challenge(self, call)
            refusal = self.profile.refusal
            return replace(refusal, headers=(*refusal.headers, ("WWW-Authenticate", challenge)))
        return self._do(call)

    def _do(self, call: Call) -> Answer:
        if call.kind == "ping":
            return self.profile.ping
        does = {"catalog": self._catalog, "tags": self._tags, "manifest": self._manifest, "blob": self._blob,
                "upload": self._upload}.get(call.kind)  # fmt: skip
        return does(call) if does else error(404, "NOT_FOUND")

    # who is let in

    def _lets_in(self, call: Call) -> bool:
        access = self.profile.access
        if access.scheme == "none":
            return True
        if access.scheme == "basic":
            anybody = access.public and call.reads and call.repository.startswith(PUBLIC)
            return user_of(call.authorization) == USER or (anybody and not call.authorization)
        if access.basic and call.authorization.startswith("Basic ") and user_of(call.authorization) == USER:
            return True
        token = self.tokens.token(call.authorization)
        if token is None:
            return False
        return access.ping(token) if call.kind == "ping" else self._grants(token, call)

    def _grants(self, token: Token, call: Call) -> bool:
        access = self.profile.access
        kind, names, actions = "repository", access.names(call), access.needs(call)
        if call.kind == "catalog":
            kind, names, actions = "registry", frozenset({"catalog"}), frozenset("*")
        return any(
            scope.kind == kind and scope.name in names and (actions <= scope.actions or "*" in scope.actions)
            for scope in token.scopes
        )

    # lists

    def _catalog(self, call: Call) -> Answer:
        listing = self.profile.listing
        if listing.catalog is not None:
            return listing.catalog(self, call)
        return self._page(call, "repositories", self.backend.repositories())

    def _tags(self, call: Call) -> Answer:
        if not self.profile.listing.tags:
            return Answer(404)
        names = self.backend.tags(call.repository)
        if not names:
            return error(404, "NAME_UNKNOWN", "repository name not known to registry")
        return self._page(call, "tags", sorted(names + self.profile.listing.extra(self, call)))

    def _page(self, call: Call, key: str, names: list[str]) -> Answer:
        listing = self.profile.listing
        asked = call.query.get("n", "")
        n = int(asked) if asked.isdigit() else _scaled(listing.page_by_default) or len(names)
        if listing.page is not None:
            n = min(n, _scaled(listing.page) or n)
        rest = [name for name in names if name > call.query.get("last", "")]
        page = rest[:n]
        link = None
        if listing.always_linked or len(rest) > n:
            link = listing.link(self, call, n, page[-1] if page else "")
        return document(200, {"name": call.repository, key: page}, [("Link", link)] if link else [])

    # manifests

    def _manifest(self, call: Call) -> Answer:
        manifests = self.profile.manifests
        if call.method == "DELETE":
            deletes = self.profile.deletes
            return (deletes.by_tag if call.by_tag else deletes.by_digest)(self, call)
        if call.method == "HEAD" and not manifests.head:
            return Answer(404)
        if call.method == "PUT":
            exists = call.by_tag and call.reference in self.backend.tags(call.repository)
            if exists and manifests.immutable:
                return manifests.immutable(self, call)
            return manifests.refuse(self, call) or self.backend.answer(call.request)
        if self.profile.blobs.manifests:
            return self._elsewhere(call)
        return self.backend.answer(call.request)

    # blobs

    def _blob(self, call: Call) -> Answer:
        blobs = self.profile.blobs
        if not call.reads:
            return self.backend.answer(call.request)
        answer = self._whole(call.path)
        if answer.status != 200:
            return answer
        if call.method == "HEAD":
            length = ("Content-Length", str(len(answer.body))) if blobs.length else NO_LENGTH
            return Answer(200, (*answer.headers, length))
        if blobs.redirect:
            return self._elsewhere(call)
        return self._served(answer, call.request.headers.get("range", ""))

    def _whole(self, path: str) -> Answer:
        answer = self.backend.answer(Request("GET", path, {}, b""))
        kept = tuple((key, value) for key, value in answer.headers if key.lower() != "content-length")
        return replace(answer, headers=kept)

    def _served(self, answer: Answer, asked: str) -> Answer:
        blobs = self.profile.blobs
        if asked and blobs.range_error:
            return Answer(blobs.range_error)
        return ranged(answer.body, answer.headers, asked if blobs.ranges else "")

    def _elsewhere(self, call: Call) -> Answer:
        assert self.profile.blobs.redirect
        if not self.profile.blobs.elsewhere:
            return Answer(self.profile.blobs.redirect, (("Location", f"{self.profile.blobs.prefix}{call.path}"),))
        assert self.storage
        signature = f"{next(self._numbers)}"
        self._signed[signature] = (call.path, time.monotonic() + _SIGNATURE_SECONDS)
        address = f"{self.storage.origin}{call.path}?X-Amz-Algorithm=A&X-Amz-Signature={signature}"
        return Answer(self.profile.blobs.redirect, (("Location", address),))

    def _redirected(self, call: Call) -> Answer:
        path = call.path.removeprefix(self.profile.blobs.prefix)
        if self.profile.blobs.wants_login and not self._lets_in(call_of(replace(call.request, path=path))):
            return error(401, "UNAUTHORIZED")
        if "/manifests/" in path:
            return self.backend.answer(replace(call.request, path=path))
        return self._served(self._whole(path), call.request.headers.get("range", ""))

    def _store(self, request: Request) -> Answer:
        call = call_of(request)
        path, until = self._signed.get(call.query.get("X-Amz-Signature", ""), ("", 0.0))
        if call.authorization:
            return Answer(400, body=_REFUSED_BY_STORAGE)
        if request.method != "GET" or path != call.path or time.monotonic() > until:
            return Answer(403, body=b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
        return self._served(self._whole(path), request.headers.get("range", ""))

    # uploads

    def _upload(self, call: Call) -> Answer:
        limit = self.profile.uploads.body_bytes_max
        if limit is not None and len(call.request.body) > limit:
            return Answer(413, (("Content-Type", "text/html"),), b"<h1>413 Request Entity Too Large</h1>")
        if call.method == "POST":
            return self._start(call)
        session = self._sessions.get(call.reference)
        if session is None:
            return error(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry")
        does = {"PATCH": self._piece, "PUT": self._finish}.get(call.method)
        if does:
            return does(call, session)
        answer = self._pass_on(call, session, session.there)
        state = self._state(call, call.reference, self.profile.uploads.status_range(session.size))
        return replace(answer, headers=state) if call.method == "GET" else answer

    def _start(self, call: Call) -> Answer:
        answer = self.backend.answer(call.request)
        if answer.status != 202:
            return answer
        number = f"session{next(self._numbers)}"
        self._sessions[number] = _Session(call.repository, answer.header("Location"))
        uploads = self.profile.uploads
        return Answer(202, (*self._state(call, number, uploads.start_range), *uploads.headers))

    def _piece(self, call: Call, session: _Session) -> Answer:
        uploads = self.profile.uploads
        refusal = uploads.refuse_piece(len(call.request.body))
        if refusal is not None:
            return refusal
        answer = self._pass_on(call, session, session.there)
        if answer.status != 202:
            return answer
        session.there, session.size = answer.header("Location"), session.size + len(call.request.body)
        return Answer(uploads.piece_status, self._state(call, call.reference, uploads.sent_range(session.size)))

    def _finish(self, call: Call, session: _Session) -> Answer:
        refusal = self.profile.uploads.refuse_whole(len(call.request.body), session.size)
        if refusal is not None:
            return refusal
        separator = "&" if "?" in session.there else "?"
        answer = self._pass_on(call, session, f"{session.there}{separator}digest={call.query.get('digest', '')}")
        if answer.status == 201:
            del self._sessions[call.reference]
        return Answer(answer.status, tuple(h for h in answer.headers if h[0].lower() != "location"), answer.body)

    def _pass_on(self, call: Call, session: _Session, address: str) -> Answer:
        path = "/" + address.partition("://")[2].partition("/")[2] if "://" in address else address
        return self.backend.answer(replace(call.request, path=path))

    def _state(self, call: Call, number: str, size: str) -> tuple[tuple[str, str], ...]:
        location = self.profile.uploads.location(self, call.repository, number)
        return (("Location", location), ("Range", size), ("Docker-Upload-UUID", number))


def _scaled(names: int | None) -> int | None:
    return None if names is None else max(2, names // _SCALE)
