"""Entries as JSON lines: what is accepted, how it is normalised, what is refused and how."""

from __future__ import annotations

import base64
import hashlib
import io
import json

import pytest

from streamer.errors import EntryRejected
from streamer.model import Digest, DownloadConfig, EntrySource
from streamer.publishing import bounded_lines, parse_entries
from streamer.publishing.lines import MAX_LINE_BYTES

pytestmark = pytest.mark.subset

CONTENT = b"some content\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SHA512 = hashlib.sha512(CONTENT).hexdigest()
SHA1 = hashlib.sha1(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT).hexdigest()

MIRROR = DownloadConfig(1, 1, "mirror", "http", {})
OTHER = DownloadConfig(2, 1, "other", "http", {})
WEAK = DownloadConfig(3, 1, "weak", "http", {"allow_weak_digests": True})
IMPORTERS = {config.name: config for config in (MIRROR, OTHER, WEAK)}


def line(**changes):
    """A good line with some keys changed; a key that becomes `...` is left out."""
    entry = {
        "path": "b/bash.rpm",
        "digests": {"sha256": SHA256},
        "sources": [{"url": "b/bash.rpm"}],
    } | changes
    return json.dumps({key: value for key, value in entry.items() if value is not ...}).encode()


def held(**changes):
    """A good line with held content."""
    content = base64.b64encode(CONTENT).decode()
    return line(**{"sources": ..., "digests": ..., "content_base64": content} | changes)


def parse(*lines, folder=None, default=MIRROR, **options):
    return list(parse_entries(lines, IMPORTERS.get, default, folder, **options))


def parse_one(text, **options):
    [entry] = parse(text, **options)
    return entry


def refusal(text, **options):
    with pytest.raises(EntryRejected) as caught:
        parse(text, **options)
    number, why = caught.value.args
    assert number == 1
    return why


# -- lines ---------------------------------------------------------------------------------------


def test_good_line_becomes_an_entry_with_guesses_for_what_it_leaves_out():
    """Media type and cache kind come from the path, the size is learned later."""
    entry = parse_one(line())

    assert ("b/bash.rpm", 1) == (entry.path, entry.line)
    assert (Digest("sha256", SHA256),) == entry.artifact.digests
    assert (None, "application/x-rpm") == (entry.artifact.size, entry.artifact.media_type)
    assert ("package", None, None) == (entry.cache, entry.last_modified, entry.content)
    assert (EntrySource(1, "b/bash.rpm", 0),) == entry.sources


def test_stated_values_are_taken_as_they_are():
    """Nothing is guessed that is stated."""
    entry = parse_one(
        line(size=13, media_type='text/html; charset="utf-8"', cache="mutable", last_modified=7)
    )

    assert (13, 'text/html; charset="utf-8"') == (entry.artifact.size, entry.artifact.media_type)
    assert ("mutable", 7) == (entry.cache, entry.last_modified)


def test_null_stands_for_an_absent_value():
    """Programs write what they do not know as null."""
    entry = parse_one(line(size=None, media_type=None, last_modified=None, cache=None))

    assert parse_one(line()) == entry


def test_blank_lines_count_and_are_ignored():
    """Line numbers are those of an editor."""
    entries = parse(b"\n", line() + b"\r\n", b"  \t\n", line(path="c"))

    assert [(2, "b/bash.rpm"), (4, "c")] == [(entry.line, entry.path) for entry in entries]


