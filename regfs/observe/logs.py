"""The log of a mount: a file that only the user can read, standard error, or the journal of systemd."""

from __future__ import annotations

import logging
import logging.handlers
import os
import threading
from io import TextIOWrapper
from pathlib import Path

from regfs.util.private import OTHERWISE, private_directory, private_opener, private_state
from regfs.util.text import printable

_BYTES, _FILES = 5 << 20, 3
_PRIORITIES, _DEBUG = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}, 7  # syslog(3)


def log_file(path: Path | None, state_dir: Path) -> logging.Handler:
    """Open a log file that keeps some older files when it grows.

    :param path: None is ``log/mount.log`` in *state_dir*
    :raises OSError: if it cannot be written
    """
    if path is None:
        path = state_dir / "log" / "mount.log"
        private_state(state_dir)
        private_directory(path.parent, OTHERWISE)
    else:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handler = _PrivateFile(path, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(_Printable("%(asctime)s %(process)d %(levelname)s %(message)s"))
    return handler


def log_to(handler: logging.Handler, level: str) -> None:
    """Log lines of at least *level* to *handler*."""
    if handler.formatter is None:
        handler.setFormatter(_ForJournal() if _is_journal() else _Printable("%(levelname)s %(message)s"))
    logger = logging.getLogger("regfs")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logging.getLogger("fuse").addHandler(handler)
    threading.excepthook = _log_uncaught


def _log_uncaught(error: threading.ExceptHookArgs) -> None:
    """Log a defect that Python would print on standard error, which a background mount does not have."""
    if error.exc_value is not None and not isinstance(error.exc_value, SystemExit):
        name = error.thread.name if error.thread else "a thread"
        logging.getLogger("regfs").error("%s failed", name, exc_info=error.exc_value)


def _is_journal() -> bool:
    """Return whether standard error goes to the journal of systemd (systemd.exec(5), ``$JOURNAL_STREAM``)."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Log files that only the user can read, with any umask."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=private_opener)


class _Printable(logging.Formatter):
    """Escapes text of a registry, so that it can neither forge a line nor control a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return printable(super().formatMessage(record))


class _ForJournal(_Printable):
    """Writes levels for systemd (sd-daemon(3))."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return f"<{_PRIORITIES.get(record.levelno, _DEBUG)}>{super().formatMessage(record)}"
