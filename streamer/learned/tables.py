"""The tables of the store, named so that they can lie in a catalog's database and clash with none.

Separate because both kinds of database are made from it. There is no migration: another version of
these tables is another store.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table

VERSION = 1
"""To be raised with any change here, of what a checksum covers, or of what a leaf is."""

metadata = MetaData()

pieces = Table(
    "pulp_streamer_pieces",
    metadata,
    Column("digest", String(160), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("used", Integer, nullable=False),
    Column("checksum", LargeBinary, nullable=False),
    # Last, so that SQLite finds the others without following a long one through its pages.
    Column("leaves", LargeBinary, nullable=False),
)
"""One row for each artifact: its digest and size, what the row costs, the day of its last use (in
days since the epoch), and the digests of its leaves."""

Index("pulp_streamer_pieces_used", pieces.c.used)

state = Table(
    "pulp_streamer_pieces_state",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
)
"""One row: what all of `pieces` costs. Whoever writes takes its lock first."""
