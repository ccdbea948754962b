"""Issue 3, line 4: slow, idle and mistaken crowds are served or turned away, and harm nobody else.

Beside each of them a normal client fetches over and over, and none of its answers may be wrong.
Afterwards the service is as it was: a first crowd lets it open what it keeps, and a second one
must leave no more connections, descriptors and timers, and hardly more memory.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import resource
import socket
import threading
import time
from collections import Counter

import pytest
from holdings import lowest, remaining
from logbook import Logbook, events, transfers
from origins import Origin
from processes import Clients, Streamer, get, run, sha256
from wire import read_answers

MIB = 1024 * 1024
LARGE = random.Random(34).randbytes(MIB) * 24
SMALL = LARGE[:20_000]

ATTACKERS = 300
GROWTH_BYTES = 24 * MIB
"""How much resident memory may grow from one crowd to the next; measured: 0 to 4 MiB."""

IDLE = 2000
MISSES_A_SECOND = 1000
STORM_SECONDS = 3
STORM_CONNECTIONS = 4
MISSING = "/crowd/missing/"

LIMITS = {
    "content__head_timeout": "1s",
    "content__keep_alive": "3s",
    "delivery__client_stall": "2s",
}


@pytest.fixture(scope="module")
def origin():
    """One origin with the large and the small content, whose connections nobody keeps."""

    def behaviour(conversation):
        content = LARGE if conversation.target.endswith(b"/large") else SMALL
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        # Not `send`, which would go on when the service has gone.
        conversation.connection.sendall(head % len(content) + content)
        return False

    with Origin(behaviour) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(origin, tmp_path_factory):
    """One service with short time limits for all crowds that stay below its limit."""
    with Streamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        publish(streamer, origin)
        with Clients(32, f"{streamer.url}normal/small"):
            # Enough at once for the catalog to open all connections that it keeps.
            time.sleep(1)
        yield streamer


@pytest.fixture(autouse=True)
def _many_descriptors():
    """Both ends of what a test opens may lie in its own process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def publish(streamer, origin):
    contents = {"large": LARGE, "small": SMALL}
    streamer.publish("crowd", origin.url, contents, importer="shared")
    streamer.publish("normal", origin.url, contents, importer="shared")


# -- slowhttptest: a head, content, or a reader that takes for ever


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        pytest.param(["-H"], 408, id="slow-head"),
        pytest.param(["-B", "-t", "POST"], 405, id="slow-content"),
        pytest.param(["-B", "-t", "GET"], 413, id="slow-content-of-get"),
    ],
)
def test_slow_request_is_refused_and_harms_nobody(mode, status, service):
    """Each connection is refused in one line of the log, and nothing of it stays."""
    attack(service, mode, "small")
    before, logbook = lowest(service), Logbook(service)

    with Clients(2, f"{service.url}normal/small") as normal:
        attack(service, mode, "small")
    left, growth = remaining(service, before)

    logged = logbook.lines()
    assert normal.outcomes == {(200, sha256(SMALL))}
    assert statuses_of(logged, "-") == {status: ATTACKERS}
    assert events(logged) == []
    assert left == []
    assert growth < GROWTH_BYTES


def test_slow_reader_is_cut_off_and_harms_nobody(service, origin):
    """Each exchange ends in one line of the log, and nothing of it stays, at the origin neither."""
    mode = ["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"]
    attack(service, mode, "large")
    before, logbook = lowest(service), Logbook(service)

    with Clients(2, f"{service.url}normal/small") as normal:
        attack(service, mode, "large")
    left, growth = remaining(service, before)

    logged = logbook.lines()
    ends = [each["verdict"] for each in transfers(logged) if each["path"] == "/crowd/large"]
    assert normal.outcomes == {(200, sha256(SMALL))}
    assert len(ends) >= ATTACKERS
    assert set(ends) <= {"aborted", "client_gone"}
    assert events(logged) == []
    assert left == []
    assert growth < GROWTH_BYTES
    assert origin.wait_for_connections(0) == 0


def attack(service, mode, path):
    """Let slowhttptest open all its connections at once and do its worst for some seconds."""
    command = ["slowhttptest", *mode, "-c", ATTACKERS, "-r", ATTACKERS, "-i", "1", "-l", "6"]
    done = run(*command, "-x", "24", "-p", "3", "-u", f"{service.url}crowd/{path}")
    assert done.returncode == 0, done.stdout[-1000:]


# -- connections on which nothing is asked


def test_idle_connections_are_closed_and_harm_nobody(service):
    """2,000 connections without a word are closed without a word, by us and into no log."""
    close_all(idle_connections(service.port, IDLE))
    before, logbook = lowest(service), Logbook(service)

    with Clients(2, f"{service.url}normal/small") as normal:
        crowd = idle_connections(service.port, IDLE)
        received = {read_to_end(each) for each in crowd}
    left, growth = remaining(service, before)
    close_all(crowd)

    logged = logbook.lines()
    assert normal.outcomes == {(200, sha256(SMALL))}
    assert received == {b""}
    assert {each["path"] for each in transfers(logged)} == {"/normal/small"}
    assert events(logged) == []
    assert left == []
    assert growth < GROWTH_BYTES


