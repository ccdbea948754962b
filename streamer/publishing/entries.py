"""Entries as JSON lines: one object for one published path (INTERFACE, *Entries*).

The shape of a line is a pydantic model; what the values mean is decided by `values`, and what
follows from several of them together by the functions below. Refuses a line rather than guess:
an unknown or repeated key, a digest that proves nothing, held content that is not what it says.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from streamer.errors import EntryRejected
from streamer.kinds import cache_kind, media_type
from streamer.model import Artifact, CacheKind, Digest, DownloadConfig, Entry, EntrySource
from streamer.publishing.lines import MAX_LINE_BYTES, Report, numbered_text, raise_rejection
from streamer.publishing.values import (
    ValueRefused,
    check_media_type,
    check_path,
    check_url,
    read_date,
    read_digests,
    shown,
)

MAX_HELD_BYTES = 32 * 1024**2
MAX_PLAIN_LINE_CHARACTERS = 1024**2
"""A line without held content is a path, some digests and some URLs."""

FindImporter = Callable[[str], DownloadConfig | None]
FindSchemes = Callable[[DownloadConfig], frozenset[str]]

_HTTP_SCHEMES = frozenset({"http", "https"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class _SourceLine(_Strict):
    url: str
    importer: str | None = None
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = 0


class _Line(_Strict):
    path: str
    digests: dict[str, str] | list[str] | str = {}
    size: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    sources: Annotated[list[_SourceLine], Field(max_length=100)] = []
    content_base64: str | None = None
    content_file: str | None = None
    media_type: str | None = None
    last_modified: int | float | str | None = None
    cache: CacheKind | None = None


@dataclass(frozen=True, slots=True)
class _Context:
    """What a line means depends on the importers there are, and on the folder it stands in."""

    find_importer: FindImporter
    default_importer: DownloadConfig | None
    base_folder: Path
    schemes: FindSchemes


def _http_only(importer: DownloadConfig) -> frozenset[str]:
    return _HTTP_SCHEMES


def parse_entries(
    lines: Iterable[bytes],
    find_importer: FindImporter,
    default_importer: DownloadConfig | None,
    base_folder: Path,
    *,
    schemes: FindSchemes = _http_only,
    report: Report = raise_rejection,
) -> Iterator[Entry]:
    """Read JSON lines into entries; a wrong one is given to `report` and left out.

    A relative `content_file` is looked for in `base_folder`. Sources that name no importer have
    the default one. Without a `report` of the caller's, the first wrong line ends the reading.
    """
    context = _Context(find_importer, default_importer, base_folder, schemes)
    for number, text in numbered_text(lines, MAX_LINE_BYTES, report):
        try:
            yield _entry(number, _read_line(text), context)
        except ValueRefused as error:
            report(EntryRejected(number, str(error)))


# -- the shape of a line -------------------------------------------------------------------------


def _read_line(text: str) -> _Line:
    try:
        line = _Line.model_validate(_decode(text))
    except ValidationError as error:
        raise ValueRefused(_sentence(error)) from None
    if len(text) > MAX_PLAIN_LINE_CHARACTERS and line.content_base64 is None:
        raise ValueRefused(f"is longer than {MAX_PLAIN_LINE_CHARACTERS:,} characters")
    return line


def _decode(text: str) -> object:
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ValueRefused(f"is not JSON at character {error.pos + 1}") from None
    except ValueRefused:
        raise
    except (ValueError, RecursionError):
        raise ValueRefused("is JSON with a number too long or brackets too deep") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueRefused(f"has the key {shown(twice)} twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueRefused(f"is not JSON: {name} is no number")


def _sentence(error: ValidationError) -> str:
    """Name the first thing that is wrong, without the value, which may be secret."""
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if not first["loc"]:
        return "is not a JSON object"
    place = _place(first["loc"])
    if first["type"] == "extra_forbidden":
        return f"has an unknown key {place}; there are {', '.join(_Line.model_fields)}"
    if first["type"] == "missing":
        return f"lacks {place}"
    return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}"


def _place(steps: tuple[int | str, ...]) -> str:
    # Behind `digests` and the like pydantic names the branch of the union it tried.
    steps = steps if steps[0] == "sources" else steps[:1]
    return ".".join(str(step) if isinstance(step, int) else shown(step)[1:-1] for step in steps)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


# -- its meaning ---------------------------------------------------------------------------------


def _entry(number: int, line: _Line, context: _Context) -> Entry:
    path = check_path(line.path)
    stated = _stated_digests(line.digests)
    content = _held_content(line, context.base_folder)
    importers, sources = _sources(line, context)
    if content is None:
        digests, size = _promised(stated, importers), line.size
    else:
        digests, size = _checked_content(content, stated, line.size), len(content)
    kind = media_type(path) if line.media_type is None else check_media_type(line.media_type)
    return Entry(
        line=number,
        path=path,
        artifact=Artifact(digests, size, kind),
        cache=line.cache or cache_kind(path, stated or digests),
        last_modified=None if line.last_modified is None else read_date(line.last_modified),
        sources=sources,
        content=content,
    )


def _stated_digests(stated: Mapping[str, str] | list[str] | str) -> tuple[Digest, ...]:
    return read_digests(stated.split() if isinstance(stated, str) else stated)


def _sources(
    line: _Line, context: _Context
) -> tuple[list[DownloadConfig], tuple[EntrySource, ...]]:
    is_held = line.content_base64 is not None or line.content_file is not None
    if is_held and line.sources:
        raise ValueRefused("has both sources and content of its own")
    if not (is_held or line.sources):
        raise ValueRefused("lacks sources (or content_base64 or content_file)")
    importers = [_importer(source.importer, context) for source in line.sources]
    sources = tuple(
        EntrySource(importer.id, check_url(source.url, context.schemes(importer)), source.priority)
        for importer, source in zip(importers, line.sources, strict=True)
    )
    if len({(source.importer_id, source.url) for source in sources}) < len(sources):
        raise ValueRefused("names the same source twice")
    return importers, sources


def _importer(name: str | None, context: _Context) -> DownloadConfig:
    if name is None:
        if context.default_importer is None:
            raise ValueRefused("a source names no importer, and there is no default one")
        return context.default_importer
    # A lone surrogate is no name, and no database takes it.
    importer = context.find_importer(name) if name.isprintable() else None
    if importer is None:
        raise ValueRefused(f"there is no importer {shown(name)}")
    return importer


def _promised(
    stated: tuple[Digest, ...], importers: Iterable[DownloadConfig]
) -> tuple[Digest, ...]:
    """Give the digests to publish: the strong ones, or weak ones where all importers allow it."""
    strong = tuple(digest for digest in stated if digest.is_strong)
    if strong:
        return strong
    if not stated:
        raise ValueRefused("lacks digests")
    for importer in importers:
        if importer.config.get("allow_weak_digests") is not True:
            raise ValueRefused(
                f"has no SHA-2 digest, and importer {shown(importer.name)} does not allow weak ones"
            )
    return stated


# -- held content --------------------------------------------------------------------------------


def _held_content(line: _Line, base_folder: Path) -> bytes | None:
    if line.content_base64 is not None and line.content_file is not None:
        raise ValueRefused("has both content_base64 and content_file")
    if line.content_base64 is not None:
        content = _from_base64(line.content_base64)
    elif line.content_file is not None:
        content = _from_file(base_folder, line.content_file)
    else:
        return None
    if len(content) > MAX_HELD_BYTES:
        raise ValueRefused("its content is larger than 32 MiB; publish it from an importer")
    return content


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueRefused("content_base64 is not base64") from None


def _from_file(base_folder: Path, name: str) -> bytes:
    try:
        path = base_folder / name
        if not path.is_file():  # a pipe or a device might never end
            raise ValueRefused(f"content_file {shown(name)} is not a file")
        with path.open("rb") as file:
            return file.read(MAX_HELD_BYTES + 1)
    except OSError as error:
        raise ValueRefused(f"content_file {shown(name)}: {error.strerror}") from None


def _checked_content(
    content: bytes, stated: tuple[Digest, ...], size: int | None
) -> tuple[Digest, ...]:
    """Compare held content with what is stated of it; give the digests to publish."""
    if size is not None and size != len(content):
        raise ValueRefused(f"states {size} bytes, its content has {len(content)}")
    computed = tuple(map(partial(digest_of, content), (digest.algorithm for digest in stated)))
    for digest, actual in zip(stated, computed, strict=True):
        if digest != actual:
            raise ValueRefused(f"its content does not have the {digest.algorithm} digest it states")
    strong = tuple(digest for digest in stated if digest.is_strong)
    return strong or (digest_of(content, "sha256"),)


def digest_of(content: bytes, algorithm: str) -> Digest:
    """Compute one digest of content that is at hand."""
    hexadecimal = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    return Digest(algorithm, hexadecimal)
