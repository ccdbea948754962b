"""Read a request target: from raw bytes to the one path that the catalog is asked for.

Separate, and decided before any routing, because every framework on the way would be helpful:
decode twice, join `//`, follow dot segments, redirect by the Host field. Here a path is taken as
it was sent: split on `/`, each segment percent-decoded once (RFC 3986 section 2.4), strictly
UTF-8. What cannot be decoded is 400; what decodes to a name that can never be published is 404.
Neither is ever echoed.

An origin of a pass-through distribution sees what the client wrote, byte for byte. Not every server
reads it as strictly as this module: what one that decodes twice, or cuts something off a name,
would read as a way out of the folder is 404, and so is a backslash, which some take for a slash.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from streamer.errors import PathNotPublished, TargetMalformed

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_VISIBLE = re.compile(rb"[\x21-\x7e]*")
_LEADING_OUT = re.compile(
    rb"[\x00-\x1f\x7f\\]"
    rb"|[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]"  # overlong UTF-8, of `.` or `/` among others
    rb"|(?:^|/)\.\.?(?:[/;?# ]|$)"  # also where parameters, a query or spaces are cut off
)

MAX_DECODINGS = 4
"""How often a segment for an origin is decoded to see what comes out; who goes further hides it."""


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


def below_base_path(raw: bytes, prefix: str, base_path: str) -> str:
    """What lies below a base path, byte for byte as the client wrote it, for an origin.

    `raw` is a target that `read_target` has taken, and that lies below the base path. Raises
    `PathNotPublished` where some origin might find something outside of its folder.
    """
    above = len([name for name in f"{prefix}/{base_path}".split("/") if name])
    segments = raw[1:].split(b"/")[above:]
    path = b"/".join(segments)
    if any(map(_may_climb, segments)) or b"?" in path or not _VISIBLE.fullmatch(path):
        raise PathNotPublished
    return path.decode("ascii")


def _may_climb(segment: bytes) -> bool:
    """Whether some server might read a segment as `.` or `..`, or as something that holds one."""
    for _ in range(MAX_DECODINGS):
        if _LEADING_OUT.search(segment):
            return True
        segment, before = unquote_to_bytes(segment), segment
        if segment == before:
            return False
    return True


def is_query(raw: bytes) -> bool:
    """Whether an origin may be sent these bytes as a query: visible ASCII, and some of it."""
    return bool(raw) and _VISIBLE.fullmatch(raw) is not None and b"#" not in raw


def folder_location(raw: bytes) -> str:
    """The relative reference to a target's folder form: the last segment and a slash.

    It begins with `./`, so neither a colon in the name nor a leading slash can turn it into an
    absolute or protocol-relative reference (RFC 3986 section 4.2).
    """
    segment = raw.rsplit(b"/", 1)[-1]
    return f"./{quote(unquote_to_bytes(segment))}/"
