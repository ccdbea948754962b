"""`twistd pulp-streamer`: the command's options, and the one place where things are joined.

`makeService` reads the settings, checks the catalog and builds everything; nothing listens yet.
The service then listens, and on SIGTERM stops in order: no new connections, running transfers end
within `delivery.drain`, what is left is broken off visibly, threads and pools last.

What an operator did wrong stops the start with one line on stderr and exit code 1.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import secrets
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from prometheus_client import CollectorRegistry
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python import usage
from twisted.python.failure import Failure
from twisted.web.server import Site

from streamer import __version__
from streamer.admin import AdminApp, AdminSite, Status
from streamer.app import ContentResource
from streamer.breaker import State
from streamer.catalog import ThreadedCatalog, open_store
from streamer.delivery import Delivery
from streamer.distrust import Distrust
from streamer.downloaders.lookups import SharedLookups
from streamer.endpoints import affordable_connections, clear_stale_socket, with_defaults
from streamer.errors import CatalogUnavailable, SettingInvalid, StreamerError
from streamer.exchange import Exchange
from streamer.front import DoorSite
from streamer.health import Health
from streamer.importers import ImporterPool, Registry
from streamer.interfaces import Learned, Surroundings
from streamer.keyring import Keyring
from streamer.learned import NothingLearned, ThreadedLearned, store_of
from streamer.logs import choose_json
from streamer.metrics import Metrics
from streamer.ordering import Ordering
from streamer.outlook import Outlook
from streamer.passing import Passing
from streamer.settings import ContentSettings, Settings, load_settings
from streamer.supplies import Supplies
from streamer.transfers import TransferLog
from streamer.verification import Verification

_log = Logger()

CLOSING_SECONDS = 2
"""How long idle connections to origins get to say goodbye; over TLS some never do."""


class Options(usage.Options):
    """What may be said on the command line: where the settings are."""

    synopsis = "[--config FILE]"
    longdesc = (
        "Serves what `pulp-streamer publish` has published. Settings come from --config, else "
        "from PULP_STREAMER_CONFIG, else from /etc/pulp-streamer/streamer.toml, and each can be "
        "set as PULP_STREAMER__SECTION__KEY."
    )
    optParameters = [["config", "c", None, "a TOML file with settings"]]  # noqa: RUF012 - Twisted's
    settings: Settings

    def opt_version(self) -> None:
        """Show the version of pulp-streamer."""
        print(f"pulp-streamer {__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        config = self["config"]
        try:
            self.settings = load_settings(Path(config) if config else None, os.environ)
        except StreamerError as error:
            _stop_start(error)
        if self.settings.log.format == "json" and self.parent is not None:
            choose_json(self.parent)


def makeService(options: Options, reactor: Any = None) -> IService:
    """Build the service from its options; nothing listens before it is started."""
    # Two lines for each connection to an origin say nothing that the transfer log does not.
    Factory.noisy = False
    if reactor is None:
        from twisted.internet import reactor  # noqa: TID251 - here and in the command line only
    reactor.installNameResolver(SharedLookups(reactor.nameResolver))
    try:
        return build(options.settings, reactor)
    except StreamerError as error:
        _stop_start(error)


def _stop_start(problem: object) -> NoReturn:
    # sys.stderr may be twistd's log already, which in a container nobody reads any more.
    print(f"pulp-streamer: {problem}", file=sys.__stderr__)
    sys.exit(1)


def build(settings: Settings, reactor: Any) -> StreamerService:
    """Join the parts of one process.

    Raises a `StreamerError` where the settings or the catalog do not let it serve.
    """
    keyring = Keyring(settings.secrets.key_file)
    _check_catalog(settings, keyring)
    pseudonym = _pseudonym(settings)
    metrics = Metrics(CollectorRegistry())
    catalog = ThreadedCatalog(settings.catalog.url.reveal(), reactor)
    registry = Registry()
    # Loaded now, so that no client waits for it, nor finds that descriptors have run out meanwhile.
    registry.types()
    file_roots = settings.importers.file_roots
    importers = ImporterPool(registry, Surroundings(reactor, pseudonym, file_roots), keyring)
    # Not by the time of day, which may be set back or forward: a pause is a pause.
    health = Health(settings.origins, time.monotonic, jitter=random.random)
    supplies = Supplies(
        catalog, importers, health, metrics, settings.delivery, reactor, jitter=random.random
    )
    learned = _learned(settings, metrics, reactor)
    content = ContentResource(
        _exchange(settings, supplies, learned, pseudonym, reactor),
        metrics,
        TransferLog(),
        clock=reactor,
        new_id=lambda: secrets.token_hex(8),
        pseudonym=pseudonym,
    )
    door = DoorSite(
        content,
        _within_descriptors(settings.content),
        reactor,
        stall_seconds=settings.delivery.client_stall_seconds,
        on_refusal=content.refused_at_the_door,
    )
    admin = _admin_site(content, door, importers, supplies, reactor)
    return StreamerService(
        content=content,
        catalog=catalog,
        learned=learned,
        importers=importers,
        content_listeners=[
            Listener("content.listen", endpoint, door, reactor)
            for endpoint in settings.content.listen
        ],
        admin_listener=Listener("admin.listen", settings.admin.listen, admin, reactor),
        drain_seconds=settings.delivery.drain_seconds,
        clock=reactor,
    )


def _learned(
    settings: Settings, metrics: Metrics, reactor: Any
) -> ThreadedLearned | NothingLearned:
    """What is known of pieces, as far as that is wanted."""
    store = store_of(settings)
    return NothingLearned() if store is None else ThreadedLearned(store, metrics, reactor)


def _exchange(
    settings: Settings, supplies: Supplies, learned: Learned, pseudonym: str, reactor: Any
) -> Exchange:
    """The answer to one request, with what all of them share."""
    distrust = Distrust(settings.delivery.distrust_seconds, time.monotonic)
    verification = Verification(
        learned,
        small_bytes=settings.delivery.small_bytes,
        also_digest=settings.pieces.also_digest,
    )
    return Exchange(
        supplies.catalog,
        Ordering(settings.range, distrust, new_boundary=lambda: secrets.token_hex(16)),
        Delivery(supplies, distrust, verification, settings.delivery, reactor),
        verification,
        Passing(supplies, settings.delivery, reactor, pseudonym),
        now=time.time,
        prefix=settings.content.prefix,
        listings=settings.content.listings,
        pseudonym=pseudonym,
    )


def _admin_site(
    content: ContentResource,
    door: DoorSite,
    importers: ImporterPool,
    supplies: Supplies,
    reactor: Any,
) -> AdminSite:
    """The operator's endpoint, which looks at all the others."""
    started, health, metrics = time.monotonic(), supplies.health, supplies.metrics
    metrics.watch("connections", "Clients that are connected.", lambda: len(door.connections))
    metrics.watch("timers", "Pending timers.", lambda: len(reactor.getDelayedCalls()))
    metrics.watch_each(
        "origins",
        "Origins that failed lately, by the state of their breaker.",
        "state",
        {state.value: partial(health.count, state) for state in State},
    )
    metrics.watch_each(
        "origin_memories", "What is remembered of origins, by kind.", "kind", health.sizes()
    )
    status = Status(
        catalog=supplies.catalog,
        metrics=metrics,
        in_flight=lambda: content.in_flight,
        connections=lambda: len(door.connections),
        is_draining=lambda: content.is_draining,
        broken_importers=importers.broken,
        origins=health.reports,
        candidates=Outlook(supplies).candidates,
        uptime_seconds=lambda: time.monotonic() - started,
    )
    return AdminSite(AdminApp(status).app.resource(), reactor=reactor)


