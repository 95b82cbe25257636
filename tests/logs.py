"""What mounts log, and what regfs logs in the process of the tests: what it warns of, and nobody has announced.

A test announces with the marker ``logs`` and regular expressions, one for each kind of line that it expects. A trace
is a defect, whatever was announced. Knows nothing of pytest.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

STALE = r"^the registry cannot be reached; what was known is served \(\w+\)$"
OTHER_BYTES = (
    r"^the registry sent bytes of digest \S+ for \S+; they are dropped$|^(open|read) .*: expected digest \S+, got "
)
READ_ONLY = r"read-only$"
LEFT_OUT = r"; it is left out$"
A_MOMENT_AGO = r": localhost:\d+ could not be reached a moment ago$"
NOT_PUSHED = (
    r" was not pushed; its bytes are kept, see: regfs pending$|^\d+ files? (was|were) not pushed; see: regfs pending$"
)
_BAD = re.compile(r"^\S+ \S+ \d+ (?:WARNING|ERROR|CRITICAL) (.*)$|^(Traceback .*)$", re.MULTILINE)


class Logs(logging.Handler):
    """The log files that it is told to follow, and the log of this process from its start on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._here: list[str] = []
        self._files: dict[Path, int] = {}  # how many bytes of each are known

    def follow(self, file: Path) -> None:
        """Read this log file, too, as soon as it is there."""
        self._files.setdefault(file, 0)

    def emit(self, record: logging.LogRecord) -> None:
        self._here.append(f"Traceback {record.exc_info[1]!r}" if record.exc_info else record.getMessage())

    def unannounced(self, announced: Iterable[str]) -> list[str]:
        """What was warned of since this was asked last, without what is announced: its text, or a trace's first line.

        :param announced: regular expressions; each may be anywhere in a text
        """
        allowed = re.compile("|".join(announced) or r"(?!)")
        return [text for text in self._fresh() if text.startswith("Traceback ") or not allowed.search(text)]

    def _fresh(self) -> Iterator[str]:
        here, self._here = self._here, []
        yield from here
        for file in list(self._files):
            for match in _BAD.finditer(self._more(file)):
                yield match[1] or match[2]

    def _more(self, file: Path) -> str:
        known, size = self._files[file], 0
        with suppress(FileNotFoundError):
            size = file.stat().st_size
        if size == known:
            return ""
        text = b""
        if size < known:  # a log that has grown long was given another name
            text, known = _after(known, file.with_name(f"{file.name}.1")), 0
        fresh = _after(known, file)
        self._files[file] = known + len(fresh)
        return (text + fresh).decode(errors="backslashreplace")


def _after(offset: int, file: Path) -> bytes:
    with suppress(FileNotFoundError), open(file, "rb") as content:
        content.seek(offset)
        return content.read()
    return b""


LOGS = Logs()  # of this run
