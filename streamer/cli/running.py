"""A reactor for one command, and what stands on it: the importers, what is learned, its end.

Separate from what the commands do with it (`fetching`, `learning_ahead`). All of it lives as long
as the reactor runs, which is once in a process. It asks origins by itself: what the service knows
of their health, and the connections that it has open, are the service's own.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import react
from twisted.python.failure import Failure

from streamer.catalog import ThreadedCatalog
from streamer.health import Health
from streamer.importers import ImporterPool, Registry
from streamer.interfaces import Surroundings
from streamer.keyring import Keyring
from streamer.learned import NothingLearned, ThreadedLearned, store_of
from streamer.metrics import Metrics
from streamer.settings import Settings
from streamer.supplies import Supplies
from streamer.verification import Verification

PSEUDONYM = "pulp-streamer-fetch"

T = TypeVar("T")


class Ending:
    """Ctrl-C and SIGTERM while the reactor runs: they stop it, or get a write out of its wait.

    The reactor's own handlers would not say that there was a signal, and would wait for the write.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._before: dict[int, Any] = {}
        self._is_writing = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Here a signal raises `InterruptedError`."""
        self._is_writing = True
        try:
            yield
        finally:
            self._is_writing = False

    def listen(self, reactor: Any) -> None:
        """Hear signals from now on, also when the reactor begins to hear some itself."""

        def end(number: int, frame: object) -> None:
            self._number = number
            if self._is_writing:
                raise InterruptedError(errno.EINTR, os.strerror(errno.EINTR))
            reactor.callFromThread(_stop, reactor)

        for number in (signal.SIGINT, signal.SIGTERM):
            if (before := signal.getsignal(number)) is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, end)
                reactor.callWhenRunning(signal.signal, number, end)

    def take_effect(self) -> None:
        """Let the signal that came, if any, do what it would have done without a reactor."""
        for number, before in self._before.items():
            signal.signal(number, before)
        if self._number is not None:
            signal.raise_signal(self._number)


def _stop(reactor: Any) -> None:
    with suppress(ReactorNotRunning):  # it came to its end by itself
        reactor.stop()


def in_reactor(work: Callable[[Any], Coroutine[Any, Any, T]], ending: Ending) -> T:
    """Run a reactor until `work` is done, or a signal ends it; can be called once."""
    outcome: list[T | Failure] = []

    def main(reactor: Any) -> Deferred[None]:
        ending.listen(reactor)
        running = Deferred.fromCoroutine(work(reactor))
        # A reactor that is stopped would look like an origin that broke off.
        reactor.addSystemEventTrigger("before", "shutdown", running.cancel)
        return running.addBoth(outcome.append)

    try:
        react(main)
    except SystemExit:  # it ends like a program, and there is more to do
        if not outcome:
            raise
    ending.take_effect()
    result = outcome[0]
    if isinstance(result, Failure):
        if result.check(CancelledError):  # the reactor heard the signal first
            raise KeyboardInterrupt
        result.raiseException()
    return result


def started_catalog(reactor: Any, settings: Settings) -> ThreadedCatalog:
    """The catalog, until the reactor stops."""
    catalog = ThreadedCatalog(settings.catalog.url.reveal(), reactor)
    catalog.start()
    reactor.addSystemEventTrigger("during", "shutdown", catalog.stop)
    return catalog


def supplies_of(catalog: ThreadedCatalog, reactor: Any, settings: Settings) -> Supplies:
    """Whoever could be asked for content. Nobody waits here for what is left out of it."""
    keyring = Keyring(settings.secrets.key_file)
    surroundings = Surroundings(reactor, PSEUDONYM, settings.importers.file_roots)
    return Supplies(
        catalog,
        ImporterPool(Registry(), surroundings, keyring),
        Health(settings.origins, reactor.seconds, jitter=random.random),
        Metrics(CollectorRegistry()),
        settings.delivery.model_copy(update={"skip_up_to_bytes": sys.maxsize}),
        reactor,
        jitter=random.random,
    )


def started_verification(reactor: Any, settings: Settings, metrics: Metrics) -> Verification:
    """How the service verifies, by what it has learned; what is learned here is its own too.

    Whatever happens to the store, nothing waits for it and nothing fails.
    """
    store = store_of(settings)
    learned: ThreadedLearned | NothingLearned
    learned = NothingLearned() if store is None else ThreadedLearned(store, metrics, reactor)
    learned.start()
    # Of all shutdown it is what comes before that a reactor waits for.
    reactor.addSystemEventTrigger(
        "before", "shutdown", lambda: Deferred.fromCoroutine(learned.stop())
    )
    return Verification(
        learned,
        small_bytes=settings.delivery.small_bytes,
        also_digest=settings.pieces.also_digest,
    )
