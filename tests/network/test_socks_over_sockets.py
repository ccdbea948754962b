"""Importers behind a real SOCKS5 server, from their config to the content.

microsocks has a log of whom it connected to; a recorder before it has every byte that it is told.
Origins are in threads, microsocks is a process of its own, and all of them are on loopback.
"""

from __future__ import annotations

import random
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from certificates import Authority
from origins import Origin, serves
from pytest_twisted import blockon, ensureDeferred
from ranged_origins import serves_by_target
from socks_servers import Microsocks, Recorder
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from streamer.errors import (
    OriginError,
    OriginProhibited,
    OriginUnreachable,
    ProxyFailed,
    ProxyRefused,
)
from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

TYPE = HttpImporterType()
CONTENT = random.Random(5).randbytes(1_000_000)

USER, PASSWORD = "proxy-user", "proxy-pässword"
SECRETS = [USER.encode(), PASSWORD.encode(), PASSWORD.encode("latin-1")]
TOKEN = "the-origin's-own-token"


class Sink:
    """Takes a download's content; `ended` gives it."""

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


class Party:
    """The importers of a test, which are closed after it."""

    def __init__(self, reactor):
        self.reactor = reactor
        self._importers = []

    def importer(self, url, **config):
        stored = TYPE.normalise({"url": url, "connect_timeout": "2s", **config})
        importer = TYPE.build(stored, Surroundings(self.reactor, "me"))
        self._importers.append(importer)
        return importer

    def behind(self, server, url, scheme="socks5h", **config):
        """An importer with the right credentials for a SOCKS server."""
        login = {"proxy_username": USER, "proxy_password": PASSWORD}
        return self.importer(url, proxy_url=server.url(scheme), **{**login, **config})

    async def close(self):
        for importer in self._importers:
            await importer.close()


@pytest.fixture
def party(reactor):
    party = Party(reactor)
    yield party
    blockon(Deferred.fromCoroutine(party.close()))


@pytest.fixture
def server(tmp_path):
    """A SOCKS server with one user."""
    with Microsocks(tmp_path, USER, PASSWORD) as server:
        yield server


@pytest.fixture
def recorder(reactor, server):
    """What stands before that server and hears all that it is told."""
    recorder = Recorder(reactor, server)
    yield recorder
    blockon(recorder.close())


@pytest.fixture(params=["socks5", "socks5h"])
def proxy_scheme(request):
    """What is the same whoever resolves."""
    return request.param


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(params=["http", "https"])
def origin(request, authority, tmp_path):
    """An origin in the clear, or with TLS."""
    tls = authority.server_context(tmp_path) if request.param == "https" else None
    with Origin(serves(CONTENT), tls=tls) as origin:
        yield origin


@pytest.fixture
def trusting(authority):
    """The config that trusts that origin."""
    return {"ca_cert": authority.pem}


async def fetch(importer, url="f"):
    """The content of a source."""
    source = RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), url)
    download = await importer.downloader(source).open()
    sink = Sink()
    download.deliver(sink)
    return await sink.ended


async def failure(importer, url="f"):
    """The reason why a source is not to be had."""
    try:
        await fetch(importer, url)
    except OriginError as error:
        return error
    raise AssertionError("it did not fail")


# -- a way through


@ensureDeferred
async def test_content_comes_through_a_tunnel_that_is_kept(
    party, server, origin, trusting, proxy_scheme
):
    """Byte for byte, for http and https alike; the server made one connection for all of it."""
    importer = party.behind(server, origin.url, proxy_scheme, **trusting)

    contents = [await fetch(importer, name) for name in ("f", "g", "h")]

    assert contents == [CONTENT] * 3
    assert server.asked() == [f"127.0.0.1:{origin.port}"]
    assert [talk.target for talk in origin.conversations] == [b"/f", b"/g", b"/h"]


@ensureDeferred
async def test_server_without_users_is_asked_without_credentials(party, origin, trusting, tmp_path):
    """RFC 1928 section 3: none are needed."""
    with Microsocks(tmp_path) as server:
        importer = party.importer(origin.url, proxy_url=server.url("socks5h"), **trusting)

        content = await fetch(importer)

        assert content == CONTENT
        assert server.asked() == [f"127.0.0.1:{origin.port}"]


