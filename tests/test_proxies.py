"""Which URLs go through a proxy, and which proxies there can be."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from streamer.downloaders.proxies import PORTS, Proxy, check_proxy
from streamer.errors import ConfigurationError

URL = "http://proxy.example:3128"
SOCKS = "socks5://proxy.example"
SCHEMES = "http://, https://, socks5:// or socks5h://"


def is_used_for(proxy, url):
    parts = urlsplit(url)
    return proxy.leads_to(parts.hostname, parts.port or PORTS[parts.scheme])


@pytest.mark.parametrize(
    ("exception", "url"),
    [
        ("*", "http://anything.example/"),
        ("*:8080", "http://anything.example:8080/"),
        ("host.example", "http://host.example/f"),
        ("host.example", "https://host.example:8443/f"),
        ("host.example", "http://HOST.Example/"),
        ("HOST.example", "http://host.example/"),
        ("host.example.", "http://host.example/"),
        ("host.example", "http://host.example./"),
        ("host.example", "http://below.host.example/"),
        ("example", "http://a.b.example/"),
        (".example", "http://host.example/"),
        ("*.example", "http://host.example/"),
        ("host.example:80", "http://host.example/"),
        ("host.example:443", "https://host.example/"),
        ("host.example:8443", "https://host.example:8443/"),
        (" host.example ", "http://host.example/"),
        ("192.0.2.1", "http://192.0.2.1/"),
        ("192.0.2.1:8080", "http://192.0.2.1:8080/"),
        ("192.0.2.0/24", "http://192.0.2.77:1234/"),
        ("192.0.2.77/24", "http://192.0.2.1/"),
        ("192.0.2.0/24:80", "http://192.0.2.77/"),
        ("2001:db8::1", "http://[2001:db8::1]:8080/"),
        ("2001:db8:0::1", "http://[2001:DB8::1]/"),
        ("2001:db8::/32", "https://[2001:db8:1::1]/"),
        ("[2001:db8::1]", "http://[2001:db8::1]/"),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]:8080/"),
        ("[2001:db8::/32]:80", "http://[2001:db8::7]/"),
    ],
)
def test_url_of_an_exception_goes_without_the_proxy(exception, url):
    """Names stand for themselves and all below, addresses and networks for what is in them."""
    proxy = Proxy(URL, no_proxy=("unused.example", exception))

    check_proxy(proxy)
    assert is_used_for(proxy, url) is False


@pytest.mark.parametrize(
    ("exception", "url"),
    [
        ("*:8080", "http://anything.example/"),
        ("host.example", "http://otherhost.example/"),
        ("host.example", "http://example/"),
        ("host.example", "http://host.example.org/"),
        (".host.example", "http://host.example/"),
        ("*.host.example", "http://host.example/"),
        ("host.example:80", "https://host.example/"),
        ("host.example:443", "https://host.example:8443/"),
        ("192.0.2.1", "http://192.0.2.10/"),
        ("192.0.2.0/24", "http://192.0.3.1/"),
        ("192.0.2.0/24", "http://[2001:db8::1]/"),
        ("192.0.2.0/24", "http://host.example/"),
        ("192.0.2.1:8080", "http://192.0.2.1/"),
        ("2001:db8::/32", "http://192.0.2.1/"),
        ("[2001:db8::1]:8080", "http://[2001:db8::1]/"),
        ("127.0.0.0/8", "http://2130706433/"),
        ("192.0.2.0/24", "http://[::ffff:192.0.2.1]/"),
    ],
)
def test_other_urls_go_through_the_proxy(exception, url):
    """What only looks alike is no exception."""
    assert is_used_for(Proxy(URL, no_proxy=(exception,)), url) is True


def test_proxy_without_exceptions_is_for_everything():
    """Loopback too: who sets a proxy says what it is not for."""
    urls = ["http://host.example/", "https://[::1]/", "http://localhost:8080/"]

    assert [is_used_for(Proxy(URL), url) for url in urls] == [True, True, True]


def test_host_is_judged_in_any_case_and_with_its_dot():
    """Whatever somebody left it in."""
    proxy = Proxy(URL, no_proxy=("host.example:8080", "2001:db8::/32"))
    places = [("Host.Example.", 8080), ("host.example", 80), ("2001:DB8::1", 443)]

    assert [proxy.leads_to(*place) for place in places] == [False, True, False]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example", ("proxy.example", 80, False)),
        ("http://proxy.example:3128/", ("proxy.example", 3128, False)),
        ("https://proxy.example", ("proxy.example", 443, True)),
        ("HTTPS://[2001:db8::1]:8443", ("2001:db8::1", 8443, True)),
        ("socks5://proxy.example", ("proxy.example", 1080, False)),
        ("SOCKS5H://[2001:db8::1]:9050/", ("2001:db8::1", 9050, False)),
    ],
)
def test_url_says_how_the_proxy_is_reached(url, expected):
    """Scheme, host and port are all there is in it."""
    proxy = Proxy(url)

    check_proxy(proxy)
    assert (proxy.host, proxy.port, proxy.is_tls) == expected


@pytest.mark.parametrize(
    ("proxy", "sentence"),
    [
        *[
            (Proxy(url), f"url: must be {SCHEMES}, a host and perhaps a port")
            for url in [
                "",
                "proxy.example:3128",
                "socks://proxy.example",
                "socks4://proxy.example",
                "socks4a://proxy.example",
                "socks5://",
                "socks5h://proxy.example:0",
                "http://",
                "http://:3128",
                "http://proxy.example:0",
                "http://proxy.example:65536",
                "http://proxy.example:x",
                "http://[proxy.example",
                "http://pröxy.example",
                "http://proxy example",
            ]
        ],
        (
            Proxy("http://user:secret@proxy.example"),
            "url: must not hold credentials: set username and password",
        ),
        (Proxy("http://proxy.example/path"), "url: must end behind the host and port"),
        (Proxy("http://proxy.example?a"), "url: must end behind the host and port"),
        (Proxy("http://proxy.example#a"), "url: must end behind the host and port"),
        (Proxy(URL, password="secret"), "password: needs a username beside it"),
        (Proxy(URL, username="a:b"), "username: must not hold a colon"),
        (Proxy(SOCKS, password="secret"), "password: needs a username beside it"),
        *[
            (Proxy(SOCKS, name, "secret"), "username: must have 1 to 255 bytes for SOCKS")
            for name in ["", "a" * 256, "ä" * 128]
        ],
        *[
            (Proxy(SOCKS, "me", word), "password: must have at most 255 bytes for SOCKS")
            for word in ["a" * 256, "ä" * 128]
        ],
        *[
            (Proxy(URL, no_proxy=(text,)), "no_proxy: an entry is no name, address, network or *")
            for text in [
                "",
                ".",
                "*.",
                "http://host.example",
                "a b",
                "host.example/24",
                "a..b",
                "a:b:c",
                "*host.example",
                "*.*.example",
                "bücher.example",
                "192.168.",
                "10.",
                "2.1",
                "192.0.2.0/33",
            ]
        ],
        *[
            (Proxy(URL, no_proxy=(text,)), "no_proxy: a port is a number from 1 to 65535")
            for text in ["host.example:0", "*:65536", "[2001:db8::1]:99999"]
        ],
    ],
)
def test_proxy_that_cannot_work_is_refused(proxy, sentence):
    """The sentence names the field and holds nothing of it."""
    with pytest.raises(ConfigurationError) as checked:
        check_proxy(proxy)

    assert sentence == str(checked.value)


@pytest.mark.parametrize(
    ("username", "password", "value"),
    [
        (None, None, None),
        ("Aladdin", "open sesame", b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123£", b"Basic dGVzdDoxMjPCow=="),
        ("user", None, b"Basic dXNlcjo="),
    ],
    ids=["none", "rfc7617-2", "rfc7617-2.1", "no-password"],
)
def test_authorization_is_basic_in_utf_8(username, password, value):
    """RFC 7617, by its own examples."""
    assert Proxy(URL, username, password).authorization == value


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://proxy.example", (False, True)),
        ("https://proxy.example", (False, True)),
        ("socks5://proxy.example", (True, False)),
        ("socks5h://proxy.example", (True, True)),
        ("SOCKS5://proxy.example", (True, False)),
    ],
)
def test_scheme_says_what_is_spoken_and_who_resolves(url, expected):
    """As curl has it: with an `h` the proxy does, and HTTP proxies always do."""
    proxy = Proxy(url)

    assert expected == (proxy.is_socks, proxy.is_told_names)


@pytest.mark.parametrize(
    ("username", "password", "login"),
    [
        (None, None, None),
        ("user", "secret", (b"user", b"secret")),
        ("us:er", "pässword", (b"us:er", b"p\xc3\xa4ssword")),
        ("user", None, (b"user", b"")),
        ("ä" * 127, "ü" * 127, (b"\xc3\xa4" * 127, b"\xc3\xbc" * 127)),
    ],
    ids=["none", "both", "utf-8-and-a-colon", "no-password", "long"],
)
def test_login_is_bytes_for_socks(username, password, login):
    """RFC 1929 knows no encoding, and ends nothing at a colon."""
    proxy = Proxy(SOCKS, username, password)

    check_proxy(proxy)
    assert proxy.login == login


def test_password_is_in_no_repr():
    """A proxy may be logged."""
    assert "sesame" not in repr(Proxy(URL, "Aladdin", "open sesame"))
