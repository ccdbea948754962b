"""Connections through proxies, over real sockets, and who sees which secret on the way.

Origins are in threads of their own; the proxy shares the reactor with what is tested.
"""

from __future__ import annotations

import random
import socket
from base64 import b64encode

import pytest
from chains import authority
from origins import Origin, falls_silent, serves
from pytest_twisted import blockon, ensureDeferred
from small_proxy import ESTABLISHED, SmallProxy, closes, hangs, says
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Client
from twisted.internet.threads import deferToThread
from twisted.web.client import ResponseDone, ResponseNeverReceived
from twisted.web.http_headers import Headers
from zope.interface import directlyProvides, providedBy

from streamer.downloaders.connections import Connections
from streamer.downloaders.limits import Slots
from streamer.downloaders.proxies import Proxy
from streamer.downloaders.tls import TlsSettings
from streamer.errors import OriginError, OriginUnreachable, ProxyFailed

CONTENT = b"the content that was asked for"
LARGE = random.Random(7).randbytes(3_000_000)

ROOT = authority()
SERVER = ROOT.issue("a server", alternatives=["127.0.0.1", "localhost"])
CLIENT = ROOT.issue("a client")
TRUSTING = TlsSettings(ca_cert=ROOT.pem)
IDENTIFIED = TlsSettings(ca_cert=ROOT.pem, client_cert=CLIENT.pem, client_key=CLIENT.key_pem)

USER, PASSWORD = "proxy-user", "proxy-pässword"
BASIC = b"Basic " + b64encode(f"{USER}:{PASSWORD}".encode())
ORIGIN_SECRET = "Bearer the-origin's-own"


class Content(Protocol):
    """Takes a response's content; `ended` gives it."""

    def __init__(self):
        self._chunks = []
        self.ended = Deferred()

    def dataReceived(self, data):
        self._chunks.append(data)

    def connectionLost(self, reason):
        if reason.check(ResponseDone):
            self.ended.callback(b"".join(self._chunks))
        else:
            self.ended.errback(reason)


class Party:
    """One importer's connections, its proxies, and what it asks."""

    def __init__(self, reactor):
        self.reactor = reactor
        self._closing = []

    async def proxy(self, **behaviour):
        proxy = await SmallProxy(self.reactor, **behaviour).listen()
        self._closing.append(proxy)
        return proxy

    def connections(self, proxy=None, tls=TRUSTING, **settings):
        settings = {
            "connect_seconds": 10.0,
            "is_trusted": lambda url: True,
            "allow_private": False,
            "persistent_per_host": 4,
            "cached_seconds": 3600,
        } | settings
        connections = Connections(self.reactor, tls, proxy, **settings)
        self._closing.insert(0, connections)
        return connections

    def through(self, proxy, *, no_proxy=(), **settings):
        """Connections through a small proxy, with the right credentials."""
        return self.connections(Proxy(proxy.url, USER, PASSWORD, tuple(no_proxy)), **settings)

    async def close(self):
        for each in self._closing:
            await each.close()


@pytest.fixture
def party(reactor):
    party = Party(reactor)
    yield party
    blockon(Deferred.fromCoroutine(party.close()))


@pytest.fixture(params=["http", "https"])
def scheme(request):
    """What is the same for both ways through a proxy."""
    return request.param


@pytest.fixture
def origin(scheme, tmp_path):
    """An origin in the clear, or with TLS, that asks for a client certificate."""
    tls = SERVER.server_context(tmp_path, clients=ROOT) if scheme == "https" else None
    with Origin(serves(CONTENT), tls=tls) as origin:
        yield origin


@pytest.fixture
def https_origin(tmp_path):
    with Origin(serves(CONTENT), tls=SERVER.server_context(tmp_path, clients=ROOT)) as origin:
        yield origin


@pytest.fixture
def http_origin():
    with Origin(serves(CONTENT)) as origin:
        yield origin


def ask(connections, url, **fields):
    headers = Headers({name: [value] for name, value in fields.items()})
    return connections.agent(url).request(b"GET", url.encode(), headers)


async def get(connections, url, **fields):
    """The content behind a URL."""
    response = await ask(connections, url, **fields)
    content = Content()
    response.deliverBody(content)
    return await content.ended


