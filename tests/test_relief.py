"""Content that crawls: it goes on at another origin, and is never worse off for that.

Whole exchanges in memory (`exchanges`). Each outcome of an attempt is a scripted download; the
first one sends as much in each second as a test says.
"""

from __future__ import annotations

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
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent

from streamer.errors import ContentTruncated, OriginFailing, OriginLacksIt, OriginUnreachable
from streamer.fetch import LOOK_SECONDS
from streamer.health import LAG_SECONDS, OriginKey
from streamer.ranges import ByteRange
from streamer.rates import Flow
from streamer.relief import MAX_RELIEFS
from streamer.saving import Saving
from streamer.stream_target import StreamTarget
from streamer.supply import Supply
from streamer.testing import MemoryDownload
from streamer.transfers import Notes

KIB = 1024
SLOW = 5 * KIB
LOOK = int(LOOK_SECONDS)
LAST = len(LARGE) - 1
FEDORA, MIRROR = OriginKey("fedora", 1, 1, "fedora"), OriginKey("mirror", 1, 1, "mirror")


class Crawl:
    """An origin that sends so many bytes in each second, when it is told to."""

    def __init__(self, per_second=SLOW, *, start=0, part_of=None, content=LARGE):
        self.download = MemoryDownload(at_once=False, part_of=part_of)
        self.position = start
        self._per_second = per_second
        self._content = content

    def go_on(self, service, seconds=LOOK):
        for _ in range(seconds):
            self.send(self._per_second)
            service.clock.advance(1)

    def send(self, count):
        self.download.send(self._content[self.position : self.position + count])
        self.position += count

    def send_the_rest(self):
        self.send(len(self._content) - self.position)
        self.download.end()


def rest(start, content=LARGE, **keywords):
    """What an origin sends that honours a Range from `start` on."""
    return MemoryDownload(pieces(content[start:]), part_of=len(content), **keywords)


def serve(first, *mirrors, retries=0, **keywords):
    """A service that has published LARGE with one source, and with a mirror for each outcome."""
    service = Service(**keywords)
    service.importers.retries = retries
    service.importers.script("u", first.download)
    sources = [source("u")]
    for number, outcomes in enumerate(mirrors):
        name = f"mirror{number or ''}"
        service.importers.script(name, *outcomes)
        sources.append(source(name, importer=name, priority=1 + number))
    service.catalog.publish("base/f", published(LARGE, *sources))
    return service


def asked(service):
    """The importers that were asked, in order."""
    return [name for name, _ in service.importers.opened]


def run(service, seconds=60):
    for _ in range(seconds):
        service.clock.advance(1)


# -- what is left


def test_content_that_crawls_goes_on_at_another_origin():
    """At the very byte, and the client sees one response."""
    slow, position = Crawl(), LOOK * SLOW
    service = serve(slow, [rest(position)])
    wire = service.ask("/base/f")

    slow.go_on(service)

    answer = answer_of(wire)
    assert answer.is_complete
    assert LARGE == answer.content
    assert [None, ByteRange(position, LAST)] == service.importers.spans
    assert slow.download.is_stopped
    assert ("complete", "mirror", 2) == (
        service.transfer.verdict,
        service.transfer.origin,
        service.transfer.attempts,
    )


def test_silent_origin_is_left_before_its_silence_is_a_break():
    """Clients with a limit of their own give up at thirty seconds."""
    silent = Crawl(0)
    service = serve(silent, [rest(0)])
    wire = service.ask("/base/f")

    service.clock.advance(LOOK)

    assert LARGE == answer_of(wire).content


def test_content_goes_on_while_another_origin_is_asked():
    """What came meanwhile is received once more, and left out."""
    slow, opening, position = Crawl(), Deferred(), LOOK * SLOW
    service = serve(slow, [opening])
    wire = service.ask("/base/f")
    slow.go_on(service)
    slow.go_on(service, 2)
    before = len(wire.value())
    slow.go_on(service, 1)

    opening.callback(rest(position))

    assert len(wire.value()) - before > SLOW
    assert LARGE == answer_of(wire).content
    assert slow.download.is_stopped


def test_operator_reads_who_was_left_and_why():
    """In the log with both origins, and in the metrics by the name of the error."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW)])
    service.ask("/base/f")

    with capturedLogs() as events:
        slow.go_on(service)

    assert (
        "importer fedora: fedora is left at byte 51200, where mirror goes on: "
        "the origin sent no more than 5120 bytes in a second"
    ) in [formatEvent(event) for event in events]
    assert 1 == service.metric(
        'pulp_streamer_origin_failures_total{error="OriginTooSlow",importer="fedora"}'
    )
    assert 1 == service.metric('pulp_streamer_resumed_total{importer="mirror"}')


def test_origin_that_was_left_comes_last_and_is_not_held_to_have_failed():
    """The next client does not wait, and the breaker is for those that do not work."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW), MemoryDownload(pieces(LARGE))])
    service.ask("/base/f")
    slow.go_on(service)

    assert LARGE == service.answer("/base/f").content
    assert ["fedora", "mirror", "mirror"] == asked(service)
    assert (True, 0) == (service.health.lags(FEDORA), service.health.failures(FEDORA))


