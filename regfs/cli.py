"""The commands. Parses what the user wrote and says in one line what went wrong; does no work itself."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import click
from tqdm import tqdm

from regfs import __version__
from regfs.cache import BlobCache
from regfs.errnos import printable, told
from regfs.graph import Graph, Options, Unusable, default_cache_dir, default_state_dir
from regfs.mount import MountFailed, MountOptions, mount_in_background, mount_in_foreground, unmount
from regfs.prefetch import NothingThere, wanted
from regfs.prefetch import prefetch as fetch_all
from regfs.registry import credentials, mirrors
from regfs.registry.auth import Credential
from regfs.registry.connect import CannotConnect, Connection, connect
from regfs.registry.exceptions import DXFError
from regfs.registry.manifest import InvalidManifest
from regfs.registry.reference import InvalidReference, Reference, parse_reference
from regfs.registry.tls import Certificates
from regfs.staging import Journal, Pending

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class ReferenceType(click.ParamType):  # type: ignore[type-arg]
    """A reference on the command line."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Reference:
        """Parse it, or say in one line what the right form is."""
        if isinstance(value, Reference):
            return value
        try:
            return parse_reference(value)
        except InvalidReference as error:
            self.fail(str(error), param, ctx)


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


def option(*names: str, **attributes: Any) -> Callable[[Any], Any]:
    """An option that the environment can give too, as ``REGFS_`` and its name."""
    long = max(names, key=len).lstrip("-").partition("/")[0]
    variable = f"REGFS_{long.upper().replace('-', '_')}"
    return click.option(*names, envvar=variable, **{"show_default": True, **attributes})


def _fail(message: object) -> NoReturn:
    click.echo(f"regfs: {printable(str(message))}", err=True)
    sys.exit(1)


def main() -> NoReturn:
    """Run a command. What was wrong with it is one line on standard error; the status is 2 then, else 0 or 1."""
    try:
        sys.exit(commands.main(prog_name="regfs", standalone_mode=False) or 0)
    except click.ClickException as error:
        click.echo(f"regfs: {error.format_message()}", err=True)
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="regfs")
def commands() -> None:
    """A container registry as a filesystem.

    \b
    regfs mount localhost:5000 /mnt/reg        mount a registry
    cp model.bin /mnt/reg/team/model/v1/       publish a file
    regfs umount /mnt/reg                      unmount it
    """


_CACHE_DIR = option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=default_cache_dir,
    show_default="~/.cache/regfs",
    help="The cache.",
)
_CONNECTING = (
    option("--insecure", is_flag=True, help="Speak plain HTTP."),
    option(
        "--ca-file",
        type=click.Path(exists=True, dir_okay=False),
        help="CA certificates to verify its certificate with.",
    ),
    option("--client-cert", type=click.Path(exists=True, dir_okay=False), help="Client certificate."),
    option("--client-key", type=click.Path(exists=True, dir_okay=False), help="Key of the client certificate."),
    option("--no-tls-verify", is_flag=True, help="Do not verify the registry's certificate."),
    option("--username", help="Who to log in as; the password is read from REGFS_PASSWORD, else from standard input."),
    option("--mirror", type=ReferenceType(), multiple=True, help="Read from this registry first; repeatable."),
    option("--timeout", type=click.FloatRange(0.1), default=30.0, help="Seconds to wait for the registry's answers."),
    option("--retries", type=click.IntRange(0, 20), default=3, help="How often to repeat what failed in passing."),
    _CACHE_DIR,
    option(
        "--cache-size", type=SizeType(), help="Keep the cache below this, such as 20G.  [default: half of what is free]"
    ),
)


