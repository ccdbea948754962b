"""Fetch over FTP as the service does, for tests that have a server on loopback."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from streamer.importers.ftp import FtpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

TYPE = FtpImporterType()


def source(url="f"):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "ftp", {}), url)


def build(reactor, url, **config):
    """An importer of such a config."""
    return TYPE.build(TYPE.normalise({"url": url} | config), Surroundings(reactor, "test"))


class Sink:
    """Takes content; `ended` fires with the last word."""

    def __init__(self):
        self.content = b""
        self.calls = 0
        self.ended = Deferred()

    def content_received(self, chunk):
        self.calls += 1
        self.content += chunk

    def content_ended(self, error):
        self.ended.callback(error)


async def left_open(reactor, server, count=0):
    """How many connections a server counts, when it counts `count` or patience ends."""
    for _ in range(1000):
        if server.open_connections == count:
            break
        await deferLater(reactor, 0.01)
    return server.open_connections


async def taken(download):
    """All that comes of a download, and the last word."""
    sink = Sink()
    download.deliver(sink)
    error = await sink.ended
    download.stop()
    return sink.content, error


async def fetched(importer, url="f", span=None):
    """The response, all of its content, and the last word."""
    download = await importer.downloader(source(url)).open(span)
    return download.response, *await taken(download)
