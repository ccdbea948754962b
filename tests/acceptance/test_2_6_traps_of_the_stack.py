"""Issue 2, line 6: the traps that Twisted, Klein and treq lay on the data path, one test for each.

They are numbered as in the engineering brief on the stack; a trap that cannot be met from outside
is met where it lies.
"""

from __future__ import annotations

import contextlib
import gzip
import importlib.util
import json
import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest
from certificates import Authority
from origins import Origin, cuts, falls_silent, flipped, never_answers, says, serves
from processes import get, raw_exchange, sha256
from secrecy import SealingStreamer

from streamer.front import DoorSite

MIB = 1024 * 1024
LARGE = random.Random(26).randbytes(8 * MIB)
SMALL = LARGE[:20_000]


@pytest.fixture(scope="module")
def origin():
    """One origin for all traps; each test says how it behaves."""
    with Origin(serves(LARGE)) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service with short time limits."""
    limits = {
        "delivery__first_byte": "1s",
        "delivery__idle": "1s",
        "delivery__client_stall": "1s",
        "content__head_timeout": "1s",
    }
    with SealingStreamer(tmp_path_factory.mktemp("service"), **limits) as streamer:
        yield streamer


@pytest.fixture
def publish(service, origin, request):
    """Publish content as the path `file` of a distribution of the test's own; give its URL."""

    def publish(content, url=None, **config):
        base_path = f"trap/{sha256(request.node.nodeid.encode())[:12]}"
        service.publish(base_path, url or origin.url, {"file": content}, **config)
        return f"{service.url}{base_path}/file"

    return publish


def ask(url, version="1.1", fields=""):
    """The bytes of a request for a URL."""
    target = url.split("/", 3)[3]
    return f"GET /{target} HTTP/{version}\r\nHost: h\r\n{fields}\r\n".encode()


def unsized(content):
    """An entry whose size the catalog does not know."""
    return {"digests": {"sha256": sha256(content)}, "sources": [{"url": "file"}]}


def fresh(seed):
    """Large content that no other test uses, since what breaks off is distrusted."""
    return bytes([seed]) + LARGE[1:]


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_01_failure_after_the_head_writes_nothing_into_the_content(
    version, publish, origin, service
):
    """A client of an origin that breaks off gets a true beginning, a reset, and no error page."""
    content = fresh(1)
    url = publish(content)
    origin.behaviour = cuts(content, 5 * MIB)

    received, was_reset = raw_exchange(service.port, ask(url, version))

    _, _, got = received.partition(b"\r\n\r\n")
    assert was_reset
    assert len(got) < len(content)
    assert content.startswith(got)


def test_02_chunked_content_that_breaks_off_has_no_last_chunk(publish, origin, service):
    """Neither `finish` nor `loseConnection` gives a broken response a clean end."""
    content = fresh(2)
    url = publish(unsized(content))
    origin.behaviour = cuts(content, 5 * MIB)

    received, was_reset = raw_exchange(service.port, ask(url))

    assert was_reset
    assert not received.endswith(b"0\r\n\r\n")


def test_03_http_2_is_not_offered(service):
    """Neither by ALPN nor to a client that just speaks it."""
    received, _ = raw_exchange(service.port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    assert DoorSite.acceptableProtocols(None) == [b"http/1.1"]
    assert received.startswith(b"HTTP/1.1 400 ")


def test_04_the_packages_of_http_2_are_not_required():
    """Twisted switches HTTP/2 on where `h2` and `priority` are importable."""
    assert importlib.util.find_spec("h2") is None


def test_05_more_bytes_than_announced_never_reach_the_client(publish, origin, service):
    """What an origin sends after its content does not shift the next response."""
    url = publish(LARGE)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE)
    origin.behaviour = says(head + LARGE + b"HTTP/1.1 200 OK\r\nX-Smuggled: yes\r\n\r\n")

    received, _ = raw_exchange(service.port, ask(url) + ask(url, fields="Connection: close\r\n"))

    first, second = received.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert [part.partition(b"\r\n\r\n")[2] for part in (first, second)] == [LARGE, LARGE]


def test_06_paused_connection_to_a_tls_origin_is_given_up(publish, service, tmp_path):
    """A client that vanishes while the origin is paused leaves no connection to it."""
    authority = Authority()
    (tmp_path / "ca.pem").write_text(authority.pem)
    endless = serves(LARGE * 16)
    with Origin(endless, tls=authority.server_context(tmp_path)) as origin:
        url = publish(LARGE * 16, origin.url, ca_cert=f"@{tmp_path}/ca.pem")
        with unreading_client(service.port, url):
            connected = origin.wait_for_connections(1)
            time.sleep(0.5)

        assert connected == 1
        assert origin.wait_for_connections(0) == 0


def test_07_gzip_is_neither_asked_for_nor_undone(publish, origin):
    """An origin is asked for `identity` once, and what it labels `gzip` passes byte for byte."""
    packed = gzip.compress(LARGE)
    url = publish(packed)
    origin.behaviour = serves(packed, fields=("Content-Encoding: gzip",))

    _, fields, content = get(url)

    assert origin.conversations[-1].field("Accept-Encoding") == ["identity"]
    assert content == packed
    assert "Content-Encoding" not in fields


def test_07_no_empty_content_encoding_is_added(publish, origin):
    """treq's empty Content-Encoding of every plain response stays behind."""
    url = publish(SMALL)
    origin.behaviour = serves(SMALL)

    _, fields, _ = get(url)

    assert "Content-Encoding" not in fields


