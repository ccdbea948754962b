"""Origins that mean harm, over real sockets, and what it costs them and us."""

from __future__ import annotations

import random
import threading

import pytest
from certificates import Authority
from origins import Origin, serves, serves_chunked
from pytest_twisted import blockon, ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import formatEvent, globalLogPublisher
from twisted.web.client import ResponseNeverReceived

from streamer.downloaders import verbatim
from streamer.downloaders.connections import Connections
from streamer.downloaders.contents import HttpDownload
from streamer.downloaders.faults import origin_errors
from streamer.downloaders.heads import HEAD_BYTES
from streamer.downloaders.tls import TlsSettings
from streamer.errors import OriginError, OriginLacksIt, OriginNonsense, OriginUnreachable
from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

TYPE = HttpImporterType()
CONTENT = b"the content that was asked for"
LARGE = random.Random(3).randbytes(300_000)
OK = b"HTTP/1.1 200 OK\r\n"
INJECTED = OK + b"Content-Length: 8\r\n\r\ninjected"

BUFFERS = 16 * 1024 * 1024
"""More than the kernel holds of one connection, at both ends."""

READ_BYTES = 64 * 1024
"""What Twisted reads at once."""


class Sink:
    """Takes content; `ended` fires with all of it."""

    def __init__(self):
        self._chunks = []
        self.ended = Deferred()

    def content_received(self, chunk):
        self._chunks.append(chunk)

    def content_ended(self, error):
        if error is None:
            self.ended.callback(b"".join(self._chunks))
        else:
            self.ended.errback(error)


async def content_of(download):
    sink = Sink()
    download.deliver(sink)
    return await sink.ended


class Fetcher:
    """An importer of one origin, and downloads over its connections."""

    def __init__(self, reactor, origin, **config):
        stored = TYPE.normalise({"url": origin.url} | config)
        self._reactor = reactor
        self._importer = TYPE.build(stored, Surroundings(reactor, "me"))

    async def open(self):
        source = RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), "f")
        return await self._importer.downloader(source).open()

    async def fetch(self):
        return await content_of(await self.open())

    async def turn(self, seconds=0.05):
        """Let the reactor read what is there."""
        await deferLater(self._reactor, seconds)

    async def close(self):
        await self._importer.close()


@pytest.fixture(params=["tcp", "tls"])
def layer(request):
    """Every lie is told in the clear and inside TLS."""
    return request.param


@pytest.fixture
def origin(layer, tmp_path):
    """An honest origin, whose behaviour a test replaces."""
    authority = Authority()
    tls = authority.server_context(tmp_path) if layer == "tls" else None
    with Origin(serves(CONTENT), tls=tls) as origin:
        origin.config = {"ca_cert": authority.pem} if tls else {}
        yield origin


@pytest.fixture
def fetcher(reactor, origin):
    """An importer that trusts the origin."""
    fetcher = Fetcher(reactor, origin, **origin.config)
    yield fetcher
    blockon(Deferred.fromCoroutine(fetcher.close()))


async def open_connections(origin, count):
    """Wait until so many connections are open, while the reactor goes on; give how many are."""
    return await deferToThread(origin.wait_for_connections, count)


def fault(error):
    """The reason that Twisted's client was given for the end of its connection."""
    assert isinstance(error.__cause__, ResponseNeverReceived)
    (reason,) = error.__cause__.reasons
    assert isinstance(reason.value, OriginNonsense)
    return reason.value.args[0]


# -- heads without end


