"""Attempts that overlap: who is asked when, who is taken, and what is left of the others."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from streamer.errors import CatalogUnavailable, OriginUnreachable
from streamer.opening import Opening
from streamer.plan import Step
from streamer.testing import MemoryDownload
from streamer.turns import Candidate, Turn

REFUSED = OriginUnreachable("refused")
ALONE = 2.0


class Entrants:
    """Candidates that are asked in order, each after a wait; each attempt is a Deferred."""

    def __init__(self, waits):
        self.clock = Clock()
        self.waits = list(waits)
        self.attempts = []
        self.begun = []
        self.failures = []
        self.given_up = []
        self.results = []

    def open(self):
        opening = Opening(self, self._open_one, self.clock)
        opening.winner.addBoth(self.results.append)
        return opening.winner

    async def _open_one(self, turn):
        return await self.attempts[turn.place]

    def next_step(self):
        place = len(self.attempts)
        if place == len(self.waits):
            return None
        self.attempts.append(Deferred(lambda _: self.given_up.append(place)))
        return Step(place, self.waits[place], 12.0, ALONE)

    def turn_of(self, step):
        self.begun.append(step.candidate)
        candidate = Candidate(f"{step.candidate}", downloader=None)
        return Turn(step.candidate, candidate, step.seconds, self.clock, step.alone_seconds)

    def failed(self, turn, error):
        self.failures.append((turn.place, error))

    def let_go(self, turn):
        self.given_up.append(f"{turn.place} for another")

    @property
    def is_clean(self):
        return self.clock.getDelayedCalls() == []


def opening(*waits):
    entrants = Entrants(waits)
    entrants.open()
    return entrants


def test_first_to_answer_is_taken():
    """Nobody else is asked where the first one does."""
    one = opening(0, 0)
    download = MemoryDownload()

    one.attempts[0].callback(download)

    assert [(0, download)] == [(each.turn.place, each.download) for each in one.results]
    assert 1 == len(one.attempts)
    assert one.is_clean


def test_next_is_asked_at_once_where_one_fails():
    """A refusal costs no time."""
    one = opening(0, 0)

    one.attempts[0].errback(REFUSED)

    assert 2 == len(one.attempts)
    assert [(0, REFUSED)] == one.failures


def test_next_is_asked_beside_one_that_is_slow_to_answer():
    """And the one that then answers first is taken, whichever it is."""
    one = opening(0, 0)
    before = len(one.attempts)
    one.clock.advance(ALONE)

    one.attempts[0].callback(MemoryDownload())

    assert (1, 2) == (before, len(one.attempts))
    assert [0] == [each.turn.place for each in one.results]
    assert [1, "1 for another"] == one.given_up
    assert one.is_clean


def test_others_are_given_up_when_one_has_answered():
    """Their connections may be used for something else."""
    one = opening(0, 0, 0)
    one.clock.pump([ALONE, ALONE])

    one.attempts[1].callback(MemoryDownload())

    assert [1] == [each.turn.place for each in one.results]
    assert {0, 2, "0 for another", "2 for another"} == set(one.given_up)
    assert one.is_clean


def test_nobody_answers_where_all_have_failed():
    """In whichever order they do."""
    one = opening(0, 0)
    one.clock.advance(ALONE)

    one.attempts[1].errback(REFUSED)
    assert one.results == []
    one.attempts[0].errback(REFUSED)

    assert [None] == one.results
    assert [1, 0] == [place for place, _ in one.failures]
    assert one.is_clean


def test_nobody_is_there_to_be_asked():
    """As where an entry has no source that can be used."""
    one = opening()

    assert [None] == one.results
    assert one.is_clean


def test_one_that_has_to_wait_is_asked_after_its_wait():
    """A failure of another one meanwhile changes nothing: who is next was decided."""
    one = opening(0, 5, 0)
    one.clock.advance(ALONE)
    one.attempts[0].errback(REFUSED)

    one.clock.advance(4.9)
    before = [*one.begun]
    one.clock.advance(0.1)

    assert ([0], [0, 1]) == (before, one.begun)


def test_many_that_fail_at_once_are_no_deep_recursion():
    """A thousand that are left alone for now cost no stack."""
    one = Entrants([0] * 1000)
    one.attempts = failing = FailingAttempts(one)

    one.open()

    assert (1000, 1000) == (len(failing), len(one.failures))
    assert [None] == one.results
    assert one.is_clean


class FailingAttempts(list):
    """Attempts of which each has failed already."""

    def __init__(self, entrants):
        super().__init__()
        self._entrants = entrants

    def append(self, attempt):
        attempt.errback(REFUSED)
        super().append(attempt)


def test_client_that_leaves_ends_all_attempts():
    """Nothing of any of them is left."""
    one = Entrants([0, 0, 0])
    winner = one.open()
    one.clock.advance(ALONE)

    winner.cancel()

    assert one.results[0].check(CancelledError)
    assert [0, 1] == one.given_up
    assert one.is_clean


def test_client_that_leaves_while_one_waits_for_its_turn_leaves_no_timer():
    """It is not asked any more."""
    one = Entrants([5])
    winner = one.open()

    winner.cancel()

    assert one.results[0].check(CancelledError)
    assert one.is_clean


def test_download_that_opens_too_late_is_stopped():
    """An importer may be through before it hears that nobody wants it."""
    late = MemoryDownload()

    class Stubborn(Entrants):
        async def _open_one(self, turn):
            try:
                return await self.attempts[turn.place]
            except CancelledError:
                return late

    one = Stubborn([0, 0])
    one.open()
    one.clock.advance(ALONE)

    one.attempts[1].callback(MemoryDownload())

    assert [1] == [each.turn.place for each in one.results]
    assert late.is_stopped


def test_failure_that_is_no_origins_ends_all():
    """As where the catalog cannot give what it holds."""
    one = opening(0, 0)
    one.clock.advance(ALONE)

    one.attempts[1].errback(CatalogUnavailable("away"))

    assert one.results[0].check(CatalogUnavailable)
    assert [0] == one.given_up
    assert one.is_clean


def test_silence_ends_with_the_time_of_the_turn():
    """And the next one is asked then, if nobody was before."""
    one = opening(0)

    one.clock.advance(12)

    assert [None] == one.results
    assert ["the origin did not answer in time"] == [str(error) for _, error in one.failures]


@pytest.mark.parametrize("winner", [0, 1])
def test_answers_in_one_moment_are_taken_once(winner):
    """The second of them is given up as any other."""
    one = opening(0, 0)
    one.clock.advance(ALONE)

    one.attempts[winner].callback(MemoryDownload())

    assert 1 == len(one.results)
    assert [1 - winner, f"{1 - winner} for another"] == one.given_up
