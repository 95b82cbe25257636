"""Where a mount logs to, and how: a file of the user's alone, standard error, or the journal of systemd."""

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
    """A log file, with some older ones when it grows.

    :param path: None is ``log/mount.log`` in *state_dir*
    :raises OSError: when it cannot be written
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
    """Log there what is at least as bad as *level*."""
    if handler.formatter is None:
        handler.setFormatter(_ForJournal() if _is_journal() else _Printable("%(levelname)s %(message)s"))
    logger = logging.getLogger("regfs")
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logging.getLogger("fuse").addHandler(handler)
    threading.excepthook = _log_uncaught


def _log_uncaught(error: threading.ExceptHookArgs) -> None:
    """A defect, which would be told on standard error: a mount in the background has none."""
    if error.exc_value is not None and not isinstance(error.exc_value, SystemExit):
        name = error.thread.name if error.thread else "a thread"
        logging.getLogger("regfs").error("%s failed", name, exc_info=error.exc_value)


def _is_journal() -> bool:
    """Whether standard error goes to the journal of systemd (systemd.exec(5), ``$JOURNAL_STREAM``)."""
    status = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _PrivateFile(logging.handlers.RotatingFileHandler):
    """Log files that are the user's alone, whatever the umask is."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=private_opener)


class _Printable(logging.Formatter):
    """Lines in which nothing that a registry said can pass for another line, or move a terminal's cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return printable(super().formatMessage(record))


class _ForJournal(_Printable):
    """Lines whose level systemd understands (sd-daemon(3))."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class's name
        return f"<{_PRIORITIES.get(record.levelno, _DEBUG)}>{super().formatMessage(record)}"
