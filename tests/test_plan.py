"""Which origin is asked next and for how long, and what a client is told when none could serve."""

from __future__ import annotations

from itertools import permutations

import pytest

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
    OriginRefused,
    OriginSilent,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
    PieceDoubted,
    RedirectRefused,
    SizeMismatch,
)
from streamer.model import (
    Artifact,
    Digest,
    DownloadConfig,
    PublicationId,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.plan import (
    BACKOFF_SECONDS,
    MAX_ALONE_SECONDS,
    MAX_ATTEMPTS,
    MAX_RELIEF_ATTEMPTS,
    MAX_STRETCH_ATTEMPTS,
    MAX_UNDER_WAY,
    Plan,
    Prospect,
    Step,
    candidates,
    final_status,
    first_order,
    retry_after_seconds,
)
from streamer.rates import UNKNOWN, Rate

MISSING = OriginLacksIt(404)
GONE = OriginLacksIt(410)
BAD = OriginFailing(500)
SLOW = OriginTimedOut()
BUSY = OriginBusy(429)
UNREACHABLE = OriginUnreachable("refused")
TRUNCATED = ContentTruncated(5)
SNAIL, HARE = Rate(10, 10), Rate(1000, 1000)


def published(*sources):
    artifact = Artifact((Digest("sha256", "0" * 64),), 1, "text/plain")
    return PublishedArtifact("f", "base", PublicationId(1), artifact, "package", 0, sources)


def source(url, priority=0):
    return RemoteArtifact(DownloadConfig(1, 1, "origin", "http", {}), url, priority)


def test_lower_priority_is_tried_first_and_equal_ones_as_stated():
    """The order is by priority and stable."""
    entry = published(source("c", 1), source("a"), source("d", 1), source("z", -1), source("b"))

    assert [each.url for each in candidates(entry)] == ["z", "a", "b", "c", "d"]


def test_entry_without_sources_has_no_candidates():
    """Nothing is borrowed from another entry."""
    assert candidates(published()) == ()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        pytest.param(OriginUnreachable("refused"), 502, id="refused"),
        pytest.param(OriginTLSFailed("expired"), 502, id="tls"),
        pytest.param(OriginNonsense("not HTTP"), 502, id="nonsense"),
        pytest.param(OriginFailing(500), 502, id="500"),
        pytest.param(OriginForbids(401), 502, id="401-is-ours-to-solve"),
        pytest.param(OriginForbids(403), 502, id="403-is-ours-to-solve"),
        pytest.param(OriginRefused(302), 502, id="302"),
        pytest.param(SizeMismatch(2, 1), 502, id="wrong-size"),
        pytest.param(DigestMismatch("a", "b"), 502, id="wrong-digest"),
        pytest.param(OriginTimedOut(), 504, id="slow"),
        pytest.param(OriginSilent(30), 504, id="silent"),
        pytest.param(OriginBusy(429), 503, id="429"),
        pytest.param(OriginLacksIt(404), 404, id="404"),
        pytest.param(OriginLacksIt(410), 404, id="410"),
        pytest.param(OriginCrowded(5), 503, id="crowded"),
        pytest.param(OriginAvoided(5.0), 503, id="avoided"),
    ],
)
def test_single_failure_has_its_status(failure, expected):
    """One attempt decides alone, as its class says."""
    assert expected == final_status([failure])
    assert expected == failure.status


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param([MISSING, GONE], 404, id="all-lack-it"),
        pytest.param([MISSING, BAD], 502, id="one-may-have-it"),
        pytest.param([MISSING, SLOW], 504, id="one-was-slow"),
        pytest.param([MISSING, BUSY], 503, id="one-was-busy"),
        pytest.param([BAD, SLOW], 504, id="slow-before-bad"),
        pytest.param([BAD, BUSY], 503, id="busy-before-bad"),
        pytest.param([SLOW, BUSY], 503, id="busy-before-slow"),
        pytest.param([MISSING, BAD, SLOW, BUSY], 503, id="all-four"),
    ],
)
def test_mixed_failures_have_the_most_hopeful_status_in_any_order(failures, expected):
    """What a client that retries may hope for decides, not which origin was asked last."""
    found = {final_status(order) for order in permutations(failures)}

    assert {expected} == found


def test_no_attempt_at_all_is_a_bad_gateway():
    """Without a source there was nobody to ask."""
    assert final_status([]) == 502


# -- the order of attempts -----------------------------------------------------------------------


