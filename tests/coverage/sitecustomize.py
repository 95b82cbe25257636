"""Imported by every Python that scripts/coverage starts: libfuse's own threads, which call regfs, are measured, too."""

import sys
import threading
from typing import Any


def _measure_callbacks() -> None:
    import fuse

    original = fuse.FUSE._wrapper

    def measured(*arguments: Any, **named: Any) -> Any:
        if sys.gettrace() is None:
            sys.settrace(threading.gettrace())
        return original(*arguments, **named)

    fuse.FUSE._wrapper = staticmethod(measured)


if any(argument.endswith("/regfs") for argument in sys.orig_argv):
    _measure_callbacks()
