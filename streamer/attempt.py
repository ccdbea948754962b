"""One try of one origin for one order: open, then pipe what is cut for the client.

What is verified follows from what the origin sends. All of the content is held against its digest,
and parts are cut out of it on the way. Spans alone are only counted: that response says so of
itself and no cache may keep it. An origin that was asked for spans and ignores it sends all, so
there the parts are verified after all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime

from streamer import fields
from streamer.errors import SizeMismatch
from streamer.interfaces import Catalog, Download, Downloader
from streamer.model import Artifact, Fields, OriginResponse, PublishedArtifact
from streamer.ordering import Order
from streamer.partial_content import Cut
from streamer.pipe import Fetch, ResponseReader, pipe
from streamer.ranges import ByteRange
from streamer.response import Response
from streamer.settings import DeliverySettings
from streamer.spans import SpansDownload
from streamer.transfers import Source, Verified
from streamer.verify import Checkpoint, ContentVerifier, LengthVerifier


@dataclass(frozen=True, slots=True)
class Candidate:
    """One origin that may serve: its importer's name, and how to come by its downloader."""

    name: str
    source: Source
    downloader: Callable[[], Downloader]


@dataclass(frozen=True, slots=True)
class HeldDownloader:
    """The catalog as an origin: it gives what it holds, and always all of it."""

    catalog: Catalog
    published: PublishedArtifact

    async def open(self, span: ByteRange | None = None) -> Download:
        """See `interfaces.Downloader`."""
        return await self.catalog.open_held(self.published)


class Attempt:
    """One candidate and one response, from the first connection to the client's last byte."""

    def __init__(
        self,
        candidate: Candidate,
        order: Order,
        response: Response,
        settings: DeliverySettings,
        clock: IReactorTime,
        on_bytes: Callable[[int], None],
    ) -> None:
        self.candidate = candidate
        self.response = response
        self.artifact = order.published.artifact
        self._order = order
        self._settings = settings
        self._clock = clock
        self._on_bytes = on_bytes
        self._spans = order.spans
        self._reader: ResponseReader | None = None
        self._verifier: ContentVerifier | LengthVerifier | None = None

    @property
    def is_passed(self) -> bool:
        """Whether what the client gets is unverified."""
        return bool(self._spans)

    @property
    def verified(self) -> Verified:
        """How what the client got is verified; "none" as long as nothing was opened."""
        if self._reader is None:
            return "none"
        if self.is_passed:
            return "passed"
        return "whole" if self._reader.was_held_whole else "held_tail"

    @property
    def checkpoint(self) -> Checkpoint | None:
        """What is known of the content that has come, where a digest runs over it."""
        return self._verifier.checkpoint if isinstance(self._verifier, ContentVerifier) else None

    async def run(self, head: Fields) -> None:
        """Send the response; its head is `head`, the content's fields, and what the origin adds.

        Raises what `pipe` raises, `ImporterBroken`, or an `OriginError` with nothing sent.
        """
        download = await self._open()
        cut = self._order.selection.cut(self._spans)
        self._reader = self._make_reader(cut, self._head(head, download.response))
        self._verifier = self._make_verifier()
        fetch = Fetch(
            download,
            self._verifier,
            self._reader,
            clock=self._clock,
            idle_seconds=self._settings.idle_seconds,
            on_bytes=self._on_bytes,
        )
        await pipe(fetch, self.response)

    async def _open(self) -> Download:
        downloader = self.candidate.downloader()
        download = await downloader.open(self._spans[0] if self._spans else None)
        try:
            _refuse_wrong_length(self.artifact, download.response)
        except SizeMismatch:
            download.stop()
            raise
        if download.response.part_of is None:
            self._spans = ()
        if len(self._spans) > 1:
            return SpansDownload(downloader, download, self._spans)
        return download

    def _make_verifier(self) -> ContentVerifier | LengthVerifier:
        """What can be known of the content that passes: all of it, or spans and no more."""
        if self._spans:
            return LengthVerifier(sum(span.length for span in self._spans))
        return ContentVerifier(self.artifact.size, self.artifact.digest, self._order.checkpoints)

    def _head(self, head: Fields, origin: OriginResponse) -> Fields:
        return (
            *self._order.content_fields,
            *(fields.unverified(head) if self.is_passed else head),
            *fields.cache_status(
                hit=self.candidate.source == "catalog",
                detail="unverified" if self.is_passed else None,
            ),
            *fields.forwardable(origin.fields),
        )

    def _make_reader(self, cut: Cut, head: Fields) -> ResponseReader:
        def send_head(length: int | None) -> None:
            is_news = self.artifact.size is None and length is not None
            learned = (("Content-Length", str(length)),) if is_news else ()
            self.response.send_head(self._order.selection.status, (*learned, *head))

        # How much has to pass before anything can be sent, if all is held until it has.
        passing_bytes = cut.length if self._spans else self.artifact.size
        small_bytes = self._settings.small_bytes
        return ResponseReader(
            self.response,
            cut,
            send_head,
            is_large=passing_bytes is not None and passing_bytes > small_bytes,
            clock=self._clock,
            small_bytes=small_bytes,
            stall_seconds=self._settings.client_stall_seconds,
        )


def _refuse_wrong_length(artifact: Artifact, origin: OriginResponse) -> None:
    """Find a login page or another file out by its length, before anything is sent."""
    announced = origin.length if origin.part_of is None else origin.part_of
    if None not in (artifact.size, announced) and artifact.size != announced:
        raise SizeMismatch(artifact.size, announced)
