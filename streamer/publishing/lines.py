"""Lines of bounded length out of a file, and what becomes of a wrong one.

Separate from the formats, which see whole lines only. Refuses to let one endless line fill the
memory: what is too long arrives cut, and longer than a format accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

from streamer.errors import EntryRejected

MAX_LINE_BYTES = 64 * 1024**2
"""Room for the largest held artifact in base64, 43 MiB, and for what stands beside it."""

Report = Callable[[EntryRejected], None]
"""Takes a wrong line; by raising it ends the reading, by returning it lets it go on."""


def raise_rejection(rejection: EntryRejected) -> None:
    """End the reading at the first wrong line."""
    raise rejection


def bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Give the lines of `stream`; of one that is too long, only as much as shows that it is."""
    cut = MAX_LINE_BYTES + 2  # a line feed may be the last byte of a line that is not too long
    while line := stream.readline(cut):
        yield line
        while len(line) == cut and not line.endswith(b"\n"):
            line = stream.readline(cut)


def numbered_text(
    lines: Iterable[bytes], max_bytes: int, report: Report
) -> Iterator[tuple[int, str]]:
    """Give each line that is not blank as text with its number, counted from 1."""
    for number, line in enumerate(lines, start=1):
        if len(line) > max_bytes + 1:  # and the line feed
            report(EntryRejected(number, f"is longer than {max_bytes:,} bytes"))
            continue
        try:
            # Editors of one well-known system put a byte order mark before the first line.
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            report(EntryRejected(number, f"is not UTF-8 at byte {error.start + 1}"))
            continue
        if text.strip():
            yield number, text
