"""Verified before it is sent: learned content between origins and clients of any conduct.

Of content whose pieces are known not a single wrong byte reaches a client, complete or not: what it
gets is a beginning of the right response. What that is comes from an honest origin, and is itself
held against slices of the content. No origin is asked for more than the leaves that are needed.
"""

from __future__ import annotations

import email
from dataclasses import replace

from exchanges import sha256
from hostile import (
    CONDUCTS,
    HONEST_CONDUCTS,
    MANY_SIDED_ORIGINS,
    ORIGINS,
    TURNING_ORIGINS,
    UNLEARNED,
    VERIFY_UP_TO,
    Conduct,
    World,
    mostly,
)
from hypothesis import strategies as st
from proof import holds_for, nothing_logged

from streamer.pieces.learning import Learner
from streamer.pieces.table import LEAF_BYTES

ERRORS = {404, 502, 503, 504}

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("answer_one")),
        st.tuples(st.just("flow"), st.integers(0, 3)),
        st.tuples(st.just("go_on"), st.integers(1, 40)),
        st.tuples(st.just("pause"), st.integers(0, 3)),
        st.tuples(st.just("read_on"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 2, 11, 29])),
    ),
    max_size=12,
)
ENDS = st.sampled_from([None, None, None, None, "leave", "leave", "stall"])

SIZES = st.tuples(
    st.sampled_from([3, 2, 5, 4, 1, 0]), st.sampled_from([30_000, 1001, -1, 0, 1])
).map(lambda drawn: max(1001, drawn[0] * LEAF_BYTES + drawn[1]))
"""Around the borders of leaves; what is small has none."""

FAULTS = st.tuples(st.sampled_from(["flips_at", "cuts_at"]), st.integers(LEAF_BYTES, 400_000))
LIARS = st.builds(
    lambda fault, piece_bytes, **manner: Conduct(
        **{fault[0]: fault[1]}, piece_bytes=piece_bytes, **manner
    ),
    fault=FAULTS,
    piece_bytes=st.sampled_from([150_000, LEAF_BYTES + 1, 40_000, 16_384, 1000]),
    ignores_range=mostly(False, True),
    is_quick=st.booleans(),
)
"""Most of what they send is right; and their chunks end where leaves do not."""

LYING_ORIGINS = st.lists(st.lists(CONDUCTS | LIARS, min_size=1, max_size=3), max_size=2)
HEALING_ORIGINS = st.tuples(
    LYING_ORIGINS | st.lists(st.lists(LIARS, min_size=1, max_size=2), min_size=1, max_size=2),
    HONEST_CONDUCTS,
).map(lambda drawn: [*drawn[0], [drawn[1]]])
"""Up to two of any conduct, and then one that does not fail."""

