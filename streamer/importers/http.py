"""The built-in importer type `http`: origins that speak HTTP or HTTPS.

Its config is a pydantic model, stored as versioned JSON. A key that is unknown here is refused
rather than ignored, since a misspelt `password` would otherwise be kept in the clear and unused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationError,
)

from streamer.downloaders.connections import make_agent, make_pool, read_certificates
from streamer.downloaders.http import HttpDownloader, basic_authorization
from streamer.errors import ConfigurationError
from streamer.fields import origin_request_fields
from streamer.importers import Surroundings
from streamer.model import Fields, RemoteArtifact

_REVEAL = {"reveal": True}
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _dump_secret(secret: SecretStr, info: SerializationInfo) -> str:
    # Without this a SecretStr is silently stored as asterisks.
    return secret.get_secret_value() if info.context == _REVEAL else str(secret)


Secret = Annotated[SecretStr, PlainSerializer(_dump_secret)]


def _check_url(url: str) -> str:
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an absolute http:// or https:// URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: set username and password")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    if parts.port == 0:
        raise ValueError("must not name port 0")
    return url


def _check_certificates(bundle: str) -> str:
    try:
        read_certificates(bundle)
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    return bundle


class HttpConfig(BaseModel):
    """The download config of type `http`, version 1; times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = 1
    url: Annotated[str, AfterValidator(_check_url)]
    username: str | None = None
    password: Secret | None = None
    ca_cert: Annotated[str, AfterValidator(_check_certificates)] | None = None
    connect_timeout: Annotated[float, Field(gt=0, le=300)] = 10.0
    allow_weak_digests: bool = False


class HttpImporterType:
    """How `http` importers are configured and built."""

    schemes = frozenset({"http", "https"})
    secret_keys = frozenset({"password"})

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        checked = _parse(config)
        if checked.password is not None and checked.username is None:
            raise ConfigurationError("password: needs a username beside it")
        return checked.model_dump(mode="json", exclude_none=True, context=_REVEAL)

    def build(self, config: Mapping[str, object], surroundings: Surroundings) -> HttpImporter:
        return HttpImporter(_parse(config), surroundings)


def _parse(config: Mapping[str, object]) -> HttpConfig:
    try:
        return HttpConfig.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """The first fault, by key; with no input in it, which might be a secret."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = str(fault["loc"][0]) if fault["loc"] else "config"
    if fault["type"] == "extra_forbidden":
        known = ", ".join(name for name in HttpConfig.model_fields if name != "version")
        return f"{key}: is not a setting of type http; there are: {known}"
    if fault["type"] == "missing":
        return f"{key}: must be given"
    return f"{key}: {fault['msg'].removeprefix('Value error, ')}"


class HttpImporter:
    """One origin's connections and credentials, shared by the downloads of one config."""

    def __init__(self, config: HttpConfig, surroundings: Surroundings) -> None:
        reactor = self._reactor = surroundings.reactor
        self._url = config.url
        self._pool = make_pool(reactor)
        self._agent = make_agent(reactor, self._pool, config.ca_cert, config.connect_timeout)
        self._fields = origin_request_fields(surroundings.pseudonym)
        self._authorization = _authorization(config)

    def downloader(self, source: RemoteArtifact) -> HttpDownloader:
        url = join_url(self._url, source.url)
        # Credentials go to the importer's own origin and nowhere else (invariant 6).
        credentials = self._authorization if _origin(url) == _origin(self._url) else ()
        return HttpDownloader(self._agent, url, self._fields + credentials, self._reactor)

    async def close(self) -> None:
        await self._pool.closeCachedConnections()


def _authorization(config: HttpConfig) -> Fields:
    if config.username is None:
        return ()
    password = config.password.get_secret_value() if config.password is not None else ""
    return basic_authorization(config.username, password)


def join_url(base: str, url: str) -> str:
    """Put a source's URL below an importer's, byte for byte as both were written.

    Not `urljoin`, which would take `libc-1:2.3.deb` for a URL of scheme `libc-1` and drop the last
    segment of a base without a slash.
    """
    if _ABSOLUTE.match(url):
        return url
    if url.startswith("/"):
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{url}"
    return f"{base.rstrip('/')}/{url}"


def _origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port (RFC 9110 section 4.3.1), the default port filled in."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
