"""What is said to a SOCKS5 proxy, and what becomes of its answers, byte by byte.

First the negotiation alone, then the endpoint with a proxy and a resolver in memory. The bytes are
written out by RFC 1928 and RFC 1929, and not by the library that is used.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    DNSLookupError,
    NoRouteError,
)
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.downloaders.addresses import anywhere, is_public
from streamer.downloaders.connections import Dial
from streamer.downloaders.socks import (
    MAX_ADDRESSES,
    SocksEndpoint,
    SocksNegotiation,
    in_turn,
)
from streamer.downloaders.tunnels import ProxyEndpoint
from streamer.errors import OriginUnreachable, ProxyFailed, ProxyRefused

LOGIN = (b"the-user", b"the-p\xc3\xa4ssword")
SAID_LOGIN = b"\x01\x08the-user\x0dthe-p\xc3\xa4ssword"

NO_LOGIN_DUE, LOGIN_DUE, NONE_WILL_DO = b"\x05\x00", b"\x05\x02", b"\x05\xff"
WELCOME = b"\x01\x00"
SUCCEEDED, NOT_ALLOWED, UNREACHABLE, REFUSED = 0, 2, 4, 5

UNASKED = "it sends what was not asked for"
NOT_SOCKS = "it does not speak SOCKS5"
LOGIN_REFUSED = "it wants credentials, or other ones"


def reply(code=SUCCEEDED, address=b"\x01\x00\x00\x00\x00"):
    """The answer to a request, with the address that the proxy connected from."""
    return b"\x05%c\x00%b\x12\x34" % (code, address)


def request(address, port=443):
    """What asks for a connection to an address, as its type and bytes."""
    return b"\x05\x01\x00" + address + port.to_bytes(2, "big")


NAME = b"\x03\x0eorigin.example"


def said(answers, host="origin.example", login=None):
    """All that is said, the last time `None`, to a proxy with these answers."""
    negotiation = SocksNegotiation(host, 443, login)
    return [negotiation.opening, *[negotiation.feed(answer) for answer in answers]]


def fault(answers, login=None):
    """The failure that the last of some answers is."""
    negotiation = SocksNegotiation("origin.example", 443, login)
    assert negotiation.opening
    for answer in answers[:-1]:
        negotiation.feed(answer)
    with pytest.raises(ProxyFailed) as failed:
        negotiation.feed(answers[-1])
    return failed.value


# -- what is said


@pytest.mark.parametrize(
    ("host", "address"),
    [
        pytest.param("origin.example", NAME, id="name"),
        pytest.param("a" * 255, b"\x03\xff" + b"a" * 255, id="longest-name"),
        pytest.param("192.0.2.7", b"\x01\xc0\x00\x02\x07", id="ipv4"),
        pytest.param("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01", id="ipv6"),
        pytest.param("127.1", b"\x03\x05127.1", id="number-that-is-no-address"),
        pytest.param("a_b.example", b"\x03\x0ba_b.example", id="underscore"),
    ],
)
def test_proxy_is_asked_for_name_or_address(host, address):
    """RFC 1928 sections 3 and 4: no method but that without a login, and one CONNECT."""
    assert said([NO_LOGIN_DUE, reply()], host) == [b"\x05\x01\x00", request(address), None]


def test_credentials_are_said_where_they_are_asked_for():
    """RFC 1929: in bytes, with their lengths."""
    expected = [b"\x05\x02\x02\x00", SAID_LOGIN, request(NAME), None]

    assert said([LOGIN_DUE, WELCOME, reply()], login=LOGIN) == expected


def test_credentials_are_not_said_unasked():
    """Who has no use for them does not see them."""
    expected = [b"\x05\x02\x02\x00", request(NAME), None]

    assert said([NO_LOGIN_DUE, reply()], login=LOGIN) == expected


@pytest.mark.parametrize(
    "login", [(b"u" * 255, b"p" * 255), (b"u", b"")], ids=["longest", "no-password"]
)
def test_credentials_of_any_length_are_said(login):
    """One byte has the length of each."""
    lengths = [bytes([len(text)]) + text for text in login]

    assert said([LOGIN_DUE], login=login)[-1] == b"\x01" + b"".join(lengths)


# -- what is answered

ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda raw: b"\x01" + raw),
    st.binary(min_size=16, max_size=16).map(lambda raw: b"\x04" + raw),
    st.binary(max_size=255).map(lambda raw: b"\x03%c%b" % (len(raw), raw)),
)


@given(ADDRESSES, st.booleans(), st.data())
def test_answers_in_any_pieces_say_the_same(address, is_login_due, data):
    """Each message is taken with its last byte, and until then nothing is said."""
    first = [LOGIN_DUE, WELCOME] if is_login_due else [NO_LOGIN_DUE]
    answers = [*first, reply(address=address)]
    expected = said(answers, login=LOGIN)
    negotiation = SocksNegotiation("origin.example", 443, LOGIN)

    found = [negotiation.opening]
    for answer in answers:
        cuts = data.draw(st.sets(st.integers(1, len(answer) - 1)))
        bounds = [0, *sorted(cuts), len(answer)]
        pieces = [answer[start:end] for start, end in pairwise(bounds)]
        for piece in pieces[:-1]:
            assert negotiation.feed(piece) == b""
        found.append(negotiation.feed(pieces[-1]))

    assert found == expected
    assert found[-1] is None


@given(st.sampled_from([None, LOGIN]), st.data())
def test_any_bytes_end_the_negotiation_soon(login, data):
    """Byte by byte, no proxy gets past the three messages, and only `ProxyFailed` says why."""
    negotiation = SocksNegotiation("origin.example", 443, login)
    assert negotiation.opening
    likely = st.sampled_from([0, 1, 2, 3, 4, 5, 255])
    count = 0

    with suppress(ProxyFailed):
        while negotiation.feed(bytes([data.draw(likely | st.integers(0, 255))])) is not None:
            count += 1

    assert count < 2 + 2 + 262


@pytest.mark.parametrize("excess", [b"\x00", b"\x05", b"HTTP/1.1 200 OK\r\n\r\n", reply()])
@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([NO_LOGIN_DUE], id="method"),
        pytest.param([LOGIN_DUE], id="method-with-login"),
        pytest.param([LOGIN_DUE, WELCOME], id="login"),
        pytest.param([LOGIN_DUE, WELCOME, reply()], id="reply"),
        pytest.param([NO_LOGIN_DUE, reply(address=b"\x03\x00")], id="reply-with-name"),
    ],
)
def test_bytes_behind_an_answer_are_refused(answers, excess):
    """What comes before it was asked for is no answer, and the last of it not the origin's."""
    error = fault([*answers[:-1], answers[-1] + excess], LOGIN)

    assert (type(error), error.args) == (ProxyFailed, (UNASKED,))


