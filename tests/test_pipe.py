"""The pump: one download into one response.

The response is a real Twisted request over a connection in memory, the download is a script, and
time is a `Clock`: a test decides the order of bytes, pauses and time-outs. What happens on real
sockets (resets, buffers, TLS) is tried in `network`.
"""

from __future__ import annotations

import hashlib

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from wire import Wire, read_answers

from streamer.errors import (
    ClientStalled,
    ContentTruncated,
    DigestMismatch,
    LengthUnknown,
    OriginSilent,
    SizeMismatch,
)
from streamer.fetch import Fetch
from streamer.model import Digest
from streamer.partial_content import Uncut
from streamer.pipe import ResponseReader, pipe
from streamer.response import Phase, Response
from streamer.testing import MemoryDownload
from streamer.verify import TAIL_BYTES, ContentVerifier

SMALL_BYTES = 1000
IDLE_SECONDS = 30
STALL_SECONDS = 60

SMALL = b"s" * SMALL_BYTES
LARGE = bytes(range(256)) * 400
FREE_BYTES = len(LARGE) - TAIL_BYTES
"""How much of LARGE may be sent before it is verified."""


class Parked(Resource):
    """Takes a request and answers nothing: the test does."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []

    def render(self, request):
        self.requests.append(request)
        return NOT_DONE_YET


class MarkedResponse(Response):
    """A response whose client's progress is told by the test, since memory has no kernel."""

    mark = None

    def taken_mark(self):
        return self.mark


class Transfer:
    """One request and one pipe, up to the point where the script of its download begins."""

    def __init__(self, content, download, *, size=..., digest_of=None, version=b"1.1"):
        self.clock = Clock()
        self.download = download
        self.heads = []
        resource = Parked()
        self.wire = Wire(Site(resource, reactor=self.clock, timeout=None), self.clock)
        self.wire.send(b"GET /f HTTP/%b\r\nHost: h\r\n\r\n" % version)
        (self.request,) = resource.requests
        self.response = MarkedResponse(self.request, self.clock)
        size = len(content) if size is ... else size
        wanted = content if digest_of is None else digest_of
        self.reader = ResponseReader(
            self.response,
            Uncut(size),
            self._send_head,
            is_large=size is not None and size > SMALL_BYTES,
            clock=self.clock,
            small_bytes=SMALL_BYTES,
            stall_seconds=STALL_SECONDS,
        )
        self.received = []
        self.fetch = Fetch(
            download,
            ContentVerifier(size, Digest("sha256", hashlib.sha256(wanted).hexdigest())),
            self.reader,
            clock=self.clock,
            idle_seconds=IDLE_SECONDS,
            on_bytes=self.received.append,
        )
        self.results = []
        self.running = Deferred.fromCoroutine(pipe(self.fetch, self.response))
        self.running.addBoth(self.results.append)
        self.request.notifyFinish().addErrback(lambda _: self._client_left())

    def _send_head(self, length):
        self.heads.append(length)
        fields = () if length is None else (("Content-Length", str(length)),)
        self.response.send_head(200, fields)

    def _client_left(self):
        self.response.client_left()
        self.running.cancel()

    @property
    def error(self):
        """What the pipe raised; None while it runs or if it returned."""
        result = self.results[0] if self.results else None
        return result.value if isinstance(result, Failure) else None

    @property
    def answer(self):
        (answer,) = read_answers(self.wire.value(), "GET")
        return answer

    @property
    def sent(self):
        """The content that the client has so far."""
        return self.wire.value().partition(b"\r\n\r\n")[2]


def by_hand(**keywords):
    return MemoryDownload(at_once=False, **keywords)


def pieces(content, size=4096):
    return [content[start : start + size] for start in range(0, len(content), size)]


def wrong_in_the_last_byte(content):
    return content[:-1] + bytes([content[-1] ^ 1])


# -- content that is right


@pytest.mark.parametrize("size", [..., None], ids=["size-known", "size-unknown"])
@pytest.mark.parametrize(
    "content", [b"", b"x", SMALL, LARGE], ids=["empty", "one", "small", "large"]
)
def test_right_content_arrives_whole(content, size):
    """What was promised is what the client gets, and the response ends."""
    transfer = Transfer(content, MemoryDownload(pieces(content)), size=size)

    assert transfer.results == [None]
    assert content == transfer.answer.content
    assert transfer.answer.is_complete
    assert transfer.response.phase is Phase.ENDED
    assert len(content) == transfer.response.sent_bytes


