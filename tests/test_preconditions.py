"""Conditions of a request against what the catalog knows."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.preconditions import is_not_modified, read_date, write_date

ETAG = '"sha256:ab"'
MODIFIED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7


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
    assert expected == is_not_modified(ETAG, MODIFIED, if_none_match=values)


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
    assert expected == is_not_modified(ETAG, MODIFIED, if_modified_since=value)


def test_if_none_match_decides_alone():
    """A date that would match does not outweigh a tag that does not (RFC 9110 13.2.2)."""
    found = is_not_modified(
        ETAG,
        MODIFIED,
        if_none_match=['"x"'],
        if_modified_since="Sun, 06 Nov 2094 08:49:37 GMT",
    )

    assert found is False


def test_request_without_conditions_is_answered_whole():
    """No condition, no 304."""
    assert is_not_modified(ETAG, MODIFIED) is False


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
