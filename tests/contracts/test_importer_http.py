"""The built-in type `http` under the contract, against an origin on loopback, over TCP and TLS.

The origin wants credentials for everything, so what is fetched was fetched with them.
"""

from __future__ import annotations

import base64
import random

import pytest
from certificates import Authority
from http_type_contract import FIELD, PASSWORD, HttpTypeContract
from importer_contract import ImporterContract, RelayingContract
from origins import Origin, cuts, never_answers, says, serves, serves_chunked
from ranged_origins import serves_by_target, serves_ranges, shifts_range
from token_service import TokenService

from streamer.errors import (
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginTLSFailed,
    OriginUnreachable,
    RedirectRefused,
)
from streamer.importers.http import HttpImporterType
from streamer.importers.http_config import HttpConfig
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing.checks import LEAST_BYTES, Subject
from streamer.testing.relay_checks import RelaySubject

CONTENT = random.Random(1).randbytes(LEAST_BYTES + 123)
AUTHORIZATION = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, AUTHORIZATION, FIELD)
TYPE = HttpImporterType()


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "http", {}), url)


def answers():
    """What the origin has, and how it goes wrong."""
    return serves_by_target(
        {
            "f": answers_head(serves_ranges(CONTENT)),
            "broken": cuts(CONTENT, 3_000_000),
            "reset": cuts(CONTENT, 3_000_000, reset=True),
            "forbidden": serves(b"no", status=b"403 Forbidden"),
            "failing": serves(b"no", status=b"500 Oops"),
            "circle": serves(b"", ("Location: /circle",), b"302 Found"),
            "nonsense": says(b"\x00\x01\x02\r\n\r\n"),
            "closed": says(b""),
            "unsized": serves_chunked(CONTENT),
            "lying": shifts_range(CONTENT),
            "silent": never_answers,
        }
    )


def answers_head(behaviour):
    """The same origin, which sends no content where it is asked for the head alone."""
    head = says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
    return lambda talk: (head if talk.method == b"HEAD" else behaviour)(talk)


def insists(behaviour):
    """An origin that answers 401 to whoever does not show both secrets."""
    wanted = ([f"Basic {AUTHORIZATION}"], [FIELD])

    def insistent(conversation):
        shown = conversation.field("Authorization"), conversation.field("X-Key")
        refuses = serves(b"", status=b"401 Unauthorized")
        return (behaviour if shown == wanted else refuses)(conversation)

    return insistent


def subject_of(reactor, origin, refused, **config):
    whole = {"url": origin.url, "username": "me", "password": PASSWORD, **config}
    stored = TYPE.normalise({**whole, "secret_fields": {"X-Key": FIELD}})
    return Subject(
        reactor=reactor,
        make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
        source=source("f"),
        content=CONTENT,
        refused=(
            (source("missing"), OriginLacksIt),
            (source("forbidden"), OriginForbids),
            (source("failing"), OriginFailing),
            (source("circle"), RedirectRefused),
            (source("nonsense"), OriginNonsense),
            (source("closed"), OriginNonsense),
            *((source(url), error) for url, error in refused),
        ),
        broken=source("broken"),
        unsized=source("unsized"),
        lying=source("lying"),
        silent=source("silent"),
        secrets=SECRETS,
        count_open=lambda: origin.open_connections,
    )


class Relayed(RelayingContract):
    """The same origin, behind a path."""

    @pytest.fixture
    def relayed(self, subject):
        return RelaySubject(subject, "f", "missing")


class TestHttp(ImporterContract, Relayed):
    """Over TCP."""

    @pytest.fixture
    def subject(self, reactor, free_port):
        with Origin(insists(answers())) as origin:
            nobody = f"http://127.0.0.1:{free_port()}/f"
            yield subject_of(reactor, origin, [(nobody, OriginUnreachable)])


# Where the client of the kit's origin has left before the handshake, Python's `ssl` module leaves
# its own socket to the collector (`SSLSocket._create`); the service uses no such socket.
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
class TestHttps(ImporterContract, Relayed):
    """Over TLS, where reading, pausing and closing are other code of Twisted."""

    @pytest.fixture
    def subject(self, reactor, tmp_path):
        authority = Authority()
        tls = authority.server_context(tmp_path)
        with (
            Origin(insists(answers()), tls=tls) as origin,
            Origin(answers(), tls=Authority().server_context(tmp_path)) as stranger,
        ):
            refused = [(f"{stranger.url}f", OriginTLSFailed)]
            yield subject_of(reactor, origin, refused, ca_cert=authority.pem)


class TestOneConnection(ImporterContract):
    """With a single connection, which all downloads have to wait for in turn."""

    @pytest.fixture
    def subject(self, reactor):
        with Origin(insists(answers())) as origin:
            yield subject_of(reactor, origin, [], download_concurrency=1)


class TestJourney(ImporterContract):
    """Where each open takes a redirect, a challenge and a token before there is content."""

    @pytest.fixture
    def subject(self, reactor):
        with TokenService({"me": PASSWORD}, takes_seconds=0.02) as tokens:
            content = tokens.guard(serves_ranges(CONTENT))
            there = serves(b"", ("Location: /there",), b"307 Temporary Redirect")
            with Origin(serves_by_target({"f": there, "there": content})) as origin:
                whole = {"url": origin.url, "username": "me", "password": PASSWORD}
                stored = TYPE.normalise({**whole, "credential_origins": [tokens.url]})
                yield Subject(
                    reactor=reactor,
                    make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
                    source=source("f"),
                    content=CONTENT,
                    refused=((source("missing"), OriginLacksIt),),
                    secrets=(*SECRETS, "a.token-"),
                    count_open=lambda: origin.open_connections,
                )


class TestHttpType(HttpTypeContract):
    """Its configs."""

    @pytest.fixture
    def kind(self):
        return TYPE

    @pytest.fixture
    def model(self):
        return HttpConfig

    @pytest.fixture
    def own(self):
        return {"url": "https://192.0.2.1/repo"}
