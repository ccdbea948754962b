"""Pieces on bytes alone: what is learned of content, and what a table lets pass of it."""

from __future__ import annotations

import hashlib
import random
from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.errors import (
    BeginningMismatch,
    ContentTruncated,
    DigestMismatch,
    OriginError,
    PieceDoubted,
    PieceMismatch,
    SizeMismatch,
)
from streamer.model import Artifact, Digest
from streamer.pieces.covering import covering
from streamer.pieces.learning import Learner, LearningVerifier
from streamer.pieces.proving import MOST_CHUNKS, MOST_DOUBTS, Prover, StrictProver
from streamer.pieces.table import (
    DIGEST_BYTES,
    LEAF_BYTES,
    MAX_SIZE,
    Table,
    aligned,
    is_learnable,
    leaf_count,
)
from streamer.ranges import MAX_SPANS, ByteRange
from streamer.spans import behind
from streamer.verify import Checkpoint, ContentVerifier

SIZE = 3 * LEAF_BYTES + 1000
CONTENT = random.Random(6).randbytes(SIZE)
SIZES = [0, 1, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 2 * LEAF_BYTES, SIZE]
CHUNK_SIZES = [999, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 2 * LEAF_BYTES + 7, SIZE]
UNTIMED = settings(deadline=None, database=None, derandomize=True)
LEAVES = [*range(0, SIZE, LEAF_BYTES)]
"""Where each of them begins."""

MIDDLE = LEAF_BYTES + 30_000
"""A place in a leaf that others come before and behind."""


def chunks_of(content, size):
    return [content[start : start + size] for start in range(0, len(content), size)]


def table_of(content):
    """The same by other means: each leaf in one piece."""
    return Table(len(content), b"".join(blake3(e).digest() for e in chunks_of(content, LEAF_BYTES)))


def sha256(content):
    return Digest("sha256", hashlib.sha256(content).hexdigest())


def flipped(content, place):
    """The same content with one wrong bit."""
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def leaves(first, last, content=CONTENT):
    """A span of leaves, both included."""
    return ByteRange(first * LEAF_BYTES, min((last + 1) * LEAF_BYTES, len(content)) - 1)


def taken_from(content, spans):
    return b"".join(content[span.first : span.last + 1] for span in spans)


def fed(verifier, chunks):
    """What it lets pass of these chunks, and its objection."""
    passed = []
    for chunk in chunks:
        try:
            passed += verifier.update(chunk)
        except OriginError as objection:
            return b"".join(passed), objection
    return b"".join(passed), None


def strict_of(table):
    """For content that has such a table."""
    return StrictProver(table, ContentVerifier(table.size, sha256(CONTENT[: table.size])))


def strict(table=None, digest=None, checkpoints=()):
    content = ContentVerifier(SIZE, digest or sha256(CONTENT), checkpoints)
    return StrictProver(table or table_of(CONTENT), content)


# -- the table


@pytest.mark.parametrize("size", SIZES)
def test_table_has_a_digest_for_each_leaf(size):
    """The last leaf may be short; of no content there is none."""
    table = table_of(CONTENT[:size])

    assert leaf_count(size) == len(chunks_of(CONTENT[:size], LEAF_BYTES))
    assert [table.digest(leaf) for leaf in range(leaf_count(size))] == [
        blake3(leaf).digest() for leaf in chunks_of(CONTENT[:size], LEAF_BYTES)
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("length", [-DIGEST_BYTES, -1, 1, DIGEST_BYTES])
def test_table_with_too_few_or_too_many_digests_is_refused(size, length):
    """A store that was damaged gives no table at all."""
    whole = bytes(leaf_count(size) * DIGEST_BYTES + max(0, length))
    digests = whole[:length] if length < 0 else whole
    if len(digests) == leaf_count(size) * DIGEST_BYTES:
        digests = b"x"

    with pytest.raises(ValueError, match="one digest for each leaf"):
        Table(size, digests)


def test_table_is_not_shown_in_full():
    """One of 8 MiB would fill a log."""
    assert "digests" not in repr(table_of(CONTENT))


@pytest.mark.parametrize(
    ("algorithm", "size", "expected"),
    [
        ("sha256", 1001, True),
        ("sha512", 1001, True),
        ("sha256", MAX_SIZE, True),
        ("sha256", 1000, False),
        ("sha256", 0, False),
        ("sha256", None, False),
        ("sha256", MAX_SIZE + 1, False),
        ("sha1", 1001, False),
        ("md5", 1001, False),
    ],
)
def test_artifact_is_learnable_if_its_digest_proves_something_and_it_is_not_small(
    algorithm, size, expected
):
    """What is small is verified whole before it is sent."""
    artifact = Artifact((Digest(algorithm, hashlib.new(algorithm).hexdigest()),), size, "a/b")

    assert is_learnable(artifact, 1000) is expected


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0, 0, leaves(0, 0)),
        (LEAF_BYTES - 1, LEAF_BYTES - 1, leaves(0, 0)),
        (LEAF_BYTES - 1, LEAF_BYTES, leaves(0, 1)),
        (LEAF_BYTES, LEAF_BYTES, leaves(1, 1)),
        (SIZE - 1, SIZE - 1, leaves(3, 3)),
        (5, SIZE - 1, ByteRange(0, SIZE - 1)),
    ],
)
def test_span_is_aligned_to_the_leaves_that_cover_it(first, last, expected):
    """The last leaf ends where the content does."""
    assert aligned(ByteRange(first, last), SIZE) == expected


