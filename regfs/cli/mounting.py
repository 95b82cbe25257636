"""``regfs mount`` and ``regfs umount``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from regfs.cli.parameters import ReferenceType, connecting, fail, graph_options, option
from regfs.graph import default_state_dir
from regfs.mount import MountFailed, MountOptions, mount_in_background, mount_in_foreground, unmount
from regfs.registry.reference import Reference


@click.command()
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
        fail(error)


def _mount_options(reference: Reference, directory: Path, given: dict[str, Any]) -> MountOptions:
    try:
        umask = int(given["umask"], 8) & 0o777
    except ValueError:
        fail(f"--umask: {given['umask']!r} is not an octal number, such as 022")
    return MountOptions(
        **graph_options(reference, given),
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


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
def umount(directory: Path) -> None:
    """Unmount DIRECTORY."""
    try:
        unmount(Path(os.path.abspath(directory)), default_state_dir())
    except MountFailed as error:
        fail(error)
