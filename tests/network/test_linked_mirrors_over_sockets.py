"""Mirrors that an origin names, over real sockets: what they see, and how much of them is kept."""

from __future__ import annotations

import contextlib

import pytest
from certificates import Authority
from origins import Origin, serves
from pytest_twisted import blockon, ensureDeferred
from real_servers import Tinyproxy
from secrecy import Secrets, heads
from token_service import TokenService
from twisted.internet.defer import Deferred

from streamer.downloaders.learned import MAX_MIRRORS
from streamer.downloaders.short_content import short_content
from streamer.errors import OriginForbids
from streamer.importers import Registry
from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

CONTENT = b"the content that was asked for"
USER = "one-with-secrets"
SERVERS, CLIENTS = Authority(), Authority()
KEY, CERTIFICATE = CLIENTS.issue(USER)
PROXY_USER, PROXY_PASSWORD = "a-user-of-it", "the-password-of-the-proxy"

BASIC = {"username": USER, "password": "correct horse/battery+staple"}
BEARER = {"bearer_token": "a.token.of.the.operator"}
FIELDS = {"secret_fields": {"X-Api-Key": "an-api-key-of-it", "Cookie": "session=of-the-operator"}}
CERTIFIED = {"client_cert": CERTIFICATE, "client_key": KEY}


class Asking:
    """One importer over the running reactor, and what it asks for."""

    def __init__(self, reactor, url, kind="http", **config):
        allowed = {"allow_linked_mirrors": True, "allow_private_redirects": True}
        registered = Registry().type(kind)
        stored = registered.normalise({"url": url, **allowed, **config})
        self._source = RemoteArtifact(DownloadConfig(1, 1, "it", kind, stored), "file")
        self._importer = registered.build(stored, Surroundings(reactor, "test"))

    async def places(self):
        return await self._importer.downloaders(self._source)

    async def fetch(self, place):
        """All content from one of the places."""
        download = await (await self.places())[place].open()
        return await short_content(download, len(CONTENT))

    async def close(self):
        await self._importer.close()


@pytest.fixture
def asking(reactor):
    """Make importers that are closed in the end."""
    made = []

    def make(url, **config):
        made.append(Asking(reactor, url, **config))
        return made[-1]

    yield make
    for each in made:
        blockon(Deferred.fromCoroutine(each.close()))


@pytest.fixture
def serving():
    """Start origins that are stopped in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda behaviour, **options: stack.enter_context(Origin(behaviour, **options))


def linked(*urls):
    """An origin with content, which names mirrors beside it."""
    return serves(CONTENT, [f"Link: <{url}>; rel=duplicate" for url in urls])


@pytest.mark.parametrize(
    "secrets",
    [
        pytest.param(BASIC, id="password"),
        pytest.param(BEARER, id="bearer-token"),
        pytest.param(FIELDS, id="secret-fields"),
        pytest.param(CERTIFIED, id="client-certificate"),
        pytest.param({**BASIC, **FIELDS, **CERTIFIED}, id="all-together"),
    ],
)
@ensureDeferred
async def test_learned_mirror_sees_no_secret(secrets, asking, serving, tmp_path):
    """The origin saw each of them, on TLS as the mirror has it."""
    secret = {key: value for key, value in secrets.items() if key in HttpImporterType.secret_keys}
    looked_for = Secrets(tmp_path, USER, **secret)
    tls = SERVERS.server_context(tmp_path, CLIENTS, is_required=False)
    certificates = {"own": [], "mirror": []}

    def noting(who, behaviour):
        def noted(talk):
            certificates[who].append(bool(talk.connection.getpeercert()))
            return behaviour(talk)

        return noted

    mirror = serving(noting("mirror", serves(CONTENT)), tls=tls)
    own = serving(noting("own", linked(f"{mirror.url}copy")), tls=tls)
    importer = asking(own.url, ca_cert=SERVERS.pem, **secrets)

    contents = [await importer.fetch(0), await importer.fetch(1)]

    assert contents == [CONTENT, CONTENT]
    assert certificates == {"own": ["client_key" in secrets], "mirror": [False]}
    assert [talk.target for talk in mirror.conversations] == [b"/copy"]
    shown = {name for name, _ in looked_for.seen_in(own=heads(own))}
    assert shown == secret.keys() - {"client_key"}
    assert looked_for.seen_in(mirror=heads(mirror)) == []


@ensureDeferred
async def test_learned_mirror_sees_no_token_and_may_not_ask_for_one(asking, serving):
    """Not the one that its origin wants, nor any by a challenge of its own."""
    with TokenService({}, takes_seconds=0) as tokens:
        wanting = serving(tokens.guard(serves(CONTENT)))
        mirror = serving(serves(CONTENT))
        own = serving(tokens.guard(linked(f"{mirror.url}copy", f"{wanting.url}copy")))
        importer = asking(own.url)

        await importer.fetch(0)
        await importer.fetch(1)
        refused = (await importer.places())[2]
        with pytest.raises(OriginForbids):
            await refused.open()

        assert b"a.token-" in heads(own)
        assert b"a.token-" not in heads(mirror, wanting)
        assert len(tokens.asked) == 1


@ensureDeferred
async def test_learned_mirror_is_asked_through_the_proxy_and_not_told_its_password(
    asking, serving, tmp_path
):
    """What is not reached in another way is not reached past the proxy either."""
    secrets = Secrets(tmp_path, PROXY_USER, proxy_password=PROXY_PASSWORD)
    with Tinyproxy(tmp_path, PROXY_USER, PROXY_PASSWORD) as proxy:
        mirror = serving(serves(CONTENT))
        own = serving(linked(f"{mirror.url}copy"))
        importer = asking(
            own.url,
            proxy_url=proxy.url,
            proxy_username=PROXY_USER,
            proxy_password=PROXY_PASSWORD,
        )

        contents = [await importer.fetch(0), await importer.fetch(1)]

        assert contents == [CONTENT, CONTENT]
        assert [target for _, target in proxy.asked()] == [f"{own.url}file", f"{mirror.url}copy"]
        assert secrets.seen_in(own=heads(own), mirror=heads(mirror)) == []


@ensureDeferred
async def test_head_full_of_links_is_bounded(asking, serving):
    """As many as a head may hold, in one line and in many; some of each kind that is not asked."""
    good = [f"http://m{number}.example/f" for number in range(400)]
    bad = ["/f", "ftp://h/f", "http://me:pw@h/f", "http://h:0/f", "x", "<", ">;;;", '"']
    lines = [f"Link: <{url}>; rel=duplicate" for url in bad]
    lines.append("Link: " + ", ".join(f"<{url}>; rel=duplicate" for url in good[:300]))
    lines += [f"Link: <{url}>; rel=duplicate" for url in good[300:]]
    importer = asking(serving(serves(CONTENT, lines)).url)

    await importer.fetch(0)

    found = [each.origin for each in await importer.places()]
    assert found[1:] == [f"http://m{number}.example:80" for number in range(MAX_MIRRORS)]


@ensureDeferred
async def test_mirror_of_a_list_is_not_heeded(asking, serving):
    """It is a stranger, and leads to no other."""
    mirror = serving(linked("http://m.example/file"))
    listing = serving(serves(mirror.url.encode() + b"\n"))
    importer = asking(f"{listing.url}list", kind="mirrors")

    await importer.fetch(0)

    assert [f"{each.origin}/" for each in await importer.places()] == [mirror.url]
