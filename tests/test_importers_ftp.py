"""The config of type `ftp`: what is stored, what is refused, and what is said of it."""

from __future__ import annotations

import pytest
from certificates import Authority
from ftp_fetching import TYPE, build, source
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent

from streamer.errors import ConfigurationError, OriginProhibited
from streamer.importers.ftp_config import read_config

BASE = "ftp://192.0.2.1/repo"
SECRET = "s3cret-pa55"


def test_config_is_stored_with_its_version_and_its_defaults():
    """What is stored does not change its meaning when a default does."""
    stored = TYPE.normalise({"url": BASE})

    assert stored == {
        "version": 1,
        "url": BASE,
        "explicit_tls": False,
        "tls_validation": True,
        "tls_minimum": "1.2",
        "download_concurrency": 4,
        "queue": 1000,
        "connect_timeout": 10.0,
        "keep_alive": 30.0,
        "max_retries": 3,
        "allow_weak_digests": False,
    }


def test_values_may_be_text():
    """`--set` knows nothing else."""
    config = {
        "url": "ftps://bücher.example:9990/%7Eme",
        "credential_origins": "ftp://A.example, ftps://[2001:db8::1]",
        "explicit_tls": "true",
        "download_concurrency": "2",
        "bandwidth_limit": "1MiB",
        "keep_alive": "0",
        "connect_timeout": "500ms",
        "username": "me:too",
    }

    read = read_config(config)

    assert (
        "ftps://xn--bcher-kva.example:9990/%7Eme",
        ("ftp://a.example:21", "ftps://[2001:db8::1]:990"),
        True,
        2,
        1024**2,
        0,
        0.5,
        "me:too",
    ) == (
        read.url,
        read.credential_origins,
        read.explicit_tls,
        read.download_concurrency,
        read.bandwidth_limit,
        read.keep_alive,
        read.connect_timeout,
        read.username,
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({}, "url: must be given", id="no-url"),
        pytest.param({"url": "http://h/"}, "url: must be an absolute ftp", id="scheme"),
        pytest.param({"url": "/repo"}, "url: must be an absolute ftp", id="relative"),
        pytest.param({"url": "ftp:///x"}, "url: must be an absolute ftp", id="no-host"),
        pytest.param({"url": "ftp://[::1/"}, "url: must be an absolute ftp", id="bracket"),
        pytest.param({"url": "ftp://h:99999/"}, "url: must be an absolute ftp", id="port"),
        pytest.param({"url": "ftp://u:p@h/"}, "url: must not hold credentials", id="credentials"),
        pytest.param({"url": "ftp://h/?a"}, "url: must not have a query", id="query"),
        pytest.param({"url": "ftp://h/#a"}, "url: must not have a query", id="fragment"),
        pytest.param({"url": "ftp://h:0/"}, "url: must not name port 0", id="port-0"),
        pytest.param({"url": "ftp://h*/"}, "url: must name a host", id="host"),
        pytest.param({"url": "ftp://[::1]x/"}, "url: must name a host", id="behind-brackets"),
        pytest.param({"url": "ftp://[:::]/"}, "url: must ", id="no-address"),
        pytest.param({"url": "ftp://-ä/"}, "url: must name a host that IDNA", id="idna"),
        pytest.param({"url": "ftp://h/a b"}, "url: must be visible ASCII", id="space"),
        pytest.param({"url": "ftp://h/a\r\nDELE b"}, "url: must be visible ASCII", id="crlf"),
        pytest.param({"url": "ftp://h/ä"}, "url: must be visible ASCII", id="not-ascii"),
        pytest.param({"url": "ftp://h/%0d%0a/"}, "url: must not hold an encoded", id="escaped"),
        pytest.param({"url": "ftp://h/a%00"}, "url: must not hold an encoded", id="nul"),
        pytest.param({"url": "ftp://h/%FFa"}, "url: must not hold an encoded", id="telnet"),
        pytest.param({"url": BASE, "pasword": SECRET}, "pasword: is not a setting", id="misspelt"),
        pytest.param({"url": BASE, "proxy_url": "http://p"}, "proxy_url: is not", id="proxy"),
        pytest.param({"url": BASE, "password": SECRET}, "password: needs a user", id="no-user"),
        pytest.param({"url": BASE, "username": ""}, "username: must be text", id="empty-user"),
        pytest.param(
            {"url": BASE, "username": f"{SECRET}\r\nDELE f"}, "username: must not hold", id="user"
        ),
        pytest.param(
            {"url": BASE, "username": "me", "password": f"{SECRET}\nDELE f"},
            "password: must not hold control",
            id="password",
        ),
        pytest.param(
            {"url": BASE, "username": "me", "password": f"{SECRET}\0"},
            "password: must not hold control",
            id="password-nul",
        ),
        pytest.param(
            {"url": BASE, "credential_origins": ["ftp://h/path"]},
            "credential_origins: must hold servers",
            id="origin-with-path",
        ),
        pytest.param({"url": BASE, "explicit_tls": "perhaps"}, "explicit_tls: must be", id="bool"),
        pytest.param({"url": BASE, "tls_minimum": "1.1"}, "tls_minimum: must be", id="version"),
        pytest.param(
            {"url": BASE, "tls_minimum": "1.3", "tls_maximum": "1.2"}, "tls_minimum: is", id="tls"
        ),
        pytest.param({"url": BASE, "ca_cert": SECRET}, "ca_cert: it holds no PEM", id="ca"),
        pytest.param({"url": BASE, "download_concurrency": 0}, "download_concurrency: ", id="none"),
        pytest.param({"url": BASE, "bind_address": "h"}, "bind_address: must be", id="bind"),
    ],
)
def test_config_that_cannot_work_is_refused_by_its_key(config, message):
    """With what is allowed, and without the value."""
    with pytest.raises(ConfigurationError) as refused:
        TYPE.normalise(config)

    assert str(refused.value).startswith(message)
    assert SECRET not in str(refused.value)


