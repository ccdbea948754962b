"""The keys of a config that are about TLS, the same for every type whose origins speak it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from streamer.downloaders.tls import TlsSettings, check_tls
from streamer.errors import ConfigurationError
from streamer.importers.config_values import BOOLEAN, TEXT, Pem, revealed

_VERSION = "1.2 or 1.3"

Version = Annotated[Literal["1.2", "1.3"], BeforeValidator(str)]


class TlsKeys(BaseModel):
    """What a model of a config inherits; a `description` says what is allowed."""

    ca_cert: str | None = Field(default=None, description=TEXT)
    client_cert: str | None = Field(default=None, description=TEXT)
    client_key: Pem | None = Field(default=None, description=TEXT)
    tls_validation: bool = Field(default=True, description=BOOLEAN)
    tls_minimum: Version = Field(default="1.2", description=_VERSION)
    tls_maximum: Version | None = Field(default=None, description=_VERSION)
    tls_ciphers: str | None = Field(default=None, description=TEXT)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        """What only several of these together show; the message begins with one of them."""
        try:
            check_tls(self.tls)
        except ConfigurationError as error:
            name = str(error).partition(":")[0]
            prefix = "tls_" if name in ("minimum", "maximum", "ciphers") else ""
            raise ValueError(f"{prefix}{error}") from None
        return self

    @property
    def tls(self) -> TlsSettings:
        return TlsSettings(
            ca_cert=self.ca_cert,
            client_cert=self.client_cert,
            client_key=revealed(self.client_key),
            validation=self.tls_validation,
            minimum=self.tls_minimum,
            maximum=self.tls_maximum,
            ciphers=self.tls_ciphers,
        )
