"""Frozen records: what a path promises, where its content can be had, what an origin answered.

These are the words that every layer shares. They hold values that were checked where they came
in (`publishing`, `catalog`, `downloaders`) and decide nothing themselves.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NewType

CacheKind = Literal["mutable", "package", "immutable"]

Fields = tuple[tuple[str, str], ...]
"""A header section: names as written, values decoded as Latin-1, repeated lines kept in order."""

PublicationId = NewType("PublicationId", int)

STRONG_ALGORITHMS = ("sha256", "sha512", "sha384", "sha224")
"""SHA-2, the one to verify with first: SHA-256 is the cheapest where the processor helps."""

WEAK_ALGORITHMS = ("sha1", "md5")
"""Accepted only where an importer allows weak digests, and never where a SHA-2 is known too."""


@dataclass(frozen=True, slots=True)
class Digest:
    """An algorithm of `hashlib` and a value in lower-case hexadecimal; `str()` is `sha256:…`."""

    algorithm: str
    hex: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    @classmethod
    def parse(cls, text: str) -> Digest:
        """The inverse of `str()`, for values that this class wrote."""
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @property
    def is_strong(self) -> bool:
        """Whether a match proves the content (SHA-2) or merely suggests it."""
        return self.algorithm in STRONG_ALGORITHMS

    @property
    def base64(self) -> str:
        """The value as RFC 9530 and SRI write it."""
        return base64.b64encode(bytes.fromhex(self.hex)).decode("ascii")


def strongest_first(digests: Iterable[Digest]) -> tuple[Digest, ...]:
    """Put the digest to verify with first."""
    rank = {name: place for place, name in enumerate(STRONG_ALGORITHMS + WEAK_ALGORITHMS)}
    return tuple(sorted(digests, key=lambda digest: rank[digest.algorithm]))


@dataclass(frozen=True, slots=True)
class Artifact:
    """Content: digests (the one to verify with first, at least one), size if known, media type."""

    digests: tuple[Digest, ...]
    size: int | None
    media_type: str

    @property
    def digest(self) -> Digest:
        """The digest that the content is verified with, and that makes its entity tag."""
        return self.digests[0]


@dataclass(frozen=True, slots=True)
class DownloadConfig:
    """An importer as the catalog stores it; opaque to all but its importer type.

    `id` and `revision` together name one immutable config: connections, tokens and limits are
    shared under that pair and never beyond it. `sealed` holds its secrets, encrypted; `config` may
    hold some that were never sealed, so neither has a `repr`.
    """

    id: int
    revision: int
    name: str
    type: str
    config: Mapping[str, object] = field(repr=False, hash=False)
    sealed: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class RemoteArtifact:
    """One place where an entry's content can be had: a URL, verbatim, by way of an importer.

    A relative URL is joined to the importer's by the importer. A lower priority is tried first.
    """

    importer: DownloadConfig
    url: str = field(repr=False)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class PublishedArtifact:
    """What a path promises: an artifact, and its sources within that one publication.

    `held` content lies in the catalog itself and has no sources. `grace_until` (seconds since the
    epoch) is set when the path comes from a superseded publication.
    """

    path: str
    base_path: str
    publication: PublicationId
    artifact: Artifact
    cache: CacheKind
    last_modified: int
    sources: tuple[RemoteArtifact, ...] = ()
    held: bool = False
    grace_until: float | None = None


@dataclass(frozen=True, slots=True)
class PassThrough:
    """A distribution that is bound to an importer: what lies below it, its origin alone knows.

    `keeps_query` says whether the origin may see the query of a request.
    """

    base_path: str
    importer: DownloadConfig
    keeps_query: bool = False


@dataclass(frozen=True, slots=True)
class EntrySource:
    """A source as publishing states it: the id of an importer, and a URL relative or absolute."""

    importer_id: int
    url: str = field(repr=False)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One checked line of a manifest or entries file, ready to be written into a publication.

    `line` is its number in the input, for messages. `content` is set for a held artifact, whose
    digest and size were computed from it. `last_modified` is in seconds since the epoch.
    """

    line: int
    path: str
    artifact: Artifact
    cache: CacheKind
    last_modified: int | None = None
    sources: tuple[EntrySource, ...] = ()
    content: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class FolderItem:
    """One name in a folder; a folder among them has neither size nor date."""

    name: str
    is_folder: bool
    size: int | None = None
    last_modified: int | None = None


@dataclass(frozen=True, slots=True)
class Folder:
    """One page of a folder in byte order of the names; `more` says whether names follow."""

    path: str
    items: tuple[FolderItem, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class OriginResponse:
    """What an origin answered before its content: the length it claims, and its fields.

    `part_of` is set where it sends the range it was asked for and no more: the complete length
    that it says the content has. `status` is another one than 200 or 206 only where a request was
    relayed.
    """

    length: int | None
    fields: Fields = ()
    part_of: int | None = None
    status: int = 200
