"""Download one artifact over HTTP or HTTPS, with treq.

`open` completes when the origin's fields are here and acceptable: status 200, or the 206 that was
asked for and no other. Redirects are not followed: they count as a refusal.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import cast

from OpenSSL import SSL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IResponse

from streamer.downloaders.connections import VerbatimAgent
from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginError,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
)
from streamer.interfaces import Sink
from streamer.model import Fields, OriginResponse
from streamer.ranges import ByteRange, read_content_range

DISCARD_BYTES = 64 * 1024
DISCARD_SECONDS = 2
"""How much of a refusal is read to keep its connection, and how long: an error page, not a file."""

_REFUSALS: Mapping[int, type[OriginError]] = {
    404: OriginLacksIt,
    410: OriginLacksIt,
    429: OriginBusy,
}


_WRAPPERS = (ResponseNeverReceived, ResponseFailed, RequestTransmissionFailed)
"""What Twisted wraps the reasons of a failed request in."""


class HttpDownloader:
    """One source of one artifact, over an importer's shared agent."""

    def __init__(self, agent: IAgent, url: str, fields: Fields, clock: IReactorTime) -> None:
        self._agent = agent
        self._clock = clock
        self._url = url
        self._fields = fields

    async def open(self, span: ByteRange | None = None) -> HttpDownload:
        """Ask for the content; see `interfaces.Downloader`."""
        client = HTTPClient(VerbatimAgent(self._agent, self._url))
        wanted = () if span is None else (("Range", f"bytes={span}"),)
        with origin_errors():
            response = await client.get(
                self._url,
                headers=_headers(self._fields + wanted),
                unbuffered=True,
                allow_redirects=False,
            )
        download = HttpDownload(response)
        if span is not None and response.code == 206:
            download.prove(span)
        elif response.code != 200:
            download.discard(self._clock)
            raise _REFUSALS.get(response.code, OriginRefused)(response.code)
        return download


class HttpDownload(Protocol):
    """An open response, and the protocol that its content is delivered to.

    The connection is given up with `stopProducing`, which reaches the socket below TLS at once,
    paused or not; `loseConnection` would leave a TLS connection open for good.
    """

    def __init__(self, response: IResponse) -> None:
        self._origin = response
        self._sink: Sink | None = None
        self._delivering = False
        self._paused = False
        self._received_bytes = 0
        self._giving_up: IDelayedCall | None = None
        self.response = OriginResponse(_length(response), _fields(response))

    def prove(self, span: ByteRange) -> None:
        """Take a 206 for `span` if it shows that it is nothing else (RFC 9110 section 15.3.7).

        No digest will find a wrong one out. A content coding is no matter: the complete length has
        to be the published one, so what is labelled gzip is the file. Stops and raises
        `OriginNonsense` where it is not shown.
        """
        values = [value for name, value in self.response.fields if name.lower() == "content-range"]
        found = read_content_range(values[0]) if len(values) == 1 else None
        is_length_other = self.response.length not in (None, span.length)
        if found is None or found[0] != span or is_length_other:
            self.stop()
            raise OriginNonsense("it sends something else than the range it was asked for")
        self.response = replace(self.response, part_of=found[1])

    def deliver(self, sink: Sink) -> None:
        self._sink = sink
        self._start()

    def pause(self) -> None:
        self._paused = True
        if (producer := self._producer()) is not None:
            producer.pauseProducing()

    def resume(self) -> None:
        self._paused = False
        if (producer := self._producer()) is not None:
            producer.resumeProducing()

    def stop(self) -> None:
        self._sink = None
        if not self._delivering:
            self._start()
        if (producer := self._producer()) is not None:
            producer.stopProducing()

    def discard(self, clock: IReactorTime) -> None:
        """Read the content of a refusal if it is short and soon there: its connection is kept."""
        if self.response.length is None or self.response.length > DISCARD_BYTES:
            self.stop()
            return
        self._giving_up = clock.callLater(DISCARD_SECONDS, self.stop)
        self._start()

    def _start(self) -> None:
        self._delivering = True
        self._origin.deliverBody(self)
        if self._paused:
            # deliverBody has just resumed the transport, whatever was said before.
            self.pause()

    def _producer(self) -> IPushProducer | None:
        # What deliverBody connects this protocol to is a producer and nothing else.
        return cast(IPushProducer, self.transport) if self._delivering else None

    # twisted.internet.protocol.Protocol

    def dataReceived(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._sink is not None:
            self._sink.content_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._giving_up is not None and self._giving_up.active():
            self._giving_up.cancel()
        sink, self._sink = self._sink, None
        if sink is None:
            return
        # A body that ends with the connection is PotentialDataLoss: complete for all the origin
        # says. The verifier knows.
        is_whole = reason.check(ResponseDone, PotentialDataLoss) is not None
        sink.content_ended(None if is_whole else ContentTruncated(self._received_bytes))


def basic_authorization(username: str, password: str) -> Fields:
    """The Authorization field of RFC 7617, in UTF-8."""
    token = base64.b64encode(f"{username}:{password}".encode()).decode("ascii")
    return (("Authorization", f"Basic {token}"),)


def _headers(fields: Fields) -> Headers:
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return headers


def _length(response: IResponse) -> int | None:
    return None if response.length is UNKNOWN_LENGTH else int(response.length)


def _fields(response: IResponse) -> Fields:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in response.headers.getAllRawHeaders()
        for value in values
    )


@contextmanager
def origin_errors() -> Iterator[None]:
    """Map what Twisted raises until the fields are there to `OriginError`s.

    A cancelled request surfaces as `ResponseNeverReceived([CancelledError])`; it is turned back
    into the cancellation that it is, for whoever set a time limit.
    """
    try:
        yield
    except _WRAPPERS as error:
        raise _first_reason(error.reasons) from error
    except (
        ConnectError,
        ConnectingCancelledError,
        DNSLookupError,
        ConnectionClosed,
        SSL.Error,
    ) as error:
        raise _named(error) from error
    except (ValueError, SchemeNotSupported) as error:
        raise OriginUnreachable("its URL cannot be used") from error


def _first_reason(reasons: list[Failure]) -> Exception:
    values = [reason.value for reason in reasons if reason.value is not None]
    for value in values:
        if isinstance(value, CancelledError):
            return value
    return _named(values[0]) if values else OriginNonsense("it sent nothing")


def _named(error: BaseException) -> Exception:
    if isinstance(error, _WRAPPERS):
        return _first_reason(error.reasons)
    if isinstance(error, OriginError):
        # What `watched` found.
        return error
    if isinstance(error, ConnectTimeoutError | TCPTimedOutError):
        return OriginTimedOut()
    if isinstance(error, ConnectingCancelledError):
        return CancelledError()
    if isinstance(error, DNSLookupError):
        return OriginUnreachable("its name is not known")
    if isinstance(error, ConnectError):
        return OriginUnreachable("it refuses, or no way leads there")
    if isinstance(error, ConnectionClosed):
        return OriginNonsense("it closed the connection before its fields were complete")
    if isinstance(error, SSL.Error):
        return OriginTLSFailed("verification or handshake failed")
    return OriginNonsense("it is not HTTP")
