"""Content that is verified before it is sent, in whole exchanges: what is learned, what is proven.

Whole exchanges in memory (`exchanges`). No two leaves of the content are alike, so that a right one
in a wrong place is found out.
"""

from __future__ import annotations

import email
import hashlib
import random

import pytest
from exchanges import (
    IDLE_SECONDS,
    SMALL,
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

from streamer.errors import ContentTruncated, OriginFailing, OriginUnreachable
from streamer.fetch import LOOK_SECONDS
from streamer.health import OriginKey
from streamer.model import Artifact, Digest, PublicationId, PublishedArtifact
from streamer.pieces.learning import Learner
from streamer.pieces.proving import MOST_DOUBTS
from streamer.pieces.table import LEAF_BYTES
from streamer.plan import MAX_ATTEMPTS, MAX_FRUITLESS, MAX_STRETCH_ATTEMPTS
from streamer.ranges import ByteRange
from streamer.testing import MemoryDownload, MemoryImporters
from streamer.verify import TAIL_BYTES

SIZE = 5 * LEAF_BYTES + 1000
CONTENT = random.Random(7).randbytes(SIZE)
FEDORA, MIRROR = OriginKey("fedora", 1, 1, "fedora"), OriginKey("mirror", 1, 1, "mirror")
IN_THE_MIDDLE = 2 * LEAF_BYTES + 5000
"""A place in a leaf that others come before and behind."""

MIDDLE = 2 * LEAF_BYTES
"""Where that leaf begins."""

STRANGER = IPv4Address("TCP", "203.0.113.8", 50000)


def flipped(place=IN_THE_MIDDLE, content=CONTENT):
    """The same content with one wrong bit."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def whole(content=CONTENT, **keywords):
    return MemoryDownload(pieces(content), **keywords)


def part(first, last=SIZE - 1, content=CONTENT, **keywords):
    """An origin's answer to a span, honest unless told otherwise."""
    return MemoryDownload(pieces(content[first : last + 1]), part_of=SIZE, **keywords)


def leaves(first, last):
    """The span of these leaves, both included."""
    return ByteRange(first * LEAF_BYTES, min((last + 1) * LEAF_BYTES, SIZE) - 1)


def of_leaves(first, last, **keywords):
    """An origin's answer to the span of these leaves."""
    span = leaves(first, last)
    return part(span.first, span.last, **keywords)


def table_of(content):
    learner = Learner()
    learner.update(content)
    return learner.table()


def unlearned(*outcomes, mirror=(), retries=0, content=CONTENT, **keywords):
    """A service that has published the content with one source, or with a mirror behind it."""
    service = Service(learns=True, **keywords)
    service.importers.retries = retries
    service.importers.script("u", *outcomes)
    service.importers.script("v", *mirror)
    sources = [source("u")] + [source("v", importer="mirror", priority=1)] * bool(mirror)
    service.catalog.publish("base/f", published(content, *sources))
    return service


def learn(service, content=CONTENT):
    """As if somebody had passed all of it before."""
    service.learned.learn(published(content).artifact, table_of(content))


def learned(*outcomes, **keywords):
    """The same service, which knows the pieces of the content."""
    service = unlearned(*outcomes, **keywords)
    learn(service)
    return service


def ask(service, *fields, seconds=20):
    """Ask for the content and let time pass; give the connection."""
    wire = service.ask("/base/f", *fields)
    for _ in range(seconds * 10):
        service.clock.advance(0.1)
    return wire


def blamed(service, content=CONTENT):
    """Which of the two origins is asked last for this content, because of what it sent."""
    artifact = published(content).artifact
    return {key for key in (FEDORA, MIRROR) if service.health.is_quarantined(artifact, key)}


def content_sent(wire):
    """What a client got of a response that may not be complete."""
    return answer_of(wire).content


def parts_of(answer):
    """Content-Range and content of each part, as Python's reader of MIME finds them."""
    head = f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + answer.content).get_payload()
    return [(each["Content-Range"], each.get_payload(decode=True)) for each in parts]


# -- the first pass


@pytest.mark.parametrize("fields", [(), ("Range: bytes=5-9",)], ids=["all", "cut"])
def test_first_pass_over_all_of_it_learns(fields):
    """Also where only a part is cut out of it."""
    service = unlearned(whole())

    answer = service.answer("/base/f", *fields)

    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss"
    assert service.transfer.verified == "held_tail"
    assert list(service.learned.tables.values()) == [table_of(CONTENT)]


def test_second_pass_is_verified_by_pieces():
    """The client, the log and the metrics are told."""
    service = unlearned(whole(), whole())
    service.ask("/base/f")

    answer = service.answer("/base/f")

    assert (answer.status, answer.content) == (200, CONTENT)
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss; verified=pieces"
    assert [each.verified for each in service.transfers.written] == ["held_tail", "pieces"]
    assert service.metric('pulp_streamer_verified_total{kind="pieces"}') == 1


def test_pass_that_was_resumed_learns():
    """Leaves may be of two senders there: the digest speaks for all of them."""
    cut = whole(CONTENT[:100_000], error=ContentTruncated(100_000))
    service = unlearned(cut, mirror=[part(100_000)])

    assert answer_of(ask(service)).content == CONTENT
    assert list(service.learned.tables.values()) == [table_of(CONTENT)]


@pytest.mark.parametrize(
    "download",
    [
        whole(flipped()),
        whole(flipped(SIZE - 1)),
        whole(CONTENT[:-1]),
        whole(CONTENT + b"x"),
        whole(CONTENT[:100_000], error=ContentTruncated(100_000)),
    ],
    ids=["wrong", "wrong-at-the-end", "short", "too-long", "cut"],
)
def test_what_is_not_all_of_it_or_not_right_is_not_learned(download):
    """A table of it would make every right origin a liar."""
    service = unlearned(download)

    assert ask(service).ending == "aborted"
    assert service.learned.tables == {}


