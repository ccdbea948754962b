"""The ports: what the core asks of a catalog, an importer type, an importer and a download.

An implementation anywhere honours the sentences below; `streamer.testing` has some in memory.
Whatever awaits here may be cancelled at any point and leaves nothing behind: no connection, no
timer, no open file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from streamer.errors import OriginError
from streamer.model import (
    Artifact,
    DownloadConfig,
    Fields,
    Folder,
    OriginResponse,
    PassThrough,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.pieces.table import Table
from streamer.ranges import ByteRange


class Sink(Protocol):
    """Takes the content of one download. Its methods never raise."""

    def content_received(self, chunk: bytes) -> None:
        """Take the next bytes; they may come even after `pause`, a bounded number of them.

        No bytes at all say that the origin is not silent: what it sends is held back, or left out.
        """

    def content_ended(self, error: OriginError | None) -> None:
        """The last call: the content is over, or it broke. Says nothing about correctness."""


class Download(Protocol):
    """One open download: the origin's fields are here, its content waits for `deliver`.

    Whoever holds a download calls `stop` in the end, on every path.
    """

    @property
    def response(self) -> OriginResponse:
        """What the origin said before its content."""

    def deliver(self, sink: Sink) -> None:
        """Let the content flow into `sink`; called once."""

    def pause(self) -> None:
        """Ask the origin to wait. May be repeated; may come before `deliver`."""

    def resume(self) -> None:
        """Let it go on. May be repeated."""

    def stop(self) -> None:
        """End the transfer now and release its connection. Idempotent; nothing is called after."""


class Downloader(Protocol):
    """Built by an importer for one remote artifact.

    It may also have `claim`, a `streamer.pieces.claims.Claim` or None: what somebody who proves
    nothing, such as a list of mirrors, says of the pieces of its content.
    """

    @property
    def origin(self) -> str:
        """Names what fails and recovers as one, as `https://host:443` does.

        Shown to operators and never to clients; it holds no credential, path or query.
        """

    @property
    def retries(self) -> int:
        """How many more attempts the importer grants one exchange, after the first."""

    async def open(self, span: ByteRange | None = None) -> Download:
        """Ask the origin for all of the content, or for `span` alone; completes with its fields.

        Called again when the download before is over, to try once more or to go on. Who asks for a
        span looks at `response.part_of`: None means that the origin ignores ranges and sends all.
        Raises an `OriginError` for whatever the origin or the way to it did wrong;
        to send another range than the one asked for is wrong.
        """


class Relayer(Protocol):
    """Built by an importer for one path of a pass-through distribution."""

    @property
    def origin(self) -> str:
        """See `Downloader.origin`."""

    @property
    def retries(self) -> int:
        """See `Downloader.retries`."""

    async def relay(self, method: str, fields: Fields) -> Download:
        """Ask for `method` (GET or HEAD) with these fields of the client beside the importer's own.

        Completes with whatever the origin says to such a request: 200, 206, 304, 412 or 416, and
        its fields as they are; or 302 where it only wants a slash behind the path, with a relative
        Location. Content whose end it does not show ends in `ContentTruncated`.
        Raises an `OriginError` for any other answer.
        """


class Importer(Protocol):
    """The shared state of one revision of one download config: connections, tokens, limits."""

    def downloader(self, source: RemoteArtifact) -> Downloader:
        """Rebuild the downloader for one of this importer's sources."""

    async def close(self) -> None:
        """Release what is idle; called once.

        Downloads that are open end by themselves, and downloaders made before may still be opened;
        what these release is kept for nobody.
        """


class MirroringImporter(Protocol):
    """An importer that knows several places for each of its sources, and so has no `downloader`."""

    async def downloaders(self, source: RemoteArtifact) -> Sequence[Downloader]:
        """Rebuild a downloader for each place, in the order in which its list has them.

        Completes at once while a list is known. Raises an `OriginError` where none can be had.
        """

    async def close(self) -> None:
        """See `Importer.close`."""


class RelayingImporter(Importer, Protocol):
    """An importer that a pass-through distribution may be bound to."""

    def relayer(self, path: str) -> Relayer:
        """The relayer for `path`, which goes behind the importer's URL byte for byte.

        It is relative and percent-encoded as the client wrote it, without dot segments or encoded
        slashes, and with `?` and the query where that may be kept.
        """


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an importer gets from the service, beside its config.

    `reactor` is the running one, and can do more than it is typed for. `pseudonym` is the name to
    give in Via. `file_roots` are the only folders of this machine that an importer may read content
    from.
    """

    reactor: IReactorTime
    pseudonym: str
    file_roots: tuple[str, ...] = ()


class ImporterType(Protocol):
    """What an entry point names: how a kind of importer is configured and built.

    It may also have `object_keys`, a frozenset: the keys whose text is read as JSON, wherever it
    was found. Without it a secret can only be a text, unless it comes from a config file. And it
    may have `warnings`, a function from a normalised config to sentences for the operator. Its
    importers may be bound to pass-through distributions where `can_relay` is there and true.
    """

    @property
    def schemes(self) -> frozenset[str]:
        """URL schemes that absolute URLs of its sources may have."""

    @property
    def secret_keys(self) -> frozenset[str]:
        """Keys of the config that must never be shown, and are sealed with all that they hold."""

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        """Check a config and give the form that is stored; raises `ConfigurationError`.

        The message names the key and what is allowed, and never a value.
        """

    def build(
        self, config: Mapping[str, object], surroundings: Surroundings
    ) -> Importer | MirroringImporter:
        """Make an importer from a config with its secrets; raises `ConfigurationError`."""


class Importers(Protocol):
    """Finds the importer for a stored download config."""

    def importer(self, config: DownloadConfig) -> Importer:
        """The one shared instance for this config's id and revision.

        Raises `ImporterBroken` where the type is unknown or refuses the config.
        """


class Catalog(Protocol):
    """What is published. Paths are decoded, relative to the root, without a leading slash."""

    async def resolve(self, path: str) -> PublishedArtifact | PassThrough:
        """Find what `path` promises: the longest base path wins, then the newest publication.

        A path that the current publication lacks is looked for in those superseded within their
        grace, newest first. Raises `PathNotPublished` or a `CatalogError`.
        """

    async def list_folder(self, path: str, after: str, limit: int) -> Folder:
        """List up to `limit` names that follow `after` in the folder `path` (`""` is the root).

        `path` ends in a slash unless empty. Costs one index probe per name, not per entry below.
        Raises `PathNotPublished` where nothing lies beneath, or a `CatalogError`.
        """

    async def open_held(self, artifact: PublishedArtifact) -> Download:
        """Open content that the catalog holds itself; it is read in slices as it is taken.

        Raises `PathNotPublished` where its publication has just been deleted.
        """

    async def check(self) -> None:
        """Return if the catalog answers now; raises a `CatalogError` if not."""


class Learned(Protocol):
    """The tables of pieces that were learned here, as well as they are known just now.

    Nothing that happens to a store delays a transfer or makes it fail: what cannot be read in a
    moment is not known, and what cannot be written is forgotten.
    """

    async def table(self, artifact: Artifact) -> Table | None:
        """The table of this artifact's content, by its digest and size; None where none is known.

        Completes within a fraction of a second, and raises nothing of its own.
        """

    def learn(self, artifact: Artifact, table: Table) -> None:
        """Keep the table of content that all matched the artifact's digest; returns at once."""
