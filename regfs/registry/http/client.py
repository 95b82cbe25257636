"""Requests about one repository, sent through the pool of a registry; what fails is an error of the registry."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from regfs.registry.api import Untrustworthy
from regfs.registry.http.auth import Access
from regfs.registry.http.errors import error_of, translated
from regfs.registry.http.transport import PooledTransport, Response, location_of
from regfs.registry.http.wire import full_name


class Client:
    """Sends requests about one repository.

    :param host: host name and optional port
    :param repository: its name; empty for what concerns no repository
    :param insecure: plain HTTP
    :param transport: sends them
    """

    def __init__(self, host: str, repository: str, *, insecure: bool, transport: PooledTransport) -> None:
        self.host = host
        self.repository = full_name(host, repository) if repository else ""
        self.scheme = "http" if insecure else "https"
        self.base_url = f"{self.scheme}://{host}/v2/"
        self._access = repository
        self._insecure = insecure
        self._transport = transport

    def request(self, method: str, path: str, **options: Any) -> Response:
        """Send a request and return an answer that is not an error.

        :param path: below ``/v2/``, or a whole address; no credentials go to another host
        :raises RegistryError: when there is no such answer
        """
        url = urljoin(self.base_url, path)
        push = method.lower() not in ("get", "head")
        options.setdefault("access", Access(self._access, push))
        target = urlsplit(url)
        if target.netloc != self.host:
            options["access"] = None  # an upload's Location may lead elsewhere; credentials do not go along
        if target.scheme == "http" and not self._insecure:
            if target.netloc != self.host:
                raise Untrustworthy(f"{self.host} leads from HTTPS to plain HTTP")
            url = target._replace(scheme="https").geturl()  # a registry behind a proxy does not know that it is HTTPS
        options.setdefault("allow_redirects", True)
        return self.send(method, url, **options)

    def send(self, method: str, url: str, *, errors: bool = True, **options: Any) -> Response:
        """Send a request to an address, wherever that is.

        :param errors: whether an answer that is an error is raised
        :raises RegistryError: when there is no answer, or only such a one
        """
        with translated():
            response = self._transport.send(method, url, **options)
        if errors and not response.ok:
            raise error_of(response)
        return response

    def location(self, response: Response) -> str:
        """Where an answer says to go on.

        :raises Untrustworthy: when it does not say, or what it says is no address of HTTP
        """
        with translated():
            return location_of(response)


def read_at_most(response: Response, limit: int) -> bytes:
    """The decoded body of a streamed response.

    :param limit: in bytes
    :raises Untrustworthy: when it is longer
    :raises Interrupted: when it is cut
    """
    content = bytearray()
    with translated():
        for chunk in response.iter_content(1 << 16):
            content += chunk
            if len(content) > limit:
                raise Untrustworthy(f"an answer of more than {limit} bytes")
    return bytes(content)
