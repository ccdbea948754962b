"""A save: from origins into a target, without a client.

The supply, the pump and the verifier are real; the importers, the clock and most of the targets are
in memory (`exchanges`). What a target keeps from an earlier time is what a test gives it.
"""

from __future__ import annotations

import hashlib
import io

import pytest
from exchanges import IDLE_SECONDS, LARGE, SMALL, Service, pieces, published, sha256, source
from twisted.internet.defer import CancelledError, Deferred

from streamer.errors import (
    CatalogUnavailable,
    ContentTruncated,
    ImporterBroken,
    NoOriginServed,
    OperationRefused,
    OriginFailing,
    OriginLacksIt,
    OriginUnreachable,
)
from streamer.health import OriginKey
from streamer.model import Digest
from streamer.pieces.learning import Learner
from streamer.pieces.table import LEAF_BYTES
from streamer.ranges import ByteRange
from streamer.saving import Saving
from streamer.stream_target import StreamTarget
from streamer.supply import Supply
from streamer.testing import MemoryDownload, MemoryLearned
from streamer.transfers import Notes
from streamer.verification import Verification

HALF = len(LARGE) // 2
REST = ByteRange(HALF, len(LARGE) - 1)
WRONG = LARGE[:-1] + b"!"


def whole(content=LARGE, **keywords):
    """What an origin sends that is asked for all of it."""
    return MemoryDownload(pieces(content), length=len(content), **keywords)


def cut_at(end, content=LARGE):
    """A download that breaks off at `end`."""
    return MemoryDownload(pieces(content[:end]), error=ContentTruncated(end))


def rest(start=HALF, content=LARGE, **keywords):
    """What an origin sends that honours a Range from `start` on."""
    return MemoryDownload(pieces(content[start:]), part_of=len(content), **keywords)


class MemoryTarget:
    """A target that is able to forget, unless told otherwise."""

    def __init__(self, kept=b"", can_forget=True, on_write=lambda content: None):
        self.content = kept
        self.is_finished = False
        self._can_forget = can_forget
        self._on_write = on_write

    def kept(self):
        return pieces(self.content, 10_000)

    def write(self, content):
        self._on_write(content)
        self.content += content

    def start_over(self):
        if self._can_forget:
            self.content = b""
        return self._can_forget

    async def finish(self):
        self.is_finished = True


class Save:
    """One save of content that is published with two sources, of which the second may be unused."""

    def __init__(self, target, *outcomes, mirror=(), content=LARGE, size=..., **keywords):
        self.service = Service()
        self.importers, self.clock = self.service.importers, self.service.clock
        self.importers.script("u", *outcomes)
        self.importers.script("v", *mirror)
        sources = [source("u")] + [source("v", importer="mirror", priority=1)] * bool(mirror)
        self.entry = published(content, *sources, size=size)
        self.target = target
        self.notes = Notes()
        self._keywords = {"clock": self.clock, "idle_seconds": IDLE_SECONDS, **keywords}

    def start(self):
        """Begin to save; what it comes to is awaited by `run`."""
        saving = Saving(
            self.entry.artifact,
            self.target,
            lambda: Supply.of(self.service.supplies, self.entry, self.notes),
            **self._keywords,
        )
        self.running = Deferred.fromCoroutine(saving.run())
        self._outcome = []
        self.running.addBoth(self._outcome.append)
        return self

    def run(self, seconds=30):
        """Let time pass; give what was saved, or raise what it failed with."""
        self.start()
        for _ in range(seconds * 10):
            self.clock.advance(0.1)
        return self.outcome()

    def outcome(self):
        (outcome,) = self._outcome
        if hasattr(outcome, "raiseException"):
            outcome.raiseException()
        return outcome


def test_saved_content_clears_the_record_of_its_origin():
    """It came to its end, so the failure before it was not the first of a row."""
    save = Save(MemoryTarget(), OriginUnreachable("it refuses"), whole())
    save.importers.retries = 1

    save.run()

    assert [] == save.service.health.reports()


# -- into an empty target


def test_saved_content_is_described_by_its_size_and_digests():
    """The digest that is verified comes first, those that were asked for follow."""
    saved = Save(MemoryTarget(), whole(), algorithms=["md5", "sha256"]).run()

    assert saved.size == len(LARGE)
    assert saved.digests == (sha256(LARGE), Digest("md5", hashlib.md5(LARGE).hexdigest()))
    assert saved.kept_bytes == 0


def test_target_is_finished_when_it_has_all_of_the_content():
    """Nobody else says so."""
    one = Save(MemoryTarget(), whole())

    one.run()

    assert one.target.content == LARGE
    assert one.target.is_finished
    assert one.importers.spans == [None]


