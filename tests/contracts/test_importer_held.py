"""Held content of a real catalog as a download: the checks that hold for it, too.

It is no importer, and the catalog ignores spans; but the pump reads it as it reads any other.
"""

from __future__ import annotations

import random

import pytest
from catalog_contract import held_entry, publish
from importer_contract import named
from pytest_twisted import ensureDeferred

from streamer.catalog import ThreadedCatalog, open_store
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing import checks
from streamer.testing.checks import CHECKS, LEAST_BYTES, Subject
from streamer.turns import HeldDownloader

CONTENT = random.Random(2).randbytes(LEAST_BYTES + 45)
NOT_FOR_IT = {checks.check_broken, checks.check_refused, checks.check_secrets}


class CatalogImporter:
    """A catalog in the place of an importer."""

    def __init__(self, catalog, published):
        self._catalog = catalog
        self._published = published

    def downloader(self, source):
        return HeldDownloader(self._catalog, self._published)

    async def close(self):
        """A catalog outlives those who ask it."""


@pytest.fixture
def catalog(tmp_path, reactor):
    url = f"sqlite:///{tmp_path}/catalog.db"
    with open_store(url) as store:
        publish(store, "d", held_entry("f", CONTENT))
    catalog = ThreadedCatalog(url, reactor)
    catalog.start()
    yield catalog
    catalog.stop()


@pytest.mark.parametrize("check", named(each for each in CHECKS if each not in NOT_FOR_IT))
@ensureDeferred
async def test_held_content_keeps_the_contract(reactor, catalog, check):
    """The docstring of the check says what."""
    published = await catalog.resolve("d/f")
    subject = Subject(
        reactor=reactor,
        make_importer=lambda: CatalogImporter(catalog, published),
        source=RemoteArtifact(DownloadConfig(0, 0, "catalog", "catalog", {}), "f"),
        content=CONTENT,
    )

    await check(subject)
