"""Downloads over HTTP that end at any stage, in any way: what they used is there for the next one.

One importer, its origin, a token service and what it redirects to, all connections in memory. A
story is a list of steps, each of which somebody takes at some time: whoever asks, whoever takes
content, the origin, the clock. However it went, afterwards all slots are free and, when the
importer is closed, there is no timer and no connection.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st
from memory_origins import ELSEWHERE, Running, Sink, build, make_reactor, source
from proof import holds_for
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from streamer.ranges import ByteRange

SLOTS, QUEUE = 2, 3
LONG_AFTER_SECONDS = 1000

ANSWERS = [
    (b"200 OK", b"Content-Length: 5", b"fives"),
    (b"200 OK", b"Content-Length: 5000", b"much"),
    (b"200 OK", b"Content-Length: 0", b""),
    (b"200 OK", b"Transfer-Encoding: chunked", b"4\r\nmuch\r\n"),
    (b"200 OK", b"Content-Length: 5\r\nSet-Cookie: a=\xe9", b"fives"),
    (b"200 OK", b"Content-Encoding: gzip", b"no gzip"),
    (b"206 Partial", b"Content-Length: 4\r\nContent-Range: bytes 2-5/9", b"part"),
    (b"206 Partial", b"Content-Length: 4\r\nContent-Range: bytes 3-6/9", b"part"),
    (b"302 Found", b"Content-Length: 4\r\nLocation: /g", b"look"),
    (b"302 Found", b"Content-Length: 40\r\nLocation: /h", b"late"),
    (b"302 Found", b"Location: /i", b"endless"),
    (b"302 Found", b"Content-Length: 0\r\nLocation: /repo/f/", b""),
    (b"307 There", f"Content-Length: 0\r\nLocation: {ELSEWHERE}/f".encode(), b""),
    (b"302 Found", b"Content-Length: 4\r\nLocation: ftp://h/", b"look"),
    (b"302 Found", b"Content-Length: 0\r\nLocation: http://10.0.0.1/", b""),
    (
        b"401 Who",
        f'Content-Length: 0\r\nWWW-Authenticate: Bearer realm="{ELSEWHERE}/t"'.encode(),
        b"",
    ),
    (b"401 Who", b'Content-Length: 4\r\nWWW-Authenticate: Bearer realm="no"', b"oops"),
    (b"401 Who", b"Content-Length: 4", b"oops"),
    (b"404 Not here", b"Content-Length: 4", b"oops"),
    (b"404 Not here", b"Content-Length: 400000", b"oops"),
    (b"503 Busy", b"Content-Length: 40\r\nRetry-After: 9", b"oops"),
    (b"200 OK", b"Content-Length: 42", json.dumps({"token": "t", "expires_in": 9}).encode()),
    (b"200 OK", b"Content-Length: 2", b"{}"),
]
HEADS = [b"HTTP/1.1 %s\r\n%s\r\n\r\n%s" % answer for answer in ANSWERS]
PIECES = [
    *HEADS,
    *HEADS,
    b"HTTP/1.1 200 OK\r\nX: ",
    b"no HTTP\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"a" * 100,
    b"0\r\n\r\n",
]


class Line(StringTransport):
    """The client's end of one connection; it is lost a turn after it was given up."""

    def __init__(self, clock, protocol):
        super().__init__(lenient=True)
        self.is_over = False
        self._clock = clock
        self._protocol = protocol
        protocol.makeConnection(self)

    def send(self, data):
        """Be the origin; whoever has paused is sent nothing."""
        if not self.is_over and self.producerState == "producing":
            self._protocol.dataReceived(data)

    def lose(self, reason):
        if not self.is_over:
            self.is_over = True
            self._clock.callLater(0, self._protocol.connectionLost, Failure(reason))

    def loseConnection(self):
        self.lose(ConnectionDone())

    abortConnection = stopProducing = loseConnection


