"""The door over real sockets: order under load, TLS farewells, sockets as files, and crowds."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import socket
import ssl
import stat
import time
import urllib.request
from pathlib import Path

import pytest
from certificates import Authority
from origins import Origin, falls_silent, serves
from processes import Streamer, free_port, get, raw_exchange

from streamer.front import LINGER_SECONDS

MIB = 1024 * 1024
LARGE = random.Random(7).randbytes(8 * MIB)
ASK = b"GET /os/file HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def origin():
    """An origin that has the large content."""
    with Origin(serves(LARGE)) as origin:
        yield origin


@pytest.fixture
def service(tmp_path):
    """A service with the default settings."""
    with Streamer(tmp_path) as streamer:
        yield streamer


def sockets_of(service):
    """How many sockets the service has open; one that is closed meanwhile is not counted."""
    count = 0
    for each in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += os.readlink(each).startswith("socket:")
    return count


def sockets_at_rest(service, expected):
    """The same, when those that asked for it last have had time to be gone."""
    deadline = time.monotonic() + 20
    while (found := sockets_of(service)) > expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


# -- order


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        pytest.param(b"nonsense\r\n", b"400", id="malformed"),
        pytest.param(b"GET / HTTP/1.1\nHost: h\n\n", b"400", id="rfc9112-2.2-lf-only"),
        pytest.param(
            b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n", b"405", id="content"
        ),
    ],
)
def test_refusal_stands_behind_the_download_before_it(service, origin, fault, status):
    """RFC 9112 9.3.2: the download arrives whole, then the refusal, then the end."""
    service.publish("os", origin.url, {"file": LARGE})

    received, was_reset = raw_exchange(service.port, ASK + fault + SMUGGLED)

    content, refusal = received.partition(b"\r\n\r\n")[2].split(b"HTTP/1.1 ")
    assert content == LARGE
    assert refusal.startswith(status)
    assert not was_reset
    verdicts = sorted((each["status"], each["verdict"]) for each in service.transfers(2))
    assert verdicts == [(200, "complete"), (int(status), "refused")]


def test_slow_client_gets_the_download_before_a_refusal_whole(service, origin):
    """The moment that a refused client is listened to does not cut what it has still to take."""
    service.publish("os", origin.url, {"file": LARGE})
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.settimeout(30)
        client.connect(("127.0.0.1", service.port))
        client.sendall(ASK + b"nonsense\r\n")
        received = bytearray()
        while len(received) < len(LARGE) - 64 * 1024:
            received += client.recv(65536)
        # Longer than a refused client is listened to that has nothing else to take.
        time.sleep(2 * LINGER_SECONDS)
        while more := client.recv(65536):
            received += more

    content, refusal = bytes(received).partition(b"\r\n\r\n")[2].split(b"HTTP/1.1 ")
    assert content == LARGE
    assert refusal.startswith(b"400")


def test_request_behind_content_that_broke_off_is_never_answered(service, origin):
    """The connection is reset with the content, and what was pipelined goes with it."""
    service.publish("os", origin.url, {"file": LARGE})
    wrong = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
    origin.behaviour = serves(wrong)

    received, was_reset = raw_exchange(service.port, ASK + SMUGGLED)

    assert was_reset
    assert received.count(b"HTTP/1.1 ") == 1
    assert [each["path"] for each in service.transfers(1)] == ["/os/file"]


def test_client_that_closes_its_sending_side_is_taken_for_gone(tmp_path, origin):
    """As it is by nginx when it proxies; nothing of the exchange is left."""
    origin.behaviour = falls_silent(LARGE, MIB)
    with Streamer(tmp_path) as service:
        service.publish("os", origin.url, {"file": LARGE})
        before = sockets_of(service)
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
            client.sendall(ASK)
            client.recv(1024)
            client.shutdown(socket.SHUT_WR)
            (transfer,) = service.transfers(1)

        assert transfer["verdict"] == "client_gone"
        assert origin.wait_for_connections(0) == 0
        assert service.wait_for_metric("pulp_streamer_connections", 0) == 0
        assert sockets_at_rest(service, before) <= before
        assert service.tracebacks() == []


# -- what is smuggled


@pytest.fixture(scope="module")
def empty_service(tmp_path_factory):
    """A service with nothing published, for many clients in turn."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer


