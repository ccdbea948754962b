"""What RFC 9110 says of ranges and conditions, written a second time and as plainly as it reads.

It shares no code with the service and leaves arithmetic to Python's slices. A part is a `range` of
byte positions.
"""

from __future__ import annotations

from itertools import pairwise

MAX_RANGES = 256
BEYOND_ANY_SIZE = 10**19
DIGITS = set("0123456789")


class Unsatisfiable(Exception):
    """Section 15.5.17: the answer is 416."""


def specs_of(lines):
    """First and last position or (None, length of a suffix) of a valid field; else None.

    Sections 14.1.1 and 14.1.2; white space and empty members of a list by section 5.6.1.2.
    """
    if len(lines) != 1:
        return None
    unit, equals, ranges = lines[0].strip(" \t").partition("=")
    if unit.lower() != "bytes" or not equals:
        return None
    members = [member.strip(" \t") for member in ranges.split(",")]
    specs = [_spec(member) for member in members if member]
    return None if "malformed" in specs or not specs else specs


def _spec(member):
    if set(member) - DIGITS != {"-"} or member.count("-") != 1 or member == "-":
        return "malformed"
    first, last = (_number(digits) for digits in member.split("-"))
    if first is not None and last is not None and last < first:
        return "malformed"
    return first, last


def _number(digits):
    """The value of a number; all beyond any size are one, so none of them is below another.

    (Section 14.2 leaves it to a server to ignore or to reject a last position below the first.)
    """
    if not digits:
        return None
    return BEYOND_ANY_SIZE if len(digits.lstrip("0")) > 19 else int(digits[-19:])


def positions(spec, size):
    """The bytes of `size` that a spec means; none where it is not satisfiable."""
    first, last = spec
    if first is None:
        return range(size)[-last:] if last > 0 else range(0)
    return range(size)[first : None if last is None else last + 1]


def asked_for(lines, size):
    """The positions that are sent as 206, in order; [] where Range is ignored.

    The service ignores what it may ignore (section 14.2): more than `MAX_RANGES`, and ranges that
    overlap or do not ascend.
    """
    specs = specs_of(lines)
    if specs is None or len(specs) > MAX_RANGES:
        return []
    found = [found for spec in specs if (found := positions(spec, size))]
    if not found:
        # Section 14.1.2: a suffix that is not empty is satisfiable, even by nothing.
        if size == 0 and any(first is None and last > 0 for first, last in specs):
            return []
        raise Unsatisfiable
    if any(left[-1] >= right[0] for left, right in pairwise(found)):
        return []
    return found


def way(asked, size, *, unlearned, verify_up_to, is_held, is_distrusted):
    """How ranges are served: the rows of the table in `streamer.ranges`, top down, as a name."""
    rows = [
        (not asked, "WHOLE"),
        (size is None, "WHOLE"),
        (is_held, "CUT"),
        (is_distrusted and unlearned != "refuse", "CUT"),
        (unlearned != "refuse" and sum(map(len, asked)) == size, "CUT"),
        (unlearned == "auto" and size is not None and size <= verify_up_to, "CUT"),
        (unlearned == "auto", "PASSED"),
        (unlearned == "verify", "CUT"),
        (unlearned == "pass", "PASSED"),
        (unlearned == "refuse", "WHOLE"),
    ]
    return next(name for applies, name in rows if applies)


def condition(etag, modified, *, if_match, if_unmodified_since, if_none_match, if_modified_since):
    """Section 13.2.2, step by step, for GET: 200, 304 or 412.

    Tags are lists of texts, None for an absent field; dates are seconds, None where they are
    absent or are no dates.
    """
    if if_match is not None:
        if etag not in if_match and "*" not in if_match:
            return 412
    elif if_unmodified_since is not None and modified > if_unmodified_since:
        return 412
    if if_none_match is not None:
        opaque = {tag.removeprefix("W/") for tag in if_none_match}
        return 304 if etag in opaque or "*" in opaque else 200
    if if_modified_since is not None and modified <= if_modified_since:
        return 304
    return 200
