"""One request through treq that leaves URL and content as they are.

treq normalises URLs, adds `Accept-Encoding: gzip` beside any that is there, decodes what comes back
so labelled, and keeps cookies for the lifetime of a client. So each request has a client of its
own, over an agent that undoes the rest.
"""

from __future__ import annotations

from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from streamer.model import Fields, OriginResponse

_CODING = b"content-encoding"


@implementer(IAgent)
class VerbatimAgent:
    """Stands below treq, for one request.

    The URL goes out as the catalog has it, `identity` is the only coding asked for, and
    Content-Encoding is taken off before treq sees it; `codings` keeps its values.
    """

    def __init__(self, agent: IAgent, url: str) -> None:
        self.codings: list[bytes] = []
        self._agent = agent
        self._url = url.encode("ascii")

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        fields = Headers() if headers is None else headers.copy()
        fields.setRawHeaders(b"accept-encoding", [b"identity"])
        response: Deferred[IResponse] = self._agent.request(method, self._url, fields, bodyProducer)
        return response.addCallback(self._keep_codings)

    def _keep_codings(self, response: IResponse) -> IResponse:
        self.codings = list(response.headers.getRawHeaders(_CODING, []))
        response.headers.removeHeader(_CODING)
        return response


async def ask(
    agent: IAgent, method: str, url: str, fields: Fields, clock: IReactorTime
) -> tuple[IResponse, OriginResponse]:
    """Send one request; completes with the origin's fields, raises what Twisted raises."""
    verbatim = VerbatimAgent(agent, url)
    response: IResponse = await HTTPClient(verbatim).request(
        method,
        url,
        headers=_headers(fields),
        unbuffered=True,
        allow_redirects=False,
        reactor=cast(Any, clock),  # it wants all of a reactor, and uses none of it here
    )
    # treq adds an empty one to every response.
    response.headers.setRawHeaders(_CODING, verbatim.codings)
    return response, OriginResponse(
        _length(response, method), _fields(response), status=response.code
    )


def _headers(fields: Fields) -> Headers:
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return headers


def _length(response: IResponse, method: str) -> int | None:
    """The length that is claimed; of HEAD that of the content there would be (RFC 9110 8.6)."""
    if method == "HEAD":
        # Twisted moves Content-Length out of the fields, and not that of an answer to HEAD.
        values = response.headers.getRawHeaders(b"content-length", [])
        return int(values[0]) if len(values) == 1 and values[0].isdigit() else None
    return None if response.length is UNKNOWN_LENGTH else int(response.length)


def _fields(response: IResponse) -> Fields:
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, values in response.headers.getAllRawHeaders()
        for value in values
    )
