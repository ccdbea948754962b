"""The origin of these tests: a server on loopback, in threads, that insists on every step.

It calls all of its files gzip, which none is: some do, of what is packed, and then nobody may
unpack it.

What it refuses is what a real one would: no session or an old one with 401, a signature that is
missing, wrong or too old with 403. Its refusals are long, so that whoever does not stop them keeps
a connection. `logins` has the account of each login that was accepted.
"""

from __future__ import annotations

import contextlib
import hmac
import itertools
import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

ACCOUNT = "4711"
SECRET = "s3cret-0f-4711"
SESSION = "s3cret-session"
CHUNK = 64 * 1024
REFUSAL = bytes(5_000_000)


class Store:
    """`files` are contents by path; those in `cut` break off after so many bytes.

    Of those in `unsized` it does not say how long they are, a range of those in `shifted` begins a
    byte later than asked, and about those in `silent` it never says a word. A session is good for
    `session_uses` requests.
    """

    def __init__(
        self, files, tls=None, *, cut=(), unsized=(), shifted=(), silent=(), session_uses=1_000_000
    ):
        self.files = files
        self.cut = dict(cut)
        self.unsized = unsized
        self.shifted = shifted
        self.silent = silent
        self.logins = []
        self.requests = []
        self.codings = []
        self.login_seconds = 0.02
        self.login_status = 200
        self.sessions = {}
        self._session_uses = session_uses
        self.numbers = itertools.count(1)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.store = self
        self._server.tls = tls
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    def count_open(self):
        return self._server.open_connections

    def forget_sessions(self):
        self.sessions.clear()

    def log_in(self, document):
        """The answer to a login: a session, or None."""
        time.sleep(self.login_seconds)
        if document != {"account": ACCOUNT, "secret": SECRET}:
            return None
        session = f"{SESSION}-{next(self.numbers)}"
        self.sessions[session] = self._session_uses
        self.logins.append(document["account"])
        return {"session": session, "expires_in": 600}

    def admits(self, session):
        """Whether a request within a session is heard."""
        left = self.sessions.get(session, 0)
        self.sessions[session] = left - 1
        return left > 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    open_connections = 0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self._lock = threading.Lock()

    def process_request_thread(self, request, client_address):
        with self._lock:
            self.open_connections += 1
        super().process_request_thread(request, client_address)
        with self._lock:
            self.open_connections -= 1

    def finish_request(self, request, client_address):
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        # Where a client is gone by now, `ssl` would forget to close.
        request.recv(1, socket.MSG_PEEK)
        with self.tls.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request, client_address):
        """A client that leaves is no error."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        found = self.server.store.log_in(document) if self.path == "/login" else None
        if found is None:
            self.answer(403)
        else:
            self.answer(self.server.store.login_status, json.dumps(found).encode())

    def do_GET(self):
        store = self.server.store
        store.requests.append(self.path)
        store.codings += self.headers.get_all("Accept-Encoding", [])
        parts = urlsplit(self.path)
        if not store.admits(self.headers["X-Session-Key"]):
            self.answer(401, REFUSAL)
        elif not is_signed(parts):
            self.answer(403, REFUSAL)
        elif parts.path == "/files/moved":
            self.answer(302, REFUSAL, {"Location": "/files/f"})
        elif parts.path in store.silent:
            self.rfile.read(1)
            self.close_connection = True
        elif parts.path not in store.files:
            self.answer(404, REFUSAL)
        else:
            self.send_file(store, parts.path)

    def send_file(self, store, path):
        content, cut = store.files[path], store.cut.get(path)
        if path in store.unsized:
            self.answer(200, content, is_sized=False)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"] or "")
        if asked is None:
            self.answer(200, content, {"Content-Encoding": "gzip"}, cut=cut)
            return
        shift = int(path in store.shifted)
        first, last = int(asked[1]) + shift, min(int(asked[2]) + shift, len(content) - 1)
        fields = {"Content-Range": f"bytes {first}-{last}/{len(content)}"}
        self.answer(206, content[first : last + 1], fields)

    def answer(self, status, content=b"", fields=(), *, cut=None, is_sized=True):
        self.send_response(status)
        for name, value in dict(fields).items():
            self.send_header(name, value)
        if is_sized:
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Set-Cookie", "name=\u00fc")
        self.end_headers()
        self.close_connection = cut is not None or not is_sized
        with contextlib.suppress(OSError):
            for start in range(0, len(content[:cut]), CHUNK):
                self.wfile.write(content[:cut][start : start + CHUNK])

    def log_message(self, *_):
        """Nobody reads it."""


def is_signed(parts):
    """Whether the query allows this path now."""
    query = parse_qs(parts.query)
    [until], [signature] = query.get("expires", ["0"]), query.get("signature", [""])
    message = f"{parts.path}\n{until}".encode()
    expected = hmac.new(SECRET.encode(), message, "sha256").hexdigest()
    return hmac.compare_digest(expected, signature) and time.time() < int(until) < time.time() + 600
