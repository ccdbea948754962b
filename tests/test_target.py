"""From the raw request target to the one path that the catalog is asked for."""

from __future__ import annotations

from unicodedata import category
from urllib.parse import quote, unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import PathNotPublished, TargetMalformed
from streamer.target import below_base_path, folder_location, is_query, read_target

SEGMENTS = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/"), min_size=1
).filter(lambda segment: segment not in (".", ".."))
"""Every segment that a publication can have."""

AWKWARD_SEGMENTS = SEGMENTS | st.text("+~%:;&=?#@!$'()*, äé漢.", min_size=1).filter(
    lambda segment: segment not in (".", "..")
)


@given(st.lists(AWKWARD_SEGMENTS, min_size=1, max_size=4))
def test_publishable_path_quoted_by_a_client_is_read_back(segments):
    """Whatever can be published can be asked for, each name percent-encoded once."""
    path = "/".join(segments)

    found = read_target(f"/{quote(path)}".encode())

    assert path == found


@given(st.lists(SEGMENTS, min_size=1, max_size=4), st.sampled_from(["", "/pulp/content", "/a"]))
def test_folder_below_a_prefix_keeps_its_trailing_slash(segments, prefix):
    """The prefix goes, the slash that says "folder" stays."""
    path = "/".join(segments) + "/"

    found = read_target(f"{prefix}/{quote(path)}".encode(), prefix)

    assert path == found


@given(st.binary(max_size=60))
def test_hostile_bytes_are_read_or_refused_and_never_a_defect(raw):
    """Of any bytes comes a path without tricks, or one of the two refusals."""
    try:
        path = read_target(b"/" + raw)
    except (PathNotPublished, TargetMalformed):
        return

    assert not {".", ".."} & set(path.split("/"))
    assert "//" not in path
    assert not path.startswith("/")
    assert not any(category(char) == "Cc" for char in path)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"/", "", id="root"),
        pytest.param(b"/a", "a", id="file"),
        pytest.param(b"/a/", "a/", id="folder"),
        pytest.param(b"/a/b.rpm", "a/b.rpm", id="file-in-folder"),
        pytest.param(b"/%61", "a", id="rfc3986-2.3-unreserved-may-be-escaped"),
        pytest.param(b"/%7e~", "~~", id="rfc3986-2.3-tilde"),
        pytest.param(b"/c%2B%2b+", "c+++", id="plus-is-no-space"),
        pytest.param(b"/1:2.3", "1:2.3", id="rfc3986-3.3-colon-in-a-segment"),
        pytest.param(b"/100%2525", "100%25", id="rfc3986-2.4-decoded-once"),
        pytest.param(b"/%252F", "%2F", id="rfc3986-2.4-twice-escaped-slash"),
        pytest.param(b"/%252e%252e/x", "%2e%2e/x", id="rfc3986-2.4-twice-escaped-dots"),
        pytest.param(b"/%C3%A4", "ä", id="rfc3986-2.5-utf8"),
        pytest.param(b"/a%CC%88", "a\u0308", id="not-normalised"),
        pytest.param(b"/...", "...", id="three-dots"),
        pytest.param(b"/.treeinfo", ".treeinfo", id="hidden-file"),
        pytest.param(b"/a%3Fb%23c", "a?b#c", id="escaped-query-and-fragment"),
        pytest.param(b"/a%5Cb", "a\\b", id="backslash-is-a-character"),
    ],
)
def test_target_is_decoded_once_by_segment(raw, expected):
    """A path is taken as it was sent, each segment percent-decoded once."""
    assert expected == read_target(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"/a%2Fb", id="escaped-slash"),
        pytest.param(b"/a%2fb", id="escaped-slash-lower-case"),
        pytest.param(b"/%2F", id="only-an-escaped-slash"),
        pytest.param(b"//a", id="leading-double-slash"),
        pytest.param(b"//evil.example/a", id="protocol-relative"),
        pytest.param(b"/a//b", id="double-slash"),
        pytest.param(b"/a//", id="trailing-double-slash"),
        pytest.param(b"/./a", id="rfc3986-5.2.4-dot"),
        pytest.param(b"/a/..", id="rfc3986-5.2.4-dots-at-the-end"),
        pytest.param(b"/a/../b", id="rfc3986-5.2.4-dots"),
        pytest.param(b"/a/../../etc/passwd", id="rfc3986-5.2.4-beyond-the-root"),
        pytest.param(b"/%2e%2e/b", id="escaped-dots"),
        pytest.param(b"/.%2e/b", id="half-escaped-dots"),
        pytest.param(b"/%2e", id="escaped-dot"),
    ],
)
def test_target_that_could_never_be_published_is_not_found(raw):
    """What decodes to an impossible name is 404, like any name that is not published."""
    with pytest.raises(PathNotPublished):
        read_target(raw)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"/a%00b", id="nul"),
        pytest.param(b"/a%0d%0aX-Evil:1", id="crlf"),
        pytest.param(b"/a%0Ab", id="line-feed"),
        pytest.param(b"/%7f", id="delete"),
        pytest.param(b"/%C2%80", id="c1-first"),
        pytest.param(b"/%C2%85", id="c1-next-line"),
        pytest.param(b"/%C2%9F", id="c1-last"),
        pytest.param(b"/%ff", id="not-utf8"),
        pytest.param(b"/%C3", id="utf8-cut"),
        pytest.param(b"/%C0%AF", id="utf8-overlong-slash"),
        pytest.param(b"/%ED%A0%80", id="utf8-surrogate"),
        pytest.param(b"/%", id="rfc3986-2.1-escape-without-digits"),
        pytest.param(b"/%1", id="rfc3986-2.1-escape-with-one-digit"),
        pytest.param(b"/%zz", id="rfc3986-2.1-escape-with-other-letters"),
        pytest.param(b"/%u00e4", id="rfc3986-2.1-escape-of-scripts"),
        pytest.param(b"/a%", id="rfc3986-2.1-escape-at-the-end"),
        pytest.param(b"", id="empty"),
        pytest.param(b"a/b", id="no-slash"),
        pytest.param(b"http://h/a", id="rfc9112-3.2.2-absolute-form"),
        pytest.param(b"h:443", id="rfc9112-3.2.3-authority-form"),
    ],
)
def test_target_that_cannot_be_decoded_is_malformed(raw):
    """What is no path at all is 400."""
    with pytest.raises(TargetMalformed):
        read_target(raw)


