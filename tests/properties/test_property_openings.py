"""Attempts that overlap, at importers of any manners: one serves, of the others nothing is left.

The supply, the plan, the health and the timers are real. What they ask are importers that answer,
refuse or say nothing after times that often coincide, and that make of being cancelled what they
like. Whatever they do, each asking of an origin has one end, and each download is stopped.
"""

from __future__ import annotations

from dataclasses import dataclass

from exchanges import FIRST_BYTE_SECONDS, LARGE, Service, published, source
from hypothesis import strategies as st
from proof import holds_for, nothing_logged
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from streamer.downloaders.limits import Slots
from streamer.errors import (
    DigestMismatch,
    NoOriginServed,
    OriginBusy,
    OriginError,
    OriginLacksIt,
    OriginNonsense,
    OriginUnreachable,
)
from streamer.health import Health
from streamer.plan import MAX_ATTEMPTS, MAX_UNDER_WAY
from streamer.settings import OriginSettings
from streamer.supplies import Supplies
from streamer.supply import Supply
from streamer.testing import MemoryDownload
from streamer.transfers import Notes

BROKE_OFF_AT = 100_000
LONGER_THAN_ANYTHING = 1000


@dataclass(frozen=True)
class Manner:
    """How an importer answers one `open`, and what it does if that is cancelled before.

    `when_cancelled` is "end", "raise" something of its own, "answer" in that moment, or "go on" as
    if nothing had been said. With a slot it waits first for one of those that all share.
    """

    after: float | None
    error: OriginError | None = None
    when_cancelled: str = "end"
    takes_slot: bool = False


class SlottedDownload(MemoryDownload):
    """A download that gives its slot back when it is stopped."""

    def __init__(self, slot, **keywords):
        super().__init__(**keywords)
        self._slot = slot

    def stop(self):
        super().stop()
        if self._slot is not None:
            self._slot.release()


class Origins:
    """Importers of one origin each, and a record of what they were asked and have answered."""

    def __init__(self, manners, slot_count):
        self.manners = [list(each) for each in manners]
        self.slot_count = slot_count
        self.asked = 0
        self.under_way = []
        self.most_under_way = 0
        self.answered_in_time = []
        self.downloads = []
        self.is_at_work = 0

    def attach(self, clock):
        self.clock = clock
        self.slots = Slots(self.slot_count, 1000, clock)

    def importer(self, config):
        return OneOrigin(self, int(config.name))

    async def open(self, place, span):
        assert place not in self.under_way, "somebody is asked beside itself"
        script = self.manners[place]
        manner = script.pop(0) if len(script) > 1 else script[0]
        self.asked += 1
        self.is_at_work += 1
        self.under_way.append(place)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        attempt = Asking(self, place, manner, span)
        try:
            return await attempt.run()
        finally:
            attempt.leave()
            self.is_at_work -= 1

    @property
    def has_all_slots(self):
        taking = [Deferred.fromCoroutine(self.slots.take()) for _ in range(self.slot_count)]
        return all(each.called for each in taking)


class Asking:
    """One `open` that is under way until it ends or hears that it is cancelled."""

    def __init__(self, origins, place, manner, span):
        self.origins = origins
        self.place = place
        self.manner = manner
        self.span = span
        self.is_wanted = True

    def leave(self):
        if self.is_wanted:
            self.is_wanted = False
            self.origins.under_way.remove(self.place)

    async def run(self):
        slot = None
        try:
            if self.manner.takes_slot:
                slot = await self._unless_cancelled(self.origins.slots.take())
            if self.manner.error is None and self.manner.after == 0:
                return self._answer(slot)
            await self._unless_cancelled(self._working())
            if self.manner.error is not None:
                raise self.manner.error
            return self._answer(slot)
        except BaseException:
            if slot is not None:
                slot.release()
            raise

    async def _working(self):
        if self.manner.after is None:
            await Deferred()
        await deferLater(self.origins.clock, self.manner.after)

    async def _unless_cancelled(self, work):
        """Await `work`; if that is cancelled do as the manner says, and go on for a while."""
        try:
            return await work
        except (CancelledError, OriginError):
            self.leave()
            if self.manner.when_cancelled == "end" or self.manner.takes_slot:
                raise
            if self.manner.when_cancelled == "raise":
                raise ValueError("cancelled") from None
            if self.manner.when_cancelled == "go on":
                await deferLater(self.origins.clock, 7)
            return None

    def _answer(self, slot):
        size, span = len(LARGE), self.span
        length, part_of = (size, None) if span is None else (span.length, size)
        download = SlottedDownload(slot, length=length, part_of=part_of)
        self.origins.downloads.append(download)
        if self.is_wanted:
            self.origins.answered_in_time.append(download)
        return download


