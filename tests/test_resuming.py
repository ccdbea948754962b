"""Content that breaks off after the head: at the exact byte, under the same digest, or not at all.

Whole exchanges in memory (`exchanges`). Each outcome of an attempt is a scripted download; the
first one breaks off at half of the content.
"""

from __future__ import annotations

import pytest
from exchanges import (
    IDLE_SECONDS,
    LARGE,
    SMALL,
    STALL_SECONDS,
    Service,
    answer_of,
    pieces,
    published,
    source,
)
from twisted.internet.defer import Deferred

from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginUnreachable,
)
from streamer.health import OriginKey
from streamer.ranges import ByteRange
from streamer.testing import MemoryDownload

HALF = len(LARGE) // 2
REST = ByteRange(HALF, len(LARGE) - 1)
FEDORA, MIRROR = OriginKey("fedora", 1, 1, "fedora"), OriginKey("mirror", 1, 1, "mirror")


def cut_at(end, content=LARGE, start=0, **keywords):
    """A download that breaks off at `end`."""
    sent = content[start:end]
    return MemoryDownload(pieces(sent), error=ContentTruncated(len(sent)), **keywords)


def quarantined(service, artifact):
    """Which of the two origins is asked last for this artifact, because of what it sent."""
    return {key for key in (FEDORA, MIRROR) if service.health.is_quarantined(artifact, key)}


def rest(start=HALF, content=LARGE, total=None, end=None):
    """What an origin sends that honours a Range from `start` on."""
    sent = content[start:end]
    error = None if end is None else ContentTruncated(len(sent))
    return MemoryDownload(pieces(sent), part_of=total or len(content), error=error)


def serve(*outcomes, mirror=(), retries=3, content=LARGE, **keywords):
    """A service that has published `content` with one source, or with a mirror behind it."""
    service = Service(**keywords)
    service.importers.retries = retries
    service.importers.script("u", *outcomes)
    service.importers.script("v", *mirror)
    sources = [source("u")] + [source("v", importer="mirror", priority=1)] * bool(mirror)
    service.catalog.publish("base/f", published(content, *sources))
    return service


def ask(service, *fields, seconds=30):
    """Ask for the content and let time pass; give the connection."""
    wire = service.ask("/base/f", *fields)
    for _ in range(seconds * 10):
        service.clock.advance(0.1)
    return wire


# -- what is resumed


def test_content_that_breaks_off_is_resumed_at_the_same_origin():
    """The client sees one response, whole and right."""
    service = serve(cut_at(HALF), rest())

    answer = answer_of(ask(service))

    assert answer.status == 200
    assert answer.is_complete
    assert answer.content == LARGE
    assert service.importers.spans == [None, REST]
    assert service.transfer.verdict == "complete"
    assert service.transfer.attempts == 2


def test_content_that_breaks_off_is_resumed_at_the_next_origin():
    """One that cannot go on leaves the rest to another."""
    service = serve(cut_at(HALF), mirror=[rest()], retries=0)

    answer = answer_of(ask(service))

    assert answer.content == LARGE
    assert service.importers.opened == [("fedora", "u"), ("fedora", "u"), ("mirror", "v")]
    assert service.importers.spans == [None, REST, REST]
    assert service.transfer.origin == "mirror"


def test_content_that_breaks_off_before_its_first_byte_is_resumed():
    """The head of large content is out when the origin's is there; that commits to nobody."""
    service = serve(cut_at(0), mirror=[rest(0)], retries=0)

    answer = answer_of(ask(service))

    assert answer.content == LARGE
    assert service.importers.spans[-1] == ByteRange(0, len(LARGE) - 1)


def test_origin_that_is_silent_from_the_first_byte_is_left():
    """Its silence costs more than the budget for the first byte, and begins a new one."""
    silent = MemoryDownload(at_once=False)
    service = serve(silent, mirror=[MemoryDownload(pieces(LARGE))], retries=0)

    answer = answer_of(ask(service, seconds=IDLE_SECONDS + 1))

    assert answer.content == LARGE
    assert silent.is_stopped


