"""The plan against its own rules, whatever origins say; the breaker against a simpler one."""

from __future__ import annotations

from collections import Counter
from itertools import cycle

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
    OriginNonsense,
    OriginTimedOut,
    OriginUnreachable,
)
from streamer.health import FORGET_SECONDS, Health, OriginKey
from streamer.plan import (
    MAX_ATTEMPTS,
    MAX_FRUITLESS,
    MAX_STRETCH_ATTEMPTS,
    MAX_UNDER_WAY,
    Plan,
    Prospect,
    retry_after_seconds,
)
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
        blame=st.integers(0, 3),
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
    merits = [(prospects[p].blame, prospects[p].priority) for p in first_round]
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


# -- attempts that overlap -------------------------------------------------------------------------

HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "fail", "answer"]),
        st.integers(0, MAX_UNDER_WAY),
        ERRORS,
        st.sampled_from([0.0, 0.0, 0.1, 2.0]),
        st.sampled_from(["lost", "lost", "broke off", "broke off far"]),
    ),
    max_size=150,
)
"""What happens, to which of those that are under way, in which error that ends, after how long, and
what becomes of the content if it has answered."""


class Overlapping:
    """Attempts of which several are under way until one has answered."""

    def __init__(self, prospects, budget):
        self.prospects = prospects
        self.budget = budget
        self.now = 1000.0
        self.deadline = self.now + budget
        self.plan = Plan(prospects, now=self.now, budget_seconds=budget, jitter=lambda: 0.0)
        self.under_way = []
        self.failed = set()
        self.out = set()
        self.asked = 0
        self.most = MAX_ATTEMPTS
        self.is_in_midstream = False

    def run(self, happenings):
        for name, which, error, seconds, then in happenings:
            self.now += seconds
            if name == "ask":
                self.ask()
            elif self.under_way:
                self.end(self.under_way.pop(which % len(self.under_way)), error)
                if name == "answer":
                    self.go_on_after(self.last, then)
        return self

    def ask(self):
        step = self.plan.next(self.now)
        if step is not None:
            self.check(step)
            self.asked += 1
            self.under_way.append(step.candidate)
        elif not self.under_way:
            self.check_end()

    def check(self, step):
        """What holds of every step, whatever came before."""
        assert step.candidate not in self.under_way
        assert step.candidate not in self.out
        assert len(self.under_way) < MAX_UNDER_WAY
        assert step.wait_seconds >= 0
        assert min(step.seconds, step.alone_seconds) > 0
        longest = max(step.seconds, step.alone_seconds)
        assert self.now + step.wait_seconds + longest <= self.deadline + 1e-6
        if self.prospects[step.candidate].is_last_resort:
            assert all(self.prospects[each].is_last_resort for each in self.under_way)

    def check_end(self):
        """Nobody is left out who has not failed, while there is time."""
        has_time = self.now < self.deadline and self.asked < self.most
        if has_time and not self.is_in_midstream:
            assert self.failed == set(range(len(self.prospects)))

    def end(self, place, error):
        self.last = place
        self.failed.add(place)
        self.plan.failed(place, error, self.now)
        if isinstance(error, OriginAvoided):
            self.asked -= 1
        elif not error.may_recover:
            self.out.add(place)

    def go_on_after(self, place, then):
        """Others are given up, and then the content of the one that answered fails."""
        while self.under_way:
            self.plan.let_go(self.under_way.pop())
        if then != "lost":
            self.plan.resume(place, self.now, self.budget, is_far=then == "broke off far")
            self.deadline = self.now + self.budget
            self.is_in_midstream = True
            self.asked, self.most = 0, MAX_STRETCH_ATTEMPTS


@holds_for(
    examples=400,
    prospects=st.lists(st.builds(Prospect, st.integers(0, 1), st.integers(0, 2)), max_size=20)
    | PROSPECTS,
    budget=st.floats(0.1, 60),
    happenings=HAPPENINGS,
)
def test_attempts_that_overlap_keep_to_the_rules(prospects, budget, happenings):
    """Bounded in number and time, nobody beside itself, and who was let go is no worse for it."""
    exchange = Overlapping(prospects, budget).run(happenings)

    assert exchange.asked <= exchange.most


@holds_for(
    examples=200,
    count=st.integers(1, 60),
    retries=st.integers(0, 3),
    budget=st.floats(0.1, 60),
    is_answer=st.lists(st.booleans(), min_size=1),
)
def test_plan_with_overlapping_attempts_ends(count, retries, budget, is_answer):
    """Even if all that ever answer send wrong content, and nothing takes any time."""
    exchange = Overlapping([Prospect(0, retries)] * count, budget)
    names = cycle(["answer" if each else "fail" for each in is_answer])

    for _ in range(2 * MAX_ATTEMPTS):
        exchange.run([("ask", 0, OriginTimedOut(), 0.0, "lost")] * MAX_UNDER_WAY)
        if not exchange.under_way:
            break
        exchange.run([(next(names), 0, OriginNonsense("no"), 2.0, "lost")])

    assert exchange.plan.next(exchange.now) is None
    assert exchange.under_way == []


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
