"""Ranges in whole exchanges: which way they are served, verified how, and what is found out."""

from __future__ import annotations

import email
import hashlib

import pytest
from exchanges import (
    DISTRUST_SECONDS,
    IDLE_SECONDS,
    LARGE,
    MODIFIED_DATE,
    SMALL,
    STALL_SECONDS,
    Service,
    answer_of,
    pieces,
    published,
    sha256,
    source,
)
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from wire import Wire

from streamer.distrust import MAX_CHECKPOINTS
from streamer.errors import ContentTruncated, OriginNonsense, OriginUnreachable
from streamer.ranges import ByteRange
from streamer.testing import MemoryDownload

SIZE = len(LARGE)
TAG = f'"sha256:{hashlib.sha256(LARGE).hexdigest()}"'
VERIFYING = [
    pytest.param({}, id="auto"),
    pytest.param({"unlearned": "verify", "verify_up_to": 0}, id="verify"),
]
PASSING = [
    pytest.param({"verify_up_to": SIZE - 1}, id="auto-beyond-the-limit"),
    pytest.param({"unlearned": "pass"}, id="pass"),
]


def whole(content=LARGE, **keywords):
    return MemoryDownload(pieces(content), **keywords)


def span(first, last, content=LARGE, size=SIZE, **keywords):
    """An origin's answer to a span, at once and honest unless told otherwise."""
    return MemoryDownload([content[first : last + 1]], part_of=size, **keywords)


@pytest.fixture
def service():
    return Service()


@pytest.fixture
def passing():
    return Service(unlearned="pass")


# -- cut out of what is verified