# -- learning


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_learner_makes_the_same_table_of_chunks_of_any_size(size, chunk_size):
    """Leaves straddle chunks, and chunks straddle leaves."""
    learner = Learner()
    for chunk in chunks_of(CONTENT[:size], chunk_size):
        learner.update(chunk)

    assert learner.table() == table_of(CONTENT[:size])


def test_learner_makes_the_same_table_of_single_bytes():
    """An origin may send so."""
    content = CONTENT[: LEAF_BYTES + 3]
    learner = Learner()
    for chunk in chunks_of(content, 1):
        learner.update(chunk)
        learner.update(b"")

    assert learner.table() == table_of(content)


def learning(size=SIZE, digest=None, checkpoints=()):
    """A verifier that learns, and the tables that it tells."""
    tables = []
    content = ContentVerifier(size, digest or sha256(CONTENT), checkpoints)
    return LearningVerifier(content, tables.append), tables


@pytest.mark.parametrize("size", [SIZE, None])
def test_content_that_matches_is_learned(size):
    """All of it passes meanwhile."""
    verifier, tables = learning(size)

    passed, objection = fed(verifier, chunks_of(CONTENT, 999))
    before = [*tables]
    verifier.finish()

    assert (passed, objection, before) == (CONTENT, None, [])
    assert tables == [table_of(CONTENT)]
    assert not verifier.is_proving


def test_content_is_learned_across_a_break():
    """The learner goes on where the running digest does."""
    verifier, tables = learning()
    verifier.update(CONTENT[:100_000])
    with pytest.raises(ContentTruncated):
        verifier.finish(ContentTruncated(100_000))

    assert verifier.break_off() == ()
    assert verifier.position == 100_000
    verifier.update(CONTENT[100_000:])
    verifier.finish()
    assert tables == [table_of(CONTENT)]


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (flipped(CONTENT, 0), DigestMismatch),
        (flipped(CONTENT, SIZE - 1), DigestMismatch),
        (CONTENT[:-1], SizeMismatch),
        (b"", SizeMismatch),
    ],
    ids=["first-bit", "last-bit", "short", "empty"],
)
def test_content_that_does_not_match_is_not_learned(content, error):
    """A table is as trustworthy as the digest beside it."""
    verifier, tables = learning()
    fed(verifier, chunks_of(content, 5000))

    with pytest.raises(error):
        verifier.finish()
    assert tables == []


def test_content_of_which_there_is_too_much_is_not_learned():
    """It is refused as it comes."""
    verifier, tables = learning()

    _, objection = fed(verifier, [CONTENT, b"x"])

    assert isinstance(objection, SizeMismatch)
    assert tables == []


def test_content_whose_client_has_another_beginning_is_not_learned():
    """It raises before it tells."""
    verifier, tables = learning(checkpoints=[Checkpoint(7, sha256(b"another").hex)])

    _, objection = fed(verifier, [CONTENT])

    assert isinstance(objection, BeginningMismatch)
    assert tables == []


# -- proving


def proved(content, spans, chunks):
    """What a prover lets pass of these chunks, which have to be right and all."""
    prover = Prover(table_of(content), spans)
    passed, objection = fed(prover, chunks)
    assert objection is None
    prover.finish()
    assert prover.position == len(passed)
    return passed


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_right_content_passes_in_chunks_of_any_size(size, chunk_size):
    """Nothing is left out or repeated."""
    content = CONTENT[:size]

    assert proved(content, (), chunks_of(content, chunk_size)) == content