@pytest.mark.parametrize("content", [SMALL, b""])
@pytest.mark.parametrize("size", [..., None])
def test_small_and_empty_content_of_known_and_unknown_size_is_saved(content, size):
    """The digest decides."""
    one = Save(MemoryTarget(), MemoryDownload([content]), content=content, size=size)

    assert one.run().size == len(content)
    assert one.target.content == content


def test_held_content_is_saved():
    """What no origin has is no special case."""
    one = Save(MemoryTarget(), content=SMALL)
    one.entry = published(SMALL, held=True)
    one.service.catalog.publish("base/f", one.entry, SMALL)

    one.run()

    assert one.target.content == SMALL
    assert one.notes.origin == "catalog"


def test_content_that_came_is_counted():
    """Under the importer's name."""
    one = Save(MemoryTarget(), whole())

    one.run()

    series = 'pulp_streamer_received_bytes_total{importer="fedora"}'
    assert one.service.metric(series) == len(LARGE)


def test_progress_is_told_as_the_target_grows():
    """The last word is the size."""
    written = []

    Save(MemoryTarget(), whole(), on_written=written.append).run()

    assert written == sorted(written)
    assert written[-1] == len(LARGE)


# -- origins that fail


def test_next_origin_is_asked_where_one_fails_before_its_content():
    """The importer's name and the attempts are noted."""
    one = Save(MemoryTarget(), OriginLacksIt(404), mirror=[whole()])

    one.run()

    assert one.target.content == LARGE
    assert (one.notes.origin, one.notes.attempts) == ("mirror", 2)


def test_nobody_serves_and_all_failures_are_named():
    """Each with its importer."""
    one = Save(MemoryTarget(), OriginLacksIt(404), mirror=[OriginUnreachable("it refuses")])

    with pytest.raises(NoOriginServed) as failed:
        one.run()

    assert str(failed.value) == (
        "fedora: the origin answered 404; mirror: no connection to the origin: it refuses"
    )
    assert not one.target.is_finished


def test_importer_that_cannot_be_used_is_named():
    """No origin is to blame."""
    one = Save(MemoryTarget())
    one.importers.broken["fedora"] = "it lacks a plugin"

    with pytest.raises(ImporterBroken):
        one.run()


def test_catalog_that_is_away_ends_the_save():
    """Another origin would not help."""
    one = Save(MemoryTarget())
    one.entry = published(SMALL, held=True)
    one.service.catalog.failure = CatalogUnavailable("it is away")

    with pytest.raises(CatalogUnavailable):
        one.run()


def test_content_that_breaks_off_goes_on_at_the_next_origin():
    """What the target has is not asked for again."""
    one = Save(MemoryTarget(), cut_at(HALF), mirror=[rest()])

    one.run()

    assert one.target.content == LARGE
    assert one.importers.opened[-1] == ("mirror", "v")
    assert one.importers.spans[-1] == REST


def test_silent_origin_is_left():
    """A stall is a break."""
    silent = MemoryDownload(at_once=False)
    one = Save(MemoryTarget(), silent, mirror=[rest()]).start()
    silent.send(LARGE[:HALF])

    one.clock.advance(IDLE_SECONDS)
    one.clock.advance(1)

    assert one.outcome().size == len(LARGE)
    assert silent.is_stopped


def test_wrong_content_is_forgotten_and_the_next_origin_asked_for_all_of_it():
    """Nothing of it is joined to anything."""
    one = Save(MemoryTarget(), whole(WRONG), mirror=[whole()])

    one.run()

    assert one.target.content == LARGE
    assert one.importers.spans == [None, None]


def test_next_origin_is_asked_although_wrong_content_took_long():
    """The budget for a first byte is not for content."""
    slow = MemoryDownload(at_once=False)
    beside_it = OriginFailing(503)
    one = Save(MemoryTarget(), slow, mirror=[beside_it, whole()]).start()
    for piece in pieces(WRONG):
        slow.send(piece)
        one.clock.advance(0.5)

    slow.end()
    one.clock.advance(1)

    assert one.outcome().size == len(LARGE)
    assert one.target.content == LARGE


def test_wrong_content_everywhere_leaves_the_target_empty():
    """An origin that was wrong is not asked once more."""
    one = Save(MemoryTarget(), whole(WRONG), mirror=[whole(WRONG)])

    with pytest.raises(NoOriginServed, match=r"fedora: the digest .*; mirror: the digest"):
        one.run()

    assert one.target.content == b""
    assert len(one.importers.opened) == 2


