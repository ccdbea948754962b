"""Size and digest over chunks, and the tail that stays behind until they match."""

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
    SizeMismatch,
)
from streamer.model import STRONG_ALGORITHMS, WEAK_ALGORITHMS, Digest
from streamer.verify import Checkpoint, ContentVerifier, HeldTail, LengthVerifier

CONTENT = b"The quick brown fox jumps over the lazy dog"


def digest_of(content, algorithm="sha256"):
    return Digest(algorithm, hashlib.new(algorithm, content).hexdigest())


def run(verifier, chunks):
    """Feed all chunks and ask for the verdict."""
    for chunk in chunks:
        verifier.update(chunk)
    verifier.finish()


@st.composite
def chunked(draw, **sizes):
    """Draw content and one way to cut it into chunks, empty ones included."""
    content = draw(st.binary(**sizes))
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=8)))
    edges = [0, *cuts, len(content)]
    return content, [content[start:end] for start, end in pairwise(edges)]


# -- the verifier


@given(chunked(max_size=300), st.sampled_from(STRONG_ALGORITHMS + WEAK_ALGORITHMS), st.booleans())
def test_right_content_passes_however_it_is_cut(cut, algorithm, is_size_known):
    """The verdict does not depend on the chunks."""
    content, chunks = cut
    verifier = ContentVerifier(
        len(content) if is_size_known else None, digest_of(content, algorithm)
    )

    run(verifier, chunks)

    assert len(content) == verifier.position


