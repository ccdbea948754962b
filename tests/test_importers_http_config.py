"""The config of type `http`: what is stored, what is refused, and in which words."""

from __future__ import annotations

import json

import pytest
from certificates import Authority
from memory_origins import BASE, TYPE, build, source
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent

from streamer.errors import ConfigurationError
from streamer.importers.http_config import read_config
from streamer.interfaces import Surroundings

SECRET = "s3cret-pa55"


def test_config_is_stored_with_its_version_and_its_defaults():
    """What is stored does not change its meaning when a default does."""
    stored = TYPE.normalise({"url": BASE})

    assert stored == {
        "version": 1,
        "url": BASE,
        "tls_validation": True,
        "tls_minimum": "1.2",
        "download_concurrency": 10,
        "queue": 1000,
        "connect_timeout": 10.0,
        "keep_alive": 30.0,
        "max_retries": 3,
        "allow_private_redirects": False,
        "allow_linked_mirrors": False,
        "allow_weak_digests": False,
    }


def test_stored_config_is_its_own_normal_form():
    """A config survives any number of updates, its secret included."""
    config = {"url": BASE, "username": "me", "password": SECRET, "connect_timeout": 3}

    once = TYPE.normalise(config)
    twice = TYPE.normalise(once)

    assert once == twice
    assert once["password"] == SECRET


def test_every_secret_of_the_config_is_named_as_one():
    """Whatever is to be masked is in `secret_keys`."""
    assert TYPE.secret_keys == {
        "password",
        "bearer_token",
        "secret_fields",
        "client_key",
        "proxy_password",
    }
    assert TYPE.schemes == {"http", "https"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        pytest.param({}, "url: ", id="no-url"),
        pytest.param({"url": "ftp://h/"}, "url: must be an absolute http", id="scheme"),
        pytest.param({"url": "/repo"}, "url: must be an absolute http", id="relative"),
        pytest.param({"url": "http:///x"}, "url: must be an absolute http", id="no-host"),
        pytest.param({"url": "http://u:p@h/"}, "url: must not hold credentials", id="credentials"),
        pytest.param({"url": "http://u@h/"}, "url: must not hold credentials", id="user"),
        pytest.param({"url": "http://h/?a=b"}, "url: must not have a query", id="query"),
        pytest.param({"url": "http://h/#f"}, "url: must not have a query", id="fragment"),
        pytest.param({"url": "http://h:0/"}, "url: must not name port 0", id="port-0"),
        pytest.param({"url": "http://h:99999/"}, "url: ", id="port-too-high"),
        pytest.param({"url": "http://[::1/"}, "url: ", id="bracket-left-open"),
        pytest.param({"url": "http://h/a b"}, "url: must be visible ASCII", id="space"),
        pytest.param({"url": "http://h/a\r\nX: y"}, "url: must be visible ASCII", id="crlf"),
        pytest.param({"url": "http://h/ä"}, "url: must be visible ASCII", id="not-ascii"),
        pytest.param({"url": BASE, "pasword": SECRET}, "pasword: is not a setting", id="misspelt"),
        pytest.param({"url": BASE, "password": SECRET}, "password: needs a username", id="no-user"),
        pytest.param({"url": BASE, "username": 5}, "username: ", id="not-text"),
        pytest.param({"url": BASE, "connect_timeout": 0}, "connect_timeout: ", id="no-time"),
        pytest.param({"url": BASE, "connect_timeout": 301}, "connect_timeout: ", id="long-time"),
        pytest.param({"url": BASE, "ca_cert": "x"}, "ca_cert: it holds no PEM", id="no-pem"),
        pytest.param(
            {
                "url": BASE,
                "ca_cert": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
            },
            "ca_cert: it holds a certificate that cannot be read",
            id="broken-pem",
        ),
        pytest.param({"url": BASE, "version": 2}, "version: ", id="newer-version"),
    ],
)
def test_wrong_config_is_refused_by_key_without_a_value(config, message):
    """The sentence says which key and what is allowed, and repeats nothing that may be secret."""
    with pytest.raises(ConfigurationError) as caught:
        TYPE.normalise(config)

    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)
    assert "u:p@" not in str(caught.value)


