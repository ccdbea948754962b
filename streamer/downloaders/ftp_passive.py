"""Where the content of a session comes from: a port that its server names, at its own address.

Connections are made from here (passive mode), and to the address of the control connection and
nowhere else, whatever a server says. Kept apart from the session because what leads anywhere is
learned of a server, and holds for its other sessions too.

Strategy. EPSV first, as RFC 2428 wants it: it knows IPv6, and names no address that NAT could make
wrong. Where it is not offered or its port does not answer, PASV, for some firewalls open only the
ports that they see named by that. A server at which PASV led somewhere after EPSV did not is asked
by PASV for a while; nothing is remembered where neither did.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from cachetools import TTLCache
from twisted.internet.abstract import isIPv6Address
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from streamer.downloaders.ftp_connecting import connected
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_data import DataConnection
from streamer.downloaders.ftp_dialogues import ask_for_extended_port, ask_for_port
from streamer.errors import OriginRefused

EXTENDED_SECONDS = 3
"""How long a port that EPSV named is tried where PASV may do: a firewall that does not know EPSV
drops what goes there, and a port that is open answers sooner, one lost packet included."""

OLD_WAY_SECONDS = 600
MAX_OLD_WAYS = 1000
"""For how long, and of how many servers, it is remembered that EPSV leads nowhere."""

Tls = IOpenSSLClientConnectionCreator | None


class PassiveMode:
    """How data connections are made, for all sessions of one importer."""

    def __init__(self, reactor: Any, seconds: float, bind_address: str | None) -> None:
        self._reactor = reactor
        self._seconds = seconds
        self._own = None if bind_address is None else (bind_address, 0)
        self._old_ways: TTLCache[tuple[str, int], bool] = TTLCache(
            MAX_OLD_WAYS, OLD_WAY_SECONDS, timer=reactor.seconds
        )

    async def connect(self, control: Control, tls: Tls) -> DataConnection:
        """Ask the server for a port and connect to it; raises what that raises."""
        if isIPv6Address(control.peer):
            port = await control.hold(ask_for_extended_port())
            if port is None:
                raise OriginRefused(501)
            return await self._connect(control.peer, port, tls, self._seconds)
        if control.address not in self._old_ways:
            port = await control.hold(ask_for_extended_port())
            if port is not None:
                with suppress(ConnectError, ConnectTimeoutError):
                    within = min(self._seconds, EXTENDED_SECONDS)
                    return await self._connect(control.peer, port, tls, within)
        port = await control.hold(ask_for_port(control.peer))
        data = await self._connect(control.peer, port, tls, self._seconds)
        self._old_ways[control.address] = True
        return data

    async def _connect(self, address: str, port: int, tls: Tls, seconds: float) -> DataConnection:
        kind = TCP6ClientEndpoint if isIPv6Address(address) else TCP4ClientEndpoint
        where = kind(self._reactor, address, port, seconds, self._own)
        return await connected(lambda: DataConnection(is_tls=tls is not None), where, tls)
