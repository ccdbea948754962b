"""How a data connection is asked for: by EPSV, by PASV, and what is remembered of a server."""

from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_passive import EXTENDED_SECONDS, OLD_WAY_SECONDS, PassiveMode
from streamer.errors import OriginNonsense

SECONDS = 10
EXTENDED = b"229 there (|||4000|)\r\n"
PASSIVE = b"227 there (192,0,2,1,15,160)\r\n"
ELSEWHERE = b"227 there (192,0,2,2,15,160)\r\n"
UNKNOWN = b"500 what\r\n"


class Server:
    """What the test plays: replies to commands, and connections that come about or do not."""

    def __init__(self):
        self.reactor = MemoryReactorClock()
        self.passive = PassiveMode(self.reactor, SECONDS, None)

    def asked(self, *outcomes, port=21):
        """Ask on a new session; gives the commands, and what came of it.

        An outcome is a reply, or the failure of the connection that was begun after it, or None
        for one that came about.
        """
        wire = StringTransport(peerAddress=IPv4Address("TCP", "192.0.2.1", port))
        control = Control()
        control.makeConnection(wire)
        control.dataReceived(b"220 hello\r\n")
        Deferred.fromCoroutine(control.greeting())
        connecting = Deferred.fromCoroutine(self.passive.connect(control, None))
        for outcome in outcomes:
            if isinstance(outcome, bytes):
                control.dataReceived(outcome)
            else:
                self._connect(outcome)
        found = []
        connecting.addBoth(found.append)
        return wire.value().split(), found[0]

    def timeouts(self):
        """How long each connection is waited for."""
        return [client[3] for client in self.reactor.tcpClients]

    def _connect(self, failure):
        factory = self.reactor.tcpClients[-1][2]
        if failure is not None:
            factory.clientConnectionFailed(None, Failure(failure))
            return
        factory.doStart()
        factory.buildProtocol(None).makeConnection(StringTransport())


@pytest.mark.parametrize("failure", [ConnectError(), ConnectTimeoutError()])
def test_port_that_does_not_answer_is_asked_for_the_old_way(failure):
    """It is not waited for as long as one that nothing can be had instead of."""
    server = Server()

    asked, _ = server.asked(EXTENDED, failure, PASSIVE, None)

    assert [b"EPSV", b"PASV"] == asked
    assert [EXTENDED_SECONDS, SECONDS] == server.timeouts()


def test_server_that_serves_the_old_way_is_not_asked_the_new_way_again():
    """Each login would wait for it anew; another server is another matter."""
    server = Server()
    server.asked(EXTENDED, ConnectTimeoutError(), PASSIVE, None)

    again, _ = server.asked(PASSIVE, None)
    other, _ = server.asked(EXTENDED, None, port=2121)

    assert ([b"PASV"], [b"EPSV"]) == (again, other)


def test_what_is_remembered_of_a_server_is_forgotten():
    """A firewall may learn it."""
    server = Server()
    server.asked(UNKNOWN, PASSIVE, None)
    server.reactor.advance(OLD_WAY_SECONDS)

    again, _ = server.asked(EXTENDED, None)

    assert [b"EPSV"] == again


def test_nothing_is_remembered_of_a_server_that_served_neither_way():
    """Behind NAT it may have only EPSV, and that may have failed once."""
    server = Server()
    _, failure = server.asked(EXTENDED, ConnectError(), ELSEWHERE)

    again, _ = server.asked(EXTENDED, None)

    assert failure.check(OriginNonsense)
    assert [b"EPSV"] == again
