"""Where to listen, as an operator describes it: what is added to a Twisted endpoint, and cleared.

Separate from `service`, which listens, because it is about what operators leave out and what killed
processes leave behind. Decides nothing that the operator has decided: what the description says
stays as it is. Refuses to touch a socket that answers, and any file that is no socket.
"""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

_BACKLOG = "1024"
"""Twisted's default of 50 waiting connections is less than one crowd of clients."""

RESERVED_DESCRIPTORS = 256
"""For the catalog, the log, the admin endpoint's clients, connections to origins that are kept."""

_SOCKET_MODE = "660"
"""Twisted's default of 666 lets every user of the machine past the front."""

_ENDPOINT_DEFAULTS = {
    "tcp": {"backlog": (2, _BACKLOG)},
    "tcp6": {"backlog": (1, _BACKLOG)},
    "ssl": {"backlog": (5, _BACKLOG)},
    "unix": {"mode": (1, _SOCKET_MODE), "backlog": (2, _BACKLOG)},
}
"""By kind of endpoint: our values of arguments, and the position where each may stand unnamed."""


def with_defaults(description: str) -> str:
    """Add our defaults for what the operator left out."""
    kind, unnamed, names = _read_endpoint(description)
    for name, (position, value) in _ENDPOINT_DEFAULTS.get(kind, {}).items():
        if name not in names and len(unnamed) <= position:
            description += f":{name}={value}"
    return description


def affordable_connections(wanted: int, descriptors: int) -> int:
    """How many clients may be connected where the system grants so many descriptors.

    Each may need two, its own and one to an origin. To run out of them would harm everybody.
    """
    return max(1, min(wanted, (descriptors - RESERVED_DESCRIPTORS) // 2))


def clear_stale_socket(description: str) -> None:
    """Remove the socket file of a process that was killed, if nobody answers there.

    Twisted asks whether the process lives whose number the lock file holds; in a container the
    next one has the same number, so here the kernel is asked. A socket that answers stays, and
    listening says that it is taken.
    """
    kind, unnamed, _ = _read_endpoint(description)
    if kind != "unix" or not unnamed:
        return
    place = re.sub(r"\\(.)", r"\1", unnamed[0])
    if _is_abandoned(place):
        # Where that is forbidden, listening will say that the address is taken.
        with contextlib.suppress(OSError):
            Path(place).unlink()
            Path(f"{place}.lock").unlink()


def _is_abandoned(place: str) -> bool:
    # The system says of any other kind of file, too, that nobody listens.
    if not Path(place).is_socket():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(place)
        except ConnectionRefusedError:
            return True
        except OSError:
            # Busy, or not ours to ask.
            return False
    return False


def _read_endpoint(description: str) -> tuple[str, list[str], set[str]]:
    """The kind of an endpoint below `haproxy:`, its unnamed arguments, and the names of the rest.

    A colon or an equals sign behind a backslash is part of a value.
    """
    kind, *arguments = re.split(r"(?<!\\):", description.removeprefix("haproxy:"))
    halves = [re.split(r"(?<!\\)=", argument, maxsplit=1) for argument in arguments]
    return (
        kind,
        [each[0] for each in halves if len(each) == 1],
        {each[0] for each in halves if len(each) == 2},
    )
