"""What somebody outside says of the pieces of some content: a claim, which proves nothing.

Whoever offers a list of mirrors may offer digests of a file's pieces with it. They may be of
another version of the file, damaged, or made up; so the digest that was published decides, as
without them. A claim is good for one thing, to suspect a piece before it is sent (`claiming`). It
belongs to the exchange whose importer offered it: it is never shared, learned or stored.

Here is what such a claim has to look like to be used at all, and which content it is about. Weak
algorithms are fine, since a match is believed in no case.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streamer.model import Artifact, Digest

ALGORITHMS = {"sha256": 32, "sha512": 64, "sha384": 48, "sha224": 28, "sha1": 20, "md5": 16}
"""And how many bytes a digest has."""

MIN_PIECE_BYTES = 16 * 1024
"""Shorter ones are not met, and cost more than they save."""

MAX_PIECE_BYTES = 1024**2
"""A piece is in memory until all of it has come, and a client sees nothing meanwhile: from an
origin that is just not too slow to be kept, 16 s. MirrorBrain's have 256 KiB; those of 4 MiB that
some archives offer would let clients give up."""

MAX_PIECES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """The digests of all pieces of `size` bytes, one behind the other; the last may be shorter.

    `whole` is what the same source says of the content as a whole. Raises `ValueError`, which says
    what is wrong, for pieces that do not make up the content or are beyond a bound.
    """

    size: int
    algorithm: str
    piece_bytes: int
    digests: bytes = field(repr=False)
    whole: tuple[Digest, ...] = ()

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError("the algorithm of the pieces is not known")
        if not MIN_PIECE_BYTES <= self.piece_bytes <= MAX_PIECE_BYTES:
            raise ValueError(
                f"a piece has fewer than {MIN_PIECE_BYTES:,} or more than {MAX_PIECE_BYTES:,} bytes"
            )
        count = -(-self.size // self.piece_bytes)
        if not 0 < count <= MAX_PIECES:
            raise ValueError(f"there are no pieces, or more than {MAX_PIECES:,}")
        if len(self.digests) != count * ALGORITHMS[self.algorithm]:
            raise ValueError("there is not one digest for each piece")

    def digest(self, piece: int) -> bytes:
        """What a piece, counted from 0, is said to have."""
        length = ALGORITHMS[self.algorithm]
        return self.digests[piece * length : (piece + 1) * length]

    def is_about(self, artifact: Artifact) -> bool:
        """Whether it may be about this artifact: the same size, and no other digest.

        Without a published size nobody knows where the last piece ends.
        """
        said = {digest.algorithm: digest for digest in self.whole}
        agrees = all(said.get(each.algorithm, each) == each for each in artifact.digests)
        return artifact.size == self.size and agrees
