"""Never complete and wrong: whole exchanges between origins and clients of any conduct.

What reaches a client is read by `http.client` and held against slices of the content. It is what
was asked for and right, or an error, or visibly broken. Only where `Cache-Status` says
`detail=unverified` may it be wrong, and then in its bytes alone.
"""

from __future__ import annotations

import email
from itertools import pairwise

import rfc9110
from exchanges import DISTRUST_SECONDS, MODIFIED_DATE, published, sha256
from hostile import (
    COMPENSATING_ORIGINS,
    CONDUCTS,
    GOOD_LAST_ORIGINS,
    HONEST_ORIGINS,
    MANY_SIDED_ORIGINS,
    ORIGINS,
    SILENT_ORIGINS,
    SIZES,
    TURNING_ORIGINS,
    UNLEARNED,
    VERIFY_UP_TO,
    Conduct,
    World,
    content_of,
    mostly,
    ranges_within,
)
from hypothesis import strategies as st
from proof import holds_for, nothing_logged
from texts import RANGES

from streamer.ranges import MAX_SPANS, SPAN_GAP_BYTES

ERRORS = {404, 416, 502, 503, 504}
METHODS = mostly("GET", "HEAD")
VERSIONS = mostly("1.1", "1.0")

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer_one")),
        st.tuples(st.just("flow"), st.integers(0, 3)),
        st.tuples(st.just("go_on"), st.integers(1, 12)),
        st.tuples(st.just("pause"), st.integers(0, 3)),
        st.tuples(st.just("read_on"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 2, 11, 29])),
    ),
    max_size=12,
)
ENDS = st.sampled_from([None, None, None, None, "leave", "leave", "stall"])


def is_line(value):
    """Whether two of it fit into a head."""
    return len(value) < 6000 and value.isprintable() and all(ord(char) < 256 for char in value)


@st.composite
def requests(draw, size):
    """Fields of a request: any Range, and beside it an If-Range that may be ours."""
    one = ranges_within(size).map(lambda value: [value])
    ranges = draw(draw(mostly(one, st.just([]), st.lists(RANGES, max_size=2))))
    # What can stand in a field line; the rest is refused at the door, which is another property.
    ranges = [value.strip(" \t") for value in ranges if is_line(value)]
    etag = f'"{sha256(content_of(size))}"'
    another_date = "Sun, 06 Nov 1994 08:49:38 GMT"
    if_range = draw(mostly(None, etag, f"W/{etag}", MODIFIED_DATE, another_date, "x"))
    applies = if_range in (None, etag, MODIFIED_DATE)
    fields = [f"Range: {value}" for value in ranges]
    fields += [] if if_range is None else [f"If-Range: {if_range}"]
    return fields, ranges if applies else []


@st.composite
def worlds(draw, origins=ORIGINS, sizes=SIZES):
    return World(
        draw(sizes),
        draw(origins),
        knows_size=draw(mostly(True, False)),
        unlearned=draw(UNLEARNED),
        verify_up_to=draw(VERIFY_UP_TO),
        skip_up_to=draw(mostly(8 * 1024**2, 0, 5000)),
        retries=draw(st.sampled_from([0, 0, 1, 3])),
        are_apart=draw(st.booleans()),
    )


@st.composite
def asked_worlds(draw, origins=ORIGINS):
    """A world, and one request in it."""
    world = draw(worlds(origins))
    fields, ranges = draw(requests(len(world.content)))
    return world, fields, ranges, draw(METHODS), draw(VERSIONS)


@st.composite
def far_apart(draw, origins):
    """A world in which one request takes several of its origin."""
    size = 4 * (SPAN_GAP_BYTES + 5000)
    retries = draw(st.sampled_from([0, 0, 1, 3]))
    world = World(size, draw(origins), unlearned="pass", retries=retries)
    parts = []
    for place in draw(st.sampled_from([[0, 3], [0, 1, 2], [1, 2, 3], [0, 1, 2, 3]])):
        start = place * (SPAN_GAP_BYTES + 5000)
        bounds = draw(st.lists(st.integers(start, start + 4998), min_size=1, max_size=3))
        bounds = sorted({*bounds, start + 4999})
        parts += zip(*[iter(bounds)] * 2, strict=False)
    ranges = "bytes=" + ",".join(f"{first}-{last}" for first, last in parts)
    return world, [f"Range: {ranges}"], [ranges], "GET", "1.1"


