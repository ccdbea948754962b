"""A certificate authority for origins on loopback and for who asks them, in PEM."""

from __future__ import annotations

import ssl

from chains import authority

ADDRESSES = ("127.0.0.1", "127.0.0.2")


class Authority:
    """Signs certificates for `ADDRESSES`; `pem` is what a client has to trust."""

    def __init__(self):
        self._root = authority()
        self.pem = self._root.pem

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
        issued = self._root.issue(common_name, alternatives=ADDRESSES)
        return issued.key_pem, issued.pem
