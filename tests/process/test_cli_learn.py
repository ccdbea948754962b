"""`pulp-streamer fetch --learn`: real processes, origins, signals and a store on a disk.

Each test has a catalog of its own, and an origin that has content under several names. What was
learned is read from the store.
"""

from __future__ import annotations

import base64
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest
from commands import command_in, environ_of, process_in
from origins import Origin, falls_silent, flipped, serves
from processes import entry, sha256
from ranged_origins import in_turn, serves_by_target, serves_ranges

from streamer.cli.progress import learning_now_and_then
from streamer.learned import PieceStore
from streamer.pieces.table import LEAF_BYTES

ROOM_BYTES = 1024**2
LARGE = {f"p/{name}": f"{name} is learned\n".encode() * 20_000 for name in "abcdef"}
SMALL = b"small\n"
BUSY = serves(b"", ["Retry-After: 1"], b"503 Service Unavailable")
FAILING = serves(b"", status=b"500 Internal Server Error")
LACKING = serves(b"", status=b"404 Not Found")


@pytest.fixture
def command(tmp_path):
    return command_in(tmp_path)


@pytest.fixture
def process(tmp_path):
    return process_in(tmp_path)


@pytest.fixture
def behaviours():
    """What the origin does by the name that it is asked for; may be changed at any time."""
    return {name: serves_ranges(content) for name, content in LARGE.items()}


@pytest.fixture
def origin(behaviours):
    with Origin(lambda conversation: serves_by_target(behaviours)(conversation)) as origin:
        yield origin


@pytest.fixture
def publish(command, origin):
    """Publish entries, large content by default, at a base path."""
    options = ("--type", "http", "--url", origin.url, "--set", "max_retries=0")
    assert 0 == command("importer", "create", "o", *options).code

    def run(*entries, base_path="d"):
        given = entries or [entry(path, content) for path, content in LARGE.items()]
        text = "".join(f"{json.dumps(each)}\n" for each in given).encode()
        done = command("publish", base_path, "--importer", "o", "--entries", "-", text=text)
        assert (0, "") == (done.code, done.err)

    return run


@pytest.fixture
def known(tmp_path):
    """The names of the content whose tables are stored."""

    def names():
        store = PieceStore(f"sqlite:///{tmp_path}/catalog.db.pieces", ROOM_BYTES)
        with closing(store):
            return [
                path
                for path, content in LARGE.items()
                if store.read(f"sha256:{sha256(content)}", len(content))
            ]

    return names


@pytest.fixture
def start(tmp_path):
    """Start a command that goes on until something happens to it."""
    running = []

    def run(*arguments, stderr=subprocess.PIPE):
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "streamer.cli", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                cwd=tmp_path,
                env=environ_of(tmp_path) | {"TERM": "xterm", "COLUMNS": "120"},
                text=True,
            )
        )
        return running[-1]

    yield run
    for each in running:
        each.kill()
        each.communicate()


def asked(origin):
    """What the origin was asked for."""
    return sorted(each.target.decode().removeprefix("/") for each in origin.conversations)


# -- what is learned -------------------------------------------------------------------------------


def test_learning_a_base_path_keeps_a_table_of_all_below_it_and_no_content(
    process, publish, origin, known, tmp_path
):
    """What there is afterwards is the store, which is smaller than any of the content."""
    publish()

    done = process("fetch", "--learn", "d", "--json")

    total = sum(map(len, LARGE.values()))
    assert (0, "") == (done.code, done.err)
    assert isinstance(done.document.pop("seconds"), float)
    assert done.document | {"seconds": 0} == {
        "learned": len(LARGE),
        "learned_bytes": total,
        "received_bytes": total,
        "known": 0,
        "skipped": {},
        "failed": 0,
        "failures": [],
        "seconds": 0,
    }
    assert list(LARGE) == known()
    assert {"catalog.db", "catalog.db.pieces"} == {path.name for path in tmp_path.iterdir()}


def test_learning_paths_leaves_the_others_alone(process, publish, origin, known):
    """Several may be named, with a slash before them or without."""
    publish()

    done = process("fetch", "--learn", "d/p/a", "/d/p/c", "d/p/a")

    assert (0, "learned 2 artifacts of 507.8 KiB\n", "") == done
    assert ["p/a", "p/c"] == known() == asked(origin)


def test_learning_again_asks_for_what_is_missing_alone(process, publish, origin, known):
    """What is known is counted."""
    publish()
    assert 0 == process("fetch", "--learn", "d/p/b").code

    done = process("fetch", "--learn", "d/")

    assert (0, ["learned 5 artifacts of 1.2 MiB", "known before: 1"], "") == (
        done.code,
        done.out.splitlines(),
        done.err,
    )
    assert list(LARGE) == known() == asked(origin)


