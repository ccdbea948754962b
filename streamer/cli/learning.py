"""`fetch --learn` before and after the reactor: what is meant, and what came of it.

Separate from `learning_ahead`, which needs a reactor and all that stands on it: a path that is not
published, or cannot be learned by its kind, is refused before any of that begins.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamer.catalog import CatalogStore
from streamer.cli.frame import Invocation, size_text
from streamer.cli.progress import show_learning
from streamer.errors import OperationRefused, PathNotPublished
from streamer.model import PassThrough, PublishedArtifact

if TYPE_CHECKING:
    from streamer.cli.learning_ahead import Tally

JOBS, MOST_JOBS = 2, 16
"""How many artifacts are learned at a time: few, since clients come first."""

MOST_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Subjects:
    """Paths, and base paths that stand for all below them; `total` is the number of artifacts."""

    paths: tuple[str, ...]
    base_paths: tuple[str, ...]
    total: int


def learned_all(invocation: Invocation, names: Sequence[str], jobs: int) -> bool:
    """Learn what these name, and tell what came of it; False where some of it failed."""
    # Twisted's reactor and all that stands on it; few commands need it.
    from streamer.cli.learning_ahead import Tally, learn_ahead

    settings = invocation.settings()
    if not settings.pieces.enabled:
        raise OperationRefused("pieces.enabled is false, so nothing would be learned")
    with invocation.store() as store:
        subjects = _subjects(store, list(dict.fromkeys(name.strip("/") for name in names)))
    tally, began_at = Tally(), time.monotonic()
    try:
        with show_learning(subjects.total, silent=invocation.as_json) as show:
            learn_ahead(subjects.paths, subjects.base_paths, settings, tally, show, jobs=jobs)
    except BaseException as error:
        if tally.learned:
            error.add_note(f"{_told(tally)}; the same command goes on with the rest")
        raise
    document = _document(tally) | {"seconds": round(time.monotonic() - began_at, 3)}
    invocation.answer(document, *_lines(tally))
    return not tally.failed


def published_at(store: CatalogStore, path: str, hint: str = "") -> PublishedArtifact:
    """What has to be at `path`, of which there are digests; or a refusal, with a hint."""
    try:
        found = store.resolve(path)
    except PathNotPublished:
        raise OperationRefused(f"nothing is published at {path!r}{hint}") from None
    if isinstance(found, PassThrough):
        raise OperationRefused(
            f"{found.base_path!r} passes through to importer {found.importer.name!r}: nothing says "
            f"what has to be at {path!r}, so it cannot be verified"
        )
    return found


def _subjects(store: CatalogStore, names: Sequence[str]) -> Subjects:
    shown = {info.base_path: info for info in store.distributions()}
    base_paths = tuple(name for name in names if name in shown)
    for name in base_paths:
        if shown[name].current is None:
            raise OperationRefused(
                f"{name!r} passes through to importer {shown[name].importer!r}: nothing says what "
                "has to be there, so nothing of it can be learned"
            )
    paths = tuple(name for name in names if name not in shown)
    for name in paths:
        published_at(store, name, ", and it is no base path")
    currents = [shown[name].current for name in base_paths]
    below = sum(current.entry_count for current in currents if current is not None)
    return Subjects(paths, base_paths, len(paths) + below)


def _document(tally: Tally) -> dict[str, object]:
    return {
        "learned": tally.learned,
        "learned_bytes": tally.learned_bytes,
        "received_bytes": tally.received_bytes,
        "known": tally.known,
        "skipped": dict(tally.skipped),
        "failed": tally.failed,
        "failures": [{"path": path, "why": why} for path, why in tally.failures],
    }


def _told(tally: Tally) -> str:
    return f"learned {_artifacts(tally.learned)} of {size_text(tally.learned_bytes)}"


def _lines(tally: Tally) -> Iterator[str]:
    """What a person reads in the end."""
    yield _told(tally)
    if tally.known:
        yield f"known before: {tally.known:,}"
    for reason, count in tally.skipped.most_common():
        yield f"left out: {count:,} {reason}"
    for path, why in tally.failures[:MOST_SHOWN]:
        yield f"failed: {path}: {why}"
    if (others := tally.failed - MOST_SHOWN) > 0:
        yield f"failed: {others:,} others"


def _artifacts(count: int) -> str:
    return f"{count:,} {'artifact' if count == 1 else 'artifacts'}"
