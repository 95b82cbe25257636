"""Shared by the commands: types of arguments, options of a connection, the progress bar, the line of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from regfs.cli.ending import fail
from regfs.oci.reference import InvalidReference, Reference, is_alias, parse_reference
from regfs.registry.config import credentials, mirrors
from regfs.registry.connect import Connection
from regfs.registry.credential import Credential
from regfs.registry.http.tls import Certificates
from regfs.util.places import default_cache_dir

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class ReferenceType(click.ParamType):  # type: ignore[type-arg]
    """A reference on the command line.

    :param alias: whether it has to name a tag, or a digest
    """

    name = "reference"

    def __init__(self, alias: bool = False) -> None:
        self._alias = alias

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Reference:
        """Parse it, or fail with the correct form in one line."""
        if isinstance(value, Reference):
            return value
        try:
            reference = parse_reference(value)
        except InvalidReference as error:
            self.fail(str(error), param, ctx)
        if self._alias and reference.alias is None:
            form = f"{reference}:TAG" if reference.repository else f"{reference}/REPOSITORY:TAG"
            self.fail(f"{value!r} names no tag; the form is {form}", param, ctx)
        return reference


class AliasType(click.ParamType):  # type: ignore[type-arg]
    """A tag on the command line, without its repository."""

    name = "tag"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it unchanged, or fail with the rules for tags in one line."""
        if not is_alias(value):
            self.fail(
                f"{value!r} is not a tag; letters, digits, '.', '_' and '-', at most 128, not first '.' or '-'",
                param,
                ctx,
            )
        return str(value)


class SizeType(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, such as ``500M`` or ``20G``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it; the units are powers of 1024."""
        if isinstance(value, int):
            return value
        text = str(value).strip().upper().removesuffix("B").removesuffix("I")
        unit = text[-1:] if text[-1:].isalpha() else ""
        number = text.removesuffix(unit)
        if unit not in _UNITS or not number.isdigit():
            self.fail(f"{value!r} is not a size; write it as 500M or 20G", param, ctx)
        return int(number) * _UNITS[unit]


class AddressType(click.ParamType):  # type: ignore[type-arg]
    """Address to listen on: a port, on loopback, or a host and a port."""

    name = "[host:]port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Parse it."""
        if isinstance(value, tuple):
            return value
        host, _, port = str(value).rpartition(":")
        if not port.isdigit() or int(port) > 65535:
            self.fail(f"{value!r} is not a port; write it as 9090 or 0.0.0.0:9090", param, ctx)
        return host.strip("[]") or "127.0.0.1", int(port)


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """Return an option that can also be set in the environment, as ``REGFS_`` and its name."""
    long = max(names, key=len).lstrip("-").partition("/")[0]
    variable = f"REGFS_{long.upper().replace('-', '_')}"
    return click.option(*names, envvar=variable, **{"show_default": True, **attributes})


@contextmanager
def progress_bar(reference: Reference, total: int) -> Iterator[Callable[[int], object]]:
    """A bar of *total* bytes, on a terminal only; what it yields is told of bytes as they come."""
    from tqdm import tqdm

    with tqdm(total=total, desc=str(reference), unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        yield bar.update


JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
PLATFORM = option("--platform", help="In a multi-platform tag, use only this platform, such as linux-arm64-v8.")
CACHE_DIR = option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_cache_dir,
    show_default="~/.cache/regfs",
    help="The cache.",
)
_CONNECTING = (
    option("--insecure", is_flag=True, help="Use plain HTTP."),
    option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False),
        help="CA certificates that verify the registry.",
    ),
    option("--client-cert", type=click.Path(exists=True, dir_okay=False), help="Client certificate."),
    option("--client-key", type=click.Path(exists=True, dir_okay=False), help="Key of the client certificate."),
    option("--no-tls-verify", is_flag=True, help="Do not verify the registry's certificate."),
    option("--username", help="Log in as this user, with the password from REGFS_PASSWORD or standard input."),
    option("--mirror", type=ReferenceType(), multiple=True, help="Read from this registry first; repeatable."),
    option(
        "--timeout", type=click.FloatRange(0.1), default=30.0, help="Seconds to wait for an answer of the registry."
    ),
    option("--retries", type=click.IntRange(0, 20), default=3, help="How often to retry transient failures."),
    CACHE_DIR,
    option(
        "--cache-size",
        type=SizeType(),
        help="Keep the cache below this size, such as 20G.  [default: half of the free space]",
    ),
)


def connecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of a connection and of the cache."""
    for add in reversed(_CONNECTING):
        command = add(command)
    return command


def graph_options(reference: Reference, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of :class:`regfs.session.Options`, from the options of :func:`connecting`."""
    return {
        "reference": reference,
        "connection": connection_to(reference, given),
        "cache_dir": Path(os.path.abspath(given["cache_dir"])),
        "cache_size": given["cache_size"],
    }


def connection_to(reference: Reference, given: dict[str, Any]) -> Connection:
    """Return the connection to the registry of *reference*; exit if the options contradict each other."""
    if (given["client_cert"] is None) != (given["client_key"] is None):
        fail("--client-cert and --client-key belong together; give both")
    if given["insecure"] and reference.scheme == "https":
        fail("--insecure contradicts https:// in the reference; leave one out")
    logins = credentials.Credentials({name: value for name, value in os.environ.items() if name != "REGFS_PASSWORD"})
    credential = _credential(reference, given["username"], logins)
    return Connection(
        insecure=given["insecure"],
        offline=given.get("offline", False),
        certificates=Certificates(
            authorities=(given["ca_file"],) if given["ca_file"] else (),
            client=(given["client_cert"], given["client_key"]) if given["client_cert"] else None,
            verify=not given["no_tls_verify"],
        ),
        timeout=given["timeout"],
        retries=given["retries"],
        credential=credential,
        trail=lambda host, repository: () if given["username"] else logins.look_up(host, repository).trail,
        mirrors=(*map(mirrors.of_reference, given["mirror"]), *mirrors.configured(os.environ, reference.host)),
        locations=tuple(mirrors.locations(os.environ, reference.host)),
    )


def _credential(
    reference: Reference, username: str | None, logins: credentials.Credentials
) -> Callable[[str, str], Credential | None]:
    given = None if username is None else Credential(username, password_given())

    def credential(host: str, repository: str) -> Credential | None:
        if given is not None and host == reference.host:
            return given
        return logins.find(host, repository)

    return credential


def password_given() -> str:
    """Take the password out of the environment, or read it from standard input; never from the arguments."""
    password = os.environ.pop("REGFS_PASSWORD", None)
    if password is not None:
        return password
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")