@UNTIMED
@given(st.lists(st.integers(0, SIZE), max_size=8))
def test_right_content_passes_in_chunks_of_many_sizes(cuts):
    """Wherever it is cut, also into chunks of nothing."""
    bounds = [0, *sorted(cuts), SIZE]
    chunks = [CONTENT[start:end] for start, end in pairwise(bounds)]

    assert proved(CONTENT, (), chunks) == CONTENT


SPANS = [
    pytest.param([leaves(0, 0)], id="first"),
    pytest.param([leaves(3, 3)], id="last"),
    pytest.param([leaves(1, 2)], id="middle"),
    pytest.param([leaves(0, 0), leaves(2, 2)], id="two"),
    pytest.param([leaves(0, 1), leaves(3, 3)], id="with-the-last"),
    pytest.param([leaves(0, 0), leaves(1, 1), leaves(2, 3)], id="adjacent"),
]


@pytest.mark.parametrize("spans", SPANS)
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_right_spans_pass_strung_together(spans, chunk_size):
    """A chunk may hold the end of one and the beginning of the next."""
    content = taken_from(CONTENT, spans)

    assert proved(CONTENT, spans, chunks_of(content, chunk_size)) == content


def test_span_in_the_place_of_another_does_not_pass():
    """Right bytes in the wrong place are wrong."""
    prover = Prover(table_of(CONTENT), [leaves(1, 1), leaves(2, 2)])

    passed, objection = fed(prover, [taken_from(CONTENT, [leaves(2, 2)])])

    assert (passed, type(objection)) == (b"", PieceMismatch)
    assert prover.is_proving


def test_chunks_pass_as_they_came():
    """They are not copied: who has proven them hands the very objects on."""
    chunks = chunks_of(CONTENT, 10_000)
    prover = Prover(table_of(CONTENT))

    passed = [each for chunk in chunks for each in prover.update(chunk)]

    assert [id(chunk) for chunk in chunks] == [id(each) for each in passed]


@pytest.mark.parametrize("chunk_size", [777, 10_000, 65_537, 150_000])
def test_no_more_than_a_leaf_and_a_chunk_waits(chunk_size):
    """Memory is bounded however much comes, and all that is proven has passed."""
    prover = Prover(table_of(CONTENT))
    waiting, received_bytes, passed_bytes = [], 0, 0
    for chunk in chunks_of(CONTENT, chunk_size):
        received_bytes += len(chunk)
        passed_bytes += sum(map(len, prover.update(chunk)))
        waiting.append(received_bytes - passed_bytes)
        proven_bytes = SIZE if received_bytes == SIZE else received_bytes // LEAF_BYTES * LEAF_BYTES
        assert passed_bytes <= proven_bytes < passed_bytes + chunk_size
        assert prover.position == received_bytes

    assert max(waiting) < LEAF_BYTES + chunk_size
    assert waiting[-1] == 0


def test_bytes_that_come_one_by_one_do_not_wait_one_by_one():
    """An object for each would cost some fifty times as much."""
    prover = Prover(table_of(CONTENT))
    passed = [prover.update(chunk) for chunk in chunks_of(CONTENT[: LEAF_BYTES + 9], 1)]

    assert [LEAF_BYTES - 1] == [place for place, chunks in enumerate(passed) if chunks]
    assert len(passed[LEAF_BYTES - 1]) <= MOST_CHUNKS
    assert b"".join(passed[LEAF_BYTES - 1]) == CONTENT[:LEAF_BYTES]
    assert b"".join(prover.break_off()) == b""
    assert prover.position == LEAF_BYTES + 9


@pytest.mark.parametrize("begin", LEAVES)
@pytest.mark.parametrize("place", [0, 500, 999, LEAF_BYTES - 1])
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_nothing_of_a_leaf_with_a_wrong_bit_passes(begin, place, chunk_size):
    """All before it does, and the position is where it begins."""
    wrong = flipped(CONTENT, min(begin + place, SIZE - 1))
    prover = Prover(table_of(CONTENT))

    passed, objection = fed(prover, chunks_of(wrong, chunk_size))
    passed += b"".join(prover.break_off())

    assert isinstance(objection, PieceMismatch)
    assert objection.args == (begin,)
    assert prover.position == begin
    assert passed == CONTENT[:begin]


