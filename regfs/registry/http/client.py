"""Requests about one repository, sent through the pool of a registry; what fails is an error of the registry."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin, urlsplit

from regfs.oci.reference import full_name
from regfs.registry.api import Denied, Unauthenticated, Untrustworthy
from regfs.registry.http.answers import location_of, origin_of
from regfs.registry.http.auth import Access
from regfs.registry.http.errors import translated
from regfs.registry.http.refusals import error_of
from regfs.registry.http.transport import PooledTransport, Response

_READING = ("get", "head")


class Client:
    """Sends requests about one repository.

    :param host: host name and optional port
    :param repository: its name; empty for what concerns no repository
    :param insecure: plain HTTP
    :param transport: sends them
    :param pushes: whether they belong to a push, those that only look included
    """

    def __init__(
        self, host: str, repository: str, *, insecure: bool, transport: PooledTransport, pushes: bool = False
    ) -> None:
        self.host = host
        self.repository = full_name(host, repository) if repository else ""
        self.scheme = "http" if insecure else "https"
        self.base_url = f"{self.scheme}://{host}/v2/"
        self._insecure = insecure
        self._pushes = pushes
        self._transport = transport

    def request(self, method: str, path: str, **options: Any) -> Response:
        """Send a request and return an answer that is not an error.

        :param path: below ``/v2/``, or a whole address; no credentials go to another host
        :raises RegistryError: when there is no such answer
        """
        url = urljoin(self.base_url, path)
        url = self._secured(url)
        access: Access | None = options.pop("access", None) or self._access(method)
        if not self.is_home(url):
            access = None  # an upload's Location may lead elsewhere; credentials do not go along
        options.setdefault("allow_redirects", True)
        try:
            return self.send(method, url, access=access, **options)
        except (Denied, Unauthenticated):
            if access is None or not access.push or method.lower() not in _READING:
                raise
        self._transport.pushed.discard(self.repository)  # who may not push may still look
        return self.send(method, url, access=Access(self.repository), **options)

    def _access(self, method: str) -> Access:
        """What a request of a method needs to be allowed to do; in the course of a push also when it only looks."""
        method = method.lower()
        push = self._pushes or self.repository in self._transport.pushed or method not in _READING
        return Access(self.repository, push, delete=method == "delete")

    def _secured(self, url: str) -> str:
        """*url*, over HTTPS where it leads to this registry: one behind a proxy does not know that it is HTTPS.

        :raises Untrustworthy: when it leads from HTTPS to plain HTTP elsewhere
        """
        target = urlsplit(url)
        if target.scheme.lower() != "http" or self._insecure:
            return url
        with translated():
            if origin_of(f"https://{target.netloc}")[1:] == origin_of(self.base_url)[1:]:
                return target._replace(scheme="https").geturl()
        raise Untrustworthy(f"{self.host} leads from HTTPS to plain HTTP")

    def is_home(self, url: str) -> bool:
        """Whether an address is of this registry: its credentials go there, and nowhere else."""
        with translated():
            return origin_of(url) == origin_of(self.base_url)

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
