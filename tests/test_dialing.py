"""How a host is connected to: which of its addresses, in which order, and what is left of it."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.downloaders.addresses import anywhere, is_public
from streamer.downloaders.dialing import DELAY_SECONDS, MAX_ADDRESSES, AdmittedEndpoint
from streamer.errors import OriginProhibited, OriginUnreachable

PUBLIC = "93.184.216.34"
PUBLIC_6 = "2606:2800:220:1:248:1893:25c8:1946"


@implementer(IHostnameResolver)
class Names:
    """A resolver that gives these addresses for every name."""

    def __init__(self, *addresses):
        self.addresses = addresses

    def resolveHostName(self, receiver, name, port=0, types=None, semantics="TCP"):
        receiver.resolutionBegan(None)
        for address in self.addresses:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, port))
        receiver.resolutionComplete()


class Connecting:
    """One attempt to connect to a name that has these addresses."""

    def __init__(self, *addresses, admits=is_public, host="name.example"):
        self.reactor = MemoryReactorClock()
        self.reactor.nameResolver = self.names = Names(*addresses)
        self.results = []
        self.endpoint = AdmittedEndpoint(self.reactor, host, 8080, 10.0, admits)
        self.connect()

    def connect(self):
        attempt = self.endpoint.connect(Factory.forProtocol(Protocol))
        attempt.addBoth(self.results.append)
        self.reactor.pump([DELAY_SECONDS] * 4)
        return attempt

    def refuse(self, place):
        """Let one of those that were asked for a connection refuse it."""
        self.reactor.tcpClients[place][2].clientConnectionFailed(None, Failure(ConnectError()))

    @property
    def connected_to(self):
        return [host for host, *_ in self.reactor.tcpClients]


def test_address_that_is_connected_to_is_the_one_that_was_checked():
    """The name is not asked for again, so nothing can change in between."""
    assert Connecting(PUBLIC).connected_to == [PUBLIC]


def test_of_several_addresses_only_the_admitted_are_tried():
    """A name with a private address beside a public one is no way to the private one."""
    connecting = Connecting("127.0.0.1", PUBLIC, "::1", PUBLIC_6, "::ffff:10.0.0.1")

    assert connecting.connected_to == [PUBLIC, PUBLIC_6]


def test_name_without_an_admitted_address_is_not_connected_to():
    """The sentence says why and names no address."""
    connecting = Connecting("127.0.0.1", "::1")

    (failure,) = connecting.results
    assert failure.check(OriginProhibited)
    assert failure.value.args == ("its address is not public",)
    assert connecting.connected_to == []


def test_name_that_resolves_otherwise_later_is_checked_again():
    """RFC 1035 3.2.1: a TTL may be 0."""
    connecting = Connecting(PUBLIC)

    connecting.names.addresses = ("127.0.0.1",)
    connecting.connect()

    assert connecting.connected_to == [PUBLIC]
    assert connecting.results[-1].check(OriginUnreachable)


def test_name_without_addresses_is_not_known():
    """Nothing was kept back, so the rule is not the reason."""
    (failure,) = Connecting().results

    assert failure.check(DNSLookupError)


def test_refusal_of_the_admitted_address_is_the_reason():
    """That another address was kept back changes nothing."""
    connecting = Connecting("127.0.0.1", PUBLIC)

    connecting.refuse(0)

    assert connecting.results[0].check(ConnectError)


def test_rule_of_the_operator_keeps_nothing_back():
    """Every address is tried, in the resolver's order."""
    connecting = Connecting("127.0.0.1", PUBLIC, admits=anywhere)

    assert connecting.connected_to == ["127.0.0.1", PUBLIC]


def test_cancelled_connection_leaves_no_timer():
    """Nobody waits for the next address."""
    connecting = Connecting()
    connecting.names.addresses = (PUBLIC,)
    attempt = connecting.connect()

    attempt.cancel()

    assert connecting.results[-1].check(CancelledError)
    assert connecting.reactor.getDelayedCalls() == []


class LateNames(Names):
    """A resolver whose answer comes when a test lets it."""

    def resolveHostName(self, *question):
        self._question = question

    def answer(self):
        super().resolveHostName(*self._question)


def test_name_that_is_found_after_all_was_cancelled_is_not_connected_to():
    """A look-up runs in a thread and cannot be called back."""
    connecting = Connecting()
    connecting.reactor.nameResolver = names = LateNames(PUBLIC)
    attempt = connecting.connect()

    attempt.cancel()
    names.answer()

    assert connecting.connected_to == []
    assert connecting.reactor.getDelayedCalls() == []


def test_address_that_does_not_answer_holds_nobody_up():
    """RFC 8305 5: the next one is tried, and the first is given up when that answers."""
    connecting = Connecting(PUBLIC_6, PUBLIC)
    silent, answering = connecting.reactor.connectors

    protocol = connecting.reactor.tcpClients[1][2].buildProtocol(None)
    protocol.makeConnection(StringTransport())

    assert connecting.connected_to == [PUBLIC_6, PUBLIC]
    assert isinstance(connecting.results[0], Protocol)
    assert (silent.stoppedConnecting, answering.stoppedConnecting) == (True, False)
    assert connecting.reactor.getDelayedCalls() == []


class Impatient(Connecting):
    """One attempt, of which no time passes."""

    def connect(self):
        return self.endpoint.connect(Factory.forProtocol(Protocol)).addBoth(self.results.append)


def test_refusal_is_told_at_once():
    """A server that is down on a host that is up costs a client no time."""
    connecting = Impatient(PUBLIC)

    connecting.refuse(0)

    assert connecting.results[0].check(ConnectError)
    assert connecting.reactor.getDelayedCalls() == []


def test_address_that_refuses_is_followed_by_the_next_at_once():
    """RFC 8305 5: who has failed need not be waited for."""
    connecting = Impatient(PUBLIC_6, PUBLIC)
    before = connecting.connected_to

    connecting.refuse(0)

    assert (before, connecting.connected_to) == ([PUBLIC_6], [PUBLIC_6, PUBLIC])
    assert connecting.results == []


def test_last_refusal_is_told_when_all_have_refused():
    """Whatever their order, and nothing is left of it."""
    connecting = Connecting(PUBLIC_6, PUBLIC, "1.1.1.1")

    for place in (1, 0, 2):
        assert connecting.results == []
        connecting.refuse(place)

    assert connecting.results[0].check(ConnectError)
    assert connecting.reactor.getDelayedCalls() == []


def test_no_more_addresses_are_tried_than_are_allowed():
    """Whoever owns a name may give it thousands."""
    many = [f"1.1.{number}.1" for number in range(MAX_ADDRESSES + 1)]
    connecting = Connecting(*many)

    connecting.reactor.pump([DELAY_SECONDS] * len(many))

    assert connecting.connected_to == many[:MAX_ADDRESSES]


@pytest.mark.parametrize("address", [PUBLIC, PUBLIC_6])
def test_address_is_not_looked_up(address):
    """It is reached while names are not known, and no thread is needed."""
    connecting = Connecting("203.0.113.9", host=address)

    assert connecting.connected_to == [address]


def test_address_is_held_to_the_rule():
    """As what a name leads to is."""
    connecting = Connecting(host="10.0.0.1")

    assert connecting.connected_to == []
    assert connecting.results[0].check(OriginUnreachable)


def test_number_in_disguise_is_looked_up():
    """`getaddrinfo` reads it kindly, and the rule sees what that makes of it."""
    connecting = Connecting("127.0.0.1", host="0x7f.1")

    assert connecting.connected_to == []
    assert connecting.results[0].check(OriginUnreachable)
