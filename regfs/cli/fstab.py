"""What stands behind ``-o``, in /etc/fstab and on the command line: options as mount(8) writes them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import click

_SEPARATOR = re.compile(r"(?<!\\),")  # a comma in a value is written \,
_KERNEL = frozenset({"noexec", "nosuid", "nodev", "noatime", "exec", "suid", "dev", "atime"})  # libfuse passes them on
_NOT_OURS = frozenset(  # for mount(8), systemd, or what every mount has anyway
    {
        "rw", "defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group", "async",
        "relatime", "norelatime", "strictatime", "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime",
        "silent", "loud",
    }
)  # fmt: skip
_NOT_OURS_WITH_VALUES = ("x-", "X-", "comment", "user")
_OTHER_NAMES = {"ro": "read-only"}
_SECRETS = frozenset({"password", "passwd", "pass", "token"})


class UnknownOption(Exception):
    """A word behind ``-o`` that is no option; the text says which it could have been."""


def kernel_options(values: Iterable[str]) -> tuple[str, ...]:
    """Those of the words behind ``-o`` that the kernel heeds."""
    return tuple(word for value in values for word in _SEPARATOR.split(value) if word in _KERNEL)


def arguments(values: Iterable[str], command: click.Command, sloppy: bool = False) -> list[str]:
    """The arguments of *command* that the words behind ``-o`` stand for.

    :param values: as they were given, each a list with commas
    :param sloppy: leave out what is unknown (``mount -s``)
    :raises UnknownOption: for a word that is no option of *command*, nor one that every mount knows
    """
    options = {opt.lstrip("-"): param for param in command.params for opt in param.opts if opt.startswith("--")}
    given = []
    for word in filter(None, (word for value in values for word in _SEPARATOR.split(value))):
        name, equals, value = word.partition("=")
        if word in _KERNEL or name in _NOT_OURS or name.startswith(_NOT_OURS_WITH_VALUES[:2]):
            continue
        if name in _NOT_OURS_WITH_VALUES:
            continue
        long = _OTHER_NAMES.get(name, name).replace("_", "-")
        parameter = options.get(long)
        if parameter is None:
            if not sloppy:
                raise UnknownOption(_unknown(name, options))
        elif getattr(parameter, "is_flag", False):
            if equals:
                raise UnknownOption(f"-o {name} takes no value; write it as {name}")
            given.append(f"--{long}")
        elif not equals:
            raise UnknownOption(f"-o {name} needs a value; write it as {name}=VALUE")
        else:
            given.append(f"--{long}={value.replace(chr(92) + ',', ',')}")
    return given


def _unknown(name: str, options: Iterable[str]) -> str:
    if name in _SECRETS:
        return f"-o {name}: others could read it there; run: regfs login HOST, or set REGFS_PASSWORD"
    known = [option.replace("-", "_") for option in options] + [*_OTHER_NAMES, *_KERNEL, *_NOT_OURS]
    near = difflib.get_close_matches(name, known, 1)
    return f"-o {name}: there is no such option" + (f"; did you mean {near[0]}?" if near else "; see: regfs mount -h")
