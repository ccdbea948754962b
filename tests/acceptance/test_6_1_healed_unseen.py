"""Issue 6, line 1: of learned content no wrong byte is sent, and a good second origin heals a lie.

The first origin is honest until the content is learned, and lies from then on. With a good second
one the client gets all of it and notices nothing; without one its response breaks off visibly, and
not behind the beginning of the leaf that is wrong. Both hold where the digest is compared as well.
"""

from __future__ import annotations

import contextlib
import random

import pytest
from origins import Origin, cuts, flipped, serves, serves_chunked, serves_until_close
from processes import Streamer, get, raw_exchange, run, sha256
from range_services import transfers_of
from ranged_origins import drips, serves_by_target, serves_ranges

LEAF_BYTES = 64 * 1024
SIZE = 6 * 1024 * 1024 + 12_345
AT_70_PERCENT = SIZE * 7 // 10
SHARED = random.Random(61).randbytes(SIZE)

SETTINGS = {"by pieces": {}, "by the digest too": {"pieces__also_digest": "true"}}
NO_BREAKER = {"origins__breaker_failures": 0}
"""Else the liar, who is asked by every test, is soon left alone, and tells no lie."""

LIES = {
    "flips a bit": lambda right: serves(flipped(right, AT_70_PERCENT)),
    "flips a bit, and knows ranges": lambda right: serves_ranges(flipped(right, AT_70_PERCENT)),
    "flips a bit, slowly": lambda right: drips(flipped(right, AT_70_PERCENT), 0.005),
    "flips a bit, and says no length": lambda right: serves_chunked(flipped(right, AT_70_PERCENT)),
    "flips a bit, and closes a byte later": lambda right: cuts(
        flipped(right, AT_70_PERCENT), AT_70_PERCENT + 1
    ),
    "flips the first bit": lambda right: serves(flipped(right, 0)),
    "flips the last bit": lambda right: serves(flipped(right, SIZE - 1)),
    "flips a bit in every leaf": lambda right: serves(everywhere_flipped(right)),
    "closes at 70 %": lambda right: cuts(right, AT_70_PERCENT),
    "sends other content": lambda right: serves(right[::-1]),
    "sends a byte less, unannounced": lambda right: serves_until_close(right[:-1]),
    "announces a byte more": lambda right: serves(right + b"x"),
}
NOT_SEEN = {
    "flips a bit, and closes a byte later",
    "closes at 70 %",
    "sends a byte less, unannounced",
}
"""Lies of which no leaf has come, so that nobody is blamed for other content."""

HONEST = {"knows ranges": serves_ranges, "knows no ranges": serves}

PLACES = {
    "at 70 %": AT_70_PERCENT,
    "in the last byte": SIZE - 1,
    "in the last byte of a leaf": 20 * LEAF_BYTES - 1,
    "in the first byte of a leaf": 20 * LEAF_BYTES,
    "in the second leaf": LEAF_BYTES + 1,
    "in the first leaf": 100,
}
CLIENTS = {
    "curl": "curl -sS -f -o file",
    "curl over HTTP 1.0": "curl -sS -f --http1.0 -o file",
    "wget": "wget -q -t2 --waitretry=0 -O file",
    "aria2c": "aria2c -q -m2 --retry-wait=0 --file-allocation=none -o file",
}


class Case:
    """One lie; its content is its own, since who lied is remembered by what it lied about."""

    def __init__(self, *words):
        self.id = ", ".join(words)
        self.path = sha256(self.id.encode())[:16]
        self.words = words

    @property
    def content(self):
        return self.path.encode() + SHARED[16:]


HEALED = [Case(lie, second) for lie in LIES for second in HONEST]
ALONE = [Case("alone", place, version) for place in PLACES for version in ("1.1", "1.0")]
ASKED_BY_CLIENTS = [Case("asked by", client) for client in CLIENTS]
RANGED = Case("in ranges")


@pytest.fixture(scope="module")
def behaviours():
    """By path, what the first origin and the second do."""
    return {"liar": {}, "honest": {}}


@pytest.fixture(scope="module")
def served(behaviours, tmp_path_factory):
    """The services by how they verify; they share what they learn."""
    folder = tmp_path_factory.mktemp("services")
    with (
        Origin(serves_by_target(behaviours["liar"])) as liar,
        Origin(serves_by_target(behaviours["honest"])) as honest,
        contextlib.ExitStack() as running,
    ):
        by_name = {}
        for name, own in SETTINGS.items():
            (folder / name).mkdir()
            url = f"sqlite:///{folder}/catalog.db"
            streamer = Streamer(folder / name, url, **NO_BREAKER, **own)
            by_name[name] = running.enter_context(streamer)
        service = by_name["by pieces"]
        service.admin("importer", "create", "honest", "--type", "http", "--url", honest.url)
        alone = [*ALONE, *ASKED_BY_CLIENTS, RANGED]
        entries = {case.path: promise(case, "liar") for case in alone}
        entries |= {case.path: promise(case, "liar", "honest") for case in HEALED}
        service.publish("os", liar.url, entries, importer="liar")
        yield by_name
        assert [streamer.tracebacks() for streamer in by_name.values()] == [[], []]


def promise(case, *importers):
    """The case's entry, with a source of each importer in their order."""
    sources = [
        {"url": case.path, "importer": importer, "priority": place}
        for place, importer in enumerate(importers)
    ]
    return {"size": SIZE, "digests": {"sha256": sha256(case.content)}, "sources": sources}


