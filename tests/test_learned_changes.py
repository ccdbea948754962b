"""What waits to be written: the newest for each digest, and never more than the bound."""

from __future__ import annotations

import pytest
from piece_stores import MIB, digest, table

from streamer.learned.changes import Changes, Mark
from streamer.learned.rows import ROW_BYTES, cost

COST = cost(table("any"))


@pytest.fixture
def changes():
    return Changes(4 * COST)


def test_what_waits_is_taken_in_its_order(changes):
    """Once."""
    changes.add("a", table("a"))
    changes.add("b", Mark.FORGOTTEN)

    assert [("a", table("a")), ("b", Mark.FORGOTTEN)] == list(changes.take().items())
    assert not changes


def test_what_is_newer_takes_the_place_of_what_is_older(changes):
    """Also where that is forgetting, or learning again."""
    changes.add("a", table("a"))
    changes.add("a", Mark.FORGOTTEN)
    changes.add("b", Mark.FORGOTTEN)
    changes.add("b", table("b"))

    assert {"a": Mark.FORGOTTEN, "b": table("b")} == changes.take()


def test_use_is_no_news_where_something_else_is_to_become_of_it(changes):
    """What is written is of that day anyway, and what is forgotten is gone."""
    changes.add("a", table("a"))
    changes.take()
    changes.add("b", Mark.FORGOTTEN)

    assert changes.add("a", Mark.USED)
    assert changes.add("b", Mark.USED)
    assert {"b": Mark.FORGOTTEN} == changes.take()


def test_what_is_being_written_is_known_until_it_is_done(changes):
    """Nobody finds it anywhere else."""
    changes.add("a", table("a"))
    changes.take()
    meanwhile = changes.find("a")
    changes.done()

    assert table("a") == meanwhile
    assert changes.find("a") is None


def test_beyond_the_bound_nothing_is_taken_in(changes):
    """What is being written counts as well."""
    taken = [changes.add(str(number), table(number)) for number in range(4)]
    changes.take()
    refused = changes.add("more", table("more"))
    changes.done()

    assert [True] * 4 == taken
    assert not refused
    assert changes.add("more", table("more"))


def test_change_in_place_of_another_takes_its_room(changes):
    """So the newest is taken in where nothing else is."""
    for number in range(4):
        changes.add(digest(number), table(number))

    assert changes.add(digest(0), Mark.FORGOTTEN)
    assert changes.add(digest(1), table(1))
    assert not changes.add(digest(2), table(2, size=3 * MIB))


def test_what_could_not_be_written_waits_again(changes):
    """But for what is newer, and in its room."""
    for number in range(3):
        changes.add(str(number), table(number))
    changes.take()
    changes.add("0", Mark.FORGOTTEN)
    changes.put_back()

    assert {"0": Mark.FORGOTTEN, "1": table(1), "2": table(2)} == changes.take()
    assert changes.add("3", table(3))
    assert not changes.add("4", table(4))


def test_room_of_everything_is_free_again_in_the_end():
    """Nothing is counted twice, or for ever."""
    changes = Changes(COST)
    for _ in range(3):
        changes.add("a", table("a"))
        changes.take()
        changes.put_back()
        changes.add("a", Mark.FORGOTTEN)
        changes.take()
        changes.add("b", Mark.USED)
        changes.put_back()
        changes.take()
        changes.done()

    assert changes.add("a", table("a"))
    assert COST - ROW_BYTES == len(table("a").digests)
