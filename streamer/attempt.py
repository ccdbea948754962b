"""One try to serve one order: take who opens it first, then pipe what is cut for the client.

What is verified follows from what is known, and from what the origin sends. Where the pieces of the
content are known, each is proven before it is sent, of spans too. Else all of the content is held
against its digest, and parts are cut out of it on the way; spans alone are only counted, that
response says so of itself and no cache may keep it. An origin that was asked for spans and ignores
it sends all, so there the parts are verified after all. What is verified is resumed where it breaks
off after the head, or crawls; before it, the next turn begins afresh.

A part is right by itself and may still make a wrong file, if its client joins it to bytes of
another transfer that nobody verified. So the end of a part waits until `distrust` knows of none.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TookTooLong
from twisted.internet.interfaces import IReactorTime

from streamer import fields
from streamer.distrust import Distrust
from streamer.errors import (
    BeginningMismatch,
    ClientStalled,
    ContentMismatch,
    DigestMismatch,
    OriginError,
    PartRefused,
)
from streamer.fetch import Fetch
from streamer.interfaces import Download
from streamer.model import Fields
from streamer.opening import Opened
from streamer.ordering import Order
from streamer.partial_content import Cut
from streamer.pieces.claiming import ClaimVerifier, applies
from streamer.pipe import ResponseReader, pipe
from streamer.ranges import ByteRange
from streamer.rates import Flow
from streamer.response import Phase, Response
from streamer.settings import DeliverySettings
from streamer.supply import Supply
from streamer.transfers import Verified
from streamer.verification import Verification
from streamer.verify import TAIL_BYTES, Checkpoint, ContentVerifier, LengthVerifier, Verifier


class Attempt:
    """One download and one response, from the first connection to the client's last byte."""

    def __init__(
        self,
        supply: Supply,
        order: Order,
        response: Response,
        settings: DeliverySettings,
        clock: IReactorTime,
        distrust: Distrust,
        verification: Verification,
    ) -> None:
        self.response = response
        self._supply = supply
        self.artifact = order.published.artifact
        self._order = order
        self._settings = settings
        self._clock = clock
        self._distrust = distrust
        self._verification = verification
        self._spans = order.spans
        self._reader: ResponseReader | None = None
        self._running: ContentVerifier | None = None
        self._is_proven = False

    @property
    def _is_large(self) -> bool:
        """Whether more has to pass than is held until all of it has; who knows, if size is not."""
        passing_bytes = self._order.selection.cut().length if self._spans else self.artifact.size
        return passing_bytes is None or passing_bytes > self._settings.small_bytes

    @property
    def is_passed(self) -> bool:
        """Whether what the client gets is unverified."""
        return bool(self._spans) and not self.is_proven_ahead

    @property
    def is_proven_ahead(self) -> bool:
        """Whether what the client gets is verified before it is sent, piece by piece."""
        return self._order.table is not None

    @property
    def is_whole(self) -> bool:
        """Whether the response holds all of the artifact."""
        return not self._order.selection.is_part

    @property
    def is_in_doubt(self) -> bool:
        """Whether the client may hold, or get, bytes that were to be verified and are not yet.

        Not where all that it gets is held until then.
        """
        length = self._order.selection.cut().length
        is_sent_ahead = self._is_large and (length is None or length > TAIL_BYTES)
        is_promised = not self.is_passed and not self.is_proven_ahead
        return is_sent_ahead and is_promised and not self._is_proven

    @property
    def verified(self) -> Verified:
        """How what the client got is verified; "none" as long as nothing was opened."""
        if self._reader is None:
            return "none"
        if self.is_passed:
            return "passed"
        if self.is_proven_ahead:
            return "pieces"
        return "whole" if self._reader.was_held_whole else "held_tail"

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What is known of the content that has come, where a digest runs over it."""
        return None if self._running is None else self._running.checkpoint

    async def run(self, head: Fields) -> bool:
        """Send the response; its head is `head`, the content's fields, and what the origin adds.

        False, with nothing sent, where nobody is left to be asked. Raises what `pipe` raises, or an
        `OriginError` with nothing sent.
        """
        with self._distrust.watching(self._order.client, self.artifact, self):
            try:
                opened = await self._supply.opened(self._spans, are_proven=self.is_proven_ahead)
                if opened is None:
                    return False
                await opened.turn.within(self._pipe(opened, head), self.may_be_given_up)
                return True
            except (CancelledError, ClientStalled):
                self._note_departure()
                raise
            except OriginError as failure:
                self._note_break(failure)
                raise

    def _note_departure(self) -> None:
        """The client went away with what it has; it may come back for the rest."""
        if self.response.sent_bytes and self._running is not None:
            self._distrust.note_departure(
                self._order.client, self.artifact, self._running.checkpoint
            )

    def _note_break(self, failure: OriginError) -> None:
        """The client may hold wrong bytes, by the origin's fault.

        What nobody was to verify proves nothing by breaking off, unless it was wrong. What was
        verified piece by piece is right as far as it came, but not what its client had before; nor
        is it where the digest, compared as well, says that the table is wrong.
        """
        if self.is_proven_ahead:
            proves_something = isinstance(failure, (BeginningMismatch, DigestMismatch))
        else:
            proves_something = not self.is_passed or isinstance(failure, ContentMismatch)
        if self.response.sent_bytes and proves_something:
            self._distrust.note(self.artifact)

    def may_be_given_up(self) -> bool:
        """Whether another attempt may be made."""
        return self.response.phase is Phase.BEFORE_HEAD

    async def _pipe(self, opened: Opened, head: Fields) -> None:
        if self._spans and opened.download.response.part_of is None:
            # Who was asked for spans and sends all of it lets all of it be verified, or as much of
            # it as is needed.
            up_to_last = ByteRange(0, self._spans[-1].last)
            self._spans = (up_to_last,) if self.is_proven_ahead else ()
        cut = self._order.selection.cut(self._spans)
        self._reader = self._make_reader(cut, head, opened)
        fetch = Fetch(
            opened.download,
            self._verifier(opened),
            self._reader,
            clock=self._clock,
            idle_seconds=self._settings.idle_seconds,
            resume=None if self.is_passed else self._resume,
            on_bytes=self._supply.count,
            on_flow=self._note_flow,
            relieve=None if self.is_passed else self._relieve,
        )
        await pipe(fetch, self.response)

    async def _resume(self, position: int, failure: OriginError) -> Download:
        """Go on in mid-stream; what no client has seen yet is better begun anew."""
        if self.may_be_given_up():
            raise failure
        return await self._supply.resume(position, failure)

    def _note_flow(self, flow: Flow) -> None:
        """Of several spans it would be the time between them that counts."""
        if len(self._spans) < 2 and not self.is_passed:
            self._supply.note_flow(flow)

    async def _relieve(self, position: Callable[[], int], flow: Flow) -> Download | None:
        """Go on elsewhere where it crawls; before the head the turn's share of time sees to it."""
        if self.may_be_given_up():
            return None
        return await self._supply.relieve(position, flow)

    def _verifier(self, opened: Opened) -> Verifier:
        """What can be known of the content that passes: all of it, or spans and no more."""
        artifact, order = self.artifact, self._order
        if order.table is not None:
            return self._verification.by_pieces(
                artifact, order.table, self._spans, order.checkpoints
            )
        if self._spans:
            return LengthVerifier(sum(span.length for span in self._spans))
        self._running = ContentVerifier(artifact.size, artifact.digest, order.checkpoints)
        if order.published.held:
            return self._running
        verifier = self._verification.by_digest(artifact, self._running)
        claim = opened.turn.candidate.claim
        # What is begun anew before the head would forget who contradicted the claim.
        if self._is_large and claim and applies(claim, artifact, opened.download.response):
            return ClaimVerifier(claim, verifier)
        return verifier

    async def _may_end(self) -> None:
        """All that passed is right: wait for what the client may join it to.

        Raises `PartRefused` where that is not right, or not known to be in time.
        """
        order = self._order
        self._is_proven = True
        self._distrust.doubt_changed(order.client, self.artifact)
        if self.is_passed or self.is_whole or not order.may_be_joined:
            return
        doubt = Deferred.fromCoroutine(
            self._distrust.doubt_over(order.client, self.artifact, besides=self)
        )
        try:
            await doubt.addTimeout(self._settings.idle_seconds, self._clock)
        except TookTooLong:
            raise PartRefused from None
        is_news = self._distrust.holds_for(self.artifact) and not order.is_distrusted
        if is_news or self._distrust.has_left_since(order.client, self.artifact, order.checkpoints):
            raise PartRefused

    def _head(self, head: Fields, opened: Opened) -> Fields:
        failures, candidate = self._supply.failures, opened.turn.candidate
        return (
            *self._order.content_fields,
            *(fields.unverified(head) if self.is_passed else head),
            *fields.cache_status(
                hit=candidate.source == "catalog",
                is_unverified=self.is_passed,
                is_proven=self.is_proven_ahead,
                failures=failures,
            ),
            *fields.proxy_status(failures, served_by=candidate.name),
            *fields.forwardable(opened.download.response.fields),
        )

    def _make_reader(self, cut: Cut, head: Fields, opened: Opened) -> ResponseReader:
        def send_head(length: int | None) -> None:
            is_news = self.artifact.size is None and length is not None
            learned = (("Content-Length", str(length)),) if is_news else ()
            status = self._order.selection.status
            self.response.send_head(status, (*learned, *self._head(head, opened)))

        return ResponseReader(
            self.response,
            cut,
            send_head,
            is_large=self.artifact.size is not None and self._is_large,
            may_end=self._may_end,
            clock=self._clock,
            small_bytes=self._settings.small_bytes,
            stall_seconds=self._settings.client_stall_seconds,
        )
