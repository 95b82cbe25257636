"""Small profiles for tests of one thing: a registry that does what the specification says, but for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.zoo.calls import Call
from tests.zoo.profile import Access, Profile, Tokens, actions_of
from tests.zoo.registry import Zoo

PLAIN = Profile(name="plain", title="a registry that does what the specification says")


def usual_challenge(zoo: Zoo, call: Call) -> str:
    """A challenge as docker-registry's."""
    scope = f',scope="repository:{call.repository}:{actions_of(call)}"' if call.repository else ""
    return f'Bearer realm="{zoo.realm()}",service="s"{scope}'


def only(**parts: Any) -> Profile:
    """A profile of these parts, and otherwise plain."""
    return Profile(name="plain", title="plain", **parts)


def basic(**parts: Any) -> Profile:
    """A registry that wants Basic for everything."""
    return only(access=Access(scheme="basic", challenge=lambda zoo, call: 'Basic realm="r"', public=False), **parts)


def bearer(
    challenge: Callable[[Zoo, Call], str] = usual_challenge, tokens: Tokens | None = None, **access: Any
) -> Profile:
    """A registry with a token server."""
    return only(access=Access(scheme="bearer", challenge=challenge, tokens=tokens or Tokens(), **access))