def plan(*prospects, budget=12, jitter=0.0):
    return Plan(prospects, now=0.0, budget_seconds=budget, jitter=lambda: jitter)


def walk(a_plan, error, now=0.0):
    """Let every attempt fail at once with `error`; gives whom it asked, after waits."""
    asked = []
    while (step := a_plan.next(now)) is not None:
        now += step.wait_seconds
        asked.append(step.candidate)
        a_plan.failed(step.candidate, error, now)
    return asked


@pytest.mark.parametrize(
    ("prospects", "expected"),
    [
        pytest.param([Prospect(1), Prospect(0), Prospect(-1)], [2, 1, 0], id="priority"),
        pytest.param([Prospect(0), Prospect(0), Prospect(0)], [0, 1, 2], id="as-stated"),
        pytest.param([Prospect(0, failures=2), Prospect(0, failures=1)], [1, 0], id="failures"),
        pytest.param([Prospect(0, failures=9), Prospect(1)], [0, 1], id="priority-first"),
        pytest.param([Prospect(0, lags=True), Prospect(9, failures=9)], [1, 0], id="lags"),
        pytest.param([Prospect(0, blame=1), Prospect(9, lags=True)], [1, 0], id="last-resort"),
        pytest.param([Prospect(0, rate=SNAIL), Prospect(0, rate=HARE)], [1, 0], id="rate"),
        pytest.param([Prospect(0, rate=SNAIL), Prospect(1, rate=HARE)], [0, 1], id="priority-2"),
        pytest.param(
            [Prospect(0, rate=SNAIL), Prospect(0, failures=1, rate=HARE)], [0, 1], id="failures-2"
        ),
        pytest.param([], [], id="nobody"),
    ],
)
def test_first_attempts_are_in_order_of_merit(prospects, expected):
    """Quarantine, lag, priority, what happened lately, the rate, the order of the entry."""
    assert expected == walk(plan(*prospects), GONE)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        pytest.param([SNAIL, UNKNOWN, HARE], [1, 2, 0], id="unknown-are-not-slow"),
        pytest.param([UNKNOWN, SNAIL, HARE, UNKNOWN], [0, 2, 3, 1], id="and-keep-their-order"),
        pytest.param([SNAIL, UNKNOWN, UNKNOWN], [0, 1, 2], id="nobody-to-compare-with"),
        pytest.param([SNAIL, SNAIL], [0, 1], id="all-are-slow"),
        pytest.param([Rate(300, 300), HARE], [0, 1], id="not-far-slower"),
        pytest.param([Rate(1, 10**6), HARE], [0, 1], id="its-clients-may-be-slow"),
        pytest.param([Rate(10, 10), Rate(10, 10**6)], [0, 1], id="the-other-is-not-known-to-be"),
        pytest.param([Rate(20, 20), SNAIL, HARE], [2, 0, 1], id="slow-ones-as-stated"),
    ],
)
def test_who_is_known_to_be_far_slower_comes_after_the_others(rates, expected):
    """As stated but for that, whatever chance says."""
    prospects = [Prospect(0, rate=rate) for rate in rates]

    assert expected == first_order(prospects)
    assert expected == walk(plan(*prospects, jitter=0.7), GONE)


def test_who_may_recover_is_asked_again_after_all_others():
    """Rounds: nobody has a second turn before everybody had a first."""
    asked = walk(plan(Prospect(0, retries=2), Prospect(1, retries=1)), UNREACHABLE)

    assert asked == [0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OriginLacksIt(404), id="404"),
        pytest.param(OriginForbids(401), id="401"),
        pytest.param(OriginForbids(403), id="403"),
        pytest.param(OriginTLSFailed("expired"), id="tls"),
        pytest.param(SizeMismatch(2, 1), id="wrong-size"),
        pytest.param(DigestMismatch("a", "b"), id="wrong-digest"),
        pytest.param(RedirectRefused("a circle"), id="redirect"),
        pytest.param(OriginCrowded(5), id="our-own-limit"),
        pytest.param(OriginAvoided(2.5), id="avoided-for-long"),
    ],
)
def test_who_will_say_the_same_again_is_asked_once(error):
    """However many retries its importer grants, and after a break in mid-stream too."""
    a_plan = plan(Prospect(0, retries=5))

    before = walk(a_plan, error)
    a_plan.resume(0, 1.0, 12)

    assert before == [0]
    assert a_plan.next(1.0) is None


