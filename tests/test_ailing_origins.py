"""What one exchange finds out of an origin, and the next ones do with it.

Whole exchanges in memory (`exchanges`); each outcome of an attempt is scripted.
"""

from __future__ import annotations

import pytest
from exchanges import (
    FIRST_BYTE_SECONDS,
    IDLE_SECONDS,
    LARGE,
    SMALL,
    Service,
    answer_of,
    pieces,
    published,
    source,
)
from twisted.internet.defer import Deferred

from streamer.breaker import BLIP_SECONDS
from streamer.errors import (
    ContentTruncated,
    ImporterBroken,
    OriginCrowded,
    OriginFailing,
    OriginLacksIt,
    OriginUnreachable,
    PathNotPublished,
)
from streamer.health import OriginKey
from streamer.model import DownloadConfig, PassThrough
from streamer.outlook import CandidateReport, Outlook
from streamer.rates import Flow
from streamer.testing import MemoryDownload

FAILURES, PAUSE = 5, 5
KEY = OriginKey("fedora", 1, 1, "fedora")
REFUSED = OriginUnreachable("refused")


@pytest.fixture
def service():
    """A service with nothing published."""
    return Service()


def publish(service, name, *outcomes, content=SMALL, mirror=()):
    """Publish content at `base/NAME`, with a source whose attempts have these outcomes."""
    service.importers.script(name, *outcomes)
    sources = [source(name)]
    if mirror:
        service.importers.script(f"{name}-mirror", *mirror)
        service.importers.origins[f"{name}-mirror"] = "mirror"
        sources.append(source(f"{name}-mirror", importer="mirror", priority=1))
    service.catalog.publish(f"base/{name}", published(content, *sources, path=name))


def whole(content=SMALL):
    return MemoryDownload(pieces(content))


def open_breaker(service):
    """Let an origin fail until it is left alone, and its pause go by."""
    for number in range(FAILURES):
        publish(service, f"dead{number}", REFUSED)
        assert 502 == service.answer(f"/base/dead{number}").status
        service.clock.advance(BLIP_SECONDS)
    service.clock.advance(PAUSE)


def test_content_that_an_origin_cannot_give_leaves_its_other_content_alone(service):
    """Whoever asks for it, and however often."""
    publish(service, "bad", *[OriginFailing(500)] * 20)
    publish(service, "good", whole())

    bad = [service.answer("/base/bad").status for _ in range(20)]

    assert bad == [502] * 20
    assert service.answer("/base/good").content == SMALL


def test_origin_that_is_away_is_left_alone_whatever_is_asked_for(service):
    """The client is told at once, and nobody waits."""
    publish(service, "hot", *[REFUSED] * FAILURES, whole())

    first = service.answer("/base/hot").status
    service.clock.advance(BLIP_SECONDS)
    later = [service.answer("/base/hot").status for _ in range(FAILURES)]

    assert [first, *later] == [502] * FAILURES + [503]
    assert service.metric('pulp_streamer_origin_avoided_total{importer="fedora"}') == 1


def test_origin_that_restarts_is_noticed_by_nobody(service):
    """All of those that it fails in one moment are served at their next attempts."""
    service.importers.retries = 1
    failing = [Deferred() for _ in range(2 * FAILURES)]
    publish(service, "f", *failing, *[whole() for _ in failing])
    wires = [service.ask("/base/f") for _ in failing]

    for each in failing:
        each.errback(OriginUnreachable("refused"))
    service.clock.advance(0.1)

    assert [SMALL] * len(wires) == [answer_of(wire).content for wire in wires]


def test_content_that_came_to_its_end_clears_the_record_of_its_origin(service):
    """Only failures in a row count."""
    publish(service, "bad", OriginUnreachable("refused"))
    publish(service, "good", whole())

    service.answer("/base/bad")
    before = service.health.failures(KEY)
    service.answer("/base/good")

    assert (1, 0) == (before, service.health.failures(KEY))


def test_relayed_answer_that_came_to_its_end_clears_the_record_of_its_origin(service):
    """That of a pass-through distribution, under its importer."""
    importer = DownloadConfig(7, 1, "npm", "http", {})
    service.catalog.bind(PassThrough("proxy", importer))
    service.importers.script("f", REFUSED, MemoryDownload(pieces(SMALL), length=len(SMALL)))

    service.answer("/proxy/f")
    before = [each.importer_id for each in service.health.reports()]
    service.answer("/proxy/f")

    assert ([7], []) == (before, service.health.reports())


def test_relayed_contents_count_as_one(service):
    """Clients choose the paths, and some may know many at which an origin fails."""
    importer = DownloadConfig(7, 1, "npm", "http", {})
    service.catalog.bind(PassThrough("proxy", importer))
    for path in ("f", "g"):
        service.importers.script(path, *[OriginFailing(500)] * 3)

    for path in "fffggg":
        service.answer(f"/proxy/{path}")

    assert [1] == [each.failures for each in service.health.reports()]