LENGTH = b"Content-Length: 5\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(LENGTH + CHUNKED, id="rfc9112-6.3-cl-te"),
        pytest.param(CHUNKED + LENGTH, id="rfc9112-6.3-te-cl"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n", id="rfc9112-6.1-coding"),
        pytest.param(b"X: y\r\n Transfer-Encoding: chunked\r\n", id="rfc9112-5.2-obs-fold"),
        pytest.param(b"X: y\nTransfer-Encoding: chunked\r\n", id="rfc9112-2.2-lf"),
        pytest.param(b"Content-Length: +5\r\n", id="rfc9110-8.6-plus"),
        pytest.param(b"Content-Length: " + b"9" * 5000 + b"\r\n", id="rfc9110-8.6-huge"),
    ],
)
def test_nothing_is_smuggled(empty_service, lines):
    """What follows an ambiguous request is no request; the log has one line and no traceback."""
    ambiguous = b"GET / HTTP/1.1\r\nHost: h\r\n" + lines + b"\r\n0\r\n\r\n"
    before = len(empty_service.transfers())

    received, _ = raw_exchange(empty_service.port, ambiguous + SMUGGLED)

    assert received.count(b"HTTP/1.1 ") == 1
    assert received.startswith(b"HTTP/1.1 4")
    transfers = empty_service.transfers(before + 1)[before:]
    assert [each["verdict"] for each in transfers] == ["refused"]
    assert empty_service.tracebacks() == []


@pytest.mark.parametrize("target", ["/%ff", "/a..b", "//"])
def test_operators_endpoint_logs_no_traceback(empty_service, target):
    """Whatever path and host it is asked by."""
    request = f"GET {target} HTTP/1.1\r\nHost: a..b\r\nConnection: close\r\n\r\n".encode()

    received, _ = raw_exchange(empty_service.admin_port, request)

    assert received.startswith(b"HTTP/1.1 4")
    assert empty_service.tracebacks() == []


# -- TLS


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
def start_tls(tmp_path, authority):
    """Give a function that starts a service whose content endpoint speaks TLS."""
    authority.server_context(tmp_path)
    with contextlib.ExitStack() as stack:

        def start(**settings):
            port = free_port()
            service = Streamer(
                tmp_path,
                content__listen=(
                    f"ssl:{port}:interface=127.0.0.1:privateKey={tmp_path}/server.pem"
                ),
                **settings,
            )
            service.port = port
            return stack.enter_context(service)

        yield start


@pytest.fixture
def connect(authority):
    """Give a function that connects to a port by TLS, as a client that notices a missing end."""
    context = ssl.create_default_context(cadata=authority.pem)

    def connect(port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        return context.wrap_socket(
            connection, server_hostname="127.0.0.1", suppress_ragged_eofs=False
        )

    return connect


def read_to_the_farewell(client):
    """Read to close_notify; an end without it raises `ssl.SSLEOFError`."""
    received = []
    while more := client.recv(65536):
        received.append(more)
    return b"".join(received)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        pytest.param(b"nonsense\r\n", b"400", id="malformed"),
        pytest.param(
            b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
            b"405",
            id="content-that-is-still-coming",
        ),
    ],
)
def test_refusal_over_tls_is_whole_and_ends_by_a_farewell(start_tls, connect, fault, status):
    """RFC 9112 9.8: the client can tell the end of the answer from a cut."""
    service = start_tls()
    with connect(service.port) as client:
        client.sendall(fault)
        received = read_to_the_farewell(client)

    assert received.startswith(b"HTTP/1.1 " + status)
    assert received.endswith(b"\r\n\r\n")
    assert service.wait_for_metric("pulp_streamer_connections", 0) == 0
    assert service.tracebacks() == []


def test_refusal_over_tls_stands_behind_the_download_before_it(start_tls, connect, origin):
    """Order and completeness do not depend on what carries them."""
    service = start_tls()
    service.publish("os", origin.url, {"file": LARGE})
    with connect(service.port) as client:
        client.sendall(ASK + b"nonsense\r\n")
        received = read_to_the_farewell(client)

    content, refusal = received.partition(b"\r\n\r\n")[2].split(b"HTTP/1.1 ")
    assert content == LARGE
    assert refusal.startswith(b"400")