class StreamerService(Service):
    """The life of one process: listen, serve, drain, stop."""

    def __init__(
        self,
        *,
        content: ContentResource,
        catalog: ThreadedCatalog,
        learned: ThreadedLearned | NothingLearned,
        importers: ImporterPool,
        content_listeners: Sequence[Listener],
        admin_listener: Listener,
        drain_seconds: float,
        clock: IReactorTime,
    ) -> None:
        self._content = content
        self._catalog = catalog
        self._learned = learned
        self._importers = importers
        self._content_listeners = content_listeners
        self._admin_listener = admin_listener
        self._drain_seconds = drain_seconds
        self._clock = clock

    def privilegedStartService(self) -> None:
        """Listen while the process may still have the rights to."""
        for listener in (*self._content_listeners, self._admin_listener):
            listener.start()

    def startService(self) -> None:
        super().startService()
        self._catalog.start()
        self._learned.start()

    def stopService(self) -> Deferred[None]:
        """Fires when everything has ended; until then the admin endpoint says that it stops."""
        super().stopService()
        stopping = Deferred.fromCoroutine(self._stop())
        # Twisted ends the process in any case and would not say a word of it.
        return stopping.addErrback(lambda failure: _log.failure("stopping failed", failure))

    async def _stop(self) -> None:
        drained = self._content.drain()
        for listener in self._content_listeners:
            await listener.stop()
        if self._content.in_flight:
            _log.info(
                "stopping: {count} exchanges have {seconds:g} s to end",
                count=self._content.in_flight,
                seconds=self._drain_seconds,
            )
        try:
            await drained.addTimeout(self._drain_seconds, self._clock)
        except TookTooLong:
            _log.warn("breaking {count} exchanges off", count=self._content.in_flight)
            self._content.abort_all()
            # Connections break in the reactor's next turn; without it they would end in order.
            await deferLater(self._clock, 0)
        await self._admin_listener.stop()
        await self._close_importers()
        await self._learned.stop()
        self._catalog.stop()

    async def _close_importers(self) -> None:
        closing = Deferred.fromCoroutine(self._importers.close())
        try:
            await closing.addTimeout(CLOSING_SECONDS, self._clock)
        except TookTooLong:
            _log.info("some connections to origins did not close in time")


