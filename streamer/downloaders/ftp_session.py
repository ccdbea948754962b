"""A session with an FTP server: logged in once, asked for one file after the other.

Joins the control connection, what is said on it (`ftp_dialogues`), and the data connections that it
leads to (`ftp_passive`). After a file the session can be used again only if nothing of that file
can be left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.web.iweb import IPolicyForHTTPS

from streamer.downloaders import ftp_dialogues as say
from streamer.downloaders.addresses import anywhere
from streamer.downloaders.credentials import Origin
from streamer.downloaders.dialing import AdmittedEndpoint
from streamer.downloaders.ftp_connecting import OneTlsSession, connected
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_data import DataConnection
from streamer.downloaders.ftp_passive import PassiveMode
from streamer.downloaders.ftp_places import Login
from streamer.downloaders.ftp_replies import Reply
from streamer.ranges import ByteRange


@dataclass(frozen=True, slots=True)
class Retrieval:
    """A file that a server has begun to send.

    `size` is what it says that the whole file has; with a `span`, which it has agreed to begin at,
    the content is that part.
    """

    data: DataConnection
    size: int | None
    span: ByteRange | None = None


class Dial:
    """How connections to servers are made."""

    def __init__(
        self,
        reactor: Any,
        policy: IPolicyForHTTPS,
        *,
        seconds: float,
        explicit_tls: bool,
        bind_address: str | None,
    ) -> None:
        """`explicit_tls` says that AUTH TLS is asked for where the scheme is ftp."""
        self._reactor = reactor
        self._policy = policy
        self._seconds = seconds
        self._explicit_tls = explicit_tls
        self._bind_address = bind_address
        self._passive = PassiveMode(reactor, seconds, bind_address)

    async def log_in(self, server: Origin, login: Login) -> Session:
        """A new session; raises an `OriginError` or what Twisted raises on the way."""
        is_implicit = server.scheme == "ftps"
        began_at = self._reactor.seconds()
        tls = OneTlsSession(self._creator(server)) if is_implicit or self._explicit_tls else None
        where = AdmittedEndpoint(
            self._reactor, server.host, server.port, self._seconds, anywhere, self._bind_address
        )
        control = await connected(
            lambda: Control(is_tls=is_implicit), where, tls if is_implicit else None
        )
        try:
            say.check_greeting(await control.greeting())
            if tls is not None and not is_implicit:
                await control.hold(say.ask_for_tls())
                control.start_tls(tls)
            await control.hold(say.log_in(login))
            if tls is not None:
                await control.hold(say.protect_content())
            await control.hold(say.send_bytes_as_they_are())
        except BaseException:
            control.drop()
            raise
        return Session(control, self._passive, tls, began_at)

    def _creator(self, server: Origin) -> IOpenSSLClientConnectionCreator:
        creator: IOpenSSLClientConnectionCreator = self._policy.creatorForNetloc(
            server.host.encode("ascii"), server.port
        )
        return creator


class Session:
    """One control connection that has logged in, and what is fetched by it, one at a time."""

    def __init__(
        self,
        control: Control,
        passive: PassiveMode,
        tls: IOpenSSLClientConnectionCreator | None,
        began_at: float,
    ) -> None:
        self.control = control
        self.began_at = began_at
        self._passive = passive
        self._tls = tls
        self._is_between = True

    @property
    def is_reusable(self) -> bool:
        """Whether the next file may be asked for: nothing of the last one can be left over."""
        return self._is_between and not self.control.is_over

    async def retrieve(self, path: bytes, span: ByteRange | None) -> Retrieval:
        """Ask for a file, or for `span` of it; completes when its content is on the way.

        A span that the server cannot begin at, or does not say that it has, becomes all of it.
        """
        size = await self.control.hold(say.ask_for_size(path))
        # A port that was named and a position that was agreed may outlive a RETR that fails.
        self._is_between = False
        data = await self._passive.connect(self.control, self._tls)
        try:
            if span is not None and (size is None or span.last >= size):
                span = None
            if span is not None and span.first > 0:
                asked = say.ask_to_start_at(span.first)
                span = span if await self.control.hold(asked) else None
            await self._begin(path)
            await data.ready
        except BaseException:
            data.abort()
            raise
        return Retrieval(data, size, span)

    async def end(self) -> Reply:
        """What the server says when it has sent all; raises where it says nothing more."""
        reply = await self.control.end()
        self._is_between = say.has_sent_all(reply)
        return reply

    def drop(self) -> None:
        """Close the control connection; idempotent."""
        self.control.drop()

    async def _begin(self, path: bytes) -> None:
        reply = await self.control.begin(b"RETR " + path)
        if reply.kind != 1:
            raise say.refusal_of_file(reply)
