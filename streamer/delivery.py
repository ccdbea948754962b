"""From a published artifact to a client that has it: plan, open, pipe.

Strategy. The candidates are tried in order within one budget for the first byte. Until the head
is sent, a failed attempt leaves no trace in the response and the next one starts afresh; from then
on the pump has broken the connection already when an exception arrives here, and the artifact is
distrusted for a while, because the client may hold a wrong beginning of it.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime

from streamer.attempt import Attempt, Candidate, HeldDownloader
from streamer.distrust import Distrust
from streamer.errors import (
    ImporterBroken,
    NoOriginServed,
    OriginError,
    OriginTimedOut,
)
from streamer.interfaces import Catalog, Downloader, Importers
from streamer.metrics import Metrics
from streamer.model import Fields, PublishedArtifact, RemoteArtifact
from streamer.ordering import Order
from streamer.plan import candidates
from streamer.response import Phase, Response
from streamer.settings import DeliverySettings
from streamer.transfers import Source, Verified

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


class Delivery:
    """Serves published artifacts; shared by all exchanges, and so is the distrust they note."""

    def __init__(
        self,
        catalog: Catalog,
        importers: Importers,
        metrics: Metrics,
        distrust: Distrust,
        settings: DeliverySettings,
        clock: IReactorTime,
    ) -> None:
        self._catalog = catalog
        self._importers = importers
        self._metrics = metrics
        self._distrust = distrust
        self._settings = settings
        self._clock = clock

    async def deliver(self, order: Order, head: Fields, response: Response, notes: Notes) -> None:
        """Send what was ordered; the head is `head`, the content's fields, what the origin adds.

        Raises `NoOriginServed`, or `ImporterBroken` where no origin could even be asked, with
        nothing sent; else the error that broke the content off.
        """
        deadline = self._clock.seconds() + self._settings.first_byte_seconds
        failures: list[tuple[str, OriginError]] = []
        broken: ImporterBroken | None = None
        for candidate in self._plan(order.published):
            if failures and self._clock.seconds() >= deadline:
                break
            notes.attempts += 1
            notes.origin = candidate.name
            notes.source = candidate.source
            attempt = Attempt(
                candidate,
                order,
                response,
                self._settings,
                self._clock,
                self._distrust,
                partial(self._metrics.bytes_received, candidate.name),
            )
            try:
                await self._until_head(response, deadline, attempt.run(head))
            except OriginError as failure:
                self._note_failure(attempt, failure)
                failures.append((candidate.name, failure))
            except ImporterBroken as error:
                broken = error
            else:
                return
            finally:
                if response.phase is Phase.ENDED or (attempt.is_passed and response.sent_bytes):
                    notes.verified = attempt.verified
        if broken is not None and not failures:
            raise broken
        raise NoOriginServed(tuple(failures))

    def _note_failure(self, attempt: Attempt, failure: OriginError) -> None:
        """Count a failed attempt, and raise it again where no other may follow."""
        response = attempt.response
        if response.has_client_left:
            # Cancelling the look-up of a name comes back as if the name did not exist.
            raise CancelledError from failure
        self._metrics.origin_failed(attempt.candidate.name, type(failure).__name__)
        if response.phase is not Phase.BEFORE_HEAD:
            raise failure

    def _plan(self, published: PublishedArtifact) -> Iterator[Candidate]:
        """The candidates in order; an importer is looked up only when its turn comes."""
        if published.held:
            yield Candidate(HELD, "catalog", lambda: HeldDownloader(self._catalog, published))
        for source in candidates(published):
            yield Candidate(source.importer.name, "origin", partial(self._downloader, source))

    def _downloader(self, source: RemoteArtifact) -> Downloader:
        """Rebuild the source's downloader; raises `ImporterBroken`."""
        return self._importers.importer(source.importer).downloader(source)

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
