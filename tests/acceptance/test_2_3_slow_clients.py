"""Issue 2, line 3: 200 slow clients cost little memory, and leave nothing when they vanish."""

from __future__ import annotations

import random
import socket
import time

from origins import Origin, serves
from processes import Streamer

CLIENTS = 200
SIZE = 200 * 1024 * 1024
MIB = 1024 * 1024
MOST_FILES = 1 + 4 * 3 + 3 * 3
"""The log, and what each thread of the catalog and of the pieces keeps: a file and companions."""
CONTENT = random.Random(23).randbytes(MIB) * (SIZE // MIB)


def open_slow_client(port):
    """A client that asks and then takes little: its receive buffer is small and stays full."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.connect(("127.0.0.1", port))
    client.sendall(b"GET /slow/file HTTP/1.1\r\nHost: h\r\n\r\n")
    return client


def test_slow_clients_are_cheap_and_leave_nothing(tmp_path):
    """Resident memory grows by less than 100 MiB; connections, timers, descriptors come back."""
    with Origin(serves(CONTENT)) as origin, Streamer(tmp_path) as service:
        service.publish("slow", origin.url, {"file": CONTENT}, download_concurrency=CLIENTS)
        resident = service.resident_bytes()
        # A first crowd lets the service make all that it makes once.
        leave(crowd(service, origin), service, origin)
        before = (service.descriptors(), service.metric("pulp_streamer_timers"))

        clients = crowd(service, origin)
        received = [read_slowly(client, rounds=20) for client in clients]
        grown = service.resident_bytes() - resident
        leave(clients, service, origin)

        assert min(received) > 0
        assert grown < 100 * MIB
        assert settled(service, before) == before
        assert service.files() <= MOST_FILES
        assert {line["verdict"] for line in service.transfers()} == {"client_gone"}


def crowd(service, origin):
    """All clients, each with its exchange running and its connection to the origin open."""
    clients = [open_slow_client(service.port) for _ in range(CLIENTS)]
    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", CLIENTS) == CLIENTS
    assert origin.wait_for_connections(CLIENTS) == CLIENTS
    return clients


def leave(clients, service, origin):
    """All clients vanish, and with them their exchanges and the origin's connections."""
    for client in clients:
        client.close()
    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    assert origin.wait_for_connections(0) == 0


def read_slowly(client, rounds):
    """Take a little, some times over; gives how many bytes came."""
    return sum(len(client.recv(1024)) for _ in range(rounds))


def settled(service, wanted):
    """What the process holds, once it has come down to `wanted` or does not any more."""
    for _ in range(200):
        held = (service.descriptors(), service.metric("pulp_streamer_timers"))
        if held == wanted:
            break
        time.sleep(0.1)
    return held
