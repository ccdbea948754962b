"""Which origins, in which order, and the status when none could serve."""

from __future__ import annotations

from itertools import permutations

import pytest

from streamer.errors import (
    DigestMismatch,
    OriginBusy,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginSilent,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
    SizeMismatch,
)
from streamer.model import (
    Artifact,
    Digest,
    DownloadConfig,
    PublicationId,
    PublishedArtifact,
    RemoteArtifact,
)
from streamer.plan import candidates, final_status

MISSING = OriginLacksIt(404)
GONE = OriginLacksIt(410)
BAD = OriginRefused(500)
SLOW = OriginTimedOut()
BUSY = OriginBusy(429)


def published(*sources):
    artifact = Artifact((Digest("sha256", "0" * 64),), 1, "text/plain")
    return PublishedArtifact("f", "base", PublicationId(1), artifact, "package", 0, sources)


def source(url, priority=0):
    return RemoteArtifact(DownloadConfig(1, 1, "origin", "http", {}), url, priority)


def test_lower_priority_is_tried_first_and_equal_ones_as_stated():
    """The order is by priority and stable."""
    entry = published(source("c", 1), source("a"), source("d", 1), source("z", -1), source("b"))

    assert [each.url for each in candidates(entry)] == ["z", "a", "b", "c", "d"]


def test_entry_without_sources_has_no_candidates():
    """Nothing is borrowed from another entry."""
    assert candidates(published()) == ()


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        pytest.param(OriginUnreachable("refused"), 502, id="refused"),
        pytest.param(OriginTLSFailed("expired"), 502, id="tls"),
        pytest.param(OriginNonsense("not HTTP"), 502, id="nonsense"),
        pytest.param(OriginRefused(500), 502, id="500"),
        pytest.param(OriginRefused(401), 502, id="401-is-ours-to-solve"),
        pytest.param(OriginRefused(403), 502, id="403-is-ours-to-solve"),
        pytest.param(OriginRefused(302), 502, id="302"),
        pytest.param(SizeMismatch(2, 1), 502, id="wrong-size"),
        pytest.param(DigestMismatch("a", "b"), 502, id="wrong-digest"),
        pytest.param(OriginTimedOut(), 504, id="slow"),
        pytest.param(OriginSilent(30), 504, id="silent"),
        pytest.param(OriginBusy(429), 503, id="429"),
        pytest.param(OriginLacksIt(404), 404, id="404"),
        pytest.param(OriginLacksIt(410), 404, id="410"),
    ],
)
def test_single_failure_has_its_status(failure, expected):
    """One attempt decides alone, as its class says."""
    assert expected == final_status([failure])
    assert expected == failure.status


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        pytest.param([MISSING, GONE], 404, id="all-lack-it"),
        pytest.param([MISSING, BAD], 502, id="one-may-have-it"),
        pytest.param([MISSING, SLOW], 504, id="one-was-slow"),
        pytest.param([MISSING, BUSY], 503, id="one-was-busy"),
        pytest.param([BAD, SLOW], 504, id="slow-before-bad"),
        pytest.param([BAD, BUSY], 503, id="busy-before-bad"),
        pytest.param([SLOW, BUSY], 503, id="busy-before-slow"),
        pytest.param([MISSING, BAD, SLOW, BUSY], 503, id="all-four"),
    ],
)
def test_mixed_failures_have_the_most_hopeful_status_in_any_order(failures, expected):
    """What a client that retries may hope for decides, not which origin was asked last."""
    found = {final_status(order) for order in permutations(failures)}

    assert {expected} == found


def test_no_attempt_at_all_is_a_bad_gateway():
    """Without a source there was nobody to ask."""
    assert final_status([]) == 502
