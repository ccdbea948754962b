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

from streamer.errors import ContentTruncated, ImporterBroken, OriginFailing, OriginUnreachable
from streamer.health import OriginKey
from streamer.settings import OriginSettings
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

    assert len(service.importers.opened) == answer_of(wire)["Proxy-Status"].count("error=")


def test_failures_before_the_last_progress_are_forgotten():
    """An origin that cuts all the time fills no memory with what is told to nobody."""
    service = serve(*[MemoryDownload(part_of=len(LARGE)) for _ in range(10)])
    making = service.supplies.supply(published(LARGE, source("u")), Notes())
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