def test_wrong_bit_of_a_span_is_told_by_its_place_in_the_content():
    """The position counts within the spans; whoever reads the log knows nothing of them."""
    spans = [leaves(0, 0), leaves(2, 2)]
    prover = Prover(table_of(CONTENT), spans)
    content = taken_from(flipped(CONTENT, 2 * LEAF_BYTES + 5), spans)

    passed, objection = fed(prover, [content])
    passed += b"".join(prover.break_off())

    assert objection.args == (2 * LEAF_BYTES,)
    assert prover.position == LEAF_BYTES
    assert passed == CONTENT[:LEAF_BYTES]


@pytest.mark.parametrize("end", [1, 999, LEAF_BYTES - 1, LEAF_BYTES + 1, MIDDLE, SIZE - 1])
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_leaf_that_breaks_off_goes_on_at_the_very_byte(end, chunk_size):
    """An origin that breaks off often would else never get through a leaf."""
    prover = Prover(table_of(CONTENT))
    passed, _ = fed(prover, chunks_of(CONTENT[:end], chunk_size))
    passed += b"".join(prover.break_off())
    before = prover.position

    rest, objection = fed(prover, chunks_of(CONTENT[end:], chunk_size))
    prover.finish()

    assert (before, len(passed)) == (end, end // LEAF_BYTES * LEAF_BYTES)
    assert (passed + rest, objection) == (CONTENT, None)


def test_leaf_of_many_senders_passes_in_the_order_in_which_it_came():
    """Each sends less than a leaf, and not all of them in one chunk."""
    prover = Prover(table_of(CONTENT))
    passed = b""
    for sent in chunks_of(CONTENT, 10_007):
        for chunk in chunks_of(sent, 3001):
            passed += b"".join(prover.update(chunk))
        passed += b"".join(prover.break_off())
    prover.finish()

    assert passed == CONTENT


def test_what_waits_of_a_leaf_that_breaks_off_all_the_time_is_a_leaf():
    """As few objects as of one that comes at once."""
    prover = Prover(table_of(CONTENT))
    for chunk in chunks_of(CONTENT[: LEAF_BYTES - 1], 1):
        prover.update(chunk)
        prover.break_off()

    passed = prover.update(CONTENT[LEAF_BYTES - 1 : LEAF_BYTES])

    assert len(passed) <= MOST_CHUNKS
    assert b"".join(passed) == CONTENT[:LEAF_BYTES]


@pytest.mark.parametrize("place", [MIDDLE - 1, MIDDLE], ids=["first", "second"])
def test_leaf_of_two_senders_that_is_wrong_is_doubted(place):
    """Nobody knows whose fault it is; the leaf before is right, and nothing of it gets lost."""
    prover = Prover(table_of(CONTENT))
    wrong = flipped(CONTENT, place)
    passed, _ = fed(prover, [wrong[:MIDDLE]])
    passed += b"".join(prover.break_off())

    now_passed, objection = fed(prover, chunks_of(wrong[MIDDLE:], 50_000))
    passed += now_passed + b"".join(prover.break_off())

    assert isinstance(objection, PieceDoubted)
    assert objection.args == (LEAF_BYTES,)
    assert prover.is_proving
    assert (prover.position, passed) == (LEAF_BYTES, CONTENT[:LEAF_BYTES])


def test_leaf_that_was_doubted_has_one_sender_to_blame_the_next_time():
    """It comes from its beginning."""
    prover = Prover(table_of(CONTENT))
    wrong = flipped(CONTENT, 7)
    broken_off(prover, wrong[:100])
    broken_off(prover, wrong[100:LEAF_BYTES])

    assert isinstance(broken_off(prover, wrong[:LEAF_BYTES]), PieceMismatch)
    assert broken_off(prover, CONTENT[:LEAF_BYTES]) is None
    assert prover.position == LEAF_BYTES


def test_leaf_behind_one_of_two_senders_has_one_to_blame():
    """Who went on with the first is the only one who sent anything of the second."""
    prover = Prover(table_of(CONTENT))
    wrong = flipped(CONTENT, LEAF_BYTES)
    broken_off(prover, wrong[:100])

    assert isinstance(broken_off(prover, wrong[100:]), PieceMismatch)
    assert prover.position == LEAF_BYTES


def test_leaf_whose_break_was_at_its_beginning_has_one_sender():
    """Nothing of it had come."""
    prover = Prover(table_of(CONTENT))
    broken_off(prover, CONTENT[:LEAF_BYTES])

    assert isinstance(broken_off(prover, flipped(CONTENT, LEAF_BYTES)[LEAF_BYTES:]), PieceMismatch)


def doubted(times, prover):
    """The prover after somebody has gone on wrong so often within its first leaf."""
    wrong = flipped(CONTENT, 7)
    for _ in range(times):
        assert broken_off(prover, wrong[:100]) is None
        assert isinstance(broken_off(prover, wrong[100:LEAF_BYTES]), PieceDoubted)
    return prover


def broken_off(prover, content):
    """Let this come and then break off; give what was objected to."""
    _, objection = fed(prover, [content])
    prover.break_off()
    return objection


def test_leaf_that_breaks_off_is_kept_up_to_the_last_doubt():
    """The transfer may still be completed by those that break off."""
    prover = doubted(MOST_DOUBTS - 1, Prover(table_of(CONTENT)))

    broken_off(prover, CONTENT[:100])

    assert prover.position == 100


def test_leaf_that_breaks_off_is_dropped_after_too_many_doubts():
    """Or liars that change would have it asked for without end; now one of them is found."""
    prover = doubted(MOST_DOUBTS, Prover(table_of(CONTENT)))

    objections = [broken_off(prover, flipped(CONTENT, 7)[:end]) for end in (100, LEAF_BYTES)]

    assert [type(each) for each in objections] == [type(None), PieceMismatch]
    assert broken_off(prover, CONTENT) is None
    prover.finish()


def test_position_does_not_go_back_where_nothing_is_objected_to():
    """Somebody may have opened what is behind it before the break: it is told where that is."""
    prover = doubted(MOST_DOUBTS, Prover(table_of(CONTENT)))
    prover.update(CONTENT[: LEAF_BYTES + 100])
    before = prover.position

    prover.break_off()

    assert (before, prover.position) == (LEAF_BYTES, LEAF_BYTES)
    assert fed(prover, chunks_of(CONTENT[LEAF_BYTES:], 999))[1] is None
    prover.finish()


@UNTIMED
@given(st.lists(st.integers(1, SIZE), min_size=1, max_size=20), st.integers(500, SIZE), st.data())
def test_prover_goes_on_where_it_was_broken_off(ends, chunk_size, data):
    """However often, after wrong content or none: others begin at the position it tells."""
    prover = Prover(table_of(CONTENT))
    passed, doubts = b"", 0
    for end in ends:
        rest = CONTENT[prover.position : end]
        if rest and data.draw(st.booleans()):
            rest = flipped(rest, data.draw(st.integers(0, len(rest) - 1)))
        now_passed, objection = fed(prover, chunks_of(rest, chunk_size))
        before = prover.position
        passed += now_passed + b"".join(prover.break_off())
        doubts += isinstance(objection, PieceDoubted)
        assert prover.position == before
        assert passed == CONTENT[: len(passed)]
        assert 0 <= prover.position - len(passed) < LEAF_BYTES
        assert objection is None or prover.position == len(passed)
        assert len(passed) % LEAF_BYTES == 0 or len(passed) == SIZE
    while prover.position < SIZE:
        now_passed, objection = fed(prover, chunks_of(CONTENT[prover.position :], chunk_size))
        passed += now_passed + b"".join(prover.break_off())
        doubts += isinstance(objection, PieceDoubted)
        assert not isinstance(objection, PieceMismatch)
    prover.finish()

    assert passed == CONTENT
    assert doubts <= MOST_DOUBTS


def test_break_off_gives_nothing_twice():
    """Told again, it has nothing to say."""
    prover = Prover(table_of(CONTENT))
    prover.update(CONTENT[: LEAF_BYTES + 100])

    first, second = prover.break_off(), prover.break_off()

    assert (b"".join(first), b"".join(second)) == (CONTENT[:LEAF_BYTES], b"")


@pytest.mark.parametrize("spans", [(), [leaves(0, 0), leaves(2, 2)]], ids=["all", "spans"])
def test_content_that_ends_early_is_not_complete(spans):
    """What the origin says of its end is told; if it says nothing it is the size."""
    prover = Prover(table_of(CONTENT), spans)
    prover.update(CONTENT[:LEAF_BYTES])
    failure = ContentTruncated(LEAF_BYTES)

    with pytest.raises(SizeMismatch):
        prover.finish()
    with pytest.raises(ContentTruncated) as raised:
        prover.finish(failure)
    assert raised.value is failure


def test_content_that_is_proven_is_complete_however_the_origin_ends():
    """A break after the last byte is no matter."""
    prover = Prover(table_of(CONTENT))
    prover.update(CONTENT)

    prover.finish(ContentTruncated(SIZE))


@pytest.mark.parametrize("size", SIZES)
def test_surplus_is_refused_and_does_no_harm(size):
    """What was proven before it is complete all the same."""
    prover = Prover(table_of(CONTENT[:size]))

    passed, objection = fed(prover, [CONTENT[:size], b"more"])

    assert isinstance(objection, SizeMismatch)
    assert passed == CONTENT[:size]
    prover.finish(objection)


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("chunk_size", [5000, SIZE])
@pytest.mark.parametrize("make", [Prover, strict_of], ids=["one", "both"])
def test_surplus_that_comes_with_the_end_is_left_out(make, chunk_size, size):
    """The end is no worse for it."""
    content = CONTENT[:size]
    verifier = make(table_of(content))
    *before, last = chunks_of(content, chunk_size)

    passed, objection = fed(verifier, [*before, last + b"more"])
    verifier.finish()

    assert (passed, objection) == (content, None)


# -- by the table and by the digest


@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_both_let_right_content_pass(chunk_size):
    """With the checkpoint of an earlier transfer that was right."""
    verifier = strict(checkpoints=[Checkpoint(70_000, sha256(CONTENT[:70_000]).hex)])

    passed, objection = fed(verifier, chunks_of(CONTENT, chunk_size))
    verifier.finish()

    assert (passed, objection) == (CONTENT, None)
    assert verifier.position == SIZE


def test_both_go_on_after_a_wrong_leaf():
    """It was not digested, so another one may send it again."""
    verifier = strict()
    passed, objection = fed(verifier, chunks_of(flipped(CONTENT, 70_000), 5000))
    passed += b"".join(verifier.break_off())
    assert (verifier.is_proving, verifier.position) == (True, LEAF_BYTES)

    now_passed, _ = fed(verifier, chunks_of(CONTENT[LEAF_BYTES:], 5000))
    verifier.finish()

    assert isinstance(objection, PieceMismatch)
    assert passed + now_passed == CONTENT


def test_table_of_other_content_than_the_digest_is_found_out():
    """Who wants both does not believe the table alone."""
    verifier = strict(digest=sha256(b"other content"))
    fed(verifier, [CONTENT])

    with pytest.raises(DigestMismatch):
        verifier.finish()


@pytest.mark.parametrize("position", [1, LEAF_BYTES, 70_000, SIZE])
@pytest.mark.parametrize("chunk_size", CHUNK_SIZES)
def test_other_beginning_ends_it_for_good(position, chunk_size):
    """Nobody can go on with what a client has that is wrong: this objection is no origin's."""
    verifier = strict(checkpoints=[Checkpoint(position, sha256(b"other").hex)])

    passed, objection = fed(verifier, chunks_of(CONTENT, chunk_size))

    assert isinstance(objection, BeginningMismatch)
    assert not verifier.is_proving
    assert CONTENT.startswith(passed)
    assert len(passed) < position


def test_both_go_on_within_a_leaf_that_was_doubted():
    """What waits is digested when it passes, once, and in order."""
    verifier = strict()
    wrong = flipped(CONTENT, MIDDLE)
    passed = b""
    for content in [CONTENT[:MIDDLE], wrong[MIDDLE:], CONTENT[LEAF_BYTES:MIDDLE], CONTENT[MIDDLE:]]:
        now_passed, _ = fed(verifier, chunks_of(content, 7001))
        passed += now_passed + b"".join(verifier.break_off())
    verifier.finish()

    assert passed == CONTENT


def test_other_beginning_is_found_out_in_what_a_break_lets_pass():
    """The leaf before the break is proven with it, in one chunk."""
    verifier = strict(checkpoints=[Checkpoint(5000, sha256(b"other").hex)])
    verifier.update(CONTENT[: LEAF_BYTES + 1])

    with pytest.raises(BeginningMismatch):
        verifier.break_off()
    assert not verifier.is_proving


# -- covering


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([(5, 9)], [leaves(0, 0)]),
        ([(5, 9), (20, 30)], [leaves(0, 0)]),
        ([(5, 9), (LEAF_BYTES, LEAF_BYTES)], [leaves(0, 1)]),
        ([(5, 9), (2 * LEAF_BYTES, SIZE - 1)], [leaves(0, 0), leaves(2, 3)]),
        ([(0, SIZE - 1)], [ByteRange(0, SIZE - 1)]),
        ([(SIZE - 1, SIZE - 1)], [leaves(3, 3)]),
    ],
)
def test_parts_are_covered_by_leaves(parts, expected):
    """Adjacent ones together."""
    assert covering([ByteRange(*part) for part in parts], SIZE) == tuple(expected)


