"""The built-in importer type `mirrors`: origins that a list names, as distributions publish them.

It is what type `http` is, with a list in front: `url` is the list's, and each of its mirrors is a
place for every source. The service ranks them, by the list and by what it has seen of them. A
mirror is a stranger: it is believed nothing, sees no credential that the operator did not name its
origin for, and leads inside a network only where that is allowed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from pydantic import Field

from streamer.downloaders.http import HttpDownloader
from streamer.downloaders.kept_list import KeptList, Mirrors
from streamer.downloaders.short_content import short_content
from streamer.errors import MirrorListUnusable
from streamer.importers import Surroundings
from streamer.importers.http import HttpImporter, HttpImporterType, warnings_of
from streamer.importers.http_config import HttpConfig, read_config_of
from streamer.importers.http_values import Count
from streamer.mirrors import ListUnusable, is_below, join, read_list
from streamer.mirrors.lists import MAX_LIST_BYTES
from streamer.model import OriginResponse, RemoteArtifact
from streamer.settings import TIME_TEXT, Seconds

MAX_MIRRORS = 100
"""How many of a list are used; the first ones are the nearest."""

_SCHEMES = frozenset({"http", "https"})


class MirrorsConfig(HttpConfig):
    """The download config of type `mirrors`, version 1."""

    refresh: Seconds = Field(
        default=3600.0, ge=10, le=604_800, description=f"{TIME_TEXT}, from 10s to 168h"
    )
    list_file: str | None = Field(
        default=None,
        max_length=1000,
        description="the path, within a mirror, of the file that a metalink is about",
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
        return warnings_of(read_config(config))


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
        self._list_file = config.list_file
        self._list = KeptList(
            str(config.origin), self._fetched, surroundings.reactor, config.refresh
        )

    async def downloaders(self, source: RemoteArtifact) -> Sequence[HttpDownloader]:
        """See `interfaces.MirroringImporter`; a source with a place of its own has no mirrors."""
        if not is_below(source.url):
            return [self._http.downloader_for(source.url)]
        mirrors = await self._list.mirrors()
        return [
            self._http.downloader_for(join(each.url, source.url), is_learned=True)
            for each in mirrors[:MAX_MIRRORS]
        ]

    async def close(self) -> None:
        self._list.close()
        await self._http.close()

    async def _fetched(self) -> Mirrors:
        download = await self._http.downloader_for(self._url).open()
        content = await short_content(download, MAX_LIST_BYTES)
        try:
            found = read_list(content, _media_type(download.response), self._list_file, _SCHEMES)
        except ListUnusable as error:
            raise MirrorListUnusable(str(error)) from None
        if not found.mirrors:
            raise MirrorListUnusable("it names no mirror that can be used")
        return found.mirrors


def _media_type(response: OriginResponse) -> str:
    return next((value for name, value in response.fields if name.lower() == "content-type"), "")
