"""``regfs mount`` and ``regfs umount``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from regfs.cli import fstab
from regfs.cli.parameters import (
    AddressType,
    ReferenceType,
    connecting,
    directories,
    fail,
    graph_options,
    option,
    warn,
)
from regfs.mount.life import MountFailed, MountOptions, mount_in_background, mount_in_foreground, unmount
from regfs.oci.reference import Reference
from regfs.session import default_state_dir


class MountCommand(click.Command):
    """A command whose every option can stand behind ``-o`` as well; one that stands for itself wins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse, with what is behind ``-o`` put in front; what of it is for the kernel is ``kernel_options``."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        try:
            behind = fstab.parse(given.get("options", ()), self, given.get("sloppy", False))
        except fstab.UnknownOption as error:
            raise click.UsageError(str(error), ctx) from None
        rest = super().parse_args(ctx, [*behind.arguments, *args])
        ctx.params["kernel_options"] = behind.kernel
        return rest


@click.command(cls=MountCommand)
@click.argument("reference", type=ReferenceType())
@click.argument("directory", shell_complete=directories)
@connecting
@option("--read-only", is_flag=True, help="Refuse every change.")
@option("--platform", help="Of multi-platform aliases, show only this one, such as linux-arm64-v8.")
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
@option("--metrics", type=AddressType(), help="Serve metrics for Prometheus there, on loopback unless a host is named.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option(
    "-o",
    "options",
    multiple=True,
    expose_value=False,
    metavar="OPTIONS",
    help="Any of these as in /etc/fstab, such as ro,uid=1000,cache_size=20G; what is for mount(8) alone is ignored.",
)
@click.option("-s", "sloppy", is_flag=True, expose_value=False, hidden=True, help="As that of mount.regfs.")
def mount(reference: Reference, directory: str, foreground: bool, **given: Any) -> None:
    """Mount REFERENCE on DIRECTORY, and return when it answers.

    REFERENCE is [http://|https://]HOST[:PORT][/REPOSITORY[:ALIAS|@DIGEST]]: a registry, one of its repositories, or
    one alias of it. Without a scheme a loopback host is tried with HTTPS, then HTTP; any other host is HTTPS only.

    \b
    regfs mount localhost:5000 /mnt/reg
    regfs mount ghcr.io/org/model:v1 /mnt/model --read-only
    regfs mount registry.example.com /mnt/reg -o ro,allow_other
    """
    options = _mount_options(reference, directory, given)
    try:
        if foreground:
            mount_in_foreground(options)
        else:
            mount_in_background(options)
    except MountFailed as error:
        fail(error)


def _mount_options(reference: Reference, directory: str, given: dict[str, Any]) -> MountOptions:
    try:
        umask = int(given["umask"], 8) & 0o777
    except ValueError:
        fail(f"--umask: {given['umask']!r} is not an octal number, such as 022")
    return MountOptions(
        **graph_options(reference, given),
        directory=Path(os.path.abspath(directory)),
        read_only=given["read_only"],
        platform=given["platform"],
        repositories=tuple(given["repository"]),
        ttl=given["ttl"],
        strict=given["verify"] == "strict",
        allow_other=given["allow_other"],
        uid=given["uid"],
        gid=given["gid"],
        umask=umask,
        log_file=None if given["log_file"] is None else Path(os.path.abspath(given["log_file"])),
        log_level=given["log_level"],
        metrics=given["metrics"],
        kernel_options=given["kernel_options"],
    )


@click.command()
@click.argument("directory", shell_complete=directories)
@click.option("-l", "--lazy", is_flag=True, help="Unmount now, whoever uses it; wait for nothing.")
def umount(directory: str, lazy: bool) -> None:
    """Unmount DIRECTORY, and return when what was written there is pushed.

    When it is busy, the message says which processes use it. Where the same mount is somewhere else as well, by a bind
    or in another mount namespace, that one goes on, and is not waited for. The status is 1 when something could not be
    pushed.

    \b
    regfs umount /mnt/reg
    """
    try:
        goes_on = unmount(directory, default_state_dir(), lazy)
    except MountFailed as error:
        fail(error)
    if goes_on:
        warn(goes_on)
