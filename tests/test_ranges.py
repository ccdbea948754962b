"""Ranges: what is asked for, how it may be served, what an origin says it sends."""

from __future__ import annotations

from itertools import product

import pytest

from streamer.errors import RangeNotSatisfiable
from streamer.ranges import (
    MAX_RANGES,
    MAX_SPANS,
    SPAN_GAP_BYTES,
    ByteRange,
    Way,
    lies_within,
    read_content_range,
    read_ranges,
    read_relayed_range,
    resumes,
    select,
    spans,
    way_of,
)

UNSATISFIABLE = "416"
MIB = 1024 * 1024


def selected(value, size):
    """The parts as (first, last) pairs, or `UNSATISFIABLE`."""
    try:
        return [(part.first, part.last) for part in select([value], size)]
    except RangeNotSatisfiable as error:
        return UNSATISFIABLE if error.size == size else error


# -- what a client asks for


def by_rfc9110(first, last, size):
    """The bytes that a spec selects, by enumeration (RFC 9110 sections 14.1.1 and 14.1.2).

    None where the spec is malformed, empty where it is not satisfiable.
    """
    positions = range(size)
    if first is None and last is None:
        return None
    if first is None:
        return [position for position in positions if position >= size - last]
    if last is not None and last < first:
        return None
    return [
        position for position in positions if first <= position <= (size if last is None else last)
    ]


EVERY_RANGE = [
    pytest.param(
        first,
        last,
        size,
        id=f"{'' if first is None else first}-{'' if last is None else last}-of-{size}",
    )
    for size, first, last in product(range(7), [None, *range(9)], [None, *range(9)])
]


