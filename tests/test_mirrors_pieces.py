"""Pieces in metalinks: which of them become claims, about which path, and who is handed them."""

from __future__ import annotations

import hashlib

import pytest
from mirror_samples import MIRRORBRAIN, MIRRORBRAIN_3, SHA1
from origins import Origin, serves
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from streamer.importers.mirrors import MirrorsImporterType
from streamer.interfaces import Surroundings
from streamer.mirrors import ListUnusable, read_list
from streamer.model import Digest, DownloadConfig, RemoteArtifact
from streamer.pieces.claims import MAX_PIECE_BYTES, MIN_PIECE_BYTES, Claim

METALINK = ("Content-Type: application/metalink4+xml",)
KIB_256 = 256 * 1024
PIECE = MIN_PIECE_BYTES
SHA256 = hashlib.sha256(b"x").hexdigest()
OTHER_SHA1 = hashlib.sha1(b"x").hexdigest()


def pieces(*digests, length=PIECE, algorithm="sha-1"):
    hashes = "".join(f"<hash>{value}</hash>" for value in digests)
    return f'<pieces length="{length}" type="{algorithm}">{hashes}</pieces>'


def file(*inner, name="f", size=PIECE, base="http://a.example/x/"):
    stated = "" if size is None else f"<size>{size}</size>"
    return f'<file name="{name}">{stated}{"".join(inner)}<url>{base}{name}</url></file>'


def meta4(*files):
    return f'<metalink xmlns="urn:ietf:params:xml:ns:metalink">{"".join(files)}</metalink>'.encode()


def claims(content, own_path=None):
    return read_list(content, own_path=own_path).claims


def packed(*values):
    return bytes.fromhex("".join(values))


ONE_PIECE = Claim(PIECE, "sha1", PIECE, packed(SHA1))


# -- what becomes a claim


def test_pieces_of_version_4_become_a_claim():
    """With what the list says of the whole; a file without pieces has none."""
    file = read_list(MIRRORBRAIN).files[0]

    expected = Claim(600_000, "sha1", KIB_256, packed(SHA1, SHA1[::-1], SHA1), file.current.digests)
    assert {"isos/small disk.iso": expected} == claims(MIRRORBRAIN)


def test_pieces_of_version_3_become_a_claim():
    """They are numbered there."""
    expected = Claim(300_000, "sha1", KIB_256, packed(SHA1, SHA1[::-1]), (Digest("sha1", SHA1),))

    assert {"a.iso": expected} == claims(MIRRORBRAIN_3)


def test_pieces_of_version_3_out_of_order_are_no_claim():
    """Whose they are nobody knows; the list's mirrors are used all the same."""
    swapped = MIRRORBRAIN_3.replace(b'piece="0"', b'piece="2"')

    found = read_list(swapped)
    assert ({}, ["http://one.example/pub/", "ftp://two.example/"]) == (
        found.claims,
        [mirror.url for mirror in found.mirrors],
    )


def test_pieces_that_say_most_become_the_claim():
    """Of several, those of the algorithm that is best verified with."""
    content = meta4(file(pieces(SHA1), pieces(SHA256, algorithm="SHA-256")))

    assert {"f": Claim(PIECE, "sha256", PIECE, packed(SHA256))} == claims(content)


def test_pieces_that_cannot_be_used_leave_the_others():
    """A bad claim is no claim, and no harm to a good one."""
    too_long = pieces(SHA256, length=MAX_PIECE_BYTES + 1, algorithm="sha-256")
    content = meta4(file(too_long, pieces(SHA1)))

    assert {"f": ONE_PIECE} == claims(content)


@pytest.mark.parametrize(
    "inner",
    [
        (),
        (pieces(),),
        (pieces(SHA1, SHA1),),
        (pieces(SHA1[1:]),),
        (pieces("g" * 40),),
        (pieces(SHA1, length=PIECE - 1),),
        (pieces(SHA1, length=MAX_PIECE_BYTES + 1),),
        (pieces(SHA1, length=0),),
        (pieces(SHA1, length=-PIECE),),
        (pieces(SHA1, length="9" * 30),),
        (pieces(SHA1, length="many"),),
        (pieces(SHA1, algorithm="tiger"),),
        (pieces(SHA1, algorithm=""),),
        (f"<pieces><hash>{SHA1}</hash></pieces>",),
        ("<pieces/>",),
    ],
)
def test_pieces_that_are_wrong_are_no_claim_and_no_harm(inner):
    """The list is used as if it had none."""
    found = read_list(meta4(file(*inner)))

    assert ({}, ["http://a.example/x/"]) == (
        found.claims,
        [mirror.url for mirror in found.mirrors],
    )