def test_too_much_content_is_forgotten():
    """It is wrong as soon as it is too long."""
    one = Save(MemoryTarget(), MemoryDownload(pieces(LARGE + b"!")))

    with pytest.raises(NoOriginServed, match="or more"):
        one.run()

    assert one.target.content == b""


def test_content_that_broke_off_stays():
    """As far as anybody knows it is right."""
    one = Save(MemoryTarget(), cut_at(HALF))

    with pytest.raises(NoOriginServed):
        one.run(60)

    assert one.target.content == LARGE[:HALF]


def test_content_that_broke_when_all_had_come_is_right():
    """The digest says more than the end of a connection."""
    one = Save(MemoryTarget(), cut_at(len(LARGE)))

    assert one.run().size == len(LARGE)
    assert one.target.is_finished


def test_content_of_unknown_size_that_broke_off_begins_anew():
    """There is no total to hold the rest against."""
    one = Save(MemoryTarget(), cut_at(HALF), mirror=[MemoryDownload(pieces(LARGE))], size=None)

    one.run()

    assert one.target.content == LARGE
    assert set(one.importers.spans) == {None}


def test_content_of_unknown_size_is_not_asked_for_without_end():
    """An origin that always breaks off is given up."""
    one = Save(MemoryTarget(), *[cut_at(HALF) for _ in range(40)], size=None)
    one.importers.retries = 9

    with pytest.raises(NoOriginServed):
        one.run(120)

    assert len(one.importers.opened) <= 10


# -- what the target has from an earlier time


def test_save_goes_on_behind_what_is_kept():
    """The digests cover the beginning too."""
    one = Save(MemoryTarget(LARGE[:HALF]), rest(), algorithms=["sha512"])

    saved = one.run()

    assert one.target.content == LARGE
    assert one.importers.spans == [REST]
    assert saved.kept_bytes == HALF
    assert saved.digests[1] == Digest("sha512", hashlib.sha512(LARGE).hexdigest())


def test_save_that_went_on_and_broke_off_goes_on_behind_all_that_there_is():
    """What was kept and what came since."""
    quarter = HALF // 2
    broken = MemoryDownload(
        pieces(LARGE[quarter:HALF]), part_of=len(LARGE), error=ContentTruncated(quarter)
    )
    one = Save(MemoryTarget(LARGE[:quarter]), broken, mirror=[rest()])

    saved = one.run()

    assert one.target.content == LARGE
    assert one.importers.spans[0] == ByteRange(quarter, len(LARGE) - 1)
    assert one.importers.spans[-1] == REST
    assert saved.kept_bytes == quarter


