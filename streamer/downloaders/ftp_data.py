"""One data connection: bytes, held back until somebody takes them.

A server may send before it has said so on the control connection, which is another connection and
may be slower. So nothing is read here until it is asked for; under TLS, not beyond the handshake,
which says whether this is the server at all. What TLS has opened by then is kept: it is one read.

Kept apart from `ftp_content`, which counts and judges, because this is all about transports.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol as Port
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, IPushProducer, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer


class Receiver(Port):
    """Takes what comes over a data connection."""

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""

    def data_ended(self, *, is_clean: bool) -> None:
        """The last call; `is_clean` says that the server closed, and nothing broke."""


@implementer(IHandshakeListener)
class DataConnection(Protocol):
    """Holds back from the start; `ready` fires when the server is known to be the right one."""

    def __init__(self, *, is_tls: bool) -> None:
        self.ready: Deferred[None] = Deferred(lambda _: self.abort())
        self._is_tls = is_tls
        self._receiver: Receiver | None = None
        self._is_held = True
        self._kept: deque[bytes] = deque()
        self._is_over = False
        self._is_clean = False

    def give_to(self, receiver: Receiver) -> None:
        """Name who gets the bytes; they flow after `resume`."""
        self._receiver = receiver

    def hold(self) -> None:
        self._is_held = True
        if not self._is_over:
            self._producer().pauseProducing()

    def resume(self) -> None:
        self._is_held = False
        while self._kept and self._flows():
            self._pass_on(self._kept.popleft())
        if self._is_over:
            self._end()
        elif self._flows():
            self._producer().resumeProducing()

    def abort(self) -> None:
        """Close now; nobody is told anything any more."""
        self._receiver = None
        self._kept.clear()
        self.ready.addErrback(lambda _: None)
        if self.transport is not None and not self._is_over:
            cast(ITCPTransport, self.transport).abortConnection()

    def _flows(self) -> bool:
        return self._receiver is not None and not self._is_held

    def _pass_on(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.data_received(data)

    def _end(self) -> None:
        if self._flows() and not self._kept:
            receiver, self._receiver = cast(Receiver, self._receiver), None
            receiver.data_ended(is_clean=self._is_clean)

    def _producer(self) -> IPushProducer:
        return cast(IPushProducer, self.transport)

    # -- twisted.internet.protocol.Protocol

    def connectionMade(self) -> None:
        if not self._is_tls:
            self.handshakeCompleted()

    def handshakeCompleted(self) -> None:
        self._producer().pauseProducing()
        self.ready.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._flows():
            self._pass_on(data)
        else:
            self._kept.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_over = True
        self._is_clean = reason.check(ConnectionDone) is not None
        if not self.ready.called:
            self.ready.errback(reason)
        self._end()
