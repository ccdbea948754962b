"""How fast an origin sends: two bounds, which nobody but the origin can make look slow."""

from __future__ import annotations

import math

import pytest
from twisted.internet.task import Clock

from streamer.pace import Meter
from streamer.rates import FAR, TELLING_BYTES, TELLING_SECONDS, UNKNOWN, WORTH, Flow, Rate

MIB = 1024**2


def steady(per_second, seconds=10.0):
    """What comes from an origin that was waited for all the time."""
    return Flow(int(per_second * seconds), seconds, seconds)


def held_back(per_second, waited, elapsed=10.0):
    """What comes from one that was waited for only for a part of it."""
    return Flow(int(per_second * elapsed), waited, elapsed)


# -- one stretch


def test_bounds_of_an_origin_that_was_always_waited_for_are_the_same():
    """Nothing else took any time."""
    assert Rate(1000, 1000) == steady(1000).rate


def test_bounds_lie_apart_where_a_client_held_content_back():
    """At least what came, at most what came while the origin was waited for."""
    assert Rate(1000, 10_000) == held_back(1000, waited=1.0).rate


def test_content_that_takes_no_time_has_a_rate():
    """A clock may not have moved."""
    assert Rate(MIB * 1000, MIB * 1000) == Flow(MIB, 0.0, 0.0).rate


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        pytest.param(Flow(TELLING_BYTES - 1, TELLING_SECONDS - 0.1, 60.0), False, id="little"),
        pytest.param(Flow(TELLING_BYTES, 0.01, 0.01), True, id="many-bytes"),
        pytest.param(Flow(0, TELLING_SECONDS, TELLING_SECONDS), True, id="long-silence"),
    ],
)
def test_little_content_says_nothing(flow, expected):
    """It is mostly the way there and back."""
    assert expected == flow.says_something
    assert expected == (UNKNOWN.after(flow) != UNKNOWN)


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        pytest.param(steady(999), True, id="below"),
        pytest.param(steady(1000), False, id="enough"),
        pytest.param(held_back(100, waited=4.9), False, id="paused-for-most-of-it"),
        pytest.param(held_back(100, waited=9.0), True, id="paused-for-little-of-it"),
        pytest.param(Flow(0, 1.9, 1.9), False, id="too-short"),
        pytest.param(Flow(0, 10.0, 10.0), True, id="nothing"),
    ],
)
def test_content_crawls_by_the_fault_of_its_origin_alone(flow, expected):
    """A thousand bytes in each second are asked for."""
    assert expected == flow.crawls(1000)


def test_nothing_crawls_where_nothing_is_asked_for():
    """Not even silence."""
    assert not steady(0).crawls(0)


# -- one after the other


def test_first_stretch_is_taken_as_it_is():
    """There is nothing to weigh it against."""
    assert Rate(1000, 1000) == UNKNOWN.after(steady(1000))


def test_three_stretches_make_a_fast_origin_slow_and_a_slow_one_fast():
    """The past counts half of it each time, in times and not in bytes."""
    found = []
    for old, new in [(10_000_000, 10_000), (10_000, 10_000_000)]:
        rate = Rate(old, old)
        for _ in range(3):
            rate = rate.after(steady(new))
        found.append(max(rate.at_most / new, new / rate.at_most))

    assert [pytest.approx(1000 ** (1 / 8))] * 2 == found


def test_slow_client_lowers_nothing():
    """Its pace is no news of the origin."""
    rate = Rate(5 * MIB, 5 * MIB).after(held_back(MIB, waited=0.1))

    assert 5 * MIB == rate.at_least
    assert rate.at_most > 5 * MIB


def test_fast_client_that_holds_content_back_raises_what_is_known():
    """So much came, whoever waited for whom."""
    rate = Rate(MIB, MIB).after(held_back(16 * MIB, waited=1.0))

    assert 4 * MIB == pytest.approx(rate.at_least)


def test_silence_leaves_a_bound_that_may_rise_again():
    """Nothing, in a mean of this kind, would stay nothing for ever."""
    rate = UNKNOWN.after(steady(0)).after(steady(MIB)).after(steady(MIB)).after(steady(MIB))

    assert rate.at_most > MIB / 100


# -- comparing


@pytest.mark.parametrize(
    ("rate", "best", "expected"),
    [
        pytest.param(Rate(1, 1), FAR + 0.1, True, id="far-below"),
        pytest.param(Rate(1, 1), FAR, False, id="not-that-far"),
        pytest.param(Rate(1, 100), 300, False, id="may-be-better-than-it-looks"),
        pytest.param(UNKNOWN, 10**9, False, id="unknown"),
        pytest.param(Rate(1, 1), UNKNOWN.at_least, False, id="nobody-is-known"),
    ],
)
def test_far_slower_is_what_is_so_at_its_best(rate, best, expected):
    """By the bound that speaks for it."""
    assert expected == rate.is_far_below(best)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(UNKNOWN, True, id="unknown"),
        pytest.param(Rate(1, 100 * WORTH), False, id="not-worth-it"),
        pytest.param(Rate(1, 100 * WORTH + 1), True, id="worth-it"),
    ],
)
def test_who_may_be_much_faster_is_worth_asking(rate, expected):
    """And who is not known may be."""
    assert expected == rate.may_exceed(Rate(100, 100))


def test_nothing_is_known_as_made():
    """Any rate lies within its bounds."""
    assert (0, math.inf) == (UNKNOWN.at_least, UNKNOWN.at_most)


# -- measuring


class Measured:
    """A meter, and what has come so far."""

    def __init__(self):
        self.clock = Clock()
        self.total = 0
        self.meter = Meter(self.clock, lambda: self.total)

    def receive(self, count, seconds):
        self.clock.advance(seconds)
        self.total += count


def test_meter_counts_the_time_for_which_the_origin_was_waited_for():
    """And beside it the time of day."""
    one = Measured()
    one.meter.wait()
    one.receive(100, seconds=2)
    one.meter.rest()
    one.clock.advance(5)
    one.meter.wait()
    one.receive(10, seconds=1)

    assert Flow(110, 3, 8) == one.meter.take()


def test_meter_begins_anew_when_a_flow_is_taken():
    """What was waiting goes on waiting."""
    one = Measured()
    one.meter.wait()
    one.receive(100, seconds=2)
    one.meter.take()
    one.receive(10, seconds=1)

    assert Flow(10, 1, 1) == one.meter.take()


def test_meter_does_not_hold_our_own_limit_against_the_origin():
    """However much of it was for the stretch before."""
    one = Measured()
    one.meter.wait()
    one.receive(100, seconds=3)
    one.meter.excuse(2.5)
    first = one.meter.take()
    one.receive(100, seconds=1)
    one.meter.excuse(2)

    assert [Flow(100, 0.5, 3), Flow(100, 0, 1)] == [first, one.meter.take()]


def test_meter_that_is_told_again_to_wait_forgets_since_when_it_did():
    """Nobody listened to the origin meanwhile."""
    one = Measured()
    one.meter.wait()
    one.clock.advance(5)
    one.meter.wait()
    one.receive(100, seconds=1)

    assert Flow(100, 1, 6) == one.meter.take()
