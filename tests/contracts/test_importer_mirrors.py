"""The built-in type `mirrors` under the contract: a list on loopback, and mirrors that it names.

The first mirror of the list is the one that is asked. The list wants credentials, so it was fetched
with them; a mirror that was not named turns away whoever shows them.
"""

from __future__ import annotations

import base64
import random
import threading

import pytest
from http_type_contract import FIELD, PASSWORD, HttpTypeContract
from importer_contract import ImporterContract
from origins import Origin, cuts, never_answers, says, serves, serves_chunked
from ranged_origins import serves_by_target, serves_ranges, shifts_range

from streamer.errors import (
    MirrorListUnusable,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginUnreachable,
)
from streamer.importers.mirrors import (
    MirrorsConfig,
    MirrorsImporterType,
    SourceWithoutMirrors,
)
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing.checks import LEAST_BYTES, Subject

CONTENT = random.Random(6).randbytes(LEAST_BYTES + 321)
AUTHORIZATION = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
SECRETS = (PASSWORD, AUTHORIZATION, FIELD)
TYPE = MirrorsImporterType()


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "mirrors", {}), url)


def answers():
    """What a mirror has, and how it goes wrong."""
    return serves_by_target(
        {
            "pub/f": serves_ranges(CONTENT),
            "pub/unsized": serves_chunked(CONTENT),
            "pub/lying": shifts_range(CONTENT),
            "pub/silent": never_answers,
            "pub/broken": cuts(CONTENT, 3_000_000),
            "pub/forbidden": serves(b"no", status=b"403 Forbidden"),
            "pub/failing": serves(b"no", status=b"500 Oops"),
            "pub/closed": says(b""),
        }
    )


def wants(behaviour):
    """An origin that answers 401 to whoever does not show both secrets."""
    wanted = ([f"Basic {AUTHORIZATION}"], [FIELD])
    return lambda talk: (behaviour if shown(talk) == wanted else REFUSES)(talk)


def shuns(behaviour):
    """An origin that answers 401 to whoever shows it any."""
    return lambda talk: (behaviour if shown(talk) == ([], []) else REFUSES)(talk)


REFUSES = serves(b"", status=b"401 Unauthorized")


def shown(conversation):
    return conversation.field("Authorization"), conversation.field("X-Key")


def listing(*mirrors):
    """A list that names a folder of each mirror, to whoever is let in."""
    return Origin(wants(serves("".join(f"{each.url}pub/\n" for each in mirrors).encode())))


def threads():
    """Those that read lists."""
    return sum(each.name == "mirror list" for each in threading.enumerate())


def subject_of(reactor, lists, mirror, nobody, **config):
    whole = {"url": f"{lists.url}list?repo=f", "username": "me", "password": PASSWORD, **config}
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
            (source("closed"), OriginNonsense),
            (source("/pub/f"), SourceWithoutMirrors),
            (source(f"http://127.0.0.1:{nobody}/f"), OriginUnreachable),
        ),
        broken=source("broken"),
        unsized=source("unsized"),
        lying=source("lying"),
        silent=source("silent"),
        secrets=SECRETS,
        count_open=lambda: lists.open_connections + mirror.open_connections + threads(),
    )


class TestStrangers(ImporterContract):
    """Mirrors that nobody named, which see no secret."""

    @pytest.fixture
    def subject(self, reactor, free_port):
        with Origin(shuns(answers())) as mirror, listing(mirror) as lists:
            yield subject_of(reactor, lists, mirror, free_port(), allow_private_redirects=True)


class TestNamedMirror(ImporterContract):
    """One that the operator named, and that wants the credentials."""

    @pytest.fixture
    def subject(self, reactor, free_port):
        with Origin(wants(answers())) as mirror, listing(mirror) as lists:
            named = [mirror.url.rstrip("/")]
            yield subject_of(reactor, lists, mirror, free_port(), credential_origins=named)


class TestOneConnection(ImporterContract):
    """With a single connection, which the list and all downloads have to wait for in turn."""

    @pytest.fixture
    def subject(self, reactor, free_port):
        with Origin(shuns(answers())) as mirror, listing(mirror) as lists:
            more = {"allow_private_redirects": True, "download_concurrency": 1}
            yield subject_of(reactor, lists, mirror, free_port(), **more)


class TestListAway(ImporterContract):
    """With a list that nobody has, where absolute URLs are all that can be had."""

    @pytest.fixture
    def subject(self, reactor):
        with Origin(answers()) as origin, Origin(serves(b"", status=b"404 Not Found")) as lists:
            stored = TYPE.normalise({"url": f"{lists.url}list"})
            yield Subject(
                reactor=reactor,
                make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
                source=source(f"{origin.url}pub/f"),
                content=CONTENT,
                refused=(
                    (source(f"{origin.url}pub/missing"), OriginLacksIt),
                    (source("f"), MirrorListUnusable),
                ),
                broken=source(f"{origin.url}pub/broken"),
                count_open=lambda: lists.open_connections + origin.open_connections + threads(),
            )


class TestMirrorsType(HttpTypeContract):
    """Its configs, which are those of type `http` and two keys more."""

    @pytest.fixture
    def kind(self):
        return TYPE

    @pytest.fixture
    def model(self):
        return MirrorsConfig

    @pytest.fixture
    def own(self):
        return {
            "url": "https://192.0.2.1/metalink?repo=fedora-44&arch=x86_64",
            "refresh": "30m",
            "list_file": "repodata/repomd.xml",
        }
