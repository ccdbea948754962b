"""Issue 5, line 2: FTP servers as operators run them, and what clients of the service get of them.

vsftpd and pyftpdlib, each plain, with TLS that begins at a command, and with TLS from the start.
All of it is real: the command that stores the config, the service, the servers and curl. What a
server was asked stands in its own log, and in the end it has no connection open. Servers that mean
harm are those of `ftp_origins`.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
import urllib.request
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from certificates import Authority
from ftp_origins import FtpOrigin
from ftp_servers import PyftpdServer, Vsftpd
from judging import RIGHT, honest, outcome_of
from processes import get, sha256
from secrecy import SealingStreamer, Secrets, catalog_dump

MIB = 1024 * 1024
CONTENT = random.Random(52).randbytes(300_000)
LARGE = random.Random(53).randbytes(1024) * (48 * 1024)
"""More than all buffers on its way hold."""

NAME = "a b/bücher & 100%.rpm"
URL = "a%20b/b%C3%BCcher%20%26%20100%25.rpm"
LIMITS = {"delivery__first_byte": "4s", "range__verify_up_to": "1MiB"}
PASSWORD, WRONG_PASSWORD = "the-password-of-me", "another-password-of-me"
PATIENCE_SECONDS = 20
TLS = ("plain", "explicit", "implicit")


def source(content, url="f"):
    """An entry for content that its origin has under another name."""
    return {
        "size": len(content),
        "digests": {"sha256": sha256(content)},
        "sources": [{"url": url}],
    }


FILES = {
    "f": source(CONTENT, URL),
    "large": source(LARGE, "large"),
    "missing": source(CONTENT, "missing"),
}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service that has a key for secrets."""
    with SealingStreamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        yield streamer


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the servers have."""
    root = tmp_path_factory.mktemp("root")
    (root / "a b").mkdir()
    (root / NAME).write_bytes(CONTENT)
    (root / "large").write_bytes(LARGE)
    return root


def publish(service, scratch, name, server, contents, **config):
    """Publish from a server by way of an importer of its own; give the URL of what is published.

    Of the config a password is a secret.
    """
    password = {key: config.pop(key) for key in ("password",) if key in config}
    options = Secrets(scratch, **password).options(url=server.url, **config)
    service.admin("importer", "create", name, "--type", "ftp", *options)
    service.publish_entries(name, name, contents)
    return f"{service.url}{name}/"


def transfer_of(service, path, status):
    """The line of the transfer log about the last such request."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        found = [
            each for each in service.transfers() if (each["path"], each["status"]) == (path, status)
        ]
        if found or time.monotonic() > deadline:
            return found[-1]
        time.sleep(0.05)


