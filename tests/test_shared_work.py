"""One piece of work for all who want what comes of it, and its end when nobody does."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from streamer.downloaders.shared_work import SharedWork


class Trouble(Exception):
    """What the work of a test fails with."""


class Work:
    """Work that ends when the test says so."""

    def __init__(self):
        self.end = Deferred()
        self.was_cancelled = False
        self.landings = 0
        self.shared = SharedWork(self._landed)

    def _landed(self):
        self.landings += 1

    def start(self):
        self.shared.start(self._run())

    async def _run(self):
        try:
            return await self.end
        except CancelledError:
            self.was_cancelled = True
            raise


@pytest.fixture
def work():
    return Work()


def told(waiter):
    """What a waiter was told, an error included; None if nothing."""
    found = []
    waiter.addBoth(lambda result: found.append(getattr(result, "value", result)))
    return found[0] if found else None


def test_all_who_wait_are_told_the_result(work):
    """In the order in which they came, whether before it began or after."""
    order = []
    early = work.shared.join().addCallback(lambda result: order.append(("early", result)))
    work.start()
    late = work.shared.join().addCallback(lambda result: order.append(("late", result)))
    work.end.callback(7)

    assert (early.called, late.called) == (True, True)
    assert order == [("early", 7), ("late", 7)]
    assert work.landings == 1


def test_all_who_wait_are_told_the_failure(work):
    """Each as if it had done the work itself."""
    waiters = [work.shared.join() for _ in range(3)]
    work.start()
    work.end.errback(Trouble())

    assert [Trouble] * 3 == [type(told(each)) for each in waiters]
    assert work.landings == 1


def test_work_that_is_done_at_once_is_told(work):
    """Before its start returns."""
    waiter = work.shared.join()
    work.end.callback(7)
    work.start()

    assert told(waiter) == 7
    assert work.landings == 1


def test_one_who_leaves_is_told_so_and_nobody_else(work):
    """The work goes on."""
    leaving, staying = work.shared.join(), work.shared.join()
    work.start()
    leaving.cancel()
    work.end.callback(7)

    assert isinstance(told(leaving), CancelledError)
    assert told(staying) == 7
    assert not work.was_cancelled


def test_last_one_to_leave_ends_the_work(work):
    """Nobody wants it any more."""
    waiters = [work.shared.join() for _ in range(3)]
    work.start()
    for each in waiters[:2]:
        each.cancel()
    before = work.was_cancelled
    waiters[2].cancel()

    assert not before
    assert work.was_cancelled
    assert work.landings == 1
    assert [CancelledError] * 3 == [type(told(each)) for each in waiters]


def test_work_that_will_not_end_is_left_to_itself(work):
    """What it gives later nobody hears, and it is over for its owner at once."""

    async def stubborn():
        ended = Deferred()
        try:
            await work.end
        except CancelledError:
            await ended

    waiter = work.shared.join()
    work.shared.start(stubborn())
    waiter.cancel()

    assert isinstance(told(waiter), CancelledError)
    assert work.landings == 1


def test_one_who_is_told_may_make_another_one_leave(work):
    """Who has left is not told the result."""
    first, second, third = (work.shared.join() for _ in range(3))
    first.addCallback(lambda result: second.cancel() or result)
    work.start()
    work.end.callback(7)

    assert told(first) == 7
    assert isinstance(told(second), CancelledError)
    assert told(third) == 7


def test_last_one_may_leave_while_it_is_told(work):
    """There is nothing left to cancel."""
    first, second = work.shared.join(), work.shared.join()
    first.addCallback(lambda result: second.cancel() or result)
    work.start()
    work.end.callback(7)

    assert told(first) == 7
    assert isinstance(told(second), CancelledError)
    assert work.landings == 1
