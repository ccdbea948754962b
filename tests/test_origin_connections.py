"""Connections to origins in memory: what is watched on them, byte by byte and turn by turn.

The client is Twisted's own, over the agent that importers use; the origin is a transport that a
test writes into. An aborted connection is lost in the next turn of the clock, as in Twisted.
"""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IHostnameResolver, ISystemHandle
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    HTTP11ClientProtocol,
    PotentialDataLoss,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from zope.interface import implementer

from streamer.downloaders.addresses import anywhere
from streamer.downloaders.connections import OriginEndpoints, OriginPolicy, make_agent, make_pool
from streamer.errors import OriginNonsense

UNASKED = "it sends what was not asked for"
URL = b"http://192.0.2.1/f"

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"
)
EMPTY = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"
INJECTED = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ninjected"


@implementer(ISystemHandle)
class Line(StringTransport):
    """The origin's side of one connection; `unread` is what lies in the socket."""

    def __init__(self, reactor, factory, unread):
        super().__init__(lenient=True)
        self.unread = unread
        self.ending = None
        self._clock = reactor
        self._protocol = factory.buildProtocol(None)
        self._protocol.makeConnection(self)

    @property
    def requests(self):
        return self.value().count(b"GET ")

    def send(self, data):
        self._protocol.dataReceived(data)

    def end(self, reason=None):
        self._protocol.connectionLost(Failure(reason or ConnectionDone()))

    def getHandle(self):
        return self

    def recv(self, size, flags):
        if not self.unread:
            raise BlockingIOError
        return self.unread[:size]

    def loseConnection(self):
        self._lose("closed", ConnectionDone())

    def abortConnection(self):
        self._lose("aborted", ConnectionAborted())

    def _lose(self, ending, reason):
        if self.ending is None:
            self.ending = ending
            self._clock.callLater(0, self.end, reason)


@implementer(IHostnameResolver)
class Literals:
    """Resolves what is an address already."""

    def resolveHostName(self, receiver, name, port=0, types=None, semantics="TCP"):
        kind = IPv6Address if ":" in name else IPv4Address
        receiver.addressResolved(kind("TCP", name, port))
        receiver.resolutionComplete()


class Body(Protocol):
    """Takes a response's content; `over` is called at its end."""

    def __init__(self, over):
        self.content = b""
        self._over = over

    def dataReceived(self, data):
        self.content += data

    def connectionLost(self, reason):
        self._over(self.content if reason.check(ResponseDone, PotentialDataLoss) else reason)


class Agency:
    """An agent over connections in memory; `results` has contents and failures as they come."""

    def __init__(self):
        self.reactor = MemoryReactorClock()
        self.results = []
        self.asks_again = False
        self.stops = False
        pool = make_pool(self.reactor)
        self._agent = make_agent(self.reactor, pool, None, 10.0)

    def ask(self):
        asked = self._agent.request(b"GET", URL)
        asked.addCallback(self._deliver)
        asked.addErrback(self.results.append)

    def _deliver(self, response):
        body = Body(self._over)
        response.deliverBody(body)
        if self.stops:
            body.transport.stopProducing()

    def _over(self, result):
        self.results.append(result)
        if self.asks_again:
            self.asks_again = False
            self.ask()

    def connect(self, unread=b""):
        """Be the origin of the connection that was opened last."""
        return Line(self.reactor, self.reactor.tcpClients[-1][2], unread)

    @property
    def connections(self):
        return len(self.reactor.tcpClients)

    @property
    def fault(self):
        """The reason of the only result, a failure."""
        (result,) = self.results
        assert result.check(ResponseNeverReceived), result
        (reason,) = result.value.reasons
        assert reason.check(OriginNonsense), reason
        return reason.value.args[0]


@pytest.fixture
def agency():
    """An agent that has asked once."""
    agency = Agency()
    agency.ask()
    return agency


@pytest.fixture
def line(agency):
    """The connection of the first request."""
    return agency.connect()


# -- a response


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        pytest.param(LENGTH, b"hello", id="length"),
        pytest.param(CHUNKED, b"hello", id="chunked"),
        pytest.param(EMPTY, b"", id="empty"),
        pytest.param(NO_CONTENT, b"", id="rfc9110-15.3.5"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH, b"hello", id="rfc9110-15.2.1"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 1000])
