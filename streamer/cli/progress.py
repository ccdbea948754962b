"""What somebody sees on stderr while a long publish or fetch runs, or much is learned.

A bar where stderr is a terminal, a plain line every few seconds where it is a log, nothing where
a program reads JSON. Separate so that neither of them knows which. Looks at the clock once in many
entries, so that showing progress costs nothing that could be measured.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import click

from streamer.cli.frame import size_text
from streamer.model import Entry

LINE_EVERY_SECONDS = 5.0
LOOK_EVERY_ENTRIES = 500

Show = Callable[[int, int], None]
Say = Callable[[str], None]
ShowPosition = Callable[[str, int], None]
"""Shows what is being done, and at which byte it is."""
ShowLearning = Callable[[int, int], None]
"""Shows how many artifacts were looked at, and how many bytes came so far."""


class Progress:
    """Counts what was read and what was accepted, and shows it now and then."""

    def __init__(self, show: Show, say: Say) -> None:
        self._show = show
        self.say = say
        self._bytes_read = 0

    def read(self, byte_count: int) -> None:
        """Note that so much more of the input was read."""
        self._bytes_read += byte_count

    def counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Let entries through and show how many went."""
        count = 0
        for count, entry in enumerate(entries, start=1):
            if count % LOOK_EVERY_ENTRIES == 0:
                self._show(count, self._bytes_read)
            yield entry
        self._show(count, self._bytes_read)


@contextmanager
def make_progress(stream: BinaryIO, *, silent: bool) -> Iterator[Progress]:
    """Choose how to show the progress of reading `stream`; takes its bar away in the end."""
    total = _size(stream)
    if silent:
        yield Progress(lambda count, bytes_read: None, lambda text: None)
    elif sys.stderr.isatty():
        with _bar(total) as progress:
            yield progress
    else:
        yield Progress(lines_now_and_then(total, _say, time.monotonic), _say)


def _size(stream: BinaryIO) -> int | None:
    status = os.fstat(stream.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _say(text: str) -> None:
    click.echo(text, err=True)


def lines_now_and_then(total: int | None, say: Say, clock: Callable[[], float]) -> Show:
    """Give a function that says how far it is, at most once in `LINE_EVERY_SECONDS`."""
    is_time = _now_and_then(clock)

    def show(count: int, bytes_read: int) -> None:
        if is_time():
            share = f", {bytes_read * 100 // total} % of the file" if total else ""
            say(f"{count:,} entries{share}")

    return show


def _now_and_then(clock: Callable[[], float]) -> Callable[[], bool]:
    last = clock()

    def is_time() -> bool:
        nonlocal last
        now = clock()
        is_due = now - last >= LINE_EVERY_SECONDS
        last = now if is_due else last
        return is_due

    return is_time


@contextmanager
def _bar(total: int | None) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("publishing"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %" if total else ""),
        TextColumn("{task.fields[count]:,} entries"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("publishing", total=total, count=0)

        def show(count: int, bytes_read: int) -> None:
            bar.update(task, completed=bytes_read, count=count)

        yield Progress(show, lambda text: bar.console.print(text, markup=False))


# -- a fetch -------------------------------------------------------------------------------------


@contextmanager
def show_positions(total: int | None, *, silent: bool) -> Iterator[ShowPosition]:
    """Choose how to show the progress of `total` bytes; takes its bar away in the end."""
    if silent:
        yield lambda doing, position: None
    elif sys.stderr.isatty():
        with _byte_bar(total) as show:
            yield show
    else:
        yield positions_now_and_then(total, _say, time.monotonic)


def positions_now_and_then(total: int | None, say: Say, clock: Callable[[], float]) -> ShowPosition:
    """As `lines_now_and_then`, for bytes."""
    is_time = _now_and_then(clock)

    def show(doing: str, position: int) -> None:
        if is_time():
            say(f"{doing}: {size_text(position)} of {size_text(total)}")

    return show


@contextmanager
def _byte_bar(total: int | None) -> Iterator[ShowPosition]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("asking", total=total)
        last = ("asking", 0)

        def show(doing: str, position: int) -> None:
            nonlocal last
            if doing != last[0] or position < last[1]:
                # What was there before has no part in the rate.
                bar.reset(task, total=total, completed=position, description=doing)
            else:
                bar.update(task, completed=position)
            last = (doing, position)

        yield show


# -- learning ahead ------------------------------------------------------------------------------


@contextmanager
def show_learning(total: int, *, silent: bool) -> Iterator[ShowLearning]:
    """Choose how to show the progress through `total` artifacts; takes its bar away in the end."""
    if silent:
        yield lambda looked_at, received_bytes: None
    elif sys.stderr.isatty():
        with _learning_bar(total) as show:
            yield show
    else:
        yield learning_now_and_then(total, _say, time.monotonic)


def learning_now_and_then(total: int, say: Say, clock: Callable[[], float]) -> ShowLearning:
    """As `lines_now_and_then`; the rate is that of all the time so far."""
    is_time, began_at = _now_and_then(clock), clock()

    def show(looked_at: int, received_bytes: int) -> None:
        if is_time():
            rate = received_bytes / max(clock() - began_at, LINE_EVERY_SECONDS)
            say(
                f"{looked_at:,} of {total:,} artifacts; "
                f"{size_text(received_bytes)} fetched, {size_text(int(rate))} a second"
            )

    return show


@contextmanager
def _learning_bar(total: int) -> Iterator[ShowLearning]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("learning"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} artifacts"),
        TextColumn("{task.fields[bytes]}, {task.fields[rate]} a second"),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("learning", total=total, bytes=size_text(0), rate=size_text(0))
        began_at = time.monotonic()

        def show(looked_at: int, received_bytes: int) -> None:
            rate = received_bytes / max(time.monotonic() - began_at, 1.0)
            bar.update(
                task,
                completed=looked_at,
                bytes=size_text(received_bytes),
                rate=size_text(int(rate)),
            )

        yield show