@pytest.mark.parametrize(
    ("scheme", "host"), [("socks5h", "localhost"), ("socks5", "127.0.0.1")], ids=["told", "not"]
)
@ensureDeferred
async def test_name_is_told_to_the_server_that_resolves(party, server, scheme, host):
    """And an address to the one that does not."""
    with Origin(serves(CONTENT)) as origin:
        importer = party.behind(server, origin.url_at("localhost"), scheme)

        content = await fetch(importer)

    assert content == CONTENT
    assert server.asked() == [f"{host}:{origin.port}"]
    assert origin.conversations[0].field("Host") == [f"localhost:{origin.port}"]


class V6Server(ThreadingHTTPServer):
    """An origin on ::1, where the kit's have none."""

    address_family = socket.AF_INET6


class Answers(BaseHTTPRequestHandler):
    """The content, whatever is asked for."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_):
        """Say nothing."""


@ensureDeferred
async def test_server_and_origin_may_have_ipv6(party, tmp_path, proxy_scheme):
    """Both, by their addresses."""
    with (
        V6Server(("::1", 0), Answers) as origin,
        Microsocks(tmp_path, USER, PASSWORD, address="::1") as server,
    ):
        thread = threading.Thread(target=origin.serve_forever)
        thread.start()
        importer = party.behind(server, f"http://[::1]:{origin.server_port}/", proxy_scheme)

        content = await fetch(importer)
        await importer.close()
        await deferToThread(origin.shutdown)
        thread.join()

        assert content == CONTENT
        assert server.asked() == [f"::1:{origin.server_port}"]


@ensureDeferred
async def test_host_of_no_proxy_is_reached_without_the_server(party, server, origin, trusting):
    """It hears nothing of it."""
    importer = party.behind(server, origin.url, no_proxy="127.0.0.0/8", **trusting)

    content = await fetch(importer)

    assert content == CONTENT
    assert server.asked() == []


# -- who sees what


@ensureDeferred
async def test_credentials_of_the_server_reach_it_alone(
    party, recorder, origin, trusting, proxy_scheme
):
    """Once on each connection; no origin sees anything of them."""
    importer = party.behind(recorder, origin.url, proxy_scheme, **trusting)

    await gatherResults([Deferred.fromCoroutine(fetch(importer)) for _ in range(3)])

    login = b"\x01%c%b%c%b" % (len(SECRETS[0]), SECRETS[0], len(SECRETS[1]), SECRETS[1])
    assert [bytes(heard).count(login) for heard in recorder.heard] == [1, 1, 1]
    heads = b"".join(talk.head for talk in origin.conversations)
    assert [secret for secret in SECRETS if secret in heads] == []


@ensureDeferred
async def test_credentials_of_the_server_stay_here_without_it(party, recorder, origin, trusting):
    """Neither the origin nor the server hears of them where it is not on the way."""
    importer = party.behind(recorder, origin.url, no_proxy="*", **trusting)

    await fetch(importer)

    heads = b"".join(talk.head for talk in origin.conversations)
    assert [secret for secret in SECRETS if secret in heads] == []
    assert recorder.heard == []


@ensureDeferred
async def test_server_learns_where_an_https_origin_is_and_no_more(
    party, recorder, authority, trusting, tmp_path
):
    """TLS is within the tunnel."""
    with Origin(serves(CONTENT), tls=authority.server_context(tmp_path)) as origin:
        importer = party.behind(recorder, origin.url, bearer_token=TOKEN, **trusting)

        await fetch(importer, "a/secret/path")

    (heard,) = recorder.heard
    assert origin.conversations[0].field("Authorization") == [f"Bearer {TOKEN}"]
    assert b"\x05\x01\x00\x01\x7f\x00\x00\x01" + origin.port.to_bytes(2, "big") in heard
    assert b"secret" not in heard
    assert TOKEN.encode() not in heard


# -- no way through


@pytest.mark.parametrize(
    "login",
    [
        pytest.param({"proxy_password": "not-the-password"}, id="wrong-password"),
        pytest.param({"proxy_username": None, "proxy_password": None}, id="none"),
    ],
)
@ensureDeferred
async def test_server_that_wants_other_credentials_is_at_fault(
    party, server, origin, trusting, login
):
    """The origin hears nothing; asking again would be the same."""
    error = await failure(party.behind(server, origin.url, **login, **trusting))

    assert type(error) is ProxyRefused
    assert error.args == ("it wants credentials, or other ones",)
    assert (server.asked(), origin.requests()) == ([], 0)


@ensureDeferred
async def test_host_that_the_server_does_not_reach_is_said(party, server, free_port, proxy_scheme):
    """In the words of RFC 1928 section 6."""
    error = await failure(party.behind(server, f"http://127.0.0.1:{free_port()}/", proxy_scheme))

    assert type(error) is ProxyFailed
    assert error.args == ("it was refused by the host",)


@ensureDeferred
async def test_server_of_another_protocol_has_limited_time(party):
    """An HTTP server waits for the rest of what it takes for a request."""
    with Origin(serves(CONTENT)) as mistaken:
        proxy = f"socks5h://127.0.0.1:{mistaken.port}"

        error = await failure(
            party.importer("http://192.0.2.1/", proxy_url=proxy, connect_timeout="200ms")
        )

    assert type(error) is ProxyFailed
    assert error.args == ("it does not answer in time",)


@ensureDeferred
async def test_server_that_is_not_there_is_its_own_failure(party, origin, free_port, trusting):
    """And not the origin's."""
    proxy = f"socks5://127.0.0.1:{free_port()}"

    error = await failure(party.importer(origin.url, proxy_url=proxy, **trusting))

    assert type(error) is ProxyFailed
    assert error.args == ("it refuses, or no way leads there",)


