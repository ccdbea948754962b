"""What goes wrong with the store, in two kinds, from whatever a database or the system raises.

Separate because every kind of place raises them. They never leave this package: beyond it, what
cannot be read is not known.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class StoreUnavailable(Exception):
    """The store cannot be read, or written, just now. Its argument says why, without a secret."""


class StoreUnfit(StoreUnavailable):
    """What lies there is damaged or of another version: it will never be of use."""


@contextmanager
def failures_mapped() -> Iterator[None]:
    """Turn whatever the database, its driver or the file system raises into our own.

    Only the first line of their words is kept: SQLAlchemy's repeat the statement.
    """
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = next(iter(str(cause).splitlines()), type(cause).__name__)
        raise _kind(cause)(reason) from error
    except OSError as error:
        raise StoreUnavailable(error.strerror or type(error).__name__) from error


def _kind(cause: BaseException | None) -> type[StoreUnavailable]:
    """Its primary result code says whether SQLite found damage; extended ones lie above a byte."""
    code = getattr(cause, "sqlite_errorcode", None) or 0
    return StoreUnfit if code & 0xFF in _DAMAGE else StoreUnavailable
