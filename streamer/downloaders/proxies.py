"""The proxy of an importer, and for which URLs it is used.

Pure: text in, a decision out. Kept apart from the ways through a proxy, in `tunnels`, `socks` and
`forwarding`, which take the decision as made. The environment (`https_proxy` and the like) is not
looked at: it would hold for all importers alike, and not be seen in any of them.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from streamer.errors import ConfigurationError

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

MAX_LOGIN_BYTES = 255
"""RFC 1929 section 2, of a user name and of a password."""

_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
"""In lower case and the ASCII of IDNA."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy, its credentials, and what is reached without it.

    It speaks HTTP (`http://`, `https://`) or SOCKS5, and is then told addresses (`socks5://`) or
    names (`socks5h://`); curl means the same by these.

    Each of `no_proxy` is `*` for everything; a name, which stands for itself and all below it; a
    name with a dot or `*.` before it, which stands for those below alone; an address; or a network.
    A port may follow each behind a colon; IPv6 is then in brackets. A name is never resolved for
    this, so it is in no network.
    """

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    no_proxy: tuple[str, ...] = ()

    def leads_to(self, host: str, port: int) -> bool:
        """Whether a host, an IPv6 address without brackets, and a port are reached through it."""
        name = host.rstrip(".").lower()
        return not any(_exception(text).holds_for(name, port) for text in self.no_proxy)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return _port(urlsplit(self.url))

    @property
    def is_tls(self) -> bool:
        return urlsplit(self.url).scheme == "https"

    @property
    def is_socks(self) -> bool:
        return urlsplit(self.url).scheme in ("socks5", "socks5h")

    @property
    def is_told_names(self) -> bool:
        """Whether it resolves the names of hosts, and not we."""
        return urlsplit(self.url).scheme != "socks5"

    @property
    def login(self) -> tuple[bytes, bytes] | None:
        """User name and password for SOCKS (RFC 1929), which says of no encoding: UTF-8."""
        if self.username is None:
            return None
        return self.username.encode(), (self.password or "").encode()

    @property
    def authorization(self) -> bytes | None:
        """The value of Proxy-Authorization: Basic, in UTF-8 (RFC 7617)."""
        if self.username is None:
            return None
        pair = f"{self.username}:{self.password or ''}"
        return b"Basic " + b64encode(pair.encode())


def check_proxy(proxy: Proxy) -> None:
    """Raise `ConfigurationError`, with the name of the field, where this can never work."""
    _check_url(proxy.url)
    if proxy.username is None and proxy.password is not None:
        raise ConfigurationError("password: needs a username beside it")
    if proxy.is_socks:
        _check_login(proxy.login)
    elif proxy.username is not None and ":" in proxy.username:
        # RFC 7617 section 2: the first colon ends it.
        raise ConfigurationError("username: must not hold a colon")
    for text in proxy.no_proxy:
        _exception(text)


def _check_login(login: tuple[bytes, bytes] | None) -> None:
    """RFC 1929 wants a byte of a password, too; like curl we do without, for proxies that do."""
    if login is None:
        return
    username, password = login
    if not 1 <= len(username) <= MAX_LOGIN_BYTES:
        raise ConfigurationError(f"username: must have 1 to {MAX_LOGIN_BYTES} bytes for SOCKS")
    if len(password) > MAX_LOGIN_BYTES:
        raise ConfigurationError(f"password: must have at most {MAX_LOGIN_BYTES} bytes for SOCKS")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_proxy = parts.scheme in PORTS and _is_host(parts.hostname or "") and _port(parts) > 0
    except ValueError:
        is_proxy = False
    if not is_proxy:
        raise ConfigurationError(
            "url: must be http://, https://, socks5:// or socks5h://, a host and perhaps a port"
        )
    if "@" in parts.netloc:
        raise ConfigurationError("url: must not hold credentials: set username and password")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ConfigurationError("url: must end behind the host and port")


def _is_host(host: str) -> bool:
    return ":" in host or _NAME.fullmatch(host) is not None


def _port(parts: SplitResult) -> int:
    return PORTS[parts.scheme] if parts.port is None else parts.port


class _Exception(NamedTuple):
    """One entry of `no_proxy`; what is `None` or empty in it matches everything."""

    name: str
    network: IPv4Network | IPv6Network | None
    port: int | None

    def holds_for(self, host: str, port: int) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            try:
                return ip_address(host) in self.network
            except ValueError:
                return False
        suffix = self.name if self.name.startswith(".") else f".{self.name}"
        return not self.name or host == self.name or host.endswith(suffix)


@lru_cache(maxsize=1024)
def _exception(text: str) -> _Exception:
    """Raises `ConfigurationError` where it is none of the kinds."""
    host, port = _split(text.strip().lower())
    if port is not None and not 0 < port < 65536:
        raise ConfigurationError("no_proxy: a port is a number from 1 to 65535")
    if host == "*":
        return _Exception("", None, port)
    try:
        return _Exception("", ip_network(host, strict=False), port)
    except ValueError:
        pass
    name = (host.removeprefix("*") if host.startswith("*.") else host).removesuffix(".")
    # A last label of digits is the beginning or end of an address (RFC 1123 section 2.1).
    if not _NAME.fullmatch(name.removeprefix(".")) or name.rpartition(".")[2].isdigit():
        raise ConfigurationError("no_proxy: an entry is no name, address, network or *")
    return _Exception(name, None, port)


def _split(text: str) -> tuple[str, int | None]:
    """The port behind the last colon; an address with several is one without a port."""
    match = re.fullmatch(r"\[([^]]*)\](?::([0-9]{1,5}))?|([^:]*):([0-9]{1,5})", text)
    if match is None:
        return text, None
    host, port = match[1] or match[3] or "", match[2] or match[4]
    return host, None if port is None else int(port)
