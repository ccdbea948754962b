"""What the catalog tells an operator about itself; separate so that any front end may show it.

Times are seconds since the epoch. Nothing here is read by the service.
"""

from __future__ import annotations

from dataclasses import dataclass

from streamer.model import Artifact, PublicationId


@dataclass(frozen=True, slots=True)
class PublicationInfo:
    """One publication: `number` counts within its distribution, `id` in the whole catalog.

    `grace_until` is set once it is superseded; `total_size` adds up the sizes that are known.
    """

    id: PublicationId
    base_path: str
    number: int
    is_current: bool
    created_at: float
    published_at: float
    superseded_at: float | None
    grace_until: float | None
    entry_count: int
    total_size: int


@dataclass(frozen=True, slots=True)
class DistributionInfo:
    """A base path, the publication that it shows, and how many publications are kept.

    A pass-through distribution has the name of its importer instead, and no publications.
    """

    base_path: str
    current: PublicationInfo | None
    publication_count: int
    importer: str | None = None
    keeps_query: bool = False


@dataclass(frozen=True, slots=True)
class PruneCounts:
    """What a prune removed.

    `unfinished` publications were abandoned while they were built, `superseded` ones were beyond
    retention and grace, `leftovers` had been deleted and not yet cleared away. `entries` counts
    the rows of all three; `withdrawals` those of paths that no publication has any more.
    """

    unfinished: int
    superseded: int
    leftovers: int
    entries: int
    withdrawals: int


@dataclass(frozen=True, slots=True)
class Promise:
    """One entry that a distribution shows, without its sources; `path` is below its base path."""

    path: str
    artifact: Artifact
    held: bool
