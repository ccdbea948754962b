"""Which artifacts have just broken off unverified, so that a client may hold a wrong beginning.

Invariant 1 holds for each response, and a client's next request could undo it: wget, aria2 and
`curl -C -` keep what they got before an abort and ask for the rest. If the rest is right and the
beginning was not, they finish a wrong file with exit code 0. So for some minutes after content
broke off, a request that does not begin at the first byte is refused.

Every break that an origin causes counts, not only a wrong digest: an origin that flips a bit and
then cuts is never found out by the digest, and leaves the client with the same wrong beginning.
A client that leaves by itself is not counted; docs/adr/0004 says why, and what is left open.
"""

from __future__ import annotations

from collections.abc import Callable

from cachetools import TTLCache

from streamer.model import Artifact, Digest

MAX_ARTIFACTS = 100_000
"""More artifacts than can break within minutes, at about 200 bytes each."""


class Distrust:
    """Remembers digests for a time; bounded, the oldest is forgotten first."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._broken: TTLCache[Digest, bool] = TTLCache(MAX_ARTIFACTS, seconds, timer=now)

    def note(self, artifact: Artifact) -> None:
        """Content of this artifact broke off after some of it was sent."""
        self._broken[artifact.digest] = True

    def holds_for(self, artifact: Artifact) -> bool:
        """Whether a client that resumes this artifact has to be refused."""
        return artifact.digest in self._broken