@pytest.mark.parametrize(
    ("answers", "kind", "sentence"),
    [
        pytest.param([NONE_WILL_DO], ProxyRefused, LOGIN_REFUSED, id="rfc1928-3-no-method"),
        pytest.param([LOGIN_DUE, b"\x01\x01"], ProxyRefused, LOGIN_REFUSED, id="rfc1929-2"),
        pytest.param([LOGIN_DUE, b"\x01\xff"], ProxyRefused, LOGIN_REFUSED, id="rfc1929-2-any"),
        pytest.param([LOGIN_DUE, b"\x05\x00"], ProxyFailed, NOT_SOCKS, id="login-version"),
        pytest.param([b"\x05\x01"], ProxyFailed, NOT_SOCKS, id="method-not-offered"),
        pytest.param([b"\x05\x80"], ProxyFailed, NOT_SOCKS, id="method-unknown"),
        pytest.param([b"\x04\x00"], ProxyFailed, NOT_SOCKS, id="version-4"),
        pytest.param([b"\x00\x5a" + bytes(6)], ProxyFailed, NOT_SOCKS, id="answer-of-socks-4"),
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n"], ProxyFailed, NOT_SOCKS, id="http"),
        pytest.param([b"\x15\x03\x01"], ProxyFailed, NOT_SOCKS, id="tls"),
        pytest.param([NO_LOGIN_DUE, b"\x04\x00\x00"], ProxyFailed, NOT_SOCKS, id="reply-version"),
        pytest.param([NO_LOGIN_DUE, reply(9)], ProxyFailed, NOT_SOCKS, id="code-unassigned"),
        pytest.param(
            [NO_LOGIN_DUE, reply(address=b"\x02" + bytes(4))],
            ProxyFailed,
            NOT_SOCKS,
            id="address-unknown",
        ),
    ],
)
def test_proxy_that_does_not_agree_is_left(answers, kind, sentence):
    """Whether to ask again is said by the class; no sentence has anything of an answer."""
    error = fault(answers, LOGIN)

    assert (type(error), error.args) == (kind, (sentence,))