def test_content_under_two_paths_is_fetched_once(process, publish, origin):
    """A table belongs to the content."""
    content = LARGE["p/a"]
    publish(entry("p/a", content), entry("p/again", content) | {"sources": [{"url": "p/a"}]})

    done = process("fetch", "--learn", "d", "--json")

    assert (1, {"of the same content as another path": 1}) == (
        done.document["learned"],
        done.document["skipped"],
    )
    assert 1 == origin.requests()


def test_what_cannot_be_learned_is_left_out_and_counted(process, publish, origin):
    """With the reason; no origin is asked for it."""
    content = LARGE["p/a"]
    publish(
        entry("small", SMALL),
        entry("sizeless", content) | {"size": None},
        entry("vast", b"") | {"size": 17 * 1024**3},
        entry("held", content)
        | {"sources": [], "content_base64": base64.b64encode(content).decode()},
    )

    done = process("fetch", "--learn", "d", "--json")

    assert (0, 0) == (done.code, origin.requests())
    assert done.document["skipped"] == {
        "verified whole anyway, as they are small": 1,
        "of unknown size": 1,
        "larger than 16.0 GiB": 1,
        "held in the catalog": 1,
    }


def test_weak_digest_is_left_out(process, command, publish, origin):
    """A match with it proves nothing."""
    assert 0 == command("importer", "update", "o", "--set", "allow_weak_digests=true").code
    publish(entry("p/a", LARGE["p/a"]) | {"digests": {"md5": "0" * 32}})

    done = process("fetch", "--learn", "d/p/a")

    assert (0, ["learned 0 artifacts of 0 bytes", "left out: 1 of a weak digest"], "") == (
        done.code,
        done.out.splitlines(),
        done.err,
    )


def test_what_is_known_takes_room_and_is_not_learned_again(process, publish, origin):
    """Where the store has no room for more, another run changes nothing."""
    fills = entry("a", b"") | {"size": 32_750 * LEAF_BYTES, "digests": {"sha256": "0" * 64}}
    publish(fills, *(entry(path, content) for path, content in LARGE.items()))
    small_store = {"PULP_STREAMER__PIECES__MAX_SIZE": "1MiB"}
    assert 0 == process("fetch", "--learn", "d/p/b", **small_store).code

    done = process("fetch", "--learn", "d", "--json", **small_store)

    assert (0, 1, 1) == tuple(done.document[key] for key in ("learned", "known", "failed"))
    assert {"beyond pieces.max_size": len(LARGE) - 1} == done.document["skipped"]


def test_more_than_the_store_holds_is_left_out(process, publish, origin):
    """It would push out what was learned before it."""
    size = 16 * 1024**3
    publish(
        entry("p/a", LARGE["p/a"]),
        entry("q/vast", b"") | {"size": size},
        entry("r", b"r") | {"size": 100_000},
    )

    done = process("fetch", "--learn", "d", "--json", PULP_STREAMER__PIECES__MAX_SIZE="1MiB")

    assert {"beyond pieces.max_size": 1} == done.document["skipped"]
    assert (1, 1) == (done.document["learned"], done.document["failed"])


def test_all_pages_of_a_base_path_are_learned(process, publish, behaviours, origin):
    """There may be more entries than are looked at together."""
    many = [entry(f"m/{number:04}", b"%04d" % number) for number in range(1200)]
    publish(*many, entry("p/a", LARGE["p/a"]), entry("z", SMALL))

    done = process("fetch", "--learn", "d", "--json")

    assert (1, 1201) == (done.document["learned"], *done.document["skipped"].values())


# -- origins that fail -----------------------------------------------------------------------------


def test_failure_of_one_does_not_stop_the_others(process, publish, behaviours, origin, known):
    """It is told in the end, and the exit code says so."""
    publish()
    behaviours["p/a"] = serves(flipped(LARGE["p/a"], 100))
    behaviours["p/d"] = LACKING

    done = process("fetch", "--learn", "d")

    assert (1, "") == (done.code, done.err)
    summary, wrong, missing = done.out.splitlines()
    assert "learned 4 artifacts of 1,015.6 KiB" == summary
    assert wrong.startswith("failed: d/p/a: o: the digest sha256:")
    assert "failed: d/p/d: o: the origin answered 404" == missing
    assert ["p/b", "p/c", "p/e", "p/f"] == known()


def test_failures_are_told_in_json_too(process, publish, behaviours, origin):
    """There is a document, so there is no error."""
    publish()
    behaviours["p/d"] = LACKING

    done = process("fetch", "--learn", "d", "--json")

    assert (1, "") == (done.code, done.err)
    assert (5, 1) == (done.document["learned"], done.document["failed"])
    assert [{"path": "d/p/d", "why": "o: the origin answered 404"}] == done.document["failures"]


