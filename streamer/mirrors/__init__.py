"""Lists of mirrors: bytes or fields in, frozen records out.

Separate from the importers, which fetch a list, keep it and ask the mirrors on it: what a stranger
wrote is read here, where there is no network, no file and no clock, so it can be tried with
anything. A list only proposes. What it says of a file, digests and pieces included, is a claim of
whoever sent it, and the catalog's digest decides.

Bounds: `MAX_LIST_BYTES` of a list, `MAX_ADDRESSES` named in it, `MAX_URL_CHARACTERS` of a URL or a
name, `MAX_LINKS` of one response; of XML `MAX_TAGS`, `MAX_DEPTH`, `MAX_ATTRIBUTES`,
`MAX_TOKEN_CHARACTERS` and `MAX_TEXT_CHARACTERS`. A list beyond one of them is refused as a whole,
an entry beyond one is left out and counted.
Nothing is written anew: a URL is used as it stands in the list, or not at all.

Reading order: `records`, `addresses`, `lists`, then `mirrorlists`, `metalinks` with `elements` and
`digests`, and `links`.
"""

from __future__ import annotations

from streamer.mirrors.addresses import base_of, has_variable, is_below, is_safe_name, join
from streamer.mirrors.digests import field_digests
from streamer.mirrors.links import linked_mirrors
from streamer.mirrors.lists import read_list
from streamer.mirrors.records import (
    UNSTATED_PRIORITY,
    LeftOut,
    ListUnusable,
    Mirror,
    MirrorList,
    OfferedFile,
    Pieces,
    Version,
)

__all__ = [
    "UNSTATED_PRIORITY",
    "LeftOut",
    "ListUnusable",
    "Mirror",
    "MirrorList",
    "OfferedFile",
    "Pieces",
    "Version",
    "base_of",
    "field_digests",
    "has_variable",
    "is_below",
    "is_safe_name",
    "join",
    "linked_mirrors",
    "read_list",
]
