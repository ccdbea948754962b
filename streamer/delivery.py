"""From a published artifact to a client that has it: plan, open, pipe.

Strategy. The supply gives one origin after the other a turn, within one budget for the first byte.
Until the head is sent, a failed attempt leaves no trace in the response and the next one starts
afresh; from then on what broke off is resumed beneath the pump. Where that is impossible the pump
has broken the connection already when an exception arrives here, and the artifact is distrusted for
a while, because the client may hold a wrong beginning of it.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from streamer.attempt import Attempt
from streamer.distrust import Distrust
from streamer.errors import OriginError
from streamer.model import Fields
from streamer.ordering import Order
from streamer.response import Phase, Response
from streamer.settings import DeliverySettings
from streamer.supplies import Supplies
from streamer.supply import Supply
from streamer.transfers import Notes
from streamer.verification import Verification


class Delivery:
    """Serves published artifacts; shared by all exchanges, and so is the distrust they note."""

    def __init__(
        self,
        supplies: Supplies,
        distrust: Distrust,
        verification: Verification,
        settings: DeliverySettings,
        clock: IReactorTime,
    ) -> None:
        self._supplies = supplies
        self._distrust = distrust
        self._verification = verification
        self._settings = settings
        self._clock = clock

    async def deliver(self, order: Order, head: Fields, response: Response, notes: Notes) -> None:
        """Send what was ordered; the head is `head`, the content's fields, what the origin adds.

        Raises `NoOriginServed`, or `ImporterBroken` where no origin could even be asked, with
        nothing sent; else the error that broke the content off.
        """
        supply = await Supply.of(self._supplies, order.published, notes)
        while True:
            attempt = Attempt(
                supply,
                order,
                response,
                self._settings,
                self._clock,
                self._distrust,
                self._verification,
            )
            try:
                if not await attempt.run(head):
                    raise supply.verdict()
            except OriginError as failure:
                supply.lost(failure)
                if not attempt.may_be_given_up():
                    raise
            else:
                supply.served()
                return
            finally:
                tells_of_parts = attempt.is_passed or attempt.is_proven_ahead
                if response.phase is Phase.ENDED or (tells_of_parts and response.sent_bytes):
                    notes.verified = attempt.verified
