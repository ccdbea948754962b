"""The limits of an importer, on a clock that a test turns."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from streamer.downloaders.limits import ByteRate, RequestRate, Slots
from streamer.errors import OriginCrowded


@pytest.fixture
def clock():
    return Clock()


class Askers:
    """Coroutines that were begun one after the other; `served` names them in the order of luck."""

    def __init__(self, ask):
        self._ask = ask
        self.results = []
        self.served = []
        self.asked = []

    def begin(self, count=1):
        for _ in range(count):
            number = len(self.asked)
            self.results.append(None)
            self.asked.append(Deferred.fromCoroutine(self._ask()))
            self.asked[-1].addCallbacks(self._serve, self._fail, [number], errbackArgs=[number])
        return self

    def _serve(self, result, number):
        self.served.append(number)
        self.results[number] = result

    def _fail(self, failure, number):
        self.results[number] = failure.value


# -- slots


def asking_for_slots(clock, limit=2, queue=100):
    return Askers(Slots(limit, queue, clock).take)


def test_slots_are_given_at_once_up_to_the_limit(clock):
    """The third waits."""
    asking = asking_for_slots(clock).begin(3)

    assert asking.served == [0, 1]


def test_slots_are_given_in_the_order_of_asking(clock):
    """Whoever waits longest is next."""
    asking = asking_for_slots(clock, limit=1).begin(4)

    for number in range(3):
        asking.results[number].release()
        clock.advance(0)

    assert asking.served == [0, 1, 2, 3]


class Turns(Clock):
    """A clock that runs in one turn only what was there at its beginning, as a reactor does."""

    def turn(self):
        due, self.calls = self.calls, []
        for call in due:
            call.func(*call.args, **call.kw)


def test_released_slot_is_handed_on_two_turns_later():
    """Its connection is back in the pool or closed only then."""
    clock = Turns()
    asking = asking_for_slots(clock, limit=1).begin(2)
    served = []

    asking.results[0].release()
    for _ in range(3):
        served.append(list(asking.served))
        clock.turn()

    assert served == [[0], [0], [0, 1]]


def test_released_slot_is_not_given_to_who_asks_in_the_same_turn(clock):
    """It would open another connection beside the one that goes back."""
    asking = asking_for_slots(clock, limit=1).begin()

    asking.results[0].release()
    asking.begin()
    at_once = list(asking.served)
    clock.advance(0)

    assert (at_once, asking.served) == ([0], [0, 1])


def test_slot_that_is_released_twice_counts_once(clock):
    """Two places that end a transfer need not know of each other."""
    asking = asking_for_slots(clock, limit=1).begin(3)

    asking.results[0].release()
    asking.results[0].release()
    clock.pump([0, 0, 0])

    assert asking.served == [0, 1]


def test_slot_that_nobody_waits_for_is_there_for_the_next(clock):
    """Rest does not wear out a limit, nor widen it."""
    asking = asking_for_slots(clock).begin(2)

    for slot in asking.results[:2]:
        slot.release()
    clock.advance(0)
    asking.begin(3)

    assert asking.served == [0, 1, 2, 3]


@pytest.mark.parametrize("queue", [0, 3])
def test_full_queue_turns_away_at_once(clock, queue):
    """The argument is the number of connections."""
    asking = asking_for_slots(clock, limit=2, queue=queue).begin(2 + queue)

    asking.begin()

    error = asking.results[-1]
    assert isinstance(error, OriginCrowded)
    assert error.args == (2,)


def test_cancelled_waiter_is_told_that_it_is_crowded(clock):
    """A deadline passed while it waited, and that is why."""
    asking = asking_for_slots(clock, limit=1).begin(2)

    asking.asked[1].cancel()

    assert isinstance(asking.results[1], OriginCrowded)


def test_cancelled_waiter_leaves_its_place(clock):
    """Neither its turn nor its share of the queue is lost."""
    asking = asking_for_slots(clock, limit=1, queue=2).begin(3)

    asking.asked[1].cancel()
    asking.begin()
    asking.results[0].release()
    clock.advance(0)

    assert asking.served == [0, 2]
    assert asking.results[3] is None


def test_slots_that_are_all_back_leave_no_timer(clock):
    """A turn of the clock after the last release there is nothing to do."""
    asking = asking_for_slots(clock, limit=1).begin(3)
    asking.asked[1].cancel()

    asking.results[0].release()
    clock.advance(0)
    asking.results[2].release()
    clock.advance(0)

    assert clock.getDelayedCalls() == []


def test_limit_holds_whatever_is_asked_and_released(clock):
    """A hundred askers over three slots, each released a turn after it was given."""
    asking = asking_for_slots(clock, limit=3, queue=100).begin(100)

    most, released = 0, 0
    while released < 100:
        held = asking.served[released:]
        most = max(most, len(held))
        asking.results[held[0]].release()
        released += 1
        clock.advance(0)

    assert (most, asking.served) == (3, list(range(100)))


# -- requests per second


def asking_for_turns(clock, per_second):
    return Askers(RequestRate(per_second, clock).turn)


def served_by_second(clock, asking, seconds, step=0.25):
    """How many were served at each step."""
    counts = [len(asking.served)]
    for _ in range(int(seconds / step)):
        clock.advance(step)
        counts.append(len(asking.served))
    return counts


def test_requests_of_one_second_go_at_once_and_then_by_the_rate(clock):
    """Four in a second: four at the beginning, then one each quarter."""
    asking = asking_for_turns(clock, 4).begin(8)

    assert served_by_second(clock, asking, 1.5) == [4, 5, 6, 7, 8, 8, 8]


def test_rate_below_one_lets_one_go_and_then_waits(clock):
    """One in two seconds."""
    asking = asking_for_turns(clock, 0.5).begin(3)

    assert served_by_second(clock, asking, 5, step=1) == [1, 1, 2, 2, 3, 3]


def test_rest_saves_one_second_and_no_more(clock):
    """An hour of silence is no reason to send an hour's requests."""
    asking = asking_for_turns(clock, 4).begin(4)

    clock.advance(3600)
    asking.begin(6)

    assert len(asking.served) == 8


