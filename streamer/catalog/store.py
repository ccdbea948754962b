"""The catalog as commands use it: one synchronous object in front of everything this package does.

It decides nothing: each method opens what it needs and calls the module that does. The service
uses `ThreadedCatalog`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from streamer.catalog import (
    administration,
    binding,
    checks,
    inventory,
    listing,
    publishing,
    reading,
    retention,
    schema,
    switching,
    withdrawing,
)
from streamer.catalog.database import Database
from streamer.catalog.records import DistributionInfo, PruneCounts, PublicationInfo
from streamer.model import (
    Digest,
    DownloadConfig,
    Folder,
    PassThrough,
    PublicationId,
    PublishedArtifact,
)


def open_store(
    url: str, *, create: bool = True, now: Callable[[], float] = time.time
) -> CatalogStore:
    """Open a catalog of this version; an absent SQLite file is created where `create` says so.

    Raises `CatalogUnusable` for an empty PostgreSQL database, an older or newer schema and what is
    no catalog, saying what to do; `CatalogUnavailable` where the server does not answer.
    """
    database = Database(url)
    try:
        if create and not database.exists:
            schema.create_file(database)
        schema.check_schema(database)
        schema.use_wal(database)
    except BaseException:
        database.close()
        raise
    return CatalogStore(database, now)


class CatalogStore:
    """An open catalog. Every method raises `CatalogError` or `OperationRefused` and nothing else.

    What does not exist is refused by name. Each method is one step that happens or does not; only
    the deletion of rows, which nobody sees any more, goes on in batches.
    """

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now

    def __enter__(self) -> CatalogStore:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    # -- importers -------------------------------------------------------------------------------

    def create_importer(
        self,
        name: str,
        importer_type: str,
        config: Mapping[str, object],
        seal: administration.Seal | None = None,
    ) -> DownloadConfig:
        """Store a new importer; its config was checked by its type, and holds no secrets.

        These are what `seal` gives for the new id; nothing is stored where it raises.
        """
        return administration.create_importer(
            self._database, name, importer_type, config, seal, self._now()
        )

    def update_importer(self, name: str, change: administration.Change) -> DownloadConfig:
        """Replace an importer's config by what `change` makes of it: a new revision."""
        return administration.update_importer(self._database, name, change, self._now())

    def reseal_importers(self, reseal: administration.Reseal) -> list[DownloadConfig]:
        """Store secrets otherwise, within their revisions; gives the importers that changed.

        `reseal` gets all importers, and runs while nobody else can create or change one. When this
        returns, what it gave is on the disk.
        """
        return administration.reseal_importers(self._database, reseal)

    def rewrite_file(self) -> None:
        """Leave nothing in an SQLite file of what was replaced or deleted."""
        self._database.rewrite_file()

    def importer(self, name: str) -> DownloadConfig:
        """The importer of that name."""
        with self._database.reading() as connection:
            return inventory.importer_named(connection, name)

    def importers(self) -> list[DownloadConfig]:
        """Every importer, by name."""
        with self._database.reading() as connection:
            return inventory.all_importers(connection)

    def delete_importer(self, name: str) -> None:
        """Delete an importer; refused while a publication that is kept or being built names it."""
        administration.delete_importer(self._database, name)

    # -- publishing ------------------------------------------------------------------------------

    def publication(self, base_path: str) -> AbstractContextManager[publishing.Draft]:
        """Begin a publication; whatever is not published at the end of the block is deleted."""
        return publishing.building(self._database, base_path, self._now)

    def rollback(
        self, base_path: str, to: PublicationId | None, grace_seconds: float
    ) -> PublicationInfo:
        """Show the newest older publication that is kept, or `to`, which may be newer as well."""
        now = self._now()
        with self._database.writing() as connection:
            return switching.roll_back(connection, base_path, to, now, now + grace_seconds)

    # -- distributions and publications ----------------------------------------------------------

    def distributions(self) -> list[DistributionInfo]:
        """Every distribution, by base path."""
        with self._database.reading() as connection:
            return inventory.all_distributions(connection)

    def distribution(self, base_path: str) -> DistributionInfo:
        """The distribution at that base path."""
        with self._database.reading() as connection:
            return inventory.distribution_at(connection, base_path)

    def bind_distribution(
        self, base_path: str, importer_name: str, keeps_query: bool = False
    ) -> DistributionInfo:
        """Let a base path pass through to an importer; refused where publications are shown."""
        return binding.bind_distribution(
            self._database, base_path, importer_name, keeps_query, self._now()
        )

    def delete_distribution(self, base_path: str) -> None:
        """Delete a distribution with all its publications, at once and without grace."""
        administration.delete_distribution(self._database, base_path)

    def publications(self, base_path: str) -> list[PublicationInfo]:
        """The publications that a distribution keeps, the highest number first."""
        with self._database.reading() as connection:
            return inventory.publications_of(connection, base_path)

    def delete_publication(self, publication: PublicationId) -> None:
        """Delete a superseded publication; refused for the one that its distribution shows."""
        administration.delete_publication(self._database, publication)

    # -- withdrawing -----------------------------------------------------------------------------

    def withdraw_path(self, path: str) -> int:
        """Withdraw a full path from all publications that now have it; returns how many do."""
        return withdrawing.withdraw_path(self._database, path)

    def restore_path(self, path: str) -> int:
        """Undo `withdraw_path`; returns 0 where the path was not withdrawn."""
        return withdrawing.restore_path(self._database, path)

    def withdraw_digest(self, digest: Digest) -> int:
        """Withdraw content everywhere and for good; returns how many published entries have it."""
        return withdrawing.withdraw_digest(self._database, digest)

    def restore_digest(self, digest: Digest) -> int:
        """Undo `withdraw_digest`; returns 0 where the digest was not withdrawn."""
        return withdrawing.restore_digest(self._database, digest)

    # -- housekeeping ----------------------------------------------------------------------------

    def prune(
        self,
        *,
        keep: int,
        unfinished_age_seconds: float = retention.UNFINISHED_AGE_SECONDS,
        now: float | None = None,
    ) -> PruneCounts:
        """Remove unfinished publications that old, those beyond number and grace, leftovers."""
        return retention.prune(
            self._database,
            unfinished_age_seconds=unfinished_age_seconds,
            keep=keep,
            now=self._now() if now is None else now,
        )

    def check(self) -> list[str]:
        """Look the whole catalog over and return what is wrong, in words."""
        return checks.problems(self._database)

    # -- what the service answers ----------------------------------------------------------------

    def resolve(self, path: str) -> PublishedArtifact | PassThrough:
        """Find what a path promises, as the service would."""
        with self._database.reading() as connection:
            return reading.resolve(connection, path, self._now())

    def list_folder(self, path: str, after: str = "", limit: int = 1000) -> Folder:
        """List one page of a folder, as the service would."""
        with self._database.reading() as connection:
            return listing.list_folder(connection, path, after, limit)
