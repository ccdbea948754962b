"""How content over FTP flows and ends, on a clock that the test turns."""

from __future__ import annotations

import pytest
from ftp_fetching import Sink
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, DNSLookupError
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from streamer.downloaders.credentials import Origin
from streamer.downloaders.ftp import FtpAccess
from streamer.downloaders.ftp_content import FAREWELL_SECONDS, FtpDownload
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_data import DataConnection
from streamer.downloaders.ftp_session import Retrieval, Session
from streamer.downloaders.limits import ByteRate, Slots
from streamer.errors import ContentTruncated, OriginCrowded

SERVER = Origin("ftp", "h", 21)


class Wire(StringTransport):
    """A transport that says whether it was closed."""

    def abortConnection(self):
        self.disconnecting = True


class Transfer:
    """A download whose server is the test; its control connection has said 150."""

    def __init__(self, size, rate=None):
        self.clock = Clock()
        self.control = Control()
        self.control.makeConnection(Wire())
        self.control.dataReceived(b"220 hello\r\n")
        self.taken = Deferred.fromCoroutine(self.control.greeting())
        self.begun = Deferred.fromCoroutine(self.control.begin(b"RETR f"))
        self.control.dataReceived(b"150 now\r\n")
        self.session = Session(self.control, None, None, 0)
        self.wire = Wire()
        self.data = DataConnection(is_tls=False)
        self.data.makeConnection(self.wire)
        self.over = []
        limit = None if rate is None else ByteRate(rate, self.clock)
        retrieval = Retrieval(self.data, size)
        self.download = FtpDownload(
            self.session, retrieval, self.clock, limit, lambda: self.over.append(True)
        )
        self.sink = Sink()

    def send(self, data):
        self.data.dataReceived(data)

    def end_data(self):
        self.data.connectionLost(Failure(ConnectionDone()))

    @property
    def is_read(self):
        """Whether the data connection flows."""
        return self.wire.producerState == "producing"

    @property
    def ended(self):
        """The last word in a list, if it was said."""
        return [self.sink.ended.result] if self.sink.ended.called else []


def test_nothing_is_read_before_somebody_takes_it():
    """What a server sends at once stays with it."""
    transfer = Transfer(10)

    before = transfer.is_read
    transfer.download.deliver(transfer.sink)

    assert (False, True) == (before, transfer.is_read)
    transfer.download.stop()


def test_pause_from_before_the_content_holds():
    """Bytes, and the end of them."""
    transfer = Transfer(3)
    transfer.download.pause()
    transfer.download.deliver(transfer.sink)
    transfer.send(b"abc")
    transfer.end_data()
    transfer.control.dataReceived(b"226 done\r\n")
    before = (transfer.sink.content, transfer.ended)

    transfer.download.resume()

    assert (b"", []) == before
    assert (b"abc", [None]) == (transfer.sink.content, transfer.ended)


def test_content_that_is_all_there_waits_for_the_last_word():
    """It may be that the server takes it back."""
    transfer = Transfer(3)
    transfer.download.deliver(transfer.sink)
    transfer.send(b"abc")
    transfer.end_data()
    before = transfer.ended

    transfer.control.dataReceived(b"226 done\r\n")

    assert ([], [None], [True]) == (before, transfer.ended, transfer.over)
    assert [] == transfer.clock.getDelayedCalls()


def test_last_word_may_come_first():
    """The control connection is the faster one."""
    transfer = Transfer(3)
    transfer.download.deliver(transfer.sink)
    transfer.control.dataReceived(b"226 done\r\n")
    transfer.send(b"abc")
    transfer.end_data()

    assert (b"abc", [None]) == (transfer.sink.content, transfer.ended)


def test_last_word_is_not_waited_for_for_ever():
    """A firewall may have forgotten the control connection; the size has been reached."""
    transfer = Transfer(3)
    transfer.download.deliver(transfer.sink)
    transfer.send(b"abc")
    transfer.end_data()

    transfer.clock.advance(FAREWELL_SECONDS)

    assert ([None], [True]) == (transfer.ended, transfer.over)
    assert transfer.control.is_over


