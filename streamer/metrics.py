"""What is counted, under which names: the events of the service as Prometheus metrics.

It is separate so that the names that dashboards rely on stand on one page, and so that whoever
causes an event says what happened and not how it is counted. The registry is passed in; nothing is
registered globally, so two services in one process do not meet here.

It refuses labels that a client chooses: no path, no address, no distribution. The number of time
series is bounded by the number of importers, error classes and verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from streamer import __version__
from streamer.transfers import Transfer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The media type of `Metrics.exposition`."""

_PREFIX = "pulp_streamer_"

_FIRST_BYTE = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)
"""From a 304 out of the catalog to beyond the default budget of 12 s for the first byte."""

_DURATION = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600)
"""From a 304 to an installation image on a slow line."""


class Metrics:
    """One method per event; each may be called at any time and costs microseconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._exchanges = self._counter(
            "exchanges",
            "Exchanges that ended, by verdict of the transfer log and class of the status.",
            "verdict",
            "status_class",
        )
        self._verified = self._counter(
            "verified", "Exchanges that ended, by how their content was verified.", "kind"
        )
        self._sent = self._counter(
            "sent_bytes", "Content bytes sent to clients, counted when their exchange ends."
        )
        self._received = self._counter(
            "received_bytes", "Content bytes received from origins.", "importer"
        )
        self._origin_failures = self._counter(
            "origin_failures",
            "Attempts at an origin that failed, by class of the error.",
            "importer",
            "error",
        )
        self._avoided = self._counter(
            "origin_avoided",
            "Attempts that were not made, because of what is remembered of the origin.",
            "importer",
        )
        self._quarantined = self._counter(
            "origin_quarantined",
            "Artifacts for which an origin is asked last, because it sent other content.",
            "importer",
        )
        self._resumed = self._counter(
            "resumed",
            "Transfers that broke off at an origin and went on, by the importer that went on.",
            "importer",
        )
        self._pieces_looked_up = self._counter(
            "pieces_lookups", "Look-ups of tables of pieces, by how they ended.", "outcome"
        )
        self._pieces_tables = self._counter(
            "pieces_tables", "Tables of pieces, by what became of them in the store.", "event"
        )
        self._pieces_stored = self._gauge(
            "pieces_stored_bytes", "What the store of pieces holds, as of the last write."
        )
        self._in_flight = self._gauge(
            "exchanges_in_flight", "Exchanges that have begun and not ended."
        )
        self._first_byte = self._histogram(
            "first_byte_seconds",
            "From the request to the first byte of its response.",
            _FIRST_BYTE,
        )
        self._duration = self._histogram(
            "duration_seconds", "From the request to the end of its exchange.", _DURATION
        )
        self._gauge("build_info", "Always 1.", "version").labels(__version__).set(1)
        ProcessCollector(registry=registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(_PREFIX + name, help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(_PREFIX + name, help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(_PREFIX + name, help_text, registry=self._registry, buckets=buckets)

    def watch(self, name: str, help_text: str, count: Callable[[], float]) -> None:
        """Expose a quantity that is asked for at each exposition, `pulp_streamer_` before it."""
        self._gauge(name, help_text).set_function(count)

    def watch_each(
        self, name: str, help_text: str, label: str, counts: Mapping[str, Callable[[], float]]
    ) -> None:
        """Expose such quantities as one metric, each with its value of `label`."""
        gauge = self._gauge(name, help_text, label)
        for value, count in counts.items():
            gauge.labels(value).set_function(count)

    def exchange_started(self) -> None:
        """A request was read and is being answered; `exchange_ended` follows in any case."""
        self._in_flight.inc()

    def exchange_ended(self, transfer: Transfer) -> None:
        """The exchange is over, in whichever way its record says."""
        self._in_flight.dec()
        self._exchanges.labels(transfer.verdict, _status_class(transfer.status)).inc()
        self._verified.labels(transfer.verified).inc()
        self._sent.inc(transfer.bytes)
        self._duration.observe(transfer.duration_ms / 1000)
        if transfer.first_byte_ms is not None:
            self._first_byte.observe(transfer.first_byte_ms / 1000)

    def origin_failed(self, importer: str, error_name: str) -> None:
        """An attempt ended in an error; `error_name` is the name of its class in `errors`."""
        self._origin_failures.labels(importer, error_name).inc()

    def origin_avoided(self, importer: str) -> None:
        """An origin was not asked, because of what is remembered of it."""
        self._avoided.labels(importer).inc()

    def quarantined(self, importer: str) -> None:
        """An origin sent other content than was promised."""
        self._quarantined.labels(importer).inc()

    def resumed(self, importer: str) -> None:
        """Content that had broken off goes on from this importer's origin."""
        self._resumed.labels(importer).inc()

    def received_from(self, importer: str) -> Callable[[int], None]:
        """What counts the bytes that an origin sends, wanted or not.

        One call for each transfer and not for each chunk, since it looks the label up.
        """
        return self._received.labels(importer).inc

    def pieces_looked_up(self, outcome: str) -> None:
        """Somebody asked for a table of pieces."""
        self._pieces_looked_up.labels(outcome).inc()

    def pieces_written(self, written: int, dropped: int, evicted: int, stored_bytes: int) -> None:
        """A batch went into the store of pieces, which now holds so many bytes."""
        for event, count in (("written", written), ("dropped", dropped), ("evicted", evicted)):
            self._pieces_tables.labels(event).inc(count)
        self._pieces_stored.set(stored_bytes)

    def pieces_dropped(self) -> None:
        """A table of pieces was learned and will not be stored: too many wait."""
        self._pieces_tables.labels("dropped").inc()

    def pieces_usable(self, is_usable: Callable[[], bool]) -> None:
        """There is a store of pieces, and so one learns whether it works; told once."""
        self.watch("pieces_usable", "Whether the store of pieces worked the last time.", is_usable)

    def exposition(self) -> bytes:
        """Everything in the registry, as `CONTENT_TYPE` says."""
        return generate_latest(self._registry)


def _status_class(status: int | None) -> str:
    return "none" if status is None else f"{status // 100}xx"
