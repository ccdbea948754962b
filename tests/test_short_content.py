"""Content that is read whole: all of it, or why not, and never more than it may be."""

from __future__ import annotations

import tracemalloc

import pytest
from twisted.internet.defer import CancelledError, Deferred

from streamer.downloaders.short_content import short_content
from streamer.errors import ContentTruncated, OriginNonsense
from streamer.model import OriginResponse

MOST = 10


class Source:
    """A download whose content the test sends; `at_once` comes while it is being delivered."""

    def __init__(self, at_once=()):
        self.response = OriginResponse(None)
        self.sink = None
        self.stops = 0
        self._at_once = at_once

    def deliver(self, sink):
        self.sink = sink
        for chunk in self._at_once:
            sink.content_received(chunk)

    def pause(self):
        """Never asked for: it is short."""

    def resume(self):
        """Nor is this."""

    def stop(self):
        self.stops += 1


def reading(source, most=MOST):
    return Deferred.fromCoroutine(short_content(source, most))


def refusal(reading):
    told = []
    reading.addErrback(lambda failure: told.append(failure.value))
    return told[0] if told else None


@pytest.mark.parametrize(
    "chunks", [[], [b"abc"], [b"abc", b"", b"defghij"]], ids=["nothing", "some", "all-there-may-be"]
)
def test_content_is_given_when_it_is_over(chunks):
    """As one piece, and the download is stopped."""
    source = Source()
    answer = reading(source)
    for chunk in chunks:
        source.sink.content_received(chunk)
    before = answer.called
    source.sink.content_ended(None)

    assert not before
    assert answer.result == b"".join(chunks)
    assert source.stops == 1


def test_one_byte_more_than_there_may_be_ends_the_download():
    """Before the rest of it comes."""
    source = Source()
    answer = reading(source)
    source.sink.content_received(b"x" * MOST)
    before = answer.called
    source.sink.content_received(b"x")

    assert not before
    assert isinstance(refusal(answer), OriginNonsense)
    assert source.stops == 1


def test_download_that_does_not_stop_at_once_is_not_kept():
    """What comes while it is delivered cannot be stopped yet, and takes no memory."""
    source = Source([b"x" * MOST, b"x", b"x" * 1000, b"x" * 1000])
    answer = reading(source)
    kept = len(source.sink._content)

    assert isinstance(refusal(answer), OriginNonsense)
    assert kept == 0


def test_content_in_tiny_chunks_takes_no_more_memory_than_its_length():
    """An object for each takes thirty times that, and who sends them chooses how small they are."""
    chunk, count = b"xy", 100_000
    source = Source()
    answer = reading(source, len(chunk) * count)
    tracemalloc.start()
    try:
        for _ in range(count):
            source.sink.content_received(bytes(bytearray(chunk)))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    source.sink.content_ended(None)

    assert answer.result == chunk * count
    assert taken < 2 * len(answer.result)


def test_end_after_too_much_says_nothing_new():
    """Told twice, it is the first that counts."""
    source = Source([b"x" * (MOST + 1)])
    answer = reading(source)
    source.sink.content_ended(ContentTruncated(5))

    assert isinstance(refusal(answer), OriginNonsense)


def test_content_that_breaks_off_is_the_error_that_it_is():
    """Half an answer is none."""
    source = Source()
    answer = reading(source)
    source.sink.content_received(b"abc")
    source.sink.content_ended(ContentTruncated(3))

    assert isinstance(refusal(answer), ContentTruncated)
    assert source.stops == 1


def test_cancelling_stops_the_download():
    """At any moment."""
    source = Source()
    answer = reading(source)
    source.sink.content_received(b"abc")
    answer.cancel()

    assert isinstance(refusal(answer), CancelledError)
    assert source.stops == 1