def test_content_that_ends_early_and_cleanly_is_resumed():
    """Fewer bytes than promised are a break, however the origin calls it."""
    service = serve(MemoryDownload(pieces(LARGE[:HALF])), rest())

    assert answer_of(ask(service)).content == LARGE


def test_silent_origin_is_left_and_the_content_resumed():
    """A stall in mid-stream is a break like any other."""
    silent = MemoryDownload(at_once=False)
    service = serve(silent, mirror=[rest()], retries=0)
    wire = service.ask("/base/f")
    silent.send(LARGE[:HALF])

    service.clock.advance(IDLE_SECONDS)
    service.clock.advance(1)

    assert answer_of(wire).content == LARGE
    assert silent.is_stopped


def test_content_is_resumed_as_often_as_it_makes_progress():
    """An origin that cuts every answer gives all of it in the end."""
    step = len(LARGE) // 8
    starts = range(step, len(LARGE), step)
    parts = [
        rest(start, end=start + step if start + step < len(LARGE) else None) for start in starts
    ]
    service = serve(cut_at(step), *parts)

    answer = answer_of(ask(service, seconds=120))

    assert answer.content == LARGE
    assert service.transfer.attempts == 8


def test_content_is_resumed_any_number_of_times_as_long_as_much_comes():
    """An origin that cuts after every 64 KiB serves an image nonetheless."""
    content = bytes(range(256)) * 256 * 40
    step = 64 * 1024
    parts = [
        rest(start, content=content, end=start + step if start + step < len(content) else None)
        for start in range(step, len(content), step)
    ]
    service = serve(cut_at(step, content=content), *parts, content=content)

    answer = answer_of(ask(service, seconds=60))

    assert answer.content == content
    assert service.transfer.attempts == 40


def test_origin_that_brings_a_byte_at_a_time_is_given_up():
    """Progress that is none must not make an exchange send requests for ever."""
    parts = [rest(start, end=start + 1) for start in range(HALF, HALF + 100)]
    service = serve(cut_at(HALF), *parts)

    wire = ask(service, seconds=120)

    assert wire.ending == "aborted"
    assert 10 < len(service.importers.opened) < 40


def test_origin_that_brings_a_byte_at_a_time_does_not_keep_the_next_from_going_on():
    """Who can serve the rest is asked before the attempts are used up."""
    service = serve(cut_at(9), *[rest(9, end=10)] * 9, mirror=[rest(9)])

    answer = answer_of(ask(service))

    assert answer.content == LARGE
    assert [name for name, _ in service.importers.opened] == ["fedora", "mirror"]


def test_origin_that_is_started_anew_goes_on():
    """It is away for a second, which no client has to notice."""
    away = [OriginUnreachable("it refuses") for _ in range(2)]
    service = serve(cut_at(HALF), *away, rest())
    wire = service.ask("/base/f")
    service.clock.advance(0.4)
    asked_at_once = len(service.importers.opened)

    for _ in range(30):
        service.clock.advance(0.1)

    assert answer_of(wire).content == LARGE
    assert asked_at_once == 2


def test_origin_that_fell_silent_is_asked_last():
    """Another one may go on at once."""
    silent = MemoryDownload(at_once=False)
    service = serve(silent, mirror=[rest()])
    service.ask("/base/f")
    silent.send(LARGE[:HALF])

    service.clock.advance(IDLE_SECONDS)

    assert [name for name, _ in service.importers.opened] == ["fedora", "mirror"]


def test_origin_that_opens_and_falls_silent_does_not_use_up_the_time_of_the_next():
    """Three attempts may bring nothing, however long they took to show it."""
    silent = MemoryDownload(at_once=False, part_of=len(LARGE))
    service = serve(cut_at(HALF), silent, mirror=[rest()], retries=0)

    answer = answer_of(ask(service, seconds=IDLE_SECONDS + 2))

    assert answer.content == LARGE


