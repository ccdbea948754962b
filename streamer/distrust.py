"""What is remembered of other transfers, so that no client joins a wrong part to right ones.

Invariant 1 holds for each response, and a client makes a file out of several: wget, aria2 and
`curl -C -` keep what they got before a break and ask for the rest; aria2 takes a part of one
response and breaks it off itself. If the rest is right and that part was not, they finish a wrong
file with exit code 0. What is remembered, the first two for some minutes:

- **Distrust**, after a break that an origin caused: a request that does not begin at the first
  byte is refused. Every such break counts, not only a wrong digest: an origin that flips a bit and
  then cuts is never found out by the digest, and leaves the client with the same wrong beginning.
- **Departures**, where a client left or stalled: nobody is to blame, and to refuse its return would
  refuse every honest resume. But what it got was digested: the pass that a later part is cut out
  of must come to the same digest at the same place, its *checkpoint*.
- **Doubt**, while a transfer runs and is not verified: its client gets no part of the same content
  beside it, since it could leave this one and keep what it has.

docs/adr/0004 says more, and what stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from cachetools import TTLCache

from streamer.model import Artifact, Digest
from streamer.verify import Checkpoint

MAX_ARTIFACTS = 100_000
"""More artifacts than can break within minutes, at about 200 bytes each."""

MAX_LEFT_ARTIFACTS = 10_000
MAX_DEPARTURES = 16
"""Clients that leave are many; the oldest are forgotten first, at about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Departure:
    """A client (its host) that went away with some of an artifact, and what that was."""

    client: str
    checkpoint: Checkpoint


class Transfer(Protocol):
    """A response on its way to a client."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether the client may hold bytes of it that are not verified."""


class Distrust:
    """Remembers by digest; bounded, the oldest is forgotten first."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._broken: TTLCache[Digest, bool] = TTLCache(MAX_ARTIFACTS, seconds, timer=now)
        self._left: TTLCache[Digest, tuple[Departure, ...]] = TTLCache(
            MAX_LEFT_ARTIFACTS, seconds, timer=now
        )
        self._running: dict[tuple[str, Digest], list[Transfer]] = {}

    def note(self, artifact: Artifact) -> None:
        """Content of this artifact broke off after some of it was sent, by an origin's fault."""
        self._broken[artifact.digest] = True

    def holds_for(self, artifact: Artifact) -> bool:
        """Whether a client that resumes this artifact has to be refused."""
        return artifact.digest in self._broken

    def note_departure(self, artifact: Artifact, departure: Departure) -> None:
        """A client went away, or is cut off because it stalled."""
        known = self._left.get(artifact.digest, ())
        others = tuple(each for each in known if each != departure)
        self._left[artifact.digest] = (*others, departure)[-MAX_DEPARTURES:]

    def departures(self, artifact: Artifact) -> tuple[Departure, ...]:
        """Those whose checkpoints a pass has to agree with that a part is cut out of."""
        return self._left.get(artifact.digest, ())

    @contextmanager
    def watching(self, client: str, artifact: Artifact, transfer: Transfer) -> Iterator[None]:
        """Know of this transfer while the block runs."""
        key = client, artifact.digest
        self._running.setdefault(key, []).append(transfer)
        try:
            yield
        finally:
            self._running[key].remove(transfer)
            if not self._running[key]:
                del self._running[key]

    def has_doubt(
        self, client: str, artifact: Artifact, *, besides: Transfer | None = None
    ) -> bool:
        """Whether this client is getting unverified bytes of the artifact by another transfer."""
        running = self._running.get((client, artifact.digest), ())
        return any(each.is_in_doubt for each in running if each is not besides)