def test_byte_order_mark_is_ignored_before_the_first_line_only():
    """Editors put it there; anywhere else it is not JSON."""
    assert parse_one(line()) == parse_one(b"\xef\xbb\xbf" + line())
    with pytest.raises(EntryRejected, match="line 2: is not JSON at character 1"):
        parse(line(), b"\xef\xbb\xbf" + line(path="c"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b'{"path": "\xff"}', "is not UTF-8 at byte 11"),
        (b"{", "is not JSON at character 2"),
        (b"path,digest", "is not JSON at character 1"),
        (b"[]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b'{"path": "a", "path": "b"}', "has the key 'path' twice"),
        (b'{"digests": {"sha256": "a", "sha256": "b"}}', "has the key 'sha256' twice"),
        (b'{"size": NaN}', "is not JSON: NaN is no number"),
        (b"[" * 100_000, "is JSON with a number too long or brackets too deep"),
        (b'{"size": ' + b"1" * 5000 + b"}", "is JSON with a number too long or brackets too deep"),
        (b"{}", "lacks path"),
        (line(path=7), "path: input should be a valid string"),
        (line(size="13"), "size: input should be a valid integer"),
        (line(size=True), "size: input should be a valid integer"),
        (line(size=-1), "size: input should be greater than or equal to 0"),
        (line(size=2**63), "size: input should be less than 9223372036854775808"),
        (line(cache="forever"), "cache: input should be 'mutable', 'package' or 'immutable'"),
        (line(sources=[{}]), "lacks sources.0.url"),
        (line(sources=["b/bash.rpm"]), "sources.0: input should be"),
        (line(sources=[{"url": "a", "priority": 2**31}]), "sources.0.priority: input should be"),
        (line(colour="red"), "has an unknown key colour; there are path, digests,"),
        (line(sources=[{"url": "a", "weight": 1}]), "has an unknown key sources.0.weight;"),
    ],
)
def test_line_of_another_shape_is_refused(text, why):
    """What is wrong is one sentence."""
    assert refusal(text).startswith(why)


def test_line_beyond_the_limit_is_refused_and_the_next_one_read():
    """One endless line cannot fill the memory."""
    stream = io.BytesIO(b" " * (MAX_LINE_BYTES + 70_000) + b"\n" + line())
    rejections = []

    [entry] = parse(*bounded_lines(stream), report=rejections.append)

    assert 2 == entry.line
    assert ["line 1: is longer than 67,108,864 bytes"] == list(map(str, rejections))


def test_line_at_the_limit_is_read_whole():
    """The line feed does not count."""
    text = line() + b" " * (MAX_LINE_BYTES - len(line())) + b"\n"

    assert [text] == list(bounded_lines(io.BytesIO(text)))
    assert "is longer than 1,048,576 characters" == refusal(text)


def test_line_that_is_long_without_held_content_is_refused():
    """Paths, digests and URLs do not need a megabyte."""
    assert "is longer than 1,048,576 characters" == refusal(line(importer=...) + b" " * 2**20)


def test_wrong_lines_are_all_reported_to_whoever_wants_them():
    """One run names several wrong lines, and good ones go on."""
    rejections = []

    entries = parse(b"{", line(), line(path=""), report=rejections.append)

    assert [2] == [entry.line for entry in entries]
    assert [1, 3] == [rejection.args[0] for rejection in rejections]


# -- paths ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["a", "a/b", "libstdc++-1:2~3.rpm", "ä/ö", "a b", "...", ".hidden", "a%2Fb", "a\\b"]
)
def test_path_is_taken_as_it_is(path):
    """No normalisation, no decoding."""
    assert path == parse_one(line(path=path)).path


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("", "path '' has an empty, '.' or '..' segment"),
        ("/etc/passwd", "path '/etc/passwd' begins with a slash; it is relative"),
        ("a//b", "path 'a//b' has an empty, '.' or '..' segment"),
        ("a/", "path 'a/' has an empty, '.' or '..' segment"),
        ("../a", "path '../a' has an empty, '.' or '..' segment"),
        ("a/./b", "path 'a/./b' has an empty, '.' or '..' segment"),
        ("a\x00b", r"path 'a\x00b' has a control character"),
        ("a\nb", r"path 'a\nb' has a control character"),
        ("a\x7fb", r"path 'a\x7fb' has a control character"),
        ("a\x9bb", r"path 'a\x9bb' has a control character"),
        ("a\ud800b", r"path 'a\ud800b' is not UTF-8"),
        ("ä" * 1025, "is longer than 2,048 bytes"),
    ],
)
def test_path_that_no_request_can_name_is_refused(path, why):
    """The path is shown so that it moves no cursor."""
    assert refusal(line(path=path)).endswith(why)


