"""Whether a client takes anything at all, asked of the kernel.

Twisted resumes a producer only when the whole user-space buffer is gone, which at 10 kbit/s takes
minutes; a timer on that event would cut every slow but willing reader. What the peer has
acknowledged moves with every segment, so it separates the slow from the dead.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios

_TCP_INFO_BYTES_ACKED = 120
"""Offset of tcpi_bytes_acked in Linux's struct tcp_info (since 4.1)."""


def taken_mark(transport: object) -> int | None:
    """A number that changes whenever the peer of `transport` has taken bytes.

    None where the system cannot tell; then only a producer's resumption shows progress.
    """
    connection = _socket(transport)
    if connection is None:
        return None
    try:
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
            return int(struct.unpack_from("=Q", info, _TCP_INFO_BYTES_ACKED)[0])
        # A UNIX socket knows only how much is still queued.
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        return int(struct.unpack("=i", queued)[0])
    except (OSError, struct.error):
        return None


def _socket(transport: object) -> socket.socket | None:
    """The socket below a transport, TLS wrappers taken off."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    found = getattr(transport, "socket", None)
    return found if isinstance(found, socket.socket) else None