@pytest.mark.parametrize(("first", "last", "size"), EVERY_RANGE)
def test_every_single_range_selects_the_bytes_of_its_definition(first, last, size):
    """All ranges over lengths 0 to 6, against an enumeration of the positions."""
    positions = by_rfc9110(first, last, size)
    text = "bytes={}-{}".format(*("" if number is None else number for number in (first, last)))

    found = selected(text, size)

    is_empty_suffix_of_empty = size == 0 and first is None and last not in (None, 0)
    if positions is None or is_empty_suffix_of_empty:
        assert found == []
    elif not positions:
        assert found == UNSATISFIABLE
    else:
        assert found == [(positions[0], positions[-1])]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-499", [(0, 499)], id="rfc9110-14.1.2-first-500"),
        pytest.param("bytes=500-999", [(500, 999)], id="rfc9110-14.1.2-second-500"),
        pytest.param("bytes=-500", [(9500, 9999)], id="rfc9110-14.1.2-final-500"),
        pytest.param("bytes=9500-", [(9500, 9999)], id="rfc9110-14.1.2-final-500-open"),
        pytest.param("bytes=0-0,-1", [(0, 0), (9999, 9999)], id="rfc9110-14.1.2-first-and-last"),
        pytest.param(
            "bytes= 0-999, 4500-5499, -1000",
            [(0, 999), (4500, 5499), (9000, 9999)],
            id="rfc9110-14.1.2-first-middle-last",
        ),
        pytest.param(
            "bytes=500-600,601-999", [(500, 600), (601, 999)], id="rfc9110-14.1.2-adjacent"
        ),
        pytest.param("bytes=500-700,601-999", [], id="rfc9110-14.2-overlapping"),
        pytest.param("bytes=601-999,500-600", [], id="rfc9110-15.3.7.2-descending"),
        pytest.param("bytes=0-5,0-5", [], id="rfc9110-14.2-the-same-twice"),
        pytest.param("bytes=5-9,-5", [(5, 9), (9995, 9999)], id="rfc9110-14.1.2-range-and-suffix"),
        pytest.param("BYTES=0-5", [(0, 5)], id="rfc9110-14.1-unit-in-any-case"),
        pytest.param("bytes=0-5,", [(0, 5)], id="rfc9110-5.6.1.2-empty-member-last"),
        pytest.param("bytes=,,0-5, ,7-8", [(0, 5), (7, 8)], id="rfc9110-5.6.1.2-empty-members"),
        pytest.param("bytes=0-5\t,\t7-8", [(0, 5), (7, 8)], id="rfc9110-5.6.1-tabs"),
        pytest.param(" bytes=0-5 ", [(0, 5)], id="rfc9110-5.5-white-space-around"),
        pytest.param("bytes=007-0009", [(7, 9)], id="rfc9110-14.1.1-leading-zeros"),
        pytest.param(
            "bytes=0-99999999999999999999999", [(0, 9999)], id="rfc9110-14.1.2-last-beyond-64-bits"
        ),
        pytest.param("bytes=0-" + "9" * 6000, [(0, 9999)], id="rfc9110-14.1.1-thousands-of-digits"),
        pytest.param(
            "bytes=" + "0" * 6000 + "7-8", [(7, 8)], id="rfc9110-14.1.1-thousands-of-zeros"
        ),
        pytest.param(
            "bytes=-99999999999999999999999", [(0, 9999)], id="rfc9110-14.1.2-suffix-beyond-all"
        ),
        pytest.param("bytes=20000-,5-6", [(5, 6)], id="rfc9110-14.2-one-of-two-satisfiable"),
        pytest.param("bytes=10000-", UNSATISFIABLE, id="rfc9110-15.5.17-from-the-end"),
        pytest.param("bytes=10000-10005", UNSATISFIABLE, id="rfc9110-15.5.17-beyond-the-end"),
        pytest.param("bytes=-0", UNSATISFIABLE, id="rfc9110-14.1.2-suffix-of-nothing"),
        pytest.param("bytes=-0,-0", UNSATISFIABLE, id="rfc9110-14.1.2-two-suffixes-of-nothing"),
        pytest.param(
            "bytes=99999999999999999999999-", UNSATISFIABLE, id="rfc9110-15.5.17-beyond-64-bits"
        ),
        pytest.param("bytes=5-4", [], id="rfc9110-14.1.1-last-before-first"),
        pytest.param("bytes=0-5,9-8", [], id="rfc9110-14.1.1-one-member-malformed"),
        pytest.param("bytes=20000-,9-8", [], id="rfc9110-14.1.1-malformed-before-unsatisfiable"),
        pytest.param("bytes=-", [], id="rfc9110-14.1.1-neither-first-nor-last"),
        pytest.param("bytes=--5", [], id="rfc9110-14.1.1-two-hyphens"),
        pytest.param("bytes=0-5-9", [], id="rfc9110-14.1.1-three-numbers"),
        pytest.param("bytes=5", [], id="rfc9110-14.1.1-no-hyphen"),
        pytest.param("bytes=+1-5", [], id="rfc9110-14.1.1-sign"),
        pytest.param("bytes=0x1-5", [], id="rfc9110-14.1.1-not-decimal"),
        pytest.param("bytes=1_0-20", [], id="rfc9110-14.1.1-underscore"),
        pytest.param("bytes=\u0660-5", [], id="rfc9110-14.1.1-not-ascii-digits"),
        pytest.param("bytes=0 - 5", [], id="rfc9110-14.1.1-blanks-within"),
        pytest.param("bytes =0-5", [], id="rfc9110-14.1.1-blank-before-equals"),
        pytest.param("bytes 0-5", [], id="rfc9110-14.1.1-no-equals"),
        pytest.param("bytes=", [], id="rfc9110-14.1.1-empty-set"),
        pytest.param("bytes=,", [], id="rfc9110-14.1.1-nothing-but-empty-members"),
        pytest.param("items=0-5", [], id="rfc9110-14.2-other-unit"),
        pytest.param("0-5", [], id="rfc9110-14.2-no-unit"),
        pytest.param("bytes=0-5;q=1", [], id="rfc9110-14.1.1-parameter"),
        pytest.param("", [], id="empty"),
    ],
)
def test_range_field_selects_parts_of_ten_thousand_bytes(value, expected):
    """What is malformed is ignored, what is beyond the end is not satisfiable."""
    assert expected == selected(value, 10_000)


def test_absent_range_selects_nothing():
    """No field, no parts."""
    assert select([], 10) == ()


def test_repeated_range_field_is_ignored():
    """RFC 9110 5.3: Range is no list field, so two lines are malformed."""
    assert select(["bytes=0-1", "bytes=4-5"], 10) == ()


