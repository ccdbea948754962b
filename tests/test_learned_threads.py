"""What was learned, as an exchange asks for it: known at once, in a moment, or not at all."""

from __future__ import annotations

import re
import socket

import pytest
from disks import until
from piece_stores import (
    MIB,
    HeldStore,
    ThreadedClock,
    artifact,
    database,
    digest,
    file,
    in_file,
    on_server,
    place,
    server,
    size_of,
    table,
    tables,
)
from prometheus_client import CollectorRegistry
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent, globalLogPublisher

from streamer.learned import NothingLearned, PieceStore, ThreadedLearned
from streamer.learned.failures import StoreUnavailable, StoreUnfit
from streamer.learned.lookups import ANSWER_SECONDS, HANG_SECONDS, MOST_WAITING, THREADS
from streamer.learned.store import Stored
from streamer.learned.threaded import MEMORY_BYTES
from streamer.learned.trouble import PAUSE_SECONDS, QUIET_SECONDS
from streamer.learned.writing import DAY_SECONDS, GATHERING_SECONDS, MOST_BYTES, STOP_SECONDS
from streamer.metrics import Metrics
from streamer.model import Artifact, Digest
from streamer.pieces.table import LEAF_BYTES

__all__ = ["database", "file", "in_file", "on_server", "place", "server"]  # fixtures

TODAY = 20_000


class Service:
    """What was learned in one process, over a store, with a clock and metrics of its own."""

    def __init__(self, reactor, store, today=TODAY):
        self.reactor = reactor
        self.clock = ThreadedClock(reactor)
        self.metrics = Metrics(CollectorRegistry())
        self.day = today
        self.learned = ThreadedLearned(
            store, self.metrics, self.clock, now=lambda: self.day * DAY_SECONDS + 5.0
        )
        self.learned.start()

    def metric(self, name, **labels):
        """The value of a sample, or 0."""
        text = "".join(f'{key}="{value}"' for key, value in labels.items())
        line = rf"^pulp_streamer_pieces_{name}({{{text}}})? (\S+)$"
        found = re.search(line, self.metrics.exposition().decode(), re.MULTILINE)
        return float(found[2]) if found else 0

    def looked_up(self, outcome):
        return self.metric("lookups_total", outcome=outcome)

    async def table(self, name, size=MIB):
        return await self.learned.table(artifact(name, size))

    def learn(self, *names, size=MIB):
        for name in names:
            self.learned.learn(artifact(name, size), table(name, size))

    async def written(self, count):
        """Wait until so many tables went into the store, moving the clock on."""

        def is_written():
            self.clock.advance(GATHERING_SECONDS / 10)
            return self.metric("tables_total", event="written") >= count

        await until(self.reactor, is_written)

    async def started(self):
        """Wait until there is a store."""
        await until(self.reactor, lambda: b'event="written"' in self.metrics.exposition())

    async def stop(self):
        await self.learned.stop()


@pytest.fixture
def said():
    """The lines of the log about the store."""
    lines = []

    def observe(event):
        if str(event.get("log_namespace")).startswith("streamer.learned"):
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


@pytest.fixture
def held():
    store = HeldStore()
    yield store
    store.open()


async def answered(service, name):
    """Ask until the store, which was late, has answered what it was asked before."""
    for _ in range(200):
        if (found := await service.table(name)) is not None:
            return found
        await turn(service.reactor)
    return None


async def turn(reactor):
    await deferLater(reactor, 0.05)


# -- known at once, and later ----------------------------------------------------------------------


@ensureDeferred
async def test_what_was_just_learned_is_known_before_it_is_written(reactor, held):
    """The next exchange may be a moment later."""
    service = Service(reactor, held)
    service.learn("a")
    found = await service.table("a")
    held.open()
    await service.stop()

    assert table("a") == found
    assert [] == held.reads
    assert 1 == service.looked_up("memory")