def test_connection_serves_one_request_after_the_other(agency, line, raw, content, size):
    """However the bytes arrive, the end of a response is where the next one may begin."""
    for _ in range(3):
        for start in range(0, len(raw), size):
            line.send(raw[start : start + size])
        agency.ask()

    assert agency.results == [content] * 3
    assert (agency.connections, line.requests, line.ending) == (1, 4, None)


def test_content_until_close_ends_with_the_connection(agency, line):
    """RFC 9112 6.3: all that comes is content."""
    line.send(UNTIL_CLOSE)
    line.send(INJECTED)

    line.end()

    assert agency.results == [b"hello" + INJECTED]


def test_state_of_twisteds_client_is_what_is_read_of_it():
    """The end of chunked content is known by this word alone."""
    client = HTTP11ClientProtocol()
    before = client.state
    client.makeConnection(StringTransport())

    class Request:
        persistent = True
        method = b"GET"

        def writeTo(self, transport):
            return succeed(None)

    client.request(Request())
    asked = client.state
    client.dataReceived(CHUNKED[:-1])
    incomplete = client.state
    client.dataReceived(CHUNKED[-1:])

    assert [before, asked, incomplete, client.state] == [
        "QUIESCENT",
        "WAITING",
        "WAITING",
        "QUIESCENT",
    ]


# -- a head that is refused


def test_refused_head_aborts_the_connection_and_says_why(agency, line):
    """The reason is ours, and not that the connection was lost."""
    line.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    ending = line.ending

    agency.reactor.advance(0)

    assert ending == "aborted"
    assert agency.fault == "it is not HTTP"


def test_bytes_after_a_refused_head_are_dropped(agency, line):
    """A layer below may still deliver what it has decrypted."""
    line.send(b"SSH-2.0-OpenSSH_9.2\r\n")

    line.send(LENGTH)
    agency.reactor.advance(0)

    assert agency.fault == "it is not HTTP"


def test_connection_that_ends_within_a_head_is_its_own_reason(agency, line):
    """What was lost is said by who lost it."""
    line.send(LENGTH[:20])

    line.end()

    (failure,) = agency.results
    assert failure.check(ResponseNeverReceived)
    assert failure.value.reasons[0].check(ConnectionDone)


def test_origin_that_speaks_before_it_is_asked_is_refused(agency):
    """What lies in the socket before the request cannot be its answer, and nothing is asked."""
    line = agency.connect(unread=b"220 ready\r\n")

    agency.reactor.advance(0)

    assert agency.fault == UNASKED
    assert (line.requests, line.ending) == (0, "aborted")


# -- more than was asked for

WHOLE = [
    pytest.param(LENGTH, b"hello", id="length"),
    pytest.param(CHUNKED, b"hello", id="chunked"),
    pytest.param(EMPTY, b"", id="empty"),
    pytest.param(NO_CONTENT, b"", id="rfc9110-15.3.5"),
]
EXCESS = [
    pytest.param(INJECTED, id="response"),
    pytest.param(b"\r\n", id="empty-line"),
    pytest.param(b"\n", id="lf"),
    pytest.param(b"x", id="byte"),
    pytest.param(b"0\r\n\r\n", id="last-chunk"),
]


@pytest.mark.parametrize(("raw", "content"), WHOLE)
@pytest.mark.parametrize("excess", EXCESS)
@pytest.mark.parametrize("asks", ["within", "at-once", "later"])
def test_excess_after_content_ends_the_connection(agency, line, raw, content, excess, asks):
    """RFC 9112 6.3, wherever the read ends: the response counts, what follows it never does."""
    agency.asks_again = asks == "within"
    line.send(raw[:-3])

    line.send(raw[-3:] + excess)
    if asks == "at-once":
        agency.ask()
    agency.reactor.advance(0)
    if asks == "later":
        agency.ask()
    second = agency.connect()
    second.send(LENGTH)

    assert agency.results == [content, b"hello"]
    assert (line.ending, second.requests) == ("aborted", 1)
    # Of chunks alone it is seen too late that more follows; what is asked then is asked anew.
    assert line.requests == (2 if asks == "within" and b"chunked" in raw else 1)


