"""All tables of the first catalog.

Written out and not taken from `tables`, which will have moved on when a later revision runs.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BYTEWISE = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _create_administration()
    _create_content()
    _create_withdrawals()


def _create_administration() -> None:
    op.create_table(
        "importers",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("config", sa.Text, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "distributions",
        sa.Column("base_path", _BYTEWISE, primary_key=True),
        sa.Column("current_publication_id", sa.BigInteger),
        sa.Column("last_number", sa.Integer, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "publications",
        sa.Column("id", _BIG_ID, primary_key=True),
        sa.Column("base_path", _BYTEWISE, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("number", sa.Integer),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("touched_at", sa.Float, nullable=False),
        sa.Column("published_at", sa.Float),
        sa.Column("superseded_at", sa.Float),
        sa.Column("grace_until", sa.Float),
        sa.Column("entry_count", sa.BigInteger, nullable=False),
        sa.Column("total_size", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("base_path", "number"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "publication_importers",
        sa.Column("publication_id", sa.BigInteger, primary_key=True),
        sa.Column("importer_id", sa.BigInteger, sa.ForeignKey("importers.id"), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("publication_importers_by_importer", "publication_importers", ["importer_id"])


def _create_content() -> None:
    op.create_table(
        "entries",
        sa.Column("publication_id", sa.BigInteger, primary_key=True),
        sa.Column("path", _BYTEWISE, primary_key=True),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("more_digests", sa.Text),
        sa.Column("size", sa.BigInteger),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("cache", sa.Text, nullable=False),
        sa.Column("last_modified", sa.BigInteger),
        sa.Column("sources", sa.Text, nullable=False),
        sa.Column("held", sa.Boolean, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "held_slices",
        sa.Column("publication_id", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("publication_id", "digest", "position"),
    )


def _create_withdrawals() -> None:
    op.create_table(
        "withdrawn_paths",
        sa.Column("base_path", _BYTEWISE, primary_key=True),
        sa.Column("path", _BYTEWISE, primary_key=True),
        sa.Column("up_to_number", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "withdrawn_digests",
        sa.Column("digest", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