# -- digests -------------------------------------------------------------------------------------


def b64(hexadecimal):
    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


@pytest.mark.parametrize(
    "stated",
    [
        {"sha256": SHA256},
        {"sha256": SHA256.upper()},
        {"SHA256": SHA256},
        {"SHA-256": SHA256},
        {"sha256": b64(SHA256)},
        {"sha256": f"sha256={b64(SHA256)}"},
        {"sha256": f"sha256-{b64(SHA256)}"},
        {"sha256": SHA256, "SHA-256": SHA256.upper()},
        {"sha256": SHA256, "md5": MD5, "sha1": SHA1},
        [f"sha256={b64(SHA256)}"],
        [f"sha256-{b64(SHA256)}"],
        [f"sha256:{SHA256}"],
        f"sha256-{b64(SHA256)}",
        f"SHA-256={b64(SHA256)}  sha256-{b64(SHA256)}",
    ],
)
def test_digest_is_normalised_however_it_is_written(stated):
    """Hexadecimal of either case, base64, SRI tokens: one lower-case form remains."""
    assert (Digest("sha256", SHA256),) == parse_one(line(digests=stated)).artifact.digests


def test_several_strong_digests_are_kept_with_the_one_to_verify_with_first():
    """SHA-256 is the cheapest of them."""
    entry = parse_one(line(digests={"sha512": SHA512, "sha256": SHA256}))

    assert ("sha256", "sha512") == tuple(digest.algorithm for digest in entry.artifact.digests)


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({}, "lacks digests"),
        ([], "lacks digests"),
        ("", "lacks digests"),
        ({"sha256": ""}, "the sha256 digest is neither 64 hex digits nor base64"),
        ({"sha256": SHA256[:-1]}, "the sha256 digest is neither 64 hex digits nor base64"),
        ({"sha256": SHA512}, "the sha256 digest is neither 64 hex digits nor base64"),
        ({"sha256": b64(SHA512)}, "the sha256 digest is neither 64 hex digits nor base64"),
        ({"sha256": "ä" * 64}, "the sha256 digest is neither 64 hex digits nor base64"),
        ({"crc32": "00000000"}, "digest algorithm 'crc32' is not known; there are sha256,"),
        ({"blake3": SHA256}, "digest algorithm 'blake3' is not known; there are sha256,"),
        (["nonsense"], "digest 'nonsense' is not written as algorithm=value"),
        ({"sha256": SHA256, "SHA256": "0" * 64}, "states two different sha256 digests"),
        ({"sha256": 7}, "digests: input should be"),
    ],
)
def test_digest_that_cannot_be_used_is_refused(stated, why):
    """An unknown algorithm or a value of another length proves nothing."""
    assert refusal(line(digests=stated)).startswith(why)


@pytest.mark.parametrize("stated", [{"md5": MD5}, {"sha1": SHA1}, {"md5": MD5, "sha1": SHA1}])
def test_weak_digest_alone_is_refused(stated):
    """MD5 and SHA-1 can be forged."""
    assert "has no SHA-2 digest, and importer 'mirror' does not allow weak ones" == refusal(
        line(digests=stated)
    )


def test_weak_digest_alone_is_accepted_where_all_importers_allow_it():
    """The operator knows the origin."""
    entry = parse_one(line(digests={"md5": MD5, "sha1": SHA1}), default=WEAK)

    assert (Digest("sha1", SHA1), Digest("md5", MD5)) == entry.artifact.digests


def test_weak_digest_alone_is_refused_where_one_importer_does_not_allow_it():
    """The content may come from any of the sources."""
    sources = [{"url": "a", "importer": "weak"}, {"url": "a", "importer": "other"}]

    assert "importer 'other' does not allow weak ones" in refusal(
        line(digests={"md5": MD5}, sources=sources)
    )


# -- sources -------------------------------------------------------------------------------------


