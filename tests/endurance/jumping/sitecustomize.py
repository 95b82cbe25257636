"""Python starts with this where a test lets the clock on the wall jump: it is as far off as a file says, in seconds.

The monotonic clock does not jump: the kernel's does not either when somebody sets the time.
"""

import os
import time
from contextlib import suppress

_FILE = os.environ["JUMPING_CLOCK"]
_real = time.time_ns


def _time_ns() -> int:
    offset = 0
    with suppress(OSError, ValueError), open(_FILE) as file:
        offset = int(file.read())
    return _real() + offset * 10**9


time.time_ns = _time_ns
time.time = lambda: _time_ns() / 1e9
