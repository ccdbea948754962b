"""Ranges of bytes: read a Range field, hold it against a length, decide how it may be served.

Strategy. A Range is a wish (RFC 9110 section 14.2): what is malformed, too much or in an order in
which content does not pass is ignored, and the answer is 200 with the whole. What is well-formed
and beyond the end is refused with 416. The arithmetic is written from section 14.1; positions are
inclusive at both ends, as there.

A range says nothing of the content around it, so no digest can verify it. `way_of` decides whether
its pieces prove it, whether it is cut out of a whole that is verified, or passed on from the origin
unverified and so marked:

| the artifact | `range.unlearned` | way |
|---|---|---|
| of unknown size | any | WHOLE |
| held by the catalog | any | CUT |
| whose pieces are known | any | PROVEN |
| whose content broke off lately | any but `refuse` | CUT |
| asked for from its first byte to its last | any but `refuse` | CUT |
| up to `range.verify_up_to` | `auto` | CUT |
| beyond it | `auto` | PASSED |
| any | `verify`, `pass`, `refuse` | CUT, PASSED, WHOLE |

`PASSED` becomes `WHOLE` where the ranges lie too far apart for a handful of requests.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from typing import Literal

from streamer.errors import RangeNotSatisfiable

MAX_RANGES = 256
"""As many as librepo asks for at once when it updates a zchunk file; Apache has 200."""

SPAN_GAP_BYTES = 64 * 1024
"""Ranges closer than this are asked of an origin together: a request costs about as much."""

MAX_SPANS = 32
"""How many requests to an origin one request of a client may cause."""

_RANGE_SET = re.compile(r"bytes=([0-9,\- \t]*)", re.IGNORECASE)
_RANGE_SPEC = re.compile(r"([0-9]*)-([0-9]*)")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)", re.IGNORECASE)
_BEYOND_ANY_SIZE = 10**19
"""Stands for every larger number, since turning ten thousand digits into one takes time."""

Unlearned = Literal["auto", "verify", "pass", "refuse"]
"""The values of `range.unlearned`."""


@dataclass(frozen=True, slots=True, order=True)
class ByteRange:
    """The bytes from `first` to `last`, both included; never empty."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def content_range(self, size: int) -> str:
        """The Content-Range of this part of `size` bytes (RFC 9110 section 14.4)."""
        return f"bytes {self}/{size}"


class Way(Enum):
    """How a request with ranges is served."""

    WHOLE = auto()
    """With 200, as if there were no Range."""
    CUT = auto()
    """With 206, cut out of the whole content while that is verified."""
    PROVEN = auto()
    """With 206, cut out of those pieces of the content that cover the ranges."""
    PASSED = auto()
    """With 206, by asking the origin for the ranges alone; nothing verifies them."""


# -- what a client asks for ----------------------------------------------------------------------


def select(values: Sequence[str], size: int) -> tuple[ByteRange, ...]:
    """The parts of `size` bytes that the lines of a Range field ask for, in ascending order.

    Empty where the field is absent or to be ignored: malformed, of another unit, repeated, of more
    than `MAX_RANGES` ranges, or of ranges that overlap or do not ascend. Ranges beyond the end are
    left out; raises `RangeNotSatisfiable` where no other is left (RFC 9110 section 15.5.17).
    """
    specs = read_ranges(values)
    if not specs:
        return ()
    parts = [part for spec in specs if (part := _part(spec, size)) is not None]
    if not parts:
        if size == 0 and any(_is_suffix_of_something(spec) for spec in specs):
            # Satisfiable by section 14.1.2, and yet no Content-Range can write it.
            return ()
        raise RangeNotSatisfiable(size)
    ascends = all(left.last < right.first for left, right in pairwise(parts))
    return tuple(parts) if ascends else ()


Spec = tuple[int | None, int | None]
"""First and last position; without a first one the second is the length of a suffix."""


def read_ranges(values: Sequence[str]) -> tuple[Spec, ...]:
    """The ranges that the lines of a Range field ask for; () where it is to be ignored.

    That is so where it is absent, malformed, of another unit, repeated or of too many ranges.
    """
    specs = _specs(values[0]) if len(values) == 1 else ()
    return specs if len(specs) <= MAX_RANGES else ()