async def failure(connections, url):
    """The reason why a request fails, as the downloader finds it."""
    try:
        await get(connections, url)
    except ResponseNeverReceived as error:
        return error.reasons[0].value
    except OriginError as error:
        return error
    raise AssertionError("it did not fail")


# -- a way through


@ensureDeferred
async def test_content_comes_through_a_proxy(party, origin, scheme):
    """Byte for byte, however much there is."""
    origin.behaviour = serves(LARGE)
    proxy = await party.proxy()

    content = await get(party.through(proxy), origin.url + "f")

    assert content == LARGE
    assert len(proxy.heads) == 1


@ensureDeferred
async def test_https_goes_through_a_tunnel_that_is_used_again(party, https_origin):
    """Two requests, one CONNECT (RFC 9110 section 9.3.6), one connection to the origin."""
    proxy = await party.proxy()
    connections = party.connections(Proxy(proxy.url))

    contents = [await get(connections, https_origin.url + name) for name in ("f", "g")]

    authority = f"127.0.0.1:{https_origin.port}".encode()
    assert contents == [CONTENT, CONTENT]
    assert proxy.heads == [b"CONNECT %b HTTP/1.1\r\nHost: %b" % (authority, authority)]
    assert https_origin.requests() == 2
    assert await deferToThread(https_origin.wait_for_connections, 1) == 1


@ensureDeferred
async def test_http_is_asked_for_with_the_whole_url(party, http_origin):
    """RFC 9112 section 3.2.2, on a connection that is used again; a fragment stays here."""
    proxy = await party.proxy()
    connections = party.through(proxy)

    for name in ("f%2F?q=1#part", "g"):
        await get(connections, http_origin.url + name)

    base = http_origin.url.encode()
    assert proxy.targets == [(b"GET", base + b"f%2F?q=1"), (b"GET", base + b"g")]
    assert len(proxy.connections) == 1
    assert f"Host: 127.0.0.1:{http_origin.port}".encode() in proxy.heads[0].split(b"\r\n")


@ensureDeferred
async def test_target_of_an_exception_is_reached_without_the_proxy(party, origin):
    """The proxy hears nothing of it."""
    proxy = await party.proxy(answer=says(b"403 Forbidden"))

    content = await get(party.through(proxy, no_proxy=["127.0.0.0/8"]), origin.url)

    assert (content, proxy.connections) == (CONTENT, [])


@ensureDeferred
async def test_proxy_with_tls_is_spoken_to_in_tls(party, origin):
    """TLS within TLS for https; both are verified, and the proxy by its own name."""
    origin.behaviour = serves(LARGE)
    proxy = await party.proxy(identity=SERVER, credentials=f"{USER}:{PASSWORD}")

    content = await get(party.through(proxy), origin.url)

    assert content == LARGE
    assert len(proxy.heads) == 1


@pytest.mark.parametrize("is_proxied", [False, True])
@ensureDeferred
async def test_name_is_asked_for_on_every_way(party, tmp_path, is_proxied):
    """RFC 6066 section 3: inside a tunnel it is the origin's; an address is not sent."""
    names = []
    context = SERVER.server_context(tmp_path)
    context.sni_callback = lambda server, name, context: names.append(name)
    proxy = await party.proxy()
    connections = party.through(proxy, no_proxy=[] if is_proxied else ["*"])

    with Origin(serves(CONTENT), tls=context) as origin:
        for host in ("localhost", "127.0.0.1"):
            await get(connections, origin.url_at(host))

    assert names == ["localhost", None]


@pytest.mark.parametrize("is_proxied", [False, True])
@ensureDeferred
async def test_connection_that_was_closed_meanwhile_is_replaced(party, origin, is_proxied):
    """It is found out by asking, and nobody hears of it."""
    proxy = await party.proxy()
    connections = party.through(proxy, no_proxy=[] if is_proxied else ["*"])
    await get(connections, origin.url)

    origin.conversations[0].connection.shutdown(socket.SHUT_RDWR)
    content = await get(connections, origin.url)

    assert content == CONTENT
    assert len({id(c.connection) for c in origin.conversations}) == 2


