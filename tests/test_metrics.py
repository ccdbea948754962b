"""The metrics by their names, which dashboards rely on."""

from __future__ import annotations

import dataclasses

from prometheus_client import CollectorRegistry

from streamer import __version__
from streamer.metrics import Metrics
from streamer.transfers import Transfer

EXAMPLE = Transfer(
    request_id="7f3a",
    client="203.0.113.7",
    method="GET",
    path="/fedora/secret-path",
    distribution="fedora",
    status=206,
    verdict="complete",
    reason=None,
    bytes=1000,
    range="bytes=0-999",
    origin="fedora",
    attempts=1,
    verified="held_tail",
    source="origin",
    first_byte_ms=30.0,
    duration_ms=90.0,
)


def samples(metrics):
    """Read the exposition back: each series as it is written, and its value."""
    lines = metrics.exposition().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {series: float(value) for series, value in pairs}


def test_an_exchange_that_ended_is_counted_by_verdict_and_class_of_status():
    """The end of an exchange counts its verdict, its bytes and how it was verified."""
    metrics = Metrics(CollectorRegistry())

    metrics.exchange_started()
    metrics.exchange_ended(EXAMPLE)

    seen = samples(metrics)
    assert seen['pulp_streamer_exchanges_total{status_class="2xx",verdict="complete"}'] == 1
    assert seen["pulp_streamer_sent_bytes_total"] == 1000
    assert seen['pulp_streamer_verified_total{kind="held_tail"}'] == 1
    assert seen["pulp_streamer_exchanges_in_flight"] == 0


def test_an_exchange_that_began_is_in_flight():
    """An exchange is in flight from its start to its end."""
    metrics = Metrics(CollectorRegistry())

    metrics.exchange_started()

    assert samples(metrics)["pulp_streamer_exchanges_in_flight"] == 1


def test_the_times_of_an_exchange_are_observed_in_seconds():
    """The record's milliseconds become the seconds that Prometheus expects."""
    metrics = Metrics(CollectorRegistry())

    metrics.exchange_ended(EXAMPLE)

    seen = samples(metrics)
    assert seen["pulp_streamer_first_byte_seconds_sum"] == 0.03
    assert seen["pulp_streamer_duration_seconds_sum"] == 0.09


def test_an_exchange_without_a_head_has_no_class_and_no_first_byte():
    """A client that went before the head is counted, and is no observation of a first byte."""
    gone = dataclasses.replace(EXAMPLE, status=None, verdict="client_gone", first_byte_ms=None)
    metrics = Metrics(CollectorRegistry())

    metrics.exchange_ended(gone)

    seen = samples(metrics)
    assert seen['pulp_streamer_exchanges_total{status_class="none",verdict="client_gone"}'] == 1
    assert seen["pulp_streamer_first_byte_seconds_count"] == 0


def test_what_origins_do_is_counted_by_importer():
    """Bytes and failures of origins carry the importer's name."""
    metrics = Metrics(CollectorRegistry())

    for count in (10, 5):
        metrics.received_from("fedora")(count)
    metrics.origin_failed("fedora", "OriginTimedOut")

    seen = samples(metrics)
    assert seen['pulp_streamer_received_bytes_total{importer="fedora"}'] == 15
    assert (
        seen['pulp_streamer_origin_failures_total{error="OriginTimedOut",importer="fedora"}'] == 1
    )


def test_what_is_remembered_of_origins_is_counted_by_importer():
    """Attempts that were saved, origins that sent wrong content, and transfers that went on."""
    metrics = Metrics(CollectorRegistry())

    metrics.origin_avoided("fedora")
    metrics.quarantined("fedora")
    metrics.resumed("epel")

    seen = samples(metrics)
    assert seen['pulp_streamer_origin_avoided_total{importer="fedora"}'] == 1
    assert seen['pulp_streamer_origin_quarantined_total{importer="fedora"}'] == 1
    assert seen['pulp_streamer_resumed_total{importer="epel"}'] == 1


def test_what_becomes_of_tables_of_pieces_is_counted():
    """Look-ups by how they ended, tables by what happened, and what the store holds and does."""
    metrics = Metrics(CollectorRegistry())

    metrics.pieces_looked_up("hit")
    metrics.pieces_written(3, 2, 1, 768)
    metrics.pieces_dropped()
    metrics.pieces_usable(lambda: True)

    seen = samples(metrics)
    assert seen['pulp_streamer_pieces_lookups_total{outcome="hit"}'] == 1
    assert seen['pulp_streamer_pieces_tables_total{event="written"}'] == 3
    assert seen['pulp_streamer_pieces_tables_total{event="dropped"}'] == 3
    assert seen['pulp_streamer_pieces_tables_total{event="evicted"}'] == 1
    assert seen["pulp_streamer_pieces_stored_bytes"] == 768
    assert seen["pulp_streamer_pieces_usable"] == 1


def test_store_of_pieces_that_nobody_wants_is_neither_usable_nor_not():
    """An alarm for one that does not work stays silent."""
    assert "pulp_streamer_pieces_usable" not in samples(Metrics(CollectorRegistry()))


def test_quantities_of_a_kind_are_asked_for_at_each_exposition():
    """One metric, and a series for each of them."""
    metrics = Metrics(CollectorRegistry())
    now = {"open": 0, "closed": 2}
    metrics.watch_each(
        "origins", "By state.", "state", {each: lambda each=each: now[each] for each in now}
    )

    now["open"] = 3

    seen = samples(metrics)
    assert seen['pulp_streamer_origins{state="open"}'] == 3
    assert seen['pulp_streamer_origins{state="closed"}'] == 2


def test_exposition_names_no_path_and_no_client():
    """What a client chooses never becomes a label."""
    metrics = Metrics(CollectorRegistry())

    metrics.exchange_ended(EXAMPLE)

    assert b"secret-path" not in metrics.exposition()
    assert b"203.0.113.7" not in metrics.exposition()


def test_two_sets_of_metrics_in_one_process_do_not_meet():
    """Each registry has its own counts, and the version of the service."""
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())

    first.exchange_ended(EXAMPLE)

    assert samples(second)["pulp_streamer_sent_bytes_total"] == 0
    assert samples(second)[f'pulp_streamer_build_info{{version="{__version__}"}}'] == 1
