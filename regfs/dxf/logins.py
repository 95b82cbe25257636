"""The logins that docker and podman keep, for programs that use the API."""

from __future__ import annotations

import os

from regfs.dxf.base import DXFBase
from regfs.oci.reference import is_loopback
from regfs.registry.config.credentials import Credentials
from regfs.registry.http.transport import Response


def docker_auth(dxf: DXFBase, response: Response) -> None:
    """Authenticate with the login that docker or podman keeps for the registry: ``DXF(..., auth=regfs.docker_auth)``.

    Without one as the anonymous user. Over plain HTTP a password travels to a loopback host only.

    :raises DXFAuthInsecureError: over plain HTTP to any other host
    :raises DXFUnauthorizedError: when the token server refuses
    """
    credential = Credentials(os.environ).find(dxf._host, dxf._repo or "")
    username = credential.username if credential is not None else None
    password = credential.password if credential is not None else None
    if dxf._insecure and is_loopback(dxf._host):
        dxf._authenticate_plainly(response, username, password)
    else:
        dxf.authenticate(username, password, response=response)
