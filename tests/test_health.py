"""What is remembered of origins: breakers, rests, quarantine and what they said that they lack."""

from __future__ import annotations

from itertools import product

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from streamer.breaker import (
    BLIP_SECONDS,
    MAX_BROKEN_CONTENTS,
    MAX_PROBE_SECONDS,
    PROBE_SECONDS,
    TRANSITIONS,
    Event,
    State,
)
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
    LAG_SECONDS,
    MAX_LAG_SECONDS,
    MAX_MISSING,
    MAX_ORIGINS,
    MAX_PAUSE_SECONDS,
    MAX_QUARANTINED,
    MAX_REPORTS,
    RATE_SECONDS,
    Health,
    OriginKey,
)
from streamer.model import Artifact, Digest
from streamer.rates import UNKNOWN, Flow, Rate
from streamer.settings import OriginSettings


def key_of(importer_id, revision, origin):
    return OriginKey("m", importer_id, revision, origin)


KEY = key_of(1, 1, "https://a:443")
OTHERS = [
    key_of(2, 1, "https://a:443"),
    key_of(1, 2, "https://a:443"),
    key_of(1, 1, "https://b:443"),
]
"""Another importer, another revision, another origin."""

REFUSED = OriginUnreachable("refused")
FAILURES, PAUSE = 5, 5.0


class Known:
    """The health of origins under a clock of ours; without jitter pauses are as they are set."""

    def __init__(self, jitter=1.0, **settings):
        self.clock = Clock()
        self.health = Health(OriginSettings(**settings), self.clock.seconds, lambda: jitter)
        self.inquiries = 0

    def ask(self, key=KEY, content=None):
        """Ask for content of its own, if none is named; gives the inquiry."""
        self.inquiries += 1
        return self.health.ask(key, content or f"{self.inquiries}")

    def wait(self, key=KEY):
        """Ask; gives the seconds that one has to wait, None where one may go on."""
        try:
            self.ask(key)
        except OriginAvoided as error:
            return error.retry_after_seconds
        return None

    def fail(self, times, error=REFUSED, key=KEY, content=None):
        """Let that many fail that ask before any of them has."""
        for inquiry in [self.ask(key, content) for _ in range(times)]:
            self.health.failed(inquiry, error)

    def fail_for_long(self, times, error=REFUSED, key=KEY, content=None):
        """The same, but for the first, which fails as long before as it takes to be no blip."""
        self.fail(1, error, key, content)
        self.clock.advance(BLIP_SECONDS)
        self.fail(times - 1, error, key, content)

    def opened(self):
        self.fail_for_long(FAILURES)
        return self

    def probe(self):
        """Ask as soon as the breaker lets somebody, who is the probe; gives its inquiry."""
        self.opened().clock.advance(PAUSE)
        return self.ask()


def artifact(number=1):
    return Artifact((Digest("sha256", f"{number:064x}"),), 10, "text/plain")


def place(url="f", **changes):
    return KEY._replace(**changes), url


# -- breaker -------------------------------------------------------------------------------------


def test_origin_that_never_failed_may_be_asked():
    """By any number of exchanges at once."""
    known = Known()

    assert [None] * 9 == [known.wait() for _ in range(9)]


def test_breaker_opens_after_failures_in_a_row():
    """Late: one or two failures are nothing unusual."""
    known = Known()

    known.fail_for_long(FAILURES - 1)
    before = known.wait()
    known.fail(1)

    assert before is None
    assert known.wait() == PAUSE


def test_failures_in_one_moment_do_not_open_the_breaker():
    """A hundred that fail at a restart find the origin well at their next attempts."""
    known = Known()

    known.fail(100)
    before = known.wait()
    known.clock.advance(BLIP_SECONDS)
    known.fail(1)

    assert (None, PAUSE) == (before, known.wait())


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

    known.fail_for_long(FAILURES, error)

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
    known = Known()

    known.health.failed(known.probe(), error)

    assert (0, None) == (known.health.failures(KEY), known.wait())


def test_our_own_limit_says_nothing_of_the_origin():
    """It was not asked, so neither the row of failures nor the breaker changes."""
    known = Known()

    known.fail_for_long(FAILURES - 1)
    known.fail(FAILURES, OriginCrowded(5))
    before = known.health.failures(KEY)
    known.fail(1)

    assert (FAILURES - 1, PAUSE) == (before, known.wait())


