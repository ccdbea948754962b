"""Sealed secrets of importers, and distributions that are bound to an importer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; secrets that are in the clear so far stay so until they are rotated."""
    op.add_column("importers", sa.Column("sealed", sa.Text))
    op.add_column("distributions", sa.Column("importer_id", sa.BigInteger))
    op.add_column("distributions", sa.Column("keeps_query", sa.Boolean))
