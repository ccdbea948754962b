"""What is remembered of transfers that broke off, so that nobody resumes into a wrong file.

Invariant 1 holds for each response, and a client's next request could undo it: wget, aria2 and
`curl -C -` keep what they got before a break and ask for the rest. If the rest is right and the
beginning was not, they finish a wrong file with exit code 0. Two memories, for some minutes each:

- **Distrust**, after a break that an origin caused: a request that does not begin at the first
  byte is refused. Every such break counts, not only a wrong digest: an origin that flips a bit and
  then cuts is never found out by the digest, and leaves the client with the same wrong beginning.
- **Checkpoints**, after a client left or stalled: nobody is to blame, and to refuse its return
  would refuse every honest resume. But what it got was digested, and the pass that its resumption
  is cut out of must come to the same digest at the same place (docs/adr/0004).
"""

from __future__ import annotations

from collections.abc import Callable

from cachetools import TTLCache

from streamer.model import Artifact, Digest
from streamer.verify import Checkpoint

MAX_ARTIFACTS = 100_000
"""More artifacts than can break within minutes, at about 200 bytes each."""

MAX_LEFT_ARTIFACTS = 10_000
MAX_CHECKPOINTS = 16
"""Clients that leave are many; the oldest are forgotten first, at about 200 bytes each."""


class Distrust:
    """Remembers by digest and for a time; bounded, the oldest is forgotten first."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._broken: TTLCache[Digest, bool] = TTLCache(MAX_ARTIFACTS, seconds, timer=now)
        self._left: TTLCache[Digest, tuple[Checkpoint, ...]] = TTLCache(
            MAX_LEFT_ARTIFACTS, seconds, timer=now
        )

    def note(self, artifact: Artifact) -> None:
        """Content of this artifact broke off after some of it was sent, by an origin's fault."""
        self._broken[artifact.digest] = True

    def holds_for(self, artifact: Artifact) -> bool:
        """Whether a client that resumes this artifact has to be refused."""
        return artifact.digest in self._broken

    def note_checkpoint(self, artifact: Artifact, checkpoint: Checkpoint) -> None:
        """A client went away with some of this artifact; so far it had this digest."""
        known = self._left.get(artifact.digest, ())
        others = tuple(each for each in known if each != checkpoint)
        self._left[artifact.digest] = (*others, checkpoint)[-MAX_CHECKPOINTS:]

    def checkpoints(self, artifact: Artifact) -> tuple[Checkpoint, ...]:
        """What a pass has to agree with, of which a client that resumes gets the rest."""
        return self._left.get(artifact.digest, ())
