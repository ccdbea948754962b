"""A small proxy that records what it saw: tunnels, and requests with the whole URL.

It knows no more of HTTP than where a head ends. `answer`, where it is set, is what it says to every
request instead of doing what was asked: bytes, after which it keeps the connection open, or one of
the functions below.
"""

from __future__ import annotations

import re
from base64 import b64encode

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapServerTLS
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def says(status):
    """An answer with this status, whose content does not end."""
    return b"HTTP/1.1 %s\r\nContent-Length: 1000000\r\n\r\nwords" % status


def hangs(connection):
    """Say nothing."""


def closes(connection):
    """End the connection without an answer."""
    connection.transport.loseConnection()


class SmallProxy:
    """A listening proxy; `heads` are those of all requests, `seen` all bytes that came in clear."""

    def __init__(self, reactor, credentials=None, answer=None, identity=None):
        self.reactor = reactor
        self.answer = answer
        self.heads = []
        self.seen = bytearray()
        self.connections = []
        self._endings = []
        self._authorization = credentials and b"Basic " + b64encode(credentials.encode())
        self._identity = identity
        self._port = None

    async def listen(self):
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        if self._identity is not None:
            endpoint = wrapServerTLS(_tls(self._identity), endpoint)
        self._port = await endpoint.listen(Factory.forProtocol(lambda: Client(self)))
        return self

    @property
    def url(self):
        scheme = "http" if self._identity is None else "https"
        return f"{scheme}://127.0.0.1:{self._port.getHost().port}"

    @property
    def targets(self):
        """The methods and request targets, in order."""
        return [tuple(head.split(b" ", 2)[:2]) for head in self.heads]

    @property
    def open_connections(self):
        return sum(not client.is_lost for client in self.connections)

    async def all_gone(self):
        """Wait until no client is connected any more, for 20 s at most."""
        if self.open_connections:
            self._endings.append(Deferred().addTimeout(20, self.reactor))
            await self._endings[-1]

    def client_gone(self):
        if not self.open_connections:
            endings, self._endings = self._endings, []
            for ending in endings:
                ending.callback(None)

    def is_welcome(self, head):
        values = re.findall(rb"\r\nproxy-authorization: ([^\r]*)", head, re.IGNORECASE)
        return self._authorization is None or values == [self._authorization]

    async def close(self):
        await self._port.stopListening()
        for client in self.connections:
            if not client.is_lost:
                client.transport.abortConnection()
        await self.all_gone()


def _tls(identity):
    """Ask for a client certificate, and take any or none."""
    options = PrivateCertificate.loadPEM(identity.key_pem + identity.pem).options()
    options.getContext().set_verify(SSL.VERIFY_PEER, lambda *judged: True)
    return options


class Client(Protocol):
    """The proxy's side of one connection to it."""

    def __init__(self, proxy):
        self._proxy = proxy
        self._unread = b""
        self._server = None
        self._is_tunnel = False
        self.is_lost = False
        proxy.connections.append(self)

    def dataReceived(self, data):
        if self._is_tunnel:
            self._server.transport.write(data)
            return
        self._proxy.seen += data
        self._unread += data
        while not self._is_tunnel and b"\r\n\r\n" in self._unread:
            head, _, self._unread = self._unread.partition(b"\r\n\r\n")
            self._proxy.heads.append(head)
            self._take(head)

    def _take(self, head):
        answer = self._proxy.answer
        if not self._proxy.is_welcome(head):
            answer = says(b"407 Proxy Authentication Required")
        if callable(answer):
            answer(self)
        elif answer is not None:
            self.transport.write(answer)
        elif head.startswith(b"CONNECT "):
            host, _, port = head.split(b" ", 2)[1].rpartition(b":")
            self._reach(host, port, b"")
        else:
            match = re.match(rb"(GET|HEAD) http://([^/]*?):([0-9]+)(/.*)", head, re.DOTALL)
            lines = [match[1] + b" " + match[4], b"", b""]
            forwarded = re.sub(rb"(?i)\r\nproxy-authorization: [^\r]*", b"", b"\r\n".join(lines))
            self._reach(match[2], match[3], forwarded)

    def _reach(self, host, port, request):
        if self._server is not None:
            self._server.transport.write(request)
            return
        endpoint = TCP4ClientEndpoint(self._proxy.reactor, host.decode(), int(port))
        reached = endpoint.connect(Factory.forProtocol(lambda: Server(self)))
        reached.addCallbacks(self._reached, self._not_reached, [request])

    def _reached(self, server, request):
        self._server = server
        if self.is_lost:
            server.transport.abortConnection()
        elif request:
            server.transport.write(request)
        else:
            self._is_tunnel = True
            self.transport.write(ESTABLISHED)

    def _not_reached(self, _):
        self.transport.write(says(b"502 Bad Gateway"))

    def connectionLost(self, reason=connectionDone):
        self.is_lost = True
        if self._server is not None:
            self._server.transport.loseConnection()
        self._proxy.client_gone()


class Server(Protocol):
    """The proxy's connection to an origin."""

    def __init__(self, client):
        self._client = client

    def dataReceived(self, data):
        self._client.transport.write(data)

    def connectionLost(self, reason=connectionDone):
        self._client.transport.loseConnection()
