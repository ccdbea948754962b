"""How content is verified: by a table of its pieces where one is known, else by its digest.

Strategy. Whoever has a table needs no digest: what it proves is what somebody once compared with
the digest, byte by byte. Who has none computes one beside the digest, and keeps it when that has
matched. What cannot be learned, or does not need to be, is left to the digest alone.

Separate from `attempt`, which is one try: this is shared by all of them and knows no origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streamer.interfaces import Learned
from streamer.model import Artifact
from streamer.pieces.learning import LearningVerifier
from streamer.pieces.proving import Prover, StrictProver
from streamer.pieces.table import Table, is_learnable
from streamer.ranges import ByteRange
from streamer.verify import Checkpoint, ContentVerifier, Verifier


class Verification:
    """Makes the verifiers of all attempts.

    `small_bytes` is how much is verified whole before any of it is sent; with `also_digest` the
    digest is compared wherever all of the content passes.
    """

    def __init__(self, learned: Learned, *, small_bytes: int, also_digest: bool = False) -> None:
        self._learned = learned
        self._small_bytes = small_bytes
        self._also_digest = also_digest

    async def table(self, artifact: Artifact) -> Table | None:
        """What is known of an artifact's pieces; None at once where nothing can be."""
        if not is_learnable(artifact, self._small_bytes):
            return None
        return await self._learned.table(artifact)

    def by_pieces(
        self,
        artifact: Artifact,
        table: Table,
        spans: Sequence[ByteRange],
        checkpoints: Sequence[Checkpoint],
    ) -> Verifier:
        """For all content, or `spans` of it; all of it has to agree with `checkpoints`."""
        if checkpoints or (self._also_digest and not spans):
            content = ContentVerifier(artifact.size, artifact.digest, checkpoints)
            return StrictProver(table, content)
        return Prover(table, spans)

    def by_digest(self, artifact: Artifact, content: ContentVerifier) -> Verifier:
        """For all content, of which `content` is the digest; learned where that may be."""
        if not is_learnable(artifact, self._small_bytes):
            return content
        return LearningVerifier(content, partial(self._learned.learn, artifact))
