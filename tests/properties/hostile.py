"""Origins of any conduct, clients of any patience, and the service of `exchanges` between them.

An origin is a list of `Conduct`, one for each request that it gets and then over again. Nothing
happens by itself: a `World` takes steps, which a property draws, and `finish` takes all that are
left until every exchange is over. Each origin keeps the contract of `Downloader`: a download with
`part_of` is what was asked for as far as an importer can tell.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, fields, replace
from functools import partial
from itertools import cycle
from random import Random

from exchanges import Service, answer_of, published, source
from hypothesis import strategies as st
from texts import cut_at
from twisted.internet.defer import Deferred

from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginRefused,
    OriginTimedOut,
    OriginUnreachable,
)
from streamer.testing import MemoryDownload
from streamer.verify import TAIL_BYTES

TARGET = "/base/f"

SECONDS = 5000
"""After which an exchange that is not over is held to be one that never ends."""

PAUSED_READS = 2
"""How many pieces an origin may send after it was told to wait."""


@dataclass(frozen=True, repr=False)
class Conduct:
    """What an origin does with one request; places are counted round the content."""

    refuses: type | None = None
    never_answers: bool = False
    ignores_range: bool = False
    total_is_off_by: int = 0
    shifts_by: int = 0
    opens_when_cancelled: bool = False
    states_length: bool = True
    flips_at: int | None = None
    cuts_at: int | None = None
    cut_shows: bool = True
    adds: int = 0
    falls_silent: bool = False
    etag: str = '"theirs"'
    piece_bytes: int = 4096
    is_quick: bool = False

    def __repr__(self):
        """Only what is out of the ordinary."""
        odd = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return f"Conduct({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in odd)})"

    def flow(self, url, content, span):
        """The download that is open then, and the pieces that it will send."""
        is_part = span is not None and not self.ignores_range
        announced = content[span.first : span.last + 1] if is_part else content
        sent = self._spoilt(self._elsewhere(content, span) if is_part else announced)
        pieces = deque(cut_at(sent, range(0, len(sent), self.piece_bytes)))
        broke = self.cuts_at is not None and self.cut_shows
        error = ContentTruncated(len(sent)) if broke else None
        flows_by_itself = self.is_quick and not self.falls_silent
        download = MemoryDownload(
            pieces if flows_by_itself else (),
            error=error,
            length=len(announced) if self.states_length else None,
            fields=(("ETag", self.etag), ("X-Origin", "yes")),
            part_of=len(content) + self.total_is_off_by if is_part else None,
            at_once=flows_by_itself,
        )
        surplus = len(sent) - len(announced)
        return Flow(download, pieces, error, self, url, span, surplus, is_over=flows_by_itself)

    def _elsewhere(self, content, span):
        """As many bytes as were asked for, from where they may not have been asked for."""
        start = max(0, min(span.first + self.shifts_by, len(content) - span.length))
        return content[start : start + span.length]

    def _spoilt(self, content):
        if self.flips_at is not None and content:
            place = self.flips_at % len(content)
            content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        if self.cuts_at is not None:
            content = content[: self.cuts_at % (len(content) + 1)]
        return content + b"\0" * self.adds


@dataclass
class Flow:
    """One open download and what is still to come of it."""

    download: MemoryDownload
    pieces: deque
    error: ContentTruncated | None
    conduct: Conduct
    url: str
    span: object
    surplus: int
    """How many bytes come beyond those that it was asked for."""
    is_over: bool = False
    sent_while_paused: int = 0

    @property
    def is_open(self):
        """Whether anybody takes what it sends."""
        return (
            not self.is_over and "deliver" in self.download.calls and not self.download.is_stopped
        )

    @property
    def is_paused(self):
        said = [call for call in self.download.calls if call in ("pause", "resume")]
        return said[-1:] == ["pause"]

    def step(self):
        """Send a piece, or the end; say whether anything was sent."""
        if not self.is_open:
            return False
        if self.is_paused:
            self.sent_while_paused += 1
            if self.sent_while_paused > PAUSED_READS:
                return False
        else:
            self.sent_while_paused = 0
        if self.pieces:
            self.download.send(self.pieces.popleft())
        elif self.conduct.falls_silent:
            return False
        else:
            self.is_over = True
            self.download.end(self.error)
        return True


class Opening(Deferred):
    """An opening that says when it begins; by then it is known what is asked for."""

    def __init__(self, begun, cancelled):
        super().__init__(cancelled)
        self._begun = begun

    def __await__(self):
        self._begun(self)
        return super().__await__()


@dataclass
class Asked:
    """One request on its own connection."""

    wire: object
    method: str
    reads_no_more: bool = False
    is_paused: bool = False

    @property
    def is_full(self):
        """Whether the client has part of a response and takes nothing now."""
        holds_some = bool(self.wire.value()) and self.wire.ending is None
        return holds_some and (self.is_paused or self.reads_no_more)

    def answer(self):
        """The response as far as it came; None where not even its head did."""
        if not self.wire.value():
            return None
        return answer_of(self.wire, self.method)


@dataclass
class World:
    """A service with one artifact, its origins, and the requests that were sent."""

    size: int
    origins: list
    knows_size: bool = True
    unlearned: str = "auto"
    verify_up_to: int = 64 * 1024**2
    skip_up_to: int = 8 * 1024**2
    retries: int = 0
    are_apart: bool = False
    asked: list = field(default_factory=list, init=False, repr=False)
    flows: list = field(default_factory=list, init=False, repr=False)

    def __post_init__(self):
        self.content = content_of(self.size)
        self.service = Service(
            unlearned=self.unlearned, verify_up_to=self.verify_up_to, skip_up_to=self.skip_up_to
        )
        self.service.importers.retries = self.retries
        urls = [f"u{number}" for number in range(len(self.origins))]
        self._conducts = {
            url: cycle(conducts) for url, conducts in zip(urls, self.origins, strict=True)
        }
        self._pending = deque()
        self._silent = []
        self._openings = []
        for url in urls:
            self._expect(url)
        keywords = {} if self.knows_size else {"size": None}
        sources = [source(url, importer=url if self.are_apart else "fedora") for url in urls]
        self.service.catalog.publish("base/f", published(self.content, *sources, **keywords))

    def _expect(self, url):
        """Let the origin of this URL be ready for one more request."""
        begun, cancelled = partial(self._begun, url), partial(self._cancelled, url)
        self.service.importers.script(url, Opening(begun, cancelled))

    def ask(self, *fields, method="GET", version="1.1"):
        """Send a request; nothing has been answered to it yet."""
        asked = Asked(self.service.ask(TARGET, *fields, method=method, version=version), method)
        self.asked.append(asked)
        return asked

    # -- steps

    def _begun(self, url, opening):
        self._expect(url)
        self._openings.append(opening)
        conduct, span = next(self._conducts[url]), self.service.importers.spans[-1]
        if conduct.never_answers:
            self._silent.append((opening, url, conduct, span))
        elif conduct.is_quick:
            self._answer(opening, url, conduct, span)
        else:
            self._pending.append((opening, url, conduct, span))

    def _cancelled(self, url, opening):
        """Some importers open all the same."""
        for awaited in (self._pending, self._silent):
            for waiting in list(awaited):
                if waiting[0] is opening:
                    awaited.remove(waiting)
                    if waiting[2].opens_when_cancelled:
                        self._answer(*waiting)

    def answer_one(self):
        """Let the next origin that was asked answer by its conduct; say whether there was one."""
        if not self._pending:
            return False
        self._answer(*self._pending.popleft())
        return True

    def _answer(self, opening, url, conduct, span):
        if opening.called:
            return
        if conduct.refuses is not None:
            opening.errback(_refusal(conduct.refuses))
            return
        self.flows.append(conduct.flow(url, self.content, span))
        opening.callback(self.flows[-1].download)

    def flow(self, choice=0):
        """Let one origin that can send; say whether there was one."""
        self._check_bounds()
        count = len(self.flows)
        return any(self.flows[(choice + turn) % count].step() for turn in range(count))

    def _check_bounds(self):
        """What nobody takes is not asked for, and neither is more than was promised."""
        flowing = [flow for flow in self.flows if flow.is_open]
        if len(self.asked) == 1 and self.asked[0].is_full:
            assert all(flow.is_paused for flow in flowing), "an origin is not held back"
        if self.knows_size:
            unsent = [sum(map(len, flow.pieces)) for flow in flowing]
            assert all(
                left + flow.conduct.piece_bytes > flow.surplus
                for left, flow in zip(unsent, flowing, strict=True)
            ), "more is taken than was promised"

    def go_on(self, count):
        """Take up to so many steps that lead on."""
        for _ in range(count):
            if not (self.answer_one() or self.flow()):
                break

    def pause(self, choice=0):
        for asked in self._receiving(choice):
            asked.is_paused = True
            asked.wire.stop_reading()
            return

    def read_on(self, choice=0):
        for asked in self._connected(choice):
            self._read_on(asked)
            return

    def leave(self, choice=0):
        for asked in self._connected(choice):
            asked.wire.leave()
            return

    def stall(self, choice=0):
        """Read nothing any more, and stay."""
        for asked in self._receiving(choice):
            asked.reads_no_more = True
            asked.wire.stop_reading()
            return

    def wait(self, seconds):
        self.service.clock.advance(seconds)

    def _connected(self, choice):
        count = len(self.asked)
        order = [self.asked[(choice + turn) % count] for turn in range(count)]
        return [asked for asked in order if asked.wire.ending is None and asked.wire.producer]

    def _receiving(self, choice):
        """Those whose buffers can be full, because something was sent to them."""
        return [asked for asked in self._connected(choice) if asked.wire.value()]

    def _read_on(self, asked):
        if asked.is_paused and asked.wire.ending is None and not asked.reads_no_more:
            asked.is_paused = False
            asked.wire.read_on()

    # -- the end

    def finish(self):
        """Go on until all exchanges are over; fails if one never is."""
        for asked in self.asked:
            self._read_on(asked)
        waited = 0
        while self.service.content.in_flight:
            if not (self.answer_one() or self.flow()):
                waited += 1
                assert waited < SECONDS, "an exchange does not end"
                self.wait(1)
        self.wait(0)

    def check_nothing_is_left(self):
        """Invariant 7, once the clients have gone; and one record for each exchange."""
        for asked in self.asked:
            if asked.wire.ending is None:
                asked.wire.leave()
        self.wait(0)
        assert all(opening.called for opening in self._openings), "an opening is still awaited"
        assert [flow.conduct for flow in self.flows if not flow.download.is_stopped] == []
        assert self.service.clock.getDelayedCalls() == []
        assert self.service.content.in_flight == 0
        assert self.service.site.connections == set()
        assert len(self.service.transfers.written) == len(self.asked)


def _refusal(kind):
    return kind("it is away") if kind is OriginUnreachable else _with_status(kind)


def _with_status(kind):
    statuses = {OriginLacksIt: 404, OriginForbids: 403}
    return kind() if kind is OriginTimedOut else kind(statuses.get(kind, 503))


# -- strategies ------------------------------------------------------------------------------------


def content_of(size):
    return Random(size).randbytes(size)


SIZES = st.one_of(
    st.integers(0, 3000),
    st.sampled_from([999, 1000, 1001, TAIL_BYTES - 1, TAIL_BYTES, TAIL_BYTES + 1]),
    st.integers(TAIL_BYTES, 3 * TAIL_BYTES),
    st.integers(140_000, 300_000),
)
"""Around small and large, around the held tail, and with room for spans that lie apart."""

_PLACES = st.one_of(
    st.integers(0, 300_000), st.integers(0, 100), st.sampled_from([0, -1, -2, -TAIL_BYTES])
)
_SHOWN_FAULTS = {
    "refuses": st.sampled_from(
        [
            OriginBusy,
            OriginFailing,
            OriginForbids,
            OriginLacksIt,
            OriginRefused,
            OriginTimedOut,
            OriginUnreachable,
        ]
    ),
    "never_answers": st.just(True),
    "ignores_range": st.just(True),
    "opens_when_cancelled": st.just(True),
    "total_is_off_by": st.sampled_from([-1, 1, 1000]),
    "cuts_at": _PLACES,
    "falls_silent": st.just(True),
}
"""What shows before anything wrong is sent."""

_FAULTS = _SHOWN_FAULTS | {
    "shifts_by": st.sampled_from([-1000, -1, 1, 5000]),
    "flips_at": _PLACES,
    "adds": st.integers(1, 5) | st.just(200_000),
    "etag": st.just('"changed"'),
}


def _some_of(faults):
    pairs = [st.tuples(st.just(name), value) for name, value in faults.items()]
    return st.lists(st.one_of(pairs), max_size=2).map(dict)


_MANNERS = st.fixed_dictionaries(
    {
        "states_length": st.booleans(),
        "cut_shows": st.booleans(),
        "piece_bytes": st.sampled_from([4096, 65536, 1000, 16384]),
        "is_quick": st.sampled_from([False, False, True]),
    }
)
CONDUCTS = st.tuples(_some_of(_FAULTS), _MANNERS).map(lambda both: Conduct(**both[0], **both[1]))
SHOWN_CONDUCTS = st.tuples(_some_of(_SHOWN_FAULTS), _MANNERS).map(
    lambda both: Conduct(**both[0], **both[1])
)
CUTTING_CONDUCTS = st.tuples(st.sampled_from([0, 1]) | _PLACES, _MANNERS).map(
    lambda both: Conduct(cuts_at=both[0], **both[1])
)
HONEST_CONDUCTS = _MANNERS.map(lambda manner: Conduct(**manner))

ORIGINS = st.lists(st.lists(CONDUCTS, min_size=1, max_size=3), min_size=1, max_size=3)
HONEST_ORIGINS = st.lists(
    st.lists(HONEST_CONDUCTS, min_size=1, max_size=2)
    | HONEST_CONDUCTS.map(lambda conduct: [replace(conduct, ignores_range=True)]),
    min_size=1,
    max_size=2,
)


@st.composite
def turning_origins(draw):
    """Wrong at first and honest afterwards, so that a client that comes back could join both."""
    wrong = replace(draw(CONDUCTS | HONEST_CONDUCTS), flips_at=draw(st.integers(0, 5000)))
    return [[wrong, *[draw(HONEST_CONDUCTS)] * 9]]


TURNING_ORIGINS = turning_origins()

COMPENSATING_ORIGINS = st.integers(1, 100).map(
    lambda count: [[Conduct(cuts_at=-1 - count, cut_shows=False), Conduct(adds=count)]]
)
"""What lacks in one answer is too much in the next."""

MANY_SIDED_ORIGINS = st.lists(st.lists(CONDUCTS, min_size=3, max_size=5), min_size=1, max_size=2)
GOOD_LAST_ORIGINS = st.tuples(
    st.lists(
        st.lists(CUTTING_CONDUCTS | SHOWN_CONDUCTS, min_size=1, max_size=4), min_size=1, max_size=2
    ),
    HONEST_CONDUCTS,
    st.booleans(),
).map(lambda drawn: [*drawn[0], [replace(drawn[1], ignores_range=drawn[2])]])
"""One or two that fail in ways that show, and then one that does not fail."""

SILENT_ORIGINS = st.lists(
    st.booleans().map(lambda opens: [Conduct(never_answers=True, opens_when_cancelled=opens)]),
    max_size=20,
)
"""They say nothing before they are given up, and some open then, as if they had not heard."""

UNLEARNED = st.sampled_from(["auto", "auto", "auto", "verify", "pass", "pass", "refuse"])
VERIFY_UP_TO = st.sampled_from([0, 2000, 20_000, 64 * 1024**2])


def mostly(usual, *unusual):
    """`usual` in most examples, and each of the others now and then."""
    return st.sampled_from([usual] * (5 * len(unusual)) + list(unusual))


@st.composite
def ranges_within(draw, size):
    """A Range of good will in most cases; positions are spread over the whole content."""
    near = [place + shift for place in (size, 1000, 4096, 8192, TAIL_BYTES) for shift in (-1, 0, 1)]
    ends = st.integers(0, size) | st.integers(0, 20) | st.sampled_from(near)
    places = draw(st.lists(ends.map(lambda place: max(0, place)), min_size=2, max_size=6))
    if draw(mostly(True, False)):
        places = sorted(set(places))
    specs = [f"{first}-{last}" for first, last in zip(*[iter(places)] * 2, strict=False)]
    last = draw(mostly(None, f"{places[-1] + 1}-", f"-{places[0]}"))
    specs += [last] if last is not None else []
    return "bytes=" + ",".join(specs or [f"{places[0]}-"])