def take(world, steps, end=None):
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    if end is not None:
        getattr(world, end)()
    world.finish()


# -- what may reach a client -----------------------------------------------------------------------


def expected_parts(world, ranges, method):
    """What is to be sent as 206, and whether it may be unverified; raises `Unsatisfiable`."""
    size = len(world.content)
    if not world.knows_size or method != "GET" or world.unlearned == "refuse":
        return [], False
    asked = rfc9110.asked_for(ranges, size)
    way = rfc9110.way(
        asked,
        size,
        unlearned=world.unlearned,
        verify_up_to=world.verify_up_to,
        is_held=False,
        is_distrusted=False,
    )
    gaps = [right[0] - left[-1] - 1 for left, right in pairwise(asked)]
    if way == "PASSED" and sum(gap > SPAN_GAP_BYTES for gap in gaps) >= MAX_SPANS:
        return [], False
    return asked, way == "PASSED"


def parts_of(answer):
    """Content-Range and content of each part of a 206, as Python's reader of MIME finds them."""
    if not answer["Content-Type"].startswith("multipart/"):
        return [(answer["Content-Range"], answer.content)]
    assert answer["Content-Range"] is None
    head = f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + answer.content).get_payload()
    return [(part["Content-Range"], part.get_payload(decode=True)) for part in parts]


def is_unverified(answer):
    return "detail=unverified" in (answer["Cache-Status"] or "")


def check_right(world, answer, asked, *, may_be_wrong):
    """A complete 200 or 206 holds what was asked for; right bytes, or only as many."""
    content = world.content
    found = parts_of(answer) if asked else [(None, answer.content)]
    slices = [content[part[0] : part[-1] + 1] for part in asked] or [content]
    names = [f"bytes {part[0]}-{part[-1]}/{len(content)}" for part in asked] or [None]
    assert names == [name for name, _ in found]
    assert [len(part) for part in slices] == [len(part) for _, part in found]
    if not may_be_wrong:
        assert slices == [part for _, part in found]


def check_consistent(world):
    """What is unverified came from one origin, which spoke of one content of the right length.

    What counts is its last attempt, from its answer to the first range on.
    """
    flows = [flow for flow in world.flows if flow.url == world.flows[-1].url]
    begins = [place for place, flow in enumerate(flows) if flow.span == world.flows[0].span]
    flows = flows[begins[-1] :]
    said = {(flow.download.response.part_of, flow.conduct.etag) for flow in flows}
    assert said == {(len(world.content), flows[0].conduct.etag)}
    assert [flow for flow in flows if flow.surplus] == []


def check_answer(world, asked, answer, ranges):
    """One exchange that is over: never complete and wrong, and never silently incomplete.

    Beside others of the same client it may be answered with the whole, whatever it asked for.
    """
    if answer is None or not answer.is_complete:
        assert asked.wire.ending in ("aborted", "left")
        return
    try:
        parts, may_be_passed = expected_parts(world, ranges, asked.method)
    except rfc9110.Unsatisfiable:
        assert answer.status == 416
        assert answer["Content-Range"] == f"bytes */{len(world.content)}"
        return
    if answer.status not in (200, 206):
        assert answer.status in ERRORS - {416}
        assert asked.method == "GET"
        return
    if len(world.asked) > 1 and answer.status == 200:
        parts = []
    assert answer.status == (206 if parts else 200)
    if is_unverified(answer):
        assert may_be_passed
        assert answer["Cache-Control"] == "no-store"
        if len(world.asked) == 1:
            check_consistent(world)
    if asked.method == "GET":
        check_right(world, answer, parts, may_be_wrong=is_unverified(answer))
    else:
        length = str(world.size) if world.knows_size else None
        assert (answer["Content-Length"], answer["Content-Range"]) == (length, None)


