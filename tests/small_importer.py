"""A small importer that does everything right, and can be made to do one thing wrong.

Its content lies in memory and is sent a piece in each turn of the reactor. What a connection would
be is an entry in a ledger, from the question to the end or `stop`. To make it wrong, a test hands
other classes to its `Importer`.
"""

from __future__ import annotations

import random
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from streamer.errors import ContentTruncated, OriginLacksIt, OriginNonsense
from streamer.model import DownloadConfig, OriginResponse, RemoteArtifact
from streamer.ranges import ByteRange
from streamer.testing.checks import LEAST_BYTES

SECRET = "s3cret-pa55"
CONTENT = random.Random(4).randbytes(LEAST_BYTES + 1000)
PIECE = 64 * 1024
ASKING_SECONDS = 0.001


def source(url="f"):
    return RemoteArtifact(DownloadConfig(1, 1, "small", "small", {}), url)


class Importer:
    """What is open is in `ledger`, which outlives it."""

    def __init__(self, reactor, ledger, downloader, download, relayer):
        self.reactor = reactor
        self.ledger = ledger
        self.make_downloader = downloader
        self.make_download = download
        self.make_relayer = relayer
        self.secret = SECRET

    def downloader(self, source):
        return self.make_downloader(self, source)

    def relayer(self, path):
        return self.make_relayer(self, source(path))

    async def close(self):
        """There is nothing idle."""


class MirroringImporter:
    """The same with two places for each source, which it finds out when it is asked."""

    def __init__(self, *parts):
        self.importer = Importer(*parts)

    async def downloaders(self, source):
        await deferLater(self.importer.reactor, ASKING_SECONDS)
        return [self.importer.downloader(source) for _ in range(2)]

    async def close(self):
        """There is nothing idle."""


class Downloader:
    origin = "small://host:1"
    retries = 0

    def __init__(self, importer, source):
        self.importer = importer
        self.source = source

    async def open(self, span=None):
        await self.ask()
        self.refuse(span)
        first, end = (0, len(CONTENT)) if span is None else (span.first, span.last + 1)
        total = None if span is None else len(CONTENT)
        length = None if self.source.url == "unsized" else end - first
        response = OriginResponse(length, (("ETag", '"1"'),), total)
        download = self.importer.make_download(self.importer, response, first, end)
        if self.source.url == "broken":
            download.breaks_at = first + 3 * PIECE
        return download

    async def ask(self):
        """The origin takes a moment to answer."""
        await deferLater(self.importer.reactor, ASKING_SECONDS)
        if self.source.url == "silent":
            await Deferred()

    def refuse(self, span):
        """What the origin has not, or sends wrongly."""
        if self.source.url == "missing":
            raise OriginLacksIt(404)
        if self.source.url == "lying" and span is not None:
            raise OriginNonsense("it sends something else than the range it was asked for")


class Relayer(Downloader):
    """Knows one range, which is enough to see whether the client's fields arrive."""

    async def relay(self, method, fields):
        span = ByteRange(1, 1) if ("Range", "bytes=1-1") in fields else None
        download = await self.open(span)
        if span is not None:
            said = ("Content-Range", span.content_range(len(CONTENT)))
            download.response = replace(download.response, status=206, fields=(said,))
        if method == "HEAD":
            download.end = download.position
        return download


class Download:
    breaks_at = None

    def __init__(self, importer, response, first, end):
        self.importer = importer
        self.response = response
        self.position = first
        self.end = end
        self.sink = None
        self.timer = None
        self.is_paused = False
        importer.ledger.append(self)

    def deliver(self, sink):
        self.sink = sink
        self.go_on()

    def pause(self):
        self.is_paused = True

    def resume(self):
        self.is_paused = False
        self.go_on()

    def stop(self):
        self.sink = None
        self.release()

    def release(self):
        """Give back what a connection would be."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self in self.importer.ledger:
            self.importer.ledger.remove(self)

    def go_on(self):
        if self.sink is not None and self.timer is None and not self.is_paused:
            self.timer = self.importer.reactor.callLater(0, self.turn)

    def turn(self):
        self.timer = None
        if self.is_paused:
            return
        self.send(self.next_piece())
        if self.position == self.breaks_at:
            self.finish(ContentTruncated(self.position))
        elif self.position >= self.end:
            self.finish(None)
        else:
            self.go_on()

    def next_piece(self):
        piece = CONTENT[self.position : min(self.position + PIECE, self.end)]
        self.position += len(piece)
        return piece

    def send(self, piece):
        self.sink.content_received(piece)

    def finish(self, error):
        sink, self.sink = self.sink, None
        self.release()
        if sink is not None:
            sink.content_ended(error)
