"""One list of mirrors, of whatever kind: decides by its content which one it is.

The media type is not relied on: scripts send plain lists as `text/html`, and metalinks come as
`text/xml`. It only helps to say what came instead of a list. Refuses what is no text, and with
words of its own the two things that an operator meets most: a web page, and a list that is empty.
"""

from __future__ import annotations

import codecs
import re
from collections import Counter
from itertools import islice

from streamer.mirrors.addresses import SCHEMES
from streamer.mirrors.metalinks import read_metalink
from streamer.mirrors.mirrorlists import plain_lines, read_mirrorlist
from streamer.mirrors.records import LeftOut, ListUnusable, MirrorList, nothing_usable, ranked

MAX_LIST_BYTES = 4 * 1024**2
"""Fedora's lists have 60 KiB; one with a digest for each 256 KiB of a DVD has 2 MiB."""

MAX_ADDRESSES = 10_000
"""Fedora has some 500 mirrors; a metalink of many files names each several times."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_COMPRESSED = (b"\x1f\x8b", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")

# What may stand before the name of an XML document's root; possessive, so that it never turns back.
_ROOT = re.compile(
    r"(?:\s++|<\?(?>.*?\?>)|<!--(?>.*?-->))*+<(?:!doctype\s++)?([A-Za-z_][\w.:-]*+)",
    re.IGNORECASE | re.DOTALL | re.ASCII,
)
_PAGE = re.compile(r"<(?:html|head|body|title)\b", re.IGNORECASE)
_PAGE_TYPES = ("text/html", "application/xhtml+xml")

_WEB_PAGE = "what came is a web page and no list of mirrors"


def read_list(
    content: bytes,
    media_type: str = "",
    own_path: str | None = None,
    schemes: frozenset[str] = SCHEMES,
) -> MirrorList:
    """Read a plain mirrorlist, or a metalink of version 3 or 4 (RFC 5854).

    `own_path` says where the file that a metalink is about lies below a mirror's base; without it,
    `repomd.xml` lies in `repodata`, and every other file where its name says.
    Raises `ListUnusable` where nothing in it can be asked by one of `schemes`.
    """
    text = _text_of(content)
    is_page = media_type.partition(";")[0].strip().lower() in _PAGE_TYPES
    root = _ROOT.match(text)
    if root and root[1].lower() == "html":
        raise ListUnusable(_WEB_PAGE)
    if root and root[1].rpartition(":")[2] == "metalink":
        return read_metalink(text, own_path, schemes, MAX_ADDRESSES)
    if text.lstrip().startswith("<"):
        raise ListUnusable(_WEB_PAGE if is_page else "what came is XML and no metalink")
    return _plain(text, schemes, is_page)


def _plain(text: str, schemes: frozenset[str], is_page: bool) -> MirrorList:
    lines = list(islice(plain_lines(text), MAX_ADDRESSES + 1))
    if len(lines) > MAX_ADDRESSES:
        raise ListUnusable(f"the list has more than {MAX_ADDRESSES:,} lines")
    left_out: Counter[LeftOut] = Counter()
    mirrors = ranked(read_mirrorlist(lines, schemes, left_out))
    if not mirrors:
        looks_so = is_page or _PAGE.search(text, 0, 4096)
        raise ListUnusable(_WEB_PAGE if lines and looks_so else nothing_usable(left_out))
    return MirrorList("mirrorlist", mirrors, left_out=tuple(left_out.items()))


def _text_of(content: bytes) -> str:
    """Decode a list. What it says of its own coding is not asked for: all that counts is ASCII."""
    if len(content) > MAX_LIST_BYTES:
        raise ListUnusable(f"the list is longer than {MAX_LIST_BYTES:,} bytes")
    if content.startswith(_COMPRESSED):
        raise ListUnusable("what came is compressed and no list of mirrors")
    text = _decoded(content)
    if "\0" in text:
        raise ListUnusable("what came is no text")
    return text


def _decoded(content: bytes) -> str:
    for mark, coding in _MARKS:
        if content.startswith(mark):
            try:
                return content[len(mark) :].decode(coding)
            except UnicodeDecodeError as error:
                raise ListUnusable("what came is no text") from error
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
