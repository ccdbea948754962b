"""`fetch`, beneath the command: a save with a reactor of its own.

Strategy. The content takes the way of a client's, through supply, pump and verifier, into a file or
a stream. What cannot be renamed into place (a pipe, a device) gets its end when all is verified.
Nobody waits for a first byte here, so content that an origin sends once more from its beginning is
skipped however much it is. A file or a pipe that is slow holds up the reactor, which has nothing
else to do; a signal that ends the command gets it out of a pipe that nobody reads. The catalog and
the importers live as long as the reactor runs, which is once.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import react
from twisted.python.failure import Failure

from streamer.catalog import ThreadedCatalog
from streamer.cli.frame import size_text
from streamer.cli.progress import ShowPosition, show_positions
from streamer.file_target import FileTarget
from streamer.health import Health
from streamer.importers import ImporterPool, Registry
from streamer.interfaces import Surroundings
from streamer.keyring import Keyring
from streamer.metrics import Metrics
from streamer.model import Artifact, PublishedArtifact
from streamer.saving import Saved, Saving, Target, not_writable
from streamer.settings import Settings
from streamer.stream_target import StreamTarget
from streamer.supplies import Supplies
from streamer.supply import Supply
from streamer.transfers import Notes

PSEUDONYM = "pulp-streamer-fetch"

T = TypeVar("T")


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
    ending = _Ending()
    with (
        _target(output, published.artifact, ending, resume=resume) as target,
        show_positions(published.artifact.size, silent=silent) as show,
    ):
        return _in_reactor(
            lambda reactor: _fetch(reactor, target, published, settings, show), ending
        )


@contextmanager
def _target(
    output: Path | None, artifact: Artifact, ending: _Ending, *, resume: bool
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


class _Ending:
    """Ctrl-C and SIGTERM while the reactor runs: they stop it, or get a write out of its wait.

    The reactor's own handlers would not say that there was a signal, and would wait for the write.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}
        self._is_writing = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Here a signal raises `InterruptedError`."""
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False

    def listen(self, reactor: Any) -> None:
        """Hear signals from now on, also when the reactor begins to hear some itself."""

        def end(number: int, frame: object) -> None:
            self._number = number
            if self._is_writing:
                raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
            reactor.callFromThread(_stop, reactor)

        for number in (signal.SIGINT, signal.SIGTERM):
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, end)
                reactor.callWhenRunning(signal.signal, number, end)

    def take_effect(self) -> None:
        """Let the signal that came, if any, do what it would have done without a reactor."""
        for number, before in self._before.items():
            signal.signal(number, before)
        if self._number is not None:
            signal.raise_signal(self._number)


def _stop(reactor: Any) -> None:
    with suppress(ReactorNotRunning):  # it came to its end by itself
        reactor.stop()


class _Stream:
    """A descriptor without a buffer, in which bytes would wait that no signal could call back."""

    def __init__(self, descriptor: int, ending: _Ending) -> None:
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


def _in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]], ending: _Ending) -> T:
    outcome: list[T | Failure] = []

    def main(reactor: Any) -> Deferred[None]:
        ending.listen(reactor)
        running = Deferred.fromCoroutine(work(reactor))
        # A reactor that is stopped would look like an origin that broke off.
        reactor.addSystemEventTrigger("before", "shutdown", running.cancel)
        return running.addBoth(outcome.append)

    try:
        react(main)
    except SystemExit:  # it ends like a program, and there is more to do
        if not outcome:
            raise
    ending.take_effect()
    result = outcome[0]
    if isinstance(result, Failure):
        if result.check(CancelledError):  # the reactor heard the signal first
            raise KeyboardInterrupt
        result.raiseException()
    return result


async def _fetch(
    reactor: Any,
    target: Target,
    published: PublishedArtifact,
    settings: Settings,
    show: ShowPosition,
) -> Fetched:
    artifact, notes = published.artifact, Notes()
    supplies = _supplies(reactor, settings)
    saving = Saving(
        artifact,
        target,
        lambda: Supply.of(supplies, published, notes),
        clock=reactor,
        idle_seconds=settings.delivery.idle_seconds,
        algorithms=[digest.algorithm for digest in artifact.digests],
        on_checked=lambda position: show("checking what was kept", position),
        on_written=lambda position: show(f"fetching from {notes.origin}", position),
    )
    return Fetched(await saving.run(), notes.origin, notes.attempts)


def _supplies(reactor: Any, settings: Settings) -> Supplies:
    catalog = ThreadedCatalog(settings.catalog.url.reveal(), reactor)
    catalog.start()
    reactor.addSystemEventTrigger("during", "shutdown", catalog.stop)
    keyring = Keyring(settings.secrets.key_file)
    surroundings = Surroundings(reactor, PSEUDONYM, settings.importers.file_roots)
    return Supplies(
        catalog,
        ImporterPool(Registry(), surroundings, keyring),
        Health(settings.origins, reactor.seconds, jitter=random.random),
        Metrics(CollectorRegistry()),
        settings.delivery.model_copy(update={"skip_up_to_bytes": sys.maxsize}),
        reactor,
        jitter=random.random,
    )