def test_08_content_arrives_before_the_origin_is_done(publish, origin, service):
    """Nothing waits for the whole content: a client reads while the origin still holds the rest."""
    content = fresh(8)
    url = publish(content)
    may_go_on = threading.Event()
    origin.behaviour = sends_half_and_waits(content, may_go_on)
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as client:
        client.sendall(ask(url, fields="Connection: close\r\n"))
        early = read_at_least(client, MIB)
        may_go_on.set()
        rest = read_at_least(client, len(content))

    assert len(early) >= MIB
    assert (early + rest).partition(b"\r\n\r\n")[2] == content


def test_09_redirect_is_not_followed_by_the_library(publish, origin):
    """Redirects are ours to follow: not into a private network, and without credentials."""
    with Origin(serves(SMALL)) as elsewhere:
        url = publish(SMALL, username="u", password="p")
        location = f"Location: {elsewhere.url}file"
        origin.behaviour = serves(b"", fields=(location,), status=b"302 Found")

        status, fields, _ = get(url)

        assert (status, elsewhere.requests()) == (502, 0)
        assert "not public" in fields["Proxy-Status"]


def test_10_wrong_content_in_the_last_read_is_not_success(publish, origin):
    """Content that comes in one piece with its end is judged by the verifier, not by Twisted."""
    url = publish(unsized(SMALL))
    origin.behaviour = serves(flipped(SMALL, 19_999))

    assert get(url)[0] == 502


def test_11_client_that_never_reads_holds_the_origin_back(publish, service):
    """Although `deliverBody` resumes what was paused, little is read from the origin."""
    sent = []

    def counts(conversation):
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            conversation.send(LARGE[:MIB])
            sent.append(MIB)
        return False

    with Origin(counts) as origin:
        content = LARGE[:MIB] * 64
        url = publish(content, origin.url)
        with unreading_client(service.port, url):
            origin.wait_for_connections(1)
            time.sleep(0.7)
            read_ahead = sum(sent)

        assert read_ahead < 32 * MIB


def test_12_silent_origin_is_a_time_out_of_the_gateway(publish, origin):
    """The time limit's own error, and not what Agent makes of it, decides the status."""
    url = publish(SMALL)
    origin.behaviour = never_answers

    status, fields, _ = get(url)

    assert status == 504
    assert "error=connection_timeout" in fields["Proxy-Status"]


def test_12_origin_that_falls_silent_is_given_up(publish, origin, service):
    """Twisted has no time limit for content; the pump has."""
    content = fresh(12)
    url = publish(content)
    origin.behaviour = falls_silent(content, 5 * MIB)

    received, was_reset = raw_exchange(service.port, ask(url))

    assert was_reset
    assert len(received) < len(content)


def test_13_reader_that_stops_is_disconnected(publish, origin, service):
    """A client that takes nothing is given up although the server's own time-out is off."""
    url = publish(LARGE * 16)
    origin.behaviour = serves(LARGE * 16)
    before = len(service.transfers())

    with unreading_client(service.port, url):
        last = service.transfers(before + 1)[-1]

    assert last["verdict"] == "aborted"
    assert "client" in last["reason"]


def test_13_head_that_comes_too_slowly_is_refused(service):
    """A byte now and then does not keep a connection without a request."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"GET /")
        answer = drip(client, b"x", every=0.2, times=40)

    assert answer.startswith(b"HTTP/1.1 408 ")


def test_14_request_content_is_refused_before_it_is_stored(service):
    """A large upload is answered at its head, and no file is opened for it."""
    before = open_files(service.process.pid)
    with socket.create_connection(("127.0.0.1", service.port), timeout=10) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
        client.sendall(b"x" * 300_000)
        answer = client.recv(65536)
        opened = open_files(service.process.pid) - before

    assert answer.startswith(b"HTTP/1.1 405 ")
    assert opened == set()


def test_15_password_is_stored_as_it_is_and_shown_as_set(publish, origin, service):
    """The secret reaches its origin, and neither `show` nor an error prints it."""
    url = publish(SMALL, username="user", password="pass:word")
    origin.behaviour = serves(SMALL)
    get(url)
    name = json.loads(service.admin("--json", "resolve", url.split("/", 3)[3]).stdout)
    shown = service.admin("importer", "list").stdout + json.dumps(name)
    wrong = service.admin(
        "importer", "create", "x", "--type", "http", "--url", origin.url,
        "--set", "passwort=pass:word", check=False,
    )  # fmt: skip

    assert origin.conversations[-1].field("Authorization") == ["Basic dXNlcjpwYXNzOndvcmQ="]
    assert "pass:word" not in shown + wrong.stdout + wrong.stderr
    assert wrong.returncode != 0


# -- clients that misbehave -----------------------------------------------------------------------


def unreading_client(port, url):
    """A client that asks and never reads."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    client.connect(("127.0.0.1", port))
    client.sendall(ask(url))
    return client


def read_at_least(client, count):
    received = b""
    while len(received) < count and (more := client.recv(65536)):
        received += more
    return received


def drip(client, byte, every, times):
    """Send a byte at a time until the server says something; gives what it said."""
    client.settimeout(every)
    for _ in range(times):
        client.sendall(byte)
        try:
            return client.recv(65536)
        except TimeoutError:
            continue
    return b""


def sends_half_and_waits(content, may_go_on):
    def behaviour(conversation):
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        conversation.send(content[: len(content) // 2])
        may_go_on.wait(10)
        conversation.send(content[len(content) // 2 :])
        return True

    return behaviour


def open_files(pid):
    """The files that a process has open; temporary ones are shown as deleted."""
    links = set()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        # One that was closed meanwhile is not open.
        with contextlib.suppress(FileNotFoundError):
            links.add(os.readlink(each))
    return {link for link in links if link.startswith("/")}