def check_record(transfer, answer):
    """The transfer log says of an exchange what its client saw of it."""
    if answer is None or not answer.is_complete:
        assert transfer.verdict in ("aborted", "client_gone")
    elif answer.status in (200, 206):
        assert transfer.verdict == "complete"
        assert (transfer.verified == "passed") == is_unverified(answer)
        assert (transfer.verified == "none") == (transfer.method == "HEAD")
    else:
        assert transfer.verdict in ("error", "refused")
    assert transfer.bytes == (0 if answer is None else len(answer.content))


@holds_for(share=6, examples=300, given=asked_worlds(), steps=STEPS, end=ENDS)
def test_response_is_right_or_visibly_is_not(given, steps, end):
    """Invariants 1 and 7: whatever origins and clients do, at any moment of an exchange."""
    world, fields, ranges, method, version = given
    with nothing_logged():
        asked = world.ask(*fields, method=method, version=version)
        take(world, steps, end)

        check_answer(world, asked, asked.answer(), ranges)
        world.check_nothing_is_left()
        if not asked.reads_no_more and asked.wire.ending != "left":
            check_record(world.service.transfer, asked.answer())


@holds_for(
    share=6,
    examples=200,
    given=asked_worlds(HONEST_ORIGINS) | far_apart(HONEST_ORIGINS),
    steps=STEPS,
)
def test_honest_origin_is_passed_on_completely(given, steps):
    """Who is patient gets right bytes from honest origins; to be careful is not to refuse."""
    world, fields, ranges, method, version = given
    asked = world.ask(*fields, method=method, version=version)
    steps = [step for step in steps if step[0] not in ("wait", "pause")]
    take(world, steps)

    answer = asked.answer()
    check_answer(world, asked, answer, ranges)
    cannot_be_cut = not world.knows_size and version == "1.0" and method == "GET"
    assert answer.is_complete
    assert answer.status in {200, 206, 416} | ({502} if cannot_be_cut else set())
    if answer.status == 206:
        parts, _ = expected_parts(world, ranges, method)
        check_right(world, answer, parts, may_be_wrong=False)


@st.composite
def healing_worlds(draw):
    """A world in which whatever goes wrong can be made good."""
    sizes = st.integers(0, 3000) | st.integers(10_000, 300_000)
    origins = draw(GOOD_LAST_ORIGINS)
    retries = draw(st.sampled_from([0, 0, 1, 3]))
    return World(draw(sizes), origins, unlearned="verify", retries=retries, are_apart=True)


@holds_for(share=6, examples=200, world=healing_worlds(), steps=STEPS)
def test_good_origin_behind_others_makes_up_for_them(world, steps):
    """With a good last origin, and nothing wrong sent, it is always the right file."""
    with nothing_logged():
        asked = world.ask()
        take(world, [step for step in steps if step[0] not in ("wait", "pause")])

        assert asked.answer().is_complete
        assert asked.answer().content == world.content
        world.check_nothing_is_left()


@holds_for(
    share=3,
    examples=100,
    size=SIZES,
    origins=SILENT_ORIGINS,
    good=st.tuples(st.integers(0, 20), HONEST_ORIGINS),
    retries=st.sampled_from([0, 3]),
    steps=STEPS,
    end=ENDS,
)
def test_good_origin_among_silent_ones_makes_up_for_them(size, origins, good, retries, steps, end):
    """Wherever it stands, and whatever the others open when nobody waits for them any more."""
    place, honest = good
    origins = [*origins[:place], honest[0], *origins[place:]]
    world = World(size, origins, unlearned="verify", retries=retries, are_apart=True)
    with nothing_logged():
        asked = world.ask()
        take(world, [step for step in steps if step[0] not in ("wait", "pause")], end)

        check_answer(world, asked, asked.answer(), [])
        assert end is not None or asked.answer().content == world.content
        world.check_nothing_is_left()


