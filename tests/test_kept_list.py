"""A list that is kept: fetched for all who want it at once, renewed behind their backs.

Each test decides when a fetch answers, on a clock of its own.
"""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from streamer.downloaders.kept_list import (
    FETCH_SECONDS,
    PATIENCE_SECONDS,
    RETRY_SECONDS,
    KeptList,
)
from streamer.errors import MirrorListUnusable, OriginError, OriginTimedOut, OriginUnreachable
from streamer.mirrors import Mirror

LIFETIME_SECONDS = 3600.0
FIRST, SECOND = (Mirror("http://one.example/"),), (Mirror("http://two.example/"),)


class Service:
    """What gives the list: a fetch waits here until the test answers it."""

    def __init__(self, lifetime_seconds=LIFETIME_SECONDS):
        self.clock = Clock()
        self.fetches = []
        self.cancelled = 0
        self.kept = KeptList("https://lists.example:443", self._fetch, self.clock, lifetime_seconds)

    async def _fetch(self):
        answer = Deferred()
        self.fetches.append(answer)
        try:
            return await answer
        except CancelledError:
            self.cancelled += 1
            raise

    def asked(self):
        """One who asks for the list."""
        return Deferred.fromCoroutine(self.kept.mirrors())

    def answer(self, result):
        """What the fetch that is under way comes to."""
        answer = self.fetches[-1]
        (answer.errback if isinstance(result, Exception) else answer.callback)(result)

    def grow_old(self, seconds=LIFETIME_SECONDS):
        self.clock.advance(seconds)

    def set_back(self, seconds):
        """As an operator does, or the network: no timer goes off by it."""
        self.clock.rightNow -= seconds


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def known(service):
    """The same, with a list that was just fetched."""
    service.asked()
    service.answer(FIRST)
    return service


@pytest.fixture
def log_lines():
    """Give a function that gives what was logged so far."""
    with capturedLogs() as events:
        yield lambda: [formatEvent(event) for event in events]


def refusal(asked):
    """The error that one who asked was told, which is then done with."""
    told = []
    asked.addErrback(lambda failure: told.append(failure.value))
    return told[0] if told else None


# -- without a list


def test_many_who_ask_before_there_is_a_list_wait_for_one_fetch(service):
    """All of them get what it gives."""
    asked = [service.asked() for _ in range(50)]
    waiting = [each.called for each in asked]
    service.answer(FIRST)

    assert not any(waiting)
    assert [FIRST] * 50 == [each.result for each in asked]
    assert len(service.fetches) == 1


def test_fetch_that_answers_at_once_is_the_list():
    """Nothing is lost where nobody had to wait."""

    async def fetch():
        return FIRST

    kept = KeptList("here", fetch, Clock(), LIFETIME_SECONDS)

    assert Deferred.fromCoroutine(kept.mirrors()).result == FIRST
    assert Deferred.fromCoroutine(kept.mirrors()).result == FIRST


def test_one_who_leaves_does_not_take_the_list_from_the_others(service):
    """The fetch is for all of them."""
    leaving, staying = service.asked(), service.asked()
    leaving.cancel()
    service.answer(FIRST)

    assert isinstance(refusal(leaving), CancelledError)
    assert staying.result == FIRST


def test_fetch_goes_on_when_all_have_left(service):
    """So that a service slower than anybody's patience is heard in the end."""
    leaving = service.asked()
    leaving.cancel()
    refusal(leaving)
    service.answer(FIRST)

    assert service.cancelled == 0
    assert service.asked().result == FIRST
    assert len(service.fetches) == 1


def test_failure_is_told_to_all_who_wait(service):
    """As the error that it is."""
    asked = [service.asked() for _ in range(3)]
    service.answer(MirrorListUnusable("what came is no text"))

    told = [refusal(each) for each in asked]

    assert ["the list of mirrors is not usable: what came is no text"] * 3 == [
        str(each) for each in told
    ]


def test_failure_is_told_for_a_while_without_asking_again(service):
    """A service in trouble is not asked by every client."""
    failing = service.asked()
    service.answer(OriginUnreachable("refused"))
    refusal(failing)

    service.clock.advance(PATIENCE_SECONDS - 1)
    told = refusal(service.asked())
    service.clock.advance(1)
    again = service.asked()
    service.answer(FIRST)

    assert isinstance(told, OriginUnreachable)
    assert again.result == FIRST
    assert len(service.fetches) == 2


def test_failure_is_not_told_for_longer_because_the_clock_is_set(service):
    """A machine that boots an hour ahead of the time would have no list for that hour."""
    failing = service.asked()
    service.answer(OriginUnreachable("refused"))
    refusal(failing)

    service.set_back(LIFETIME_SECONDS)
    again = service.asked()
    service.answer(FIRST)

    assert again.result == FIRST
    assert len(service.fetches) == 2


def test_failure_that_is_told_again_is_another_object(service):
    """One that is raised for ever would keep all the frames that it passed through."""
    failing = service.asked()
    service.answer(OriginUnreachable("refused"))
    first = refusal(failing)

    second, third = (refusal(service.asked()) for _ in range(2))

    assert len({id(each) for each in (first, second, third)}) == 3
    assert [str(first)] * 2 == [str(second), str(third)]


def test_fetch_that_takes_too_long_is_given_up(service):
    """Nobody else would, once it goes on by itself."""
    asked = service.asked()
    service.clock.advance(FETCH_SECONDS)

    assert isinstance(refusal(asked), OriginTimedOut)
    assert service.cancelled == 1
    assert service.clock.getDelayedCalls() == []