def test_refusal_does_not_echo_the_target():
    """The sentence of a refusal says nothing that the client wrote."""
    with pytest.raises(TargetMalformed) as caught:
        read_target(b"/<script>%zz")

    assert "script" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"/pulp/content", "", id="root-without-slash"),
        pytest.param(b"/pulp/content/", "", id="root"),
        pytest.param(b"/pulp/content/a", "a", id="file"),
        pytest.param(b"/pulp/content/pulp/content/a", "pulp/content/a", id="only-once"),
        pytest.param(b"/pulp/c%6Fntent/a", "a", id="escaped-prefix"),
    ],
)
def test_prefix_is_taken_off(raw, expected):
    """Paths are relative to the prefix."""
    assert expected == read_target(raw, "/pulp/content")


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"/pulp/contentX", id="longer-name"),
        pytest.param(b"/pulp/contentX/a", id="longer-folder"),
        pytest.param(b"/pulp", id="part"),
        pytest.param(b"/", id="root"),
        pytest.param(b"/a", id="elsewhere"),
        pytest.param(b"/Pulp/content/a", id="other-case"),
        pytest.param(b"/pulp%2Fcontent/a", id="escaped-slash"),
    ],
)
def test_target_beside_the_prefix_is_not_found(raw):
    """Nothing is served outside of the prefix."""
    with pytest.raises(PathNotPublished):
        read_target(raw, "/pulp/content")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(b"/a", "./a/", id="name"),
        pytest.param(b"/x/y", "./y/", id="last-segment"),
        pytest.param(b"/a:b", "./a%3Ab/", id="rfc3986-4.2-colon"),
        pytest.param(b"/a%0D", "./a%0D/", id="control"),
        pytest.param(b"/%25", "./%25/", id="percent"),
        pytest.param(b"/%C3%A4", "./%C3%A4/", id="utf8"),
    ],
)
def test_location_of_a_folder_is_relative_and_quoted(raw, expected):
    """The reference begins with a dot segment and is ASCII."""
    assert expected == folder_location(raw)