def test_connections_beyond_the_limit_are_turned_away_until_others_leave(origin, tmp_path):
    """The surplus is closed at once, said once, and who comes later is served."""
    limit = 500
    limits = {"content__max_connections": limit, "content__keep_alive": "1h"}
    with Streamer(tmp_path, **limits) as service:
        publish(service, origin)
        logbook = Logbook(service)

        crowd = idle_connections(service.port, IDLE)
        stayed = wait_until_only(limit, crowd)
        close_all(crowd)
        service.wait_for_metric("pulp_streamer_connections", 0)
        status, _, content = get(f"{service.url}normal/small")

        logged = logbook.lines_up_to(1)
        (said,) = events(logged)
        assert stayed == limit
        assert said["level"] == "warn"
        assert f"{limit} clients are connected" in said["message"]
        assert (status, content) == (200, SMALL)
        assert statuses_of(logged, "/normal/small") == {200: 1}


def test_more_idle_connections_than_descriptors_do_no_lasting_harm(origin, tmp_path):
    """Who asks meanwhile is served or told to come again, and who comes later is served."""
    with Streamer(tmp_path, content__keep_alive="1h") as service:
        publish(service, origin)
        early = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
        early.connect()
        resource.prlimit(service.process.pid, resource.RLIMIT_NOFILE, (128, 128))

        crowd = idle_connections(service.port, IDLE)
        early.request("GET", "/normal/small")
        meanwhile = early.getresponse().status
        close_all([*crowd, early])
        service.wait_for_metric("pulp_streamer_connections", 0)
        status, _, content = get(f"{service.url}normal/small")

        assert meanwhile in {200, 502, 503}
        assert (status, content) == (200, SMALL)
        assert service.tracebacks() == []


def idle_connections(port, count):
    """Connections on which nothing is sent; one that is turned away counts too."""
    return [idle_connection(port) for _ in range(count)]


def idle_connection(port):
    """One of them; it may have been reset before this end knows that it was accepted."""
    connection = socket.socket()
    connection.settimeout(30)
    with contextlib.suppress(ConnectionResetError):
        connection.connect(("127.0.0.1", port))
    return connection


def close_all(connections):
    for each in connections:
        each.close()


def read_to_end(connection):
    """All that came before the end; `None` if that was a reset."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        return None
    return received


def wait_until_only(count, connections, seconds=30):
    """How many are still open, once they are `count` or for a while they are not."""
    deadline = time.monotonic() + seconds
    while True:
        found = sum(not is_closed(each) for each in connections)
        if found <= count or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def is_closed(connection):
    """Whether the peer has closed already."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


# -- clients that ask for what is not there


def test_storm_of_misses_is_answered_and_harms_nobody(service):
    """Every miss is 404, one line each; downloads beside it are right, and nothing stays."""
    storm(service.port)
    before, logbook = lowest(service), Logbook(service)

    with (
        Clients(1, f"{service.url}normal/large") as download,
        Clients(1, f"{service.url}normal/small") as normal,
    ):
        statuses = storm(service.port)
    left, growth = remaining(service, before)

    logged = logbook.lines()
    asked_in_vain = [
        each["status"] for each in transfers(logged) if each["path"].startswith(MISSING)
    ]
    misses = MISSES_A_SECOND * STORM_SECONDS
    assert statuses == {404: misses}
    assert download.outcomes == {(200, sha256(LARGE))}
    assert normal.outcomes == {(200, sha256(SMALL))}
    assert Counter(asked_in_vain) == {404: misses}
    assert events(logged) == []
    assert left == []
    assert growth < GROWTH_BYTES


def storm(port):
    """Offer so many misses a second over some connections; gives how often which status came."""
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(Storming(port)) for _ in range(STORM_CONNECTIONS)]
    return sum((each.statuses for each in crowd), Counter())


class Storming:
    """One pipelining connection that asks on, whether or not it has been answered."""

    def __init__(self, port):
        self.statuses = Counter()
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._asking = threading.Thread(target=self._ask)
        self._reading = threading.Thread(target=self._read)

    def __enter__(self):
        self._asking.start()
        self._reading.start()
        return self

    def __exit__(self, *_):
        self._asking.join()
        self._reading.join()
        self._connection.close()

    @property
    def _count(self):
        return MISSES_A_SECOND * STORM_SECONDS // STORM_CONNECTIONS

    def _ask(self):
        pause = STORM_CONNECTIONS / MISSES_A_SECOND
        for number in range(self._count):
            end = "Connection: close\r\n" if number == self._count - 1 else ""
            request = f"GET {MISSING}{number} HTTP/1.1\r\nHost: h\r\n{end}\r\n"
            self._connection.sendall(request.encode())
            time.sleep(pause)

    def _read(self):
        received = read_to_end(self._connection)
        answers = read_answers(received, *["GET"] * self._count)
        self.statuses = Counter(answer.status for answer in answers)


# -- what the service says


def statuses_of(lines, path):
    """How often which status was given for a path."""
    return Counter(each["status"] for each in transfers(lines) if each["path"] == path)
