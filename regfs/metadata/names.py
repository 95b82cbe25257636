"""The last answers about a registry's names, on disk: what a mount shows when the registry cannot be reached.

One small file an answer, replaced whole, so that any number of processes can share them and a kill leaves none half
written. Knows no registry and no age: what is fresh is the catalog's business.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from regfs.util.private import private_directory, private_opener

log = logging.getLogger(__name__)

Key = tuple[str, ...]

_ABANDONED = 60.0  # seconds after which a half-written answer is a killed process's


class NameStore:
    """The answers about one registry.

    :param directory: of the cache
    :param host: the registry
    """

    def __init__(self, directory: Path, host: str) -> None:
        self._directory = directory / "names" / quote(host, safe="")
        private_directory(self._directory, "name another with --cache-dir")
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        for path in self._directory.iterdir():
            with suppress(OSError):
                if path.suffix != ".json" and path.lstat().st_mtime < time.time() - _ABANDONED:
                    path.unlink()

    def get(self, key: Key) -> Any:
        """The last answer; None when there is none."""
        try:
            stored = json.loads(self._path(key).read_bytes())
            value = stored["value"] if stored["key"] == list(key) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return frozenset(value) if isinstance(value, list) else value

    def put(self, key: Key, value: Any) -> None:
        """Keep an answer; None forgets it. A disk that is full only means that it is not kept."""
        path = self._path(key)
        try:
            if value is None:
                path.unlink(missing_ok=True)
            elif self.get(key) != value:
                plain = sorted(value) if isinstance(value, frozenset) else value
                self._replace(path, json.dumps({"key": key, "value": plain}))
        except OSError as error:
            log.debug("names: %s is not kept: %s", " ".join(key), error.strerror)

    def _replace(self, path: Path, text: str) -> None:
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            with open(fresh, "w", encoding="utf-8", opener=private_opener) as file:
                file.write(text)
            os.replace(fresh, path)
        finally:
            with suppress(OSError):
                fresh.unlink(missing_ok=True)

    def _path(self, key: Key) -> Path:
        return self._directory / (hashlib.sha256("\n".join(key).encode()).hexdigest()[:40] + ".json")
