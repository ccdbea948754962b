"""Lists of mirrors: which kind one is, plain ones, what of a URL is a base, what goes below it."""

from __future__ import annotations

import gzip

import pytest
from mirror_samples import ALMA, CENTOS, FEDORA, ROCKY

from streamer.importers.joining import join_url
from streamer.mirrors import (
    LeftOut,
    ListUnusable,
    Mirror,
    base_of,
    is_below,
    join,
    read_list,
)
from streamer.mirrors.addresses import MAX_URL_CHARACTERS, is_safe_name
from streamer.mirrors.lists import MAX_ADDRESSES, MAX_LIST_BYTES

pytestmark = pytest.mark.subset


def urls(content, **options):
    return [mirror.url for mirror in read_list(content, **options).mirrors]


def refusal(content, media_type=""):
    with pytest.raises(ListUnusable) as caught:
        read_list(content, media_type)
    return str(caught.value)


# -- plain lists -----------------------------------------------------------------------------------


def test_plain_list_is_read_line_by_line():
    """Every line is a base, verbatim and in order."""
    assert CENTOS.decode().split() == urls(CENTOS)


def test_comments_and_slashes_of_a_plain_list_stay_as_they_are():
    """Rocky Linux begins with a comment, and its mirrors write slashes as they please."""
    expected = [
        "https://rocky.one.example/pub/rocky//9.4/BaseOS/x86_64/os/",
        "http://ftp.two.example/rocky/9.4/BaseOS/x86_64/os",
        "https://three.example/rocky/9.4/BaseOS/x86_64/os/",
    ]

    assert expected == urls(ROCKY)


def test_line_ends_blanks_and_other_protocols_are_passed_over():
    """CR LF, trailing blanks and empty lines say nothing, and nobody asks by rsync."""
    found = read_list(ALMA)

    assert ["https", "ftp"] == [mirror.scheme for mirror in found.mirrors]
    assert "ftp://two.example/almalinux/9/BaseOS/x86_64/os/" == found.mirrors[1].url
    assert ((LeftOut.OTHER_SCHEME, 1),) == found.left_out


def test_mirror_that_is_named_twice_is_there_once():
    """A slash at its end makes no other mirror."""
    assert ["http://a.example/x"] == urls(b"http://a.example/x\nhttp://a.example/x/\n")


def test_schemes_that_are_not_asked_for_are_left_out():
    """An importer that speaks HTTPS alone wants no others."""
    content = b"http://a.example/\nHTTPS://b.example/\nftp://c.example/"

    assert ["HTTPS://b.example/"] == urls(content, schemes=frozenset({"https"}))


LINES = {
    "text": ("some text", LeftOut.NO_URL),
    "path": ("/srv/mirror/", LeftOut.NO_URL),
    "no-host": ("http:///x/", LeftOut.NO_URL),
    "blank-within": ("http://a.example/ # DE", LeftOut.NO_URL),
    "beyond-ascii": ("http://a.example/ä/", LeftOut.NO_URL),
    "control": ("http://a.example/\x01/", LeftOut.NO_URL),
    "backslash": ("http://a.example\\x/", LeftOut.NO_URL),
    "fragment": ("http://a.example/#x", LeftOut.NO_URL),
    "query": ("http://a.example/?path=", LeftOut.NO_URL),
    "port-0": ("http://a.example:0/", LeftOut.NO_URL),
    "port-beyond": ("http://a.example:65536/", LeftOut.NO_URL),
    "port-in-words": ("http://a.example:http/", LeftOut.NO_URL),
    "address": ("http://[::::]/", LeftOut.NO_URL),
    "escaped-host": ("http://a%2eexample/", LeftOut.NO_URL),
    "rsync": ("rsync://a.example/x/", LeftOut.OTHER_SCHEME),
    "file": ("file:///srv/", LeftOut.OTHER_SCHEME),
    "yum": ("http://a.example/$releasever/os/$basearch/", LeftOut.VARIABLE),
    "braces": ("http://a.example/${releasever}/", LeftOut.VARIABLE),
    "variable-host": ("http://$host/", LeftOut.VARIABLE),
    "password": ("http://user:secret@a.example/", LeftOut.CREDENTIALS),
    "long": ("http://a.example/" + "x" * MAX_URL_CHARACTERS, LeftOut.TOO_LONG),
}


@pytest.mark.parametrize(("line", "reason"), LINES.values(), ids=LINES)
def test_line_that_cannot_be_asked_is_left_out_and_counted(line, reason):
    """The others are used; an operator hears why this one is not."""
    found = read_list(f"{line}\nhttp://good.example/\n".encode())

    assert (Mirror("http://good.example/"),) == found.mirrors
    assert ((reason, 1),) == found.left_out


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "http://a.example:8080/x",
        "http://a.example:/x",
        "https://[2001:db8::1]:8443/x/",
        "http://192.0.2.7/x/",
        "http://xn--bcher-kva.example/",
        "http://a.example/a%20b/(c)/d$/~e/@f/:g/",
    ],
)
def test_url_that_can_be_asked_stays_as_it_is(url):
    """Nothing is quoted, lowered or completed."""
    assert [url] == urls(url.encode())


