"""Verification over chunks: is this the content that was promised, and how much may go out?

Small machines, kept apart from any transport so that every case can be tried on bytes alone.
None trusts a length or an ending that an origin announced; they only count and digest.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from streamer.errors import BeginningMismatch, DigestMismatch, OriginError, SizeMismatch
from streamer.model import Digest

TAIL_BYTES = 16 * 1024
"""How much stays back until the content is verified. One byte would do for correctness; a quarter
of a usual read costs nothing more and withholds a wrong last block altogether."""


class Verifier(Protocol):
    """Looks at content chunk by chunk and gives what of it may pass."""

    @property
    def is_proving(self) -> bool:
        """Whether all that it gives is proven right.

        Then others may go on at `position` after it has raised, as after a break; else no more of
        the content may be used.
        """

    @property
    def position(self) -> int:
        """How much of the content has come that does not have to come again."""

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """Look at the next bytes, and give those, in order, that may pass now.

        Raises a `ContentMismatch` as soon as they cannot be right.
        """

    def finish(self, failure: OriginError | None = None) -> None:
        """Return if all that can be known of the content is right; else a `ContentMismatch`.

        `failure` is how the origin ended, if not well. It is raised unless it is no matter, because
        the content is proven right, or proven wrong, without an origin's word for its end.
        """

    def break_off(self) -> Sequence[bytes]:
        """The next bytes will be those at `position`: give what may pass of those before.

        What came and does not count in it is forgotten; it stays where it is, since somebody may
        have opened what is behind it. Raises what `update` does.
        """


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The digest of the first `position` bytes of content, in hexadecimal.

    Two passes that agree in it had the same bytes so far. So when one of them turns out right, the
    other, which was broken off there, was right as well.
    """

    position: int
    hex: str


class ContentVerifier:
    """Compares content with a promised size (None if unknown) and digest, chunk by chunk.

    The `checkpoints` of earlier passes, made with the same algorithm, have to match on the way.
    """

    is_proving = False

    def __init__(
        self, size: int | None, digest: Digest, checkpoints: Iterable[Checkpoint] = ()
    ) -> None:
        self._size = size
        self._promised = digest
        self._running = hashlib.new(digest.algorithm, usedforsecurity=False)
        self._ahead = deque(sorted(checkpoints, key=attrgetter("position")))
        self.position = 0

    @property
    def checkpoint(self) -> Checkpoint:
        """What can be said of the bytes that have come so far."""
        return Checkpoint(self.position, self._running.hexdigest())

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """Count and digest the next bytes; all of them may pass.

        Raises `SizeMismatch` as soon as there are too many, and `BeginningMismatch`.
        """
        start = self.position
        self.position += len(chunk)
        if self._size is not None and self.position > self._size:
            raise SizeMismatch(self._size, f"{self.position} or more")
        rest = chunk
        while self._ahead and self._ahead[0].position <= self.position:
            checkpoint = self._ahead.popleft()
            before, rest = rest[: checkpoint.position - start], rest[checkpoint.position - start :]
            start = checkpoint.position
            self._running.update(before)
            if self._running.hexdigest() != checkpoint.hex:
                raise BeginningMismatch(checkpoint.position)
        self._running.update(rest)
        return (chunk,)

    def break_off(self) -> Sequence[bytes]:
        """Nothing waits here."""
        return ()

    def finish(self, failure: OriginError | None = None) -> None:
        """Return if the content was right and complete, however the origin ended.

        Else raises `failure`, or a `ContentMismatch` where there is none or all has come.
        """
        if self._size is not None and self.position != self._size:
            raise failure or SizeMismatch(self._size, self.position)
        found = Digest(self._promised.algorithm, self._running.hexdigest())
        if found != self._promised:
            mismatch = DigestMismatch(self._promised, found)
            raise mismatch if self._size is not None else failure or mismatch
        if self._ahead:
            raise BeginningMismatch(self._ahead[0].position)


class LengthVerifier:
    """Counts content of which no digest is known: all that can be shown of a range by itself.

    Where no size is known either, it is the origin alone that says where the content ends.
    """

    is_proving = False

    def __init__(self, size: int | None) -> None:
        self._size = size
        self.position = 0

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """Count the next bytes; raises `SizeMismatch` as soon as there are too many."""
        self.position += len(chunk)
        if self._size is not None and self.position > self._size:
            raise SizeMismatch(self._size, f"{self.position} or more")
        return (chunk,)

    def break_off(self) -> Sequence[bytes]:
        """Nothing waits here."""
        return ()

    def finish(self, failure: OriginError | None = None) -> None:
        """Return if there were as many as promised; raises `failure` or `SizeMismatch` if not.

        As many bytes of what nobody can compare prove nothing: there is no failure that is no
        matter.
        """
        if failure is not None:
            raise failure
        if self._size is not None and self.position != self._size:
            raise SizeMismatch(self._size, self.position)


class HeldTail:
    """A queue that keeps the last `tail_bytes` that went in, until it is released.

    Where the size is known the tail is a fixed part of the content, so that a slow origin's bytes
    pass at once; where it is not, whole chunks stay behind until as many bytes came after them.
    """

    def __init__(self, size: int | None, tail_bytes: int) -> None:
        self._free = None if size is None else max(0, size - tail_bytes)
        self._tail_bytes = tail_bytes
        self._queue: deque[bytes] = deque()
        self.held_bytes = 0

    def push(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and give those, in order, that may go out now."""
        self._queue.append(chunk)
        self.held_bytes += len(chunk)
        if self._free is None:
            return self._pop_surplus()
        return self._pop_free()

    def release(self) -> list[bytes]:
        """Give all the rest: the content is verified."""
        rest = list(self._queue)
        self._queue.clear()
        self.held_bytes = 0
        return rest

    def _pop_surplus(self) -> list[bytes]:
        passed = []
        while self._queue and self.held_bytes - len(self._queue[0]) >= self._tail_bytes:
            passed.append(self._pop())
        return passed

    def _pop_free(self) -> list[bytes]:
        assert self._free is not None  # noqa: S101 - told by the caller, for the type checker
        passed = []
        while self._queue and self._free > 0:
            chunk = self._pop()
            if len(chunk) > self._free:
                self._queue.appendleft(chunk[self._free :])
                self.held_bytes += len(chunk) - self._free
                chunk = chunk[: self._free]
            self._free -= len(chunk)
            passed.append(chunk)
        return passed

    def _pop(self) -> bytes:
        chunk = self._queue.popleft()
        self.held_bytes -= len(chunk)
        return chunk
