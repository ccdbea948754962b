"""From content that passes by to the table of its leaves.

A table is worth nothing before the digest beside it has matched, so the two go together in a
`LearningVerifier`, and nobody sees a table earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from blake3 import blake3

from streamer.errors import OriginError
from streamer.pieces.table import LEAF_BYTES, Table
from streamer.verify import ContentVerifier


class Learner:
    """Digests leaf by leaf what it is given, in chunks of any size; copies none of it."""

    def __init__(self) -> None:
        self._digests = bytearray()
        self._leaf = blake3()
        self._missing_bytes = LEAF_BYTES
        self._received_bytes = 0

    def update(self, chunk: bytes) -> None:
        """Digest the next bytes."""
        rest = memoryview(chunk)
        while rest:
            part = rest[: self._missing_bytes]
            rest = rest[len(part) :]
            self._leaf.update(part)
            self._received_bytes += len(part)
            self._missing_bytes -= len(part)
            if not self._missing_bytes:
                self._end_leaf()

    def table(self) -> Table:
        """The table of all that has come. This ends it: nothing may come after it."""
        if self._missing_bytes < LEAF_BYTES:
            self._end_leaf()
        return Table(self._received_bytes, bytes(self._digests))

    def _end_leaf(self) -> None:
        self._digests += self._leaf.digest()
        self._leaf = blake3()
        self._missing_bytes = LEAF_BYTES


class LearningVerifier:
    """Verifies content by its digest, and tells its table once that has matched."""

    is_proving = False

    def __init__(self, content: ContentVerifier, on_learned: Callable[[Table], None]) -> None:
        self._content = content
        self._learner = Learner()
        self._on_learned = on_learned

    @property
    def position(self) -> int:
        return self._content.position

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """See `ContentVerifier`."""
        passed = self._content.update(chunk)
        self._learner.update(chunk)
        return passed

    def finish(self, failure: OriginError | None = None) -> None:
        """See `ContentVerifier`."""
        self._content.finish(failure)
        self._on_learned(self._learner.table())

    def break_off(self) -> Sequence[bytes]:
        return self._content.break_off()