def test_origin_that_sends_heads_and_no_content_comes_last(service):
    """With a mirror behind it, clients after the first notice nothing."""
    tarpits = [MemoryDownload(at_once=False) for _ in range(2)]
    publish(service, "f", *tarpits, mirror=[whole() for _ in tarpits])
    service.ask("/base/f")
    service.clock.advance(FIRST_BYTE_SECONDS / 2)

    answer = service.answer("/base/f")

    assert SMALL == answer.content
    assert [True, False] == [each.is_stopped for each in tarpits]


def test_origin_that_sends_heads_and_no_content_is_left_alone(service):
    """Where there is no other, clients after the first five are told at once."""
    tarpits = [MemoryDownload(at_once=False) for _ in range(FAILURES)]
    publish(service, "f", *tarpits)
    for _ in tarpits:
        service.ask("/base/f")
        service.clock.advance(FIRST_BYTE_SECONDS)

    status = service.answer("/base/f").status

    assert 503 == status
    assert all(each.is_stopped for each in tarpits)


def test_origin_that_falls_silent_in_mid_stream_comes_last(service):
    """Only its first client waits until another one goes on."""
    silent = MemoryDownload(at_once=False)
    rest = MemoryDownload(pieces(LARGE[9000:]), part_of=len(LARGE))
    publish(service, "f", silent, content=LARGE, mirror=[rest, whole(LARGE)])
    wire = service.ask("/base/f")
    silent.send(LARGE[:9000])

    service.clock.advance(IDLE_SECONDS)

    assert answer_of(wire).content == LARGE
    assert service.answer("/base/f").content == LARGE
    assert service.importers.opened[-2:] == [("mirror", "f-mirror")] * 2


def test_origin_that_falls_silent_in_mid_stream_is_left_alone(service):
    """Where nobody else goes on, each client of it would wait as long."""
    for number in range(FAILURES):
        silent = MemoryDownload(at_once=False)
        publish(service, f"{number}", silent, content=LARGE)
        wire = service.ask(f"/base/{number}")
        silent.send(LARGE[:9000])
        service.clock.advance(IDLE_SECONDS)
        wire.leave()
    publish(service, "f", whole())

    assert 503 == service.answer("/base/f").status


def test_client_that_leaves_while_its_exchange_is_the_probe_leaves_its_place(service):
    """The next one is the probe."""
    open_breaker(service)
    publish(service, "f", Deferred(), whole())
    probe = service.ask("/base/f")
    turned_away = service.answer("/base/f").status

    probe.leave()

    assert turned_away == 503
    assert service.answer("/base/f").content == SMALL


def test_probe_without_a_connection_leaves_its_place(service):
    """Our own limit says nothing of the origin."""
    open_breaker(service)
    publish(service, "f", OriginCrowded(1), whole())

    assert [503, 200] == [service.answer("/base/f").status for _ in range(2)]


@pytest.mark.parametrize(
    "defect", [RuntimeError("a defect"), ImporterBroken("fedora", "its key is gone")]
)
def test_probe_of_an_importer_with_a_defect_leaves_its_place(service, defect, logged_failures):
    """What an importer raises that it must not raise ends its attempt like any error."""
    open_breaker(service)
    failing = Deferred()
    publish(service, "f", failing, whole())
    probe = service.ask("/base/f")

    failing.errback(defect)

    assert answer_of(probe).status == 502
    assert service.answer("/base/f").content == SMALL
    assert len(logged_failures.flush(type(defect))) == 1


def test_probe_that_is_answered_lets_others_in_while_its_content_comes(service):
    """Nobody waits for the end of an installation image."""
    open_breaker(service)
    slow = MemoryDownload(at_once=False)
    publish(service, "slow", slow, content=LARGE)
    publish(service, "f", whole())
    wire = service.ask("/base/slow")
    slow.send(LARGE[:9000])

    assert service.answer("/base/f").content == SMALL
    wire.leave()


def test_what_is_missing_is_counted_as_avoided_while_it_is_remembered(service):
    """One request of the origin answers a crowd."""
    publish(service, "f", OriginLacksIt(404), whole())

    statuses = [service.answer("/base/f").status for _ in range(3)]

    assert statuses == [404] * 3
    assert service.metric('pulp_streamer_origin_avoided_total{importer="fedora"}') == 2


@pytest.mark.parametrize("defect", [SystemExit(1), RuntimeError("oops")], ids=["exit", "error"])
def test_importer_that_fails_by_a_defect_leaves_the_content_to_the_next(
    service, defect, logged_failures
):
    """Whatever it raises when it is to open something."""
    failing = Deferred()
    publish(service, "f", failing, mirror=[whole()])
    wire = service.ask("/base/f")

    failing.errback(defect)

    assert SMALL == answer_of(wire).content
    assert 1 == len(logged_failures.flush(type(defect)))


