"""Certificates of every kind, for chains, names, and who they are shown to."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Issued:
    """A certificate and its key; `pem` and `key_pem` are their text."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self):
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self):
        return self._key_pem(serialization.NoEncryption())

    def encrypted_key_pem(self, kind=serialization.PrivateFormat.PKCS8):
        return self._key_pem(serialization.BestAvailableEncryption(b"a pass phrase"), kind)

    def _key_pem(self, encryption, kind=serialization.PrivateFormat.PKCS8):
        return self.key.private_bytes(serialization.Encoding.PEM, kind, encryption).decode()

    def issue(self, name, *, alternatives=(), is_authority=False, days=(-1, 1), extensions=()):
        """A certificate below this one, valid between two days from now.

        `alternatives` are DNS names, addresses, and names of other kinds.
        """
        return _issue(name, self, alternatives, is_authority, days, extensions)

    def server_context(self, folder, *chain, clients=None):
        """A TLS context with this certificate, and a chain; it asks for those of `clients`."""
        file = folder / f"{self.certificate.serial_number}.pem"
        file.write_text("".join([self.key_pem, self.pem, *(each.pem for each in chain)]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        if clients is not None:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=clients.pem)
        return context


def authority(name="an authority of a test", *, days=(-1, 1)):
    """A certificate that signed itself and may sign others."""
    return _issue(name, None, (), True, days)


def on_its_own(name, *, alternatives):
    """The certificate of a server that signed itself and may sign nobody else."""
    return _issue(name, None, alternatives, False)


def _issue(name, issuer, alternatives, is_authority, days=(-1, 1), extensions=()):
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
    )
    if alternatives:
        names = x509.SubjectAlternativeName([_alternative(each) for each in alternatives])
        builder = builder.add_extension(names, critical=False)
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    return Issued(builder.sign(key if issuer is None else issuer.key, hashes.SHA256()), key)


def _alternative(name):
    if isinstance(name, x509.GeneralName):
        return name
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
