"""Issue 3, line 3: an origin lies in a range, and no client ends with a wrong file for it.

With `verify`, and with `auto` up to `range.verify_up_to`, no lie comes through. With `pass` a lie
that can be found out never looks complete, and one that cannot is marked as unverified. After an
abort for wrong content nobody completes a wrong file by resuming, with any value.

What is not claimed: with `pass`, a client that by itself leaves an answer to a request for the
whole has a beginning that nobody verified, and may join it to ranges that say the same of
themselves (ADR 4). aria2 with several connections does so.
"""

from __future__ import annotations

import random

import pytest
from origins import Origin, cuts, flipped, serves, serves_chunked
from processes import run, sha256
from range_services import MODES, body_parts, fetch, modes, services, transfers_of
from ranged_origins import (
    changes_total,
    cuts_ranges,
    drips,
    encodes_gzip,
    flips_in_ranges,
    in_turn,
    narrows_range,
    omits_content_range,
    overruns_ranges,
    repeats_content_range,
    sends_206_unasked,
    sends_multipart,
    serves_ranges,
    shifts_bytes,
    shifts_range,
)

KIB = 1024
MIB = 1024 * KIB
SHARED = random.Random(330).randbytes(5 * MIB)
VERIFY_UP_TO = 4 * MIB

SIZE = 400 * KIB
FLIPPED_AT = SIZE - 500
ASKED = {
    "a range": [(SIZE - 200 * KIB, SIZE - 1)],
    "a small range": [(SIZE - 1000, SIZE - 400)],
    "a suffix": [(SIZE - 2000, SIZE - 1)],
    "several ranges": [(1000, 1999), (SIZE - 1000, SIZE - 1)],
    "several large ranges": [(1000, 101_000), (SIZE - 100_000, SIZE - 1)],
}
"""Each holds the flipped bit; several are so far apart that each is a request to the origin."""

RIGHT, FAILS, MARKED = "right", "fails", "marked"
"""What may come of a request: a complete answer of right bytes, an error or an answer that breaks
off, a complete one that says it is unverified."""

LIES_ABOUT_RANGES = {
    "ignores the range": (serves, RIGHT),
    "ignores the range and says no length": (serves_chunked, RIGHT),
    "shifts the range": (shifts_range, FAILS),
    "narrows the range": (narrows_range, FAILS),
    "says another total": (lambda right: changes_total(right, SIZE + 1), FAILS),
    "says an unknown total": (lambda right: changes_total(right, "*"), FAILS),
    "says no range": (omits_content_range, FAILS),
    "says two ranges": (repeats_content_range, FAILS),
    "sends a part of several": (sends_multipart, FAILS),
    "compresses the range": (lambda right: encodes_gzip(right, whole_too=False), FAILS),
    "closes in the range": (cuts_ranges, FAILS),
    "sends more than the range": (overruns_ranges, FAILS),
    "sends the bytes beside the range": (shifts_bytes, MARKED),
    "flips a bit in ranges": (lambda right: flips_in_ranges(right, FLIPPED_AT), MARKED),
}
"""Each lie of an origin that is honest about the whole, and what comes of it where it is passed."""

LIES_ABOUT_ALL = {
    "flips a bit": (lambda right: serves(flipped(right, FLIPPED_AT)), FAILS),
    "flips a bit, also in ranges": (
        lambda right: serves_ranges(flipped(right, FLIPPED_AT)),
        MARKED,
    ),
    "sends 206 unasked": (sends_206_unasked, MARKED),
    "closes early": (lambda right: cuts(right, SIZE - 1), FAILS),
    "sends a longer file": (lambda right: serves_ranges(right + b"x"), FAILS),
    "sends a longer file and says no length": (lambda right: serves_chunked(right + b"x"), FAILS),
    "compresses": (encodes_gzip, FAILS),
}
"""Lies that also a request for the whole meets; as above."""


LIES_BETWEEN_RANGES = {
    "changes its tag": lambda right: serves_ranges(right, version='"second"'),
    "loses its tag": lambda right: serves_ranges(right, version=None),
    "changes its date": lambda right: serves_ranges(right, ("Last-Modified: a while ago",)),
    "grows": lambda right: serves_ranges(right + b"x"),
    "sends the whole": serves,
    "lacks it": lambda right: serves(b"", status=b"404 Not Found"),
}
"""What an honest origin does from its second answer on; each fails where it is passed."""


class Case:
    """One lie, asked for in one way; its content is its own, since what breaks is distrusted."""

    def __init__(self, lie, asked):
        self.id = f"{lie}, {asked}"
        self.path = sha256(self.id.encode())[:16]
        self.content = self.path.encode() + SHARED[16:SIZE]
        self.parts = ASKED[asked]
        if lie in LIES_BETWEEN_RANGES:
            first, then = serves_ranges(self.content), LIES_BETWEEN_RANGES[lie](self.content)
            self.tell, self.if_passed = lambda _: in_turn(first, then), FAILS
        else:
            self.tell, self.if_passed = (LIES_ABOUT_RANGES | LIES_ABOUT_ALL)[lie]
        self.if_verified = FAILS if lie in LIES_ABOUT_ALL else RIGHT