@pytest.mark.parametrize("key", ["url", "username", "password", "ca_cert", "connect_timeout"])
def test_secret_in_the_wrong_place_is_not_repeated(key):
    """A secret that was pasted into another setting does not come back either."""
    with pytest.raises(ConfigurationError) as caught:
        TYPE.normalise({"url": BASE, "username": "me", key: [SECRET]})

    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_stored_config_that_is_not_accepted_is_refused_when_built():
    """A config of another version cannot be served."""
    with pytest.raises(ConfigurationError):
        TYPE.build({"url": BASE, "newer": 1}, Surroundings(MemoryReactorClock(), "me"))


def test_importer_does_not_show_its_secret():
    """Neither the importer nor what it builds has the secret in its `repr`."""
    importer = build(username="me", password=SECRET)

    assert SECRET not in repr(importer)
    assert SECRET not in repr(importer.downloader(source()))


# -- all keys

FULL = {
    "url": "https://192.0.2.1/repo",
    "username": "me",
    "password": SECRET,
    "fields": {"Accept": "application/json", "X-Client": "streamer"},
    "secret_fields": {"X-Token": SECRET, "Cookie": f"session={SECRET}"},
    "credential_origins": ["https://cdn.example:8443"],
    "user_agent": "a mirror/1.0",
    "tls_validation": False,
    "tls_minimum": "1.3",
    "tls_maximum": "1.3",
    "tls_ciphers": "ECDHE+AESGCM",
    "proxy_url": "http://proxy.example:3128",
    "proxy_username": "us",
    "proxy_password": SECRET,
    "no_proxy": ["localhost", ".example.com"],
    "download_concurrency": 5,
    "queue": 100,
    "rate_limit": 2.5,
    "bandwidth_limit": 1048576,
    "connect_timeout": 3.0,
    "keep_alive": 60.0,
    "max_retries": 1,
    "bind_address": "192.0.2.7",
    "allow_private_redirects": True,
    "allow_linked_mirrors": True,
    "allow_weak_digests": True,
}


