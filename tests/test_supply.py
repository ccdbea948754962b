"""Turns: whom a failure is held against, and what importers may do without harm to anybody else.

Whole exchanges in memory (`exchanges`), each with a first source and a mirror behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from exchanges import (
    FIRST_BYTE_SECONDS,
    LARGE,
    SMALL,
    Service,
    answer_of,
    pieces,
    published,
    source,
)
from twisted.internet.defer import CancelledError, Deferred

from streamer.errors import (
    ContentTruncated,
    ImporterBroken,
    OriginFailing,
    OriginLacksIt,
    OriginUnreachable,
)
from streamer.fetch import LOOK_SECONDS
from streamer.health import OriginKey
from streamer.settings import OriginSettings
from streamer.supplies import LIST_PART, MAX_PLACES
from streamer.supply import FAR_BYTES, MAX_LEARNED, Supply
from streamer.testing import MemoryDownload, MemoryImporters
from streamer.transfers import Notes

FEDORA, MIRROR = OriginKey("fedora", 1, 1, "fedora"), OriginKey("mirror", 1, 1, "mirror")


def serve(*outcomes, mirror=(), content=LARGE, size=..., retries=0, **keywords):
    """A service that has published `content` with two sources."""
    service = Service(**keywords)
    service.importers.retries = retries
    service.importers.script("u", *outcomes)
    service.importers.script("v", *mirror)
    sources = source("u"), source("v", importer="mirror", priority=1)
    service.catalog.publish("base/f", published(content, *sources, size=size))
    return service


def whole(content=LARGE, **keywords):
    return MemoryDownload(pieces(content), length=len(content), **keywords)


def raised(error):
    """What an importer comes to that raises this."""
    outcome = Deferred()
    outcome.errback(error)
    return outcome


def quarantined(service, content):
    artifact = published(content).artifact
    return [service.health.is_quarantined(artifact, key) for key in (FEDORA, MIRROR)]


# -- whom a failure is held against


def test_length_that_one_origin_claims_is_not_held_against_the_next():
    """Where the catalog knows no size, what a failed attempt said of it is forgotten."""
    service = serve(whole(b"login page"), mirror=[whole()], size=None)

    answer = answer_of(service.ask("/base/f"))

    assert answer.content == LARGE
    assert quarantined(service, LARGE) == [True, False]


def test_origin_that_broke_off_has_no_part_in_what_the_next_sends():
    """Nothing of the first attempt is in the second, so only one of them was wrong."""
    cut = MemoryDownload([SMALL[:4]], error=ContentTruncated(4))
    wrong = whole(SMALL[:-1] + b"!")
    service = serve(cut, mirror=[wrong], content=SMALL)

    answer = answer_of(service.ask("/base/f"))

    assert answer.status == 502
    assert quarantined(service, SMALL) == [False, True]


def test_failure_that_an_importer_raises_again_counts_again():
    """It may keep one exception for good; the plan hears of each attempt."""
    failure = OriginFailing(503)
    service = serve(*[failure] * 3, mirror=[failure], retries=2)

    wire = service.ask("/base/f")
    for _ in range(10 * FIRST_BYTE_SECONDS):
        service.clock.advance(0.1)

    answer = answer_of(wire)
    assert ["fedora", "mirror"] * 2 + ["fedora"] == [name for name, _ in service.importers.opened]
    assert b"fedora: the origin answered 503 (3 times)" in answer.content
    assert 3 == answer["Proxy-Status"].count("error=")


def test_failures_before_the_last_progress_are_forgotten():
    """An origin that cuts all the time fills no memory with what is told to nobody."""
    service = serve(*[MemoryDownload(part_of=len(LARGE)) for _ in range(10)])
    making = Supply.of(service.supplies, published(LARGE, source("u")), Notes())
    supply = Deferred.fromCoroutine(making).result
    Deferred.fromCoroutine(supply.opened())

    known = []
    for position in range(9):
        Deferred.fromCoroutine(supply.resume(position, ContentTruncated(position)))
        service.clock.advance(1)
        known.append(len(supply.failures))

    assert known == [1] * 9


# -- what importers do


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError("a defect"), id="defect"),
        pytest.param(ImporterBroken("fedora", "it has no token"), id="not-an-origins-error"),
        pytest.param(CancelledError(), id="cancelled-by-itself"),
    ],
)
def test_importer_that_fails_in_its_own_way_is_an_origin_that_failed(error, logged_failures):
    """Another importer serves, whatever a plug-in raises."""
    service = serve(raised(error), mirror=[whole()])

    answer = answer_of(service.ask("/base/f"))

    assert answer.content == LARGE
    assert "its importer failed" in answer["Proxy-Status"]
    assert len(logged_failures.flush(type(error))) == 1


def test_probe_that_an_importer_fails_in_its_own_way_is_over(logged_failures):
    """Its origin is asked again after its pause, and not given up for good."""
    origins = OriginSettings(breaker_failures=2, breaker_pause_seconds=5)
    refused = OriginUnreachable("refused")
    broken = raised(ImporterBroken("fedora", "it has no token"))
    service = serve(refused, refused, broken, whole(), origins=origins)

    statuses, states = [], []
    for _ in range(4):
        statuses.append(answer_of(service.ask("/base/f")).status)
        states += [each.state for each in service.health.reports()]
        service.clock.advance(10)

    assert statuses == [502, 502, 502, 200]
    assert states == ["closed", "open"]
    assert len(logged_failures.flush(ImporterBroken)) == 1


@pytest.mark.parametrize("is_late", [False, True], ids=["client-left", "time-is-over"])
def test_download_that_opens_although_it_was_cancelled_is_stopped(is_late):
    """An importer that does not let itself be cancelled leaves nothing open all the same."""
    download = MemoryDownload(at_once=False)
    service = serve(Deferred(lambda opening: opening.callback(download)), mirror=[whole()])
    wire = service.ask("/base/f")

    if is_late:
        service.clock.advance(FIRST_BYTE_SECONDS / 2)
    else:
        wire.leave()

    assert download.calls == ["stop"]
    assert (service.transfer.verdict == "complete") == is_late


@pytest.mark.parametrize("is_late", [False, True], ids=["client-left", "time-is-over"])
def test_importer_that_takes_its_time_to_be_cancelled_is_not_waited_for(is_late):
    """What it opens in the end is stopped then."""
    download = MemoryDownload(at_once=False)
    service = serve(mirror=[whole()])
    ending = Deferred()
    service.importers.open = stubborn(service.importers, ending)
    wire = service.ask("/base/f")

    if is_late:
        service.clock.advance(FIRST_BYTE_SECONDS / 2)
    else:
        wire.leave()
    verdict = service.transfer.verdict
    ending.callback(download)

    assert (verdict == "complete") == is_late
    assert download.calls == ["stop"]


def stubborn(importers, ending):
    """The opening of a plug-in that answers a cancellation with something else to wait for."""
    opened = importers.open

    async def open_stubbornly(remote, span):
        if remote.url != "u":
            return await opened(remote, span)
        try:
            return await Deferred()
        except CancelledError:
            return await ending

    return open_stubbornly


def test_fields_that_nobody_can_read_leave_nothing_open(logged_failures):
    """A defect in an importer costs its client the answer, and nothing else."""
    download = whole(fields=((b"X-Origin", b"yes"),))
    service = serve(download)

    answer = answer_of(service.ask("/base/f"))

    assert answer.status == 500
    assert download.is_stopped
    assert len(logged_failures.flush(AttributeError, TypeError)) == 1


def test_importer_that_opens_nothing_is_an_origin_that_failed(logged_failures):
    """It has forgotten to return its download, and the mirror serves."""
    nothing = Deferred()
    nothing.callback(None)
    service = serve(nothing, mirror=[whole()])

    answer = answer_of(service.ask("/base/f"))

    assert answer.content == LARGE
    assert len(logged_failures.flush(TypeError)) == 1


@dataclass
class ComparableDownloader:
    """A downloader without a hash, as a plain dataclass is."""

    origin: str
    retries: int
    content: bytes

    async def open(self, span=None):
        return whole(self.content)


class ComparableImporters(MemoryImporters):
    """Importers whose downloaders cannot be members of a set, and send this."""

    def __init__(self, content):
        super().__init__()
        self.content = content

    def importer(self, config):
        return self

    def downloader(self, remote):
        return ComparableDownloader(remote.importer.name, 0, self.content)


class LazyDownloader(ComparableDownloader):
    """One that has to look up whom it would ask, and cannot."""

    @property
    def origin(self):
        raise LookupError("no account is left")

    @origin.setter
    def origin(self, value):
        pass


class LazyImporters(ComparableImporters):
    """The first importer's downloaders are lazy."""

    def downloader(self, remote):
        kind = LazyDownloader if remote.importer.name == "fedora" else ComparableDownloader
        return kind(remote.importer.name, 0, self.content)


