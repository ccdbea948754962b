"""How often the origin is asked to log in, and what is shown to it: whole opens over sockets."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from store import ACCOUNT, SECRET, Store
from streamer.errors import (
    OriginBusy,
    OriginCrowded,
    OriginFailing,
    OriginForbids,
    OriginNonsense,
    TokenRefused,
)
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.ranges import ByteRange
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from subscription_importer.importer import MAX_WAITING
from subscription_importer.kind import SubscriptionType
from subscription_importer.sessions import AccountRefused

TYPE = SubscriptionType()


class Shop:
    """A store, and an importer of one of its accounts."""

    def __init__(self, store, **config):
        whole = {"url": f"{store.url}/files", "account": ACCOUNT, "secret": SECRET, **config}
        self.store = store
        self.importer = TYPE.build(TYPE.normalise(whole), Surroundings(reactor, "test"))

    def open(self, url="f", span=None):
        source = RemoteArtifact(DownloadConfig(1, 1, "shop", "subscription", {}), url)
        return Deferred.fromCoroutine(self.importer.downloader(source).open(span))

    async def fetch(self, url="f"):
        download = await self.open(url)
        return await download.read_short()


@pytest.fixture
def store():
    with Store({"/files/f": b"content", "/g": b"other"}, shifted=("/files/f",)) as store:
        yield store


@ensureDeferred
async def test_crowd_costs_one_login(store):
    """Twenty at once, and one more later, share a session."""
    shop = Shop(store)

    found = await gatherResults([Deferred.fromCoroutine(shop.fetch()) for _ in range(20)])
    found += [await shop.fetch("/g")]

    assert found == [b"content"] * 20 + [b"other"]
    assert store.logins == [ACCOUNT]
    await shop.importer.close()


@ensureDeferred
async def test_session_that_the_origin_forgot_is_replaced_once(store):
    """A crowd that is refused logs in once, and none of its opens fails."""
    shop = Shop(store)
    await shop.fetch()
    store.forget_sessions()

    found = await gatherResults([Deferred.fromCoroutine(shop.fetch()) for _ in range(20)])

    assert found == [b"content"] * 20
    assert store.logins == [ACCOUNT] * 2
    await shop.importer.close()


@ensureDeferred
async def test_origin_that_takes_no_session_is_asked_twice(store):
    """One more login and one more request, and then the origin forbids it."""
    shop = Shop(store, key_field="X-Other")

    with pytest.raises(OriginForbids):
        await shop.open()

    assert (len(store.logins), len(store.requests)) == (2, 2)
    await shop.importer.close()


@ensureDeferred
async def test_wrong_secret_is_tried_once(store):
    """An account may be locked after too many, so the refusal is remembered for a while."""
    shop = Shop(store, secret="another")

    for _ in range(2):
        with pytest.raises(AccountRefused, match="does not accept the account: it answers 403"):
            await shop.open()

    assert store.requests == []
    await shop.importer.close()


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, TokenRefused), (302, TokenRefused), (429, OriginBusy), (503, OriginFailing)],
)
@ensureDeferred
async def test_login_that_is_answered_otherwise_is_no_content_that_is_missing(store, status, error):
    """The origin may be busy; whatever else it says is not said of the file."""
    store.login_status = status
    shop = Shop(store)

    with pytest.raises(error):
        await shop.open()

    await shop.importer.close()


@ensureDeferred
async def test_who_is_cancelled_leaves_the_login_to_the_others(store):
    """The first to ask is not the one it belongs to."""
    store.login_seconds = 0.5
    shop = Shop(store)
    leaving, staying = shop.open(), shop.open()
    await deferLater(reactor, 0.1)

    leaving.cancel()
    download = await staying

    with pytest.raises(CancelledError):
        await leaving
    assert await download.read_short() == b"content"
    assert store.logins == [ACCOUNT]
    await shop.importer.close()


@ensureDeferred
async def test_other_range_than_the_one_asked_for_is_nonsense(store):
    """No digest would find it out."""
    shop = Shop(store)

    with pytest.raises(OriginNonsense):
        await shop.open(span=ByteRange(0, 1))

    await shop.importer.close()


@ensureDeferred
async def test_nothing_but_the_content_itself_is_asked_for(store):
    """treq would ask for gzip, and unpack it."""
    shop = Shop(store)
    await shop.fetch()

    assert store.codings == ["identity"]
    await shop.importer.close()


@ensureDeferred
async def test_crowd_beyond_the_queue_is_told_so(store):
    """One has the turn, a bounded number waits, and none of them is the origin's fault."""
    shop = Shop(store, download_concurrency=1)
    first = await shop.open()
    waiting = [shop.open() for _ in range(MAX_WAITING)]

    with pytest.raises(OriginCrowded):
        await shop.open()
    for each in waiting:
        each.cancel()
        with pytest.raises(OriginCrowded):
            await each

    first.stop()
    assert await shop.fetch() == b"content"
    await shop.importer.close()
