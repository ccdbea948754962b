"""What only real sockets show: pace, departure, reuse of connections, TLS, and stopping."""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from certificates import Authority
from origins import Origin, never_answers, serves
from processes import Streamer, get

MIB = 1024 * 1024
LARGE = random.Random(1).randbytes(8 * MIB)
SMALL = LARGE[:20_000]


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


def ask(target="os/file"):
    return f"GET /{target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()


def open_client(port, buffer_bytes=16 * 1024):
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    client.settimeout(30)
    client.connect(("127.0.0.1", port))
    client.sendall(ask())
    return client


def read_to_end(client):
    received = []
    while more := client.recv(65536):
        received.append(more)
    return b"".join(received)


def test_slow_reader_is_not_cut(origin, tmp_path):
    """A client that takes a little all the time is slow, not gone, however long it takes.

    It reads for several times `delivery.client_stall` while the service's own buffers stay full.
    """
    content = LARGE * 2
    origin.behaviour = serves(content)
    with Streamer(tmp_path, delivery__client_stall="1s") as service:
        service.publish("os", origin.url, {"file": content})
        with open_client(service.port) as client:
            received = []
            until = time.monotonic() + 5
            while time.monotonic() < until:
                received.append(client.recv(4096))
                time.sleep(0.05)
            received.append(read_to_end(client))

        assert b"".join(received).partition(b"\r\n\r\n")[2] == content
        assert service.transfers(1)[0]["verdict"] == "complete"


def test_departed_client_stops_the_origin_at_once(origin, service):
    """When the client goes, so does the connection to the origin, long before it is done."""
    origin.behaviour = serves(LARGE * 32)
    service.publish("os", origin.url, {"file": LARGE * 32})
    with open_client(service.port) as client:
        client.recv(1024)
        connected = origin.wait_for_connections(1)

    assert connected == 1
    assert origin.wait_for_connections(0) == 0
    assert service.transfers(1)[0]["verdict"] == "client_gone"
    assert service.tracebacks() == []


def test_connection_to_an_origin_is_used_again(origin, service):
    """Ten requests in turn take one connection."""
    service.publish("os", origin.url, {"file": LARGE})

    for _ in range(10):
        get(f"{service.url}os/file")

    assert origin.requests() == 10
    assert len({each.connection for each in origin.conversations}) == 1


def test_tls_origin_is_trusted_by_the_importers_own_authority(service, tmp_path):
    """`ca_cert` replaces the system's certificates for this importer."""
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    with Origin(serves(LARGE), tls=authority.server_context(tmp_path)) as origin:
        service.publish("os", origin.url, {"file": LARGE}, ca_cert=f"@{tmp_path}/ca.pem")

        assert get(f"{service.url}os/file")[2] == LARGE


def test_tls_origin_of_another_authority_is_a_bad_gateway(service, tmp_path):
    """A certificate that nobody vouches for ends the attempt before anything is asked."""
    with Origin(serves(LARGE), tls=Authority().server_context(tmp_path)) as origin:
        service.publish("os", origin.url, {"file": LARGE})

        status, fields, _ = get(f"{service.url}os/file")

        assert (status, origin.requests()) == (502, 0)
        assert "error=tls_protocol_error" in fields["Proxy-Status"]


def test_origin_that_refuses_connections_is_a_bad_gateway(origin, service):
    """Nothing listens: said at once, with the importer's name and without its address."""
    service.publish("os", origin.url, {"file": LARGE}, importer="far")
    origin.stop()

    status, fields, content = get(f"{service.url}os/file")

    assert status == 502
    assert 'next-hop="far"' in fields["Proxy-Status"]
    assert str(origin.port) not in fields["Proxy-Status"] + content.decode()


def test_error_page_that_never_comes_is_given_up(origin, service):
    """A refusal that announces content and keeps it back holds no connection."""

    def teases(conversation):
        conversation.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 100\r\n\r\n")
        conversation.wait_until_closed()
        return False

    origin.behaviour = teases
    service.publish("os", origin.url, {"file": LARGE})

    assert get(f"{service.url}os/file")[0] == 404
    assert origin.wait_for_connections(0) == 0


def test_origin_whose_fields_are_too_large_is_a_bad_gateway(origin, service):
    """What no client would accept is not forwarded."""
    fields = [f"X-Filling-{number}: {'x' * 1000}" for number in range(100)]
    origin.behaviour = serves(LARGE, fields=fields)
    service.publish("os", origin.url, {"file": LARGE})

    status, answered, _ = get(f"{service.url}os/file")

    assert status == 502
    assert [name for name in answered if name.startswith("X-Filling")] == []


