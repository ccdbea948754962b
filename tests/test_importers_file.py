"""Importers of type `file`: their configs, what is opened, how it is read, and disks that hang."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading

import pytest
from disks import (
    THREAD_NAME,
    TYPE,
    Gate,
    Sink,
    build,
    descriptors_below,
    source,
    threads_at_work,
    until,
)
from pytest_twisted import blockon, ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

from streamer.downloaders.files import READ_BYTES
from streamer.errors import (
    ConfigurationError,
    ContentTruncated,
    OriginBusy,
    OriginCrowded,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginRefused,
    OriginUnreachable,
)
from streamer.importers.file import THREADS
from streamer.ranges import ByteRange

CONTENT = bytes(range(256)) * 4096  # four reads
URL = "file:///srv/mirror/"


@pytest.fixture
def folder(tmp_path):
    """The importer's own root, with a file of some reads in it."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "f").write_bytes(CONTENT)
    return folder


@pytest.fixture
def importer(reactor, folder):
    importer = build(reactor, folder)
    yield importer
    close(importer)


@pytest.fixture(autouse=True)
def _nothing_left(reactor, folder):
    yield
    blockon(Deferred.fromCoroutine(until(reactor, lambda: not descriptors_below(folder))))
    blockon(Deferred.fromCoroutine(until(reactor, lambda: not threads_at_work())))


def close(importer):
    Deferred.fromCoroutine(importer.close())


def opening(importer, url="f", span=None):
    return Deferred.fromCoroutine(importer.downloader(source(url)).open(span))


async def refusal(importer, url="f", span=None):
    try:
        download = await opening(importer, url, span)
    except Exception as error:
        return error
    download.stop()
    raise AssertionError("it was opened")


async def read(importer, url="f", span=None):
    """The content, what it ended in, and what was said before it."""
    download = await opening(importer, url, span)
    sink = Sink()
    download.deliver(sink)
    error = await sink.ended
    download.stop()
    return sink.content, error, download.response


def disk_fails(monkeypatch, number):
    """Let every file fail to be opened, with an error of the system."""
    look = os.fstat

    def fstat(descriptor):
        if threading.current_thread().name == THREAD_NAME:
            raise OSError(number, "no")
        return look(descriptor)

    monkeypatch.setattr(os, "fstat", fstat)


# -- configs -------------------------------------------------------------------------------------


def test_config_is_stored_with_its_version_and_its_defaults():
    """What is stored does not change its meaning when a default does."""
    assert TYPE.normalise({"url": URL}) == {
        "version": 1,
        "url": URL,
        "download_concurrency": 100,
        "max_retries": 3,
        "allow_weak_digests": False,
    }


@pytest.mark.parametrize(
    "url", ["file:///srv/mirror", "file://localhost/srv/mirror/", "file:/srv//mirror"]
)
def test_url_is_stored_in_its_one_form(url):
    """Two importers of one folder are seen to be that."""
    assert URL == TYPE.normalise({"url": url})["url"]


def test_url_keeps_its_encoded_names():
    """A delimiter in a name stays encoded, and bytes stay bytes."""
    url = "file:///a%20b/%C3%A4/%FF/1%3F2%23/a+b:c;d=@&!$'()*,~/"

    assert url == TYPE.normalise({"url": url})["url"]


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "url: must be given"),
        ({"url": 1}, "url: must be file:///FOLDER"),
        ({"url": "/srv"}, "url: must be an absolute file:///PATH URL"),
        ({"url": "file://nas/srv"}, "url: must name no host, or localhost"),
        ({"url": "file:///srv/%00"}, "url: must not hold an encoded slash or NUL"),
        ({"url": URL, "max_retries": 11}, "max_retries: must be a whole number from 0 to 10"),
        (
            {"url": URL, "download_concurrency": True},
            "download_concurrency: must be a whole number from 1 to 1000",
        ),
        (
            {"url": URL, "password": "x"},
            "password: is not a setting of type file; there are: allow_weak_digests,"
            " download_concurrency, max_retries, url",
        ),
    ],
)
def test_wrong_config_is_refused_by_its_key(config, sentence):
    """Without the value."""
    with pytest.raises(ConfigurationError) as caught:
        TYPE.normalise(config)

    assert sentence == str(caught.value)


@pytest.mark.parametrize("roots", [[], ["/srv"]])
def test_folder_that_the_settings_do_not_allow_makes_no_importer(reactor, folder, roots):
    """By default that is every folder."""
    with pytest.raises(ConfigurationError) as caught:
        build(reactor, folder, roots)

    assert "url: lies in none of the folders of importers.file_roots" == str(caught.value)