class Listener:
    """One listening endpoint of a setting, from its description to its port."""

    def __init__(self, setting: str, description: str, site: Site, reactor: Any) -> None:
        self._setting = setting
        self._description = description
        try:
            self._endpoint = serverFromString(reactor, with_defaults(description))
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise SettingInvalid(setting, f"{description!r} cannot be used: {error}") from error
        self._site = site
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """Listen now; exits with one line where the address cannot be had."""
        clear_stale_socket(self._description)
        outcome: list[IListeningPort | Failure] = []
        # Server endpoints answer at once; what is raised in a callback would get lost.
        self._endpoint.listen(self._site).addBoth(outcome.append)
        if isinstance(outcome[0], Failure):
            why = outcome[0].value
            _stop_start(f"{self._setting}: cannot listen on {self._description}: {why}")
        self._port = outcome[0]
        _log.info("{setting}: {where}", setting=self._setting, where=str(self._port.getHost()))

    async def stop(self) -> None:
        """Take no new connections; those that are open stay."""
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)


def _check_catalog(settings: Settings, keyring: Keyring) -> None:
    """Create an absent SQLite catalog, refuse an unusable one and secrets that no key opens.

    A catalog that is away may come back.
    """
    try:
        with open_store(settings.catalog.url.reveal()) as store:
            keyring.check(store.importers())
    except CatalogUnavailable as error:
        _log.warn("{error}; look-ups are answered 503 until it is back", error=str(error))


def _pseudonym(settings: Settings) -> str:
    """The name of this service in Via: the same in all processes that share a catalog.

    A loop must be told from a chain of two services, so the name alone will not do.
    """
    place = str(settings.catalog.url)
    if place.startswith("sqlite"):
        place += f" {socket.gethostname()} {os.getcwd()}"
    return f"pulp-streamer-{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def _within_descriptors(settings: ContentSettings) -> ContentSettings:
    """Use all descriptors that the system grants, and admit no more clients than they allow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard == resource.RLIM_INFINITY:
        return settings
    count = affordable_connections(settings.max_connections, hard)
    if count < settings.max_connections:
        _log.warn(
            "content.max_connections is {wanted}, and {descriptors} file descriptors allow {count}:"
            " raise the limit (LimitNOFILE, ulimit -n)",
            wanted=settings.max_connections,
            descriptors=hard,
            count=count,
        )
    return settings.model_copy(update={"max_connections": count})