def left_open(server):
    """How many connections a server has, when it has none or patience ends."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.open_connections and time.monotonic() < deadline:
        time.sleep(0.05)
    return server.open_connections


# -- good servers ----------------------------------------------------------------------------------


class Mirror(NamedTuple):
    """A real server, the importer that leads to it, and where its files are published."""

    server: Vsftpd | PyftpdServer
    importer: str
    url: str

    def asked_during(self, work):
        """The commands that it heard meanwhile, and what came of the work."""
        before = len(self.server.verbs())
        return work(), self.server.verbs()[before:]


@pytest.fixture(
    scope="module",
    params=[f"{kind}-{tls}" for kind in ("vsftpd", "pyftpdlib") for tls in TLS],
)
def mirror(request, service, folder, authority, tmp_path_factory):
    """Each of the servers; when all is done, nobody is connected to it."""
    kind, tls = request.param.split("-")
    scratch = tmp_path_factory.mktemp("server")
    file = authority.server_file(scratch)
    is_implicit = tls == "implicit"
    login = {}
    if kind == "vsftpd":
        # It insists that data connections resume the TLS session of the login.
        server = Vsftpd(
            scratch, folder, server_file=None if tls == "plain" else file, is_implicit=is_implicit
        )
    else:
        server = PyftpdServer(
            folder, "me", PASSWORD, tls=None if tls == "plain" else tls, server_file=file
        )
        login = {"username": "me", "password": PASSWORD}
    config = {"ca_cert": authority.pem, "explicit_tls": tls == "explicit", "keep_alive": "1s"}
    with server:
        url = publish(service, scratch, request.param, server, FILES, **config, **login)
        yield Mirror(server, request.param, url)
        left = left_open(server)

    assert 0 == left


def test_file_is_served_as_it_is(mirror):
    """Under a name that has to be escaped everywhere; and one login is enough for some files."""
    outcomes, asked = mirror.asked_during(
        lambda: [outcome_of(f"{mirror.url}f", CONTENT) for _ in range(3)]
    )

    assert [RIGHT] * 3 == outcomes
    assert 3 == asked.count("RETR")


def test_range_is_what_was_asked_for(mirror):
    """Of a large file the server is asked for the rest, and of that no more than is wanted."""
    first, last = len(LARGE) - 10 * MIB, len(LARGE) - 9 * MIB
    (status, fields, content), asked = mirror.asked_during(
        lambda: get(f"{mirror.url}large", Range=f"bytes={first}-{last}")
    )

    assert 206 == status
    assert f"bytes {first}-{last}/{len(LARGE)}" == fields["Content-Range"]
    assert sha256(LARGE[first : last + 1]) == sha256(content)
    assert 1 == asked.count("REST")


def test_missing_file_is_not_found(mirror):
    """550 is 404, and nobody waits for content."""
    outcome, asked = mirror.asked_during(lambda: outcome_of(f"{mirror.url}missing", CONTENT))

    assert honest(404) == outcome
    assert "RETR" not in asked


def fetch_and_cut(mirror):
    """Fetch the large file, and let the server cut it while it comes."""
    with urllib.request.urlopen(f"{mirror.url}large", timeout=60) as response:
        begun = response.read(4 * MIB)
        mirror.server.cut()
        return begun + response.read()


def test_transfer_that_is_cut_goes_on_where_it_was(service, mirror):
    """The client gets the right file and sees nothing; the server is asked to begin within it."""
    content, asked = mirror.asked_during(lambda: fetch_and_cut(mirror))

    assert sha256(LARGE) == sha256(content)
    assert 1 == asked.count("REST")
    resumed = "pulp_streamer_resumed_total"
    assert 1 == service.wait_for_metric(resumed, 1, importer=mirror.importer)
    line = transfer_of(service, f"/{mirror.importer}/large", 200)
    assert ("complete", 2) == (line["verdict"], line["attempts"])
    # All servers have the same file, so whoever is not the first has it proven by its pieces.
    assert line["verified"] in {"held_tail", "pieces"}


# -- servers that mean harm, or are set up wrongly -------------------------------------------------


@pytest.fixture
def publish_from(service, request, tmp_path):
    """Publish one file from a server by way of an importer of the test's own; give its URL."""

    def publish_from(server, **config):
        name = f"of-{sha256(request.node.nodeid.encode())[:12]}"
        contents = {"f": source(CONTENT)}
        return publish(service, tmp_path, name, server, contents, **config) + "f"

    return publish_from


@pytest.fixture
def elsewhere():
    """Somebody at another address who waits to be connected to, and one port that is free here."""
    with socket.create_server(("127.0.0.2", 0)) as listener:
        yield listener


def visitors(listener):
    """How many have connected."""
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        listener.accept()[0].close()
        return 1 + visitors(listener)
    return 0


@pytest.fixture
def named_elsewhere(folder, elsewhere):
    """A server that names another host for its content, at a port that both listen on."""
    (folder / "f").write_bytes(CONTENT)
    settings = {
        "masquerade_address": "127.0.0.2",
        "passive_ports": [elsewhere.getsockname()[1]],
    }
    return partial(PyftpdServer, folder, "me", PASSWORD, **settings)