@given(st.lists(SEGMENTS, min_size=1, max_size=3))
def test_location_of_a_folder_leads_to_the_folder(segments):
    """A client that resolves the reference asks for the same path with a slash (RFC 3986 5.2)."""
    raw = "/" + "/".join(quote(segment) for segment in segments)

    found = urljoin(f"http://h{raw}", folder_location(raw.encode()))

    assert unquote(f"http://h{raw}/") == unquote(found)


# -- what lies below a base path, for an origin


@pytest.mark.parametrize(
    ("raw", "prefix", "expected"),
    [
        (b"/a/b/x", "", "x"),
        (b"/a/b/x/y", "", "x/y"),
        (b"/a/b/x/", "", "x/"),
        (b"/a/b/", "", ""),
        (b"/p/c/a/b/x", "/p/c", "x"),
        (b"/%61/b/x", "", "x"),
        (b"/a/b/%7Euser/%c3%a9%20+", "", "%7Euser/%c3%a9%20+"),
        (b"/a/b/~user;v=1/@scope:x", "", "~user;v=1/@scope:x"),
        (b"/a/b/http:", "", "http:"),
        (b"/a/b/x%3fy%23", "", "x%3fy%23"),
        (b"/a/b/foo_1%253a2.deb", "", "foo_1%253a2.deb"),
        (b"/a/b/...", "", "..."),
        (b"/a/b/x..y/..z", "", "x..y/..z"),
    ],
)
def test_path_for_an_origin_is_what_the_client_wrote(raw, prefix, expected):
    """Nothing is decoded or quoted anew: two spellings may be two things to an origin."""
    assert expected == below_base_path(raw, prefix, "a/b")


@pytest.mark.parametrize(
    "rest",
    [
        b"%252e%252e/x",
        b"%25252e%25252e/x",
        b"x%255c..%255cy",
        b"back%5Cslash",
        b"back\\slash",
        b"..%5cx",
        b"x%5C..%5Cy",
        b"..%5c..%5c",
        b"..\\x",
        b"x/..;/y",
        b"..;v=1/y",
        b"%2e%2e;/y",
        b"%252f..%252fx",
        b"x/.;/y",
        b"..%20/x",
        b"..%3fx",
        b"..%23",
        b"..%2500/x",
        b"x%250d%250ay",
        b"%25c0%25ae%25c0%25ae/x",
        b"%25e0%2580%25ae./x",
        b"%25f0%2580%2580%25ae./x",
        b"%" + b"25" * 40 + b"41",
        b"caf\xc3\xa9",
    ],
    ids=repr,
)
def test_path_that_some_origin_would_leave_its_folder_by_is_not_published(rest):
    """Servers decode twice, take backslashes for slashes, and cut things off segments."""
    with pytest.raises(PathNotPublished):
        below_base_path(b"/a/b/" + rest, "", "a/b")


@given(st.binary(max_size=40))
def test_path_for_an_origin_never_leads_out_of_its_folder(raw):
    """Whatever is not refused stays below the URL that it is put behind."""
    target = b"/a/" + raw
    try:
        read_target(target)
        found = below_base_path(target, "", "a")
    except (PathNotPublished, TargetMalformed):
        return

    joined = urlsplit(urljoin("http://origin.example/base/", f"./{found}"))
    assert "origin.example" == joined.netloc
    assert joined.path.startswith("/base/")
    assert ("", "") == (joined.query, joined.fragment)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"a=b&c=%20", True),
        (b"a?b=/..;x", True),
        (b"", False),
        (b"a b", False),
        (b"a#b", False),
        (b"a\r\nb", False),
        (b"\xc3\xa9", False),
    ],
)
def test_query_for_an_origin_is_visible_and_no_more_than_a_query(raw, expected):
    """It goes into a request line as it is."""
    assert expected == is_query(raw)