class Flood:
    """An origin that begins a head and repeats a part of it until it is cut off."""

    def __init__(self, beginning, part, times=None):
        self._beginning = beginning
        self._part = part
        self._times = times
        self.sent_bytes = 0
        self.was_cut = False

    def __call__(self, conversation):
        block = self._part * max(1, READ_BYTES // len(self._part))
        blocks = None if self._times is None else self._times * len(self._part) // len(block)
        try:
            conversation.connection.sendall(self._beginning)
            while blocks is None or self.sent_bytes < blocks * len(block):
                conversation.connection.sendall(block)
                self.sent_bytes += len(block)
        except OSError:
            self.was_cut = True
        return False


TOO_MUCH = "its fields are too many or too large"


@pytest.mark.parametrize(
    ("beginning", "part", "reason"),
    [
        pytest.param(OK, b"X: y\r\n", TOO_MUCH, id="short-fields"),
        pytest.param(OK, b"X: " + b"y" * 10_000 + b"\r\n", TOO_MUCH, id="long-fields"),
        pytest.param(OK + b"X: ", b"y", TOO_MUCH, id="one-field"),
        pytest.param(b"HTTP/1.1 200 ", b"y", TOO_MUCH, id="reason-phrase"),
        pytest.param(
            b"",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            "it sends interim responses without end",
            id="interim-responses",
        ),
        pytest.param(
            b"",
            b"HTTP/1.1 103 Early Hints\r\nLink: " + b"y" * 9000 + b"\r\n\r\n",
            TOO_MUCH,
            id="interim-fields",
        ),
    ],
)
@ensureDeferred
async def test_endless_head_is_cut_off(origin, fetcher, beginning, part, reason):
    """The origin gets rid of what the kernel buffers and not of more."""
    flood = origin.behaviour = Flood(beginning, part)

    with pytest.raises(OriginNonsense) as caught:
        await fetcher.fetch()

    assert reason == fault(caught.value)
    assert await open_connections(origin, 0) == 0
    assert flood.was_cut
    assert flood.sent_bytes < HEAD_BYTES + BUFFERS


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(b"X: y\r\n" * 10_000, id="10000-short-ones"),
        pytest.param((b"X: " + b"y" * 10_000 + b"\r\n") * 1000, id="1000-long-ones"),
    ],
)
@ensureDeferred
async def test_head_that_ends_but_is_too_large_is_refused(origin, fetcher, fields):
    """It is not read to its end in the hope of one."""

    def behaviour(conversation):
        conversation.send(OK + fields + b"Content-Length: 0\r\n\r\n")
        return True

    origin.behaviour = behaviour

    with pytest.raises(OriginNonsense) as caught:
        await fetcher.fetch()

    assert fault(caught.value) == TOO_MUCH
    assert await open_connections(origin, 0) == 0


@ensureDeferred
async def test_flood_of_one_origin_leaves_the_next_request_alone(origin, fetcher):
    """A fault belongs to its connection."""
    origin.behaviour = Flood(OK, b"X: y\r\n")
    with pytest.raises(OriginNonsense):
        await fetcher.fetch()

    origin.behaviour = serves(CONTENT)

    assert await fetcher.fetch() == CONTENT


# -- heads that could mean two things


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        pytest.param(OK + b"X: a\0b\r\n", "one of its fields is malformed", id="rfc9110-5.5-nul"),
        pytest.param(
            OK + b"X: a\rContent-Length: 3\r\n",
            "one of its fields is malformed",
            id="rfc9112-2.2-bare-cr",
        ),
        pytest.param(
            OK + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "it says twice how long its content is",
            id="rfc9112-6.3-coding-and-length",
        ),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + INJECTED,
            "it changes the protocol unasked",
            id="rfc9110-15.2.2-switching-protocols",
        ),
    ],
)
@ensureDeferred
async def test_ambiguous_head_is_refused_at_once(origin, fetcher, head, reason):
    """The connection is given up although the origin keeps it open."""

    def behaviour(conversation):
        conversation.send(head)
        return not conversation.wait_until_closed()

    origin.behaviour = behaviour

    with pytest.raises(OriginNonsense) as caught:
        await fetcher.fetch()

    assert reason == fault(caught.value)
    assert await open_connections(origin, 0) == 0


PHRASES = [
    pytest.param(b"MARK\x1b]0;owned\x07\x1b[2J", id="escape-sequences"),
    pytest.param(b"MARK<script>alert(1)</script>", id="markup"),
    pytest.param(b"MARK{log_failure} %s", id="format-directives"),
    pytest.param(b"MARK" + b"y" * 16_000, id="long"),
]


