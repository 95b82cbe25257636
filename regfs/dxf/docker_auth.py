"""``auth=regfs.docker_auth``: a program logs in as docker and podman on the same machine do."""

from __future__ import annotations

import os

from regfs.dxf.base import DXFBase
from regfs.exceptions import DXFAuthInsecureError
from regfs.oci.reference import is_loopback
from regfs.registry.config.credentials import Credentials
from regfs.registry.http.auth import Credential, basic, parse_challenges, scopes_for, token_in, token_url
from regfs.registry.http.transport import Response, check_status


def docker_auth(dxf: DXFBase, response: Response) -> None:
    """Authenticate with the login that docker's or podman's files and helpers have; without one, anonymously.

    Give it to :class:`regfs.DXF` or :class:`regfs.DXFBase` as ``auth``.

    :raises DXFAuthInsecureError: if a login would go over plain HTTP to another machine
    :raises DXFUnauthorizedError: if the token server refuses
    """
    credential = Credentials(os.environ).find(dxf._host, dxf._repo or "")
    challenges = parse_challenges(response.headers.get("WWW-Authenticate", ""))
    if dxf._insecure and not is_loopback(dxf._host):
        raise DXFAuthInsecureError
    if "bearer" in challenges:
        dxf.token = _token(dxf, challenges["bearer"], credential)
    elif credential is not None and not credential.refresh_token:
        dxf._headers = {"Authorization": basic(credential.username, credential.password)}


def _token(dxf: DXFBase, bearer: dict[str, str], credential: Credential | None) -> str:
    scopes = scopes_for(bearer, dxf._repo, None)
    if credential is not None and credential.refresh_token:
        form = {
            "grant_type": "refresh_token",
            "service": bearer.get("service", ""),
            "client_id": "regfs",
            "scope": " ".join(scopes),
            "refresh_token": credential.refresh_token,
        }
        answer = dxf._send("post", token_url({"realm": bearer.get("realm", "")}, ()), data=form)
    else:
        headers = {"Authorization": basic(credential.username, credential.password)} if credential else {}
        answer = dxf._send("get", token_url(bearer, scopes, dxf._auth_host), headers=headers)
    return token_in(check_status(answer).json())
