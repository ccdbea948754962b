"""Tables that are of other content than their digest says, in whole exchanges.

Nobody can learn such a table; somebody may have written it into the store.
"""

from __future__ import annotations

import random

from exchanges import Service, answer_of, pieces, published, source

from streamer.pieces.learning import Learner
from streamer.pieces.table import LEAF_BYTES
from streamer.testing import MemoryDownload

CONTENT = random.Random(11).randbytes(4 * LEAF_BYTES + 1000)
OTHER = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


def part_of_other(first):
    return MemoryDownload(pieces(OTHER[first:]), part_of=len(OTHER))


def test_client_may_not_resume_what_the_digest_alone_found_wrong():
    """Its pieces would prove the rest as well, and complete the wrong content."""
    learner = Learner()
    learner.update(OTHER)
    service = Service(learns=True, also_digest=True)
    service.importers.retries = 0
    service.importers.script("u", MemoryDownload(pieces(OTHER)), part_of_other(LEAF_BYTES))
    service.catalog.publish("base/f", published(CONTENT, source("u")))
    service.learned.learn(published(CONTENT).artifact, learner.table())
    broken = service.ask("/base/f")
    for _ in range(200):
        service.clock.advance(0.1)

    answer = service.answer("/base/f", f"Range: bytes={LEAF_BYTES}-")

    assert "aborted" == broken.ending
    assert len(answer_of(broken).content) > LEAF_BYTES
    assert 502 == answer.status
