"""Content held against a claim, piece by piece: what it contradicts is not passed on at once.

Strategy. A piece is held until all of it has come. Where its digest is the one that is claimed it
passes, and only then the verifier within sees it, so the digest that was published is computed as
if nothing else had ever come. Where it is another one, either the content is wrong or the claim is.
So the piece is forgotten and asked for again. Where the same bytes come a second time, from
whomever, the claim has two witnesses against it: it is dropped, and the rest passes as if there had
been none. So what a claim keeps back for good is wrong.

After a mere break a piece that has begun is kept, and goes on with what comes then: where content
breaks off within each piece it would else never get further. So a piece may be of two senders, and
nobody is to blame for it. Nor is anybody else, since who is contradicted by a wrong claim is right:
a `PieceDoubted` is no `ContentMismatch`.

Not every origin can be asked for a piece again, so content of one that does not say so is not held
against a claim (`applies`). Refuses nothing itself: what no piece is claimed of, bytes beyond the
last one included, the verifier within judges, and all that it says is final.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NoReturn

from streamer.errors import OriginError, PieceDoubted, SizeMismatch
from streamer.model import Artifact, OriginResponse
from streamer.pieces.claims import Claim
from streamer.verify import Verifier

MAX_OBJECTIONS = 8
"""Of one transfer, then the claim is dropped as well: each costs a piece, and origins that send
something else each time would have it asked for without end."""


JOINED_BYTES = 4 * 1024
"""Up to which size chunks are joined while they wait: an origin may send a byte at a time, each an
object of its own. Larger ones pass uncopied."""


def applies(claim: Claim, artifact: Artifact, response: OriginResponse) -> bool:
    """Whether a claim is about the artifact, and a piece could be had again where it comes from.

    A right piece that a wrong claim denies would else be the end of the transfer.
    """
    values = [value for name, value in response.fields if name.lower() == "accept-ranges"]
    units = [unit.strip().lower() for value in values for unit in value.split(",")]
    return "bytes" in units and claim.is_about(artifact)


class ClaimVerifier:
    """A `verify.Verifier` of all content, from its first byte, that doubts what a claim denies.

    The claim has to be about the content that the one within verifies (`Claim.is_about`). At most
    one piece is held.
    """

    def __init__(self, claim: Claim, content: Verifier) -> None:
        self._claim: Claim | None = claim
        self._content = content
        self._piece = 0
        self._objections = 0
        self._contradictions: set[bytes] = set()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._passed: list[bytes] = []
        self._is_objecting = False
        self._begin_piece(claim)

    @property
    def is_proving(self) -> bool:
        """Whether it was the claim alone that objected, so that others may go on."""
        return self._is_objecting

    @property
    def position(self) -> int:
        """See `verify.Verifier`; an objection puts it back to the beginning of the piece."""
        return self._content.position + self._held_bytes

    def update(self, chunk: bytes) -> Sequence[bytes]:
        """Hold the next bytes, and give the pieces that are complete and not in doubt.

        Raises `PieceDoubted`, and what the verifier within raises.
        """
        start = 0
        while self._claim is not None and start < len(chunk):
            part = chunk[start : start + self._piece_bytes - self._held_bytes]
            start += len(part)
            self._hold(part)
            if self._held_bytes == self._piece_bytes:
                self._end_piece(self._claim)
        if start < len(chunk):
            self._passed += self._content.update(chunk[start:])
        return self._take_passed()

    def finish(self, failure: OriginError | None = None) -> None:
        """See `verify.Verifier`; with a piece that is not complete, content is not."""
        if self._claim is not None and self._held:
            raise failure or SizeMismatch(self._claim.size, self.position)
        self._content.finish(failure)

    def break_off(self) -> Sequence[bytes]:
        """Give the pieces before one in doubt; one that is not complete stays."""
        self._is_objecting = False
        return [*self._take_passed(), *self._content.break_off()]

    def _begin_piece(self, claim: Claim) -> None:
        start = self._piece * claim.piece_bytes
        self._piece_bytes = min(claim.piece_bytes, claim.size - start)
        self._digest = hashlib.new(claim.algorithm, usedforsecurity=False)
        self._held.clear()
        self._held_bytes = 0

    def _hold(self, part: bytes) -> None:
        self._digest.update(part)
        self._held_bytes += len(part)
        if self._held and len(self._held[-1]) + len(part) <= JOINED_BYTES:
            self._held[-1] += part
        else:
            self._held.append(part)

    def _end_piece(self, claim: Claim) -> None:
        found = self._digest.digest()
        is_as_claimed = found == claim.digest(self._piece)
        is_news = found not in self._contradictions and self._objections < MAX_OBJECTIONS
        if not is_as_claimed and is_news:
            self._object(claim, found)
        piece, self._held, self._held_bytes = self._held, [], 0
        for part in piece:
            self._passed += self._content.update(part)
        self._contradictions.clear()
        self._piece += 1
        if is_as_claimed and self._content.position < claim.size:
            self._begin_piece(claim)
        else:
            self._claim = None

    def _object(self, claim: Claim, found: bytes) -> NoReturn:
        self._objections += 1
        self._contradictions.add(found)
        self._begin_piece(claim)
        self._is_objecting = True
        raise PieceDoubted(self._content.position)

    def _take_passed(self) -> Sequence[bytes]:
        passed, self._passed = self._passed, []
        return passed