OBEDIENT_ORIGINS = st.lists(
    st.lists(
        (CONDUCTS | LIARS).map(lambda each: replace(each, ignores_range=False)),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=3,
)
"""They lie and break as others do, but know what a Range is."""


def learn(world):
    """Let the pieces be known from now on, as if another client had got all of it."""
    learner = Learner()
    learner.update(world.content)
    key = str(sha256(world.content)), world.size
    world.service.learned.tables[key] = learner.table()


@st.composite
def worlds(draw, origins=ORIGINS, are_apart=None):
    """A world in which the pieces of the content are known."""
    world = World(
        draw(SIZES),
        draw(origins),
        unlearned=draw(UNLEARNED),
        verify_up_to=draw(VERIFY_UP_TO),
        retries=draw(st.sampled_from([0, 0, 1, 3])),
        are_apart=draw(st.booleans()) if are_apart is None else are_apart,
    )
    learn(world)
    return world


def places_within(size):
    """Positions, many of them beside the border of two leaves."""
    borders = st.tuples(st.integers(0, size // LEAF_BYTES), st.integers(-2, 2))
    near = borders.map(lambda drawn: drawn[0] * LEAF_BYTES + drawn[1])
    return (near | st.integers(0, size - 1)).map(lambda place: min(max(0, place), size - 1))


@st.composite
def asked_worlds(draw, origins=ORIGINS, are_apart=None):
    """A world, and the first and last positions that are asked for; none for all of it."""
    world = draw(worlds(origins, are_apart))
    count = draw(mostly(1, 0, 2, 3))
    places = sorted(draw(st.sets(places_within(world.size), min_size=2, max_size=6)))
    return world, list(zip(places[::2], places[1::2], strict=False))[:count]


def fields_of(parts):
    return [f"Range: bytes={','.join(f'{first}-{last}' for first, last in parts)}"] if parts else []


def right_answer(world, parts):
    """What one honest origin leads to."""
    honest = World(world.size, [[Conduct(is_quick=True)]])
    learn(honest)
    asked = honest.ask(*fields_of(parts))
    honest.finish()
    return asked.answer()


def slices_of(answer):
    """The content of each part, as Python's reader of MIME finds them."""
    if not answer["Content-Type"].startswith("multipart/"):
        return [answer.content]
    head = f"Content-Type: {answer['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(head + answer.content).get_payload()
    return [part.get_payload(decode=True) for part in parts]


def leaves_of(parts):
    return {leaf for f, last in parts for leaf in range(f // LEAF_BYTES, last // LEAF_BYTES + 1)}


def all_of(world):
    return [(0, world.size - 1)]


def runs_of(leaves, size):
    """The spans of adjacent leaves, as first and last positions."""
    ordered = sorted(leaves)
    starts = [leaf for leaf in ordered if leaf - 1 not in leaves]
    ends = [leaf for leaf in ordered if leaf + 1 not in leaves]
    return [
        (start * LEAF_BYTES, min((end + 1) * LEAF_BYTES, size) - 1)
        for start, end in zip(starts, ends, strict=True)
    ]


def spans_of(world):
    """What origins were asked for, in order; all of it where there was no Range."""
    spans = world.service.importers.spans
    return [all_of(world)[0] if span is None else (span.first, span.last) for span in spans]


def take(world, steps, end=None):
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
    if end is not None:
        getattr(world, end)()
    world.finish()


def without_waits(steps):
    """Patient clients."""
    return [step for step in steps if step[0] not in ("wait", "pause")]


def check_beginning(asked, answer, right):
    """What reached a client is the beginning of the right response, or an honest error."""
    if answer is None:
        assert asked.wire.ending in ("aborted", "left")
    elif answer.status in (200, 206):
        assert answer.status == right.status
        assert right.content.startswith(answer.content)
        assert answer.is_complete == (answer.content == right.content)
        assert answer.is_complete or asked.wire.ending in ("aborted", "left")
        assert "; verified=pieces" in answer["Cache-Status"]
    else:
        assert answer.status in ERRORS
        assert answer.is_complete or asked.wire.ending in ("aborted", "left")


@holds_for(share=6, examples=200, given=asked_worlds(), steps=STEPS, end=ENDS)
def test_no_wrong_byte_is_sent(given, steps, end):
    """Whatever origins and clients do: right bytes, or visibly fewer of them."""
    world, parts = given
    right = right_answer(world, parts)
    with nothing_logged():
        asked = world.ask(*fields_of(parts))
        take(world, steps, end)

        check_beginning(asked, asked.answer(), right)
        world.check_nothing_is_left()


@holds_for(
    share=6,
    examples=200,
    given=asked_worlds(MANY_SIDED_ORIGINS | LYING_ORIGINS),
    steps=STEPS,
    end=ENDS,
)
def test_no_wrong_byte_of_origins_that_change_is_sent(given, steps, end):
    """Each of their answers is another lie."""
    world, parts = given
    right = right_answer(world, parts)
    asked = world.ask(*fields_of(parts))
    take(world, steps, end)

    check_beginning(asked, asked.answer(), right)


@holds_for(
    share=3,
    examples=200,
    given=asked_worlds(st.lists(HONEST_CONDUCTS.map(lambda c: [c]), min_size=1, max_size=2)),
    steps=STEPS,
)
def test_honest_origin_is_asked_for_the_leaves_that_are_needed(given, steps):
    """Those and no others, once each, adjacent ones together; and the parts are what was asked."""
    world, parts = given
    asked = world.ask(*fields_of(parts))
    take(world, without_waits(steps))

    answer = asked.answer()
    wanted = parts or all_of(world)
    assert answer.is_complete
    assert answer.status == (206 if parts else 200)
    assert slices_of(answer) == [world.content[first : last + 1] for first, last in wanted]
    assert spans_of(world) == runs_of(leaves_of(wanted), world.size)
    assert world.service.transfer.verified == "pieces"


@holds_for(share=3, examples=200, given=asked_worlds(OBEDIENT_ORIGINS), steps=STEPS, end=ENDS)
def test_no_origin_is_asked_for_more_than_the_leaves_that_are_needed(given, steps, end):
    """However often it breaks off, what is asked for is within them, and ends where they do."""
    world, parts = given
    world.ask(*fields_of(parts))
    take(world, steps, end)

    runs = runs_of(leaves_of(parts or all_of(world)), world.size)
    for first, last in spans_of(world):
        assert [run for run in runs if run[0] <= first <= last == run[1]]


@holds_for(share=6, examples=200, given=asked_worlds(HEALING_ORIGINS, are_apart=True), steps=STEPS)
def test_good_origin_behind_liars_makes_up_for_them(given, steps):
    """With pieces that holds for what is wrong as well: the client never notices."""
    world, parts = given
    right = right_answer(world, parts)
    with nothing_logged():
        asked = world.ask(*fields_of(parts))
        take(world, without_waits(steps))

        assert asked.answer().status == right.status
        assert asked.answer().is_complete
        assert asked.answer().content == right.content
        world.check_nothing_is_left()


@holds_for(
    share=6,
    examples=200,
    size=SIZES,
    origins=ORIGINS | TURNING_ORIGINS,
    settings=st.tuples(UNLEARNED, VERIFY_UP_TO),
    rounds=st.lists(st.tuples(STEPS, ENDS), min_size=2, max_size=5),
    learned_before=st.integers(0, 3),
)
def test_client_that_resumes_never_ends_with_a_wrong_file(
    size, origins, settings, rounds, learned_before
):
    """Whenever in between the content is learned, and whatever the client has by then.

    Only where it was told "unverified" may it be wrong.
    """
    unlearned, verify_up_to = settings
    world = World(size, origins, unlearned=unlearned, verify_up_to=verify_up_to)
    file, is_marked = b"", False
    for number, (steps, end) in enumerate(rounds):
        if number == learned_before:
            learn(world)
        if len(file) == size:
            break
        asked = world.ask(*[f"Range: bytes={len(file)}-"] * bool(file))
        take(world, steps, end)
        answer = asked.answer()
        if answer is None or answer.status not in (200, 206):
            continue
        is_marked |= "detail=unverified" in (answer["Cache-Status"] or "")
        file = answer.content if answer.status == 200 else file + answer.content
    world.check_nothing_is_left()

    assert file == world.content or len(file) != size or is_marked
