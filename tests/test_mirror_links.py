"""Links of a response to duplicates of its content, and the digests that stand beside them."""

from __future__ import annotations

import base64

import pytest
from mirror_samples import (
    DEBIAN_FIELDS,
    MD5,
    MIRRORBITS_FIELDS,
    MIRRORBRAIN_FIELDS,
    SHA1,
    SHA256,
)

from streamer.mirrors import UNSTATED_PRIORITY, Mirror, field_digests, linked_mirrors
from streamer.mirrors.links import MAX_LINKS
from streamer.model import Digest

pytestmark = pytest.mark.subset

A = Mirror("http://a.example/f")


def linked(*values):
    return linked_mirrors(tuple(("Link", value) for value in values))


def in_base64(value):
    return base64.b64encode(bytes.fromhex(value)).decode()


# -- Link ------------------------------------------------------------------------------------------


def test_links_of_mirrorbits_are_mirrors():
    """A country that it does not know is empty."""
    assert linked_mirrors(MIRRORBITS_FIELDS) == (
        Mirror("http://two.example/pub/a.iso", 1, "fr"),
        Mirror("http://three.example/a.iso", 2),
    )


def test_links_of_mirrorbrain_are_mirrors():
    """The metalink beside them describes the content, and is no duplicate of it."""
    assert linked_mirrors(MIRRORBRAIN_FIELDS) == (
        Mirror("http://one.example/a.iso", 1, "de"),
        Mirror("ftp://two.example/pub/a.iso", 2, "pt"),
    )


def test_several_links_of_one_field_are_read():
    """As Debian's redirector writes them."""
    assert linked_mirrors(DEBIAN_FIELDS) == (
        Mirror("http://one.example/debian/", 1),
        Mirror("http://two.example/debian/", 1),
    )


def test_best_link_comes_first():
    """By `pri`, and the unstated ones after all others."""
    found = linked(
        "<http://c.example/f>; rel=duplicate",
        "<http://b.example/f>; rel=duplicate; pri=7",
        "<http://a.example/f>; rel=duplicate; pri=2, <http://b.example/f>; rel=duplicate; pri=3",
    )

    assert [("http://a.example/f", 2), ("http://b.example/f", 3)] == [
        (mirror.url, mirror.priority) for mirror in found[:2]
    ]
    assert [UNSTATED_PRIORITY] == [mirror.priority for mirror in found[2:]]


@pytest.mark.parametrize(
    "value",
    [
        "<http://a.example/f>; rel=duplicate",
        '<http://a.example/f>;rel="duplicate"',
        '<http://a.example/f> ; REL = "Duplicate"',
        '<http://a.example/f>; rel="self  duplicate"',
        '<http://a.example/f>; rel="dupli\\cate"',
        "<http://a.example/f>; rel=duplicate; rel=self",
        '<http://a.example/f>; title="a, <b>; \\"c\\""; rel=duplicate',
        "<http://a.example/f>;; pref; rel=duplicate;",
        ",\t, <http://a.example/f>; rel=duplicate,",
        "<http://a.example/f>; rel=duplicate; pri=0",
        "<http://a.example/f>; rel=duplicate; pri=1234567",
        "<http://a.example/f>; rel=duplicate; pri=x; geo=Europe",
        "<http://a.example/f>; rel=duplicate garbage, <http://b.example/f>; rel=duplicate",
        "<http://a.example/f>; rel=duplicate, garbage, <http://b.example/f>; rel=duplicate",
        "<http://a.example/f>; rel=duplicate <http://b.example/f>; rel=duplicate",
        "<http://a.example/f>; rel=duplicate, <http://b.example/f",
    ],
)
def test_forms_of_a_link_mean_the_same(value):
    """RFC 8288 3 and B.2: what follows a fault is not read."""
    assert (A,) == linked(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "http://a.example/f; rel=duplicate",
        "<http://a.example/f>",
        "<http://a.example/f>; rel=alternate",
        "<http://a.example/f>; rel=duplicates",
        "<http://a.example/f>; rel=self; rel=duplicate",
        '<http://a.example/f>; title="; rel=duplicate"',
        '<http://a.example/f>; title="; rel=duplicate',
        '<http://a.example/f>; title="; rel=duplicate\\',
        '<http://a.example/f>; rel=duplicate; anchor="/other"',
        "</f>; rel=duplicate",
        "<//a.example/f>; rel=duplicate",
        "<rsync://a.example/f>; rel=duplicate",
        "<http://u:p@a.example/f>; rel=duplicate",
        "<http://a.example/ f>; rel=duplicate",
        "<http://a.example/\xe4>; rel=duplicate",
        f"<http://a.example/{'x' * 3000}>; rel=duplicate",
    ],
)
def test_link_that_is_no_usable_duplicate_says_nothing(value):
    """And does no harm."""
    assert () == linked(value)


def test_schemes_of_links_can_be_chosen():
    """An importer of HTTP asks nobody by FTP."""
    found = linked_mirrors(MIRRORBRAIN_FIELDS, schemes=frozenset({"http", "https"}))

    assert ["http"] == [mirror.scheme for mirror in found]


def test_links_of_a_response_are_bounded():
    """The first ones count."""
    values = [f"<http://h{number}.example/f>; rel=duplicate" for number in range(MAX_LINKS + 1)]

    assert [f"http://h{number}.example/f" for number in range(MAX_LINKS)] == [
        mirror.url for mirror in linked(", ".join(values))
    ]


# -- Digest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("Digest", f"SHA-256={in_base64(SHA256)}")], [("sha256", SHA256)]),
        (
            [("digest", f"MD5={in_base64(MD5)},SHA={in_base64(SHA1)}")],
            [("sha1", SHA1), ("md5", MD5)],
        ),
        ([("Repr-Digest", f"sha-256=:{in_base64(SHA256)}:")], [("sha256", SHA256)]),
        ([("Repr-Digest", f"md5=:{in_base64(MD5)}:, sha-256=:{in_base64(SHA256)}:;p=1")], "both"),
        ([("Digest", f"SHA-256={in_base64(MD5)}")], []),
        ([("Digest", f"tiger={in_base64(SHA256)}")], []),
        ([("Digest", "SHA-256=????, sha-256, =x,, UNIXsum=30637")], []),
        ([("Content-Digest", f"sha-256=:{in_base64(SHA256)}:")], []),
        (
            [
                ("Digest", f"SHA-256={in_base64(SHA256)}"),
                ("Repr-Digest", f"sha-256=:{in_base64(SHA256[::-1])}:"),
            ],
            [],
        ),
    ],
)
def test_digests_of_fields_are_claims_about_the_whole(fields, expected):
    """RFC 3230 and RFC 9530; what is malformed, partial or contradicted says nothing."""
    found = [("sha256", SHA256), ("md5", MD5)] if expected == "both" else expected

    assert tuple(Digest(*digest) for digest in found) == field_digests(tuple(fields))
