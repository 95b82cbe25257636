"""``auth=regfs.docker_auth``: a program logs in as docker and podman on the same machine do."""

from __future__ import annotations

import os
from collections.abc import Mapping

from regfs.dxf.base import DXFBase
from regfs.dxf.errors import documented
from regfs.exceptions import DXFAuthInsecureError
from regfs.oci.reference import is_loopback
from regfs.registry.config.credentials import Credentials
from regfs.registry.credential import Credential
from regfs.registry.http.auth import parse_challenges, scopes_for, token_form, token_in, token_url
from regfs.registry.http.transport import Response, check_status


def docker_auth(dxf: DXFBase, response: Response) -> None:
    """Authenticate with the login that docker's or podman's files and helpers have; without one, anonymously.

    Give it to :class:`regfs.DXF` or :class:`regfs.DXFBase` as ``auth``.

    :raises DXFAuthInsecureError: if a login would go over plain HTTP to another machine
    :raises DXFUnauthorizedError: if the token server refuses
    """
    if dxf._insecure and not is_loopback(dxf._host):
        raise DXFAuthInsecureError
    credential = Credentials(os.environ).find(dxf._host, dxf._repo or "")
    if credential is not None and credential.registry_token:
        dxf.token = credential.registry_token
    elif credential is not None and credential.refresh_token:
        bearer = parse_challenges(response.headers.get("WWW-Authenticate", "")).get("bearer")
        if bearer is not None:
            dxf.token = _exchanged(dxf, bearer, credential)
    else:
        username, password = (credential.username, credential.password) if credential else (None, None)
        dxf._authenticate_here(response, username, password)


def _exchanged(dxf: DXFBase, bearer: Mapping[str, str], credential: Credential) -> str:
    """The token that an identity token is exchanged for."""
    form = token_form(bearer, scopes_for(bearer, dxf._repo, None), credential)
    with documented():
        url = token_url({"realm": bearer.get("realm", "")}, (), dxf._auth_host)
        return token_in(check_status(dxf._send("post", url, data=form)).json())
