"""One database behind one URL: its engine, its two kinds of transaction, its failures as ours.

Separate so that nothing else knows which database it is. Everybody gets a `Connection` here: from
`reading` for statements that stand alone and never wait for a writer, from `writing` for a
transaction that is a writer from its first statement on. Foreign exceptions leave through
`failures_mapped` and nowhere else. A file that is absent is refused: `schema` alone creates one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
)

from streamer.errors import CatalogError, CatalogUnavailable, CatalogUnusable, SettingInvalid

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

WRITING = "catalog_writing"

UPGRADE_HINT = "run `pulp-streamer catalog upgrade`"
CORRUPT_HINT = "restore a backup, or move it away and publish anew"


class Database:
    """An engine of few connections, each statement of which ends within `time_limit_seconds`.

    No limit leaves PostgreSQL's statements alone; a SQLite writer waits 30 s for another one.
    """

    def __init__(
        self, url: str, *, connections: int = 2, time_limit_seconds: float | None = None
    ) -> None:
        self.url = checked_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = (
            _sqlite_engine(self.url, connections, time_limit_seconds)
            if self.is_sqlite
            else _postgresql_engine(self.url, connections, time_limit_seconds)
        )

    @property
    def file(self) -> Path:
        """The file of a SQLite catalog, which has one."""
        return Path(str(self.url.database))

    @property
    def exists(self) -> bool:
        """Whether there is anything to connect to; only a file can be seen to be absent."""
        return not self.is_sqlite or self.file.exists()

    def __str__(self) -> str:
        return str(self.file) if self.is_sqlite else f"PostgreSQL database {self.url.database}"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Statements that each see the newest commit; nothing is locked between them."""
        with failures_mapped(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def writing(self, *, thoroughly: bool = False) -> Iterator[Connection]:
        """One transaction; committed at the end, rolled back where anything is raised.

        What is done `thoroughly` outlives a power failure from then on, and leaves no trace of
        what it replaced in its place; PostgreSQL does the first always, and its vacuum the second.
        """
        with failures_mapped(), self.engine.connect() as connection:
            if thoroughly and self.is_sqlite:
                connection.exec_driver_sql("PRAGMA synchronous=FULL")
                connection.exec_driver_sql("PRAGMA secure_delete=ON")
                connection.commit()
            connection.execution_options(**{WRITING: True})
            with connection.begin():
                yield connection

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An INSERT that knows ON CONFLICT, which both dialects spell alike."""
        return sqlite.insert(table) if self.is_sqlite else postgresql.insert(table)

    def rewrite_file(self) -> None:
        """Leave nothing in a SQLite file, or beside it, of what was replaced or deleted.

        Takes as long as copying it, and as much room. PostgreSQL is left to its own vacuum. Raises
        `CatalogUnavailable` where somebody goes on reading what was there before.
        """
        if self.is_sqlite:
            with self.reading() as connection:
                connection.exec_driver_sql("VACUUM")
                # Which does not fail when it cannot be done, and says so in its first column.
                checkpoint = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                if checkpoint.scalars().one():
                    raise CatalogUnavailable("others are reading it")

    def close(self) -> None:
        """Close idle connections; those in use close when they are given back."""
        self.engine.dispose()


def checked_url(text: str) -> URL:
    """Read `catalog.url`; a relative file name is made absolute, since daemons change folder."""
    with suppress(ArgumentError, ValueError):  # a port that is no number is a ValueError
        url = make_url(text)
        if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(database=str(Path(str(url.database)).absolute()))
        if url.drivername in ("postgresql", "postgresql+psycopg") and url.database:
            return url.set(drivername="postgresql+psycopg")
    raise SettingInvalid("catalog.url", "must be sqlite:///FILE or postgresql://USER@HOST/DATABASE")


def _sqlite_engine(url: URL, connections: int, time_limit_seconds: float | None) -> Engine:
    """WAL: readers and the one writer never wait for each other.

    The file is opened with mode=rw, because SQLite creates an empty database otherwise.
    """
    busy_timeout = 30.0 if time_limit_seconds is None else time_limit_seconds
    file = Path(str(url.database))

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{file.as_uri()}?mode=rw",
            uri=True,
            timeout=busy_timeout,
            check_same_thread=False,
            # Python begins no transactions of its own: `_begin_writing` does.
            isolation_level=None,
        )

    engine = create_engine(
        url, creator=connect, pool_size=connections, max_overflow=0, hide_parameters=True
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_writing)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, record: object) -> None:
    cursor = connection.cursor()
    # A larger log is copied into the file less often, which scattered inserts gain most by.
    pragmas = ("synchronous=NORMAL", "foreign_keys=ON", "cache_size=-32768")
    for pragma in (*pragmas, "wal_autocheckpoint=8000", "journal_size_limit=67108864"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_writing(connection: Connection) -> None:
    """Take the write lock first: a reader that turns writer later may be refused at once."""
    if connection.get_execution_options().get(WRITING):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _postgresql_engine(url: URL, connections: int, time_limit_seconds: float | None) -> Engine:
    engine = create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,
        # What the server cannot end any more, because it is gone, the socket ends.
        connect_args={
            "connect_timeout": 5,
            "tcp_user_timeout": 10_000,
            "application_name": "pulp-streamer",
        },
    )

    def limit_time(connection: Any, record: object) -> None:
        milliseconds = 0 if time_limit_seconds is None else round(time_limit_seconds * 1000)
        connection.execute(f"SET statement_timeout = {milliseconds}")
        connection.commit()

    event.listen(engine, "connect", limit_time)
    return engine


@contextmanager
def failures_mapped() -> Iterator[None]:
    """Turn whatever the database or its driver raises into a `CatalogError`.

    Only the first line of the driver's own words is kept: SQLAlchemy's repeat the statement.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _mapped(error) from error


def _mapped(error: SQLAlchemyError | sqlite3.Error) -> CatalogError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    reason = next(iter(str(cause).splitlines()), type(cause).__name__)
    if isinstance(error, ProgrammingError) or "no such table" in reason:
        return CatalogUnusable(
            f"the catalog lacks what this version needs ({reason}): {UPGRADE_HINT}"
        )
    if isinstance(error, OperationalError | InterfaceError | sqlite3.OperationalError):
        return CatalogUnavailable(reason)
    if type(cause) is sqlite3.DatabaseError:
        return CatalogUnusable(f"the catalog cannot be read ({reason}): {CORRUPT_HINT}")
    return CatalogUnavailable(reason)