def test_importer_that_cannot_name_its_origin_is_left_out(logged_failures):
    """Another importer serves."""
    service = serve(content=SMALL, mirror=[None], importers=LazyImporters(SMALL))

    answer = answer_of(service.ask("/base/f"))

    assert answer.content == SMALL
    assert len(logged_failures.flush(LookupError)) == 1


def test_downloader_may_be_any_object():
    """Wrong content at one without a hash is wrong content, and not a defect."""
    service = Service(importers=ComparableImporters(SMALL[:-1] + b"!"))
    service.catalog.publish("base/f", published(SMALL, source("u")))

    answer = answer_of(service.ask("/base/f"))

    assert answer.status == 502
    assert quarantined(service, SMALL) == [True, False]


class NamingImporters(MemoryImporters):
    """An importer that knows other places whenever it is asked; each of them serves all ranges."""

    def __init__(self, size):
        super().__init__()
        self.size = size
        self.named = 0
        self.asked = []

    def importer(self, config):
        return self

    async def downloaders(self, remote):
        names = [str(number) for number in range(self.named, self.named + MAX_PLACES)]
        self.named += MAX_PLACES
        return [NamedDownloader(self, name) for name in names]


@dataclass
class NamedDownloader:
    """One of the places."""

    importers: NamingImporters
    origin: str
    retries: int = 0

    async def open(self, span=None):
        self.importers.asked.append(self.origin)
        return MemoryDownload(part_of=None if span is None else self.importers.size)


