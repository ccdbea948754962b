"""Raw bytes from strangers: heads of requests and of responses, and the whole door in front."""

from __future__ import annotations

import email

from exchanges import SMALL, Service
from hypothesis import strategies as st
from proof import holds_for, nothing_logged
from texts import changed, cut_at
from wire import Wire, read_answers

from streamer import request_head
from streamer.downloaders import heads as origin_head
from streamer.errors import OriginNonsense
from streamer.testing import MemoryDownload

ODD_BYTES = st.binary(max_size=3) | st.sampled_from(
    [b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b"\r\n ", b"\r\n\r\n", b"\x80"]
)
PLACES = st.lists(st.integers(0, 400) | st.integers(0, 60), max_size=8)


# -- heads of requests -----------------------------------------------------------------------------

FIELD_LINES = st.sampled_from(
    [
        b"Host: h",
        b"Host: [::1]:80",
        b"Host:",
        b"Range: bytes=2-5",
        b"If-None-Match: *",
        b"Connection: close",
        b"Connection: keep-alive, Content-Length",
        b"Content-Length: 0",
        b"Content-Length: 5",
        b"Content-Length: 0, 0",
        b"Content-Length: 00",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding : chunked",
        b"Expect: 100-continue",
        b"Upgrade: h2c",
        b"X-Odd: a\0b",
        b"X-Odd: a\rb",
        b"X-Long: " + b"x" * 17_000,
    ]
)
REQUEST_LINES = st.sampled_from(
    [
        b"GET /base/f HTTP/1.1",
        b"GET /base/f HTTP/1.0",
        b"HEAD /base/f?x=y HTTP/1.1",
        b"GET http://other/base/f HTTP/1.1",
        b"GET /base/none HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT h:443 HTTP/1.1",
        b"POST /base/f HTTP/1.1",
        b"GET /base/f",
        b"GET /base/f HTTP/2.0",
        b"PRI * HTTP/2.0",
        b"GET / HTTP/1.1",
    ]
)


@st.composite
def request_heads(draw):
    """A head that Twisted might take, with a Host in most cases."""
    fields = draw(st.lists(FIELD_LINES, max_size=3))
    if draw(st.integers(0, 4)):
        fields.insert(0, b"Host: h")
    if not draw(st.integers(0, 30)):
        fields += [b"A: b"] * 501
    return b"\r\n".join([draw(REQUEST_LINES), *fields, b"", b""])


GOOD_REQUESTS = st.sampled_from(
    [
        b"GET /base/f HTTP/1.1\r\nHost: h\r\n\r\n",
        b"HEAD /base/f?x=y HTTP/1.1\r\nHost: [::1]:80\r\nRange: bytes=2-5\r\n\r\n",
        b"GET /base/none HTTP/1.1\r\nConnection: x\r\nhost:h\r\nContent-Length: 0\r\n\r\n",
        b"GET http://other/base/f HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n",
        b"\r\nGET /base/ HTTP/1.0\r\n\r\n",
    ]
)
REQUESTS = st.lists(
    st.one_of(
        GOOD_REQUESTS,
        GOOD_REQUESTS,
        changed(GOOD_REQUESTS, ODD_BYTES),
        request_heads(),
        changed(request_heads(), ODD_BYTES),
        st.binary(max_size=60),
    ),
    min_size=1,
    max_size=4,
).map(b"".join)


BEFORE_THE_WHOLE_HEAD = {400, 414, 431}
"""With what a line is refused as soon as it is there."""


def heads_of(pieces):
    """What a reader makes of a connection: its heads, and the status of a refusal at last."""
    reader = request_head.HeadReader()
    found = []
    try:
        for piece in pieces:
            reader.receive(piece)
            while (head := reader.next_head()) is not None:
                found.append(head)
    except request_head.HeadRefused as refusal:
        found.append(refusal.status)
    return found


@holds_for(examples=200, raw=REQUESTS, places=PLACES)
def test_request_heads_do_not_depend_on_how_they_arrive(raw, places):
    """RFC 9112 2.2: the same bytes are the same requests, in whatever pieces they come.

    Only of what is wrong in two ways may the one or the other be found first.
    """
    found = [heads_of([raw]), heads_of(cut_at(raw, places))]

    for heads in found:
        if heads and heads[-1] in BEFORE_THE_WHOLE_HEAD:
            heads[-1] = "refused"
    assert found[0] == found[1]


