"""The built-in importer type `file`: content that lies on this machine, or on what it has mounted.

Its config says which folder, and how much at once. It is a pydantic model, stored as versioned
JSON, like that of type `http`; there is nothing secret in it.

Which folders may be read at all is no matter of a config: whoever may create an importer could then
read whatever the service can. The operator's settings say it, `importers.file_roots`, and a config
that lies below none of them builds no importer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast
from urllib.parse import quote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from twisted.internet.interfaces import IReactorFromThreads

from streamer.downloaders.file_urls import place_of, read_url
from streamer.downloaders.files import FileDownloader, Files
from streamer.downloaders.limits import Slots
from streamer.downloaders.threads import Threads
from streamer.errors import ConfigurationError
from streamer.importers.config_reading import as_stored, read_config_of
from streamer.importers.config_values import Count
from streamer.interfaces import Surroundings
from streamer.model import RemoteArtifact

THREADS = 4
"""Of one importer. More would not read faster from most disks, and it is as many as a disk that
hangs takes."""

MAX_WAITING = 1000
"""Downloads that wait until one file fewer is open; the deadline of its exchange ends each."""


def _check_folder(url: str) -> str:
    """Give the folder's URL in its one form."""
    names = read_url(url)
    return f"file:///{''.join(quote(name, safe=_LEFT_AS_IT_IS) + '/' for name in names)}"


_LEFT_AS_IT_IS = "!$&'()*+,;=:@~"  # RFC 3986 section 3.3


class FileConfig(BaseModel):
    """The download config of type `file`, version 1; a `description` says what is allowed."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    version: Literal[1] = Field(default=1, description="1")
    url: Annotated[str, AfterValidator(_check_folder)] = Field(description="file:///FOLDER")
    # An open file costs a descriptor and no connection of anybody's.
    download_concurrency: Count = Field(
        default=100, ge=1, le=1000, description="a whole number from 1 to 1000"
    )
    max_retries: Count = Field(default=3, ge=0, le=10, description="a whole number from 0 to 10")
    allow_weak_digests: bool = Field(default=False, description="true or false")


def read_config(config: Mapping[str, object]) -> FileConfig:
    """Check a config; raises `ConfigurationError`, which names the key and what is allowed."""
    return read_config_of("file", FileConfig, config)


class FileImporterType:
    """How `file` importers are configured and built."""

    schemes = frozenset({"file"})
    secret_keys: frozenset[str] = frozenset()

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        return as_stored(read_config(config))

    def build(self, config: Mapping[str, object], surroundings: Surroundings) -> FileImporter:
        return FileImporter(read_config(config), surroundings)


class FileImporter:
    """What the downloads of one config share: a folder, and how much is open."""

    def __init__(self, config: FileConfig, surroundings: Surroundings) -> None:
        """Raises `ConfigurationError` where the settings do not allow the folder; reads no disk."""
        place = place_of(read_url(config.url), surroundings.file_roots)
        if place is None:
            raise ConfigurationError("url: lies in none of the folders of importers.file_roots")
        clock = surroundings.reactor
        slots = Slots(config.download_concurrency, MAX_WAITING, clock)
        # Every reactor has both.
        threads = Threads(THREADS, "file importer", cast(IReactorFromThreads, clock))
        self._files = Files(place, slots, threads)
        self._retries = config.max_retries

    def downloader(self, source: RemoteArtifact) -> FileDownloader:
        return FileDownloader(self._files, source.url, self._retries)

    async def close(self) -> None:
        self._files.threads.close()
