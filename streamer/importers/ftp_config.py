"""The download config of importer type `ftp`: every key, what is allowed, and what it means.

As `http_config`, in all that the two have in common: unknown keys are refused, secrets have keys of
their own, what can be found out without asking a server is found out when it is stored, and no
message repeats a value. There is no proxy: those that tunnel bytes do not know which ports FTP will
want next, and those that speak FTP do not verify anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import idna
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from streamer.downloaders.ftp_places import PORTS, Login, Logins, Server, path_of, server_of
from streamer.downloaders.tls import TlsSettings, check_tls
from streamer.errors import ConfigurationError
from streamer.importers.http_values import (
    REVEAL,
    Address,
    Count,
    Pem,
    Secret,
    Username,
    Version,
)
from streamer.settings import TIME_TEXT, Seconds, SecondsOrNever, Size

_BOOLEAN = "true or false"
_TEXT = "text"
_VERSION = "1.2 or 1.3"


def _check_url(url: str) -> str:
    """Leave a URL as it is, but for a name beyond ASCII, which becomes its A-label (RFC 5890)."""
    if not url.isprintable() or " " in url:
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("must be an absolute ftp:// or ftps:// URL") from None
    if parts.scheme not in PORTS or not host:
        raise ValueError("must be an absolute ftp:// or ftps:// URL")
    if "@" in parts.netloc:
        raise ValueError("must not hold credentials: set username and password")
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise ValueError("must not have a query or a fragment")
    if not host.isascii():
        authority = _a_label(host) if port is None else f"{_a_label(host)}:{port}"
        url = f"{parts.scheme}://{authority}{parts.path}"
    if not url.isascii():
        raise ValueError("must be visible ASCII, percent-encoded where needed")
    return _check_server(url)


def _check_server(url: str) -> str:
    try:
        server_of(url)
    except ValueError:
        raise ValueError(
            "must name a host, or an IPv6 address in brackets, and no port 0"
        ) from None
    try:
        path_of(f"{url.rstrip('/')}/file")
    except ValueError:
        raise ValueError("must not hold an encoded line break or NUL") from None
    return url


def _a_label(host: str) -> str:
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise ValueError("must name a host that IDNA 2008 allows") from None


def _check_origin(text: str) -> str:
    """Give a server in its one form, with its port."""
    url = _check_url(text)
    if urlsplit(url).path not in ("", "/"):
        raise ValueError("must hold servers and no paths: ftp://HOST or ftps://HOST:PORT")
    return str(server_of(url))


def _list(value: object) -> object:
    """Read `a, b` as a list."""
    if isinstance(value, str):
        return [item.strip() for item in value.split(",") if item.strip()]
    return value


Url = Annotated[str, AfterValidator(_check_url)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(_list)
]


class FtpConfig(BaseModel):
    """The download config of type `ftp`, version 1; a `description` says what is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = Field(default=1, description="1")
    url: Url = Field(description=_TEXT)

    username: Username | None = Field(default=None, min_length=1, description=_TEXT)
    password: Secret | None = Field(default=None, description=_TEXT)
    credential_origins: Origins = Field(
        default=(), description="a list of servers such as ftp://b.example or ftps://h:9990"
    )

    explicit_tls: bool = Field(default=False, description=_BOOLEAN)
    ca_cert: str | None = Field(default=None, description=_TEXT)
    client_cert: str | None = Field(default=None, description=_TEXT)
    client_key: Pem | None = Field(default=None, description=_TEXT)
    tls_validation: bool = Field(default=True, description=_BOOLEAN)
    tls_minimum: Version = Field(default="1.2", description=_VERSION)
    tls_maximum: Version | None = Field(default=None, description=_VERSION)
    tls_ciphers: str | None = Field(default=None, description=_TEXT)

    # Mirrors commonly allow two or three connections from an address, and refuse the next.
    download_concurrency: Count = Field(
        default=4, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    queue: Count = Field(
        default=1000, ge=0, le=100_000, description="a whole number from 0 to 100000"
    )
    bandwidth_limit: Size | None = Field(
        default=None, ge=1024, description="a size such as 10MiB, per second, from 1KiB"
    )
    connect_timeout: Seconds = Field(default=10.0, le=300, description=f"{TIME_TEXT}, at most 5m")
    # Below what common servers allow (vsftpd, pyftpdlib 300 s; some mirrors 60 s).
    keep_alive: SecondsOrNever = Field(
        default=30.0, le=3600, description=f"{TIME_TEXT}, at most 1h; or 0"
    )
    max_retries: Count = Field(default=3, ge=0, le=10, description="a whole number from 0 to 10")
    bind_address: Address | None = Field(default=None, description=_TEXT)

    allow_weak_digests: bool = Field(default=False, description=_BOOLEAN)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """What only several keys together show; the message begins with one of them."""
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username beside it")
        _check_tls(self.tls)
        return self

    @property
    def tls(self) -> TlsSettings:
        key = self.client_key
        return TlsSettings(
            ca_cert=self.ca_cert,
            client_cert=self.client_cert,
            client_key=None if key is None else key.get_secret_value(),
            validation=self.tls_validation,
            minimum=self.tls_minimum,
            maximum=self.tls_maximum,
            ciphers=self.tls_ciphers,
        )

    @property
    def logins(self) -> Logins:
        trusted = frozenset(map(server_of, (self.url, *self.credential_origins)))
        if self.username is None:
            return Logins(Login(), trusted)
        return Logins(Login(self.username, _revealed(self.password)), trusted)

    @property
    def server(self) -> Server:
        return server_of(self.url)

    def stored(self) -> dict[str, object]:
        """What is stored, secrets in the clear; defaults too, lest they change their meaning."""
        dumped = self.model_dump(mode="json", exclude_none=True, context=REVEAL)
        return {key: value for key, value in dumped.items() if value != []}


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def _check_tls(settings: TlsSettings) -> None:
    try:
        check_tls(settings)
    except ConfigurationError as error:
        name = str(error).partition(":")[0]
        prefix = "tls_" if name in ("minimum", "maximum", "ciphers") else ""
        raise ValueError(f"{prefix}{error}") from None


def read_config(config: Mapping[str, object]) -> FtpConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    try:
        return FtpConfig.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from None


def _sentence(error: ValidationError) -> str:
    """The first fault, by key; with no input in it, which might be a secret."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    said = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return said
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        known = ", ".join(name for name in FtpConfig.model_fields if name != "version")
        return f"{key}: is not a setting of type ftp; there are: {known}"
    if fault["type"] == "missing":
        return f"{key}: must be given"
    if fault["type"] == "value_error" and said:
        return f"{key}: {said}"
    return f"{key}: must be {FtpConfig.model_fields[key].description}"