@holds_for(examples=200, raw=REQUESTS)
def test_request_head_is_handed_on_in_one_spelling(raw):
    """What is read again is the same head; nothing in it tells another reader another thing."""
    for found in heads_of([raw]):
        if isinstance(found, int):
            assert found in {400, 405, 408, 413, 414, 431, 505}
            continue
        written = bytes(found)
        assert written.endswith(b"\r\n\r\n")
        assert written.count(b"\r\n\r\n") == 1
        assert written.count(b"\r") == written.count(b"\n") == written.count(b"\r\n")
        assert b"\0" not in written
        assert written.startswith(found.method + b" /")
        names = [name for name, _ in found.fields]
        assert not {b"host", b"content-length", b"transfer-encoding", b"expect"} & set(names)
        assert len(written) <= request_head.MAX_HEAD_BYTES + len(b"connection:close\r\n")
        again = heads_of([written.replace(b"\r\n", b"\r\nHost: h\r\n", 1)])
        assert again == [found]


@holds_for(examples=300, fields=st.lists(FIELD_LINES, max_size=4), line=REQUEST_LINES)
def test_request_head_that_is_read_says_one_thing_only(fields, line):
    """RFC 9112 3.2 and 6: one Host, nothing about content but that there is none."""
    (found,) = heads_of([b"\r\n".join([line, *fields, b"", b""])]) or [None]
    if isinstance(found, int):
        return

    names = [field.partition(b":")[0].lower() for field in fields]
    lengths = [field for field in fields if field.startswith(b"Content-Length:")]
    assert names.count(b"host") == (1 if found.version == b"HTTP/1.1" else names.count(b"host"))
    assert names.count(b"host") <= 1
    assert not any(name.startswith(b"transfer-encoding") for name in names)
    assert lengths in ([], [b"Content-Length: 0"], [b"Content-Length: 00"])
    assert not any(b"\0" in field or b"\r" in field or len(field) > 16_384 for field in fields)


# -- the door --------------------------------------------------------------------------------------


def expected_methods(service):
    return ["HEAD" if one.method == "HEAD" else "GET" for one in service.transfers.written]


@holds_for(
    share=6,
    examples=300,
    raw=REQUESTS,
    places=PLACES,
    pauses=st.sets(st.integers(0, 8)),
    ends_early=st.booleans(),
)
def test_bytes_at_the_door_are_answered_in_order_or_not_at_all(raw, places, pauses, ends_early):
    """RFC 9112 9.3: no exception, no response without its request, none that cannot be read."""
    service = Service()
    service.publish(SMALL, *[MemoryDownload([SMALL]) for _ in range(9)])
    wire = Wire(service.site, service.clock)

    with nothing_logged():
        for number, piece in enumerate(cut_at(raw, places)):
            if wire.ending is None:
                reads_late = number in pauses and wire.producer is not None
                if reads_late:
                    wire.stop_reading()
                wire.send(piece)
                service.clock.advance(0)
                if reads_late and wire.ending is None and wire.producer is not None:
                    wire.read_on()
        if ends_early and wire.ending is None:
            wire.leave()
        # Slow heads, what lingers after a refusal, and idle connections all have their time.
        for _ in range(5):
            service.clock.advance(30)

    transfers = service.transfers.written
    answers = read_answers(wire.value(), *expected_methods(service))
    assert [one.status for one in transfers] == [answer.status for answer in answers]
    assert all(answer.is_complete for answer in answers)
    assert all(answer.status != 500 for answer in answers)
    assert len(answers) <= raw.count(b"\n") + 1
    assert wire.ending is not None
    assert service.clock.getDelayedCalls() == []
    assert service.site.connections == set()


@holds_for(share=6, raw=REQUESTS, places=PLACES)
def test_door_takes_the_requests_that_its_reader_reads(raw, places):
    """What reaches the service is what `request_head` read, and nothing else ever does."""
    service = Service()
    service.publish(SMALL, *[MemoryDownload([SMALL]) for _ in range(9)])
    wire = Wire(service.site, service.clock)
    for piece in cut_at(raw, places):
        if wire.ending is None:
            wire.send(piece)
    service.clock.advance(0)
    if wire.ending is None:
        wire.leave()
    service.clock.advance(0)

    expected = []
    for found in heads_of([raw]):
        if isinstance(found, int):
            expected.append(("-", "-", found))
            break
        expected.append((found.method.decode(), found.target.partition(b"?")[0].decode(), None))
        if (b"connection", b"close") in found.fields or found.version == b"HTTP/1.0":
            break
    taken = [(one.method, one.path, one.status) for one in service.transfers.written]
    assert [one[:2] for one in expected] == [one[:2] for one in taken]
    if expected and expected[-1][2] is not None:
        assert {expected[-1][2], taken[-1][2]} <= BEFORE_THE_WHOLE_HEAD or (
            expected[-1][2] == taken[-1][2]
        )


# -- heads of responses ----------------------------------------------------------------------------

STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 206 Partial Content",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 404 " + "fünf".encode(),
        b"HTTP/1.1 200",
        b"HTTP/1.1 304 Not Modified",
        b"HTTP/2 200",
        b"HTTP/1.1 101 Switching Protocols",
        b"ICY 200 OK",
    ]
)
ORIGIN_FIELD_LINES = st.sampled_from(
    [
        b"Content-Length: 13",
        b"Content-Length: 13, 13",
        b"Content-Length: +13",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Connection: close, X-Hop",
        b"X-Hop: 1",
        b"Content-Range: bytes 0-5/13",
        b'ETag: "x"',
        b"X-Accel-Redirect: /etc/passwd",
        b"Set-Cookie: a=b",
        b"X-Odd: a\0b",
        b"X-Odd: a\rb",
        b" folded",
        b"X-Long: " + b"x" * 17_000,
    ]
)


@st.composite
def response_heads(draw):
    interims = draw(st.sampled_from([0] * 5 + [1, 2, 12]))
    fields = draw(st.lists(ORIGIN_FIELD_LINES, max_size=4))
    if not draw(st.integers(0, 30)):
        fields += [b"A: b"] * 201
    end = draw(st.sampled_from([b"\r\n"] * 3 + [b"\n"]))
    head = end.join([draw(STATUS_LINES), *fields, b"", b""])
    return end.join([b"HTTP/1.1 103 Early Hints", b"Link: a", b"", b""]) * interims + head


GOOD_RESPONSES = st.sampled_from(
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nETag: "x"\r\n\r\n',
        b"HTTP/1.0 206 \r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-A: b\r\n\r\n",
        b"HTTP/1.1 103 \r\n\r\nHTTP/1.1 200\nTransfer-Encoding: chunked\nX-A:b\n\n",
        b"HTTP/1.1 404 No\r\nconnection: close\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 17_000 + b"\r\n\r\n",
    ]
)
RESPONSES = st.one_of(
    GOOD_RESPONSES,
    changed(GOOD_RESPONSES, ODD_BYTES),
    changed(GOOD_RESPONSES, ODD_BYTES),
    response_heads(),
    changed(response_heads(), ODD_BYTES),
    st.binary(max_size=60),
)


def head_of(pieces):
    """The head and the bytes after it, the sentence of a refusal, or None where more is awaited."""
    reader = origin_head.HeadReader()
    for number, piece in enumerate(pieces):
        try:
            found = reader.feed(piece)
        except OriginNonsense as refusal:
            return str(refusal)
        if found is not None:
            head, rest = found
            return head, rest + b"".join(pieces[number + 1 :])
    return None


@holds_for(examples=400, raw=RESPONSES, rest=st.binary(max_size=5), places=PLACES)
def test_origins_head_does_not_depend_on_how_it_arrives(raw, rest, places):
    """The same bytes are the same head, with the same content after it."""
    raw += rest
    pieces = cut_at(raw, places)

    assert head_of([raw]) == head_of(pieces)


@holds_for(examples=300, raw=RESPONSES)
def test_origins_head_is_passed_on_without_anything_odd(raw):
    """RFC 9112 5.5 and 6.3: whoever reads it again finds the same fields and the same end."""
    found = head_of([raw])
    if found is None or isinstance(found, str):
        assert (found or "").isascii()
        return
    head, rest = found

    assert head.raw.endswith(b"\r\n\r\n")
    assert head.raw.count(b"\r") == head.raw.count(b"\n") == head.raw.count(b"\r\n")
    assert head.raw.count(b"\r\n\r\n") == 1
    assert b"\0" not in head.raw
    assert len(head.raw) <= origin_head.HEAD_BYTES + len(b"HTTP/1.1 200 \r\nConnection: close\r\n")
    assert max(map(len, head.raw.splitlines())) <= origin_head.LINE_BYTES
    assert head.raw.count(b"\r\n") <= origin_head.HEAD_FIELDS + 3
    assert raw.count(b"HTTP/1.1 103") <= origin_head.INTERIM_RESPONSES
    assert raw.endswith(rest)
    status, _, fields = head.raw.partition(b"\r\n")
    assert status.startswith(b"HTTP/1.1 ")
    assert int(status.split()[1]) >= 200
    check_framing(head, fields, has_content=int(status.split()[1]) not in (204, 304))
    if head.raw.count(b"\r\n") <= origin_head.HEAD_FIELDS:
        assert head_of([head.raw]) == (head, b"")


def check_framing(head, fields, *, has_content):
    read = email.message_from_bytes(fields)
    lengths, codings = read.get_all("Content-Length", []), read.get_all("Transfer-Encoding", [])
    assert len(lengths) + len(codings) <= 1
    assert set(read.get_all("Connection", ["close"])) == {"close"}
    assert read.get_payload() == ""
    if has_content:
        assert head.length == (int(lengths[0]) if lengths else None)
        assert head.is_chunked == bool(codings)
