"""Metalinks of both versions: mirrors, claims about files, and XML that means harm."""

from __future__ import annotations

import pytest
from mirror_samples import (
    FEDORA,
    MD5,
    MIRRORBRAIN,
    MIRRORBRAIN_3,
    OLDER_SHA256,
    OPENSUSE,
    SHA1,
    SHA256,
    SHA512,
)

from streamer.mirrors import (
    UNSTATED_PRIORITY,
    LeftOut,
    ListUnusable,
    Mirror,
    OfferedFile,
    Pieces,
    Version,
    read_list,
)
from streamer.mirrors.elements import (
    MAX_ATTRIBUTES,
    MAX_DEPTH,
    MAX_TAGS,
    MAX_TOKEN_CHARACTERS,
)
from streamer.mirrors.lists import MAX_ADDRESSES
from streamer.model import Digest

pytestmark = pytest.mark.subset

BASE = "updates/44/Everything/x86_64/"
UNSTATED = UNSTATED_PRIORITY


def meta4(inner):
    return f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{inner}</metalink>'.encode()


def meta4_file(inner="", name="f", url="http://a.example/x/f"):
    return meta4(f'<file name="{name}">{inner}<url>{url}</url></file>')


def only_file(content):
    [file] = read_list(content).files
    return file


def refusal(content):
    with pytest.raises(ListUnusable) as caught:
        read_list(content)
    return str(caught.value)


# -- version 3 -------------------------------------------------------------------------------------


def test_bases_of_fedora_stand_before_its_repodata():
    """The best preference comes first, equals stay in order, and rsync is left out."""
    found = read_list(FEDORA)

    assert found.mirrors == (
        Mirror(f"https://two.example/pub/fedora/{BASE}", 1, "de"),
        Mirror(f"http://one.example/fedora/{BASE}", 2, "gb"),
        Mirror(f"https://one.example/fedora/{BASE}", 2, "gb"),
        Mirror(f"ftp://three.example/fedora/{BASE}", 100, "cz"),
    )
    assert ("metalink 3", ((LeftOut.OTHER_SCHEME, 1),)) == (found.kind, found.left_out)


def test_fedora_offers_its_current_and_its_older_index():
    """A mirror may lag behind, which MirrorManager allows for some days."""
    file = only_file(FEDORA)

    digests = (
        Digest("sha256", SHA256),
        Digest("sha512", SHA512),
        Digest("sha1", SHA1),
        Digest("md5", MD5),
    )
    assert Version(4057, digests, 1779326542) == file.current
    assert (Version(4056, (Digest("sha256", OLDER_SHA256),), 1779237150),) == file.older
    assert ("repomd.xml", ()) == (file.name, file.pieces)
    assert f"https://two.example/pub/fedora/{BASE}repodata/repomd.xml" == file.urls[0].url


def test_torrent_of_version_3_is_no_mirror():
    """Its type says what its URL does not; an unstated preference comes last."""
    found = read_list(MIRRORBRAIN_3)

    assert found.mirrors == (
        Mirror("http://one.example/pub/", 11, "de"),
        Mirror("ftp://two.example/", UNSTATED, "de"),
    )
    assert ((LeftOut.OTHER_METADATA, 1),) == found.left_out


def test_numbered_pieces_of_version_3_are_read():
    """They stand within the verification."""
    assert (Pieces(262144, "sha1", (SHA1, SHA1[::-1])),) == only_file(MIRRORBRAIN_3).pieces


def test_pieces_out_of_their_order_are_left_out():
    """Where they belong is not guessed."""
    found = read_list(MIRRORBRAIN_3.replace(b'piece="1"', b'piece="2"'))

    assert () == found.files[0].pieces
    assert (LeftOut.PIECES, 1) in found.left_out


@pytest.mark.parametrize(
    ("preference", "priority"),
    [("100", 1), (" 1 ", 100), ("0", 101), ("101", UNSTATED), ("-1", UNSTATED), ("x", UNSTATED)],
)
def test_preference_is_turned_round(preference, priority):
    """100 is the best, and what is none of them says nothing."""
    content = MIRRORBRAIN_3.replace(b'preference="90"', f'preference="{preference}"'.encode())

    found = {mirror.url: mirror.priority for mirror in only_file(content).urls}
    assert priority == found["http://one.example/pub/a.iso"]


def test_version_3_without_a_namespace_is_read():
    """Older generators leave it out."""
    content = FEDORA.replace(b' xmlns="http://www.metalinker.org/"', b"")

    assert read_list(FEDORA).mirrors == read_list(content).mirrors


