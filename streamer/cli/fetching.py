"""`fetch`, beneath the command: the pump with a file in the place of a client.

Strategy. The content goes through the same fetch and verifier as a client's. A file gets its
name only when its content is verified, so one that is there is right; where there is no name to
give (a pipe, a device), the end is held back until then, as from a client. The catalog and the
importers live as long as the reactor runs, which is once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.task import react
from twisted.python.failure import Failure

from streamer.catalog import ThreadedCatalog
from streamer.errors import NoOriginServed, OperationRefused, OriginError, OriginTimedOut
from streamer.importers import ImporterPool, Registry, Surroundings
from streamer.interfaces import Download
from streamer.model import PublishedArtifact
from streamer.pipe import Fetch
from streamer.plan import candidates
from streamer.settings import Settings
from streamer.verify import TAIL_BYTES, ContentVerifier, HeldTail

PSEUDONYM = "pulp-streamer-fetch"

T = TypeVar("T")


class Target:
    """Where fetched content goes; a context that leaves a complete file or none.

    With no `output` that is standard output. An `output` that is no file, such as a device, is
    written to and not replaced.
    """

    def __init__(self, output: Path | None) -> None:
        self._file = None if output is None or _is_special(output) else output.resolve()
        self._special = output
        self._partial: Path | None = None
        self._stream: BinaryIO = sys.stdout.buffer
        self.written_bytes = 0

    def __enter__(self) -> Self:
        try:
            if self._file is not None:
                self._partial = self._file.with_name(f".{self._file.name}.{os.getpid()}.part")
                self._stream = self._partial.open("xb")
            elif self._special is not None:
                self._stream = self._special.open("wb")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._stream is not sys.stdout.buffer:
                self._stream.close()
            if error is None and self._partial is not None and self._file is not None:
                self._partial.replace(self._file)
        except OSError as failure:
            raise self._failure(failure) from failure
        finally:
            if self._partial is not None:
                self._partial.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Write; raises `OperationRefused` where that fails."""
        try:
            self._stream.write(content)
            self.written_bytes += len(content)
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """Hand over everything written; raises as `write` does."""
        try:
            self._stream.flush()
        except OSError as error:
            raise self._failure(error) from error

    def start_over(self) -> bool:
        """Forget what was written, if that is possible."""
        if self.written_bytes and self._partial is None:
            return False
        if self._partial is not None:
            self._stream.seek(0)
            self._stream.truncate()
        self.written_bytes = 0
        return True

    def _failure(self, error: OSError) -> OperationRefused:
        place = self._special or "standard output"
        return OperationRefused(f"{place} cannot be written: {error.strerror}")


def _is_special(output: Path) -> bool:
    return output.exists() and not output.is_file()


class TargetReader:
    """A target as the reader of a fetch; it takes what comes and never pauses the origin."""

    def __init__(self, target: Target, size: int | None) -> None:
        self._target = target
        self._tail = HeldTail(size, TAIL_BYTES)

    def attach(self, fetch: Fetch) -> None:
        """A file has no pace of its own."""

    def take(self, content: bytes) -> None:
        for passed in self._tail.push(content):
            self._target.write(passed)

    async def complete(self) -> None:
        for rest in self._tail.release():
            self._target.write(rest)
        self._target.flush()

    def detach(self) -> None:
        """There are no timers to forget."""


def fetch_into(target: Target, published: PublishedArtifact, settings: Settings) -> str:
    """Fetch what a path promises; returns the name of the importer that served it.

    Raises `NoOriginServed`, the error that broke content off that cannot be taken back, or what
    the target raises. Runs the reactor, so it can be called once.
    """
    return _in_reactor(lambda reactor: _fetch(reactor, target, published, settings))


def _in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    outcome: list[T | Failure] = []

    def main(reactor: Any) -> Deferred[None]:
        running = Deferred.fromCoroutine(work(reactor))
        # Ctrl-C ends the reactor, which would look like an origin that broke off.
        reactor.addSystemEventTrigger("before", "shutdown", running.cancel)
        return running.addBoth(outcome.append)

    with suppress(SystemExit):  # `react` ends like a program, and there is more to do
        react(main)
    if not outcome:
        raise KeyboardInterrupt
    result = outcome[0]
    if isinstance(result, Failure):
        if result.check(CancelledError):
            raise KeyboardInterrupt
        result.raiseException()
    return result


async def _fetch(
    reactor: Any, target: Target, published: PublishedArtifact, settings: Settings
) -> str:
    catalog = ThreadedCatalog(settings.catalog.url.reveal(), reactor)
    importers = ImporterPool(Registry(), Surroundings(reactor, PSEUDONYM))
    catalog.start()
    reactor.addSystemEventTrigger("during", "shutdown", catalog.stop)
    if published.held:
        await _pour(reactor, target, published, settings, catalog.open_held(published))
        return "catalog"
    failures: list[tuple[str, OriginError]] = []
    for source in candidates(published):
        opening = importers.importer(source.importer).downloader(source).open()
        try:
            await _pour(reactor, target, published, settings, opening)
        except OriginError as failure:
            failures.append((source.importer.name, failure))
            if not target.start_over():
                raise
        else:
            return source.importer.name
    raise NoOriginServed(tuple(failures))


async def _pour(
    reactor: Any,
    target: Target,
    published: PublishedArtifact,
    settings: Settings,
    opening: Awaitable[Download],
) -> None:
    """Run one attempt from the first connection to the last verified byte."""
    artifact, limits = published.artifact, settings.delivery
    try:
        download = await _awaited(opening).addTimeout(limits.first_byte_seconds, reactor)
    except TookTooLong:
        raise OriginTimedOut from None
    fetch = Fetch(
        download,
        ContentVerifier(artifact.size, artifact.digest),
        TargetReader(target, artifact.size),
        clock=reactor,
        idle_seconds=limits.idle_seconds,
    )
    await fetch.run()


def _awaited(awaitable: Awaitable[T]) -> Deferred[T]:
    async def wait() -> T:
        return await awaitable

    return Deferred.fromCoroutine(wait())