def test_places_that_join_an_exchange_are_bounded():
    """An origin may name others in each of its answers, and break each of them off."""
    size = 1000 * FAR_BYTES
    importers = NamingImporters(size)
    service = Service(importers=importers)
    making = Supply.of(service.supplies, published(LARGE, source("u"), size=size), Notes())
    supply = Deferred.fromCoroutine(making).result
    Deferred.fromCoroutine(supply.opened())

    for count in range(1, 300):
        going_on = Deferred.fromCoroutine(supply.resume(count * FAR_BYTES, OriginLacksIt(404)))
        going_on.addErrback(lambda failure: failure.trap(OriginLacksIt))
        service.clock.advance(1)

    assert MAX_PLACES + MAX_LEARNED == len(set(importers.asked)) == len(importers.asked)


class DeafDownload(MemoryDownload):
    """A download that stopping does not end: what it sends still comes, and its end."""

    def stop(self):
        self.calls.append("stop")

    def end_twice(self, error):
        sink = self._sink
        sink.content_ended(error)
        sink.content_ended(error)


def test_content_that_ends_twice_is_gone_on_with_once():
    """Nobody is asked twice for it, and nothing stays open."""
    deaf = DeafDownload(at_once=False)
    opened = [MemoryDownload(at_once=False, part_of=len(LARGE)) for _ in range(2)]
    service = serve(deaf, mirror=opened)
    wire = service.ask("/base/f")
    deaf.send(LARGE[:100_000])

    deaf.end_twice(ContentTruncated(100_000))
    service.clock.advance(1)
    opened[0].send(LARGE[100_000:])
    opened[0].end()

    assert LARGE == answer_of(wire).content
    assert [[], True] == [opened[1].calls, opened[0].is_stopped]


