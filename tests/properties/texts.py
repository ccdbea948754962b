"""Texts that almost mean something: what is valid, changed in a few places."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

LATIN_1 = st.text(st.characters(max_codepoint=255), max_size=40)
"""What a field value may be after decoding, control characters included."""


@st.composite
def changed(draw, valid, pieces):
    """What `valid` gives, after up to three replacements by what `pieces` gives; str or bytes."""
    text = draw(valid)
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 4)))
        text = text[:start] + draw(pieces) + text[stop:]
    return text


def cut_at(content, places):
    """The pieces between these places, as far as they lie within `content`; none is empty."""
    within = [place for place in places if 0 < place < len(content)]
    bounds = sorted({0, len(content), *within})
    return [content[start:stop] for start, stop in pairwise(bounds)]


# -- Range ---------------------------------------------------------------------------------------

_NUMBERS = st.integers(0, 70).map(str) | st.sampled_from(
    ["", "00", "007", "64", "18446744073709551616", "9" * 40, "9" * 5000]
)
_SPECS = st.one_of(
    st.builds("{}-{}".format, _NUMBERS, _NUMBERS),
    st.builds("{}-".format, st.integers(0, 70)),
    st.builds("-{}".format, st.integers(0, 70)),
)
_SEPARATORS = st.sampled_from([",", ", ", " ,\t", ",,"])


@st.composite
def _range_sets(draw, specs):
    units = st.sampled_from(["bytes="] * 4 + ["Bytes=", "bytes =", "bytes", "items=", ""])
    text = draw(units)
    for number, spec in enumerate(draw(st.lists(specs, min_size=1, max_size=6))):
        text += (draw(_SEPARATORS) if number else "") + spec
    return text


@st.composite
def ascending_ranges(draw, highest):
    """A range set as a client of good will sends it, positions up to `highest` and open ends."""
    places = draw(st.lists(st.integers(0, highest), min_size=1, max_size=8, unique=True))
    pairs = zip(*[iter(sorted(places))] * 2, strict=False)
    specs = [f"{first}-{last}" for first, last in pairs] or [f"{places[0]}-"]
    if draw(st.booleans()):
        specs.append(draw(st.sampled_from([f"{max(places)}-", f"-{places[0]}", f"{highest}-"])))
    return "bytes=" + ",".join(specs)


RANGES = (
    _SPECS.map("bytes={}".format)
    | _range_sets(_SPECS)
    | ascending_ranges(70)
    | changed(_range_sets(_SPECS), st.text("0123456789-,= \tbytes٣\x00+", max_size=2))
    | LATIN_1
)
"""Values of a Range field: valid, nearly so, and none at all."""

RANGE_LINES = st.lists(RANGES, min_size=1, max_size=1) | st.lists(RANGES, max_size=3)