def lies_within(part: ByteRange, spec: Spec, size: int | None) -> bool:
    """Whether a part of content holds nothing beyond what a range asks for.

    Where the complete `size` is not known, a suffix is judged by its length alone.
    """
    first, last = spec
    if size is None and first is None:
        return part.length <= (last or 0)
    asked = _part(spec, _BEYOND_ANY_SIZE if size is None else size)
    return asked is not None and asked.first <= part.first and part.last <= asked.last


def _specs(value: str) -> tuple[Spec, ...]:
    """Read `bytes=` and its list; () where any member is malformed (RFC 9110 section 14.1.1)."""
    match = _RANGE_SET.fullmatch(value.strip(" \t"))
    if match is None:
        return ()
    # A recipient ignores empty members of a list (RFC 9110 section 5.6.1.2).
    members = [member.strip(" \t") for member in match[1].split(",") if member.strip(" \t")]
    specs = [_spec(member) for member in members]
    return tuple(spec for spec in specs if spec is not None) if None not in specs else ()


def _spec(member: str) -> Spec | None:
    match = _RANGE_SPEC.fullmatch(member)
    if match is None:
        return None
    first, last = _number(match[1]), _number(match[2])
    is_malformed = last < first if first is not None and last is not None else first is last
    return None if is_malformed else (first, last)


def _number(digits: str) -> int | None:
    if not digits:
        return None
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) < 20 else _BEYOND_ANY_SIZE


def _part(spec: Spec, size: int) -> ByteRange | None:
    """What a spec means for `size` bytes; None where it is not satisfiable (section 14.1.2)."""
    first, last = spec
    if first is None:
        assert last is not None  # noqa: S101 - by `_spec`, for the type checker
        first, last = max(0, size - last), None
    last = size - 1 if last is None else min(last, size - 1)
    return ByteRange(first, last) if first <= last else None


def _is_suffix_of_something(spec: Spec) -> bool:
    return spec[0] is None and spec[1] != 0


def resumes(values: Sequence[str]) -> bool:
    """Whether the sender of these Range lines may hold earlier bytes of the content already.

    Everything counts that is not a single range from the first byte: a later beginning, a suffix,
    several ranges, and what cannot be read. The answer "no" has to be certain.
    """
    if not values:
        return False
    specs = _specs(values[0]) if len(values) == 1 else ()
    return len(specs) != 1 or specs[0][0] != 0


# -- how it is served ----------------------------------------------------------------------------


def way_of(
    parts: Sequence[ByteRange],
    size: int | None,
    *,
    unlearned: Unlearned,
    verify_up_to: int,
    is_held: bool = False,
    is_distrusted: bool = False,
    is_learned: bool = False,
) -> Way:
    """Decide by the table in the module's docstring; sizes in bytes."""
    if not parts or size is None:
        return Way.WHOLE
    if is_held:
        return Way.CUT
    if is_learned:
        return Way.PROVEN
    if unlearned == "refuse":
        return Way.WHOLE
    covers_all = sum(part.length for part in parts) == size
    is_moderate = unlearned == "auto" and size <= verify_up_to
    if unlearned == "verify" or covers_all or is_distrusted or is_moderate:
        return Way.CUT
    return Way.PASSED if len(spans(parts)) <= MAX_SPANS else Way.WHOLE


def spans(parts: Sequence[ByteRange]) -> tuple[ByteRange, ...]:
    """Join ascending parts that lie close together: what to ask an origin for, in order."""
    joined = [parts[0]]
    for part in parts[1:]:
        if part.first - joined[-1].last - 1 <= SPAN_GAP_BYTES:
            joined[-1] = ByteRange(joined[-1].first, part.last)
        else:
            joined.append(part)
    return tuple(joined)


# -- what an origin says it sends ----------------------------------------------------------------


def read_content_range(value: str) -> tuple[ByteRange, int] | None:
    """The range and the complete length of a Content-Range field, or None.

    An unknown length (`*`) is None too: nothing would show that it is the same representation.
    """
    part, size = read_relayed_range(value) or (None, None)
    return None if part is None or size is None else (part, size)


def read_relayed_range(value: str) -> tuple[ByteRange, int | None] | None:
    """The same, where the complete length may be unknown (RFC 9110 section 14.4)."""
    match = _CONTENT_RANGE.fullmatch(value.strip(" \t"))
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    size = None if match[3] == "*" else int(match[3])
    is_possible = first <= last and (size is None or last < size)
    return (ByteRange(first, last), size) if is_possible else None