def test_what_is_secret_is_named():
    """And what URLs may have."""
    assert ({"password", "client_key"}, {"ftp", "ftps"}) == (TYPE.secret_keys, TYPE.schemes)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, []),
        ({"username": "me"}, ["without TLS"]),
        ({"username": "me", "explicit_tls": True}, []),
        ({"username": "me", "url": "ftps://h/"}, []),
        (
            {"username": "me", "url": "ftps://h/", "credential_origins": ["ftp://h"]},
            ["without TLS"],
        ),
        ({"tls_validation": False}, ["tls_validation is off"]),
    ],
)
def test_operator_is_warned_of_what_others_can_read(config, words):
    """A sentence for each."""
    said = TYPE.warnings({"url": BASE} | config)

    assert len(words) == len(said)
    assert all(each in sentence for each, sentence in zip(words, said, strict=True))


def test_importer_that_verifies_nobody_says_so_in_the_log():
    """Loudly, and without a path."""
    with capturedLogs() as events:
        build(MemoryReactorClock(), "ftps://h/secret-path", tls_validation=False)

    lines = [formatEvent(event) for event in events]
    assert ["the TLS of servers is not verified for ftps://h:990"] == lines


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("f", "ftp://192.0.2.1:21"),
        ("/f", "ftp://192.0.2.1:21"),
        ("libc-1:2.3.deb", "ftp://192.0.2.1:21"),
        ("ftps://H/f", "ftps://h:990"),
        ("ftp://[::1]:2121/f", "ftp://[::1]:2121"),
        ("ftp://me:pass@h/f", "(a URL that cannot be used)"),
        ("http://h/f", "(a URL that cannot be used)"),
    ],
)
def test_origin_is_the_server(url, origin):
    """And nothing else of a URL."""
    importer = build(MemoryReactorClock(), BASE, max_retries=2)

    downloader = importer.downloader(source(url))

    assert (origin, 2) == (downloader.origin, downloader.retries)


@pytest.mark.parametrize("url", ["a%0Ab", "a%0Db", "a%00b", "http://h/f"])
def test_url_that_cannot_be_asked_for_says_nothing_of_the_server(url):
    """Whoever asks for it again and again takes no other file away."""
    downloader = build(MemoryReactorClock(), BASE).downloader(source(url))
    failures = []

    Deferred.fromCoroutine(downloader.open()).addErrback(failures.append)

    assert [OriginProhibited] == [each.type for each in failures]


def test_certificates_may_be_given():
    """What fits together is stored."""
    authority = Authority()
    key, certificate = authority.issue("me")
    config = {"url": BASE, "client_cert": certificate, "client_key": key, "ca_cert": authority.pem}

    assert key == TYPE.normalise(config)["client_key"]
