"""What a response is to hold, and in which way that is come by; `delivery` then does it.

Separate because it is decided before any origin is asked, from the request, the catalog, the
settings and the memory of what broke off. A request that could complete a wrong file, or that asks
for bytes beyond the end, is refused here (invariant 1, RFC 9110 section 15.5.17).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer import fields
from streamer.distrust import Distrust
from streamer.errors import ResumeRefused
from streamer.model import Fields, PublishedArtifact
from streamer.partial_content import Selection
from streamer.pieces.covering import covering
from streamer.pieces.table import Table
from streamer.ranges import ByteRange, Way, resumes, select, spans, way_of
from streamer.settings import RangeSettings
from streamer.verify import Checkpoint


@dataclass(frozen=True, slots=True)
class Order:
    """One response to be: for which client (a host), of which artifact, what of it, in which way.

    Where it `may_be_joined` to what the client got by other transfers, `checkpoints` are those of
    them that are known so far. `table` is set where the pieces of the artifact are known.
    """

    client: str
    published: PublishedArtifact
    selection: Selection
    way: Way
    accepts_ranges: bool
    may_be_joined: bool
    is_distrusted: bool
    checkpoints: tuple[Checkpoint, ...]
    table: Table | None = None

    @property
    def spans(self) -> tuple[ByteRange, ...]:
        """What to ask an origin for, one after the other; nothing where the whole is needed."""
        parts = self.selection.parts
        if self.way is Way.PROVEN and self.table is not None:
            covered = covering(parts, self.table.size)
            return () if covered[0].length == self.table.size else covered
        return spans(parts) if self.way is Way.PASSED else ()

    @property
    def content_fields(self) -> Fields:
        """The fields of the content that it holds."""
        return fields.content_fields(self.selection, accepts_ranges=self.accepts_ranges)


class Ordering:
    """Turns requests into orders, by the settings `range.*`; shared by all exchanges."""

    def __init__(
        self, settings: RangeSettings, distrust: Distrust, new_boundary: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._distrust = distrust
        self._new_boundary = new_boundary

    def order(
        self,
        published: PublishedArtifact,
        ranges: Sequence[str],
        client: str,
        table: Table | None = None,
    ) -> Order:
        """The order that these lines of a Range field make; `client` is a host.

        Raises `ResumeRefused` or `RangeNotSatisfiable`.
        """
        artifact = published.artifact
        is_distrusted = self._distrust.holds_for(artifact)
        if is_distrusted and resumes(ranges):
            raise ResumeRefused
        accepts = self._accepts_ranges(published, table)
        parts = select(ranges, artifact.size) if accepts and artifact.size is not None else ()
        is_part = Selection(artifact, parts).is_part
        may_be_joined = (is_part or resumes(ranges)) and not published.held
        checkpoints = self._distrust.checkpoints(client, artifact) if may_be_joined else ()
        way = self._way(published, parts, is_distrusted, table is not None)
        if way is Way.PROVEN and checkpoints:
            # Only a pass over all of it tells whether what the client has is of the same content.
            way = Way.CUT
        is_compared = may_be_joined and way is not Way.PASSED
        if is_compared and self._distrust.has_left_too_often(client, artifact):
            raise ResumeRefused
        if is_compared and self._distrust.gets_whole(client, artifact):
            way = Way.WHOLE
        kept = () if way is Way.WHOLE else parts
        return Order(
            client,
            published,
            Selection(artifact, kept, self._new_boundary() if len(kept) > 1 else ""),
            way,
            accepts,
            may_be_joined,
            is_distrusted,
            checkpoints,
            table,
        )

    def _way(
        self,
        published: PublishedArtifact,
        parts: Sequence[ByteRange],
        is_distrusted: bool,
        is_learned: bool,
    ) -> Way:
        return way_of(
            parts,
            published.artifact.size,
            unlearned=self._settings.unlearned,
            verify_up_to=self._settings.verify_up_to_bytes,
            is_held=published.held,
            is_distrusted=is_distrusted,
            is_learned=is_learned,
        )

    def _accepts_ranges(self, published: PublishedArtifact, table: Table | None) -> bool:
        """Whether a satisfiable Range of this artifact can be answered with 206."""
        is_verifiable = published.held or table is not None
        is_refused = self._settings.unlearned == "refuse" and not is_verifiable
        return published.artifact.size is not None and not is_refused
