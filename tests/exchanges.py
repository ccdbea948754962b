"""Whole exchanges in memory: from the bytes of a request to the bytes of its response.

Everything between client and origin is real: the door, the content resource, the exchange, the
delivery, the pump. The catalog, the importers and the clock are fakes, and so are the sockets. An
exchange that waits for nothing is over when `ask` returns; one that waits for an origin goes on
when the test lets the download send, or fires a Deferred.
"""

from __future__ import annotations

import hashlib

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from wire import Wire, read_answers

from streamer.app import ContentResource
from streamer.delivery import Delivery
from streamer.distrust import Distrust
from streamer.exchange import Exchange
from streamer.front import DoorSite
from streamer.health import Health
from streamer.metrics import Metrics
from streamer.model import (
    Artifact,
    Digest,
    DownloadConfig,
    PublicationId,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.ordering import Ordering
from streamer.passing import Passing
from streamer.settings import ContentSettings, DeliverySettings, OriginSettings, RangeSettings
from streamer.supplies import Supplies
from streamer.testing import MemoryCatalog, MemoryImporters, MemoryLearned
from streamer.verification import Verification

NOW = 1_700_000_000.0
MODIFIED = 784111777
MODIFIED_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
PSEUDONYM = "pulp-streamer-test"

SMALL = b"small content"
LARGE = bytes(range(256)) * 800

FIRST_BYTE_SECONDS = 12
IDLE_SECONDS = 30
STALL_SECONDS = 60
DISTRUST_SECONDS = 600
NO_JITTER = 0.0


def pieces(content, size=4096):
    return [content[start : start + size] for start in range(0, len(content), size)]


def sha256(content):
    return Digest("sha256", hashlib.sha256(content).hexdigest())


def source(url, *, importer="fedora", priority=0):
    return RemoteArtifact(DownloadConfig(1, 1, importer, "http", {}), url, priority)


def published(content, *sources, path="f", size=..., held=False, grace_until=None):
    artifact = Artifact(
        (sha256(content),), len(content) if size is ... else size, "application/x-rpm"
    )
    return PublishedArtifact(
        path,
        "base",
        PublicationId(1),
        artifact,
        "package",
        MODIFIED,
        sources,
        held,
        grace_until,
    )


class Transfers:
    """The transfer log as a list."""

    def __init__(self):
        self.written = []

    def write(self, transfer):
        self.written.append(transfer)


class Service:
    """A running service with nothing published, and its clients."""

    def __init__(
        self,
        *,
        prefix="",
        listings=True,
        unlearned="auto",
        verify_up_to=64 * 1024**2,
        skip_up_to=8 * 1024**2,
        slow=64 * 1024,
        learns=False,
        also_digest=False,
        origins=None,
        importers=None,
    ):
        self.clock = Clock()
        self.catalog = MemoryCatalog()
        self.importers = importers or MemoryImporters()
        self.metrics = Metrics(CollectorRegistry())
        self.transfers = Transfers()
        delivery = DeliverySettings(
            small_bytes=1000,
            first_byte_seconds=FIRST_BYTE_SECONDS,
            idle_seconds=IDLE_SECONDS,
            client_stall_seconds=STALL_SECONDS,
            distrust_seconds=DISTRUST_SECONDS,
            skip_up_to_bytes=skip_up_to,
            slow_bytes=slow,
        )
        self.health = Health(
            origins or OriginSettings(), self.clock.seconds, jitter=lambda: NO_JITTER
        )
        self.supplies = Supplies(
            self.catalog,
            self.importers,
            self.health,
            self.metrics,
            delivery,
            self.clock,
            jitter=lambda: NO_JITTER,
        )
        distrust = Distrust(DISTRUST_SECONDS, self.clock.seconds)
        self.learned = MemoryLearned(forgets=not learns)
        verification = Verification(
            self.learned, small_bytes=delivery.small_bytes, also_digest=also_digest
        )
        ranges = RangeSettings(unlearned=unlearned, verify_up_to_bytes=verify_up_to)
        self.content = ContentResource(
            Exchange(
                self.catalog,
                Ordering(ranges, distrust, lambda: "the-boundary"),
                Delivery(self.supplies, distrust, verification, delivery, self.clock),
                verification,
                Passing(self.supplies, delivery, self.clock, PSEUDONYM),
                now=lambda: NOW,
                prefix=prefix,
                listings=listings,
                pseudonym=PSEUDONYM,
            ),
            self.metrics,
            self.transfers,
            clock=self.clock,
            new_id=lambda: "id-1",
            pseudonym=PSEUDONYM,
        )
        self.site = DoorSite(
            self.content,
            ContentSettings(),
            self.clock,
            stall_seconds=STALL_SECONDS,
            on_refusal=self.content.refused_at_the_door,
        )

    def publish(self, content, *outcomes, path="base/f", **keywords):
        """Publish content at `path`, with one source whose attempts have these outcomes."""
        self.importers.script("u", *outcomes)
        self.catalog.publish(path, published(content, source("u"), **keywords))

    def ask(self, target, *fields, method="GET", version="1.1"):
        """Send a request on a connection of its own; the exchange runs until it has to wait."""
        wire = Wire(self.site, self.clock)
        head = [f"{method} {target} HTTP/{version}", "Host: h", *fields]
        wire.send("".join(f"{line}\r\n" for line in [*head, ""]).encode("latin-1"))
        return wire

    def answer(self, target, *fields, method="GET", version="1.1"):
        """Ask and read the response."""
        return answer_of(self.ask(target, *fields, method=method, version=version), method)

    @property
    def transfer(self):
        """The only record of the transfer log."""
        (transfer,) = self.transfers.written
        return transfer

    def metric(self, series):
        lines = self.metrics.exposition().decode().splitlines()
        return {
            line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
            for line in lines
            if not line.startswith("#")
        }.get(series)


def answer_of(wire, method="GET"):
    (answer,) = read_answers(wire.value(), method)
    return answer
