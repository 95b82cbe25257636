"""``regfs login`` and ``regfs logout``."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from typing import Any

import click

from regfs.cli.ending import fail
from regfs.cli.parameters import ReferenceType, connecting, connection_to, password_given
from regfs.oci.reference import Reference
from regfs.registry.api import RegistryError
from regfs.registry.config import logins
from regfs.registry.config.login_files import CredentialsUnusable
from regfs.registry.connect import CannotConnect, connect, explain
from regfs.registry.credential import Credential


@click.command()
@click.argument("reference", type=ReferenceType(), metavar="HOST")
@connecting
def login(reference: Reference, **given: Any) -> None:
    """Log in to HOST, and store the credential for docker, podman and skopeo.

    The user is --username; without it, login asks. The password comes from REGFS_PASSWORD, else from standard input.
    """
    username = given["username"] or click.prompt("Username", err=True)
    credential = Credential(username, password_given())
    connection = replace(
        connection_to(reference, {**given, "username": None}), credential=lambda *_: credential, locations=()
    )
    try:
        with closing(connect(reference, connection)) as registry:
            registry.check()
        click.echo(f"stored in {logins.store(os.environ, reference.host, credential)}")
    except RegistryError as error:
        fail(explain(error, reference.host))
    except (CannotConnect, CredentialsUnusable) as error:
        fail(error)


@click.command()
@click.argument("reference", type=ReferenceType(), metavar="HOST")
def logout(reference: Reference) -> None:
    """Remove the credential of HOST from the files and helpers of docker and podman."""
    try:
        places = logins.erase(os.environ, reference.host)
    except CredentialsUnusable as error:
        fail(error)
    if not places:
        fail(f"no credential of {reference.host} is stored")
    click.echo("\n".join(f"removed from {place}" for place in places))