def connecting(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say how to reach a registry and where the cache is."""
    for add in reversed(_CONNECTING):
        command = add(command)
    return command


@commands.command()
@click.argument("reference", type=ReferenceType())
@click.argument("directory", type=click.Path(path_type=Path))
@connecting
@option("--read-only", is_flag=True, help="Refuse every change.")
@option("--offline", is_flag=True, help="Make no request; show what is cached.")
@option("--repository", multiple=True, help="List this repository where the registry has no catalog; repeatable.")
@option("--ttl", type=click.FloatRange(0), default=30.0, help="Seconds before names are asked for again.")
@option("--verify", type=click.Choice(["lazy", "strict"]), default="lazy", help="strict: whole blobs before any byte.")
@option("--allow-other", is_flag=True, help="Let other users in.")
@option("--uid", type=int, default=os.getuid, show_default="yours", help="Owner of the files.")
@option("--gid", type=int, default=os.getgid, show_default="yours", help="Group of the files.")
@option("--umask", type=str, default="0", help="Permission bits to take away, octal.")
@option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Where a background mount logs to.")
@option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="What it logs.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
def mount(reference: Reference, directory: Path, foreground: bool, **given: Any) -> None:
    """Mount REFERENCE on DIRECTORY, and return when it answers.

    REFERENCE is [http://|https://]HOST[:PORT][/REPOSITORY[:ALIAS|@DIGEST]]: a registry, one of its repositories, or
    one alias of it. Without a scheme a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only.

    \b
    regfs mount localhost:5000 /mnt/reg
    regfs mount ghcr.io/org/model:v1 /mnt/model --read-only
    """
    options = _mount_options(reference, directory, given)
    try:
        if foreground:
            mount_in_foreground(options)
        else:
            mount_in_background(options)
    except MountFailed as error:
        _fail(error)


def _mount_options(reference: Reference, directory: Path, given: dict[str, Any]) -> MountOptions:
    try:
        umask = int(given["umask"], 8) & 0o777
    except ValueError:
        _fail(f"--umask: {given['umask']!r} is not an octal number, such as 022")
    return MountOptions(
        **_graph_options(reference, given),
        directory=Path(os.path.abspath(directory)),
        read_only=given["read_only"],
        repositories=tuple(given["repository"]),
        ttl=given["ttl"],
        strict=given["verify"] == "strict",
        allow_other=given["allow_other"],
        uid=given["uid"],
        gid=given["gid"],
        umask=umask,
        log_file=None if given["log_file"] is None else Path(os.path.abspath(given["log_file"])),
        log_level=given["log_level"],
    )


def _graph_options(reference: Reference, given: dict[str, Any]) -> dict[str, Any]:
    return {
        "reference": reference,
        "connection": _connection(reference, given),
        "cache_dir": Path(os.path.abspath(given["cache_dir"])),
        "cache_size": given["cache_size"],
    }


def _connection(reference: Reference, given: dict[str, Any]) -> Connection:
    if (given["client_cert"] is None) != (given["client_key"] is None):
        _fail("--client-cert and --client-key belong together; give both")
    if given["insecure"] and reference.scheme == "https":
        _fail("--insecure contradicts https:// in the reference; leave one out")
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
        credential=_credential(reference, given["username"]),
        mirrors=(*given["mirror"], *mirrors.configured(os.environ, reference.host)),
    )


def _credential(reference: Reference, username: str | None) -> Callable[[str, str], Credential | None]:
    environment = {name: value for name, value in os.environ.items() if name != "REGFS_PASSWORD"}
    given = None if username is None else Credential(username, _password())
    kept = credentials.Credentials(environment)

    def credential(host: str, repository: str) -> Credential | None:
        if given is not None and host == reference.host:
            return given
        return kept.find(host, repository)

    return credential


def _password() -> str:
    """From the environment, which then forgets it, else from standard input; never from the arguments."""
    password = os.environ.pop("REGFS_PASSWORD", None)
    if password is not None:
        return password
    if sys.stdin.isatty():
        return str(click.prompt("Password", hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


@commands.command()
@click.argument("directory", type=click.Path(path_type=Path))
def umount(directory: Path) -> None:
    """Unmount DIRECTORY."""
    try:
        unmount(Path(os.path.abspath(directory)), default_state_dir())
    except MountFailed as error:
        _fail(error)


@commands.command()
@click.argument("references", type=ReferenceType(), nargs=-1, required=True, metavar="REFERENCE...")
@connecting
@option("--platform", help="Of a multi-platform alias, only this one, such as linux-arm64-v8.")
def prefetch(references: tuple[Reference, ...], platform: str | None, **given: Any) -> None:
    """Fetch every blob of REFERENCE... into the cache: of an alias, or of all aliases of a repository.

    What is there already is not fetched again; an interrupted run goes on where it stopped.

    \b
    regfs prefetch localhost:5000/team/model:v1
    """
    for reference in references:
        _prefetch(reference, platform, given)


def _prefetch(reference: Reference, platform: str | None, given: dict[str, Any]) -> None:
    try:
        with Graph(Options(**_graph_options(reference, given))) as graph:
            _prefetch_from(graph, reference, platform)
    except (Unusable, NothingThere) as error:
        _fail(error)
    except (OSError, DXFError, InvalidManifest) as error:
        _fail(f"{reference}: {told(error)}")


def _prefetch_from(graph: Graph, reference: Reference, platform: str | None) -> None:
    blobs = wanted(graph, reference, platform)
    total = sum(item.blob.size for item in blobs)
    with tqdm(total=total, desc=str(reference), unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        fetch_all(graph, blobs, bar.update)
    click.echo(f"{reference}: {len(blobs)} blobs, {total} bytes are in the cache")


@commands.group()
def cache() -> None:
    """Look at the cache, verify it, shrink it."""


def caching(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that says which cache, which the command is then called with."""

    @functools.wraps(command)
    def with_cache(cache_dir: Path, **given: Any) -> None:
        try:
            command(BlobCache(Path(os.path.abspath(cache_dir))), **given)
        except OSError as error:
            _fail(error.strerror)

    return _CACHE_DIR(with_cache)  # type: ignore[no-any-return]


@cache.command()
@caching
def info(blobs: BlobCache) -> None:
    """Say what the cache holds."""
    usage = blobs.usage()
    click.echo(f"directory  {blobs.directory}")
    click.echo(f"blobs      {usage.blobs} whole, {usage.partial} in part")
    click.echo(f"size       {usage.size} bytes of at most {usage.limit}")


@cache.command()
@caching
def check(blobs: BlobCache) -> None:
    """Read every blob again and remove those that are not their digest. The status is 1 when there were any."""
    bad = list(blobs.check())
    for name in bad:
        click.echo(f"removed {name}")
    click.echo(f"{blobs.usage().blobs} blobs are what their digests say")
    sys.exit(1 if bad else 0)


@cache.command()
@caching
@click.argument("size", type=SizeType())
def prune(blobs: BlobCache, size: int) -> None:
    """Remove the least recently used blobs until SIZE, such as 10G, is left. What is being read stays."""
    blobs.make_room(size)
    click.echo(f"{blobs.usage().size} bytes are left")


@cache.command()
@caching
def clear(blobs: BlobCache) -> None:
    """Remove every blob that nobody is reading."""
    blobs.make_room(0)
    click.echo(f"{blobs.usage().size} bytes are left")


@commands.command()
def pending() -> None:
    """List the files whose push failed: their bytes are kept until they are pushed or dropped."""
    for item in Journal(default_state_dir() / "journal", "").pending():
        when = datetime.fromtimestamp(item.mtime_ns / 10**9).astimezone().isoformat(" ", "seconds")
        click.echo(f"{item.id}  {item.size:>12}  {when}  {item.host}/{item.target}")


@commands.command("push-pending")
@click.argument("identifiers", nargs=-1, metavar="[ID]...")
@connecting
@click.option("--drop", is_flag=True, help="Drop the files instead of pushing them; asks before it does.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def push_pending(identifiers: tuple[str, ...], drop: bool, yes: bool, **given: Any) -> None:
    """Push the files that `regfs pending` lists, all or those named. The status is 1 when one could not be."""
    items = list(Journal(default_state_dir() / "journal", "").pending())
    unknown = set(identifiers) - {item.id for item in items}
    if unknown:
        _fail(f"{', '.join(sorted(unknown))}: not pending; see: regfs pending")
    chosen = [item for item in items if not identifiers or item.id in identifiers]
    if drop:
        if chosen and not yes:
            click.confirm(f"Drop {len(chosen)} files for ever?", abort=True, err=True)
        for item in chosen:
            item.drop()
        return
    sys.exit(1 if sum(not _push_again(item, given) for item in chosen) else 0)


def _push_again(item: Pending, given: dict[str, Any]) -> bool:
    reference = parse_reference(item.host)
    try:
        with Graph(Options(**_graph_options(reference, given))) as graph:
            staged = graph.journal.again(item)
            try:
                graph.publisher.publish(staged)
            finally:
                staged.close()
    except (Unusable, OSError, DXFError, InvalidManifest) as error:
        click.echo(f"regfs: {item.id} {item.target}: {told(error)}", err=True)
        return False
    click.echo(f"pushed {item.host}/{item.target}")
    return True


@commands.command()
@click.argument("reference", type=ReferenceType(), metavar="HOST")
@connecting
def login(reference: Reference, **given: Any) -> None:
    """Log in to HOST, and keep the credential where docker, podman and skopeo find it.

    The user is --username, or asked for; the password is read from REGFS_PASSWORD, else from standard input.
    """
    username = given["username"] or click.prompt("Username", err=True)
    credential = Credential(username, _password())
    connection = replace(_connection(reference, {**given, "username": None}), credential=lambda *_: credential)
    try:
        connect(reference, connection).close()
        click.echo(f"kept in {credentials.store(os.environ, reference.host, credential)}")
    except (CannotConnect, credentials.CredentialsUnusable) as error:
        _fail(error)


@commands.command()
@click.argument("reference", type=ReferenceType(), metavar="HOST")
def logout(reference: Reference) -> None:
    """Forget the credential of HOST in the files and helpers of docker and podman."""
    try:
        places = credentials.erase(os.environ, reference.host)
    except credentials.CredentialsUnusable as error:
        _fail(error)
    if not places:
        _fail(f"no credential of {reference.host} is kept")
    click.echo("\n".join(f"removed from {place}" for place in places))