@pytest.mark.parametrize("settings", VERIFYING)
@pytest.mark.parametrize(
    ("value", "first", "last"),
    [("bytes=5-9", 5, 9), ("bytes=100000-", 100_000, SIZE - 1), ("bytes=-7", SIZE - 7, SIZE - 1)],
)
def test_range_is_cut_out_of_the_verified_whole(settings, value, first, last):
    """RFC 9110 15.3.7: one part, and the origin is asked for all."""
    service = Service(**settings)
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", f"Range: {value}")

    assert (answer.status, answer.content) == (206, LARGE[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss"
    assert answer["Cache-Control"] == "public, max-age=86400, stale-if-error=604800"
    assert service.importers.spans == [None]
    assert service.transfer.verified == "held_tail"


def test_range_of_small_content_is_verified_before_anything_is_sent(service):
    """Another origin can still serve it."""
    service.publish(SMALL, MemoryDownload([b"wrong content"]))

    answer = service.answer("/base/f", "Range: bytes=2-5")

    assert answer.status == 502


@pytest.mark.parametrize("settings", VERIFYING)
def test_range_of_wrong_content_breaks_off_before_its_end(settings):
    """The last bytes of what is sent wait for the digest, which knows of a bit far behind them."""
    service = Service(**settings)
    service.publish(LARGE, whole(LARGE[:-1] + b"x"))

    answer = service.answer("/base/f", "Range: bytes=0-99999")

    assert answer.status == 206
    assert not answer.is_complete
    assert service.transfer.verdict == "aborted"


def test_several_ranges_are_one_multipart_response(service):
    """RFC 9110 14.6 and 15.3.7.2."""
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", "Range: bytes=0-2, 100000-100004, -3")
    message = email.message_from_bytes(
        f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode() + answer.content
    )

    assert (answer.status, answer["Content-Range"]) == (206, None)
    assert [(part["Content-Range"], part.get_payload(decode=True)) for part in message.walk()][
        1:
    ] == [
        (f"bytes {first}-{last}/{SIZE}", LARGE[first : last + 1])
        for first, last in [(0, 2), (100_000, 100_004), (SIZE - 3, SIZE - 1)]
    ]


@pytest.mark.parametrize("value", ["bytes=5-9,7-12", "bytes=9-5", "items=1-2", "bytes=9-12,5-6"])
def test_range_that_is_ignored_is_answered_with_the_whole(service, value):
    """RFC 9110 14.2: a server may ignore it, and 200 is right for every client."""
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", f"Range: {value}")

    assert (answer.status, answer.content) == (200, LARGE)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", "bytes=-0", "bytes=999999999999-"])
def test_range_beyond_the_end_is_not_satisfiable(service, value):
    """RFC 9110 15.5.17: the length is told, and no origin is asked."""
    service.publish(LARGE)

    answer = service.answer("/base/f", f"Range: {value}")

    assert answer.status == 416
    assert answer["Content-Range"] == f"bytes */{SIZE}"
    assert service.importers.opened == []
    assert service.transfer.verdict == "refused"


def test_range_of_held_content_is_cut_out_of_the_catalog():
    """Held content is verified whatever the setting says, since no origin is asked."""
    service = Service(unlearned="refuse")
    service.catalog.publish("base/f", published(LARGE, held=True), LARGE)

    answer = service.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (206, LARGE[5:10])
    assert answer["Accept-Ranges"] == "bytes"
    assert service.transfer.source == "catalog"


def test_range_of_content_of_unknown_size_is_answered_with_the_whole(service):
    """RFC 9110 14.4: without a length there is no Content-Range."""
    service.publish(LARGE, whole(), size=None)

    answer = service.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (200, LARGE)
    assert answer["Accept-Ranges"] == "none"


def test_ranges_that_are_refused_are_answered_with_the_whole():
    """RFC 9110 14.3: `none` says so beforehand."""
    service = Service(unlearned="refuse")
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (200, LARGE)
    assert answer["Accept-Ranges"] == "none"


# -- conditions


@pytest.mark.parametrize("value", [TAG, MODIFIED_DATE], ids=["tag", "date"])
def test_if_range_that_matches_lets_the_range_apply(service, value):
    """RFC 9110 13.1.5."""
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", "Range: bytes=5-9", f"If-Range: {value}")

    assert (answer.status, answer.content) == (206, LARGE[5:10])


@pytest.mark.parametrize(
    "value",
    [f"W/{TAG}", '"other"', "Sun, 06 Nov 1994 08:49:36 GMT"],
    ids=["weak", "other-tag", "other-date"],
)
def test_if_range_that_does_not_match_gives_the_whole(service, value):
    """Parts of two representations must never be joined, also where the range is unsatisfiable."""
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", f"Range: bytes={SIZE}-", f"If-Range: {value}")

    assert (answer.status, answer.content) == (200, LARGE)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "condition", ['If-Match: "other"', "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT"]
)
def test_condition_that_fails_is_412_without_an_origin(service, method, condition):
    """RFC 9110 13.1.1 and 13.1.4: the request is not performed."""
    service.publish(LARGE)

    answer = service.answer("/base/f", condition, "Range: bytes=5-9", method=method)

    assert answer.status == 412
    assert service.importers.opened == []


@pytest.mark.parametrize(
    "condition", [f"If-Match: {TAG}", "If-Match: *", f"If-Unmodified-Since: {MODIFIED_DATE}"]
)
def test_condition_that_holds_changes_nothing(service, condition):
    """A client that resumes only the same content gets it."""
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", condition, "Range: bytes=5-9")

    assert (answer.status, answer.content) == (206, LARGE[5:10])


def test_not_modified_comes_before_the_range(service):
    """RFC 9110 14.2: Range is looked at when the conditions are through."""
    service.publish(LARGE)

    answer = service.answer("/base/f", f"If-None-Match: {TAG}", "Range: bytes=5-9")

    assert answer.status == 304
    assert answer["Content-Range"] is None


def test_head_ignores_the_range(service):
    """RFC 9110 14.2: Range is defined for GET alone."""
    service.publish(LARGE)

    answer = service.answer("/base/f", f"Range: bytes={SIZE}-", method="HEAD")

    assert answer.status == 200
    assert answer["Content-Length"] == str(SIZE)
    assert answer["Accept-Ranges"] == "bytes"


# -- passed on


@pytest.mark.parametrize("settings", PASSING)
def test_range_that_is_passed_is_marked_unverified(settings):
    """Nobody verified it: the client, the log and every cache are told."""
    service = Service(**settings)
    service.publish(LARGE, span(5, 9))

    answer = service.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (206, LARGE[5:10])
    assert service.importers.spans == [ByteRange(5, 9)]
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss; detail=unverified"
    assert answer["Cache-Control"] == "no-store"
    assert service.transfer.verified == "passed"
    assert service.metric('pulp_streamer_verified_total{kind="passed"}') == 1


@pytest.mark.parametrize("settings", PASSING)
@pytest.mark.parametrize("value", ["bytes=0-", f"bytes=-{SIZE}", f"bytes=0-{SIZE - 1}"])
def test_range_that_is_all_of_it_is_verified(settings, value):
    """It costs the origin the same."""
    service = Service(**settings)
    service.publish(LARGE, whole())

    answer = service.answer("/base/f", f"Range: {value}")

    assert (answer.status, answer.content) == (206, LARGE)
    assert service.transfer.verified == "held_tail"


def test_ranges_far_apart_are_asked_for_one_after_the_other(passing):
    """What lies between them is not fetched; what lies close together is fetched at once."""
    passing.publish(LARGE, span(5, 12), span(150_000, 150_004))

    answer = passing.answer("/base/f", "Range: bytes=5-9,11-12,150000-150004")
    message = email.message_from_bytes(
        f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode() + answer.content
    )

    assert passing.importers.spans == [ByteRange(5, 12), ByteRange(150_000, 150_004)]
    assert [part.get_payload(decode=True) for part in message.walk()][1:] == [
        LARGE[5:10],
        LARGE[11:13],
        LARGE[150_000:150_005],
    ]


def test_origin_that_ignores_ranges_is_verified_after_all(passing):
    """It sends the whole, so the range can be cut out of it and the digest be compared."""
    passing.publish(LARGE, whole(length=SIZE))

    answer = passing.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (206, LARGE[5:10])
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss"
    assert passing.transfer.verified == "held_tail"


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda: span(5, 9, size=SIZE + 1), id="another-total"),
        pytest.param(lambda: MemoryDownload([LARGE], length=SIZE + 1), id="another-length"),
        pytest.param(lambda: span(5, 8), id="too-short"),
        pytest.param(lambda: span(5, 10), id="too-long"),
        pytest.param(lambda: span(5, 8, error=ContentTruncated(4)), id="cut"),
        pytest.param(lambda: OriginNonsense("it sends another range"), id="shifted"),
    ],
)
def test_lie_about_a_range_is_found_out_before_the_head(passing, lie):
    """A short range is held until it is complete, so the next origin can serve it."""
    passing.importers.script("liar", lie())
    passing.importers.script("honest", span(5, 9))
    two = published(LARGE, source("liar"), source("honest"))
    passing.catalog.publish("base/f", two)

    answer = passing.answer("/base/f", "Range: bytes=5-9")

    assert (answer.status, answer.content) == (206, LARGE[5:10])
    assert passing.transfer.attempts == 2


