"""Metalinks of version 3, as Fedora's MirrorManager sends them, and of version 4 (RFC 5854).

The versions differ in where things stand and in what a better mirror is called; the rest is read
once for both. A base is what stands before a file's own path at the end of its URL.

Refuses to use a URL that leads to a torrent or another metalink, and a file whose name would lead
out of where it is put. What a publisher says of itself, its own URL included, is not a mirror.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from streamer.mirrors.addresses import base_fault, base_of, is_safe_name, url_fault
from streamer.mirrors.digests import agreed, algorithm_of, read_hex
from streamer.mirrors.elements import Document, Element, parse_document
from streamer.mirrors.records import (
    MAX_PRIORITY,
    UNSTATED_PRIORITY,
    Kind,
    LeftOut,
    ListUnusable,
    Mirror,
    MirrorList,
    OfferedFile,
    Pieces,
    Version,
    nothing_usable,
    ranked,
)
from streamer.model import STRONG_ALGORITHMS, WEAK_ALGORITHMS, Digest
from streamer.pieces.claims import Claim

NAMESPACE_3 = "http://www.metalinker.org/"
NAMESPACE_4 = "urn:ietf:params:xml:ns:metalink"

_BEST_PREFERENCE = 100
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_TRANSFERS = ("", "http", "https", "ftp", "ftps")  # what a type of metalink 3 may say


@dataclass(frozen=True, slots=True)
class _Part:
    """A file of a metalink, and which of its elements hold its digests and its URLs."""

    file: Element
    verification: Element
    resources: Element


def read_metalink(
    text: str, own_path: str | None, schemes: frozenset[str], max_addresses: int
) -> MirrorList:
    """Read a metalink; see `lists.read_list` for `own_path` and what is raised."""
    document = parse_document(text)
    kind = _kind(document)
    parts = _parts(document.root, kind)
    if sum(len(part.resources.all("url")) for part in parts) > max_addresses:
        raise ListUnusable(f"the list has more than {max_addresses:,} addresses")
    left_out: Counter[LeftOut] = Counter()
    read_priority = _priority_of_4 if kind == "metalink 4" else _priority_of_3
    urls = _Urls(schemes, read_priority, left_out)
    files = [_file(part, urls, left_out) for part in parts if _has_name(part, left_out)]
    if not any(file.urls for file in files):
        raise ListUnusable(nothing_usable(left_out))
    bases = [base for file in files for base in _bases(file, own_path, schemes, left_out)]
    claims = _claims(files, own_path)
    return MirrorList(kind, ranked(bases), tuple(files), tuple(left_out.items()), claims)


def _kind(document: Document) -> Kind:
    if document.namespace == NAMESPACE_4:
        return "metalink 4"
    stated = document.root.attributes.get("version", "")
    if document.namespace == NAMESPACE_3 or (not document.namespace and stated.startswith("3.")):
        return "metalink 3"
    raise ListUnusable("the list is a metalink of a version that is not known")


def _parts(root: Element, kind: Kind) -> list[_Part]:
    if kind == "metalink 4":
        return [_Part(file, file, file) for file in root.all("file")]
    files = root.child("files").all("file")
    return [_Part(file, file.child("verification"), file.child("resources")) for file in files]


def _has_name(part: _Part, left_out: Counter[LeftOut]) -> bool:
    if is_safe_name(part.file.attributes.get("name", "")):
        return True
    left_out[LeftOut.UNSAFE_NAME] += 1
    return False


# -- what is claimed of a file ---------------------------------------------------------------------


def _file(part: _Part, urls: _Urls, left_out: Counter[LeftOut]) -> OfferedFile:
    current = _version(part.file, part.verification, left_out)
    older = (
        _version(alternate, alternate.child("verification"), left_out)
        for alternate in part.file.child("mm0:alternates").all("mm0:alternate")
    )
    return OfferedFile(
        name=part.file.attributes["name"],
        current=current,
        older=tuple(older),
        pieces=tuple(_pieces(part.verification, current.size, left_out)),
        urls=urls.read(part),
    )


def _version(stated: Element, verification: Element, left_out: Counter[LeftOut]) -> Version:
    known = [
        (algorithm, read_hex(algorithm, element.text))
        for element in verification.all("hash")
        if (algorithm := algorithm_of(element.attributes.get("type", "")))
    ]
    digests = agreed(Digest(algorithm, value) for algorithm, value in known if value)
    if len(digests) < len(known):
        left_out[LeftOut.DIGEST] += 1
    return Version(
        size=_number(stated.child("size").text),
        digests=digests,
        timestamp=_number(stated.child("mm0:timestamp").text),
    )


def _pieces(
    verification: Element, size: int | None, left_out: Counter[LeftOut]
) -> Iterator[Pieces]:
    for element in verification.all("pieces"):
        algorithm = algorithm_of(element.attributes.get("type", ""))
        if algorithm is None:
            continue
        length = _number(element.attributes.get("length", "")) or 0
        values = [read_hex(algorithm, child.text) for child in _in_order(element.all("hash"))]
        if values and all(values) and _make_up(len(values), length, size):
            yield Pieces(length, algorithm, tuple(value for value in values if value))
        else:
            left_out[LeftOut.PIECES] += 1


def _in_order(hashes: list[Element]) -> list[Element]:
    """Version 3 numbers them, version 4 does not; what is not in order makes up no file."""
    numbers = [element.attributes.get("piece") for element in hashes]
    in_order = all(number in (None, str(place)) for place, number in enumerate(numbers))
    return hashes if in_order else []


def _make_up(count: int, length: int, size: int | None) -> bool:
    return length > 0 and (size is None or -(-size // length) == count)


def _claims(files: Iterable[OfferedFile], own_path: str | None) -> dict[str, Claim]:
    """The claims about each path that one file has; of two files nobody knows which lies there."""
    places: dict[str, list[OfferedFile]] = {}
    for file in files:
        places.setdefault(_place_below(file.name, own_path), []).append(file)
    return {
        place: claim
        for place, (file, *others) in places.items()
        if not others and (claim := _claim(file)) is not None
    }


def _claim(file: OfferedFile) -> Claim | None:
    """The pieces of a file that say most, if any can be used; without a size none can."""
    current = file.current
    order = STRONG_ALGORITHMS + WEAK_ALGORITHMS
    for pieces in sorted(file.pieces, key=lambda each: order.index(each.algorithm)):
        digests = bytes.fromhex("".join(pieces.digests))
        with suppress(ValueError):
            return Claim(
                current.size or 0, pieces.algorithm, pieces.length, digests, current.digests
            )
    return None


def _number(text: str) -> int | None:
    return int(text) if _NUMBER.fullmatch(text := text.strip()) else None


# -- where it can be had --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Urls:
    """Reads the URLs of files."""

    schemes: frozenset[str]
    priority_of: Callable[[Element], int | None]
    left_out: Counter[LeftOut]

    def read(self, part: _Part) -> tuple[Mirror, ...]:
        for _ in part.resources.all("metaurl"):
            self.left_out[LeftOut.OTHER_METADATA] += 1
        found = (self._mirror(element) for element in part.resources.all("url"))
        return ranked(mirror for mirror in found if mirror)

    def _mirror(self, element: Element) -> Mirror | None:
        url = element.text.strip()
        fault = url_fault(url, self.schemes)
        if fault is None and element.attributes.get("type", "").lower() not in _TRANSFERS:
            fault = LeftOut.OTHER_METADATA
        if fault is not None:
            self.left_out[fault] += 1
            return None
        country = element.attributes.get("location", "")
        location = country.lower() if _COUNTRY.fullmatch(country) else None
        return Mirror(url, self.priority_of(element) or UNSTATED_PRIORITY, location)


def _priority_of_4(element: Element) -> int | None:
    """RFC 5854 section 4.2.16: 1 is the best, 999999 the worst."""
    stated = _number(element.attributes.get("priority", ""))
    return stated if stated is not None and 1 <= stated <= MAX_PRIORITY else None


def _priority_of_3(element: Element) -> int | None:
    """100 is the best preference, and here the priority 1."""
    stated = _number(element.attributes.get("preference", ""))
    if stated is None or stated > _BEST_PREFERENCE:
        return None
    return _BEST_PREFERENCE + 1 - stated


def _bases(
    file: OfferedFile, own_path: str | None, schemes: frozenset[str], left_out: Counter[LeftOut]
) -> Iterator[Mirror]:
    path = _place_below(file.name, own_path)
    for mirror in file.urls:
        base = base_of(mirror.url, path) or ""
        fault = base_fault(base, schemes) if base else LeftOut.NO_BASE
        if fault is None:
            yield replace(mirror, url=base)
        else:
            left_out[fault] += 1


def _place_below(name: str, own_path: str | None) -> str:
    """Where a file lies below a mirror's base; `own_path` says it of its own file alone."""
    last = name.rpartition("/")[2]
    if own_path and own_path.rpartition("/")[2] == last:
        return own_path
    return f"repodata/{last}" if last == "repomd.xml" else name