# -- what is opened ------------------------------------------------------------------------------


@ensureDeferred
async def test_file_comes_with_its_length_and_its_content(importer):
    """Read in pieces."""
    content, error, response = await read(importer)

    assert (CONTENT, None) == (content, error)
    assert (len(CONTENT), None, 200) == (response.length, response.part_of, response.status)


@ensureDeferred
async def test_empty_file_ends_at_once(importer, folder):
    """There is nothing to read."""
    (folder / "empty").touch()

    content, error, response = await read(importer, "empty")

    assert (b"", None, 0) == (content, error, response.length)


@pytest.mark.parametrize("span", [(0, 0), (1, READ_BYTES), (READ_BYTES, 1048575)])
@ensureDeferred
async def test_span_comes_alone_and_says_what_it_is_part_of(importer, span):
    """Not a byte more is read."""
    first, last = span

    content, error, response = await read(importer, "f", ByteRange(first, last))

    assert (CONTENT[first : last + 1], None) == (content, error)
    assert (last + 1 - first, len(CONTENT)) == (response.length, response.part_of)


@ensureDeferred
async def test_span_beyond_the_end_is_refused(importer):
    """The file is not what the catalog promises."""
    error = await refusal(importer, "f", ByteRange(1048575, 1048576))

    assert (OriginRefused, 416) == (type(error), error.received_status)


