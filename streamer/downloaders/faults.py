"""What Twisted raises on the way to an origin's fields, in our words.

The one context manager of this adapter: whatever foreign exception leaves a request, leaves it here
as an `OriginError`, with none of its own words, since they may repeat a URL.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.python.failure import Failure
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported

from streamer.errors import (
    OriginError,
    OriginNonsense,
    OriginProhibited,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
)

_WRAPPERS = (ResponseNeverReceived, ResponseFailed, RequestTransmissionFailed)
"""What Twisted wraps the reasons of a failed request in."""


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
        raise OriginProhibited("its URL cannot be used") from error


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
        # What `watched` found, or a tunnel.
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
        return OriginTLSFailed(_handshake_fault(error))
    return OriginNonsense("it is not HTTP")


def _handshake_fault(error: SSL.Error) -> str:
    """Why TLS did not come about; the reasons of OpenSSL are constants of its own."""
    match error.args:
        case ([*_, (_, _, "certificate verify failed")],):
            return "its certificate is not trusted, has expired, or is for another host"
        case ([*_, (_, _, str(reason))],):
            return f"the handshake failed ({reason})"
    return "the handshake failed"
