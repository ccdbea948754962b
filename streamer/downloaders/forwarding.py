"""The way of http:// URLs through an HTTP proxy, which is asked for the whole URL.

Twisted's `ProxyAgent` does that. It would send an https URL as well, in the clear, with all
credentials in its fields: so that is refused here, and goes through `tunnels`.

What fails on the way to the proxy is said as there. Its credentials go with a request that it takes
them off; no sentence names its address.
"""

from __future__ import annotations

from typing import Any, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IPushProducer, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.web.client import HTTPConnectionPool, ProxyAgent, ResponseNeverReceived
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from streamer.downloaders.tunnels import as_proxy_failure, status_failure


@implementer(IAgent)
class ForwardingAgent:
    """Asks a proxy for http:// URLs, with the credentials for it.

    A 407 is the proxy's answer and becomes `ProxyFailed`, and so does a failure of its TLS. All
    others may be the origin's. Other schemes are refused: their content is not the proxy's to see.
    """

    def __init__(
        self,
        reactor: Any,
        pool: HTTPConnectionPool,
        proxy: IStreamClientEndpoint,
        authorization: bytes | None,
    ) -> None:
        self._agent = ProxyAgent(proxy, reactor, pool)
        self._authorization = authorization

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        if not uri.lower().startswith(b"http://"):
            return fail(SchemeNotSupported())
        fields = Headers() if headers is None else headers.copy()
        if self._authorization is not None:
            fields.setRawHeaders(b"proxy-authorization", [self._authorization])
        # RFC 9112 section 3.2.2: an absolute URI, which has no fragment.
        target = uri.partition(b"#")[0]
        answered: Deferred[IResponse] = self._agent.request(method, target, fields, bodyProducer)
        return answered.addCallbacks(_unless_refused, _unless_proxys_tls)


def _unless_refused(response: IResponse) -> IResponse:
    if response.code != 407:
        return response
    farewell = _Farewell()
    response.deliverBody(farewell)
    farewell.leave()
    raise status_failure(response.code)


def _unless_proxys_tls(failure: Failure) -> Failure:
    if failure.check(ResponseNeverReceived):
        for reason in cast(ResponseNeverReceived, failure.value).reasons:
            if reason.check(SSL.Error):
                return as_proxy_failure(reason)
    return failure


class _Farewell(Protocol):
    """Takes nothing of a content, and ends its connection."""

    def leave(self) -> None:
        cast(IPushProducer, self.transport).stopProducing()
