"""The download config of importer type `http`: every key, what is allowed, and what it means.

A pydantic model, stored as versioned JSON. A key that is unknown here is refused rather than
ignored, since a misspelt `password` would otherwise be kept in the clear and unused. So is a
credential in a key that is shown. What can be found out about a config without asking an origin is
found out here, when it is stored. No message repeats a value, which may be secret.

Numbers, sizes, times and booleans may be written as text, since `--set` knows nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from streamer.downloaders.credentials import Origin, origin_of
from streamer.downloaders.proxies import Proxy, check_proxy
from streamer.downloaders.tls import TlsSettings, check_tls
from streamer.errors import ConfigurationError
from streamer.importers.http_values import (
    REVEAL,
    Address,
    Bearer,
    Count,
    Names,
    Origins,
    Pem,
    PlainName,
    ProxyUsername,
    Rate,
    Secret,
    SecretName,
    SecretValue,
    Url,
    Username,
    Value,
    Version,
)
from streamer.settings import TIME_TEXT, Seconds, SecondsOrNever, Size

MAX_FIELDS = 50

_BOOLEAN = "true or false"
_OBJECT = f"an object of at most {MAX_FIELDS} names and values, both text"
_TEXT = "text"
_VERSION = "1.2 or 1.3"


class HttpConfig(BaseModel):
    """The download config of type `http`, version 1; a `description` says what is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = Field(default=1, description="1")
    url: Url = Field(description=_TEXT)

    username: Username | None = Field(default=None, description=_TEXT)
    password: Secret | None = Field(default=None, description=_TEXT)
    bearer_token: Bearer | None = Field(default=None, description=_TEXT)
    fields: dict[PlainName, Value] = Field(default={}, max_length=MAX_FIELDS, description=_OBJECT)
    secret_fields: dict[SecretName, SecretValue] = Field(
        default={}, max_length=MAX_FIELDS, description=_OBJECT
    )
    credential_origins: Origins = Field(
        default=(), description="a list of origins such as https://cdn.example or https://h:8443"
    )
    user_agent: Value | None = Field(default=None, description=_TEXT)

    ca_cert: str | None = Field(default=None, description=_TEXT)
    client_cert: str | None = Field(default=None, description=_TEXT)
    client_key: Pem | None = Field(default=None, description=_TEXT)
    tls_validation: bool = Field(default=True, description=_BOOLEAN)
    tls_minimum: Version = Field(default="1.2", description=_VERSION)
    tls_maximum: Version | None = Field(default=None, description=_VERSION)
    tls_ciphers: str | None = Field(default=None, description=_TEXT)

    proxy_url: str | None = Field(default=None, description=_TEXT)
    proxy_username: ProxyUsername | None = Field(default=None, description=_TEXT)
    proxy_password: Secret | None = Field(default=None, description=_TEXT)
    no_proxy: Names = Field(default=(), description="a list of hosts, addresses and networks")

    download_concurrency: Count = Field(
        default=10, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    # A waiter costs some kilobytes, and the deadline of its exchange ends it: a thousand are a
    # hundred clients with ten connections each, or a second's worth of small files.
    queue: Count = Field(
        default=1000, ge=0, le=100_000, description="a whole number from 0 to 100000"
    )
    rate_limit: Rate | None = Field(
        default=None, ge=0.001, le=100_000, description="requests per second, more than 0"
    )
    bandwidth_limit: Size | None = Field(
        default=None, ge=1024, description="a size such as 10MiB, per second, from 1KiB"
    )
    connect_timeout: Seconds = Field(default=10.0, le=300, description=f"{TIME_TEXT}, at most 5m")
    keep_alive: SecondsOrNever = Field(
        default=30.0, le=3600, description=f"{TIME_TEXT}, at most 1h; or 0"
    )
    max_retries: Count = Field(default=3, ge=0, le=10, description="a whole number from 0 to 10")
    bind_address: Address | None = Field(default=None, description=_TEXT)

    allow_private_redirects: bool = Field(default=False, description=_BOOLEAN)
    allow_weak_digests: bool = Field(default=False, description=_BOOLEAN)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """What only several keys together show; the message begins with one of them."""
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username beside it")
        if self.bearer_token is not None and self.username is not None:
            raise ValueError("bearer_token: cannot be used beside a username")
        has_authorization = any(name.lower() == "authorization" for name in self.secret_fields)
        if has_authorization and (self.username is not None or self.bearer_token is not None):
            raise ValueError(
                "secret_fields: must not hold Authorization beside a username or bearer_token"
            )
        names = [name.lower() for name in (*self.fields, *self.secret_fields)]
        if len(set(names)) < len(names):
            raise ValueError("fields: must not hold a name twice, nor one of secret_fields")
        for key in ("proxy_username", "proxy_password", "no_proxy"):
            if self.proxy_url is None and getattr(self, key) not in (None, ()):
                raise ValueError(f"{key}: needs a proxy_url beside it")
        _check_tls(self.tls)
        if self.proxy is not None:
            _check_proxy(self.proxy)
        return self

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(
            ca_cert=self.ca_cert,
            client_cert=self.client_cert,
            client_key=_revealed(self.client_key),
            validation=self.tls_validation,
            minimum=self.tls_minimum,
            maximum=self.tls_maximum,
            ciphers=self.tls_ciphers,
        )

    @property
    def proxy(self) -> Proxy | None:
        if self.proxy_url is None:
            return None
        password = _revealed(self.proxy_password)
        return Proxy(self.proxy_url, self.proxy_username, password, self.no_proxy)

    @property
    def origin(self) -> Origin:
        return origin_of(self.url)

    def stored(self) -> dict[str, object]:
        """What is stored, secrets in the clear; defaults too, lest they change their meaning."""
        dumped = self.model_dump(mode="json", exclude_none=True, context=REVEAL)
        return {key: value for key, value in dumped.items() if value not in ([], {})}


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()


def _check_tls(settings: TlsSettings) -> None:
    try:
        check_tls(settings)
    except ConfigurationError as error:
        name = str(error).partition(":")[0]
        prefix = "tls_" if name in ("minimum", "maximum", "ciphers") else ""
        raise ValueError(f"{prefix}{error}") from None


def _check_proxy(proxy: Proxy) -> None:
    try:
        check_proxy(proxy)
    except ConfigurationError as error:
        sentence = str(error)
        if not sentence.startswith("no_proxy"):
            sentence = re.sub(r"\b(url|username|password)\b", r"proxy_\1", sentence)
        raise ValueError(sentence) from None


C = TypeVar("C", bound=HttpConfig)


def read_config(config: Mapping[str, object]) -> HttpConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    return read_config_of("http", HttpConfig, config)


def read_config_of(kind: str, model: type[C], config: Mapping[str, object]) -> C:
    """The same for a type that can be told more."""
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigurationError(_sentence(error, kind, model)) from None


def _sentence(error: ValidationError, kind: str, model: type[HttpConfig]) -> str:
    """The first fault, by key; with no input in it, which might be a secret."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    said = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return said
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        known = ", ".join(name for name in model.model_fields if name != "version")
        return f"{key}: is not a setting of type {kind}; there are: {known}"
    if fault["type"] == "missing":
        return f"{key}: must be given"
    if fault["type"] == "value_error" and said:
        return f"{key}: {said}"
    return f"{key}: must be {model.model_fields[key].description}"