@pytest.mark.parametrize("size", [None, "x", 0, -1, "9" * 18, PIECE + 1])
def test_pieces_of_no_size_or_another_are_no_claim(size):
    """Where the last one ends is not known."""
    assert {} == claims(meta4(file(pieces(SHA1), size=size)))


def test_digest_that_contradicts_itself_is_not_taken_for_the_whole():
    """The pieces are a claim as before."""
    hashes = f'<hash type="sha-1">{SHA1}</hash><hash type="sha-1">{OTHER_SHA1}</hash>'

    assert {"f": ONE_PIECE} == claims(meta4(file(hashes, pieces(SHA1))))


def test_list_of_very_many_pieces_is_read_up_to_its_own_bounds():
    """The same number of longer digests makes it a list that is too long, refused as any is."""
    count = 70_000
    with pytest.raises(ListUnusable):
        read_list(meta4(file(pieces(*[SHA256] * count), size=count * PIECE)))

    found = claims(meta4(file(pieces(*[SHA1] * count), size=count * PIECE)))
    assert packed(SHA1) == found["f"].digest(count - 1)


# -- about which path


def test_claim_is_about_the_path_below_a_mirror():
    """As for the mirrors' bases: `list_file` says it of its own file, others have it as a name."""
    content = meta4(
        file(pieces(SHA1), name="disk.iso", base="http://a.example/images/"),
        file(pieces(OTHER_SHA1), name="b/other.iso"),
    )

    found = claims(content, own_path="images/disk.iso")
    assert ["images/disk.iso", "b/other.iso"] == [*found]


def test_two_files_of_one_path_have_no_claim():
    """Which of them lies there nobody knows; not even where they agree."""
    content = meta4(file(pieces(SHA1)), file(pieces(OTHER_SHA1)), file(pieces(SHA1), name="g"))

    assert {"g": ONE_PIECE} == claims(content)


def test_plain_list_has_no_claims():
    """It names places and nothing else."""
    assert {} == claims(b"http://a.example/\n")


# -- who is handed it


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "mirrors", {}), url)


@pytest.fixture
def build(reactor):
    """Give a function that builds an importer over a list, which is closed in the end."""
    built = []

    def make(lists):
        kind = MirrorsImporterType()
        config = {"url": f"{lists.url}list", "allow_private_redirects": True}
        built.append(kind.build(kind.normalise(config), Surroundings(reactor, "test")))
        return built[-1]

    yield make
    for each in built:
        Deferred.fromCoroutine(each.close())


async def handed(importer, url):
    return [each.claim for each in await importer.downloaders(source(url))]


TWO_MIRRORS = meta4(
    file(pieces(SHA1), "<url>http://b.example/y/a%20f</url>", name="a f").replace(
        "/x/a f", "/x/a%20f"
    )
)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("a%20f", [ONE_PIECE, ONE_PIECE]),
        ("%61%20f", [ONE_PIECE, ONE_PIECE]),
        ("a%20g", [None, None]),
        ("a%20f?x=1", [None, None]),
        ("b/a%20f", [None, None]),
        ("http://a.example/x/a%20f", [None]),
    ],
)
@ensureDeferred
async def test_each_mirror_of_the_file_is_handed_its_claim(build, url, expected):
    """And nobody who is asked for something else."""
    with Origin(serves(TWO_MIRRORS, METALINK)) as lists:
        found = await handed(build(lists), url)

    assert expected == found


@ensureDeferred
async def test_claim_belongs_to_the_importer_whose_list_made_it(build):
    """What another importer's list says of the same path is nothing to this one."""
    lie = meta4(file(pieces(OTHER_SHA1)))
    truth = serves(meta4(file(pieces(SHA1))), METALINK)
    with Origin(truth) as lists, Origin(serves(lie, METALINK)) as lies:
        importer, lied_to = build(lists), build(lies)
        found = [await handed(each, "f") for each in (importer, lied_to, importer)]

    expected = Claim(PIECE, "sha1", PIECE, packed(OTHER_SHA1))
    assert [[ONE_PIECE], [expected], [ONE_PIECE]] == found
