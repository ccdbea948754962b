"""docs/operations.md: what an operator looks up there is all that the service says."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from streamer.admin import AdminApp
from streamer.health import OriginReport
from streamer.metrics import Metrics
from streamer.transfers import Transfer

TEXT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()


def test_every_metric_has_its_row():
    """By the name under which Prometheus finds it."""
    exposition = Metrics(CollectorRegistry()).exposition().decode()
    names = set(re.findall(r"^# TYPE (pulp_streamer_\w+) ", exposition, re.MULTILINE))

    missing = [name for name in names if not name.endswith("_created") and f"`{name}`" not in TEXT]
    assert [] == missing
    assert "pulp_streamer_exchanges_total" in names


@pytest.mark.parametrize("record", [Transfer, OriginReport])
def test_every_key_of_a_record_is_explained(record):
    """Of a line of the transfer log, and of an origin at `/origins`."""
    missing = [each.name for each in fields(record) if f"`{each.name}`" not in TEXT]

    assert [] == missing


def test_every_page_of_the_admin_endpoint_is_named():
    """With what it is for."""
    pages = [rule.rule for rule in AdminApp.app.url_map.iter_rules()]

    assert [] == [page for page in pages if not re.search(rf"`{page}[`?]", TEXT)]
    assert "/healthz" in pages
