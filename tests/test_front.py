"""The door: what reaches the application, and what is turned away before it.

The server is real Twisted code over connections in memory; time is a `Clock`.
"""

from __future__ import annotations

import pytest
from doors import HEAD_SECONDS, KEEP_ALIVE_SECONDS, STALL_SECONDS, Door
from wire import read_answers

from streamer.front import LINGER_BYTES, LINGER_SECONDS, peer_name

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
MAX_LINE_BYTES = 16384


@pytest.fixture
def door():
    return Door()


def answer_of(wire):
    (answer,) = read_answers(wire.value(), "GET")
    return answer


# -- what is let in


def test_ordinary_request_is_answered(door):
    """A request without content reaches the application."""
    wire = door.connect()

    wire.send(GET)

    assert answer_of(wire).content == b"/a"
    assert door.refusals == []


def test_request_that_comes_byte_by_byte_is_answered(door):
    """The pieces in which a head arrives make no difference."""
    wire = door.connect()

    for byte in GET:
        wire.send(bytes([byte]))

    assert answer_of(wire).content == b"/a"


def test_connection_stays_open_after_a_request(door):
    """RFC 9112 9.3: the next request may follow on the same connection."""
    wire = door.connect()

    wire.send(GET)
    door.clock.advance(HEAD_SECONDS + 1)
    wire.send(GET.replace(b"/a", b"/b"))

    assert [answer.content for answer in read_answers(wire.value(), "GET", "GET")] == [b"/a", b"/b"]
    assert wire.ending is None


def test_pipelined_requests_are_answered_in_order(door):
    """RFC 9112 9.3.2: several requests may come at once."""
    wire = door.connect()

    wire.send(GET + GET.replace(b"/a", b"/b") + GET.replace(b"/a", b"/c"))

    answers = read_answers(wire.value(), "GET", "GET", "GET")
    assert [answer.content for answer in answers] == [b"/a", b"/b", b"/c"]


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param([GET + b"GET /b HTTP/1.1\r\n"], id="in-one-read"),
        pytest.param([GET, b"GET /b HTTP/1.1\r\n"], id="later"),
    ],
)
def test_request_behind_a_slow_one_waits_for_its_turn(door, rest):
    """The time limit for heads does not run while an exchange does."""
    door.resource.answers_at_once = False
    wire = door.connect()
    for data in rest:
        wire.send(data)

    door.clock.advance(10 * HEAD_SECONDS)
    before = door.paths()
    door.resource.answer(door.resource.requests[0])
    wire.send(b"Host: h\r\n\r\n")

    assert before == [b"/a"]
    assert door.paths() == [b"/a", b"/b"]
    assert door.refusals == []


def test_request_behind_a_slow_one_has_the_time_limit_from_its_turn_on(door):
    """Half a head that was pipelined is slow when its turn has come."""
    door.resource.answers_at_once = False
    wire = door.connect()
    wire.send(GET + b"GET /b HTTP/1.1\r\n")
    door.resource.answer(door.resource.requests[0])

    door.clock.advance(HEAD_SECONDS)

    assert [status for _, status in door.refusals] == [408]


