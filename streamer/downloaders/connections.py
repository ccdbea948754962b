"""Connections to HTTP origins: where they go, by which way, and which of them may be shared.

One `Connections` belongs to one revision of one importer. Within it Twisted's pools share by
scheme, host and port and know neither credentials nor rules, so there are two. URLs that an
operator wrote may lead anywhere. Those that an origin named, in a redirect or as its token service,
lead to public addresses only, on connections of their own: whoever takes one from a pool does not
ask where it leads.

| | without a proxy | through an HTTP proxy | through a SOCKS proxy |
|---|---|---|---|
| http | TCP | the whole URL asked of the proxy | TCP in a tunnel |
| https | TLS over TCP | TLS in a tunnel | TLS in a tunnel |

Which addresses are public is decided by `addresses`, what TLS is like by `tls`, and how a proxy is
spoken to by `forwarding`, `tunnels` and `socks`; what comes back is watched by `watched`, above all
of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import URI, HTTPConnectionPool
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import (
    IAgent,
    IAgentEndpointFactory,
    IPolicyForHTTPS,
)
from zope.interface import implementer

from streamer.downloaders.addresses import Rule, anywhere, is_public, may_be_public
from streamer.downloaders.dialing import AdmittedEndpoint
from streamer.downloaders.forwarding import ForwardingAgent
from streamer.downloaders.proxies import Proxy
from streamer.downloaders.socks import SocksEndpoint
from streamer.downloaders.tls import OriginPolicy, TlsSettings
from streamer.downloaders.tunnels import ProxyEndpoint, TunnelEndpoint
from streamer.downloaders.verbatim import OriginAgent, read_uri
from streamer.downloaders.watched import WatchedEndpoint
from streamer.errors import OriginProhibited

CACHED_SECONDS = 30
"""Below the keep-alive of common origins (nginx 75 s), so that reuse seldom meets a closed end."""

MAX_ORIGINS = 16
"""How many origins have idle connections in one pool: a CDN with its regions, a few mirrors."""

_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}|[0-9A-Fa-f:.]{1,255}")
"""A name in ASCII or an address: what may be named to a proxy, and understood in one way. No name
is longer (RFC 1035 section 2.3.4), and SOCKS could not say it."""


class Rules(NamedTuple):
    """What may be connected to: an address, and a name that a proxy resolves."""

    address: Rule
    name: Callable[[str], bool]


ANYWHERE = Rules(anywhere, anywhere)
PUBLIC = Rules(is_public, may_be_public)


class Connections:
    """All connections of one importer."""

    def __init__(
        self,
        reactor: Any,
        tls: TlsSettings,
        proxy: Proxy | None,
        *,
        connect_seconds: float,
        is_trusted: Callable[[str], bool],
        allow_private: bool,
        persistent_per_host: int,
        cached_seconds: float = CACHED_SECONDS,
        bind_address: str | None = None,
    ) -> None:
        """`is_trusted` says of a URL whether its origin may see what the operator keeps for it.

        It is asked with `https://host:port/`, too, whether that is to see the client certificate.
        Raises `ConfigurationError` as `check_tls` does.
        """
        self._is_trusted = is_trusted
        dial = Dial(reactor, connect_seconds, bind_address)
        policy = OriginPolicy(tls, lambda host, port: is_trusted(_https_url(host, port)))
        detour = None if proxy is None else Detour(proxy, tls, dial)

        def circle(rules: Rules) -> Circle:
            pool = _pool(reactor, persistent_per_host, cached_seconds)
            return Circle(rules, dial, policy, detour, pool)

        self._own = circle(ANYWHERE)
        self._learned = circle(ANYWHERE if allow_private else PUBLIC)

    def agent(self, url: str, *, is_learned: bool = True) -> IAgent:
        """The agent for requests for this URL, absolute and of scheme http or https.

        `is_learned` is false where an operator wrote the URL, into an entry say: it may lead
        anywhere, too, and still sees no client certificate. The agent follows no redirect and
        decodes nothing. Raises `OriginProhibited` where a proxy would be asked for a host that the
        URL may not lead to.
        """
        circle = self._learned if is_learned and not self._is_trusted(url) else self._own
        return circle.agent(read_uri(url.encode("ascii")))

    async def close(self) -> None:
        """Close what is idle; what is in use closes as soon as its response has ended."""
        await gatherResults([self._own.close(), self._learned.close()])


def _https_url(host: str, port: int) -> str:
    return f"https://[{host}]:{port}/" if ":" in host else f"https://{host}:{port}/"


def _pool(reactor: Any, persistent_per_host: int, cached_seconds: float) -> HTTPConnectionPool:
    """A pool of idle connections; it bounds what is kept, not what is open."""
    pool = HTTPConnectionPool(reactor, persistent=persistent_per_host > 0)
    pool.maxPersistentPerHost = persistent_per_host
    pool.cachedConnectionTimeout = cached_seconds  # type: ignore[assignment]
    return pool


class Circle:
    """The connections that one set of rules admits, with a pool that belongs to them alone.

    Twisted's pool bounds what it keeps for each origin, and neither how many origins there are nor
    how many it remembers; who redirects chooses the names. So it is emptied when they are too many.
    """

    def __init__(
        self,
        rules: Rules,
        dial: Dial,
        policy: IPolicyForHTTPS,
        detour: Detour | None,
        pool: HTTPConnectionPool,
    ) -> None:
        endpoints = OriginEndpoints(dial, policy, rules.address, detour)
        self._admits_name = rules.name
        self._detour = detour
        self._pool = pool
        self._origins: set[tuple[bytes, bytes, int]] = set()
        self._agent: IAgent = OriginAgent.usingEndpointFactory(dial.reactor, endpoints, pool)
        self._forwarding = None if detour is None else detour.forwarding(pool)

    def agent(self, uri: URI) -> IAgent:
        host = uri.host.decode("ascii")
        if self._detour is not None and self._detour.leads_to(host, uri.port):
            if self._detour.is_told_names:
                self._check_name(host)
            if uri.scheme == b"http" and self._forwarding is not None:
                return self._forwarding
        self._make_room((uri.scheme, uri.host, uri.port))
        return self._agent

    def _check_name(self, host: str) -> None:
        if not _HOST.fullmatch(host):
            raise OriginProhibited("its URL cannot be used")
        if not self._admits_name(host):
            raise OriginProhibited("its address is not public")

    def _make_room(self, origin: tuple[bytes, bytes, int]) -> None:
        if origin not in self._origins and len(self._origins) == MAX_ORIGINS:
            self._origins.clear()
            self._pool.closeCachedConnections()
        self._origins.add(origin)

    def close(self) -> Deferred[None]:
        # What comes back from now on is not kept.
        self._pool.cachedConnectionTimeout = 0
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


@dataclass(frozen=True, slots=True)
class Dial:
    """How TCP connections are made."""

    reactor: Any
    seconds: float
    bind_address: str | None = None

    def to(self, host: str, port: int, admits: Rule) -> IStreamClientEndpoint:
        return AdmittedEndpoint(self.reactor, host, port, self.seconds, admits, self.bind_address)


@implementer(IAgentEndpointFactory)
class OriginEndpoints:
    """Says how each origin is reached, TLS for https included; all of it is watched."""

    def __init__(
        self, dial: Dial, policy: IPolicyForHTTPS, admits: Rule, detour: Detour | None = None
    ) -> None:
        self._dial = dial
        self._policy = policy
        self._admits = admits
        self._detour = detour

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.scheme not in (b"http", b"https"):
            raise SchemeNotSupported
        endpoint = self._way_to(uri.host.decode("ascii"), uri.port)
        if uri.scheme == b"https":
            endpoint = wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        return WatchedEndpoint(endpoint, self._dial.reactor)

    def _way_to(self, host: str, port: int) -> IStreamClientEndpoint:
        if self._detour is not None and self._detour.leads_to(host, port):
            return self._detour.tunnel(host, port, self._admits)
        return self._dial.to(host, port, self._admits)


class Detour:
    """The ways through an importer's proxy.

    A proxy with TLS is verified by the importer's `ca_cert`, in any case: it may be sent a
    password. It is shown no client certificate, which is for origins.
    """

    def __init__(self, proxy: Proxy, tls: TlsSettings, dial: Dial) -> None:
        self.leads_to = proxy.leads_to
        self.is_told_names = proxy.is_told_names
        self._proxy = proxy
        self._dial = dial
        endpoint = dial.to(proxy.host, proxy.port, anywhere)
        if proxy.is_tls:
            policy = OriginPolicy(replace(tls, validation=True), lambda host, port: False)
            creator = policy.creatorForNetloc(proxy.host.encode("ascii"), proxy.port)
            endpoint = wrapClientTLS(creator, endpoint)
        self._endpoint = ProxyEndpoint(endpoint)

    def tunnel(self, host: str, port: int, admits: Rule) -> IStreamClientEndpoint:
        """`admits` is the rule for the host's addresses, where the proxy is not told its name."""
        seconds, reactor = self._dial.seconds, self._dial.reactor
        if self._proxy.is_socks:
            rule = None if self.is_told_names else admits
            login = self._proxy.login
            return SocksEndpoint(self._endpoint, host, port, login, seconds, reactor, rule)
        authorization = self._proxy.authorization
        return TunnelEndpoint(self._endpoint, host, port, authorization, seconds, reactor)

    def forwarding(self, pool: HTTPConnectionPool) -> IAgent | None:
        """For http, where that does not go through tunnels as https does."""
        if self._proxy.is_socks:
            return None
        reactor = self._dial.reactor
        endpoint = WatchedEndpoint(self._endpoint, reactor)
        return ForwardingAgent(reactor, pool, endpoint, self._proxy.authorization)