def test_small_content_is_held_whole():
    """Before the last byte is verified a small artifact's client hears nothing, not even a head."""
    transfer = Transfer(SMALL, by_hand())

    transfer.download.send(SMALL)
    before = transfer.wire.value()
    transfer.download.end()

    assert before == b""
    assert transfer.answer.content == SMALL
    assert transfer.reader.was_held_whole


def test_large_content_has_its_head_at_once():
    """The origin's fields never wait for content."""
    transfer = Transfer(LARGE, by_hand())

    assert transfer.heads == [len(LARGE)]
    assert transfer.wire.value().startswith(b"HTTP/1.1 200 OK\r\n")
    assert transfer.sent == b""


def test_large_content_flows_but_for_its_tail():
    """Bytes pass as they come; the last ones wait for the verdict."""
    transfer = Transfer(LARGE, by_hand())

    transfer.download.send(LARGE[:10])
    early = transfer.sent
    transfer.download.send(LARGE[10:])
    late = transfer.sent
    transfer.download.end()

    assert early == LARGE[:10]
    assert late == LARGE[:FREE_BYTES]
    assert transfer.sent == LARGE
    assert not transfer.reader.was_held_whole


def test_small_content_of_unknown_size_learns_its_length():
    """What was held whole has a length by the time of its head."""
    transfer = Transfer(SMALL, MemoryDownload([SMALL]), size=None)

    assert transfer.heads == [len(SMALL)]
    assert transfer.answer.content == SMALL


def test_large_content_of_unknown_size_is_chunked():
    """RFC 9112 7.1: it begins when it has proved not to be small, and its end is marked."""
    transfer = Transfer(LARGE, MemoryDownload(pieces(LARGE)), size=None)

    assert transfer.heads == [None]
    assert transfer.answer["Transfer-Encoding"] == "chunked"
    assert transfer.answer.content == LARGE


def test_large_content_of_unknown_size_waits_until_it_is_not_small():
    """As long as all of it may be small, nothing is sent."""
    transfer = Transfer(LARGE, by_hand(), size=None)

    transfer.download.send(b"a" * SMALL_BYTES)
    before = transfer.wire.value()
    transfer.download.send(b"b" * SMALL_BYTES)

    assert before == b""
    assert transfer.heads == [None]
    assert b"b" * SMALL_BYTES not in transfer.wire.value()


def test_large_content_of_known_size_reaches_http_1_0():
    """With a length a cut is visible to a client of any version (RFC 9112 8)."""
    transfer = Transfer(LARGE, MemoryDownload(pieces(LARGE)), version=b"1.0")

    assert transfer.answer.content == LARGE
    assert transfer.answer["Transfer-Encoding"] is None


def test_small_content_of_unknown_size_reaches_http_1_0():
    """What is held whole has a length to send."""
    transfer = Transfer(SMALL, MemoryDownload([SMALL]), size=None, version=b"1.0")

    assert transfer.answer["Content-Length"] == str(len(SMALL))
    assert transfer.answer.content == SMALL


def test_large_content_of_unknown_size_is_refused_to_http_1_0():
    """RFC 9112 8: its end could not be told from a cut, so nothing is sent."""
    download = MemoryDownload(pieces(LARGE))
    transfer = Transfer(LARGE, download, size=None, version=b"1.0")

    assert isinstance(transfer.error, LengthUnknown)
    assert transfer.response.phase is Phase.BEFORE_HEAD
    assert transfer.wire.value() == b""
    assert download.is_stopped


def test_every_byte_of_the_origin_is_counted():
    """The metric sees what came in, wanted or not."""
    transfer = Transfer(b"abc", MemoryDownload([b"ab", b"cd"]))

    assert transfer.received == [2, 2]


def test_large_content_that_came_without_a_break_is_complete():
    """One chunk may be the whole content."""
    transfer = Transfer(LARGE, MemoryDownload([LARGE]))

    assert transfer.answer.content == LARGE


# -- content that is not


