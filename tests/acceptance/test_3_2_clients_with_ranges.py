"""Issue 3, line 2: real clients ask for ranges and end with the right file.

Each client asks each service (one for each value of `range.unlearned`) for an artifact below and
one above `range.verify_up_to`. Its file is right, or it fails visibly; the transfer log says what
was asked and how it was verified.

What a client does with the 200 of `refuse` is its own affair: curl fails with 33 and keeps what it
had, wget skips what it has of the whole, aria2 goes on with one connection or fails with 8 where
it had begun, and zckdl fetches all.
"""

from __future__ import annotations

import random

import pytest
from origins import Origin
from processes import entry, get, run, sha256
from range_services import MODES, body_parts, modes, services, transfers_of
from ranged_origins import drips, in_turn, serves_by_target, serves_ranges

KIB = 1024
MIB = 1024 * KIB
VERIFY_UP_TO = 4 * MIB
HELD_ALREADY = MIB
CONTENTS = {
    "below": random.Random(32).randbytes(3 * MIB),
    "above": random.Random(33).randbytes(5 * MIB),
}
EXACTLY = random.Random(34).randbytes(VERIFY_UP_TO)

VERIFIED = {
    ("auto", "below"): "held_tail",
    ("auto", "above"): "passed",
    ("verify", "below"): "held_tail",
    ("verify", "above"): "held_tail",
    ("pass", "below"): "passed",
    ("pass", "above"): "passed",
}
"""How a range is verified; with `refuse` there is none."""

BOTH = ("below", "above")


@pytest.fixture(scope="module")
def zchunk(tmp_path_factory):
    """A zchunk file for each size, and the older one that a client has already.

    Every 400 KiB a few bytes have changed, so each delta consists of chunks far apart.
    """
    folder = tmp_path_factory.mktemp("zchunk")
    return {name: zchunk_pair(folder / name, CONTENTS[name]) for name in BOTH}


