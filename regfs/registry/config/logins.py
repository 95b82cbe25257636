"""Keeping a login where docker and podman find it, and forgetting it everywhere."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from regfs.oci.reference import normal_host
from regfs.registry.config import credential_helper
from regfs.registry.config.entries import helper_key, keys_of_host
from regfs.registry.config.login_files import CredentialsUnusable, file_to_write, files, load, section, write
from regfs.registry.credential import Credential


def store(environment: Mapping[str, str], host: str, credential: Credential) -> str:
    """Keep a credential where docker and podman find it; returns where that is.

    :raises CredentialsUnusable: when it cannot be kept there
    """
    host = normal_host(host)
    path = file_to_write(environment)
    document = load(path) or {}
    helper = _helper_of(document, host)
    if helper is not None:
        text = {"ServerURL": helper_key(host), "Username": credential.username, "Secret": credential.password}
        credential_helper.change(helper, "store", environment, json.dumps(text))
        return credential_helper.program(helper)
    encoded = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
    auths = {**section(document, "auths"), helper_key(host): {"auth": encoded}}
    write(path, {**document, "auths": auths})
    return os.fspath(path)


def erase(environment: Mapping[str, str], host: str) -> list[str]:
    """Forget the credential of *host* everywhere; returns the places that had one.

    :raises CredentialsUnusable: when a place cannot be changed
    """
    host = normal_host(host)
    places = []
    for path in dict.fromkeys(files(environment)):
        document = load(path) or {}
        helper = _helper_of(document, host)
        if helper is not None:
            with suppress(CredentialsUnusable):
                credential_helper.change(helper, "erase", environment, helper_key(host))
                places.append(credential_helper.program(helper))
        auths = section(document, "auths")
        gone = set(keys_of_host(auths, host))
        if gone:
            write(path, {**document, "auths": {key: entry for key, entry in auths.items() if key not in gone}})
            places.append(os.fspath(path))
    return places


def _helper_of(document: Mapping[str, Any], host: str) -> str | None:
    """The program that keeps the credential of *host*; None where the file itself does."""
    helpers = section(document, "credHelpers")
    helper = next((helpers[key] for key in keys_of_host(helpers, host)), None) or document.get("credsStore")
    return helper if isinstance(helper, str) and helper else None
