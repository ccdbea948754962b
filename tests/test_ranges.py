"""Whether the sender of a Range may hold earlier bytes already."""

from __future__ import annotations

import pytest

from streamer.ranges import resumes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(None, False, id="absent"),
        pytest.param("bytes=0-", False, id="rfc9110-14.1.2-from-the-first"),
        pytest.param("bytes=0-499", False, id="rfc9110-14.1.2-first-500"),
        pytest.param("bytes=00-", False, id="rfc9110-14.1.1-leading-zeros"),
        pytest.param("Bytes=0-", False, id="rfc9110-14.1-unit-in-any-case"),
        pytest.param(" bytes=0- ", False, id="rfc9110-5.5-white-space-around"),
        pytest.param("bytes=1-", True, id="rfc9110-14.1.2-from-the-second"),
        pytest.param("bytes=500-999", True, id="rfc9110-14.1.2-second-500"),
        pytest.param("bytes=-500", True, id="rfc9110-14.1.2-suffix"),
        pytest.param("bytes=0-0,-1", True, id="rfc9110-14.1.2-first-and-last"),
        pytest.param("bytes=0-,5-", True, id="rfc9110-14.1.2-several"),
        pytest.param("bytes=0x10-", True, id="not-decimal"),
        pytest.param("bytes=٠-", True, id="not-ascii-digits"),
        pytest.param("bytes=", True, id="empty-set"),
        pytest.param("items=0-5", True, id="rfc9110-14.1-other-unit"),
        pytest.param("bytes 0-5", True, id="not-a-range"),
        pytest.param("", True, id="empty"),
    ],
)
def test_only_a_single_range_from_the_first_byte_is_certainly_no_resume(value, expected):
    """In doubt the sender may hold a wrong beginning."""
    assert expected == resumes(value)
