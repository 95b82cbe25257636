"""What a verb is: from a node and a request to an answer. The names that the modules of verbs share."""

from __future__ import annotations

import errno
from collections.abc import Callable

from regfs.mount.kernel.nodes import Node
from regfs.mount.kernel.protocol import Request

Answer = bytes | memoryview
Verb = Callable[[Node, Request], Answer]
Verbs = dict[int, Verb]


def stale(path: str) -> OSError:
    """The error that makes the kernel look a path up again, and try once more."""
    return OSError(errno.ESTALE, f"{path} stands for something else now")
