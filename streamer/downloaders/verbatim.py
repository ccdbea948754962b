"""One request through treq that leaves URL and content as they are.

treq normalises URLs, and cannot read some: those of an IPv6 address or of a name with an underscore
among them. It adds `Accept-Encoding: gzip` beside any that is there, decodes what comes back so
labelled, and keeps cookies for the lifetime of a client. So each request has a client of its own,
over an agent that undoes the rest. Twisted's agent below that takes a URL apart and leaves out what
is empty, such as the query of `/f?`; `OriginAgent` does not.
"""

from __future__ import annotations

import re
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.client import URI, Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from streamer.model import Fields, OriginResponse

_ACTED_ON = (b"content-encoding", b"set-cookie", b"set-cookie2")
"""Fields of a response that treq decodes by, or keeps. It fails at a cookie beyond ASCII, and then
nobody would have the response to give its connection up."""

_ANY_URL = "http://origin.invalid/"
"""What treq is told, which does no more with it than hand it on."""

_VISIBLE = re.compile(rb"[\x21-\x7e]+")
_AUTHORITY = re.compile(rb"[^:/?#]+://[^/?#]*")
_EMPTY_PORT = re.compile(rb"([^:/?#]+://[^/?#]*):(?![^/?#])")


def read_uri(url: bytes) -> URI:
    """Twisted's parts of a URL; it would take the colon of an empty port for one of the host."""
    uri: URI = URI.fromBytes(_EMPTY_PORT.sub(rb"\1", url, count=1))
    return uri


def target_of(url: bytes) -> bytes:
    """Path and query as a URL has them, for a request line (RFC 9112 section 3.2.1).

    Raises `ValueError` where it is no URL that could stand there.
    """
    authority = _AUTHORITY.match(url)
    if authority is None or not _VISIBLE.fullmatch(url):
        raise ValueError("no URL of visible ASCII")
    target = url[authority.end() :].partition(b"#")[0]
    return target if target.startswith(b"/") else b"/" + target


class OriginAgent(Agent):
    """Twisted's agent, but for the target of its requests: that is the one of the URL."""

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        parts, target = read_uri(uri), target_of(uri)
        key = (parts.scheme, parts.host, parts.port)
        endpoint = self._getEndpoint(parts)
        return self._requestWithEndpoint(
            key, endpoint, method, parts, headers, bodyProducer, target
        )


@implementer(IAgent)
class VerbatimAgent:
    """Stands below treq, for one request.

    The URL goes out as the catalog has it, and `identity` is the only coding asked for. `fields`
    are those of the response; what treq would act on, treq does not see.
    """

    def __init__(self, agent: IAgent, url: str) -> None:
        self.fields: Fields = ()
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
        return response.addCallback(self._keep_fields)

    def _keep_fields(self, response: IResponse) -> IResponse:
        self.fields = _fields(response)
        for name in _ACTED_ON:
            response.headers.removeHeader(name)
        return response


async def ask(
    agent: IAgent, method: str, url: str, fields: Fields, clock: IReactorTime
) -> tuple[IResponse, OriginResponse]:
    """Send one request; completes with the origin's fields, raises what Twisted raises."""
    verbatim = VerbatimAgent(agent, url)
    response: IResponse = await HTTPClient(verbatim).request(
        method,
        _ANY_URL,
        headers=_headers(fields),
        unbuffered=True,
        allow_redirects=False,
        reactor=cast(Any, clock),  # it wants all of a reactor, and uses none of it here
    )
    return response, OriginResponse(
        _length(response, method), verbatim.fields, status=response.code
    )


def _headers(fields: Fields) -> Headers:
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
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
