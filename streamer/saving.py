"""Content into a file or a stream, verified, without a client.

Strategy. The same supply, pump and verifier as for a client; what differs is what may be done after
a failure. What a target has from an earlier time is digested first and then gone on with, under the
one running digest, so an interrupted save costs no byte twice. A target that can forget what it has
is begun anew where that proves to be wrong: once with all origins as if nothing had been asked of
them, if it was what it had kept that may be at fault; else with whoever is left to be asked.

With a `Verification` it learns the pieces of what it saves. Where they are known, and the target
has nothing yet, only proven bytes are written, and a wrong piece is no reason to begin anew.

Separate from the command that fetches, and free of files, processes and reactors: whoever has an
artifact, a supply and a clock can save, and as many at once as they like. It refuses to go on with
content of unknown size, for which there is no total that the rest of an origin could be held
against.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from streamer.errors import (
    ContentMismatch,
    DigestMismatch,
    OperationRefused,
    OriginError,
    OriginRefused,
    StreamerError,
)
from streamer.fetch import Fetch
from streamer.interfaces import Download
from streamer.model import Artifact, Digest
from streamer.opening import Opened
from streamer.ranges import ByteRange
from streamer.supply import Supply
from streamer.verification import Verification
from streamer.verify import ContentVerifier, Verifier

MAX_RENEWALS = 5
"""How often origins are asked for all of it once more, after content that was no use."""

SLOW_WRITE_SECONDS = 1.0
"""From here on a write has kept the reactor from hearing the origin."""


class Target(Protocol):
    """Where content goes. Its methods raise a `StreamerError` where that fails.

    They may block, and with them the reactor. A target never pauses its origin.
    """

    def kept(self) -> Iterable[bytes]:
        """What it has from an earlier time, in pieces; it is able to forget that."""

    def write(self, content: bytes) -> None:
        """Take the next bytes, which are within the promised size and not yet proven right."""

    def start_over(self) -> bool:
        """Forget everything; False, and nothing is changed, where that is not possible any more."""

    async def finish(self) -> None:
        """Everything was written and is right; returns when it is safe."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What was saved: its size in bytes, and the digests that were computed over all of it.

    The first digest is the one that was verified, by itself or by the table learned under it.
    `kept_bytes` of the content the target had already.
    """

    size: int
    digests: tuple[Digest, ...]
    kept_bytes: int


class Saving:
    """One artifact on its way into one target; the reader of each of its fetches.

    A supply's time begins when it is made, so one is made when origins have to be asked.
    `algorithms` are digested beside the one that is verified. `on_checked` hears how far into what
    the target kept the digest has come, `on_written` how much the target has: less than before,
    where it began anew.
    """

    def __init__(
        self,
        artifact: Artifact,
        target: Target,
        make_supply: Callable[[], Awaitable[Supply]],
        *,
        clock: IReactorTime,
        idle_seconds: float,
        verification: Verification | None = None,
        algorithms: Iterable[str] = (),
        on_checked: Callable[[int], None] = lambda position: None,
        on_written: Callable[[int], None] = lambda position: None,
    ) -> None:
        self._artifact = artifact
        self._target = target
        self._make_supply = make_supply
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._verification = verification
        self._algorithms = tuple(algorithms)
        self._on_checked = on_checked
        self._on_written = on_written
        self._account = self._account_by_digest()
        self._kept_bytes = 0
        self._renewals = 0
        self._fetch: Fetch | None = None

    async def run(self) -> Saved:
        """Fill the target; returns when it has all of the content, verified. Called once.

        Raises `NoOriginServed` or `ImporterBroken` where nobody serves it, and what the target
        raises. What the target has by then, also when this is cancelled, is right as far as
        anybody knows.
        """
        await self._check_kept()
        if not self._account.proves_itself():
            await self._fill()
        await self._target.finish()
        return Saved(self._account.position, self._account.digests(), self._kept_bytes)

    async def _check_kept(self) -> None:
        """Digest what the target has, one piece in each turn of the reactor."""
        if self._artifact.size is None:
            self._begin_anew()
            return
        with suppress(ContentMismatch):
            for piece in self._target.kept():
                self._account.update(piece)
                self._on_checked(self._account.position)
                await deferLater(self._clock, 0)
        self._kept_bytes = self._account.position
        if self._kept_bytes >= self._artifact.size and not self._account.proves_itself():
            self._begin_anew()

    async def _fill(self) -> None:
        await self._use_table()
        supply = await self._make_supply()
        while (opened := await self._opened(supply)) is not None:
            try:
                await self._take(supply, opened.download)
            except OriginError as failure:
                if self._account.is_wrong and self._kept_bytes:
                    # It may be what was kept that is wrong, and then no origin is to blame.
                    supply = await self._make_supply()
                else:
                    supply.lost(failure)
                if not self._may_go_on():
                    if not self._begin_anew():
                        raise supply.verdict() from failure
                    self._grant_time(supply)
            else:
                supply.served()
                return
        raise supply.verdict()

    async def _opened(self, supply: Supply) -> Opened | None:
        """Ask for what is missing."""
        position, size = self._account.position, self._artifact.size
        if size is None or not position:
            return await supply.opened()
        return await supply.opened_rest(ByteRange(position, size - 1))

    async def _take(self, supply: Supply, download: Download) -> None:
        if self._account.position and download.response.part_of is None:
            self._begin_anew_for(download)
        fetch = Fetch(
            download,
            self._account,
            self,
            clock=self._clock,
            idle_seconds=self._idle_seconds,
            resume=lambda _, failure: supply.resume(self._account.position, failure),
            on_bytes=supply.count,
            on_flow=supply.note_flow,
            relieve=lambda _, flow: supply.relieve(lambda: self._account.position, flow),
        )
        await fetch.run()

    def _begin_anew_for(self, download: Download) -> None:
        """All of the content comes, although some of it is there."""
        try:
            if not self._begin_anew():
                raise OriginRefused(200)
        except StreamerError:
            download.stop()
            raise

    def _may_go_on(self) -> bool:
        """Whether the rest of the content may be joined to what there is."""
        is_resumable = self._artifact.size is not None or not self._account.position
        return is_resumable and not self._account.is_wrong

    def _grant_time(self, supply: Supply) -> None:
        """The budget for the first byte may have gone by while content came that is no use."""
        if self._renewals < MAX_RENEWALS:
            self._renewals += 1
            supply.begin_anew()

    def _begin_anew(self) -> bool:
        if not self._target.start_over():
            return False
        self._account = self._account_by_digest()
        self._kept_bytes = 0
        return True

    # -- how it is verified

    def _account_by_digest(self) -> _Account:
        content = ContentVerifier(self._artifact.size, self._artifact.digest)
        if self._verification is None:
            return _Account(self._artifact, content, self._algorithms)
        learning = self._verification.by_digest(self._artifact, content)
        return _Account(self._artifact, learning, self._algorithms)

    async def _use_table(self) -> None:
        """Prove piece by piece what is to come, where its table is known and nothing is there."""
        if self._verification is None or self._account.position:
            return
        table = await self._verification.table(self._artifact)
        if table is not None:
            proving = self._verification.by_pieces(self._artifact, table, (), ())
            self._account = _Account(self._artifact, proving, self._algorithms)

    # -- the reader of a fetch

    def attach(self, fetch: Fetch) -> None:
        self._fetch = fetch

    def take(self, content: bytes) -> None:
        began = self._clock.seconds()
        self._target.write(content)
        if self._fetch is not None and self._clock.seconds() - began > SLOW_WRITE_SECONDS:
            # Its silence is counted from now on: nobody listened to the origin meanwhile.
            self._fetch.resume()
        self._on_written(self._account.position)

    async def complete(self) -> None:
        """The target is finished where the save is, with content that was kept whole as well."""

    def detach(self) -> None:
        self._fetch = None


class _Account:
    """What can be said of the bytes so far: a verifier that digests in several ways at once.

    Unlike the error that it raises, it tells content that is wrong from content that is missing.
    """

    def __init__(self, artifact: Artifact, verifier: Verifier, algorithms: Iterable[str]) -> None:
        self._promised = artifact.digest
        self._size = artifact.size
        self._verifier = verifier
        self._others = {
            name: hashlib.new(name, usedforsecurity=False)
            for name in algorithms
            if name != artifact.digest.algorithm
        }
        self._is_right = False
        self.is_wrong = False

    @property
    def is_proving(self) -> bool:
        """See `verify.Verifier`."""
        return self._verifier.is_proving

    @property
    def position(self) -> int:
        """How many bytes there are."""
        return self._verifier.position

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """See `verify.Verifier`."""
        try:
            passed = self._verifier.update(chunk)
        except ContentMismatch:
            self.is_wrong = not self.is_proving
            raise
        return self._digested(passed)

    def finish(self, failure: OriginError | None = None) -> None:
        """See `verify.Verifier`."""
        try:
            self._verifier.finish(failure)
        except DigestMismatch:
            self.is_wrong = True
            raise
        self._is_right = True

    def break_off(self) -> Sequence[bytes]:
        """See `verify.Verifier`."""
        return self._digested(self._verifier.break_off())

    def _digested(self, passed: Sequence[bytes]) -> Sequence[bytes]:
        for running in self._others.values():
            for piece in passed:
                running.update(piece)
        return passed

    def proves_itself(self) -> bool:
        """Whether all of the content is there, and right, whatever an origin says of its end."""
        is_complete = 0 < self.position == self._size
        if is_complete and not self._is_right and not self.is_wrong:
            with suppress(ContentMismatch):
                self.finish()
        return self._is_right

    def digests(self) -> tuple[Digest, ...]:
        """All digests of what has come, that which is verified first."""
        others = (Digest(name, running.hexdigest()) for name, running in self._others.items())
        return self._promised, *others


def not_writable(name: str, error: OSError) -> OperationRefused:
    """What is said where the system does not let a target be written."""
    return OperationRefused(f"{name} cannot be written: {error.strerror}")
