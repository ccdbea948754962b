"""The content of one file over FTP, as it comes: counted, paced, paused, stopped.

Strategy. Content has no head and no end mark, so three things are held against each other: the
size that SIZE told, how many bytes came before the data connection ended, and what the server says
on the control connection after that.

| size | bytes | last word | the content is |
|---|---|---|---|
| told | fewer | | broken off |
| told | more | | nonsense: the file is another, or REST was not honoured |
| told | as many | all sent | whole; the session can be used again |
| told | as many | something else | broken off, as the server says itself |
| told | as many | none | whole: firewalls forget control connections of long transfers |
| not told | all until a clean end | all sent | whole |
| not told | | anything else | broken off |

What is more than the size is left out, and the rest delivered: all that was asked for has come
then, so its digest decides, and nobody goes on behind the beginning that came in place of the end.

A span that ends within the file is cut: FTP can say where to begin and not where to end, so its
connections are closed when enough has come. That REST was honoured shows only where a file is read
to its end; within one, 350 is a server's word for it, as a Content-Range is in HTTP.

As in `contents`, there are two reasons to hold a connection back, the sink's and the importer's
limit of bytes, and a sink is given empty chunks while that limit holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from streamer.downloaders.ftp_dialogues import has_sent_all
from streamer.downloaders.ftp_replies import Reply
from streamer.downloaders.ftp_session import Retrieval, Session
from streamer.downloaders.limits import ByteRate
from streamer.downloaders.throttle import Throttle
from streamer.errors import ContentTruncated, OriginError, OriginNonsense
from streamer.interfaces import Sink
from streamer.model import OriginResponse

FAREWELL_SECONDS = 5
"""How long the last word is waited for where every byte has come."""


class FtpDownload:
    """One file that a server has begun to send; see `interfaces.Download`."""

    def __init__(
        self,
        session: Session,
        retrieval: Retrieval,
        clock: IReactorTime,
        rate: ByteRate | None,
        on_over: Callable[[], None],
    ) -> None:
        """`on_over` is called once, when the session can be used again or was given up."""
        self.response = _response(retrieval)
        self._session = session
        self._data = retrieval.data
        self._clock = clock
        self._throttle = Throttle(rate, clock, self._say_nothing, self._flow)
        self._on_over = on_over
        self._is_cut = retrieval.span is not None and retrieval.span.last + 1 != retrieval.size
        self._sink: Sink | None = None
        self._is_over = False
        self._is_paused = False
        self._received_bytes = 0
        self._farewell: Deferred[Any] | None = None
        self._alarm: IDelayedCall | None = None
        self._data.give_to(self)

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._flow()

    def pause(self) -> None:
        self._is_paused = True
        self._flow()

    def resume(self) -> None:
        self._is_paused = False
        self._flow()

    def stop(self) -> None:
        self._sink = None
        self._finish()

    def _flow(self) -> None:
        """Let the connection flow while nobody has a reason to hold it back."""
        if self._is_over or self._farewell is not None:
            return
        if self._sink is None or self._is_paused or self._throttle.holds:
            self._data.hold()
        else:
            self._data.resume()

    def _say_nothing(self) -> None:
        if self._sink is not None:
            self._sink.content_received(b"")

    # -- ftp_data.Receiver

    def data_received(self, data: bytes) -> None:
        length = self.response.length
        is_too_much = length is not None and self._received_bytes + len(data) > length
        if length is not None:
            data = data[: length - self._received_bytes]
        self._received_bytes += len(data)
        if self._sink is not None:
            self._sink.content_received(data)
        if self._is_cut and self._received_bytes == length:
            self._end(None)
        elif is_too_much:
            self._end(OriginNonsense("it sends more than the size that it told"))
        else:
            self._throttle.account(len(data))
            if self._throttle.holds:
                self._flow()

    def data_ended(self, *, is_clean: bool) -> None:
        length = self.response.length
        if not is_clean if length is None else self._received_bytes < length:
            self._end(ContentTruncated(self._received_bytes))
            return
        if length is not None:
            self._alarm = self._clock.callLater(FAREWELL_SECONDS, self._end, None)
        self._farewell = Deferred.fromCoroutine(self._session.end())
        self._farewell.addCallbacks(self._take_leave, self._part_without_a_word)

    def _take_leave(self, reply: Reply) -> None:
        self._end(None if has_sent_all(reply) else ContentTruncated(self._received_bytes))

    def _part_without_a_word(self, _: Failure) -> None:
        is_whole = self.response.length is not None
        self._end(None if is_whole else ContentTruncated(self._received_bytes))

    # -- the end

    def _end(self, error: OriginError | None) -> None:
        sink, self._sink = self._sink, None
        self._finish()
        if sink is not None:
            sink.content_ended(error)

    def _finish(self) -> None:
        """Release everything; what is not at its end is closed."""
        if self._is_over:
            return
        self._is_over = True
        self._throttle.stop()
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        self._alarm = None
        self._data.abort()
        if self._farewell is not None:
            self._farewell.cancel()
        self._on_over()


def _response(retrieval: Retrieval) -> OriginResponse:
    if retrieval.span is None:
        return OriginResponse(retrieval.size)
    return OriginResponse(retrieval.span.length, part_of=retrieval.size)