def test_content_of_who_was_left_is_not_taken_any_more():
    """It is the other one's by then, whatever an importer makes of being told to stop."""
    slow, better = DeafDownload(at_once=False), MemoryDownload(at_once=False, part_of=len(LARGE))
    service = serve(slow, mirror=[better])
    wire = service.ask("/base/f")
    slow.send(LARGE[:1000])
    service.clock.advance(LOOK_SECONDS)

    slow.send(LARGE[1000:2000])
    slow.end(ContentTruncated(2000))
    better.send(LARGE[1000:])
    better.end()

    assert LARGE == answer_of(wire).content
    assert ["fedora", "mirror"] == [name for name, _ in service.importers.opened]


class ListingImporters(MemoryImporters):
    """The first importer fetches a list whenever it is asked for places, which ends as told."""

    def __init__(self, *endings):
        super().__init__()
        self.endings = list(endings)

    def importer(self, config):
        return ListingImporter(self) if config.name == "fedora" else super().importer(config)


class ListingImporter:
    """That importer."""

    def __init__(self, importers):
        self._importers = importers

    async def downloaders(self, remote):
        await self._importers.endings.pop(0)()
        return [MemoryImporters.importer(self._importers, remote.importer).downloader(remote)]


async def known():
    """The list is there."""


async def given_up():
    """Whoever else was waiting for the same list has cancelled it."""
    raise CancelledError


async def never():
    """The list does not come."""
    await Deferred()


async def deaf():
    """Nor does it, and to be cancelled is no reason to end."""
    try:
        await Deferred()
    except CancelledError:
        await Deferred()


@pytest.mark.parametrize("ending", [given_up, never, deaf])
def test_list_that_does_not_come_keeps_no_other_importer_from_serving(ending, logged_failures):
    """However its importer ends, or does not."""
    service = serve(content=SMALL, mirror=[whole(SMALL)], importers=ListingImporters(ending))

    wire = service.ask("/base/f")
    service.clock.advance(FIRST_BYTE_SECONDS / LIST_PART)

    assert SMALL == answer_of(wire).content
    assert (ending is given_up) == bool(logged_failures.flush(CancelledError))


@pytest.mark.parametrize("ending", [given_up, never, deaf])
def test_list_that_does_not_come_any_more_keeps_no_content_from_going_on(ending, logged_failures):
    """What is known already may be asked."""
    cut = MemoryDownload([LARGE[:100_000]], error=ContentTruncated(100_000))
    rest = MemoryDownload([LARGE[100_000:]], part_of=len(LARGE))
    service = serve(cut, rest, importers=ListingImporters(known, ending))

    wire = service.ask("/base/f")
    service.clock.advance(FIRST_BYTE_SECONDS / LIST_PART)

    assert LARGE == answer_of(wire).content
    assert (ending is given_up) == bool(logged_failures.flush(CancelledError))


@pytest.mark.parametrize("ending", [never, deaf])
def test_client_that_leaves_while_importers_are_asked_again_leaves_nothing_behind(ending):
    """Whatever the importer makes of being cancelled."""
    cut = MemoryDownload([LARGE[:100_000]], error=ContentTruncated(100_000))
    service = serve(cut, importers=ListingImporters(known, ending))
    wire = service.ask("/base/f")

    wire.leave()
    service.clock.advance(0)

    assert [] == service.clock.getDelayedCalls()
    assert 0 == service.content.in_flight
    assert cut.is_stopped


def test_candidates_of_one_exchange_are_bounded():
    """Each choice looks at all of them; where sources are many, each has fewer places."""
    service = Service(importers=NamingImporters(0))
    sources = [source(f"u{number}") for number in range(100)]

    finding = [
        Deferred.fromCoroutine(service.supplies.found(sources[:count])).result
        for count in (1, 10, 20, 100)
    ]

    assert [100, 1000, 1000, 1000] == [len(candidates) for candidates, _ in finding]
    assert {*sources} == {each.remote for each in finding[-1][0]}