def test_sources_name_their_importers_or_have_the_default_one():
    """Each source has its own importer and priority."""
    sources = [{"url": "a"}, {"url": "b", "importer": "other", "priority": -5}]

    assert (EntrySource(1, "a", 0), EntrySource(2, "b", -5)) == parse_one(
        line(sources=sources)
    ).sources


@pytest.mark.parametrize(
    "url",
    [
        "b/bash.rpm",
        "/b/bash.rpm",
        "../b/bash.rpm",
        "a%20b",
        "a%2fb",
        "a?token=x",
        "http://mirror.example/a",
        "HTTPS://mirror.example:8443/a?b=c",
        "http://[::1]/a",
    ],
)
def test_url_is_used_verbatim(url):
    """No requoting, no resolving of dot segments, no lower-casing."""
    assert url == parse_one(line(sources=[{"url": url}])).sources[0].url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "a source's url must have 1 to 8,192 characters"),
        ("a" * 8193, "a source's url must have 1 to 8,192 characters"),
        ("a b", "a source's url must be percent-encoded"),
        ("a\r\nb", "a source's url must be percent-encoded"),
        ("ä", "a source's url must be percent-encoded"),
        ("a#b", "a source's url has a '#', which is never sent"),
        ("//host/a", "a source's url begins with '//'"),
        ("ftp://host/a", "a source's url has the scheme 'ftp', its importer can do http, https"),
        ("file:///etc/passwd", "a source's url has the scheme 'file', its importer can do"),
        ("libc:1.0.rpm", "a source's url has the scheme 'libc', its importer can do"),
        ("http:///a", "a source's url has no host"),
        ("http:a", "a source's url has no host"),
        ("http://host:99999/a", "a source's url has a malformed host or port"),
        ("http://[::1/a", "a source's url has a malformed host or port"),
        ("http://user:hunter2@host/a", "a source's url has a user"),
        ("http://@host/a", "a source's url has a user"),
    ],
)
def test_url_that_cannot_be_requested_is_refused_without_repeating_it(url, why):
    """A URL may hold a secret."""
    message = refusal(line(sources=[{"url": url}]))

    assert message.startswith(why)
    assert "hunter2" not in message


def test_schemes_are_those_of_the_sources_importer():
    """Another type of importer speaks other protocols."""

    def schemes(importer):
        return frozenset({"ftp"} if importer is OTHER else {"http"})

    sources = [{"url": "ftp://host/a", "importer": "other"}]

    assert "ftp://host/a" == parse_one(line(sources=sources), schemes=schemes).sources[0].url


@pytest.mark.parametrize("url", ["file:///srv/a", "file://localhost/srv/a", "file:/srv/a"])
def test_url_of_a_file_needs_no_host(url):
    """RFC 8089 section 2 lets it name none."""
    parsed = parse_one(line(sources=[{"url": url}]), schemes=lambda _: frozenset({"file"}))

    assert url == parsed.sources[0].url


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"sources": ...}, "lacks sources (or content_base64 or content_file)"),
        ({"sources": []}, "lacks sources (or content_base64 or content_file)"),
        ({"sources": [{"url": "a", "importer": "none"}]}, "there is no importer 'none'"),
        ({"sources": [{"url": "a", "importer": "\ud800"}]}, r"there is no importer '\ud800'"),
        ({"sources": [{"url": "a"}, {"url": "a"}]}, "names the same source twice"),
        ({"sources": [{"url": str(n)} for n in range(101)]}, "sources: list should have at most"),
    ],
)
def test_sources_that_cannot_serve_are_refused(changes, why):
    """Every source has an importer, once."""
    assert refusal(line(**changes)).startswith(why)


def test_source_without_importer_is_refused_where_there_is_no_default():
    """Nobody would know how to fetch it."""
    assert "a source names no importer, and there is no default one" == refusal(
        line(), default=None
    )


# -- held content --------------------------------------------------------------------------------


def test_held_content_in_base64_gets_its_digest_and_size_computed():
    """Content that is at hand needs no promises."""
    entry = parse_one(held())

    assert CONTENT == entry.content
    assert ((Digest("sha256", SHA256),), 13) == (entry.artifact.digests, entry.artifact.size)
    assert () == entry.sources


