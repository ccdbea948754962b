"""Whom an exchange for a path would ask now, in which order, and what speaks against each.

For operators, who want to know why a client gets what it gets. It takes the very steps of an
exchange, from the catalog to the first order of the plan, and then asks nobody: what it tells is
what the process remembers, and it changes none of it. Separate from `supply`, which has a transfer
to make. It names no URL, because a URL may hold a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamer.health import OriginKey, OriginReport
from streamer.model import Artifact, PassThrough, PublishedArtifact
from streamer.plan import first_order
from streamer.supplies import Supplies
from streamer.turns import Candidate


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """One source of an entry: `problem` says why its importer cannot be used.

    Without one `origin` is set. `health` is None where nothing is remembered of that origin; the
    last two are about this very content, and last as long as the settings of `[origins]` say.
    """

    importer: str
    problem: str | None = None
    origin: str | None = None
    health: OriginReport | None = None
    sent_other_content: bool = False
    lacks_it: bool = False


class Outlook:
    """Looks at what all exchanges share."""

    def __init__(self, supplies: Supplies) -> None:
        self._supplies = supplies

    async def candidates(self, path: str) -> list[CandidateReport]:
        """The candidates in the order of their first turns, and then those that get none.

        There are none of held content, nor where one importer stands for a whole distribution.
        Raises `PathNotPublished` or a `CatalogError`.
        """
        found = await self._supplies.catalog.resolve(path)
        if isinstance(found, PassThrough) or found.held:
            return []
        return await self._candidates(found)

    async def _candidates(self, published: PublishedArtifact) -> list[CandidateReport]:
        usable, problems = await self._supplies.found(published.sources)
        broken = [CandidateReport(name, problem=str(error)) for name, error in problems]
        reports = self._supplies.health.reports(each.key for each in usable if each.key)
        known = {each.key: each for each in reports}
        order = first_order([self._supplies.prospect(each, published.artifact) for each in usable])
        asked = [self._report(usable[place], published.artifact, known) for place in order]
        return [*asked, *broken]

    def _report(
        self, candidate: Candidate, artifact: Artifact, known: Mapping[OriginKey, OriginReport]
    ) -> CandidateReport:
        key, health = candidate.key, self._supplies.health
        return CandidateReport(
            candidate.name,
            origin=candidate.origin,
            health=None if key is None else known.get(key),
            sent_other_content=key is not None and health.is_quarantined(artifact, key),
            lacks_it=candidate.place is not None and health.is_missing(candidate.place),
        )
