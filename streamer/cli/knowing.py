"""What is known of an artifact's pieces, and if nothing is, why not.

Separate because two commands ask: `resolve --explain` for a sentence, `fetch --learn` to leave out
what cannot be learned, or does not need to be. It repeats what `pieces` and the settings decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum

from streamer.cli.frame import size_text
from streamer.learned import PieceStore, store_of
from streamer.learned.failures import StoreUnavailable
from streamer.model import Artifact
from streamer.pieces.table import LEAF_BYTES, MAX_SIZE, is_learnable, leaf_count
from streamer.settings import Settings


class Unlearnable(Enum):
    """Why an artifact has no table; its value follows a number of artifacts."""

    HELD = "held in the catalog"
    WEAK = "of a weak digest"
    SIZELESS = "of unknown size"
    SMALL = "verified whole anyway, as they are small"
    LARGE = f"larger than {size_text(MAX_SIZE)}"


def why_unlearnable(artifact: Artifact, small_bytes: int, *, held: bool) -> Unlearnable | None:
    """The first reason against a table; None where one can be learned."""
    if held:
        return Unlearnable.HELD
    if is_learnable(artifact, small_bytes):
        return None
    if not artifact.digest.is_strong:
        return Unlearnable.WEAK
    if artifact.size is None:
        return Unlearnable.SIZELESS
    return Unlearnable.SMALL if artifact.size <= small_bytes else Unlearnable.LARGE


def pieces_reasons(artifact: Artifact, settings: Settings) -> Iterator[str]:
    """What an operator should know of the pieces of an artifact that is not held."""
    store = store_of(settings)
    reason = why_unlearnable(artifact, settings.delivery.small_bytes, held=False)
    if reason is Unlearnable.SMALL:
        yield "it is verified whole before it is sent, since it is no larger than delivery.small"
    elif store is None:
        yield "nothing is known of its pieces: pieces.enabled is false"
    elif reason is not None:
        yield f"its pieces cannot be learned: {_WHY[reason].format(artifact)}"
    else:
        yield _stored(store, artifact)


_WHY = {
    Unlearnable.WEAK: "a digest of {0.digest.algorithm} proves nothing",
    Unlearnable.SIZELESS: "its size is not known",
    Unlearnable.LARGE: f"it is larger than {size_text(MAX_SIZE)}",
}


def _stored(store: PieceStore, artifact: Artifact) -> str:
    try:
        is_known = bool(known_tables(store, [artifact]))
    except StoreUnavailable as error:
        return f"whether its pieces are known cannot be seen: {store} cannot be read: {error}"
    finally:
        store.close()
    if not is_known:
        return (
            "its pieces are not known: it was never fetched whole since they are kept, or they "
            "had to make room; the next whole transfer, or fetch --learn, learns them"
        )
    leaves = f"{leaf_count(artifact.size or 0):,} leaves of {size_text(LEAF_BYTES)}"
    return f"its pieces are known: {leaves}; ranges and wholes are verified before they are sent"


def known_tables(store: PieceStore, artifacts: Iterable[Artifact]) -> dict[str, int]:
    """The digests of those that have a table, and the day when each was used last.

    A damaged row is none.
    """
    found = ((each.digest, store.read(str(each.digest), each.size or 0)) for each in artifacts)
    return {
        str(digest): row.used for digest, row in found if row is not None and row.table is not None
    }