def test_who_is_avoided_for_a_moment_is_asked_after_it():
    """Another exchange is about to find out that it is well."""
    a_plan = plan(Prospect(0, retries=1))
    a_plan.next(0.0)
    a_plan.failed(0, OriginAvoided(1.0), 0.0)

    assert a_plan.next(0.0) == Step(0, 1.05, 10.95, 2.0)


@pytest.mark.parametrize(
    ("jitter", "expected"),
    [
        (0.0, [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]),
        (1.0, [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]),
    ],
)
def test_waits_double_to_a_bound(jitter, expected):
    """Between half and all of 0.1 s, 0.2 s … 2 s."""
    a_plan = plan(Prospect(0, retries=7), budget=100, jitter=jitter)

    waits = []
    while (step := a_plan.next(0.0)) is not None:
        waits.append(step.wait_seconds)
        a_plan.failed(0, UNREACHABLE, 0.0)

    assert waits == pytest.approx(expected)


def test_who_asks_for_a_rest_gets_it():
    """Nobody comes sooner than Retry-After says; others go on meanwhile."""
    a_plan = plan(Prospect(0, retries=1), Prospect(1, retries=1))
    a_plan.next(0.0)
    a_plan.failed(0, OriginBusy(429, 3), 0.0)
    a_plan.next(0.0)
    a_plan.failed(1, UNREACHABLE, 0.0)

    first, second = a_plan.next(0.0), a_plan.next(0.05)

    assert (first.candidate, first.wait_seconds) == (1, 0.05)
    assert (second.candidate, second.wait_seconds) == (0, pytest.approx(3.0))


@pytest.mark.parametrize(("rest", "expected"), [(11, 11.05), (11.5, None), (3600, None)])
def test_wait_that_leaves_no_time_for_an_answer_is_not_begun(rest, expected):
    """The client gets its answer now and not at the end of the budget."""
    a_plan = plan(Prospect(0, retries=1))
    a_plan.next(0.0)
    a_plan.failed(0, OriginBusy(429, rest), 0.0)

    step = a_plan.next(0.0)

    assert expected == (None if step is None else step.wait_seconds)


# -- how long an attempt may take ----------------------------------------------------------------


def test_attempt_gets_a_fair_share_and_the_last_one_all_that_is_left():
    """One silent origin does not keep the only connection from the next."""
    a_plan = plan(*[Prospect(0)] * 3)

    assert [4.0, 5.5, 10.0] == [a_plan.next(now).seconds for now in (0.0, 1.0, 2.0)]


@pytest.mark.parametrize(
    ("count", "budget", "expected"),
    [(1, 12, 2.0), (2, 12, 2.0), (6, 12, 2 / 3), (30, 12, 2 / 15), (100, 12, 0.1), (2, 1, 1 / 6)],
)
def test_attempt_is_alone_for_the_shorter_the_more_others_there_are(count, budget, expected):
    """Many silent ones one after the other still leave time for the last."""
    step = plan(*[Prospect(0)] * count, budget=budget).next(0.0)

    assert expected == pytest.approx(step.alone_seconds)


def test_all_of_fifty_have_begun_within_the_budget():
    """Where each of them is silent until its time alone is over."""
    a_plan, now = plan(*[Prospect(0)] * 50), 0.0

    for place in range(50):
        step = a_plan.next(now)
        assert place == step.candidate
        now += step.alone_seconds
        if place >= MAX_UNDER_WAY - 1:
            a_plan.failed(place - MAX_UNDER_WAY + 1, UNREACHABLE, now)

    assert now < 12 - MAX_ALONE_SECONDS


def test_nobody_is_asked_beside_too_many():
    """They are asked when one of those has failed."""
    a_plan = plan(*[Prospect(0)] * (MAX_UNDER_WAY + 1))
    for _ in range(MAX_UNDER_WAY):
        a_plan.next(0.0)

    before = a_plan.next(0.0)
    a_plan.failed(0, GONE, 0.0)

    assert (None, MAX_UNDER_WAY) == (before, a_plan.next(0.0).candidate)


def test_nobody_is_asked_beside_itself():
    """A second connection would say nothing that the first does not."""
    a_plan = plan(Prospect(0, retries=9))
    a_plan.next(0.0)

    assert a_plan.next(5.0) is None


@pytest.mark.parametrize(("others", "expected"), [(0, 11.0), (1, 5.5), (9, 2.0)])
def test_who_has_answered_shares_the_time_with_those_who_may_still_be_asked(others, expected):
    """It may fall silent before there is anything to show a client."""
    a_plan = plan(*[Prospect(0)] * (1 + others))
    a_plan.next(0.0)

    assert expected == a_plan.share(1.0)


