"""How the one origin of an importer is asked: its connections, one request, and what goes wrong.

Whatever foreign exception leaves a request leaves it here as an `OriginError`, without its cause
and its words: they may repeat a URL, which holds a signature. No redirect is followed, since what
a request carries is for this origin alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from OpenSSL import SSL
from service_identity import VerificationError
from streamer.errors import (
    OriginAnsweredOtherwise,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
    RedirectRefused,
)
from streamer.model import Fields, OriginResponse
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeoutError
from twisted.internet.ssl import platformTrust, trustRootFromCertificates
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseFailed,
    ResponseNeverReceived,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from subscription_importer.config import SubscriptionConfig
from subscription_importer.contents import Download

CONNECT_SECONDS = 10
IDLE_SECONDS = 30
"""How long a connection is kept: less than origins do, so that it is seldom found closed."""

MAX_RETRY_AFTER_SECONDS = 3600

_ANY_URL = "http://origin.invalid/"
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
"""Visible ASCII without `#`, behind which nothing is sent."""

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


class Origin:
    """The origin, and the connections to it, which nobody else uses."""

    def __init__(self, config: SubscriptionConfig, reactor: Any, pseudonym: str) -> None:
        certificates = config.certificates()
        trust = trustRootFromCertificates(certificates) if certificates else platformTrust()
        policy = BrowserLikePolicyForHTTPS(trust)
        self._root = config.root
        self._reactor = reactor
        self._own_fields = (("Via", f"1.1 {pseudonym}"), ("CDN-Loop", pseudonym))
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = config.download_concurrency
        self._pool.cachedConnectionTimeout = IDLE_SECONDS
        self._agent = Agent(reactor, policy, CONNECT_SECONDS, pool=self._pool)
        self._agent_for_one = Agent(reactor, policy, CONNECT_SECONDS)

    async def get(self, target: str, fields: Fields) -> Download:
        """Ask for a target; completes with the fields of the answer, whatever its status."""
        return await self._ask(self._agent, "GET", target, fields)

    async def post(self, target: str, document: object) -> Download:
        """Send a document, on a connection of its own: an idle one may be closed at the far end,
        and Twisted repeats no POST.
        """
        return await self._ask(self._agent_for_one, "POST", target, (), json=document)

    def close(self) -> None:
        """Close what is idle. Over TLS the far end has a say in when, so nobody waits for it."""
        self._pool.cachedConnectionTimeout = 0
        self._pool.closeCachedConnections()

    async def _ask(
        self, agent: IAgent, method: str, target: str, fields: Fields, **content: Any
    ) -> Download:
        if not _TARGET.fullmatch(target):
            raise OriginUnreachable("its URL cannot be used")
        headers = Headers()
        for name, value in (*self._own_fields, *fields):
            headers.addRawHeader(name, value)
        verbatim = VerbatimAgent(agent, f"{self._root}{target}")
        with origin_errors():
            origin: IResponse = await HTTPClient(verbatim).request(
                method,
                _ANY_URL,
                headers=headers,
                unbuffered=True,
                allow_redirects=False,
                reactor=self._reactor,
                **content,
            )
        length = None if origin.length is UNKNOWN_LENGTH else int(origin.length)
        return Download(origin, OriginResponse(length, verbatim.fields, status=origin.code))


@implementer(IAgent)
class VerbatimAgent:
    """Stands below treq for one request, which it would change, as it would the answer.

    treq writes URLs anew, always asks for gzip and decodes it, and keeps cookies. So it is given
    any URL, and the real one goes out here, by which a signature holds; `fields` are those of the
    answer, of which treq does not see what it would act on.
    """

    def __init__(self, agent: IAgent, url: str) -> None:
        self.fields: Fields = ()
        self._agent = agent
        self._url = url

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        fields = Headers() if headers is None else headers.copy()
        fields.setRawHeaders("Accept-Encoding", ["identity"])
        url = self._url.encode("ascii")
        asked: Deferred[IResponse] = self._agent.request(method, url, fields, bodyProducer)
        return asked.addCallback(self._keep_fields)

    def _keep_fields(self, response: IResponse) -> IResponse:
        for name in ("set-cookie", "set-cookie2"):
            response.headers.removeHeader(name)
        self.fields = tuple(
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, values in response.headers.getAllRawHeaders()
            for value in values
        )
        response.headers.removeHeader("content-encoding")
        return response


def refusal(response: OriginResponse) -> OriginAnsweredOtherwise | RedirectRefused:
    """What an answer means that is not the one that was asked for."""
    if 300 <= response.status < 400:
        return RedirectRefused("a session is for one origin")
    kind = _REFUSALS.get(response.status, OriginRefused)
    asked = [value for name, value in response.fields if name.lower() == "retry-after"]
    if kind in (OriginBusy, OriginFailing) and len(asked) == 1 and asked[0].isdecimal():
        return kind(response.status, min(int(asked[0][:9]), MAX_RETRY_AFTER_SECONDS))
    return kind(response.status)


# -- errors --------------------------------------------------------------------------------------

_WRAPPERS = (ResponseNeverReceived, ResponseFailed, RequestTransmissionFailed)


@contextmanager
def origin_errors() -> Iterator[None]:
    """Say in the service's words what Twisted raises; a cancellation stays one."""
    try:
        yield
    except (
        *_WRAPPERS,
        ConnectError,
        ConnectingCancelledError,
        ConnectionClosed,
        SSL.Error,
    ) as error:
        raise _named(error) from None
    except (DNSLookupError, ValueError):
        raise OriginUnreachable("its name is not known, or cannot be used") from None


def _named(error: BaseException | None) -> Exception:
    match error:
        case ResponseNeverReceived() | ResponseFailed() | RequestTransmissionFailed():
            reasons = [reason.value for reason in error.reasons]
            cancelled = [each for each in reasons if isinstance(each, CancelledError)]
            return _named((cancelled or reasons or [None])[0])
        case CancelledError() | ConnectingCancelledError():
            return CancelledError()
        case ConnectTimeoutError() | TCPTimedOutError():
            return OriginTimedOut()
        case ConnectError():
            return OriginUnreachable("it refuses, or no way leads there")
        case SSL.Error() | VerificationError():
            return OriginTLSFailed("its certificate or the handshake")
        case ConnectionClosed():
            return OriginNonsense("it closed the connection before its fields were complete")
    return OriginNonsense("it is not HTTP")
