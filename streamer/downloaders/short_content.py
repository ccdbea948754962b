"""Content that is short and read whole: what a service answers, a list.

Separate from the pump, which holds nothing: here a bound is all that keeps an answer from filling
memory, and what has come is of use only when all of it is there.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred

from streamer.errors import OriginError, OriginNonsense
from streamer.interfaces import Download


async def short_content(download: Download, most_bytes: int) -> bytes:
    """All of it; the download is stopped on every path.

    Raises the `OriginError` that broke it off, or `OriginNonsense` where there is more.
    """
    answer = _Answer(most_bytes)
    try:
        download.deliver(answer)
        return await answer.whole
    finally:
        download.stop()


class _Answer:
    """A sink that holds what comes."""

    def __init__(self, most_bytes: int) -> None:
        self.whole: Deferred[bytes] = Deferred()
        self._most_bytes = most_bytes
        # No list of chunks: the sender says how small they are, and each takes an object.
        self._content = bytearray()

    def content_received(self, chunk: bytes) -> None:
        if self.whole.called:
            return
        self._content += chunk
        if len(self._content) > self._most_bytes:
            self._content.clear()
            self.whole.errback(OriginNonsense("its answer is too long"))

    def content_ended(self, error: OriginError | None) -> None:
        if self.whole.called:
            return
        if error is None:
            self.whole.callback(bytes(self._content))
        else:
            self.whole.errback(error)
