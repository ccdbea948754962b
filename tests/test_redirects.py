"""Where a redirect leads, by RFC 3986, and which are not followed."""

from __future__ import annotations

import pytest

from streamer.downloaders.redirects import MAX_REDIRECTS, added_slash, follow, is_downgrade
from streamer.errors import RedirectRefused

BASE = "http://a/b/c/d;p?q"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        # RFC 3986 section 5.4.1, but for other schemes, and fragments are dropped
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("g#s", "http://a/b/c/g"),
        ("g?y#s", "http://a/b/c/g?y"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../g", "http://a/g"),
        # section 5.4.2
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
    ],
)
def test_reference_is_resolved_as_rfc3986_5_4_shows(reference, expected):
    """Against the URL that answered."""
    assert expected == follow([BASE], [reference])


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        pytest.param("HTTPS://H:8443/x", "HTTPS://H:8443/x", id="rfc3986-3.1-case"),
        pytest.param("http://h", "http://h/", id="rfc3986-6.2.3-empty-path"),
        pytest.param("http://[2001:db8::1]/x", "http://[2001:db8::1]/x", id="rfc3986-3.2.2-v6"),
        pytest.param("/a%2Fb%7e%zz[|]", "http://a/a%2Fb%7e%zz[|]", id="nothing-is-requoted"),
        pytest.param("/s?X-Sig=a%2Bb%3D&e=", "http://a/s?X-Sig=a%2Bb%3D&e=", id="signed-url"),
        pytest.param("/x?", "http://a/x?", id="rfc3986-5.3-empty-query-is-one"),
        pytest.param("/a b", "http://a/a%20b", id="space"),
        pytest.param("/Ã¤?Ã¶", "http://a/%C3%A4?%C3%B6", id="bytes-beyond-ascii"),
        pytest.param(" /x\t", "http://a/x", id="rfc9110-5.5-white-space-around"),
        pytest.param("/\\h/x", "http://a/\\h/x", id="backslash-is-no-slash"),
        pytest.param("/x@y:z", "http://a/x@y:z", id="at-in-a-path"),
    ],
)
def test_target_goes_out_as_the_origin_wrote_it(location, expected):
    """RFC 3986 5.2: resolved, and changed only where no request line could hold it."""
    assert expected == follow([BASE], [location])


@pytest.mark.parametrize(
    ("location", "why"),
    [
        pytest.param("ftp://h/x", "another scheme", id="rfc9110-4.2-scheme"),
        pytest.param("file:///etc/passwd", "another scheme", id="file"),
        pytest.param("javascript:x", "another scheme", id="script"),
        pytest.param("1a:x", "cannot be read", id="rfc3986-3.1-no-scheme"),
        pytest.param("http:x", "no host", id="rfc3986-5.4.2-scheme-alone"),
        pytest.param("http:///x", "no host", id="rfc9110-4.2.1-empty-host"),
        pytest.param("http://u:p@h/x", "credentials", id="rfc9110-4.2.4-user-info"),
        pytest.param("//a@h", "credentials", id="user-info-of-a-network-path"),
        pytest.param("http://good\\@evil/", "credentials", id="backslash-and-at"),
        pytest.param("http://h\\.evil/", "no host", id="backslash-in-a-host"),
        pytest.param("http://h evil/", "no host", id="space-in-a-host"),
        pytest.param("http://hÃ¤/", "no host", id="bytes-in-a-host"),
        pytest.param("http://h:0/", "no host", id="port-0"),
        pytest.param("http://h:65536/", "no host", id="port-too-high"),
        pytest.param("http://h:x/", "no host", id="port-no-number"),
        pytest.param("http://[1::2::3]/", "no host", id="no-address"),
        pytest.param("http://[fe80::1%25eth0]/", "no host", id="rfc6874-zone"),
        pytest.param("/a\rb", "control", id="cr"),
        pytest.param("/a\x00b", "control", id="nul"),
        pytest.param("/" + "a" * 8000, "too long", id="rfc9110-4.1-long"),
        pytest.param("/" + " " * 4000 + "x", "too long", id="long-when-encoded"),
    ],
)
def test_target_that_is_no_url_of_http_is_refused(location, why):
    """With a reason, and without the URL."""
    with pytest.raises(RedirectRefused, match=why) as caught:
        follow([BASE], [location])

    assert location not in str(caught.value)


@pytest.mark.parametrize("locations", [[], ["/x", "/x"]], ids=["absent", "repeated"])
def test_redirect_that_does_not_say_where_to_is_refused(locations):
    """RFC 9110 10.2.2: one reference."""
    with pytest.raises(RedirectRefused, match="where to"):
        follow([BASE], locations)


def test_redirect_from_https_to_http_is_refused():
    """What was asked for in private is not asked for in public; the other way is welcome."""
    with pytest.raises(RedirectRefused, match="from https to http"):
        follow(["https://a/x"], ["http://a/x"])

    assert follow(["http://a/x"], ["https://a/x"]) == "https://a/x"
    assert is_downgrade("HTTPS://a/", "HTTP://a/")


@pytest.mark.parametrize("location", ["", "#top", "d;p?q", "http://a/b/c/d;p?q", "http://z/"])
def test_circle_is_refused_at_its_first_repetition(location):
    """However it is written, and however long it is."""
    with pytest.raises(RedirectRefused, match="circle"):
        follow(["http://z/", BASE], [location])


def test_more_redirects_than_anybody_needs_are_refused():
    """Ten are followed, the eleventh is not."""
    visited = [f"http://a/{number}" for number in range(MAX_REDIRECTS)]

    assert follow(visited, ["/x"]) == "http://a/x"
    with pytest.raises(RedirectRefused, match="more than 10"):
        follow([*visited, "http://a/x"], ["/y"])


@pytest.mark.parametrize(
    ("url", "location", "expected"),
    [
        pytest.param("http://a/b/c", "http://a/b/c/", "c/", id="absolute"),
        pytest.param("http://a/b/c", "/b/c/", "c/", id="path"),
        pytest.param("http://a/b/c", "c/", "c/", id="relative"),
        pytest.param("http://a/b/c?x=1", "/b/c/?x=1", "c/?x=1", id="with-its-query"),
        pytest.param("http://a/b/c?x=1", "/b/c/", "c/", id="without-its-query"),
        pytest.param("http://a/b/c:d", "/b/c:d/", "./c:d/", id="rfc3986-4.2-colon"),
        pytest.param("http://a:80/b/c", "http://A/b/c/", "c/", id="rfc9110-4.2.3-same-origin"),
        pytest.param("http://a/b/c", "http://a:8080/b/c/", None, id="another-port"),
        pytest.param("http://a/b/c", "http://u@a/b/c/", None, id="user"),
        pytest.param("http://a/b/c", "/b/d/", None, id="another-name"),
        pytest.param("http://a/b/c", "http://z/b/c/", None, id="another-host"),
        pytest.param("http://a/b/c", "https://a/b/c/", None, id="another-scheme"),
        pytest.param("http://a/b/c", "ftp://a/b/c/", None, id="refused"),
        pytest.param("http://a/b/c", "/b/c", None, id="no-slash"),
    ],
)
def test_redirect_that_only_adds_a_slash_is_recognised(url, location, expected):
    """What a client is told of it is relative, so that it says nothing of the origin."""
    assert expected == added_slash(url, [location])
