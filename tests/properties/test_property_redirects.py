"""Redirects, whatever an origin writes."""

from __future__ import annotations

from urllib.parse import urlsplit

from hypothesis import strategies as st
from proof import holds_for

from streamer.downloaders.credentials import origin_of
from streamer.downloaders.redirects import MAX_CHARACTERS, added_slash, follow
from streamer.downloaders.verbatim import read_uri, target_of
from streamer.errors import RedirectRefused

SCHEMES = ["http:", "https:", "HTTP:", "ftp:"]
MARKS = ["//", "/", "\\", "@", ":", "?", "#", "[", "]", "%2f", "%", "..", "."]
WORDS = ["h", "h.example", "a", "80", "0", "99999", "::1"]
ODDITIES = [" ", "\t", "\n", "\x00", "\xff", "é"]
PIECES = st.sampled_from(SCHEMES + MARKS + WORDS + ODDITIES)
LOCATIONS = st.lists(PIECES, max_size=10).map("".join) | st.text(max_size=30)
URLS = st.builds("{}//{}".format, st.sampled_from(SCHEMES), LOCATIONS)
CURRENT = st.sampled_from(
    ["http://a/b/c?d", "https://a/b/c?d", "http://a", "https://[2001:db8::1]:8443/x/../y"]
)


@holds_for(examples=1500, share=2, url=CURRENT, location=LOCATIONS)
def test_redirect_leads_to_http_or_nowhere(url, location):
    """Never to another scheme, from https to http, with user information, or in a circle."""
    try:
        target = follow([url], [location])
    except RedirectRefused:
        return
    parts = urlsplit(target)
    assert parts.scheme in ("http", "https")
    assert (urlsplit(url).scheme, parts.scheme) != ("https", "http")
    assert "@" not in parts.netloc
    assert origin_of(target).host
    assert not parts.fragment
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
    assert len(target) <= MAX_CHARACTERS
    assert target != url


@holds_for(examples=500, url=CURRENT, location=LOCATIONS)
def test_added_slash_is_told_without_an_origin(url, location):
    """Whatever was redirected to, a client resolves it to the place that it asked for."""
    told = added_slash(url, [location])

    assert told is None or "//" not in told.partition("?")[0]
    assert told is None or follow([url], [told]).partition("?")[0] == f"{url.partition('?')[0]}/"


@holds_for(examples=1500, url=URLS)
def test_origin_that_is_judged_is_the_one_that_is_asked(url):
    """Who may see credentials is decided by one reader of URLs, where to connect by another."""
    try:
        judged, target = origin_of(url), target_of(url.encode())
    except ValueError:
        return
    asked = read_uri(url.encode())

    assert judged == (asked.scheme.decode(), asked.host.decode().lower(), asked.port)
    assert target.startswith(b"/")
    assert target[1:] in url.encode()
