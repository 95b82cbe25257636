"""Reading a TOML file of another program; what cannot be read is one warning."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

log = logging.getLogger(__name__)


def load(path: Path) -> dict[str, Any]:
    """What is in a file; nothing if it does not exist or cannot be read."""
    try:
        loaded: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        log.warning("%s: cannot be read (%s); it is left out", path, type(error).__name__)
        return {}
    return loaded