def test_who_was_let_go_may_be_asked_again():
    """It was only slower than another one."""
    a_plan = plan(Prospect(0, retries=1), Prospect(0))
    a_plan.next(0.0)
    a_plan.next(2.0)
    a_plan.let_go(0)
    a_plan.failed(1, DigestMismatch("a", "b"), 3.0)

    assert 0 == a_plan.next(3.0).candidate


def test_nobody_is_asked_when_the_budget_is_over():
    """The client is waiting no longer."""
    a_plan = plan(Prospect(0), Prospect(0))
    a_plan.next(0.0)
    a_plan.failed(0, SLOW, 12.0)

    assert a_plan.next(12.0) is None


def test_attempts_of_an_exchange_are_bounded():
    """Whatever importers grant."""
    assert len(walk(plan(Prospect(0, retries=1000), budget=10_000), UNREACHABLE)) == MAX_ATTEMPTS


# -- in mid-stream -------------------------------------------------------------------------------


def test_break_is_resumed_where_it_happened_and_then_elsewhere():
    """At once at the same origin, which most likely lost one connection; then at the others."""
    a_plan = plan(Prospect(0, retries=3), Prospect(1, retries=3))
    a_plan.next(0.0)
    a_plan.failed(0, UNREACHABLE, 0.0)
    a_plan.next(0.0)
    a_plan.failed(1, TRUNCATED, 500.0)
    a_plan.resume(1, 500.0, 12, is_far=True)

    first = a_plan.next(500.0)
    a_plan.failed(1, UNREACHABLE, 500.0)
    second = a_plan.next(500.0)

    assert [(1, 0.0), (0, 0.0)] == [(each.candidate, each.wait_seconds) for each in (first, second)]


def test_who_is_under_suspicion_goes_on_after_the_others():
    """It may be right, but would only say the same again."""
    a_plan = plan(Prospect(0), Prospect(1))
    a_plan.next(0.0)
    a_plan.failed(0, PieceDoubted(65536), 1.0)
    a_plan.resume(0, 1.0, 12, is_far=True)

    first = a_plan.next(1.0)
    a_plan.failed(1, UNREACHABLE, 1.0)
    second = a_plan.next(1.0)

    assert [1, 0] == [first.candidate, second.candidate]


def test_who_asked_for_a_rest_is_not_waited_for_while_another_can_be_asked_sooner():
    """In mid-stream too, where nobody had a turn yet: every second is one of silence."""
    a_plan = plan(Prospect(0, retries=3), Prospect(1, retries=3))
    a_plan.next(0.0)
    a_plan.failed(0, OriginBusy(429, 10), 0.0)
    a_plan.next(0.0)
    a_plan.failed(1, TRUNCATED, 1.0)
    a_plan.resume(1, 1.0, 12, is_far=True)
    a_plan.next(1.0)
    a_plan.failed(1, UNREACHABLE, 1.0)

    step = a_plan.next(1.0)

    assert (step.candidate, step.wait_seconds) == (1, 0.5)


def test_attempts_to_resume_without_progress_are_three():
    """A client that sees the break soon can go elsewhere soon."""
    a_plan = plan(*[Prospect(0, retries=9)] * 5)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12, is_far=True)

    assert walk(a_plan, UNREACHABLE, 1.0) == [0, 1, 2]


def test_who_brought_hardly_anything_is_asked_last_and_after_a_back_off():
    """Whoever else there is may bring more."""
    a_plan = plan(Prospect(0, retries=3), Prospect(1, retries=3), jitter=1.0)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12)

    first = a_plan.next(1.0)
    a_plan.failed(1, UNREACHABLE, 1.0)
    second = a_plan.next(1.0)

    assert (first.candidate, first.wait_seconds) == (1, 0.0)
    assert (second.candidate, second.wait_seconds) == (0, pytest.approx(BACKOFF_SECONDS))


def test_attempts_to_resume_are_spread_over_the_start_of_a_server():
    """Three in a row would be over before one that was started anew listens."""
    a_plan = plan(Prospect(0, retries=9), jitter=1.0)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12, is_far=True)

    waits = []
    while (step := a_plan.next(1.0)) is not None:
        waits.append(step.wait_seconds)
        a_plan.failed(0, UNREACHABLE, 1.0)

    assert waits == [0.0, 1.0, 2.0]


