"""The store in a PostgreSQL database, beside the catalog's tables or alone.

Separate because a server is asked in other words than a file. It creates its tables where it may;
where they are of another version it leaves them alone, since another service may be using them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL

from streamer.learned.failures import failures_mapped
from streamer.learned.tables import VERSION, metadata, pieces, state

STATEMENT_SECONDS = 10
"""For what the server can still end; a batch of tables takes a second at most."""

LOCK_SECONDS = 1
"""How long a writer waits for another one; then it tries again later."""


class PieceServer:
    """Connections to one database, which may be away at any time."""

    def __init__(self, url: URL, connections: int) -> None:
        self._name = url.database
        self._has_store = False
        self._engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
            # A server that is gone without a word is noticed by these, also in mid-statement.
            connect_args={
                "connect_timeout": 5,
                "tcp_user_timeout": 10_000,
                "keepalives_idle": 10,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                "application_name": "pulp-streamer pieces",
                # What is prepared while there are few rows is planned for few rows.
                "prepare_threshold": None,
            },
        )
        event.listen(self._engine, "connect", _limit_time)

    def __str__(self) -> str:
        return f"PostgreSQL database {self._name}"

    def has_store(self) -> bool:
        """Whether the tables are there; that is asked for until they are."""
        if not self._has_store:
            with self.reading() as connection:
                self._has_store = inspect(connection).has_table(pieces.name)
        return self._has_store

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One statement, which sees the newest commit."""
        with failures_mapped(), self._engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction; the tables are made where there are none."""
        with failures_mapped(), self._engine.connect() as connection, connection.begin():
            # For this transaction alone: a pooler may hand the connection to a catalog next.
            connection.execute(text("SET LOCAL synchronous_commit = off"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'"))
            if not inspect(connection).has_table(state.name):
                _create(connection)
            yield connection

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()


def _limit_time(connection: Any, record: object) -> None:
    connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'")
    connection.commit()


def _create(connection: Connection) -> None:
    """Create what is absent; of two that do so at once one waits and then finds it there."""
    # Any number will do, as long as every version uses the same, and the catalog another.
    connection.execute(text("SELECT pg_advisory_xact_lock(7092387422)"))
    metadata.create_all(connection)
    # Digests cannot be compressed, and PostgreSQL would try.
    connection.execute(text(f"ALTER TABLE {pieces.name} ALTER COLUMN leaves SET STORAGE EXTERNAL"))
    if connection.execute(select(state)).first() is None:
        connection.execute(insert(state).values(version=VERSION, bytes=0))
