"""Cutting what a response holds out of content that passes by."""

from __future__ import annotations

import email
from itertools import combinations, product

import pytest

from streamer.model import Artifact, Digest
from streamer.partial_content import Selection
from streamer.ranges import ByteRange, spans

CONTENT = bytes(range(65, 72))
SIZE = len(CONTENT)
ARTIFACT = Artifact((Digest("sha256", "00"),), SIZE, "text/plain")
LARGE = Artifact((Digest("sha256", "00"),), 10**9, "application/x-iso9660-image")

EVERY_PART = [
    ByteRange(first, last) for first, last in product(range(SIZE), repeat=2) if first <= last
]
EVERY_TWO = [(one, two) for one, two in product(EVERY_PART, repeat=2) if one.last < two.first]
EVERY_CHUNKING = [
    [CONTENT[start:end] for start, end in zip((0, *ends), (*ends, SIZE), strict=True)]
    for number in range(SIZE)
    for ends in combinations(range(1, SIZE), number)
]


def given_out(selection, chunks, spans_that_pass=()):
    """All pieces, in one."""
    cut = selection.cut(spans_that_pass)
    content = b"".join(piece for chunk in chunks for piece in cut.push(chunk))
    assert cut.length in (None, len(content))
    return content


def parts_of(selection, content):
    """The parts of a multipart response as a mail reader sees them."""
    media_type = dict(selection.fields)["Content-Type"].encode()
    message = email.message_from_bytes(b"Content-Type: " + media_type + b"\r\n\r\n" + content)
    return [
        (part["Content-Range"], part["Content-Type"], part.get_payload(decode=True))
        for part in message.get_payload()
    ]


def test_whole_content_passes_as_it_comes():
    """Nothing is cut off, and the length is the artifact's."""
    selection = Selection(ARTIFACT)

    assert given_out(selection, [CONTENT[:3], CONTENT[3:]]) == CONTENT
    assert selection.status == 200
    assert selection.fields == (("Content-Length", "7"), ("Content-Type", "text/plain"))


def test_whole_content_of_unknown_size_has_no_length():
    """RFC 9110 8.6: what is not known is not stated."""
    selection = Selection(Artifact(ARTIFACT.digests, None, "text/plain"))

    assert given_out(selection, [CONTENT]) == CONTENT
    assert selection.fields == (("Content-Type", "text/plain"),)


@pytest.mark.parametrize("part", EVERY_PART, ids=str)
def test_every_part_is_cut_out_of_every_chunking(part):
    """Where chunks end makes no difference."""
    selection = Selection(ARTIFACT, (part,))

    found = {given_out(selection, chunks) for chunks in EVERY_CHUNKING}

    assert found == {CONTENT[part.first : part.last + 1]}
    assert selection.status == 206
    assert selection.fields == (
        ("Content-Length", str(part.length)),
        ("Content-Type", "text/plain"),
        ("Content-Range", f"bytes {part}/7"),
    )


@pytest.mark.parametrize("parts", EVERY_TWO, ids=lambda parts: "-and-".join(map(str, parts)))
def test_every_two_parts_are_framed_as_multipart(parts):
    """RFC 9110 14.6, read by a parser that knows nothing of us, for every chunking."""
    selection = Selection(ARTIFACT, parts, "boundary")

    (found,) = {given_out(selection, chunks) for chunks in EVERY_CHUNKING}

    assert parts_of(selection, found) == [
        (f"bytes {part}/7", "text/plain", CONTENT[part.first : part.last + 1]) for part in parts
    ]


def test_several_parts_have_no_content_range_of_their_own():
    """RFC 9110 15.3.7.2: it stands in each part, and must not stand in the head."""
    selection = Selection(ARTIFACT, (ByteRange(0, 0), ByteRange(6, 6)), "boundary")

    assert selection.fields == (
        ("Content-Length", str(selection.cut().length)),
        ("Content-Type", "multipart/byteranges; boundary=boundary"),
    )


def test_multipart_looks_as_in_the_rfc():
    """RFC 9110 15.3.7.2 byte for byte: the delimiters, the fields of a part, the end."""
    selection = Selection(ARTIFACT, (ByteRange(0, 1), ByteRange(5, 6)), "B")

    assert given_out(selection, [CONTENT]) == (
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/7\r\n\r\nAB"
        b"\r\n--B\r\nContent-Type: text/plain\r\nContent-Range: bytes 5-6/7\r\n\r\nFG"
        b"\r\n--B--\r\n"
    )


def test_part_goes_out_before_the_content_has_passed():
    """A range at the beginning of an image does not wait for its end."""
    cut = Selection(LARGE, (ByteRange(2, 3),)).cut()

    assert cut.push(b"ABCD") == [b"CD"]
    assert cut.push(b"EFGH") == []


@pytest.mark.parametrize("gap", [0, 1, 64 * 1024, 64 * 1024 + 1])
def test_parts_are_cut_out_of_the_spans_that_hold_them(gap):
    """Only the spans pass, strung together; what lies between them never comes."""
    content = bytes(index % 251 for index in range(200_000))
    parts = (ByteRange(10, 19), ByteRange(20 + gap, 25 + gap), ByteRange(199_990, 199_999))
    passing = spans(parts)
    selection = Selection(Artifact(ARTIFACT.digests, 200_000, "text/plain"), parts, "boundary")
    strung = b"".join(content[span.first : span.last + 1] for span in passing)

    found = given_out(selection, [strung[:15], strung[15:]], passing)

    assert [part[2] for part in parts_of(selection, found)] == [
        content[part.first : part.last + 1] for part in parts
    ]