def test_content_that_came_to_its_end_ends_the_row_of_failures():
    """Only what fails again and again is left alone."""
    known = Known()

    for _ in range(3):
        known.fail_for_long(FAILURES - 1)
        inquiry = known.ask()
        known.health.answered(inquiry)
        known.health.served(inquiry)

    assert (0, None) == (known.health.failures(KEY), known.wait())


def test_origin_that_answers_and_then_falls_silent_is_left_alone():
    """A head is no proof that content follows it."""
    known = Known()

    for _ in range(FAILURES):
        inquiry = known.ask()
        known.health.answered(inquiry)
        known.clock.advance(BLIP_SECONDS)
        known.health.failed(inquiry, OriginSilent(30))

    assert (FAILURES, PAUSE) == (known.health.failures(KEY), known.wait())


def test_origin_that_fails_at_one_content_alone_is_not_left_alone():
    """However often it is asked for: other content may well be there."""
    known = Known()

    known.fail_for_long(100, OriginFailing(500), content="broken")

    assert (1, None) == (known.health.failures(KEY), known.wait())


def test_no_connection_counts_whatever_is_asked_for():
    """A hundred clients may want the same file of an origin that is away."""
    known = Known()

    known.fail_for_long(FAILURES, content="wanted")

    assert known.wait() == PAUSE


def test_contents_that_an_origin_fails_at_are_known_apart_up_to_a_number():
    """What is remembered of an origin is bounded."""
    known = Known(breaker_failures=100)

    for number in range(MAX_BROKEN_CONTENTS + 1):
        known.fail(1, OriginFailing(500), content=f"{number}")
    known.fail(10, OriginFailing(500), content="0")
    known.fail(10, OriginFailing(500), content=f"{MAX_BROKEN_CONTENTS}")

    assert MAX_BROKEN_CONTENTS + 1 + 10 == known.health.failures(KEY)


@pytest.mark.parametrize("other", OTHERS)
def test_other_origins_are_not_affected(other):
    """With other credentials or another config it may do better."""
    known = Known().opened()

    assert (0, None) == (known.health.failures(other), known.wait(other))


def test_breaker_can_be_switched_off():
    """Nobody is left alone then; the order of the plan still knows of the failures."""
    known = Known(breaker_failures=0)

    known.fail_for_long(100)

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


def test_probe_that_is_answered_lets_everybody_ask():
    """Nobody waits for the end of its content, which may be an hour away."""
    known = Known()

    known.health.answered(known.probe())

    assert [None, None] == [known.wait(), known.wait()]


def test_probe_that_is_served_makes_all_as_if_nothing_had_happened():
    """The pause of the next time is short again."""
    known = Known()
    probe = known.probe()

    known.health.answered(probe)
    known.health.served(probe)

    assert [] == known.health.reports()
    assert known.opened().wait() == PAUSE


def test_probe_whose_content_falls_silent_is_a_failed_one():
    """The next pause is twice as long."""
    known = Known()
    probe = known.probe()

    known.health.answered(probe)
    known.clock.advance(30)
    known.health.failed(probe, OriginSilent(30))

    assert known.wait() == 2 * PAUSE


def test_probe_that_fails_doubles_the_pause_to_a_bound():
    """An origin that is away for long is asked once a minute."""
    known = Known()
    probe = known.probe()

    pauses = []
    for _ in range(6):
        known.health.failed(probe, REFUSED)
        pauses.append(known.wait())
        known.clock.advance(pauses[-1])
        probe = known.ask()

    assert pauses == [10, 20, 40, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]


def test_probe_without_a_verdict_leaves_its_place_to_the_next():
    """A client that leaves does not keep others from asking."""
    known = Known()

    known.health.let_go(known.probe())

    assert [None, PROBE_SECONDS] == [known.wait(), known.wait()]