@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(lambda: span(0, 99_998), id="too-short"),
        pytest.param(lambda: span(0, 100_000), id="too-long"),
        pytest.param(lambda: span(0, 5000, error=ContentTruncated(5001)), id="cut"),
    ],
)
def test_lie_about_a_large_range_breaks_it_off(passing, lie):
    """It is never complete."""
    passing.publish(LARGE, lie())

    answer = passing.answer("/base/f", "Range: bytes=0-99999")

    assert answer.status == 206
    assert not answer.is_complete


def test_content_that_changes_between_two_ranges_breaks_off(passing):
    """Parts of two representations are never one response (RFC 9110 15.3.7.3)."""
    passing.publish(
        LARGE,
        span(0, 9999, fields=(("ETag", '"1"'),)),
        span(150_000, 160_000, fields=(("ETag", '"2"'),)),
    )

    answer = passing.answer("/base/f", "Range: bytes=0-9999,150000-160000")

    assert not answer.is_complete
    assert passing.transfer.verdict == "aborted"


def test_origin_that_is_gone_between_two_ranges_breaks_it_off(passing):
    """What was begun cannot become an honest status."""
    passing.publish(LARGE, span(0, 9999), OriginUnreachable("it refuses"))

    answer = passing.answer("/base/f", "Range: bytes=0-9999,150000-160000")

    assert (answer.status, answer.is_complete) == (206, False)


def test_client_that_leaves_between_two_ranges_leaves_nothing(passing):
    """Neither the download that is over nor the one that is being opened."""
    first = MemoryDownload([LARGE[:10_000]], part_of=SIZE, at_once=False)
    passing.publish(LARGE, first)
    wire = passing.ask("/base/f", "Range: bytes=0-9999,150000-160000")
    first.send()

    wire.leave()

    assert first.is_stopped
    assert passing.clock.getDelayedCalls() == []


def test_origin_that_falls_silent_in_a_range_breaks_it_off(passing):
    """The same clock runs as for the whole."""
    first = MemoryDownload([LARGE[:10_000]], part_of=SIZE, at_once=False)
    passing.publish(LARGE, first)
    wire = passing.ask("/base/f", "Range: bytes=0-99999")
    first.send()

    passing.clock.advance(IDLE_SECONDS)

    assert not answer_of(wire).is_complete


