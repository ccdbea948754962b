"""The built-in importer type `ftp`: servers that speak FTP, with TLS or without.

It joins what the downloads of one config share: sessions, the login, limits. What may be configured
is in `ftp_config`.
"""

from __future__ import annotations

from collections.abc import Mapping

from twisted.logger import Logger

from streamer.downloaders.ftp import FtpAccess, FtpDownloader
from streamer.downloaders.ftp_pool import Sessions
from streamer.downloaders.ftp_session import Dial
from streamer.downloaders.limits import ByteRate, Slots
from streamer.downloaders.tls import OriginPolicy
from streamer.importers.ftp_config import FtpConfig, read_config
from streamer.importers.joining import join_url
from streamer.interfaces import Surroundings
from streamer.model import RemoteArtifact

_log = Logger()


class FtpImporterType:
    """How `ftp` importers are configured and built."""

    schemes = frozenset({"ftp", "ftps"})
    secret_keys = frozenset({"password", "client_key"})

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        return read_config(config).stored()

    def build(self, config: Mapping[str, object], surroundings: Surroundings) -> FtpImporter:
        return FtpImporter(read_config(config), surroundings)

    def warnings(self, config: Mapping[str, object]) -> list[str]:
        """What an operator should hear of a config that is accepted, a sentence each."""
        return _warnings(read_config(config))


def _warnings(config: FtpConfig) -> list[str]:
    found = []
    if not config.tls_validation:
        found.append(
            "tls_validation is off: whoever is on the way may pose as the server,"
            " and read what it is shown"
        )
    is_open = not config.explicit_tls and any(
        server.scheme == "ftp" for server in config.logins.trusted
    )
    if config.username is not None and is_open:
        found.append(
            "credentials are sent over ftp without TLS: whoever is on the way can read them"
        )
    return found


class FtpImporter:
    """What the downloads of one config share."""

    def __init__(self, config: FtpConfig, surroundings: Surroundings) -> None:
        if not config.tls_validation:
            _log.warn("the TLS of servers is not verified for {server}", server=str(config.server))
        clock = surroundings.reactor
        logins = config.logins
        shown_to = {(server.host, server.port) for server in logins.trusted}
        dial = Dial(
            clock,
            OriginPolicy(config.tls, lambda host, port: (host, port) in shown_to),
            seconds=config.connect_timeout,
            explicit_tls=config.explicit_tls,
            bind_address=config.bind_address,
        )
        sessions = Sessions(
            dial,
            logins,
            clock,
            most=config.download_concurrency,
            rest_seconds=config.keep_alive,
        )
        limit = config.bandwidth_limit
        self._url = config.url
        self._retries = config.max_retries
        self._access = FtpAccess(
            sessions,
            Slots(config.download_concurrency, config.queue, clock),
            None if limit is None else ByteRate(limit, clock),
            clock,
        )

    def downloader(self, source: RemoteArtifact) -> FtpDownloader:
        return FtpDownloader(self._access, join_url(self._url, source.url), self._retries)

    async def close(self) -> None:
        self._access.close()
