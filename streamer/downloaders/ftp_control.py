"""The control connection: one command, its reply, the next command.

The thin edge below `ftp_dialogues`: it sends, waits, begins TLS, and knows whose turn it is. A
server speaks only where a reply is owed, and says `1yz` only where that may come first; anything
else breaks the connection (RFC 959 section 5.4 has the sequences). So at most two replies ever wait
to be taken, and none can be there before its command.

Strategy. What came in one read is counted before any of it is handed over, because whoever gets a
reply sends the next command at once: a second reply in that read was there before the command, and
would pass for its answer. For the same reason TLS begins only where nothing at all follows the
reply to AUTH TLS: whatever stands there in the clear, anybody on the way may have put there.

Cancelling whoever waits for a reply drops the connection: what comes next would be the reply.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from streamer.downloaders.ftp_dialogues import Dialogue, refusal
from streamer.downloaders.ftp_replies import Reply, ReplyReader
from streamer.errors import OriginError, OriginNonsense, OriginTLSFailed

T = TypeVar("T")


class HungUp(OriginNonsense):
    """The server closed its control connection, as it may when that has been idle."""


class Control(Protocol):
    """One control connection, from its greeting on."""

    def __init__(self, *, is_tls: bool = False) -> None:
        """`is_tls` says that TLS begins with the connection."""
        self.on_over: Callable[[], None] = _do_nothing
        """Called once, when nothing can be asked here any more."""
        self._reader = ReplyReader()
        self._owed = 1
        self._may_announce = True
        self._replies: deque[Reply] = deque()
        self._waiting: Deferred[Reply] | None = None
        self._is_tls_new = is_tls
        self._over: Exception | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked here any more."""
        return self._over is not None

    @property
    def peer(self) -> str:
        """The server's IP address."""
        return self.address[0]

    @property
    def address(self) -> tuple[str, int]:
        """The server's IP address and port."""
        peer = self._wire().getPeer()
        return str(peer.host), int(peer.port)

    async def greeting(self) -> Reply:
        """The first reply, which a busy server announces (120)."""
        return await self._final_reply()

    async def ask(self, command: bytes) -> Reply:
        """The one reply to a command."""
        self._send(command)
        return await self._final_reply()

    async def begin(self, command: bytes) -> Reply:
        """The first reply to a command that may have two; `1yz` means that `end` is to come."""
        self._send(command)
        self._may_announce = True
        return await self._next_reply()

    async def end(self) -> Reply:
        """The last reply to what `begin` began."""
        return await self._final_reply()

    async def hold(self, dialogue: Dialogue[T]) -> T:
        """Go through a dialogue; raises what it raises."""
        try:
            command = next(dialogue)
            while True:
                command = dialogue.send(await self.ask(command))
        except StopIteration as outcome:
            return cast(T, outcome.value)

    def start_tls(self, creator: IOpenSSLClientConnectionCreator) -> None:
        """Begin TLS, right behind the reply that was taken last."""
        if not self._reader.is_between:
            self._break(OriginTLSFailed("it sends something between its reply and TLS"))
        if self._over is not None:
            raise self._over
        self._is_tls_new = True
        cast(ITLSTransport, self.transport).startTLS(creator)

    def drop(self) -> None:
        """Close the connection now; idempotent."""
        self._break(HungUp("its connection was dropped here"))

    # -- turns

    def _send(self, command: bytes) -> None:
        if not self._reader.is_between:
            self._break(_unasked())
        if self._over is not None:
            raise self._over
        self._owed += 1
        self._may_announce = False
        self._wire().write(command + b"\r\n")

    async def _final_reply(self) -> Reply:
        reply = await self._next_reply()
        return await self._next_reply() if reply.kind == 1 else reply

    async def _next_reply(self) -> Reply:
        if self._replies:
            return self._replies.popleft()
        if self._over is not None:
            raise self._over
        self._waiting = Deferred(lambda _: self._leave())
        return await self._waiting

    def _leave(self) -> None:
        self._waiting = None
        self.drop()

    def _count(self, reply: Reply) -> None:
        """Find a reply out that nobody asked for."""
        if reply.kind == 1 and self._owed and self._may_announce:
            self._may_announce = False
        elif reply.kind != 1 and self._owed:
            self._owed -= 1
        else:
            raise refusal(reply) if reply.code == 421 else _unasked()

    def _hand_over(self, reply: Reply) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._replies.append(reply)
        else:
            waiting.callback(reply)

    def _break(self, fault: Exception) -> None:
        """Give the connection up."""
        if self._over is None:
            self._wire().abortConnection()
            self._end(fault)

    def _end(self, fault: Exception) -> None:
        """Tell whoever waits why it waits in vain, and whoever keeps this that it is of no use."""
        self._over = fault
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.errback(Failure(fault))
        self.on_over()

    def _wire(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    # -- twisted.internet.protocol.Protocol

    def dataReceived(self, data: bytes) -> None:
        if self._over is not None:
            return
        try:
            replies = self._reader.feed(data)
            for reply in replies:
                self._count(reply)
        except OriginError as fault:
            self._break(fault)
            return
        self._is_tls_new = self._is_tls_new and not replies
        for reply in replies:
            self._hand_over(reply)
        if not self._owed and not self._reader.is_between:
            self._break(_unasked())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over is None:
            is_refused = self._is_tls_new and reason.check(SSL.Error)
            hung_up = HungUp("it closed its control connection")
            self._end(cast(Exception, reason.value) if is_refused else hung_up)


def _unasked() -> OriginNonsense:
    return OriginNonsense("it sends what was not asked for")


def _do_nothing() -> None:
    return None
