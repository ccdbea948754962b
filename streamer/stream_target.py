"""A stream as the target of a save: a pipe, a device, memory.

Nothing can be taken back from it and nothing renamed, so it is the end that makes the difference:
it is held until all is verified, as it is from a client. Separate from `saving`, which knows no
target, and beside `file_target`. Its calls block while the stream does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from streamer.saving import not_writable
from streamer.verify import TAIL_BYTES, HeldTail


class Writable(Protocol):
    """What a stream target writes to; `write` takes all that it is given."""

    def write(self, content: bytes, /) -> object:
        """Take the next bytes; raises `OSError` where that fails."""

    def flush(self) -> object:
        """Hand over everything written; raises as `write` does."""


class StreamTarget:
    """A stream, which cannot take anything back: its end is held until all is verified.

    So it is never complete and wrong. `name` stands for it in messages.
    """

    def __init__(self, stream: Writable, size: int | None, name: str) -> None:
        self._stream = stream
        self._size = size
        self._name = name
        self._tail = HeldTail(size, TAIL_BYTES)
        self._is_written = False

    def kept(self) -> Iterable[bytes]:
        """A stream has nothing."""
        return ()

    def write(self, content: bytes) -> None:
        self._pass_on(self._tail.push(content))

    def start_over(self) -> bool:
        if not self._is_written:
            self._tail = HeldTail(self._size, TAIL_BYTES)
        return not self._is_written

    async def finish(self) -> None:
        self._pass_on(self._tail.release())
        try:
            self._stream.flush()
        except OSError as error:
            raise not_writable(self._name, error) from error

    def _pass_on(self, pieces: Iterable[bytes]) -> None:
        try:
            for piece in pieces:
                self._is_written = True
                self._stream.write(piece)
        except OSError as error:
            raise not_writable(self._name, error) from error