def test_rates_of_both_are_known_then():
    """What the second one sent is counted from where it took over."""
    slow, opening = Crawl(KIB), Deferred()
    better = Crawl(KIB, start=LOOK * KIB, part_of=len(LARGE))
    service = serve(slow, [opening])
    service.ask("/base/f")
    slow.go_on(service, LOOK + 5)

    opening.callback(better.download)
    better.send(5 * KIB)
    better.send(100 * KIB)
    service.clock.advance(2)
    better.send_the_rest()

    received = len(LARGE) - (LOOK + 5) * KIB
    assert KIB == pytest.approx(service.health.rate(FEDORA).at_most)
    assert received / 2 == pytest.approx(service.health.rate(MIRROR).at_most)


def test_slow_origin_comes_behind_its_equal_when_its_lag_is_over():
    """Its rate is known for longer."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW), MemoryDownload(pieces(LARGE))])
    twins = [source("u"), source("mirror", importer="mirror")]
    service.catalog.publish("base/f", published(LARGE, *twins))
    service.ask("/base/f")
    slow.go_on(service)
    service.health.note_flow(MIRROR, Flow(10**7, 2.0, 2.0))
    service.clock.advance(LAG_SECONDS)

    service.ask("/base/f")

    assert not service.health.lags(FEDORA)
    assert ["fedora", "mirror", "mirror"] == asked(service)


def test_all_who_sent_parts_of_wrong_content_are_suspected():
    """Nobody knows whose part it was, as after a break."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW, LARGE[:-1] + b"!")])
    wire = service.ask("/base/f")

    slow.go_on(service)

    artifact = published(LARGE).artifact
    assert "aborted" == wire.ending
    assert [True, True] == [service.health.is_quarantined(artifact, k) for k in (FEDORA, MIRROR)]


def test_file_is_filled_by_another_origin_too():
    """Without a client nobody pauses an origin."""
    slow, written = Crawl(), Written()
    service = serve(slow, [rest(LOOK * SLOW)])
    entry = published(LARGE, source("u"), source("mirror", importer="mirror"))
    saving = Saving(
        entry.artifact,
        StreamTarget(written, len(LARGE), "memory"),
        lambda: Supply.of(service.supplies, entry, Notes()),
        clock=service.clock,
        idle_seconds=30,
    )
    running = Deferred.fromCoroutine(saving.run())

    slow.go_on(service)

    assert len(LARGE) == running.result.size
    assert LARGE == written.content


class Written:
    """A stream that keeps what is written."""

    def __init__(self):
        self.content = b""

    def write(self, content):
        self.content += content

    def flush(self):
        pass


# -- what is not left


def test_only_origin_is_never_left():
    """A crawl is better than nothing."""
    slow = Crawl()
    service = serve(slow)
    wire = service.ask("/base/f")
    slow.go_on(service, 39)

    slow.send_the_rest()

    assert LARGE == answer_of(wire).content
    assert ["fedora"] == asked(service)