@ensureDeferred
async def test_what_was_learned_is_written_after_a_moment(reactor, place):
    """In one batch with what else was learned."""
    store = PieceStore(place.url, 100 * MIB)
    service = Service(reactor, store)
    service.learn("a", "b")
    await service.written(2)
    found = [store.read(digest(name), MIB) for name in ("a", "b")]
    await service.stop()

    assert [Stored(table("a"), TODAY), Stored(table("b"), TODAY)] == found
    assert service.metric("stored_bytes") == place.counted()[0]


@ensureDeferred
async def test_what_waits_is_written_at_the_stop_and_known_after_a_start(reactor, place):
    """Asked for once; from then on it is in memory."""
    first = Service(reactor, PieceStore(place.url, 100 * MIB))
    first.learn("a")
    await first.stop()
    second = Service(reactor, PieceStore(place.url, 100 * MIB))
    found = [await second.table("a") for _ in range(3)]
    await second.stop()

    assert [table("a")] * 3 == found
    assert 1 == second.looked_up("hit")
    assert 2 == second.looked_up("memory")


@ensureDeferred
async def test_what_nobody_learned_is_not_known(reactor, place, said):
    """And that is no failure, also while the store is being made."""
    service = Service(reactor, PieceStore(place.url, 100 * MIB))
    found = [await service.table("a")]
    await service.started()
    found.append(await service.table("a"))
    await service.stop()

    assert [None, None] == found
    assert 2 == service.looked_up("miss")
    assert [] == said


@ensureDeferred
async def test_what_another_process_learned_is_known(reactor, place):
    """As soon as it is written."""
    one = Service(reactor, PieceStore(place.url, 100 * MIB))
    other = Service(reactor, PieceStore(place.url, 100 * MIB))
    before = await other.table("a")
    one.learn("a")
    await one.written(1)
    after = await other.table("a")
    await one.stop()
    await other.stop()

    assert before is None
    assert table("a") == after


@ensureDeferred
async def test_table_that_is_too_large_for_memory_is_read_each_time(reactor, in_file):
    """It would leave no room for others."""
    size = size_of(MEMORY_BYTES)
    service = Service(reactor, PieceStore(in_file.url, 100 * MIB))
    service.learn("large", size=size)
    at_once = await service.table("large", size)
    await service.written(1)
    found = [await service.table("large", size) for _ in range(2)]
    await service.stop()

    assert [table("large", size)] * 3 == [at_once, *found]
    assert 2 == service.looked_up("hit")