def test_digesting_what_is_kept_is_told_and_lets_others_run():
    """One piece in each turn of the reactor."""
    checked = []
    one = Save(MemoryTarget(LARGE[:HALF]), rest(), on_checked=checked.append).start()

    assert checked == [10_000]
    for _ in range(HALF // 10_000 + 1):
        one.clock.advance(0)
    assert checked[-1] == HALF


def test_budget_for_the_first_byte_begins_when_what_is_kept_is_digested():
    """A large file takes its time."""
    one = Save(MemoryTarget(LARGE[:HALF]), rest()).start()

    for _ in range(HALF // 10_000 + 1):
        one.clock.advance(60)

    assert one.outcome().size == len(LARGE)


def test_all_that_is_kept_needs_no_origin():
    """It was interrupted after the last byte."""
    one = Save(MemoryTarget(LARGE))

    saved = one.run()

    assert one.target.is_finished
    assert one.importers.opened == []
    assert saved.kept_bytes == len(LARGE)


@pytest.mark.parametrize("kept", [WRONG, LARGE + b"!"])
def test_kept_content_that_is_whole_and_wrong_is_dropped(kept):
    """And all of it is fetched."""
    one = Save(MemoryTarget(kept), whole())

    saved = one.run()

    assert one.target.content == LARGE
    assert one.importers.spans == [None]
    assert saved.kept_bytes == 0


def test_wrong_beginning_is_found_out_and_all_is_fetched_afresh():
    """The only origin is not blamed for what another time has left."""
    one = Save(MemoryTarget(b"!" + LARGE[1:HALF]), rest(), whole())

    saved = one.run()

    assert one.target.content == LARGE
    assert one.importers.spans == [REST, None]
    assert saved.kept_bytes == 0
    key = OriginKey("fedora", 1, 1, "fedora")
    assert not one.service.health.is_quarantined(one.entry.artifact, key)


def test_wrong_content_behind_a_wrong_beginning_is_the_origins_fault():
    """The second time there is nothing else to blame."""
    one = Save(MemoryTarget(b"!" + LARGE[1:HALF]), rest(), whole(WRONG))

    with pytest.raises(NoOriginServed, match="digest"):
        one.run()

    assert one.target.content == b""
    assert one.importers.spans == [REST, None]


def test_origin_that_ignores_the_range_begins_the_target_anew():
    """Its first byte is the first byte."""
    one = Save(MemoryTarget(LARGE[:HALF]), whole())

    saved = one.run()

    assert one.target.content == LARGE
    assert saved.kept_bytes == 0


def test_origin_that_fails_leaves_what_is_kept():
    """A later save may find a better one."""
    one = Save(MemoryTarget(LARGE[:HALF]), OriginFailing(500))

    with pytest.raises(NoOriginServed):
        one.run()

    assert one.target.content == LARGE[:HALF]


@pytest.mark.parametrize("wrong", [rest(content=LARGE + b"!"), whole(LARGE + b"!")])
def test_origin_that_announces_other_content_leaves_what_is_kept(wrong):
    """Nothing of it was used."""
    one = Save(MemoryTarget(LARGE[:HALF]), wrong)

    with pytest.raises(NoOriginServed):
        one.run()

    assert one.target.content == LARGE[:HALF]


def test_kept_content_of_unknown_size_is_dropped():
    """Nobody could tell whether the rest belongs to it."""
    one = Save(MemoryTarget(LARGE[:HALF]), MemoryDownload(pieces(LARGE)), size=None)

    one.run()

    assert one.target.content == LARGE
    assert one.importers.spans == [None]


# -- the target's own failures, and leaving


def test_target_that_cannot_be_written_ends_the_save():
    """No origin is to blame, and none is asked again."""

    def full(content):
        raise OperationRefused("the disk is full")

    one = Save(MemoryTarget(on_write=full), whole(), mirror=[whole()])

    with pytest.raises(OperationRefused):
        one.run()

    assert len(one.importers.opened) == 1


def test_target_that_cannot_forget_after_all_stops_the_download():
    """The origin had just begun to send all of it."""

    class Stuck(MemoryTarget):
        def start_over(self):
            raise OperationRefused("the disk is gone")

    download = whole()
    one = Save(Stuck(LARGE[:HALF]), download)

    with pytest.raises(OperationRefused):
        one.run()

    assert download.is_stopped
    assert download.sent_bytes == 0


def test_target_that_is_slow_is_not_held_against_the_origin():
    """While it writes nobody hears the origin."""
    one = Save(MemoryTarget(), download := MemoryDownload(at_once=False))

    def slow(content):
        one.clock.rightNow += IDLE_SECONDS + 1

    one.target = MemoryTarget(on_write=slow)
    one.start()
    for piece in pieces(LARGE, HALF):
        download.send(piece)
        one.clock.advance(0)
    download.end()

    assert one.outcome().size == len(LARGE)


def test_cancelled_save_stops_the_download_and_keeps_what_it_has():
    """Whoever saves on goes on there."""
    download = MemoryDownload(at_once=False)
    one = Save(MemoryTarget(), download).start()
    download.send(LARGE[:HALF])

    one.running.cancel()

    with pytest.raises(CancelledError):
        one.outcome()
    assert download.is_stopped
    assert one.target.content == LARGE[:HALF]
    assert not one.target.is_finished


def test_save_that_is_cancelled_while_it_digests_asks_nobody():
    """It had not got so far."""
    one = Save(MemoryTarget(LARGE[:HALF])).start()

    one.running.cancel()

    with pytest.raises(CancelledError):
        one.outcome()
    assert one.importers.opened == []


# -- a stream


class FullStream(io.BytesIO):
    def write(self, content):
        raise OSError(28, "No space left on device")


def test_stream_gets_all_of_the_content():
    """Its end too, when it is verified."""
    stream = io.BytesIO()

    Save(StreamTarget(stream, len(LARGE), "a stream"), whole()).run()

    assert stream.getvalue() == LARGE


def test_stream_is_never_complete_and_wrong():
    """The end is held back, and nobody else is asked for what it has."""
    stream = io.BytesIO()
    one = Save(StreamTarget(stream, len(LARGE), "a stream"), whole(WRONG), mirror=[whole()])

    with pytest.raises(NoOriginServed, match="digest"):
        one.run()

    assert 0 < len(stream.getvalue()) < len(LARGE)
    assert len(one.importers.opened) == 1


def test_stream_that_has_nothing_yet_gets_small_content_of_the_next_origin():
    """All of what was wrong had been held back."""
    stream = io.BytesIO()
    target = StreamTarget(stream, len(SMALL), "a stream")

    Save(target, whole(b"!" + SMALL[1:]), mirror=[whole(SMALL)], content=SMALL).run()

    assert stream.getvalue() == SMALL


def test_stream_goes_on_where_content_broke_off():
    """It has not to take anything back for that."""
    stream = io.BytesIO()

    Save(StreamTarget(stream, len(LARGE), "a stream"), cut_at(HALF), mirror=[rest()]).run()

    assert stream.getvalue() == LARGE


def test_stream_that_cannot_be_written_is_named():
    """The system says why."""
    target = StreamTarget(FullStream(), len(LARGE), "standard output")

    with pytest.raises(OperationRefused) as failed:
        Save(target, whole()).run()

    expected = "standard output cannot be written: No space left on device"
    assert str(failed.value) == expected


# -- by the table of its pieces --------------------------------------------------------------------


def table_of(content=LARGE):
    learner = Learner()
    learner.update(content)
    return learner.table()


def proven(target, *outcomes, knows=LARGE, also_digest=False, **keywords):
    """A save that may know the table of the content, and keeps what it learns."""
    learned = MemoryLearned()
    verification = Verification(learned, small_bytes=1000, also_digest=also_digest)
    one = Save(target, *outcomes, verification=verification, **keywords)
    one.learned = learned
    if knows is not None:
        learned.learn(one.entry.artifact, table_of(knows))
    return one


@pytest.mark.parametrize("kept", [b"", LARGE[:HALF], LARGE], ids=["nothing", "half", "all"])
def test_table_is_learned_of_all_that_was_saved(kept):
    """Of what had been kept too."""
    one = proven(MemoryTarget(kept), rest() if kept else whole(), knows=None)

    one.run()

    assert [table_of()] == [*one.learned.tables.values()]


def test_no_table_is_learned_of_wrong_content():
    """Nothing of it is worth keeping."""
    one = proven(MemoryTarget(), whole(WRONG), knows=None)

    with pytest.raises(NoOriginServed):
        one.run()

    assert {} == one.learned.tables


@pytest.mark.parametrize("also_digest", [False, True])
def test_wrong_piece_of_known_content_is_fetched_elsewhere(also_digest):
    """No byte of it is written, and what was right before it is kept."""
    place = 3 * LEAF_BYTES
    wrong = LARGE[:place] + b"!" + LARGE[place + 1 :]
    written = []
    one = proven(
        MemoryTarget(),
        whole(wrong),
        mirror=[rest(place)],
        algorithms=["md5"],
        also_digest=also_digest,
        on_written=written.append,
    )

    saved = one.run()

    assert one.target.content == LARGE
    assert written == sorted(written)
    assert one.importers.spans == [None, ByteRange(place, len(LARGE) - 1)]
    assert saved.digests == (sha256(LARGE), Digest("md5", hashlib.md5(LARGE).hexdigest()))


def test_known_content_goes_on_at_the_very_byte_and_a_doubted_piece_comes_again():
    """Of two that sent a piece nobody knows who was wrong; nothing of it is written."""
    place = 2 * LEAF_BYTES + 7
    wrong = LARGE[:place] + b"!" + LARGE[place + 1 :]
    one = proven(
        MemoryTarget(),
        cut_at(place),
        OriginFailing(500),
        rest(2 * LEAF_BYTES),
        mirror=[rest(place, content=wrong)],
    )

    one.run(60)

    assert one.target.content == LARGE
    asked_for = [span.first for span in one.importers.spans[1:]]
    assert asked_for == [place, place, 2 * LEAF_BYTES]


def test_wrong_piece_of_an_origin_that_is_alone_is_fetched_again():
    """Its fault may come and go."""
    place = 3 * LEAF_BYTES
    wrong = LARGE[:place] + b"!" + LARGE[place + 1 :]
    one = proven(MemoryTarget(), whole(wrong), rest(place))

    one.run(60)

    assert one.target.content == LARGE


def test_known_content_that_breaks_off_keeps_what_is_proven():
    """The rest of it is fetched later."""
    one = proven(MemoryTarget(), cut_at(2 * LEAF_BYTES + 7))

    with pytest.raises(NoOriginServed):
        one.run(60)

    assert one.target.content == LARGE[: 2 * LEAF_BYTES]


def test_what_was_kept_goes_on_under_the_digest_although_the_table_is_known():
    """Nobody knows of each piece of it whether it is right."""
    one = proven(MemoryTarget(LARGE[:HALF]), rest())

    assert one.run().kept_bytes == HALF
    assert one.target.content == LARGE
