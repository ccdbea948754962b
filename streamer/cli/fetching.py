"""`fetch`, beneath the command: a save with a reactor of its own.

Strategy. The content takes the way of a client's, through supply, pump and verifier, into a file or
a stream. What cannot be renamed into place (a pipe, a device) gets its end when all is verified.
Nobody waits for a first byte here, so content that an origin sends once more from its beginning is
skipped however much it is. A file or a pipe that is slow holds up the reactor, which has nothing
else to do; a signal that ends the command gets it out of a pipe that nobody reads. The catalog and
the importers live as long as the reactor runs, which is once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.cli.frame import size_text
from streamer.cli.progress import ShowPosition, show_positions
from streamer.cli.running import (
    Ending,
    in_reactor,
    started_catalog,
    started_verification,
    supplies_of,
)
from streamer.file_target import FileTarget
from streamer.model import Artifact, PublishedArtifact
from streamer.saving import Saved, Saving, Target, not_writable
from streamer.settings import Settings
from streamer.stream_target import StreamTarget
from streamer.supply import Supply
from streamer.transfers import Notes


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was saved, the importer that sent the last of it, and the attempts that it took.

    There is no origin, and no attempt, where all of it had been kept from an earlier time.
    """

    saved: Saved
    origin: str | None
    attempts: int


def fetch_into(
    output: Path | None,
    published: PublishedArtifact,
    settings: Settings,
    *,
    resume: bool,
    silent: bool,
) -> Fetched:
    """Fetch what a path promises into a file, or to standard output; shows progress on stderr.

    Raises what `Saving.run` raises, with a note on what is kept. Runs the reactor, so it can be
    called once.
    """
    ending = Ending()
    with (
        _target(output, published.artifact, ending, resume=resume) as target,
        show_positions(published.artifact.size, silent=silent) as show,
    ):
        return in_reactor(
            lambda reactor: _fetch(reactor, target, published, settings, show), ending
        )


@contextmanager
def _target(
    output: Path | None, artifact: Artifact, ending: Ending, *, resume: bool
) -> Iterator[Target]:
    if output is None:
        stream = _Stream(sys.stdout.fileno(), ending)
        yield StreamTarget(stream, artifact.size, "standard output")
    elif output.exists() and not output.is_file():
        try:
            opened = output.open("wb", buffering=0)
        except OSError as error:
            raise not_writable(str(output), error) from error
        with opened:
            yield StreamTarget(_Stream(opened.fileno(), ending), artifact.size, str(output))
    else:
        with FileTarget(output, artifact, resume=resume) as target:
            try:
                yield target
            except BaseException as error:
                if kept_bytes := target.resumable_bytes:
                    error.add_note(_kept_note(target.partial, kept_bytes, artifact.size))
                raise


def _kept_note(partial: Path, kept_bytes: int, size: int | None) -> str:
    return (
        f"{size_text(kept_bytes)} of {size_text(size)} are kept in {partial}: "
        "the same command goes on there"
    )


class _Stream:
    """A descriptor without a buffer, in which bytes would wait that no signal could call back."""

    def __init__(self, descriptor: int, ending: Ending) -> None:
        self._descriptor = descriptor
        self._ending = ending

    def write(self, content: bytes) -> None:
        """See `stream_target.Writable`."""
        rest = memoryview(content)
        with self._ending.writing():
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def flush(self) -> None:
        """All of it is written."""


async def _fetch(
    reactor: Any,
    target: Target,
    published: PublishedArtifact,
    settings: Settings,
    show: ShowPosition,
) -> Fetched:
    artifact, notes = published.artifact, Notes()
    supplies = supplies_of(started_catalog(reactor, settings), reactor, settings)
    verification = started_verification(reactor, settings, supplies.metrics)
    saving = Saving(
        artifact,
        target,
        lambda: Supply.of(supplies, published, notes),
        clock=reactor,
        idle_seconds=settings.delivery.idle_seconds,
        verification=None if published.held else verification,
        algorithms=[digest.algorithm for digest in artifact.digests],
        on_checked=lambda position: show("checking what was kept", position),
        on_written=lambda position: show(f"fetching from {notes.origin}", position),
    )
    return Fetched(await saving.run(), notes.origin, notes.attempts)
