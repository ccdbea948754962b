"""From a published artifact to a client that has it: plan, open, pipe.

Strategy. The candidates are tried in order within one budget for the first byte. Until the head
is sent, a failed attempt leaves no trace in the response and the next one starts afresh; from then
on the pump has broken the connection already when an exception arrives here, and the artifact is
distrusted for a while, because the client may hold a wrong beginning of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer import fields
from streamer.distrust import Distrust
from streamer.errors import (
    ImporterBroken,
    NoOriginServed,
    OriginError,
    OriginTimedOut,
    ResumeRefused,
    SizeMismatch,
)
from streamer.interfaces import Catalog, Download, Importers
from streamer.metrics import Metrics
from streamer.model import Artifact, Fields, PublishedArtifact, RemoteArtifact
from streamer.pipe import Fetch, ResponseReader, pipe
from streamer.plan import candidates
from streamer.ranges import resumes
from streamer.response import Phase, Response
from streamer.settings import DeliverySettings
from streamer.transfers import Source, Verified
from streamer.verify import ContentVerifier

HELD = "catalog"
"""Stands for an importer's name where the content comes out of the catalog."""


@dataclass(slots=True)
class Notes:
    """What the transfer log will say of an exchange, filled in as it becomes known."""

    distribution: str | None = None
    origin: str | None = None
    attempts: int = 0
    verified: Verified = "none"
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One origin that may serve: its importer's name, and how to open a download from it."""

    name: str
    source: Source
    open: Callable[[], Awaitable[Download]]


class Delivery:
    """Serves published artifacts; shared by all exchanges, with the distrust that joins them."""

    def __init__(
        self,
        catalog: Catalog,
        importers: Importers,
        metrics: Metrics,
        settings: DeliverySettings,
        clock: IReactorTime,
    ) -> None:
        self._catalog = catalog
        self._importers = importers
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._distrust = Distrust(settings.distrust_seconds, clock.seconds)

    def refuse_resume(self, artifact: Artifact, ranges: Sequence[str]) -> None:
        """Raise `ResumeRefused` where answering this Range could complete a wrong file."""
        if self._distrust.holds_for(artifact) and any(map(resumes, ranges)):
            raise ResumeRefused

    async def deliver(
        self, published: PublishedArtifact, head: Fields, response: Response, notes: Notes
    ) -> None:
        """Send the artifact, its head made of `head` and what its origin adds.

        Raises `NoOriginServed`, or `ImporterBroken` where no origin could even be asked, with
        nothing sent; else the error that broke the content off.
        """
        deadline = self._clock.seconds() + self._settings.first_byte_seconds
        failures: list[tuple[str, OriginError]] = []
        broken: ImporterBroken | None = None
        for candidate in self._plan(published):
            if failures and self._clock.seconds() >= deadline:
                break
            notes.attempts += 1
            notes.origin = candidate.name
            notes.source = candidate.source
            try:
                attempt = self._attempt(candidate, published.artifact, head, response, notes)
                await self._until_head(response, deadline, attempt)
            except OriginError as failure:
                self._note_failure(candidate, published.artifact, failure, response)
                failures.append((candidate.name, failure))
            except ImporterBroken as error:
                broken = error
            else:
                return
        if broken is not None and not failures:
            raise broken
        raise NoOriginServed(tuple(failures))

    def _note_failure(
        self, candidate: Candidate, artifact: Artifact, failure: OriginError, response: Response
    ) -> None:
        """Count a failed attempt, and raise it again where no other may follow."""
        if response.has_client_left:
            # Cancelling the look-up of a name comes back as if the name did not exist.
            raise CancelledError from failure
        self._metrics.origin_failed(candidate.name, type(failure).__name__)
        if response.sent_bytes:
            self._distrust.note(artifact)
        if response.phase is not Phase.BEFORE_HEAD:
            raise failure

    def _plan(self, published: PublishedArtifact) -> Iterator[Candidate]:
        """The candidates in order; an importer is looked up only when its turn comes."""
        if published.held:
            yield Candidate(HELD, "catalog", lambda: self._catalog.open_held(published))
        for source in candidates(published):
            yield Candidate(source.importer.name, "origin", partial(self._open, source))

    def _open(self, source: RemoteArtifact) -> Awaitable[Download]:
        """Rebuild the source's downloader, and open it; raises `ImporterBroken` at once."""
        return self._importers.importer(source.importer).downloader(source).open()

    async def _attempt(
        self,
        candidate: Candidate,
        artifact: Artifact,
        head: Fields,
        response: Response,
        notes: Notes,
    ) -> None:
        """One candidate from the first connection to the client's last byte."""
        download = await candidate.open()
        try:
            self._refuse_wrong_length(artifact, download)
        except SizeMismatch:
            download.stop()
            raise

        def send_head(length: int | None) -> None:
            response.send_head(200, self._head(candidate, artifact, head, download, length))

        reader = ResponseReader(
            response,
            artifact.size,
            send_head,
            clock=self._clock,
            small_bytes=self._settings.small_bytes,
            stall_seconds=self._settings.client_stall_seconds,
        )
        fetch = Fetch(
            download,
            ContentVerifier(artifact.size, artifact.digest),
            reader,
            clock=self._clock,
            idle_seconds=self._settings.idle_seconds,
            on_bytes=lambda count: self._metrics.bytes_received(candidate.name, count),
        )
        await pipe(fetch, response)
        notes.verified = "whole" if reader.was_held_whole else "held_tail"

    def _refuse_wrong_length(self, artifact: Artifact, download: Download) -> None:
        """Find a login page or another file out by its length, before anything is sent."""
        announced = download.response.length
        if None not in (artifact.size, announced) and artifact.size != announced:
            raise SizeMismatch(artifact.size, announced)

    def _head(
        self,
        candidate: Candidate,
        artifact: Artifact,
        head: Fields,
        download: Download,
        length: int | None,
    ) -> Fields:
        """The catalog's fields, the length if only now known, and what the origin may add."""
        learned = artifact.size is None and length is not None
        return (
            *((("Content-Length", str(length)),) if learned else ()),
            *head,
            *fields.cache_status(hit=candidate.source == "catalog"),
            *fields.forwardable(download.response.fields),
        )

    async def _until_head(
        self, response: Response, deadline: float, attempt: Coroutine[Any, Any, None]
    ) -> None:
        """Await `attempt`; if its head is not sent by the deadline it has timed out."""
        running = Deferred.fromCoroutine(attempt)
        is_late = False

        def give_up() -> None:
            nonlocal is_late
            if response.phase is Phase.BEFORE_HEAD:
                is_late = True
                running.cancel()

        left = max(0.0, deadline - self._clock.seconds())
        alarm = self._clock.callLater(left, give_up)
        try:
            await running
        except (CancelledError, OriginError):
            if is_late:
                raise OriginTimedOut from None
            raise
        finally:
            if alarm.active():
                alarm.cancel()
