"""Plain lists, as CentOS, Rocky Linux and AlmaLinux send them: a URL in each line.

Blank lines and those that begin with `#` say nothing. The order of the lines is kept, and is no
priority: such lists are often shuffled.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from streamer.mirrors.addresses import base_fault
from streamer.mirrors.records import LeftOut, Mirror

_LINE = re.compile(r"^[ \t]*+([^\s#][^\n]*)", re.MULTILINE)


def plain_lines(text: str) -> Iterator[str]:
    """Give the lines that say something, without the blanks around them."""
    return (line[1].rstrip() for line in _LINE.finditer(text.replace("\r", "\n")))


def read_mirrorlist(
    lines: list[str], schemes: frozenset[str], left_out: Counter[LeftOut]
) -> list[Mirror]:
    """Read the bases in `lines`, and count the others."""
    found = []
    for line in lines:
        fault = base_fault(line, schemes)
        if fault is None:
            found.append(Mirror(line))
        else:
            left_out[fault] += 1
    return found
