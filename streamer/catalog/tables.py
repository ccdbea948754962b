"""The tables: one set for SQLite and PostgreSQL, and how a path lies in them.

A publication is full rows: size, digests, media type and sources of an artifact lie in the entry
that promises it, so what one publication claims never changes what another one answers.

Strategy: a path is stored with U+0001 in the place of every slash. No path may hold a control
character, so nothing is lost, and plain byte order becomes the order of a tree: a file, then the
folder of its name, then the names that begin with it. A folder is one range of the key, and the
range behind it begins at its name and U+0002. That is what makes listing one probe per name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

if TYPE_CHECKING:
    from sqlalchemy import Dialect

SLASH = "\x01"
BEHIND = "\x02"
"""After a name, it is greater than every path in or under that name and less than any other."""

BigId = BigInteger().with_variant(Integer(), "sqlite")
"""Only a plain INTEGER PRIMARY KEY counts by itself in SQLite."""


class TreePath(TypeDecorator[str]):
    """A path whose byte order is the order of a tree; slashes outside, U+0001 in the table.

    SQLite compares bytes already; a PostgreSQL database may have any collation.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text(collation="C") if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else value.replace("/", SLASH)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return value if value is None else value.replace(SLASH, "/")


AnyRow: TypeAlias = Row[*tuple[Any, ...]]
"""A row of whatever columns its statement names."""

metadata = MetaData()

importers = Table(
    "importers",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("config", Text, nullable=False),
    # the secret part of the config, encrypted (see `keyring`); NULL where there is none
    Column("sealed", Text),
    Column("revision", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # An id that came back would share the connections and tokens of the deleted importer.
    sqlite_autoincrement=True,
)

distributions = Table(
    "distributions",
    metadata,
    Column("base_path", TreePath, primary_key=True),
    Column("current_publication_id", BigInteger),
    Column("last_number", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    # set for a pass-through distribution, which has no publications
    Column("importer_id", BigInteger),
    Column("keeps_query", Boolean),
    sqlite_with_rowid=False,
)

publications = Table(
    "publications",
    metadata,
    Column("id", BigId, primary_key=True),
    Column("base_path", TreePath, nullable=False),
    # building, published or deleted; only published ones have a number
    Column("state", Text, nullable=False),
    Column("number", Integer),
    Column("created_at", Float, nullable=False),
    Column("touched_at", Float, nullable=False),
    Column("published_at", Float),
    Column("superseded_at", Float),
    Column("grace_until", Float),
    Column("entry_count", BigInteger, nullable=False),
    Column("total_size", BigInteger, nullable=False),
    UniqueConstraint("base_path", "number"),
    sqlite_autoincrement=True,
)

entries = Table(
    "entries",
    metadata,
    Column("publication_id", BigInteger, primary_key=True),
    Column("path", TreePath, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("digest", Text, nullable=False),
    Column("more_digests", Text),
    Column("size", BigInteger),
    Column("media_type", Text, nullable=False),
    Column("cache", Text, nullable=False),
    # NULL: as old as its publication
    Column("last_modified", BigInteger),
    Column("sources", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

publication_importers = Table(
    "publication_importers",
    metadata,
    Column("publication_id", BigInteger, primary_key=True),
    Column("importer_id", BigInteger, ForeignKey(importers.c.id), primary_key=True),
    Index("publication_importers_by_importer", "importer_id"),
    sqlite_with_rowid=False,
)

held_slices = Table(
    "held_slices",
    metadata,
    Column("publication_id", BigInteger, nullable=False),
    Column("digest", Text, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
    UniqueConstraint("publication_id", "digest", "position"),
)

withdrawn_paths = Table(
    "withdrawn_paths",
    metadata,
    Column("base_path", TreePath, primary_key=True),
    Column("path", TreePath, primary_key=True),
    # holds for the distribution's publications up to this number
    Column("up_to_number", Integer, nullable=False),
    sqlite_with_rowid=False,
)

withdrawn_digests = Table(
    "withdrawn_digests",
    metadata,
    Column("digest", Text, primary_key=True),
    sqlite_with_rowid=False,
)
