"""The reader of heads alone: what holds for any bytes; the tables are in `test_door_bytes`."""

from __future__ import annotations

from itertools import pairwise

import pytest
from doors import Door
from hypothesis import given
from hypothesis import strategies as st

from streamer.request_head import MAX_FIELDS, MAX_HEAD_BYTES, HeadReader, HeadRefused, RequestHead

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"

FRAGMENTS = [
    *(b"GET", b"OPTIONS", b"CONNECT", b"BREW", b" ", b"  ", b"/", b"/a?b", b"*", b"h:1"),
    *(b"http://h/a", b"http://u@h", b" HTTP/1.0", b" HTTP/1.1", b" HTTP/1.7", b" HTTP/2.0"),
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b"\t", b"\x00", b"\xff", b":", b": ", b"x"),
    *(b"Host: h\r\n", b"Host: [::1]:1\r\n", b"Host: /\r\n", b"Connection: close\r\n"),
    *(b"Content-Length: 0\r\n", b"Content-Length: 1\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"GET / HTTP/1.1\r\n", b"GET /a HTTP/1.0\r\n", b"Expect: 100-continue\r\n", GET),
]
STREAMS = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=3)), max_size=12).map(
    b"".join
)


def read(pieces):
    """All heads that a client's pieces hold, and the status of a refusal behind them."""
    reader, heads = HeadReader(), []
    try:
        for piece in pieces:
            reader.receive(piece)
            while (head := reader.next_head()) is not None:
                heads.append(head)
    except HeadRefused as refusal:
        return heads, refusal.status
    return heads, None


def cut(stream, places):
    ends = sorted({place % (len(stream) + 1) for place in places} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(ends)]


@given(STREAMS, st.lists(st.integers(0, 500), max_size=5))
def test_pieces_make_no_difference(stream, places):
    """However the bytes arrive, they are the same heads and the same refusal."""
    assert read([stream]) == read(cut(stream, places))


@given(STREAMS)
def test_head_in_one_spelling_is_read_as_itself(stream):
    """What is handed on says the same again, but for Host, which is not handed on."""
    heads, _ = read([stream])

    for head in heads:
        again = bytes(head).replace(b"\r\n", b"\r\nhost:h\r\n", 1)
        assert ([head], None) == read([again])


@given(STREAMS)
def test_refused_stream_stays_refused(stream):
    """Nothing that follows makes a fault good."""
    heads, status = read([stream])

    if status is not None:
        assert (heads, status) == read([stream + GET])


@given(STREAMS)
def test_twisted_takes_what_is_handed_on(stream):
    """Every head that is in order here is in order for Twisted, which has the last word."""
    heads, status = read([stream])
    door = Door()
    wire = door.connect()

    wire.send(stream)

    served = len(door.resource.requests)
    is_cut_short = served > 0 and wire.ending == "closed"
    assert [head.target.split(b"?")[0] for head in heads][:served] == door.paths()
    assert served == len(heads) or is_cut_short
    assert is_cut_short or len(door.refusals) == (status is not None)
    wire.leave()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            GET, RequestHead(b"GET", b"/a", b"HTTP/1.1", ()), id="rfc9112-3.2-no-host-behind"
        ),
        pytest.param(
            b"GET http://h?q HTTP/1.3\r\nHost: x\r\nExpect: y\r\nX:  a b \r\n"
            b"Content-Length: 0\r\n\r\n",
            RequestHead(b"GET", b"/?q", b"HTTP/1.1", ((b"x", b"a b"),)),
            id="rfc9112-3.2.2-no-authority-behind",
        ),
        pytest.param(
            b"HEAD / HTTP/1.0\r\nConnection: keep-alive, Close\r\n\r\n",
            RequestHead(b"HEAD", b"/", b"HTTP/1.0", ((b"connection", b"close"),)),
            id="rfc9112-9.6-close-alone",
        ),
    ],
)
def test_head_is_read_into_its_parts(raw, expected):
    """Target in origin-form, names in lower case, and only what may matter behind the door."""
    assert ([expected], None) == read([raw])


def test_head_as_long_as_allowed_is_read():
    """The limit counts every byte of the head, and is reached."""
    filling = b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n"
    room = MAX_HEAD_BYTES - len(filling % b"")

    assert read([filling % (b"x" * room)])[1] is None
    assert read([filling % (b"x" * (room + 1))])[1] == 431


def test_as_many_fields_as_allowed_are_read():
    """Host is one of them."""
    head = b"GET / HTTP/1.1\r\nHost: h\r\n%b\r\n"

    assert read([head % (b"X: 1\r\n" * (MAX_FIELDS - 1))])[1] is None
    assert read([head % (b"X: 1\r\n" * MAX_FIELDS)])[1] == 431


def test_limits_count_for_each_head():
    """A second head on the connection has as much room as the first."""
    head = b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"x" * 10_000)

    heads, status = read([head * 3])

    assert (3, None) == (len(heads), status)


def test_what_follows_a_head_is_not_looked_at():
    """A fault behind a head shows when the next head is asked for."""
    reader = HeadReader()
    reader.receive(GET + b"nonsense\r\n")

    head = reader.next_head()

    assert head is not None
    assert len(b"nonsense\r\n") == reader.held_bytes
    with pytest.raises(HeadRefused):
        reader.next_head()


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"\r", True, id="half-an-empty-line"),
        pytest.param(b"\r\n", True, id="rfc9112-2.2-an-empty-line"),
        pytest.param(b"G", True, id="a-byte"),
        pytest.param(b"GET / HTTP/1.1\r\n", True, id="a-line"),
        pytest.param(GET, False, id="all-of-it"),
        pytest.param(GET + b"G", True, id="the-next-one"),
    ],
)
def test_reader_knows_whether_it_is_within_a_head(data, expected):
    """The time for a head runs from its first byte to its last."""
    reader = HeadReader()
    reader.receive(data)
    while reader.next_head() is not None:
        pass

    assert expected == reader.is_within_head
