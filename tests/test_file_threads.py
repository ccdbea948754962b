"""Threads for calls that may hang: how many there are, what they do, and when they end."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from disks import until
from pytest_twisted import ensureDeferred

from streamer.downloaders.threads import NoThread, Threads

NAME = "a thread of a test"
LIMIT = 3


def count():
    return sum(thread.name == NAME for thread in threading.enumerate())


@pytest.fixture
def threads(reactor):
    threads = Threads(LIMIT, NAME, reactor)
    yield threads
    threads.close()


@ensureDeferred
async def test_result_comes_in_the_thread_of_the_reactor(threads):
    """The work is done in another one."""
    there = await threads.run(threading.get_ident)

    assert threading.get_ident() != there


@ensureDeferred
async def test_error_of_the_work_is_the_answers(threads):
    """Its thread goes on."""
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)

    assert 2 == await threads.run(lambda: 2)


@ensureDeferred
async def test_work_after_work_is_done_by_few_threads(reactor):
    """One that has just given its answer may not be idle yet, so there are some."""
    threads = Threads(100, NAME, reactor)
    for _ in range(100):
        await threads.run(threading.get_ident)
    at_work = count()
    threads.close()

    assert 1 <= at_work < 50


@ensureDeferred
async def test_work_beside_work_is_done_by_as_many_threads_as_are_allowed(reactor, threads):
    """What is more waits for its turn."""
    gate, begun = threading.Event(), []

    def work(number):
        begun.append(number)
        gate.wait()
        return number

    answers = [threads.run(partial(work, number)) for number in range(LIMIT + 4)]
    await until(reactor, lambda: len(begun) == LIMIT)
    at_work = count()
    gate.set()

    assert [*range(LIMIT + 4)] == [await answer for answer in answers]
    assert LIMIT == at_work
    assert {*range(LIMIT)} == {*begun[:LIMIT]}


@ensureDeferred
async def test_work_that_waits_is_done_first_come_first_served(reactor):
    """No download starves another."""
    threads, begun = Threads(1, NAME, reactor), []
    answers = [threads.run(partial(begun.append, number)) for number in range(20)]
    for answer in answers:
        await answer
    threads.close()

    assert [*range(20)] == begun


@ensureDeferred
async def test_idle_thread_ends_by_itself(reactor):
    """An importer that nobody uses costs none, and the next work starts another."""
    threads = Threads(LIMIT, NAME, reactor, idle_seconds=0.01)
    await threads.run(lambda: None)
    await until(reactor, lambda: not count())

    assert 1 == await threads.run(lambda: 1)
    await until(reactor, lambda: not count())


@ensureDeferred
async def test_threads_end_when_they_are_closed_and_have_no_work(reactor, threads):
    """What waits is done first, and what comes later too."""
    gate = threading.Event()
    answers = [threads.run(partial(gate.wait, 30)) for _ in range(LIMIT + 2)]
    threads.close()
    gate.set()
    done = [await answer for answer in answers]
    late = await threads.run(lambda: "late")
    await until(reactor, lambda: not count())

    assert ([True] * (LIMIT + 2), "late") == (done, late)


@ensureDeferred
async def test_work_that_no_thread_can_be_started_for_is_refused(threads, monkeypatch):
    """Nobody would ever come to it."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(NoThread):
        await threads.run(lambda: None)
    monkeypatch.undo()

    assert 1 == await threads.run(lambda: 1)


@ensureDeferred
async def test_work_waits_for_the_thread_that_there_is_where_no_other_can_be(
    reactor, threads, monkeypatch
):
    """That one will come to it."""
    gate = threading.Event()
    first = threads.run(partial(gate.wait, 30))
    await until(reactor, lambda: count() == 1)

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    second = threads.run(lambda: 2)
    gate.set()

    assert (True, 2) == (await first, await second)
