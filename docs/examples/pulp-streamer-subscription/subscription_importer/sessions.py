"""The session of one importer: one login for all who need it, until it expires or is refused.

Kept apart from the login itself, which is a function that is passed in, because this is where
downloads could disturb each other. A login belongs to none of those who wait for it: whoever is
cancelled leaves it to the others, and the last one ends it. It has a time limit of its own, since
while new ones keep joining, nobody would be the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from streamer.errors import OriginTimedOut, TokenRefused
from twisted.internet.defer import Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

LOGIN_SECONDS = 20
REFUSED_SECONDS = 60
"""How long a refused login is not tried again: an account may be locked after too many."""

LEEWAY = 0.1
"""The part of its life at the end of which a session is not used: it has to arrive alive."""

MAX_SECONDS = 24 * 3600
MAX_CHARACTERS = 4096
"""What a key may have: it goes into one line of a head."""


class AccountRefused(TokenRefused):
    """The login says that it is not the account, or not its secret."""

    sentence = "the origin does not accept the account: it answers {0} to the login"


@dataclass(frozen=True, slots=True)
class Session:
    """A key, and how many seconds it lives from the login on."""

    key: str = field(repr=False)
    seconds: float


def read_session(content: bytes) -> Session:
    """What a login answered: `{"session": KEY, "expires_in": SECONDS}`; raises `TokenRefused`."""
    try:
        answer = json.loads(content)
        key, seconds = answer["session"], float(answer["expires_in"])
    except (ValueError, RecursionError, LookupError, TypeError):
        # What failed may hold the key, or is it.
        raise TokenRefused("its answer cannot be understood") from None
    is_usable = isinstance(key, str) and key.isascii() and key.isprintable() and " " not in key
    if not is_usable or not 0 < len(key) <= MAX_CHARACTERS or not seconds > 0:
        raise TokenRefused("its answer holds no session that could be used")
    return Session(key, min(seconds, MAX_SECONDS))


class Sessions:
    """At most one session is kept, and at most one login is under way."""

    def __init__(
        self, log_in: Callable[[], Coroutine[Any, Any, Session]], clock: IReactorTime
    ) -> None:
        self._log_in = log_in
        self._clock = clock
        self._kept: Session | None = None
        self._until = 0.0
        self._refusal: AccountRefused | None = None
        self._login: _Login | None = None

    async def current(self, refused: Session | None = None) -> Session:
        """A session, another one than the origin `refused`; may be cancelled.

        Who was refused late, with a session that has been replaced since, costs no login.
        """
        if refused is not None and self._kept is refused:
            self._kept = None
        if self._clock.seconds() < self._until:
            if self._refusal is not None:
                raise AccountRefused(*self._refusal.args)
            if self._kept is not None:
                return self._kept
        if self._login is None:
            self._login = _Login(self._log_in(), self._clock, self._landed)
        return await self._login.join()

    def _landed(self, result: Session | Failure | None, began_at: float) -> None:
        """Keep what came of a login, which is None where everybody left it."""
        self._login = self._kept = self._refusal = None
        if isinstance(result, Session):
            self._kept = result
            self._until = began_at + result.seconds * (1 - LEEWAY)
        elif result is not None and isinstance(result.value, AccountRefused):
            self._refusal = result.value
            self._until = self._clock.seconds() + REFUSED_SECONDS


class _Login:
    """One login, and those who wait for it; it begins with the first of them."""

    def __init__(
        self,
        work: Coroutine[Any, Any, Session],
        clock: IReactorTime,
        landed: Callable[[Session | Failure | None, float], None],
    ) -> None:
        self._work = work
        self._clock = clock
        self._landed = landed
        self._began_at = clock.seconds()
        self._waiting: list[Deferred[Session]] = []
        self._running: Deferred[Session] | None = None

    def join(self) -> Deferred[Session]:
        waiter: Deferred[Session] = Deferred(self._leave)
        self._waiting.append(waiter)
        if self._running is None:
            self._running = Deferred.fromCoroutine(self._work)
            self._running.addTimeout(LOGIN_SECONDS, self._clock)
            self._running.addBoth(self._land)
        return waiter

    def _leave(self, waiter: Deferred[Session]) -> None:
        self._waiting.remove(waiter)
        if not self._waiting and self._running is not None and not self._running.called:
            self._landed(None, self._began_at)
            self._running.cancel()

    def _land(self, result: Session | Failure) -> None:
        """Tell those who are left, one of whom may make another one leave."""
        if isinstance(result, Failure) and result.check(TookTooLong):
            result = Failure(OriginTimedOut())
        if self._waiting:
            self._landed(result, self._began_at)
        while self._waiting:
            self._waiting.pop(0).callback(result)  # a Failure makes it an errback
