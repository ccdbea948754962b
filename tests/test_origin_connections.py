"""Connections to origins in memory: what is watched on them, byte by byte and turn by turn.

The client is Twisted's own, over the agent that importers use; the origin is a transport that a
test writes into. An aborted connection is lost in the next turn of the clock, as in Twisted.
"""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
)
from twisted.internet.interfaces import IHostnameResolver, ISystemHandle
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    HTTP11ClientProtocol,
    HTTPConnectionPool,
    PotentialDataLoss,
    ResponseDone,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from zope.interface import implementer

from streamer.downloaders.addresses import anywhere
from streamer.downloaders.connections import MAX_ORIGINS, Connections, Dial, OriginEndpoints
from streamer.downloaders.forwarding import ForwardingAgent
from streamer.downloaders.limits import Slots
from streamer.downloaders.tls import OriginPolicy, TlsSettings
from streamer.downloaders.tunnels import TunnelEndpoint
from streamer.errors import OriginNonsense, ProxyFailed

UNASKED = "it sends what was not asked for"
URL = "http://192.0.2.1/f"

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
        self.is_over = False
        self._clock = reactor
        self._protocol = factory.buildProtocol(None)
        self._protocol.makeConnection(self)

    @property
    def requests(self):
        return self.value().count(b"GET ")

    def send(self, data):
        self._protocol.dataReceived(data)

    def end(self, reason=None):
        self.is_over = True
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
        self._connections = Connections(
            self.reactor,
            TlsSettings(),
            None,
            connect_seconds=10.0,
            is_trusted=lambda url: True,
            allow_private=False,
            persistent_per_host=64,
        )

    def request(self, url=URL):
        return self._connections.agent(url).request(b"GET", url.encode())

    def ask(self, url=URL):
        asked = self.request(url)
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


# -- many origins


def test_idle_connections_to_many_origins_are_bounded():
    """Whoever redirects to one name after the other fills no table of descriptors."""
    agency = Agency()
    lines = []

    for number in range(5 * MAX_ORIGINS):
        agency.ask(f"http://198.51.100.{number}/f")
        lines.append(agency.connect())
        lines[-1].send(LENGTH)
        agency.reactor.advance(0)

    assert agency.results == [b"hello"] * len(lines)
    assert sum(not line.is_over for line in lines) == MAX_ORIGINS


def test_idle_connections_to_a_few_origins_are_kept():
    """In turn, as mirrors are asked."""
    agency = Agency()
    lines = {}

    for number in [*range(MAX_ORIGINS)] * 3:
        agency.ask(f"http://198.51.100.{number}/f")
        if number not in lines:
            lines[number] = agency.connect()
        lines[number].send(LENGTH)
        agency.reactor.advance(0)

    assert [line.requests for line in lines.values()] == [3] * MAX_ORIGINS


# -- a slot for each connection


class Reader(Protocol):
    """Takes content, and calls `over` with its last byte or with its end."""

    def __init__(self, size, over):
        self._left = size
        self._over = over

    def dataReceived(self, data):
        self._left -= len(data)
        if self._left == 0:
            self._over()

    def connectionLost(self, reason):
        self._over()


@pytest.mark.parametrize("size", [5, -1], ids=["at-the-last-byte", "at-the-end"])
@pytest.mark.parametrize(
    ("fields", "connections"),
    [(b"", 1), (b"Connection: close\r\n", 3)],
    ids=["kept", "closed"],
)
def test_who_gets_a_slot_finds_its_connection_again_or_gone(size, fields, connections):
    """One slot: never are two connections open, however early it is given back."""
    agency = Agency()
    slots = Slots(1, 10, agency.reactor)
    lines, open_at_once = [], []

    async def get():
        slot = await slots.take()
        asked = agency.request()
        if agency.connections > len(lines):
            lines.append(agency.connect())
        open_at_once.append(sum(not line.is_over for line in lines))
        response = await asked
        response.deliverBody(Reader(size, slot.release))

    for _ in range(3):
        Deferred.fromCoroutine(get())
    for _ in range(3):
        lines[-1].send(LENGTH.replace(b"\r\n\r\n", b"\r\n" + fields + b"\r\n"))
        agency.reactor.advance(0)

    assert (open_at_once, len(lines)) == ([1, 1, 1], connections)


# -- how an origin is reached


def endpoints(reactor, bind_address=None):
    policy = OriginPolicy(TlsSettings(), lambda host, port: False)
    return OriginEndpoints(Dial(reactor, 7.5, bind_address), policy, anywhere)


@pytest.mark.parametrize("url", [b"ftp://h/f", b"file:///f", b"ws://h/"])
def test_other_schemes_lead_nowhere(url):
    """RFC 9110 4.2: http and https."""
    with pytest.raises(SchemeNotSupported):
        endpoints(MemoryReactorClock()).endpointForURI(URI.fromBytes(url))


def test_host_that_is_not_ascii_leads_nowhere():
    """A name is written in the ASCII of IDNA, or not at all."""
    with pytest.raises(ValueError, match="ascii"):
        endpoints(MemoryReactorClock()).endpointForURI(URI.fromBytes(b"http://h\xc3\xa4/"))


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        pytest.param(b"http://192.0.2.1/", "192.0.2.1", 80, id="http"),
        pytest.param(b"https://192.0.2.1/", "192.0.2.1", 443, id="https"),
        pytest.param(b"http://192.0.2.1:8080/", "192.0.2.1", 8080, id="port"),
        pytest.param(b"http://[2001:db8::1]/", "2001:db8::1", 80, id="ipv6"),
    ],
)
@pytest.mark.parametrize("bind_address", [None, "192.0.2.99"])
def test_literal_address_is_connected_to(url, host, port, bind_address):
    """Every attempt has the importer's time to connect, and begins where it was told to."""
    reactor = MemoryReactorClock()
    reactor.nameResolver = Literals()
    endpoint = endpoints(reactor, bind_address).endpointForURI(URI.fromBytes(url))

    endpoint.connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)

    expected = (host, port, 7.5, bind_address and (bind_address, 0))
    ((connected_host, connected_port, _, seconds, own),) = reactor.tcpClients
    assert expected == (connected_host, connected_port, seconds, own)