def test_index_that_lies_elsewhere_gives_no_base():
    """Where its packages would be is not guessed."""
    content = FEDORA.replace(b"x86_64/repodata/", b"x86_64/")

    found = read_list(content)
    assert ((), (LeftOut.NO_BASE, 4)) == (found.mirrors, found.left_out[-1])
    assert 4 == len(found.files[0].urls)


def test_index_that_is_named_with_its_folder_is_found():
    """MirrorManager once wrote the whole path of its own tree."""
    content = FEDORA.replace(b'name="repomd.xml"', b'name="pub/fedora/repodata/repomd.xml"')

    assert read_list(FEDORA).mirrors == read_list(content).mirrors


# -- version 4 -------------------------------------------------------------------------------------


def test_mirrors_of_one_package_are_bases_of_its_folder():
    """The publisher's own URL is none, and a mirror that is named twice keeps its better place."""
    found = read_list(OPENSUSE)

    assert "metalink 4" == found.kind
    assert found.mirrors == (
        Mirror("http://one.example/tumbleweed/repo/oss/noarch/", 1, "au"),
        Mirror("http://two.example/opensuse/tumbleweed/repo/oss/noarch/", 2, "nz"),
    )


def test_own_path_of_the_file_gives_the_base_of_its_tree():
    """Who asked for the list knows where the file lies; a URL that lies elsewhere has no base."""
    content = OPENSUSE.replace(b"opensuse/tumbleweed/repo/oss/noarch", b"flat")

    found = read_list(content, own_path="oss/noarch/file-5.43-1.1.noarch.rpm")
    assert ["http://one.example/tumbleweed/repo/"] == [mirror.url for mirror in found.mirrors]
    assert ((LeftOut.NO_BASE, 1),) == found.left_out


def test_own_path_is_about_its_own_file_alone():
    """Another file of the list lies where its name says."""
    found = read_list(MIRRORBRAIN, own_path="pub/isos/small disk.iso")

    assert ["http://one.example/", "http://two.example/", "http://four.example/x/"] == [
        mirror.url for mirror in found.mirrors if mirror.priority < UNSTATED
    ]


def test_files_of_one_document_share_their_mirrors():
    """Each base is there once, with the best priority that a file gave it."""
    found = read_list(MIRRORBRAIN)

    assert found.mirrors == (
        Mirror("http://one.example/", 1, "cn"),
        Mirror("http://two.example/pub/", 2, "jp"),
        Mirror("http://four.example/x/", 3, "fr"),
        Mirror("http://three.example/", UNSTATED),
    )
    assert ((LeftOut.OTHER_METADATA, 1),) == found.left_out
    assert ["isos/small disk.iso", "isos/SHA256SUMS"] == [file.name for file in found.files]


def test_claims_of_version_4_are_read():
    """The digest to verify with stands first."""
    file = read_list(MIRRORBRAIN).files[0]

    assert (600000, None) == (file.current.size, file.current.timestamp)
    assert ["sha256", "sha1", "md5"] == [digest.algorithm for digest in file.current.digests]
    assert (Pieces(262144, "sha1", (SHA1, SHA1[::-1], SHA1)),) == file.pieces


def test_file_without_claims_is_offered():
    """What it holds, the catalog knows."""
    expected = OfferedFile("f", Version(), (), (), (Mirror("http://a.example/x/f"),))

    assert expected == only_file(meta4_file())


@pytest.mark.parametrize(
    ("stated", "priority"),
    [("1", 1), ("999999", 999999), ("0", UNSTATED), ("1000000", UNSTATED), ("best", UNSTATED)],
)
def test_priority_is_taken_within_its_bounds(stated, priority):
    """RFC 5854 4.2.16."""
    content = meta4(f'<file name="f"><url priority="{stated}">http://a.example/f</url></file>')

    assert priority == only_file(content).urls[0].priority


@pytest.mark.parametrize(
    ("hashes", "digests"),
    [
        (f'<hash type="SHA-256"> {SHA256.upper()} </hash>', (Digest("sha256", SHA256),)),
        (f'<hash type="sha256">{SHA1}</hash><hash type="sha1">{SHA1}</hash>', "sha1"),
        (f'<hash type="md5">{MD5}</hash><hash type="md5">{MD5[::-1]}</hash>', ()),
        (f'<hash type="sha-256">{"g" * 64}</hash>', ()),
        (f'<hash type="sha-256">{"٣" * 64}</hash>', ()),
        (f"<hash>{SHA256}</hash>", ()),
        (f'<hash type="tiger">{SHA256}</hash>', ()),
    ],
)
def test_digests_are_read_where_they_can_be(hashes, digests):
    """One that is malformed, or that another contradicts, is no claim."""
    expected = (Digest("sha1", SHA1),) if digests == "sha1" else digests

    assert expected == only_file(meta4_file(hashes)).current.digests


