"""Mirrors that an origin names beside its content: `Link` with `rel=duplicate` (RFC 6249).

The grammar is that of RFC 8288 section 3, read as its appendix B.2 reads it: what follows a fault
in a field's value is not read, what stands before it is. Never raises, since a response is not
worse for what it says of mirrors.

`pref` and `depth` are not used: the one speaks of entity tags, which are the catalog's here, and
what a mirror's base is follows from the URL and the file's own path (`addresses.base_of`).
RFC 6249 wants a digest beside the links; here the catalog has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from streamer.mirrors.addresses import SCHEMES, url_fault
from streamer.mirrors.records import MAX_PRIORITY, UNSTATED_PRIORITY, Mirror, ranked
from streamer.model import Fields

MAX_LINKS = 100
"""Of one response; mirrorbits and MirrorBrain send ten or twenty."""

_TARGET = re.compile(r"[ \t,]*+<([^<>]*)>")
_PARAMETER = re.compile(
    r"[ \t]*+;[ \t]*+([^ \t=;,]*+)[ \t]*+"
    r'(?:=[ \t]*+(?:"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)|([^ \t;,]*+)))?',
    re.DOTALL,
)
_END = re.compile(r"[ \t]*+(?:,|\Z)")
_ESCAPED = re.compile(r"\\(.)")
_NUMBER = re.compile(r"[0-9]{1,6}", re.ASCII)
_COUNTRY = re.compile(r"[A-Za-z]{2}")


def linked_mirrors(fields: Fields, schemes: frozenset[str] = SCHEMES) -> tuple[Mirror, ...]:
    """Find where else the content of a response lies: URLs of that file, the best one first.

    Links with an anchor are about something else, and relative ones are not of another server.
    """
    values = (value for name, value in fields if name.lower() == "link")
    links = (link for value in values for link in _links(value))
    found = (_mirror(target, params) for target, params in links if _is_duplicate(params))
    return ranked(
        mirror for mirror in islice(found, MAX_LINKS) if url_fault(mirror.url, schemes) is None
    )


def _links(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give each target in a field's value, with its parameters by their names in lower case."""
    position = 0
    while target := _TARGET.match(value, position):
        position = target.end()
        params: dict[str, str] = {}
        while param := _PARAMETER.match(value, position):
            position = param.end()
            name, quoted, token = param.groups()
            plain = _ESCAPED.sub(r"\1", quoted) if quoted is not None else token or ""
            # RFC 8288 section 3.3: of a repeated `rel` the first counts.
            params.setdefault(name.lower(), plain)
        yield target[1], params
        if not _END.match(value, position):
            return


def _is_duplicate(params: dict[str, str]) -> bool:
    return "duplicate" in params.get("rel", "").lower().split() and "anchor" not in params


def _mirror(target: str, params: dict[str, str]) -> Mirror:
    stated = params.get("pri", "")
    priority = int(stated) if _NUMBER.fullmatch(stated) else 0
    country = params.get("geo", "")
    return Mirror(
        target,
        priority if 1 <= priority <= MAX_PRIORITY else UNSTATED_PRIORITY,
        country.lower() if _COUNTRY.fullmatch(country) else None,
    )
