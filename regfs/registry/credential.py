"""Who to be at a registry."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Credential:
    """A user name and its secret, which is in no repr.

    :param refresh_token: an identity token, to be exchanged for access tokens (OAuth 2); instead of a password
    :param registry_token: a bearer token that is sent to the registry as it is; instead of a password
    """

    username: str
    password: str = field(repr=False)
    refresh_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)