def test_client_that_does_not_read_makes_no_origin_slow():
    """Its pauses are not the origin's."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW)])
    wire = service.ask("/base/f")
    slow.go_on(service, 2)
    wire.stop_reading()

    run(service, 50)
    wire.read_on()
    slow.go_on(service, 5)

    assert ["fedora"] == asked(service)
    assert SLOW == pytest.approx(service.health.rate(FEDORA).at_most)


def test_client_that_reads_slowly_makes_no_origin_slow():
    """It takes as much as the origin is let send, and not more."""
    slow = Crawl()
    service = serve(slow, [rest(0)])
    wire = service.ask("/base/f")

    for _ in range(30):
        slow.send(SLOW)
        wire.stop_reading()
        service.clock.advance(0.9)
        wire.read_on()
        service.clock.advance(0.1)

    assert ["fedora"] == asked(service)
    assert service.health.rate(FEDORA).at_most > 9 * SLOW


def test_limit_of_the_importer_makes_no_origin_slow():
    """While it holds content back, the sink is told so."""
    slow = Crawl()
    service = serve(slow, [rest(0)])
    service.ask("/base/f")

    for _ in range(35):
        slow.send(SLOW)
        service.clock.advance(1)
        slow.download.send(b"")

    assert ["fedora"] == asked(service)
    assert service.health.rate(FEDORA).at_most > 100 * SLOW


@pytest.mark.parametrize(
    "outcome",
    [
        OriginLacksIt(404),
        OriginUnreachable("it refuses"),
        OriginFailing(503),
        MemoryDownload(pieces(LARGE), length=len(LARGE)),
        rest(LOOK * SLOW, LARGE + b"more"),
        Deferred(),
    ],
    ids=["lacks-it", "refuses", "fails", "knows-no-ranges", "has-other-content", "is-silent"],
)
def test_origin_is_not_left_for_one_that_cannot_go_on(outcome):
    """It sends on as if nobody had been asked, and the log names it."""
    slow = Crawl()
    service = serve(slow, [outcome])
    wire = service.ask("/base/f")
    slow.go_on(service)

    slow.go_on(service, 20)
    slow.send_the_rest()

    assert LARGE == answer_of(wire).content
    assert "fedora" == service.transfer.origin
    assert not service.health.lags(FEDORA)
    wire.leave()
    assert [] == service.clock.getDelayedCalls()


def test_more_than_one_is_asked_where_the_first_cannot_go_on():
    """As where a mirror lags behind."""
    slow = Crawl()
    service = serve(slow, [OriginLacksIt(404)], [rest(LOOK * SLOW)])
    wire = service.ask("/base/f")

    slow.go_on(service)

    assert LARGE == answer_of(wire).content
    assert ["fedora", "mirror", "mirror1"] == asked(service)


def test_origin_that_sent_wrong_content_for_it_is_not_worth_asking():
    """A slow right one is better."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW)])
    service.health.quarantine(published(LARGE).artifact, MIRROR)
    service.ask("/base/f")

    slow.go_on(service, 30)

    assert ["fedora"] == asked(service)


def test_origin_that_is_known_to_be_as_slow_is_not_asked():
    """Where the way out is narrow, all of them are."""
    slow = Crawl()
    service = serve(slow, [rest(LOOK * SLOW)])
    service.health.note_flow(MIRROR, Flow(10 * SLOW, 10.0, 10.0))
    service.ask("/base/f")

    slow.go_on(service, 30)

    assert ["fedora"] == asked(service)