WRONG = [
    pytest.param(lambda c: [wrong_in_the_last_byte(c)], DigestMismatch, id="last-byte"),
    pytest.param(lambda c: [c[:-1]], SizeMismatch, id="one-byte-short"),
    pytest.param(lambda c: [c, b"x"], SizeMismatch, id="one-byte-long"),
    pytest.param(lambda c: [], SizeMismatch, id="nothing"),
    pytest.param(lambda c: [c + c], SizeMismatch, id="twice"),
]


@pytest.mark.parametrize(("spoil", "error"), WRONG)
def test_wrong_small_content_costs_the_client_nothing(spoil, error):
    """Nothing was sent, so the exchange may try another origin."""
    download = MemoryDownload(spoil(SMALL))
    transfer = Transfer(SMALL, download)

    assert isinstance(transfer.error, error)
    assert transfer.response.phase is Phase.BEFORE_HEAD
    assert transfer.wire.value() == b""
    assert transfer.wire.ending is None
    assert download.is_stopped


@pytest.mark.parametrize(("spoil", "error"), WRONG)
def test_wrong_large_content_breaks_off_visibly(spoil, error):
    """The connection is aborted while the response is incomplete by its own length."""
    download = MemoryDownload(spoil(LARGE))
    transfer = Transfer(LARGE, download)

    assert isinstance(transfer.error, error)
    assert transfer.response.phase is Phase.ABORTED
    assert transfer.wire.ending == "aborted"
    assert not transfer.answer.is_complete
    assert len(transfer.sent) <= FREE_BYTES
    assert download.is_stopped


def test_wrong_content_of_unknown_size_breaks_off_without_its_last_chunk():
    """RFC 9112 8: chunked content without the zero chunk is incomplete."""
    wrong = wrong_in_the_last_byte(LARGE)
    transfer = Transfer(LARGE, MemoryDownload(pieces(wrong)), size=None)

    assert isinstance(transfer.error, DigestMismatch)
    assert transfer.wire.ending == "aborted"
    assert not transfer.answer.is_complete


def test_origin_that_breaks_off_in_large_content_breaks_the_response_off():
    """An error after the head aborts, and nothing finishes the response."""
    download = MemoryDownload([LARGE[:5000]], error=ContentTruncated(5000))
    transfer = Transfer(LARGE, download)

    assert isinstance(transfer.error, ContentTruncated)
    assert transfer.wire.ending == "aborted"
    assert transfer.sent == LARGE[:5000]
    assert not transfer.request.finished


def test_origin_that_breaks_off_in_small_content_leaves_the_response_open():
    """Before the head it is another attempt or a status."""
    transfer = Transfer(SMALL, MemoryDownload([b"s"], error=ContentTruncated(1)))

    assert isinstance(transfer.error, ContentTruncated)
    assert transfer.response.phase is Phase.BEFORE_HEAD
    assert transfer.wire.ending is None


def test_all_content_and_then_an_error_is_complete():
    """What is proven right needs nobody's word for its end."""
    transfer = Transfer(LARGE, MemoryDownload([LARGE], error=ContentTruncated(len(LARGE))))

    assert transfer.error is None
    assert transfer.answer.is_complete


def test_all_content_and_then_silence_is_complete():
    """An origin whose last chunk never comes has sent everything nonetheless."""
    download = by_hand()
    transfer = Transfer(LARGE, download)
    download.send(LARGE)

    transfer.clock.advance(IDLE_SECONDS)

    assert transfer.error is None
    assert transfer.answer.is_complete
    assert download.is_stopped


def test_all_of_wrong_content_and_then_an_error_is_wrong_content():
    """It is not to be asked for again where it came from."""
    wrong = LARGE[:-1] + b"!"
    transfer = Transfer(LARGE, MemoryDownload([wrong], error=ContentTruncated(len(LARGE))))

    assert isinstance(transfer.error, DigestMismatch)
    assert not transfer.answer.is_complete


def test_content_of_unknown_size_and_then_an_error_is_a_failure():
    """Nobody knows whether more was to come."""
    cut = MemoryDownload(pieces(LARGE[:-1]), error=ContentTruncated(len(LARGE) - 1))
    transfer = Transfer(LARGE, cut, size=None)

    assert isinstance(transfer.error, ContentTruncated)
    assert not transfer.answer.is_complete


