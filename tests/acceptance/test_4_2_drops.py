"""Issue 4, line 2: transfers that drop in the middle, as users reported them of others.

Numbered as in the survey of those reports: 2 is a drop that can be resumed, 3 a mirror that lies
when it is asked to go on, 4 a drop where nobody knows ranges.
"""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest
from faulty_origins import KIB, half
from judging import BREAK, RIGHT, outcome_of
from origins import Origin, cuts, flipped, serves
from processes import Streamer, entry, raw_exchange
from ranged_origins import (
    asked_range,
    changes_total,
    cuts_ranges,
    in_turn,
    narrows_range,
    omits_content_range,
    repeats_content_range,
    sends_multipart,
    serves_by_target,
    serves_ranges,
    shifts_bytes,
    shifts_range,
)

SIZE = 1024 * KIB
AT = SIZE // 2
SHARED = random.Random(42).randbytes(SIZE)
LIMITS = {"delivery__first_byte": "4s", "delivery__idle": "1s"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service with short time limits."""
    with Streamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        yield streamer


def lacks(content):
    """An origin that does not have it."""
    return serves(b"", status=b"404 Not Found")


def drops(content):
    """An origin that breaks off at 50 %, whatever it is asked."""
    return cuts(content, half(content))


def drops_once(content):
    """An origin that breaks off at 50 % and then has it, in ranges too."""
    return in_turn(drops(content), serves_ranges(content))


def drops_and_lacks(content):
    """An origin that breaks off at 50 % and then does not have it any more."""
    return in_turn(drops(content), lacks(content))


class Case(NamedTuple):
    """Some origins in the order of their priorities, and what may come of it."""

    name: str
    origins: tuple
    outcome: str

    @property
    def content(self):
        """Its own, since what breaks off is distrusted."""
        mark = self.name.encode()
        return mark + SHARED[len(mark) :]

    def path(self, place):
        """Where one of its origins has the content."""
        return f"{CASES.index(self)}/{place}"


RESUMED = [
    Case("at the same origin", (drops_once,), RIGHT),
    Case("at a mirror", (drops_and_lacks, serves_ranges), RIGHT),
    Case("at a second mirror", (drops_and_lacks, lacks, serves_ranges), RIGHT),
    Case(
        "at a mirror with another validator",
        (drops_and_lacks, lambda right: serves_ranges(right, version='"other"')),
        RIGHT,
    ),
]

LYING_MIRRORS = {
    "ignores the range": (serves, RIGHT, RIGHT),
    "ignores the range and is short": (lambda right: serves(right[:-1]), BREAK, RIGHT),
    "shifts the range": (shifts_range, BREAK, RIGHT),
    "narrows the range": (narrows_range, BREAK, RIGHT),
    "says another total": (lambda right: changes_total(right, SIZE + 1), BREAK, RIGHT),
    "says an unknown total": (lambda right: changes_total(right, "*"), BREAK, RIGHT),
    "says no range": (omits_content_range, BREAK, RIGHT),
    "says two ranges": (repeats_content_range, BREAK, RIGHT),
    "sends a part of several": (sends_multipart, BREAK, RIGHT),
    "closes before the last byte": (cuts_ranges, BREAK, RIGHT),
    "sends the bytes beside": (shifts_bytes, BREAK, BREAK),
    "flips a bit behind the break": (
        lambda right: serves_ranges(flipped(right, AT + 100)),
        BREAK,
        BREAK,
    ),
}
"""What the mirror does at which the transfer is to go on, and what comes of it: alone, and with a
good third origin. Only the digest can tell the last two, and it tells at the end."""

LIED_TO = [
    Case(f"{lie}, {note}", (drops_and_lacks, tell, *third), outcome)
    for lie, (tell, alone, with_third) in LYING_MIRRORS.items()
    for note, third, outcome in (
        ("nobody else", (), alone),
        ("a good third", (serves_ranges,), with_third),
    )
]

NO_RANGES = [
    Case("no ranges at the only origin", (drops,), BREAK),
    Case("no ranges at a mirror either", (drops, drops), BREAK),
]

CASES = [*RESUMED, *LIED_TO, *NO_RANGES]


@pytest.fixture(scope="module")
def origin(service):
    """The origins of all cases, each under an address of its own, so that no health is shared."""
    behaviours = {
        case.path(place): tell(case.content)
        for case in CASES
        for place, tell in enumerate(case.origins)
    }
    with Origin(serves_by_target(behaviours), address="0.0.0.0") as origin:
        entries = {case.name: promise(origin, case) for case in CASES}
        service.publish("cases", origin.url, entries)
        yield origin


def promise(origin, case):
    """The entry of a case, with its origins in order."""
    number = 1 + CASES.index(case)
    sources = [
        {"url": f"{origin.url_at(f'127.3.{number}.{1 + place}')}{case.path(place)}"}
        | {"priority": place}
        for place in range(len(case.origins))
    ]
    return {**entry(case.name, case.content), "sources": sources}


def url_of(service, case):
    return f"{service.url}cases/{case.name.replace(' ', '%20')}"


def asked_of(origin, case, place):
    """The ranges that one origin of a case was asked for, None for the whole, in order."""
    target = f"/{case.path(place)}".encode()
    return [asked_range(talk, SIZE) for talk in origin.conversations if talk.target == target]


def by_name(case):
    return case.name


@pytest.mark.parametrize("case", RESUMED, ids=by_name)
def test_02_drop_is_resumed_where_it_broke_off(case, service, origin):
    """The client sees one clean 200; the rest, and no more, is asked for by Range."""
    outcome = outcome_of(url_of(service, case), case.content)

    places = range(len(case.origins))
    asked = [each for place in places for each in asked_of(origin, case, place)]
    assert outcome == case.outcome
    assert asked[0] is None
    assert set(asked[1:]) == {(AT, SIZE - 1)}


@pytest.mark.parametrize("case", LIED_TO, ids=by_name)
def test_03_lying_mirror_corrupts_nothing(case, service, origin):
    """Who does not show that it goes on at the very byte is not taken, and the next one is."""
    outcome = outcome_of(url_of(service, case), case.content)

    assert outcome == case.outcome
    assert asked_of(origin, case, 1)[0] == (AT, SIZE - 1)


@pytest.mark.parametrize("case", NO_RANGES, ids=by_name)
def test_04_drop_without_ranges_anywhere_is_an_abort(case, service, origin):
    """What the client has is a true beginning, and never a part and then all of it again."""
    target = url_of(service, case).split("/", 3)[3]

    received, was_reset = raw_exchange(
        service.port, f"GET /{target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    )

    _, _, got = received.partition(b"\r\n\r\n")
    assert was_reset
    assert len(got) < SIZE
    assert case.content.startswith(got)
