"""Who is to blame where work on a slot runs out of time, on a clock that the test turns."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from streamer.downloaders.limits import Slots
from streamer.downloaders.queueing import Queueing, on_a_slot
from streamer.errors import OriginCrowded, OriginUnreachable


class Importer:
    """One slot, and work that waits until the test ends it."""

    def __init__(self):
        self.clock = Clock()
        self.slots = Slots(1, 10, self.clock)
        self.working = []

    def begin(self, working=None):
        async def work():
            waiting = Deferred() if working is None else working
            self.working.append(waiting)
            return await waiting

        return Deferred.fromCoroutine(on_a_slot(self.slots, Queueing(self.clock), work))

    def settle(self):
        """Let a slot that was released be handed on."""
        self.clock.pump([0, 0])


def outcome(opening):
    found = []
    opening.addErrback(lambda failure: failure.type).addCallback(found.append)
    return found


def test_slot_is_given_to_whoever_waits_for_the_work():
    """With what came of it; the next one gets it when it is released."""
    importer = Importer()
    first, second = outcome(importer.begin()), outcome(importer.begin())
    importer.working[0].callback("content")

    result, slot = first[0]
    before = len(importer.working)
    slot.release()
    importer.settle()

    assert ("content", 1, 2, []) == (result, before, len(importer.working), second)


def test_slot_of_work_that_fails_is_free_again():
    """The error is told as it is."""
    importer = Importer()
    first = outcome(importer.begin())
    importer.begin()

    importer.working[0].errback(OriginUnreachable("it refuses"))
    importer.settle()

    assert ([OriginUnreachable], 2) == (first, len(importer.working))


@pytest.mark.parametrize(
    ("queued", "worked", "error"),
    [(8, 4, OriginCrowded), (4, 8, CancelledError), (0, 1, CancelledError)],
)
def test_work_that_is_cancelled_tells_where_the_time_went(queued, worked, error):
    """Who was cancelled after mostly waiting here has learned nothing of the origin."""
    importer = Importer()
    first = importer.begin()
    second = importer.begin()
    found = outcome(first), outcome(second)
    importer.clock.advance(queued)
    first.cancel()
    importer.settle()
    importer.clock.advance(worked)

    second.cancel()

    assert ([CancelledError], [error]) == found


def test_cancelled_is_cancelled_whatever_the_work_makes_of_it():
    """The look-up of a name makes an unknown name of it."""
    importer = Importer()
    looking = Deferred(lambda each: each.errback(OriginUnreachable("its name is not known")))
    opening = importer.begin(looking)
    importer.clock.advance(1)
    found = outcome(opening)

    opening.cancel()

    assert [CancelledError] == found
