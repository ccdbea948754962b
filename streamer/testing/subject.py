"""What is checked, and one importer of it for the time of one check.

Kept apart from the checks because patience and cleaning up are the same in all of them: whatever a
check finds, its importer is closed and its downloads are stopped, so that one failure does not
spoil the checks that follow.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from streamer.errors import OriginError
from streamer.interfaces import Download, Downloader, Importer, MirroringImporter
from streamer.model import RemoteArtifact
from streamer.ranges import ByteRange

LEAST_BYTES = 4 * 1024 * 1024
"""Less content could pass by before a pause or a stop is seen to work."""

POLL_SECONDS = 0.02

QUIET_TURNS = 20
"""Enough to see a download that does not wait: each turn of the reactor reads a socket once."""

T = TypeVar("T")


def _nothing() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Subject:
    """An importer as its author presents it: how to make one, and what can be had through it."""

    reactor: Any
    """The running one; its clock times the checks, its timers and descriptors are counted."""

    make_importer: Callable[[], Importer | MirroringImporter]
    """Makes another importer of the same config each time, as a new revision would."""

    source: RemoteArtifact
    content: bytes = field(repr=False)
    """What is at `source`: `LEAST_BYTES` or more, and no two parts of it alike."""

    refused: tuple[tuple[RemoteArtifact, type[OriginError]], ...] = ()
    """Sources that cannot be opened, each with the error to expect; one that is missing, at least,
    and one at a port where nobody listens, where there are ports."""

    broken: RemoteArtifact | None = None
    """A source whose content breaks off, visibly so for the importer."""

    unsized: RemoteArtifact | None = None
    """A source with the same content, of which the origin does not say how long it is."""

    lying: RemoteArtifact | None = None
    """A source whose origin answers any span with another one, and says so."""

    silent: RemoteArtifact | None = None
    """A source whose origin takes the question and never says a word."""

    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not be seen: the secret values of the config, as text."""

    count_open: Callable[[], int] = _nothing
    """How much is open besides what the reactor holds: threads at work, files, connections as the
    origin counts them."""

    patience_seconds: float = 20.0
    """How long something may take that has to happen."""

    quiet_seconds: float = 0.2
    """How long is waited for what must not happen."""

    def __post_init__(self) -> None:
        if len(self.content) < LEAST_BYTES:
            raise ValueError(
                f"content: a check needs {LEAST_BYTES:,} bytes or more to see anything"
            )

    def open_now(self) -> int:
        """How many timers, descriptors and things of `count_open` there are."""
        held = (
            self.reactor.getDelayedCalls(),
            self.reactor.getReaders(),
            self.reactor.getWriters(),
        )
        return sum(map(len, held)) + self.count_open()

    async def quiet(self) -> None:
        """Let what must not happen happen, on a busy machine too."""
        await deferLater(self.reactor, self.quiet_seconds)
        await self.turns(QUIET_TURNS)

    async def turns(self, count: int) -> None:
        """Let the reactor go round so many times."""
        for _ in range(count):
            await deferLater(self.reactor, 0)

    async def in_time(self, running: Deferred[T], what: str) -> T:
        """Await `running` for as long as patience lasts, whether it can be cancelled or not."""
        outcome: Deferred[T] = Deferred()

        def give_up() -> None:
            _pass_on(outcome, Failure(AssertionError(f"{what} in time")))
            running.cancel()

        alarm = self.reactor.callLater(self.patience_seconds, give_up)
        running.addBoth(lambda result: _pass_on(outcome, result))
        try:
            return await outcome
        finally:
            if alarm.active():
                alarm.cancel()


class Session:
    """One importer of a subject, and what was opened through it."""

    def __init__(self, subject: Subject, importer: Importer | MirroringImporter) -> None:
        self.subject = subject
        self.importer = importer
        self._downloads: list[Download] = []
        self._is_closed = False

    async def downloader(self, source: RemoteArtifact | None = None) -> Downloader:
        """A new downloader for `source`, or the one of the subject: the first, where it has many.

        Without patience, so that it can be cancelled.
        """
        asked = self.subject.source if source is None else source
        if not hasattr(self.importer, "downloaders"):
            return self.importer.downloader(asked)
        places: Sequence[Downloader] = await self.importer.downloaders(asked)
        require(len(places) > 0, "downloaders gives no place and no OriginError that says why")
        return places[0]

    async def asking(
        self, source: RemoteArtifact | None = None, span: ByteRange | None = None
    ) -> Download:
        """Build a downloader and open it, whatever comes of that."""
        return await (await self.downloader(source)).open(span)

    async def prepared(self, source: RemoteArtifact | None = None) -> Downloader:
        """A downloader, as it has to be had."""
        return await self._patient(self.downloader(source), "there was no downloader")

    async def open(
        self, span: ByteRange | None = None, downloader: Downloader | None = None
    ) -> Download:
        """Open it, or what another downloader is for, as it has to be possible."""
        opening = self.asking(span=span) if downloader is None else downloader.open(span)
        return await self.opened(opening)

    async def opened(self, opening: Coroutine[Any, Any, Download]) -> Download:
        """What is being opened, which is stopped with the session at the latest."""
        download = await self._patient(opening, "open did not complete")
        self._downloads.append(download)
        return download

    async def _patient(self, work: Coroutine[Any, Any, T], complaint: str) -> T:
        try:
            return await self.subject.in_time(started(work), complaint)
        except OriginError as error:
            fail(f"open refused what can be had: {type(error).__name__}: {error}", error)

    async def close(self) -> None:
        """Close the importer, once, which must not take for ever."""
        if not self._is_closed:
            self._is_closed = True
            closing = started(self.importer.close())
            await self.subject.in_time(closing, "close did not complete")

    async def end(self) -> None:
        """Leave nothing running, whatever became of the check."""
        for download in self._downloads:
            download.stop()
        await self.close()


@asynccontextmanager
async def session_of(subject: Subject) -> AsyncIterator[Session]:
    """A session that is over when its block is: then nothing of it may be left."""
    before = subject.open_now()
    session = Session(subject, subject.make_importer())
    try:
        yield session
    finally:
        await session.end()
    await settle(subject, before)


async def settle(subject: Subject, before: int) -> None:
    """Wait until no more is open than `before`."""
    deadline = subject.reactor.seconds() + subject.patience_seconds
    while (left := subject.open_now() - before) > 0 and subject.reactor.seconds() < deadline:
        await deferLater(subject.reactor, POLL_SECONDS)
    require(left <= 0, f"{left} timers, connections or files are left when all is over")


async def refusal(subject: Subject, opening: Coroutine[Any, Any, Download]) -> Exception:
    """What an open raises that has to fail."""
    try:
        download = await subject.in_time(started(opening), "an open that should fail did not end")
    except AssertionError:
        raise
    except Exception as error:
        return error
    download.stop()
    raise AssertionError("open completed, where it should fail")


def started(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Run a coroutine as a Deferred."""
    return Deferred.fromCoroutine(work)


def require(condition: bool, sentence: str) -> None:
    """Raise `AssertionError` with the sentence where the condition does not hold."""
    if not condition:
        fail(sentence)


def fail(sentence: str, cause: BaseException | None = None) -> NoReturn:
    """Say that the contract is broken, and how."""
    raise AssertionError(sentence) from cause


def _pass_on(outcome: Deferred[Any], result: object) -> None:
    """Whatever comes first; what comes later is of no use to anybody."""
    if not outcome.called:
        outcome.callback(result)