# -- after content broke off


def broken_off(**settings):
    """A service that has just aborted a transfer, because a digest did not match."""
    service = Service(**settings)
    service.publish(LARGE, whole(LARGE[:-1] + b"x"), whole())
    service.ask("/base/f")
    return service


@pytest.mark.parametrize("settings", [*VERIFYING, *PASSING, {"unlearned": "refuse"}])
@pytest.mark.parametrize("value", ["bytes=9000-", "bytes=-5", "bytes=0-5,9-12", "bytes=9000-9100"])
def test_resumption_is_refused_after_an_abort_in_every_mode(settings, value):
    """Invariant 1: the rest may be right and the beginning was not."""
    service = broken_off(**settings)

    assert service.answer("/base/f", f"Range: {value}").status == 502


@pytest.mark.parametrize("settings", PASSING)
def test_range_from_the_first_byte_is_verified_after_an_abort(settings):
    """Somebody lies about this content; nothing of it is passed on unverified."""
    service = broken_off(**settings)

    answer = service.answer("/base/f", "Range: bytes=0-99999")

    assert (answer.status, answer.content) == (206, LARGE[:100_000])
    assert service.transfers.written[-1].verified == "held_tail"


def test_resumption_under_another_tag_gets_the_whole_after_an_abort():
    """RFC 9110 13.1.5: who sends If-Range does not join a 200 to what it has."""
    service = broken_off()

    answer = service.answer("/base/f", "Range: bytes=9000-", 'If-Range: "other"')

    assert (answer.status, answer.content) == (200, LARGE)


def test_range_that_was_cut_and_broke_off_is_distrusted(service):
    """Its client holds a beginning of the range, and would ask for the rest of it."""
    service.publish(LARGE, whole(LARGE[:-1] + b"x"), whole())
    service.ask("/base/f", "Range: bytes=0-99999")

    assert service.answer("/base/f", "Range: bytes=50000-99999").status == 502


def test_passed_range_that_merely_breaks_off_can_be_resumed(passing):
    """What nobody was to verify proves nothing by breaking off."""
    passing.publish(LARGE, span(0, 49_999, error=ContentTruncated(50_000)), span(50_000, 99_999))
    passing.ask("/base/f", "Range: bytes=0-99999")

    assert passing.answer("/base/f", "Range: bytes=50000-99999").status == 206


def test_passed_range_of_more_than_was_asked_for_is_distrusted(passing):
    """That is wrong content, whoever looks."""
    too_much = MemoryDownload(pieces(LARGE[:100_001]), part_of=SIZE)
    passing.publish(LARGE, too_much, span(50_000, 99_999))
    passing.ask("/base/f", "Range: bytes=0-99999")

    assert passing.answer("/base/f", "Range: bytes=50000-99999").status == 502


def test_range_is_passed_again_after_a_while():
    """Distrust ends."""
    service = broken_off(unlearned="pass")
    service.importers.script("v", span(9000, 9099))
    service.catalog.publish("base/f", published(LARGE, source("v")))

    service.clock.advance(DISTRUST_SECONDS)

    assert service.answer("/base/f", "Range: bytes=9000-9099").status == 206


def test_digest_decides_what_is_distrusted(service):
    """Another artifact at another path is as good as before."""
    service.publish(LARGE, whole(LARGE[:-1] + b"x"))
    service.ask("/base/f")
    service.importers.script("v", MemoryDownload([SMALL]))
    service.catalog.publish("base/g", published(SMALL, source("v"), path="g"))

    assert service.answer("/base/g", "Range: bytes=3-").content == SMALL[3:]
    assert sha256(SMALL) != sha256(LARGE)


# -- after the client left


def left_behind(content, *later, **settings):
    """A service whose client left behind 100,000 bytes of `content`."""
    service = Service(**settings)
    first = MemoryDownload(pieces(content), at_once=False)
    service.publish(LARGE, first, *later)
    wire = service.ask("/base/f")
    while first.sent_bytes < 100_000:
        first.send()
    wire.leave()
    return service


@pytest.mark.parametrize("settings", VERIFYING)
def test_client_that_left_can_come_back_for_the_rest(settings):
    """Its beginning was right, and the pass that its rest is cut out of agrees with it."""
    service = left_behind(LARGE, whole(), **settings)

    answer = service.answer("/base/f", "Range: bytes=90000-")

    assert (answer.status, answer.content) == (206, LARGE[90_000:])
    assert answer.is_complete