# -- which kind it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["", "text/html; charset=utf-8", "application/metalink+xml"])
@pytest.mark.parametrize(
    ("content", "kind"), [(CENTOS, "mirrorlist"), (FEDORA, "metalink 3")], ids=["plain", "fedora"]
)
def test_kind_follows_from_the_content(content, kind, media_type):
    """Many a script sends a plain list as HTML, and metalinks come under any name."""
    assert kind == read_list(content, media_type).kind


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + CENTOS,
        CENTOS.decode().encode("utf-16"),
        "\ufeff".encode("utf-16-be") + CENTOS.decode().encode("utf-16-be"),
        b"# M\xfcnchen\n" + CENTOS,
        "# München\n".encode() + CENTOS,
        CENTOS.replace(b"\n", b"\r"),
    ],
    ids=["utf-8-mark", "utf-16", "utf-16-be", "latin-1", "utf-8", "cr"],
)
def test_coding_of_a_list_does_not_matter(content):
    """What counts in it is ASCII in any of them."""
    assert urls(CENTOS) == urls(content)


@pytest.mark.parametrize(
    "content",
    [
        b"<!DOCTYPE html><html><body>http://a.example/</body></html>",
        b"\n<HTML><head></head></HTML>",
        b"<!-- x --><?x?>\n<!doctype\thtml><p>",
        b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"/>',
        b"Warning: no mirrors in <b>list.php</b>\n<html><body></body></html>",
    ],
)
def test_web_page_is_called_one(content):
    """It is what a gateway says where the list should be."""
    assert "what came is a web page and no list of mirrors" == refusal(content)


@pytest.mark.parametrize("content", [b"<p>It works!</p>", b"It works!"])
def test_media_type_helps_to_tell_a_web_page(content):
    """A page need not look like one."""
    assert "web page" in refusal(content, "Text/HTML;charset=utf-8")
    assert "web page" not in refusal(content)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the list names no mirror that can be asked"),
        (b"# nothing\n\n", "the list names no mirror that can be asked"),
        (
            b"rsync://a.example/\nrsync://b.example/\nhttp://c.example/$x/\n",
            "the list names no mirror that can be asked"
            " (another protocol: 2, a variable that nobody filled in: 1)",
        ),
        (b"<feed/>", "what came is XML and no metalink"),
        (gzip.compress(CENTOS), "what came is compressed and no list of mirrors"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "what came is no text"),
        (b"\xff\xfe\x00\xd8", "what came is no text"),
        (b"\xff\xfe\x00\x00", "what came is no text"),
    ],
)
def test_content_without_mirrors_is_refused_with_its_reason(content, sentence):
    """The sentence says what came, and holds nothing of it."""
    assert sentence == refusal(content)


# -- bounds ----------------------------------------------------------------------------------------


def test_empty_answer_is_an_empty_list_whatever_its_type():
    """There is no page to be seen."""
    assert "the list names no mirror that can be asked" == refusal(b"", "text/html")


def test_list_of_the_greatest_length_is_read():
    """One byte more is refused."""
    comment = b"#" * (MAX_LIST_BYTES - len(CENTOS) - 1) + b"\n"

    assert urls(CENTOS) == urls(comment + CENTOS)
    assert "longer than 4,194,304 bytes" in refusal(b"#" + comment + CENTOS)


def test_list_of_most_lines_is_read():
    """One line more is refused, comments do not count."""
    lines = b"".join(b"http://h%d.example/\n# x\n" % number for number in range(MAX_ADDRESSES))

    assert MAX_ADDRESSES == len(urls(lines))
    assert "more than 10,000 lines" in refusal(lines + b"x\n")


# -- bases and what is below -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "own_path", "base"),
    [
        ("http://a/b/repodata/repomd.xml", "repodata/repomd.xml", "http://a/b/"),
        ("http://a/repodata/repomd.xml", "repodata/repomd.xml", "http://a/"),
        ("http://a//b//c", "c", "http://a//b//"),
        ("http://a/b/c%20%7e%2B", "c ~+", "http://a/b/"),
        ("http://a/b/c", "c", "http://a/b/"),
        ("http://a/b/xc", "c", None),
        ("http://a/b/c/", "c", None),
        ("http://a/b/c?d", "c?d", None),
        ("http://a/b%2Fc", "b/c", None),
        ("http://repodata/repomd.xml", "repodata/repomd.xml", None),
        ("http://a", "a", None),
        ("http://a", "/a", None),
    ],
)
def test_base_is_what_stands_before_the_own_path(url, own_path, base):
    """Segments are compared decoded, and the host is none of them."""
    assert base == base_of(url, own_path)


@pytest.mark.parametrize("base", ["http://a.example", "http://a.example/b", "http://a.example/b//"])
@pytest.mark.parametrize("source", ["x.rpm", "p/x%20y.rpm", "libc-1:2.3.deb", "a//b", "?x", ""])
def test_join_agrees_with_the_http_importer(base, source):
    """A mirror has what the importer's own URL has."""
    assert join_url(base, source) == join(base, source)


@pytest.mark.parametrize("source", ["http://b.example/x", "ftp://x", "/x", "//b.example/x"])
def test_source_with_a_place_of_its_own_is_not_joined(source):
    """No mirror has it."""
    assert not is_below(source)
    with pytest.raises(ValueError, match="a place of its own"):
        join("http://a.example/", source)


@pytest.mark.parametrize("name", ["a", "a/b.rpm", "a b", "é", "..a", "a:b", "%41", "$x"])
def test_relative_name_is_safe(name):
    """RFC 5854 4.1.2.1 allows folders."""
    assert is_safe_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/a",
        "a/",
        "..",
        "a/../b",
        "./a",
        "a//b",
        "a\\b",
        "%2e%2e/a",
        "a/%2E",
        "a\nb",
        "a" * 3000,
    ],
)
def test_name_that_could_lead_out_is_unsafe(name):
    """RFC 5854 4.1.2.1 forbids to follow it."""
    assert not is_safe_name(name)


def test_url_is_in_no_representation():
    """It may hold a secret."""
    assert "example" not in repr(read_list(CENTOS)) + repr(read_list(FEDORA))
