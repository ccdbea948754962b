"""Attempts that overlap: who is asked when, who is taken, and what is left of the others."""

from __future__ import annotations

import pytest
from exchanges import LARGE, SMALL, Service, answer_of, pieces, published, source
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from streamer.downloaders.limits import Slots
from streamer.errors import CatalogUnavailable, OriginBusy, OriginUnreachable
from streamer.health import LAG_SECONDS, OriginKey
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

    def put_off(self, step):
        self.waits.append(step.wait_seconds)

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
    """Beside the one that is slow to answer, and not before."""
    one = opening(0, 5)
    one.clock.advance(ALONE)

    one.clock.advance(4.9)
    before = [*one.begun]
    one.clock.advance(0.1)

    assert ([0], [0, 1]) == (before, one.begun)


def test_failure_while_one_waits_for_its_turn_lets_the_next_be_chosen_again():
    """Who has failed, or another one, may be there sooner."""
    one = opening(0, 5, 0)
    one.clock.advance(ALONE)

    one.attempts[0].errback(REFUSED)

    assert [0, 2] == one.begun
    assert [0, 5, 0, 5] == one.waits


def test_one_that_waits_for_its_turn_is_put_off_when_another_has_answered():
    """It may be asked later, as if it had never been chosen."""
    one = opening(0, 5)
    one.clock.advance(ALONE)

    one.attempts[0].callback(MemoryDownload())

    assert [0, 5, 5] == one.waits
    assert one.is_clean


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


class LeavingEntrants(Entrants):
    """Their client leaves when the first of them is let go."""

    def let_go(self, turn):
        super().let_go(turn)
        self.winner.cancel()


def test_client_that_leaves_as_others_are_given_up_leaves_nothing_open():
    """To give one up may end what its client waits for too."""
    one, download = LeavingEntrants([0, 0]), MemoryDownload()
    one.winner = one.open()
    one.clock.advance(ALONE)

    one.attempts[1].callback(download)

    assert isinstance(one.results[0].value, CancelledError)
    assert download.is_stopped
    assert one.is_clean


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


class Coupled(Entrants):
    """To ask the second one lets the first one answer, as where an importer joins requests."""

    async def _open_one(self, turn):
        if turn.place == 1:
            self.attempts[0].callback(MemoryDownload())
        return await self.attempts[turn.place]


def test_one_that_answers_while_the_next_is_asked_is_taken():
    """And the other one is given up, although it has hardly begun."""
    one = Coupled([0, 0])
    one.open()

    one.clock.advance(ALONE)

    assert [0] == [each.turn.place for each in one.results]
    assert [1, "1 for another"] == one.given_up
    assert one.is_clean


# -- in an exchange --------------------------------------------------------------------------------

OTHER_CONTENT = b"?" + SMALL[1:]


def serve(*outcomes, content=SMALL, retries=0, priorities=(0, 0, 0)):
    """A service with one artifact; each of its sources has a list of outcomes, and an importer."""
    service = Service()
    service.importers.retries = retries
    urls = "uvw"[: len(outcomes)]
    for url, script in zip(urls, outcomes, strict=True):
        service.importers.script(url, *script)
    sources = [
        source(url, importer=url, priority=priority)
        for url, priority in zip(urls, priorities, strict=False)
    ]
    service.catalog.publish("base/f", published(content, *sources))
    return service


def whole(content=SMALL):
    return MemoryDownload(pieces(content), length=len(content))


def key_of(url):
    return OriginKey(url, 1, 1, url)


def wait(service, seconds):
    """Let time pass in steps, as a clock does."""
    for _ in range(round(10 * seconds)):
        service.clock.advance(0.1)


def asked(service):
    return "".join(url for _, url in service.importers.opened)


def test_origin_that_was_let_go_is_asked_again_if_the_one_that_answered_sends_other_content():
    """However few retries its importer grants: it has had no chance yet."""
    fast = Deferred()
    service = serve([Deferred(), whole()], [fast])
    wire = service.ask("/base/f")
    wait(service, ALONE + 0.1)

    fast.callback(whole(OTHER_CONTENT))

    assert SMALL == answer_of(wire).content
    assert "uvu" == asked(service)


