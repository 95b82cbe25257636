"""Extended headers of POSIX tar: records of keys and values. Knows no archive around them."""

from __future__ import annotations

import re

from regfs.archive.entry import SIZE_MAX
from regfs.archive.errors import CorruptArchive

Records = list[tuple[str, bytes]]

XATTR_PREFIX = "SCHILY.xattr."
_NS_DIGITS = 9
_SECOND_NS: int = 10**9
_DIGITS_MAX = 20
_TIME = re.compile(rb"(-?)([0-9]{1,20})(?:\.([0-9]*))?")


def parse_records(data: bytes) -> Records:
    """Parse ``LENGTH KEY=VALUE\\n`` records, in order; values are bytes and may have any, also NULs and newlines.

    :raises CorruptArchive: when a record is not that
    """
    records: Records = []
    position = 0
    while position < len(data):
        space = data.find(b" ", position, position + _DIGITS_MAX)
        length = data[position:space]
        end = position + int(length) if space > 0 and length.isdigit() else -1
        record = data[space + 1 : end - 1]
        key, equals, value = record.partition(b"=")
        if not space < end <= len(data) or data[end - 1 : end] != b"\n" or not (equals and key):
            raise CorruptArchive("tar: an extended header is not made of records")
        records.append((key.decode("utf-8", "surrogateescape"), value))
        position = end
    return records


def natural(value: bytes, subject: str) -> int:
    """Parse a decimal number from 0 on.

    :raises CorruptArchive: when it is not one, or beyond 63 bits
    """
    if not value.isdigit() or len(value) > _DIGITS_MAX or int(value) > SIZE_MAX:
        raise CorruptArchive(f"tar: {subject} is not a number in range")
    return int(value)


def time_ns(value: bytes) -> int:
    """Parse decimal seconds with any fraction to nanoseconds, rounded down.

    :raises CorruptArchive: when it is not that
    """
    match = _TIME.fullmatch(value)
    if not match:
        raise CorruptArchive("tar: a time is not a number")
    fraction = (match[3] or b"")[:_NS_DIGITS].ljust(_NS_DIGITS, b"0")
    nanoseconds = int(match[2]) * _SECOND_NS + int(fraction)
    return -nanoseconds if match[1] else nanoseconds
