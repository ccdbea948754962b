"""Which paths can be in a catalog, and how a requested path falls into base path and rest.

Pure, so that publishing and looking up cannot disagree. What a client asks for is never an error
here: a path that could not be published is merely not published.
"""

from __future__ import annotations

import re

from streamer.errors import OperationRefused

MAX_PATH_BYTES = 2048
"""A PostgreSQL index entry ends at 2,704 bytes; file systems end at 4,096 for a whole path."""

MAX_BASE_PATH_SEGMENTS = 32
"""Bounds the base paths that one look-up asks for."""

_UNSTORABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
_IMPORTER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


def is_storable(path: str) -> bool:
    """Whether a path is free of controls, NUL and lone surrogates, and not too long for a key."""
    return not _UNSTORABLE.search(path) and len(path.encode()) <= MAX_PATH_BYTES


def checked_base_path(base_path: str) -> str:
    """Return a base path as it is, or refuse it with the reason."""
    segments = base_path.split("/")
    if not is_storable(base_path):
        raise OperationRefused(f"the base path {base_path!r} holds controls or is too long")
    if any(segment in ("", ".", "..") for segment in segments):
        raise OperationRefused(
            f"the base path {base_path!r} must be relative, without empty, '.' or '..' segments"
        )
    if len(segments) > MAX_BASE_PATH_SEGMENTS:
        raise OperationRefused(f"a base path has at most {MAX_BASE_PATH_SEGMENTS} segments")
    return base_path


def checked_importer_name(name: str) -> str:
    """Return an importer's name as it is, or refuse it."""
    if not _IMPORTER_NAME.fullmatch(name):
        raise OperationRefused(
            f"the importer name {name!r} must be letters, digits, '.', '_' and '-', "
            "and begin with a letter or digit"
        )
    return name


def possible_base_paths(path: str) -> list[str]:
    """Every base path under which `path` may lie, itself included, the shortest first."""
    segments = path.split("/", MAX_BASE_PATH_SEGMENTS)[:MAX_BASE_PATH_SEGMENTS]
    return ["/".join(segments[: count + 1]) for count in range(len(segments))]


def below(base_path: str, path: str) -> str:
    """The rest of `path` below `base_path`, empty for the base path itself."""
    return path[len(base_path) + 1 :]
