"""Where FTP URLs lead, byte for byte."""

from __future__ import annotations

import pytest

from streamer.downloaders.credentials import Origin
from streamer.downloaders.ftp_places import ANONYMOUS, Login, Logins, path_of, server_of


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("ftp://Mirror.Example/pub/f", "ftp://mirror.example:21"),
        ("ftps://h/f", "ftps://h:990"),
        ("ftp://h:2121/", "ftp://h:2121"),
        ("ftp://h:/f", "ftp://h:21"),
        ("ftp://[2001:DB8::1]:21/f", "ftp://[2001:db8::1]:21"),
        ("ftp://192.0.2.1", "ftp://192.0.2.1:21"),
    ],
)
def test_server_is_scheme_host_and_port(url, text):
    """As operators are shown it."""
    assert text == str(server_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://h/f",
        "ftp:///f",
        "ftp://u@h/f",
        "ftp://u:p@h/f",
        "ftp://h:0/f",
        "ftp://h:99999/f",
        "ftp://h%2e/f",
        "ftp://[::1%25lo]/f",
        "ftp://[::1/f",
        "f",
        "",
    ],
)
def test_url_that_leads_to_no_server_is_refused(url):
    """Whatever not everybody reads in the same way is none."""
    with pytest.raises(ValueError, match=r".+"):
        server_of(url)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param("ftp://h/pub/f", b"pub/f", id="rfc1738-3.2.2-relative"),
        pytest.param("ftp://h/%2Fetc/motd", b"/etc/motd", id="rfc1738-3.2.2-absolute"),
        pytest.param("ftp://h//f", b"/f", id="empty-segment"),
        pytest.param("ftp://h/%C3%A4%20b", "ä b".encode(), id="rfc2640-utf-8"),
        pytest.param("ftp://h/%E4", b"\xe4", id="not-utf-8"),
        pytest.param("ftp://h/a%252Fb", b"a%2Fb", id="decoded-once"),
        pytest.param("ftp://h/a+b", b"a+b", id="plus"),
        pytest.param("ftp://h/a%3Fb%23c", b"a?b#c", id="escaped"),
        pytest.param("ftp://h/libc-1:2.3.deb", b"libc-1:2.3.deb", id="colon"),
        pytest.param("ftp://h/a%", b"a%", id="no-escape"),
        pytest.param("ftp://h/f;type=i", b"f", id="rfc1738-3.2.2-type"),
        pytest.param("ftp://h/f;type=I", b"f", id="rfc1738-3.2.2-type-upper"),
        pytest.param("ftp://h/f;v=1", b"f;v=1", id="semicolon"),
        pytest.param("ftp://h/f%3Btype=a", b"f;type=a", id="semicolon-escaped"),
        pytest.param("ftp://h/d/", b"d/", id="folder"),
    ],
)
def test_path_is_that_of_the_url(url, path):
    """Percent-decoded once, and otherwise as it is."""
    assert path == path_of(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h/a%0D%0ADELE%20b",
        "ftp://h/a%0ab",
        "ftp://h/a%0d",
        "ftp://h/a%00b",
        "ftp://h/a%FF%F4b",
        "ftp://h/a\nb",
        "ftp://h/a\tb",
        "ftp://h/a b",
        "ftp://h/ä",
        "ftp://h/a?b",
        "ftp://h/a#b",
        "ftp://h/f;type=a",
        "ftp://h/f;type=D",
        "ftp://h/",
        "ftp://h",
        "ftp://h/;type=i",
    ],
)
def test_path_that_cannot_be_asked_for_is_refused(url):
    """RFC 2640 section 3.1; and nothing is guessed: ProFTPD reads the bytes FF F4 as none."""
    with pytest.raises(ValueError, match=r".+"):
        path_of(url)


def test_login_goes_to_trusted_servers_alone():
    """Another port, or the same without TLS, is another server."""
    me = Login("me", "s3cret")
    logins = Logins(me, frozenset({Origin("ftps", "h", 990)}))

    seen = [logins.at(server_of(url)) for url in ("ftps://h/", "ftp://h/", "ftps://h:991/")]

    assert [me, ANONYMOUS, ANONYMOUS] == seen


def test_password_is_in_no_repr():
    """Whoever shows a login shows a name."""
    assert "s3cret" not in repr(Logins(Login("me", "s3cret"), frozenset()))