def test_login_that_was_not_offered_cannot_be_due():
    """There is none."""
    assert fault([LOGIN_DUE]).args == (NOT_SOCKS,)


@pytest.mark.parametrize(
    ("code", "kind", "sentence"),
    [
        (1, ProxyFailed, "it does not come through to the host"),
        (2, ProxyRefused, "it does not allow it"),
        (3, ProxyFailed, "it has no way to the host's network"),
        (4, ProxyFailed, "it has no way to the host"),
        (5, ProxyFailed, "it was refused by the host"),
        (6, ProxyFailed, "its way to the host is too long"),
        (7, ProxyRefused, "it makes no connections"),
        (8, ProxyRefused, "it does not know such addresses"),
    ],
)
def test_reply_says_why_there_is_no_connection(code, kind, sentence):
    """RFC 1928 section 6, each code."""
    error = fault([NO_LOGIN_DUE, reply(code)])

    assert (type(error), error.args) == (kind, (sentence,))


# -- which addresses


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        (["::1", "::2", "::3", "1.1.1.1", "2.2.2.2"], ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"]),
        (["1.1.1.1", "::1", "2.2.2.2"], ["1.1.1.1", "::1", "2.2.2.2"]),
        (["1.1.1.1", "2.2.2.2"], ["1.1.1.1", "2.2.2.2"]),
    ],
)
def test_families_take_turns(addresses, expected):
    """RFC 8305 section 4, so that a proxy without IPv6 is soon asked for IPv4."""
    assert in_turn(addresses) == expected


# -- the endpoint


@implementer(IHostnameResolver)
class Names:
    """Resolves names as a test says, an address to itself, and never what it says `None` of."""

    def __init__(self, **names):
        self.asked = []
        self._names = names

    def resolveHostName(self, receiver, name, port=0, types=None, semantics="TCP"):
        self.asked.append(name)
        found = self._names.get(name, [])
        if found is None:
            self.receiver = receiver
            return
        for address in found:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Line(StringTransport):
    """The proxy's side of one connection to it."""

    def __init__(self, reactor, factory):
        super().__init__(lenient=True)
        self.ending = None
        self._clock = reactor
        self._protocol = factory.buildProtocol(None)
        self._protocol.makeConnection(self)

    def send(self, *answers):
        for answer in answers:
            self._protocol.dataReceived(answer)

    def end(self, reason=None):
        self._protocol.connectionLost(Failure(reason or ConnectionDone()))

    def loseConnection(self):
        self._lose("closed", ConnectionDone())

    def abortConnection(self):
        self._lose("aborted", ConnectionAborted())

    def _lose(self, ending, reason):
        if self.ending is None:
            self.ending = ending
            self._clock.callLater(0, self.end, reason)


class Carried(Protocol):
    """What a tunnel is for; notes what it hears."""

    def __init__(self):
        self.heard = []

    def connectionMade(self):
        self.heard.append("connected")

    def dataReceived(self, data):
        self.heard.append(data)

    def connectionLost(self, reason):
        self.heard.append(reason.type)


class Attempt:
    """One attempt to reach a host through a proxy in memory, `admits` if we resolve it."""

    def __init__(self, host="origin.example", admits=None, login=None, **names):
        self.reactor = MemoryReactorClock()
        self.names = self.reactor.nameResolver = Names(**{"192.0.2.1": ["192.0.2.1"]} | names)
        self.results = []
        self.carried = []
        proxy = ProxyEndpoint(Dial(self.reactor, 10.0).to("192.0.2.1", 1080, anywhere))
        endpoint = SocksEndpoint(proxy, host, 443, login, 10.0, self.reactor, admits)
        self.deferred = endpoint.connect(Factory.forProtocol(self._carry))
        self.deferred.addBoth(self.results.append)

    def _carry(self):
        self.carried.append(Carried())
        return self.carried[-1]

    @property
    def connections(self):
        return len(self.reactor.tcpClients)

    def connect(self):
        """Be the proxy of the connection that was opened last."""
        return Line(self.reactor, self.reactor.tcpClients[-1][2])

    def refuse(self):
        """Be where no proxy listens."""
        self.reactor.tcpClients[-1][2].clientConnectionFailed(
            self.reactor.connectors[-1], Failure(NoRouteError())
        )
        # Twisted looks now and then whether another address is to be tried.
        self.reactor.advance(1)

    @property
    def failure(self):
        (failure,) = self.results
        return failure.value

    def is_tidy(self):
        """Whether no timer is left, once the turn is over."""
        self.reactor.advance(0)
        return self.reactor.getDelayedCalls() == []