def test_content_that_is_over_soon_is_let_be():
    """To ask another one takes as long."""
    slow = Crawl(len(LARGE) // (LOOK + 3))
    service = serve(slow, [rest(0)])
    service.ask("/base/f")

    slow.go_on(service, LOOK + 2)

    assert ["fedora"] == asked(service)


def test_origin_that_finds_its_pace_meanwhile_is_kept():
    """To leave it would cost what it sent in the meantime."""
    slow, opening = Crawl(2 * KIB), Deferred()
    service = serve(slow, [opening])
    wire = service.ask("/base/f")
    slow.go_on(service)
    better = rest(LOOK * 2 * KIB)
    slow.send(100 * KIB)

    opening.callback(better)
    slow.send_the_rest()

    assert LARGE == answer_of(wire).content
    assert better.is_stopped
    assert "fedora" == service.transfer.origin


def test_nobody_is_left_where_the_operator_says_so():
    """`delivery.slow` may be 0."""
    slow = Crawl(0)
    service = serve(slow, [rest(0)], slow=0)
    service.ask("/base/f")

    run(service, 29)

    assert ["fedora"] == asked(service)


def test_passed_range_is_not_left():
    """No digest runs over it, so nothing would show that the two parts belong together."""
    slow = Crawl(part_of=len(LARGE))
    service = serve(slow, [rest(LOOK * SLOW)], unlearned="pass")
    service.ask("/base/f", "Range: bytes=0-199999")

    slow.go_on(service, 30)

    assert ["fedora"] == asked(service)


# -- how often


def test_fastest_of_slow_origins_serves_on():
    """Each is asked once; who was left is gone back to where it was the best of them."""
    slows = [Crawl(5 * KIB), Crawl(KIB, start=50 * KIB, part_of=len(LARGE))]
    back = Crawl(5 * KIB, start=60 * KIB, part_of=len(LARGE))
    service = serve(slows[0], [slows[1].download])
    service.importers.script("u", back.download)
    wire = service.ask("/base/f")

    slows[0].go_on(service)
    slows[1].go_on(service)
    back.go_on(service, 15)
    back.send_the_rest()

    assert LARGE == answer_of(wire).content
    assert ["fedora", "mirror", "fedora"] == asked(service)


def test_exchange_believes_what_it_saw_itself():
    """Whom it left is not gone back to because it was fast for others."""
    slow, better = Crawl(5 * KIB), Crawl(3 * KIB, start=50 * KIB, part_of=len(LARGE))
    service = serve(slow, [better.download])
    service.health.note_flow(FEDORA, Flow(10**8, 10.0, 10.0))
    service.ask("/base/f")

    slow.go_on(service)
    better.go_on(service, 20)

    assert ["fedora", "mirror"] == asked(service)


def test_others_are_asked_seldom_and_not_for_ever():
    """The pauses double, and there is a last time."""
    slow, refused = Crawl(64), OriginUnreachable("it refuses")
    service = serve(slow, [refused] * 99)
    service.ask("/base/f")
    times = []

    for second in range(1, 1000):
        slow.go_on(service, 1)
        times += [second] * (len(asked(service)) - 1 - len(times))

    assert [10, 20, 40, 80, 160] == times
    assert MAX_RELIEFS == len(times)


def test_origin_that_was_left_goes_on_where_the_other_breaks_off():
    """It is there, however slow."""
    slow, position = Crawl(7 * KIB), LOOK * 7 * KIB
    broken = MemoryDownload(error=ContentTruncated(0), part_of=len(LARGE))
    service = serve(slow, [broken])
    service.importers.script("u", rest(position))
    wire = service.ask("/base/f")

    slow.go_on(service)
    run(service, 5)

    assert LARGE == answer_of(wire).content
    assert ["fedora", "mirror", "fedora"] == asked(service)


# -- while others are asked


def test_content_that_ends_meanwhile_needs_nobody():
    """The attempt is given up."""
    given_up = []
    slow = Crawl()
    service = serve(slow, [Deferred(given_up.append)])
    wire = service.ask("/base/f")
    slow.go_on(service)

    slow.send_the_rest()

    assert LARGE == answer_of(wire).content
    assert 1 == len(given_up)
    wire.leave()
    assert [] == service.clock.getDelayedCalls()


def test_content_that_breaks_off_meanwhile_is_resumed_as_ever():
    """The attempt is given up, and whoever is next goes on behind the last byte."""
    given_up = []
    slow, end, resuming = Crawl(), (LOOK + 1) * SLOW, Deferred()
    service = serve(slow, [Deferred(given_up.append), resuming])
    wire = service.ask("/base/f")
    slow.go_on(service)
    slow.go_on(service, 1)

    slow.download.end(ContentTruncated(end))
    at_once = len(given_up)
    resuming.callback(rest(end))

    assert LARGE == answer_of(wire).content
    assert 1 == at_once
    assert ByteRange(end, LAST) == service.importers.spans[-1]


def test_client_that_leaves_meanwhile_leaves_nothing_behind():
    """No attempt and no timer."""
    given_up = []
    slow = Crawl()
    service = serve(slow, [Deferred(given_up.append)])
    wire = service.ask("/base/f")
    slow.go_on(service)

    wire.leave()

    assert 1 == len(given_up)
    assert slow.download.is_stopped
    assert [] == service.clock.getDelayedCalls()


def test_client_that_stops_reading_meanwhile_finds_the_better_origin_paused():
    """An origin is not let loose on a client that does not read."""
    slow, opening, better = Crawl(), Deferred(), rest(LOOK * SLOW)
    service = serve(slow, [opening])
    wire = service.ask("/base/f")
    slow.go_on(service)
    wire.stop_reading()

    opening.callback(better)
    before = better.sent_bytes
    wire.read_on()

    assert 0 == before
    assert LARGE == answer_of(wire).content


# -- before the head


def test_small_content_that_crawls_is_left_within_its_share_of_the_time():
    """Nothing of it was sent, so it begins anew at the next origin."""
    slow = Crawl(1, content=SMALL)
    service = serve(slow, [MemoryDownload([SMALL])])
    sources = [source("u"), source("mirror", importer="mirror")]
    service.catalog.publish("base/f", published(SMALL, *sources))
    wire = service.ask("/base/f")

    slow.go_on(service, FIRST_BYTE_SECONDS // 2)

    assert SMALL == answer_of(wire).content
    assert ["fedora", "mirror"] == asked(service)


def test_content_that_nobody_has_seen_is_begun_anew_however_long_it_may_take():
    """Its first half may be what is wrong."""
    content = SMALL * 60
    slow = Crawl(10, content=content)
    service = serve(slow, [MemoryDownload([content])])
    patient = service.supplies.settings.model_copy(update={"first_byte_seconds": 60.0})
    service.supplies.settings = patient
    service.catalog.publish(
        "base/f", published(content, source("u"), source("mirror", importer="mirror"))
    )
    wire = service.ask("/base/f")

    slow.go_on(service, 30)

    assert content == answer_of(wire).content
    assert [None, None] == service.importers.spans