@ensureDeferred
async def test_entity_tag_changes_with_the_file(importer, folder):
    """Replaced by one of the same size and time, two spans are still seen to differ."""
    _, _, one = await read(importer)
    _, _, same = await read(importer, "f", ByteRange(0, 0))
    status = (folder / "f").stat()
    (folder / "new").write_bytes(CONTENT)
    os.utime(folder / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
    (folder / "new").replace(folder / "f")
    _, _, other = await read(importer)

    assert one.fields == same.fields
    assert one.fields != other.fields
    assert ["ETag"] == [name for name, _ in one.fields]


@ensureDeferred
async def test_link_may_lead_to_another_folder_of_the_root(reactor, folder, tmp_path):
    """The root is what the settings allow, which may be more than the importer's folder."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "g").write_bytes(b"there")
    (folder / "link").symlink_to("../other/g")
    wide, narrow = build(reactor, folder, [tmp_path]), build(reactor, folder)

    content, _, _ = await read(wide, "link")
    refused = await refusal(narrow, "link")
    beside = await refusal(wide, (tmp_path / "other" / "g").as_uri())
    close(wide)
    close(narrow)

    assert b"there" == content
    assert isinstance(refused, OriginForbids)
    assert isinstance(beside, OriginForbids)


@pytest.mark.parametrize(
    ("number", "expected", "status"),
    [
        (errno.ENOENT, OriginLacksIt, 404),
        (errno.ENOTDIR, OriginLacksIt, 404),
        (errno.EMFILE, OriginBusy, 503),
        (errno.ENFILE, OriginBusy, 503),
        (errno.ENOMEM, OriginBusy, 503),
        (errno.EIO, OriginFailing, 500),
        (errno.ESTALE, OriginFailing, 500),
        (errno.ETIMEDOUT, OriginFailing, 500),
    ],
)
@ensureDeferred
async def test_what_the_disk_says_is_said_as_an_origin_would(
    importer, monkeypatch, number, expected, status
):
    """Each error of the system has its meaning for the plan."""
    disk_fails(monkeypatch, number)

    error = await refusal(importer)

    assert (expected, status) == (type(error), error.received_status)


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (errno.EACCES, "no permission"),
        (errno.EPERM, "no permission"),
        (errno.EXDEV, "a link leads out of its root"),
        (errno.ELOOP, "too many links lead to it"),
        (errno.EMLINK, "it lies too deep"),
        (errno.EISDIR, "it is a folder"),
        (errno.ENXIO, "it is no regular file"),
    ],
)
@ensureDeferred
async def test_refusal_says_why(importer, monkeypatch, number, why):
    """Only a sentence tells an operator which of them to mend."""
    disk_fails(monkeypatch, number)

    error = await refusal(importer)

    assert isinstance(error, OriginForbids)
    assert f"the file is not served: {why}" == str(error)


@ensureDeferred
async def test_root_that_is_away_speaks_against_the_origin(reactor, tmp_path):
    """All files are missing then, which says nothing about any of them."""
    importer = build(reactor, tmp_path / "unmounted")
    error = await refusal(importer)
    close(importer)

    assert isinstance(error, OriginUnreachable)
    assert "no connection to the origin: its root is not there" == str(error)


# -- how it is read ------------------------------------------------------------------------------


@ensureDeferred
async def test_file_that_grows_is_cut_at_its_first_length(importer, folder):
    """That was announced."""
    download = await opening(importer)
    with (folder / "f").open("ab") as file:
        file.write(b"more")
    sink = Sink()
    download.deliver(sink)

    assert await sink.ended is None
    assert CONTENT == sink.content


@ensureDeferred
async def test_file_that_shrinks_breaks_off(importer, folder):
    """Where it ends now."""
    download = await opening(importer)
    os.truncate(folder / "f", READ_BYTES + 7)
    sink = Sink()
    download.deliver(sink)
    error = await sink.ended

    assert isinstance(error, ContentTruncated)
    assert (READ_BYTES + 7,) == error.args
    assert CONTENT[: READ_BYTES + 7] == sink.content


@ensureDeferred
async def test_file_that_is_replaced_is_read_to_its_end(importer, folder):
    """Whoever has it open has the old one."""
    download = await opening(importer)
    (folder / "new").write_bytes(b"new")
    (folder / "new").replace(folder / "f")
    sink = Sink()
    download.deliver(sink)

    assert await sink.ended is None
    assert CONTENT == sink.content


@ensureDeferred
async def test_disk_that_fails_while_it_is_read_breaks_the_content_off(importer, monkeypatch):
    """It may be gone on with elsewhere, at that byte."""
    call = os.pread

    def pread(descriptor, count, offset):
        if offset:
            raise OSError(errno.EIO, "no")
        return call(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    content, error, _ = await read(importer)

    assert (CONTENT[:READ_BYTES], READ_BYTES) == (content, *error.args)
    assert isinstance(error, ContentTruncated)


@ensureDeferred
async def test_short_reads_are_strung_together(importer, monkeypatch):
    """A disk may give less than it was asked for, and that is not the end."""
    call = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, offset: call(fd, min(count, 65537), offset))

    content, error, _ = await read(importer)

    assert (CONTENT, None) == (content, error)


@ensureDeferred
async def test_paused_download_reads_one_piece_and_no_further(reactor, importer, monkeypatch):
    """What is under way comes; then the disk has its peace."""
    asked, call = [], os.pread
    monkeypatch.setattr(
        os, "pread", lambda fd, count, offset: asked.append(offset) or call(fd, count, offset)
    )
    download = await opening(importer)
    sink = Sink()
    download.deliver(sink)
    download.pause()
    await until(reactor, lambda: sink.chunks)
    await deferLater(reactor, 0.1)
    while_paused = [*asked]
    download.resume()
    await sink.ended

    assert [0] == while_paused
    assert CONTENT == sink.content


@ensureDeferred
async def test_descriptor_is_closed_at_the_end_and_not_only_at_the_stop(reactor, importer, folder):
    """A client that takes its time with the last bytes holds no file."""
    download = await opening(importer)
    before = descriptors_below(folder)
    sink = Sink()
    download.deliver(sink)
    await sink.ended
    await until(reactor, lambda: not descriptors_below(folder))
    download.stop()

    assert 1 == before


# -- stops, and disks that hang ------------------------------------------------------------------


@pytest.mark.parametrize("call", ["stat", "open", "fstat"])
@ensureDeferred
async def test_open_that_returns_after_it_was_cancelled_leaves_no_descriptor(
    reactor, importer, folder, monkeypatch, call
):
    """Nobody waits for it any more, but its thread."""
    gate = Gate(monkeypatch, call)
    pending = opening(importer)
    await until(reactor, lambda: gate.waiting)
    pending.cancel()
    with pytest.raises(CancelledError):
        await pending
    gate.open()
    await until(reactor, lambda: not descriptors_below(folder))

    assert (CONTENT, None) == (await read(importer))[:2]


@ensureDeferred
async def test_stop_in_a_read_closes_when_the_read_is_over(reactor, importer, folder, monkeypatch):
    """Before that the number of the descriptor would be another file's, and nothing is said."""
    gate = Gate(monkeypatch, "pread")
    download = await opening(importer)
    sink = Sink()
    download.deliver(sink)
    await until(reactor, lambda: gate.waiting)
    download.stop()
    await deferLater(reactor, 0.05)
    while_reading = descriptors_below(folder)
    gate.open()
    await until(reactor, lambda: not descriptors_below(folder))

    assert (1, [], False) == (while_reading, sink.chunks, sink.ended.called)


@ensureDeferred
async def test_stop_from_within_the_sink_is_the_end(reactor, importer, folder):
    """Nothing comes after it."""
    download = await opening(importer)
    sink = Sink(download.stop)
    download.deliver(sink)
    await until(reactor, lambda: sink.chunks)
    await until(reactor, lambda: not descriptors_below(folder))

    assert (1, False) == (len(sink.chunks), sink.ended.called)


@ensureDeferred
async def test_slot_of_a_hanging_file_is_free_when_it_is_closed(reactor, folder, monkeypatch):
    """So a disk that hangs never has more files open than the importer may, nor more waiting."""
    importer = build(reactor, folder, download_concurrency=1)
    gate = Gate(monkeypatch, "pread")
    download = await opening(importer)
    download.deliver(Sink())
    await until(reactor, lambda: gate.waiting)
    download.stop()
    crowded = opening(importer)
    await deferLater(reactor, 0.05)
    waited = not crowded.called
    crowded.cancel()
    with pytest.raises(OriginCrowded):
        await crowded
    gate.open()

    assert waited
    assert (CONTENT, None) == (await read(importer))[:2]
    close(importer)


@ensureDeferred
async def test_importer_whose_disk_hangs_leaves_others_alone(
    reactor, tmp_path, folder, monkeypatch
):
    """All its threads hang, more wait for one, and another importer has its own."""
    inode = (folder / "f").stat().st_ino
    gate = Gate(monkeypatch, "pread", lambda fd, *_: os.fstat(fd).st_ino == inode)
    hanging = build(reactor, folder)
    downloads = [await opening(hanging) for _ in range(THREADS)]
    for download in downloads:
        download.deliver(Sink())
    await until(reactor, lambda: gate.waiting == THREADS)
    queued = opening(hanging)
    (tmp_path / "g").write_bytes(CONTENT)
    other = build(reactor, tmp_path)
    content, error, _ = await read(other, "g")
    threads = threads_at_work()
    queued.cancel()
    for download in downloads:
        download.stop()
    close(hanging)
    close(other)
    with pytest.raises(CancelledError):
        await queued
    gate.open()

    assert (CONTENT, None) == (content, error)
    assert THREADS < threads <= THREADS * 2


@ensureDeferred
async def test_open_that_was_cancelled_while_it_waited_is_never_begun(
    reactor, importer, monkeypatch
):
    """No thread is lost to it when the disk answers again."""
    gate = Gate(monkeypatch, "pread")
    downloads = [await opening(importer) for _ in range(THREADS)]
    for download in downloads:
        download.deliver(Sink())
    await until(reactor, lambda: gate.waiting == THREADS)
    begun = Gate(monkeypatch, "stat")
    begun.open()
    queued = opening(importer)
    queued.cancel()
    with pytest.raises(CancelledError):
        await queued
    for download in downloads:
        download.stop()
    await importer.close()
    gate.open()
    await until(reactor, lambda: not threads_at_work())

    assert 0 == begun.waiting


@ensureDeferred
async def test_no_more_threads_than_allowed_work_for_many_downloads(reactor, importer):
    """And no fewer files are read for that."""
    most, sinks = 0, [Sink() for _ in range(40)]
    downloads = [await opening(importer) for _ in sinks]
    for download, sink in zip(downloads, sinks, strict=True):
        download.deliver(sink)
    for sink in sinks:
        await sink.ended
        most = max(most, threads_at_work())

    assert {CONTENT} == {sink.content for sink in sinks}
    assert 1 <= most <= THREADS


@ensureDeferred
async def test_system_without_threads_is_busy(reactor, importer, folder, monkeypatch):
    """What is open is closed all the same."""
    download = await opening(importer)
    await importer.close()
    await until(reactor, lambda: not threads_at_work())
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == THREAD_NAME:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    error = await refusal(importer)
    download.stop()
    await until(reactor, lambda: not descriptors_below(folder))

    assert (OriginBusy, 503) == (type(error), error.received_status)


PROGRAM = """
import os, sys, threading
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from streamer.interfaces import Surroundings
from streamer.importers.file import FileImporterType
from streamer.model import DownloadConfig, RemoteArtifact

class Sink:
    def content_received(self, chunk): ...
    def content_ended(self, error): ...

def hang(*args):
    reactor.callFromThread(reactor.stop)
    threading.Event().wait()

os.pread = hang
folder = sys.argv[1]
surroundings = Surroundings(reactor, "me", file_roots=(folder,))
importer = FileImporterType().build({"url": Path(folder).as_uri()}, surroundings)
source = RemoteArtifact(DownloadConfig(1, 1, "local", "file", {}), "f")
opening = Deferred.fromCoroutine(importer.downloader(source).open())
opening.addCallback(lambda download: download.deliver(Sink()))
reactor.run()
print("over")
"""


def test_read_that_hangs_does_not_keep_the_process(folder):
    """It ends by itself, though a thread of it never does."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (0, "over\n", "") == (done.returncode, done.stdout, done.stderr)