def test_size_that_only_the_origin_told_is_enough_to_resume():
    """The same total is what its first answer announced."""
    service = Service()
    service.importers.retries = 3
    service.importers.script("u", cut_at(HALF, length=len(LARGE)), rest())
    service.catalog.publish("base/f", published(LARGE, source("u"), size=None))

    assert answer_of(ask(service)).content == LARGE


def test_origin_that_knows_no_ranges_sends_all_again():
    """What the client has already is received and left out."""
    service = serve(cut_at(HALF), MemoryDownload(pieces(LARGE), length=len(LARGE)))

    answer = answer_of(ask(service))

    assert answer.content == LARGE
    assert service.transfer.bytes == len(LARGE)


def test_what_is_left_out_was_received_all_the_same():
    """The metric counts what an origin sent, wanted or not."""
    service = serve(cut_at(HALF), MemoryDownload(pieces(LARGE), length=len(LARGE)))

    ask(service)

    received = service.metric('pulp_streamer_received_bytes_total{importer="fedora"}')
    assert received == HALF + len(LARGE)


def test_resumed_response_names_nobody_who_had_not_failed_by_its_head():
    """The head had gone when the content broke off."""
    service = serve(cut_at(HALF), rest())

    assert answer_of(ask(service))["Proxy-Status"] is None


def test_resumption_of_a_paused_client_begins_paused():
    """An origin is not let loose on a client that does not read."""
    opening = Deferred()
    first = MemoryDownload(at_once=False)
    service = serve(first, opening)
    wire = service.ask("/base/f")
    first.send(LARGE[:HALF])
    first.end(ContentTruncated(HALF))
    service.clock.advance(1)
    wire.stop_reading()
    second = rest()

    opening.callback(second)

    assert second.calls[:2] == ["pause", "deliver"]
    assert second.sent_bytes == 0


# -- what is not


def test_small_content_begins_anew():
    """Nothing of it was sent, so the next attempt asks for all of it."""
    service = serve(cut_at(4, content=SMALL), MemoryDownload([SMALL]), content=SMALL)

    answer = answer_of(ask(service))

    assert answer.content == SMALL
    assert service.importers.spans == [None, None]


@pytest.mark.parametrize("total", [len(LARGE) - 1, len(LARGE) + 1])
def test_rest_of_other_content_is_not_joined(total):
    """RFC 9110 15.3.7: another complete length is another representation."""
    service = serve(cut_at(HALF), mirror=[rest(total=total)], retries=0)

    wire = ask(service)

    assert wire.value().endswith(LARGE[HALF - 100 : HALF])
    assert wire.ending == "aborted"
    assert service.transfer.verdict == "aborted"


def test_all_of_other_content_is_not_joined():
    """A 200 of another length is other content."""
    service = serve(cut_at(HALF), MemoryDownload(pieces(LARGE), length=len(LARGE) + 1))

    assert ask(service).ending == "aborted"


def test_wrong_rest_is_found_out_by_the_digest():
    """The running digest covers both parts, whoever sent them."""
    wrong = LARGE[:-1] + b"!"
    service = serve(cut_at(HALF), mirror=[rest(content=wrong)], retries=0)

    wire = ask(service)

    assert wire.ending == "aborted"
    assert "digest" in service.transfer.reason


def test_both_origins_of_wrong_content_are_quarantined():
    """Nobody knows whose part was wrong."""
    wrong = LARGE[:-1] + b"!"
    service = serve(cut_at(HALF), mirror=[rest(content=wrong)], retries=0)

    ask(service)

    artifact = published(LARGE).artifact
    assert [True, True] == [
        service.health.is_quarantined(artifact, key) for key in (FEDORA, MIRROR)
    ]


def test_origin_whose_answer_is_refused_brings_no_suspicion_on_others():
    """Nothing of the wrong one was joined to what the right one had sent."""
    service = serve(cut_at(HALF), mirror=[rest(total=len(LARGE) + 1)], retries=0)

    ask(service)

    artifact = published(LARGE).artifact
    assert [False, True] == [
        service.health.is_quarantined(artifact, key) for key in (FEDORA, MIRROR)
    ]


