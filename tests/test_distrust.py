"""The memory of content that broke off."""

from __future__ import annotations

from twisted.internet.task import Clock

from streamer.distrust import MAX_ARTIFACTS, MAX_DEPARTURES, Departure, Distrust
from streamer.model import Artifact, Digest
from streamer.verify import Checkpoint


def artifact(number=1):
    return Artifact((Digest("sha256", f"{number:064x}"),), 10, "text/plain")


def test_artifact_that_never_broke_off_is_trusted():
    """Distrust is the exception."""
    distrust = Distrust(600, Clock().seconds)

    assert not distrust.holds_for(artifact())


def test_artifact_that_broke_off_is_distrusted_for_its_time():
    """It holds until the time is over, and not longer."""
    clock = Clock()
    distrust = Distrust(600, clock.seconds)
    distrust.note(artifact())

    seen = []
    for seconds in (0, 599, 1):
        clock.advance(seconds)
        seen.append(distrust.holds_for(artifact()))

    assert seen == [True, True, False]


def test_artifact_that_breaks_off_again_is_distrusted_anew():
    """The time runs from the last break."""
    clock = Clock()
    distrust = Distrust(600, clock.seconds)
    distrust.note(artifact())
    clock.advance(500)
    distrust.note(artifact())

    clock.advance(500)

    assert distrust.holds_for(artifact())


def test_other_artifacts_are_not_distrusted():
    """Content is known by its digest."""
    distrust = Distrust(600, Clock().seconds)

    distrust.note(artifact(1))

    assert not distrust.holds_for(artifact(2))


def test_same_digest_is_distrusted_whatever_else_is_known_of_it():
    """Another publication may know no size for the same content."""
    distrust = Distrust(600, Clock().seconds)

    distrust.note(artifact())

    assert distrust.holds_for(Artifact(artifact().digests, None, "application/x-rpm"))


def test_oldest_is_forgotten_when_there_are_too_many():
    """The memory is bounded, whatever origins do."""
    distrust = Distrust(600, Clock().seconds)

    for number in range(MAX_ARTIFACTS + 1):
        distrust.note(artifact(number))

    assert not distrust.holds_for(artifact(0))
    assert distrust.holds_for(artifact(MAX_ARTIFACTS))


def left(position, client="203.0.113.7"):
    return Departure(client, Checkpoint(position, "ab"))


def test_departures_are_remembered_for_their_time():
    """All of one artifact, each once, and none of another."""
    clock = Clock()
    distrust = Distrust(600, clock.seconds)
    for position in (10, 20, 10):
        distrust.note_departure(artifact(1), left(position))

    seen = [distrust.departures(artifact(1)), distrust.departures(artifact(2))]
    clock.advance(600)
    seen.append(distrust.departures(artifact(1)))

    assert seen == [(left(20), left(10)), (), ()]


def test_artifact_that_a_client_left_is_not_distrusted():
    """Whoever resumes it is served what agrees with the checkpoint."""
    distrust = Distrust(600, Clock().seconds)

    distrust.note_departure(artifact(), left(10))

    assert not distrust.holds_for(artifact())


def test_oldest_departures_are_forgotten_when_there_are_too_many():
    """Clients that come and go fill no memory."""
    distrust = Distrust(600, Clock().seconds)

    for position in range(MAX_DEPARTURES + 1):
        distrust.note_departure(artifact(), left(position))

    assert distrust.departures(artifact()) == tuple(map(left, range(1, MAX_DEPARTURES + 1)))


class Running:
    """A transfer, in doubt or not."""

    def __init__(self, is_in_doubt):
        self.is_in_doubt = is_in_doubt


def test_client_has_doubt_while_an_unverified_transfer_of_the_artifact_runs():
    """Not after it, and neither about other artifacts nor for other clients."""
    distrust = Distrust(600, Clock().seconds)
    transfer = Running(is_in_doubt=True)

    with distrust.watching("me", artifact(1), transfer):
        during = [
            distrust.has_doubt("me", artifact(1)),
            distrust.has_doubt("me", artifact(1), besides=transfer),
            distrust.has_doubt("me", artifact(2)),
            distrust.has_doubt("you", artifact(1)),
        ]
    after = distrust.has_doubt("me", artifact(1))

    assert during == [True, False, False, False]
    assert after is False


def test_verified_transfer_leaves_no_doubt():
    """What it sent is known to be right while its rest is still on the way."""
    distrust = Distrust(600, Clock().seconds)

    with distrust.watching("me", artifact(), Running(is_in_doubt=False)):
        assert not distrust.has_doubt("me", artifact())