def test_tls_client_beyond_the_limit_is_turned_away(start_tls, connect):
    """Without a traceback, and others can come when there is room again."""
    service = start_tls(content__max_connections=1)
    with connect(service.port) as first:
        is_turned_away = turned_away(service.port)
        first.sendall(b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        answered = read_to_the_farewell(first)
    service.wait_for_metric("pulp_streamer_connections", 0)
    with connect(service.port) as second:
        second.sendall(b"nonsense\r\n")
        received = read_to_the_farewell(second)

    assert is_turned_away
    assert answered.startswith(b"HTTP/1.1 404")
    assert received.startswith(b"HTTP/1.1 400")
    assert service.tracebacks() == []


# -- sockets as files


def ask_at(place):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(place))
        client.sendall(b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        return client.recv(65536)


@pytest.mark.parametrize(
    ("rest", "mode"),
    [
        pytest.param("", 0o660, id="default"),
        pytest.param(":mode=600", 0o600, id="narrower"),
        pytest.param(":mode=666", 0o666, id="wider"),
    ],
)
def test_socket_file_has_the_mode_that_the_operator_wants(tmp_path, rest, mode):
    """Owner and group, unless the settings say otherwise."""
    place = tmp_path / "content.sock"
    with Streamer(tmp_path, content__listen=f"unix:{place}{rest}"):
        assert mode == stat.S_IMODE(place.stat().st_mode)
        assert ask_at(place).startswith(b"HTTP/1.1 404")


@pytest.mark.parametrize("lock_owner", ["the-killed", "somebody-else"])
def test_socket_of_a_killed_process_does_not_stop_the_next(tmp_path, lock_owner):
    """Not even where a process that lives has got the number of the killed one."""
    place = tmp_path / "content.sock"
    service = Streamer(tmp_path, content__listen=f"unix:{place}")
    service.start()
    service.process.kill()
    service.stop()
    if lock_owner == "somebody-else":
        lock = place.with_name("content.sock.lock")
        lock.unlink()
        lock.symlink_to(str(os.getpid()))

    with service:
        assert ask_at(place).startswith(b"HTTP/1.1 404")


def test_socket_of_a_running_service_is_not_stolen(tmp_path):
    """The second start ends with one line, and the first service goes on."""
    place = tmp_path / "content.sock"
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    second = Streamer(other_folder, content__listen=f"unix:{place}")
    with Streamer(tmp_path, content__listen=f"unix:{place}"):
        with pytest.raises(AssertionError, match=r"content\.listen: cannot listen on unix:"):
            second.start()
        second.stop()

        assert ask_at(place).startswith(b"HTTP/1.1 404")


# -- crowds

CROWD = 2000


@pytest.fixture
def descriptors_enough():
    """Room for the clients of a crowd in the test's own process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("descriptors_enough")
def test_crowd_of_idle_clients_is_bounded_and_cheap(tmp_path):
    """Two thousand that say nothing take little; those beyond are turned away, logged once."""
    with Streamer(tmp_path, content__max_connections=CROWD) as service:
        resident, sockets = service.resident_bytes(), sockets_of(service)
        with contextlib.ExitStack() as stack:
            for _ in range(CROWD):
                stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
            admitted = service.wait_for_metric("pulp_streamer_connections", CROWD)
            grown = service.resident_bytes() - resident
            beyond = [turned_away(service.port) for _ in range(20)]
            with urllib.request.urlopen(f"{service.admin_url}readyz", timeout=30) as answer:
                is_ready = answer.status == 200
        left = service.wait_for_metric("pulp_streamer_connections", 0)

        assert (CROWD, [True] * 20, True, 0) == (admitted, beyond, is_ready, left)
        assert grown < 50 * MIB
        assert 404 == get(f"{service.url}none")[0]
        assert sockets_at_rest(service, sockets) <= sockets
        assert 1 == service.log_text().count("more are turned away")


def turned_away(port):
    """Whether a client is disconnected without an answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            return client.recv(1) == b""
    except ConnectionResetError:
        return True