def test_without_a_size_the_last_word_is_waited_for():
    """Nothing else says that it is all."""
    transfer = Transfer(None)
    transfer.download.deliver(transfer.sink)
    transfer.send(b"abc")
    transfer.end_data()

    transfer.clock.advance(100 * FAREWELL_SECONDS)
    before = transfer.ended
    transfer.control.connectionLost(Failure(ConnectionDone()))

    assert [] == before
    assert isinstance(transfer.ended[0], ContentTruncated)


@pytest.mark.parametrize("moment", ["before", "within", "at-the-end", "after"])
def test_stop_ends_everything_at_any_moment(moment):
    """Both connections are closed, unless all was over; nobody is told anything."""
    transfer = Transfer(3)
    steps = {
        "before": lambda: transfer.download.deliver(transfer.sink),
        "within": lambda: transfer.send(b"abc"),
        "at-the-end": transfer.end_data,
        "after": lambda: transfer.control.dataReceived(b"226 done\r\n"),
    }
    for name, step in steps.items():
        if name == moment:
            transfer.download.stop()
            transfer.download.stop()
        step()

    told = transfer.ended

    assert ([], [True], []) == (told, transfer.over, transfer.clock.getDelayedCalls())
    assert transfer.data.transport.disconnecting or moment == "after"


def test_rate_holds_the_connection_back_and_shows_signs_of_life():
    """A thousand bytes a second; an empty chunk each second says that this is no silence."""
    transfer = Transfer(10_000, rate=1000)
    transfer.download.deliver(transfer.sink)

    transfer.send(b"a" * 2500)
    reads = [transfer.is_read]
    for _ in range(3):
        transfer.clock.advance(1)
        reads.append(transfer.is_read)

    assert [False, False, False, True] == reads
    assert (2500, 4) == (len(transfer.sink.content), transfer.sink.calls)
    transfer.download.stop()
    assert [] == transfer.clock.getDelayedCalls()


def test_rate_and_pause_both_have_to_be_over():
    """Whichever ends first."""
    transfer = Transfer(10_000, rate=1000)
    transfer.download.deliver(transfer.sink)
    transfer.send(b"a" * 1000)

    transfer.download.pause()
    transfer.download.resume()
    while_held = transfer.is_read
    transfer.download.pause()
    transfer.clock.advance(1)
    while_paused = transfer.is_read
    transfer.download.resume()

    assert (False, False, True) == (while_held, while_paused, transfer.is_read)
    transfer.download.stop()


class SilentSessions:
    """Stands for servers that never answer."""

    def rested(self, server):
        return None

    def begin(self, server):
        return Deferred()


class NamelessSessions(SilentSessions):
    """Stands for names that are looked up: who cancels that hears that there is no such name."""

    def begin(self, server):
        return Deferred(lambda looking: looking.errback(DNSLookupError()))


def test_open_that_is_cancelled_in_a_look_up_is_cancelled():
    """It says nothing of the name."""
    clock = Clock()
    access = FtpAccess(NamelessSessions(), Slots(1, 10, clock), None, clock)
    opening = Deferred.fromCoroutine(access.open(SERVER, b"f", None))
    clock.advance(1)

    opening.cancel()

    assert CancelledError == opening.addErrback(lambda failure: failure.type).result


@pytest.mark.parametrize(
    ("queued", "connecting", "error"), [(8, 4, OriginCrowded), (4, 8, CancelledError)]
)
def test_time_that_was_spent_in_the_queue_is_not_held_against_a_server(queued, connecting, error):
    """Who was cancelled after mostly waiting for a slot learned nothing of it."""
    clock = Clock()
    access = FtpAccess(SilentSessions(), Slots(1, 10, clock), None, clock)
    first, second = (Deferred.fromCoroutine(access.open(SERVER, b"f", None)) for _ in range(2))
    clock.advance(queued)
    first.cancel()
    clock.pump([0, 0])
    clock.advance(connecting)

    second.cancel()

    found = [each.addErrback(lambda failure: failure.type).result for each in (first, second)]
    assert [CancelledError, error] == found
