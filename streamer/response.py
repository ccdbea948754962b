"""One response to one client: its phase, and the only ways to move it.

Separate from `pipe`, which decides when to. A response is in one of four phases:

| phase | event | next |
|---|---|---|
| BEFORE_HEAD | the head goes out | STREAMING |
| STREAMING | the last verified byte is taken | ENDED |
| BEFORE_HEAD, STREAMING | the client leaves, or content must break off visibly | ABORTED |

Breaking off means `abortConnection`, which a client sees with Content-Length, with chunked coding
and over HTTP/1.0 alike; nothing else does (docs/http.md). Twisted checks neither how much is
written nor whether anybody is there, so the phase does.
"""

from __future__ import annotations

from enum import Enum, auto
from http import HTTPStatus
from typing import cast

from twisted.internet.interfaces import IPushProducer, IReactorTime, ITCPTransport
from twisted.web.http import Request

from streamer.model import Fields
from streamer.pace import taken_mark


class Phase(Enum):
    """Where a response stands; the table is in the module's docstring."""

    BEFORE_HEAD = auto()
    STREAMING = auto()
    ENDED = auto()
    ABORTED = auto()


class Response:
    """One response to one client, over the Twisted request that it answers.

    It can be begun, written and ended, or aborted; after the client left every call is harmless.
    """

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._producing = False
        self.phase = Phase.BEFORE_HEAD
        self.status: int | None = None
        self.sent_bytes = 0
        self.first_byte_at: float | None = None
        self.has_client_left = False

    @property
    def can_show_truncation(self) -> bool:
        """Whether content of unknown length can be cut visibly: HTTP/1.1 and its chunked coding."""
        return bool(self._request.clientproto == b"HTTP/1.1")

    def taken_mark(self) -> int | None:
        """See `pace.taken_mark`."""
        return taken_mark(self._request.transport)

    def send_head(self, status: int, fields: Fields) -> None:
        """Send status and fields now, so that they never wait for content.

        A Date among them stands for the moment of now.
        """
        if self.phase is not Phase.BEFORE_HEAD:
            return
        request = self._request
        # All of it first: what cannot be written must leave nothing in the head of an error.
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        request.setResponseCode(status, HTTPStatus(status).phrase.encode())
        request.responseHeaders.removeHeader(b"server")
        if any(name.lower() == b"date" for name, _ in lines):
            request.responseHeaders.removeHeader(b"date")
        for name, value in lines:
            request.responseHeaders.addRawHeader(name, value)
        self.phase = Phase.STREAMING
        self.status = status
        self.first_byte_at = self._clock.seconds()
        request.write(b"")

    def start_producing(self, producer: IPushProducer) -> None:
        """Let `producer` hear of the client's pace, once and until the end."""
        if self.phase is Phase.STREAMING and not self._producing:
            self._producing = True
            self._request.registerProducer(producer, True)

    def write(self, content: bytes) -> None:
        """Send content; nothing happens once the client is gone."""
        if self.phase is Phase.STREAMING:
            self.sent_bytes += len(content)
            self._request.write(content)

    def end(self) -> None:
        """Send the end: the response is complete."""
        if self.phase is Phase.STREAMING:
            self._stop_producing()
            self.phase = Phase.ENDED
            self._request.finish()

    def abort(self) -> None:
        """Break the connection so that no client can take the response for complete."""
        if self.phase in (Phase.BEFORE_HEAD, Phase.STREAMING):
            self._stop_producing()
            self.phase = Phase.ABORTED
            cast(ITCPTransport, self._request.transport).abortConnection()

    def client_left(self) -> None:
        """Note that the connection is gone; Twisted has forgotten the producer with it."""
        self.has_client_left = True
        if self.phase in (Phase.BEFORE_HEAD, Phase.STREAMING):
            self._producing = False
            self.phase = Phase.ABORTED

    def _stop_producing(self) -> None:
        if self._producing:
            self._producing = False
            self._request.unregisterProducer()
