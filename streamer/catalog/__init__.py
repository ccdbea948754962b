"""The catalog: what is published, kept in SQLite or PostgreSQL by one set of statements.

`open_store` gives the admin command a synchronous `CatalogStore`; `ThreadedCatalog` answers the
service's look-ups off the reactor thread. Both stand on the same read functions. Reading order:
`tables`, `database`, `schema`, `reading`, `listing`, `walking`, `publishing`, `retention`,
`binding`, `administration`, `withdrawing`, `store`, `held`, `threaded`.
"""

from __future__ import annotations

from streamer.catalog.publishing import Draft
from streamer.catalog.records import DistributionInfo, Promise, PruneCounts, PublicationInfo
from streamer.catalog.schema import upgrade_catalog
from streamer.catalog.store import CatalogStore, open_store
from streamer.catalog.threaded import ThreadedCatalog

__all__ = [
    "CatalogStore",
    "DistributionInfo",
    "Draft",
    "Promise",
    "PruneCounts",
    "PublicationInfo",
    "ThreadedCatalog",
    "open_store",
    "upgrade_catalog",
]
