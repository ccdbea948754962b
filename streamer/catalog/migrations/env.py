"""How Alembic runs our revisions: on the connection and in the transaction that `schema` opened."""

from __future__ import annotations

from alembic import context

from streamer.catalog.schema import VERSION_TABLE
from streamer.catalog.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