@given(chunked(min_size=1, max_size=300), st.data())
def test_one_flipped_bit_is_found_wherever_it_is(cut, data):
    """Not one bit may differ."""
    content, chunks = cut
    place = data.draw(st.integers(0, len(content) * 8 - 1))
    wrong = bytearray(content)
    wrong[place // 8] ^= 1 << place % 8
    verifier = ContentVerifier(len(content), digest_of(bytes(wrong)))

    with pytest.raises(DigestMismatch):
        run(verifier, chunks)


def checkpoint_of(content):
    """What a pass that broke off behind `content` would have left."""
    verifier = ContentVerifier(None, digest_of(b""))
    verifier.update(content)
    return verifier.checkpoint


@given(chunked(max_size=300), st.data())
def test_checkpoints_of_the_same_content_match_wherever_they_are(cut, data):
    """The verdict on right content depends neither on them nor on the chunks."""
    content, chunks = cut
    places = data.draw(st.lists(st.integers(0, len(content)), max_size=4))
    verifier = ContentVerifier(
        len(content), digest_of(content), [checkpoint_of(content[:place]) for place in places]
    )

    run(verifier, chunks)

    assert len(content) == verifier.position


@given(chunked(min_size=1, max_size=300), st.data())
def test_checkpoint_of_other_content_is_found_with_the_byte_where_it_stands(cut, data):
    """What is right now was not what somebody got then; nothing behind the place is accepted."""
    content, chunks = cut
    place = data.draw(st.integers(1, len(content)))
    wrong = bytearray(content[:place])
    wrong[data.draw(st.integers(0, place - 1))] ^= 1
    verifier = ContentVerifier(len(content), digest_of(content), [checkpoint_of(bytes(wrong))])

    with pytest.raises(BeginningMismatch) as caught:
        run(verifier, chunks)

    assert caught.value.args == (place,)


def test_checkpoint_says_how_far_it_reaches():
    """Its digest is that of the bytes so far."""
    assert checkpoint_of(CONTENT) == Checkpoint(len(CONTENT), digest_of(CONTENT).hex)


@pytest.mark.parametrize("chunks", [[], [b"ab"], [b"ab", b"c"]])
def test_count_below_the_length_is_found_at_the_end(chunks):
    """All that can be said of a range by itself is how long it is."""
    with pytest.raises(SizeMismatch):
        run(LengthVerifier(4), chunks)


def test_count_beyond_the_length_is_found_at_once():
    """The byte that is too many is not accepted."""
    verifier = LengthVerifier(4)
    verifier.update(b"abcd")

    with pytest.raises(SizeMismatch):
        verifier.update(b"e")


def test_count_that_is_the_length_is_accepted():
    """However it is cut."""
    run(LengthVerifier(4), [b"a", b"", b"bcd"])


def test_content_of_unknown_length_is_as_long_as_it_is():
    """Where nobody promised a length, none is wrong."""
    run(LengthVerifier(None), [b"a", b"", b"bcd"])


@pytest.mark.parametrize("size", [len(CONTENT), None], ids=["size-known", "size-unknown"])
def test_wrong_content_names_both_digests(size):
    """The error says what was promised and what came."""
    verifier = ContentVerifier(size, digest_of(b"other"))

    with pytest.raises(DigestMismatch) as caught:
        run(verifier, [CONTENT])

    assert caught.value.args == (digest_of(b"other"), digest_of(CONTENT))


def test_one_byte_too_many_is_found_with_that_byte():
    """Too long is known at once, not at the end."""
    verifier = ContentVerifier(3, digest_of(b"abc"))
    verifier.update(b"abc")

    with pytest.raises(SizeMismatch, match="3 bytes were promised, the origin sends 4 or more"):
        verifier.update(b"d")


def test_one_byte_too_few_is_found_at_the_end():
    """Too short is known when the origin says that this was all."""
    verifier = ContentVerifier(3, digest_of(b"abc"))
    verifier.update(b"ab")

    with pytest.raises(SizeMismatch, match="3 bytes were promised, the origin sends 2"):
        verifier.finish()


def test_truncated_content_of_unknown_size_is_found_by_its_digest():
    """Without a size the digest tells alone."""
    verifier = ContentVerifier(None, digest_of(b"abc"))
    verifier.update(b"ab")

    with pytest.raises(DigestMismatch):
        verifier.finish()


# What each verifier makes of a bad ending: whether size is known, what came, and what is raised.
CUT = ContentTruncated(2)
BAD_ENDINGS = [
    pytest.param(ContentVerifier(3, digest_of(b"abc")), b"abc", None, id="all-of-it"),
    pytest.param(ContentVerifier(None, digest_of(b"abc")), b"abc", None, id="all-by-the-digest"),
    pytest.param(ContentVerifier(3, digest_of(b"abc")), b"ab", CUT, id="a-part"),
    pytest.param(ContentVerifier(None, digest_of(b"abc")), b"ab", CUT, id="perhaps-a-part"),
    pytest.param(ContentVerifier(3, digest_of(b"abc")), b"abd", DigestMismatch, id="all-wrong"),
    pytest.param(LengthVerifier(3), b"abc", CUT, id="as-many-and-nothing-to-compare"),
    pytest.param(LengthVerifier(None), b"abc", CUT, id="nothing-known"),
]


@pytest.mark.parametrize(("verifier", "content", "expected"), BAD_ENDINGS)
def test_bad_ending_matters_unless_a_digest_says_otherwise(verifier, content, expected):
    """What is proven right is complete; what may go on is not wrong yet."""
    verifier.update(content)

    found = None
    try:
        verifier.finish(CUT)
    except OriginError as error:
        found = error

    assert found is expected or isinstance(found, expected)


def test_checkpoint_beyond_the_end_is_another_content():
    """Who got more than there is holds what is wrong."""
    beyond = checkpoint_of(CONTENT + b"!")
    verifier = ContentVerifier(None, digest_of(CONTENT), [beyond])

    with pytest.raises(BeginningMismatch) as caught:
        run(verifier, [CONTENT])

    assert caught.value.args == (beyond.position,)


@pytest.mark.parametrize("size", [0, None], ids=["size-known", "size-unknown"])
def test_empty_content_is_verified_too(size):
    """No bytes have a digest as well."""
    verifier = ContentVerifier(size, digest_of(b""))

    verifier.finish()

    assert verifier.position == 0


# -- the held tail


@given(chunked(max_size=200), st.integers(0, 250), st.booleans())
def test_what_is_passed_and_released_is_what_was_pushed(cut, tail_bytes, is_size_known):
    """The tail changes when bytes go out, never which or in which order."""
    content, chunks = cut
    tail = HeldTail(len(content) if is_size_known else None, tail_bytes)

    passed = [piece for chunk in chunks for piece in tail.push(chunk)]
    released = tail.release()

    assert content == b"".join(passed + released)


@given(chunked(max_size=200), st.integers(0, 250), st.booleans())
def test_tail_of_the_content_is_never_passed_before_the_release(cut, tail_bytes, is_size_known):
    """At no time have more bytes gone out than the content without its tail."""
    content, chunks = cut
    tail = HeldTail(len(content) if is_size_known else None, tail_bytes)

    passed_bytes = 0
    for chunk in chunks:
        passed_bytes += sum(map(len, tail.push(chunk)))

        assert passed_bytes <= max(0, len(content) - tail_bytes)


@given(chunked(max_size=200), st.integers(0, 250), st.booleans())
def test_held_bytes_are_those_that_were_not_passed(cut, tail_bytes, is_size_known):
    """What is held can be told at any time, and nothing is after the release."""
    content, chunks = cut
    tail = HeldTail(len(content) if is_size_known else None, tail_bytes)

    open_bytes = 0
    for chunk in chunks:
        open_bytes += len(chunk) - sum(map(len, tail.push(chunk)))
        assert open_bytes == tail.held_bytes
    tail.release()

    assert tail.held_bytes == 0


@given(chunked(max_size=200), st.integers(0, 250))
def test_tail_of_known_size_holds_no_byte_of_the_rest(cut, tail_bytes):
    """A slow origin's bytes pass at once: only the fixed last part waits."""
    content, chunks = cut
    tail = HeldTail(len(content), tail_bytes)

    seen_bytes = 0
    for chunk in chunks:
        seen_bytes += len(chunk)
        tail.push(chunk)

        assert max(0, seen_bytes - max(0, len(content) - tail_bytes)) == tail.held_bytes


def test_tail_of_unknown_size_keeps_whole_chunks():
    """A chunk goes out when as many bytes as the tail came after it."""
    tail = HeldTail(None, 4)

    passed = [tail.push(chunk) for chunk in (b"aaa", b"bbb", b"c", b"d")]

    assert passed == [[], [], [b"aaa"], []]
    assert tail.release() == [b"bbb", b"c", b"d"]


def test_more_than_the_known_size_stays_behind():
    """What a verifier would refuse is not passed by the tail either."""
    tail = HeldTail(6, 2)

    passed = tail.push(b"abcdefgh")

    assert passed == [b"abcd"]