@holds_for(
    share=6,
    examples=200,
    given=far_apart(MANY_SIDED_ORIGINS | HONEST_ORIGINS)
    | far_apart(HONEST_ORIGINS | COMPENSATING_ORIGINS),
    steps=STEPS,
    end=ENDS,
)
def test_response_made_of_several_is_about_one_content(given, steps, end):
    """RFC 9110 15.3.7.3: what does not show that it belongs together is not joined."""
    world, fields, ranges, _, _ = given
    with nothing_logged():
        asked = world.ask(*fields)
        take(world, steps, end)

        check_answer(world, asked, asked.answer(), ranges)
        world.check_nothing_is_left()


@holds_for(
    share=6,
    examples=100,
    world=worlds(),
    several=st.integers(0, 300_000).flatmap(
        lambda size: st.lists(requests(size), min_size=2, max_size=4)
    ),
    steps=STEPS,
)
def test_exchanges_at_the_same_time_do_not_mix(world, several, steps):
    """Each client gets what it asked for, whatever becomes of the others."""
    with nothing_logged():
        asked = [(world.ask(*[f"Range: {r}" for r in ranges]), ranges) for _, ranges in several]
        take(world, steps, None)

        for one, ranges in asked:
            check_answer(world, one, one.answer(), ranges)
        world.check_nothing_is_left()


@holds_for(
    size=SIZES,
    unlearned=UNLEARNED,
    ranges=st.integers(0, 3000).flatmap(ranges_within),
    is_corrupt=st.booleans(),
)
def test_held_content_is_cut_and_verified_with_every_setting(size, unlearned, ranges, is_corrupt):
    """No origin is involved, and still nothing wrong is complete."""
    world = World(size, [], unlearned=unlearned, verify_up_to=0)
    content = world.content
    kept = content[:-1] + b"?" if is_corrupt else content
    world.service.catalog.publish("base/f", published(content, held=True), kept)

    asked = world.ask(f"Range: {ranges}")
    world.finish()
    answer = asked.answer()

    world.unlearned = "verify"
    check_answer(world, asked, answer, [ranges])
    assert not is_unverified(answer)
    assert is_corrupt or (answer.is_complete and answer.status in (200, 206, 416))


@holds_for(examples=50, world=worlds(HONEST_ORIGINS))
def test_head_agrees_with_get(world):
    """Invariant 10: the same fields, but for what only an origin knows."""
    head, get = world.ask(method="HEAD"), world.ask()
    world.finish()

    only_now = {"Cache-Status", "Date", "X-Origin", "Transfer-Encoding"}
    only_now |= set() if world.knows_size else {"Content-Length"}
    told = [
        [(name, value) for name, value in asked.answer().fields if name not in only_now]
        for asked in (head, get)
    ]
    assert sorted(told[0]) == sorted(told[1])


# -- clients that resume ---------------------------------------------------------------------------


class Resumer:
    """A client that keeps what it got of a segment, and asks for the rest again and again.

    `splices` is what it makes of a 200 that answers its Range: wget skips the beginning that it
    has, others start over. `asks_plainly` is how aria2 begins: it takes the first segment out of
    the whole. Other segments it takes out of nothing but the part that it asked for.
    """

    def __init__(self, world, first, end, *, splices, asks_plainly, if_range):
        self.world = world
        self.first = first
        self.end = end
        self.file = b""
        self.is_marked = False
        self._is_whole = end - first == world.size
        self._splices = splices and self._is_whole
        self._asks_plainly = asks_plainly or self._is_whole
        self._if_range = if_range
        self._asked = None
        self._has_seen_the_end = False

    @property
    def is_complete(self):
        """Whether it has as much as it was told that there is, or was told that it has all."""
        if not self.world.knows_size:
            return self._has_seen_the_end
        return len(self.file) == self.end - self.first

    def ask(self):
        self._asked = None if self.is_complete else self.world.ask(*self._fields())

    def _fields(self):
        start = self.first + len(self.file)
        if start == 0 and self._asks_plainly:
            return []
        fields = [f"Range: bytes={start}-{'' if self._is_whole else self.end - 1}"]
        if self._if_range and self.file:
            fields.append(f'If-Range: "{sha256(self.world.content)}"')
        return fields

    def keep(self):
        """Join what came to what is there, as far as its own fields allow that."""
        answer = None if self._asked is None else self._asked.answer()
        if answer is None or answer.status not in (200, 206):
            return
        start = self.first + len(self.file)
        if answer.status == 206 and answer["Content-Range"].startswith(f"bytes {start}-"):
            self.file += answer.content
        elif answer.status == 200 and self._splices:
            self.file += answer.content[start:]
        elif answer.status == 200 and self._is_whole:
            self.file = answer.content
        elif answer.status == 200 and start == 0:
            self.file = answer.content[: self.end]
        else:
            return
        self._has_seen_the_end |= answer.is_complete
        self.is_marked |= is_unverified(answer)