@ensureDeferred
async def test_abandoned_transfer_ends_its_tunnel(party, origin):
    """Nobody reads on, so the proxy need not either."""
    origin.behaviour = falls_silent(LARGE, len(LARGE) // 2)
    proxy = await party.proxy()
    response = await ask(party.through(proxy), origin.url)

    content = Content()
    content.ended.addErrback(lambda reason: None)
    response.deliverBody(content)
    content.transport.stopProducing()
    await proxy.all_gone()

    assert len(proxy.connections) == 1


# -- who sees what


@ensureDeferred
async def test_credentials_of_the_proxy_reach_the_proxy_alone(party, origin):
    """Neither an origin, nor an error, nor a repr."""
    proxy = await party.proxy(credentials=f"{USER}:{PASSWORD}")
    connections = party.through(proxy)

    await get(connections, origin.url)
    await get(connections, origin.url)

    fields = [head.lower().count(b"\r\nproxy-authorization: ") for head in proxy.heads]
    assert set(fields) == {1}
    assert all(BASIC in head for head in proxy.heads)
    assert [c.field("Proxy-Authorization") for c in origin.conversations] == [[], []]
    assert not any(BASIC in c.head for c in origin.conversations)


@ensureDeferred
async def test_credentials_of_the_proxy_stay_here_without_it(party, origin):
    """An exception of the proxy is none of its business."""
    proxy = await party.proxy()

    await get(party.through(proxy, no_proxy=["*"]), origin.url)

    assert BASIC not in origin.conversations[0].head


@ensureDeferred
async def test_credentials_of_an_https_origin_do_not_reach_the_proxy(party, https_origin):
    """Nor does the path, or anything but a name and a port."""
    proxy = await party.proxy()
    connections = party.through(proxy)

    await get(connections, https_origin.url + "a/secret/path", authorization=ORIGIN_SECRET)

    assert https_origin.conversations[0].field("Authorization") == [ORIGIN_SECRET]
    assert ORIGIN_SECRET.encode() not in proxy.seen
    assert b"secret" not in proxy.seen
    assert proxy.targets == [(b"CONNECT", f"127.0.0.1:{https_origin.port}".encode())]


def shown_to(origin):
    """The names in the client certificates that an origin was shown, in order."""
    certificates = [c.connection.getpeercert() or {} for c in origin.conversations]
    return [dict(pair for (pair,) in each.get("subject", ())) for each in certificates]


@ensureDeferred
async def test_client_certificate_is_shown_to_trusted_hosts_alone(party, https_origin, tmp_path):
    """Through the same proxy: to the origin of the operator, and not to a host that it names."""
    proxy = await party.proxy()
    with Origin(serves(CONTENT), tls=SERVER.server_context(tmp_path, clients=ROOT)) as other:
        connections = party.through(
            proxy,
            tls=IDENTIFIED,
            is_trusted=lambda url: url.startswith(https_origin.url),
            allow_private=True,
        )

        await get(connections, https_origin.url)
        await get(connections, other.url)

        assert shown_to(https_origin) == [{"commonName": "a client"}]
        assert shown_to(other) == [{}]


@ensureDeferred
async def test_client_certificate_is_not_shown_to_a_proxy(party, https_origin):
    """It asks for one, and the origin behind it gets one."""
    proxy = await party.proxy(identity=SERVER)

    await get(party.through(proxy, tls=IDENTIFIED), https_origin.url)

    assert [each.transport.getPeerCertificate() for each in proxy.connections] == [None]
    assert shown_to(https_origin) == [{"commonName": "a client"}]


# -- no way through

REFUSALS = [
    pytest.param(says(b"403 Forbidden"), "it does not allow it (403)", id="403"),
    pytest.param(
        says(b"407 Proxy Authentication Required"),
        "it wants credentials, or other ones (407)",
        id="407",
    ),
    pytest.param(says(b"502 Bad Gateway"), "it answers 502", id="502"),
    pytest.param(says(b"302 Found"), "it answers 302", id="302"),
    pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", "it is not HTTP", id="another-protocol"),
    pytest.param(
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300,
        "its fields are too many or too large",
        id="head-without-end",
    ),
    pytest.param(
        b"HTTP/1.1 100 Continue\r\n\r\n" * 20,
        "it sends interim responses without end",
        id="interim-without-end",
    ),
    pytest.param(ESTABLISHED + b"x", "it sends what was not asked for", id="more-than-the-head"),
    pytest.param(closes, "it closed the connection", id="closes"),
]


@pytest.mark.parametrize(("answer", "sentence"), REFUSALS)
@ensureDeferred
async def test_tunnel_that_is_not_opened_is_the_proxys_failure(
    party, https_origin, answer, sentence
):
    """The sentence has the status and nothing of the proxy; the connection is gone."""
    proxy = await party.proxy(answer=answer)

    error = await failure(party.through(proxy), https_origin.url)
    await proxy.all_gone()

    assert isinstance(error, ProxyFailed)
    assert error.args == (sentence,)
    assert https_origin.requests() == 0


@ensureDeferred
async def test_proxy_that_does_not_answer_in_time_is_left(party, https_origin):
    """It has as long as for the connection."""
    proxy = await party.proxy(answer=hangs)

    error = await failure(party.through(proxy, connect_seconds=0.2), https_origin.url)
    await proxy.all_gone()

    assert isinstance(error, ProxyFailed)
    assert error.args == ("it does not answer in time",)


@ensureDeferred
async def test_407_to_an_http_request_is_the_proxys_failure(party, http_origin):
    """Its content is not waited for."""
    proxy = await party.proxy(credentials="somebody:else")

    error = await failure(party.through(proxy), http_origin.url)
    await proxy.all_gone()

    assert isinstance(error, ProxyFailed)
    assert error.args == ("it wants credentials, or other ones (407)",)
    assert http_origin.requests() == 0


@ensureDeferred
async def test_407_of_an_origin_is_its_own_answer(party, https_origin):
    """Inside a tunnel nobody but the origin speaks."""
    https_origin.behaviour = serves(b"", status=b"407 Proxy Authentication Required")
    proxy = await party.proxy()

    response = await ask(party.through(proxy), https_origin.url)

    assert response.code == 407


@ensureDeferred
async def test_proxy_that_refuses_connections_is_its_own_failure(party, origin, free_port):
    """Not the origin's, whichever way would have been taken."""
    connections = party.connections(Proxy(f"http://127.0.0.1:{free_port()}"))

    error = await failure(connections, origin.url)

    assert isinstance(error, ProxyFailed)
    assert error.args == ("it refuses, or no way leads there",)


@ensureDeferred
async def test_proxy_with_an_unknown_name_is_its_own_failure(party, origin):
    """RFC 6761 section 6.4: this name has no address."""
    error = await failure(party.connections(Proxy("http://proxy.invalid")), origin.url)

    assert isinstance(error, ProxyFailed)
    assert error.args == ("its name is not known",)


@pytest.mark.parametrize("validation", [True, False])
@ensureDeferred
async def test_proxy_whose_certificate_is_unknown_is_told_nothing(party, origin, validation):
    """Also where the operator wants no verification of origins: a password is due here."""
    proxy = await party.proxy(identity=authority("another").issue("p", alternatives=["127.0.0.1"]))
    settings = TlsSettings(ca_cert=ROOT.pem, validation=validation)

    error = await failure(party.through(proxy, tls=settings), origin.url)
    await proxy.all_gone()

    assert isinstance(error, ProxyFailed)
    assert error.args == ("its TLS is not acceptable",)
    assert bytes(proxy.seen) == b""


@ensureDeferred
async def test_origin_whose_certificate_is_unknown_is_not_the_proxys_failure(party, https_origin):
    """The tunnel was there."""
    proxy = await party.proxy()
    settings = TlsSettings(ca_cert=authority("another").pem)

    error = await failure(party.through(proxy, tls=settings), https_origin.url)
    await proxy.all_gone()

    assert not isinstance(error, OriginError)
    assert https_origin.requests() == 0


@pytest.mark.parametrize(
    ("proxy_scheme", "answer"),
    [("https", hangs), ("http", hangs), ("http", ESTABLISHED)],
    ids=["tls-with-the-proxy", "answer", "tls-with-the-origin"],
)
@ensureDeferred
async def test_cancelled_request_leaves_no_connection(party, https_origin, proxy_scheme, answer):
    """Whoever is waited for."""
    proxy = await party.proxy(answer=answer)
    connections = party.connections(Proxy(proxy.url.replace("http:", f"{proxy_scheme}:")))
    asked = ask(connections, https_origin.url)
    while not proxy.seen:
        await deferLater(party.reactor, 0.01)
    await deferLater(party.reactor, 0.05)

    asked.cancel()
    await proxy.all_gone()

    with pytest.raises((CancelledError, ResponseNeverReceived)):
        await asked


@pytest.mark.parametrize("way", ["direct", "proxy", "proxy-with-tls"])
@ensureDeferred
async def test_requests_that_are_cancelled_anywhere_leave_nothing(party, origin, way):
    """In the look-up, while connecting, in a handshake, before the head, in the content."""
    chance = random.Random(11)
    proxy = await party.proxy(identity=SERVER if way == "proxy-with-tls" else None)
    connections = party.through(proxy, no_proxy=["*"] if way == "direct" else [])
    slots = Slots(4, 100, party.reactor)

    async def get_in_turn():
        slot = await slots.take()
        try:
            return await get(connections, origin.url_at(chance.choice(["localhost", "127.0.0.1"])))
        finally:
            slot.release()

    asked = []
    for _ in range(100):
        asked.append(Deferred.fromCoroutine(get_in_turn()).addErrback(lambda failure: None))
        delay = chance.choice([0, 0.001, 0.005, 0.02]) * chance.random()
        party.reactor.callLater(delay, asked[-1].cancel)
        await deferLater(party.reactor, delay / 2)
    contents = await gatherResults(asked)
    for _ in range(4):
        await slots.take()
    last = await get(connections, origin.url)
    await connections.close()
    await proxy.all_gone()

    assert set(contents) <= {CONTENT, None}
    assert last == CONTENT
    assert await deferToThread(origin.wait_for_connections, 0) == 0


# -- the address rule


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "127.1",
        "a.localhost.",
        "10.0.0.1",
        "[::1]",
    ],
)
@ensureDeferred
async def test_learned_url_of_this_network_is_not_asked_of_a_proxy(party, scheme, host):
    """The proxy would resolve it, and is inside."""
    proxy = await party.proxy()
    connections = party.through(proxy, is_trusted=lambda url: False)

    error = await failure(connections, f"{scheme}://{host}/")

    assert isinstance(error, OriginUnreachable)
    assert error.args == ("its address is not public",)
    assert proxy.connections == []


