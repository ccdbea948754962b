"""Held content as a `Download`: slices out of the catalog at the pace of whoever takes them.

Separate because it is the one place of the catalog with a state over time. One slice at most is
being read or waits to be taken, so memory is bounded by a slice. Refuses nothing: content that
is deleted while it is read breaks off like that of an origin, and the verifier sees to the rest.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from streamer.errors import CatalogError, ContentTruncated
from streamer.interfaces import Sink
from streamer.model import OriginResponse


class HeldDownload:
    """One reading of held content; `read_slice` gives what begins at an offset, or nothing."""

    def __init__(self, size: int, read_slice: Callable[[int], Deferred[bytes]]) -> None:
        self.response = OriginResponse(size)
        self._size = size
        self._read_slice = read_slice
        self._offset = 0
        self._sink: Sink | None = None
        self._is_paused = False
        self._slice: Deferred[None] | None = None

    def deliver(self, sink: Sink) -> None:
        """Let the content flow into `sink`."""
        self._sink = sink
        self._advance()

    def pause(self) -> None:
        """Read no further; a slice that is being read still comes."""
        self._is_paused = True

    def resume(self) -> None:
        """Read on."""
        self._is_paused = False
        self._advance()

    def stop(self) -> None:
        """End now; nothing is called after."""
        self._sink = None
        if self._slice is not None:
            self._slice.cancel()

    def _advance(self) -> None:
        """Read the next slice, unless one is being read or nobody wants it."""
        if self._sink is None or self._is_paused or self._slice is not None:
            return
        reading = self._read_slice(self._offset)
        self._slice = reading.addCallbacks(self._take, self._fail)
        self._slice.addBoth(self._next)

    def _take(self, content: bytes) -> None:
        if self._sink is None:
            return
        self._offset += len(content)
        if content:
            self._sink.content_received(content)
        if self._offset >= self._size:
            self._end(None)
        elif not content:
            self._end(ContentTruncated(self._offset))

    def _fail(self, failure: Failure) -> None:
        if self._sink is not None:
            self._end(ContentTruncated(self._offset))
            failure.trap(CatalogError)

    def _next(self, result: Failure | None) -> Failure | None:
        self._slice = None
        self._advance()
        return result

    def _end(self, error: ContentTruncated | None) -> None:
        """Say the last word, unless the sink has just stopped the download."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.content_ended(error)
