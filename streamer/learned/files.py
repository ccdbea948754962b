"""The store in a SQLite file of its own: made when it is absent, put aside when it is unfit.

Separate because all of this is about a file, which may be removed, replaced, damaged or of somebody
else at any time, and is shared by several processes. Whoever makes it or moves it away locks the
folder meanwhile. Refuses a database that is not marked as ours, however damaged: that may be
somebody's only copy.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, NullPool, create_engine, event, insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError

from streamer.learned.failures import StoreUnavailable, StoreUnfit, failures_mapped
from streamer.learned.tables import VERSION, metadata, state

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

APPLICATION_ID = 0x70757069
"""Marks a SQLite file as a store of pieces; `file` and `PRAGMA application_id` show it."""

BUSY_SECONDS = 1.0
"""How long a writer waits for that of another process; then it tries again later."""

PAGE_BYTES = 8192
"""Rows share pages, and those of common packages waste less of these than of SQLite's usual ones;
at worst, where all content is of one unlucky size, the file is twice as large as what it holds."""

SPARE_PAGES = 1024
"""As many unused pages (8 MiB) are kept for what comes next, and given back at a time."""

_COMPANIONS = ("-wal", "-shm")
"""Files of SQLite's own beside each that is open, or was when its process was killed."""

Identity = tuple[int, int]


class PieceFile:
    """Connections to one file, each of which is given up when another file is in its place."""

    def __init__(self, url: URL, connections: int) -> None:
        self.file = Path(str(url.database)).absolute()
        self._engine = create_engine(
            url,
            creator=self._connect,
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", self._note_identity)
        event.listen(self._engine, "checkout", self._refuse_replaced)

    def __str__(self) -> str:
        return str(self.file)

    def has_store(self) -> bool:
        """Whether anything was stored; an empty file is as good as none."""
        with failures_mapped():
            try:
                return self.file.stat().st_size > 0
            except FileNotFoundError:
                return False

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One statement, which sees the newest commit and waits for no writer."""
        with self._put_aside_if_unfit(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction, alone among all processes; the file is made where there is none."""
        with self._put_aside_if_unfit():
            self._create_if_absent()
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                yield connection
                connection.commit()
                _give_back(connection)

    def close(self) -> None:
        """Close idle connections."""
        self._engine.dispose()

    # -- connecting

    def _connect(self) -> sqlite3.Connection:
        """Open what is there; without mode=rw SQLite would make an empty database."""
        connection = sqlite3.connect(
            f"{self.file.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
            isolation_level=None,
        )
        try:
            (application,) = connection.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise StoreUnavailable("the file is a database of something else: name another one")
            for pragma in ("synchronous=NORMAL", "journal_size_limit=8388608"):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _identity(self) -> Identity | None:
        try:
            found = self.file.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def _note_identity(self, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
        record.info["identity"] = self._identity()

    def _refuse_replaced(
        self, connection: DBAPIConnection, record: ConnectionPoolEntry, proxy: Any
    ) -> None:
        """A file that was removed lives on for who has it open, and for nobody else."""
        if record.info["identity"] != self._identity():
            raise DisconnectionError

    # -- making and moving

    def _create_if_absent(self) -> None:
        if self.has_store():
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            if not self.has_store():
                self._create()

    def _create(self) -> None:
        """Build it under another name, so that nobody ever sees a part of it."""
        new = self.file.with_name(f".{self.file.name}.new")
        # What an earlier file, or try, left would be taken for a part of this one.
        for ending in ("", "-journal", *_COMPANIONS):
            Path(f"{new}{ending}").unlink(missing_ok=True)
        for ending in _COMPANIONS:
            Path(f"{self.file}{ending}").unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, *self._owner())
        finally:
            os.close(descriptor)
        _fill(new)
        new.replace(self.file)

    def _owner(self) -> tuple[int, int]:
        """For whom root makes it: whose catalog it lies beside, or else whose folder it lies in."""
        catalog = self.file.with_suffix("")
        found = (catalog if catalog.is_file() else self.file.parent).stat()
        return found.st_uid, found.st_gid

    @contextmanager
    def _put_aside_if_unfit(self) -> Iterator[None]:
        """Map failures; where what lies there is unfit, it makes room for another."""
        with failures_mapped():
            identity = self._identity()
            try:
                with failures_mapped():
                    yield
            except StoreUnfit as error:
                aside = f"{self.file}.unfit"
                with self._alone():
                    if self._identity() == identity:
                        self._put_aside(aside)
                raise StoreUnfit(f"{error}; it is put aside as {aside}") from error

    def _put_aside(self, aside: str) -> None:
        """Move it away, in place of what was moved there before: the disk holds two at most."""
        for ending in ("", *_COMPANIONS):
            with suppress(FileNotFoundError):
                Path(f"{self.file}{ending}").replace(f"{aside}{ending}")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, which leaves no file behind and ends with its process."""
        folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)


def _fill(file: Path) -> None:
    engine = create_engine(f"sqlite:///{file}", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"PRAGMA page_size={PAGE_BYTES}")
        connection.exec_driver_sql("PRAGMA auto_vacuum=INCREMENTAL")
        connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
        metadata.create_all(connection)
        connection.execute(insert(state).values(version=VERSION, bytes=0))
        connection.commit()
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")


def _give_back(connection: Connection) -> None:
    """Shrink a file that holds far less than it did, a little at a time."""
    unused = connection.exec_driver_sql("PRAGMA freelist_count").scalar_one()
    driver = connection.connection.driver_connection
    if unused > SPARE_PAGES and driver is not None:
        # Each step of this gives one page back, and only a script is stepped to its end.
        driver.executescript(f"PRAGMA incremental_vacuum({SPARE_PAGES})")