def test_liar_that_breaks_off_does_not_spoil_for_ever_what_a_good_one_completes(service):
    """Nobody knows whose part was wrong, so another one begins the next time."""
    half = len(LARGE) // 2

    def lie():
        return MemoryDownload([b"x" * half], length=len(LARGE), error=ContentTruncated(half))

    refused = OriginUnreachable("refused")
    good = MemoryDownload([LARGE[half:]], part_of=len(LARGE))
    publish(
        service,
        "f",
        *[lie(), refused, lie(), refused],
        content=LARGE,
        mirror=[good, whole(LARGE)],
    )
    broken = service.ask("/base/f")
    service.clock.advance(10)

    answer = service.answer("/base/f")

    assert "aborted" == broken.ending
    assert LARGE == answer.content


def test_what_one_origin_lacks_may_be_at_one_whose_importer_is_broken(service):
    """Nobody is told that it is gone: it is ours to mend."""
    publish(service, "f", OriginLacksIt(404), mirror=[whole()])
    service.importers.broken["mirror"] = "its key is missing"

    statuses = [service.answer("/base/f").status for _ in range(2)]

    assert statuses == [500, 500]


# -- the outlook, for operators ------------------------------------------------------------------


def outlook(service, path="base/f"):
    found = []
    waiting = Deferred.fromCoroutine(Outlook(service.supplies).candidates(path))
    waiting.addCallback(found.extend)
    return waiting, found


def candidates(service, path="base/f"):
    waiting, found = outlook(service, path)
    assert waiting.called
    return found


def test_candidate_that_is_known_to_be_far_slower_comes_after_its_equal(service):
    """And an operator sees by how much."""
    twins = [source("f"), source("g", importer="mirror")]
    service.catalog.publish("base/f", published(SMALL, *twins))
    mirror = OriginKey("mirror", 1, 1, "mirror")
    service.health.note_flow(KEY, Flow(10_000, 10.0, 10.0))
    service.health.note_flow(mirror, Flow(1_000_000, 10.0, 10.0))

    found = candidates(service)

    assert [("mirror", 100_000), ("fedora", 1000)] == [
        (each.importer, each.health.at_most_bytes_per_second) for each in found
    ]


def test_candidates_are_those_of_the_plan(service):
    """In the order of their first turns, with nothing against them, and nobody is asked."""
    publish(service, "f", mirror=[whole()])

    found = candidates(service)

    assert found == [
        CandidateReport("fedora", origin="fedora"),
        CandidateReport("mirror", origin="mirror"),
    ]
    assert service.importers.opened == []


def test_candidate_that_sent_other_content_is_the_last(service):
    """As it would be for a client; the other one is not affected."""
    publish(service, "f", whole(SMALL[::-1]), mirror=[whole()])
    service.answer("/base/f")

    first, second = candidates(service)

    assert ("mirror", False, None) == (first.importer, first.sent_other_content, first.health)
    assert ("fedora", True, 1) == (
        second.importer,
        second.sent_other_content,
        second.health.quarantined,
    )


def test_candidate_that_lacks_the_content_is_shown_so(service):
    """As long as it is not asked for it again."""
    publish(service, "f", OriginLacksIt(404))
    service.answer("/base/f")

    before = [each.lacks_it for each in candidates(service)]
    service.clock.advance(10)

    assert ([True], [False]) == (before, [each.lacks_it for each in candidates(service)])


def test_candidate_that_failed_is_shown_with_what_is_known_of_its_origin(service):
    """Its breaker, what it asked for, and the last error."""
    publish(service, "f", *[REFUSED] * FAILURES)
    for _ in range(FAILURES):
        service.answer("/base/f")
        service.clock.advance(BLIP_SECONDS)

    (found,) = candidates(service)

    assert service.health.reports() == [found.health]
    assert ("open", FAILURES, "OriginUnreachable") == (
        found.health.state,
        found.health.failures,
        found.health.last_error,
    )


def test_candidate_whose_importer_is_broken_is_named_with_the_reason(service):
    """It gets no turn."""
    publish(service, "f", mirror=[whole()])
    service.importers.broken["fedora"] = "its key is missing"

    first, second = candidates(service)

    assert first.importer == "mirror"
    assert second == CandidateReport(
        "fedora", problem="importer 'fedora' cannot be used: its key is missing"
    )


def test_held_content_has_no_candidates(service):
    """No origin is asked for it."""
    service.catalog.publish("base/f", published(SMALL, held=True))

    assert candidates(service) == []


def test_path_that_is_not_published_has_no_outlook(service):
    """There is no entry to look at."""
    waiting, _ = outlook(service, "base/none")

    waiting.addErrback(lambda failure: failure.trap(PathNotPublished))
    assert waiting.result is PathNotPublished
