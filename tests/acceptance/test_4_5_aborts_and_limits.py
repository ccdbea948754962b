"""Issue 4, line 5: clients that leave leave nothing behind, and no origin sees too many of us.

Ten thousand clients go at all moments, from content that is small and large, of origins that are
quick, slow, failing and silent; afterwards the service holds what it held before. And of an
importer with `download_concurrency` 5, five hundred clients at once have five connections.
"""

from __future__ import annotations

import random
import socket
import time
from collections import Counter

import pytest
from faulty_origins import KIB, half
from holdings import lowest, remaining, threads
from judging import BREAK, RIGHT, honest
from leaving_clients import crowd
from origins import Origin, cuts, falls_silent, never_answers, serves
from processes import Streamer, entry, get
from ranged_origins import serves_by_target, serves_ranges
from secrecy import SealingStreamer, Secrets
from wire import read_answers

MIB = 1024 * KIB
SHARED = random.Random(45).randbytes(MIB)
SMALL, LARGE = SHARED[: 20 * KIB], SHARED

LEAVING = 10_000
FIRST = 1_500
GROWTH_BYTES = 24 * MIB
THREADS = 16
"""What the pools for look-ups and names come to at most, and some of the database's own."""

LIMITS = {"delivery__first_byte": "2s", "delivery__idle": "1s"}

UNAVAILABLE = {honest(502), honest(503), honest(504)}
"""A crowd opens breakers and fills queues, so that any of them may be the honest answer."""

HONEST = {RIGHT, BREAK, *UNAVAILABLE}
"""Nor does a good origin that gets no processor for a second always keep its client."""


def pauses(behaviour, seconds):
    """The same origin, which takes its time before it answers."""

    def pausing(talk):
        time.sleep(seconds)
        return behaviour(talk)

    return pausing


CONTENTS = {
    "small": (serves(SMALL), SMALL, {RIGHT, *UNAVAILABLE}),
    "large": (serves_ranges(LARGE), LARGE, HONEST),
    "slow": (pauses(serves(LARGE), 0.1), LARGE, HONEST),
    "failing": (serves(b"", status=b"500 Internal Server Error"), SMALL, UNAVAILABLE),
    "cut": (cuts(LARGE, half(LARGE)), LARGE, {BREAK, *UNAVAILABLE}),
    "cut-small": (cuts(SMALL, half(SMALL)), SMALL, UNAVAILABLE),
    "stalling": (falls_silent(LARGE, half(LARGE)), LARGE, {BREAK, *UNAVAILABLE}),
    "silent": (never_answers, SMALL, UNAVAILABLE),
}
"""By path: its origin, its content, and what a client may get that stays."""


@pytest.fixture(scope="module")
def origin():
    """All origins in one, each under an address of its own, so that their health is apart."""
    told = {path: behaviour for path, (behaviour, *_) in CONTENTS.items()}
    with Origin(serves_by_target(told), address="0.0.0.0") as origin:
        yield origin


@pytest.fixture(scope="module")
def service(origin, tmp_path_factory):
    """One service with short time limits, and an importer for each origin."""
    with Streamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        entries = {
            path: {
                **entry(path, content),
                "sources": [{"url": f"{origin.url_at(f'127.4.1.{number}')}{path}"}],
            }
            for number, (path, (_, content, _)) in enumerate(CONTENTS.items(), start=1)
        }
        kept = {"download_concurrency": 64, "keep_alive": "500ms"}
        streamer.publish("left", origin.url, entries, **kept)
        yield streamer


def come(service, origin, number, seed):
    """Let a crowd come and go, until no connection to the origin is kept for the next one."""
    contents = {f"left/{path}": content for path, (_, content, _) in CONTENTS.items()}
    outcomes = crowd(service.port, contents, number, seed)
    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    assert origin.wait_for_connections(0) == 0
    return outcomes


def test_clients_that_leave_leave_nothing(service, origin):
    """Descriptors, timers, connections and memory are back, threads few; who stayed was served."""
    come(service, origin, FIRST, seed=1)
    before = lowest(service)

    outcomes = come(service, origin, LEAVING, seed=2)
    left, growth = remaining(service, before)

    promised = {
        (f"left/{path}", outcome)
        for path, (*_, outcomes) in CONTENTS.items()
        for outcome in outcomes
    }
    assert outcomes - promised == set()
    assert {path for path, _ in outcomes} == {f"left/{path}" for path in CONTENTS}
    assert {path for path, each in outcomes if each == RIGHT} == {
        f"left/{path}" for path in ("small", "large", "slow")
    }
    assert left == []
    assert threads(service) <= THREADS
    assert growth < GROWTH_BYTES
    assert service.tracebacks() == []


# -- the limit of connections


CLIENTS = 500
CONNECTIONS = 5


@pytest.mark.parametrize(
    ("content", "takes_seconds", "promised"),
    [
        pytest.param(SMALL, 0.005, {200}, id="small and quick"),
        pytest.param(LARGE[: 200 * KIB], 0.005, {200}, id="large and quick"),
        pytest.param(SMALL, 0.3, {200, 503}, id="small and slow"),
        pytest.param(LARGE[: 200 * KIB], 0.3, {200, 503}, id="large and slow"),
    ],
)
def test_crowd_goes_through_the_connections_that_are_allowed(
    content, takes_seconds, promised, tmp_path
):
    """All are served, or told by the deadline to come again; the origin never sees more.

    That a crowd waits in vain is no fault of the origin: who comes afterwards is served.
    """
    limits = {"delivery__first_byte": "20s" if promised == {200} else "3s"}
    behaviour = pauses(serves(content), takes_seconds)
    with Origin(behaviour) as origin, SealingStreamer(tmp_path, **limits) as service:
        service.create_importer(
            "limited", origin.url, Secrets(tmp_path), download_concurrency=CONNECTIONS
        )
        service.publish_entries("limited", "limited", {"file": content})

        answers = all_at_once(service.port, "limited/file")
        afterwards, _, _ = get(f"{service.url}limited/file")

        assert Counter(each.status for each in answers).keys() == promised
        assert {each.content for each in answers if each.status == 200} == {content}
        assert all(each["Retry-After"] for each in answers if each.status == 503)
        assert afterwards == 200
        assert origin.most_connections <= CONNECTIONS
        assert service.tracebacks() == []


def all_at_once(port, path):
    """The answers to many clients that all have asked before one is read."""
    request = f"GET /{path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    clients = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(CLIENTS)]
    for each in clients:
        each.sendall(request)
    return [answer for each in clients for answer in read_answers(read_to_end(each), "GET")]


def read_to_end(client):
    """All that comes before the end."""
    received = b""
    with client:
        while more := client.recv(65536):
            received += more
    return received
