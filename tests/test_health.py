"""What is remembered of origins: breakers, rests, quarantine and what they said that they lack."""

from __future__ import annotations

from itertools import product

import pytest
from twisted.internet.task import Clock

from streamer.errors import (
    ContentTruncated,
    DigestMismatch,
    OriginAvoided,
    OriginBusy,
    OriginCrowded,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginSilent,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
    ProxyFailed,
    TokenRefused,
)
from streamer.health import (
    FORGET_SECONDS,
    MAX_MISSING,
    MAX_ORIGINS,
    MAX_PAUSE_SECONDS,
    MAX_QUARANTINED,
    MAX_REPORTS,
    PROBE_SECONDS,
    TRANSITIONS,
    Event,
    Health,
    State,
)
from streamer.model import Artifact, Digest, DownloadConfig, RemoteArtifact
from streamer.settings import OriginSettings

KEY = (1, 1, "https://a:443")
OTHERS = [(2, 1, "https://a:443"), (1, 2, "https://a:443"), (1, 1, "https://b:443")]
"""Another importer, another revision, another origin."""

REFUSED = OriginUnreachable("refused")
FAILURES, PAUSE = 5, 5.0


class Known:
    """The health of origins under a clock of ours; without jitter pauses are as they are set."""

    def __init__(self, jitter=1.0, **settings):
        self.clock = Clock()
        self.health = Health(OriginSettings(**settings), self.clock.seconds, lambda: jitter)

    def wait(self, key=KEY):
        """Ask; gives the seconds that one has to wait, None where one may go on."""
        try:
            self.health.ask(key)
        except OriginAvoided as error:
            return error.retry_after_seconds
        return None

    def fail(self, times, error=REFUSED, key=KEY):
        for _ in range(times):
            self.health.failed(key, error)

    def opened(self):
        self.fail(FAILURES)
        return self

    def half_open(self):
        self.opened().clock.advance(PAUSE)
        assert self.wait() is None
        return self


def artifact(number=1):
    return Artifact((Digest("sha256", f"{number:064x}"),), 10, "text/plain")


def source(url="f", importer=1, revision=1):
    return RemoteArtifact(DownloadConfig(importer, revision, "a", "http", {}), url)


# -- breaker -------------------------------------------------------------------------------------


def test_origin_that_never_failed_may_be_asked():
    """By any number of exchanges at once."""
    known = Known()

    assert [None] * 9 == [known.wait() for _ in range(9)]


def test_breaker_opens_after_failures_in_a_row():
    """Late: one or two failures are nothing unusual."""
    known = Known()

    known.fail(FAILURES - 1)
    before = known.wait()
    known.fail(1)

    assert before is None
    assert known.wait() == PAUSE


