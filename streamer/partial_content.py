"""The content of a response, cut out of an artifact's content as that passes by.

A `Selection` says what of an artifact a response holds and which fields describe it; its cut gives
the bytes. Several parts are framed as multipart/byteranges (RFC 9110 section 14.6). All of it is
arithmetic on bytes: nothing here knows where they come from or whether they are right.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from streamer.model import Artifact, Fields
from streamer.ranges import ByteRange


class Cut(Protocol):
    """Takes content from its first byte on and gives what of it goes into the response."""

    @property
    def length(self) -> int | None:
        """How many bytes it gives when all content has passed; None where nobody knows."""

    def push(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes and give those that go out, in order; none of them is empty."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The whole of an artifact, or ascending parts of one whose size is known.

    `boundary` stands between several parts. It must not occur in the content, so it is random.
    """

    artifact: Artifact
    parts: tuple[ByteRange, ...] = ()
    boundary: str = ""

    @property
    def status(self) -> int:
        return 206 if self.parts else 200

    @property
    def is_part(self) -> bool:
        """Whether anything of the artifact is left out."""
        return sum(part.length for part in self.parts) not in (0, self.artifact.size)

    @property
    def fields(self) -> Fields:
        """Content-Length if known, Content-Type; Content-Range of a single part.

        Where there are several, each says its own (RFC 9110 section 15.3.7.2).
        """
        length = self.cut().length
        media_type = self.artifact.media_type
        ranges: Fields = ()
        if len(self.parts) > 1:
            media_type = f"multipart/byteranges; boundary={self.boundary}"
        elif self.parts:
            ranges = (("Content-Range", self._content_range(self.parts[0])),)
        lengths = () if length is None else (("Content-Length", str(length)),)
        return (*lengths, ("Content-Type", media_type), *ranges)

    def cut(self, spans: Sequence[ByteRange] = ()) -> Cut:
        """Begin to cut. Where `spans` are given only they will pass, one after the other."""
        if not self.parts:
            return Uncut(self.artifact.size)
        parts = _places_within(spans, self.parts) if spans else self.parts
        return PartsCut(parts, self._frames())

    def _frames(self) -> tuple[bytes, ...]:
        """What stands before each part, and after the last one."""
        if len(self.parts) == 1:
            return b"", b""
        heads = (
            f"\r\n--{self.boundary}\r\n"
            f"Content-Type: {self.artifact.media_type}\r\n"
            f"Content-Range: {self._content_range(part)}\r\n\r\n"
            for part in self.parts
        )
        return tuple(text.encode("latin-1") for text in (*heads, f"\r\n--{self.boundary}--\r\n"))

    def _content_range(self, part: ByteRange) -> str:
        assert self.artifact.size is not None  # noqa: S101 - parts need one, for the type checker
        return part.content_range(self.artifact.size)


class Uncut:
    """Gives everything that passes."""

    def __init__(self, length: int | None) -> None:
        self.length = length

    def push(self, chunk: bytes) -> list[bytes]:
        return [chunk] if chunk else []


class PartsCut:
    """Gives the parts of what passes, each behind its frame, and the last frame after them."""

    def __init__(self, parts: Sequence[ByteRange], frames: Sequence[bytes]) -> None:
        self.length = sum(part.length for part in parts) + sum(map(len, frames))
        self._ahead = deque(zip(parts, frames, strict=False))
        self._closing = frames[-1]
        self._position = 0

    def push(self, chunk: bytes) -> list[bytes]:
        start = self._position
        self._position = end = start + len(chunk)
        pieces = []
        while self._ahead and self._ahead[0][0].first < end:
            part, frame = self._ahead[0]
            if part.first >= start:
                pieces.append(frame)
            pieces.append(chunk[max(0, part.first - start) : part.last + 1 - start])
            if part.last >= end:
                break
            self._ahead.popleft()
            if not self._ahead:
                pieces.append(self._closing)
        return [piece for piece in pieces if piece]


def _places_within(spans: Sequence[ByteRange], parts: Sequence[ByteRange]) -> list[ByteRange]:
    """Where the parts stand in the content of the spans, strung together."""
    placed = []
    passed_bytes = 0
    for span in spans:
        shift = passed_bytes - span.first
        within = (part for part in parts if span.first <= part.first <= span.last)
        placed += [ByteRange(part.first + shift, part.last + shift) for part in within]
        passed_bytes += span.length
    return placed
