"""Programs that keep logins: ``docker-credential-NAME``, as docker and podman run them.

Source: the protocol of docker-credential-helpers. A secret goes through standard input and output, never an argument.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping

from regfs.registry.config.entries import sendable
from regfs.registry.config.login_files import CredentialsUnusable
from regfs.registry.credential import Credential

_HELPER_SECONDS = 30
_IDENTITY_TOKEN = "<token>"  # noqa: S105 - the user name by which a helper says that its secret is a refresh token

# What helpers print when they have no login. The protocol has "credentials not found"; keychains use their own words.
_NO_LOGIN = ("not found", "not be found", "no credentials")


def program(name: str) -> str:
    """The file name of a helper's program."""
    return f"docker-credential-{name}"


def get(name: str, environment: Mapping[str, str], key: str) -> Credential | None:
    """The login that a helper has for *key*; None if it has none.

    :raises CredentialsUnusable: if it cannot be run, fails, or does not answer as a helper does
    """
    done = _run(name, "get", environment, key)
    if done.returncode:
        if any(words in done.stdout.lower() for words in _NO_LOGIN):
            return None
        raise CredentialsUnusable(f"{program(name)} get: status {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        username, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        username = secret = None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise CredentialsUnusable(f"{program(name)} does not answer as a credential helper does")
    if username == _IDENTITY_TOKEN:
        return sendable(Credential("", "", refresh_token=secret))
    return sendable(Credential(username, secret)) if username else None


def change(name: str, verb: str, environment: Mapping[str, str], text: str) -> None:
    """Have a helper ``store`` or ``erase`` a login.

    :raises CredentialsUnusable: if it cannot be run, or refuses
    """
    done = _run(name, verb, environment, text)
    if done.returncode:
        raise CredentialsUnusable(f"{program(name)} {verb}: status {done.returncode}")


def _run(name: str, verb: str, environment: Mapping[str, str], text: str) -> subprocess.CompletedProcess[str]:
    if "/" in name:
        raise CredentialsUnusable(f"{program(name)}: not the name of a helper")
    try:
        return subprocess.run(
            [program(name), verb], input=text, capture_output=True, text=True, errors="replace",
            timeout=_HELPER_SECONDS, env=dict(environment), check=False,
        )  # fmt: skip
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise CredentialsUnusable(f"{program(name)} cannot be run ({type(error).__name__}); is it installed?") from None
