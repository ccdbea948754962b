"""What is cut out of passing content, against slices of the whole and Python's reader of MIME."""

from __future__ import annotations

import email
from random import Random

from hypothesis import strategies as st
from proof import holds_for
from texts import cut_at

from streamer.model import Artifact, Digest
from streamer.partial_content import Selection
from streamer.ranges import ByteRange
from streamer.verify import HeldTail

BOUNDARY = "0123456789abcdef"


def content_of(size):
    """Bytes that never contain the boundary, the same for each size."""
    return Random(size).randbytes(size)


@st.composite
def selections(draw):
    """Ascending parts of some content, spans that hold them all, and places to cut it at."""
    size = draw(st.integers(1, 2000))
    places = draw(st.lists(st.integers(0, size), min_size=2, max_size=16, unique=True))
    bounds = sorted(places)
    parts = [ByteRange(first, end - 1) for first, end in zip(*[iter(bounds)] * 2, strict=False)]
    spans = [parts[0]]
    for part in parts[1:]:
        if draw(st.booleans()):
            spans[-1] = ByteRange(spans[-1].first, part.last)
        else:
            spans.append(part)
    near = [place + shift for place in bounds for shift in (-1, 0, 1)]
    cuts = draw(st.lists(st.sampled_from(near) | st.integers(0, size), max_size=12))
    return size, tuple(parts), tuple(spans), cuts


def sliced(content, part):
    return content[part.first : part.last + 1]


def parts_read_by_a_client(selection, response):
    """Content-Range and content of each part, as `email` reads them."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in selection.fields)
    message = email.message_from_bytes(fields.encode() + b"\r\n" + response)
    read = message.get_payload() if message.is_multipart() else [message]
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in read]


@holds_for(
    examples=400,
    selected=selections(),
    passes_whole=st.booleans(),
)
def test_cut_is_what_slices_of_the_content_are(selected, passes_whole):
    """However the content arrives, whole or in spans, the response is exactly the parts."""
    size, parts, spans, places = selected
    content = content_of(size)
    artifact = Artifact((Digest("sha256", "00" * 32),), size, "application/x-rpm")
    selection = Selection(artifact, parts, BOUNDARY if len(parts) > 1 else "")
    passing = content if passes_whole else b"".join(sliced(content, span) for span in spans)
    cut = selection.cut(() if passes_whole else spans)
    length = cut.length

    pieces = [piece for chunk in cut_at(passing, places) for piece in cut.push(chunk)]

    response = b"".join(pieces)
    expected = [(f"bytes {p.first}-{p.last}/{size}", sliced(content, p)) for p in parts]
    assert expected == parts_read_by_a_client(selection, response)
    assert length == len(response)
    assert ("Content-Length", str(length)) in selection.fields
    assert all(pieces)


@holds_for(
    size=st.integers(0, 3000),
    knows_size=st.booleans(),
    tail_bytes=st.integers(1, 1500),
    places=st.lists(st.integers(0, 3000), max_size=12),
)
def test_tail_stays_back_until_it_is_released(size, knows_size, tail_bytes, places):
    """At any moment the last bytes are held, all of them come out in order, and none twice."""
    content = content_of(size)
    tail = HeldTail(size if knows_size else None, tail_bytes)
    passed = b""
    pushed = 0

    for chunk in cut_at(content, places):
        passed += b"".join(tail.push(chunk))
        pushed += len(chunk)
        held = size - len(passed) if knows_size else pushed - len(passed)
        assert held >= min(tail_bytes, pushed if not knows_size else size)
        assert tail.held_bytes == pushed - len(passed)

    assert content == passed + b"".join(tail.release())
    assert tail.held_bytes == 0
