"""Errors as programs catch them: OSError and its subclasses, in the words of the library."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from regfs.fs.errnos import errno_of, told
from regfs.library.artifacts import NotPossible
from regfs.oci.errors import InvalidManifest
from regfs.registry.api import RegistryError

# What messages call an option of a command is an option of a session here.
_OPTIONS = {
    "--ca-file": "ca_file",
    "--cache-dir": "cache_dir",
    "--cache-size": "cache_size",
    "--client-cert": "client_cert",
    "--client-key": "client_key",
    "--insecure": "insecure=True",
    "--repository": "repositories",
    "--timeout": "timeout",
    "--ttl": "ttl",
    "--username": "username and password",
}


@contextmanager
def raising_os_errors(path: str) -> Iterator[None]:
    """Raise what goes wrong with *path* as an OSError with an errno and the path.

    :raises OSError: in the place of an error of a registry or a manifest; FileNotFoundError, PermissionError, … by
        its errno
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(errno_of(error), in_words_of_the_library(told(error)), path) from error
    except NotPossible as error:
        raise OSError(errno.EINVAL, str(error), path) from error
    except (RegistryError, InvalidManifest) as error:
        raise OSError(errno_of(error), in_words_of_the_library(told(error)), path) from error


def in_words_of_the_library(message: str) -> str:
    """Return a message with the names of options as sessions have them."""
    for option, name in _OPTIONS.items():
        message = message.replace(option, name)
    return message