def zchunk_pair(folder, content):
    """Write `old.zck` and `new.zck`; give the path of one and the content of the other."""
    folder.mkdir()
    changed = bytearray(content)
    for position in range(100 * KIB, len(content), 400 * KIB):
        changed[position : position + 64] = bytes(64)
    for name, plain in (("old", content), ("new", changed)):
        (folder / name).write_bytes(plain)
        done = run("zck", "-o", f"{name}.zck", name, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder / "old.zck", (folder / "new.zck").read_bytes()


@pytest.fixture(scope="module")
def served(zchunk, tmp_path_factory):
    """The services by mode, over one honest origin that knows ranges."""
    contents = {**CONTENTS, "exactly": EXACTLY}
    contents |= {f"{name}.zck": new for name, (_, new) in zchunk.items()}
    tree = {name: serves_ranges(content) for name, content in contents.items()}
    tree |= {f"{mode}-{name}": slow_first(CONTENTS[name]) for mode in MODES for name in BOTH}
    with (
        Origin(serves_by_target(tree)) as origin,
        services(tmp_path_factory.mktemp("services"), modes(VERIFY_UP_TO)) as by_mode,
    ):
        # Each client has paths of its own, so that the log of one is not that of another.
        promises = {
            f"{folder}/{name}": {**entry(name, content), "path": f"{folder}/{name}"}
            for folder in ("curl", "wget", "continued", "raw", "zckdl")
            for name, content in contents.items()
        }
        promises |= {
            f"aria2/{mode}/{name}": {
                **entry(f"{mode}-{name}", CONTENTS[name]),
                "path": f"aria2/{mode}/{name}",
            }
            for mode in MODES
            for name in BOTH
        }
        by_mode["auto"].publish("os", origin.url, promises)
        yield by_mode
        assert [streamer.tracebacks() for streamer in by_mode.values()] == [[]] * len(MODES)


def slow_first(content):
    """An honest origin whose first answer, to aria2's first request, is slower than the others.

    Otherwise the first connection may have all before one of the others has its part.
    """
    return in_turn(drips(content), serves_ranges(content))


@pytest.fixture(params=MODES)
def mode(request):
    """Each value of `range.unlearned`."""
    return request.param


@pytest.fixture(params=BOTH)
def size(request):
    """An artifact below and one above `range.verify_up_to`."""
    return request.param


def call(command, service, path, folder, begun=b""):
    """Run a client, which has `begun` already; give its exit code, its file, and the log's lines.

    The lines are those of status and content, as (range, status, verified, verdict).
    """
    file = folder / "file"
    if begun:
        file.write_bytes(begun)
    done = run(*command.split(), f"{service.url}os/{path}", cwd=folder)
    lines = transfers_of(service, f"/os/{path}")
    said = [(line["range"], line["status"], line["verified"], line["verdict"]) for line in lines]
    return done.returncode, file.read_bytes() if file.exists() else None, said


def test_curl_resumes(mode, size, served, tmp_path):
    """`curl -C -` gets the rest; where ranges are refused it fails and leaves its file alone."""
    content = CONTENTS[size]
    begun = content[:HELD_ALREADY]

    code, file, said = call(
        "curl -sS -f -C - -o file", served[mode], f"curl/{size}", tmp_path, begun
    )

    asked = f"bytes={HELD_ALREADY}-"
    if mode == "refuse":
        assert (code, file) == (33, begun)
        assert [line[:2] for line in said] == [(asked, 200)]
    else:
        assert (code, sha256(file)) == (0, sha256(content))
        assert said == [(asked, 206, VERIFIED[mode, size], "complete")]


def test_wget_continues(mode, size, served, tmp_path):
    """`wget -c` gets the rest, or takes it out of the whole."""
    content = CONTENTS[size]

    code, file, said = call(
        "wget -q -c -O file", served[mode], f"wget/{size}", tmp_path, content[:HELD_ALREADY]
    )

    is_whole = mode == "refuse"
    verified = "held_tail" if is_whole else VERIFIED[mode, size]
    assert (code, sha256(file)) == (0, sha256(content))
    assert said == [(f"bytes={HELD_ALREADY}-", 200 if is_whole else 206, verified, "complete")]


def test_aria2_fetches_by_several_connections(mode, size, served, tmp_path):
    """`aria2c -x4` asks for ranges beside the whole; its file is right however they end.

    Where all is verified it gets no part beside the whole, which is not verified yet (ADR 4), and
    goes on with one connection. Where ranges are passed on, it gets them.
    """
    content = CONTENTS[size]

    code, file, said = call(
        "aria2c -q -x4 -s4 -k1M -o file", served[mode], f"aria2/{mode}/{size}", tmp_path
    )

    assert (code, sha256(file)) == (0, sha256(content))
    if VERIFIED.get((mode, size)) == "passed":
        assert complete_ranges(said) == {(206, "passed")}
    else:
        assert complete_ranges(said) == set()
        assert (None, 200, "held_tail", "complete") in said


def test_aria2_continues_by_several_connections(mode, size, served, tmp_path):
    """`aria2c -x4 -c` fills up a file that another client began, or fails."""
    content = CONTENTS[size]

    code, file, said = call(
        "aria2c -q -x4 -s4 -k1M -c -o file",
        served[mode],
        f"continued/{size}",
        tmp_path,
        content[:HELD_ALREADY],
    )

    if mode == "refuse":
        assert code == 8
        assert complete_ranges(said) == set()
    else:
        assert (code, sha256(file)) == (0, sha256(content))
        assert complete_ranges(said) == {(206, VERIFIED[mode, size])}


def complete_ranges(said):
    """Status and verification of the answers to a Range that did not end by the client's leave."""
    return {line[1:3] for line in said if line[0] is not None and line[3] == "complete"}


def test_zckdl_fetches_what_has_changed(mode, size, served, zchunk, tmp_path):
    """dnf's way: the head of a zchunk file, then all chunks that changed in one request."""
    old, new = zchunk[size]

    code = run(
        "zckdl", "-s", old, f"{served[mode].url}os/zckdl/{size}.zck", cwd=tmp_path
    ).returncode
    lines = transfers_of(served[mode], f"/os/zckdl/{size}.zck")

    file = (tmp_path / f"{size}.zck").read_bytes()
    assert (code, sha256(file)) == (0, sha256(new))
    if mode == "refuse":
        assert [(line["range"] is None, line["status"]) for line in lines] == [
            (False, 200),
            (True, 200),
        ]
    else:
        assert {(line["status"], line["verified"], line["verdict"]) for line in lines} == {
            (206, VERIFIED[mode, size], "complete")
        }
        assert lines[-1]["range"].count(",") >= 4
        assert lines[-1]["bytes"] < len(new) / 2


@pytest.mark.parametrize(
    ("number", "step"),
    [(2, MIB), (30, 70 * KIB), (256, 9 * KIB)],
    ids=["two far apart", "thirty, each asked alone", "as many as librepo asks for"],
)
def test_raw_client_gets_every_one_of_its_ranges(number, step, mode, size, served):
    """Each part is what was asked for, by another parser than the one that wrote it."""
    content = CONTENTS[size]
    parts = [(first, first + 999) for first in range(0, number * step, step)]
    asked = "bytes=" + ",".join(f"{first}-{last}" for first, last in parts)

    status, fields, got = get(f"{served[mode].url}os/raw/{size}", Range=asked)

    line = transfers_of(served[mode], f"/os/raw/{size}")[-1]
    assert line["range"] == asked
    if mode == "refuse":
        assert (status, sha256(got), line["verified"]) == (200, sha256(content), "held_tail")
    else:
        assert (status, line["verified"]) == (206, VERIFIED[mode, size])
        assert body_parts(fields, got) == [
            (f"bytes {first}-{last}/{len(content)}", content[first : last + 1])
            for first, last in parts
        ]


def test_more_requests_than_an_origin_should_bear_become_one(mode, served):
    """Ranges that would be 40 requests to the origin are passed by none: all is fetched once."""
    content = CONTENTS["above"]
    asked = ",".join(f"{first}-{first}" for first in range(0, 40 * 100 * KIB, 100 * KIB))

    status, _, got = get(f"{served[mode].url}os/raw/above", Range=f"bytes={asked}")

    assert status == (206 if mode == "verify" else 200)
    assert status == 206 or sha256(got) == sha256(content)


def test_size_at_the_limit_is_still_verified(served):
    """`range.verify_up_to` is a size up to which, not below which, `auto` verifies."""
    status, _, got = get(f"{served['auto'].url}os/raw/exactly", Range="bytes=-10")

    line = transfers_of(served["auto"], "/os/raw/exactly")[-1]
    assert (status, got) == (206, EXACTLY[-10:])
    assert line["verified"] == "held_tail"


@pytest.mark.parametrize("asked", ["bytes=0-", f"bytes=0-{5 * MIB - 1}", f"bytes=-{6 * MIB}"])
@pytest.mark.parametrize("way", ["auto", "verify", "pass"])
def test_range_that_is_all_of_it_is_verified_at_any_size(asked, way, served):
    """Where all of the content passes anyway nothing is gained by trusting."""
    status, fields, got = get(f"{served[way].url}os/raw/above", Range=asked)

    line = transfers_of(served[way], "/os/raw/above")[-1]
    assert (status, sha256(got)) == (206, sha256(CONTENTS["above"]))
    assert line["verified"] == "held_tail"
    assert "unverified" not in fields["Cache-Status"]