@ensureDeferred
async def test_learned_url_of_this_network_is_not_connected_to(party, origin):
    """Without a proxy, or where it is an exception, the address itself is judged."""
    proxy = await party.proxy()
    settings = {"is_trusted": lambda url: False}

    direct = await failure(party.connections(**settings), origin.url)
    excepted = await failure(party.through(proxy, no_proxy=["*"], **settings), origin.url)

    assert isinstance(direct, OriginUnreachable)
    assert isinstance(excepted, OriginUnreachable)
    assert origin.requests() == 0


@ensureDeferred
async def test_url_that_an_operator_wrote_may_lead_into_this_network(party, https_origin):
    """Into an entry, say; its host is shown no certificate for all that."""
    connections = party.connections(tls=IDENTIFIED, is_trusted=lambda url: False)
    url = https_origin.url

    response = await connections.agent(url, is_learned=False).request(b"GET", url.encode())
    content = Content()
    response.deliverBody(content)

    assert await content.ended == CONTENT
    assert shown_to(https_origin) == [{}]


@pytest.mark.parametrize("url", ["http://user:pw@host.example/", "https://a\\@b/", "http:///f"])
@ensureDeferred
async def test_host_that_can_be_read_in_two_ways_is_not_told_to_a_proxy(party, url):
    """Not even where an operator wrote it."""
    proxy = await party.proxy()

    error = await failure(party.through(proxy), url)

    assert isinstance(error, OriginUnreachable)
    assert proxy.connections == []


