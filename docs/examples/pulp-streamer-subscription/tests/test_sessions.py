"""When there is a login, on a clock that the test turns."""

from __future__ import annotations

import pytest
from streamer.errors import OriginError, OriginTimedOut, OriginUnreachable, TokenRefused
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from subscription_importer.sessions import (
    LOGIN_SECONDS,
    REFUSED_SECONDS,
    AccountRefused,
    Session,
    Sessions,
    read_session,
)


class Logins:
    """Logins that a test ends by hand; `ended` counts those that were cancelled."""

    def __init__(self):
        self.clock = Clock()
        self.sessions = Sessions(self.log_in, self.clock)
        self.begun = []
        self.cancelled = 0

    async def log_in(self):
        login = Deferred()
        self.begun.append(login)
        try:
            return await login
        except CancelledError:
            self.cancelled += 1
            raise

    def ask(self, refused=None):
        asked = Deferred.fromCoroutine(self.sessions.current(refused))
        asked.addErrback(lambda failure: failure.value)
        return asked


@pytest.fixture
def logins():
    return Logins()


def kept(logins, seconds=100):
    """A session that has just come."""
    asked = logins.ask()
    logins.begun[-1].callback(Session(f"key-{len(logins.begun)}", seconds))
    return asked.result


def test_session_is_replaced_before_it_expires(logins):
    """The last tenth of its life is not used."""
    session = kept(logins, seconds=100)

    logins.clock.advance(89)
    before = logins.ask().result
    logins.clock.advance(2)
    logins.ask()

    assert before is session
    assert len(logins.begun) == 2


def test_life_of_a_session_begins_with_the_login(logins):
    """Who takes long to answer gives less."""
    logins.ask()
    logins.clock.advance(10)
    logins.begun[0].callback(Session("key", 10))
    logins.ask()

    assert len(logins.begun) == 2


def test_late_refusal_of_an_old_session_costs_no_login(logins):
    """It was replaced already, for another one."""
    old = kept(logins)
    asked = logins.ask(refused=old)
    logins.begun[1].callback(Session("new", 100))

    assert logins.ask(refused=old).result is asked.result
    assert len(logins.begun) == 2


def test_last_to_leave_ends_the_login(logins):
    """And the next one begins another, which the end of the first does not touch."""
    first, second = logins.ask(), logins.ask()
    first.cancel()
    cancelled_before = logins.cancelled
    second.cancel()
    third = logins.ask()
    logins.begun[1].callback(Session("key", 100))

    assert (cancelled_before, logins.cancelled) == (0, 1)
    assert third.result.key == "key"
    assert logins.clock.getDelayedCalls() == []


def test_login_that_is_silent_ends_for_all(logins):
    """However many keep joining it."""
    first = logins.ask()
    logins.clock.advance(LOGIN_SECONDS - 1)
    second = logins.ask()
    logins.clock.advance(1)

    assert [type(each.result) for each in (first, second)] == [OriginTimedOut] * 2
    assert logins.cancelled == 1


def test_one_who_is_told_may_make_another_leave(logins):
    """Each waiter hears once."""
    first, second = logins.ask(), logins.ask()
    first.addCallback(lambda _: second.cancel())
    logins.begun[0].callback(Session("key", 100))

    assert type(second.result) is CancelledError
    assert logins.clock.getDelayedCalls() == []


def test_refused_account_is_remembered_for_a_while(logins):
    """And other errors are not."""
    asked = [logins.ask()]
    logins.begun[0].errback(OriginUnreachable("down"))
    asked += [logins.ask()]
    logins.begun[1].errback(AccountRefused(403))
    logins.clock.advance(REFUSED_SECONDS - 1)
    asked += [logins.ask()]
    logins.clock.advance(1)
    logins.ask()

    found = [type(each.result) for each in asked]
    assert found == [OriginUnreachable, AccountRefused, AccountRefused]
    assert len(logins.begun) == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"session": 5, "expires_in": 5}',
        b'{"session": "", "expires_in": 5}',
        b'{"session": "a\\r\\nb", "expires_in": 5}',
        b'{"session": "a", "expires_in": "soon"}',
        b'{"session": "a", "expires_in": NaN}',
        b'{"session": "a", "expires_in": -1}',
        b"[" * 60_000,
    ],
)
def test_answer_without_a_usable_session_is_refused(answer):
    """Whatever an origin sends, nothing of it is repeated."""
    with pytest.raises(OriginError) as caught:
        read_session(answer)

    assert type(caught.value) is TokenRefused


def test_session_shows_no_key():
    """It may be printed."""
    session = read_session(b'{"session": "s3cret", "expires_in": 1e9}')

    assert session.seconds == 86400
    assert "s3cret" not in repr(session)
