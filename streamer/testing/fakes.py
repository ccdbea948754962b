"""Fakes of the ports, for the tests of this project and of plugins.

Each does what `interfaces` says and nothing by itself: what it answers was put into it, and what
was asked of it can be read from it afterwards. They hold no socket, timer or file, so a test that
uses them decides the order of all events.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from twisted.internet.defer import Deferred

from streamer.errors import ImporterBroken, OriginError, OriginLacksIt, PathNotPublished
from streamer.interfaces import Download, Sink
from streamer.model import (
    Artifact,
    DownloadConfig,
    Fields,
    Folder,
    FolderItem,
    OriginResponse,
    PassThrough,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.pieces.table import Table
from streamer.ranges import ByteRange


class MemoryDownload:
    """A download that sends `chunks` and then ends, with `error` if there is one.

    It sends as soon as it is delivered and waits while it is paused. With `at_once=False` it
    sends only what `send` and `end` tell it to, paused or not, as an origin's last read may.
    """

    def __init__(
        self,
        chunks: Iterable[bytes] = (),
        *,
        error: OriginError | None = None,
        length: int | None = None,
        fields: Fields = (),
        part_of: int | None = None,
        status: int = 200,
        at_once: bool = True,
    ) -> None:
        self.response = OriginResponse(length, fields, part_of, status)
        self.sent_bytes = 0
        self.calls: list[str] = []
        """The names of the methods that were called, in order."""
        self._chunks = deque(chunks)
        self._error = error
        self._at_once = at_once
        self._sink: Sink | None = None
        self._is_paused = False
        self._is_flowing = False

    @property
    def is_stopped(self) -> bool:
        """Whether the connection of a real download would be free now."""
        return "stop" in self.calls

    def deliver(self, sink: Sink) -> None:
        self.calls.append("deliver")
        self._sink = sink
        self._flow()

    def pause(self) -> None:
        self.calls.append("pause")
        self._is_paused = True

    def resume(self) -> None:
        self.calls.append("resume")
        self._is_paused = False
        self._flow()

    def stop(self) -> None:
        self.calls.append("stop")
        self._sink = None

    def send(self, chunk: bytes | None = None) -> None:
        """Send `chunk`, or the next one of the script; nothing after `stop`."""
        content = self._chunks.popleft() if chunk is None else chunk
        self.sent_bytes += len(content)
        if self._sink is not None:
            self._sink.content_received(content)

    def end(self, error: OriginError | None = None) -> None:
        """Say that the content is over, or that it broke; nothing after `stop`."""
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.content_ended(error)

    def _flow(self) -> None:
        if not self._at_once or self._is_flowing:
            return
        self._is_flowing = True
        while self._chunks and self._sink is not None and not self._is_paused:
            self.send()
        self._is_flowing = False
        if not self._chunks and not self._is_paused:
            self.end(self._error)


class MemoryCatalog:
    """A catalog of what `publish` put into it; base paths and publications play no part.

    While `failure` is set, every question raises it; while `gate` is set, every answer waits for
    it to fire.
    """

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.gate: Deferred[None] | None = None
        self._published: dict[str, PublishedArtifact] = {}
        self._held: dict[str, bytes] = {}
        self._bound: list[PassThrough] = []

    def bind(self, distribution: PassThrough) -> None:
        """Answer everything at and below the base path of a distribution with it."""
        self._bound.append(distribution)

    def publish(self, path: str, published: PublishedArtifact, content: bytes = b"") -> None:
        """Answer `path`, which is relative to the root; `content` is what it holds, if it does."""
        self._published[path] = published
        self._held[published.path] = content

    async def resolve(self, path: str) -> PublishedArtifact | PassThrough:
        await self.check()
        for distribution in self._bound:
            if f"{path}/".startswith(f"{distribution.base_path}/"):
                return distribution
        if path not in self._published:
            raise PathNotPublished
        return self._published[path]

    async def list_folder(self, path: str, after: str, limit: int) -> Folder:
        await self.check()
        below = [name.removeprefix(path) for name in self._published if name.startswith(path)]
        if path and not below:
            raise PathNotPublished
        items = {name.partition("/")[0]: self._item(path, name) for name in below}
        names = sorted((name for name in items if name > after), key=str.encode)
        shown = tuple(items[name] for name in names[:limit])
        return Folder(path, shown, more=len(names) > limit)

    async def open_held(self, artifact: PublishedArtifact) -> Download:
        await self.check()
        content = self._held[artifact.path]
        return MemoryDownload([content], length=len(content))

    async def check(self) -> None:
        if self.gate is not None:
            await self.gate
        if self.failure is not None:
            raise self.failure

    def _item(self, folder: str, path: str) -> FolderItem:
        name, slash, _ = path.partition("/")
        if slash:
            return FolderItem(name, is_folder=True)
        published = self._published[folder + path]
        return FolderItem(name, False, published.artifact.size, published.last_modified)


Outcome = Download | OriginError | Deferred[Download]
"""What an attempt comes to: an open download, a failure, or something that is still awaited."""


class MemoryImporters:
    """Importers by which each URL has the outcomes that `script` gave it, one for each attempt.

    The path of a pass-through distribution is scripted like a URL.

    An importer whose name is in `broken` cannot be used, for the reason that stands there.
    """

    def __init__(self) -> None:
        self.broken: dict[str, str] = {}
        self.origins: dict[str, str] = {}
        """The origin that a URL stands for, where that is not the name of its importer."""
        self.retries = 0
        self.opened: list[tuple[str, str]] = []
        """Importer's name and URL of every attempt, in order."""
        self.spans: list[ByteRange | None] = []
        """What every attempt asked for, in the same order; None is all of the content."""
        self.can_relay = True
        self.relayed: list[tuple[str, str, Fields]] = []
        """Method, path and fields of every attempt to relay, in order."""
        self._outcomes: dict[str, deque[Outcome]] = {}

    def script(self, url: str, *outcomes: Outcome) -> None:
        """Let the next attempts at `url` end so; a URL without outcomes is answered 404."""
        self._outcomes.setdefault(url, deque()).extend(outcomes)

    def importer(self, config: DownloadConfig) -> MemoryImporter:
        if config.name in self.broken:
            raise ImporterBroken(config.name, self.broken[config.name])
        return RelayingMemoryImporter(self) if self.can_relay else MemoryImporter(self)

    async def open(self, source: RemoteArtifact, span: ByteRange | None) -> Download:
        """Do what the script says next of this source."""
        self.spans.append(span)
        self.opened.append((source.importer.name, source.url))
        return await self._next(source.url)

    async def relay(self, path: str, method: str, fields: Fields) -> Download:
        """Do what the script says next of this path."""
        self.relayed.append((method, path, fields))
        return await self._next(path)

    async def _next(self, url: str) -> Download:
        outcomes = self._outcomes.get(url)
        outcome = outcomes.popleft() if outcomes else OriginLacksIt(404)
        if isinstance(outcome, OriginError):
            raise outcome
        return await outcome if isinstance(outcome, Deferred) else outcome


