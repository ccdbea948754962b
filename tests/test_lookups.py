"""One look-up for all who ask for a name meanwhile."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer
from zope.interface.verify import verifyObject

from streamer.downloaders.lookups import SharedLookups

FOUND = [IPv4Address("TCP", "192.0.2.1", 80), IPv4Address("TCP", "192.0.2.2", 80)]


@implementer(IHostnameResolver)
class LateResolver:
    """Keeps what it is asked for, until a test lets it answer."""

    def __init__(self):
        self.asked = []
        self._receivers = []

    def resolveHostName(self, receiver, name, port=0, types=None, semantics="TCP"):
        self.asked.append((name, port, types, semantics))
        self._receivers.append(receiver)
        receiver.resolutionBegan(None)

    def answer(self, addresses=FOUND):
        receiver = self._receivers.pop(0)
        for address in addresses:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


@implementer(IResolutionReceiver)
class Receiver:
    """Somebody who wants to know; `told` is None until all is."""

    def __init__(self):
        self.begun = None
        self.told = None
        self._found = []

    def resolutionBegan(self, resolution):
        self.begun = resolution

    def addressResolved(self, address):
        self._found.append(address)

    def resolutionComplete(self):
        assert self.told is None
        self.told = self._found


class Asking:
    def __init__(self):
        self.resolver = LateResolver()
        self.lookups = SharedLookups(self.resolver)

    def ask(self, name="a.example", *others):
        receiver = Receiver()
        resolution = self.lookups.resolveHostName(receiver, name, *others)
        assert resolution is receiver.begun
        return receiver


def test_name_is_looked_up_once_for_all_who_ask_meanwhile():
    """Each is told everything, and nobody before it is complete."""
    asking = Asking()
    crowd = [asking.ask() for _ in range(3)]
    before = [each.told for each in crowd]

    asking.resolver.answer()

    assert [None] * 3 == before
    assert [FOUND] * 3 == [each.told for each in crowd]
    assert [("a.example", 0, None, "TCP")] == asking.resolver.asked


def test_who_asks_later_has_it_looked_up_anew():
    """A name may lead elsewhere a moment later, or be known then."""
    asking = Asking()
    early = asking.ask()
    asking.resolver.answer([])

    late = asking.ask()
    asking.resolver.answer()

    assert ([], FOUND) == (early.told, late.told)


def test_other_question_is_looked_up_by_itself():
    """Another name, port, family or kind of transport."""
    asking = Asking()
    ways = [("b.example",), ("a.example", 81), ("a.example", 0, [IPv6Address])]
    ways.append(("a.example", 0, None, "UDP"))
    first, *others = [asking.ask(), *(asking.ask(*way) for way in ways)]

    asking.resolver.answer()

    assert FOUND == first.told
    assert [None] * len(ways) == [each.told for each in others]
    assert 1 + len(ways) == len(asking.resolver.asked)


def test_resolver_and_its_answers_are_what_twisted_takes_them_for():
    """The reactor and its endpoints see no difference."""
    asking = Asking()

    assert verifyObject(IHostnameResolver, asking.lookups)
    assert verifyObject(IHostResolution, asking.ask().begun)