@pytest.mark.parametrize(
    ("length", "size", "count"),
    [("4", "8", 2), ("4", "7", 2), ("4", "5", 2), ("4", "x", 2), ("4", "x", 9)],
)
def test_pieces_that_make_up_the_file_are_claims(length, size, count):
    """The last may be shorter; without a size nobody can tell."""
    inner = f'<size>{size}</size><pieces length="{length}" type="sha-1">'
    inner += f"<hash>{SHA1}</hash>" * count + "</pieces>"

    assert (Pieces(4, "sha1", (SHA1,) * count),) == only_file(meta4_file(inner)).pieces


@pytest.mark.parametrize(
    ("length", "size", "hashes"),
    [
        ("4", "9", [SHA1] * 2),
        ("4", "4", [SHA1] * 2),
        ("0", "x", [SHA1]),
        ("x", "x", [SHA1]),
        ("4", "8", [SHA1, MD5]),
        ("4", "0", []),
    ],
)
def test_pieces_that_do_not_make_up_the_file_are_left_out(length, size, hashes):
    """They are about something else."""
    inner = f'<size>{size}</size><pieces length="{length}" type="sha-1">'
    inner += "".join(f"<hash>{value}</hash>" for value in hashes) + "</pieces>"

    found = read_list(meta4_file(inner))
    assert ((), ((LeftOut.PIECES, 1),)) == (found.files[0].pieces, found.left_out)


@pytest.mark.parametrize("name", ["../f", "/f", "a/../f", "a\\f", "", "%2e%2e/f"])
def test_file_whose_name_leads_out_is_left_out(name):
    """The others of the document are used."""
    other = '<file name="g"><url>http://a.example/g</url></file>'
    content = meta4(f'<file name="{name}"><url>http://a.example/f</url></file>{other}')

    found = read_list(content)
    assert (["g"], ((LeftOut.UNSAFE_NAME, 1),)) == ([f.name for f in found.files], found.left_out)


def test_url_without_a_base_is_still_a_place_of_the_file():
    """Nothing else can be asked for there."""
    found = read_list(meta4_file(url="http://a.example/get?id=7"))

    assert ((), ((LeftOut.NO_BASE, 1),)) == (found.mirrors, found.left_out)
    assert "http://a.example/get?id=7" == found.files[0].urls[0].url


@pytest.mark.parametrize("value", [SHA256[::-1], SHA1, SHA256])
def test_digest_that_is_malformed_repeated_or_contradicted_is_counted(value):
    """An operator may want to hear of it."""
    hashes = f'<hash type="sha-256">{SHA256}</hash><hash type="sha-256">{value}</hash>'

    assert ((LeftOut.DIGEST, 1),) == read_list(meta4_file(hashes)).left_out


def test_prefix_of_another_namespace_is_not_mirrormanagers():
    """What it says of timestamps and alternates is not known."""
    content = FEDORA.replace(b"http://fedorahosted.org/mirrormanager", b"urn:other")

    file = only_file(content)
    assert (None, ()) == (file.current.timestamp, file.older)


def test_escapes_of_xml_are_part_of_no_url():
    """`&amp;` is an ampersand, and text in CDATA is text."""
    content = meta4_file(url="http://a.example/a&amp;b/<![CDATA[c&d]]>/&#102;")

    assert "http://a.example/a&b/c&d/f" == only_file(content).urls[0].url


def test_text_around_a_comment_is_one_url():
    """A comment is no part of what it stands in."""
    content = meta4_file(url="http://a.example/a/long/way<!-- and -->/further/f")

    assert "http://a.example/a/long/way/further/f" == only_file(content).urls[0].url


@pytest.mark.parametrize("url", ["<b/>http://a.example/f", "http://a.example/<b>f</b>"])
def test_text_beside_an_element_is_no_url(url):
    """What the two mean together is not guessed."""
    assert "(not a URL: 1)" in refusal(meta4_file(url=url))


