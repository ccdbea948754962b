"""What is a reply of FTP, and what is not."""

from __future__ import annotations

import pytest

from streamer.downloaders.ftp_replies import MAX_REPLY_BYTES, Reply, ReplyReader
from streamer.errors import OriginNonsense


def read(raw):
    reader = ReplyReader()
    return reader.feed(raw), reader.is_between


@pytest.mark.parametrize(
    ("raw", "reply"),
    [
        pytest.param(b"220 ready\r\n", Reply(220, "ready"), id="rfc959-4.2-one-line"),
        pytest.param(b"220\r\n", Reply(220), id="bare-code"),
        pytest.param(b"220 \r\n", Reply(220), id="no-text"),
        pytest.param(b"220 ready\n", Reply(220, "ready"), id="lf-alone"),
        pytest.param(b"220 a\rb\r\n", Reply(220, "a\rb"), id="cr-within"),
        pytest.param(b"220 caf\xe9\r\n", Reply(220, "café"), id="not-ascii"),
        pytest.param(
            b"220-first\r\nsecond\r\n220 last\r\n",
            Reply(220, "first\nsecond\nlast"),
            id="rfc959-4.2-several-lines",
        ),
        pytest.param(
            b"211-a\r\n550 no\r\n 211 b\r\n211-c\r\n211 d\r\n",
            Reply(211, "a\n550 no\n 211 b\n211-c\nd"),
            id="rfc959-4.2-lines-that-look-like-others",
        ),
        pytest.param(b"220-a\r\n220\r\n", Reply(220, "a\n"), id="bare-code-at-the-end"),
        pytest.param(b"220-\r\n\r\n220 \r\n", Reply(220, "\n\n"), id="empty-lines"),
    ],
)
def test_reply_is_read(raw, reply):
    """RFC 959 section 4.2, and what servers make of it."""
    assert ([reply], True) == read(raw)


def test_replies_in_one_read_are_told_apart():
    """An announcement and what it announces may come together."""
    replies, is_between = read(b"150 now\r\n226 done\r\n42")

    assert ([Reply(150, "now"), Reply(226, "done")], False) == (replies, is_between)


@pytest.mark.parametrize("raw", [b"220", b"220-a\r\n", b"220-a\r\n220-b\r\n", b"2"])
def test_part_of_a_reply_is_none(raw):
    """The reader is not between two replies then."""
    assert ([], False) == read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\r\n", id="empty"),
        pytest.param(b"hello\r\n", id="text"),
        pytest.param(b"22 a\r\n", id="two-digits"),
        pytest.param(b"2200 a\r\n", id="four-digits"),
        pytest.param(b"020 a\r\n", id="0yz"),
        pytest.param(b"631 a\r\n", id="rfc2228-6yz"),
        pytest.param(b" 220 a\r\n", id="space-first"),
        pytest.param("٢٢٠ a\r\n".encode(), id="digits-of-others"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="http"),
        pytest.param(b"SSH-2.0-x\r\n", id="ssh"),
        pytest.param(b"220_a\r\n", id="separator"),
    ],
)
def test_what_begins_with_no_code_is_refused(raw):
    """Somebody else listens at that port."""
    with pytest.raises(OriginNonsense, match="does not speak FTP"):
        read(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"220 " + b"a" * MAX_REPLY_BYTES, id="line-without-end"),
        pytest.param(b"a" * (MAX_REPLY_BYTES + 1), id="no-line-at-all"),
        pytest.param(b"220-a\r\n" + b"b\r\n" * MAX_REPLY_BYTES, id="lines-without-end"),
        pytest.param(b"220-" + b"\n" * MAX_REPLY_BYTES, id="empty-lines-without-end"),
    ],
)
def test_reply_beyond_the_bound_is_refused(raw):
    """However it is delivered."""
    reader = ReplyReader()
    pieces = (raw[start : start + 1000] for start in range(0, len(raw), 1000))

    with pytest.raises(OriginNonsense, match="does not end"):
        list(map(reader.feed, pieces))


def test_bound_is_that_of_each_reply_alone():
    """A long session is no long reply."""
    reader = ReplyReader()
    reply = b"220-" + b"a" * (MAX_REPLY_BYTES // 2) + b"\r\n220 b\r\n"

    assert 5 == sum(len(reader.feed(reply)) for _ in range(5))