@ensureDeferred
async def test_origin_with_an_unknown_name_is_not_the_servers_failure(party, server):
    """RFC 6761 section 6.4: this name has no address, as we find out ourselves."""
    error = await failure(party.behind(server, "http://origin.invalid/", "socks5"))

    assert type(error) is OriginUnreachable
    assert error.args == ("its name is not known",)
    assert server.asked() == []


@ensureDeferred
async def test_name_that_is_too_long_is_not_told_to_the_server(party, server):
    """RFC 1928 section 5: one byte has its length."""
    error = await failure(party.behind(server, f"http://{'a' * 256}/"))

    assert type(error) is OriginProhibited
    assert error.args == ("its URL cannot be used",)
    assert server.asked() == []


@ensureDeferred
async def test_requests_that_are_cancelled_anywhere_leave_nothing(
    party, server, origin, trusting, proxy_scheme
):
    """In the look-up, at the server, in a handshake, before the head, in the content."""
    chance = random.Random(13)
    url = origin.url_at("localhost")
    importer = party.behind(
        server, url, proxy_scheme, download_concurrency=4, tls_validation=False, **trusting
    )

    asked = []
    for _ in range(60):
        asked.append(Deferred.fromCoroutine(fetch(importer)))
        asked[-1].addErrback(lambda reason: reason.trap(CancelledError, OriginError) and None)
        delay = chance.choice([0, 0.001, 0.005, 0.02]) * chance.random()
        party.reactor.callLater(delay, asked[-1].cancel)
        await deferLater(party.reactor, delay / 2)
    contents = await gatherResults(asked)
    last = await fetch(importer)
    await importer.close()

    assert set(contents) <= {CONTENT, None}
    assert last == CONTENT
    assert await deferToThread(origin.wait_for_connections, 0) == 0


# -- the address rule


def redirects_to(url):
    """An origin that sends everybody on."""
    location = f"Location: {url}"
    return serves_by_target({"f": serves(b"", (location,), b"302 Found")})


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost", "127.1", "10.0.0.1", "[::1]"])
@ensureDeferred
async def test_redirect_into_this_network_is_not_told_to_the_server(
    party, server, proxy_scheme, host
):
    """Whoever would resolve it; the operator's own URL may lead here."""
    with Origin(redirects_to(f"http://{host}:1/g")) as origin:
        error = await failure(party.behind(server, origin.url, proxy_scheme))

    assert type(error) is OriginProhibited
    assert error.args == ("its address is not public",)
    assert server.asked() == [f"127.0.0.1:{origin.port}"]


@ensureDeferred
async def test_redirect_is_followed_through_the_server(party, server, proxy_scheme):
    """Where the operator allows it."""
    with Origin(serves(CONTENT), address="0.0.0.0") as other:
        location = f"{other.url_at('127.0.0.2')}g"
        with Origin(redirects_to(location)) as origin:
            importer = party.behind(server, origin.url, proxy_scheme, allow_private_redirects=True)

            content = await fetch(importer)

    assert content == CONTENT
    assert server.asked() == [f"127.0.0.1:{origin.port}", f"127.0.0.2:{other.port}"]
