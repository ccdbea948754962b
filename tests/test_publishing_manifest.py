"""Manifests: lines `path,sha256,size`, their URLs, and the manifest beside its entries."""

from __future__ import annotations

import hashlib

import pytest

from streamer.errors import EntryRejected
from streamer.model import Digest, DownloadConfig, EntrySource
from streamer.publishing import parse_manifest, publish_manifest

pytestmark = pytest.mark.subset

MIRROR = DownloadConfig(1, 1, "mirror", "http", {})
SHA256 = "0123456789abcdef" * 4


def parse_one(text):
    [entry] = parse_manifest([text.encode()], MIRROR)
    return entry


def refusal(content):
    with pytest.raises(EntryRejected) as caught:
        list(parse_manifest([content], MIRROR))
    return str(caught.value)


def test_line_becomes_an_entry_with_one_source():
    """Path, digest and size are promised; the URL follows from the path."""
    entry = parse_one(f"isos/disk.iso,{SHA256},4096\n")

    assert ("isos/disk.iso", 1, "package") == (entry.path, entry.line, entry.cache)
    assert ((Digest("sha256", SHA256),), 4096) == (entry.artifact.digests, entry.artifact.size)
    assert "application/x-iso9660-image" == entry.artifact.media_type
    assert ((EntrySource(1, "isos/disk.iso"),), None) == (entry.sources, entry.content)


@pytest.mark.parametrize("text", ["a,{},1", "a,{},1\r\n", "a, {} , 1 \n"])
def test_line_end_and_blanks_around_digest_and_size_are_ignored(text):
    """Manifests are also written by hand, and on other systems."""
    assert parse_one(f"a,{SHA256},1") == parse_one(text.format(SHA256))


def test_upper_case_digest_is_normalised():
    """There is one form inside."""
    assert SHA256 == parse_one(f"a,{SHA256.upper()},1").artifact.digest.hex


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("a/b.rpm", "a/b.rpm"),
        ("a,b,c.rpm", "a,b,c.rpm"),
        ("a b.rpm", "a%20b.rpm"),
        ("libstdc++.rpm", "libstdc%2B%2B.rpm"),
        ("foo_1:2~3.deb", "foo_1%3A2~3.deb"),
        ("100%.txt", "100%25.txt"),
        ("what?.txt", "what%3F.txt"),
        ("a#b", "a%23b"),
        ("a;b", "a%3Bb"),
        ("ä/ö", "%C3%A4/%C3%B6"),
        ("a@b=c&d!e$f'g(h)*", "a@b=c&d!e$f'g(h)*"),
    ],
)
def test_path_becomes_a_url_percent_encoded_by_segment(path, url):
    """What any server could read in two ways is encoded."""
    entry = parse_one(f"{path},{SHA256},1")

    assert (path, url) == (entry.path, entry.sources[0].url)


def test_blank_lines_count_and_are_ignored():
    """Line numbers are those of an editor."""
    entries = list(parse_manifest([b"\n", f"a,{SHA256},1\n".encode()], MIRROR))

    assert [2] == [entry.line for entry in entries]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"a", "line 1: is not written as path,sha256,size"),
        (f"a,{SHA256}".encode(), "line 1: is not written as path,sha256,size"),
        (f",{SHA256},1".encode(), "line 1: path '' has an empty"),
        (f"../a,{SHA256},1".encode(), "line 1: path '../a' has an empty"),
        (f"/a,{SHA256},1".encode(), "line 1: path '/a' begins with a slash"),
        (f"a\tb,{SHA256},1".encode(), r"line 1: path 'a\tb' has a control character"),
        (b"a,abc,1", "line 1: the sha256 digest is neither"),
        (f"a,{SHA256},".encode(), "line 1: size '' is not a number of bytes"),
        (f"a,{SHA256},-1".encode(), "line 1: size '-1' is not a number of bytes"),
        (f"a,{SHA256},1.5".encode(), "line 1: size '1.5' is not a number of bytes"),
        (f"a,{SHA256},{'9' * 19}".encode(), "is not a number of bytes"),
        (f"a,{SHA256},١".encode(), "is not a number of bytes"),
        (b"a\xff," + SHA256.encode() + b",1", "line 1: is not UTF-8 at byte 2"),
        (b"a" * 17_000, "line 1: is longer than 16,384 bytes"),
    ],
)
def test_wrong_line_is_named_with_what_and_why(content, why):
    """The operator finds the line and what to change in it."""
    assert why in refusal(content)


def test_wrong_lines_are_all_reported_to_whoever_wants_them():
    """One run names several wrong lines, and good ones go on."""
    rejections = []
    lines = [b"x\n", f"a,{SHA256},1\n".encode(), b"y\n"]

    entries = list(parse_manifest(lines, MIRROR, report=rejections.append))

    assert ([2], [1, 3]) == (
        [entry.line for entry in entries],
        [rejection.args[0] for rejection in rejections],
    )


def test_manifest_itself_is_published_as_held_content_after_its_entries():
    """What was read is what is published, byte for byte."""
    content = f"\n a ,{SHA256.upper()},1\r\nb,{SHA256},2".encode()

    *entries, itself = publish_manifest(content.splitlines(keepends=True), "PULP_MANIFEST", MIRROR)

    assert [" a ", "b"] == [entry.path for entry in entries]
    assert ("PULP_MANIFEST", content, ()) == (itself.path, itself.content, itself.sources)
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (
        itself.artifact.digest.hex,
        itself.artifact.size,
    )
    assert ("mutable", "text/plain") == (itself.cache, itself.artifact.media_type)


def test_manifest_too_large_to_hold_is_published_from_its_importer():
    """It is promised by the digest of what was read."""
    content = f"a,{SHA256},1\nb,{SHA256},2\n".encode()
    lines = content.splitlines(keepends=True)

    *_, itself = publish_manifest(lines, "MY MANIFEST", MIRROR, max_held_bytes=len(content) - 1)

    assert (None, (EntrySource(1, "MY%20MANIFEST"),)) == (itself.content, itself.sources)
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (
        itself.artifact.digest.hex,
        itself.artifact.size,
    )


def test_manifest_that_lists_itself_is_refused():
    """What a file says of its own digest cannot be true."""
    lines = [f"a,{SHA256},1\n".encode(), f"PULP_MANIFEST,{SHA256},2\n".encode()]

    with pytest.raises(EntryRejected, match="line 2: names the manifest itself"):
        list(publish_manifest(lines, "PULP_MANIFEST", MIRROR))
