"""Lists of mirrors of any content: the one refusal or usable records, within bounds, in order."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from hypothesis import strategies as st
from mirror_samples import (
    DEBIAN_FIELDS,
    MIRRORBITS_FIELDS,
    MIRRORBRAIN_FIELDS,
    SAMPLES,
    SHA256,
)
from proof import holds_for
from texts import LATIN_1, changed

from streamer.mirrors import (
    ListUnusable,
    base_of,
    field_digests,
    join,
    linked_mirrors,
    read_list,
)
from streamer.mirrors.addresses import MAX_URL_CHARACTERS, SCHEMES
from streamer.mirrors.links import MAX_LINKS
from streamer.model import strongest_first

PARTS = st.sampled_from(
    [
        *[b"<", b">", b"</file>", b"<file name='../x'>", b"<!DOCTYPE", b"&amp;", b"&#0;", b"]]>"],
        *[b"<url>", b"</url>", b"<a:url>", b"xmlns:a='", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf"],
        *[b"\n", b"\r", b"#", b"$x", b"http://", b"http://[", b"@", b":99999", b"..", b"\\", b"%"],
        *[b"99999999999999999999", b"-1", b"\xc3\xa4", b"\xe4", b"<!--", b"<?x", b" type=''"],
        *[b"repodata/repomd.xml", b"<hash type='md5'>x</hash>", b"<pieces/>", b"<size>x</size>"],
    ]
)
LISTS = (
    changed(st.sampled_from(sorted(SAMPLES.values())), PARTS | st.binary(max_size=3))
    | st.lists(PARTS, max_size=12).map(b"".join)
    | st.binary(max_size=40)
)
OWN_PATHS = st.none() | st.sampled_from(["repodata/repomd.xml", "", "/", "a.iso", "b/a.iso", "é"])
MEDIA_TYPES = st.sampled_from(["", "text/html", "text/plain", ";", "application/metalink4+xml"])

VALUES = changed(
    st.sampled_from(
        [
            *[value for _, value in MIRRORBITS_FIELDS + MIRRORBRAIN_FIELDS + DEBIAN_FIELDS],
            f"sha-256=:{SHA256}:",
            '<http://a.example/>; rel="duplicate"; title="x"',
        ]
    ),
    st.text('<>;,="\\ \tdupr\xe4', max_size=3),
)
FIELDS = st.lists(
    st.tuples(st.sampled_from(["Link", "link", "Digest", "Repr-Digest", "X"]), VALUES | LATIN_1),
    max_size=4,
).map(tuple)

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=4)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
BASES = st.sampled_from(["http://a/", "http://a/b//", "ftp://a/b/"])


def check_mirrors(mirrors):
    """They can be asked as they are, each is there once, and the best is first."""
    for mirror in mirrors:
        parts = urlsplit(mirror.url)
        assert parts.scheme == mirror.scheme
        assert parts.scheme in SCHEMES
        assert parts.hostname
        assert parts.port != 0
        assert "@" not in parts.netloc
        assert re.fullmatch(r"[\x21-\x7e]+", mirror.url)
        assert len(mirror.url) <= MAX_URL_CHARACTERS
        assert mirror.location is None or re.fullmatch("[a-z]{2}", mirror.location)
    priorities = [mirror.priority for mirror in mirrors]
    assert priorities == sorted(priorities)
    assert all(1 <= priority <= 999_999 for priority in priorities)
    assert len(mirrors) == len({mirror.url.rstrip("/") for mirror in mirrors})


def check_file(file):
    """What is claimed of it agrees with itself."""
    check_mirrors(file.urls)
    assert not {"", ".", ".."} & set(re.split(r"[/\\]", file.name))
    for version in (file.current, *file.older):
        assert version.digests == strongest_first(set(version.digests))
        assert version.size is None or 0 <= version.size < 10**18
    for pieces in file.pieces:
        span = pieces.length * len(pieces.digests)
        size = file.current.size
        assert size is None or span - pieces.length < size <= span


def read_or_refused(*arguments):
    try:
        return read_list(*arguments), ""
    except ListUnusable as error:
        return None, str(error)


@holds_for(examples=1000, content=LISTS, media_type=MEDIA_TYPES, own_path=OWN_PATHS)
def test_list_of_any_content_is_refused_or_usable(content, media_type, own_path):
    """The refusal is one sentence without any URL; else every mirror can be asked."""
    found, refusal = read_or_refused(content, media_type, own_path)
    if found is None:
        assert refusal.isprintable()
        assert "://" not in refusal
        return

    check_mirrors(found.mirrors)
    assert all("?" not in mirror.url and "$x" not in mirror.url for mirror in found.mirrors)
    assert found.mirrors or any(file.urls for file in found.files)
    for file in found.files:
        check_file(file)


@holds_for(examples=1000, fields=FIELDS)
def test_fields_of_any_content_give_usable_mirrors_or_none(fields):
    """Nothing is raised, and no more than the bound is taken."""
    found = linked_mirrors(fields)

    check_mirrors(found)
    assert len(found) <= MAX_LINKS
    assert field_digests(fields) == strongest_first(set(field_digests(fields)))


@holds_for(examples=300, path=PATHS, base=BASES)
def test_base_is_found_again_from_what_lies_below_it(path, base):
    """Whatever a file is called, its URL at a mirror leads back to the mirror."""
    url = join(base, quote(path))

    assert f"{base.rstrip('/')}/" == base_of(url, path)
