"""How long sessions rest and how old they get, on a clock that the test turns."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from streamer.downloaders.credentials import Origin
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_places import Login, Logins
from streamer.downloaders.ftp_pool import MAX_AGE_SECONDS, Sessions
from streamer.downloaders.ftp_session import Session

SERVER = Origin("ftps", "h", 990)
LONG = 10 * MAX_AGE_SECONDS


class Wire(StringTransport):
    """A transport that can be given up."""

    def abortConnection(self):
        self.loseConnection()


class Door:
    """Stands for a server that lets everybody in at once."""

    def __init__(self, clock):
        self._clock = clock

    async def log_in(self, server, login):
        control = Control()
        control.makeConnection(Wire())
        control.dataReceived(b"220 hello\r\n")
        await control.greeting()
        return Session(control, None, None, self._clock.seconds())


@pytest.fixture
def clock():
    return Clock()


def sessions(clock, rest_seconds):
    logins = Logins(Login(), frozenset())
    return Sessions(Door(clock), logins, clock, most=2, rest_seconds=rest_seconds)


def begun(pool):
    """A new session."""
    return Deferred.fromCoroutine(pool.begin(SERVER)).result


def test_session_rests_for_a_while(clock):
    """And is closed then."""
    pool = sessions(clock, 30)
    session = begun(pool)
    pool.give_back(SERVER, session)
    clock.advance(29)
    found = pool.rested(SERVER)
    pool.give_back(SERVER, session)
    clock.advance(30)

    assert (session, None) == (found, pool.rested(SERVER))
    assert session.control.is_over


@pytest.mark.parametrize("used_for", [0, MAX_AGE_SECONDS - 1])
def test_session_is_closed_when_it_is_old_however_long_it_may_rest(clock, used_for):
    """ProFTPD lets no content resume a TLS session of half an hour ago."""
    pool = sessions(clock, LONG)
    session = begun(pool)
    clock.advance(used_for)
    pool.give_back(SERVER, session)
    is_kept = not session.control.is_over

    clock.advance(MAX_AGE_SECONDS - used_for)

    assert is_kept
    assert session.control.is_over
    assert None is pool.rested(SERVER)
    assert [] == clock.getDelayedCalls()


def test_session_that_has_become_old_in_use_does_not_rest(clock):
    """A long file may take as long as it likes."""
    pool = sessions(clock, LONG)
    session = begun(pool)
    clock.advance(MAX_AGE_SECONDS)

    before = session.control.is_over
    pool.give_back(SERVER, session)

    assert (False, True) == (before, session.control.is_over)
    assert [] == clock.getDelayedCalls()
