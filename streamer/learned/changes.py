"""What waits to be written, the newest for each digest, within a bound of memory.

Pure. What is given out to be written stays known here, and counted, until it is said to be `done`
or `put_back`. Beyond the bound nothing is taken in, since all of it can be learned again.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from streamer.learned.rows import ROW_BYTES, cost
from streamer.pieces.table import Table


class Mark(Enum):
    """A change that brings no table."""

    USED = auto()
    FORGOTTEN = auto()


Change = Table | Mark


class Changes:
    """At most one change for each digest: a table to keep, one to forget, or one that was used."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._waiting: dict[str, Change] = {}
        self._given: Mapping[str, Change] = {}
        self._bytes = 0

    def __bool__(self) -> bool:
        """Whether there is anything to `take`."""
        return bool(self._waiting)

    def find(self, digest: str) -> Change | None:
        """What is to become of this digest."""
        return self._waiting.get(digest) or self._given.get(digest)

    def add(self, digest: str, change: Change) -> bool:
        """Let a change wait, in place of an older one; False where there is no room for it.

        That something was used changes nothing where something else is to become of it.
        """
        if change is Mark.USED and self.find(digest) is not None:
            return True
        more = _bytes(change) - _bytes(self._waiting.get(digest))
        if self._bytes + more > self._most_bytes:
            return False
        self._bytes += more
        self._waiting[digest] = change
        return True

    def take(self) -> Mapping[str, Change]:
        """Give all that waits, oldest first; to be followed by `done` or `put_back`."""
        self._given, self._waiting = self._waiting, {}
        return self._given

    def done(self) -> None:
        """What was taken is written."""
        self._bytes -= sum(map(_bytes, self._given.values()))
        self._given = {}

    def put_back(self) -> None:
        """What was taken is not written: it waits again, but for what is newer."""
        older = {digest: each for digest, each in self._given.items() if digest in self._waiting}
        self._bytes -= sum(map(_bytes, older.values()))
        self._waiting = {**self._given, **self._waiting}
        self._given = {}


def _bytes(change: Change | None) -> int:
    if change is None:
        return 0
    return cost(change) if isinstance(change, Table) else ROW_BYTES