def test_bytes_after_the_verdict_go_nowhere():
    """After the verifier objected no further byte passes."""
    download = by_hand()
    transfer = Transfer(LARGE, download)

    download.send(LARGE + b"x")
    download.send(LARGE)

    assert isinstance(transfer.error, SizeMismatch)
    assert transfer.received == [len(LARGE) + 1]
    assert transfer.sent == b""


# -- silence


def test_silent_origin_is_given_up():
    """An origin that sends nothing for the time limit has failed."""
    download = by_hand()
    transfer = Transfer(SMALL, download)

    transfer.clock.advance(IDLE_SECONDS - 1)
    before = transfer.error
    transfer.clock.advance(1)

    assert before is None
    assert isinstance(transfer.error, OriginSilent)
    assert download.is_stopped


def test_slow_origin_is_waited_for():
    """Each chunk, however small, starts the time limit anew."""
    transfer = Transfer(SMALL, by_hand())

    for _ in range(10):
        transfer.clock.advance(IDLE_SECONDS - 1)
        transfer.download.send(b"s")

    assert transfer.error is None


def test_silence_is_not_held_against_an_origin_that_is_paused():
    """Who was asked to wait is not silent."""
    transfer = Transfer(LARGE, by_hand())
    transfer.response.mark = 0

    transfer.wire.stop_reading()
    for mark in range(20):
        transfer.response.mark = mark
        transfer.clock.advance(STALL_SECONDS / 4)

    assert transfer.error is None


def test_chunk_that_arrives_after_a_pause_does_not_start_the_silence():
    """The rest of a read may come while the origin waits already."""
    transfer = Transfer(LARGE, by_hand())

    transfer.wire.stop_reading()
    transfer.download.send(LARGE[:10])
    transfer.clock.advance(IDLE_SECONDS)

    assert transfer.error is None


def test_silence_counts_again_when_the_client_reads_on():
    """The time limit runs from the resumption."""
    transfer = Transfer(LARGE, by_hand())

    transfer.wire.stop_reading()
    transfer.clock.advance(20)
    transfer.wire.read_on()
    transfer.clock.advance(IDLE_SECONDS - 1)
    before = transfer.error
    transfer.clock.advance(1)

    assert before is None
    assert isinstance(transfer.error, OriginSilent)


class FullReader:
    """A reader that has no room from the first moment on."""

    def attach(self, fetch):
        fetch.pause()

    def take(self, content):
        """Take it."""

    async def complete(self):
        """There is nothing to let out."""

    def detach(self):
        """There is nothing to forget."""


def test_silence_is_not_held_against_an_origin_that_is_paused_before_it_began():
    """A reader may be full before the first byte."""
    clock = Clock()
    verifier = ContentVerifier(3, Digest("sha256", hashlib.sha256(b"abc").hexdigest()))
    fetch = Fetch(by_hand(), verifier, FullReader(), clock=clock, idle_seconds=IDLE_SECONDS)
    results = []
    running = Deferred.fromCoroutine(fetch.run()).addBoth(results.append)

    clock.advance(IDLE_SECONDS)

    assert results == []
    running.cancel()


# -- the client's pace


def test_client_that_stops_reading_makes_the_origin_wait():
    """Back-pressure reaches the download."""
    transfer = Transfer(LARGE, by_hand())

    transfer.wire.stop_reading()
    transfer.wire.read_on()

    assert transfer.download.calls == ["deliver", "pause", "resume"]


def test_repeated_pause_is_passed_on():
    """A repetition repairs a pause that the origin's connection lost."""
    transfer = Transfer(LARGE, by_hand())

    for _ in range(3):
        transfer.reader.pauseProducing()

    assert transfer.download.calls == ["deliver", "pause", "pause", "pause"]


def test_repeated_resumption_is_passed_on():
    """The same the other way."""
    transfer = Transfer(LARGE, by_hand())

    for _ in range(2):
        transfer.reader.resumeProducing()

    assert transfer.download.calls == ["deliver", "resume", "resume"]


