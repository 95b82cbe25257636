"""Where the cache and the state of a user are, unless options name other directories."""

from __future__ import annotations

from pathlib import Path

import platformdirs


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/regfs``."""
    return Path(platformdirs.user_cache_dir("regfs"))


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/regfs``: the journal and the logs."""
    return Path(platformdirs.user_state_dir("regfs"))
