"""Looks a name up once for all who ask for it meanwhile.

`getaddrinfo` holds a thread until it is through, also where nobody waits any more, and Twisted has
ten. The name of one origin whose servers are silent would take them all, and with them the look-ups
for every other origin. Put into the reactor, because that is where endpoints find their resolver.

Nothing is kept: what was found is given to those who wait, and whoever comes later asks anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from zope.interface import implementer

_Question = tuple[str, int, tuple[type[IAddress], ...] | None, str]


@implementer(IHostnameResolver)
class SharedLookups:
    """Stands before a resolver."""

    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self._running: dict[_Question, _Lookup] = {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        types = None if addressTypes is None else tuple(addressTypes)
        question = (hostName, portNumber, types, transportSemantics)
        if question in self._running:
            return self._running[question].joined_by(resolutionReceiver)
        lookup = _Lookup(hostName, lambda: self._running.pop(question))
        self._running[question] = lookup
        lookup.joined_by(resolutionReceiver)
        self._resolver.resolveHostName(
            lookup, hostName, portNumber, addressTypes, transportSemantics
        )
        return lookup


@implementer(IResolutionReceiver, IHostResolution)
class _Lookup:
    """A receiver to the resolver, and to those who wait what they wait for."""

    def __init__(self, name: str, when_complete: Callable[[], object]) -> None:
        self.name = name
        self._when_complete = when_complete
        self._waiting: list[IResolutionReceiver] = []
        self._found: list[IAddress] = []

    def joined_by(self, receiver: IResolutionReceiver) -> IHostResolution:
        self._waiting.append(receiver)
        receiver.resolutionBegan(self)
        return self

    def cancel(self) -> NoReturn:
        """Not possible, as with Twisted's own: whoever lost interest does not listen."""
        raise NotImplementedError

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        pass

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address)

    def resolutionComplete(self) -> None:
        self._when_complete()
        for receiver in self._waiting:
            for address in self._found:
                receiver.addressResolved(address)
            receiver.resolutionComplete()
