"""The digests of all leaves of some content, and which leaf is where.

A leaf is 64 KiB: 32 bytes for each make a table of a two-thousandth of the content. About as much
comes with one read of a socket, so whoever proves leaf by leaf hardly waits longer than whoever
does not. The size is fixed, since two processes share what they learn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.model import Artifact
from streamer.ranges import ByteRange

LEAF_BYTES = 64 * 1024

DIGEST_BYTES = 32
"""Of a leaf, as BLAKE3 gives them."""

MAX_SIZE = 16 * 1024**3
"""What is larger is not learned: its table of 8 MiB is in memory during each of its transfers."""


@dataclass(frozen=True, slots=True)
class Table:
    """The BLAKE3 digests of all leaves of `size` bytes, one behind the other.

    Raises `ValueError` where there are more or fewer digests than leaves.
    """

    size: int
    digests: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.digests) != leaf_count(self.size) * DIGEST_BYTES:
            raise ValueError("the table has not one digest for each leaf")

    def digest(self, leaf: int) -> bytes:
        """What a leaf, counted from 0, has to have."""
        return self.digests[leaf * DIGEST_BYTES : (leaf + 1) * DIGEST_BYTES]


def leaf_count(size: int) -> int:
    """How many leaves `size` bytes have; the last may be shorter than the others."""
    return -(-size // LEAF_BYTES)


def is_learnable(artifact: Artifact, small_bytes: int) -> bool:
    """Whether a table of this artifact is trustworthy, and of use.

    A weak digest proves nothing. What is small is verified whole before it is sent.
    """
    size = artifact.size
    return artifact.digest.is_strong and size is not None and small_bytes < size <= MAX_SIZE


def aligned(span: ByteRange, size: int) -> ByteRange:
    """The leaves that cover a span of `size` bytes."""
    end = (span.last // LEAF_BYTES + 1) * LEAF_BYTES
    return ByteRange(span.first // LEAF_BYTES * LEAF_BYTES, min(end, size) - 1)