@st.composite
def resumers(draw):
    """One client that fetches the whole, or one that fetches segments at the same time."""
    sizes = st.integers(1, 3000) | st.integers(10_000, 200_000) | st.integers(30_000, 60_000)
    world = draw(worlds(ORIGINS | TURNING_ORIGINS, sizes))
    places = st.integers(1, world.size) | st.integers(1, min(world.size, 9000))
    bounds = draw(st.just([]) | st.lists(places, min_size=1, max_size=3))
    bounds = bounds if world.knows_size else []
    habits = {name: draw(st.booleans()) for name in ("splices", "asks_plainly", "if_range")}
    segments = pairwise(sorted({0, world.size, *bounds}))
    return world, [Resumer(world, *ends, **habits) for ends in segments]


@st.composite
def joiners(draw):
    """A client that takes a first segment out of the whole, and the rest beside it, like aria2."""
    world = World(draw(st.integers(30_000, 60_000)), draw(TURNING_ORIGINS))
    end = draw(st.integers(1, 9000))
    habits = {"splices": False, "asks_plainly": True, "if_range": False}
    segments = [(0, end), (end, world.size)]
    return world, [Resumer(world, *ends, **habits) for ends in segments]


@holds_for(
    share=6,
    examples=300,
    given=resumers() | joiners(),
    rounds=st.lists(st.tuples(mostly(0, 1, 2, 9), STEPS, ENDS), min_size=2, max_size=5),
)
def test_client_that_resumes_never_ends_with_a_wrong_file(given, rounds):
    """Invariant 1 across requests: unless it was told "unverified", a complete file is right.

    Whether an origin broke off, the client left or stalled, makes no difference, within the time
    for which the service remembers it.
    """
    world, clients = given
    for steps_between, steps, end in rounds:
        for client in clients:
            client.ask()
            world.go_on(steps_between)
        take(world, steps, end)
        for client in clients:
            client.keep()
    world.check_nothing_is_left()

    is_remembered = world.service.clock.seconds() < DISTRUST_SECONDS
    if is_remembered and all(client.is_complete for client in clients):
        file = b"".join(client.file for client in clients)
        assert file == world.content or any(client.is_marked for client in clients)


@holds_for(
    size=st.integers(20_000, 100_000),
    fault=CONDUCTS.filter(lambda conduct: conduct.flips_at is not None),
    start=st.integers(1, 10_000),
    unlearned=UNLEARNED,
    verify_up_to=VERIFY_UP_TO,
    waited=st.integers(0, DISTRUST_SECONDS - 1),
)
def test_resumption_after_wrong_content_is_refused(
    size, fault, start, unlearned, verify_up_to, waited
):
    """Who got some of wrong content cannot get the rest of it right, with any setting."""
    world = World(size, [[fault, Conduct()]], unlearned=unlearned, verify_up_to=verify_up_to)
    first = world.ask()
    world.finish()
    got = first.answer()
    broken_at = world.service.clock.seconds()
    if got is None or got.is_complete or not got.content:
        return

    world.wait(waited)
    second = world.ask(f"Range: bytes={start}-")
    world.finish()

    assert world.service.clock.seconds() == broken_at + waited
    assert second.answer().status == 502
    assert world.service.transfers.written[-1].attempts == 0