class Story:
    """One importer, and everybody who has to do with it."""

    def __init__(self, rates):
        self.reactor = make_reactor()
        self.importer = build(
            self.reactor, download_concurrency=SLOTS, queue=QUEUE, keep_alive=5, **rates
        )
        self.asked = []
        self.taken = set()
        self.lines = []
        self.tried = 0

    # whoever asks

    def ask(self, number):
        """For the whole, for a part, or what a client asks of a pass-through distribution."""
        if number % 3 == 2:
            relaying = self.importer.relayer("f").relay(("GET", "HEAD")[number % 2], ())
            self.asked.append(Running(relaying))
        else:
            span = (None, ByteRange(2, 5))[number % 3]
            self.asked.append(Running(self.importer.downloader(source("f")).open(span)))

    def leave(self, number):
        for running in _one_of(self.asked, number):
            running.running.cancel()

    # whoever has a download

    @property
    def downloads(self):
        return [one.download for one in self.asked if one.results and one.error is None]

    def take(self, number):
        for download in _one_of(self.downloads, number):
            if download not in self.taken:
                self.taken.add(download)
                download.deliver(Sink())

    def stop(self, number):
        for download in _one_of(self.downloads, number):
            self.taken.add(download)
            download.stop()

    def pause(self, number):
        for download in _one_of(self.downloads, number):
            download.pause()

    def resume(self, number):
        for download in _one_of(self.downloads, number):
            download.resume()

    # the origins

    @property
    def attempts(self):
        """The attempts to connect that nobody has answered yet, or given up."""
        clients, connectors = self.reactor.tcpClients, self.reactor.connectors
        tried = zip(clients[self.tried :], connectors[self.tried :], strict=True)
        return [(factory, one) for (_, _, factory, *_), one in tried if not one.stoppedConnecting]

    def admit(self, number):
        """Take all connections."""
        attempts, self.tried = self.attempts, len(self.reactor.tcpClients)
        self.lines += [
            Line(self.reactor, factory.buildProtocol(None)) for factory, connector in attempts
        ]

    def refuse(self, number):
        attempts, self.tried = self.attempts, len(self.reactor.tcpClients)
        for factory, connector in attempts:
            factory.clientConnectionFailed(connector, Failure(ConnectError()))

    def answer(self, number):
        self.admit(0)
        for line in _one_of(self._open_lines, number // len(PIECES)):
            line.send(PIECES[number % len(PIECES)])

    def break_off(self, number):
        for line in _one_of(self._open_lines, number):
            line.lose(ConnectionLost())

    @property
    def _open_lines(self):
        return [line for line in self.lines if not line.is_over]

    # time

    def turn(self, number):
        self.reactor.advance(0)

    def wait(self, number):
        self.reactor.advance(number / 10)

    def end(self):
        """Whoever asks leaves, whoever has a download stops; and it is long ago."""
        for running in self.asked:
            running.running.cancel()
        for download in self.downloads:
            download.stop()
        self.reactor.pump([0, 0, 0, LONG_AFTER_SECONDS, 0, 0, 0])


def _one_of(things, number):
    return [things[number % len(things)]] if things else []


STEPS = [
    *[Story.ask, Story.answer] * 4,
    *[Story.turn, Story.take, Story.admit] * 2,
    *[Story.leave, Story.stop, Story.pause, Story.resume],
    *[Story.refuse, Story.break_off, Story.wait],
]
RATES = [{}, {"rate_limit": 2}, {"bandwidth_limit": "1KiB"}]


@holds_for(
    examples=400,
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 500)), max_size=60),
    rates=st.sampled_from(RATES),
)
def test_downloads_that_ended_anyhow_leave_nothing(steps, rates):
    """All slots are free, and a closed importer has neither timers nor connections."""
    story = Story(rates)
    for take_step, number in steps:
        take_step(story, number)
    story.end()

    for _ in range(SLOTS + 1):
        story.ask(0)
    story.reactor.advance(1)
    free = len(story.attempts)
    story.end()
    closing = Deferred.fromCoroutine(story.importer.close())
    story.reactor.pump([0, 0, 0])

    assert free == SLOTS
    assert [line for line in story.lines if not line.is_over] == []
    assert story.reactor.getDelayedCalls() == []
    assert closing.called
