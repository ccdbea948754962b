"""The catalog in a SQLite file: the contract, and what only a file can do."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import pytest_twisted

from streamer.catalog import ThreadedCatalog, open_store, upgrade_catalog
from streamer.errors import CatalogUnavailable, CatalogUnusable, SettingInvalid

pytest.register_assert_rewrite("catalog_contract")

from catalog_contract import CatalogContract, entry, publish  # noqa: E402

OPEN = "import sys; from streamer.catalog import open_store; open_store(sys.argv[1]).close()"


@pytest.fixture
def file(tmp_path):
    return tmp_path / "var" / "catalog.db"


def database_with(file, statement):
    """Make a database that is not a catalog and return its URL."""
    file.parent.mkdir()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(statement)
    return f"sqlite:///{file}"


class TestSQLiteCatalog(CatalogContract):
    """The contract, over a file that the first command created."""

    @pytest.fixture
    def url(self, file):
        open_store(f"sqlite:///{file}").close()
        return f"sqlite:///{file}"

    @pytest.fixture
    def empty_url(self, file):
        return database_with(file, "PRAGMA user_version = 1")

    @pytest.fixture
    def foreign_url(self, file):
        return database_with(file, "CREATE TABLE theirs (id INTEGER)")


def test_absent_file_is_created_for_its_owner_only(file):
    """The folder is made as well; configs in the file may hold passwords."""
    open_store(f"sqlite:///{file}").close()

    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_absent_file_is_not_created_where_that_is_not_wanted(file):
    """Opening without creating says that there is no catalog, and leaves no file."""
    with pytest.raises(CatalogUnusable, match="there is no catalog"):
        open_store(f"sqlite:///{file}", create=False)

    assert not file.parent.exists()


def test_two_first_commands_at_once_share_one_catalog(file):
    """Whoever comes second uses the file of the first; no traces are left."""
    url = f"sqlite:///{file}"
    commands = [subprocess.Popen([sys.executable, "-c", OPEN, url]) for _ in range(4)]

    assert [command.wait(60) for command in commands] == [0, 0, 0, 0]
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_relative_file_is_found_from_another_folder(tmp_path, monkeypatch, file):
    """A daemon changes its folder after it was configured."""
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///var/catalog.db") as store:
        monkeypatch.chdir("/")
        publish(store, "d", "f")

    assert file.exists()


@pytest.mark.parametrize("content", [b"not a database " * 100, b"SQLite format 3\x00" + b"x" * 500])
def test_file_that_is_no_database_is_refused(file, content):
    """It is left as it is, and the message says what can be done."""
    file.parent.mkdir()
    file.write_bytes(content)

    for refused in (open_store, upgrade_catalog):
        with pytest.raises(CatalogUnusable, match="restore a backup"):
            refused(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_damaged_file_is_found_by_check(file):
    """Pages full of nonsense are reported by check, or refused when they are read."""
    with open_store(f"sqlite:///{file}") as store:
        publish(store, "d", *(entry(f"{number:06d}", number) for number in range(5_000)))
    content = bytearray(file.read_bytes())
    content[len(content) // 2 :] = b"\xee" * len(content[len(content) // 2 :])
    file.write_bytes(content)

    with open_store(f"sqlite:///{file}") as store:
        assert "restore a backup" in " ".join(store.check())


def test_place_where_no_file_can_be_is_refused(tmp_path):
    """A file in the place of the folder is an error with a sentence."""
    (tmp_path / "var").write_text("")

    with pytest.raises(CatalogUnusable, match="cannot be created"):
        open_store(f"sqlite:///{tmp_path}/var/catalog.db")


def test_upgrade_copies_an_older_catalog_first(file):
    """The copy has what the catalog had, and is as private."""
    url = database_with(file, "PRAGMA user_version = 7")

    copy = upgrade_catalog(url)

    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
    assert copy.parent == file.parent
    assert copy.stat().st_mode & 0o777 == 0o600


def test_upgrade_of_an_absent_catalog_creates_it(file):
    """There is nothing to copy."""
    assert upgrade_catalog(f"sqlite:///{file}") is None
    open_store(f"sqlite:///{file}", create=False).close()


@pytest_twisted.ensureDeferred
async def test_service_without_a_file_waits_for_one(file, reactor):
    """Look-ups are unavailable, nothing is created, and a file that appears is used."""
    url = f"sqlite:///{file}"
    catalog = ThreadedCatalog(url, reactor)
    catalog.start()
    try:
        with pytest.raises(CatalogUnavailable):
            await catalog.resolve("d/f")
        with pytest.raises(CatalogUnusable):
            await catalog.check()
        assert not file.exists()

        with open_store(url) as store:
            publish(store, "d", "f")

        assert (await catalog.resolve("d/f")).path == "f"
    finally:
        catalog.stop()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "catalog.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://h/d",
        "postgresql+asyncpg://h/d",
        "postgresql://u:secret@h:port/d",
        "postgresql://u:secret@h",
    ],
)
def test_url_of_nothing_we_know_is_refused(url):
    """The message says what is allowed and repeats no password."""
    with pytest.raises(SettingInvalid) as caught:
        open_store(url)

    assert "secret" not in str(caught.value)
