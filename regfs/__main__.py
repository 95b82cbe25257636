"""``regfs``, ``python -m regfs``, ``mount.regfs``: the commands, and what an interrupt does until they are loaded."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


def main() -> None:
    """Run a command of regfs."""
    with _interruptible():
        from regfs.cli import main as run
    run()


def helper() -> None:
    """Run what mount(8) calls."""
    with _interruptible():
        from regfs.cli.helper import main as run
    run()


@contextmanager
def _interruptible() -> Iterator[None]:
    """An interrupt ends the process at once: nothing has begun, and a trace of half an import tells nobody anything."""
    if (before := signal.getsignal(signal.SIGINT)) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, before)


if __name__ == "__main__":
    main()