def test_content_that_is_said_to_be_elsewhere_is_not_fetched(
    publish_from, named_elsewhere, elsewhere, service
):
    """Nobody there is connected to, and the log says what is wrong."""
    with named_elsewhere(without={"EPSV"}) as server:
        url = publish_from(server, username="me", password=PASSWORD)

        outcome = outcome_of(url, CONTENT)

        assert honest(502) == outcome
        assert 0 == visitors(elsewhere)
        assert "RETR" not in server.verbs()
        line = transfer_of(service, urlsplit(url).path, 502)
        assert "it names another host for its content" in line["reason"]


def test_server_that_names_a_wrong_address_serves_by_epsv(publish_from, named_elsewhere, elsewhere):
    """As behind NAT: that reply names no address, and content comes from where the login went."""
    with named_elsewhere() as server:
        url = publish_from(server, username="me", password=PASSWORD)

        outcome = outcome_of(url, CONTENT)

        assert RIGHT == outcome
        assert 0 == visitors(elsewhere)


def says_for_ever(beginning, more, pause_seconds=0.0):
    """A server that goes on speaking until it is left; what it could say is counted."""

    def answer(talk, _):
        talk.wire.sendall(beginning)
        while True:
            talk.wire.sendall(more)
            talk.origin.said_bytes += len(more)
            time.sleep(pause_seconds)

    return answer


@pytest.mark.parametrize(
    ("verb", "beginning", "more"),
    [
        pytest.param("greeting", b"220-hello\r\n", b"and hello again\r\n" * 1000, id="banner"),
        pytest.param("PASS", b"230 hel", b"lo" * 10_000, id="login"),
        pytest.param("SIZE", b"", b"120 in a moment\r\n" * 1000, id="announcements"),
        pytest.param("RETR", b"150-here\r\n", b"it comes\r\n" * 1000, id="beginning"),
    ],
)
def test_server_that_never_stops_speaking_is_left(publish_from, service, verb, beginning, more):
    """It could say no more than sockets hold, and the service holds none of it."""
    with FtpOrigin(CONTENT, **{verb: says_for_ever(beginning, more)}) as server:
        server.said_bytes = 0
        url = publish_from(server, max_retries=0)
        before = service.resident_bytes()

        outcome = outcome_of(url, CONTENT)

        assert honest(502) == outcome
        assert 0 == left_open(server)
        assert server.said_bytes < 32 * MIB
        assert service.resident_bytes() - before < 32 * MIB


@pytest.mark.parametrize("verb", ["greeting", "RETR"])
def test_server_that_speaks_a_byte_at_a_time_is_too_slow(publish_from, verb):
    """That it says something is no progress: the budget of the client's request ends it."""
    with FtpOrigin(CONTENT, **{verb: says_for_ever(b"220-h", b"e", 0.1)}) as server:
        server.said_bytes = 0
        url = publish_from(server)

        outcome = outcome_of(url, CONTENT)

        assert honest(504) == outcome
        assert 0 == left_open(server)


def test_wrong_password_is_nobodys_to_see(publish_from, folder, service):
    """The client is told that the origin refuses, and no log or page has the password."""
    with PyftpdServer(folder, "me", PASSWORD) as server:
        url = publish_from(server, username="me", password=WRONG_PASSWORD)

        status, fields, content = get(url)

        assert (502, 0) == (status, server.logins)
        transfer_of(service, urlsplit(url).path, 502)
        with urllib.request.urlopen(f"{service.admin_url}metrics", timeout=10) as response:
            metrics = response.read()
        places = {
            "log": service.log_text(),
            "catalog": catalog_dump(service),
            "answer": str(fields).encode() + content,
            "metrics": metrics,
        }
        secrets = Secrets(folder, "me", wrong=WRONG_PASSWORD, right=PASSWORD)
        assert [] == secrets.seen_in(**places)