def test_stated_absence_of_content_is_no_content(door):
    """RFC 9110 8.6: Content-Length: 0 is an ordinary request."""
    wire = door.connect()

    wire.send(b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")

    assert answer_of(wire).status == 200


def test_idle_connection_is_closed(door):
    """After a while without a request the connection goes, without a word."""
    wire = door.connect()
    wire.send(GET)

    door.clock.advance(KEEP_ALIVE_SECONDS)
    door.clock.advance(0)

    assert wire.ending == "closed"
    assert door.refusals == []


def test_connection_that_closes_slowly_has_the_stall_time(door):
    """What is queued at the end may still be taken, but not for ever (HTTP/1.0, TLS farewells)."""
    wire = door.connect()
    wire.ending = "waits for its queue"
    wire.send(b"GET /a HTTP/1.0\r\n\r\n")

    wire.ending = None
    door.clock.pump([STALL_SECONDS / 4] * 3)
    before = wire.ending
    door.clock.advance(STALL_SECONDS / 4)

    assert (before, wire.ending) == (None, "aborted")
    door.clock.advance(0)


def test_pipelined_request_waits_until_the_response_before_it_is_taken(door):
    """A client that asks and does not read fills no memory with responses."""
    wire = door.connect()
    door.resource.answers_at_once = False
    wire.send(GET + b"GET /b HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.stop_reading()
    door.resource.answer(door.resource.requests[0])

    while_full = door.paths()
    wire.read_on()

    assert while_full == [b"/a"]
    assert door.paths() == [b"/a", b"/b"]
    wire.leave()


def test_client_that_never_takes_a_response_is_cut_off(door):
    """It has as long as `delivery.client_stall` allows."""
    wire = door.connect()
    door.resource.answers_at_once = False
    wire.send(GET + GET)
    wire.stop_reading()
    door.resource.answer(door.resource.requests[0])

    door.clock.pump([STALL_SECONDS / 4] * 4)

    assert wire.ending == "aborted"
    door.clock.advance(0)


# -- what is turned away

LONG = b"x" * (MAX_LINE_BYTES + 1)
REFUSED = [
    pytest.param(b"GET /" + LONG, 414, id="rfc9110-15.5.15-line-without-end"),
    pytest.param(b"GET /" + LONG + b" HTTP/1.1\r\n", 414, id="rfc9110-15.5.15-line"),
    pytest.param(b"GET / HTTP/1.1\r\nX: " + LONG, 431, id="rfc6585-5-field-without-end"),
    pytest.param(b"GET / HTTP/1.1\r\nX: " + LONG + b"\r\n", 431, id="rfc6585-5-field"),
    pytest.param(
        b"GET / HTTP/1.1\r\n" + (b"X: " + b"x" * 5000 + b"\r\n") * 4, 431, id="rfc6585-5-section"
    ),
    pytest.param(b"GET / HTTP/1.1\r\n" + b"X:1\r\n" * 502, 431, id="rfc6585-5-number"),
    pytest.param(b"nonsense\r\n", 400, id="rfc9112-3-request-line"),
    pytest.param(b"GET  / HTTP/1.1\r\n", 400, id="rfc9112-3-two-spaces"),
    pytest.param(b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, id="rfc9112-5-no-colon"),
    pytest.param(b"GET / HTTP/1.1\r\nName : x\r\n\r\n", 400, id="rfc9112-5.1-space"),
    pytest.param(b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", 400, id="rfc9110-5.5-nul"),
    pytest.param(
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        400,
        id="rfc9112-6.3-two-lengths",
    ),
    pytest.param(
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, id="rfc9110-8.6-not-a-length"
    ),
    pytest.param(
        b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 400, id="rfc9112-6.1-coding"
    ),
    pytest.param(
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 413, id="rfc9110-15.5.14-get"
    ),
    pytest.param(
        b"HEAD / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 413, id="rfc9110-15.5.14-head"
    ),
    pytest.param(
        b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        413,
        id="rfc9110-15.5.14-chunked",
    ),
    pytest.param(
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n", 405, id="rfc9110-15.5.6-post"
    ),
    pytest.param(
        b"PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        405,
        id="rfc9110-15.5.6-put",
    ),
    pytest.param(
        b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        405,
        id="rfc9110-10.1.1-no-invitation",
    ),
]


@pytest.mark.parametrize(("head", "status"), REFUSED)
def test_unacceptable_request_is_refused_completely(door, head, status):
    """The client gets a whole answer, and is told that the connection ends."""
    wire = door.connect()

    wire.send(head)

    answer = answer_of(wire)
    assert status == answer.status
    assert answer.is_complete
    assert answer["Connection"] == "close"
    assert answer["Cache-Control"] == "no-store"
    assert wire.is_half_closed
    assert door.refusals == [("203.0.113.7", status)]
    assert door.resource.requests == []


@pytest.mark.parametrize(("head", "status"), REFUSED)
def test_refusal_does_not_depend_on_the_pieces(door, head, status):
    """Half a head at a time is refused alike, and once."""
    wire = door.connect()

    for start in range(0, len(head), 700):
        wire.send(head[start : start + 700])

    assert [status for _, status in door.refusals] == [status]


def test_refusal_of_a_method_names_the_possible_ones(door):
    """RFC 9110 10.2.1: 405 comes with Allow."""
    wire = door.connect()

    wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")

    assert answer_of(wire)["Allow"] == "GET, HEAD"


def test_refusal_echoes_nothing(door):
    """What a hostile client wrote does not come back."""
    wire = door.connect()

    wire.send(b"<script>alert(1)</script>\r\n")

    assert b"script" not in wire.value()


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n", id="request"),
        pytest.param(b"\r\nnonsense\r\n", id="another-fault"),
        pytest.param(LONG * 2, id="line-without-end"),
        pytest.param(b"\r\n" + LONG * 2 + b"\r\n", id="long-line"),
        pytest.param(b"\r\n\r\n\r\n", id="empty-lines"),
    ],
)
@pytest.mark.parametrize("is_one_read", [True, False], ids=["in-one-read", "later"])
def test_bytes_behind_a_refused_request_are_ignored(door, rest, is_one_read):
    """One refusal is the last word, whatever follows it."""
    wire = door.connect()

    for data in [b"nonsense\r\n" + rest] if is_one_read else [b"nonsense\r\n", rest]:
        wire.send(data)

    assert answer_of(wire).status == 400
    assert len(door.refusals) == 1
    assert door.resource.requests == []


def test_content_of_a_refused_request_is_ignored(door):
    """The content may arrive with its head; it is read and dropped."""
    wire = door.connect()

    wire.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n" + GET)

    assert answer_of(wire).status == 405
    assert door.resource.requests == []


def test_content_is_not_spooled(door, tmp_path, monkeypatch):
    """However much is announced, no file is made for it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    wire = door.connect()

    wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 200_000)

    assert answer_of(wire).status == 405


def test_slow_head_is_refused(door):
    """Bytes that trickle do not put the time limit off."""
    wire = door.connect()

    for byte in b"GET /abcdefghijk":
        wire.send(bytes([byte]))
        door.clock.advance(1)

    assert answer_of(wire).status == 408
    assert door.refusals == [("203.0.113.7", 408)]


def test_head_that_ends_in_time_is_not_refused_later(door):
    """The time limit ends with the head."""
    door.resource.answers_at_once = False
    wire = door.connect()
    wire.send(GET)

    door.clock.advance(10 * HEAD_SECONDS)

    assert door.refusals == []
    assert wire.ending is None


# -- how long a refused client is listened to


def test_refused_client_that_stays_is_cut_off(door):
    """The answer has its time to arrive, and no more."""
    wire = door.connect()
    wire.send(b"nonsense\r\n")

    door.clock.advance(LINGER_SECONDS - 0.5)
    before = wire.ending
    door.clock.advance(0.5)

    assert before is None
    assert wire.ending == "aborted"


def test_refused_client_that_goes_on_sending_is_cut_off(door):
    """Reading on for the sake of the answer has a bound."""
    wire = door.connect()
    wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n")

    wire.send(b"x" * LINGER_BYTES)
    before = wire.ending
    wire.send(b"x")

    assert before is None
    assert wire.ending == "aborted"


@pytest.mark.parametrize("data", [b"", b"GET /", b"nonsense\r\n", GET], ids=repr)
def test_client_that_leaves_leaves_no_timer(door, data):
    """Whatever it had sent, nothing waits for it any more."""
    wire = door.connect()
    wire.send(data)

    wire.leave()

    assert door.clock.getDelayedCalls() == []
    assert door.site.connections == set()


def test_client_with_several_faults_leaves_no_timer(door):
    """Two faults in one read set one alarm."""
    wire = door.connect()
    wire.send(b"nonsense\r\n" + LONG * 2)

    wire.leave()

    assert door.clock.getDelayedCalls() == []


# -- how many clients


def test_client_beyond_the_limit_is_turned_away():
    """The number of connections is bounded."""
    door = Door(max_connections=2)
    door.connect()
    door.connect()

    wire = door.connect()

    assert wire.ending == "aborted"
    assert len(door.site.connections) == 2


def test_client_is_let_in_when_another_has_left():
    """The bound counts those that are connected now."""
    door = Door(max_connections=1)
    door.connect().leave()

    wire = door.connect()
    wire.send(GET)

    assert answer_of(wire).status == 200


# -- small things


def test_only_http_1_1_is_offered(door):
    """HTTP/2 is not negotiated, whatever packages are installed."""
    assert door.site.acceptableProtocols() == [b"http/1.1"]


def test_peer_without_a_host_has_a_name():
    """A client on a UNIX socket has no address."""
    assert peer_name(object()) == "unix"
