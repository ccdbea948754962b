"""What the supplies of all exchanges share, and who could serve what is published.

Strategy. An importer is asked for the places of each of its sources, one or as many as it knows.
Some have to fetch a list first, so all are asked at a time, and none may take more than a part of
the time for the first byte. What one of them does wrong is a problem with a name and harms none of
the others.

Separate from `supply`, which is one exchange: this knows no plan and no turn, and asks no origin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from streamer.errors import NOT_OURS, ImporterBroken, OriginError, OriginTimedOut
from streamer.health import Health
from streamer.interfaces import Catalog, Downloader, Importer, Importers, MirroringImporter
from streamer.metrics import Metrics
from streamer.model import Artifact, DownloadConfig, RemoteArtifact
from streamer.pieces.claims import Claim
from streamer.plan import Prospect
from streamer.settings import DeliverySettings
from streamer.turns import Candidate

LIST_PART = 4
"""The part of the time for the first byte that a list of places may take."""

MAX_PLACES = 100
"""Of one source; as many as an entry may have sources."""

MAX_CANDIDATES = 1000
"""Of one exchange, shared by its sources: each choice looks at all of them, and of ten thousand all
choices together would take seconds."""

Problem = ImporterBroken | OriginError

T = TypeVar("T")

_log = Logger()


class Supplies:
    """Holds what all exchanges share, and finds the candidates of each."""

    def __init__(
        self,
        catalog: Catalog,
        importers: Importers,
        health: Health,
        metrics: Metrics,
        settings: DeliverySettings,
        clock: IReactorTime,
        jitter: Callable[[], float],
    ) -> None:
        self.catalog = catalog
        self.importers = importers
        self.health = health
        self.metrics = metrics
        self.settings = settings
        self.clock = clock
        self.jitter = jitter

    async def found(
        self, sources: Sequence[RemoteArtifact]
    ) -> tuple[list[Candidate], list[tuple[str, Problem]]]:
        """The candidates of all sources, and why some have none, by their importers' names."""
        found: list[Candidate] = []
        problems: list[tuple[str, Problem]] = []
        most = max(1, min(MAX_PLACES, MAX_CANDIDATES // max(1, len(sources))))
        asked = [(each.importer.name, self._asked(each, most)) for each in sources]
        try:
            for name, answer in asked:
                try:
                    found += await answer
                except (ImporterBroken, OriginError) as problem:
                    problems.append((name, problem))
        finally:
            for _, answer in asked:
                answer.addErrback(lambda _: None)
                answer.cancel()
        return found, problems

    def _asked(self, source: RemoteArtifact, most: int) -> Deferred[list[Candidate]]:
        """The answer, which ends when it is cancelled; an importer that does not is left alone."""
        is_left = False

        def leave(_: object) -> None:
            nonlocal is_left
            is_left = True
            running.cancel()

        answer: Deferred[list[Candidate]] = Deferred(leave)
        running = Deferred.fromCoroutine(self._candidates(source, most, lambda: is_left))
        running.addCallbacks(
            lambda found: None if answer.called else answer.callback(found),
            lambda failure: None if answer.called else answer.errback(failure),
        )
        seconds = self.settings.first_byte_seconds / LIST_PART
        return answer if answer.called else answer.addTimeout(seconds, self.clock, _too_late)

    async def _candidates(
        self, source: RemoteArtifact, most: int, is_left: Callable[[], bool]
    ) -> list[Candidate]:
        """Raises `ImporterBroken`, or an `OriginError` where the importer cannot find out."""
        config = source.importer
        importer = self.importers.importer(config)
        with defects_told(config, is_left):
            if hasattr(importer, "downloaders"):
                downloaders = await cast(MirroringImporter, importer).downloaders(source)
            else:
                downloaders = [importer.downloader(source)]
            return [
                Candidate(
                    config.name,
                    each,
                    config,
                    source,
                    source.url,
                    each.origin,
                    each.retries,
                    _claim_of(each),
                )
                for each in downloaders[:most]
            ]

    def prospect(self, candidate: Candidate, artifact: Artifact | None) -> Prospect:
        """What is known of a candidate before it is asked for the artifact."""
        key, remote = candidate.key, candidate.remote
        if key is None:
            return Prospect(priority=0)
        return Prospect(
            priority=0 if remote is None else remote.priority,
            retries=candidate.retries,
            failures=self.health.failures(key),
            lags=self.health.lags(key),
            serves=self.health.serves(key),
            rate=self.health.rate(key),
            blame=0 if artifact is None else self.health.blame(artifact, key),
        )

    def built(self, config: DownloadConfig, build: Callable[[Importer], T]) -> T:
        """What an importer makes for one exchange; raises `ImporterBroken`, whatever it does."""
        importer = self.importers.importer(config)
        with defects_told(config):
            return build(importer)


@contextmanager
def defects_told(
    config: DownloadConfig, is_left: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Whatever an importer raises that it may not is logged, and `ImporterBroken`.

    To be cancelled is a defect too, but where we have cancelled it: nobody waits for it then.
    """
    try:
        yield
    except (ImporterBroken, OriginError, *NOT_OURS):
        raise
    except BaseException as error:
        if is_left():
            raise
        _log.failure("an importer failed in a way that is a defect")
        raise ImporterBroken(config.name, type(error).__name__) from error


def _too_late(result: object, seconds: float) -> NoReturn:
    raise OriginTimedOut


def _claim_of(downloader: Downloader) -> Claim | None:
    """What its importer may leave out, and may have had another use for before."""
    claim = getattr(downloader, "claim", None)
    return claim if isinstance(claim, Claim) else None
