"""The memory of content that broke off."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from streamer.distrust import MAX_ARTIFACTS, MAX_CHECKPOINTS, Distrust
from streamer.model import Artifact, Digest
from streamer.verify import Checkpoint

ME, YOU = "203.0.113.7", "203.0.113.8"


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


def at(position):
    return Checkpoint(position, "ab")


def test_checkpoints_are_remembered_for_their_time():
    """All of one client and artifact, each once, and of nobody and nothing else."""
    clock = Clock()
    distrust = Distrust(600, clock.seconds)
    for position in (10, 20, 10):
        distrust.note_departure(ME, artifact(1), at(position))

    seen = [
        distrust.checkpoints(ME, artifact(1)),
        distrust.checkpoints(ME, artifact(2)),
        distrust.checkpoints(YOU, artifact(1)),
    ]
    clock.advance(600)
    seen.append(distrust.checkpoints(ME, artifact(1)))

    assert seen == [(at(20), at(10)), (), (), ()]


def test_departure_is_news_until_its_checkpoint_is_known():
    """A pass that has begun cannot compare what came later."""
    distrust = Distrust(600, Clock().seconds)
    distrust.note_departure(ME, artifact(), at(10))
    known = distrust.checkpoints(ME, artifact())
    distrust.note_departure(YOU, artifact(), at(20))

    before = distrust.has_left_since(ME, artifact(), known)
    distrust.note_departure(ME, artifact(), at(30))

    assert before is False
    assert distrust.has_left_since(ME, artifact(), known)


def test_client_that_left_is_not_refused_unless_too_often():
    """With so many checkpoints one is forgotten, and nobody knows what the client holds."""
    distrust = Distrust(600, Clock().seconds)

    for position in range(MAX_CHECKPOINTS):
        distrust.note_departure(ME, artifact(), at(position))
    before = distrust.has_left_too_often(ME, artifact())
    distrust.note_departure(ME, artifact(), at(MAX_CHECKPOINTS))

    assert before is False
    assert distrust.has_left_too_often(ME, artifact())
    assert not distrust.has_left_too_often(YOU, artifact())


class Running:
    """A transfer, in doubt or not."""

    def __init__(self, is_in_doubt=True, is_whole=True, checkpoint=None):
        self.is_in_doubt = is_in_doubt
        self.is_whole = is_whole
        self.checkpoint = checkpoint


def test_client_gets_the_whole_while_an_unverified_transfer_of_it_runs():
    """Not after it, and neither other artifacts nor other clients; a part is not the whole."""
    distrust = Distrust(600, Clock().seconds)

    with distrust.watching(ME, artifact(1), Running()):
        during = [
            distrust.gets_whole(ME, artifact(1)),
            distrust.gets_whole(ME, artifact(2)),
            distrust.gets_whole(YOU, artifact(1)),
        ]
    with distrust.watching(ME, artifact(1), Running(is_whole=False)):
        part = distrust.gets_whole(ME, artifact(1))
    with distrust.watching(ME, artifact(1), Running(is_in_doubt=False)):
        verified = distrust.gets_whole(ME, artifact(1))

    assert during == [True, False, False]
    assert [part, verified, distrust.gets_whole(ME, artifact(1))] == [False, False, False]


def test_what_is_on_its_way_unverified_has_a_checkpoint_too():
    """A client that lost its connection comes back before anybody here has noticed."""
    distrust = Distrust(600, Clock().seconds)

    with (
        distrust.watching(ME, artifact(), Running(checkpoint=at(10))),
        distrust.watching(ME, artifact(), Running(checkpoint=at(20), is_in_doubt=False)),
        distrust.watching(ME, artifact(), Running(checkpoint=None)),
    ):
        found = distrust.checkpoints(ME, artifact())

    assert found == (at(10),)


def waiting(distrust, besides=None):
    """Wait for the end of the doubt; gives a list that gets something when it is over."""
    over = []
    Deferred.fromCoroutine(distrust.doubt_over(ME, artifact(), besides)).addCallback(over.append)
    return over


def test_doubt_is_over_when_the_transfer_is():
    """Whoever waits hears of it at once."""
    distrust = Distrust(600, Clock().seconds)

    with distrust.watching(ME, artifact(), Running()):
        over = waiting(distrust)
        during = list(over)

    assert during == []
    assert over == [None]


def test_doubt_is_over_when_the_transfer_is_verified():
    """Though it still runs."""
    distrust = Distrust(600, Clock().seconds)
    transfer = Running()

    with distrust.watching(ME, artifact(), transfer):
        over = waiting(distrust)
        transfer.is_in_doubt = False
        distrust.doubt_changed(ME, artifact())

        assert over == [None]


def test_transfer_does_not_wait_for_itself():
    """There is no other."""
    distrust = Distrust(600, Clock().seconds)
    transfer = Running()

    with distrust.watching(ME, artifact(), transfer):
        assert waiting(distrust, besides=transfer) == [None]


def test_waiting_that_is_cancelled_leaves_nothing():
    """A client that leaves is not told of anything."""
    distrust = Distrust(600, Clock().seconds)

    with distrust.watching(ME, artifact(), Running()):
        wait = Deferred.fromCoroutine(distrust.doubt_over(ME, artifact(), None))
        results = []
        wait.addErrback(results.append)
        wait.cancel()
        over = waiting(distrust)

    assert len(results) == 1
    assert over == [None]
