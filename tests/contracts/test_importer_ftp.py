"""The built-in type `ftp` under the contract, against pyftpdlib on loopback: plain and over TLS.

The server wants a login for everything, so what is fetched was fetched with it.
"""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from certificates import Authority
from ftp_origins import FtpOrigin
from ftp_servers import PyftpdServer
from importer_contract import ImporterContract, ImporterTypeContract

from streamer.errors import (
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginTLSFailed,
    OriginUnreachable,
)
from streamer.importers.ftp import FtpImporterType
from streamer.importers.ftp_config import FtpConfig
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact
from streamer.testing.checks import LEAST_BYTES, Subject

CONTENT = random.Random(4).randbytes(LEAST_BYTES + 321)
PASSWORD = "s3cret-pa55"
TYPE = FtpImporterType()


def source(url):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "ftp", {}), url)


def subject_of(reactor, server, refused=(), **config):
    stored = TYPE.normalise({"url": server.url, "username": "me", "password": PASSWORD, **config})
    return Subject(
        reactor=reactor,
        make_importer=lambda: TYPE.build(stored, Surroundings(reactor, "test")),
        source=source("f"),
        content=CONTENT,
        refused=(
            (source("missing"), OriginLacksIt),
            (source("forbidden/f"), OriginForbids),
            (source("a%0d%0aDELE%20f"), OriginUnreachable),
            *((source(url), error) for url, error in refused),
        ),
        broken=source("broken"),
        secrets=(PASSWORD,),
        count_open=lambda: server.open_connections,
    )


@pytest.fixture
def folder(tmp_path):
    """What the server has."""
    root = tmp_path / "root"
    (root / "forbidden").mkdir(parents=True)
    for name in ("f", "broken", "forbidden/f"):
        (root / name).write_bytes(CONTENT)
    return root


@pytest.fixture
def authority():
    return Authority()


class TestFtp(ImporterContract):
    """Without TLS."""

    @pytest.fixture
    def subject(self, reactor, folder, free_port):
        with (
            PyftpdServer(folder, "me", PASSWORD) as server,
            FtpOrigin(b"", greeting=b"HTTP/1.1 400 Bad Request\r\n\r\n") as other,
            FtpOrigin(CONTENT, SIZE=b"502 no\r\n") as unsized,
            FtpOrigin(b"", greeting=b"") as silent,
        ):
            refused = [
                (f"ftp://127.0.0.1:{free_port()}/f", OriginUnreachable),
                # Strangers are not let in, and nobody else is known at another name.
                (f"ftp://localhost:{server.port}/f", OriginForbids),
                (f"{other.url}f", OriginNonsense),
            ]
            yield replace(
                subject_of(reactor, server, refused),
                unsized=source(f"{unsized.url}f"),
                silent=source(f"{silent.url}f"),
            )


class TestFtpBegunAnew(ImporterContract):
    """With a login for each file."""

    @pytest.fixture
    def subject(self, reactor, folder):
        with PyftpdServer(folder, "me", PASSWORD) as server:
            yield subject_of(reactor, server, keep_alive=0)


class TestOneSession(ImporterContract):
    """With a single session, which all downloads have to wait for in turn."""

    @pytest.fixture
    def subject(self, reactor, folder):
        with PyftpdServer(folder, "me", PASSWORD) as server:
            yield subject_of(reactor, server, download_concurrency=1)


class TestExplicitTls(ImporterContract):
    """With TLS that begins at a command."""

    @pytest.fixture
    def subject(self, reactor, folder, tmp_path, authority):
        file = authority.server_file(tmp_path)
        with (
            PyftpdServer(folder, "me", PASSWORD, tls="explicit", server_file=file) as server,
            FtpOrigin(b"", AUTH=b"502 no\r\n") as without_tls,
        ):
            refused = [(f"{without_tls.url}f", OriginTLSFailed)]
            yield subject_of(reactor, server, refused, explicit_tls=True, ca_cert=authority.pem)


class TestImplicitTls(ImporterContract):
    """With TLS from the start."""

    @pytest.fixture
    def subject(self, reactor, folder, tmp_path, authority):
        file = authority.server_file(tmp_path)
        stranger = Authority().server_context(tmp_path / "root")
        with (
            PyftpdServer(folder, "me", PASSWORD, tls="implicit", server_file=file) as server,
            FtpOrigin(b"", tls=stranger, is_implicit=True) as other,
        ):
            refused = [(f"{other.url}f", OriginTLSFailed)]
            yield subject_of(reactor, server, refused, ca_cert=authority.pem)


class TestFtpType(ImporterTypeContract):
    """Its configs."""

    @pytest.fixture
    def kind(self):
        return TYPE

    @pytest.fixture
    def client(self, authority):
        return authority.issue("a client of a test")

    @pytest.fixture
    def secrets(self, client):
        return (PASSWORD, client[0].strip())

    @pytest.fixture
    def configs(self, authority, client):
        key, certificate = client
        return [
            {
                "version": 1,
                "url": "ftp://192.0.2.1/repo",
                "username": "me",
                "password": PASSWORD,
                "credential_origins": ["ftps://192.0.2.2:9990"],
                "explicit_tls": True,
                "ca_cert": authority.pem,
                "client_cert": certificate,
                "client_key": key,
                "tls_validation": True,
                "tls_minimum": "1.2",
                "tls_maximum": "1.3",
                "tls_ciphers": "HIGH",
                "download_concurrency": 5,
                "queue": 10,
                "bandwidth_limit": "10MiB",
                "connect_timeout": "3s",
                "keep_alive": 30,
                "max_retries": 2,
                "bind_address": "127.0.0.1",
                "allow_weak_digests": True,
            }
        ]

    def test_configs_of_the_contract_set_every_key(self, kind, configs):
        """A key that is added to the type is added here."""
        assert {key for config in configs for key in config} == set(FtpConfig.model_fields)
