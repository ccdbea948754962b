"""File URLs: which names they mean, and which of them a source may name."""

from __future__ import annotations

import pytest

from streamer.downloaders.file_urls import Place, place_of, read_url
from streamer.errors import OriginForbids, OriginLacksIt

pytestmark = pytest.mark.subset

PLACE = Place(root=(b"srv",), folder=(b"srv", b"mirror"))


@pytest.mark.parametrize(
    ("url", "names"),
    [
        pytest.param("file:///srv/a", (b"srv", b"a"), id="RFC 8089 2"),
        pytest.param("file://localhost/srv/a", (b"srv", b"a"), id="RFC 8089 2: localhost"),
        pytest.param("file://LOCALHOST/a", (b"a",), id="RFC 3986 3.2.2: a host has no case"),
        pytest.param("FILE:///a", (b"a",), id="RFC 3986 3.1: nor has a scheme"),
        pytest.param("file:/srv/a", (b"srv", b"a"), id="RFC 8089 2: without an authority"),
        pytest.param("file:////srv//a/", (b"srv", b"a"), id="empty segments"),
        pytest.param("file:///", (), id="the root of the machine"),
        pytest.param("file:///a%20b/%C3%A4", (b"a b", "ä".encode()), id="decoded"),
        pytest.param("file:///%ff%FE", (b"\xff\xfe",), id="bytes that are no text"),
        pytest.param("file:///a%2520", (b"a%20",), id="decoded once"),
        pytest.param("file:///%3F%23%25", (b"?#%",), id="delimiters of URLs"),
        pytest.param("file:///a+b;c=d:e@f&g!$'()*,~", (b"a+b;c=d:e@f&g!$'()*,~",), id="others"),
        pytest.param("file:///...", (b"...",), id="three dots are a name"),
        pytest.param("file:///a%5Cb", (b"a\\b",), id="a backslash is, too"),
    ],
)
def test_url_is_read_as_names(url, names):
    """Split at the slashes, then decoded once."""
    assert names == read_url(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http:///a", "must be an absolute file:///PATH URL"),
        ("file:a", "must be an absolute file:///PATH URL"),
        ("file://localhost", "must be an absolute file:///PATH URL"),
        ("/srv", "must be an absolute file:///PATH URL"),
        ("", "must be an absolute file:///PATH URL"),
        ("file://server/share", "must name no host, or localhost"),
        ("file://me@localhost/a", "must name no host, or localhost"),
        ("file://localhost:1/a", "must name no host, or localhost"),
        ("file:///a?b", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a#b", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a%", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a%zz", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a b", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a\n", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///ä", "must be visible ASCII, percent-encoded where needed,"),
        ("file:///a%00", "must not hold an encoded slash or NUL"),
        ("file:///a%2Fb", "must not hold an encoded slash or NUL"),
        ("file:///a/../b", "must not hold dot segments"),
        ("file:///a/%2e%2E/b", "must not hold dot segments"),
        ("file:///a/.%2e", "must not hold dot segments"),
        ("file:///./a", "must not hold dot segments"),
    ],
)
def test_url_that_could_mean_something_else_is_refused(url, sentence):
    """The sentence holds nothing of it."""
    with pytest.raises(ValueError, match=r"must .*") as caught:
        read_url(url)

    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("b/bash.rpm", (b"mirror", b"b", b"bash.rpm")),
        ("a%20b", (b"mirror", b"a b")),
        ("libc-1%3A2.deb", (b"mirror", b"libc-1:2.deb")),
        ("/srv/mirror/f", (b"mirror", b"f")),
        ("//srv/mirror/f", (b"mirror", b"f")),
        ("file:///srv/mirror/f", (b"mirror", b"f")),
        ("file://localhost/srv/mirror/f", (b"mirror", b"f")),
        ("file:/srv/mirror/f", (b"mirror", b"f")),
    ],
)
def test_source_in_the_folder_is_found_from_the_root_on(url, names):
    """However it is written."""
    assert names == PLACE.below_root(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///srv/other/f", "leads out of the importer's folder"),
        ("/srv/mirror2/f", "leads out of the importer's folder"),
        ("/srv", "leads out of the importer's folder"),
        ("/etc/passwd", "leads out of the importer's folder"),
        ("../other/f", "must not hold dot segments"),
        ("a/%2e./f", "must not hold dot segments"),
        ("a/..%2ff", "must not hold an encoded slash or NUL"),
        ("a%00", "must not hold an encoded slash or NUL"),
        (
            "a?b",
            "must be visible ASCII, percent-encoded where needed, without a query or a fragment",
        ),
        ("file://server/srv/mirror/f", "must name no host, or localhost"),
        ("file://srv", "must be an absolute file:///PATH URL"),
        ("http://srv/mirror/f", "must be an absolute file:///PATH URL"),
    ],
)
def test_source_elsewhere_is_refused(url, why):
    """As an origin would forbid it, with a sentence for the operator."""
    with pytest.raises(OriginForbids) as caught:
        PLACE.below_root(url)

    assert f"the file is not served: its URL {why}" == str(caught.value)
    assert (403, None) == (caught.value.received_status, caught.value.retry_after_seconds)


@pytest.mark.parametrize("url", ["f/", "", "file:///srv/mirror", "/srv/mirror/"])
def test_source_that_can_only_be_a_folder_is_missing(url):
    """There is no file of that name."""
    with pytest.raises(OriginLacksIt):
        PLACE.below_root(url)


@pytest.mark.parametrize(
    ("roots", "expected"),
    [
        ((), None),
        (("/mnt",), None),
        (("/srv/mir",), None),
        (("/srv/mirror/fedora/40",), None),
        (("/srv",), b"/srv"),
        (("/srv/mirror/fedora",), b"/srv/mirror/fedora"),
        (("/srv", "/srv/mirror", "/mnt"), b"/srv/mirror"),
        (("/srv/mirror", "/srv"), b"/srv/mirror"),
    ],
)
def test_innermost_root_above_a_folder_is_its_root(roots, expected):
    """Whole names count; where there is none, the folder is not allowed."""
    place = place_of((b"srv", b"mirror", b"fedora"), roots)

    assert expected == (None if place is None else place.root_path)


def test_root_beyond_ascii_is_compared_by_its_bytes():
    """The settings are text, the disk holds bytes."""
    place = place_of(("ä".encode(), b"f"), ("/ä",))

    assert Place(("ä".encode(),), ("ä".encode(), b"f")) == place


def test_place_is_not_shown():
    """A log is no place for the operator's folders."""
    assert "Place()" == repr(PLACE)