def test_way_is_open_with_the_last_byte_of_the_reply():
    """Not a byte earlier; then it is a connection like any other, and no timer is left."""
    attempt = Attempt(login=LOGIN)
    line = attempt.connect()

    line.send(LOGIN_DUE, WELCOME, reply()[:-1])
    before = list(attempt.results)
    line.send(reply()[-1:])
    line.send(b"of the origin")
    line.end()

    (carried,) = attempt.carried
    assert before == []
    assert attempt.results == [carried]
    assert carried.heard == ["connected", b"of the origin", ConnectionDone]
    assert line.value() == b"\x05\x02\x02\x00" + SAID_LOGIN + request(NAME)
    assert attempt.is_tidy()


def test_name_that_the_proxy_resolves_is_not_looked_up():
    """It may exist for the proxy alone."""
    attempt = Attempt()

    attempt.connect().send(NO_LOGIN_DUE, reply())

    assert attempt.names.asked == []
    assert attempt.results == attempt.carried


def test_name_that_we_resolve_is_not_told():
    """The proxy hears an address."""
    attempt = Attempt(admits=anywhere, **{"origin.example": ["10.0.0.1"]})
    line = attempt.connect()

    line.send(NO_LOGIN_DUE, reply())

    assert line.value() == b"\x05\x01\x00" + request(b"\x01\x0a\x00\x00\x01")
    assert attempt.results == attempt.carried


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["127.0.0.1", "::1"], ["::ffff:127.0.0.1"], ["169.254.169.254", "fe80::1"]],
)
def test_address_that_is_not_admitted_is_not_told(addresses):
    """The proxy is not even connected to."""
    attempt = Attempt(admits=is_public, **{"origin.example": addresses})

    assert isinstance(attempt.failure, OriginUnreachable)
    assert attempt.failure.args == ("its address is not public",)
    assert attempt.connections == 0


def test_addresses_that_are_not_admitted_are_left_out():
    """Though the others do not serve."""
    addresses = ["10.0.0.1", "93.184.215.14", "::1"]
    attempt = Attempt(admits=is_public, **{"origin.example": addresses})
    line = attempt.connect()

    line.send(NO_LOGIN_DUE, reply(UNREACHABLE))

    assert line.value().endswith(request(b"\x01\x5d\xb8\xd7\x0e"))
    assert attempt.failure.args == ("it has no way to the host",)
    assert attempt.connections == 1


@pytest.mark.parametrize(
    ("host", "is_name"),
    [("unknown.example", True), ("a" * 64 + ".example", False), ("a..example", False)],
)
def test_name_that_does_not_resolve_is_not_the_proxys_failure(host, is_name):
    """What can be none (RFC 1035 section 2.3.4) is not even looked up."""
    attempt = Attempt(host, admits=anywhere)

    assert isinstance(attempt.failure, DNSLookupError)
    assert attempt.names.asked == ([host] if is_name else [])
    assert attempt.connections == 0


