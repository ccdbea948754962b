"""Conditions of a request against what the catalog knows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.preconditions import (
    Condition,
    Preconditions,
    range_applies,
    read_date,
    write_date,
)

ETAG = '"sha256:ab"'
MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7
SAME = "Sun, 06 Nov 1994 08:49:37 GMT"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"


def evaluated(**conditions):
    return Preconditions(**conditions).evaluate(ETAG, MODIFIED)


def is_not_modified(**conditions):
    return evaluated(**conditions) is Condition.NOT_MODIFIED


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([ETAG], True, id="rfc9110-13.1.2-same"),
        pytest.param([f"W/{ETAG}"], True, id="rfc9110-13.1.2-weak-comparison"),
        pytest.param(["*"], True, id="rfc9110-13.1.2-any"),
        pytest.param([" * "], True, id="rfc9110-5.5-white-space-around"),
        pytest.param([f'"x", {ETAG}'], True, id="rfc9110-13.1.2-list"),
        pytest.param([f'"x",{ETAG},"y"'], True, id="rfc9110-5.6.1-list-without-space"),
        pytest.param(['"x"', ETAG], True, id="rfc9110-5.2-two-lines"),
        pytest.param([f'"a,b", {ETAG}'], True, id="rfc9110-8.8.3-comma-in-a-tag"),
        pytest.param(['"x"'], False, id="other"),
        pytest.param(['"SHA256:AB"'], False, id="rfc9110-8.8.3.2-case-sensitive"),
        pytest.param(["sha256:ab"], False, id="rfc9110-8.8.3-not-quoted"),
        pytest.param(['"sha256:ab'], False, id="rfc9110-8.8.3-quote-left-open"),
        pytest.param(['"x, sha256:ab"'], False, id="part-of-a-tag"),
        pytest.param(['"*"'], False, id="quoted-star-is-a-tag"),
        pytest.param([""], False, id="empty"),
    ],
)
def test_if_none_match_is_compared_weakly_with_every_tag(values, expected):
    """One matching tag of any line makes the answer 304."""
    assert expected == is_not_modified(if_none_match=values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("Sun, 06 Nov 1994 08:49:37 GMT", True, id="rfc9110-13.1.3-same-second"),
        pytest.param("Sun, 06 Nov 1994 08:49:38 GMT", True, id="rfc9110-13.1.3-later"),
        pytest.param("Sun, 06 Nov 1994 08:49:36 GMT", False, id="rfc9110-13.1.3-earlier"),
        pytest.param("Sunday, 06-Nov-94 08:49:37 GMT", True, id="rfc9110-5.6.7-rfc850-date"),
        pytest.param("Sun Nov  6 08:49:37 1994", True, id="rfc9110-5.6.7-asctime-date"),
        pytest.param("yesterday", False, id="rfc9110-13.1.3-not-a-date"),
        pytest.param("", False, id="empty"),
        pytest.param(None, False, id="absent"),
    ],
)
def test_if_modified_since_is_compared_by_the_second(value, expected):
    """What has not changed after the date is 304; what is no date is ignored."""
    assert expected == is_not_modified(if_modified_since=value)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([ETAG], Condition.HOLDS, id="rfc9110-13.1.1-same"),
        pytest.param(["*"], Condition.HOLDS, id="rfc9110-13.1.1-any"),
        pytest.param([f'"x", {ETAG}'], Condition.HOLDS, id="rfc9110-13.1.1-list"),
        pytest.param(['"x"', ETAG], Condition.HOLDS, id="rfc9110-5.2-two-lines"),
        pytest.param([f'W/"x", {ETAG}'], Condition.HOLDS, id="rfc9110-8.8.3-weak-one-beside-it"),
        pytest.param([f"W/{ETAG}"], Condition.FAILED, id="rfc9110-8.8.3.2-strong-comparison"),
        pytest.param(['"x"'], Condition.FAILED, id="other"),
        pytest.param(["sha256:ab"], Condition.FAILED, id="rfc9110-8.8.3-not-quoted"),
        pytest.param([""], Condition.FAILED, id="empty"),
    ],
)
def test_if_match_is_compared_strongly_with_every_tag(values, expected):
    """Without the very tag the request must not be performed."""
    assert expected is evaluated(if_match=values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(SAME, Condition.HOLDS, id="rfc9110-13.1.4-same-second"),
        pytest.param(LATER, Condition.HOLDS, id="rfc9110-13.1.4-later"),
        pytest.param(EARLIER, Condition.FAILED, id="rfc9110-13.1.4-earlier"),
        pytest.param("yesterday", Condition.HOLDS, id="rfc9110-13.1.4-not-a-date"),
        pytest.param(None, Condition.HOLDS, id="absent"),
    ],
)
def test_if_unmodified_since_is_compared_by_the_second(value, expected):
    """What has changed after the date is 412; what is no date is ignored."""
    assert expected is evaluated(if_unmodified_since=value)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        pytest.param({}, Condition.HOLDS, id="none"),
        pytest.param(
            {"if_none_match": ['"x"'], "if_modified_since": LATER},
            Condition.HOLDS,
            id="step-3-a-tag-decides-instead-of-the-date",
        ),
        pytest.param(
            {"if_match": [ETAG], "if_unmodified_since": EARLIER},
            Condition.HOLDS,
            id="step-1-a-tag-decides-instead-of-the-date",
        ),
        pytest.param(
            {"if_match": ['"x"'], "if_none_match": [ETAG]},
            Condition.FAILED,
            id="step-1-before-step-3",
        ),
        pytest.param(
            {"if_unmodified_since": EARLIER, "if_modified_since": LATER},
            Condition.FAILED,
            id="step-2-before-step-4",
        ),
        pytest.param(
            {"if_match": [ETAG], "if_none_match": [ETAG]},
            Condition.NOT_MODIFIED,
            id="step-3-after-step-1",
        ),
        pytest.param(
            {"if_unmodified_since": SAME, "if_modified_since": SAME},
            Condition.NOT_MODIFIED,
            id="step-4-after-step-2",
        ),
    ],
)
def test_conditions_are_evaluated_in_their_order(conditions, expected):
    """RFC 9110 13.2.2."""
    assert expected is evaluated(**conditions)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param([], True, id="absent"),
        pytest.param([ETAG], True, id="rfc9110-13.1.5-same-tag"),
        pytest.param([f" {ETAG} "], True, id="rfc9110-5.5-white-space-around"),
        pytest.param([SAME], True, id="rfc9110-13.1.5-same-date"),
        pytest.param(["Sunday, 06-Nov-94 08:49:37 GMT"], True, id="rfc9110-5.6.7-rfc850-date"),
        pytest.param([f"W/{ETAG}"], False, id="rfc9110-13.1.5-weak-tag"),
        pytest.param(['"x"'], False, id="rfc9110-13.1.5-other-tag"),
        pytest.param([EARLIER], False, id="rfc9110-13.1.5-earlier-date"),
        pytest.param([LATER], False, id="rfc9110-13.1.5-later-date-is-no-exact-match"),
        pytest.param(["*"], False, id="rfc9110-13.1.5-no-star"),
        pytest.param([f'{ETAG}, "x"'], False, id="rfc9110-13.1.5-no-list"),
        pytest.param([ETAG, ETAG], False, id="rfc9110-5.3-repeated"),
        pytest.param(["yesterday"], False, id="not-a-date"),
        pytest.param([""], False, id="empty"),
    ],
)
def test_range_applies_only_to_the_very_representation(values, expected):
    """In doubt the whole is sent, which no client can join to something else."""
    assert expected is range_applies(values, ETAG, MODIFIED)


def test_date_is_written_as_imf_fixdate():
    """The example of RFC 9110 section 5.6.7, with the fraction of the second dropped."""
    assert write_date(MODIFIED + 0.9) == "Sun, 06 Nov 1994 08:49:37 GMT"


@given(st.integers(0, int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())))
def test_date_that_was_written_is_read_back(seconds):
    """A client that returns our Last-Modified gets its 304."""
    assert seconds == read_date(write_date(seconds))


@given(st.text(max_size=40) | st.from_regex(r"\w{3}, \d+ \w{3} \d+ \d+:\d+:\d+ [+-]?\w+"))
def test_any_text_is_a_date_or_none(text):
    """Nothing that a client writes as a date is a defect."""
    found = read_date(text)

    assert found is None or isinstance(found, float)