class OneOrigin:
    """An importer of `Origins`; its downloader is itself."""

    def __init__(self, origins, place):
        self._origins = origins
        self._place = place
        self.origin = str(place)
        self.retries = place % 3

    def downloader(self, source):
        return self

    async def open(self, span=None):
        return await self._origins.open(self._place, span)


class Witness(Health):
    """Health that remembers what it was told of each inquiry."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.told = {}
        self._is_inside = False

    def ask(self, key, content):
        inquiry = super().ask(key, content)
        self.told[inquiry] = []
        return inquiry

    def answered(self, inquiry):
        self.told[inquiry].append("answered")
        super().answered(inquiry)

    def served(self, inquiry):
        self.told[inquiry].append("served")
        super().served(inquiry)

    def failed(self, inquiry, error):
        self.told[inquiry].append("failed")
        self._is_inside = True
        super().failed(inquiry, error)
        self._is_inside = False

    def let_go(self, inquiry):
        if not self._is_inside:
            self.told[inquiry].append("let go")
        super().let_go(inquiry)

    @property
    def broken_rules(self):
        """The inquiries that do not have exactly one end, and at most one more after an answer."""
        return [told for told in self.told.values() if not _is_orderly(told)]


def _is_orderly(told):
    first, *later = told or ["nothing"]
    if first == "answered":
        return later in ([], ["served"], ["failed"])
    return first in ("failed", "let go") and not later


class Exchange:
    """One client of these origins; what was opened comes to what `fates` say, one after the other.

    "served", "lost" as it proves to be wrong, or "broke off", to be gone on with elsewhere.
    """

    def __init__(self, origins, fates):
        service = Service()
        self.clock = service.clock
        self.origins = origins
        origins.attach(self.clock)
        self.health = Witness(OriginSettings(breaker_failures=3), self.clock.seconds, lambda: 0.0)
        self.supplies = Supplies(
            service.catalog,
            origins,
            self.health,
            service.metrics,
            service.supplies.settings,
            self.clock,
            jitter=lambda: 0.0,
        )
        self.fates = list(fates)
        self.taken = []
        self.results = []

    def run(self, leaves_after):
        client = Deferred.fromCoroutine(self._serve())
        client.addBoth(self.results.append)
        if leaves_after is not None:
            self.clock.callLater(leaves_after, client.cancel)
        for _ in range(LONGER_THAN_ANYTHING):
            if self.results:
                break
            self.clock.advance(0.5)
        return self

    async def _serve(self):
        names = [source("f", importer=str(place)) for place in range(len(self.origins.manners))]
        supply = await Supply.of(self.supplies, published(LARGE, *names), Notes())
        while (opened := await self._in_time(supply.opened())) is not None:
            download = self._taken(opened.download)
            fate = self.fates.pop(0) if self.fates else "served"
            if fate == "broke off":
                await self._go_on(supply)
                return
            download.stop()
            if fate == "served":
                supply.served()
                return
            supply.lost(DigestMismatch("a", "b"))
        raise supply.verdict()

    async def _go_on(self, supply):
        """Go on in mid-stream, at first from far behind the beginning."""
        self.taken[-1].stop()
        failure = OriginNonsense("it broke off")
        download = self._taken(await self._in_time(supply.resume(BROKE_OFF_AT, failure)))
        download.stop()
        supply.served()

    async def _in_time(self, opening):
        began_at = self.clock.seconds()
        try:
            return await opening
        finally:
            assert self.clock.seconds() <= began_at + FIRST_BYTE_SECONDS + 1

    def _taken(self, download):
        """Note who was taken, and that by then nobody else is asked."""
        if not isinstance(download, SlottedDownload):
            return download
        assert self.origins.under_way == []
        self.taken.append(download)
        assert self.origins.answered_in_time == self.taken
        return download

    def check_nothing_is_left(self):
        """Once importers that did not hear, or did not want to, have come to their ends too."""
        self.clock.advance(LONGER_THAN_ANYTHING)
        assert self.origins.is_at_work == 0
        assert self.origins.under_way == []
        assert [each for each in self.origins.downloads if not each.is_stopped] == []
        assert self.clock.getDelayedCalls() == []
        assert self.origins.has_all_slots
        assert self.health.broken_rules == []


ERRORS = st.sampled_from(
    [
        OriginUnreachable("refused"),
        OriginLacksIt(404),
        OriginBusy(429, None),
        OriginBusy(503, 3),
        OriginNonsense("no"),
    ]
)
TIMES = st.sampled_from([0, 0.5, 1, 1, 2, 2, 2, 3, 4, 6, 12])
"""They often coincide with each other, and with the times at which others are asked."""

MANNERS = st.builds(
    Manner,
    TIMES | st.none(),
    st.none() | ERRORS,
    st.sampled_from(["end", "end", "raise", "answer", "go on"]),
    st.booleans(),
)
SILENT = st.just(Manner(None))
SCRIPTS = st.lists(MANNERS, min_size=1, max_size=3)
LISTS = st.lists(SCRIPTS, max_size=6) | st.lists(
    SILENT.map(lambda manner: [manner]) | SCRIPTS, min_size=15, max_size=40
)
FATES = st.lists(st.sampled_from(["served", "lost", "broke off"]), max_size=4)
WHEN = st.none() | st.sampled_from([0, 0.5, 2, 2, 2.5, 4, 11.9, 12])


@holds_for(
    share=3,
    examples=300,
    manners=LISTS,
    slot_count=st.sampled_from([1, 3, 50]),
    fates=FATES,
    leaves_after=WHEN,
)
def test_of_attempts_that_overlap_one_serves_and_nothing_is_left(
    manners, slot_count, fates, leaves_after
):
    """Whatever importers do, when they are asked or cancelled; whenever the client leaves."""
    origins = Origins(manners, slot_count)
    with nothing_logged():
        exchange = Exchange(origins, fates).run(leaves_after)

        assert len(exchange.results) == 1
        result = exchange.results[0]
        if isinstance(result, Failure):
            assert result.check(NoOriginServed, CancelledError, OriginNonsense)
        assert origins.most_under_way <= MAX_UNDER_WAY
        assert origins.asked <= 2 * MAX_ATTEMPTS
        exchange.check_nothing_is_left()


@holds_for(
    examples=200,
    silent=st.integers(0, 20),
    good_place=st.integers(0, 20),
    when_cancelled=st.sampled_from(["end", "raise", "answer", "go on"]),
)
def test_one_good_origin_among_silent_ones_serves_in_time(silent, good_place, when_cancelled):
    """Wherever it stands, and whatever the others make of being given up."""
    manners = [[Manner(None, when_cancelled=when_cancelled)] for _ in range(silent)]
    manners.insert(good_place, [Manner(1)])
    origins = Origins(manners, 50)

    exchange = Exchange(origins, ["served"]).run(None)

    assert exchange.results == [None]
    assert exchange.taken == origins.answered_in_time
    exchange.check_nothing_is_left()
