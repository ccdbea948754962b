"""From the parts that a client wants to the leaves that cover them, as few requests.

Nothing but what covers a part is asked for: of each part less than a leaf on either side. Only
where that would take more requests than one client may cause are the nearest ones joined.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from heapq import nsmallest

from streamer.pieces.table import aligned
from streamer.ranges import MAX_SPANS, ByteRange


def covering(parts: Sequence[ByteRange], size: int) -> tuple[ByteRange, ...]:
    """The leaves that cover ascending parts of `size` bytes, adjacent ones together.

    There are at most `MAX_SPANS`, and no leaf more than that takes.
    """
    leaves = [aligned(part, size) for part in parts]
    adjacent = {place for place in range(1, len(leaves)) if _gap_before(leaves, place) <= 0}
    spans = _joined(leaves, adjacent)
    surplus = len(spans) - MAX_SPANS
    nearest = nsmallest(surplus, range(1, len(spans)), key=lambda place: _gap_before(spans, place))
    return tuple(_joined(spans, set(nearest)))


def _gap_before(spans: Sequence[ByteRange], place: int) -> int:
    """How many bytes lie between this span and the one before; none is less than nothing."""
    return spans[place].first - spans[place - 1].last - 1


def _joined(spans: Sequence[ByteRange], places: Container[int]) -> list[ByteRange]:
    """The same, with those at `places` joined to the one before."""
    joined = [spans[0]]
    for place, span in enumerate(spans[1:], start=1):
        if place in places:
            joined[-1] = ByteRange(joined[-1].first, span.last)
        else:
            joined.append(span)
    return joined
