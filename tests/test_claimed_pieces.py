"""Whole exchanges in which a list of mirrors says something of the pieces, right, wrong or made up.

A mirror is an origin in memory that has some content, and honours ranges unless it is told not to.
"""

from __future__ import annotations

import hashlib

import pytest
from exchanges import LARGE, Service, answer_of, pieces, published, source

from streamer.errors import ContentTruncated
from streamer.health import OriginKey
from streamer.pieces.claims import Claim
from streamer.ranges import ByteRange
from streamer.testing import MemoryDownload, MemoryImporters

PIECE = 64 * 1024
LAST = len(LARGE) - 1
ACCEPTS = (("Accept-Ranges", "bytes"),)


def other(*places):
    """The content with one byte changed at each of these places."""
    changed = bytearray(LARGE)
    for place in places:
        changed[place] ^= 1
    return bytes(changed)


def claim_of(content=LARGE):
    """What a list says whose author has this content."""
    digests = [hashlib.sha1(piece).digest() for piece in pieces(content, PIECE)]
    return Claim(len(content), "sha1", PIECE, b"".join(digests))


class Mirrors(MemoryImporters):
    """Mirrors by the URLs of their sources, and what the list says that they are on."""

    def __init__(self):
        super().__init__()
        self.contents = {}
        self.claims = {}
        self.honour_ranges = True
        self.stretch = len(LARGE)
        """How much each of them sends before it breaks off."""

    def importer(self, config):
        importer = super().importer(config)
        build = importer.downloader

        def downloader(source):
            built = build(source)
            built.claim = self.claims.get(source.url)
            return built

        importer.downloader = downloader
        return importer

    async def open(self, source, span):
        self.spans.append(span)
        self.opened.append((source.importer.name, source.url))
        content = self.contents[source.url]
        if not self.honour_ranges:
            return MemoryDownload(pieces(content), length=len(content))
        wanted = span or ByteRange(0, LAST)
        sent = content[wanted.first : wanted.last + 1][: self.stretch]
        return MemoryDownload(
            pieces(sent),
            error=None if len(sent) == wanted.length else ContentTruncated(len(sent)),
            fields=ACCEPTS,
            part_of=None if span is None else len(content),
        )


def serve(claim, *contents, **keywords):
    """A service that has published LARGE, with a mirror for each content, in their order."""
    service = Service(importers=Mirrors(), **keywords)
    publish(service, claim, *contents)
    return service


def publish(service, claim, *contents, path="base/f"):
    names = [f"{path[0]}{number}" for number in range(len(contents))]
    service.importers.contents |= dict(zip(names, contents, strict=True))
    service.importers.claims |= dict.fromkeys(names, claim)
    sources = [source(name, importer=name, priority=at) for at, name in enumerate(names)]
    service.catalog.publish(path, published(LARGE, *sources))


def ask(service, path="/base/f", *fields):
    wire = service.ask(path, *fields)
    for _ in range(600):
        service.clock.advance(0.1)
    return answer_of(wire)


def asked(service):
    """The mirrors that were asked, in order."""
    return [name for name, _ in service.importers.opened]


def blame(service, name):
    """How much a mirror is blamed for content that was not this artifact's."""
    artifact = published(LARGE).artifact
    return service.health.blame(artifact, OriginKey(name, 1, 1, name))


# -- a right claim


@pytest.mark.parametrize("place", [0, PIECE, LAST])
def test_piece_that_is_wrong_comes_from_another_mirror(place):
    """From its beginning, and the client sees one response."""
    service = serve(claim_of(), other(place), LARGE)

    answer = ask(service)

    assert answer.is_complete
    assert LARGE == answer.content
    assert ["b0", "b1"] == asked(service)
    assert ByteRange(place // PIECE * PIECE, LAST) == service.importers.spans[-1]


def test_two_liars_are_healed_by_a_third_mirror():
    """They contradict each other, and not the claim together."""
    service = serve(claim_of(), other(PIECE), other(PIECE + 1), LARGE)

    answer = ask(service)

    assert LARGE == answer.content
    assert ["b0", "b1", "b2"] == asked(service)


def test_liar_alone_is_asked_again_and_found_in_the_end():
    """Nobody else has it: the digest that was published decides, as without a claim."""
    service = serve(claim_of(), other(PIECE))

    answer = ask(service)

    assert not answer.is_complete
    assert ["b0", "b0"] == asked(service)
    assert blame(service, "b0") > 0


# -- a wrong claim


@pytest.mark.parametrize("mirrors", [1, 2, 3])
@pytest.mark.parametrize("lies", [(0,), (PIECE,), (LAST,), (0, PIECE, 2 * PIECE, LAST)])
def test_right_content_passes_whatever_is_claimed(mirrors, lies):
    """For one more request, of another mirror if there is one, and nobody is blamed."""
    service = serve(claim_of(other(*lies)), *[LARGE] * mirrors)

    answer = ask(service)

    assert answer.is_complete
    assert LARGE == answer.content
    assert ["b0", "b1" if mirrors > 1 else "b0"] == asked(service)
    assert [0] * mirrors == [blame(service, f"b{at}") for at in range(mirrors)]


def test_wrong_content_does_not_pass_though_it_is_as_claimed():
    """A claim proves nothing."""
    wrong = other(PIECE)
    service = serve(claim_of(wrong), wrong)

    assert not ask(service).is_complete


def test_claim_is_nothing_to_mirrors_that_ignore_ranges():
    """Nobody could send a piece again."""
    service = serve(claim_of(other(2 * PIECE)), LARGE, skip_up_to=PIECE)
    service.importers.honour_ranges = False

    answer = ask(service)

    assert LARGE == answer.content
    assert ["b0"] == asked(service)


@pytest.mark.parametrize("stretch", [PIECE // 7, PIECE * 2 // 5, PIECE - 1, PIECE, PIECE + 1])
@pytest.mark.parametrize("mirrors", [1, 2])
def test_wrong_claim_does_no_harm_where_mirrors_break_off_all_the_time(mirrors, stretch):
    """What has come of a piece stays, and to ask for it again is nobody's failure."""
    service = serve(claim_of(other(PIECE)), *[LARGE] * mirrors)
    service.importers.stretch = stretch

    answer = ask(service)

    assert answer.is_complete
    assert LARGE == answer.content


def test_part_is_cut_out_of_right_content_whatever_is_claimed():
    """A range that is verified by all of the content."""
    service = serve(claim_of(other(0)), LARGE, LARGE, unlearned="verify")

    answer = ask(service, "/base/f", "Range: bytes=100000-100099")

    assert (206, LARGE[100_000:100_100]) == (answer.status, answer.content)


def test_wrong_claim_is_nothing_to_another_publication():
    """Of the same content, with mirrors of its own, before and after."""
    service = serve(claim_of(other(0, PIECE)), LARGE, LARGE)
    publish(service, None, LARGE, path="other/f")

    contents = [ask(service, path).content for path in ("/other/f", "/base/f", "/other/f")]

    assert [LARGE] * 3 == contents
    assert ["o0", "b0", "b1", "o0"] == asked(service)


def test_what_was_learned_beside_a_wrong_claim_is_right():
    """The next transfer is verified by it, and asks nobody twice."""
    service = serve(claim_of(other(PIECE)), LARGE, LARGE, learns=True)
    ask(service)
    service.importers.opened.clear()

    answer = ask(service)

    assert LARGE == answer.content
    assert ["b0"] == asked(service)
    assert "pieces" == service.transfers.written[-1].verified
