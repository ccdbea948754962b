"""What operators set, what is allowed there, and what is stored of it.

What can be found out about a config without asking the origin is found out here, when it is
stored. No message repeats a value, which may be a secret under a misspelt key. Numbers may be
written as text, since `--set KEY=VALUE` knows nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from OpenSSL import crypto
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from streamer.errors import ConfigurationError
from twisted.internet.ssl import Certificate

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_HOST = re.compile(r"[a-z0-9.-]+|\[[0-9a-f:.]+\]")
_VISIBLE = re.compile(r"[\x21-\x7e]*")


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in ("http", "https") or not _VISIBLE.fullmatch(value):
        raise ValueError("must begin with http:// or https://, in visible ASCII")
    if not _HOST.fullmatch(parts.netloc.removesuffix(f":{port}").lower()):
        raise ValueError("must have a host, and no user or password")
    if "?" in value or "#" in value:
        raise ValueError("must have no query or fragment")
    return value.rstrip("/")


def _path(value: str) -> str:
    if not value.startswith("/") or not _VISIBLE.fullmatch(value) or "#" in value:
        raise ValueError("must be a path such as /login, in visible ASCII")
    return value


def _certificates(pem: str) -> list[Certificate]:
    return [Certificate.loadPEM(each) for each in _CERTIFICATE.findall(pem)]


def _pem(value: str) -> str:
    try:
        found = _certificates(value)
    except (crypto.Error, ValueError):
        found = []
    if not found:
        raise ValueError("must hold certificates as PEM")
    return value


class SubscriptionConfig(BaseModel):
    """The config of type `subscription`, version 1."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = 1
    url: Annotated[str, AfterValidator(_url)]
    account: str = Field(min_length=1, max_length=1000)
    secret: str = Field(min_length=1, max_length=1000, repr=False)
    login_path: Annotated[str, AfterValidator(_path)] = "/login"
    key_field: str = Field(default="X-Session-Key", pattern=r"^[A-Za-z0-9-]{1,100}$")
    signature_seconds: int = Field(default=300, ge=1, le=86400)
    download_concurrency: int = Field(default=10, ge=1, le=1000)
    max_retries: int = Field(default=3, ge=0, le=10)
    ca_cert: Annotated[str, AfterValidator(_pem)] | None = None

    @property
    def root(self) -> str:
        """The origin, as it is shown and asked: nothing of this config leads to another."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.lower()}"

    def target_of(self, url: str) -> str:
        """The path of a source: below the URL, or from the origin's root if it begins there."""
        return url if url.startswith("/") else f"{urlsplit(self.url).path}/{url}"

    def certificates(self) -> list[Certificate]:
        """Whom to trust; nobody stands for whom the platform trusts."""
        return _certificates(self.ca_cert or "")


def read_config(config: Mapping[str, object]) -> SubscriptionConfig:
    """Check a config; raises `ConfigurationError`."""
    try:
        return SubscriptionConfig.model_validate(dict(config))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        why = fault["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{fault['loc'][0]}: {why}") from None