@ensureDeferred
async def test_memory_keeps_what_was_asked_for_last(reactor, held):
    """Within its bound."""
    size = size_of(MEMORY_BYTES // 4)
    service = Service(reactor, held)
    held.open()
    for name in range(5):
        service.learn(name, size=size)
        await service.written(name + 1)
        await service.table(0, size)
    for name in range(5):
        await service.table(name, size)
    await service.stop()

    assert digest(0) not in held.reads
    assert digest(1) in held.reads


@ensureDeferred
async def test_table_of_content_that_proves_nothing_is_not_kept(reactor, held):
    """Its digest is weak, or its size another, or unknown."""
    service = Service(reactor, held)
    weak = Artifact((Digest("md5", "0" * 32),), MIB, "text/plain")
    unsized = Artifact(artifact("a").digests, None, "text/plain")
    for each in (weak, unsized, artifact("a", MIB + LEAF_BYTES)):
        service.learned.learn(each, table("a"))
    held.open()
    found = [await service.learned.table(each) for each in (unsized, artifact("a"))]
    await service.stop()

    assert [None, None] == found
    assert [{}] == held.batches


@ensureDeferred
async def test_same_table_learned_again_is_written_once(reactor, held):
    """Many clients may ask for new content at once."""
    service = Service(reactor, held)
    held.open()
    await service.started()
    for _ in range(3):
        service.learn("a")
        await service.written(1)
    await service.stop()

    assert [{}, tables("a")] == held.batches


# -- what proved wrong, and what is used -----------------------------------------------------------


@ensureDeferred
async def test_what_is_learned_while_it_is_looked_up_is_kept(reactor, held):
    """Whatever the store says: what is there may be damaged."""
    service = Service(reactor, held)
    held.found = Stored(None, TODAY)
    looking = Deferred.fromCoroutine(service.table("a"))
    service.learn("a")
    held.open()
    found = await looking
    await service.stop()

    assert table("a") == found
    assert tables("a") == held.batches[-1]


@ensureDeferred
async def test_row_that_is_not_as_it_was_written_is_not_used_and_deleted(reactor, place):
    """It is learned anew."""
    store = PieceStore(place.url, 100 * MIB)
    store.write(tables("a"), TODAY)
    place.spoil("a")
    service = Service(reactor, store)
    found = await service.table("a")
    await service.stop()

    assert found is None
    assert 1 == service.looked_up("damaged")
    assert (0, 0) == place.counted()


@ensureDeferred
async def test_use_is_told_once_a_day(reactor, place):
    """By whoever has it in memory, too."""
    store = PieceStore(place.url, 100 * MIB)
    store.write(tables("a"), TODAY - 9)
    service = Service(reactor, store)
    days = []
    for _ in range(2):
        for _ in range(3):
            await service.table("a")
        service.learn(service.day)
        await service.written(service.day - TODAY + 1)
        days.append(place.day_of("a"))
        service.day += 1
    await service.stop()

    assert [TODAY, TODAY + 1] == days


# -- stores that do not help -----------------------------------------------------------------------


@ensureDeferred
async def test_look_up_that_takes_too_long_is_given_up(reactor, held, said):
    """Others are not begun until it is over; then it works again."""
    service = Service(reactor, held)
    looking = Deferred.fromCoroutine(service.table("a"))
    await until(reactor, lambda: held.reads)
    service.clock.advance(ANSWER_SECONDS)
    late = await looking
    skipped = await service.table("b")
    held.found = Stored(table("a"), TODAY)
    held.open()
    found = await answered(service, "a")
    await service.stop()

    assert [None, None, table("a")] == [late, skipped, found]
    assert 1 == service.looked_up("late")
    assert [] == said


@ensureDeferred
async def test_store_that_hangs_is_told_of(reactor, held, said):
    """To be late for a moment is no news, and this is."""
    service = Service(reactor, held)
    looking = Deferred.fromCoroutine(service.table("a"))
    await until(reactor, lambda: held.reads)
    service.clock.advance(ANSWER_SECONDS)
    await looking
    service.clock.advance(HANG_SECONDS)
    skipped = await service.table("b")
    unusable = service.metric("usable")
    held.found = Stored(table("a"), TODAY)
    held.open()
    await until(reactor, lambda: service.metric("usable"))
    found = await service.table("a")
    await service.stop()

    assert [None, table("a")] == [skipped, found]
    assert 0 == unusable
    assert [
        "the store of pieces, a held store, does not help: it does not answer in time; what it"
        " knows is learned anew meanwhile",
        "the store of pieces, a held store, works again",
    ] == said


@ensureDeferred
async def test_look_ups_that_are_too_many_are_not_begun(reactor, held):
    """They would all be late."""
    service = Service(reactor, held)
    waiting = [Deferred.fromCoroutine(service.table(name)) for name in range(MOST_WAITING)]
    more = await service.table("more")
    held.open()
    found = [await each for each in waiting]
    await service.stop()

    assert more is None
    assert 1 == service.looked_up("skipped")
    assert [None] * MOST_WAITING == found


@ensureDeferred
async def test_look_up_that_is_cancelled_is_never_begun(reactor, held):
    """Its client has gone while it waited for a thread."""
    service = Service(reactor, held)
    first = [Deferred.fromCoroutine(service.table(name)) for name in range(THREADS)]
    await until(reactor, lambda: len(held.reads) == THREADS)
    gone = Deferred.fromCoroutine(service.table("gone"))
    gone.cancel()
    with pytest.raises(CancelledError):
        await gone
    held.open()
    for each in first:
        await each
    await service.table("next")
    await service.stop()

    assert digest("gone") not in held.reads
    assert digest("next") in held.reads


@ensureDeferred
async def test_store_that_fails_is_left_alone_for_a_while(reactor, held, said):
    """It is said once, and once more when it works."""
    service = Service(reactor, held)
    held.failure = StoreUnavailable("no such folder")
    held.open()
    before = [await service.table("a") for _ in range(5)]
    asked = len(held.reads)
    await until(reactor, lambda: held.batches)
    held.failure = None
    service.clock.advance(PAUSE_SECONDS)
    await service.table("a")
    await until(reactor, lambda: service.metric("usable"))
    await service.stop()

    assert [None] * 5 == before
    assert 1 == asked
    assert [1, 4, 1] == [service.looked_up(each) for each in ("error", "skipped", "miss")]
    assert [
        "the store of pieces, a held store, does not help: no such folder; what it knows is"
        " learned anew meanwhile",
        "the store of pieces, a held store, works again",
    ] == said


@ensureDeferred
async def test_store_that_fails_now_and_then_does_not_fill_the_log(reactor, held, said):
    """Until it has been quiet for a while."""
    service = Service(reactor, held)
    held.open()
    await service.started()
    for _ in range(5):
        held.failure = StoreUnavailable("busy")
        await service.table("a")
        held.failure = None
        service.clock.advance(PAUSE_SECONDS)
        await service.table("a")
    few = list(said)
    service.clock.advance(QUIET_SECONDS)
    held.failure = StoreUnavailable("busy")
    await service.table("a")
    await service.stop()

    assert 2 == len(few)
    assert 3 == len(said)


@ensureDeferred
async def test_file_that_is_put_aside_is_told_of_in_the_midst_of_other_trouble(reactor, held, said):
    """Once: an operator finds it in the folder, and the log has to say how it came there."""
    service = Service(reactor, held)
    held.open()
    await service.started()
    for failure in (StoreUnavailable("disk I/O error"), *[StoreUnfit("it is put aside as x")] * 2):
        held.failure = failure
        await service.table("a")
        service.clock.advance(PAUSE_SECONDS)
    await service.stop()

    assert ["disk I/O error", "put aside as x"] == [
        re.search("disk I/O error|put aside as x", each)[0] for each in said
    ]


@ensureDeferred
async def test_what_could_not_be_written_is_written_later(reactor, held):
    """With what came meanwhile, and known all the time."""
    service = Service(reactor, held)
    held.open()
    await service.started()
    held.failure = StoreUnavailable("busy")
    service.learn("a")
    service.clock.advance(GATHERING_SECONDS)
    await until(reactor, lambda: not service.metric("usable"))
    service.learn("b")
    held.failure = None
    service.clock.advance(PAUSE_SECONDS)
    await service.written(2)
    await service.stop()

    assert tables("a", "b") == held.batches[-1]


@ensureDeferred
async def test_what_cannot_wait_is_dropped_and_counted(reactor, held):
    """The store hangs, and memory is bounded."""
    size = size_of(MOST_BYTES // 4)
    service = Service(reactor, held)
    service.learn(*range(5), size=size)
    held.open()
    await service.written(3)
    await service.stop()

    assert 2 == service.metric("tables_total", event="dropped")
    assert 3 == len(held.batches[-1])


@ensureDeferred
async def test_failure_that_nobody_foresaw_stays_in_the_store(reactor, held, logged_failures):
    """It goes whole into the log, and no exchange fails for it."""
    service = Service(reactor, held)
    held.failure = ZeroDivisionError("a defect")
    held.open()
    found = await service.table("a")
    await until(reactor, lambda: held.batches)
    await turn(reactor)
    held.failure = None
    await service.stop()

    assert found is None
    assert 2 == len(logged_failures.flush(ZeroDivisionError))


@ensureDeferred
async def test_stop_does_not_wait_for_a_store_that_hangs(reactor, held, said):
    """Its thread ends by itself, and nothing more is taken in."""
    service = Service(reactor, held)
    service.learn("a")
    stopping = Deferred.fromCoroutine(service.stop())
    await turn(reactor)
    service.clock.advance(STOP_SECONDS)
    await stopping
    service.learn("b")
    found = await service.table("c")

    assert found is None
    assert not held.is_closed
    assert ["what was learned last is not written: the store does not answer in time"] == said
    assert [] == service.clock.getDelayedCalls()


@ensureDeferred
async def test_stop_closes_a_store_that_does_not_hang(reactor, held):
    """After what waits was written."""
    service = Service(reactor, held)
    held.open()
    service.learn("a")
    await service.stop()

    assert [{}, tables("a")] == held.batches
    assert held.is_closed
    assert [] == service.clock.getDelayedCalls()


@ensureDeferred
async def test_server_that_hangs_holds_nobody(reactor):
    """It accepts connections and says nothing; time is real here."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        port = hung.getsockname()[1]
        store = PieceStore(f"postgresql://tester@127.0.0.1:{port}/d", MIB)
        metrics = Metrics(CollectorRegistry())
        learned = ThreadedLearned(store, metrics, reactor)
        learned.start()
        learned.learn(artifact("a"), table("a"))
        found = [await learned.table(artifact(name)) for name in ("a", "b", "c")]
        await learned.stop()

    assert [table("a"), None, None] == found
    text = metrics.exposition().decode()
    assert 'pulp_streamer_pieces_lookups_total{outcome="late"} 1.0' in text
    assert 'pulp_streamer_pieces_lookups_total{outcome="skipped"} 1.0' in text


@ensureDeferred
async def test_server_that_comes_back_gets_what_was_learned_meanwhile(
    reactor, server, on_server, said
):
    """It was away when the service started."""
    server.stop()
    try:
        service = Service(reactor, PieceStore(on_server.url, 100 * MIB))
        service.learn("a")
        before = await service.table("b")
        await until(reactor, lambda: not service.metric("usable"))
    finally:
        server.start()
    service.clock.advance(PAUSE_SECONDS)
    await service.written(1)
    await service.table("b")
    await service.stop()

    assert before is None
    assert on_server.counted() == (service.metric("stored_bytes"),) * 2
    assert 2 == len(said)
    assert said[1].endswith("works again")


@ensureDeferred
async def test_file_that_is_removed_is_made_anew(reactor, in_file, file):
    """What is learned afterwards is known after a start."""
    service = Service(reactor, PieceStore(in_file.url, 100 * MIB))
    service.learn("a")
    await service.written(1)
    file.unlink()
    service.learn("b")
    await service.written(2)
    await service.stop()
    later = Service(reactor, PieceStore(in_file.url, 100 * MIB))
    found = [await later.table(name) for name in ("a", "b")]
    await later.stop()

    assert [None, table("b")] == found


@ensureDeferred
async def test_damaged_file_is_begun_anew(reactor, in_file, file, said):
    """What is learned meanwhile goes into the next one."""
    file.write_bytes(b"damaged" * 1000)
    service = Service(reactor, PieceStore(in_file.url, 100 * MIB))
    service.learn("a")
    await until(reactor, lambda: not service.metric("usable"))
    service.clock.advance(PAUSE_SECONDS)
    await service.written(1)
    await service.stop()

    assert "put aside as" in said[0]
    assert said[1].endswith("works again")
    assert in_file.counted()[0] > 0


# -- without a store -------------------------------------------------------------------------------


@ensureDeferred
async def test_without_a_store_nothing_is_known():
    """Whatever was learned."""
    learned = NothingLearned()
    learned.start()
    learned.learn(artifact("a"), table("a"))
    found = await learned.table(artifact("a"))
    await learned.stop()

    assert found is None
