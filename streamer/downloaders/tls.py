"""What TLS towards an origin is like: whom to believe, who we are, and how strong it has to be.

Decided for one importer at once, when its config is checked, so that nothing of it can fail later
at a connection but the origin. Kept apart from the connections because all of this is about
certificates and keys, and nothing about where they go.

Refused are a key that is encrypted (OpenSSL would ask for its pass phrase on the terminal of the
service), a key beside another certificate, and a private key where certificates are expected: what
is taken for a certificate may be shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any, cast

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern, IPAddress_ID, IPAddressPattern
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    AcceptableCiphers,
    Certificate,
    CertificateOptions,
    TLSVersion,
    platformTrust,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from streamer.errors import ConfigurationError

VERSIONS = {"1.2": TLSVersion.TLSv1_2, "1.3": TLSVersion.TLSv1_3}
"""RFC 8996 and RFC 9325 section 3.1.1: nothing below 1.2."""

_PEM_END = "-----END CERTIFICATE-----"

Presents = Callable[[str, int], bool]
"""Whether the client certificate is shown to a host, by its name or address, and port."""


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """An importer's TLS; certificates and the key are PEM.

    `ca_cert` replaces the certificates of the system, and each of them is believed, one below
    another authority too. `client_cert` is a chain, the own certificate first. `minimum` and
    `maximum` are keys of `VERSIONS`. `ciphers` is a list as OpenSSL writes it, which knows nothing
    of TLS 1.3: its suites stay as they are.
    """

    ca_cert: str | None = None
    client_cert: str | None = None
    client_key: str | None = field(default=None, repr=False)
    validation: bool = True
    minimum: str = "1.2"
    maximum: str | None = None
    ciphers: str | None = None


def check_tls(settings: TlsSettings) -> None:
    """Raise `ConfigurationError`, with the name of the setting, where these can never work."""
    _strength(settings)
    if settings.ca_cert is not None:
        with _named("ca_cert"):
            read_certificates(settings.ca_cert)
    _identity(settings)


def read_certificates(bundle: str) -> list[Certificate]:
    """All certificates of a PEM bundle (`Certificate.loadPEM` alone reads only the first).

    Raises `ConfigurationError` where there is none, one cannot be read, or a private key is among
    them.
    """
    if "PRIVATE KEY-----" in bundle:
        raise ConfigurationError("it holds a private key, which does not belong here")
    blocks = [part + _PEM_END for part in bundle.split(_PEM_END) if "-----BEGIN" in part]
    if not blocks:
        raise ConfigurationError("it holds no PEM certificate")
    try:
        return [Certificate.loadPEM(block.encode()) for block in blocks]
    except crypto.Error:
        raise ConfigurationError("it holds a certificate that cannot be read") from None


@implementer(IPolicyForHTTPS)
class OriginPolicy:
    """Makes TLS connections by one importer's settings.

    The client certificate is shown where `presents_certificate` says so and nowhere else. A context
    is expensive, so there are two at most: with the certificate and without.
    """

    def __init__(self, settings: TlsSettings, presents_certificate: Presents) -> None:
        """Raise `ConfigurationError` as `check_tls` does."""
        self._presents = presents_certificate
        self._validates = settings.validation
        identity = _identity(settings)
        self._anonymous = _options(settings)
        self._identified = _options(settings, **identity) if identity else None

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        host = hostname.decode("ascii")
        if self._identified is not None and self._presents(host, port):
            return HostConnections(self._identified, host, self._validates)
        return HostConnections(self._anonymous, host, self._validates)


@implementer(IOpenSSLClientConnectionCreator)
class HostConnections:
    """Begins TLS with one host, and believes only a certificate that names it.

    Not `optionsForClientTLS`, which believes a trusted certificate without any subjectAltName, as
    clients have them, to be everybody's: it takes the complaint about that for a fault of its own.
    """

    def __init__(self, options: CertificateOptions, host: str, validates: bool) -> None:
        self._options = options
        self._validates = validates
        is_address = isIPAddress(host) or isIPv6Address(host)
        # RFC 6066 section 3: an address is no name that could be asked for.
        self._name = None if is_address else host.rstrip(".").encode("ascii")
        self._wanted = IPAddress_ID(host) if is_address else DNS_ID(host.rstrip("."))

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        connection = self._options.clientConnectionForTLS(tlsProtocol)
        if self._name is not None:
            connection.set_tlsext_host_name(self._name)
        if self._validates:
            connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, self._verify)
        return connection

    def _verify(
        self, connection: SSL.Connection, certificate: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Add to what OpenSSL says of each certificate of a chain that the first names the host."""
        return bool(ok) and (depth > 0 or self._is_named_by(certificate))

    def _is_named_by(self, certificate: crypto.X509) -> bool:
        try:
            extensions = certificate.to_cryptography().extensions
            names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except Exception:
            # There are none, or they cannot be read: they are not this one.
            return False
        return any(self._is_meant_by(name) for name in names)

    def _is_meant_by(self, name: x509.GeneralName) -> bool:
        """Judge each name alone: one that no host can have says nothing of those beside it."""
        match name:
            case x509.IPAddress(value=IPv4Address() | IPv6Address() as address):
                return self._wanted.verify(IPAddressPattern(address))
            case x509.DNSName(value=text):
                with suppress(CertificateError):
                    return self._wanted.verify(DNSPattern.from_bytes(text.encode()))
        return False


