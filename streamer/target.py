"""Read a request target: from raw bytes to the one path that the catalog is asked for.

Separate, and decided before any routing, because every framework on the way would be helpful:
decode twice, join `//`, follow dot segments, redirect by the Host field. Here a path is taken as
it was sent: split on `/`, each segment percent-decoded once (RFC 3986 section 2.4), strictly
UTF-8. What cannot be decoded is 400; what decodes to a name that can never be published is 404.
Neither is ever echoed.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from streamer.errors import PathNotPublished, TargetMalformed

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def read_target(raw: bytes, prefix: str = "") -> str:
    """Give the path below `prefix`: no leading slash, a trailing one where a folder is meant.

    `raw` is the target without its query. `""` is the root folder. Raises `TargetMalformed` or
    `PathNotPublished`.
    """
    if not raw.startswith(b"/"):
        raise TargetMalformed("it is not an absolute path")
    segments = [_read_segment(segment) for segment in raw[1:].split(b"/")]
    folders, name = segments[:-1], segments[-1]
    if "" in folders or {".", ".."} & set(segments):
        raise PathNotPublished
    return _below(prefix, "".join(f"{folder}/" for folder in folders) + name)


def _read_segment(raw: bytes) -> str:
    if _BROKEN_ESCAPE.search(raw):
        raise TargetMalformed("a percent sign does not begin an escape")
    try:
        segment = unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise TargetMalformed("it is not UTF-8") from None
    if _CONTROL.search(segment):
        raise TargetMalformed("it contains a control character")
    if "/" in segment:
        # An escaped slash is not a separator, and no published name can contain one.
        raise PathNotPublished
    return segment


def _below(prefix: str, path: str) -> str:
    root = prefix.lstrip("/")
    if not root:
        return path
    if path == root:
        return ""
    if not path.startswith(f"{root}/"):
        raise PathNotPublished
    return path[len(root) + 1 :]


def folder_location(raw: bytes) -> str:
    """The relative reference to a target's folder form: the last segment and a slash.

    It begins with `./`, so neither a colon in the name nor a leading slash can turn it into an
    absolute or protocol-relative reference (RFC 3986 section 4.2).
    """
    segment = raw.rsplit(b"/", 1)[-1]
    return f"./{quote(unquote_to_bytes(segment))}/"