def test_small_budget_leaves_time_to_resume_where_hardly_anything_came():
    """No back-off takes all of it."""
    a_plan = plan(Prospect(0, retries=9), budget=1, jitter=1.0)
    for now in (0.0, 0.3):
        a_plan.next(now)
        a_plan.failed(0, TRUNCATED, now)
        a_plan.resume(0, now, 1)

    assert a_plan.next(0.3) is not None


def test_progress_begins_the_count_of_attempts_anew():
    """A connection that breaks every minute still brings everything."""
    a_plan = plan(Prospect(0))
    for now in range(9):
        a_plan.next(now)
        a_plan.failed(0, TRUNCATED, now)
        a_plan.resume(0, now, 12)

    assert walk(a_plan, UNREACHABLE, 9.0) == [0]


def test_progress_does_not_extend_the_attempts_of_an_exchange():
    """An origin that sends a byte at a time does not keep us for ever."""
    a_plan = plan(Prospect(0))
    asked = 0
    while a_plan.next(0.0) is not None:
        asked += 1
        a_plan.failed(0, TRUNCATED, 0.0)
        a_plan.resume(0, 0.0, 12)

    assert asked == 1 + MAX_STRETCH_ATTEMPTS


@pytest.mark.parametrize(("wait", "expected"), [(5, 5.05), (11.5, None)])
def test_who_is_avoided_is_waited_for_in_mid_stream(wait, expected):
    """As long as that leaves time: the only other answer is a break."""
    a_plan = plan(Prospect(0, retries=1))
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12, is_far=True)
    a_plan.next(1.0)
    a_plan.failed(0, OriginAvoided(wait), 1.0)

    step = a_plan.next(1.0)

    assert expected == (None if step is None else step.wait_seconds)


def test_who_is_avoided_does_not_use_up_an_attempt_to_resume():
    """Nobody was asked."""
    a_plan = plan(*[Prospect(0)] * 5)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12, is_far=True)

    assert walk(a_plan, OriginAvoided(60), 1.0) == [0, 1, 2, 3, 4]


# -- what the client is told ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param([], 10, id="nobody-said"),
        pytest.param([SLOW, BAD], 10, id="nothing-known"),
        pytest.param([OriginAvoided(4.2)], 5, id="rounded-up"),
        pytest.param([OriginAvoided(40), OriginBusy(429, 7), SLOW], 7, id="the-soonest"),
        pytest.param([OriginBusy(429, 0)], 1, id="at-least-one"),
        pytest.param([OriginBusy(429, 1e300)], 60, id="at-most-a-minute"),
        pytest.param([OriginAvoided(float("inf"))], 60, id="never"),
    ],
)
def test_client_is_told_when_the_first_origin_may_be_asked_again(failures, expected):
    """A whole number of seconds, from one to a minute."""
    assert expected == retry_after_seconds(failures)


# -- content that crawls -------------------------------------------------------------------------


def crawling(*prospects, rate=SNAIL):
    """The plan of an exchange that is served by the first of these, and its plan of relief."""
    a_plan = plan(*prospects)
    a_plan.next(0.0)
    return a_plan, a_plan.relief(0, rate, prospects, 20.0, 12)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([], None, id="it-is-alone"),
        pytest.param([Prospect(0)], [1], id="unknown"),
        pytest.param([Prospect(0, rate=HARE)], [1], id="faster"),
        pytest.param([Prospect(0, rate=Rate(15, 15))], None, id="hardly-faster"),
        pytest.param([Prospect(0, rate=Rate(1, 10**6))], [1], id="may-be-faster"),
        pytest.param([Prospect(0, blame=1)], None, id="sent-other-content"),
        pytest.param([Prospect(0, lags=True), Prospect(5)], [2, 1], id="in-order-of-merit"),
        pytest.param([Prospect(0, retries=9)], [1], id="once"),
        pytest.param([Prospect(0)] * 9, [1, 2, 3], id="not-many"),
    ],
)
def test_relief_is_looked_for_where_it_may_be(others, expected):
    """Never at who crawls itself."""
    _, relief = crawling(Prospect(0, retries=3, rate=SNAIL), *others)

    assert expected == (None if relief is None else walk(relief, UNREACHABLE, 20.0))
    assert expected is None or len(expected) <= MAX_RELIEF_ATTEMPTS


def test_relief_is_not_looked_for_at_who_is_out():
    """What it said, it will say again."""
    prospects = [Prospect(0), Prospect(0), Prospect(0)]
    a_plan = plan(*prospects)
    a_plan.next(0.0)
    a_plan.failed(0, GONE, 0.0)
    a_plan.next(0.0)

    assert [2] == walk(a_plan.relief(1, SNAIL, prospects, 20.0, 12), GONE, 20.0)


