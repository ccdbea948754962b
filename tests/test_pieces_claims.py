"""Claims about pieces: which can be used, what they keep back, and that they never decide."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import (
    BeginningMismatch,
    ContentTruncated,
    DigestMismatch,
    OriginError,
    PieceDoubted,
    SizeMismatch,
)
from streamer.model import Artifact, Digest, OriginResponse
from streamer.pieces.claiming import (
    JOINED_BYTES,
    MAX_OBJECTIONS,
    ClaimVerifier,
    applies,
)
from streamer.pieces.claims import (
    ALGORITHMS,
    MAX_PIECE_BYTES,
    MAX_PIECES,
    MIN_PIECE_BYTES,
    Claim,
)
from streamer.pieces.learning import LearningVerifier
from streamer.verify import Checkpoint, ContentVerifier

PIECE = MIN_PIECE_BYTES
CONTENT = b"".join(number.to_bytes(4, "big") for number in range(11_000))
"""Two pieces and a shorter one."""

STARTS = range(0, len(CONTENT), PIECE)


def digest_of(content, algorithm="sha256"):
    return Digest(algorithm, hashlib.new(algorithm, content).hexdigest())


def claim_of(content=CONTENT, algorithm="sha1", piece_bytes=PIECE, **keywords):
    """What somebody says who has this content."""
    starts = range(0, len(content), piece_bytes)
    digests = [hashlib.new(algorithm, content[at : at + piece_bytes]).digest() for at in starts]
    return Claim(len(content), algorithm, piece_bytes, b"".join(digests), **keywords)


def pieces_of(content, size):
    return [content[start : start + size] for start in range(0, len(content), size)]


def other(content=CONTENT, *places):
    """The content with one byte changed at each of these places."""
    changed = bytearray(content)
    for place in places:
        changed[place] ^= 1
    return bytes(changed)


def artifact_of(size, *digests):
    return Artifact(digests, size, "application/octet-stream")


# -- which can be used


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_digest_of_each_piece_is_found(algorithm):
    """The last piece may be shorter."""
    claim = claim_of(algorithm=algorithm)

    found = [claim.digest(piece) for piece in range(3)]
    assert [hashlib.new(algorithm, CONTENT[at : at + PIECE]).digest() for at in STARTS] == found


@pytest.mark.parametrize(
    ("size", "piece_bytes", "count"),
    [
        (1, MIN_PIECE_BYTES, 1),
        (PIECE, PIECE, 1),
        (PIECE + 1, PIECE, 2),
        (3 * MAX_PIECE_BYTES, MAX_PIECE_BYTES, 3),
        (MAX_PIECES * PIECE, PIECE, MAX_PIECES),
    ],
)
def test_pieces_that_make_up_the_content_are_a_claim(size, piece_bytes, count):
    """Up to the bounds, and with them."""
    claim = Claim(size, "md5", piece_bytes, bytes(16 * count))

    assert 16 == len(claim.digest(count - 1))


@pytest.mark.parametrize(
    ("size", "algorithm", "piece_bytes", "digest_bytes", "why"),
    [
        (PIECE, "tiger", PIECE, 24, "not known"),
        (PIECE, "", PIECE, 0, "not known"),
        (PIECE, "sha1", PIECE - 1, 40, "a piece has fewer"),
        (PIECE, "sha1", 0, 0, "a piece has fewer"),
        (PIECE, "sha1", -PIECE, 20, "a piece has fewer"),
        (MAX_PIECE_BYTES * 2, "sha1", MAX_PIECE_BYTES + 1, 40, "or more than"),
        (0, "sha1", PIECE, 0, "no pieces"),
        (-PIECE, "sha1", PIECE, 20, "no pieces"),
        ((MAX_PIECES + 1) * PIECE, "md5", PIECE, 16 * (MAX_PIECES + 1), "no pieces, or more than"),
        (10**18, "md5", PIECE, 16, "no pieces, or more than"),
        (PIECE, "sha1", PIECE, 19, "one digest for each"),
        (PIECE, "sha1", PIECE, 40, "one digest for each"),
        (PIECE + 1, "sha1", PIECE, 20, "one digest for each"),
        (PIECE, "sha256", PIECE, 20, "one digest for each"),
    ],
)
def test_pieces_that_make_up_nothing_are_refused(size, algorithm, piece_bytes, digest_bytes, why):
    """The message says what is wrong."""
    with pytest.raises(ValueError, match=why):
        Claim(size, algorithm, piece_bytes, bytes(digest_bytes))


SHA256, SHA1 = digest_of(CONTENT), digest_of(CONTENT, "sha1")


@pytest.mark.parametrize(
    ("artifact", "whole", "expected"),
    [
        (artifact_of(len(CONTENT), SHA256), (), True),
        (artifact_of(len(CONTENT), SHA256), (SHA256,), True),
        (artifact_of(len(CONTENT), SHA256), (SHA1,), True),
        (artifact_of(len(CONTENT), SHA256, SHA1), (SHA1, SHA256), True),
        (artifact_of(len(CONTENT), SHA256), (digest_of(b""),), False),
        (artifact_of(len(CONTENT), SHA256, SHA1), (SHA256, digest_of(b"", "sha1")), False),
        (artifact_of(len(CONTENT) - 1, SHA256), (SHA256,), False),
        (artifact_of(None, SHA256), (SHA256,), False),
    ],
)
def test_claim_is_about_what_has_its_size_and_no_other_digest(artifact, whole, expected):
    """One of another version of the file says nothing."""
    assert expected == claim_of(whole=whole).is_about(artifact)


@pytest.mark.parametrize(
    ("size", "fields", "expected"),
    [
        (len(CONTENT), (("Accept-Ranges", "bytes"),), True),
        (len(CONTENT), (("accept-ranges", "other, Bytes"),), True),
        (len(CONTENT), (("Accept-Ranges", "none"),), False),
        (len(CONTENT), (("Accept-Ranges", "kilobytes"),), False),
        (len(CONTENT), (("Ranges", "bytes"),), False),
        (len(CONTENT), (), False),
        (len(CONTENT) + 1, (("Accept-Ranges", "bytes"),), False),
    ],
)
def test_claim_applies_where_a_piece_can_be_had_again(size, fields, expected):
    """RFC 9110 14.3: who honours ranges says so, with whatever else."""
    response = OriginResponse(len(CONTENT), fields)

    assert expected == applies(claim_of(), artifact_of(size, SHA256), response)


# -- what is kept back


class Transfer:
    """A fetch, in short: it takes what one sender after the other has, and goes on after breaks."""

    def __init__(self, claim, content=CONTENT, **keywords):
        self.inner = ContentVerifier(len(content), digest_of(content), **keywords)
        self.verifier = ClaimVerifier(claim, self.inner)
        self.given = b""
        self.objections = []
        self.is_complete = False

    def take(self, content, end=None, chunk_bytes=5000):
        """Take what this sender has of the content, until it breaks off at `end`."""
        rest = content[self.verifier.position : end]
        failure = None
        try:
            for start in range(0, len(rest), chunk_bytes):
                self._pass_on(self.verifier.update(rest[start : start + chunk_bytes]))
        except OriginError as error:
            if not self.verifier.is_proving:
                raise
            failure = error
        self._end(failure or ContentTruncated(len(rest)))
        return self

    def _end(self, failure):
        """As `fetch.Fetch.content_ended` does."""
        try:
            self.verifier.finish(failure)
        except (ContentTruncated, PieceDoubted) as found:
            if found is not failure:
                raise
            if isinstance(found, PieceDoubted):
                self.objections.append(found.args[0])
            self._pass_on(self.verifier.break_off())
        else:
            self.is_complete = True

    def _pass_on(self, passed):
        for chunk in passed:
            self.given += chunk
        assert len(self.given) == self.inner.position


def test_content_as_claimed_passes():
    """Piece by piece, and the digest that was published is computed over all of it."""
    transfer = Transfer(claim_of()).take(CONTENT)

    assert transfer.given == CONTENT
    assert transfer.is_complete
    assert transfer.objections == []


@given(st.lists(st.integers(0, len(CONTENT)), max_size=12))
def test_content_passes_however_it_is_cut(cuts):
    """What waits is less than one piece and what came last."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))
    given_bytes = 0

    for start, end in pairwise([0, *sorted(cuts), len(CONTENT)]):
        passed = verifier.update(CONTENT[start:end])
        given_bytes += sum(map(len, passed))
        assert verifier.position == end
        assert given_bytes == (end if end == len(CONTENT) else end // PIECE * PIECE)

    verifier.finish()


def test_large_chunks_pass_uncopied():
    """As they came, but where one ends a piece and begins the next."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))
    first, second, rest = CONTENT[:10_000], CONTENT[10_000:PIECE], CONTENT[PIECE:]

    waiting = verifier.update(first)
    passed = verifier.update(second)
    rest_passed = verifier.update(rest)

    assert (waiting, [first, second]) == ([], passed)
    assert passed[0] is first
    assert passed[1] is second
    assert rest == b"".join(rest_passed)


def test_small_chunks_are_joined_while_they_wait():
    """Each would be an object of its own, and larger as that than as bytes."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))

    passed = [
        each for place in range(PIECE) for each in verifier.update(CONTENT[place : place + 1])
    ]

    assert passed == pieces_of(CONTENT[:PIECE], JOINED_BYTES)


@pytest.mark.parametrize("chunk_bytes", [1, 1000, PIECE, PIECE + 1, len(CONTENT)])
@pytest.mark.parametrize("place", [0, PIECE - 1, PIECE, 2 * PIECE, len(CONTENT) - 1])
def test_wrong_piece_is_not_given_and_comes_from_the_next(place, chunk_bytes):
    """Not one byte of it passes, and all right ones before it do."""
    start = place // PIECE * PIECE
    transfer = Transfer(claim_of())

    transfer.take(other(CONTENT, place), chunk_bytes=chunk_bytes)
    given = transfer.given
    transfer.take(CONTENT)

    assert given == CONTENT[:start]
    assert transfer.objections == [start]
    assert transfer.given == CONTENT
    assert transfer.is_complete


def test_liars_of_different_kinds_are_passed_by():
    """Two senders that contradict the claim and each other do not outvote it."""
    transfer = Transfer(claim_of())

    transfer.take(other(CONTENT, 0)).take(other(CONTENT, 1)).take(CONTENT)

    assert transfer.objections == [0, 0]
    assert transfer.given == CONTENT
    assert transfer.is_complete


def test_liar_of_each_piece_is_found_at_it():
    """What was said against one piece is nothing to the next."""
    transfer = Transfer(claim_of())

    for start in STARTS:
        transfer.take(other(CONTENT, start))
    transfer.take(CONTENT)

    assert transfer.objections == [*STARTS]
    assert transfer.given == CONTENT


def test_same_wrong_bytes_in_another_piece_are_no_second_witness():
    """As of an origin that sends zeros."""
    zeros = bytes(len(CONTENT))
    transfer = Transfer(claim_of())

    transfer.take(zeros).take(CONTENT, PIECE).take(zeros).take(CONTENT)

    assert transfer.objections == [0, PIECE]
    assert transfer.given == CONTENT


def test_what_was_learned_of_healed_content_is_right():
    """The verifier within sees what was given, and nothing else."""
    learned = []
    inner = LearningVerifier(ContentVerifier(len(CONTENT), SHA256), learned.append)
    healed = ClaimVerifier(claim_of(), inner)
    straight = LearningVerifier(ContentVerifier(len(CONTENT), SHA256), learned.append)

    with pytest.raises(PieceDoubted):
        healed.update(other(CONTENT, PIECE))
    healed.break_off()
    healed.update(CONTENT[healed.position :])
    healed.finish()
    straight.update(CONTENT)
    straight.finish()

    assert learned[0] == learned[1]


# -- what a wrong claim does


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_claim_that_two_contradict_alike_is_dropped(algorithm):
    """One of the two may be the same sender again; the rest passes as without a claim."""
    transfer = Transfer(claim_of(other(CONTENT, *STARTS), algorithm))

    transfer.take(CONTENT).take(CONTENT)

    assert transfer.objections == [0]
    assert transfer.given == CONTENT
    assert transfer.is_complete


def test_claim_that_is_contradicted_too_often_is_dropped():
    """By senders of which each has something else; the digest decides then."""
    transfer = Transfer(claim_of())

    for place in range(MAX_OBJECTIONS):
        transfer.take(other(CONTENT, place))
    given = transfer.given
    with pytest.raises(DigestMismatch):
        transfer.take(other(CONTENT, MAX_OBJECTIONS))

    assert given == b""
    assert transfer.objections == [0] * MAX_OBJECTIONS


def test_claim_that_is_dropped_lets_chunks_pass_at_once():
    """Nothing is held any more."""
    transfer = Transfer(claim_of(other(CONTENT, 0)))

    transfer.take(CONTENT).take(CONTENT, end=PIECE + 7)

    assert len(transfer.given) == PIECE + 7


def test_wrong_bytes_that_come_twice_pass_and_are_found_in_the_end():
    """The digest that was published decides: visibly broken, and never complete."""
    wrong = other(CONTENT, 0)
    transfer = Transfer(claim_of()).take(wrong)

    with pytest.raises(DigestMismatch):
        transfer.take(wrong)

    assert not transfer.is_complete


def test_content_as_claimed_that_is_wrong_is_found_in_the_end():
    """A claim proves nothing."""
    wrong = other(CONTENT, 0)
    transfer = Transfer(claim_of(wrong))

    with pytest.raises(DigestMismatch):
        transfer.take(wrong)

    assert not transfer.is_complete


@given(
    said=st.sets(st.integers(0, len(CONTENT) - 1), max_size=3),
    ends=st.lists(st.none() | st.integers(0, len(CONTENT)), max_size=6),
)
def test_right_content_passes_whatever_is_claimed_and_wherever_it_breaks(said, ends):
    """A wrong claim costs one more request, for the first piece that it is wrong about."""
    transfer = Transfer(claim_of(other(CONTENT, *said)))
    wrong = sorted({place // PIECE * PIECE for place in said})

    for end in [*ends, None, None]:
        if not transfer.is_complete:
            transfer.take(CONTENT, end)

    assert transfer.given == CONTENT
    assert transfer.is_complete
    assert transfer.objections == wrong[:1]


SENDERS = st.lists(
    st.tuples(
        st.sampled_from([(), (0,), (1,), (PIECE,), (2 * PIECE + 1,), (0, PIECE)]),
        st.none() | st.integers(0, len(CONTENT) + 9),
    ),
    max_size=8,
)


@given(said=st.sets(st.sampled_from([0, 1, PIECE]), max_size=2), senders=SENDERS)
def test_nothing_wrong_is_ever_complete(said, senders):
    """Whatever is claimed and whoever lies, what is complete is right."""
    transfer = Transfer(claim_of(other(CONTENT, *said)))

    for changed, end in senders:
        if not transfer.is_complete:
            try:
                transfer.take(other(CONTENT, *changed) + b"more", end)
            except (DigestMismatch, SizeMismatch):
                break

    assert not transfer.is_complete or transfer.given == CONTENT


# -- breaks and ends


def test_piece_that_breaks_off_goes_on_where_it_did():
    """An origin that never gets to the end of a piece would else never get further."""
    transfer = Transfer(claim_of())
    ends = range(1000, len(CONTENT), 1000)

    positions = [transfer.take(CONTENT, end).verifier.position for end in ends]
    transfer.take(CONTENT)

    assert positions == [*ends]
    assert transfer.given == CONTENT
    assert transfer.objections == []


def test_piece_of_two_senders_that_is_wrong_is_asked_for_from_its_beginning():
    """Either of them may have sent what is wrong."""
    transfer = Transfer(claim_of())

    transfer.take(other(CONTENT, PIECE), PIECE + 100).take(CONTENT)
    position = transfer.verifier.position
    transfer.take(CONTENT)

    assert transfer.objections == [PIECE]
    assert position == PIECE
    assert transfer.given == CONTENT


def test_piece_that_is_asked_for_again_is_judged_anew():
    """However it had come before."""
    transfer = Transfer(claim_of())

    transfer.take(other(CONTENT, 0), 100).take(other(CONTENT, 0))
    transfer.take(other(CONTENT, 1), 100).take(other(CONTENT, 1))

    assert transfer.given == b""
    assert transfer.objections == [0, 0]


@pytest.mark.parametrize("end", [0, 1, PIECE, PIECE + 1, len(CONTENT) - 1])
def test_content_that_ends_early_is_too_short(end):
    """What is held has come, too, though it was not given."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))
    verifier.update(CONTENT[:end])

    with pytest.raises(SizeMismatch) as caught:
        verifier.finish()

    assert caught.value.args == (len(CONTENT), end)
    assert not verifier.is_proving


def test_failure_behind_the_last_byte_is_no_matter():
    """As for all content that is proven by its digest."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))

    verifier.update(CONTENT)
    verifier.finish(ContentTruncated(len(CONTENT)))

    assert verifier.position == len(CONTENT)


def test_bytes_beyond_the_last_piece_are_too_many():
    """Nobody can go on after that: there is nothing to go on with."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))

    with pytest.raises(SizeMismatch):
        verifier.update(CONTENT + b"x")

    assert not verifier.is_proving


def test_too_many_bytes_are_final_though_the_claim_objected_before():
    """Who goes on after a doubt is judged like anybody."""
    verifier = ClaimVerifier(claim_of(), ContentVerifier(len(CONTENT), SHA256))
    with pytest.raises(PieceDoubted):
        verifier.update(other(CONTENT, 0))
    verifier.break_off()

    with pytest.raises(SizeMismatch):
        verifier.update(CONTENT + b"x")

    assert not verifier.is_proving


def test_objection_of_the_verifier_within_is_final():
    """What the client has from an earlier transfer was other content; no origin can mend that."""
    checkpoint = Checkpoint(PIECE, digest_of(other(CONTENT, 0)[:PIECE]).hex)
    transfer = Transfer(claim_of(), checkpoints=[checkpoint])

    with pytest.raises(BeginningMismatch):
        transfer.take(CONTENT)

    assert not transfer.verifier.is_proving
