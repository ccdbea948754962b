"""Which names a file URL means, and whether a source may name them.

Pure: text in, names out, and no look at a disk. Kept apart from the walk along those names because
what can be refused by its text alone is refused at build, or before a thread is asked.

Strategy. A URL is read by RFC 8089: `file:///path`, `file://localhost/path` or `file:/path`. It is
split at its slashes first and each name is percent-decoded once, into bytes, for that is what names
are here. Refused is whatever could be read in two ways: a decoded slash or NUL, dot segments
however they are written, a query, another host.

There are two bounds. A source lies in the folder of its importer, by its text. The folder lies
below a root that the operator's settings allow, and that root is what no link leads out of.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from streamer.errors import OriginForbids, OriginLacksIt

Names = tuple[bytes, ...]
"""The segments of an absolute path, decoded."""

_URL = re.compile(r"file:(?://(?P<host>[^/]*)(?=/)|(?!//))(?P<path>/.*)", re.I | re.DOTALL)
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH = re.compile(r"(?:[\x21\x22\x24\x26-\x3e\x40-\x7e]|%[0-9A-Fa-f]{2})*")
"""Visible ASCII without `#` and `?`, and with a meaning for each `%`."""


def read_url(url: str) -> Names:
    """The names of an absolute file URL; raises `ValueError` with a sentence and none of it."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ValueError("must be an absolute file:///PATH URL")
    if (match["host"] or "").lower() not in ("", "localhost"):
        raise ValueError("must name no host, or localhost")
    return read_path(match["path"])


def read_path(path: str) -> Names:
    """The names of the path of a URL, empty ones left out; raises `ValueError` like `read_url`."""
    if not _PATH.fullmatch(path):
        raise ValueError(
            "must be visible ASCII, percent-encoded where needed, without a query or a fragment"
        )
    names = tuple(unquote_to_bytes(segment) for segment in path.split("/") if segment)
    if any(b"/" in name or b"\0" in name for name in names):
        raise ValueError("must not hold an encoded slash or NUL")
    if any(name in (b".", b"..") for name in names):
        raise ValueError("must not hold dot segments")
    return names


class FileRefused(OriginForbids):
    """It is not served, whether it is there or not; says why, in words without a name."""

    sentence = "the file is not served: {2}"

    def __init__(self, why: str) -> None:
        super().__init__(403, None, why)


@dataclass(frozen=True, slots=True)
class Place:
    """The folder of an importer, and the allowed root above it that nothing leads out of."""

    root: Names = field(repr=False)
    folder: Names = field(repr=False)

    @property
    def root_path(self) -> bytes:
        return b"/" + b"/".join(self.root)

    def below_root(self, url: str) -> Names:
        """The names of a source from the root on, whether its URL is relative or absolute.

        Raises `FileRefused` where it lies outside the importer's folder or is no file URL, and
        `OriginLacksIt` where it can only mean a folder.
        """
        try:
            names = self._absolute(url)
        except ValueError as error:
            raise FileRefused(f"its URL {error}") from None
        if names[: len(self.folder)] != self.folder:
            raise FileRefused("its URL leads out of the importer's folder")
        if url.endswith("/") or names == self.folder:
            raise OriginLacksIt(404)
        return names[len(self.root) :]

    def _absolute(self, url: str) -> Names:
        if _URL.fullmatch(url) or _OTHER_SCHEME.match(url):
            return read_url(url)
        return read_path(url) if url.startswith("/") else self.folder + read_path(url)


def place_of(folder: Names, roots: Iterable[str]) -> Place | None:
    """The place of an importer's folder under the innermost of the allowed roots, if any allows it.

    By the text of both: an alias of an allowed root, as a link to it is, is another place.
    """
    allowed = (tuple(os.fsencode(root).strip(b"/").split(b"/")) for root in roots)
    fitting = [root for root in allowed if folder[: len(root)] == root]
    return Place(max(fitting, key=len), folder) if fitting else None