@pytest.mark.parametrize("settings", [*VERIFYING, {"unlearned": "refuse"}])
@pytest.mark.parametrize("value", ["bytes=90000-", "bytes=-9000"])
def test_client_that_left_with_wrong_content_never_completes_it(settings, value):
    """Nobody could know then; the pass of its resumption comes to another digest there."""
    wrong = b"x" + LARGE[1:]
    service = left_behind(wrong, whole(), whole(), **settings)

    answers = [service.answer("/base/f", f"Range: {value}") for _ in range(2)]

    assert [answer.is_complete and answer.status < 400 for answer in answers] == [False, False]


@pytest.mark.parametrize(
    ("settings", "status"), [({}, 502), ({"unlearned": "pass"}, 206)], ids=["auto", "pass"]
)
def test_client_that_left_too_often_gets_no_part_that_was_to_be_compared(settings, status):
    """What it may hold is not known any more; what nobody verifies is not compared either."""
    service = Service(**settings)
    for number in range(MAX_CHECKPOINTS + 1):
        download = MemoryDownload(pieces(LARGE), at_once=False)
        service.publish(LARGE, download)
        wire = service.ask("/base/f")
        for _ in range(number + 1):
            download.send()
        wire.leave()
    service.publish(LARGE, span(9000, 9099) if settings else whole())

    assert service.answer("/base/f", "Range: bytes=9000-9099").status == status


def test_client_that_begins_anew_after_it_left_is_not_held_up():
    """What it got then plays no part."""
    service = left_behind(b"x" + LARGE[1:], whole())

    answer = service.answer("/base/f")

    assert (answer.status, answer.content) == (200, LARGE)


def test_client_that_stalled_with_wrong_content_never_completes_it():
    """It is cut off, and may come back."""
    service = Service()
    first = MemoryDownload(pieces(b"x" + LARGE[1:]), at_once=False)
    service.publish(LARGE, first, whole())
    wire = service.ask("/base/f")
    first.send()
    wire.stop_reading()
    for _ in range(5):
        service.clock.advance(STALL_SECONDS / 4)

    answer = service.answer("/base/f", "Range: bytes=4000-")

    assert service.transfers.written[0].verdict == "aborted"
    assert not answer.is_complete


# -- a client that joins parts of several transfers, as aria2 does


def beside(content=LARGE, **settings):
    """A service, and a client that has begun to get the whole of `content`, unverified."""
    service = Service(**settings)
    first = MemoryDownload(pieces(content), at_once=False)
    service.publish(LARGE, first, whole(), whole())
    wire = service.ask("/base/f")
    for _ in range(25):
        first.send()
    return service, first, wire


def test_client_with_an_unverified_whole_gets_no_part_beside_it():
    """It could keep what it has of the first; aria2 joins a 200 to nothing."""
    service, _, wire = beside()

    answer = service.answer("/base/f", "Range: bytes=150000-")
    wire.leave()

    assert (answer.status, answer.content) == (200, LARGE)


@pytest.mark.parametrize("settings", [{}, {"unlearned": "refuse"}], ids=["auto", "refuse"])
def test_client_that_comes_back_unnoticed_never_completes_wrong_content(settings):
    """Its connection was lost and nobody here knows; wget skips what it has of the 200."""
    service, _, wire = beside(b"x" + LARGE[1:], **settings)

    answer = service.answer("/base/f", "Range: bytes=100000-")
    wire.leave()

    assert (answer.status, answer.is_complete) == (200, False)


def test_client_whose_transfer_is_verified_gets_parts_beside_it():
    """Nothing that it holds is in doubt, though it has not taken all yet."""
    service, first, wire = beside()
    wire.stop_reading()
    while first.sent_bytes < SIZE:
        first.send()
    first.end()

    answer = service.answer("/base/f", "Range: bytes=150000-")
    wire.leave()

    assert (answer.status, answer.content) == (206, LARGE[150_000:])


def part_first(content=b"x" + LARGE[1:]):
    """A service, a client that is getting a part, which is all there but for its end, and another
    transfer that the same client has begun since.
    """
    service = Service()
    part = MemoryDownload(pieces(LARGE), at_once=False)
    other = MemoryDownload(pieces(content), at_once=False)
    service.publish(LARGE, part, other, whole())
    wire = service.ask("/base/f", "Range: bytes=150000-")
    while part.sent_bytes < SIZE:
        part.send()
    return service, part, other, wire