def test_origin_that_wants_to_be_left_alone_is_asked_again(process, publish, behaviours, origin):
    """After as long as it says."""
    behaviours["p/a"] = in_turn(BUSY, serves_ranges(LARGE["p/a"]))
    publish()

    done = process("fetch", "--learn", "d/p/a")

    assert (0, "learned 1 artifact of 253.9 KiB\n", "") == done
    assert ["p/a", "p/a"] == asked(origin)


def test_many_failures_in_a_row_end_it(process, publish, behaviours, origin):
    """Nobody is asked a million times for nothing; what was learned stays."""
    names = [f"q/{number:02}" for number in range(40)]
    behaviours.update(dict.fromkeys(names, FAILING))
    behaviours["p/a"] = serves_ranges(LARGE["p/a"])
    publish(
        *(entry(name, LARGE["p/b"] + name.encode()) for name in names), entry("p/a", LARGE["p/a"])
    )

    done = process(
        *("fetch", "--learn", "d", "--jobs", "1"), PULP_STREAMER__ORIGINS__BREAKER_FAILURES="0"
    )

    assert (1, "", 21) == (done.code, done.out, origin.requests())
    assert done.err.splitlines() == [
        "pulp-streamer: 20 failed in a row, the last one with: o: the origin answered 500",
        "pulp-streamer: learned 1 artifact of 253.9 KiB; the same command goes on with the rest",
    ]


def test_origin_that_lacks_many_is_asked_for_all_of_them(process, publish, origin):
    """Each by itself may be gone there."""
    names = [f"q/{number:02}" for number in range(30)]
    publish(*(entry(name, LARGE["p/b"] + name.encode()) for name in names))

    done = process("fetch", "--learn", "d", "--json")

    assert (1, 30, 20) == (done.code, done.document["failed"], len(done.document["failures"]))
    assert 30 == origin.requests()


@pytest.mark.parametrize("jobs", [1, 3])
def test_no_more_are_fetched_at_a_time_than_told(start, publish, behaviours, origin, jobs):
    """The next one begins when one has come."""
    behaviours.update({name: falls_silent(content, 100) for name, content in LARGE.items()})
    publish()

    learning = start("fetch", "--learn", "d", "--jobs", str(jobs))
    wait_for(lambda: origin.requests() >= jobs)
    learning.send_signal(signal.SIGINT)
    learning.wait(60)

    assert jobs == origin.requests()


# -- interrupted -----------------------------------------------------------------------------------


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_what_was_learned_before_the_end_is_known_to_the_next_one(
    start, process, publish, behaviours, origin, known, number, code
):
    """Only the rest is asked for, and what was under way."""
    behaviours["p/c"] = falls_silent(LARGE["p/c"], 100_000)
    publish()
    learning = start("fetch", "--learn", "d", "--jobs", "1")
    wait_for(lambda: origin.requests() == 3)
    learning.send_signal(number)
    message = learning.communicate(timeout=60)[1]
    left = known()
    behaviours["p/c"] = serves_ranges(LARGE["p/c"])

    done = process("fetch", "--learn", "d", "--json")

    assert (code, ["p/a", "p/b"]) == (learning.returncode, left)
    assert "Traceback" not in message
    assert (4, 2) == (done.document["learned"], done.document["known"])
    assert [*LARGE, "p/c"] == [*dict.fromkeys(asked(origin)), "p/c"]
    assert 7 == origin.requests()


def test_interrupted_learning_says_what_it_has_learned(start, publish, behaviours, origin):
    """And that it can go on."""
    behaviours["p/b"] = falls_silent(LARGE["p/b"], 100_000)
    publish()
    learning = start("fetch", "--learn", "d", "--jobs", "1")
    wait_for(lambda: origin.requests() == 2)

    learning.send_signal(signal.SIGINT)

    assert learning.communicate(timeout=60)[1].strip().splitlines() == [
        "pulp-streamer: interrupted",
        "pulp-streamer: learned 1 artifact of 253.9 KiB; the same command goes on with the rest",
    ]


# -- refused -------------------------------------------------------------------------------------


def test_pass_through_distribution_is_refused(command, publish, origin):
    """There is no digest, whether it is named itself or a path below it."""
    publish()
    assert 0 == command("distribution", "pass-through", "t", "--importer", "o").code

    for name in ("t", "t/p/a"):
        done = command("fetch", "--learn", "d/p/a", name)

        assert (1, "") == (done.code, done.out)
        assert "passes through to importer 'o'" in done.err
    assert 0 == origin.requests()