def test_every_key_is_stored_as_it_was_set():
    """Nothing is lost on the way into the catalog, and it comes out of JSON the same."""
    stored = TYPE.normalise(FULL)

    assert stored == FULL | {"version": 1}
    assert TYPE.normalise(json.loads(json.dumps(stored))) == stored


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        pytest.param("download_concurrency", "5", 5, id="number"),
        pytest.param("rate_limit", "0.5", 0.5, id="fraction"),
        pytest.param("bandwidth_limit", "10MiB", 10 * 1024**2, id="size"),
        pytest.param("keep_alive", "0", 0, id="never"),
        pytest.param("connect_timeout", "500ms", 0.5, id="time"),
        pytest.param("tls_validation", "false", False, id="boolean"),
        pytest.param("allow_private_redirects", "true", True, id="other-boolean"),
        pytest.param("tls_minimum", 1.3, "1.3", id="version-that-looks-like-a-number"),
        pytest.param("no_proxy", "a.example, 10.0.0.0/8", ["a.example", "10.0.0.0/8"], id="list"),
        pytest.param("credential_origins", "https://A/", ["https://a:443"], id="origin"),
        pytest.param("url", "https://bücher.example:8443/ä", None, id="idn-with-a-raw-path"),
        pytest.param(
            "url",
            "https://Bücher.example:8443/a%20b/",
            "https://xn--bcher-kva.example:8443/a%20b/",
            id="rfc5890-2.3.2.1-a-label",
        ),
        pytest.param("url", "https://[2001:db8::1]:8443/", "https://[2001:db8::1]:8443/", id="v6"),
        pytest.param("url", "http://my_host/", "http://my_host/", id="underscore"),
    ],
)
def test_value_written_as_text_is_read(key, text, expected):
    """`--set` knows nothing but text; what is stored has one form."""
    if expected is None:
        with pytest.raises(ConfigurationError, match="url: must be visible ASCII"):
            TYPE.normalise({"url": BASE, key: text})
    else:
        config = {"url": BASE, "proxy_url": "http://proxy:3128", key: text}
        assert TYPE.normalise(config)[key] == expected


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bearer_token": SECRET, "username": "me"}, "bearer_token: cannot be used beside"),
        ({"bearer_token": f"{SECRET} x"}, "bearer_token: must be visible ASCII"),
        ({"username": "a:b"}, "username: must not hold a colon"),
        ({"username": "a", "password": f"{SECRET}\r\nX: y"}, "password: must not hold control"),
        ({"fields": {"Authorization": SECRET}}, "fields: must not hold a credential"),
        ({"fields": {"X-Api-Key": SECRET}}, "fields: must not hold a credential"),
        ({"fields": {"Cookie": SECRET}}, "fields: must not hold a credential"),
        ({"fields": {"Host": "h"}}, "fields: must not hold what is about"),
        ({"fields": {"If-Range": "h"}}, "fields: must not hold what is about"),
        ({"fields": {"content-length": "h"}}, "fields: must not hold what is about"),
        ({"fields": {"Connection": "h"}}, "fields: must not hold what is about"),
        ({"fields": {"User-Agent": "h"}}, "fields: must not hold User-Agent: set user_agent"),
        ({"fields": {"X Y": "h"}}, "fields: must have names of fields"),
        ({"fields": {"X-Y": f"h\r\nX: {SECRET}"}}, "fields: must have values of visible ASCII"),
        ({"fields": {"X-Y": ""}}, "fields: must have values of visible ASCII"),
        ({"fields": SECRET}, "fields: must be an object"),
        ({"secret_fields": {"Range": SECRET}}, "secret_fields: must not hold what is about"),
        ({"secret_fields": {"Proxy-Authorization": SECRET}}, "secret_fields: must not hold what"),
        ({"secret_fields": {"X-Token": f"{SECRET}\n"}}, "secret_fields: must have values"),
        ({"secret_fields": {"X-Token": 5}}, "secret_fields: must be an object"),
        (
            {"secret_fields": {"authorization": SECRET}, "username": "me"},
            "secret_fields: must not hold Authorization",
        ),
        ({"credential_origins": ["https://h/path"]}, "credential_origins: must hold origins"),
        ({"credential_origins": ["ftp://h"]}, "credential_origins: must be an absolute"),
        ({"user_agent": "a\r\nb"}, "user_agent: must have values"),
        ({"client_cert": "x"}, "client_cert: needs a client_key beside it"),
        ({"client_key": SECRET}, "client_key: needs a client_cert beside it"),
        ({"tls_minimum": "1.1"}, "tls_minimum: must be 1.2 or 1.3"),
        ({"tls_minimum": "1.3", "tls_maximum": "1.2"}, "tls_minimum: is above"),
        ({"tls_ciphers": "NONSENSE"}, "tls_ciphers: "),
        ({"tls_validation": "perhaps"}, "tls_validation: must be true or false"),
        ({"proxy_url": "socks4://h"}, "proxy_url: must be http://, https://, socks5:// or socks5h"),
        (
            {"proxy_url": "socks5h://h", "proxy_username": "me", "proxy_password": SECRET * 30},
            "proxy_password: must have at most 255 bytes for SOCKS",
        ),
        (
            {"proxy_url": "socks5://h", "proxy_username": "u" * 256, "proxy_password": SECRET},
            "proxy_username: must have 1 to 255 bytes for SOCKS",
        ),
        (
            {"proxy_url": "http://h", "proxy_username": "a:b", "proxy_password": SECRET},
            "proxy_username: must not hold a colon",
        ),
        (
            {"proxy_url": "socks5://h", "proxy_username": "a\nb", "proxy_password": SECRET},
            "proxy_username: must not hold control",
        ),
        (
            {"proxy_url": f"http://me:{SECRET}@h:1"},
            "proxy_url: must not hold credentials: set proxy_username",
        ),
        ({"fields": {"X-A": "b", "x-a": "c"}}, "fields: must not hold a name twice"),
        (
            {"fields": {"X-A": "b"}, "secret_fields": {"x-a": SECRET}},
            "fields: must not hold a name twice",
        ),
        ({"proxy_username": "me"}, "proxy_username: needs a proxy_url"),
        ({"no_proxy": ["h"]}, "no_proxy: needs a proxy_url"),
        (
            {"proxy_url": "http://h:1", "proxy_password": SECRET},
            "proxy_password: needs a proxy_username beside it",
        ),
        ({"proxy_url": "http://h:1", "no_proxy": ["a b"]}, "no_proxy: an entry is no name"),
        ({"download_concurrency": 0}, "download_concurrency: must be a whole number from 1"),
        ({"download_concurrency": True}, "download_concurrency: must be a whole number"),
        ({"queue": -1}, "queue: must be a whole number from 0"),
        ({"rate_limit": 0}, "rate_limit: must be requests per second"),
        ({"rate_limit": SECRET}, "rate_limit: must be requests per second"),
        ({"rate_limit": float("nan")}, "rate_limit: must be requests per second"),
        ({"bandwidth_limit": "ten"}, "bandwidth_limit: must be a size"),
        ({"bandwidth_limit": float("inf")}, "bandwidth_limit: must be a size"),
        ({"bandwidth_limit": 10**400}, "bandwidth_limit: must be a size"),
        ({"connect_timeout": 10**400}, "connect_timeout: must be a time"),
        ({"connect_timeout": float("nan")}, "connect_timeout: must be a time"),
        ({"keep_alive": "2h"}, "keep_alive: must be a time"),
        ({"max_retries": 11}, "max_retries: must be a whole number"),
        ({"bind_address": "eth0"}, "bind_address: must be an address"),
        ({"url": "http://[fe80::1%25eth0]/"}, "url: must name a host, or"),
        ({"url": "http://a..ü/"}, "url: must name a host that IDNA"),
        ({"url": "http://h%41/"}, "url: must name a host"),
        ({"url": "http://[::1]x/"}, "url: must name a host"),
        ({"url": "http://a[::1]/"}, "url: must name a host"),
        ({"url": "http://h/a?"}, "url: must not have a query"),
    ],
)
def test_config_that_cannot_work_is_refused(config, message):
    """By key, with what is allowed, and without a value."""
    with pytest.raises(ConfigurationError) as caught:
        TYPE.normalise({"url": BASE} | config)

    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)