def test_more_than_may_be_skipped_is_not_received_again():
    """Beyond `delivery.skip_up_to` an origin without ranges does not help."""
    again = MemoryDownload(pieces(LARGE), length=len(LARGE))
    service = serve(cut_at(HALF), again, skip_up_to=HALF - 1)

    wire = ask(service)

    assert wire.ending == "aborted"
    assert again.sent_bytes == 0
    assert again.is_stopped


@pytest.mark.parametrize("refusal", [OriginForbids(401), OriginForbids(403), OriginLacksIt(404)])
def test_origin_that_refuses_to_go_on_is_not_asked_again(refusal):
    """What it said once it will say again; another may go on."""
    service = serve(cut_at(HALF), refusal, mirror=[rest()])

    answer = answer_of(ask(service))

    assert answer.content == LARGE
    assert [name for name, _ in service.importers.opened] == ["fedora", "fedora", "mirror"]


@pytest.mark.parametrize(
    "failure", [OriginUnreachable("it refuses"), OriginFailing(503), OriginBusy(429)]
)
def test_three_attempts_without_progress_end_it(failure):
    """An origin that is gone does not keep a client waiting for ever."""
    service = serve(cut_at(HALF), *[failure] * 9, retries=9)

    wire = ask(service, seconds=60)

    assert wire.ending == "aborted"
    assert 1 < len(service.importers.opened) <= 4


def test_attempts_that_bring_nothing_count_although_they_open():
    """Fields without a byte behind them are no progress."""
    empty = [rest(end=HALF) for _ in range(9)]
    service = serve(cut_at(HALF), *empty, retries=9)

    wire = ask(service, seconds=60)

    assert wire.ending == "aborted"
    assert len(service.importers.opened) == 4


def test_content_whose_length_nobody_told_is_not_resumed():
    """There would be no total to hold the rest against."""
    service = Service()
    service.importers.retries = 3
    service.importers.script("u", cut_at(HALF), rest())
    service.catalog.publish("base/f", published(LARGE, source("u"), size=None))

    wire = ask(service)

    assert wire.ending == "aborted"
    assert service.importers.spans == [None]


def test_passed_range_is_not_resumed():
    """No digest runs over it, so nothing would show that the two parts belong together."""
    service = serve(rest(start=0, end=HALF), rest(), unlearned="pass")

    wire = ask(service, "Range: bytes=0-99999")

    assert wire.ending == "aborted"
    assert len(service.importers.opened) == 1


# -- while nobody sends


def test_client_that_leaves_meanwhile_leaves_nothing_behind():
    """The attempt to go on is given up with the exchange."""
    cancelled = []
    service = serve(cut_at(HALF), Deferred(cancelled.append))
    wire = service.ask("/base/f")
    service.clock.advance(1)

    wire.leave()

    assert len(cancelled) == 1
    assert service.clock.getDelayedCalls() == []
    assert service.transfer.verdict == "client_gone"
    assert service.health.failures(FEDORA) <= 1


def test_client_that_leaves_during_a_back_off_leaves_nothing_behind():
    """No timer waits for a next attempt that nobody needs."""
    service = serve(cut_at(HALF), OriginFailing(503), OriginFailing(503))
    wire = service.ask("/base/f")
    opened = len(service.importers.opened)

    wire.leave()

    assert service.clock.getDelayedCalls() == []
    assert len(service.importers.opened) == opened
    assert service.transfer.verdict == "client_gone"


def test_client_that_stalls_meanwhile_is_given_up():
    """Waiting for an origin excuses no client."""
    cancelled = []
    first = MemoryDownload(at_once=False)
    service = serve(first, *[Deferred(cancelled.append) for _ in range(9)], retries=9)
    wire = service.ask("/base/f")
    first.send(LARGE[:HALF])
    wire.stop_reading()
    service.clock.advance(STALL_SECONDS - 1)
    first.end(ContentTruncated(HALF))

    for _ in range(STALL_SECONDS):
        service.clock.advance(1)

    assert wire.ending == "aborted"