@pytest.fixture
def logged():
    """All that the log says during the test."""
    lines = []

    def observer(event):
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


@pytest.mark.parametrize("phrase", PHRASES)
@ensureDeferred
async def test_reason_phrase_of_a_refusal_is_repeated_nowhere(origin, fetcher, logged, phrase):
    """RFC 9112 4: not in the error, and not in the log."""

    def behaviour(conversation):
        interim = b"HTTP/1.1 102 " + phrase + b"\r\n\r\n"
        final = b"HTTP/1.1 404 " + phrase + b"\r\nContent-Length: 0\r\n\r\n"
        conversation.send(interim + final)
        return True

    origin.behaviour = behaviour

    with pytest.raises(OriginLacksIt) as caught:
        await fetcher.fetch()

    assert "MARK" not in str(caught.value) + repr(caught.value)
    assert [line for line in logged if "MARK" in line] == []


@ensureDeferred
async def test_field_of_the_connection_is_not_among_the_fields(origin, fetcher):
    """RFC 9110 7.6.1: what Connection names stays behind, whatever it is called."""
    origin.behaviour = serves(CONTENT, ("X-Hop: 1", "X-Stay: 2", "Connection: x-hop"))

    download = await fetcher.open()
    download.stop()

    names = {name.lower() for name, _ in download.response.fields}
    assert {"x-hop", "x-stay", "connection"} & names == {"x-stay"}


# -- more than was asked for


def whole(content=CONTENT):
    """Give a response with Content-Length."""
    return OK + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)


def chunked(content=CONTENT):
    """Give a response in one chunk."""
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content)


def up_to_a_read():
    """Give a response whose last byte is the last of one read of the socket."""
    head = OK + b"Content-Length: 00000\r\n\r\n"
    return whole(b"c" * (READ_BYTES - len(head)))


def sends_first(raw):
    """Behave so at the first request, and honestly after it; the connection stays open."""
    left = [raw]

    def behaviour(conversation):
        if not left:
            return serves(CONTENT)(conversation)
        conversation.send(left.pop())
        return True

    return behaviour


async def outcome(coroutine):
    """Give what a fetch gives, be it an error."""
    try:
        return await coroutine
    except OriginError as error:
        return error


async def fetch_twice(fetcher):
    """Fetch again as soon as the last byte of the first is here, in the same turn."""
    return await outcome(fetcher.fetch()), await fetcher.fetch()


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(whole() + INJECTED, id="length"),
        pytest.param(up_to_a_read() + INJECTED, id="length-and-another-read"),
        pytest.param(chunked() + INJECTED, id="chunked"),
        pytest.param(chunked() + chunked(b"injected"), id="chunked-twice"),
        pytest.param(whole() + b"\r\n", id="empty-line"),
        pytest.param(whole() + INJECTED[:20], id="half-a-head"),
        pytest.param(whole(b"") + INJECTED, id="no-content"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n" + INJECTED, id="rfc9110-15.3.5-204"),
    ],
)
@ensureDeferred
async def test_response_that_nobody_asked_for_answers_no_request(origin, fetcher, raw):
    """RFC 9112 6.3: excess "MUST NOT" become a response; the next request goes elsewhere."""
    origin.behaviour = sends_first(raw)

    _, second = await fetch_twice(fetcher)

    assert second == CONTENT


@ensureDeferred
async def test_content_before_the_excess_is_whole(origin, fetcher):
    """What was asked for came; what it is worth the digest says."""
    origin.behaviour = sends_first(whole() + INJECTED)

    first, _ = await fetch_twice(fetcher)

    assert first == CONTENT


@ensureDeferred
async def test_idle_connection_that_speaks_is_closed(origin, fetcher):
    """RFC 9112 9.3: nothing is due on it, so nothing on it can be trusted."""

    def behaviour(conversation):
        serves(CONTENT)(conversation)
        spoken.wait(10)
        conversation.send(INJECTED)
        return not conversation.wait_until_closed()

    spoken = threading.Event()
    origin.behaviour = behaviour
    await fetcher.fetch()
    await fetcher.turn()

    spoken.set()
    await fetcher.turn(0.3)

    assert await open_connections(origin, 0) == 0
    origin.behaviour = serves(CONTENT)
    assert await fetcher.fetch() == CONTENT


