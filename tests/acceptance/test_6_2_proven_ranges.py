"""Issue 6, line 2: any range of learned content is right or visibly fewer, and costs its leaves.

Random ranges, one or several, of content of several sizes, at an origin that tells a random lie in
all that it sends, alone or with a good one behind it. What comes is held against the content byte
by byte, also where it breaks off. What each origin was asked for is held against the leaves that
cover the ranges, which are counted here one by one.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from origins import Origin, flipped
from processes import Streamer, entry, get, raw_exchange
from range_services import body_parts, transfers_of
from ranged_origins import asked_range

LEAF_BYTES = 64 * 1024
SIZES = (LEAF_BYTES + 1, 2 * LEAF_BYTES, 7 * LEAF_BYTES - 1, 21 * LEAF_BYTES + 777)
CONTENTS = {f"content-{size}": random.Random(size).randbytes(size) for size in SIZES}
FAR = "far"
FAR_LEAVES = 96
MOST_REQUESTS = 32
ALL = {**CONTENTS, FAR: random.Random(62).randbytes(FAR_LEAVES * LEAF_BYTES)}

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)

FORGETFUL = {"origins__breaker_failures": 0, "origins__quarantine": "1ms"}
"""Each example is to meet the liar first, whatever it did in those before."""


@dataclass(frozen=True)
class Lie:
    """How an origin makes what it sends of the content: the bits that it flips, or other content.

    With `cut_at` it closes each connection after so many bytes of content.
    """

    flips: frozenset[int] = frozenset()
    turns_round: bool = False
    cut_at: int | None = None

    def sent(self, content):
        for position in self.flips:
            content = flipped(content, position)
        return content[::-1] if self.turns_round else content


HONESTY = Lie()


class Told:
    """An origin that knows ranges and sends what it was last told to; it notes what it was asked.

    `sent_bytes` is how much content it sent, or less where its peer left.
    """

    def __init__(self):
        self.tell(b"", HONESTY)

    def tell(self, content, lie=HONESTY):
        """Send this from now on; forget what was asked before."""
        self.asked, self.sent_bytes = [], 0
        self._sent, self._cut_at = lie.sent(content), lie.cut_at

    def __call__(self, conversation):
        size = len(self._sent)
        part = asked_range(conversation, size)
        first, last = part or (0, size - 1)
        self.asked.append((first, last))
        self.sent_bytes += len(self._sent[first : last + 1][: self._cut_at])
        status = "200 OK" if part is None else "206 Partial Content"
        described = "" if part is None else f"Content-Range: bytes {first}-{last}/{size}\r\n"
        head = f"HTTP/1.1 {status}\r\nContent-Length: {last - first + 1}\r\n{described}\r\n"
        conversation.send(head.encode())
        conversation.send(self._sent[first : last + 1][: self._cut_at])
        return self._cut_at is None


@pytest.fixture(scope="module")
def liar():
    return Told()


@pytest.fixture(scope="module")
def honest():
    return Told()


@pytest.fixture(scope="module")
def service(liar, honest, tmp_path_factory):
    """A service that has learned everything from the origin that will lie."""
    with (
        Origin(liar) as first,
        Origin(honest) as second,
        Streamer(tmp_path_factory.mktemp("service"), **FORGETFUL) as streamer,
    ):
        create = ("importer", "create", "honest", "--type", "http", "--url", second.url)
        streamer.admin(*create)
        healed = {
            name: {
                **entry(name, content),
                "sources": [
                    {"url": name, "priority": 0},
                    {"url": name, "importer": "honest", "priority": 1},
                ],
            }
            for name, content in ALL.items()
        }
        streamer.publish("alone", first.url, ALL, importer="liar", max_retries=0)
        streamer.publish("healed", first.url, healed, importer="liar", max_retries=0)
        for name, content in ALL.items():
            liar.tell(content)
            assert get(f"{streamer.url}alone/{name}")[2] == content
        yield streamer
        assert streamer.tracebacks() == []


# -- what is drawn -------------------------------------------------------------------------------


def positions(size):
    """A byte of the content, as often as not beside a border of leaves."""
    borders = st.integers(0, size // LEAF_BYTES).map(lambda leaf: leaf * LEAF_BYTES)
    beside = st.builds(int.__add__, borders, st.integers(-1, 1))
    anywhere = st.integers(0, size - 1)
    return anywhere | beside.filter(lambda position: 0 <= position < size)


@st.composite
def parts(draw, size):
    """Ascending ranges, first and last byte of each; some of one byte."""
    chosen = sorted(draw(st.sets(positions(size), min_size=1, max_size=12)))
    ends = iter(chosen)
    return [(first, next(ends, first)) for first in ends]


@st.composite
def lies(draw, size):
    """One manner of an origin; as often as not it sends all that it announces."""
    flips = st.frozensets(positions(size), max_size=3)
    # Far enough that there are few breaks: after each the service waits a little longer.
    cuts = st.none() | st.integers(size // 2, size)
    turning = st.builds(Lie, turns_round=st.just(True))
    return draw(st.builds(Lie, flips=flips, cut_at=cuts) | turning)


# -- what is expected ----------------------------------------------------------------------------


def covering(ranges, size):
    """The runs of leaves that have a byte in a range, as first and last byte of each."""
    leaves = sorted({leaf for each in ranges for leaf in leaves_of(*each)})
    starts = [leaf for leaf in leaves if leaf - 1 not in leaves]
    ends = [leaf for leaf in leaves if leaf + 1 not in leaves]
    return [
        (start * LEAF_BYTES, min((end + 1) * LEAF_BYTES, size) - 1)
        for start, end in zip(starts, ends, strict=True)
    ]


def leaves_of(first, last):
    return range(first // LEAF_BYTES, last // LEAF_BYTES + 1)


def bytes_of(ranges):
    return sum(last - first + 1 for first, last in ranges)


class Answer:
    """A response as it came, complete or not; no part of it is wrong if `is_right_so_far`."""

    def __init__(self, service, path, ranges, content):
        asked = ",".join(f"{first}-{last}" for first, last in ranges)
        request = f"GET /{path} HTTP/1.1\r\nHost: h\r\nRange: bytes={asked}\r\n"
        raw, _ = raw_exchange(service.port, f"{request}Connection: close\r\n\r\n".encode())
        head, _, self.got = raw.partition(b"\r\n\r\n")
        self.status = int(head[9:12])
        self._head = head.decode("latin-1")
        self._ranges, self._content = ranges, content

    def field(self, name):
        return re.search(rf"^{name}: (.*?)\r?$", self._head, re.MULTILINE | re.IGNORECASE)[1]

    @property
    def is_complete(self):
        return self.status == 206 and len(self.got) == int(self.field("Content-Length"))

    @property
    def is_right(self):
        """Whether it is complete, and all that was asked for."""
        return self.is_complete and self._parts() == [
            (f"bytes {first}-{last}/{len(self._content)}", self._content[first : last + 1])
            for first, last in self._ranges
        ]

    @property
    def is_right_so_far(self):
        """Whether what came of each part is the beginning of it; an error has none."""
        if self.status >= 500:
            return True
        return all(
            self._content.startswith(data[: last - first + 1], first)
            for (first, last), data in zip(self._ranges, self._beginnings(), strict=False)
        )

    def _beginnings(self):
        """Of each part what came, and maybe some of the frame that follows it."""
        if len(self._ranges) == 1:
            return [self.got]
        boundary = self.field("Content-Type").partition("boundary=")[2].encode()
        framed = b"\r\n" + self.got
        parts = framed.split(b"\r\n--" + boundary)[1:]
        return [part.partition(b"\r\n\r\n")[2] for part in parts]

    def _parts(self):
        if len(self._ranges) == 1:
            return [(self.field("Content-Range"), self.got)]
        return body_parts({"Content-Type": self.field("Content-Type")}, self.got)


# -- the properties ------------------------------------------------------------------------------


@EXAMPLES
@given(data=st.data())
def test_range_at_a_liar_is_right_or_fewer(data, service, liar):
    """No byte that comes is wrong; an origin that is right is asked for each of the leaves once."""
    name = data.draw(st.sampled_from(sorted(CONTENTS)))
    content = CONTENTS[name]
    ranges = data.draw(parts(len(content)))
    lie = data.draw(lies(len(content)))
    liar.tell(content, lie)

    answer = Answer(service, f"alone/{name}", ranges, content)

    covered = covering(ranges, len(content))
    sent = lie.sent(content)
    is_untouched = all(cut(sent, part) == cut(content, part) for part in covered)
    assert answer.is_right_so_far
    assert answer.is_complete == answer.is_right
    assert is_untouched or not answer.is_complete
    assert is_asked_within(liar, covered)
    if lie.cut_at is None:
        assert answer.is_complete == is_untouched
        assert not is_untouched or liar.asked == covered


@EXAMPLES
@given(data=st.data())
def test_range_at_a_liar_with_a_good_one_behind_it_is_right(data, service, liar, honest):
    """Whatever the liar sends is healed, and neither of them is asked for more than the leaves."""
    name = data.draw(st.sampled_from(sorted(CONTENTS)))
    content = CONTENTS[name]
    ranges = data.draw(parts(len(content)))
    liar.tell(content, data.draw(lies(len(content))))
    honest.tell(content)

    answer = Answer(service, f"healed/{name}", ranges, content)

    covered = covering(ranges, len(content))
    assert answer.is_right
    breaks = max(0, len(honest.asked) - len(covered))
    assert is_asked_within(liar, covered)
    assert is_asked_within(honest, covered)
    assert honest.sent_bytes <= bytes_of(covered) + breaks * LEAF_BYTES


def is_asked_within(origin, covered):
    """Whether each request was for one of the runs of leaves, or for what is left of one."""
    return all(
        any(first <= part[0] and part[1] == last for first, last in covered)
        for part in origin.asked
    )


def cut(content, part):
    return content[part[0] : part[1] + 1]


# -- and examples --------------------------------------------------------------------------------


def test_hundred_bytes_cost_one_leaf(service, liar):
    """A range is not a reason to fetch its artifact, and it says that it is proven."""
    content = ALL[FAR]
    liar.tell(content)

    answer = Answer(service, f"alone/{FAR}", [(3_000_000, 3_000_099)], content)

    line = transfers_of(service, f"/alone/{FAR}")[-1]
    leaf = 3_000_000 // LEAF_BYTES * LEAF_BYTES
    assert answer.is_right
    assert liar.asked == [(leaf, leaf + LEAF_BYTES - 1)]
    assert line["verified"] == "pieces"
    assert "unverified" not in answer.field("Cache-Status")


def test_more_parts_than_an_origin_should_bear_are_joined(service, liar):
    """Forty leaves apart are 32 requests at most, of which no gap is fetched that is not needed."""
    content = ALL[FAR]
    ranges = [(2 * leaf * LEAF_BYTES + 5, 2 * leaf * LEAF_BYTES + 9) for leaf in range(40)]
    liar.tell(content)

    answer = Answer(service, f"alone/{FAR}", ranges, content)

    gaps = 40 - MOST_REQUESTS
    assert answer.is_right
    assert len(liar.asked) <= MOST_REQUESTS
    assert bytes_of(liar.asked) <= (40 + gaps) * LEAF_BYTES
