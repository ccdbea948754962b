"""Connections to HTTP origins: one pool, one TLS identity, and an agent that leaves bytes alone.

Where they may go is decided by `addresses`, and what comes back on them is watched by `watched`.

Kept apart from the downloader because this is what one importer's downloads share, and what no
two importers may share: the key of Twisted's pool knows neither credentials nor TLS settings.
"""

from __future__ import annotations

from cachetools import LRUCache
from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IBodyProducer,
    IPolicyForHTTPS,
    IResponse,
)
from zope.interface import implementer

from streamer.downloaders.addresses import AdmittedEndpoint, Rule, anywhere
from streamer.downloaders.watched import WatchedEndpoint
from streamer.errors import ConfigurationError

KEEP_ALIVE_SECONDS = 30
"""Below the keep-alive of common origins (nginx 75 s), so that reuse seldom meets a closed end."""

_PEM_END = "-----END CERTIFICATE-----"


def read_certificates(bundle: str) -> list[Certificate]:
    """All certificates of a PEM bundle (`Certificate.loadPEM` alone reads only the first).

    Raises `ConfigurationError` where there is none or one cannot be read.
    """
    blocks = [part + _PEM_END for part in bundle.split(_PEM_END) if "-----BEGIN" in part]
    if not blocks:
        raise ConfigurationError("it holds no PEM certificate")
    try:
        return [Certificate.loadPEM(block.encode()) for block in blocks]
    except crypto.Error:
        raise ConfigurationError("it holds a certificate that cannot be read") from None


@implementer(IPolicyForHTTPS)
class OriginPolicy:
    """Verifies origins against the system's certificates, or against `ca_cert` alone if given.

    A TLS context is expensive, so each host's is made once and kept.
    """

    def __init__(self, ca_cert: str | None) -> None:
        self._trust = trustRootFromCertificates(read_certificates(ca_cert)) if ca_cert else None
        self._creators: LRUCache[bytes, IOpenSSLClientConnectionCreator] = LRUCache(64)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        if hostname not in self._creators:
            self._creators[hostname] = optionsForClientTLS(
                hostname.decode("ascii"), trustRoot=self._trust
            )
        return self._creators[hostname]


def make_pool(reactor: IReactorTime) -> HTTPConnectionPool:
    """A pool of idle connections; it bounds what is kept, not what is open."""
    pool = HTTPConnectionPool(reactor, persistent=True)
    pool.maxPersistentPerHost = 64
    pool.cachedConnectionTimeout = KEEP_ALIVE_SECONDS
    return pool


@implementer(IAgentEndpointFactory)
class OriginEndpoints:
    """Says how each origin is reached: its admitted addresses, TLS for https, all of it watched."""

    def __init__(
        self, reactor: IReactorTime, policy: IPolicyForHTTPS, connect_seconds: float, admits: Rule
    ) -> None:
        self._reactor = reactor
        self._policy = policy
        self._connect_seconds = connect_seconds
        self._admits = admits

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        endpoint: IStreamClientEndpoint = AdmittedEndpoint(
            self._reactor, host, uri.port, self._connect_seconds, self._admits
        )
        if uri.scheme == b"https":
            creator = self._policy.creatorForNetloc(uri.host, uri.port)
            endpoint = wrapClientTLS(creator, endpoint)
        elif uri.scheme != b"http":
            raise SchemeNotSupported
        return WatchedEndpoint(endpoint, self._reactor)


def make_agent(
    reactor: IReactorTime,
    pool: HTTPConnectionPool,
    ca_cert: str | None,
    connect_seconds: float,
    admits: Rule = anywhere,
) -> IAgent:
    """Twisted's agent over this pool and policy; it follows no redirect and decodes nothing.

    A pool belongs to one rule: whoever takes a connection from it does not ask where that leads.
    """
    endpoints = OriginEndpoints(reactor, OriginPolicy(ca_cert), connect_seconds, admits)
    agent: IAgent = Agent.usingEndpointFactory(reactor, endpoints, pool)
    return agent


@implementer(IAgent)
class VerbatimAgent:
    """Stands below treq and undoes its help, for one request.

    treq normalises URLs, adds `Accept-Encoding: gzip` beside any that is there, and decodes what
    comes back so labelled. Here the URL goes out as the catalog has it, `identity` is the only
    coding asked for, and Content-Encoding is taken off before treq sees it.
    """

    def __init__(self, agent: IAgent, url: str) -> None:
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
        return response.addCallback(_without_coding)


def _without_coding(response: IResponse) -> IResponse:
    response.headers.removeHeader(b"content-encoding")
    return response
