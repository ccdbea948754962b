"""The built-in importer type `mirrors`: origins that a list names, as distributions publish them.

It is what type `http` is, with a list in front: `url` is the list's, and each of its mirrors is a
place for every source. The service ranks them, by the list and by what it has seen of them. A
mirror is a stranger: it is believed nothing, sees no credential that the operator did not name its
origin for, and leads inside a network only where that is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, TypeVar, cast
from urllib.parse import unquote

from pydantic import AfterValidator, Field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger

from streamer.downloaders.credentials import Origin, origin_of
from streamer.downloaders.http import HttpDownloader
from streamer.downloaders.kept_list import KeptList, Mirrors
from streamer.downloaders.short_content import short_content
from streamer.downloaders.threads import NoThread, Threads
from streamer.errors import MirrorListUnusable, OriginError, OriginLacksIt
from streamer.importers.config_reading import read_config_of
from streamer.importers.config_values import Count, check_url
from streamer.importers.http import HttpImporter, HttpImporterType, warnings_of
from streamer.importers.http_config import HttpConfig
from streamer.importers.http_values import speaks_of_a_credential
from streamer.interfaces import Surroundings
from streamer.mirrors import (
    ListUnusable,
    Mirror,
    MirrorList,
    has_variable,
    is_below,
    is_safe_name,
    join,
    read_list,
)
from streamer.mirrors.lists import MAX_LIST_BYTES
from streamer.model import OriginResponse, RemoteArtifact
from streamer.pieces.claims import Claim
from streamer.settings import TIME_TEXT, Seconds

MAX_MIRRORS = 100
"""How many of a list are used; the first ones are the nearest."""

_SCHEMES = frozenset({"http", "https"})

_log = Logger()

T = TypeVar("T")


class SourceWithoutMirrors(OriginError):
    """A source that begins with a slash: each mirror keeps what it has below a path of its own."""

    proxy_error = "proxy_configuration_error"
    sentence = (
        "the source begins with a slash, but lies below a path of its own on each mirror: "
        "publish it relative to that, without the slash"
    )


def _check_list_url(url: str) -> str:
    """Unlike an origin's, it may have a query: which list it is often stands there."""
    if has_variable(url):
        raise ValueError("must have its variables filled in, such as $releasever")
    place, mark, query = url.partition("?")
    if not query.isascii() or not query.isprintable() or set(query) & set(" #"):
        raise ValueError("must have a query of visible ASCII, without a fragment behind it")
    return f"{check_url(place, sorted(_SCHEMES))}{mark}{query}"


def _check_list_file(path: str) -> str:
    if not is_safe_name(path):
        raise ValueError("must be a path below each mirror, decoded: repodata/repomd.xml")
    return path


class MirrorsConfig(HttpConfig):
    """The download config of type `mirrors`, version 1."""

    url: Annotated[str, AfterValidator(_check_list_url)] = Field(description="text")
    refresh: Seconds = Field(
        default=3600.0, ge=10, le=604_800, description=f"{TIME_TEXT}, from 10s to 168h"
    )
    list_file: Annotated[str, AfterValidator(_check_list_file)] | None = Field(
        default=None, description="text"
    )
    # As many strangers may be asked at a time as it takes to find one that answers.
    download_concurrency: Count = Field(
        default=50, ge=1, le=1000, description="a whole number from 1 to 1000"
    )


class MirrorsImporterType:
    """How `mirrors` importers are configured and built."""

    schemes = _SCHEMES
    secret_keys = HttpImporterType.secret_keys
    object_keys = HttpImporterType.object_keys

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        return read_config(config).stored()

    def build(self, config: Mapping[str, object], surroundings: Surroundings) -> MirrorsImporter:
        return MirrorsImporter(read_config(config), surroundings)

    def warnings(self, config: Mapping[str, object]) -> list[str]:
        """What an operator should hear of a config that is accepted, a sentence each."""
        read = read_config(config)
        found = warnings_of(read)
        if read.allow_weak_digests:
            found.append("SHA-1 or MD5 alone may have to vouch for mirrors that nobody chose")
        names = [each.partition("=")[0] for each in read.url.partition("?")[2].split("&")]
        if any(speaks_of_a_credential(unquote(name)) for name in names):
            found.append(
                "url has a credential in its query, as a name there says: it is stored and shown"
            )
        return found


