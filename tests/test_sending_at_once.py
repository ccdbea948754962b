"""What the door sends without queueing it first, over real connections."""

from __future__ import annotations

import random
import socket

import pytest
from doors import Door
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.web.server import NOT_DONE_YET

CHUNKS = [random.Random(seed).randbytes(300_000 + seed) for seed in range(40)]
"""Together more than a connection takes while its peer does not read."""


class Sender:
    """Writes what a test wants to whoever asks."""

    isLeaf = True

    def __init__(self):
        self.asked = Deferred()
        self.gone = None

    def render(self, request):
        self.gone = request.notifyFinish()
        self.asked.callback(request)
        return NOT_DONE_YET


@pytest.fixture
def sender():
    return Sender()


@pytest.fixture
def client(reactor, sender):
    """A client that has asked; its receive buffer is small."""
    site = Door().site
    site.resource = sender
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.settimeout(30)
        client.connect(("127.0.0.1", port.getHost().port))
        client.sendall(b"GET /a HTTP/1.0\r\n\r\n")
        yield client
    port.stopListening()


def everything(client):
    """All that a server sends until it closes."""
    return b"".join(iter(lambda: client.recv(1024 * 1024), b""))


@ensureDeferred
async def test_content_keeps_its_order_while_a_client_is_behind(client, sender):
    """Some of it is sent at once, some queued, and some sent when the queue is empty again."""
    request = await sender.asked
    producer = Producer(request, CHUNKS)
    request.registerProducer(producer, True)
    producer.resumeProducing()
    received = await deferToThread(everything, client)

    assert b"".join(CHUNKS) == received.partition(b"\r\n\r\n")[2]
    assert producer.pauses > 1


class Producer:
    """Writes chunks while it is not paused, and then ends the response."""

    def __init__(self, request, chunks):
        self.request = request
        self.chunks = list(chunks)
        self.is_paused = True
        self.pauses = 0

    def resumeProducing(self):
        self.is_paused = False
        while self.chunks and not self.is_paused:
            self.request.write(self.chunks.pop(0))
        if not self.chunks:
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self):
        self.is_paused = True
        self.pauses += 1

    def stopProducing(self):
        pass


@ensureDeferred
async def test_client_that_is_gone_is_found_gone(client, sender):
    """As if all had been queued."""
    request = await sender.asked
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    for chunk in CHUNKS:
        request.write(chunk)
    with pytest.raises(Exception, match="Connection"):
        await sender.gone
