"""What is read of an origin's head: tables of raw bytes, by section."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.protocols.basic import LineReceiver

from streamer.downloaders.heads import (
    HEAD_BYTES,
    HEAD_FIELDS,
    INTERIM_RESPONSES,
    LINE_BYTES,
    Head,
    HeadReader,
)
from streamer.errors import OriginNonsense

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"\r\n"

TOO_MUCH = "its fields are too many or too large"
NOT_HTTP = "it is not HTTP"
MALFORMED = "one of its fields is malformed"
TWICE = "it says twice how long its content is"
NO_NUMBER = "the length of its content is not a number"
CODING = "its content is in an unknown transfer coding"
WITHOUT_END = "it sends interim responses without end"


def read(raw):
    """Read a whole head, or give `None`."""
    return HeadReader().feed(raw)


def read_in_pieces(raw, size):
    """Read a head that comes in pieces; give it and all that followed it."""
    reader = HeadReader()
    for start in range(0, len(raw), size):
        if (found := reader.feed(raw[start : start + size])) is not None:
            head, rest = found
            return head, rest + raw[start + size :]
    return None


def passed_on(*lines):
    """Give the field lines, in order, of a head that was passed on, without the status line."""
    head, _ = read(OK + b"".join(line + b"\r\n" for line in lines) + END)
    return head.raw.split(b"\r\n")[1:-2]


def refusal(raw, size=None):
    with pytest.raises(OriginNonsense) as caught:
        read_in_pieces(raw, size or len(raw))
    return caught.value.args[0]


# -- what is read


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            OK + LENGTH + END,
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 5),
            id="rfc9112-6.2-length",
        ),
        pytest.param(
            OK + CHUNKED + END,
            Head(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n", None, is_chunked=True),
            id="rfc9112-6.1-chunked",
        ),
        pytest.param(
            OK + b"transfer-encoding:CHUNKED\r\n" + END,
            Head(b"HTTP/1.1 200 \r\ntransfer-encoding:CHUNKED\r\n\r\n", None, is_chunked=True),
            id="rfc9112-7-codings-have-no-case",
        ),
        pytest.param(OK + END, Head(b"HTTP/1.1 200 \r\n\r\n", None), id="rfc9112-6.3-until-close"),
        pytest.param(
            b"HTTP/1.1 204 No Content\r\n\r\n",
            Head(b"HTTP/1.1 204 \r\n\r\n", 0),
            id="rfc9110-15.3.5-no-content",
        ),
        pytest.param(
            b"HTTP/1.1 304 Not Modified\r\n" + LENGTH + END,
            Head(b"HTTP/1.1 304 \r\nContent-Length: 5\r\n\r\n", 0),
            id="rfc9110-8.6-length-of-what-is-not-sent",
        ),
        pytest.param(
            b"HTTP/1.1 404\r\n" + LENGTH + END,
            Head(b"HTTP/1.1 404 \r\nContent-Length: 5\r\n\r\n", 5),
            id="rfc9112-4-space-forgotten",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\nContent-Length: 5\n\n",
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 5),
            id="rfc9112-2.2-lf-alone",
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\n" + LENGTH + END,
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\nConnection: close\r\n\r\n", 5),
            id="rfc9112-9.3-http10-ends",
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + LENGTH + END,
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\nConnection: close\r\n\r\n", 5),
            id="rfc9112-c.2.2-http10-keep-alive-is-not-spoken",
        ),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nLink: </s>\r\n\r\n" + OK + LENGTH + END,
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 5),
            id="rfc9110-15.2-interim",
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" * INTERIM_RESPONSES + OK + LENGTH + END,
            Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 5),
            id="rfc9110-15.2-as-many-as-allowed",
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 7, HEAD_BYTES])
def test_head_is_read_and_written_anew(raw, expected, size):
    """The same comes out however the bytes arrive, and what follows is left alone."""
    assert read_in_pieces(raw + b"HTTP/", size) == (expected, b"HTTP/")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1", id="half-a-status-line"),
        pytest.param(OK + LENGTH, id="no-empty-line"),
        pytest.param(OK + LENGTH + b"\r", id="half-an-empty-line"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", id="interim-alone"),
    ],
)
def test_head_that_is_not_complete_is_none_yet(raw):
    """More has to come."""
    assert read(raw) is None


@pytest.mark.parametrize(
    "phrase",
    [
        pytest.param(b"\x1b]0;owned\x07\x1b[2J", id="escape-sequences"),
        pytest.param(b"<script>alert(1)</script>", id="markup"),
        pytest.param(b"\x01\x7f\xff\xfe", id="controls-and-no-text"),
        pytest.param(b"%s {log_failure}", id="format-directives"),
        pytest.param(b"x" * (LINE_BYTES - len(OK)), id="long"),
    ],
)
def test_reason_phrase_goes_no_further(phrase):
    """RFC 9112 4: a client "SHOULD ignore the reason-phrase content"."""
    head, _ = read(b"HTTP/1.1 200 " + phrase + END + LENGTH + END)

    assert head.raw == b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n"


# -- fields of the connection


def test_fields_are_passed_on_as_written():
    """Order, case, repetition and bytes beyond ASCII are the business of others."""
    lines = [b"x-b: 2 ", b"X-A:1", b"x-b:", b"X-C: \xe4\x01\x1b\t|"]

    assert lines == passed_on(*lines)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([b"Connection: x-hop", b"X-Hop: 1", b"X-A: 2"], id="named"),
        pytest.param([b"X-Hop: 1", b"X-A: 2", b"CONNECTION: keep-alive, X-HOP"], id="no-case"),
        pytest.param([b"Connection: a,\t x-hop ,,", b"x-hop: 1", b"X-A: 2"], id="list"),
        pytest.param([b"Connection: a", b"X-A: 2", b"X-Hop: 1", b"Connection: x-hop"], id="lines"),
        pytest.param([b"Connection: x-hop", b"X-Hop: 1", b"X-A: 2", b"X-hop: 3"], id="repeated"),
    ],
)
def test_field_that_connection_names_is_not_passed_on(lines):
    """RFC 9110 7.6.1: it concerns this connection only, as Connection does itself."""
    assert passed_on(*lines) == [b"X-A: 2"]


def test_framing_that_connection_names_is_not_forgotten():
    """RFC 9110 7.6.1: fields for all recipients must not be named; where content ends is one."""
    head, _ = read(OK + b"Connection: content-length\r\n" + LENGTH + END)

    assert head == Head(b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", 5)


@pytest.mark.parametrize(
    "value", [b"close", b"Close", b"CLOSE", b"x-a, cLose", b" close ,keep-alive"]
)
def test_connection_that_will_close_is_said_to_in_one_spelling(value):
    """RFC 9112 9.6, RFC 9110 7.6.1: options have no case, and Twisted knows one word."""
    assert passed_on(b"Connection:" + value) == [b"Connection: close"]


# -- what is refused


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", NOT_HTTP, id="another-protocol"),
        pytest.param(b"<html>\n", NOT_HTTP, id="http09"),
        pytest.param(END, NOT_HTTP, id="rfc9112-2.2-empty-line-first"),
        pytest.param(b"HTTP/2 200\r\n", NOT_HTTP, id="rfc9112-2.3-http2"),
        pytest.param(b"HTTP/2.0 200 OK\r\n", NOT_HTTP, id="rfc9112-2.3-http2.0"),
        pytest.param(b"HTTP/1.10 200 OK\r\n", NOT_HTTP, id="rfc9112-2.3-two-digits"),
        pytest.param(b"http/1.1 200 OK\r\n", NOT_HTTP, id="rfc9112-2.3-lower-case"),
        pytest.param(b"ICY 200 OK\r\n", NOT_HTTP, id="rfc9112-2.3-another-name"),
        pytest.param(b" HTTP/1.1 200 OK\r\n", NOT_HTTP, id="rfc9112-4-space-first"),
        pytest.param(b"HTTP/1.1  200 OK\r\n", NOT_HTTP, id="rfc9112-4-two-spaces"),
        pytest.param(b"HTTP/1.1\t200 OK\r\n", NOT_HTTP, id="rfc9112-4-tab"),
        pytest.param(b"HTTP/1.1 20 OK\r\n", NOT_HTTP, id="rfc9110-15-two-digits"),
        pytest.param(b"HTTP/1.1 2000 OK\r\n", NOT_HTTP, id="rfc9110-15-four-digits"),
        pytest.param(b"HTTP/1.1 099 OK\r\n", NOT_HTTP, id="rfc9110-15-below-100"),
        pytest.param(b"HTTP/1.1 +20 OK\r\n", NOT_HTTP, id="rfc9110-15-sign"),
        pytest.param(b"HTTP/1.1 \xb2\xb2\xb2 OK\r\n", NOT_HTTP, id="rfc9110-15-other-digits"),
        pytest.param(b"HTTP/1.1 200 O\rK\r\n", NOT_HTTP, id="rfc9112-2.2-bare-cr-in-phrase"),
        pytest.param(b"HTTP/1.1 200 O\0K\r\n", NOT_HTTP, id="rfc9112-4-nul-in-phrase"),
        pytest.param(b"HTTP/1.1 200 OK\r\r\n", NOT_HTTP, id="rfc9112-2.2-two-crs"),
        pytest.param(
            b"HTTP/1.1 101 Switching\r\n",
            "it changes the protocol unasked",
            id="rfc9110-15.2.2-switching-protocols",
        ),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\n\r\n" * (INTERIM_RESPONSES + 1),
            WITHOUT_END,
            id="rfc9110-15.2-too-many",
        ),
        pytest.param(OK + b"X: a\0b\r\n", MALFORMED, id="rfc9110-5.5-nul"),
        pytest.param(OK + b"X: a\rb\r\n", MALFORMED, id="rfc9112-2.2-bare-cr"),
        pytest.param(OK + b"X: a\r\r\n", MALFORMED, id="rfc9112-2.2-two-crs-after-a-field"),
        pytest.param(OK + b"\rX: a\r\n", MALFORMED, id="rfc9112-2.2-cr-first"),
        pytest.param(OK + b"X: a\r\n b\r\n", MALFORMED, id="rfc9112-5.2-folded"),
        pytest.param(OK + b"X: a\r\n\tb\r\n", MALFORMED, id="rfc9112-5.2-folded-with-a-tab"),
        pytest.param(OK + b" X: a\r\n", MALFORMED, id="rfc9112-2.2-space-before-the-first"),
        pytest.param(OK + b"X : a\r\n", MALFORMED, id="rfc9112-5.1-space-before-the-colon"),
        pytest.param(OK + b"X\t: a\r\n", MALFORMED, id="rfc9112-5.1-tab-before-the-colon"),
        pytest.param(OK + b": a\r\n", MALFORMED, id="rfc9110-5.1-no-name"),
        pytest.param(OK + b"X\r\n", MALFORMED, id="rfc9112-5-no-colon"),
        pytest.param(OK + b"X\x80: a\r\n", MALFORMED, id="rfc9110-5.1-not-a-token"),
        pytest.param(OK + b"X(Y): a\r\n", MALFORMED, id="rfc9110-5.6.2-delimiters"),
        pytest.param(
            b"HTTP/1.1 100 Continue\r\nX : a\r\n", MALFORMED, id="rfc9112-5.1-in-an-interim-one"
        ),
        pytest.param(OK + CHUNKED + LENGTH + END, TWICE, id="rfc9112-6.3-coding-and-length"),
        pytest.param(OK + LENGTH + CHUNKED + END, TWICE, id="rfc9112-6.3-length-and-coding"),
        pytest.param(OK + LENGTH + LENGTH + END, TWICE, id="rfc9110-8.6-repeated"),
        pytest.param(
            OK + LENGTH + b"content-length: 6\r\n" + END, TWICE, id="rfc9112-6.3-two-lengths"
        ),
        pytest.param(OK + CHUNKED + CHUNKED + END, TWICE, id="rfc9112-6.1-chunked-twice"),
        pytest.param(OK + b"Content-Length: 5, 5\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-list"),
        pytest.param(OK + b"Content-Length: 5, 6\r\n\r\n", NO_NUMBER, id="rfc9112-6.3-list"),
        pytest.param(OK + b"Content-Length: +5\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-plus"),
        pytest.param(OK + b"Content-Length: -5\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-minus"),
        pytest.param(OK + b"Content-Length: 0x5\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-hex"),
        pytest.param(OK + b"Content-Length: 5_0\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-underscore"),
        pytest.param(OK + b"Content-Length: 5.0\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-point"),
        pytest.param(OK + b"Content-Length:\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-empty"),
        pytest.param(
            OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", NO_NUMBER, id="rfc9110-8.6-huge"
        ),
        pytest.param(
            OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n", CODING, id="rfc9112-6.1-two-codings"
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n", CODING, id="rfc9112-6.1-twice"
        ),
        pytest.param(
            OK + b"Transfer-Encoding: xchunked\r\n\r\n", CODING, id="rfc9112-7-another-coding"
        ),
        pytest.param(OK + b"Transfer-Encoding: identity\r\n\r\n", CODING, id="rfc9112-7-identity"),
        pytest.param(OK + b"Transfer-Encoding:\r\n\r\n", CODING, id="rfc9112-6.1-empty"),
        pytest.param(
            OK + b"Transfer-Encoding: \x0bchunked\r\n\r\n", CODING, id="rfc9110-5.6.3-other-space"
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\n" + CHUNKED + END, CODING, id="rfc9112-6.1-chunked-in-http10"
        ),
    ],
)
@pytest.mark.parametrize("size", [1, 7, HEAD_BYTES])
def test_head_that_could_mean_two_things_is_refused(raw, reason, size):
    """It is refused at the line that is at fault, however the bytes arrive."""
    assert reason == refusal(raw, size)


def test_refusal_repeats_nothing():
    """What an origin wrote is in no sentence of ours."""
    for raw in (b"MARK\r\n", OK + b"MARK\r\n", OK + b"Content-Length: MARK\r\n\r\n"):
        assert "MARK" not in refusal(raw)


# -- bounds


def test_as_many_fields_as_allowed_are_read():
    """The bound itself is within it."""
    assert read(OK + b"X: y\r\n" * HEAD_FIELDS + END) is not None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(OK + b"X: y\r\n" * (HEAD_FIELDS + 1), id="fields"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\n" + b"X: y\r\n" * HEAD_FIELDS + END + OK + LENGTH,
            id="fields-of-an-interim-one-too",
        ),
        pytest.param(OK + b"X: " + b"y" * LINE_BYTES, id="line-without-end"),
        pytest.param(OK + b"X: " + b"y" * LINE_BYTES + END, id="line"),
        pytest.param(b"HTTP/1.1 200 " + b"y" * LINE_BYTES, id="reason-phrase"),
        pytest.param(OK + (b"X: " + b"y" * 10_000 + END) * 7, id="bytes"),
        pytest.param(
            (b"HTTP/1.1 103 Early Hints\r\nX: " + b"y" * 10_000 + END + END) * 7,
            id="bytes-of-interim-ones-too",
        ),
    ],
)
@pytest.mark.parametrize("size", [1000, 10**6])
def test_head_beyond_a_bound_is_refused_before_it_ends(raw, size):
    """None of these heads is complete."""
    assert refusal(raw, size) == TOO_MUCH


@pytest.mark.parametrize("raw", [b"x", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_endless_head_is_refused_within_the_bound(raw):
    """Whatever it is made of, `HEAD_BYTES` of it are enough to refuse it."""
    pieces = -(-HEAD_BYTES // len(raw))

    assert refusal(raw * pieces, len(raw)) in (TOO_MUCH, MALFORMED, WITHOUT_END)


def test_longest_line_is_one_that_twisted_reads():
    """A line within our bound is written within that of Twisted's parser."""
    line = b"X:" + b"y" * (LINE_BYTES - len(b"X:\n"))
    head, _ = read(OK + line + b"\n\n")

    written = head.raw.split(b"\n")[1]
    assert written == line + b"\r"
    assert len(written) <= LineReceiver.MAX_LENGTH


# -- any bytes


PARTS = [b"HTTP/1.1 ", b"200", b"100", b" ", b"\r\n", b"\n", b"\r", b"\0", b":", b"X", b"5"]
PARTS += [b"Content-Length: ", b"Transfer-Encoding: chunked", b"Connection: x", OK, END]


@given(st.lists(st.sampled_from(PARTS)), st.integers(1, 9))
def test_any_bytes_are_read_alike_in_one_piece_and_in_many(parts, size):
    """There is a head, or there is a refusal, and how the bytes came decides nothing."""
    raw = b"".join(parts)

    assert _outcome(raw, size) == _outcome(raw, len(raw) or 1)


def _outcome(raw, size):
    try:
        return read_in_pieces(raw, size)
    except OriginNonsense as fault:
        return fault.args
