"""Sessions that rest between two files, so that not each one costs a login.

One pool belongs to one importer, and within it a session is used for its own server only, so that
no login is ever shared. A session comes here when its last file was sent and acknowledged, which is
the only time at which nothing of it can be left over; any other is closed instead. It leaves when
it is used, when it has rested long enough, when the server closes it or says anything at all, and
when it is in the way: together with those in use there are never more than `most`. One that has
become old does not rest any more, however busy it is.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from streamer.downloaders.credentials import Origin
from streamer.downloaders.ftp_places import Logins
from streamer.downloaders.ftp_session import Dial, Session

MAX_AGE_SECONDS = 900
"""How old a session is at most when a file is asked for. Content resumes its TLS session, which
servers forget: ProFTPD after half an hour. And a name may stand for another address by then."""


class _Resting(NamedTuple):
    server: Origin
    session: Session
    alarm: IDelayedCall


class Sessions:
    """All sessions of one importer; who uses one has a slot, and gives it back."""

    def __init__(
        self, dial: Dial, logins: Logins, clock: IReactorTime, *, most: int, rest_seconds: float
    ) -> None:
        """With `rest_seconds` of 0 each file has a session of its own."""
        self._dial = dial
        self._logins = logins
        self._clock = clock
        self._most = most
        self._rest_seconds = rest_seconds
        self._resting: deque[_Resting] = deque()
        self._used = 0

    def rested(self, server: Origin) -> Session | None:
        """A session that has been used before, the latest one, if there is any."""
        for resting in reversed(self._resting):
            if resting.server == server:
                self._wake(resting)
                self._used += 1
                return resting.session
        return None

    async def begin(self, server: Origin) -> Session:
        """A new session, for which one that rests may have to go."""
        while self._resting and len(self._resting) + self._used >= self._most:
            self._close(self._resting[0])
        self._used += 1
        try:
            return await self._dial.log_in(server, self._logins.at(server))
        except BaseException:
            self._used -= 1
            raise

    def give_back(self, server: Origin, session: Session) -> None:
        """Let a session rest if it can be used again, and close it if not."""
        self._used -= 1
        young_seconds = session.began_at + MAX_AGE_SECONDS - self._clock.seconds()
        seconds = min(self._rest_seconds, young_seconds)
        if not session.is_reusable or seconds <= 0:
            session.drop()
            return
        alarm = self._clock.callLater(seconds, lambda: self._close(resting))
        resting = _Resting(server, session, alarm)
        session.control.on_over = lambda: self._wake(resting)
        self._resting.append(resting)

    def close(self) -> None:
        """Close what rests, and keep nothing from now on."""
        self._rest_seconds = 0
        while self._resting:
            self._close(self._resting[0])

    def _close(self, resting: _Resting) -> None:
        self._wake(resting)
        resting.session.drop()

    def _wake(self, resting: _Resting) -> None:
        """It does not rest any more."""
        resting.session.control.on_over = lambda: None
        self._resting.remove(resting)
        if resting.alarm.active():
            resting.alarm.cancel()
