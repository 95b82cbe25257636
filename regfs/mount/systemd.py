"""Notifies systemd of the state of a service. Knows nothing of mounts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress


def notify(environment: Mapping[str, str], *states: str) -> None:
    """Send *states* to the service manager, if it asked for them.

    :param states: such as ``READY=1`` (sd_notify(3))
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto("\n".join(states).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