def test_pass_whose_client_leaves_is_not_learned():
    """Nobody knows whether what came was right."""
    download = MemoryDownload(pieces(CONTENT), at_once=False)
    service = unlearned(download)
    wire = service.ask("/base/f")
    for _ in range(40):
        download.send()

    wire.leave()

    assert service.learned.tables == {}
    assert service.clock.getDelayedCalls() == []


def publish(service, content, digest, size):
    artifact = Artifact((digest,), size, "application/x-rpm")
    service.importers.script("u", whole(content), whole(content))
    service.catalog.publish(
        "base/f",
        PublishedArtifact(
            "f", "base", PublicationId(1), artifact, "package", 784111777, (source("u"),)
        ),
    )


@pytest.mark.parametrize(
    ("content", "digest", "size"),
    [
        (CONTENT, Digest("sha1", hashlib.sha1(CONTENT).hexdigest()), SIZE),
        (CONTENT, Digest("md5", hashlib.md5(CONTENT).hexdigest()), SIZE),
        (CONTENT, sha256(CONTENT), None),
        (SMALL, sha256(SMALL), len(SMALL)),
    ],
    ids=["sha1", "md5", "of-unknown-size", "small"],
)
def test_content_whose_table_would_be_of_no_use_is_not_learned(content, digest, size):
    """Nor is it looked up: the second pass is like the first."""
    service = Service(learns=True)
    publish(service, content, digest, size)

    answers = [service.answer("/base/f") for _ in range(2)]

    assert [answer.content for answer in answers] == [content, content]
    assert service.learned.tables == {}
    assert "pieces" not in [each.verified for each in service.transfers.written]


def test_range_that_was_passed_is_not_learned():
    """Nobody has verified it."""
    service = unlearned(part(0, LEAF_BYTES - 1), unlearned="pass")

    answer = service.answer("/base/f", f"Range: bytes=0-{LEAF_BYTES - 1}")

    assert answer.status == 206
    assert service.transfer.verified == "passed"
    assert service.learned.tables == {}


# -- all of it, proven


@pytest.mark.parametrize("place", [0, LEAF_BYTES - 1, IN_THE_MIDDLE, SIZE - 1])
def test_wrong_bit_costs_the_client_nothing_where_another_origin_has_it_right(place):
    """One response, whole and right; and only who has sent the wrong bit is blamed for it."""
    begin = place // LEAF_BYTES * LEAF_BYTES
    liar = whole(flipped(place))
    service = learned(liar, mirror=[part(begin)])

    answer = answer_of(ask(service))

    assert answer.is_complete
    assert (answer.status, answer.content) == (200, CONTENT)
    assert service.importers.spans == [None, ByteRange(begin, SIZE - 1)]
    assert blamed(service) == {FEDORA}
    assert liar.is_stopped
    assert (service.transfer.verdict, service.transfer.origin) == ("complete", "mirror")
    failed = 'pulp_streamer_origin_failures_total{error="PieceMismatch",importer="fedora"}'
    assert service.metric(failed) == 1
    assert service.metric('pulp_streamer_resumed_total{importer="mirror"}') == 1


def test_origin_that_goes_on_wrong_is_the_one_that_is_blamed():
    """Who began, and was cut, sent nothing wrong."""
    cut = whole(CONTENT[:MIDDLE], error=ContentTruncated(MIDDLE))
    service = learned(cut, mirror=[part(MIDDLE, content=flipped(4 * LEAF_BYTES))])

    wire = ask(service)

    assert wire.ending == "aborted"
    assert content_sent(wire) == CONTENT[: 4 * LEAF_BYTES]
    assert blamed(service) == {MIRROR}


def test_liar_is_asked_last_the_next_time():
    """That is what the blame is for."""
    service = learned(whole(flipped()), mirror=[part(MIDDLE), whole()])
    ask(service)

    answer = answer_of(ask(service))

    assert answer.content == CONTENT
    assert service.importers.opened[-1] == ("mirror", "v")


def test_two_liars_with_other_wrong_bits_leave_the_client_with_right_ones():
    """What each of them has right is used."""
    service = learned(whole(flipped()), mirror=[part(MIDDLE, content=flipped(SIZE - 1))])

    wire = ask(service)

    assert wire.ending == "aborted"
    assert content_sent(wire) == CONTENT[: SIZE - TAIL_BYTES]
    assert blamed(service) == {FEDORA, MIRROR}


@pytest.mark.parametrize("place", [0, IN_THE_MIDDLE, SIZE - 1])
@pytest.mark.parametrize("retries", [0, 1, 9])
def test_wrong_bit_of_the_only_origin_is_a_break_before_it(place, retries):
    """All that went out is right, to the last byte before its leaf but for the held tail."""
    begin = place // LEAF_BYTES * LEAF_BYTES
    again = [part(begin, content=flipped(place)) for _ in range(9)]
    service = learned(whole(flipped(place)), *again, retries=retries)

    wire = ask(service)

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete
    assert content_sent(wire) == CONTENT[: min(begin, SIZE - TAIL_BYTES)]
    assert len(service.importers.opened) == 1 + min(1 + retries, MAX_FRUITLESS)
    assert blamed(service) == {FEDORA}


@pytest.mark.parametrize("place", [0, IN_THE_MIDDLE, SIZE - 1])
def test_wrong_bit_of_the_only_origin_that_comes_and_goes_costs_the_client_nothing(place):
    """It is asked again, from the wrong leaf on."""
    begin = place // LEAF_BYTES * LEAF_BYTES
    service = learned(whole(flipped(place)), part(begin))

    answer = answer_of(ask(service))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert service.importers.spans == [None, ByteRange(begin, SIZE - 1)]
    assert blamed(service) == {FEDORA}


def test_origin_that_was_wrong_is_asked_again_after_the_others():
    """Only where nobody else has it."""
    service = learned(whole(flipped()), part(MIDDLE), mirror=[OriginFailing(500)])

    answer = answer_of(ask(service))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert [name for name, _ in service.importers.opened] == ["fedora", "mirror", "fedora"]


