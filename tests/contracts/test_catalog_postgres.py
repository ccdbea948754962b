"""The catalog in PostgreSQL: the contract, and what only a server can do: go away and come back."""

from __future__ import annotations

import pytest
import pytest_twisted
from catalog_servers import postgres_server

from streamer.catalog import ThreadedCatalog, open_store, upgrade_catalog
from streamer.errors import CatalogUnavailable

pytest.register_assert_rewrite("catalog_contract")

from catalog_contract import CatalogContract, publish  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with postgres_server() as server:
        yield server


@pytest.fixture
def url(server):
    url = server.new_database()
    upgrade_catalog(url)
    return url


class TestPostgreSQLCatalog(CatalogContract):
    """The contract, over a database of its own for every test."""

    @pytest.fixture
    def empty_url(self, server):
        return server.new_database()

    @pytest.fixture
    def foreign_url(self, server):
        url = server.new_database()
        self.execute(url, "CREATE TABLE theirs (id INTEGER)")
        return url


@pytest_twisted.ensureDeferred
async def test_service_outlives_its_server(server, url, reactor):
    """It starts without a server, answers when there is one, and again after a restart."""
    with open_store(url) as store:
        publish(store, "d", "f")
    catalog = ThreadedCatalog(url, reactor)
    server.stop()
    try:
        catalog.start()
        with pytest.raises(CatalogUnavailable):
            await catalog.resolve("d/f")
        with pytest.raises(CatalogUnavailable):
            await catalog.check()
    finally:
        server.start()
    before_restart = await catalog.resolve("d/f")
    server.stop()
    server.start()
    after_restart = await catalog.resolve("d/f")
    catalog.stop()

    assert before_restart == after_restart


def test_command_without_a_server_is_told_so(server, url):
    """A server that is away is not the same as a catalog that is unusable."""
    server.stop()
    try:
        for refused in (open_store, upgrade_catalog):
            with pytest.raises(CatalogUnavailable):
                refused(url)
    finally:
        server.start()