@pytest.mark.parametrize("is_proxied", [False, True])
@ensureDeferred
async def test_learned_urls_have_connections_of_their_own(party, origin, is_proxied):
    """One origin, asked by a URL of the operator and by one that was learned."""
    settings = {"is_trusted": lambda url: "learned" not in url, "allow_private": True}
    proxy = await party.proxy()
    connections = party.through(proxy, no_proxy=[] if is_proxied else ["*"], **settings)

    for name in ("f", "learned", "f", "learned"):
        await get(connections, origin.url + name)

    assert len({id(c.connection) for c in origin.conversations}) == 2


# -- from where, and for how long


@ensureDeferred
async def test_connections_begin_at_the_address_that_was_set(party, origin):
    """All of 127.0.0.0/8 is this host."""
    peers = []

    def notes_peer(conversation):
        peers.append(conversation.connection.getpeername()[0])
        return serves(CONTENT)(conversation)

    origin.behaviour = notes_peer

    await get(party.connections(bind_address="127.0.0.3"), origin.url)

    assert peers == ["127.0.0.3"]


@pytest.mark.parametrize("is_proxied", [False, True])
@ensureDeferred
async def test_closing_ends_what_is_idle(party, origin, is_proxied):
    """At once, over TLS too."""
    proxy = await party.proxy()
    connections = party.through(proxy, no_proxy=[] if is_proxied else ["*"])
    await get(connections, origin.url)

    await connections.close()

    assert await deferToThread(origin.wait_for_connections, 0) == 0


