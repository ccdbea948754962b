"""An origin that wants tokens, and the service that gives them: the dance of container registries.

The origin answers 401 and names the service as the realm of its challenge; the service gives a
token for the user whose Basic credentials it is shown, or for nobody where there are none. A token
names its user, so that the origin can tell whose a request was; `forget` is how it expires.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
import time
from urllib.parse import parse_qs, urlsplit

from origins import Origin, serves

NOBODY = "nobody"
SERVICE = "the registry of a test"
SCOPE = "repository:all:pull"


class TokenService:
    """The service; `guard` makes an origin's behaviour want its tokens.

    `users` maps names to passwords. It takes its time, so that many can ask at once. `asked` has
    the user and the query of every request for a token, `refusals` counts those that were refused,
    and `challenges` the requests that the origin sent here.
    """

    def __init__(self, users, tls=None, takes_seconds=0.2, expires_seconds=3600):
        self.asked = []
        self.refusals = 0
        self.challenges = 0
        self.expires_seconds = expires_seconds
        self._users = {_basic(*pair): pair[0] for pair in users.items()}
        self._takes_seconds = takes_seconds
        self._numbers = itertools.count(1)
        self._tokens = {}
        self._lock = threading.Lock()
        self._origin = Origin(self._answer, tls=tls)

    def __enter__(self):
        self._origin.__enter__()
        return self

    def __exit__(self, *_):
        self._origin.stop()

    @property
    def url(self):
        """Its origin, which may be among an importer's `credential_origins`."""
        return self._origin.url.rstrip("/")

    @property
    def conversations(self):
        """Every request that it got, as its origin has them."""
        return self._origin.conversations

    def forget(self):
        """Take no token any more that was given until now."""
        with self._lock:
            self._tokens.clear()

    def user_of(self, conversation):
        """Whose token a request to the origin bears; None if none that is good."""
        fields = conversation.field("Authorization")
        with self._lock:
            user, until = self._tokens.get(fields[0] if len(fields) == 1 else None, (None, 0))
        return user if time.monotonic() < until else None

    def guard(self, behaviour):
        """The same origin, for those alone who have a token."""

        def guarded(conversation):
            if self.user_of(conversation) is not None:
                return behaviour(conversation)
            with self._lock:
                self.challenges += 1
            realm = f'Bearer realm="{self.url}/token",service="{SERVICE}",scope="{SCOPE}"'
            challenge = (f"WWW-Authenticate: {realm}",)
            return serves(b"a token is wanted", challenge, b"401 Unauthorized")(conversation)

        return guarded

    def _answer(self, conversation):
        time.sleep(self._takes_seconds)
        shown = conversation.field("Authorization")
        user = self._users.get(shown[0]) if shown else NOBODY
        if user is None:
            self.refusals += 1
            return serves(b"not you", status=b"401 Unauthorized")(conversation)
        query = parse_qs(urlsplit(conversation.target.decode()).query)
        return serves(self._token_for(user, query), ("Content-Type: application/json",))(
            conversation
        )

    def _token_for(self, user, query):
        with self._lock:
            token = f"a.token-{next(self._numbers)}.of_{user}"
            until = time.monotonic() + self.expires_seconds
            self._tokens[f"Bearer {token}"] = (user, until)
            self.asked.append((user, query))
        return json.dumps({"token": token, "expires_in": self.expires_seconds}).encode()


def _basic(username, password):
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
