"""The plan against its own rules, whatever origins say; the breaker against a simpler one."""

from __future__ import annotations

from collections import Counter

from hypothesis import strategies as st
from proof import holds_for
from twisted.internet.task import Clock

from streamer.breaker import BLIP_SECONDS, MAX_PROBE_SECONDS, State
from streamer.errors import (
    ContentTruncated,
    DigestMismatch,
    OriginAvoided,
    OriginBusy,
    OriginCrowded,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginTimedOut,
    OriginUnreachable,
)
from streamer.health import FORGET_SECONDS, Health, OriginKey
from streamer.plan import MAX_ATTEMPTS, MAX_FRUITLESS, Plan, Prospect, retry_after_seconds
from streamer.settings import OriginSettings

SECONDS = st.floats(0, 100)
FINAL = (OriginLacksIt(404), OriginForbids(401), OriginForbids(403), DigestMismatch("a", "b"))
ERRORS = st.one_of(
    st.sampled_from(
        [*FINAL, OriginUnreachable("no"), OriginTimedOut(), OriginCrowded(5), ContentTruncated(1)]
    ),
    st.builds(OriginBusy, st.just(429), st.none() | SECONDS),
    st.builds(OriginFailing, st.just(503), st.none() | SECONDS),
    st.builds(OriginAvoided, SECONDS),
)
PROSPECTS = st.lists(
    st.builds(
        Prospect,
        priority=st.integers(-2, 2),
        retries=st.integers(0, 40),
        failures=st.integers(0, 3),
        is_last_resort=st.booleans(),
    ),
    max_size=8,
)
JITTER = st.floats(0, 1, exclude_max=True)
TURNS = st.lists(st.tuples(ERRORS, st.floats(0, 1), st.booleans()), max_size=150)
"""How each attempt ends, how much of its time it takes, and whether it got further before."""


class Exchange:
    """Lets a plan make its attempts; each ends as the next turn says."""

    def __init__(self, prospects, budget, jitter, turns, *, breaks=True):
        self.turns = iter(turns)
        self.breaks = breaks
        self.budget = budget
        self.now = 1000.0
        self.deadline = self.now + budget
        self.plan = Plan(prospects, now=self.now, budget_seconds=budget, jitter=lambda: jitter)
        self.stretches = [[]]
        """The candidates and errors of the attempts, cut where content got further."""
        self.is_over = False

    def run(self, check=lambda exchange, step: None):
        for error, part, gets_further in self.turns:
            step = self.plan.next(self.now)
            if step is None:
                self.is_over = True
                break
            check(self, step)
            self.now = min(self.deadline, self.now + step.wait_seconds + part * step.seconds)
            self.stretches[-1].append((step.candidate, error))
            self.plan.failed(step.candidate, error, self.now)
            if gets_further and self.breaks and not isinstance(error, OriginAvoided):
                self.plan.resume(step.candidate, self.now, self.budget)
                self.deadline = self.now + self.budget
                self.stretches.append([])
        return self

    @property
    def attempts(self):
        return [attempt for stretch in self.stretches for attempt in stretch]


def was_asked(error):
    return not isinstance(error, OriginAvoided)


@holds_for(examples=400, prospects=PROSPECTS, budget=st.floats(0.1, 60), jitter=JITTER, turns=TURNS)
def test_nobody_is_asked_after_an_error_that_stays(prospects, budget, jitter, turns):
    """Not in this exchange, neither before the head nor in mid-stream."""
    exchange = Exchange(prospects, budget, jitter, turns).run()

    out = set()
    for place, error in exchange.attempts:
        assert place not in out
        if isinstance(error, OriginLacksIt | OriginForbids | DigestMismatch | OriginCrowded):
            out.add(place)


@holds_for(examples=400, prospects=PROSPECTS, budget=st.floats(0.1, 60), jitter=JITTER, turns=TURNS)
def test_waits_and_attempts_fit_into_what_is_left(prospects, budget, jitter, turns):
    """A step is never longer than the budget, and never for nothing."""

    def check(exchange, step):
        assert step.wait_seconds >= 0
        assert step.seconds > 0
        assert exchange.now + step.wait_seconds + step.seconds <= exchange.deadline + 1e-6

    Exchange(prospects, budget, jitter, turns).run(check)


@holds_for(examples=400, prospects=PROSPECTS, budget=st.floats(0.1, 60), jitter=JITTER, turns=TURNS)
def test_everybody_is_asked_before_anybody_is_asked_twice(prospects, budget, jitter, turns):
    """And those that are no last resort before those that are."""
    exchange = Exchange(prospects, budget, jitter, turns, breaks=False).run()

    order = [place for place, _ in exchange.attempts]
    first_round = order[: len(prospects)]
    assert len(first_round) == len(set(first_round))
    merits = [(prospects[p].is_last_resort, prospects[p].priority) for p in first_round]
    assert sorted(merits) == merits