def test_many_parts_far_apart_are_joined_across_the_smallest_gaps():
    """Bytes that nobody wants cost less than requests beyond what one client may cause."""
    size = 300 * LEAF_BYTES
    far = [leaf * LEAF_BYTES for leaf in range(0, 4 * (MAX_SPANS - 1), 4)]
    near = [leaf * LEAF_BYTES for leaf in range(200, 260, 2)]
    parts = [ByteRange(start, start) for start in [*far, *near]]

    spans = covering(parts, size)

    assert spans == (
        *(ByteRange(start, start + LEAF_BYTES - 1) for start in far),
        ByteRange(near[0], near[-1] + LEAF_BYTES - 1),
    )


@st.composite
def many_parts(draw):
    """Ascending parts of content of up to 200 leaves."""
    size = draw(st.integers(1, 200 * LEAF_BYTES))
    near = st.integers(0, size // LEAF_BYTES).flatmap(
        lambda leaf: st.integers(-2, 2).map(lambda off: leaf * LEAF_BYTES + off)
    )
    bounds = draw(st.sets(near | st.integers(0, size - 1), min_size=2, max_size=160))
    ordered = sorted(bound for bound in bounds if 0 <= bound < size)
    parts = [ByteRange(*pair) for pair in zip(ordered[::2], ordered[1::2], strict=False)]
    return size, parts or [ByteRange(0, size - 1)]


