"""Conditions against a second reading of RFC 9110 section 13, and against texts that mean none."""

from __future__ import annotations

import time
from email.utils import formatdate

import rfc9110
from hypothesis import strategies as st
from proof import holds_for
from texts import LATIN_1, changed

from streamer.preconditions import Condition, Preconditions, range_applies, read_date, write_date

ETAG = '"sha256:0123456789abcdef"'
MODIFIED = 784111777
STATUS = {Condition.HOLDS: 200, Condition.NOT_MODIFIED: 304, Condition.FAILED: 412}

TAGS = st.sampled_from([ETAG, f"W/{ETAG}", '"other"', 'W/"other"', '""', '"a,b"', '"W/"'])
TAG_LISTS = st.none() | st.just(["*"]) | st.lists(TAGS, min_size=1, max_size=4)
DATES = st.none() | st.integers(MODIFIED - 2, MODIFIED + 2)

SECONDS = st.integers(0, 3_000_000_000)
"""Until 2065: the two digits of an RFC 850 year say no more than that."""


@st.composite
def lines_of(draw, tags):
    """The lines of a list field that hold these tags, with the freedom of section 5.6.1.2."""
    if tags is None:
        return []
    lines = [[]]
    for tag in tags:
        if draw(st.booleans()):
            lines.append([])
        lines[-1].append(tag)
    separator = draw(st.sampled_from([",", ", ", " ,\t", ", ,"]))
    return [separator.join(line) for line in lines if line]


def written(seconds):
    return None if seconds is None else write_date(seconds)


def imf_fixdate(seconds):
    return formatdate(seconds, usegmt=True)


def rfc_850(seconds):
    return time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(seconds))


def asctime(seconds):
    return time.asctime(time.gmtime(seconds))


FORMS = st.sampled_from([imf_fixdate, rfc_850, asctime])
ODD_DATES = changed(
    st.tuples(FORMS, SECONDS).map(lambda both: both[0](both[1])),
    st.text("0123456789 :,-+.GMTJanSunZ\x00é", max_size=3)
    | st.sampled_from(["9" * 5000, "-2400", "+9999999999", "99999999999999999999", "0000", "9999"]),
)
ODD_TAGS = changed(TAGS, st.text('*"W/, \x00é', max_size=2)) | LATIN_1


@holds_for(
    examples=300,
    if_match=TAG_LISTS.flatmap(lambda tags: st.tuples(st.just(tags), lines_of(tags))),
    if_none_match=TAG_LISTS.flatmap(lambda tags: st.tuples(st.just(tags), lines_of(tags))),
    if_unmodified_since=DATES,
    if_modified_since=DATES,
)
def test_conditions_come_to_what_rfc_9110_says(
    if_match, if_none_match, if_unmodified_since, if_modified_since
):
    """RFC 9110 13.2.2: any tags and dates, in any combination and spelling."""
    expected = rfc9110.condition(
        ETAG,
        MODIFIED,
        if_match=if_match[0],
        if_none_match=if_none_match[0],
        if_unmodified_since=if_unmodified_since,
        if_modified_since=if_modified_since,
    )

    found = Preconditions(
        if_match=if_match[1],
        if_none_match=if_none_match[1],
        if_unmodified_since=written(if_unmodified_since),
        if_modified_since=written(if_modified_since),
    ).evaluate(ETAG, MODIFIED)

    assert expected == STATUS[found]


@holds_for(
    examples=200,
    if_match=st.lists(ODD_TAGS, max_size=2),
    if_none_match=st.lists(ODD_TAGS, max_size=2),
    if_unmodified_since=st.none() | ODD_DATES | LATIN_1,
    if_modified_since=st.none() | ODD_DATES | LATIN_1,
)
def test_conditions_in_any_words_are_evaluated(**condition):
    """What cannot be read is no defect: it holds, fails or is ignored."""
    assert Preconditions(**condition).evaluate(ETAG, MODIFIED) in Condition


@holds_for(
    examples=200,
    if_range=st.lists(
        ODD_TAGS
        | ODD_DATES
        | st.sampled_from([ETAG, f"W/{ETAG}"])
        | DATES.map(lambda at: write_date(at or 0)),
        max_size=2,
    ),
)
def test_range_applies_only_beside_our_own_validator(if_range):
    """RFC 9110 13.1.5: the very tag or the very second; in doubt the whole is sent."""
    is_ours = len(if_range) == 1 and (
        if_range[0].strip(" \t") == ETAG or read_date(if_range[0]) == MODIFIED
    )

    assert (not if_range or is_ours) == range_applies(if_range, ETAG, MODIFIED)


@holds_for(at=SECONDS, write=FORMS)
def test_date_is_read_in_each_form(at, write):
    """RFC 9110 5.6.7: a recipient takes all three, as `time` and `email` write them."""
    assert at == read_date(write(at))


@holds_for(at=SECONDS)
def test_date_is_written_as_an_imf_fixdate(at):
    """RFC 9110 5.6.7: the one form that a sender may write."""
    assert imf_fixdate(at) == write_date(at)


@holds_for(examples=300, text=ODD_DATES | LATIN_1)
def test_date_in_any_words_is_seconds_or_nothing(text):
    """No text that a client sends as a date is a defect."""
    assert isinstance(read_date(text), float | None)