@pytest.fixture(params=SETTINGS)
def service(request, served):
    """Each of the services."""
    return served[request.param]


def everywhere_flipped(content):
    """A copy with one bit other in each leaf, the last one included."""
    wrong = bytearray(content)
    for position in range(100, len(content), LEAF_BYTES):
        wrong[position] ^= 1
    return bytes(wrong)


def learn(service, case, behaviours):
    """Let content be fetched once from an honest origin, and find that it is known afterwards."""
    behaviours["liar"][case.path] = serves_ranges(case.content)
    _, _, whole = get(f"{service.url}os/{case.path}")
    _, _, part = get(f"{service.url}os/{case.path}", Range="bytes=0-0")
    assert (whole, part) == (case.content, case.content[:1])
    assert transfers_of(service, f"/os/{case.path}")[-1]["verified"] == "pieces"


def blamed(service, case):
    """The importers that the log blames for other content than the case's."""
    digest = f"sha256:{sha256(case.content)}"
    said = [line["message"] for line in service.log() if "sent other content" in str(line)]
    return {text.split(":")[0] for text in said if digest in text}


def by_id(case):
    return case.id


@pytest.mark.parametrize("case", HEALED, ids=by_id)
def test_lie_is_healed_by_the_second_origin(case, service, behaviours, tmp_path):
    """curl gets the right file, with exit code 0, and the log names who lied."""
    learn(service, case, behaviours)
    lie, second = case.words
    behaviours["liar"][case.path] = LIES[lie](case.content)
    behaviours["honest"][case.path] = HONEST[second](case.content)

    done = run("curl", "-sS", "-f", "-o", tmp_path / "file", f"{service.url}os/{case.path}")

    line = transfers_of(service, f"/os/{case.path}")[-1]
    assert (done.returncode, sha256((tmp_path / "file").read_bytes())) == (0, sha256(case.content))
    assert (line["verdict"], line["verified"], line["origin"]) == ("complete", "pieces", "honest")
    assert line["attempts"] >= 2
    assert line["bytes"] == SIZE
    assert blamed(service, case) == (set() if lie in NOT_SEEN else {"importer liar"})


@pytest.mark.parametrize("case", ALONE, ids=by_id)
def test_liar_alone_sends_no_wrong_byte(case, service, behaviours):
    """What comes is right byte by byte, ends where the wrong leaf begins at most, and breaks."""
    learn(service, case, behaviours)
    _, place, version = case.words
    at = PLACES[place]
    leaf = at // LEAF_BYTES * LEAF_BYTES
    behaviours["liar"][case.path] = serves_ranges(flipped(case.content, at))

    received, _ = raw_exchange(
        service.port, f"GET /os/{case.path} HTTP/{version}\r\nHost: h\r\n\r\n".encode()
    )

    head, _, got = received.partition(b"\r\n\r\n")
    line = transfers_of(service, f"/os/{case.path}")[-1]
    assert f"Content-Length: {SIZE}".encode() in head.split(b"\r\n")
    assert len(got) <= leaf
    assert (len(got) > 0) == (leaf > 0)
    assert got == case.content[: len(got)]
    assert line["verdict"] == "aborted"
    assert f" {leaf} " in f"{line['reason']} "
    assert blamed(service, case) == {"importer liar"}


@pytest.mark.parametrize("case", ASKED_BY_CLIENTS, ids=by_id)
def test_client_of_a_liar_alone_fails(case, service, behaviours, tmp_path):
    """No client takes it for complete, and none has a wrong byte, whatever it tries again."""
    learn(service, case, behaviours)
    behaviours["liar"][case.path] = serves_ranges(flipped(case.content, AT_70_PERCENT))
    command = CLIENTS[case.words[1]].split()

    done = run(*command, f"{service.url}os/{case.path}", cwd=tmp_path)

    assert done.returncode != 0
    assert case.content.startswith((tmp_path / "file").read_bytes())


@pytest.mark.parametrize(
    ("first", "last", "is_right"),
    [
        (0, AT_70_PERCENT - LEAF_BYTES, True),
        (AT_70_PERCENT + LEAF_BYTES, SIZE - 1, True),
        (AT_70_PERCENT + 1000, AT_70_PERCENT + 1999, False),
        (AT_70_PERCENT - 1_000_000, AT_70_PERCENT - 1, False),
        (AT_70_PERCENT - 1_000_000, SIZE - 1, False),
    ],
    ids=["before it", "behind it", "beside it", "up to it", "across it"],
)
def test_range_at_a_liar_alone_is_right_or_breaks(first, last, is_right, service, behaviours):
    """A lie spoils the ranges of its own leaf, and no other; of these no wrong byte is sent."""
    learn(service, RANGED, behaviours)
    behaviours["liar"][RANGED.path] = serves_ranges(flipped(RANGED.content, AT_70_PERCENT))
    asked = f"Range: bytes={first}-{last}\r\nConnection: close\r\n"

    received, was_reset = raw_exchange(
        service.port, f"GET /os/{RANGED.path} HTTP/1.1\r\nHost: h\r\n{asked}\r\n".encode()
    )

    head, _, got = received.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 502 "):
        assert not is_right
    else:
        assert got == RANGED.content[first : first + len(got)]
        assert is_right == (len(got) == last - first + 1) == (not was_reset)
