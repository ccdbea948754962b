"""Download one file of this machine: opened, looked at and read in threads, at the sink's pace.

`open` completes when the file is open and its size is known; `beneath` says which file that is. Its
content is read by 256 KiB, one piece at a time, and the next one when the sink has taken that and
is not paused. The end is where the size said: a file that grows is cut there, and one that is
shorter by then breaks off.

Strategy. A thread cannot be stopped, so it is not waited for either. Whoever cancels or stops is
answered at once; the descriptor is closed when no thread is at work on it any more, in a thread
too, and only then may another file be opened in its place (`LentFile`). So on a disk that hangs,
an importer's threads, descriptors and waiting downloads stay within their bounds.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from streamer.downloaders.beneath import open_beneath
from streamer.downloaders.file_urls import FileRefused, Place
from streamer.downloaders.limits import Slot, Slots
from streamer.downloaders.threads import NoThread, Threads
from streamer.errors import (
    ContentTruncated,
    OriginAnsweredOtherwise,
    OriginBusy,
    OriginFailing,
    OriginLacksIt,
    OriginRefused,
    OriginUnreachable,
)
from streamer.interfaces import Sink
from streamer.model import OriginResponse
from streamer.ranges import ByteRange

READ_BYTES = 256 * 1024
"""What may follow a pause; large enough for the way to a thread and back not to matter."""

ORIGIN = "file://localhost"
"""One name for all files of an importer; health is kept by importer anyway."""

NONE = -1
"""No descriptor."""

_ANSWERS: Mapping[int, tuple[type[OriginAnsweredOtherwise], int]] = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG), (OriginLacksIt, 404)),
    # It changes just now, or no descriptor, memory or thread is left: no fault of the disk's.
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN), (OriginBusy, 503)),
}
"""What HTTP would say. All else is an I/O error, which may pass: 500."""

_REFUSALS: Mapping[int, str] = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "no permission"),
    # What `beneath` finds.
    errno.EXDEV: "a link leads out of its root",
    errno.ELOOP: "too many links lead to it",
    errno.EMLINK: "it lies too deep",
    errno.EISDIR: "it is a folder",
    errno.ENXIO: "it is no regular file",
}

T = TypeVar("T")


@contextmanager
def file_errors() -> Iterator[None]:
    """Map what opening a file raises to `OriginError`s."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENODEV:
            raise OriginUnreachable("its root is not there") from error
        if (why := _REFUSALS.get(error.errno or 0)) is not None:
            raise FileRefused(why) from error
        kind, status = _ANSWERS.get(error.errno or 0, (OriginFailing, 500))
        raise kind(status) from error


@dataclass(frozen=True, slots=True)
class Files:
    """What the downloads of one importer share: where files lie, and how many are open."""

    place: Place
    slots: Slots
    threads: Threads


class FileDownloader:
    """One source of one artifact."""

    origin = ORIGIN

    def __init__(self, files: Files, url: str, retries: int) -> None:
        self.retries = retries
        self._files = files
        self._url = url

    async def open(self, span: ByteRange | None = None) -> FileDownload:
        """Open the file; see `interfaces.Downloader`. A span beyond its end is refused (416)."""
        place = self._files.place
        names = place.below_root(self._url)
        file = LentFile(self._files.threads, await self._files.slots.take())
        try:
            with file_errors():
                status = await file.open(place.root_path, names)
            return _download(file, status, span)
        except BaseException:
            file.release()
            raise


def _download(file: LentFile, status: os.stat_result, span: ByteRange | None) -> FileDownload:
    size = status.st_size
    # Not for clients, whom the catalog tells: two spans for one response have to be of one file.
    fields = (("ETag", f'"{status.st_ino:x}-{size:x}-{status.st_mtime_ns:x}"'),)
    if span is None:
        return FileDownload(file, OriginResponse(size, fields), 0, size)
    if span.last >= size:
        raise OriginRefused(416)
    response = OriginResponse(span.length, fields, part_of=size)
    return FileDownload(file, response, span.first, span.length)


class LentFile:
    """A descriptor, the slot that it takes, and at most one call that a thread makes with it.

    Rule: the slot is free again when the descriptor is closed, and that is not before the call has
    returned: its number would mean another file by then.
    """

    def __init__(self, threads: Threads, slot: Slot) -> None:
        self._threads = threads
        self._slot = slot
        self._descriptor = NONE
        self._is_busy = False
        self._is_released = False

    def open(self, root: bytes, names: Iterable[bytes]) -> Deferred[os.stat_result]:
        """Open it; raises `OSError`."""

        def opened() -> os.stat_result:
            self._descriptor, status = open_beneath(root, names)
            return status

        return self._run(opened)

    def read(self, count: int, offset: int) -> Deferred[bytes]:
        """Up to `count` bytes from `offset` on, none at the end; raises `OSError`."""
        return self._run(partial(os.pread, self._descriptor, count, offset))

    def release(self) -> None:
        """Close it as soon as that is possible; what is awaited of it does not come any more."""
        if not self._is_released:
            self._is_released = True
            if not self._is_busy:
                self._close()

    def _run(self, work: Callable[[], T]) -> Deferred[T]:
        answer: Deferred[T] = Deferred()

        def begin() -> T:
            if self._is_released:
                raise CancelledError
            return work()

        def settle(result: T | Failure) -> None:
            self._is_busy = False
            if self._is_released:
                self._close()
            else:
                answer.callback(result)

        self._is_busy = True
        self._threads.run(begin).addBoth(settle)
        return answer

    def _close(self) -> None:
        """In a thread, because a network mount may have something to say to its server."""
        if (descriptor := self._descriptor) == NONE:
            self._slot.release()
            return

        def closed(result: Failure | None) -> None:
            if result is not None and result.check(NoThread):
                os.close(descriptor)
            self._slot.release()

        self._threads.run(partial(os.close, descriptor)).addBoth(closed)


class FileDownload:
    """An open file, from `offset` on, `length` bytes of it.

    Rule: one read is under way, or what it gave is with the sink, or nobody wants more.
    """

    def __init__(self, file: LentFile, response: OriginResponse, offset: int, length: int) -> None:
        self.response = response
        self._file = file
        self._offset = offset
        self._length = length
        self._received_bytes = 0
        self._sink: Sink | None = None
        self._is_paused = False
        self._is_reading = False

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._go_on()

    def pause(self) -> None:
        self._is_paused = True

    def resume(self) -> None:
        self._is_paused = False
        self._go_on()

    def stop(self) -> None:
        self._sink = None
        self._file.release()

    def _go_on(self) -> None:
        if self._sink is None or self._is_reading:
            return
        left = self._length - self._received_bytes
        if not left:
            self._end(None)
        elif not self._is_paused:
            self._is_reading = True
            reading = self._file.read(min(left, READ_BYTES), self._offset + self._received_bytes)
            reading.addCallbacks(self._take, self._fail)

    def _take(self, chunk: bytes) -> None:
        if self._sink is None:
            return
        if not chunk:
            self._end(ContentTruncated(self._received_bytes))
            return
        self._received_bytes += len(chunk)
        self._sink.content_received(chunk)
        self._is_reading = False
        self._go_on()

    def _fail(self, failure: Failure) -> None:
        self._end(ContentTruncated(self._received_bytes))
        failure.trap(OSError)

    def _end(self, error: ContentTruncated | None) -> None:
        """The last word; the file is given back first, since the sink may want another."""
        sink, self._sink = self._sink, None
        self._file.release()
        if sink is not None:
            sink.content_ended(error)
