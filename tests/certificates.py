"""A certificate authority, and certificates for origins on loopback and for who asks them."""

from __future__ import annotations

import datetime
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

ADDRESSES = ("127.0.0.1", "127.0.0.2")


class Authority:
    """Signs certificates for `ADDRESSES`; `pem` is what a client has to trust."""

    def __init__(self):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority of a test")])
        self._certificate = self._sign(self._name, self._key, is_authority=True)
        self.pem = self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, folder, clients=None, *, is_required=True):
        """A TLS context for a server on loopback; its files go into `folder`.

        With `clients` it asks for a certificate of that authority, and insists if it is required.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(folder))
        if clients is not None:
            context.verify_mode = ssl.CERT_REQUIRED if is_required else ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=clients.pem)
        return context

    def server_file(self, folder):
        """A file in `folder` with the key and the certificate of a server on loopback."""
        file = folder / "server.pem"
        file.write_text("".join(self.issue("an origin of a test")))
        return file

    def issue(self, common_name):
        """A new key and a certificate for it, both PEM; the certificate names `ADDRESSES` too."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = self._sign(name, key, is_authority=False)
        encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret = key.private_bytes(encoding, form, serialization.NoEncryption())
        return secret.decode(), certificate.public_bytes(encoding).decode()

    def _sign(self, name, key, *, is_authority):
        now = datetime.datetime.now(datetime.UTC)
        addresses = [x509.IPAddress(ipaddress.ip_address(each)) for each in ADDRESSES]
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
            .sign(self._key, hashes.SHA256())
        )
