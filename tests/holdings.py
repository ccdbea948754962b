"""What a service holds on to: connections, timers, descriptors, memory; and its threads.

Counted over some rounds, because asking is itself a connection, and what ends takes a few turns.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

COUNTED = ("connections", "exchanges_in_flight", "timers")


@dataclass(frozen=True)
class Held:
    """What the service has open, and how much memory it takes."""

    counts: dict[str, float]
    resident_bytes: int


def held(service):
    """What is held now."""
    counts = {name: service.metric(f"pulp_streamer_{name}") for name in COUNTED}
    # The connection on which that was asked has gone when a few turns have passed.
    time.sleep(0.05)
    counts["descriptors"] = service.descriptors()
    return Held(counts, service.resident_bytes())


def threads(service):
    """How many threads the service has; its pools keep those that a crowd once needed."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"Threads:\s+(\d+)", status)[1])


def lowest(service, rounds=20):
    """The least of each that is held within some rounds after the last exchange."""
    service.wait_for_metric("pulp_streamer_connections", 0)
    found = [held(service) for _ in range(rounds)]
    counts = {name: min(each.counts[name] for each in found) for name in found[0].counts}
    return Held(counts, found[-1].resident_bytes)


def remaining(service, before, rounds=200):
    """What is held that was not held before, after a while at the latest; and the growth."""
    for _ in range(rounds):
        now = held(service)
        left = [name for name, count in now.counts.items() if count > before.counts[name]]
        if not left:
            break
    return left, now.resident_bytes - before.resident_bytes