def test_relief_has_a_budget_of_its_own_and_overlaps():
    """The one for the first byte is over long since."""
    _, relief = crawling(Prospect(0), Prospect(0), Prospect(0))

    assert [Step(1, 0.0, 6.0, 2.0), Step(2, 0.0, 10.0, 2.0)] == [
        relief.next(20.0),
        relief.next(22.0),
    ]


def test_plan_is_none_the_worse_for_relief_that_came_to_nothing():
    """Content that breaks off then is gone on with as if nobody had been asked."""
    a_plan, relief = crawling(Prospect(0), Prospect(0))
    walk(relief, UNREACHABLE, 20.0)
    a_plan.failed(0, TRUNCATED, 30.0)

    a_plan.resume(0, 30.0, 12)

    assert 1 == a_plan.next(30.0).candidate


def test_who_was_left_goes_on_where_its_relief_breaks_off_at_once():
    """Before others fail too: it is known to serve, however slowly."""
    a_plan, _ = crawling(*[Prospect(0)] * 9)
    a_plan.take_over(0, 1, 20.0, 12)
    a_plan.failed(1, TRUNCATED, 25.0)
    a_plan.renew(25.0, 12)

    assert [0, 2] == walk(a_plan, UNREACHABLE, 25.0)


def test_who_took_over_is_not_asked_beside_itself():
    """It is under way."""
    a_plan, _ = crawling(Prospect(0), Prospect(0))

    a_plan.take_over(0, 1, 20.0, 12)

    assert [0, None] == [a_plan.next(20.0).candidate, a_plan.next(20.0)]


# -- what is learned meanwhile -------------------------------------------------------------------


def test_candidate_that_comes_to_be_known_is_asked_when_nobody_else_is_left():
    """A source may name others in the answer that comes to nothing."""
    a_plan = plan(Prospect(0))
    before = walk(a_plan, GONE, 0.0)

    a_plan.learn([Prospect(0), Prospect(0)])

    assert ([0], [1]) == (before, walk(a_plan, GONE, 0.0))


def test_candidate_that_was_found_to_lag_goes_on_with_content_after_the_others():
    """What this exchange has found out of the others counts where its content breaks off."""
    a_plan = plan(*[Prospect(0)] * 4)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)

    a_plan.learn([Prospect(0), Prospect(0, lags=True), Prospect(0), Prospect(0)])
    a_plan.resume(0, 1.0, 12)

    assert [2, 3, 1] == walk(a_plan, UNREACHABLE, 1.0)


def test_who_was_left_comes_first_whatever_is_learned_of_it():
    """To have been left makes it lag for others; this exchange knows that it serves."""
    a_plan, _ = crawling(*[Prospect(0)] * 5)
    a_plan.take_over(0, 1, 20.0, 12)
    a_plan.failed(1, TRUNCATED, 25.0)

    a_plan.learn([Prospect(0, lags=True), *[Prospect(0)] * 5])
    a_plan.renew(25.0, 12)

    assert 0 == a_plan.next(25.0).candidate


def test_who_brought_hardly_anything_is_asked_last_whatever_is_learned_of_others():
    """Those that come to be known come before it."""
    a_plan = plan(*[Prospect(0)] * 3)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12)
    a_plan.next(1.0)
    a_plan.failed(1, TRUNCATED, 3.0)

    a_plan.learn([Prospect(0)] * 4)
    a_plan.renew(3.0, 12)

    assert [2, 3] == [a_plan.next(3.0).candidate, a_plan.next(3.0).candidate]
    assert 0 == a_plan.next(3.0).candidate


def test_silent_ones_use_up_no_attempts_to_go_on():
    """Of a long list most may be silent; only who has failed says that it is in vain."""
    a_plan = plan(*[Prospect(0)] * 8)
    a_plan.next(0.0)
    a_plan.failed(0, TRUNCATED, 1.0)
    a_plan.resume(0, 1.0, 12)

    under_way = [a_plan.next(1.0).candidate for _ in range(7)]

    assert [1, 2, 3, 4, 5, 6, 7] == under_way


def test_of_last_resorts_the_one_that_was_blamed_least_comes_first():
    """Priority or not: it is likelier to have what is right."""
    prospects = [Prospect(0, blame=2), Prospect(1, blame=1), Prospect(2)]

    assert [2, 1, 0] == first_order(prospects)
