"""A SOCKS5 server as operators run it: microsocks, a process of its own on a free port.

It knows one user or none, and its log says what it was asked for: the name or address, and the
port, of each connection that it made for somebody. A `Recorder` before it hears what it is told.
"""

from __future__ import annotations

import re
import socket
import subprocess
import time

from processes import free_port
from twisted.protocols.portforward import ProxyFactory, ProxyServer

STARTING_SECONDS = 30


class Microsocks:
    """A running server; `with` it, `url` says where. `address` is where it listens."""

    def __init__(self, folder, username=None, password=None, address="127.0.0.1"):
        self.address = address
        self.port = free_port()
        self._log_file = folder / "microsocks.log"
        self._command = ["microsocks", "-i", address, "-p", str(self.port)]
        if username is not None:
            self._command += ["-u", username, "-P", password]
        self._process = None

    def url(self, scheme):
        """Its URL, for a proxy that is told names (`socks5h`) or addresses (`socks5`)."""
        return _url(scheme, self.address, self.port)

    def __enter__(self):
        with self._log_file.open("w") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + STARTING_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"microsocks does not listen: {self.log_text()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """End it, and whatever it passes on."""
        self._process.terminate()
        self._process.wait(30)

    def log_text(self):
        """All that it has written."""
        return self._log_file.read_text()

    def asked(self):
        """Host and port of each connection that it made, in order, as it was told them."""
        return re.findall(r"connected to (\S+)", self.log_text())

    def _listens(self):
        try:
            socket.create_connection((self.address, self.port), timeout=5).close()
        except OSError:
            return False
        return True


class Recorder:
    """Passes on to a server; `heard` has what came on each connection, in their order."""

    def __init__(self, reactor, server):
        self.heard = []
        factory = ProxyFactory(server.address, server.port)
        factory.protocol = lambda: _Recording(self)
        self._port = reactor.listenTCP(0, factory, interface="127.0.0.1")

    def url(self, scheme):
        """The URL of the server, by way of this."""
        return _url(scheme, "127.0.0.1", self._port.getHost().port)

    def close(self):
        """Let nobody in any more; a Deferred."""
        return self._port.stopListening()


class _Recording(ProxyServer):
    def __init__(self, recorder):
        self._heard = bytearray()
        recorder.heard.append(self._heard)

    def dataReceived(self, data):
        self._heard += data
        super().dataReceived(data)


def _url(scheme, address, port):
    host = f"[{address}]" if ":" in address else address
    return f"{scheme}://{host}:{port}"
