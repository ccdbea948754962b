"""What every test gets: a reactor to ask for, and a check that it leaves nothing behind.

pytest-twisted passes a test whose forgotten Deferred failed or whose timer still runs. The fixture
`nothing_left_behind` does not: it is set up before a test's own fixtures and so is torn down after
them, when the ports and clients that belong to the test are closed.
"""

from __future__ import annotations

import gc
import signal
import socket

import pytest
import pytest_twisted
from tables import pytest_terminal_summary  # noqa: F401 - a hook
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher

TURNS = 250
TURN_SECONDS = 0.02


class LoggedFailures:
    """The failures that reached the log during one test."""

    def __init__(self):
        self._failures = []

    def __call__(self, event):
        if event.get("log_failure") is not None:
            self._failures.append(event["log_failure"])

    def flush(self, *types):
        """Take out and return the failures of these types (default: all): they were expected."""
        taken = [failure for failure in self._failures if not types or failure.check(*types)]
        self._failures = [failure for failure in self._failures if failure not in taken]
        return taken

    def tracebacks(self):
        return [failure.getTraceback() for failure in self._failures]


@pytest.fixture(scope="session")
def reactor():
    """The running reactor, for tests that use real sockets."""
    from twisted.internet import reactor  # noqa: TID251 - this is the tests' makeService

    pytest_twisted.blockon(deferLater(reactor, 0))
    return reactor


@pytest.fixture(scope="session", autouse=True)
def _quick_collections():
    """Set aside what the imports made, so that collecting after each test costs little."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive():
    """A shell starts what runs in the background deaf to SIGINT, and its children inherit that."""
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, previous)


@pytest.fixture
def logged_failures():
    """Give a test the failures it provokes, to `flush` and look at."""
    observer = LoggedFailures()
    globalLogPublisher.addObserver(observer)
    yield observer
    globalLogPublisher.removeObserver(observer)


@pytest.fixture(autouse=True)
def nothing_left_behind(reactor, logged_failures):
    """Fail a test that leaves timers or descriptors in the reactor, or failures in the log."""
    before = _pending(reactor)
    yield
    left = _settle(reactor, before)
    gc.collect()

    assert left == []
    assert logged_failures.tracebacks() == []


@pytest.fixture
def free_port():
    """Give a function that names a TCP port on loopback that nothing listens on."""
    return _free_port


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _settle(reactor, before):
    """Give the reactor some turns to finish what is under way, and return what stays."""
    for _ in range(TURNS):
        left = [thing for thing in _pending(reactor) if thing not in before]
        if not left:
            break
        pytest_twisted.blockon(deferLater(reactor, TURN_SECONDS))
    return left


def _pending(reactor):
    """What the reactor holds: the functions of its timers, and the descriptors it watches.

    Timers are known by their functions, because a repeating one (the log clock of a `Site` that a
    wider fixture owns) is a new timer at every turn.
    """
    timers = [call.func for call in reactor.getDelayedCalls()]
    return [*timers, *reactor.getReaders(), *reactor.getWriters()]