@pytest.mark.parametrize("name", ["d/none", "e", "d/p"])
def test_what_is_not_published_is_refused_before_anything_is_asked_for(
    command, publish, origin, name
):
    """A folder is not a base path either."""
    publish()

    done = command("fetch", "--learn", "d/p/a", name)

    assert (1, "") == (done.code, done.out)
    assert done.err == (
        f"pulp-streamer: nothing is published at {name!r}, and it is no base path\n"
    )
    assert 0 == origin.requests()


def test_learning_is_refused_where_pieces_are_not_wanted(command, publish, origin):
    """Nothing would be kept."""
    publish()

    done = command("fetch", "--learn", "d", PULP_STREAMER__PIECES__ENABLED="false")

    assert (1, "") == (done.code, done.out)
    assert "pulp-streamer: pieces.enabled is false, so nothing would be learned\n" == done.err
    assert 0 == origin.requests()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--learn", "d", "--output", "f"),
        ("--learn", "d", "--no-resume"),
        ("--learn", "d", "--jobs", "0"),
        ("--learn",),
        ("d/p/a", "d/p/b", "--output", "f"),
        ("d/p/a", "--jobs", "2", "--output", "f"),
    ],
    ids=["output", "no-resume", "no-jobs", "nothing", "two-paths", "jobs-alone"],
)
def test_options_that_contradict_each_other_are_wrong_usage(command, publish, origin, arguments):
    """Nothing is guessed."""
    publish()

    assert 2 == command("fetch", *arguments).code
    assert 0 == origin.requests()


def test_store_that_cannot_be_used_ends_it_before_anything_is_asked_for(
    process, publish, origin, tmp_path
):
    """What would be learned could not be kept."""
    publish()
    foreign = tmp_path / "theirs.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")

    done = process("fetch", "--learn", "d", PULP_STREAMER__PIECES__URL=f"sqlite:///{foreign}")

    assert (1, "") == (done.code, done.out)
    assert done.err.startswith(f"pulp-streamer: the store of pieces does not work: {foreign}: ")
    assert 0 == origin.requests()


# -- while it runs -------------------------------------------------------------------------------


def test_learning_shows_a_bar_where_stderr_is_a_terminal(start, publish, origin):
    """With how many of how many, and how much came."""
    publish()
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "wb") as terminal:
        learning = start("fetch", "--learn", "d", stderr=terminal)
        out = learning.communicate(timeout=60)[0]
        shown = os.read(screen.fileno(), 65536)

    assert "learned 6 artifacts of 1.5 MiB\n" == out
    assert b"6 of 6 artifacts" in shown
    assert b"a second" in shown


def test_progress_of_learning_in_a_log_is_a_line_every_few_seconds():
    """With the rate of all of it so far."""
    said, now = [], [0.0]
    show = learning_now_and_then(2000, said.append, lambda: now[0])

    for seconds, count, received in ((4.9, 900, 1024), (10.0, 1000, 20480), (10.1, 1001, 99999)):
        now[0] = seconds
        show(count, received)

    assert ["1,000 of 2,000 artifacts; 20.0 KiB fetched, 2.0 KiB a second"] == said


# -- fetching, with what is known ----------------------------------------------------------------


def test_fetch_into_a_file_learns(process, publish, origin, known):
    """All of it has passed."""
    publish()

    assert 0 == process("fetch", "d/p/a", "--output", "got").code
    assert ["p/a"] == known()


def test_fetch_of_learned_content_is_healed(process, publish, behaviours, origin, tmp_path):
    """A wrong piece is asked for again elsewhere, and what was right before it is not."""
    content = LARGE["p/a"]
    sources = [{"url": "p/a"}, {"url": "other/a", "priority": 1}]
    publish(entry("p/a", content) | {"sources": sources})
    assert 0 == process("fetch", "--learn", "d/p/a").code
    behaviours["p/a"] = serves(flipped(content, 150_000))
    behaviours["other/a"] = serves_ranges(content)

    done = process("fetch", "d/p/a", "--output", "got", "--json")

    assert (0, {"sha256": sha256(content)}) == (done.code, done.document["digests"])
    assert content == (tmp_path / "got").read_bytes()
    rest = origin.conversations[-1]
    assert (b"/other/a", [f"bytes=131072-{len(content) - 1}"]) == (rest.target, rest.field("Range"))


def test_fetch_does_not_need_the_store(process, publish, origin, tmp_path):
    """Content is worth more than its table."""
    publish()
    (tmp_path / "theirs.db").write_bytes(b"no database" * 1000)
    elsewhere = f"sqlite:///{tmp_path}/theirs.db"

    done = process("fetch", "d/p/a", "--output", "got", PULP_STREAMER__PIECES__URL=elsewhere)

    assert (0, "", LARGE["p/a"]) == (done.code, done.err, (tmp_path / "got").read_bytes())