def test_next_address_is_asked_for_where_one_is_not_reached():
    """On a connection of its own; the one before is given up."""
    addresses = ["2001:db8::1", "192.0.2.7"]
    attempt = Attempt(admits=anywhere, **{"origin.example": addresses})
    first = attempt.connect()
    first.send(NO_LOGIN_DUE, reply(UNREACHABLE))

    second = attempt.connect()
    second.send(NO_LOGIN_DUE, reply())

    assert first.value().endswith(request(b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"))
    assert second.value().endswith(request(b"\x01\xc0\x00\x02\x07"))
    assert (first.ending, second.ending) == ("aborted", None)
    assert attempt.results == [attempt.carried[-1]]
    assert [carried.heard for carried in attempt.carried] == [[], ["connected"]]
    assert attempt.is_tidy()


def test_so_many_addresses_are_asked_for():
    """Of a host that has more, none of which is reached."""
    addresses = [f"192.0.2.{number}" for number in range(1, 9)]
    attempt = Attempt(admits=anywhere, **{"origin.example": addresses})

    while not attempt.results:
        attempt.connect().send(NO_LOGIN_DUE, reply(REFUSED))

    assert attempt.connections == MAX_ADDRESSES
    assert attempt.failure.args == ("it was refused by the host",)
    assert attempt.is_tidy()


@pytest.mark.parametrize("codes", [(REFUSED, NOT_ALLOWED), (NOT_ALLOWED, REFUSED)])
def test_failure_that_may_pass_is_the_one_that_is_told(codes):
    """An attempt may be worth repeating for one of the addresses."""
    addresses = ["2001:db8::1", "192.0.2.7"]
    attempt = Attempt(admits=anywhere, **{"origin.example": addresses})

    for code in codes:
        attempt.connect().send(NO_LOGIN_DUE, reply(code))

    assert attempt.failure.args == ("it was refused by the host",)


@pytest.mark.parametrize("answers", [(NONE_WILL_DO,), (b"HTTP/1.1 ",), (NO_LOGIN_DUE + reply(),)])
def test_proxy_that_is_at_fault_is_asked_for_no_other_address(answers):
    """It would be again."""
    addresses = ["192.0.2.7", "192.0.2.8"]
    attempt = Attempt(admits=anywhere, **{"origin.example": addresses})
    line = attempt.connect()

    line.send(*answers)

    assert isinstance(attempt.failure, ProxyFailed)
    assert (attempt.connections, line.ending) == (1, "aborted")
    assert attempt.is_tidy()


@pytest.mark.parametrize(
    "answers", [(), (b"\x05",), (NO_LOGIN_DUE, reply()[:-1])], ids=["none", "some", "most"]
)
def test_proxy_that_closes_is_at_fault(answers):
    """Whatever was said; who would use the way hears nothing."""
    attempt = Attempt()
    line = attempt.connect()
    line.send(*answers)

    line.end()
    line.send(reply())

    assert type(attempt.failure) is ProxyFailed
    assert attempt.failure.args == ("it closed the connection",)
    assert attempt.carried[0].heard == []
    assert attempt.is_tidy()


def test_proxy_that_is_not_there_is_at_fault():
    """And not the origin."""
    attempt = Attempt()

    attempt.refuse()

    assert attempt.failure.args == ("it refuses, or no way leads there",)


def test_proxy_has_limited_time_for_all_its_answers():
    """Byte by byte, too."""
    attempt = Attempt(login=LOGIN)
    line = attempt.connect()

    for byte in LOGIN_DUE + WELCOME + reply()[:-1]:
        line.send(bytes([byte]))
        attempt.reactor.advance(1)

    assert attempt.failure.args == ("it does not answer in time",)
    assert (attempt.connections, line.ending) == (1, "aborted")
    assert attempt.carried[0].heard == []
    assert attempt.is_tidy()


def test_attempt_that_is_cancelled_in_the_look_up_asks_nobody():
    """A look-up cannot be stopped; what it finds in the end is of no use."""
    attempt = Attempt(admits=anywhere, **{"origin.example": None})

    attempt.deferred.cancel()
    attempt.names.receiver.addressResolved(IPv4Address("TCP", "192.0.2.7", 443))
    attempt.names.receiver.resolutionComplete()

    assert isinstance(attempt.failure, CancelledError)
    assert attempt.connections == 0


def test_attempt_that_is_cancelled_before_the_connection_gives_it_up():
    """While the proxy is being connected to."""
    attempt = Attempt()

    attempt.deferred.cancel()

    assert isinstance(attempt.failure, ConnectingCancelledError | CancelledError)
    assert attempt.reactor.connectors[-1].stoppedConnecting
    assert attempt.is_tidy()


@pytest.mark.parametrize(
    "answers",
    [(), (LOGIN_DUE,), (LOGIN_DUE, WELCOME), (LOGIN_DUE, WELCOME, reply()[:-1])],
    ids=["method", "login", "reply", "last-byte"],
)
def test_attempt_that_is_cancelled_in_the_negotiation_leaves_nothing(answers):
    """No connection, no timer, and nobody who is told of the way that opens too late."""
    addresses = ["192.0.2.7", "192.0.2.8"]
    attempt = Attempt(login=LOGIN, admits=anywhere, **{"origin.example": addresses})
    line = attempt.connect()
    line.send(*answers)

    attempt.deferred.cancel()
    line.send(reply()[-1:])

    assert isinstance(attempt.failure, CancelledError)
    assert (attempt.connections, line.ending) == (1, "aborted")
    assert attempt.carried[0].heard == []
    assert attempt.is_tidy()
