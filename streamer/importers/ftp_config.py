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

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from streamer.downloaders.credentials import Origin
from streamer.downloaders.ftp_places import PORTS, Login, Logins, path_of, server_of
from streamer.importers.config_reading import as_stored, read_config_of
from streamer.importers.config_values import (
    BOOLEAN,
    TEXT,
    Count,
    Secret,
    Text,
    check_url,
    revealed,
    split_list,
)
from streamer.importers.limit_keys import LimitKeys
from streamer.importers.tls_keys import TlsKeys


def _check_url(url: str) -> str:
    """As `check_url`; and what is below it has to be a path that can be sent."""
    url = check_url(url, tuple(PORTS))
    try:
        path_of(f"{url.rstrip('/')}/file")
    except ValueError:
        raise ValueError("must not hold an encoded line break, NUL or FF") from None
    return url


def _check_origin(text: str) -> str:
    """Give a server in its one form, with its port."""
    url = _check_url(text)
    if urlsplit(url).path not in ("", "/"):
        raise ValueError("must hold servers and no paths: ftp://HOST or ftps://HOST:PORT")
    return str(server_of(url))


Url = Annotated[str, AfterValidator(_check_url)]
Origins = Annotated[
    tuple[Annotated[str, AfterValidator(_check_origin)], ...], BeforeValidator(split_list)
]


class FtpConfig(TlsKeys, LimitKeys):
    """The download config of type `ftp`, version 1; a `description` says what is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = Field(default=1, description="1")
    url: Url = Field(description=TEXT)

    username: Text | None = Field(default=None, min_length=1, description=TEXT)
    password: Secret | None = Field(default=None, description=TEXT)
    credential_origins: Origins = Field(
        default=(), description="a list of servers such as ftp://b.example or ftps://h:9990"
    )

    explicit_tls: bool = Field(default=False, description=BOOLEAN)

    # Mirrors commonly allow two or three connections from an address, and refuse the next.
    download_concurrency: Count = Field(
        default=4, ge=1, le=1000, description="a whole number from 1 to 1000"
    )

    allow_weak_digests: bool = Field(default=False, description=BOOLEAN)

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        """What only several keys together show; the message begins with one of them."""
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username beside it")
        return self

    @property
    def logins(self) -> Logins:
        trusted = frozenset(map(server_of, (self.url, *self.credential_origins)))
        if self.username is None:
            return Logins(Login(), trusted)
        return Logins(Login(self.username, revealed(self.password) or ""), trusted)

    @property
    def server(self) -> Origin:
        return server_of(self.url)

    def stored(self) -> dict[str, object]:
        """See `config_reading.as_stored`."""
        return as_stored(self)


def read_config(config: Mapping[str, object]) -> FtpConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    return read_config_of("ftp", FtpConfig, config)
