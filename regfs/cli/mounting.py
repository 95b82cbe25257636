"""``regfs mount``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from regfs.cli import fstab
from regfs.cli.completion import directories
from regfs.cli.ending import fail
from regfs.cli.parameters import AddressType, ReferenceType, connecting, graph_options, option
from regfs.mount.life import MountOptions, mount_in_background, mount_in_foreground
from regfs.mount.unmounting import MountFailed
from regfs.oci.reference import Reference


class MountCommand(click.Command):
    """A command that also accepts each option after ``-o``; an option by itself takes precedence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args* after the options of ``-o``; put those for the kernel into ``kernel_options``."""
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
@option("--rootfs", is_flag=True, help="Show the files of the image REFERENCE, read-only.")
@option("--platform", help="In multi-platform tags, show only this platform, such as linux-arm64-v8.")
@option("--offline", is_flag=True, help="Send no request; show the content of the cache.")
@option("--repository", multiple=True, help="List this repository if the registry has no catalog; repeatable.")
@option("--ttl", type=click.FloatRange(0), default=30.0, help="Seconds that names are remembered.")
@option(
    "--verify",
    type=click.Choice(["lazy", "strict"]),
    default="lazy",
    help="strict: verify whole blobs before any byte is served.",
)
@option("--allow-other", is_flag=True, help="Let other users in; needs user_allow_other in /etc/fuse.conf.")
@option("--uid", type=int, default=os.getuid, show_default="yours", help="Owner of the files.")
@option("--gid", type=int, default=os.getgid, show_default="yours", help="Group of the files.")
@option("--umask", type=str, default="0", help="Permission bits to remove, octal.")
@option("--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Log file of a background mount.")
@option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", help="Lowest level to log."
)
@option("--metrics", type=AddressType(), help="Serve metrics for Prometheus, on loopback unless a host is given.")
@option(
    "--fuse",
    type=click.Choice(["auto", "kernel", "fusepy"]),
    default="auto",
    help="kernel: speak the kernel's protocol; fusepy: use libfuse 2; auto: the first that can be used.",
)
@option("--fuse-fd", type=click.IntRange(0), help="Serve a mount that was made with this descriptor of /dev/fuse.")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground and log to standard error.")
@click.option(
    "-o",
    "options",
    multiple=True,
    expose_value=False,
    metavar="OPTIONS",
    help="Any of these as in /etc/fstab, such as ro,uid=1000,cache_size=20G; options for mount(8) only are ignored.",
)
@click.option("-s", "sloppy", is_flag=True, expose_value=False, hidden=True, help="As for mount.regfs.")
def mount(reference: Reference, directory: str, foreground: bool, **given: Any) -> None:
    """Mount REFERENCE on DIRECTORY, and return when it answers.

    REFERENCE is [http://|https://]HOST[:PORT][/REPOSITORY[:TAG|@DIGEST]]: a registry, a repository, a tag, or a
    manifest by its digest. Without a scheme, regfs tries HTTPS and then HTTP on a loopback host, and HTTPS only on
    any other host.

    \b
    regfs mount localhost:5000 /mnt/reg
    regfs mount ghcr.io/org/model:v1 /mnt/model --read-only
    regfs mount registry.example.com /mnt/reg -o ro,allow_other
    regfs mount --rootfs docker.io/library/debian:12 /mnt/debian
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
        read_only=given["read_only"] or given["rootfs"],
        rootfs=given["rootfs"],
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
        fuse=given["fuse"],
        fuse_fd=given["fuse_fd"],
    )
