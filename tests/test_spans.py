"""Several spans of one source, strung together to one download."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from streamer.errors import (
    ContentChanged,
    ContentTruncated,
    OriginLacksIt,
    OriginNonsense,
    OriginUnreachable,
    SizeMismatch,
)
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.ranges import ByteRange
from streamer.spans import SpansDownload
from streamer.testing import MemoryDownload, MemoryImporters

SOURCE = RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), "u")
SPANS = (ByteRange(0, 2), ByteRange(10, 11), ByteRange(20, 20))


class Collected:
    """A sink that keeps what it is given, and its end."""

    def __init__(self):
        self.content = b""
        self.endings = []

    def content_received(self, chunk):
        self.content += chunk

    def content_ended(self, error):
        self.endings.append(error)


class Strung:
    """The first download, the outcomes of opening the others, and who takes their content."""

    def __init__(self, first, *others, are_proven=False):
        self.importers = MemoryImporters()
        self.importers.script("u", *others)
        self.sink = Collected()
        downloader = self.importers.importer(SOURCE.importer).downloader(SOURCE)
        self.download = SpansDownload(downloader, first, SPANS, are_proven=are_proven)

    def deliver(self):
        self.download.deliver(self.sink)
        return self


def part(content, **keywords):
    return MemoryDownload([content], part_of=100, **keywords)


def test_spans_are_asked_for_one_after_the_other():
    """Content is strung together in order, and each is stopped before the next is opened."""
    downloads = [part(b"abc"), part(b"KL"), part(b"U")]

    strung = Strung(*downloads).deliver()

    assert (strung.sink.content, strung.sink.endings) == (b"abcKLU", [None])
    assert strung.importers.spans == [SPANS[1], SPANS[2]]
    assert all(download.is_stopped for download in downloads)


@pytest.mark.parametrize("content", [b"", b"K"], ids=["nothing", "too-little"])
def test_span_that_is_too_short_ends_it(content):
    """What follows would be taken for something else."""
    strung = Strung(part(b"abc"), part(content), part(b"U")).deliver()

    (error,) = strung.sink.endings
    assert isinstance(error, SizeMismatch)
    assert strung.importers.spans == [SPANS[1]]


def test_span_that_is_too_long_ends_it_before_the_excess_is_passed_on():
    """More than was asked for is not what was asked for."""
    strung = Strung(part(b"abc"), part(b"KLM"), part(b"U")).deliver()

    (error,) = strung.sink.endings
    assert isinstance(error, SizeMismatch)
    assert strung.sink.content == b"abc"


@pytest.mark.parametrize(
    "later",
    [
        pytest.param(MemoryDownload([b"KL"], part_of=101), id="other-length"),
        pytest.param(MemoryDownload([b"KL"]), id="the-whole"),
        pytest.param(part(b"KL", fields=(("ETag", '"2"'),)), id="other-tag"),
        pytest.param(
            part(b"KL", fields=(("etag", '"1"'), ("last-modified", "x"))), id="other-date"
        ),
        pytest.param(part(b"KL", fields=(("etag", '"2"'), ("etag", '"1"'))), id="two-tags"),
    ],
)
def test_answer_about_another_representation_ends_it(later):
    """RFC 9110 15.3.7.3: parts are joined only if they have the same validator."""
    strung = Strung(part(b"abc", fields=(("etag", '"1"'),)), later).deliver()

    (error,) = strung.sink.endings
    assert isinstance(error, ContentChanged)
    assert strung.sink.content == b"abc"
    assert later.is_stopped


def test_answer_with_all_of_the_content_is_no_span_of_proven_content():
    """Its beginning would be taken for a lie of the origin, which may do better the next time."""
    strung = Strung(part(b"abc"), MemoryDownload([b"abcdefghijKL"]), are_proven=True).deliver()

    (error,) = strung.sink.endings
    assert isinstance(error, OriginNonsense)
    assert b"abc" == strung.sink.content


def test_origin_that_cannot_be_asked_again_ends_it():
    """The reason is that of the attempt."""
    failure = OriginUnreachable("it refuses")

    strung = Strung(part(b"abc"), failure).deliver()

    assert strung.sink.endings == [failure]


def test_content_that_is_gone_between_two_spans_has_changed():
    """It was there a moment ago, so it is not for the client to hear that it is missing."""
    strung = Strung(part(b"abc"), OriginLacksIt(404)).deliver()

    (error,) = strung.sink.endings
    assert isinstance(error, ContentChanged)


def test_proven_content_that_is_gone_between_two_spans_is_gone_at_that_origin():
    """It has sent nothing wrong, and others may go on."""
    failure = OriginLacksIt(404)

    strung = Strung(part(b"abc"), failure, are_proven=True).deliver()

    assert strung.sink.endings == [failure]


def test_content_that_breaks_ends_it():
    """No further span is asked for."""
    failure = ContentTruncated(1)

    strung = Strung(part(b"a", error=failure), part(b"KL")).deliver()

    assert strung.sink.endings == [failure]
    assert strung.importers.spans == []


def test_pause_between_two_spans_holds_for_the_next():
    """A client that is full stays full."""
    opening = Deferred()
    later = MemoryDownload([b"KL"], part_of=100, at_once=True)
    strung = Strung(part(b"abc"), opening).deliver()

    strung.download.pause()
    opening.callback(later)
    paused = strung.sink.content
    strung.download.resume()

    assert paused == b"abc"
    assert strung.sink.content == b"abcKL"


def test_stop_while_a_span_is_being_opened_cancels_that():
    """Nothing is left behind, and nothing is heard any more."""
    cancelled = []
    opening = Deferred(cancelled.append)
    strung = Strung(part(b"abc"), opening).deliver()

    strung.download.stop()

    assert cancelled == [opening]
    assert strung.sink.endings == []


def test_stop_in_a_span_stops_its_download():
    """The connection is free at once."""
    first = MemoryDownload([b"abc"], part_of=100, at_once=False)
    strung = Strung(first).deliver()

    strung.download.stop()

    assert first.is_stopped


def test_span_that_opens_although_it_was_cancelled_is_stopped():
    """An importer that cannot be cancelled in time leaves nothing open all the same."""
    later = part(b"KL")
    opening = Deferred(lambda deferred: deferred.callback(later))
    strung = Strung(part(b"abc"), opening).deliver()

    strung.download.stop()

    assert later.is_stopped
    assert "deliver" not in later.calls


@pytest.mark.parametrize("defect", [RuntimeError("a defect"), CancelledError()])
def test_importer_that_fails_otherwise_ends_it(defect, logged_failures):
    """A client must not wait for a defect until the origin counts as silent."""
    opening = Deferred()
    strung = Strung(part(b"abc"), opening).deliver()

    opening.errback(defect)

    (error,) = strung.sink.endings
    assert isinstance(error, OriginNonsense)
    assert len(logged_failures.flush(type(defect))) == 1