@ensureDeferred
async def test_connection_in_use_ends_with_its_response_after_closing(party, origin):
    """Nobody would ask on it again."""
    connections = party.connections()
    response = await ask(connections, origin.url)

    await connections.close()
    content = Content()
    response.deliverBody(content)
    received = await content.ended

    assert received == CONTENT
    assert await deferToThread(origin.wait_for_connections, 0) == 0


@pytest.mark.parametrize(("kept", "expected"), [(0, 2), (1, 1)])
@ensureDeferred
async def test_so_many_connections_are_kept(party, origin, kept, expected):
    """None: each request has its own."""
    connections = party.connections(persistent_per_host=kept)

    for name in ("f", "g"):
        await get(connections, origin.url + name)

    assert len({id(c.connection) for c in origin.conversations}) == expected


class CountingReactor:
    """The reactor, and the most connections that its clients ever had at a time."""

    def __init__(self, reactor):
        directlyProvides(self, providedBy(reactor))
        self._reactor = reactor
        self.most = 0

    def __getattr__(self, name):
        return getattr(self._reactor, name)

    def connectTCP(self, *arguments, **settings):
        held = {*self._reactor.getReaders(), *self._reactor.getWriters()}
        self.most = max(self.most, 1 + sum(isinstance(each, Client) for each in held))
        return self._reactor.connectTCP(*arguments, **settings)


class Reader(Protocol):
    """Calls `over` with its last byte, or at its end, or after it stopped in the middle."""

    def __init__(self, ends, over):
        self._ends = ends
        self._over = over
        self._left = len(LARGE)

    def dataReceived(self, data):
        self._left -= len(data)
        if self._ends == "stopped":
            self.transport.stopProducing()
        if self._ends == "stopped" or (self._ends == "at-the-last-byte" and not self._left):
            self._over()

    def connectionLost(self, reason):
        self._over()


async def get_all(party, origin, ends):
    """Ask thirty times at once over three slots; all are given back at the end."""
    connections = party.connections()
    slots = Slots(3, 100, party.reactor)

    async def get_in_turn():
        slot = await slots.take()
        response = await ask(connections, origin.url)
        response.deliverBody(Reader(ends, slot.release))

    await gatherResults([Deferred.fromCoroutine(get_in_turn()) for _ in range(30)])
    for _ in range(3):
        await slots.take()


@pytest.mark.parametrize("ends", ["at-the-last-byte", "at-the-end"])
@ensureDeferred
async def test_who_gets_a_slot_finds_the_connection_of_the_last(party, origin, ends):
    """Three connections serve them all, however early a slot is given back."""
    origin.behaviour = serves(LARGE)

    await get_all(party, origin, ends)

    assert len({id(c.connection) for c in origin.conversations}) == 3


@pytest.mark.parametrize(
    ("fields", "ends"),
    [
        (("Connection: close",), "at-the-last-byte"),
        (("Connection: close",), "at-the-end"),
        ((), "stopped"),
    ],
)
@ensureDeferred
async def test_who_gets_a_slot_finds_the_connection_of_the_last_closed(party, origin, fields, ends):
    """Never is a fourth one open, though each serves one request."""
    origin.behaviour = serves(LARGE, fields)
    party.reactor = CountingReactor(party.reactor)

    await get_all(party, origin, ends)

    assert party.reactor.most == 3
    assert origin.requests() == 30
