"""The catalog in PostgreSQL: the contract, and what only a server can do: go away and come back."""

from __future__ import annotations

import socket

import pytest
import pytest_twisted
from catalog_servers import postgres_server
from sqlalchemy import text
from sqlalchemy.schema import CreateSchema, DropSchema

from streamer.catalog import ThreadedCatalog, open_store, upgrade_catalog
from streamer.catalog.database import Database
from streamer.errors import CatalogUnavailable
from streamer.learned import PieceStore

pytest.register_assert_rewrite("catalog_contract")

from catalog_contract import CatalogContract, publish  # noqa: E402


@pytest.fixture(scope="module")
def server():
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def database(server):
    database = Database(server.new_database(), connections=1)
    yield database
    database.close()


@pytest.fixture
def empty_url(database):
    """The database as it was created; a new one for each test would take a minute in all."""
    with database.writing() as connection:
        connection.execute(DropSchema("public", cascade=True))
        connection.execute(CreateSchema("public"))
    database.close()
    return database.url.render_as_string(hide_password=False)


@pytest.fixture
def url(empty_url):
    upgrade_catalog(empty_url)
    return empty_url


class TestPostgreSQLCatalog(CatalogContract):
    """The contract, over a database that is emptied for every test."""

    @pytest.fixture
    def foreign_url(self, empty_url):
        self.execute(empty_url, text("CREATE TABLE theirs (id INTEGER)"))
        return empty_url


def test_tables_of_pieces_are_no_strangers(empty_url):
    """A service that starts before there is a catalog puts its own tables there first."""
    pieces = PieceStore(empty_url, 2**20)
    pieces.write({}, 0)
    pieces.close()

    upgrade_catalog(empty_url)
    with open_store(empty_url) as store:
        publish(store, "d", "f")

        assert [] == store.check()


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


@pytest_twisted.ensureDeferred
async def test_server_that_hangs_is_given_up(reactor):
    """It accepts and never answers: look-ups fail, and the service can stop all the same."""
    with socket.create_server(("127.0.0.1", 0)) as hung:
        port = hung.getsockname()[1]
        catalog = ThreadedCatalog(f"postgresql://tester@127.0.0.1:{port}/d", reactor)
        catalog.start()
        with pytest.raises(CatalogUnavailable):
            await catalog.resolve("d/f")
        catalog.stop()


def test_command_without_a_server_is_told_so(server, url):
    """A server that is away is not the same as a catalog that is unusable."""
    server.stop()
    try:
        for refused in (open_store, upgrade_catalog):
            with pytest.raises(CatalogUnavailable):
                refused(url)
    finally:
        server.start()