def read_config(config: Mapping[str, object]) -> MirrorsConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    return read_config_of("mirrors", MirrorsConfig, config)


class MirrorsImporter:
    """What the downloads of one config share: a list, and whatever mirrors are asked with."""

    def __init__(
        self,
        config: MirrorsConfig,
        surroundings: Surroundings,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now` gives the time of day, which a Retry-After may name."""
        self._http = HttpImporter(config, surroundings, now)
        self._url = config.url
        self._where = str(config.origin)
        self._list_file = config.list_file
        clock = surroundings.reactor
        self._claims: Mapping[str, Claim] = {}
        self._list = KeptList(self._where, self._fetched, clock, config.refresh)
        # Every reactor has both.
        self._threads = Threads(1, "mirror list", cast(IReactorFromThreads, clock))

    async def downloaders(self, source: RemoteArtifact) -> Sequence[HttpDownloader]:
        """See `interfaces.MirroringImporter`; one with a place of its own is on no list."""
        if source.url.startswith("/"):
            raise SourceWithoutMirrors
        if not is_below(source.url):
            return self._http.places(source)
        mirrors = await self._list.mirrors()
        claim = self._claims.get(unquote(source.url))
        return [self._downloader(join(each.url, source.url), claim) for each in mirrors]

    def _downloader(self, url: str, claim: Claim | None) -> HttpDownloader:
        downloader = self._http.downloader_for(url, is_learned=True)
        downloader.claim = claim
        return downloader

    async def close(self) -> None:
        self._list.close()
        self._threads.close()
        await self._http.close()

    async def _fetched(self) -> Mirrors:
        try:
            download = await self._http.downloader_for(self._url).open()
        except OriginLacksIt as error:
            # It is the list that is not there, and no content of a client's.
            why = f"its origin answered {error.received_status}"
            raise MirrorListUnusable(why) from None
        content = await short_content(download, MAX_LIST_BYTES)
        try:
            found = await self._read(content, _media_type(download.response))
        except ListUnusable as error:
            raise MirrorListUnusable(str(error)) from None
        except NoThread:
            raise MirrorListUnusable("there is no thread to read it in") from None
        if not found.mirrors:
            raise MirrorListUnusable("no URL in it ends in the path of its file; see list_file")
        mirrors = _one_of_each_origin(found.mirrors)
        self._tell(found, len(mirrors))
        self._claims = found.claims
        return mirrors[:MAX_MIRRORS]

    def _read(self, content: bytes, media_type: str) -> Deferred[MirrorList]:
        """In a thread, since the longest lists take a quarter of a second."""
        work = partial(read_list, content, media_type, self._list_file, _SCHEMES)
        return _leaving(self._threads.run(work))

    def _tell(self, found: MirrorList, used: int) -> None:
        left_out = [(why.value, count) for why, count in found.left_out]
        if used < len(found.mirrors):
            left_out.append(("another place at the same origin", len(found.mirrors) - used))
        reasons = ", ".join(f"{why}: {count}" for why, count in left_out)
        _log.info(
            "the list of mirrors at {where} ({kind}) names {count} that can be asked{left_out}",
            where=self._where,
            kind=found.kind,
            count=used,
            left_out=reasons and f"; left out: {reasons}",
        )


def _one_of_each_origin(mirrors: Mirrors) -> Mirrors:
    """The best of each, since health is kept by origin: it may not speak for two places.

    And so nobody who is named a hundred times is asked as often.
    """
    places: dict[Origin, Mirror] = {}
    for mirror in mirrors:
        places.setdefault(origin_of(mirror.url), mirror)
    return tuple(places.values())


def _leaving(work: Deferred[T]) -> Deferred[T]:
    """Wait for what cannot be cancelled; who is leaves it to end by itself, unheard."""
    answer: Deferred[T] = Deferred()
    work.addBoth(lambda result: None if answer.called else answer.callback(result))
    return answer


def _media_type(response: OriginResponse) -> str:
    return next((value for name, value in response.fields if name.lower() == "content-type"), "")
