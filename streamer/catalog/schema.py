"""Which version of the tables a database has: creating, checking and upgrading it.

Separate because only commands change a schema: the service merely compares. Alembic does the
work and is loaded when there is some. A database of a newer version, of something else, or that
cannot be read is refused with what to do; nothing here repairs or overwrites.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, inspect, select, table, text

from streamer.catalog.database import UPGRADE_HINT, Database, failures_mapped
from streamer.errors import CatalogUnusable

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE = "pulp_streamer_schema"
CURRENT_REVISION = "0002"

PIECES_PREFIX = "pulp_streamer_pieces"
"""Tables that the service makes for itself, of what it learned; they may be there first."""

_version = table(VERSION_TABLE, column("version_num"))


def check_schema(database: Database) -> None:
    """Return if the tables are those of this version; else `CatalogUnusable` says what to do."""
    if not database.exists:
        raise CatalogUnusable(f"there is no catalog at {database}: publish something, or create it")
    with database.reading() as connection:
        revision = stored_revision(connection)
    if revision == CURRENT_REVISION:
        return
    if revision is None or revision in _known_revisions():
        raise CatalogUnusable(f"{database} has not the tables of this version: {UPGRADE_HINT}")
    raise CatalogUnusable(
        f"{database} was written by a newer pulp-streamer (schema {revision}): install that version"
    )


def stored_revision(connection: Connection) -> str | None:
    """The revision that a database has, `None` where it is empty.

    Tables without our version table belong to somebody else, who would not want ours beside.
    """
    names = inspect(connection).get_table_names()
    if VERSION_TABLE in names:
        return connection.scalar(select(_version.c.version_num))
    if any(not name.startswith(PIECES_PREFIX) for name in names):
        raise CatalogUnusable("the database holds tables of something else: name another one")
    return None


def create_file(database: Database) -> None:
    """Put a new SQLite catalog in place, whole, unless another command was quicker.

    It is built under another name and linked to its own, which fails where a file appeared
    meanwhile; that file is then used. It is readable by its owner only: configs may hold passwords.
    """
    file = database.file
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".new", dir=file.parent)
        os.close(handle)
        try:
            _fill(Path(name))
            os.link(name, file)
        except FileExistsError:
            pass
        finally:
            os.unlink(name)
    except OSError as error:
        raise CatalogUnusable(f"{file} cannot be created: {error.strerror}") from error


def _fill(file: Path) -> None:
    database = Database(f"sqlite:///{file}")
    try:
        _migrate(database)
        use_wal(database)
    finally:
        database.close()


def use_wal(database: Database) -> None:
    """Let readers and the writer not wait for each other; the file remembers it, a copy may not."""
    if database.is_sqlite:
        with database.reading() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def upgrade_catalog(url: str) -> Path | None:
    """Give a database the tables of this version, and return the copy that was made before.

    There is a copy of an older SQLite catalog and of nothing else. Upgrading what is up to date
    does nothing; two upgrades at once wait for each other.
    """
    database = Database(url)
    try:
        if not database.exists:
            create_file(database)
            return None
        with database.reading() as connection:
            revision = stored_revision(connection)
        if revision == CURRENT_REVISION:
            return None
        if revision is not None and revision not in _known_revisions():
            check_schema(database)
        copy = _backup(database.file, revision) if database.is_sqlite else None
        _migrate(database)
        use_wal(database)
        return copy
    finally:
        database.close()


def _backup(file: Path, revision: str | None) -> Path:
    """Copy the database beside itself while others may be writing to it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    copy = file.with_name(f"{file.name}.{revision or 'empty'}-{stamp}")
    copy.touch(mode=0o600)
    with (
        failures_mapped(),
        closing(sqlite3.connect(file)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
    return copy


def _migrate(database: Database) -> None:
    from alembic import command

    config = _alembic()
    with database.writing() as connection:
        if not database.is_sqlite:
            # Any number will do, as long as every version uses the same.
            connection.execute(text("SELECT pg_advisory_xact_lock(7092387421)"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}


def _alembic() -> Config:
    """Alembic's settings, in code because an installed wheel has no alembic.ini."""
    from alembic.config import Config

    config = Config()
    location = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(location).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config
