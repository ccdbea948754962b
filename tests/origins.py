"""Origins that do exactly what a test says: raw bytes over real sockets, each in a thread.

A behaviour is a function of one `Conversation`; the request's head has been read when it is
called, and the connection is closed when it returns. Nothing here knows HTTP beyond that, so every
lie can be told.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

CHUNK = 64 * 1024
ESTABLISHED = 1
"""The state of a connection in `tcp_info`, whose first byte it is."""


class Conversation:
    """One request at the origin and the connection to answer on."""

    def __init__(self, connection, head):
        self.connection = connection
        self.head = head
        self.method, self.target = head.split(b" ", 2)[:2]

    def field(self, name):
        """The values of a request field, in order."""
        wanted = name.lower().encode()
        lines = [line.split(b":", 1) for line in self.head.split(b"\r\n")[1:] if b":" in line]
        return [value.strip().decode() for key, value in lines if key.lower() == wanted]

    def send(self, content):
        """Send bytes; a peer that is gone is no error."""
        with contextlib.suppress(OSError):
            self.connection.sendall(content)

    def reset(self):
        """Close with RST, as a crashed host or a middle box does."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def wait_until_closed(self, seconds=30):
        """Return whether the peer closed within the time; takes what it sends meanwhile."""
        self.connection.settimeout(seconds)
        try:
            while self.connection.recv(CHUNK):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


class Origin:
    """A listening origin whose `behaviour` may be replaced at any time.

    `most_connections` is how many its peers had open at once at the most. `address` is where it
    listens; `0.0.0.0` makes it an origin of many, since all of 127.0.0.0/8 is this host.
    """

    def __init__(self, behaviour, tls=None, address="127.0.0.1"):
        self.behaviour = behaviour
        self.conversations = []
        self.open_connections = 0
        self.most_connections = 0
        self._tls = tls
        self._lock = threading.Lock()
        self._listener = socket.create_server((address, 0), backlog=1024)
        self.port = self._listener.getsockname()[1]
        self.url = self.url_at("127.0.0.1" if address == "0.0.0.0" else address)
        self._connections = set()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def url_at(self, address):
        """Its URL under another of this host's addresses."""
        return f"{'https' if self._tls else 'http'}://{address}:{self.port}/"

    def stop(self):
        """Refuse from now on, and break what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def requests(self):
        """How many requests have come so far."""
        return len(self.conversations)

    def wait_for_connections(self, count, seconds=20):
        """Wait until exactly `count` connections are open; give how many are."""
        deadline = time.monotonic() + seconds
        while self.open_connections != count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.open_connections

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._connections.add(connection)
            self.open_connections += 1
            established = sum(map(_is_established, self._connections))
            self.most_connections = max(self.most_connections, established)
        try:
            if self._tls is not None:
                # Python's ssl forgets to close a socket that was reset before it is wrapped.
                connection.recv(1, socket.MSG_PEEK)
                connection = self._tls.wrap_socket(connection, server_side=True)
            while (head := self._read_head(connection)) is not None:
                conversation = Conversation(connection, head)
                self.conversations.append(conversation)
                if not self.behaviour(conversation):
                    return
        except OSError:
            pass
        finally:
            with self._lock:
                self._connections.discard(connection)
                self.open_connections -= 1
            connection.close()

    def _read_head(self, connection):
        head = b""
        while b"\r\n\r\n" not in head:
            more = connection.recv(CHUNK)
            if not more:
                return None
            head += more
        return head


def _is_established(connection):
    """Whether the peer has not closed, by the kernel: a thread may yet have to be told."""
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == ESTABLISHED
    except OSError:
        return False


# -- behaviours: each true if the connection may be used again ----------------------------------


def serves(content, fields=(), status=b"200 OK"):
    """The honest origin: Content-Length, all bytes, keep-alive."""

    def behaviour(conversation):
        conversation.send(_head(status, (f"Content-Length: {len(content)}", *fields)))
        _send_slices(conversation, content)
        return True

    return behaviour


def serves_chunked(content, fields=()):
    """An origin that does not say how long its content is."""

    def behaviour(conversation):
        conversation.send(_head(b"200 OK", ("Transfer-Encoding: chunked", *fields)))
        for start in range(0, len(content), CHUNK):
            piece = content[start : start + CHUNK]
            conversation.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        conversation.send(b"0\r\n\r\n")
        return True

    return behaviour


def serves_until_close(content, fields=()):
    """An origin whose content ends with its connection, as HTTP/1.0 has it."""

    def behaviour(conversation):
        conversation.send(_head(b"200 OK", ("Connection: close", *fields)))
        _send_slices(conversation, content)
        return False

    return behaviour


def cuts(content, at, announced=None, reset=False):
    """An origin that announces all of it and breaks off after `at` bytes."""

    def behaviour(conversation):
        length = len(content) if announced is None else announced
        conversation.send(_head(b"200 OK", (f"Content-Length: {length}",)))
        _send_slices(conversation, content[:at])
        if reset:
            conversation.reset()
        return False

    return behaviour


def falls_silent(content, at):
    """An origin that sends `at` bytes and then nothing, with its connection open."""

    def behaviour(conversation):
        conversation.send(_head(b"200 OK", (f"Content-Length: {len(content)}",)))
        _send_slices(conversation, content[:at])
        conversation.wait_until_closed()
        return False

    return behaviour


def says(raw):
    """An origin that answers with these very bytes and closes."""

    def behaviour(conversation):
        conversation.send(raw)
        return False

    return behaviour


def never_answers(conversation):
    """An origin that takes the request and says nothing."""
    conversation.wait_until_closed()
    return False


def flipped(content, at):
    """A copy with one bit other at the position `at`."""
    wrong = bytearray(content)
    wrong[at] ^= 1
    return bytes(wrong)


def _head(status, fields):
    lines = [b"HTTP/1.1 " + status, *(field.encode("latin-1") for field in fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _send_slices(conversation, content):
    for start in range(0, len(content), CHUNK):
        conversation.send(content[start : start + CHUNK])
