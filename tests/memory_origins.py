"""Origins in memory: a test reads the bytes of each request and writes those of its response.

`Opening` is one download on its way. Connections are numbered in the order in which they are made;
a public address stands for another origin, since no other may be learned from one.
"""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

BASE = "http://192.0.2.1/repo"
ELSEWHERE = "http://93.184.215.14"

TYPE = HttpImporterType()


def source(url="f"):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), url)


def build(reactor=None, **config):
    stored = TYPE.normalise({"url": BASE} | config)
    return TYPE.build(stored, Surroundings(reactor or make_reactor(), "me"))


def surroundings(network):
    return Surroundings(network.reactor, "me")


@implementer(IHostnameResolver)
class Literals:
    """Resolves what is an address already."""

    def resolveHostName(self, receiver, name, port=0, types=None, semantics="TCP"):
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", name, port))
        receiver.resolutionComplete()
        return self


def make_reactor():
    reactor = MemoryReactorClock()
    reactor.installNameResolver(Literals())
    return reactor


class Origin:
    """The origin's side of one connection."""

    def __init__(self, client):
        self.host, self.port, factory, _, _ = client
        self.protocol = factory.buildProtocol(None)
        self.transport = StringTransport(lenient=True)
        self.protocol.makeConnection(self.transport)

    @property
    def requests(self):
        """The request line and all fields of every request, as written."""
        heads = self.transport.value().decode("latin-1").split("\r\n\r\n")[:-1]
        split = [head.split("\r\n") for head in heads]
        return [(line, [tuple(field.split(": ", 1)) for field in rest]) for line, *rest in split]

    @property
    def request(self):
        """The first one."""
        return self.requests[0]

    def field(self, name, request=-1):
        """All values of a field of the last request."""
        return [value for key, value in self.requests[request][1] if key.lower() == name]

    def send(self, *lines, content=b""):
        head = "".join(f"{line}\r\n" for line in [*lines, ""])
        self.protocol.dataReceived(head.encode("latin-1") + content)

    def close(self, reason=None):
        self.protocol.connectionLost(Failure(reason or ConnectionDone()))


class Sink:
    """Takes content and its end; counts the signs of life."""

    def __init__(self):
        self.content = b""
        self.empty_chunks = 0
        self.endings = []

    def content_received(self, chunk):
        self.content += chunk
        self.empty_chunks += not chunk

    def content_ended(self, error):
        self.endings.append(error)


class Network:
    """All connections that importers make over one reactor in memory."""

    def __init__(self):
        self.reactor = make_reactor()
        self._origins = []

    @property
    def origins(self):
        while len(self._origins) < len(self.reactor.tcpClients):
            self._origins.append(Origin(self.reactor.tcpClients[len(self._origins)]))
        return self._origins

    def turn(self):
        """Let the connections go back into their pools, and what waits for that go on."""
        self.reactor.advance(0)

    def redirect(self, to, *fields, status=302, number=-1):
        self.origins[number].send(
            f"HTTP/1.1 {status} Look there", "Content-Length: 0", f"Location: {to}", *fields
        )
        self.turn()


class Running:
    """A coroutine on its way to a download."""

    def __init__(self, coroutine):
        self.results = []
        self.sink = Sink()
        self.running = Deferred.fromCoroutine(coroutine)
        self.running.addBoth(self.results.append)

    @property
    def error(self):
        (result,) = self.results
        return result.value if isinstance(result, Failure) else None

    @property
    def download(self):
        (result,) = self.results
        assert not isinstance(result, Failure), result.getTraceback()
        return result


class Opening(Network, Running):
    """One download from an importer, on its way."""

    def __init__(self, url="f", span=None, importer=None, **config):
        Network.__init__(self)
        self.importer = importer or build(self.reactor, **config)
        Running.__init__(self, self.importer.downloader(source(url)).open(span))

    def open(self, url="f"):
        """One more, from the same importer."""
        return Running(self.importer.downloader(source(url)).open())

    def connect(self):
        self.origin = self.origins[-1]
        return self.origin