def test_held_content_in_a_file_is_read_beside_the_entries(tmp_path):
    """A relative name means the folder of the entries file."""
    (tmp_path / "repomd.xml").write_bytes(CONTENT)

    entry = parse_one(held(content_base64=..., content_file="repomd.xml"), folder=tmp_path)

    assert CONTENT == entry.content


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ({"sha256": SHA256, "md5": MD5}, ("sha256",)),
        ({"sha512": SHA512}, ("sha512",)),
        ({"md5": MD5}, ("sha256",)),
    ],
)
def test_held_content_keeps_a_strong_digest_whatever_is_stated(stated, kept):
    """A weak digest is compared and then replaced."""
    entry = parse_one(held(digests=stated, size=13))

    assert kept == tuple(digest.algorithm for digest in entry.artifact.digests)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size": 12}, "states 12 bytes, its content has 13"),
        ({"digests": {"sha256": "0" * 64}}, "its content does not have the sha256 digest it"),
        ({"digests": {"sha256": SHA256, "md5": "0" * 32}}, "its content does not have the md5"),
        ({"content_base64": "?"}, "content_base64 is not base64"),
        ({"content_base64": "ä"}, "content_base64 is not base64"),
        ({"content_file": "a"}, "has both content_base64 and content_file"),
        ({"sources": [{"url": "a"}]}, "has both sources and content of its own"),
    ],
)
def test_held_content_that_contradicts_its_line_is_refused(changes, why):
    """What is stated must be what is there."""
    assert refusal(held(**changes)).startswith(why)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("absent", "content_file 'absent' is not a file"),
        (".", "content_file '.' is not a file"),
        ("/dev/zero", "content_file '/dev/zero' is not a file"),
        ("a\x00b", r"content_file 'a\x00b' is not a file"),
        ("\ud800", r"content_file '\ud800' is not a file"),
    ],
)
def test_held_content_in_no_file_is_refused(name, why, tmp_path):
    """A device might never end."""
    text = held(content_base64=..., content_file=name)

    assert why == refusal(text, folder=tmp_path)


def test_held_content_beyond_the_limit_is_refused(tmp_path):
    """The catalog is no store for large content."""
    with (tmp_path / "large").open("wb") as file:
        file.truncate(32 * 1024**2 + 1)

    assert "its content is larger than 32 MiB; publish it from an importer" == refusal(
        held(content_base64=..., content_file="large"), folder=tmp_path
    )


# -- media type and date -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/html", "text/html;", "text/html\r\nX: y", "a b/c", "x" * 256]
)
def test_media_type_outside_the_grammar_is_refused(text):
    """RFC 9110 section 8.3.1; a field cannot be smuggled in."""
    assert "media_type is not written as type/subtype" == refusal(line(media_type=text))


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (0, 0),
        (1700000000, 1700000000),
        (1700000000.9, 1700000000),
        ("2023-11-14T22:13:20Z", 1700000000),
        ("2023-11-14t22:13:20.5z", 1700000000),
        ("2023-11-15 00:13:20+02:00", 1700000000),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1700000000),
    ],
)
def test_date_is_read_in_each_of_its_forms(stated, expected):
    """RFC 3339, HTTP-date, or seconds since the epoch."""
    assert expected == parse_one(line(last_modified=stated)).last_modified


@pytest.mark.parametrize(
    "stated",
    [
        "yesterday",
        "",
        "2023-11-14",
        "2023-11-14T22:13:20",
        "2023-13-14T22:13:20Z",
        "Tue, 14 Nov 2023 22:13:20 CET",
        "Tue, 31 Feb 2023 22:13:20 GMT",
        "1700000000",
        -1,
        1e300,
        True,
        "1969-12-31T23:59:59Z",
    ],
)
def test_date_in_no_form_is_refused(stated):
    """A date without a zone says nothing."""
    assert refusal(line(last_modified=stated)).startswith("last_modified")