def test_document_with_a_prefix_is_read():
    """A namespace may have any prefix; elements of others mean nothing."""
    content = b"""<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink" xmlns="urn:other">
      <file name="no"><url>http://no.example/no</url></file>
      <m:file name="f"><url>http://no.example/f</url><m:url>http://a.example/f</m:url></m:file>
    </m:metalink>"""

    assert (Mirror("http://a.example/"),) == read_list(content).mirrors


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"<metalink/>", "a version that is not known"),
        (b'<metalink version="2.0"/>', "a version that is not known"),
        (b'<metalink version="3.0" xmlns="urn:other"/>', "a version that is not known"),
        (meta4(""), "names no mirror"),
        (meta4('<file name="f"/>'), "names no mirror"),
        (meta4_file(url="rsync://a.example/f"), "(another protocol: 1)"),
        (meta4_file(url="http://a:b@a.example/f"), "(credentials in the URL: 1)"),
        (meta4_file(url="x" * 10_000), "(too long: 1)"),
        (meta4_file()[:-5], "malformed XML at line 1"),
        (meta4_file() + b"x", "malformed XML at line 1"),
        (meta4_file("&nbsp;"), "malformed XML"),
        (meta4_file("\x08"), "malformed XML"),
    ],
)
def test_metalink_that_cannot_be_used_is_refused_with_its_reason(content, part):
    """The sentence says what is the matter."""
    assert part in refusal(content)


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
HOSTILE = {
    "billion-laughs": f'<!DOCTYPE metalink [<!ENTITY l0 "ha">{LAUGHS}]><metalink>&l9;</metalink>',
    "external-entity": '<!DOCTYPE metalink [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<metalink>&x;</metalink>",
    "external-type": '<!DOCTYPE metalink SYSTEM "http://evil.example/x.dtd"><metalink/>',
    "default-attributes": '<!DOCTYPE metalink [<!ATTLIST metalink x CDATA "3.0">]><metalink/>',
    "utf-16": '\ufeff<!DOCTYPE metalink [<!ENTITY x "y">]><metalink/>',
}


@pytest.mark.parametrize(
    "content",
    [text.encode("utf-16-le" if name == "utf-16" else "utf-8") for name, text in HOSTILE.items()],
    ids=HOSTILE,
)
def test_document_type_is_refused_unread(content):
    """Without one there are no entities, no defaults, and nothing to fetch."""
    assert "the list has a document type, which is not read" == refusal(content)


@pytest.mark.parametrize("name", ["utf-16", "utf-7", "idna", "zip", "x" * 40, "EBCDIC-CP-US"])
def test_declared_coding_is_not_obeyed(name):
    """A stranger does not choose the decoder."""
    content = f'<?xml version="1.0" encoding="{name}"?>'.encode() + meta4_file()

    assert "f" == only_file(content).name


def test_depth_of_a_list_is_bounded():
    """No level more than the bound, however much follows."""
    levels = MAX_DEPTH - 2  # the root and the file are there already
    fits = meta4_file("<a>" * levels + "</a>" * levels)

    assert "f" == only_file(fits).name
    beyond = meta4_file("<a>" * (levels + 1) + "</a>" * (levels + 1))
    assert f"nested more than {MAX_DEPTH} deep" in refusal(beyond)


def test_attributes_of_an_element_are_bounded():
    """One more than the bound is refused."""
    attributes = [f"a{number}='x'" for number in range(MAX_ATTRIBUTES + 1)]

    assert "f" == only_file(meta4_file(f"<a {' '.join(attributes[1:])}/>")).name
    assert "more than 32 attributes" in refusal(meta4_file(f"<a {' '.join(attributes)}/>"))


def test_tags_of_a_list_are_bounded():
    """Counted before anything is built of them."""
    rest = "<a/>" * (MAX_TAGS - meta4_file().count(b"<"))

    assert "f" == only_file(meta4_file(rest)).name
    assert "more than 150,000 tags" in refusal(meta4_file(rest + "<a/>"))


@pytest.mark.parametrize(
    "inner",
    [
        "<a b='{}'/>",
        "<!--{}-->",
        "<a>{}</a>",
        "<?a {}?>",
        "<{}/>",
    ],
)
def test_length_of_a_token_is_bounded(inner):
    """A long one would be read again and again while it arrives."""
    fits = inner.format("x" * (MAX_TOKEN_CHARACTERS - 20))

    assert "f" == only_file(meta4_file(fits)).name
    assert "over 65,536 characters" in refusal(meta4_file(inner.format("x" * MAX_TOKEN_CHARACTERS)))


def test_long_text_is_not_taken_for_a_url():
    """What is not kept of it must not make it a shorter one."""
    content = meta4_file(url="http://a.example/" + "x" * 60_000 + "<!-- -->" + "/f" * 20_000)

    assert "(too long: 1)" in refusal(content)


def test_addresses_of_a_metalink_are_bounded():
    """All files count."""
    file = '<file name="f">' + "<url>http://a.example/f</url>" * (MAX_ADDRESSES // 2) + "</file>"

    assert 1 == len(read_list(meta4(file * 2)).mirrors)
    assert "more than 10,000 addresses" in refusal(
        meta4(file * 2 + '<file name="g"><url>x</url></file>')
    )