def test_failure_names_the_service_in_the_log(service, log_lines):
    """An operator sees which list, and why."""
    failing = service.asked()
    service.answer(OriginUnreachable("refused"))
    refusal(failing)

    assert log_lines() == [
        "the list of mirrors at https://lists.example:443 could not be fetched:"
        " no connection to the origin: refused"
    ]


# -- with one


def test_known_list_is_given_at_once_while_it_is_fresh(known):
    """And nobody is asked."""
    known.grow_old(LIFETIME_SECONDS - 1)

    assert known.asked().result == FIRST
    assert len(known.fetches) == 1


def test_old_list_is_given_at_once_and_renewed_behind_the_back(known):
    """Who asks later has the new one."""
    known.grow_old()

    old = known.asked()
    known.answer(SECOND)

    assert old.result == FIRST
    assert known.asked().result == SECOND
    assert len(known.fetches) == 2


def test_list_does_not_live_longer_because_the_clock_is_set(known):
    """Nobody knows any more how old it is."""
    known.set_back(LIFETIME_SECONDS)

    old = known.asked()
    known.answer(SECOND)

    assert old.result == FIRST
    assert known.asked().result == SECOND


def test_old_list_is_renewed_once_however_many_ask(known):
    """One fetch at a time."""
    known.grow_old()

    given = [known.asked().result for _ in range(20)]

    assert [FIRST] * 20 == given
    assert len(known.fetches) == 2
    known.kept.close()


def test_nobody_is_asked_where_nobody_asks(known):
    """A list that is not in use is not fetched."""
    known.grow_old(10 * LIFETIME_SECONDS)

    assert len(known.fetches) == 1
    assert known.clock.getDelayedCalls() == []


def test_renewed_list_lives_as_long_as_the_first(known):
    """From when it came."""
    known.grow_old()
    known.asked()
    known.answer(SECOND)
    known.grow_old(LIFETIME_SECONDS - 1)

    assert known.asked().result == SECOND
    assert len(known.fetches) == 2


@pytest.mark.parametrize(
    "error",
    [OriginUnreachable("refused"), MirrorListUnusable("what came is a web page")],
    ids=["away", "no-list"],
)
def test_last_good_list_stays_while_it_cannot_be_renewed(known, error, log_lines):
    """For as long as that takes, and it is tried again after a while."""
    known.grow_old()
    known.asked()
    known.answer(error)
    soon = known.asked().result
    tried_soon = len(known.fetches)
    known.clock.advance(RETRY_SECONDS)
    later = known.asked().result

    assert (soon, later) == (FIRST, FIRST)
    assert (tried_soon, len(known.fetches)) == (2, 3)
    assert [line.rpartition("; ")[2] for line in log_lines()] == ["the last one stays in use"]
    known.kept.close()


def test_list_of_a_short_lifetime_is_tried_again_as_soon():
    """The pause after a failure is no longer than the lifetime."""
    service = Service(lifetime_seconds=10)
    service.asked()
    service.answer(FIRST)
    service.grow_old(10)
    service.asked()
    service.answer(OriginUnreachable("refused"))
    service.grow_old(10)
    service.asked()

    assert len(service.fetches) == 3
    service.kept.close()


def test_renewal_that_takes_longer_than_the_lifetime_is_waited_for():
    """One fetch at a time, however short-lived the list is."""
    service = Service(lifetime_seconds=10)
    service.asked()
    service.answer(FIRST)
    service.grow_old(10)
    service.asked()
    service.grow_old(FETCH_SECONDS / 2)
    given = service.asked().result
    service.answer(SECOND)

    assert given == FIRST
    assert len(service.fetches) == 2
    assert service.asked().result == SECOND


def test_renewal_that_is_silent_ends_in_time(known):
    """Nobody waits for it, so nobody else would end it."""
    known.grow_old()
    known.asked()
    known.clock.advance(FETCH_SECONDS)

    assert known.cancelled == 1
    assert known.asked().result == FIRST
    assert known.clock.getDelayedCalls() == []


def test_defect_in_a_renewal_is_logged_and_not_repeated_at_once(known, logged_failures):
    """It would be seen by nobody, and be asked for by everybody."""
    known.grow_old()
    known.asked()
    known.answer(ValueError("a defect"))

    assert known.asked().result == FIRST
    assert len(known.fetches) == 2
    assert len(logged_failures.flush(ValueError)) == 1


# -- close


def test_close_gives_a_renewal_up(known):
    """Nothing of it is left."""
    known.grow_old()
    known.asked()
    known.kept.close()

    assert known.cancelled == 1
    assert known.clock.getDelayedCalls() == []


def test_close_leaves_a_fetch_to_those_who_wait_for_it(service):
    """The last of them to leave ends it."""
    first, last = service.asked(), service.asked()
    service.kept.close()
    still_running = service.cancelled == 0
    first.cancel()
    last.cancel()

    assert still_running
    assert [CancelledError] * 2 == [type(refusal(each)) for each in (first, last)]
    assert service.cancelled == 1


def test_closed_list_is_not_renewed(known):
    """What it was is given all the same."""
    known.kept.close()
    known.grow_old()

    assert known.asked().result == FIRST
    assert len(known.fetches) == 1


def test_closed_list_that_was_never_there_is_fetched_for_who_waits(service):
    """And for no longer than that."""
    service.kept.close()
    asked = service.asked()
    asked.cancel()

    assert isinstance(refusal(asked), CancelledError)
    assert service.cancelled == 1


def test_error_of_the_origin_that_comes_of_cancelling_is_silent():
    """Some layers cannot tell being cancelled from a failure."""

    class Stubborn(Service):
        async def _fetch(self):
            try:
                return await super()._fetch()
            except CancelledError:
                raise OriginError from None

    service = Stubborn()
    asked = service.asked()
    service.kept.close()
    asked.cancel()

    assert isinstance(refusal(asked), CancelledError)