def test_client_that_takes_nothing_is_given_up():
    """A stalled client holds an origin's connection no longer than allowed."""
    transfer = Transfer(LARGE, by_hand())

    transfer.wire.stop_reading()
    transfer.clock.advance(STALL_SECONDS / 4)
    transfer.clock.advance(STALL_SECONDS / 4)
    transfer.clock.advance(STALL_SECONDS / 4)
    before = transfer.error
    transfer.clock.advance(STALL_SECONDS / 4)

    assert before is None
    assert isinstance(transfer.error, ClientStalled)
    assert transfer.wire.ending == "aborted"
    assert transfer.download.is_stopped


def test_repeated_pause_does_not_put_the_stall_off():
    """A pause that is said again is the same pause."""
    transfer = Transfer(LARGE, by_hand())

    for _ in range(4):
        transfer.reader.pauseProducing()
        transfer.clock.advance(STALL_SECONDS / 4)

    assert isinstance(transfer.error, ClientStalled)


def test_client_that_takes_a_little_is_waited_for():
    """Progress within the time limit, seen in the kernel, keeps a slow client."""
    transfer = Transfer(LARGE, by_hand())
    transfer.response.mark = 0

    transfer.wire.stop_reading()
    for quarter in range(40):
        transfer.response.mark = quarter // 3
        transfer.clock.advance(STALL_SECONDS / 4)

    assert transfer.error is None


def test_client_whose_progress_ends_is_given_up():
    """The time limit runs from the last progress."""
    transfer = Transfer(LARGE, by_hand())
    transfer.response.mark = 0

    transfer.wire.stop_reading()
    transfer.response.mark = 1
    for _ in range(4):
        transfer.clock.advance(STALL_SECONDS / 4)
    before = transfer.error
    transfer.clock.advance(STALL_SECONDS / 4)

    assert before is None
    assert isinstance(transfer.error, ClientStalled)


def test_client_that_reads_on_is_no_longer_stalled():
    """A resumption ends the stall."""
    transfer = Transfer(LARGE, by_hand())

    for _ in range(5):
        transfer.wire.stop_reading()
        transfer.clock.advance(STALL_SECONDS / 4)
        transfer.wire.read_on()
        transfer.download.send(b"")

    assert transfer.error is None


def test_response_ends_when_a_slow_client_has_taken_the_rest():
    """The connection's own time limit must not meet what is still queued."""
    transfer = Transfer(LARGE, by_hand())
    transfer.download.send(LARGE)
    transfer.wire.stop_reading()

    transfer.download.end()
    before = transfer.response.phase
    transfer.wire.read_on()

    assert before is Phase.STREAMING
    assert transfer.response.phase is Phase.ENDED
    assert transfer.answer.content == LARGE


def test_client_that_stalls_on_the_rest_is_given_up():
    """The last bytes are waited for no longer than the others."""
    transfer = Transfer(LARGE, by_hand())
    transfer.download.send(LARGE)
    transfer.wire.stop_reading()
    transfer.download.end()

    for _ in range(4):
        transfer.clock.advance(STALL_SECONDS / 4)

    assert isinstance(transfer.error, ClientStalled)
    assert transfer.wire.ending == "aborted"


def test_silence_is_not_held_against_an_origin_that_has_ended():
    """While the client takes the rest nobody waits for the origin."""
    transfer = Transfer(LARGE, by_hand())
    transfer.download.send(LARGE)
    transfer.wire.stop_reading()
    transfer.download.end()

    transfer.clock.advance(IDLE_SECONDS)

    assert transfer.error is None


# -- the client leaves, or the exchange is cancelled


def before_the_first_byte(transfer):
    """Nothing has happened yet."""


def in_the_middle(transfer):
    transfer.download.send(LARGE[:5000])


def while_paused(transfer):
    transfer.download.send(LARGE[:5000])
    transfer.wire.stop_reading()


def while_the_rest_is_taken(transfer):
    transfer.download.send(LARGE)
    transfer.wire.stop_reading()
    transfer.download.end()


STAGES = pytest.mark.parametrize(
    "reach_stage", [before_the_first_byte, in_the_middle, while_paused, while_the_rest_is_taken]
)


@STAGES
def test_client_that_leaves_leaves_nothing_behind(reach_stage):
    """The download is stopped and no timer runs, whenever the client goes."""
    transfer = Transfer(LARGE, by_hand())
    reach_stage(transfer)

    transfer.wire.leave()

    assert isinstance(transfer.error, CancelledError)
    assert transfer.download.is_stopped
    assert transfer.clock.getDelayedCalls() == []
    assert transfer.response.phase is Phase.ABORTED


