"""Ranges against a second reading of RFC 9110, and the rules that hold for any of them."""

from __future__ import annotations

from itertools import accumulate, chain, pairwise

import rfc9110
from hypothesis import assume
from hypothesis import strategies as st
from proof import holds_for
from texts import RANGE_LINES, RANGES, changed

from streamer.errors import RangeNotSatisfiable
from streamer.ranges import (
    MAX_RANGES,
    MAX_SPANS,
    SPAN_GAP_BYTES,
    ByteRange,
    Way,
    read_content_range,
    resumes,
    select,
    spans,
    way_of,
)

SIZES = st.integers(0, 64)
LARGE_SIZES = st.integers(1, 10**19 - 1)


@st.composite
def ascending_parts(draw, *, gaps):
    """Parts as `select` gives them, and the size that they are parts of."""
    steps = draw(st.lists(st.tuples(gaps, st.integers(1, 99)), min_size=1, max_size=40))
    bounds = list(accumulate(chain.from_iterable(steps)))
    parts = [ByteRange(first, end - 1) for first, end in zip(*[iter(bounds)] * 2, strict=True)]
    return tuple(parts), bounds[-1] + draw(st.integers(0, 99))


@holds_for(examples=600, lines=RANGE_LINES, size=SIZES)
def test_selection_is_what_rfc_9110_says(lines, size):
    """Whatever a Range says, the parts are those of section 14.1.2, or it is ignored, or 416."""
    try:
        expected = rfc9110.asked_for(lines, size)
    except rfc9110.Unsatisfiable:
        expected = 416

    try:
        found = [range(part.first, part.last + 1) for part in select(lines, size)]
    except RangeNotSatisfiable as error:
        found = 416 if error.size == size else error.size

    assert expected == found


@holds_for(first=st.none() | st.integers(0, 70), last=st.none() | st.integers(0, 70), size=SIZES)
def test_positions_are_those_of_the_definition(first, last, size):
    """RFC 9110 14.1.2: the second reading itself, byte by byte."""
    assume(first is not None or last is not None)
    if first is None:
        expected = [at for at in range(size) if size - at <= last]
    else:
        expected = [at for at in range(size) if first <= at and (last is None or at <= last)]

    assert expected == list(rfc9110.positions((first, last), size))


@holds_for(count=st.integers(1, 2 * MAX_RANGES))
def test_selection_is_of_a_bounded_number_of_ranges(count):
    """One range too many is as good as no Range."""
    value = "bytes=" + ",".join(f"{2 * number}-{2 * number}" for number in range(count))

    found = select([value], 4 * MAX_RANGES)

    assert (count if count <= MAX_RANGES else 0) == len(found)


@holds_for(examples=500, lines=RANGE_LINES, size=SIZES)
def test_range_that_does_not_resume_begins_at_the_first_byte(lines, size):
    """Invariant 1: the answer "no" is certain, so no reader sees a later beginning."""
    if resumes(lines):
        return

    specs = rfc9110.specs_of(lines) if lines else [(0, None)]

    assert len(specs) == 1
    assert specs[0][0] == 0
    assert size == 0 or 0 in rfc9110.positions(specs[0], size)


@holds_for(first=st.none() | st.integers(0, 10**30), last=st.none() | st.integers(0, 10**30))
def test_only_a_range_from_the_first_byte_does_not_resume(first, last):
    """A client that begins anew is never turned away for it."""
    value = f"bytes={'' if first is None else first}-{'' if last is None else last}"

    assert (first != 0) == resumes([value])


@holds_for(first=LARGE_SIZES, length=LARGE_SIZES, rest=st.integers(0, 99))
def test_content_range_is_read_as_it_was_written(first, length, rest):
    """RFC 9110 14.4: what we say of a part is what we understand of one."""
    part = ByteRange(first, first + length - 1)
    size = first + length + rest

    found = read_content_range(part.content_range(size))

    assert ((part, size) if size < 10**19 else None) == found


@holds_for(
    examples=400,
    value=changed(
        st.builds("bytes {}-{}/{}".format, *[st.integers(0, 20)] * 3),
        st.text("0123456789-/* \tbytes٣\x00+", max_size=2),
    )
    | RANGES,
)
def test_content_range_that_is_read_lies_within_its_length(value):
    """Of any text comes a part of the size beside it, or nothing."""
    found = read_content_range(value)

    if found is not None:
        part, size = found
        assert 0 <= part.first <= part.last < size
        assert part.content_range(size).split("/")[1] == str(size)


@holds_for(
    given=ascending_parts(
        gaps=st.integers(0, 99) | st.integers(SPAN_GAP_BYTES - 1, SPAN_GAP_BYTES + 2)
    )
)
def test_spans_hold_all_parts_and_little_else(given):
    """Each part lies in one span; spans are far apart, and the parts of one are near."""
    parts, _ = given

    found = spans(parts)

    held = [
        [part for part in parts if span.first <= part.first and part.last <= span.last]
        for span in found
    ]
    assert list(parts) == list(chain.from_iterable(held))
    assert [(part[0].first, part[-1].last) for part in held] == [(s.first, s.last) for s in found]
    assert all(_gap(*pair) > SPAN_GAP_BYTES for pair in pairwise(found))
    assert all(_gap(*pair) <= SPAN_GAP_BYTES for within in held for pair in pairwise(within))


def _gap(left, right):
    return right.first - left.last - 1


@holds_for(
    examples=500,
    given=ascending_parts(gaps=st.sampled_from([0, 1, 50])) | st.just(((), 7)),
    knows_size=st.booleans(),
    unlearned=st.sampled_from(["auto", "verify", "pass", "refuse"]),
    verify_up_to=st.integers(0, 5000),
    is_held=st.booleans(),
    is_distrusted=st.booleans(),
)
def test_way_is_that_of_the_table(given, knows_size, **circumstances):
    """Every request has a way, and it is the first row that fits."""
    parts, size = given
    size = size if knows_size else None
    asked = [range(part.first, part.last + 1) for part in parts]

    expected = rfc9110.way(asked, size, **circumstances)

    assert way_of(parts, size, **circumstances) is Way[expected]


@holds_for(count=st.integers(1, 2 * MAX_SPANS))
def test_ranges_far_apart_cause_a_bounded_number_of_requests(count):
    """What would take more requests than that is answered whole."""
    step = SPAN_GAP_BYTES + 2
    parts = [ByteRange(number * step, number * step) for number in range(count)]

    way = way_of(parts, step * count, unlearned="pass", verify_up_to=0)

    assert (Way.PASSED if count <= MAX_SPANS else Way.WHOLE) is way