def test_part_waits_for_a_transfer_that_its_client_began_after_it():
    """When that one is verified, the two may be joined."""
    service, part, other, wire = part_first(LARGE)
    service.ask("/base/f")
    other.send()

    part.end()
    before = answer_of(wire).is_complete
    while other.sent_bytes < SIZE:
        other.send()
    other.end()

    assert before is False
    assert answer_of(wire).content == LARGE[150_000:]


def test_part_breaks_off_when_its_client_leaves_what_it_waits_for():
    """The client keeps what it has of that, and the pass of the part is beyond that place."""
    service, part, wrong, wire = part_first()
    other = service.ask("/base/f")
    wrong.send()
    part.end()

    other.leave()

    assert not answer_of(wire).is_complete
    assert {each.verdict for each in service.transfers.written} == {"aborted", "client_gone"}


def test_part_breaks_off_when_what_it_waits_for_is_found_wrong():
    """An origin lies about this content."""
    service, part, wrong, wire = part_first()
    service.ask("/base/f")
    wrong.send()
    part.end()

    wrong.end(ContentTruncated(4096))
    service.clock.advance(1)

    assert not answer_of(wire).is_complete


def test_part_waits_a_bounded_time():
    """Then it breaks off, and can be asked for again."""
    service, part, other, wire = part_first(LARGE)
    leaving = service.ask("/base/f")
    other.send()
    leaving.stop_reading()
    part.end()

    service.clock.advance(IDLE_SECONDS)

    assert wire.ending == "aborted"
    leaving.leave()


def test_client_that_leaves_while_its_part_waits_leaves_nothing():
    """Neither a timer nor anybody who waits."""
    service, part, other, wire = part_first(LARGE)
    leaving = service.ask("/base/f")
    other.send()
    part.end()

    wire.leave()
    leaving.leave()

    assert service.clock.getDelayedCalls() == []


def test_parts_that_run_beside_each_other_are_all_completed():
    """Each is verified by itself, and waits until the others are."""
    service = Service()
    downloads = [MemoryDownload(pieces(LARGE), at_once=False) for _ in range(2)]
    service.publish(LARGE, *downloads)
    wires = [
        service.ask("/base/f", f"Range: bytes={part}") for part in ("50000-99999", "100000-149999")
    ]

    for download in downloads:
        while download.sent_bytes < SIZE:
            download.send()
        download.end()

    assert [answer_of(wire).content for wire in wires] == [
        LARGE[50_000:100_000],
        LARGE[100_000:150_000],
    ]


def test_whole_that_waits_for_its_origin_is_in_doubt_already():
    """Before its head the client has nothing of it, and will have."""
    service = Service()
    opening = Deferred()
    service.publish(LARGE, opening, whole())
    wire = service.ask("/base/f", "Range: bytes=0-")

    answer = service.answer("/base/f", "Range: bytes=40960-")
    wire.leave()

    assert answer.status == 200


def test_part_is_not_completed_after_its_client_left_another_transfer():
    """The pass of the part is beyond the place where the two would have been compared."""
    service, part, wrong, wire = part_first()
    other = service.ask("/base/f")
    wrong.send()
    other.leave()

    part.end()

    assert not answer_of(wire).is_complete


def test_part_is_not_completed_after_another_transfer_was_found_wrong():
    """An origin lies about this content; the client may hold some of that."""
    service, part, wrong, wire = part_first()
    service.ask("/base/f")
    wrong.send()
    wrong.end(ContentTruncated(4096))
    service.clock.advance(1)

    part.end()

    assert not answer_of(wire).is_complete


def test_part_is_completed_beside_a_transfer_of_another_client():
    """Whoever joins parts does it with its own."""
    service, part, wrong, wire = part_first()
    other = Wire(service.site, service.clock, client=IPv4Address("TCP", "203.0.113.8", 50000))
    other.send(b"GET /base/f HTTP/1.1\r\nHost: h\r\n\r\n")
    wrong.send()

    part.end()
    other.leave()

    assert answer_of(wire).content == LARGE[150_000:]


def test_passed_part_that_is_broken_off_is_recorded_as_passed(passing):
    """The log says of every byte that was sent unverified that it was."""
    passing.publish(LARGE, span(0, 49_999, error=ContentTruncated(50_000)))

    passing.ask("/base/f", "Range: bytes=0-99999")

    assert (passing.transfer.verdict, passing.transfer.verified) == ("aborted", "passed")
