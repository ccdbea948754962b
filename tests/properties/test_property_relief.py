"""Content that crawls: whoever else is asked for it, nobody gets wrong bytes, or fewer."""

from __future__ import annotations

from dataclasses import replace

from hostile import CONDUCTS, HONEST_CONDUCTS, SHOWN_CONDUCTS, Conduct, World
from hypothesis import strategies as st
from proof import holds_for, nothing_logged

CRAWLING = st.sampled_from([1000, 4096]).map(lambda size: Conduct(piece_bytes=size))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("flow"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.sampled_from([1, 10])),
        st.tuples(st.just("wait"), st.just(10)),
        st.tuples(st.just("answer_one")),
        st.tuples(st.just("pause")),
        st.tuples(st.just("read_on")),
    ),
    min_size=3,
    max_size=30,
)


@st.composite
def worlds(draw, others):
    """A large content whose first origin is well, and sends a little now and then.

    Who asks it once more is answered at once.
    """
    crawling = draw(CRAWLING)
    again = [replace(crawling, is_quick=True)] * 50
    origins = [[crawling, *again], *draw(st.lists(others, min_size=1, max_size=5))]
    return World(
        draw(st.integers(150_000, 300_000)),
        origins,
        retries=draw(st.sampled_from([0, 0, 1])),
        are_apart=True,
    )


def crawl(world, steps, *, is_patient=False):
    """Ask, and let the first origin answer; then take the steps, and go on to the end.

    Where `is_patient`, no wait is long enough for the first origin or the client to be given up.
    """
    asked = world.ask()
    world.answer_one()
    for name, *arguments in steps:
        getattr(world, name)(*arguments)
        if is_patient and name == "wait":
            world.flows[0].step()
            world.read_on()
    world.finish()
    return asked


@holds_for(
    share=3,
    examples=300,
    world=worlds(st.lists(CONDUCTS | HONEST_CONDUCTS, min_size=1, max_size=3)),
    steps=STEPS,
)
def test_content_that_crawls_is_right_or_visibly_is_not(world, steps):
    """Whatever the others send, and at any moment."""
    with nothing_logged():
        answer = crawl(world, steps).answer()

        assert not answer.is_complete or answer.content == world.content
        world.check_nothing_is_left()


@holds_for(
    share=3,
    examples=300,
    world=worlds(st.lists(SHOWN_CONDUCTS | HONEST_CONDUCTS, min_size=1, max_size=3)),
    steps=STEPS,
)
def test_content_that_crawls_is_none_the_worse_for_the_others(world, steps):
    """Where they fail in ways that show, its client gets all of it, as it would without them."""
    answer = crawl(world, steps, is_patient=True).answer()

    assert answer.is_complete
    assert answer.content == world.content
