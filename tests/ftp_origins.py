"""FTP servers that do exactly what a test says: raw bytes over real sockets, each in a thread.

An `FtpOrigin` is an honest server of one file, but for the answers that a test puts in the place of
its own: bytes, or a function of the `Talk` and of the command's argument. What an answer returns
that is false ends the connection. Nothing of the service is used here.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading

CHUNK = 64 * 1024


class Talk:
    """One control connection at the server."""

    def __init__(self, origin, connection):
        self.origin = origin
        self.wire = connection
        self.position = 0
        self._lines = connection.makefile("rb")
        self._listener = None

    def say(self, raw):
        """Send bytes; a peer that is gone is no error."""
        with contextlib.suppress(OSError):
            self.wire.sendall(raw)
        return True

    def hear(self):
        """The next command and its argument; None at the end."""
        line = self._lines.readline()
        if not line.endswith(b"\r\n"):
            return None
        verb, _, argument = line[:-2].partition(b" ")
        self.origin.commands.append(line[:-2])
        return verb.decode(), argument

    def begin_tls(self):
        """Go on under the TLS of the origin."""
        self.wire = _under_tls(self.origin.tls, self.wire)
        self._lines = self.wire.makefile("rb")

    def listen(self):
        """Wait for a data connection from now on; gives the port."""
        self.close()
        self._listener = socket.create_server(self.origin.address, family=self.origin.family)
        self._listener.settimeout(20)
        return self._listener.getsockname()[1]

    def data_connection(self, *, in_the_clear=False):
        """The data connection that has come, under TLS if the control connection is."""
        listener = self._listener
        if listener is None:
            raise ConnectionAbortedError  # its client is gone, or named no way for it
        connection, _ = listener.accept()
        if self.origin.tls is not None and not in_the_clear:
            connection = _under_tls(self.origin.tls, connection)
        return connection

    def send_content(self, content, *, reset=False, is_torn=False):
        """Send content over the data connection and close that; torn, TLS has no last word."""
        with contextlib.suppress(OSError), self.data_connection() as data:
            for start in range(0, len(content), CHUNK):
                data.sendall(content[start : start + CHUNK])
            if reset:
                data.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self.origin.tls is not None and not is_torn:
                data.unwrap()
        return True

    def close(self):
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()

    def interrupt(self):
        """Break what is open, whatever waits for it."""
        for each in (self._listener, self.wire):
            if each is not None:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def end(self):
        """Close everything."""
        self.close()
        self._lines.close()
        self.wire.close()


class _Closing(ssl.SSLSocket):
    """Python's ssl forgets to close a socket that was reset before it is wrapped."""

    def __del__(self):
        self.close()


def _under_tls(tls, connection):
    tls.sslsocket_class = _Closing
    return tls.wrap_socket(connection, server_side=True)


def _passive(talk):
    host = ",".join(talk.origin.address[0].split("."))
    port = talk.listen()
    return talk.say(f"227 Entering ({host},{port // 256},{port % 256}).\r\n".encode())


def _restart(talk, argument):
    talk.position = int(argument)
    return talk.say(b"350 go on\r\n")


def _retrieve(talk, _):
    talk.say(b"150 here it comes\r\n")
    content, talk.position = talk.origin.content[talk.position :], 0
    talk.send_content(content)
    return talk.say(b"226 that was it\r\n")


def _begin_tls(talk, _):
    talk.say(b"234 go\r\n")
    talk.begin_tls()
    return True


HONEST = {
    "greeting": b"220 hello\r\n",
    "AUTH": _begin_tls,
    "USER": b"331 who says so\r\n",
    "PASS": b"230 hello again\r\n",
    "PBSZ": b"200 well\r\n",
    "PROT": b"200 well\r\n",
    "TYPE": b"200 bytes\r\n",
    "SIZE": lambda talk, _: talk.say(b"213 %d\r\n" % len(talk.origin.content)),
    "EPSV": lambda talk, _: talk.say(b"229 there (|||%d|)\r\n" % talk.listen()),
    "PASV": lambda talk, _: _passive(talk),
    "REST": _restart,
    "RETR": _retrieve,
}


class FtpOrigin:
    """A listening server; `answers` may be changed at any time."""

    def __init__(self, content, *, tls=None, is_implicit=False, address="127.0.0.1", **answers):
        self.content = content
        self.answers = HONEST | answers
        self.tls = tls
        self.commands = []
        self.logins = 0
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.address = (address, 0)
        self._is_implicit = is_implicit
        self._lock = threading.Lock()
        self._talks = set()
        self._listener = socket.create_server(self.address, family=self.family)
        self.port = self._listener.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        self.url = f"{'ftps' if is_implicit else 'ftp'}://{host}:{self.port}/"
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            talks = list(self._talks)
        for talk in talks:
            talk.interrupt()

    def verbs(self):
        """What was asked, without arguments."""
        return [command.split(b" ")[0].decode() for command in self.commands]

    @property
    def open_connections(self):
        """How many control connections are open."""
        return len(self._talks)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        talk = Talk(self, connection)
        with self._lock:
            self._talks.add(talk)
            self.logins += 1
        try:
            self._converse(talk)
        except OSError:
            pass
        finally:
            talk.end()
            with self._lock:
                self._talks.discard(talk)

    def _converse(self, talk):
        if self._is_implicit:
            talk.begin_tls()
        goes_on = self._answer(talk, "greeting", b"")
        while goes_on and (command := talk.hear()) is not None:
            goes_on = self._answer(talk, *command)

    def _answer(self, talk, verb, argument):
        answer = self.answers.get(verb, b"500 what\r\n")
        return talk.say(answer) if isinstance(answer, bytes) else answer(talk, argument)