def test_probe_that_never_comes_back_leaves_its_place_to_the_next():
    """An importer may not end what is cancelled; what it says then of a failure is too late."""
    known = Known()
    lost = known.probe()

    known.clock.advance(MAX_PROBE_SECONDS)
    asked = [known.wait(), known.wait()]
    known.health.failed(lost, REFUSED)

    assert asked == [None, PROBE_SECONDS]
    assert known.wait() == PROBE_SECONDS


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda health, inquiry: health.let_go(inquiry), id="let-go"),
        pytest.param(lambda health, inquiry: health.failed(inquiry, REFUSED), id="failed"),
        pytest.param(lambda health, inquiry: health.failed(inquiry, OriginCrowded(1)), id="ours"),
    ],
)
def test_exchange_from_before_says_nothing_of_the_probe(end):
    """There is still one probe, and its verdict is to come."""
    known = Known()
    old = known.ask()
    probe = known.probe()

    end(known.health, old)
    before = known.wait()
    known.health.failed(probe, REFUSED)

    assert (PROBE_SECONDS, 2 * PAUSE) == (before, known.wait())


def test_failure_of_an_exchange_from_before_changes_nothing_while_it_is_open():
    """A hundred that wait for the same dead origin fail after another."""
    known = Known()
    old = [known.ask() for _ in range(95)]
    known.opened().clock.advance(1)

    for inquiry in old:
        known.health.failed(inquiry, REFUSED)

    assert PAUSE - 1 == known.wait()


def test_answer_to_an_exchange_from_before_closes_the_breaker():
    """It is alive, whoever found out."""
    known = Known()
    old = known.ask()

    known.opened().health.answered(old)

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
def test_breaker_closes_by_an_answer_and_is_half_open_by_a_question(state, event):
    """A closed one is opened by failures alone."""
    to = TRANSITIONS.get((state, event))

    assert (to is State.CLOSED) == (event is Event.ANSWERED and state is not State.CLOSED)
    assert (to is State.HALF_OPEN) == (event is Event.ASKED and state is not State.CLOSED)
    assert (to is not None) == (event is Event.TRIPPED) or state is not State.CLOSED


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
    longer, shorter = known.ask(), known.ask()

    known.health.failed(longer, OriginBusy(429, 30))
    known.health.failed(shorter, OriginBusy(429, 1))

    assert known.wait() == 30


def test_answer_does_not_end_a_rest():
    """It was asked for, and one answer more does not take that back."""
    known = Known()
    other = known.ask()
    known.fail(1, OriginBusy(429, 30))

    known.health.answered(other)
    known.health.served(other)

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


def test_blame_adds_up_while_it_is_remembered():
    """So that of several last resorts one is the likelier."""
    known = Known()
    known.health.quarantine(artifact(), KEY, 2)
    known.health.quarantine(artifact(), KEY)

    blame = known.health.blame(artifact(), KEY)
    known.clock.advance(300)

    assert (3, 0) == (blame, known.health.blame(artifact(), KEY))


def test_what_is_missing_is_remembered_for_a_moment():
    """By importer, revision, origin and URL: one mirror says nothing of another."""
    known = Known()
    known.health.note_missing(place())
    others = [place("g"), place(importer_id=2), place(revision=2), place(origin="http://b:80")]
    asked = [place(), *others]

    found = [known.health.is_missing(each) for each in asked]
    known.clock.advance(10)

    assert found == [True, False, False, False, False]
    assert not known.health.is_missing(place())


def test_what_is_missing_need_not_be_remembered():
    """With 0 every client's request is an origin's."""
    known = Known(remember_missing="0")

    known.health.note_missing(place())

    assert not known.health.is_missing(place())


# -- bounds and reports --------------------------------------------------------------------------


def test_memory_is_bounded():
    """The oldest is forgotten, whatever origins and clients do."""
    known = Known()
    health = known.health
    for number in range(max(MAX_ORIGINS, MAX_QUARANTINED, MAX_MISSING) + 1):
        key = key_of(number, 1, "o")
        known.fail(1, OriginFailing(503, 60), key)
        health.quarantine(artifact(number), KEY)
        health.note_missing(place(f"{number}"))

    assert (MAX_ORIGINS, MAX_REPORTS) == (health.count(State.CLOSED), len(health.reports()))
    assert not health.is_quarantined(artifact(0), KEY)
    assert not health.is_missing(place("0"))