@holds_for(examples=400, prospects=PROSPECTS, budget=st.floats(0.1, 60), jitter=JITTER, turns=TURNS)
def test_attempts_are_bounded(prospects, budget, jitter, turns):
    """In all, of each candidate, and without progress once content has begun."""
    exchange = Exchange(prospects, budget, jitter, turns).run()

    asked = [[place for place, error in s if was_asked(error)] for s in exchange.stretches]
    assert sum(map(len, asked)) <= MAX_ATTEMPTS
    # The attempt that gets further ends its stretch, and is not without progress.
    fruitless = [len(s) for s in asked[1:-1]]
    assert all(count - 1 < MAX_FRUITLESS for count in fruitless)
    assert len(asked) == 1 or len(asked[-1]) <= MAX_FRUITLESS
    for stretch in exchange.stretches:
        for place, count in Counter(place for place, _ in stretch).items():
            assert count <= prospects[place].retries + 1


@holds_for(examples=300, errors=st.lists(ERRORS, max_size=6))
def test_client_is_sent_away_for_a_second_to_a_minute(errors):
    """Whatever origins say."""
    assert 1 <= retry_after_seconds(errors) <= 60


# -- the breaker ---------------------------------------------------------------------------------

KEYS = [OriginKey("m", 1, 1, "a"), OriginKey("m", 1, 2, "a"), OriginKey("m", 2, 1, "b")]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(KEYS),
        st.sampled_from(["ask"] * 4 + ["answered", "served", "failed", "failed", "lacks", "let go"])
        | st.floats(0, 70),
        st.integers(0, 3),
    ),
    max_size=120,
)
"""Of which origin, what happens, and to which of those that asked it."""


class Model:
    """One origin, by the words of the documentation; who asks it is a number."""

    def __init__(self, allowed, pause):
        self.allowed = allowed
        self.first_pause = pause
        self.forget()

    def forget(self):
        self.failures = 0
        self.closed_at = None
        self.pause = 0
        self.is_open = False
        self.until = None
        self.probe = None

    def may_be_asked(self, now):
        return not self.is_open or now >= self.until

    def ask(self, who, now):
        if self.is_open:
            self.probe = who
            self.until = now + MAX_PROBE_SECONDS

    def let_go(self, who, now):
        if who is not None and who == self.probe:
            self.probe, self.until = None, now

    def answered(self, now):
        if self.is_open:
            self.is_open, self.probe, self.closed_at = False, None, now

    def failed(self, who, now):
        if self.closed_at is None:
            self.closed_at = now
        self.failures += 1
        is_blip = now < self.closed_at + BLIP_SECONDS
        has_tripped = not self.is_open and 0 < self.allowed <= self.failures and not is_blip
        if has_tripped or (self.probe is not None and self.probe == who):
            self.probe, self.is_open = None, True
            self.pause = min(60.0, 2 * self.pause or self.first_pause)
            self.until = now + self.pause


class Origins:
    """Breakers and their models, to which the same happens."""

    def __init__(self, allowed, pause):
        self.clock = Clock()
        settings = OriginSettings(breaker_failures=allowed, breaker_pause=pause)
        self.health = Health(settings, self.clock.seconds, jitter=lambda: 1.0)
        self.models = {key: Model(allowed, pause) for key in KEYS}
        self.asked = {key: [] for key in KEYS}
        self.failed_at = {}

    def let_time_pass(self, seconds):
        """As long as nothing is forgotten for its age."""
        now = self.clock.seconds()
        oldest = min(self.failed_at.values(), default=now)
        self.clock.advance(min(seconds, FORGET_SECONDS - (now - oldest)))

    def ask(self, key):
        """Ask as an exchange does; gives whether both let it, or both do not."""
        model, now = self.models[key], self.clock.seconds()
        is_expected = model.may_be_asked(now)
        try:
            inquiry = self.health.ask(key, "content")
        except OriginAvoided:
            return not is_expected
        model.ask(inquiry, now)
        self.asked[key].append(inquiry)
        return is_expected

    def tell(self, key, event, which):
        """Let one of those that asked say what became of it."""
        inquiry = self.asked[key][-1 - which % len(self.asked[key])]
        model, now = self.models[key], self.clock.seconds()
        if event == "failed":
            self.health.failed(inquiry, OriginUnreachable("no"))
            model.failed(inquiry, now)
            self.failed_at[key] = now
        elif event == "let go":
            self.health.let_go(inquiry)
            model.let_go(inquiry, now)
        elif event == "answered":
            self.health.answered(inquiry)
            model.answered(now)
        else:
            if event == "lacks":
                self.health.failed(inquiry, OriginLacksIt(404))
            else:
                self.health.served(inquiry)
            model.forget()
            self.failed_at.pop(key, None)


@holds_for(
    examples=400, allowed=st.integers(0, 3), pause=st.sampled_from([0.5, 5.0, 40.0]), events=EVENTS
)
def test_breaker_is_that_of_the_documentation(allowed, pause, events):
    """Closed, open for a pause that doubles, half open for exactly one probe."""
    origins = Origins(allowed, pause)

    for key, event, which in events:
        if isinstance(event, float):
            origins.let_time_pass(event)
        elif event == "ask":
            assert origins.ask(key)
        elif origins.asked[key]:
            origins.tell(key, event, which)
        assert origins.models[key].failures == origins.health.failures(key)

    probes = sum(model.probe is not None for model in origins.models.values())
    assert probes == origins.health.count(State.HALF_OPEN)
