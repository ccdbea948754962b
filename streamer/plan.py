"""Which origins may serve, in which order, and what a client is told when none could.

Strategy. Candidates are the entry's own sources by priority, never another entry's. They are
tried in turn until one opens, as long as the budget for the first byte lasts; each failure is an
`Outcome`. The final status is a function of all outcomes and nothing else: where every origin
says that it lacks the content it is 404, else the most hopeful status for a client that retries.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamer.errors import OriginError, Outcome
from streamer.model import PublishedArtifact, RemoteArtifact


def candidates(published: PublishedArtifact) -> tuple[RemoteArtifact, ...]:
    """The sources in the order in which they are tried; equal priorities as they were stated."""
    return tuple(sorted(published.sources, key=lambda source: source.priority))


def final_status(failures: Sequence[OriginError]) -> int:
    """The status of an exchange whose attempts all failed; `failures` has one for each.

    No attempt at all means that there was no source to try: 502, like a bad origin.
    """
    outcomes = {failure.outcome for failure in failures}
    for outcome in Outcome:
        if outcome in outcomes:
            return outcome.value
    return Outcome.BAD.value
