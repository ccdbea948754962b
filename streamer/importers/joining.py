"""Where the URL of a source, or the path of a client, lies: at the URL of its importer.

Byte for byte, as both were written: what an escape or a dot segment means is the origin's to say. A
source may lead anywhere, since an operator wrote it; a client's path stays below the URL or is
refused.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VISIBLE = re.compile(r"[\x21-\x7e]*")


def join_url(base: str, url: str) -> str:
    """Put a source's URL below an importer's, byte for byte as both were written.

    Not `urljoin`, which would take `libc-1:2.3.deb` for a URL of scheme `libc-1` and drop the last
    segment of a base without a slash.
    """
    if _ABSOLUTE.match(url):
        return url
    if url.startswith("/"):
        parts = urlsplit(base)
        return f"{parts.scheme}://{parts.netloc}{url}"
    return f"{base.rstrip('/')}/{url}"


def join_below(base: str, path: str) -> str:
    """Put a client's path behind an importer's URL, and nowhere else (byte for byte, too).

    Raises `ValueError` where some server might understand it to lead out again: dot segments,
    however they are written, and encoded slashes; and where it is no path.
    """
    segments = re.split(r"[/\\]", path.partition("?")[0])
    # What stands behind a semicolon some servers take off before they look for dot segments.
    names = [unquote(segment, "latin-1").partition(";")[0] for segment in segments]
    leads_out = any(name in (".", "..") or "/" in name or "\\" in name for name in names)
    if leads_out or path.startswith(("/", "\\")) or "#" in path or not _VISIBLE.fullmatch(path):
        raise ValueError("the path would not stay below the importer's URL")
    return f"{base.rstrip('/')}/{path}"
