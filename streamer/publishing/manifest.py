"""Manifests: lines `path,sha256,size`, as a `PULP_MANIFEST` has them.

A manifest names no URLs: its paths are the URLs, percent-encoded, below the importer's. The
manifest itself is published beside its entries, so that who reads the publication as a repository
finds it. It is held, because the origin's may change; one too large to hold is left with the
origin, and promised by the digest that was read here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator

from streamer.errors import EntryRejected
from streamer.kinds import cache_kind, media_type
from streamer.model import Artifact, Digest, DownloadConfig, Entry, EntrySource
from streamer.publishing.entries import MAX_HELD_BYTES
from streamer.publishing.lines import Report, numbered_text, raise_rejection
from streamer.publishing.values import ValueRefused, check_path, read_digests, shown, url_of_path

MAX_LINE_BYTES = 16 * 1024


def parse_manifest(
    lines: Iterable[bytes], importer: DownloadConfig, *, report: Report = raise_rejection
) -> Iterator[Entry]:
    """Read the lines of a manifest into entries; a wrong one is given to `report`, left out.

    A path may contain commas. Without a `report` of the caller's, the first wrong line ends it.
    """
    for number, text in numbered_text(lines, MAX_LINE_BYTES, report):
        try:
            yield _entry(number, text, importer)
        except ValueRefused as error:
            report(EntryRejected(number, str(error)))


def _entry(number: int, text: str, importer: DownloadConfig) -> Entry:
    parts = text.rsplit(",", 2)
    if len(parts) != 3:
        raise ValueRefused("is not written as path,sha256,size")
    path, digests = check_path(parts[0]), read_digests({"sha256": parts[1].strip()})
    return Entry(
        line=number,
        path=path,
        artifact=Artifact(digests, _size(parts[2].strip()), media_type(path)),
        cache=cache_kind(path, digests),
        sources=(EntrySource(importer.id, url_of_path(path)),),
    )


def _size(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text, re.ASCII):
        raise ValueRefused(f"size {shown(text)} is not a number of bytes")
    return int(text)


def publish_manifest(
    lines: Iterable[bytes],
    name: str,
    importer: DownloadConfig,
    *,
    report: Report = raise_rejection,
    max_held_bytes: int = MAX_HELD_BYTES,
) -> Iterator[Entry]:
    """Give the entries of a manifest and at last its own, under `name`.

    The last one is held, or has a source where the manifest is larger than `max_held_bytes`. One
    pass over `lines`: what is published is what was read, even of a file that changes meanwhile.
    """
    copy = _Copy(lines, max_held_bytes)
    for entry in parse_manifest(copy, importer, report=report):
        if entry.path == name:
            # What a file says of its own digest cannot be true.
            report(EntryRejected(entry.line, "names the manifest itself: leave that line out"))
        else:
            yield entry
    yield copy.entry(check_path(name), importer)


class _Copy:
    """Lets lines through and keeps what the manifest's own entry needs, the content at most."""

    def __init__(self, lines: Iterable[bytes], max_held_bytes: int) -> None:
        self._lines = lines
        self._max_held_bytes = max_held_bytes
        self._content: list[bytes] = []
        self._digest = hashlib.sha256()
        self._size = 0
        self._last_line = 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._lines:
            self._last_line += 1
            self._digest.update(line)
            self._size += len(line)
            if self._size <= self._max_held_bytes:
                self._content.append(line)
            else:
                self._content.clear()
            yield line

    def entry(self, path: str, importer: DownloadConfig) -> Entry:
        is_held = self._size <= self._max_held_bytes
        digest = Digest("sha256", self._digest.hexdigest())
        return Entry(
            line=self._last_line + 1,
            path=path,
            artifact=Artifact((digest,), self._size, media_type(path)),
            cache="mutable",
            sources=() if is_held else (EntrySource(importer.id, url_of_path(path)),),
            content=b"".join(self._content) if is_held else None,
        )