# -- how a proxy is asked for a tunnel


class Tunnelling:
    """One attempt to open a tunnel, by way of a proxy in memory."""

    def __init__(self, host="origin.example", authorization=None):
        self.reactor = MemoryReactorClock()
        self.reactor.nameResolver = Literals()
        self.results = []
        self.carried = []
        endpoint = TunnelEndpoint(
            Dial(self.reactor, 10.0).to("192.0.2.1", 3128, anywhere),
            host,
            443,
            authorization,
            10.0,
            self.reactor,
        )
        self.attempt = endpoint.connect(Factory.forProtocol(self._carry))
        self.attempt.addBoth(self.results.append)

    def _carry(self):
        self.carried.append(Protocol())
        return self.carried[-1]

    def connect(self):
        return Line(self.reactor, self.reactor.tcpClients[-1][2], b"")


@pytest.mark.parametrize(
    ("host", "target"),
    [
        pytest.param("origin.example", b"origin.example:443", id="name"),
        pytest.param("192.0.2.7", b"192.0.2.7:443", id="ipv4"),
        pytest.param("2001:db8::1", b"[2001:db8::1]:443", id="rfc9110-4.2.1-ipv6"),
    ],
)
@pytest.mark.parametrize(
    ("authorization", "field"), [(None, b""), (b"Basic x", b"Proxy-Authorization: Basic x\r\n")]
)
def test_proxy_is_asked_for_host_and_port(host, target, authorization, field):
    """RFC 9110 9.3.6: in the authority form, and in Host."""
    line = Tunnelling(host, authorization).connect()

    expected = b"CONNECT %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (target, target, field)
    assert line.value() == expected


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 Connection established\r\n\r\n", id="200"),
        pytest.param(b"HTTP/1.0 204\r\nVia: 1.0 p\r\n\r\n", id="rfc9110-9.3.6-any-2xx"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", id="rfc9110-9.3.6-length"),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            id="rfc9110-9.3.6-length-and-coding",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="rfc9110-9.3.6-nonsense"),
        pytest.param(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", id="rfc9110-15.2"),
    ],
)
def test_tunnel_is_there_when_the_answer_is_complete(answer, size):
    """Not a byte earlier; no length in it means anything, and no timer is left."""
    tunnelling = Tunnelling()
    line = tunnelling.connect()

    for start in range(0, len(answer), size):
        assert tunnelling.results == []
        line.send(answer[start : start + size])

    assert tunnelling.results == tunnelling.carried
    assert tunnelling.carried[0].connected
    assert (line.ending, tunnelling.reactor.getDelayedCalls()) == (None, [])


def test_end_of_a_tunnel_is_told_to_who_uses_it():
    """It is that one's connection now."""
    tunnelling = Tunnelling()
    line = tunnelling.connect()
    line.send(b"HTTP/1.1 200 OK\r\n\r\n")
    ends = []
    tunnelling.carried[0].connectionLost = ends.append

    line.end()

    assert [end.type for end in ends] == [ConnectionDone]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"HTTP/1.1 403 No\r\n\r\n"])
def test_protocol_of_a_tunnel_that_never_was_hears_nothing(answer):
    """Neither of a connection nor of its end, and nothing that comes late."""
    tunnelling = Tunnelling()
    line = tunnelling.connect()

    line.send(answer)
    line.loseConnection()
    tunnelling.reactor.advance(0)
    line.send(b"HTTP/1.1 200 OK\r\n\r\n")

    (failure,) = tunnelling.results
    assert failure.check(ProxyFailed)
    assert (tunnelling.carried[0].connected, tunnelling.reactor.getDelayedCalls()) == (0, [])


def test_proxy_has_limited_time_to_answer():
    """Byte by byte, too."""
    tunnelling = Tunnelling()
    line = tunnelling.connect()

    for byte in b"HTTP/1.1 20":
        line.send(bytes([byte]))
        tunnelling.reactor.advance(1)

    (failure,) = tunnelling.results
    assert failure.value.args == ("it does not answer in time",)
    assert line.ending == "aborted"


def test_attempt_that_is_cancelled_before_the_connection_gives_it_up():
    """While the proxy is being connected to."""
    tunnelling = Tunnelling()

    tunnelling.attempt.cancel()

    (failure,) = tunnelling.results
    assert failure.check(ConnectingCancelledError, CancelledError)
    assert tunnelling.reactor.connectors[-1].stoppedConnecting
    assert tunnelling.reactor.getDelayedCalls() == []


@pytest.mark.parametrize(
    "url", [b"https://origin.example/", b"HTTPS://origin.example/", b"ftp://h/"]
)
def test_content_of_other_schemes_is_not_asked_of_a_proxy_in_the_clear(url):
    """Whoever mixes up the ways learns it before the proxy does."""
    reactor = MemoryReactorClock()
    agent = ForwardingAgent(reactor, HTTPConnectionPool(reactor), None, b"Basic x")
    results = []

    agent.request(b"GET", url).addErrback(results.append)

    assert results[0].check(SchemeNotSupported)
