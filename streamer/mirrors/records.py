"""What a list of mirrors says, as frozen records, whatever format it had.

A lower priority is better, as in RFC 5854 section 4.2.16; the preferences of metalink 3 are
turned round. No record shows a URL in its `repr`, because a URL may hold a secret.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from streamer.model import Digest
from streamer.pieces.claims import Claim

MAX_PRIORITY = 999_999  # RFC 5854 section 4.2.16

UNSTATED_PRIORITY = MAX_PRIORITY
"""Of a mirror that nobody ranked: it comes after all that somebody did, as RFC 5854 has it."""

Kind = Literal["mirrorlist", "metalink 3", "metalink 4"]


class ListUnusable(ValueError):
    """What came is no list of mirrors; the message is a sentence, and holds nothing of it."""


class LeftOut(Enum):
    """Why an entry of a list is not used, in words for operators."""

    NO_URL = "not a URL"
    OTHER_SCHEME = "another protocol"
    VARIABLE = "a variable that nobody filled in"
    CREDENTIALS = "credentials in the URL"
    TOO_LONG = "too long"
    OTHER_METADATA = "a torrent or other metadata"
    UNSAFE_NAME = "a name that leads out of the mirror"
    NO_BASE = "not ending in the file's own path"
    DIGEST = "a digest that is malformed, repeated or contradicted"
    PIECES = "pieces that do not make up the file"


@dataclass(frozen=True, slots=True)
class Mirror:
    """A URL of a list, verbatim; `location` is a country in lower case, where the list names one.

    In `MirrorList.mirrors` it is the base that stands before all relative paths, and in
    `OfferedFile.urls` the file itself.
    """

    url: str = field(repr=False)
    priority: int = UNSTATED_PRIORITY
    location: str | None = None

    @property
    def scheme(self) -> str:
        """The protocol that the mirror is asked by."""
        return self.url.partition(":")[0].lower()


@dataclass(frozen=True, slots=True)
class Version:
    """What a list claims of a file's content; `timestamp` is in seconds since the epoch."""

    size: int | None = None
    digests: tuple[Digest, ...] = ()
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Pieces:
    """A claim about each `length` bytes of a file: their digests in order, in hexadecimal.

    The last piece may be shorter. The number of digests fits the size, where that is stated.
    """

    length: int
    algorithm: str
    digests: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class OfferedFile:
    """A file that a metalink is about: its relative name, its URLs, the best one first.

    `older` are earlier versions of it that mirrors may still have (MirrorManager's alternates).
    """

    name: str
    current: Version
    older: tuple[Version, ...]
    pieces: tuple[Pieces, ...]
    urls: tuple[Mirror, ...]


@dataclass(frozen=True, slots=True)
class MirrorList:
    """A list, read: the bases of its mirrors, each once and the best one first.

    `mirrors` is empty where a metalink names files whose bases do not follow from their URLs.
    `claims` are the pieces of such files as can be used, by their paths below a mirror's base,
    which are decoded. `left_out` counts what is not used, for operators.
    """

    kind: Kind
    mirrors: tuple[Mirror, ...]
    files: tuple[OfferedFile, ...] = ()
    left_out: tuple[tuple[LeftOut, int], ...] = ()
    claims: Mapping[str, Claim] = field(default_factory=dict, hash=False)


def ranked(mirrors: Iterable[Mirror]) -> tuple[Mirror, ...]:
    """Put the best first, equals in the order of the list; of one URL the best entry stays.

    URLs that differ in slashes at their ends are one.
    """
    kept: dict[str, Mirror] = {}
    for mirror in sorted(mirrors, key=lambda mirror: mirror.priority):
        kept.setdefault(mirror.url.rstrip("/"), mirror)
    return tuple(kept.values())


def nothing_usable(left_out: Mapping[LeftOut, int]) -> str:
    """The sentence for a list of which nothing is left, with the reasons and their counts."""
    reasons = ", ".join(f"{reason.value}: {count}" for reason, count in left_out.items())
    return "the list names no mirror that can be asked" + (f" ({reasons})" if reasons else "")