def test_turns_are_in_the_order_of_asking(clock):
    """Whoever comes when there is a turn again stands behind those that wait."""
    asking = asking_for_turns(clock, 1).begin(3)

    clock.rightNow += 1.5  # the timer is late
    asking.begin()
    clock.pump([1] * 4)

    assert asking.served == [0, 1, 2, 3]


def test_cancelled_turn_goes_to_the_next(clock):
    """It is not spent."""
    asking = asking_for_turns(clock, 1).begin(3)

    asking.asked[1].cancel()
    clock.advance(1)

    assert asking.served == [0, 2]
    assert isinstance(asking.results[1], CancelledError)


def test_turns_that_nobody_waits_for_leave_no_timer(clock):
    """Served or cancelled."""
    asking = asking_for_turns(clock, 1).begin(3)

    asking.asked[2].cancel()
    waited_for = len(clock.getDelayedCalls())
    asking.asked[1].cancel()

    assert (waited_for, clock.getDelayedCalls()) == (1, [])


def test_who_asks_again_when_served_leaves_no_timer(clock):
    """The next request may be made while the last one is let go."""
    rate = RequestRate(2, clock)
    served = []

    async def ask_twice():
        for _ in range(2):
            await rate.turn()
            served.append(clock.seconds())

    for _ in range(3):
        Deferred.fromCoroutine(ask_twice())
    clock.pump([0.5] * 4)

    assert served == [0, 0, 0.5, 1.0, 1.5, 2.0]
    assert clock.getDelayedCalls() == []


def test_each_turn_takes_one_timer(clock):
    """Nothing ticks in between."""
    asking = asking_for_turns(clock, 3).begin(300)

    timers = 0
    while len(asking.served) < 300:
        (timer,) = clock.getDelayedCalls()
        clock.advance(timer.getTime() - clock.seconds())
        timers += 1

    assert timers == 297


# -- bytes per second


def test_bytes_are_owed_in_time(clock):
    """A thousand in a second, over all that take them."""
    rate = ByteRate(1000, clock)

    assert [rate.owed_seconds(500), rate.owed_seconds(500)] == [0.5, 1.0]


def test_time_pays(clock):
    """Whoever waited owes nothing, and then only what is new."""
    rate = ByteRate(1000, clock)
    rate.owed_seconds(1000)

    clock.advance(0.75)

    assert rate.owed_seconds(250) == 0.5


def test_rest_is_not_saved(clock):
    """After an hour the rate is still the rate."""
    rate = ByteRate(1000, clock)

    clock.advance(3600)

    assert rate.owed_seconds(1000) == 1.0


def test_little_is_owed_until_it_is_worth_a_pause(clock):
    """Ten bytes are ten milliseconds, and one of them is nothing yet."""
    rate = ByteRate(1000, clock)

    owed = [rate.owed_seconds(4) for _ in range(4)]

    assert owed == pytest.approx([0.0, 0.0, 0.012, 0.016])
