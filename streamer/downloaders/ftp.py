"""Download one artifact over FTP or FTPS: in turn, as whom, on which session.

Strategy. One call of `FtpAccess.open` is one session in use, whatever it takes:

    slot ─┬─ a session that rested ─ retrieve ─┐
          └─ a new one ──────────── retrieve ─┴─ the download

A server may have closed a session while it rested, which shows when it is used; then there is one
new session, and no error. The slot and the session belong to the download from then on, and go back
when its content is over. On every other way out, cancellation included, they go back here.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from streamer.downloaders.credentials import Origin
from streamer.downloaders.faults import origin_errors
from streamer.downloaders.ftp_content import FtpDownload
from streamer.downloaders.ftp_control import HungUp
from streamer.downloaders.ftp_places import path_of, server_of
from streamer.downloaders.ftp_pool import Sessions
from streamer.downloaders.ftp_session import Retrieval, Session
from streamer.downloaders.limits import ByteRate, Slot, Slots
from streamer.downloaders.queueing import Queueing, on_a_slot
from streamer.errors import OriginBusy, OriginProhibited
from streamer.ranges import ByteRange


class FtpDownloader:
    """One source of one artifact."""

    def __init__(self, access: FtpAccess, url: str, retries: int) -> None:
        self.origin = _name(url)
        self.retries = retries
        self._access = access
        self._url = url

    async def open(self, span: ByteRange | None = None) -> FtpDownload:
        """Ask for the content; see `interfaces.Downloader`."""
        try:
            server, path = server_of(self._url), path_of(self._url)
        except ValueError:
            raise OriginProhibited("its URL cannot be used") from None
        return await self._access.open(server, path, span)


class FtpAccess:
    """One importer's way to its servers; shared by its downloads."""

    def __init__(
        self, sessions: Sessions, slots: Slots, rate: ByteRate | None, clock: IReactorTime
    ) -> None:
        self._sessions = sessions
        self._slots = slots
        self._rate = rate
        self._clock = clock

    async def open(self, server: Origin, path: bytes, span: ByteRange | None) -> FtpDownload:
        """Complete when the server has begun to send; raises an `OriginError`."""
        (session, retrieval), slot = await on_a_slot(
            self._slots, Queueing(self._clock), lambda: self._retrieve(server, path, span)
        )
        return FtpDownload(
            session,
            retrieval,
            self._clock,
            self._rate,
            lambda: self._release(server, session, slot),
        )

    def close(self) -> None:
        """Close what is idle."""
        self._sessions.close()

    async def _retrieve(
        self, server: Origin, path: bytes, span: ByteRange | None
    ) -> tuple[Session, Retrieval]:
        with origin_errors():
            session = self._sessions.rested(server)
            if session is not None:
                try:
                    return await self._retrieve_by(session, server, path, span)
                except (HungUp, OriginBusy):
                    """Closed while it rested, as far as anybody can tell."""
            session = await self._sessions.begin(server)
            return await self._retrieve_by(session, server, path, span)

    async def _retrieve_by(
        self, session: Session, server: Origin, path: bytes, span: ByteRange | None
    ) -> tuple[Session, Retrieval]:
        try:
            return session, await session.retrieve(path, span)
        except BaseException:
            self._sessions.give_back(server, session)
            raise

    def _release(self, server: Origin, session: Session, slot: Slot) -> None:
        self._sessions.give_back(server, session)
        slot.release()


def _name(url: str) -> str:
    """A server for operators; nothing else of a URL that cannot be used."""
    try:
        return str(server_of(url))
    except ValueError:
        return "(a URL that cannot be used)"