SEVERAL = [asked for asked, parts in ASKED.items() if len(parts) > 1]
CASES = [
    *(Case(lie, asked) for lie in LIES_ABOUT_RANGES | LIES_ABOUT_ALL for asked in ASKED),
    *(Case(lie, asked) for lie in LIES_BETWEEN_RANGES for asked in SEVERAL),
]


class Resume:
    """A client's two calls, the service that it asks, and the size; also with its own content."""

    def __init__(self, client, service, size, note=""):
        self.id = f"{client}, {service}, {size // MIB} MiB{note and ', '}{note}"
        self.path = sha256(self.id.encode())[:16]
        self.content = self.path.encode() + SHARED[16:size]
        self.service = service
        self.first, self.again = CLIENTS[client]

    @property
    def wrong(self):
        return flipped(self.content, len(self.content) * 6 // 10)


CLIENTS = {
    "curl": ("curl -sS -f -o file", "curl -sS -f -C - -o file"),
    "curl with retries": (
        "curl -sS -f -o file",
        "curl -sS -f -C - --retry 1 --retry-all-errors --retry-delay 0 -o file",
    ),
    "wget with retries": ("wget -q -t3 -O file", "wget -q -t3 -c -O file"),
    "aria2c": ("aria2c -q -m1 -o file", "aria2c -q -x4 -s4 -k1M -c --retry-wait=0 -o file"),
    "aria2c by four": (
        "aria2c -q -x4 -s4 -k1M --retry-wait=0 -o file",
        "aria2c -q -x4 -s4 -k1M -c --retry-wait=0 -o file",
    ),
}
"""What a person calls first, and what again and again to complete the file."""

BELOW, ABOVE = 3 * MIB, 5 * MIB
WAYS = [("auto", BELOW), ("auto", ABOVE), ("verify", BELOW), ("pass", BELOW), ("refuse", BELOW)]
VERIFYING = [("auto", BELOW), ("verify", BELOW), ("verify", ABOVE), ("refuse", BELOW)]

RESUMES = [Resume(client, *way) for client in CLIENTS if client != "aria2c by four" for way in WAYS]
BY_FOUR = [Resume("aria2c by four", *way) for way in VERIFYING]
JOINING = [
    Resume("aria2c by four", *way, note=f"origin {pace}, round {number}")
    for way in VERIFYING
    for pace in ("slow at first", "always slow")
    for number in range(2)
]
ASKED_AGAIN = [Resume("curl", mode, MIB) for mode in MODES]


@pytest.fixture(scope="module")
def origin():
    """One origin for all cases; each case says how it behaves."""
    with Origin(serves(b"")) as origin:
        yield origin


@pytest.fixture(scope="module")
def served(origin, tmp_path_factory):
    """The services by mode, and `beyond`: `auto`, for which every case is large."""
    beyond = {"range__unlearned": "auto", "range__verify_up_to": "64KiB"}
    settings = {**modes(VERIFY_UP_TO), "beyond": beyond}
    with services(tmp_path_factory.mktemp("services"), settings) as by_name:
        for base_path, cases in {
            "lies": CASES,
            "resumes": RESUMES + BY_FOUR + JOINING + ASKED_AGAIN,
        }.items():
            contents = {case.path: case.content for case in cases}
            by_name["auto"].publish(base_path, origin.url, contents)
        yield by_name
        assert [streamer.tracebacks() for streamer in by_name.values()] == [[]] * len(settings)


def by_id(case):
    return case.id


def range_of(parts):
    """The Range field that asks for these parts."""
    return "bytes=" + ",".join(f"{first}-{last}" for first, last in parts)


def ask(service, case):
    """What comes of a case: RIGHT, FAILS, MARKED, or else what must never be."""
    answer = fetch(f"{service.url}lies/{case.path}", Range=range_of(case.parts))
    if answer is None or answer[0] >= 400:
        return FAILS
    status, fields, got = answer
    if "detail=unverified" in fields["Cache-Status"]:
        return MARKED
    if status == 200:
        return RIGHT if got == case.content else "wrong"
    parts = [part for _, part in body_parts(fields, got)] if len(case.parts) > 1 else [got]
    right = [case.content[first : last + 1] for first, last in case.parts]
    return RIGHT if (status, parts) == (206, right) else "wrong"


# -- one answer ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["auto", "verify"])
@pytest.mark.parametrize("case", CASES, ids=by_id)
def test_lie_never_comes_through_where_all_is_verified(case, name, origin, served):
    """A lie about ranges has no occasion, and one about the whole is found out."""
    origin.behaviour = case.tell(case.content)

    assert ask(served[name], case) == case.if_verified


@pytest.mark.parametrize("name", ["pass", "beyond"])
@pytest.mark.parametrize("case", CASES, ids=by_id)
def test_lie_is_found_out_or_marked_where_ranges_are_passed(case, name, origin, served):
    """What contradicts itself never looks complete; what does not is marked."""
    origin.behaviour = case.tell(case.content)

    assert ask(served[name], case) == case.if_passed


@pytest.mark.parametrize("name", ["pass", "beyond"])
@pytest.mark.parametrize("is_flipped", [False, True], ids=["honest", "flips a bit"])
def test_what_was_passed_is_marked_everywhere(is_flipped, name, origin, served):
    """For client and cache by fields, for the operator in the log and by a metric.

    Nobody can tell the two cases apart, so both are marked; the wrong bit does reach the client.
    """
    case = Case("flips a bit in ranges", "a range")
    service = served[name]
    sent = flipped(case.content, FLIPPED_AT) if is_flipped else case.content
    origin.behaviour = serves_ranges(sent)
    (part,) = case.parts
    before = service.metric("pulp_streamer_verified_total", kind="passed")

    status, fields, got = fetch(f"{service.url}lies/{case.path}", Range=range_of(case.parts))

    line = transfers_of(service, f"/lies/{case.path}")[-1]
    assert (status, got) == (206, sent[part[0] : part[1] + 1])
    assert fields["Cache-Status"] == "pulp-streamer; fwd=uri-miss; detail=unverified"
    assert fields["Cache-Control"] == "no-store"
    assert (line["verified"], line["verdict"]) == ("passed", "complete")
    assert service.metric("pulp_streamer_verified_total", kind="passed") == before + 1


# -- and then the next ---------------------------------------------------------------------------


def call(command, case, served, folder):
    """Run a client on the case's file; give whether it took what it has for right, and wrongly."""
    url = f"{served[case.service].url}resumes/{case.path}"
    code = run(*command.split(), url, cwd=folder).returncode
    file = folder / "file"
    if code != 0:
        return "failed"
    return RIGHT if file.read_bytes() == case.content else "wrong"


@pytest.mark.parametrize("case", RESUMES, ids=by_id)
def test_resume_after_an_abort_never_completes_a_wrong_file(case, origin, served, tmp_path):
    """The origin flips a bit once; what the client got of it is never made a whole."""
    origin.behaviour = in_turn(serves(case.wrong), serves_ranges(case.content))

    ends = [call(command, case, served, tmp_path) for command in [case.first, *[case.again] * 2]]

    lines = transfers_of(served[case.service], f"/resumes/{case.path}")
    assert (lines[0]["range"], lines[0]["verdict"]) == (None, "aborted")
    assert "digest" in lines[0]["reason"]
    assert "wrong" not in ends


@pytest.mark.parametrize("case", BY_FOUR, ids=by_id)
def test_several_connections_never_complete_a_wrong_file(case, origin, served, tmp_path):
    """The origin flips a bit in all that it sends, until the client has failed."""
    origin.behaviour = serves_ranges(case.wrong)
    first = call(case.first, case, served, tmp_path)
    origin.behaviour = serves_ranges(case.content)

    ends = [call(case.again, case, served, tmp_path) for _ in range(2)]

    assert first == "failed"
    assert "wrong" not in ends


@pytest.mark.parametrize("case", JOINING, ids=by_id)
def test_part_of_a_wrong_answer_is_never_joined_to_right_ones(case, origin, served, tmp_path):
    """The origin flips a bit at the very beginning of its first answer, and is honest afterwards.

    aria2 takes the beginning of its file out of that answer and leaves it before its end.
    """
    wrong = flipped(case.content, 100)
    then = serves_ranges(case.content) if "slow at first" in case.id else drips(case.content)
    origin.behaviour = in_turn(drips(wrong), then)

    ends = [call(command, case, served, tmp_path) for command in [case.first, *[case.again] * 2]]

    assert "wrong" not in ends


@pytest.mark.parametrize("case", ASKED_AGAIN, ids=by_id)
def test_after_an_abort_only_what_begins_at_the_first_byte_is_served(case, origin, served):
    """And that is verified, whatever `range.unlearned` says, until distrust ends."""
    service = served[case.service]
    url = f"{service.url}resumes/{case.path}"
    tag = f'"sha256:{sha256(case.content)}"'
    origin.behaviour = in_turn(serves(case.wrong), serves_ranges(case.content))
    first = fetch(url)

    later = [
        fetch(url, Range="bytes=500000-"),
        fetch(url, Range="bytes=500000-", If_Range=tag),
        fetch(url, Range="bytes=-10"),
        fetch(url, Range="bytes=0-9,500000-500009"),
    ]
    whole = fetch(url)
    beginning = fetch(url, Range="bytes=0-99")

    line = transfers_of(service, f"/resumes/{case.path}")[-1]
    assert first is None
    assert [status for status, *_ in later] == [502] * 4
    assert (whole[0], whole[2]) == (200, case.content)
    assert case.content.startswith(beginning[2])
    assert (line["range"], line["verified"]) == ("bytes=0-99", "held_tail")
