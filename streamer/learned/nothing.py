"""No store at all, for who does not want one: nothing is known, and nothing is kept."""

from __future__ import annotations

from streamer.model import Artifact
from streamer.pieces.table import Table


class NothingLearned:
    """Implements `interfaces.Learned`, and what `ThreadedLearned` has beside it."""

    def start(self) -> None:
        """There is nothing to begin."""

    async def stop(self) -> None:
        """Nor to end."""

    async def table(self, artifact: Artifact) -> Table | None:
        """None is known."""
        return None

    def learn(self, artifact: Artifact, table: Table) -> None:
        """None is kept."""