class MemoryImporter:
    """One importer of `MemoryImporters`, which has the script."""

    def __init__(self, importers: MemoryImporters) -> None:
        self._importers = importers

    def downloader(self, source: RemoteArtifact) -> MemoryDownloader:
        return MemoryDownloader(self._importers, source)

    async def close(self) -> None:
        """There is nothing to release."""


class RelayingMemoryImporter(MemoryImporter):
    """The same, of a type that can relay."""

    def relayer(self, path: str) -> MemoryRelayer:
        return MemoryRelayer(self._importers, path)


class MemoryDownloader:
    """One source, to be opened by the script."""

    def __init__(self, importers: MemoryImporters, source: RemoteArtifact) -> None:
        self.origin = importers.origins.get(source.url, source.importer.name)
        self.retries = importers.retries
        self._importers = importers
        self._source = source

    async def open(self, span: ByteRange | None = None) -> Download:
        return await self._importers.open(self._source, span)


class MemoryRelayer:
    """One path, to be relayed by the script."""

    def __init__(self, importers: MemoryImporters, path: str) -> None:
        self.origin = importers.origins.get(path, "origin")
        self.retries = importers.retries
        self._importers = importers
        self._path = path

    async def relay(self, method: str, fields: Fields) -> Download:
        return await self._importers.relay(self._path, method, fields)


class MemoryLearned:
    """Tables in memory; one that `forgets` keeps none, as a store that is away."""

    def __init__(self, *, forgets: bool = False) -> None:
        self.tables: dict[tuple[str, int | None], Table] = {}
        self._forgets = forgets

    async def table(self, artifact: Artifact) -> Table | None:
        return self.tables.get((str(artifact.digest), artifact.size))

    def learn(self, artifact: Artifact, table: Table) -> None:
        if not self._forgets:
            self.tables[str(artifact.digest), artifact.size] = table