@pytest.mark.parametrize(("number", "expected"), [(MAX_RANGES, MAX_RANGES), (MAX_RANGES + 1, 0)])
def test_too_many_ranges_are_ignored(number, expected):
    """RFC 9110 14.2: a server may ignore many small ranges."""
    value = "bytes=" + ",".join(f"{3 * place}-{3 * place}" for place in range(number))

    assert expected == len(select([value], 10_000))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], False, id="absent"),
        pytest.param(["bytes=0-"], False, id="rfc9110-14.1.2-from-the-first"),
        pytest.param(["bytes=0-499"], False, id="rfc9110-14.1.2-first-500"),
        pytest.param(["bytes=00-"], False, id="rfc9110-14.1.1-leading-zeros"),
        pytest.param(["Bytes=0-"], False, id="rfc9110-14.1-unit-in-any-case"),
        pytest.param([" bytes=0- "], False, id="rfc9110-5.5-white-space-around"),
        pytest.param(["bytes=1-"], True, id="rfc9110-14.1.2-from-the-second"),
        pytest.param(["bytes=500-999"], True, id="rfc9110-14.1.2-second-500"),
        pytest.param(["bytes=-500"], True, id="rfc9110-14.1.2-suffix"),
        pytest.param(["bytes=0-0,-1"], True, id="rfc9110-14.1.2-first-and-last"),
        pytest.param(["bytes=0-,5-"], True, id="rfc9110-14.1.2-several"),
        pytest.param(["bytes=0-", "bytes=0-"], True, id="rfc9110-5.3-repeated"),
        pytest.param(["bytes=0x10-"], True, id="not-decimal"),
        pytest.param(["bytes=\u0660-"], True, id="not-ascii-digits"),
        pytest.param(["bytes="], True, id="empty-set"),
        pytest.param(["items=0-5"], True, id="rfc9110-14.1-other-unit"),
        pytest.param(["bytes 0-5"], True, id="not-a-range"),
        pytest.param([""], True, id="empty"),
    ],
)
def test_only_a_single_range_from_the_first_byte_is_certainly_no_resume(values, expected):
    """In doubt the sender may hold a wrong beginning."""
    assert expected == resumes(values)


# -- how it is served

MIDDLE = (ByteRange(10, 19),)
ALL = (ByteRange(0, 99),)
ALL_IN_TWO = (ByteRange(0, 49), ByteRange(50, 99))


@pytest.mark.parametrize(
    ("parts", "size", "keywords", "expected"),
    [
        pytest.param((), 100, {}, Way.WHOLE, id="no-range"),
        pytest.param(MIDDLE, 100, {}, Way.CUT, id="auto-moderate"),
        pytest.param(MIDDLE, 101, {}, Way.PASSED, id="auto-large"),
        pytest.param((ByteRange(0, 100),), 101, {}, Way.CUT, id="auto-large-all-of-it"),
        pytest.param(
            (ByteRange(0, 99),), 101, {}, Way.PASSED, id="auto-large-all-but-the-last-byte"
        ),
        pytest.param(MIDDLE, 101, {"is_distrusted": True}, Way.CUT, id="auto-large-distrusted"),
        pytest.param(MIDDLE, 101, {"is_held": True}, Way.CUT, id="auto-large-held"),
        pytest.param(MIDDLE, 101, {"unlearned": "verify"}, Way.CUT, id="verify-large"),
        pytest.param(MIDDLE, 50, {"unlearned": "pass"}, Way.PASSED, id="pass-small"),
        pytest.param(ALL, 100, {"unlearned": "pass"}, Way.CUT, id="pass-all-of-it"),
        pytest.param(ALL_IN_TWO, 100, {"unlearned": "pass"}, Way.CUT, id="pass-all-of-it-in-two"),
        pytest.param(
            MIDDLE, 100, {"unlearned": "pass", "is_distrusted": True}, Way.CUT, id="pass-distrusted"
        ),
        pytest.param(MIDDLE, 100, {"unlearned": "pass", "is_held": True}, Way.CUT, id="pass-held"),
        pytest.param(MIDDLE, 50, {"unlearned": "refuse"}, Way.WHOLE, id="refuse-small"),
        pytest.param(ALL, 100, {"unlearned": "refuse"}, Way.WHOLE, id="refuse-all-of-it"),
        pytest.param(
            MIDDLE, 100, {"unlearned": "refuse", "is_held": True}, Way.CUT, id="refuse-held"
        ),
        pytest.param(MIDDLE, None, {"unlearned": "verify"}, Way.WHOLE, id="verify-unknown-size"),
    ],
)
def test_way_follows_from_setting_size_and_trust(parts, size, keywords, expected):
    """The table in the module's docstring."""
    found = way_of(parts, size, **{"unlearned": "auto", "verify_up_to": 100, **keywords})

    assert expected == found


def far_apart(number):
    return tuple(ByteRange(place * MIB, place * MIB) for place in range(number))


