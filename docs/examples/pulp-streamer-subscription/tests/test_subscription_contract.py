"""The importer under the checks of `streamer.testing`, against a real server, over TCP and TLS."""

from __future__ import annotations

import random

import pytest
from authority import tls_of
from pytest_twisted import ensureDeferred
from store import ACCOUNT, SECRET, SESSION, Store
from streamer.errors import (
    ConfigurationError,
    OriginError,
    OriginLacksIt,
    OriginTLSFailed,
    OriginUnreachable,
    RedirectRefused,
)
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing.checks import CHECKS, Subject
from streamer.testing.type_checks import TYPE_CHECKS
from twisted.internet import reactor

from subscription_importer.kind import SubscriptionType

CONTENT = random.Random(5).randbytes(5_000_000)
NAMES = ("f", "broken", "unsized", "lying")
FILES = {f"/files/{name}": CONTENT for name in NAMES}
FAULTS = {
    "cut": {"/files/broken": 2_000_000},
    "unsized": ("/files/unsized",),
    "shifted": ("/files/lying",),
    "silent": ("/files/silent",),
}
TYPE = SubscriptionType()


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "shop", "subscription", {}), url)


def subject_of(store, **config):
    whole = {"url": f"{store.url}/files/", "account": ACCOUNT, "secret": SECRET, **config}
    stored = TYPE.normalise(whole)
    return Subject(
        reactor=reactor,
        make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
        source=source("f"),
        content=CONTENT,
        refused=(
            (source("missing"), OriginLacksIt),
            (source("moved"), RedirectRefused),
            (source("with a space"), OriginUnreachable),
        ),
        broken=source("broken"),
        unsized=source("unsized"),
        lying=source("lying"),
        silent=source("silent"),
        secrets=(SECRET, SESSION, "signature="),
        count_open=store.count_open,
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return tls_of(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def over_tcp():
    with Store(FILES, **FAULTS) as store:
        yield subject_of(store)


@pytest.fixture
def over_tls(authority):
    context, pem = authority
    with Store(FILES, context, **FAULTS) as store:
        yield subject_of(store, ca_cert=pem)


@pytest.fixture
def with_old_sessions():
    """Each open is refused, logs in again, and does all of it on the one connection there is."""
    with Store(FILES, **FAULTS, session_uses=1) as store:
        yield subject_of(store, download_concurrency=1)


@pytest.fixture(params=["over_tcp", "over_tls", "with_old_sessions"])
def subject(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@ensureDeferred
async def test_importer(subject, check):
    """The docstring of the check says what."""
    await check(subject)


@ensureDeferred
async def test_origin_that_cannot_be_trusted_is_told_nothing(authority):
    """Its certificate is looked at before the secret is sent."""
    with Store(FILES, tls=authority[0]) as store:
        error = await error_of(subject_of(store))

        assert type(error) is OriginTLSFailed
        assert store.logins == []


@ensureDeferred
async def test_origin_that_is_away_is_unreachable():
    """What a port without a listener says is said of the origin, and not of the login."""
    with Store(FILES) as store:
        subject = subject_of(store)

    assert type(await error_of(subject)) is OriginUnreachable


async def error_of(subject):
    """What opening the source raises."""
    importer = subject.make_importer()
    with pytest.raises(OriginError) as caught:
        await importer.downloader(subject.source).open()
    await importer.close()
    return caught.value


# -- the type

CONFIG = {
    "version": 1,
    "url": "https://shop.example/files",
    "account": ACCOUNT,
    "secret": SECRET,
    "login_path": "/login",
    "key_field": "X-Session-Key",
    "signature_seconds": 300,
    "download_concurrency": 10,
    "max_retries": 3,
}


@pytest.mark.parametrize("check", TYPE_CHECKS, ids=lambda check: check.__name__)
def test_type(check, authority):
    """The docstring of the check says what."""
    check(TYPE, [{**CONFIG, "ca_cert": authority[1]}], (SECRET,))


def test_numbers_may_be_text():
    """The command has no other way to say them."""
    assert TYPE.normalise({**CONFIG, "max_retries": "5"})["max_retries"] == 5


@pytest.mark.parametrize("url", ["ftp://h/", "https://me:pw@h/", "https://h/?a", "https://h/#", ""])
def test_url_of_another_kind_is_refused(url):
    """What is stored of it is shown, so it holds no credential."""
    with pytest.raises(ConfigurationError, match=r"^url: must"):
        TYPE.normalise({**CONFIG, "url": url})


def test_secret_over_http_is_warned_of():
    """It is accepted, for an origin on loopback say."""
    assert len(TYPE.warnings({**CONFIG, "url": "http://h"})) == 1
    assert TYPE.warnings(CONFIG) == []
