"""Content against a table: nothing is given out that is not proven.

Strategy. A leaf is digested as it comes, and compared when it is complete. A chunk is given out, as
it is and uncopied, once the leaves that it has bytes of are proven. So what waits is at most a leaf
and a chunk, however fast an origin sends and however slowly a client reads.

What is wrong is found before any of it was given out. Whoever feeds this may therefore go on
elsewhere after an objection, as after a break. After a break that is at the very byte, or an origin
that breaks off often would never get through a leaf. If that leaf turns out wrong nobody knows
whose fault it is, so it is asked for again from its beginning; then it has one sender to blame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NoReturn

from blake3 import blake3

from streamer.errors import OriginError, PieceDoubted, PieceMismatch, SizeMismatch
from streamer.pieces.table import LEAF_BYTES, Table
from streamer.ranges import ByteRange
from streamer.verify import ContentVerifier

MOST_DOUBTS = 8
"""In one transfer; from then on a leaf that has begun is dropped where content breaks off."""

MOST_CHUNKS = 64
"""That wait as they came. An origin may send a byte at a time, each an object of its own."""


class Prover:
    """A `verify.Verifier` by a table, of all content or of `spans` of it, one after the other.

    Spans begin and end where leaves do. `position` counts within them, strung together.
    """

    is_proving = True

    def __init__(self, table: Table, spans: Sequence[ByteRange] = ()) -> None:
        whole = (ByteRange(0, table.size - 1),) if table.size else ()
        self._table = table
        self._ahead = deque(spans or whole)
        self._length = sum(span.length for span in self._ahead)
        self._offset = self._ahead[0].first if self._ahead else 0
        self._proven_bytes = 0
        self._given_bytes = 0
        self._waiting: deque[bytes] = deque()
        self._given: list[bytes] = []
        self._doubts = 0
        self._begin_leaf()

    @property
    def position(self) -> int:
        """See `verify.Verifier`; an objection puts it back to the beginning of the leaf.

        Somebody may have opened what is behind it already, so a leaf that a break would drop does
        not count.
        """
        return self._proven_bytes + (self._begun_bytes if self._keeps_leaves else 0)

    @property
    def _begun_bytes(self) -> int:
        return self._leaf_bytes - self._missing_bytes

    @property
    def _keeps_leaves(self) -> bool:
        return self._doubts < MOST_DOUBTS

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """Digest the next bytes, and give the chunks that are proven by now.

        Bytes beyond the end are left out: the end of the content may come with them. Raises
        `PieceMismatch`, `PieceDoubted` where the leaf is of several senders, or `SizeMismatch`
        where nothing but such bytes comes.
        """
        left_bytes = self._length - self._proven_bytes - self._begun_bytes
        if len(chunk) > left_bytes == 0:
            raise SizeMismatch(self._length, f"{self._length + len(chunk)} or more")
        chunk = chunk[:left_bytes]
        self._wait(chunk)
        rest = memoryview(chunk)
        while rest:
            part = rest[: self._missing_bytes]
            rest = rest[len(part) :]
            self._leaf.update(part)
            self._missing_bytes -= len(part)
            if not self._missing_bytes:
                self._end_leaf()
        self._give_chunks()
        return self._take_given()

    def finish(self, failure: OriginError | None = None) -> None:
        """See `verify.Verifier`; once all is proven, nothing that an origin does matters."""
        if self._proven_bytes != self._length:
            raise failure or SizeMismatch(self._length, self.position)

    def break_off(self) -> Sequence[bytes]:
        """See `verify.Verifier`; a leaf that has begun stays, and may have two senders then."""
        self._give_all_proven()
        if not self._keeps_leaves:
            self._drop_leaf()
        elif self._begun_bytes:
            self._is_of_several = True
        return self._take_given()

    def _wait(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        if len(self._waiting) > MOST_CHUNKS:
            self._waiting = deque([b"".join(self._waiting)])

    def _give_chunks(self) -> None:
        """Give those that are proven to their end."""
        while self._waiting and self._given_bytes + len(self._waiting[0]) <= self._proven_bytes:
            chunk = self._waiting.popleft()
            self._given_bytes += len(chunk)
            self._given.append(chunk)

    def _give_all_proven(self) -> None:
        self._give_chunks()
        if count := self._proven_bytes - self._given_bytes:
            chunk = self._waiting.popleft()
            self._given.append(chunk[:count])
            self._given_bytes += count
            self._waiting.appendleft(chunk[count:])

    def _take_given(self) -> Sequence[bytes]:
        given, self._given = self._given, []
        return given

    # -- one leaf

    def _begin_leaf(self) -> None:
        self._leaf = blake3()
        end = self._ahead[0].last + 1 if self._ahead else self._offset
        self._leaf_bytes = self._missing_bytes = min(LEAF_BYTES, end - self._offset)
        self._is_of_several = False

    def _end_leaf(self) -> None:
        if self._leaf.digest() != self._table.digest(self._offset // LEAF_BYTES):
            self._object()
        self._proven_bytes += self._leaf_bytes
        self._offset += self._leaf_bytes
        if self._offset > self._ahead[0].last:
            self._ahead.popleft()
            self._offset = self._ahead[0].first if self._ahead else 0
        self._begin_leaf()

    def _object(self) -> NoReturn:
        is_of_several = self._is_of_several
        self._give_all_proven()
        self._drop_leaf()
        if is_of_several:
            self._doubts += 1
            raise PieceDoubted(self._offset)
        raise PieceMismatch(self._offset)

    def _drop_leaf(self) -> None:
        self._waiting.clear()
        self._begin_leaf()


class StrictProver:
    """All content by a table, and by its digest as well, for who wants both.

    The digest is also what a client's earlier transfers are compared by. Once it objects nobody can
    go on: it is what the client has that is wrong.
    """

    def __init__(self, table: Table, content: ContentVerifier) -> None:
        self._prover = Prover(table)
        self._content = content
        self.is_proving = True

    @property
    def position(self) -> int:
        return self._prover.position

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """See `Prover`; raises what `ContentVerifier` does as well."""
        return self._digested(self._prover.update(chunk))

    def finish(self, failure: OriginError | None = None) -> None:
        """See `verify.Verifier`."""
        self._prover.finish(failure)
        self._content.finish()

    def break_off(self) -> Sequence[bytes]:
        """See `verify.Verifier`; raises what `ContentVerifier` does as it is fed."""
        return self._digested(self._prover.break_off())

    def _digested(self, proven: Sequence[bytes]) -> Sequence[bytes]:
        try:
            for chunk in proven:
                self._content.update(chunk)
        except OriginError:
            self.is_proving = False
            raise
        return proven
