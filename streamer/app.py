"""The content resource: from a Twisted request to an exchange, and from an error to a response.

Decides nothing; it translates. It is a leaf beside Klein (docs/adr/0001): an exception that left
a Klein handler after the head would be written into the content as an HTML page, and the client
would take it for complete. Here nothing escapes. Whatever way an exchange ends, exactly one line
goes to the transfer log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from streamer import fields
from streamer.errors import (
    NoOriginServed,
    RangeNotSatisfiable,
    RequestRefused,
    StreamerError,
)
from streamer.exchange import Asked, Exchange
from streamer.front import peer_name
from streamer.metrics import Metrics
from streamer.plan import final_status, retry_after_seconds
from streamer.response import Phase, Response
from streamer.transfers import Notes, Transfer, TransferLog, Verdict

_log = Logger()


class ContentResource(Resource):
    """Every path of the content endpoint."""

    isLeaf = True

    def __init__(
        self,
        exchange: Exchange,
        metrics: Metrics,
        transfer_log: TransferLog,
        *,
        clock: IReactorTime,
        new_id: Callable[[], str],
        pseudonym: str,
    ) -> None:
        super().__init__()
        self._exchange = exchange
        self._metrics = metrics
        self._transfer_log = transfer_log
        self._clock = clock
        self._new_id = new_id
        self._pseudonym = pseudonym
        self._in_flight: dict[Response, Deferred[None]] = {}
        self._draining: Deferred[None] | None = None
        self._gave_up = False

    def render(self, request: Request) -> int:
        """Start the exchange; Twisted's part is over, the request is the exchange's own now."""
        response = Response(request, self._clock)
        if self._draining is not None:
            request.setHeader(b"connection", b"close")
            request.channel.persistent = 0
        running = Deferred.fromCoroutine(self._serve(request, response))
        self._in_flight[response] = running
        request.notifyFinish().addErrback(lambda _: self._client_left(response, running))
        running.addBoth(self._forget, response)
        return NOT_DONE_YET

    def _client_left(self, response: Response, running: Deferred[None]) -> None:
        response.client_left()
        running.cancel()

    def _forget(self, result: object, response: Response) -> None:
        del self._in_flight[response]
        if isinstance(result, Failure):
            _log.failure("an exchange ended in a way that is a defect", result)
        if self._draining is not None and not self._in_flight and not self._draining.called:
            self._draining.callback(None)

    # -- draining

    @property
    def is_draining(self) -> bool:
        """Whether the service is on its way out."""
        return self._draining is not None

    @property
    def in_flight(self) -> int:
        """How many exchanges are running."""
        return len(self._in_flight)

    def drain(self) -> Deferred[None]:
        """Close each connection after its exchange; fires when none is running."""
        self._draining = Deferred()
        if not self._in_flight:
            self._draining.callback(None)
        return self._draining

    def abort_all(self) -> None:
        """Break off what is still running."""
        self._gave_up = True
        for response, running in list(self._in_flight.items()):
            response.abort()
            running.cancel()

    # -- one exchange

    async def _serve(self, request: Request, response: Response) -> None:
        started = self._clock.seconds()
        notes = Notes()
        self._metrics.exchange_started()
        verdict, reason = await self._answer(request, response, notes)
        transfer = Transfer(
            request_id=self._new_id(),
            client=peer_name(request.getClientAddress()),
            method=_text(request.method),
            path=_text(request.path),
            distribution=notes.distribution,
            status=response.status,
            verdict=verdict,
            reason=reason,
            bytes=response.sent_bytes,
            range=_only(request, b"range"),
            origin=notes.origin,
            attempts=notes.attempts,
            verified=notes.verified,
            source=notes.source,
            first_byte_ms=(
                None
                if response.first_byte_at is None
                else _milliseconds(response.first_byte_at - started)
            ),
            duration_ms=_milliseconds(self._clock.seconds() - started),
        )
        self._metrics.exchange_ended(transfer)
        self._transfer_log.write(transfer)

    async def _answer(
        self, request: Request, response: Response, notes: Notes
    ) -> tuple[Verdict, str | None]:
        """Run the exchange; give its verdict and reason, whatever it raised."""
        try:
            await self._exchange.answer(_asked(request), response, notes)
        except CancelledError:
            # Harmless where the client is gone; else nobody would ever answer it.
            response.abort()
            return ("aborted", "the service stops") if self._gave_up else ("client_gone", None)
        except StreamerError as error:
            return self._conclude(error, request, response)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as defect:
            # Some libraries of plug-ins would end the process by one that is no Exception.
            _log.failure("an exchange failed in a way that is a defect", Failure(defect))
            return self._conclude(StreamerError(), request, response)
        return ("not_modified" if response.status == 304 else "complete"), None

    def _conclude(
        self, error: StreamerError, request: Request, response: Response
    ) -> tuple[Verdict, str | None]:
        """Before the head an error is a response, after it an abort."""
        if response.phase is not Phase.BEFORE_HEAD:
            response.abort()
            return "aborted", str(error)
        failures = error.failures if isinstance(error, NoOriginServed) else ()
        errors = [failure for _, failure in failures]
        status = final_status(errors) if failures else error.status
        size = error.size if isinstance(error, RangeNotSatisfiable) else None
        content = f"{error.told}\n".encode()
        response.send_head(
            status,
            (
                *fields.error_fields(status, len(content), retry_after_seconds(errors)),
                *fields.proxy_status(failures),
                *(fields.cache_status(hit=False, failures=failures) if failures else ()),
                *(() if size is None else fields.unsatisfiable_range(size)),
                *fields.gateway_fields(self._pseudonym),
            ),
        )
        if request.method != b"HEAD":
            response.write(content)
        response.end()
        return ("refused" if isinstance(error, RequestRefused) else "error"), str(error)

    def refused_at_the_door(self, client: str, status: int) -> None:
        """Log a request that never became one; `front` has answered it."""
        self._metrics.exchange_started()
        transfer = Transfer(
            request_id=self._new_id(),
            client=client,
            method="-",
            path="-",
            distribution=None,
            status=status,
            verdict="refused",
            reason="refused at the door",
            bytes=0,
            range=None,
            origin=None,
            attempts=0,
            verified="none",
            source=None,
            first_byte_ms=None,
            duration_ms=0.0,
        )
        self._metrics.exchange_ended(transfer)
        self._transfer_log.write(transfer)


def _asked(request: Request) -> Asked:
    def values(name: str) -> Sequence[str]:
        return [_text(value) for value in request.requestHeaders.getRawHeaders(name.encode(), [])]

    query = request.uri.partition(b"?")[2]
    after = parse_qs(_text(query)).get("after", [""])[0]
    client = peer_name(request.getClientAddress())
    return Asked(client, _text(request.method), request.path, query, after, values)


def _text(raw: bytes) -> str:
    return raw.decode("latin-1")


def _only(request: Request, name: bytes) -> str | None:
    value = request.getHeader(name)
    return None if value is None else _text(value)


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)
