"""Downloads made of others: several spans of one source, and content without its beginning.

The spans are strung together, each opened when the one before it is over. The beginning is left out
where an origin that was asked for the rest of some content sends all of it.

Separate from the pump, for which this is a download like any other: its content is that of the
spans, strung together. It refuses what would mix two things into one response: a span of another
length than asked for, and a later answer that is about another representation than the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.errors import (
    ContentChanged,
    OriginError,
    OriginLacksIt,
    OriginNonsense,
    SizeMismatch,
)
from streamer.interfaces import Download, Downloader, Sink
from streamer.model import OriginResponse
from streamer.ranges import ByteRange

_VALIDATORS = ("etag", "last-modified")

_log = Logger()


def behind(spans: Sequence[ByteRange], position: int) -> tuple[ByteRange, ...]:
    """What is left of ascending spans, strung together, behind so many bytes of them."""
    left = []
    for span in spans:
        if position < span.length:
            left.append(ByteRange(span.first + position, span.last))
        position = max(0, position - span.length)
    return tuple(left)


class SpansDownload:
    """A download of `spans`, of which `first` is open already.

    Unless they are proven by themselves, all have to be of one representation, by its validators.
    Its `response` is the first one's. Rule: at any moment one download is open, or being opened,
    or it is over.
    """

    def __init__(
        self,
        downloader: Downloader,
        first: Download,
        spans: Sequence[ByteRange],
        *,
        are_proven: bool = False,
    ) -> None:
        self.response = first.response
        self._are_proven = are_proven
        self._downloader = downloader
        self._current: Download | None = first
        self._ahead = deque(spans)
        self._span = self._ahead.popleft()
        self._received_bytes = 0
        self._opening: Deferred[None] | None = None
        self._sink: Sink | None = None
        self._is_paused = False

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        if self._current is not None:
            self._current.deliver(self)

    def pause(self) -> None:
        self._is_paused = True
        if self._current is not None:
            self._current.pause()

    def resume(self) -> None:
        self._is_paused = False
        if self._current is not None:
            self._current.resume()

    def stop(self) -> None:
        self._sink = None
        if self._opening is not None:
            self._opening.cancel()
        if self._current is not None:
            self._current.stop()

    # -- the sink of each span's own download

    def content_received(self, chunk: bytes) -> None:
        self._received_bytes += len(chunk)
        if self._received_bytes > self._span.length:
            self._end(SizeMismatch(self._span.length, f"{self._received_bytes} or more"))
        elif self._sink is not None:
            self._sink.content_received(chunk)

    def content_ended(self, error: OriginError | None) -> None:
        if error is None and self._received_bytes != self._span.length:
            error = SizeMismatch(self._span.length, self._received_bytes)
        if error is not None or not self._ahead:
            self._end(error)
        elif self._sink is not None and self._current is not None:
            self._current.stop()
            self._current = None
            opening = Deferred.fromCoroutine(self._go_on())
            if not opening.called:
                self._opening = opening
            opening.addErrback(self._opening_failed)

    async def _go_on(self) -> None:
        self._span = self._ahead.popleft()
        self._received_bytes = 0
        download = await self._downloader.open(self._span)
        self._opening, self._current = None, download
        if self._sink is None:
            # Stopped meanwhile, by whoever could not be cancelled.
            download.stop()
            return
        if self._are_proven and download.response.part_of is None:
            # Its beginning would be taken for the span, and be a lie.
            self._end(OriginNonsense("it answers one range of several with all of the content"))
            return
        if not self._are_proven and _differ(download.response, self.response):
            self._end(ContentChanged())
            return
        if self._is_paused:
            download.pause()
        download.deliver(self)

    def _opening_failed(self, failure: Failure) -> None:
        self._opening = None
        error = failure.value
        if self._sink is None:
            return  # stopped, and this is what came of it
        if isinstance(error, OriginLacksIt) and not self._are_proven:
            self._end(ContentChanged())
        elif isinstance(error, OriginError):
            self._end(error)
        else:
            _log.failure("an importer failed in a way that is a defect", failure)
            self._end(OriginNonsense("its importer failed"))

    def _end(self, error: OriginError | None) -> None:
        sink, self._sink = self._sink, None
        if self._current is not None:
            self._current.stop()
        if sink is not None:
            sink.content_ended(error)


class Remainder:
    """A download without its first `skipped_bytes`; those keep the sink's patience alive.

    `on_skipped` hears how many of them have come.
    """

    def __init__(
        self, whole: Download, skipped_bytes: int, on_skipped: Callable[[int], None]
    ) -> None:
        self.response = whole.response
        self._whole = whole
        self._left_bytes = skipped_bytes
        self._on_skipped = on_skipped
        self._sink: Sink | None = None

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._whole.deliver(self)

    def pause(self) -> None:
        self._whole.pause()

    def resume(self) -> None:
        self._whole.resume()

    def stop(self) -> None:
        self._whole.stop()

    def content_received(self, chunk: bytes) -> None:
        if self._left_bytes:
            skipped = min(self._left_bytes, len(chunk))
            self._left_bytes -= skipped
            self._on_skipped(skipped)
            chunk = chunk[skipped:]
        if self._sink is not None:
            self._sink.content_received(chunk)

    def content_ended(self, error: OriginError | None) -> None:
        if self._sink is not None:
            self._sink.content_ended(error)


def _differ(one: OriginResponse, other: OriginResponse) -> bool:
    return _representation(one) != _representation(other)


def _representation(response: OriginResponse) -> tuple[int | None, set[tuple[str, str]]]:
    """What shows that two answers are about the same content: its length and its validators."""
    fields = ((name.lower(), value) for name, value in response.fields)
    return response.part_of, {field for field in fields if field[0] in _VALIDATORS}
