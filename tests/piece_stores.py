"""Stores of pieces for tests: tables to keep in them, their databases seen from outside."""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from contextlib import closing

import pytest
from catalog_servers import postgres_server
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from twisted.internet.task import Clock

from streamer.learned.store import Written
from streamer.model import Artifact, Digest
from streamer.pieces.table import DIGEST_BYTES, LEAF_BYTES, Table, leaf_count

MIB = 1024**2


def digest(name):
    return f"sha256:{hashlib.sha256(str(name).encode()).hexdigest()}"


def table(name, size=MIB):
    """A table that no other name has."""
    seed = hashlib.sha256(f"leaves of {name}".encode())
    return Table(size, (seed.digest() * leaf_count(size))[: leaf_count(size) * DIGEST_BYTES])


def artifact(name, size=MIB):
    return Artifact((Digest.parse(digest(name)),), size, "application/octet-stream")


def tables(*names, size=MIB):
    """A batch of changes: what a store is given to write."""
    return {digest(name): table(name, size) for name in names}


def size_of(table_bytes):
    """The size of content whose table has so many bytes."""
    return table_bytes // DIGEST_BYTES * LEAF_BYTES


class Place:
    """A database of one kind, empty at first: its URL, and statements past the store."""

    def __init__(self, url):
        self.url = url
        self.is_sqlite = url.startswith("sqlite")

    def execute(self, statement, **values):
        """Run one statement as somebody else would; gives its rows, if it has any."""
        engine = create_engine(make_url(self.url.replace("postgresql:", "postgresql+psycopg:")))
        with engine.begin() as connection:
            found = connection.execute(text(statement), values)
            rows = [tuple(row) for row in found] if found.returns_rows else []
        engine.dispose()
        return rows

    def counted(self):
        """What the store says that it holds, and what it does hold."""
        ((said,),) = self.execute("SELECT bytes FROM pulp_streamer_pieces_state")
        ((held,),) = self.execute("SELECT coalesce(sum(bytes), 0) FROM pulp_streamer_pieces")
        return said, held

    def day_of(self, name):
        """The day on which a table was last used."""
        ((day,),) = self.execute(
            "SELECT used FROM pulp_streamer_pieces WHERE digest = :digest", digest=digest(name)
        )
        return day

    def spoil(self, name):
        """Change one byte of a table."""
        other = bytearray(table(name).digests)
        other[-1] ^= 1
        self.execute(
            "UPDATE pulp_streamer_pieces SET leaves = :leaves WHERE digest = :digest",
            leaves=bytes(other),
            digest=digest(name),
        )


@pytest.fixture(scope="module")
def server():
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="module")
def database(server):
    return server.new_database()


@pytest.fixture
def on_server(database):
    place = Place(database)
    place.execute("DROP TABLE IF EXISTS pulp_streamer_pieces, pulp_streamer_pieces_state")
    return place


@pytest.fixture
def file(tmp_path):
    return tmp_path / "catalog.db.pieces"


@pytest.fixture
def in_file(file):
    return Place(f"sqlite:///{file}")


@pytest.fixture(params=["in_file", "on_server"], ids=["sqlite", "postgresql"])
def place(request):
    return request.getfixturevalue(request.param)


def is_sound(file):
    """Whether SQLite finds nothing wrong with a file."""
    with closing(sqlite3.connect(file)) as connection:
        return [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()


class ThreadedClock(Clock):
    """A clock that tests move, in a reactor whose threads report back to the real one."""

    def __init__(self, reactor):
        super().__init__()
        self._reactor = reactor

    def callFromThread(self, *args, **kwargs):
        self._reactor.callFromThread(*args, **kwargs)


class HeldStore:
    """A store whose `read` and `write` begin only while it is open, and may then fail."""

    def __init__(self):
        self.reads = []
        self.batches = []
        self.failure = None
        self.found = None
        self.is_closed = False
        self._gate = threading.Event()

    def __str__(self):
        return "a held store"

    def open(self):
        self._gate.set()

    def shut(self):
        self._gate.clear()

    def read(self, digest, size):
        self.reads.append(digest)
        self._pass()
        return self.found

    def write(self, changes, today):
        self.batches.append(dict(changes))
        self._pass()
        return Written(written=len(changes), bytes=7)

    def close(self):
        self.is_closed = True

    def _pass(self):
        self._gate.wait(60)
        if self.failure is not None:
            raise self.failure