def test_log_says_who_is_left_alone_and_who_is_well_again():
    """Once each: a probe that fails is no news."""
    known = Known()

    with capturedLogs() as events:
        known.fail_for_long(FAILURES)
        for pause in (PAUSE, 2 * PAUSE):
            known.clock.advance(pause)
            known.fail(1)
        known.clock.advance(4 * PAUSE)
        inquiry = known.ask()
        known.health.answered(inquiry)
        known.health.served(inquiry)

    assert [
        "importer m: https://a:443 is left alone, as it failed 5 times in a row, lately with "
        "OriginUnreachable",
        "importer m: https://a:443 answers again",
    ] == [formatEvent(event) for event in events]


def test_origin_that_used_its_time_up_comes_last_for_a_while():
    """So that not each client waits for it until its breaker opens."""
    known = Known()

    known.fail(1, OriginTimedOut())

    assert known.health.lags(KEY)


def test_log_says_who_sent_other_content():
    """Once for each content, since every client may ask for it again."""
    known = Known()

    with capturedLogs() as events:
        known.health.quarantine(artifact(), KEY)
        known.health.quarantine(artifact(), KEY)

    assert [
        f"importer m: https://a:443 sent other content than {artifact().digest}, or a part of it, "
        "and is asked last for that"
    ] == [formatEvent(event) for event in events]


def test_log_says_who_comes_last_because_it_was_silent():
    """Once, however many have waited for it."""
    known = Known()

    with capturedLogs() as events:
        known.health.outrun(KEY)
        known.health.outrun(KEY)

    assert ["importer m: https://a:443 comes last for 60 s, as it was silent"] == [
        formatEvent(event) for event in events
    ]


def test_origin_that_lacks_something_is_well_again_too():
    """What it says of one content, it says as an origin that answers."""
    known = Known()
    probe = known.probe()

    with capturedLogs() as events:
        known.health.failed(probe, OriginLacksIt(404))

    assert ["importer m: https://a:443 answers again"] == [formatEvent(each) for each in events]


def test_reports_say_what_is_known_of_origins_that_failed():
    """In the order of their keys, and without those that are well."""
    known = Known()
    known.fail_for_long(FAILURES, OriginTimedOut(), key=key_of(2, 1, "b"))
    known.fail(1, key=key_of(1, 3, "a"))
    known.fail(1, OriginBusy(429, 9), key=key_of(3, 1, "c"))
    known.health.quarantine(artifact(1), key_of(1, 3, "a"))
    known.health.quarantine(artifact(2), key_of(1, 3, "a"))
    known.health.answered(known.ask(key_of(4, 1, "d")))
    known.clock.advance(2)

    told = [
        (
            each.key,
            (each.state, each.failures, each.last_error),
            (each.asked_again_in_seconds, each.changed_seconds_ago, each.quarantined),
        )
        for each in known.health.reports()
    ]

    assert told == [
        (key_of(1, 3, "a"), ("closed", 1, "OriginUnreachable"), (0, 2, 2)),
        (key_of(2, 1, "b"), ("open", 5, "OriginTimedOut"), (3, 2, 0)),
        (key_of(3, 1, "c"), ("closed", 0, None), (7, None, 0)),
    ]


def test_origins_are_counted_by_the_state_of_their_breaker():
    """For the metrics; who is well is not remembered."""
    known = Known()
    known.probe()
    known.fail_for_long(FAILURES, key=OTHERS[0])
    known.fail(1, key=OTHERS[1])
    known.fail(1, key=OTHERS[2])

    assert [2, 1, 1] == [known.health.count(state) for state in State]


# -- lag and rate --------------------------------------------------------------------------------

FLOW = Flow(20_000, 10.0, 10.0)


@pytest.mark.parametrize("happens", [Health.outrun, Health.left], ids=["outrun", "left"])
def test_origin_that_was_too_slow_lags_for_a_while(happens):
    """It alone, and nothing else is held against it."""
    known = Known()

    happens(known.health, KEY)

    known.clock.advance(LAG_SECONDS - 1)
    during = [known.health.lags(key) for key in (KEY, *OTHERS)]
    known.clock.advance(1)
    assert ([True, False, False, False], False) == (during, known.health.lags(KEY))
    assert (0, None) == (known.health.failures(KEY), known.wait())


def test_lag_is_twice_as_long_each_time():
    """Up to half an hour: each time somebody waited for it."""
    known = Known()

    lags = []
    for _ in range(7):
        known.health.outrun(KEY)
        (report,) = known.health.reports()
        lags.append(report.comes_last_for_seconds)
        known.clock.advance(report.comes_last_for_seconds)

    assert [60, 120, 240, 480, 960, MAX_LAG_SECONDS, MAX_LAG_SECONDS] == lags


