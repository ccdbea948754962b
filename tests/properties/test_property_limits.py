"""The limits of an importer, whoever asks, leaves and gives back in whatever order."""

from __future__ import annotations

from hypothesis import strategies as st
from proof import holds_for
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from streamer.downloaders.limits import RequestRate, Slots
from streamer.errors import OriginCrowded

ASK, LEAVE, RELEASE, TURN = "ask", "leave", "release", "turn"
STEPS = st.lists(
    st.tuples(st.sampled_from([ASK, ASK, LEAVE, RELEASE, TURN]), st.integers(0, 50)), max_size=80
)
"""What happens, and to which of those that it can happen to."""


class Crowd:
    """Askers in the order in which they came; `served` has their numbers as their turn came."""

    def __init__(self, take):
        self._take = take
        self._count = 0
        self.waiting = {}
        self.taken = {}
        self.served = []
        self.refusals = []

    def ask(self):
        number, self._count = self._count, self._count + 1
        asked = self.waiting[number] = Deferred.fromCoroutine(self._take())
        asked.addCallbacks(self._serve, self._refuse, [number], errbackArgs=[number])

    def leave(self, choice):
        if self.waiting:
            list(self.waiting.values())[choice % len(self.waiting)].cancel()

    def release(self, choice):
        if self.taken:
            number = list(self.taken)[choice % len(self.taken)]
            slot = self.taken.pop(number)
            slot.release()
            slot.release()

    def _serve(self, result, number):
        del self.waiting[number]
        self.taken[number] = result
        self.served.append(number)

    def _refuse(self, failure, number):
        del self.waiting[number]
        self.refusals.append(failure.type)


@holds_for(examples=500, limit=st.integers(1, 4), queue=st.integers(0, 5), steps=STEPS)
def test_no_slot_is_lost_and_none_is_given_twice(limit, queue, steps):
    """Bounded at every step, in the order of asking; at the end they are all there again."""
    clock = Clock()
    crowd = Crowd(Slots(limit, queue, clock).take)
    acts = {
        ASK: lambda _: crowd.ask(),
        LEAVE: crowd.leave,
        RELEASE: crowd.release,
        TURN: lambda _: clock.advance(0),
    }

    for step, choice in steps:
        acts[step](choice)
        assert len(crowd.taken) <= limit
        assert len(crowd.waiting) <= queue
        assert not crowd.waiting or clock.getDelayedCalls() or len(crowd.taken) == limit
    while crowd.taken or clock.getDelayedCalls():
        crowd.release(0)
        clock.advance(0)
    for _ in range(limit):
        crowd.ask()

    assert (len(crowd.taken), crowd.waiting, clock.getDelayedCalls()) == (limit, {}, [])
    assert crowd.served == sorted(crowd.served)
    assert set(crowd.refusals) <= {OriginCrowded}


@holds_for(
    examples=300,
    per_second=st.sampled_from([0.25, 0.5, 1, 2, 8]),
    steps=st.lists(
        st.tuples(st.sampled_from([ASK, ASK, LEAVE, TURN]), st.integers(0, 20)), max_size=60
    ),
)
def test_requests_go_by_the_rate_whoever_leaves(per_second, steps):
    """In any stretch of time no more than its share and one second's; nobody is passed over."""
    clock = Clock()
    rate = RequestRate(per_second, clock)
    at = []

    async def turn():
        await rate.turn()
        at.append(clock.seconds())

    crowd = Crowd(turn)
    acts = {
        ASK: lambda _: crowd.ask(),
        LEAVE: crowd.leave,
        TURN: lambda eighths: clock.pump([0.125] * eighths),
    }

    for step, choice in steps:
        acts[step](choice)
        assert bool(crowd.waiting) == bool(clock.getDelayedCalls())

    burst = max(1, per_second)
    for first, begin in enumerate(at):
        for last, end in enumerate(at[first:]):
            assert last + 1 <= burst + (end - begin) * per_second
    assert crowd.served == sorted(crowd.served)