@pytest.mark.parametrize(
    ("number", "expected"), [(MAX_SPANS, Way.PASSED), (MAX_SPANS + 1, Way.WHOLE)]
)
def test_ranges_that_need_too_many_requests_are_answered_whole(number, expected):
    """One request of a client causes a bounded number at an origin."""
    found = way_of(far_apart(number), 1000 * MIB, unlearned="pass", verify_up_to=0)

    assert expected == found


@pytest.mark.parametrize(("gap", "number"), [(0, 1), (SPAN_GAP_BYTES, 1), (SPAN_GAP_BYTES + 1, 2)])
def test_ranges_that_lie_close_together_are_asked_for_at_once(gap, number):
    """A small gap costs less than a request."""
    first, second = ByteRange(5, 9), ByteRange(10 + gap, 20 + gap)

    found = spans([first, second])

    assert len(found) == number
    assert (found[0].first, found[-1].last) == (5, 20 + gap)


# -- what an origin says it sends


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes 42-1233/1234", (ByteRange(42, 1233), 1234), id="rfc9110-14.4-example"),
        pytest.param("bytes 0-0/1", (ByteRange(0, 0), 1), id="rfc9110-14.4-single-byte"),
        pytest.param("Bytes 0-0/1", (ByteRange(0, 0), 1), id="rfc9110-14.1-unit-in-any-case"),
        pytest.param(" bytes 0-0/1\t", (ByteRange(0, 0), 1), id="rfc9110-5.5-white-space-around"),
        pytest.param("bytes 42-1233/*", None, id="rfc9110-14.4-unknown-length"),
        pytest.param("bytes */1234", None, id="rfc9110-14.4-unsatisfied"),
        pytest.param("bytes 42-1234/1234", None, id="rfc9110-14.4-last-beyond-the-length"),
        pytest.param("bytes 42-41/1234", None, id="rfc9110-14.4-last-before-first"),
        pytest.param("bytes=42-1233/1234", None, id="equals"),
        pytest.param("bytes 42-1233", None, id="no-length"),
        pytest.param("bytes  42-1233/1234", None, id="two-blanks"),
        pytest.param("bytes +42-1233/1234", None, id="sign"),
        pytest.param("bytes 42-1233/1234, bytes 0-1/1234", None, id="two"),
        pytest.param("bytes 0-1/" + "9" * 20, None, id="beyond-64-bits"),
        pytest.param("items 42-1233/1234", None, id="other-unit"),
        pytest.param("", None, id="empty"),
    ],
)
def test_content_range_is_read_strictly(value, expected):
    """An origin that cannot say exactly what it sends is not believed."""
    assert expected == read_content_range(value)


def test_content_range_is_written():
    """RFC 9110 14.4."""
    assert ByteRange(42, 1233).content_range(1234) == "bytes 42-1233/1234"


def test_content_range_of_unknown_length_may_be_relayed():
    """RFC 9110 14.4: the complete length is unknown, and the range is not."""
    assert (ByteRange(42, 1233), None) == read_relayed_range("bytes 42-1233/*")
    assert (ByteRange(42, 1233), 1234) == read_relayed_range("bytes 42-1233/1234")
    assert read_relayed_range("bytes 42-41/*") is None


@pytest.mark.parametrize("size", range(7))
@pytest.mark.parametrize("wanted", ["0-2", "1-1", "2-", "0-", "-2", "-9"])
def test_part_lies_within_a_range_if_it_has_no_byte_beyond_it(wanted, size):
    """Every part of every short content, held against the bytes that the range selects."""
    (spec,) = read_ranges([f"bytes={wanted}"])
    first, _, last = wanted.partition("-")
    content = list(range(size))
    selected = content[-int(last) :] if not first else content[int(first) :][: _count(first, last)]

    for start in content:
        for end in content[start:]:
            expected = set(content[start : end + 1]) <= set(selected)
            assert expected == lies_within(ByteRange(start, end), spec, size)


def _count(first, last):
    return None if not last else int(last) - int(first) + 1


@pytest.mark.parametrize(
    ("part", "wanted", "expected"),
    [
        (ByteRange(0, 2), "0-2", True),
        (ByteRange(0, 3), "0-2", False),
        (ByteRange(7, 900), "7-", True),
        (ByteRange(6, 900), "7-", False),
        (ByteRange(90, 99), "-10", True),
        (ByteRange(89, 99), "-10", False),
    ],
)
def test_part_of_unknown_content_lies_within_a_range(part, wanted, expected):
    """A suffix of content whose length nobody says is judged by how long it is."""
    (spec,) = read_ranges([f"bytes={wanted}"])

    assert expected == lies_within(part, spec, None)