def test_lag_is_said_once_by_all_who_asked_at_a_time():
    """A crowd that finds out together has found out one thing."""
    known = Known()

    for _ in range(9):
        known.health.outrun(KEY)
    known.clock.advance(LAG_SECONDS)

    assert not known.health.lags(KEY)


def test_content_that_came_to_its_end_ends_the_lag():
    """And the next one is as short as the first."""
    known = Known()
    known.health.outrun(KEY)

    known.health.served(known.ask())

    assert not known.health.lags(KEY)
    known.health.outrun(KEY)
    assert [LAG_SECONDS] == [each.comes_last_for_seconds for each in known.health.reports()]


def test_rate_is_known_of_the_origin_that_has_it_alone():
    """Not of its neighbours, nor under another config."""
    known = Known()

    known.health.note_flow(KEY, FLOW)

    assert Rate(2000, 2000) == known.health.rate(KEY)
    assert {UNKNOWN} == {known.health.rate(key) for key in OTHERS}


def test_rate_is_of_more_than_the_last_stretch():
    """Half of what is known is older, as a factor."""
    known = Known()

    known.health.note_flow(KEY, FLOW)
    known.health.note_flow(KEY, Flow(80_000, 10.0, 10.0))

    assert Rate(4000, 4000) == known.health.rate(KEY)


def test_little_content_is_no_rate():
    """Nothing is remembered of it, and it keeps nothing from being forgotten."""
    known = Known()
    little = Flow(1000, 0.1, 0.1)

    known.health.note_flow(OTHERS[0], little)
    known.health.note_flow(KEY, FLOW)
    known.clock.advance(RATE_SECONDS - 1)
    known.health.note_flow(KEY, little)
    known.clock.advance(1)

    assert [UNKNOWN] * 2 == [known.health.rate(key) for key in (KEY, OTHERS[0])]


def test_rate_is_forgotten_after_a_while_without_news():
    """Who came last for it gets another chance."""
    known = Known()
    known.health.note_flow(KEY, FLOW)
    known.clock.advance(RATE_SECONDS - 1)
    known.health.note_flow(KEY, FLOW)

    known.clock.advance(RATE_SECONDS - 1)
    before = known.health.rate(KEY)
    known.clock.advance(1)

    assert (Rate(2000, 2000), UNKNOWN) == (before, known.health.rate(KEY))


def test_rates_of_many_origins_are_bounded():
    """Neither origins nor clients make them grow."""
    known = Known()

    for number in range(MAX_ORIGINS + 100):
        known.health.note_flow(key_of(number, 1, "https://a:443"), FLOW)

    assert MAX_ORIGINS == known.health.sizes()["rates"]()


def test_report_tells_the_rate_of_an_origin_that_is_well():
    """An operator compares it with the others."""
    known = Known()
    known.health.note_flow(KEY, Flow(20_000, 5.0, 10.0))

    (report,) = known.health.reports()

    assert (2000, 4000) == (report.at_least_bytes_per_second, report.at_most_bytes_per_second)
    assert not report.is_ailing


@pytest.mark.parametrize(
    "happens",
    [
        pytest.param(lambda known: known.fail(1), id="failed"),
        pytest.param(lambda known: known.health.left(KEY), id="lags"),
        pytest.param(lambda known: known.health.quarantine(artifact(), KEY), id="quarantined"),
        pytest.param(lambda known: known.fail(1, OriginBusy(429, 9)), id="rests"),
    ],
)
def test_report_says_whether_anything_is_against_an_origin(happens):
    """And then its rate is none where it is not known."""
    known = Known()

    happens(known)

    (report,) = known.health.reports()
    assert report.is_ailing
    assert report.at_least_bytes_per_second is None


def test_rates_crowd_nobody_out_of_the_reports():
    """Those that ail are what an operator looks for."""
    known = Known()
    for number in range(MAX_REPORTS):
        known.health.note_flow(key_of(number, 1, "https://a:443"), FLOW)
    last = key_of(MAX_REPORTS, 1, "https://a:443")
    known.fail(1, key=last)

    reports = known.health.reports()

    assert (MAX_REPORTS, last) == (len(reports), reports[-1].key)