def test_client_certificate_is_accepted_with_its_own_key_alone():
    """What cannot work at the first connection is refused when it is stored."""
    key, certificate = Authority().issue("a client")
    other_key, _ = Authority().issue("another")

    stored = TYPE.normalise({"url": BASE, "client_cert": certificate, "client_key": key})
    with pytest.raises(ConfigurationError, match="client_key: it does not belong"):
        TYPE.normalise({"url": BASE, "client_cert": certificate, "client_key": other_key})

    assert stored["client_key"] == key


@pytest.mark.parametrize(
    ("config", "count"),
    [
        pytest.param({"url": "https://h/", "username": "me"}, 0, id="nothing"),
        pytest.param({"url": "https://h/", "tls_validation": "false"}, 1, id="no-validation"),
        pytest.param({"url": "http://h/", "bearer_token": "x"}, 1, id="credentials-over-http"),
        pytest.param(
            {"url": "https://h/", "secret_fields": {"X": "y"}, "credential_origins": "http://c"},
            1,
            id="credentials-over-http-elsewhere",
        ),
        pytest.param({"url": "http://h/"}, 0, id="http-without-credentials"),
        pytest.param({"url": "https://h/", "allow_linked_mirrors": True}, 0, id="mirrors"),
        pytest.param(
            {"url": "https://h/", "allow_linked_mirrors": True, "allow_weak_digests": True},
            1,
            id="mirrors-with-weak-digests",
        ),
    ],
)
def test_operator_is_warned_of_what_is_accepted_and_unsafe(config, count):
    """A sentence for each."""
    assert len(TYPE.warnings(config)) == count


def test_importer_that_does_not_verify_says_so_in_the_log():
    """Loudly, by its origin, since it does not know its name."""
    with capturedLogs() as events:
        build(tls_validation=False)

    assert [formatEvent(event) for event in events] == [
        "the TLS of origins is not verified for http://192.0.2.1:80"
    ]


def test_config_does_not_show_its_secrets():
    """Not even where the whole of it is printed."""
    assert SECRET not in repr(read_config(FULL))
