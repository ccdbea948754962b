"""A client's connection in memory: real Twisted server code on one side, bytes on the other.

A `Wire` is the transport of a server-side protocol. A test sends bytes into it, stops and goes on
reading, leaves; and looks at what came out and how the connection ended. What came out is read by
`http.client`, which shares no code with Twisted, so that a response is complete only if a client
that knows nothing of us takes it for complete.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from http.client import HTTPResponse, IncompleteRead

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

CLIENT = IPv4Address("TCP", "203.0.113.7", 50000)


class Wire(StringTransport):
    """One connection; its end reaches the protocol in the next turn of the clock, as in Twisted."""

    def __init__(self, site, clock, client=CLIENT):
        super().__init__(peerAddress=client, lenient=True)
        self._clock = clock
        self.ending = None
        self.is_half_closed = False
        self.protocol = site.buildProtocol(client)
        self.protocol.makeConnection(self)

    def send(self, data):
        """Be the client that sends."""
        self.protocol.dataReceived(data)

    def stop_reading(self):
        """Be the client whose buffers are full."""
        self.producer.pauseProducing()

    def read_on(self):
        """Be the client whose buffers are empty again."""
        self.producer.resumeProducing()

    def leave(self):
        """Be the client that is gone."""
        self.ending = "left"
        self.protocol.connectionLost(Failure(ConnectionLost()))

    def loseConnection(self):
        self._end("closed", ConnectionDone())

    def abortConnection(self):
        self._end("aborted", ConnectionAborted())

    def loseWriteConnection(self):
        self.is_half_closed = True

    def _end(self, ending, reason):
        if self.ending is None:
            self.ending = ending
            self._clock.callLater(0, self.protocol.connectionLost, Failure(reason))


@dataclass(frozen=True)
class Answer:
    """One response as a client reads it."""

    status: int
    fields: list[tuple[str, str]]
    content: bytes
    is_complete: bool

    def __getitem__(self, name):
        """The only value of a field; `None` if it is absent."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} is repeated: {values}"
        return values[0] if values else None


class _Socket(io.BytesIO):
    def makefile(self, mode):
        return self

    def close(self):
        """Stay open for the next response."""


def read_answers(raw, *methods):
    """Read one response for each method, in order; bytes that are left over are a fault."""
    source = _Socket(raw)
    answers = [_read_answer(source, method) for method in methods]
    assert source.read() == b""
    return answers


def _read_answer(source, method):
    response = HTTPResponse(source, method=method)
    response.begin()
    try:
        content, is_complete = response.read(), True
    except IncompleteRead as error:
        content, is_complete = error.partial, False
    return Answer(response.status, response.getheaders(), content, is_complete)
