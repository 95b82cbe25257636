"""Options after ``-o``, in /etc/fstab and on the command line, in the notation of mount(8)."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import click

_ESCAPED = "\\,"  # a comma in a value
_SEPARATOR = re.compile(r"(?<!\\),")
_KERNEL = frozenset({"noexec", "nosuid", "nodev", "noatime", "exec", "suid", "dev", "atime"})  # libfuse passes them on
_NOT_OURS = frozenset(  # for mount(8), systemd, or what every mount has anyway
    {
        "rw", "defaults", "auto", "noauto", "nofail", "_netdev", "user", "nouser", "users", "owner", "group", "async",
        "relatime", "norelatime", "strictatime", "nostrictatime", "diratime", "nodiratime", "lazytime", "nolazytime",
        "silent", "loud", "comment",
    }
)  # fmt: skip
_NOT_OURS_PREFIXES = ("x-", "X-")
_OTHER_NAMES = {"ro": "read-only"}
_SECRETS = frozenset({"password", "passwd", "pass", "token"})


class UnknownOption(Exception):
    """A word after ``-o`` is not an option; the message suggests the nearest one."""


@dataclass(frozen=True)
class Parsed:
    """The meaning of the words after ``-o``.

    :param arguments: the same as arguments of the command
    :param kernel: the words for the kernel, such as ``noexec``
    """

    arguments: tuple[str, ...]
    kernel: tuple[str, ...]


def parse(values: Iterable[str], command: click.Command, sloppy: bool = False) -> Parsed:
    """Sort the words after ``-o``; words that are only for mount(8) are left out.

    :param values: the values of the options ``-o``, each a list with commas
    :param command: the command whose long options are allowed
    :param sloppy: leave out unknown words, too (``mount -s``)
    :raises UnknownOption: for a word that is neither an option of *command* nor one of mount(8)
    """
    options = {opt.lstrip("-"): param for param in command.params for opt in param.opts if opt.startswith("--")}
    words = [word for value in values for word in _SEPARATOR.split(value) if word]
    own = [word for word in words if word not in _KERNEL and not _is_for_mount(word)]
    arguments = (_argument(word, options, sloppy) for word in own)
    return Parsed(tuple(filter(None, arguments)), tuple(word for word in words if word in _KERNEL))


def _is_for_mount(word: str) -> bool:
    name = word.partition("=")[0]
    return name in _NOT_OURS or name.startswith(_NOT_OURS_PREFIXES)


def _argument(word: str, options: Mapping[str, click.Parameter], sloppy: bool) -> str | None:
    name, equals, value = word.partition("=")
    long = _OTHER_NAMES.get(name, name).replace("_", "-")
    parameter = options.get(long)
    if parameter is None:
        if sloppy:
            return None
        raise UnknownOption(_unknown(name, options))
    if getattr(parameter, "is_flag", False):
        if equals:
            raise UnknownOption(f"-o {name} takes no value; write it as {name}")
        return f"--{long}"
    if not equals:
        raise UnknownOption(f"-o {name} needs a value; write it as {name}=VALUE")
    return f"--{long}={value.replace(_ESCAPED, ',')}"


def _unknown(name: str, options: Iterable[str]) -> str:
    if name in _SECRETS:
        return f"-o {name}: other users could read it there; run: regfs login HOST, or set REGFS_PASSWORD"
    known = [option.replace("-", "_") for option in options] + [*_OTHER_NAMES, *_KERNEL, *_NOT_OURS]
    near = difflib.get_close_matches(name, known, 1)
    return f"-o {name}: unknown option" + (f"; did you mean {near[0]}?" if near else "; see: regfs mount -h")
