"""What the downloads of one config share, and how one source is asked for.

Strategy. Each `open` takes a turn, of which there are `download_concurrency`, so that a crowd opens
no crowd of connections; those who wait for the login wait within their turn. The turn belongs to
the download from then on, and is over when that is.

    turn ─ session ─ signed request ─┬─ 401 ─ another session ─ signed request ─ the answer
                                     └─ anything else: the answer

A refused session is replaced once in an `open`; all who were refused get the same new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from streamer.errors import (
    OriginBusy,
    OriginCrowded,
    OriginError,
    OriginFailing,
    OriginForbids,
    TokenRefused,
)
from streamer.model import RemoteArtifact
from streamer.ranges import ByteRange
from twisted.internet.defer import CancelledError, DeferredSemaphore

from subscription_importer.config import SubscriptionConfig
from subscription_importer.contents import Download
from subscription_importer.requests import Origin, refusal
from subscription_importer.sessions import AccountRefused, Session, Sessions, read_session
from subscription_importer.signing import signed

MAX_WAITING = 1000
"""How many may wait for a turn, each for some kilobytes."""


class SubscriptionImporter:
    """One account at one origin."""

    def __init__(
        self,
        config: SubscriptionConfig,
        reactor: Any,
        pseudonym: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives the time of day, by which signatures expire."""
        self.config = config
        self.sessions = Sessions(self._log_in, reactor)
        self._origin = Origin(config, reactor, pseudonym)
        self._turns = DeferredSemaphore(config.download_concurrency)
        self._now = now

    def downloader(self, source: RemoteArtifact) -> SubscriptionDownloader:
        return SubscriptionDownloader(self, self.config.target_of(source.url))

    async def close(self) -> None:
        self._origin.close()

    async def take_turn(self) -> Callable[[], None]:
        """Wait for a turn; gives what ends it.

        Who is cancelled meanwhile has learned nothing of the origin, and says so.
        """
        if len(self._turns.waiting) >= MAX_WAITING:
            raise OriginCrowded(self._turns.limit)
        try:
            await self._turns.acquire()
        except CancelledError:
            raise OriginCrowded(self._turns.limit) from None
        return self._turns.release

    async def ask(self, session: Session, target: str, span: ByteRange | None) -> Download:
        """One signed request within a session."""
        config = self.config
        until = int(self._now()) + config.signature_seconds
        wanted = () if span is None else (("Range", f"bytes={span}"),)
        fields = ((config.key_field, session.key), *wanted)
        return await self._origin.get(signed(target, config.secret, until), fields)

    async def _log_in(self) -> Session:
        config = self.config
        document = {"account": config.account, "secret": config.secret}
        download = await self._origin.post(config.login_path, document)
        content, status = await download.read_short(), download.response.status
        if status == 200:
            return read_session(content)
        error = refusal(download.response)
        if isinstance(error, OriginForbids):
            raise AccountRefused(status)
        if isinstance(error, OriginBusy | OriginFailing):
            raise error
        # Not `error`: a login that is not found, say, is no content that is not there.
        raise TokenRefused(f"it answers {status}")


class SubscriptionDownloader:
    """One file of the origin."""

    def __init__(self, importer: SubscriptionImporter, target: str) -> None:
        self.origin = importer.config.root
        self.retries = importer.config.max_retries
        self._importer = importer
        self._target = target

    async def open(self, span: ByteRange | None = None) -> Download:
        end_turn = await self._importer.take_turn()
        try:
            download = await self._accepted(span)
        except BaseException:
            end_turn()
            raise
        download.when_over(end_turn)
        return download

    async def _accepted(self, span: ByteRange | None) -> Download:
        download = await self._answer(span)
        try:
            _check(download, span)
        except OriginError:
            download.stop()
            raise
        return download

    async def _answer(self, span: ByteRange | None) -> Download:
        session = await self._importer.sessions.current()
        download = await self._importer.ask(session, self._target, span)
        if download.response.status == 401:
            download.stop()
            session = await self._importer.sessions.current(refused=session)
            download = await self._importer.ask(session, self._target, span)
        return download


def _check(download: Download, span: ByteRange | None) -> None:
    """Raise what is wrong with an answer: it is the content, or the part that was asked for."""
    if span is not None and download.response.status == 206:
        download.prove(span)
    elif download.response.status != 200:
        raise refusal(download.response)
