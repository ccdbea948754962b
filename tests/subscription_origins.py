"""An origin that sells subscriptions: a login, its key in each request, and signed targets.

It checks what docs/examples/pulp-streamer-subscription says it sends, and was written from that
text and not from the package. What is wrong is refused, and remembered in `refused`.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import threading
import time

from origins import Origin, serves
from ranged_origins import serves_ranges

KEY_FIELD = "X-Session-Key"


class SubscriptionOrigin:
    """`contents` by path, for one account; `login_seconds` is how long a login takes."""

    def __init__(self, account, secret, contents, login_seconds=0.1):
        self.logins = 0
        self.refused = []
        self.keys = []
        self._account = {"account": account, "secret": secret}
        self._secret = secret.encode()
        self._contents = contents
        self._login_seconds = login_seconds
        self._numbers = itertools.count(1)
        self._valid = set()
        self._lock = threading.Lock()
        self._origin = Origin(self._answer)

    def __enter__(self):
        self._origin.__enter__()
        return self

    def __exit__(self, *_):
        self._origin.stop()

    @property
    def url(self):
        return self._origin.url

    @property
    def conversations(self):
        """Every request, the logins among them."""
        return self._origin.conversations

    @property
    def open_connections(self):
        return self._origin.open_connections

    def wait_for_connections_at_most(self, count, seconds=20):
        """Whether no more than these are open, soon: idle ones are closed meanwhile, too."""
        deadline = time.monotonic() + seconds
        while self.open_connections > count and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.open_connections <= count

    def forget(self):
        """Let all sessions expire."""
        with self._lock:
            self._valid.clear()

    def _answer(self, conversation):
        path, _, query = conversation.target.decode().partition("?")
        if path == "/login":
            return self._log_in(conversation)
        if conversation.field(KEY_FIELD)[-1:] not in [[key] for key in self._valid]:
            return self._refuse(conversation, "session", b"401 Unauthorized")
        if not self._is_signed(path, query):
            return self._refuse(conversation, "signature", b"403 Forbidden")
        if path not in self._contents:
            return self._refuse(conversation, "path", b"404 Not Found")
        return serves_ranges(self._contents[path])(conversation)

    def _log_in(self, conversation):
        time.sleep(self._login_seconds)
        if conversation.method != b"POST" or _document(conversation) != self._account:
            return self._refuse(conversation, "login", b"403 Forbidden")
        key = f"session-key-number-{next(self._numbers)}"
        with self._lock:
            self.logins += 1
            self.keys.append(key)
            self._valid.add(key)
        answer = json.dumps({"session": key, "expires_in": 3600}).encode()
        return serves(answer, ("Content-Type: application/json",))(conversation)

    def _is_signed(self, path, query):
        words = dict(word.split("=", 1) for word in query.split("&") if "=" in word)
        until = words.get("expires", "")
        message = f"{path}\n{until}".encode()
        expected = hmac.new(self._secret, message, hashlib.sha256).hexdigest()
        is_in_time = until.isdecimal() and 0 < int(until) - time.time() <= 300
        return is_in_time and words.get("signature") == expected

    def _refuse(self, conversation, why, status):
        with self._lock:
            self.refused.append(why)
        return serves(b"", status=status)(conversation)


def _document(conversation):
    """The content of a request, as JSON."""
    content = conversation.head.partition(b"\r\n\r\n")[2]
    length = int(conversation.field("Content-Length")[0])
    while len(content) < length:
        content += conversation.connection.recv(length)
    return json.loads(content)