def test_break_is_logged_as_what_was_proven():
    """As far as it came the client has what the table says."""
    service = learned(whole(flipped()))

    ask(service)

    assert (service.transfer.verdict, service.transfer.verified) == ("aborted", "pieces")


def test_client_of_a_break_may_come_back_for_the_rest():
    """It holds nothing wrong, so nothing has to be refused."""
    service = learned(whole(flipped()), part(MIDDLE, content=flipped()), part(MIDDLE))
    got = content_sent(ask(service))

    answer = answer_of(ask(service, f"Range: bytes={len(got)}-"))

    assert (answer.status, got + answer.content) == (206, CONTENT)
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss; verified=pieces"
    assert service.importers.spans == [None, *[ByteRange(MIDDLE, SIZE - 1)] * 2]


def test_client_that_left_may_come_back_for_the_rest():
    """What it holds was proven, so there is nothing to be compared."""
    download = MemoryDownload(pieces(CONTENT), at_once=False)
    service = learned(download, of_leaves(1, 5))
    wire = service.ask("/base/f")
    for _ in range(30):
        download.send()
    wire.leave()

    answer = answer_of(ask(service, "Range: bytes=90000-"))

    assert (answer.status, answer.content) == (206, CONTENT[90_000:])
    assert service.importers.spans == [None, leaves(1, 5)]


@pytest.mark.parametrize(
    "error", [None, ContentTruncated(0), OriginUnreachable("away")], ids=["short", "cut", "reset"]
)
def test_content_that_breaks_off_goes_on_at_the_very_byte(error):
    """The leaf may have two senders: what came of it stays."""
    service = learned(whole(CONTENT[:IN_THE_MIDDLE], error=error), mirror=[part(IN_THE_MIDDLE)])

    answer = answer_of(ask(service))

    assert answer.content == CONTENT
    assert service.importers.spans[-1] == ByteRange(IN_THE_MIDDLE, SIZE - 1)
    assert blamed(service) == set()