@UNTIMED
@given(many_parts())
def test_covering_is_of_leaves_and_no_more_than_it_has_to_be(drawn):
    """All parts, few requests, in order, and without joining nothing but leaves that are needed."""
    size, parts = drawn
    needed = {
        leaf for p in parts for leaf in range(p.first // LEAF_BYTES, p.last // LEAF_BYTES + 1)
    }

    spans = covering(parts, size)

    covered = [
        leaf for s in spans for leaf in range(s.first // LEAF_BYTES, s.last // LEAF_BYTES + 1)
    ]
    assert needed <= set(covered)
    assert len(covered) == len(set(covered))
    assert len(spans) <= MAX_SPANS
    assert all(left.last + 1 < right.first for left, right in pairwise(spans))
    assert all(span == aligned(span, size) for span in spans)
    assert {spans[0].first // LEAF_BYTES, spans[-1].last // LEAF_BYTES} <= needed
    runs = 1 + sum(right > left + 1 for left, right in pairwise(sorted(needed)))
    if runs <= MAX_SPANS:
        assert set(covered) == needed


# -- behind a position


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (0, [(10, 19), (30, 34)]),
        (1, [(11, 19), (30, 34)]),
        (9, [(19, 19), (30, 34)]),
        (10, [(30, 34)]),
        (14, [(34, 34)]),
        (15, []),
        (99, []),
    ],
)
def test_what_is_left_behind_a_position_of_spans(position, expected):
    """The position counts within the spans, strung together."""
    spans = [ByteRange(10, 19), ByteRange(30, 34)]

    assert behind(spans, position) == tuple(ByteRange(*span) for span in expected)


@UNTIMED
@given(st.sets(st.integers(0, 60), min_size=2, max_size=12), st.integers(0, 70))
def test_bytes_behind_a_position_are_the_end_of_those_of_the_spans(bounds, position):
    """By listing them one by one."""
    pairs = zip(*[iter(sorted(bounds))] * 2, strict=False)
    spans = [ByteRange(*pair) for pair in pairs]
    places = [place for span in spans for place in range(span.first, span.last + 1)]

    left = behind(spans, position)

    assert [p for span in left for p in range(span.first, span.last + 1)] == places[position:]
