"""What is remembered of other transfers, so that no client joins a wrong part to right ones.

Invariant 1 holds for each response, and a client makes a file out of several: wget, aria2 and
`curl -C -` keep what they got before a break and ask for the rest; aria2 takes a part of one
response and breaks it off itself. If the rest is right and that part was not, they finish a wrong
file with exit code 0. What is remembered, the first two for some minutes:

- **Distrust**, after a break that an origin caused: a request that does not begin at the first
  byte is refused. Every such break counts, not only a wrong digest: an origin that flips a bit and
  then cuts is never found out by the digest, and leaves the client with the same wrong beginning.
- **Checkpoints**, of a client that left or stalled: nobody is to blame, and to refuse its return
  would refuse every honest resume. But what it got was digested: a pass that it may join to that
  must come to the same digest at the same place.
- **Doubt**, of a client while a transfer to it runs and is not verified: it could leave that one
  and keep what it has, so the end of a part of the same content waits.

docs/adr/0004 says more, and what stays open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from cachetools import TTLCache
from twisted.internet.defer import Deferred

from streamer.model import Artifact, Digest
from streamer.verify import Checkpoint

MAX_ARTIFACTS = 100_000
"""More artifacts than can break within minutes, at about 200 bytes each."""

MAX_DEPARTED = 20_000
MAX_CHECKPOINTS = 16
"""Of one client and artifact, at about 200 bytes each; behind a front all clients are one. Who left
more often is refused, since nobody knows any more what it holds."""

_Key = tuple[str, Digest]


class Transfer(Protocol):
    """A response on its way to a client."""

    @property
    def is_in_doubt(self) -> bool:
        """Whether the client holds, or may get, bytes of it that are not verified."""

    @property
    def is_whole(self) -> bool:
        """Whether it holds all of the artifact."""

    @property
    def checkpoint(self) -> Checkpoint | None:
        """The digest of what has passed so far, if one runs."""


class Distrust:
    """Remembers by digest and, but for breaks, by client (its host); bounded."""

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._broken: TTLCache[Digest, bool] = TTLCache(MAX_ARTIFACTS, seconds, timer=now)
        self._left: TTLCache[_Key, tuple[Checkpoint, ...]] = TTLCache(
            MAX_DEPARTED, seconds, timer=now
        )
        self._running: dict[_Key, list[Transfer]] = {}
        self._waiting: dict[_Key, list[Deferred[None]]] = {}

    def note(self, artifact: Artifact) -> None:
        """Content of this artifact broke off after some of it was sent, by an origin's fault."""
        self._broken[artifact.digest] = True

    def note_departure(self, client: str, artifact: Artifact, checkpoint: Checkpoint) -> None:
        """A client went away, or is cut off because it stalled."""
        key = client, artifact.digest
        known = self._left.get(key, ())
        others = tuple(each for each in known if each != checkpoint)
        # One more than is kept says that there were too many.
        self._left[key] = (*others, checkpoint)[-MAX_CHECKPOINTS - 1 :]

    def holds_for(self, artifact: Artifact) -> bool:
        """Whether this artifact broke off lately."""
        return artifact.digest in self._broken

    def has_left_too_often(self, client: str, artifact: Artifact) -> bool:
        """Whether not all is known any more that this client may hold of the artifact."""
        return len(self._left.get((client, artifact.digest), ())) > MAX_CHECKPOINTS

    def checkpoints(self, client: str, artifact: Artifact) -> tuple[Checkpoint, ...]:
        """What a pass has to agree with that this client may join to what it has.

        Those that it left, and those of what is on its way to it: a client that lost its connection
        comes back before anybody here has noticed.
        """
        key = client, artifact.digest
        running = (each.checkpoint for each in self._running.get(key, ()) if each.is_in_doubt)
        return (*self._left.get(key, ()), *(each for each in running if each is not None))

    def has_left_since(
        self, client: str, artifact: Artifact, known: tuple[Checkpoint, ...]
    ) -> bool:
        """Whether this client has left a transfer of the artifact at a place that is not known."""
        return not set(self._left.get((client, artifact.digest), ())) <= set(known)

    # -- transfers that run

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
            self.doubt_changed(client, artifact)

    def gets_whole(self, client: str, artifact: Artifact) -> bool:
        """Whether this client is getting all of the artifact, unverified so far."""
        running = self._running.get((client, artifact.digest), ())
        return any(each.is_in_doubt and each.is_whole for each in running)

    def doubt_changed(self, client: str, artifact: Artifact) -> None:
        """A transfer is verified, or is over: let those look again who wait for it."""
        for waiting in self._waiting.pop((client, artifact.digest), ()):
            waiting.callback(None)

    async def doubt_over(self, client: str, artifact: Artifact, besides: Transfer) -> None:
        """Wait until this client gets nothing unverified of the artifact by another transfer.

        Cancelling it leaves nothing behind.
        """
        key = client, artifact.digest
        while any(each.is_in_doubt for each in self._running.get(key, ()) if each is not besides):
            change: Deferred[None] = Deferred()
            waiting = self._waiting.setdefault(key, [])
            waiting.append(change)
            try:
                await change
            finally:
                if change in waiting:
                    waiting.remove(change)
                if not self._waiting.get(key, True):
                    del self._waiting[key]