@STAGES
def test_cancelled_pipe_breaks_the_response_off_and_leaves_nothing_behind(reach_stage):
    """Whoever cancels with the client still there must not leave half a response open."""
    transfer = Transfer(LARGE, by_hand())
    reach_stage(transfer)

    transfer.running.cancel()
    transfer.clock.advance(0)

    assert transfer.download.is_stopped
    assert transfer.clock.getDelayedCalls() == []
    assert transfer.wire.ending == "aborted"
    assert not transfer.request.finished


def test_cancelled_small_content_leaves_the_response_open():
    """Before the head a cancellation may mean another attempt."""
    transfer = Transfer(SMALL, by_hand())
    transfer.download.send(b"s")

    transfer.running.cancel()

    assert transfer.response.phase is Phase.BEFORE_HEAD
    assert transfer.wire.ending is None
    assert transfer.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "download",
    [
        MemoryDownload(pieces(LARGE)),
        MemoryDownload([LARGE[:-1]]),
        MemoryDownload([LARGE], error=ContentTruncated(1)),
    ],
    ids=["right", "wrong", "broken"],
)
def test_pipe_that_ended_leaves_nothing_behind(download):
    """However content ends, the download is stopped and no timer runs."""
    transfer = Transfer(LARGE, download)
    transfer.clock.advance(0)

    assert download.is_stopped
    assert transfer.clock.getDelayedCalls() == []


# -- the phases of a response


def response_in(phase):
    """A response that has come to `phase`, its connection and its clock."""
    clock = Clock()
    resource = Parked()
    wire = Wire(Site(resource, reactor=clock, timeout=None), clock)
    wire.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    response = Response(resource.requests[0], clock)
    if phase in (Phase.STREAMING, Phase.ENDED):
        response.send_head(200, (("Content-Length", "2"),))
    if phase is Phase.ENDED:
        response.write(b"ok")
        response.end()
    if phase is Phase.ABORTED:
        response.abort()
    return response, wire


EVENTS = {
    "send_head": lambda response: response.send_head(204, ()),
    "write": lambda response: response.write(b""),
    "end": lambda response: response.end(),
    "abort": lambda response: response.abort(),
    "client_left": lambda response: response.client_left(),
}

MOVES = {
    (Phase.BEFORE_HEAD, "send_head"): Phase.STREAMING,
    (Phase.BEFORE_HEAD, "abort"): Phase.ABORTED,
    (Phase.BEFORE_HEAD, "client_left"): Phase.ABORTED,
    (Phase.STREAMING, "end"): Phase.ENDED,
    (Phase.STREAMING, "abort"): Phase.ABORTED,
    (Phase.STREAMING, "client_left"): Phase.ABORTED,
}
"""Every event that is not here leaves the phase as it is."""


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.name)
@pytest.mark.parametrize("event", EVENTS)
def test_response_moves_as_its_table_says(phase, event):
    """Each event in each phase leads where the table says, and nowhere else."""
    response, _ = response_in(phase)

    EVENTS[event](response)

    assert MOVES.get((phase, event), phase) is response.phase


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("phase", [Phase.ENDED, Phase.ABORTED], ids=lambda phase: phase.name)
def test_response_that_is_over_sends_nothing_more(phase, event):
    """After the end nothing reaches the connection, which may serve its next request."""
    response, wire = response_in(phase)
    before = (wire.value(), wire.ending)

    EVENTS[event](response)

    assert before == (wire.value(), wire.ending)


def test_head_goes_out_before_content():
    """Status and fields are on the way when `send_head` returns."""
    response, wire = response_in(Phase.STREAMING)

    head = wire.value()

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert head.endswith(b"\r\n\r\n")
    assert response.status == 200


def test_head_does_not_name_the_server_software():
    """RFC 9110 10.2.4: Server is not sent."""
    _, wire = response_in(Phase.STREAMING)

    assert b"server:" not in wire.value().lower()


def test_aborted_response_is_not_finished():
    """Nothing that looks like an end is written."""
    response, wire = response_in(Phase.STREAMING)

    response.abort()

    assert wire.ending == "aborted"
    assert wire.value().endswith(b"\r\n\r\n")
