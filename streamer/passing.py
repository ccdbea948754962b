"""Pass-through, done: one request to one origin, and its answer to the client as it comes.

Strategy. There is no digest, so the promise is smaller than elsewhere: no truncation unseen. The
head goes out when the origin's fields are there, the last bytes when its end was seen. Until then a
failed attempt is made again, as far as the importer grants it; from then on what broke off is
resumed where a strong entity tag and a known length show that it is the same content, and else
breaks the connection. `relaying` decides what is asked and which answer may pass; turns, health and
resuming are `supply`'s, as for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from twisted.internet.interfaces import IReactorTime

from streamer import fields
from streamer.errors import ImporterBroken, OriginError
from streamer.fetch import Fetch, Resume
from streamer.interfaces import Download, Importer, Relayer, RelayingImporter, Sink
from streamer.model import Fields, OriginResponse, PassThrough
from streamer.opening import Opened
from streamer.partial_content import Uncut
from streamer.pipe import ResponseReader, pipe
from streamer.ranges import ByteRange
from streamer.relaying import Answer, Question, answer, question, refuse_other_rest, rest
from streamer.response import Phase, Response
from streamer.settings import DeliverySettings
from streamer.supplies import Supplies
from streamer.supply import Supply
from streamer.transfers import Notes
from streamer.turns import Candidate, Turn
from streamer.verify import LengthVerifier


class RelayDownloader:
    """A relayer as a downloader: first of what the client asked for, then of the rest of that.

    `answer` is what the client is told, once there is something to tell.
    """

    def __init__(self, relayer: Relayer, asked: Question) -> None:
        self.origin = relayer.origin
        self.retries = relayer.retries
        self.answer: Answer | None = None
        self._relayer = relayer
        self._asked = asked

    async def open(self, span: ByteRange | None = None) -> Download:
        """See `interfaces.Downloader`; a `span` is one of the content that was begun."""
        if span is None or self.answer is None:
            return await self._open()
        return await self._open_rest(self.answer, span)

    async def _open(self) -> Download:
        download = await self._relayer.relay(self._asked.method, self._asked.fields)
        try:
            self.answer = answer(self._asked, download.response)
        except Exception:
            download.stop()
            raise
        return download

    async def _open_rest(self, begun: Answer, span: ByteRange) -> Download:
        download = await self._relayer.relay("GET", rest(begun, span))
        try:
            refuse_other_rest(begun, span, download.response)
        except Exception:
            download.stop()
            raise
        return _Rest(download, begun.length)


class _Rest:
    """A download of the last part of some content, which says how long all of it is."""

    def __init__(self, download: Download, size: int | None) -> None:
        self.response: OriginResponse = replace(download.response, part_of=size)
        self._download = download

    def deliver(self, sink: Sink) -> None:
        self._download.deliver(sink)

    def pause(self) -> None:
        self._download.pause()

    def resume(self) -> None:
        self._download.resume()

    def stop(self) -> None:
        self._download.stop()


class Passing:
    """Answers for pass-through distributions; shared by all exchanges."""

    def __init__(
        self, supplies: Supplies, settings: DeliverySettings, clock: IReactorTime, pseudonym: str
    ) -> None:
        self._supplies = supplies
        self._settings = settings
        self._clock = clock
        self._pseudonym = pseudonym

    async def relay(
        self,
        distribution: PassThrough,
        path: str,
        method: str,
        values: Callable[[str], Sequence[str]],
        response: Response,
        notes: Notes,
    ) -> None:
        """Send what the origin answers for `path`; `values` gives all values of a request's field.

        Raises `NoOriginServed` or `ImporterBroken` with nothing sent, `LengthUnknown`, or the error
        that broke the content off.
        """
        importer = distribution.importer
        downloader = self._downloader(distribution, path, question(method, path, values))
        candidate = Candidate(
            importer.name,
            downloader,
            importer,
            # All paths are one content: clients choose them, and some may know many that fail.
            content=distribution.base_path,
            origin=downloader.origin,
            retries=downloader.retries,
        )
        supply = Supply(self._supplies, [candidate], notes)
        while (opened := await supply.opened()) is not None:
            attempt = self._attempt(supply, opened, downloader, response, notes)
            try:
                await opened.turn.within(attempt, lambda: response.phase is Phase.BEFORE_HEAD)
            except OriginError as failure:
                supply.lost(failure)
                if response.phase is not Phase.BEFORE_HEAD:
                    raise
            else:
                supply.served()
                return
        raise supply.verdict()

    def _downloader(self, distribution: PassThrough, path: str, asked: Question) -> RelayDownloader:
        """What the importer makes for a path; raises `ImporterBroken`."""
        config = distribution.importer

        def build(importer: Importer) -> RelayDownloader:
            if not hasattr(importer, "relayer"):
                raise ImporterBroken(config.name, f"importers of type {config.type} cannot relay")
            return RelayDownloader(cast(RelayingImporter, importer).relayer(path), asked)

        return self._supplies.built(config, build)

    async def _attempt(
        self,
        supply: Supply,
        opened: Opened,
        downloader: RelayDownloader,
        response: Response,
        notes: Notes,
    ) -> None:
        given = cast(Answer, downloader.answer)
        head = self._head(given, supply, opened.turn)
        if not given.has_content:
            opened.download.stop()
            response.send_head(given.status, head)
            response.end()
            return
        fetch = Fetch(
            opened.download,
            LengthVerifier(given.length),
            self._reader(given, head, response),
            clock=self._clock,
            idle_seconds=self._settings.idle_seconds,
            resume=_resume(given, supply),
            on_bytes=supply.count,
        )
        try:
            await pipe(fetch, response)
        finally:
            if response.sent_bytes:
                notes.verified = "passed"

    def _head(self, given: Answer, supply: Supply, turn: Turn) -> Fields:
        return (
            *given.fields,
            *fields.gateway_fields(self._pseudonym),
            *fields.cache_status(
                hit=False, is_unverified=given.has_content, failures=supply.failures
            ),
            *fields.proxy_status(supply.failures, served_by=turn.candidate.name),
        )

    def _reader(self, given: Answer, head: Fields, response: Response) -> ResponseReader:
        def send_head(length: int | None) -> None:
            told = () if length is None else (("Content-Length", str(length)),)
            response.send_head(given.status, (*told, *head))

        return ResponseReader(
            response,
            Uncut(given.length),
            send_head,
            # What a client of HTTP/1.0 could not see the end of is sent if it proves to be small.
            is_large=given.length is not None or response.can_show_truncation,
            clock=self._clock,
            small_bytes=self._settings.small_bytes,
            stall_seconds=self._settings.client_stall_seconds,
        )


def _resume(given: Answer, supply: Supply) -> Resume | None:
    """How content goes on that broke off; None where nothing shows that it is the same."""
    return None if given.etag is None or given.length is None else supply.resume
