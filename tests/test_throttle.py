"""How one transfer is held back by the limit of bytes, on a clock that the test turns."""

from __future__ import annotations

from twisted.internet.task import Clock

from streamer.downloaders.limits import ByteRate
from streamer.downloaders.throttle import SIGN_OF_LIFE_SECONDS, Throttle


class Transfer:
    """What a throttle tells, in order."""

    def __init__(self, rate):
        self.clock = Clock()
        self.said = []
        self.is_left = False
        limit = None if rate is None else ByteRate(rate, self.clock)
        self.throttle = Throttle(limit, self.clock, self.sign_of_life, self.go_on)

    def sign_of_life(self):
        self.said.append("alive")
        if self.is_left:
            self.throttle.stop()

    def go_on(self):
        self.said.append(f"on:{self.throttle.holds}")


def test_transfer_without_a_limit_is_never_held():
    """And has no timer."""
    transfer = Transfer(None)

    transfer.throttle.account(10**9)

    assert (False, []) == (transfer.throttle.holds, transfer.clock.getDelayedCalls())


def test_transfer_is_held_for_as_long_as_is_owed():
    """With a sign of life now and then, and one word when it may go on."""
    transfer = Transfer(100)
    transfer.throttle.account(int(100 * 2.5 * SIGN_OF_LIFE_SECONDS))

    held = transfer.throttle.holds
    transfer.clock.pump([SIGN_OF_LIFE_SECONDS] * 2 + [SIGN_OF_LIFE_SECONDS / 2])

    assert held
    assert ["alive", "alive", "alive", "on:False"] == transfer.said


def test_what_comes_while_a_transfer_is_held_is_owed_too():
    """What a connection sends after a pause is bounded, and not free."""
    transfer = Transfer(100)
    transfer.throttle.account(50)
    transfer.throttle.account(50)

    transfer.clock.advance(0.5)
    held = transfer.throttle.holds
    transfer.clock.pump([SIGN_OF_LIFE_SECONDS] * 2)

    assert held
    assert "on:False" == transfer.said[-1]


def test_sign_of_life_may_stop_the_transfer():
    """Nobody is called after that, and no timer stays."""
    transfer = Transfer(100)
    transfer.throttle.account(1000)
    transfer.is_left = True

    transfer.clock.pump([SIGN_OF_LIFE_SECONDS] * 3)
    transfer.throttle.account(1000)

    assert (False, ["alive"]) == (transfer.throttle.holds, transfer.said)
    assert [] == transfer.clock.getDelayedCalls()
