"""Times as Go writes them into JSON. Source: RFC 3339."""

from __future__ import annotations

import calendar
import re

from regfs.archive.errors import CorruptArchive

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))")
_SECOND_NS = 10**9
_NS_DIGITS = 9
# Go's zero time, which means that there is none.
_NO_YEAR = "0001"


def mtime_ns(text: str) -> int:
    """Return nanoseconds since 1970; 0 for no time.

    :raises CorruptArchive: when it is not a time
    """
    if not text or text.startswith(_NO_YEAR):
        return 0
    match = _TIME.fullmatch(text)
    if not match:
        raise CorruptArchive("a table of contents: a time is not RFC 3339")
    year, month, day, hour, minute, second = (int(match[group]) for group in range(1, 7))
    try:
        seconds = calendar.timegm((year, month, day, hour, minute, second))
    except (ValueError, IndexError):
        raise CorruptArchive("a table of contents: there is no such time") from None
    if match[8]:
        ahead = 60 * (60 * int(match[9]) + int(match[10]))
        seconds -= ahead if match[8] == "+" else -ahead
    fraction = (match[7] or "")[:_NS_DIGITS].ljust(_NS_DIGITS, "0")
    return seconds * _SECOND_NS + int(fraction)