@pytest.mark.parametrize(("raw", "content"), WHOLE)
def test_bytes_on_an_idle_connection_end_it(agency, line, raw, content):
    """RFC 9112 9.3: nothing is due."""
    line.send(raw)

    line.send(INJECTED)
    agency.reactor.advance(0)
    agency.ask()
    agency.connect().send(LENGTH)

    assert agency.results == [content, b"hello"]
    assert (agency.connections, line.ending) == (2, "aborted")


@pytest.mark.parametrize(("raw", "content"), WHOLE)
@pytest.mark.parametrize("asks_again", [False, True], ids=["later", "in-the-same-turn"])
def test_connection_with_unread_bytes_is_not_asked(agency, line, raw, content, asks_again):
    """What came between two reads is found before the next request goes out."""
    agency.asks_again = asks_again
    line.unread = INJECTED

    line.send(raw)
    if not asks_again:
        agency.ask()
    agency.reactor.advance(0)
    agency.connect().send(LENGTH)

    assert agency.results == [content, b"hello"]
    assert (line.requests, line.ending) == (1, "aborted")


@pytest.mark.parametrize(("raw", "content"), WHOLE)
def test_answer_in_the_turn_of_its_request_is_none(agency, line, raw, content):
    """Layers below deliver in several pieces what was one read; the second is no answer yet."""
    agency.asks_again = True
    line.send(raw)

    line.send(INJECTED)
    agency.reactor.advance(0)
    agency.connect().send(LENGTH)

    assert agency.results == [content, b"hello"]
    assert (line.requests, line.ending) == (2, "aborted")


@pytest.mark.parametrize(("raw", "content"), WHOLE)
def test_request_in_the_turn_of_a_response_has_its_answer_in_the_next(agency, line, raw, content):
    """Asking at once costs no connection."""
    agency.asks_again = True
    line.send(raw)

    agency.reactor.advance(0)
    line.send(LENGTH)

    assert agency.results == [content, b"hello"]
    assert (agency.connections, line.ending) == (1, None)


def test_connection_that_will_close_is_not_pooled(agency, line):
    """RFC 9112 9.6: whatever the case of the word."""
    line.send(LENGTH.replace(b"\r\n\r\n", b"\r\nConnection: Close\r\n\r\n"))

    agency.ask()

    assert agency.results == [b"hello"]
    assert (agency.connections, line.ending) == (2, "closed")


def test_client_that_stops_takes_nothing_more(agency):
    """What was read together with the head is not delivered after the farewell."""
    line = agency.connect()
    agency.stops = True

    line.send(LENGTH)
    agency.ask()

    assert agency.results == []
    assert (agency.connections, line.producerState) == (2, "stopped")


# -- how an origin is reached


def endpoints():
    return OriginEndpoints(MemoryReactorClock(), OriginPolicy(None), 10.0, anywhere)


@pytest.mark.parametrize("url", [b"ftp://h/f", b"file:///f", b"ws://h/"])
def test_other_schemes_lead_nowhere(url):
    """RFC 9110 4.2: http and https."""
    with pytest.raises(SchemeNotSupported):
        endpoints().endpointForURI(URI.fromBytes(url))


def test_host_that_is_not_ascii_leads_nowhere():
    """A name is written in the ASCII of IDNA, or not at all."""
    with pytest.raises(ValueError, match="ascii"):
        endpoints().endpointForURI(URI.fromBytes(b"http://h\xc3\xa4/"))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        pytest.param(b"http://192.0.2.1/", "192.0.2.1", 80, id="http"),
        pytest.param(b"https://192.0.2.1/", "192.0.2.1", 443, id="https"),
        pytest.param(b"http://192.0.2.1:8080/", "192.0.2.1", 8080, id="port"),
        pytest.param(b"http://[2001:db8::1]/", "2001:db8::1", 80, id="ipv6"),
    ],
)
def test_literal_address_is_connected_to(url, host, port):
    """Every attempt has the importer's time to connect."""
    reactor = MemoryReactorClock()
    reactor.nameResolver = Literals()
    policy = OriginPolicy(None)
    endpoint = OriginEndpoints(reactor, policy, 7.5, anywhere).endpointForURI(URI.fromBytes(url))

    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)

    ((connected_host, connected_port, _, seconds, _),) = reactor.tcpClients
    assert (connected_host, connected_port, seconds) == (host, port, 7.5)
