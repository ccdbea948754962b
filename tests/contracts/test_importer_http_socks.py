"""The built-in type `http` under the contract, through a real SOCKS5 server, over TCP and TLS."""

from __future__ import annotations

import random

import pytest
from certificates import Authority
from importer_contract import ImporterContract, RelayingContract
from origins import Origin, cuts, says, serves
from ranged_origins import serves_by_target, serves_ranges
from socks_servers import Microsocks

from streamer.errors import OriginFailing, OriginLacksIt, OriginNonsense, ProxyFailed
from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing.checks import LEAST_BYTES, Subject
from streamer.testing.relay_checks import RelaySubject

CONTENT = random.Random(1).randbytes(LEAST_BYTES + 123)
USER, PASSWORD = "the-user", "s3cret-pa55"
TYPE = HttpImporterType()


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), url)


def answers():
    """What the origin has, and how it goes wrong."""
    return serves_by_target(
        {
            "f": answers_head(serves_ranges(CONTENT)),
            "broken": cuts(CONTENT, 3_000_000),
            "failing": serves(b"no", status=b"500 Oops"),
            "closed": says(b""),
        }
    )


def answers_head(behaviour):
    """The same origin, which sends no content where it is asked for the head alone."""
    head = says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
    return lambda talk: (head if talk.method == b"HEAD" else behaviour)(talk)


def subject_of(reactor, server, origin, nobody, **config):
    stored = TYPE.normalise(
        {
            "url": origin.url_at("localhost"),
            "proxy_username": USER,
            "proxy_password": PASSWORD,
            **config,
        }
    )
    return Subject(
        reactor=reactor,
        make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
        source=source("f"),
        content=CONTENT,
        refused=(
            (source("missing"), OriginLacksIt),
            (source("failing"), OriginFailing),
            (source("closed"), OriginNonsense),
            (source(nobody), ProxyFailed),
        ),
        broken=source("broken"),
        secrets=(PASSWORD,),
        count_open=lambda: origin.open_connections,
    )


class ThroughSocks(ImporterContract, RelayingContract):
    """What both ways have in common."""

    @pytest.fixture
    def server(self, tmp_path):
        with Microsocks(tmp_path, USER, PASSWORD) as server:
            yield server

    @pytest.fixture
    def relayed(self, subject):
        return RelaySubject(subject, "f", "missing")


class TestHttpThroughSocks(ThroughSocks):
    """Over TCP; the server is told names."""

    @pytest.fixture
    def subject(self, reactor, server, free_port):
        nobody = f"http://127.0.0.1:{free_port()}/f"
        with Origin(answers()) as origin:
            yield subject_of(reactor, server, origin, nobody, proxy_url=server.url("socks5h"))


# Where the client of the kit's origin has left before the handshake, Python's `ssl` module leaves
# its own socket to the collector (`SSLSocket._create`); the service uses no such socket.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
class TestHttpsThroughSocks(ThroughSocks):
    """Over TLS; the server is told addresses."""

    @pytest.fixture
    def subject(self, reactor, server, free_port, tmp_path):
        nobody = f"http://127.0.0.1:{free_port()}/f"
        with Origin(answers(), tls=Authority().server_context(tmp_path)) as origin:
            yield subject_of(
                *(reactor, server, origin, nobody),
                proxy_url=server.url("socks5"),
                tls_validation=False,
            )
