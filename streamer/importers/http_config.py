"""The download config of importer type `http`: every key, what is allowed, and what it means.

A pydantic model, stored as versioned JSON. A key that is unknown here is refused rather than
ignored, since a misspelt `password` would otherwise be kept in the clear and unused. So is a
credential in a key that is shown. What can be found out about a config without asking an origin is
found out here, when it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from streamer.downloaders.credentials import Origin, origin_of
from streamer.downloaders.proxies import Proxy, check_proxy
from streamer.errors import ConfigurationError
from streamer.importers.config_reading import as_stored, read_config_of
from streamer.importers.config_values import (
    BOOLEAN,
    TEXT,
    Count,
    Names,
    Rate,
    Secret,
    Text,
    revealed,
)
from streamer.importers.http_values import (
    Bearer,
    Origins,
    PlainName,
    SecretName,
    SecretValue,
    Url,
    Username,
    Value,
)
from streamer.importers.limit_keys import LimitKeys
from streamer.importers.tls_keys import TlsKeys

MAX_FIELDS = 50

_OBJECT = f"an object of at most {MAX_FIELDS} names and values, both text"


class HttpConfig(TlsKeys, LimitKeys):
    """The download config of type `http`, version 1; a `description` says what is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = Field(default=1, description="1")
    url: Url = Field(description=TEXT)

    username: Username | None = Field(default=None, description=TEXT)
    password: Secret | None = Field(default=None, description=TEXT)
    bearer_token: Bearer | None = Field(default=None, description=TEXT)
    fields: dict[PlainName, Value] = Field(default={}, max_length=MAX_FIELDS, description=_OBJECT)
    secret_fields: dict[SecretName, SecretValue] = Field(
        default={}, max_length=MAX_FIELDS, description=_OBJECT
    )
    credential_origins: Origins = Field(
        default=(), description="a list of origins such as https://cdn.example or https://h:8443"
    )
    user_agent: Value | None = Field(default=None, description=TEXT)

    proxy_url: str | None = Field(default=None, description=TEXT)
    proxy_username: Text | None = Field(default=None, description=TEXT)
    proxy_password: Secret | None = Field(default=None, description=TEXT)
    no_proxy: Names = Field(default=(), description="a list of hosts, addresses and networks")

    download_concurrency: Count = Field(
        default=10, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    rate_limit: Rate | None = Field(
        default=None, ge=0.001, le=100_000, description="requests per second, more than 0"
    )

    allow_private_redirects: bool = Field(default=False, description=BOOLEAN)
    allow_linked_mirrors: bool = Field(default=False, description=BOOLEAN)
    allow_weak_digests: bool = Field(default=False, description=BOOLEAN)

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
        if self.proxy is not None:
            _check_proxy(self.proxy)
        return self

    @property
    def proxy(self) -> Proxy | None:
        if self.proxy_url is None:
            return None
        password = revealed(self.proxy_password)
        return Proxy(self.proxy_url, self.proxy_username, password, self.no_proxy)

    @property
    def origin(self) -> Origin:
        return origin_of(self.url)

    def stored(self) -> dict[str, object]:
        """See `config_reading.as_stored`."""
        return as_stored(self)


def _check_proxy(proxy: Proxy) -> None:
    try:
        check_proxy(proxy)
    except ConfigurationError as error:
        sentence = str(error)
        if not sentence.startswith("no_proxy"):
            sentence = re.sub(r"\b(url|username|password)\b", r"proxy_\1", sentence)
        raise ValueError(sentence) from None


def read_config(config: Mapping[str, object]) -> HttpConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    return read_config_of("http", HttpConfig, config)
