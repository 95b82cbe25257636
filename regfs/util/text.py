"""Text for a person's terminal and for log lines."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """*text* with its control characters, among them the ends of lines, written as escapes."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
