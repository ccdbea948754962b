"""Download one artifact over HTTP or HTTPS, or relay one request: which answer is the right one.

`open` completes when the origin's fields are here and acceptable: status 200, or the 206 that was
asked for and no other. `relay` completes with every status that a client may be told. How an answer
is come by, redirects and tokens included, is `access`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from streamer.downloaders.access import Access
from streamer.downloaders.contents import HttpDownload
from streamer.downloaders.credentials import origin_of
from streamer.errors import (
    OriginAnsweredOtherwise,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginRefused,
)
from streamer.model import Fields, OriginResponse
from streamer.pieces.claims import Claim
from streamer.preconditions import read_date
from streamer.ranges import ByteRange

MAX_RETRY_AFTER_SECONDS = 3600
"""An origin that asks for more is asked again after an hour: it may have meant something else."""

_REFUSALS: Mapping[int, type[OriginAnsweredOtherwise]] = {
    401: OriginForbids,
    403: OriginForbids,
    404: OriginLacksIt,
    408: OriginFailing,
    410: OriginLacksIt,
    425: OriginFailing,
    429: OriginBusy,
    **dict.fromkeys(range(500, 600), OriginFailing),
}

_RELAYED = frozenset({200, 206, 302, 304, 412, 416})
"""302 is ours: `access` follows what an origin redirects, but for an added slash."""


class _Place:
    """One URL, over its importer's access."""

    def __init__(
        self,
        access: Access,
        url: str,
        now: Callable[[], float],
        retries: int,
        *,
        is_learned: bool = False,
    ) -> None:
        """`is_learned` where no operator wrote the URL."""
        self.origin = _name(url)
        self._is_learned = is_learned
        self.retries = retries
        self._access = access
        self._url = url
        self._now = now

    def _refuse(self, download: HttpDownload) -> OriginAnsweredOtherwise:
        """Let go of an answer that is not the right one, and say why."""
        download.discard()
        return _refusal(download.response, self._now())


class HttpDownloader(_Place):
    """One source of one artifact."""

    claim: Claim | None = None
    """What a list says of the pieces of its content, where one does."""

    async def open(self, span: ByteRange | None = None) -> HttpDownload:
        """Ask for the content; see `interfaces.Downloader`."""
        wanted = () if span is None else (("Range", f"bytes={span}"),)
        download = await self._access.ask("GET", self._url, wanted, is_learned=self._is_learned)
        if span is not None and download.response.status == 206:
            download.prove(span)
        elif download.response.status != 200:
            raise self._refuse(download)
        return download


class HttpRelayer(_Place):
    """One path of a pass-through distribution."""

    async def relay(self, method: str, fields: Fields) -> HttpDownload:
        """See `interfaces.Relayer`; a 302 only adds a slash, in a relative Location."""
        download = await self._access.ask(method, self._url, fields, is_relayed=True)
        if download.response.status not in _RELAYED:
            raise self._refuse(download)
        return download


def _name(url: str) -> str:
    """An origin for operators; it holds nothing else of a URL that cannot be used."""
    try:
        return str(origin_of(url))
    except ValueError:
        return "(a URL that cannot be used)"


def _refusal(response: OriginResponse, now: float) -> OriginAnsweredOtherwise:
    kind = _REFUSALS.get(response.status, OriginRefused)
    asked = retry_after_seconds(response.fields, now)
    return kind(response.status) if asked is None else kind(response.status, asked)


def retry_after_seconds(fields: Fields, now: float) -> float | None:
    """What Retry-After asks for, from now, bounded (RFC 9110 section 10.2.3); else None."""
    values = [value.strip(" \t") for name, value in fields if name.lower() == "retry-after"]
    if len(values) != 1:
        return None
    (value,) = values
    if value.isascii() and value.isdigit():
        # More digits than this are beyond the bound, and take time to read.
        seconds = float(value[:18])
    elif (until := read_date(value)) is not None:
        seconds = until - now
    else:
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)