def test_client_that_pipelines_and_never_reads_fills_no_memory(service, origin):
    """Thousands of pages are asked for in one go; few are made."""
    service.publish("os", origin.url, {f"file-{n}": LARGE[:n] for n in range(300)})
    before = service.resident_bytes()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(2)
        with contextlib.suppress(TimeoutError):
            client.sendall(b"GET /os/ HTTP/1.1\r\nHost: h\r\n\r\n" * 20_000)
        made = service.metric("pulp_streamer_exchanges_total", verdict="complete")

        assert service.resident_bytes() - before < 50 * MIB
        assert made < 1000


def test_held_content_needs_no_origin(service):
    """What lies in the catalog is served out of it, verified like anything else."""
    held = {"content_base64": "aGVsbG8="}
    service.publish("os", "http://127.0.0.1:9/", {"greeting": held})

    status, fields, content = get(f"{service.url}os/greeting")

    assert (status, content) == (200, b"hello")
    assert "hit" in fields["Cache-Status"]
    assert service.transfers(1)[0]["source"] == "catalog"


def hold_back(content, may_go_on):
    """An origin that sends the rest of its content only when it may."""

    def behaviour(conversation):
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        conversation.send(content[:MIB])
        may_go_on.wait(20)
        conversation.send(content[MIB:])
        return True

    return behaviour


def test_sigterm_lets_a_running_transfer_end(origin, service):
    """While it ends, new clients are refused and readiness says so; then the process ends."""
    may_go_on = threading.Event()
    origin.behaviour = hold_back(LARGE, may_go_on)
    service.publish("os", origin.url, {"file": LARGE})
    with open_client(service.port, buffer_bytes=MIB) as client:
        begun = client.recv(1024)
        service.process.send_signal(signal.SIGTERM)
        readiness = wait_for_503(f"{service.admin_url}readyz")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", service.port))
        may_go_on.set()
        rest = read_to_end(client)
    service.process.wait(30)

    assert readiness == b"the service stops\n"
    assert (begun + rest).partition(b"\r\n\r\n")[2] == LARGE
    assert service.transfers()[0]["verdict"] == "complete"
    assert service.tracebacks() == []


def wait_for_503(url):
    """Ask until the answer is 503; give its content."""
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError as error:
            with error:
                return error.read()
        time.sleep(0.05)
    return None


def test_sigterm_breaks_off_what_does_not_end_in_time(origin, tmp_path):
    """After `delivery.drain` a transfer is broken visibly, and the log says why."""
    may_go_on = threading.Event()
    origin.behaviour = hold_back(LARGE, may_go_on)
    service = Streamer(tmp_path, delivery__drain="1s")
    with service:
        service.publish("os", origin.url, {"file": LARGE})
        with open_client(service.port, buffer_bytes=MIB) as client:
            client.recv(1024)
            service.process.send_signal(signal.SIGTERM)
            with pytest.raises(ConnectionResetError):
                read_to_end(client)
        service.process.wait(30)
    may_go_on.set()

    [transfer] = service.transfers()
    assert (transfer["verdict"], transfer["reason"]) == ("aborted", "the service stops")
    assert service.tracebacks() == []


def test_unix_socket_serves_content(origin, tmp_path):
    """A front on the same machine may come by a socket file."""
    place = tmp_path / "content.sock"
    with Streamer(tmp_path, content__listen=f"unix:{place}:mode=660") as service:
        service.publish("os", origin.url, {"file": LARGE})
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(place))
            client.sendall(ask())
            received = read_to_end(client)

    assert received.partition(b"\r\n\r\n")[2] == LARGE
    assert service.transfers()[0]["client"] == "unix"


def test_fetch_command_gives_up_a_silent_origin(origin, tmp_path):
    """Without the service, too, an origin that says nothing is a time-out and not a traceback."""
    origin.behaviour = never_answers
    service = Streamer(tmp_path, delivery__first_byte="1s")
    service.publish("os", origin.url, {"file": LARGE})

    done = service.admin("fetch", "os/file", "--output", tmp_path / "file", check=False)

    assert done.returncode == 1
    assert "did not answer in time" in done.stderr
    assert not (tmp_path / "file").exists()
