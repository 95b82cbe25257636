"""Whom to trust, and who to be, on a TLS connection to a registry.

Sources: docker, "Verify repository client with certificates"; containers-certs.d(5).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from regfs.util.xdg import config_home, home


class CertificateUnusable(Exception):
    """A certificate or key file cannot be used; the text is one line that says which and why."""


@dataclass(frozen=True)
class Certificates:
    """Files that a connection is made with, beside the system's certificate authorities.

    :param authorities: files of further certificate authorities
    :param client: the user's own certificate and its key
    :param verify: False believes whatever certificate the registry shows
    """

    authorities: tuple[str, ...] = ()
    client: tuple[str, str] | None = None
    verify: bool = True

    def with_certs_d(self, environment: Mapping[str, str], host: str) -> Certificates:
        """These, and what the ``certs.d`` directories of docker and podman have for *host*."""
        found = [path for directory in _certs_d(environment, host) for path in sorted(_files(directory))]
        authorities = tuple(str(path) for path in found if path.suffix == ".crt")
        clients = [path for path in found if path.suffix == ".cert" and path.with_suffix(".key").exists()]
        client = self.client or next(((str(path), str(path.with_suffix(".key"))) for path in clients), None)
        return replace(self, authorities=self.authorities + authorities, client=client)

    def context(self) -> ssl.SSLContext:
        """The settings of a connection; names of hosts are verified, too.

        :raises CertificateUnusable: when a file cannot be used
        """
        context = ssl.create_default_context()
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for path in self.authorities:
            try:
                context.load_verify_locations(path)
            except OSError as error:
                raise CertificateUnusable(f"{path}: no CA certificates are in it ({_reason(error)})") from None
        if self.client is not None:
            self._load_client(context, *self.client)
        return context

    def _load_client(self, context: ssl.SSLContext, certificate: str, key: str) -> None:
        def no_password() -> str:
            raise CertificateUnusable(f"{key} is encrypted; give a key without a password")

        try:
            context.load_cert_chain(certificate, key, no_password)
        except OSError as error:
            raise CertificateUnusable(f"{certificate} and {key} do not work together ({_reason(error)})") from None


def _certs_d(environment: Mapping[str, str], host: str) -> Iterator[Path]:
    config = config_home(environment)
    for base in (
        config / "containers",
        config / "docker",
        home(environment) / ".docker",
        Path("/etc/containers"),
        Path("/etc/docker"),
    ):
        yield base / "certs.d" / host


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix in (".crt", ".cert")]
    except OSError:
        return []


def _reason(error: OSError) -> str:
    return (getattr(error, "reason", None) or error.strerror or type(error).__name__).lower().replace("_", " ")