@pytest.mark.parametrize("stretch", [20_000, LEAF_BYTES // 2, LEAF_BYTES - 1])
def test_origin_that_breaks_off_within_each_leaf_gets_to_the_end(stretch):
    """It is the only one, and nothing that it sends is wrong."""
    starts = range(stretch, SIZE, stretch)
    stretches = [part(at, at + stretch - 1, error=ContentTruncated(stretch)) for at in starts]
    service = learned(whole(CONTENT[:stretch], error=ContentTruncated(stretch)), *stretches)

    answer = answer_of(ask(service, seconds=60))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert service.importers.spans[1:] == [ByteRange(at, SIZE - 1) for at in starts]
    assert blamed(service) == set()


def in_two(*later, first=CONTENT, second=CONTENT, **keywords):
    """A service whose first origin is cut in the middle of a leaf, where its mirror goes on."""
    cut = whole(first[:IN_THE_MIDDLE], error=ContentTruncated(IN_THE_MIDDLE))
    goes_on = part(IN_THE_MIDDLE, content=second)
    return learned(cut, OriginFailing(500), *later, mirror=[goes_on], **keywords)


@pytest.mark.parametrize("place", [IN_THE_MIDDLE - 1, IN_THE_MIDDLE], ids=["first", "second"])
@pytest.mark.parametrize("also_digest", [False, True])
def test_leaf_of_two_senders_that_is_wrong_comes_again_and_nobody_is_blamed(place, also_digest):
    """Who sent the end of it is asked after the others, since it may be the liar or not."""
    wrong = flipped(place)
    service = in_two(part(MIDDLE), first=wrong, second=wrong, also_digest=also_digest)

    answer = answer_of(ask(service))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert blamed(service) == set()
    assert [name for name, _ in service.importers.opened[-2:]] == ["mirror", "fedora"]
    assert service.importers.spans[-1] == ByteRange(MIDDLE, SIZE - 1)
    doubted = 'pulp_streamer_origin_failures_total{error="PieceDoubted",importer="mirror"}'
    assert service.metric(doubted) == 1


def test_leaf_of_two_senders_that_comes_wrong_again_has_one_to_blame():
    """And then the other one may go on."""
    wrong = flipped()
    service = in_two(part(MIDDLE, content=wrong), second=wrong)
    service.importers.script("v", part(MIDDLE))

    answer = answer_of(ask(service))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert blamed(service) == {FEDORA}


def test_leaf_behind_one_of_two_senders_has_one_to_blame():
    """Who went on is the only one who sent anything of it."""
    service = in_two(part(3 * LEAF_BYTES), second=flipped(3 * LEAF_BYTES))

    answer = answer_of(ask(service))

    assert answer.content == CONTENT
    assert blamed(service) == {MIRROR}


class Stretches(MemoryImporters):
    """Origins that send a stretch of whatever is asked for, and then break off; by their URLs."""

    def __init__(self, **origins):
        super().__init__()
        self.origins_of = origins

    async def open(self, source, span):
        self.opened.append((source.importer.name, source.url))
        self.spans.append(span)
        content, stretch = self.origins_of[source.url]
        first = 0 if span is None else span.first
        sent = content[first : SIZE if span is None else span.last + 1][:stretch]
        return MemoryDownload(
            pieces(sent),
            error=ContentTruncated(len(sent)),
            part_of=None if span is None else SIZE,
        )


ALL_WRONG = bytes(byte ^ 1 for byte in CONTENT)


@pytest.mark.parametrize("retries", [0, 3])
@pytest.mark.parametrize("stretch", [1, 999, 40_000, LEAF_BYTES - 1, LEAF_BYTES + 1, SIZE])
@pytest.mark.parametrize("of_liar", [1, 999, 40_000, LEAF_BYTES - 1, LEAF_BYTES + 1, SIZE])
def test_exchange_with_a_liar_and_breaks_comes_to_an_end(stretch, of_liar, retries):
    """However they take turns, it is with right bytes, or fewer."""
    importers = Stretches(u=(CONTENT, stretch), v=(ALL_WRONG, of_liar))
    service = learned(importers=importers, mirror=[OriginFailing(500)], retries=retries)

    wire = ask(service, seconds=300)

    answer = answer_of(wire)
    assert service.content.in_flight == 0
    assert CONTENT.startswith(answer.content)
    assert answer.is_complete == (answer.content == CONTENT)
    assert len(importers.opened) <= MAX_ATTEMPTS + MOST_DOUBTS * MAX_STRETCH_ATTEMPTS


def test_content_that_falls_silent_goes_on_at_the_very_byte():
    """A stall in mid-stream is a break like any other."""
    silent = MemoryDownload(at_once=False)
    service = learned(silent, mirror=[part(IN_THE_MIDDLE)])
    wire = service.ask("/base/f")
    silent.send(CONTENT[:IN_THE_MIDDLE])

    service.clock.advance(IDLE_SECONDS)
    service.clock.advance(1)

    assert content_sent(wire) == CONTENT
    assert silent.is_stopped


def crawl(service, download, first, *fields, last=SIZE - 1, seconds=3 * int(LOOK_SECONDS)):
    """Ask, and let the content from `first` on crawl; give the connection."""
    wire = service.ask("/base/f", *fields)
    for at in range(first, min(last + 1, first + seconds * 1000), 1000):
        if not download.is_stopped:
            download.send(CONTENT[at : min(at + 1000, last + 1)])
        service.clock.advance(1)
    return wire


def test_content_that_crawls_goes_on_elsewhere_at_the_very_byte():
    """Who answers is asked for what lacks when it is asked."""
    slow = MemoryDownload(at_once=False)
    service = learned(slow, mirror=[part(10_000)])

    wire = crawl(service, slow, 0)

    assert content_sent(wire) == CONTENT
    assert slow.is_stopped
    assert service.importers.spans == [None, ByteRange(10_000, SIZE - 1)]
    assert blamed(service) == set()


def test_content_that_crawls_goes_on_where_it_is_when_the_other_has_opened():
    """What came meanwhile is left out there, in the middle of a leaf."""
    slow, opening = MemoryDownload(at_once=False), Deferred()
    service = learned(slow, mirror=[opening])
    wire = crawl(service, slow, 0, seconds=int(LOOK_SECONDS) + 3)
    opened_for = service.importers.spans[-1]

    opening.callback(part(opened_for.first))

    assert opened_for == ByteRange(10_000, SIZE - 1)
    assert content_sent(wire) == CONTENT
    assert slow.is_stopped
    assert blamed(service) == set()


def test_origin_that_knows_no_ranges_heals_as_well():
    """The beginning is left out, up to the leaf."""
    service = learned(whole(flipped()), mirror=[whole()])

    answer = answer_of(ask(service))

    assert answer.content == CONTENT
    assert service.importers.spans == [None, ByteRange(MIDDLE, SIZE - 1)]


def test_rest_of_other_content_is_not_joined():
    """Another complete length is another representation; nothing of it is looked at."""
    other = MemoryDownload(pieces(CONTENT[MIDDLE:]), part_of=SIZE + 1)
    service = learned(whole(flipped()), mirror=[other])

    assert ask(service).ending == "aborted"
    assert other.sent_bytes == 0


@pytest.mark.parametrize("fields", [(), ("Range: bytes=0-",)], ids=["all", "open"])
def test_surplus_that_comes_with_the_end_is_no_matter(fields):
    """The response is complete and right, and the origin is not waited for."""
    *before, last = pieces(CONTENT)
    service = learned(MemoryDownload([*before, last + b"more", b"and more"]))

    answer = service.answer("/base/f", *fields)

    assert (answer.is_complete, answer.content) == (True, CONTENT)


def test_proven_content_of_an_origin_that_breaks_after_its_end_is_complete():
    """Nothing that it does then matters."""
    service = learned(whole(error=ContentTruncated(SIZE)))

    answer = service.answer("/base/f")

    assert (answer.is_complete, answer.content) == (True, CONTENT)


def test_client_that_does_not_read_gets_nothing_wrong_later():
    """What an origin sends after it was told to wait is held like anything else."""
    liar = MemoryDownload(at_once=False)
    service = learned(liar, mirror=[part(MIDDLE)])
    wire = service.ask("/base/f")
    wire.stop_reading()
    liar.send(flipped()[: 3 * LEAF_BYTES])
    service.clock.advance(1)
    wire.read_on()
    service.clock.advance(1)

    assert content_sent(wire) == CONTENT


@pytest.mark.parametrize("place", [None, IN_THE_MIDDLE])
def test_digest_is_compared_as_well_where_that_is_wanted(place):
    """A leaf that comes again is digested once."""
    first = whole() if place is None else whole(flipped(place))
    service = learned(first, mirror=[part(MIDDLE)], also_digest=True)

    answer = answer_of(ask(service))

    assert (answer.is_complete, answer.content) == (True, CONTENT)
    assert service.transfer.verified == "pieces"


def test_table_of_other_content_does_not_pass_where_the_digest_is_compared_as_well():
    """The end is held until it has matched."""
    other = flipped(SIZE - 1)
    service = unlearned(whole(other), also_digest=True)
    service.learned.learn(published(CONTENT).artifact, table_of(other))

    wire = ask(service)

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete


# -- ranges


@pytest.mark.parametrize("settings", [{}, {"unlearned": "pass"}, {"unlearned": "refuse"}])
@pytest.mark.parametrize(
    ("value", "first", "last", "span"),
    [
        ("5-9", 5, 9, leaves(0, 0)),
        ("65535-65536", 65535, 65536, leaves(0, 1)),
        ("131072-196607", 131_072, 196_607, leaves(2, 2)),
        ("90000-", 90_000, SIZE - 1, leaves(1, 5)),
        ("-7", SIZE - 7, SIZE - 1, leaves(5, 5)),
    ],
)
def test_range_is_cut_out_of_the_leaves_that_cover_it(settings, value, first, last, span):
    """Whatever is set for what is not learned."""
    service = learned(part(span.first, span.last), **settings)

    answer = service.answer("/base/f", f"Range: bytes={value}")

    assert (answer.status, answer.content) == (206, CONTENT[first : last + 1])
    assert answer["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert answer["Content-Length"] == str(last - first + 1)
    assert answer["Cache-Status"] == "pulp-streamer; fwd=uri-miss; verified=pieces"
    assert answer["Cache-Control"] == "public, max-age=86400, stale-if-error=604800"
    assert service.importers.spans == [span]
    assert service.transfer.verified == "pieces"


@pytest.mark.parametrize("value", ["0-", f"5-{SIZE - 5}"])
def test_range_that_needs_all_leaves_asks_for_all(value):
    """Without a Range, for an origin that knows none."""
    service = learned(whole())
    first, _, last = value.partition("-")

    answer = service.answer("/base/f", f"Range: bytes={value}")

    assert answer.content == CONTENT[int(first) : int(last or SIZE) + 1]
    assert service.importers.spans == [None]


def test_ranges_are_cut_out_of_the_leaves_that_cover_them():
    """Those that share a leaf, or have adjacent ones, cost one request."""
    service = learned(of_leaves(0, 1), of_leaves(3, 3), of_leaves(5, 5))
    ranges = [(0, 2), (50_000, 70_000), (200_000, 200_000), (SIZE - 2, SIZE - 1)]

    value = ",".join(f"{first}-{last}" for first, last in ranges)
    answer = service.answer("/base/f", f"Range: bytes={value}")

    assert parts_of(answer) == [
        (f"bytes {first}-{last}/{SIZE}", CONTENT[first : last + 1]) for first, last in ranges
    ]
    assert service.importers.spans == [leaves(0, 1), leaves(3, 3), leaves(5, 5)]


@pytest.mark.parametrize("value", ["140000-140004", "140000-190000"], ids=["small", "large"])
def test_origin_that_ignores_the_range_serves_it_all_the_same(value):
    """All that it sends is proven, and what was asked for is cut out of it."""
    service = learned(whole())
    first, last = map(int, value.split("-"))

    answer = service.answer("/base/f", f"Range: bytes={value}")

    assert (answer.status, answer.content) == (206, CONTENT[first : last + 1])
    assert service.importers.spans == [leaves(2, 2)]


def send_all(download):
    """Let it send whatever it has until it is stopped."""
    for _ in pieces(CONTENT):
        if not download.is_stopped:
            download.send()


@pytest.mark.parametrize("ranges", ["140000-140004", "140000-190000", "5-9,140000-190000"])
def test_origin_that_ignores_the_range_is_left_behind_its_end(ranges):
    """What comes up to there is proven; the rest of it is nobody's business."""
    ignorant = whole(at_once=False)
    wire = learned(ignorant).ask("/base/f", f"Range: bytes={ranges}")

    send_all(ignorant)

    answer = answer_of(wire)
    assert (answer.status, answer.is_complete) == (206, True)
    assert 3 * LEAF_BYTES < ignorant.sent_bytes <= 3 * LEAF_BYTES + 4096
    assert ignorant.is_stopped


def test_origin_that_ignores_the_range_and_lies_is_healed():
    """It goes on as what it sends does: from the wrong leaf on, up to the end of the range."""
    service = learned(whole(flipped(LEAF_BYTES)), mirror=[of_leaves(1, 2)])

    answer = answer_of(ask(service, "Range: bytes=140000-190000"))

    assert (answer.status, answer.content) == (206, CONTENT[140_000:190_001])
    assert service.importers.spans == [leaves(2, 2), leaves(1, 2)]
    assert blamed(service) == {FEDORA}


def test_origin_that_ignores_several_ranges_and_breaks_off_is_gone_on_with_up_to_their_end():
    """As it sends all, what lies between them is proven with them."""
    cut = whole(CONTENT[:50_000], error=ContentTruncated(50_000))
    left = ByteRange(50_000, 3 * LEAF_BYTES - 1)
    service = learned(cut, mirror=[part(left.first, left.last)])

    answer = answer_of(ask(service, "Range: bytes=5-9,140000-190000"))

    assert parts_of(answer) == [
        (f"bytes 5-9/{SIZE}", CONTENT[5:10]),
        (f"bytes 140000-190000/{SIZE}", CONTENT[140_000:190_001]),
    ]
    assert service.importers.spans == [leaves(0, 0), left]


def test_wrong_bit_behind_the_range_is_nothing_to_who_ignores_it():
    """It is not looked at."""
    service = learned(whole(flipped(3 * LEAF_BYTES)))

    answer = service.answer("/base/f", "Range: bytes=140000-190000")

    assert (answer.status, answer.content) == (206, CONTENT[140_000:190_001])
    assert blamed(service) == set()


def test_liar_costs_a_small_range_nothing():
    """It is held until it is proven, so that another one can still begin."""
    liar = of_leaves(2, 2, content=flipped())
    service = learned(liar, mirror=[of_leaves(2, 2)])

    answer = answer_of(ask(service, "Range: bytes=131072-131172"))

    assert (answer.status, answer.content) == (206, CONTENT[131_072:131_173])
    assert blamed(service) == {FEDORA}


def test_small_range_of_a_liar_alone_is_an_honest_error():
    """Not a byte of it goes out, and the next client may ask again."""
    service = learned(of_leaves(2, 2, content=flipped()), of_leaves(2, 2))

    answers = [answer_of(ask(service, "Range: bytes=131072-131172")) for _ in range(2)]

    assert [answer.status for answer in answers] == [502, 206]


def test_wrong_bit_that_nobody_asked_for_is_found_out_all_the_same():
    """It is in a leaf that covers the range, so the origin is known for a liar."""
    service = learned(of_leaves(2, 2, content=flipped()), mirror=[of_leaves(2, 2)])

    answer = answer_of(ask(service, f"Range: bytes={MIDDLE}-{MIDDLE + 9}"))

    assert answer.content == CONTENT[MIDDLE : MIDDLE + 10]
    assert service.importers.opened == [("fedora", "u"), ("mirror", "v")]


def test_range_that_breaks_off_goes_on_at_the_very_byte():
    """What is left of its leaves is asked for, and no more."""
    cut = part(LEAF_BYTES, IN_THE_MIDDLE - 1, error=ContentTruncated(9))
    left = ByteRange(IN_THE_MIDDLE, 4 * LEAF_BYTES - 1)
    service = learned(cut, OriginFailing(500), mirror=[part(left.first, left.last)])

    answer = answer_of(ask(service, "Range: bytes=70000-200000"))

    assert (answer.status, answer.content) == (206, CONTENT[70_000:200_001])
    assert service.importers.spans == [leaves(1, 3), left, left]


def broken_range(ignorant, **keywords):
    """A range that is cut in the middle of a leaf, where one who ignores ranges goes on."""
    cut = part(LEAF_BYTES, IN_THE_MIDDLE - 1, error=ContentTruncated(9))
    service = learned(cut, mirror=[ignorant], **keywords)
    wire = ask(service, "Range: bytes=70000-200000")
    send_all(ignorant)
    return answer_of(wire)


def test_range_that_breaks_off_goes_on_with_all_of_the_content():
    """The beginning of it is left out, and so is what comes behind the range."""
    ignorant = whole(at_once=False)

    answer = broken_range(ignorant, skip_up_to=IN_THE_MIDDLE)

    assert answer.is_complete
    assert (answer.status, answer.content) == (206, CONTENT[70_000:200_001])
    assert ignorant.sent_bytes <= 4 * LEAF_BYTES + 4096


def test_range_that_breaks_off_does_not_go_on_where_too_much_would_be_left_out():
    """As little as the whole does."""
    ignorant = whole(at_once=False)

    answer = broken_range(ignorant, skip_up_to=IN_THE_MIDDLE - 1)

    assert not answer.is_complete
    assert ignorant.sent_bytes == 0


def test_range_that_breaks_off_is_logged_as_what_was_proven():
    """As the whole is."""
    service = learned(part(LEAF_BYTES, IN_THE_MIDDLE - 1, error=ContentTruncated(9)))

    ask(service, "Range: bytes=70000-200000")

    assert (service.transfer.verdict, service.transfer.verified) == ("aborted", "pieces")


def test_small_range_of_a_liar_alone_is_logged_as_nothing():
    """Not a byte of it went out."""
    service = learned(of_leaves(2, 2, content=flipped()))

    ask(service, f"Range: bytes={MIDDLE}-{MIDDLE + 9}")

    assert (service.transfer.status, service.transfer.verified) == (502, "none")


def test_small_range_of_an_origin_whose_fault_comes_and_goes_is_asked_for_again():
    """Within the retries of its importer; the client sees nothing of it."""
    service = learned(of_leaves(2, 2, content=flipped()), of_leaves(2, 2), retries=1)

    answer = answer_of(ask(service, "Range: bytes=131072-131172"))

    assert (answer.status, answer.content) == (206, CONTENT[131_072:131_173])


def test_range_that_crawls_goes_on_elsewhere():
    """It is one stretch of content, like the whole."""
    slow = MemoryDownload(at_once=False, part_of=SIZE)
    left = ByteRange(LEAF_BYTES + 10_000, 5 * LEAF_BYTES - 1)
    service = learned(slow, mirror=[part(left.first, left.last)])

    wire = crawl(service, slow, LEAF_BYTES, "Range: bytes=70000-300000", last=left.last)

    assert content_sent(wire) == CONTENT[70_000:300_001]
    assert slow.is_stopped
    assert service.importers.spans == [leaves(1, 4), left]


def test_origin_that_ignores_the_range_and_crawls_is_left_for_another():
    """Which is asked for what is needed, up to the end of the range."""
    slow = MemoryDownload(at_once=False)
    left = ByteRange(10_000, 5 * LEAF_BYTES - 1)
    service = learned(slow, mirror=[part(left.first, left.last)])

    wire = crawl(service, slow, 0, "Range: bytes=70000-300000")

    assert content_sent(wire) == CONTENT[70_000:300_001]
    assert slow.is_stopped
    assert service.importers.spans == [leaves(1, 4), left]


def test_several_ranges_that_crawl_are_let_be():
    """What is left of them would be several requests elsewhere."""
    slow = MemoryDownload(at_once=False, part_of=SIZE)
    service = learned(slow, mirror=[part(0)])

    crawl(service, slow, 0, f"Range: bytes=0-190000,{SIZE - 5}-{SIZE - 1}", last=3 * LEAF_BYTES - 1)

    assert not slow.is_stopped
    assert service.importers.spans == [leaves(0, 2)]


FAR_RANGES = [
    (100, 40_000),
    (2 * LEAF_BYTES + 100, 2 * LEAF_BYTES + 50_000),
    (SIZE - 500, SIZE - 1),
]
FAR = "Range: bytes=" + ",".join(f"{first}-{last}" for first, last in FAR_RANGES)
FAR_PARTS = [
    (f"bytes {first}-{last}/{SIZE}", CONTENT[first : last + 1]) for first, last in FAR_RANGES
]


@pytest.mark.parametrize(
    ("second", "is_blamed"),
    [
        (OriginUnreachable("away"), False),
        (OriginFailing(500), False),
        (of_leaves(2, 2, content=flipped()), True),
        (of_leaves(1, 1), True),
        (whole(), False),
    ],
    ids=["away", "failing", "wrong", "elsewhere", "all"],
)
def test_span_in_the_middle_that_fails_is_healed_by_another_origin(second, is_blamed):
    """It is asked for what is left of the spans, from the beginning of a leaf on."""
    service = learned(of_leaves(0, 0), second, mirror=[of_leaves(2, 2), of_leaves(5, 5)])

    answer = answer_of(ask(service, FAR))

    assert parts_of(answer) == FAR_PARTS
    assert service.importers.spans[:2] == [leaves(0, 0), leaves(2, 2)]
    assert service.importers.spans[-2:] == [leaves(2, 2), leaves(5, 5)]
    assert blamed(service) == ({FEDORA} if is_blamed else set())


@pytest.mark.parametrize("error", [None, ContentTruncated(5000)], ids=["short", "cut"])
def test_span_in_the_middle_that_breaks_off_goes_on_at_the_very_byte(error):
    """With what is left of it, and then with the next one."""
    cut = part(MIDDLE, IN_THE_MIDDLE - 1, error=error)
    left = ByteRange(IN_THE_MIDDLE, 3 * LEAF_BYTES - 1)
    service = learned(
        of_leaves(0, 0),
        cut,
        OriginFailing(500),
        mirror=[part(left.first, left.last), of_leaves(5, 5)],
    )

    answer = answer_of(ask(service, FAR))

    assert parts_of(answer) == FAR_PARTS
    assert service.importers.spans == [leaves(0, 0), leaves(2, 2), left, left, leaves(5, 5)]
    assert blamed(service) == set()


@pytest.mark.parametrize(
    "fields",
    [(("ETag", '"another"'),), (("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),)],
    ids=["etag", "last-modified"],
)
def test_validators_of_proven_spans_are_not_compared(fields):
    """Two servers behind one name may call the same content differently; what it is, is known."""
    service = learned(of_leaves(0, 0), of_leaves(2, 2, fields=fields), of_leaves(5, 5))

    answer = service.answer("/base/f", FAR)

    assert parts_of(answer) == FAR_PARTS
    assert service.importers.spans == [leaves(0, 0), leaves(2, 2), leaves(5, 5)]
    assert blamed(service) == set()


@pytest.mark.parametrize("surplus", [1, 5000])
def test_span_of_more_than_was_asked_for_goes_on_with_the_next_at_another_origin(surplus):
    """What came before the surplus is proven."""
    too_much = part(MIDDLE, 3 * LEAF_BYTES - 1 + surplus)
    service = learned(of_leaves(0, 0), too_much, mirror=[of_leaves(5, 5)])

    answer = answer_of(ask(service, FAR))

    assert parts_of(answer) == FAR_PARTS


def test_span_whose_end_comes_with_more_is_asked_for_again():
    """Nobody has looked at a chunk that is partly of no use."""
    too_much = MemoryDownload([CONTENT[MIDDLE : 3 * LEAF_BYTES + 1]], part_of=SIZE)
    service = learned(of_leaves(0, 0), too_much, mirror=[of_leaves(2, 2), of_leaves(5, 5)])

    answer = answer_of(ask(service, FAR))

    assert parts_of(answer) == FAR_PARTS


def test_origin_that_goes_on_with_spans_and_lies_is_blamed_alone():
    """Who began was right, as far as it came."""
    cut = part(0, 3 * LEAF_BYTES - 1, error=ContentTruncated(9))
    liar = of_leaves(5, 5, content=flipped(SIZE - 1))
    service = learned(cut, mirror=[of_leaves(3, 3), liar])

    wire = ask(service, f"Range: bytes=0-{4 * LEAF_BYTES - 1},{SIZE - 5}-{SIZE - 1}")

    assert wire.ending == "aborted"
    assert blamed(service) == {MIRROR}


def test_all_of_the_content_is_not_taken_for_what_is_left_of_spans():
    """It does not end where they do; who sends it is left, and another one goes on."""
    ignorant = whole()
    service = learned(
        of_leaves(0, 0),
        OriginUnreachable("away"),
        ignorant,
        mirror=[of_leaves(2, 2), of_leaves(5, 5)],
        retries=1,
    )

    answer = answer_of(ask(service, FAR))

    assert parts_of(answer) == FAR_PARTS
    assert ignorant.sent_bytes == 0


def test_spans_of_a_liar_alone_break_before_its_leaf():
    """What went out is a beginning of the right response."""
    right = learned(of_leaves(0, 0), of_leaves(2, 2), of_leaves(5, 5)).answer("/base/f", FAR)
    service = learned(of_leaves(0, 0), of_leaves(2, 2, content=flipped()))

    wire = ask(service, FAR)

    assert wire.ending == "aborted"
    assert right.content.startswith(content_sent(wire))
    assert CONTENT[100:40_001] in content_sent(wire)


@pytest.mark.parametrize("is_learned", [True, False])
def test_head_says_of_ranges_what_get_does(is_learned):
    """With `refuse` there are ranges of what is learned alone."""
    service = unlearned(whole(), unlearned="refuse")
    if is_learned:
        learn(service)

    head = service.answer("/base/f", method="HEAD")
    answer = service.answer("/base/f")

    assert head["Accept-Ranges"] == answer["Accept-Ranges"]
    assert answer["Accept-Ranges"] == ("bytes" if is_learned else "none")


# -- beside transfers that were not proven


def left_behind(content, *later, **settings):
    """A service whose client left 100,000 unverified bytes of `content`; then it was learned."""
    service = Service(learns=True, **settings)
    first = MemoryDownload(pieces(content), at_once=False)
    service.importers.script("u", first, *later)
    service.catalog.publish("base/f", published(CONTENT, source("u")))
    wire = service.ask("/base/f")
    while first.sent_bytes < 100_000:
        first.send()
    wire.leave()
    learn(service)
    return service


SETTINGS = [
    pytest.param({}, id="auto"),
    pytest.param({"verify_up_to": 0}, id="auto-beyond-the-limit"),
    pytest.param({"unlearned": "verify"}, id="verify"),
    pytest.param({"unlearned": "pass"}, id="pass"),
    pytest.param({"unlearned": "refuse"}, id="refuse"),
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("first", [50_000, 90_000, 250_000])
def test_right_beginning_is_compared_and_completed(settings, first):
    """A pass over all of it tells, whatever is set for what is not learned."""
    service = left_behind(CONTENT, whole(), **settings)

    answer = service.answer("/base/f", f"Range: bytes={first}-")

    assert (answer.status, answer.content) == (206, CONTENT[first:])
    assert service.importers.spans == [None, None]
    assert service.transfers.written[-1].verified == "pieces"


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("value", ["50000-", "90000-", "250000-", "-9000", "90000-90100"])
def test_wrong_beginning_is_never_completed(settings, value):
    """The rest is proven right, and would make a wrong file."""
    service = left_behind(flipped(7), whole(), whole(), **settings)

    wires = [ask(service, f"Range: bytes={value}") for _ in range(2)]
    answers = [answer_of(wire) for wire in wires]

    assert [answer.is_complete and answer.status < 400 for answer in answers] == [False, False]
    assert blamed(service) == set()


@pytest.mark.parametrize("chunk_bytes", [4096, 99_000, SIZE])
@pytest.mark.parametrize("end", [SIZE, 140_000])
def test_wrong_beginning_is_found_out_in_chunks_of_any_size(chunk_bytes, end):
    """Also where a break lets the leaf pass that shows it, and where all comes at once."""
    first = MemoryDownload(pieces(CONTENT[:end], chunk_bytes), error=ContentTruncated(end))
    service = left_behind(flipped(7), first, part(MIDDLE))

    wire = ask(service, "Range: bytes=90000-")

    assert not answer_of(wire).is_complete
    assert wire.ending == "aborted"
    assert service.transfers.written[-1].verdict == "aborted"


def test_client_that_holds_a_wrong_beginning_may_begin_anew():
    """What it got then plays no part."""
    service = left_behind(flipped(7), whole())

    answer = service.answer("/base/f")

    assert (answer.status, answer.content) == (200, CONTENT)


def test_client_whose_beginning_is_not_known_is_not_compared():
    """Another one's transfer is not its own."""
    service = left_behind(flipped(7), of_leaves(1, 5))
    wire = Wire(service.site, service.clock, client=STRANGER)

    wire.send(b"GET /base/f HTTP/1.1\r\nHost: h\r\nRange: bytes=90000-\r\n\r\n")

    assert content_sent(wire) == CONTENT[90_000:]


def test_part_is_compared_with_a_transfer_of_its_client_that_is_on_its_way():
    """That began before the content was learned, and is wrong."""
    first = MemoryDownload(pieces(flipped(7)), at_once=False)
    service = unlearned(first, whole())
    service.ask("/base/f", "Range: bytes=0-250000")
    for _ in range(30):
        first.send()
    learn(service)

    wire = ask(service, "Range: bytes=90000-")

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete


def test_part_is_refused_while_other_clients_may_hold_something_wrong():
    """What was proven since does not make their beginnings right."""
    service = unlearned(whole(flipped(SIZE - 1)), of_leaves(1, 5))
    ask(service)
    learn(service)

    answer = service.answer("/base/f", "Range: bytes=90000-")

    assert answer.status == 502


def test_wrong_beginning_that_a_break_brings_to_light_is_the_end_of_the_exchange():
    """The origin that breaks off is told nothing of it."""
    first = MemoryDownload(at_once=False)
    service = left_behind(flipped(7), first, part(MIDDLE))
    wire = service.ask("/base/f", "Range: bytes=90000-")
    first.send(CONTENT[:140_000])

    first.end(ContentTruncated(140_000))
    service.clock.advance(1)

    assert wire.ending == "aborted"
    assert "one of them is wrong" in service.transfers.written[-1].reason
    assert first.is_stopped


def test_wrong_beginning_is_no_reason_to_ask_another_origin():
    """It is what the client has that is wrong, and nobody can make that good."""
    service = left_behind(flipped(7), whole())
    service.importers.script("v", part(LEAF_BYTES), part(MIDDLE))
    sources = [source("u"), source("v", importer="mirror", priority=1)]
    service.catalog.publish("base/f", published(CONTENT, *sources))

    wire = ask(service, "Range: bytes=90000-")

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete
    assert service.importers.opened == [("fedora", "u"), ("fedora", "u")]


def test_wrong_beginning_is_remembered_once_it_is_known():
    """Its client got more to join to it, so what it asks for next is refused."""
    service = left_behind(flipped(7), whole(), whole())
    wire = ask(service, "Range: bytes=5000-")
    asked_for = len(service.importers.opened)

    answer = service.answer("/base/f", "Range: bytes=150000-")

    assert content_sent(wire) == CONTENT[5000:LEAF_BYTES]
    assert answer.status == 502
    assert len(service.importers.opened) == asked_for


def test_proven_transfer_keeps_no_other_of_its_client_waiting():
    """What comes of it is right, however it ends."""
    first = MemoryDownload(pieces(CONTENT), at_once=False)
    service = learned(first, of_leaves(2, 5))
    service.ask("/base/f")
    for _ in range(30):
        first.send()

    answer = service.answer("/base/f", "Range: bytes=140000-")

    assert (answer.status, answer.content) == (206, CONTENT[140_000:])


def beside_another():
    """A client that waits for a cut part, and has all but the end of a proven one beside it."""
    opening = Deferred()
    service = unlearned(opening, of_leaves(2, 5))
    other = service.ask("/base/f", "Range: bytes=0-199999")
    learn(service)
    wire = service.ask("/base/f", "Range: bytes=140000-")
    assert not answer_of(wire).is_complete
    return service, opening, other, wire


def test_proven_part_is_not_completed_after_its_client_left_one_that_was_not():
    """It may hold something wrong to join it to."""
    service, opening, other, wire = beside_another()
    download = MemoryDownload(at_once=False)
    opening.callback(download)
    download.send(flipped(7)[:50_000])

    other.leave()
    service.clock.advance(0.1)

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete


def test_proven_part_is_completed_when_another_is_verified():
    """Both are right then."""
    _, opening, other, wire = beside_another()

    opening.callback(whole())

    assert (answer_of(other).content, answer_of(wire).content) == (
        CONTENT[:200_000],
        CONTENT[140_000:],
    )