@pytest.mark.parametrize(
    "error",
    [
        OriginTimedOut(),
        OriginSilent(30),
        OriginTLSFailed("expired"),
        OriginFailing(500),
        OriginFailing(503),
        ProxyFailed("407"),
        TokenRefused("500"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_that_speaks_against_the_origin_counts(error):
    """Whatever it asks for would fail in the same way."""
    known = Known()

    known.fail(FAILURES, error)

    assert (FAILURES, PAUSE) == (known.health.failures(KEY), known.wait())


@pytest.mark.parametrize(
    "error",
    [
        OriginLacksIt(404),
        OriginForbids(403),
        DigestMismatch("a", "b"),
        ContentTruncated(5),
        OriginNonsense("what"),
        OriginBusy(429),
    ],
    ids=lambda error: type(error).__name__,
)
def test_error_about_this_content_alone_shows_that_the_origin_answers(error):
    """A 404 is an answer: it ends the row of failures, and a probe."""
    known = Known().half_open()

    known.fail(1, error)

    assert (0, None) == (known.health.failures(KEY), known.wait())


def test_our_own_limit_says_nothing_of_the_origin():
    """It was not asked, so neither the row of failures nor the breaker changes."""
    known = Known()

    known.fail(FAILURES - 1)
    known.fail(FAILURES, OriginCrowded(5))
    before = known.health.failures(KEY)
    known.fail(1)

    assert (FAILURES - 1, PAUSE) == (before, known.wait())


def test_answer_ends_the_row_of_failures():
    """Only what fails again and again is left alone."""
    known = Known()

    for _ in range(3):
        known.fail(FAILURES - 1)
        known.health.answered(KEY)

    assert (0, None) == (known.health.failures(KEY), known.wait())


@pytest.mark.parametrize("other", OTHERS)
def test_other_origins_are_not_affected(other):
    """With other credentials or another config it may do better."""
    known = Known().opened()

    assert (0, None) == (known.health.failures(other), known.wait(other))


def test_breaker_can_be_switched_off():
    """Nobody is left alone then; the order of the plan still knows of the failures."""
    known = Known(breaker_failures=0)

    known.fail(100)

    assert (100, None) == (known.health.failures(KEY), known.wait())


def test_one_exchange_may_ask_after_the_pause():
    """It is the probe, and the others wait for what becomes of it."""
    known = Known().opened()
    known.clock.advance(PAUSE - 1)
    before = known.wait()
    known.clock.advance(1)

    asked = [known.wait() for _ in range(4)]

    assert before == 1
    assert asked == [None, PROBE_SECONDS, PROBE_SECONDS, PROBE_SECONDS]


def test_probe_that_is_answered_closes_the_breaker():
    """Everything is as if nothing had happened."""
    known = Known().half_open()

    known.health.answered(KEY)

    assert [None, None] == [known.wait(), known.wait()]
    assert [] == known.health.reports()


def test_probe_that_fails_doubles_the_pause_to_a_bound():
    """An origin that is away for long is asked once a minute."""
    known = Known().half_open()

    pauses = []
    for _ in range(6):
        known.fail(1)
        pauses.append(known.wait())
        known.clock.advance(pauses[-1])
        known.wait()

    assert pauses == [10, 20, 40, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]


def test_probe_without_a_verdict_leaves_its_place_to_the_next():
    """A client that leaves does not keep others from asking."""
    known = Known().half_open()

    known.health.let_go(KEY)

    assert [None, PROBE_SECONDS] == [known.wait(), known.wait()]


def test_failure_of_an_exchange_from_before_changes_nothing_while_it_is_open():
    """A hundred that wait for the same dead origin fail after another."""
    known = Known().opened()
    known.clock.advance(1)

    known.fail(95)

    assert PAUSE - 1 == known.wait()


def test_answer_to_an_exchange_from_before_closes_the_breaker():
    """It is alive, whoever found out."""
    known = Known().opened()

    known.health.answered(KEY)

    assert known.wait() is None


def test_pause_is_spread_so_that_origins_that_failed_together_part():
    """Three quarters of it at least."""
    assert PAUSE * 3 / 4 == Known(jitter=0.0).opened().wait()


def test_long_first_pause_is_kept():
    """The bound is for the doubling; an operator may want more."""
    known = Known(breaker_pause="5m").opened()

    assert known.wait() == 300


def test_failures_are_forgotten_after_a_while():
    """What happened an hour ago is not "in a row" with what happens now."""
    known = Known()
    known.fail(FAILURES - 1)

    known.clock.advance(FORGET_SECONDS + MAX_PAUSE_SECONDS)
    known.fail(1)

    assert (1, None) == (known.health.failures(KEY), known.wait())


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_transition_leads_to_another_state_or_does_not_exist(state, event):
    """A half-open breaker is left by a verdict alone, and none closes by an event of the table."""
    to = TRANSITIONS.get((state, event))

    assert to not in (state, State.CLOSED)
    assert (to is State.HALF_OPEN) == ((state, event) == (State.OPEN, Event.ASKED))


# -- rest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "failures"), [(OriginBusy(429, 20), 0), (OriginFailing(503, 20), 1)]
)
def test_origin_that_asks_for_a_rest_gets_it(error, failures):
    """Until then nobody asks; then everybody may."""
    known = Known()

    known.fail(1, error)
    before = known.wait()
    known.clock.advance(20)

    assert (20, failures) == (before, known.health.failures(KEY))
    assert [None, None] == [known.wait(), known.wait()]


def test_rest_is_no_longer_than_a_minute():
    """An origin cannot send us away for a day."""
    known = Known()

    known.fail(1, OriginBusy(429, 86_400))

    assert known.wait() == MAX_PAUSE_SECONDS


def test_shorter_rest_does_not_end_a_longer_one():
    """Answers overtake each other."""
    known = Known()

    known.fail(1, OriginBusy(429, 30))
    known.fail(1, OriginBusy(429, 1))

    assert known.wait() == 30


def test_answer_does_not_end_a_rest():
    """It was asked for, and one answer more does not take that back."""
    known = Known()
    known.fail(1, OriginBusy(429, 30))

    known.health.answered(KEY)

    assert known.wait() == 30


# -- quarantine and what is missing --------------------------------------------------------------


def test_quarantine_is_of_one_artifact_at_one_origin_for_its_time():
    """Other content of it may be right, and others may have this one right."""
    known = Known()
    known.health.quarantine(artifact(), KEY)

    held = [known.health.is_quarantined(artifact(), key) for key in (KEY, *OTHERS)]
    other = known.health.is_quarantined(artifact(2), KEY)
    known.clock.advance(300)

    assert (held, other) == ([True, False, False, False], False)
    assert not known.health.is_quarantined(artifact(), KEY)


def test_what_is_missing_is_remembered_for_a_moment():
    """By importer, revision and URL."""
    known = Known()
    known.health.note_missing(source())
    asked = [source(), source("g"), source(importer=2), source(revision=2)]

    found = [known.health.is_missing(each) for each in asked]
    known.clock.advance(10)

    assert found == [True, False, False, False]
    assert not known.health.is_missing(source())


def test_what_is_missing_need_not_be_remembered():
    """With 0 every client's request is an origin's."""
    known = Known(remember_missing="0")

    known.health.note_missing(source())

    assert not known.health.is_missing(source())


# -- bounds and reports --------------------------------------------------------------------------


def test_memory_is_bounded():
    """The oldest is forgotten, whatever origins and clients do."""
    known = Known()
    health = known.health
    for number in range(max(MAX_ORIGINS, MAX_QUARANTINED, MAX_MISSING) + 1):
        key = (number, 1, "o")
        known.fail(1, OriginFailing(503, 60), key)
        health.quarantine(artifact(number), KEY)
        health.note_missing(source(f"{number}"))

    assert (MAX_ORIGINS, MAX_REPORTS) == (health.count(State.CLOSED), len(health.reports()))
    assert not health.is_quarantined(artifact(0), KEY)
    assert not health.is_missing(source("0"))


def test_reports_say_what_is_known_of_origins_that_failed():
    """In the order of their keys, and without those that are well."""
    known = Known()
    known.fail(FAILURES, OriginTimedOut(), key=(2, 1, "b"))
    known.fail(1, key=(1, 3, "a"))
    known.fail(1, OriginBusy(429, 9), key=(3, 1, "c"))
    known.health.quarantine(artifact(1), (1, 3, "a"))
    known.health.quarantine(artifact(2), (1, 3, "a"))
    known.health.answered((4, 1, "d"))
    known.clock.advance(2)

    told = [
        (
            (each.importer_id, each.revision, each.origin),
            (each.state, each.failures, each.last_error),
            (each.asked_again_in_seconds, each.changed_seconds_ago, each.quarantined),
        )
        for each in known.health.reports()
    ]

    assert told == [
        ((1, 3, "a"), ("closed", 1, "OriginUnreachable"), (0, 2, 2)),
        ((2, 1, "b"), ("open", 5, "OriginTimedOut"), (3, 2, 0)),
        ((3, 1, "c"), ("closed", 0, None), (7, None, 0)),
    ]


def test_origins_are_counted_by_the_state_of_their_breaker():
    """For the metrics; who is well is not remembered."""
    known = Known().half_open()
    known.fail(FAILURES, key=OTHERS[0])
    known.fail(1, key=OTHERS[1])
    known.fail(1, key=OTHERS[2])

    assert [2, 1, 1] == [known.health.count(state) for state in State]
