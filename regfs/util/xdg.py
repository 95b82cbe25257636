"""Where the user's files are, by the environment. Looks at none of them.

Source: XDG Base Directory Specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def home(environment: Mapping[str, str]) -> Path:
    """The user's home: ``$HOME``, else what the system knows."""
    return Path(environment.get("HOME") or Path.home())


def config_home(environment: Mapping[str, str]) -> Path:
    """``$XDG_CONFIG_HOME``, else ``~/.config``."""
    return Path(environment.get("XDG_CONFIG_HOME") or home(environment) / ".config")