def test_origin_that_waited_for_its_turn_is_asked_if_the_one_that_answered_sends_other_content():
    """It was to be asked after its Retry-After, and still is."""
    slow = Deferred()
    service = serve([slow], [OriginBusy(429, 3), whole()], retries=1)
    wire = service.ask("/base/f")
    wait(service, ALONE + 0.5)

    slow.callback(whole(OTHER_CONTENT))
    wait(service, 3)

    assert SMALL == answer_of(wire).content
    assert "uvv" == asked(service)


def test_wait_for_one_origin_ends_when_another_may_be_asked_again_sooner():
    """A Retry-After of one keeps nobody from the second attempt at another."""
    slow = Deferred()
    service = serve([slow, whole()], [OriginBusy(429, 8)], retries=1)
    wire = service.ask("/base/f")
    wait(service, ALONE + 0.5)

    slow.errback(REFUSED)
    wait(service, 1)

    assert SMALL == answer_of(wire).content
    assert "uvu" == asked(service)


def test_origin_that_sent_other_content_lately_is_not_asked_beside_one_that_is_slow():
    """It would answer first and spoil what the other one is about to send."""
    slow = Deferred()
    service = serve([slow], [whole(b"?" + LARGE[1:])], content=LARGE)
    service.health.quarantine(published(LARGE).artifact, key_of("v"))
    wire = service.ask("/base/f")
    wait(service, ALONE + 1)

    slow.callback(whole(LARGE))

    assert LARGE == answer_of(wire).content
    assert "u" == asked(service)


def test_origin_that_several_clients_wait_for_lags_once():
    """They all find out the same, so it does not come last for longer."""
    service = serve([Deferred() for _ in range(5)], [whole() for _ in range(5)])
    wires = [service.ask("/base/f") for _ in range(5)]

    wait(service, ALONE)
    lags = service.health.lags(key_of("u"))
    service.clock.advance(LAG_SECONDS)

    assert [SMALL] * 5 == [answer_of(wire).content for wire in wires]
    assert (True, False) == (lags, service.health.lags(key_of("u")))


def test_origin_whose_importer_has_no_connection_left_does_not_lag():
    """Nothing was asked of it: it is our own limit that took time."""
    service = serve([], [whole()])
    slots = Slots(1, 9, service.clock)
    Deferred.fromCoroutine(slots.take())
    service.importers.script("u", Deferred.fromCoroutine(slots.take()))
    wire = service.ask("/base/f")

    wait(service, ALONE)

    assert SMALL == answer_of(wire).content
    assert ("uv", False) == (asked(service), service.health.lags(key_of("u")))


def test_origin_of_another_priority_is_not_asked_beside_one_that_is_slow():
    """The operator wants it asked where the first one fails, and to be slow is not to fail."""
    slow = Deferred()
    service = serve([slow], [whole()], priorities=(0, 1))
    wire = service.ask("/base/f")
    wait(service, 2 * ALONE)

    slow.callback(whole())

    assert SMALL == answer_of(wire).content
    assert "u" == asked(service)


def test_origin_of_another_priority_is_asked_when_the_first_has_had_its_time():
    """Who says nothing has failed then, and that counts for its breaker."""
    service = serve([Deferred()], [whole()], priorities=(0, 1))
    wire = service.ask("/base/f")

    wait(service, 7)

    assert SMALL == answer_of(wire).content
    assert ("uv", 1) == (asked(service), service.health.failures(key_of("u")))


def test_mirror_that_served_lately_is_given_more_time_before_others_are_asked():
    """Of a long list of slow ones each exchange would else ask several, again and again."""
    service = Service()
    sources = [source(f"m{number}", importer=f"m{number}") for number in range(50)]
    service.catalog.publish("base/f", published(SMALL, *sources))
    first, again = Deferred(), Deferred()
    service.importers.script("m0", first, again)
    for each in sources[1:]:
        service.importers.script(each.url, *[Deferred() for _ in range(9)])

    service.ask("/base/f")
    wait(service, 0.5)
    first.callback(whole())
    asked_at_first = len(service.importers.opened)
    service.ask("/base/f")
    wait(service, 0.5)
    again.callback(whole())

    assert asked_at_first > 4
    assert asked_at_first + 1 == len(service.importers.opened)
