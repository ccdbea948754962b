"""The built-in importer type `http`: origins that speak HTTP or HTTPS.

It joins what the downloads of one config share: connections, credentials, tokens, limits. What may
be configured is in `http_config`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from twisted.logger import Logger

from streamer.downloaders.access import Access, Limits
from streamer.downloaders.connections import Connections
from streamer.downloaders.credentials import Credentials, basic, origin_of
from streamer.downloaders.http import HttpDownloader, HttpRelayer
from streamer.downloaders.learned import LearnedMirrors
from streamer.downloaders.limits import ByteRate, RequestRate, Slots
from streamer.fields import origin_request_fields
from streamer.importers.http_config import HttpConfig, read_config
from streamer.importers.joining import join_below, join_url
from streamer.interfaces import Surroundings
from streamer.model import Fields, RemoteArtifact

_log = Logger()


class HttpImporterType:
    """How `http` importers are configured and built."""

    schemes = frozenset({"http", "https"})
    can_relay = True
    secret_keys = frozenset(
        {"password", "bearer_token", "secret_fields", "client_key", "proxy_password"}
    )
    object_keys = frozenset({"fields", "secret_fields"})

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        return read_config(config).stored()

    def build(
        self, config: Mapping[str, object], surroundings: Surroundings
    ) -> HttpImporter | MirroredHttpImporter:
        read = read_config(config)
        importer = HttpImporter(read, surroundings)
        return MirroredHttpImporter(importer) if read.allow_linked_mirrors else importer

    def warnings(self, config: Mapping[str, object]) -> list[str]:
        """What an operator should hear of a config that is accepted, a sentence each."""
        return warnings_of(read_config(config))


def warnings_of(config: HttpConfig) -> list[str]:
    found = []
    if not config.tls_validation:
        found.append(
            "tls_validation is off: whoever is on the way may pose as the origin,"
            " and read what it is shown"
        )
    has_secret = config.username or config.bearer_token or config.secret_fields
    trusted = (config.url, *config.credential_origins)
    if has_secret and any(origin_of(url).scheme == "http" for url in trusted):
        found.append("credentials are sent over http: whoever is on the way can read them")
    if config.allow_linked_mirrors and config.allow_weak_digests:
        found.append("SHA-1 or MD5 alone may have to vouch for mirrors that an origin names")
    return found


class HttpImporter:
    """What the downloads of one config share."""

    def __init__(
        self,
        config: HttpConfig,
        surroundings: Surroundings,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives the time of day, which a Retry-After may name."""
        if not config.tls_validation:
            _log.warn("the TLS of origins is not verified for {origin}", origin=str(config.origin))
        clock = surroundings.reactor
        credentials = _credentials(config, surroundings.pseudonym)
        self._url = config.url
        self._retries = config.max_retries
        self._now = now
        self._connections = Connections(
            clock,
            config.tls,
            config.proxy,
            connect_seconds=config.connect_timeout,
            is_trusted=credentials.is_trusted,
            allow_private=config.allow_private_redirects,
            persistent_per_host=config.download_concurrency if config.keep_alive else 0,
            cached_seconds=config.keep_alive,
            bind_address=config.bind_address,
        )
        limits = Limits(
            Slots(config.download_concurrency, config.queue, clock),
            None if config.rate_limit is None else RequestRate(config.rate_limit, clock),
            None if config.bandwidth_limit is None else ByteRate(config.bandwidth_limit, clock),
        )
        self._learned = LearnedMirrors(clock.seconds) if config.allow_linked_mirrors else None
        self._access = Access(self._connections, credentials, limits, clock, self._learned)

    def downloader(self, source: RemoteArtifact) -> HttpDownloader:
        return self.downloader_for(join_url(self._url, source.url))

    def downloader_for(self, url: str, *, is_learned: bool = False) -> HttpDownloader:
        """The same for a URL; `is_learned` where no operator wrote it."""
        return HttpDownloader(self._access, url, self._now, self._retries, is_learned=is_learned)

    def places(self, source: RemoteArtifact) -> Sequence[HttpDownloader]:
        """The source's own place, and the mirrors that its origin has named lately, if allowed."""
        url = join_url(self._url, source.url)
        named = () if self._learned is None else self._learned.of(url)
        mirrors = [self.downloader_for(each, is_learned=True) for each in named]
        return [self.downloader_for(url), *mirrors]

    def relayer(self, path: str) -> HttpRelayer:
        """See `interfaces.RelayingImporter`; raises `ValueError` where a path would lead out."""
        url = join_below(self._url, path)
        return HttpRelayer(self._access, url, self._now, self._retries)

    async def close(self) -> None:
        await self._connections.close()


class MirroredHttpImporter:
    """The same where origins may name mirrors, so that a source may have several places."""

    def __init__(self, http: HttpImporter) -> None:
        self._http = http
        self.relayer = http.relayer
        self.close = http.close

    async def downloaders(self, source: RemoteArtifact) -> Sequence[HttpDownloader]:
        """See `interfaces.MirroringImporter`; completes at once."""
        return self._http.places(source)


def _credentials(config: HttpConfig, pseudonym: str) -> Credentials:
    secrets = config.secret_fields.items()
    return Credentials(
        own=config.origin,
        further=frozenset(origin_of(origin) for origin in config.credential_origins),
        authorization=_authorization(config),
        secret_fields=tuple((name, value.get_secret_value()) for name, value in secrets),
        fields=(*_own_fields(config, pseudonym), *config.fields.items()),
    )


def _authorization(config: HttpConfig) -> str | None:
    if config.bearer_token is not None:
        return f"Bearer {config.bearer_token.get_secret_value()}"
    if config.username is None:
        return None
    password = config.password.get_secret_value() if config.password is not None else ""
    return basic(config.username, password)


def _own_fields(config: HttpConfig, pseudonym: str) -> Fields:
    """What every request says, by the name that the operator chose for the user agent."""
    fields = origin_request_fields(pseudonym)
    if config.user_agent is None:
        return fields
    named = dict(fields) | {"User-Agent": config.user_agent}
    return tuple(named.items())