# -- addresses


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "127.0.0.1", "localhost"])
@ensureDeferred
async def test_loopback_in_any_disguise_is_not_public(reactor, host):
    """A rule sees what the resolver makes of a name, and that is what is connected to."""
    with Origin(serves(CONTENT)) as origin:
        url = f"http://{host}:{origin.port}/f"
        results = [
            await outcome(fetch_learned(reactor, url, allow_private=is_allowed))
            for is_allowed in (False, True)
        ]

        assert isinstance(results[0], OriginUnreachable)
        assert results[0].args == ("its address is not public",)
        assert results[1] == CONTENT
        assert origin.requests() == 1


async def fetch_learned(reactor, url, *, allow_private):
    """Fetch from a URL that no operator wrote."""
    connections = Connections(
        reactor,
        TlsSettings(),
        None,
        connect_seconds=10.0,
        is_trusted=lambda url: False,
        allow_private=allow_private,
        persistent_per_host=1,
    )
    try:
        with origin_errors():
            answer = await verbatim.ask(connections.agent(url), "GET", url, (), reactor)
        return await content_of(HttpDownload(*answer, reactor))
    finally:
        await connections.close()


# -- honest origins, beside all this


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(serves(CONTENT), id="length"),
        pytest.param(serves(b""), id="empty"),
        pytest.param(serves(LARGE), id="length-large"),
        pytest.param(serves_chunked(CONTENT), id="chunked"),
        pytest.param(serves_chunked(LARGE), id="chunked-large"),
        pytest.param(serves_chunked(b"\n" * 300_000), id="chunked-lines"),
    ],
)
@ensureDeferred
async def test_honest_connection_is_used_again(origin, fetcher, behaviour):
    """Ten requests in turn take one connection."""
    origin.behaviour = behaviour

    async def fetches():
        return {await fetcher.fetch() for _ in range(10)}

    assert len(await fetches()) == 1
    assert len({each.connection for each in origin.conversations}) == 1


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: Close", id="rfc9110-7.6.1-no-case"),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: x, CLOSE", id="rfc9112-9.6-list"),
        pytest.param(b"HTTP/1.0 200 OK", id="rfc9112-9.3-http10"),
        pytest.param(b"HTTP/1.0 200 OK\r\nConnection: keep-alive", id="rfc9112-c.2.2"),
    ],
)
@ensureDeferred
async def test_connection_that_will_close_is_not_used_again(origin, fetcher, head):
    """Nor does it wait for the origin to close it, TLS farewell or not."""

    def behaviour(conversation):
        conversation.send(head + b"\r\nContent-Length: %d\r\n\r\n%b" % (len(CONTENT), CONTENT))
        return not conversation.wait_until_closed()

    origin.behaviour = behaviour

    assert await fetch_twice(fetcher) == (CONTENT, CONTENT)
    await fetcher.turn()
    assert len({each.connection for each in origin.conversations}) == 2
    assert await open_connections(origin, 0) == 0


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@ensureDeferred
async def test_content_may_end_with_its_connection(origin, fetcher, version):
    """RFC 9112 6.3: without a length and without chunks there is no other end."""

    def behaviour(conversation):
        conversation.send(b"HTTP/" + version + b" 200 OK\r\n\r\n" + LARGE)
        return False

    origin.behaviour = behaviour

    assert await fetcher.fetch() == LARGE


@ensureDeferred
async def test_importer_closes_beside_an_origin_that_takes_no_farewell(reactor, origin, fetcher):
    """Idle connections are closed for good although the origin keeps its end open."""
    closed_in_time = []

    def behaviour(conversation):
        serves(CONTENT)(conversation)
        closed_in_time.append(closed.wait(10))
        return False

    closed = threading.Event()
    origin.behaviour = behaviour
    await fetcher.fetch()

    await fetcher.close()
    closed.set()

    assert await open_connections(origin, 0) == 0
    assert closed_in_time == [True]