# -- what Twisted's `CertificateOptions` is told ---------------------------------------------------


def _options(settings: TlsSettings, **identity: Any) -> CertificateOptions:
    options = CertificateOptions(**_strength(settings), **_trust(settings), **identity)
    if settings.ca_cert is not None:
        # Whom the operator names is believed, though another authority may have signed it.
        trusted = cast(crypto.X509Store, options.getContext().get_cert_store())
        trusted.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    return options


def _strength(settings: TlsSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"raiseMinimumTo": _version("minimum", settings.minimum)}
    if settings.maximum is not None:
        options["lowerMaximumSecurityTo"] = _version("maximum", settings.maximum)
        if settings.minimum > settings.maximum:
            raise ConfigurationError("minimum: is above the maximum")
    if settings.ciphers is not None:
        options["acceptableCiphers"] = _ciphers(settings.ciphers)
    return options


def _trust(settings: TlsSettings) -> dict[str, Any]:
    if not settings.validation:
        return {"verify": False}
    if settings.ca_cert is None:
        return {"trustRoot": platformTrust()}
    return {"trustRoot": trustRootFromCertificates(read_certificates(settings.ca_cert))}


def _version(name: str, version: str) -> object:
    if version not in VERSIONS:
        raise ConfigurationError(f"{name}: must be one of {', '.join(VERSIONS)}")
    return VERSIONS[version]


def _ciphers(names: str) -> AcceptableCiphers:
    try:
        ciphers: AcceptableCiphers = AcceptableCiphers.fromOpenSSLCipherString(names)
        CertificateOptions(acceptableCiphers=ciphers)
    except (ValueError, SSL.Error):
        raise ConfigurationError("ciphers: OpenSSL here knows none of them") from None
    return ciphers


def _identity(settings: TlsSettings) -> dict[str, Any]:
    """The certificate, its key and the rest of its chain; nothing where there is none."""
    if settings.client_cert is None and settings.client_key is None:
        return {}
    if settings.client_cert is None:
        raise ConfigurationError("client_key: needs a client_cert beside it")
    if settings.client_key is None:
        raise ConfigurationError("client_cert: needs a client_key beside it")
    with _named("client_cert"):
        leaf, *others = [found.original for found in read_certificates(settings.client_cert)]
    with _named("client_key"):
        key = _read_key(settings.client_key)
        if leaf.to_cryptography().public_key() != key.public_key():
            raise ConfigurationError("it does not belong to the first certificate of client_cert")
        return {"certificate": leaf, "privateKey": _for_openssl(key), "extraCertChain": others}


def _read_key(pem: str) -> PrivateKeyTypes:
    # Not OpenSSL's own reader, which would ask whoever sits at the terminal for a pass phrase.
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise ConfigurationError("it is encrypted: store it without a pass phrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("it holds no PEM private key that can be read") from None


def _for_openssl(key: PrivateKeyTypes) -> crypto.PKey:
    try:
        return crypto.PKey.from_cryptography_key(key)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigurationError("keys of its kind are not used in TLS") from None


@contextmanager
def _named(setting: str) -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{setting}: {error}") from None
