"""`pulp-streamer fetch`: real processes, files, signals and origins.

Each test has a catalog of its own and an origin that honours ranges, unless it is told otherwise.
What an origin was asked for is read from its conversations.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import pty
import resource
import signal
import stat
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

import pytest
from commands import command_in, environ_of, process_in
from origins import Origin, cuts, falls_silent, flipped, serves, serves_chunked, serves_until_close
from processes import sha256
from ranged_origins import in_turn, serves_ranges

from streamer.cli.progress import positions_now_and_then

CONTENT = b"what is fetched\n" * 20_000
HALF = len(CONTENT) // 2
REST = [f"bytes={HALF}-{len(CONTENT) - 1}"]
PARTIAL = f".got.bin.{sha256(CONTENT)[:12]}.part"
FETCH = ("fetch", "a/b/big.bin", "--output", "got.bin")


@pytest.fixture
def command(tmp_path):
    return command_in(tmp_path)


@pytest.fixture
def process(tmp_path):
    return process_in(tmp_path)


@pytest.fixture
def origin():
    with Origin(serves_ranges(CONTENT)) as origin:
        yield origin


@pytest.fixture
def publish(command):
    """Publish `big.bin` at `a/b`, with a source at each of the origins, in that order."""

    def run(*origins, **changes):
        for number, origin in enumerate(origins):
            options = ("--type", "http", "--url", origin.url, "--set", "max_retries=0")
            assert 0 == command("importer", "create", f"o{number}", *options).code
        stated = {
            "path": "big.bin",
            "digests": {"sha256": sha256(CONTENT)},
            "size": len(CONTENT),
            "sources": [
                {"url": "big.bin", "importer": f"o{number}", "priority": number}
                for number in range(len(origins))
            ],
        }
        line = json.dumps(stated | changes).encode()
        done = command("publish", "a/b", "--importer", "o0", "--entries", "-", text=line)
        assert (0, "") == (done.code, done.err)

    return run


@pytest.fixture
def published(publish, origin):
    publish(origin)
    return origin


@pytest.fixture
def start(tmp_path):
    """Start a fetch into `got.bin` that goes on until something happens to it."""
    running = []

    def run(*options):
        running.append(
            subprocess.Popen(
                [sys.executable, "-m", "streamer.cli", *FETCH, *options],
                stderr=subprocess.PIPE,
                cwd=tmp_path,
                env=environ_of(tmp_path),
                text=True,
            )
        )
        return running[-1]

    yield run
    for each in running:
        each.kill()
        each.communicate()


def wait_for_part(folder, size=HALF):
    """Wait until so much has been written."""
    deadline = time.monotonic() + 60
    while not (folder / PARTIAL).exists() or (folder / PARTIAL).stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_full(reader, size=61_440):
    """Wait until so much stands in a pipe that its writer waits."""
    deadline, standing = time.monotonic() + 60, bytearray(4)
    while int.from_bytes(standing, sys.byteorder) < size:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        fcntl.ioctl(reader, termios.FIONREAD, standing)


def keep(folder, content):
    """Let an earlier fetch have left this."""
    (folder / PARTIAL).write_bytes(content)


def got(folder):
    """What there is, beside the catalog: the names and the contents."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if "got" in path.name}


def asked(origin):
    """The Range of every request."""
    return [conversation.field("Range") for conversation in origin.conversations]


# -- what it does, and what it says ----------------------------------------------------------------


def test_fetch_writes_the_verified_content_to_the_named_file(process, published, tmp_path):
    """The file is complete and right, and nothing else is left beside it."""
    done = process(*FETCH)

    assert (0, "") == (done.code, done.err)
    assert done.out == "fetched a/b/big.bin from o0: 312.5 KiB, verified\n"
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_fetch_in_json_tells_what_was_saved_and_how(process, published):
    """One document, and no progress."""
    done = process(*FETCH, "--json")

    assert (0, "") == (done.code, done.err)
    assert isinstance(done.document.pop("seconds"), float)
    assert done.document | {"seconds": 0} == {
        "path": "a/b/big.bin",
        "output": "got.bin",
        "size": len(CONTENT),
        "digests": {"sha256": sha256(CONTENT)},
        "origin": "o0",
        "attempts": 1,
        "kept_bytes": 0,
        "seconds": 0,
    }


@pytest.mark.parametrize("options", [(), ("--output", "-")], ids=["default", "dash"])
def test_fetch_without_a_file_writes_to_standard_output(process, published, options):
    """It can be piped on."""
    assert (0, CONTENT.decode(), "") == process("fetch", "/a/b/big.bin", *options)


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_fetch_without_a_standard_stream_is_done(published, tmp_path, closed):
    """What was started without one has no use for it, and no file of ours takes its place."""
    done = subprocess.run(
        [sys.executable, "-m", "streamer.cli", *FETCH],
        capture_output=True,
        cwd=tmp_path,
        env=environ_of(tmp_path),
        preexec_fn=lambda: os.close(closed),
        timeout=60,
        check=False,
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_held_content_is_fetched_into_a_file(process, publish, origin, tmp_path):
    """It comes out of the catalog."""
    publish(origin, sources=[], content_base64=base64.b64encode(CONTENT).decode())

    done = process(*FETCH, "--json")

    assert (0, "catalog") == (done.code, done.document["origin"])
    assert got(tmp_path) == {"got.bin": CONTENT}
    assert origin.requests() == 0


@pytest.mark.parametrize("behaviour", [serves_chunked, serves_until_close])
def test_content_of_unknown_size_is_fetched(process, publish, origin, tmp_path, behaviour):
    """The digest is enough."""
    origin.behaviour = behaviour(CONTENT)
    publish(origin, size=None)

    assert 0 == process(*FETCH).code
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_fetch_shows_a_bar_where_stderr_is_a_terminal(published, tmp_path):
    """With the bytes and where they come from."""
    keep(tmp_path, CONTENT[:HALF])
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb") as screen, os.fdopen(theirs, "wb") as terminal:
        done = subprocess.run(
            [sys.executable, "-m", "streamer.cli", *FETCH],
            stdout=subprocess.PIPE,
            stderr=terminal,
            cwd=tmp_path,
            env=environ_of(tmp_path) | {"TERM": "xterm", "COLUMNS": "100"},
            timeout=60,
            check=False,
        )
        shown = os.read(screen.fileno(), 65536)

    assert (0, True) == (done.returncode, done.stdout.startswith(b"fetched a/b/big.bin"))
    assert b"fetching from o0" in shown
    assert b"312.5" in shown


def test_progress_in_a_log_is_a_line_every_few_seconds():
    """A log of a long fetch shows that it goes on, and stays short."""
    said, seconds = [], iter([0.0, 4.9, 5.0, 5.1, 11.0])
    show = positions_now_and_then(4096, said.append, lambda: next(seconds))

    for position in (1024, 2048, 3072, 4096):
        show("fetching from o", position)

    assert ["fetching from o: 2.0 KiB of 4.0 KiB", "fetching from o: 4.0 KiB of 4.0 KiB"] == said


# -- origins that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (serves(flipped(CONTENT, 0)), "o0: the digest sha256:"),
        (serves(CONTENT[:-1]), "o0: 320000 bytes were promised, the origin sends 319999"),
        (serves(CONTENT + b"!"), "o0: 320000 bytes were promised, the origin sends 320001"),
        (serves_chunked(CONTENT + b"!"), "o0: 320000 bytes were promised, the origin sends"),
        (serves(b"", status=b"404 Not Found"), "o0: the origin answered 404"),
    ],
    ids=["wrong", "short", "long", "long-unannounced", "missing"],
)
def test_fetch_of_wrong_content_leaves_no_file(process, published, tmp_path, behaviour, why):
    """An older file of that name stays as it was."""
    published.behaviour = behaviour
    (tmp_path / "got.bin").write_bytes(b"older")

    done = process(*FETCH)

    assert (1, "") == (done.code, done.out)
    assert done.err.startswith(f"pulp-streamer: {why}")
    assert 1 == len(done.err.splitlines())
    assert got(tmp_path) == {"got.bin": b"older"}


def test_fetch_of_wrong_content_never_completes_standard_output(process, published):
    """A pipe cannot be taken back, so its end is held until the content is verified."""
    published.behaviour = serves(b"!" + CONTENT[1:])

    done = process("fetch", "a/b/big.bin")

    assert 1 == done.code
    assert "o0: the digest" in done.err
    assert len(done.out) < len(CONTENT)


def test_second_source_helps_where_the_first_is_wrong(process, publish, tmp_path):
    """Nothing of the wrong content is used."""
    with Origin(serves(flipped(CONTENT, 0))) as bad, Origin(serves_ranges(CONTENT)) as good:
        publish(bad, good)
        done = process(*FETCH, "--json")

    assert (0, "o1", 2) == (done.code, done.document["origin"], done.document["attempts"])
    assert asked(good) == [[]]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_second_source_goes_on_where_the_first_breaks_off(process, publish, tmp_path):
    """What is there is not asked for again."""
    broken = in_turn(cuts(CONTENT, HALF), serves(b"", status=b"503 Service Unavailable"))
    with Origin(broken) as bad, Origin(serves_ranges(CONTENT)) as good:
        publish(bad, good)
        done = process(*FETCH, "--json")

    assert (0, "o1") == (done.code, done.document["origin"])
    assert asked(good) == [REST]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_all_failures_are_named_where_nobody_serves(process, publish, tmp_path):
    """Each with its importer."""
    missing, failing = b"404 Not Found", b"500 Internal Server Error"
    with Origin(serves(b"", status=missing)) as one, Origin(serves(b"", status=failing)) as other:
        publish(one, other)
        done = process(*FETCH, "--json")

    assert (1, "") == (done.code, done.out)
    expected = "o0: the origin answered 404; o1: the origin answered 500"
    assert done.error == {"kind": "NoOriginServed", "message": expected}
    assert got(tmp_path) == {}


# -- interrupted, and gone on with ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_fetch_that_is_ended_keeps_its_part_and_the_next_one_goes_on(
    start, process, published, tmp_path, number, code
):
    """The origin is asked for the rest alone."""
    published.behaviour = in_turn(falls_silent(CONTENT, HALF), serves_ranges(CONTENT))
    ended = start()
    wait_for_part(tmp_path)
    ended.send_signal(number)
    ended.wait(60)
    left = got(tmp_path)

    done = process(*FETCH, "--json")

    assert code == ended.returncode
    assert left == {PARTIAL: CONTENT[:HALF]}
    assert (0, HALF) == (done.code, done.document["kept_bytes"])
    assert asked(published) == [[], REST]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_interrupted_fetch_says_that_it_can_go_on(start, published, tmp_path):
    """Ctrl-C is not the origin's fault."""
    published.behaviour = falls_silent(CONTENT, HALF)
    ended = start()
    wait_for_part(tmp_path)

    ended.send_signal(signal.SIGINT)
    message = ended.communicate(timeout=60)[1]

    assert message.strip().splitlines() == [
        "pulp-streamer: interrupted",
        f"pulp-streamer: 156.2 KiB of 312.5 KiB are kept in {tmp_path / PARTIAL}: "
        "the same command goes on there",
    ]


def test_fetch_that_broke_off_says_in_json_what_is_kept(process, published, tmp_path):
    """Beside the reason."""
    published.behaviour = in_turn(cuts(CONTENT, HALF), serves(b"", status=b"404 Not Found"))

    done = process(*FETCH, "--json")

    assert (1, "NoOriginServed") == (done.code, done.error["kind"])
    (note,) = done.error["notes"]
    assert note.startswith("156.2 KiB of 312.5 KiB are kept in ")
    assert got(tmp_path) == {PARTIAL: CONTENT[:HALF]}


def test_fetch_of_what_is_kept_whole_asks_no_origin(process, published, tmp_path):
    """It had been ended just before its last step."""
    keep(tmp_path, CONTENT)

    done = process(*FETCH)

    expected = "fetched a/b/big.bin: 312.5 KiB (312.5 KiB kept from before), verified\n"
    assert (0, expected) == (done.code, done.out)
    assert published.requests() == 0
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_wrong_beginning_is_taken_back_and_all_of_it_fetched(process, published, tmp_path):
    """In the same command, and without a blame for the origin."""
    keep(tmp_path, flipped(CONTENT, 0)[:HALF])

    done = process(*FETCH, "--json")

    assert (0, 0) == (done.code, done.document["kept_bytes"])
    assert asked(published) == [REST, []]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_origin_without_ranges_begins_anew(process, published, tmp_path):
    """It sends all of it, so all of it is taken."""
    published.behaviour = serves(CONTENT)
    keep(tmp_path, CONTENT[:HALF])

    done = process(*FETCH, "--json")

    assert (0, 0) == (done.code, done.document["kept_bytes"])
    assert asked(published) == [REST]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_part_that_is_longer_than_the_content_is_dropped(process, published, tmp_path):
    """It is of something else."""
    keep(tmp_path, CONTENT + b"!")

    assert 0 == process(*FETCH).code
    assert asked(published) == [[]]


def test_part_is_dropped_where_that_is_asked_for(process, published, tmp_path):
    """`--no-resume` begins at the first byte."""
    keep(tmp_path, CONTENT[:HALF])

    assert 0 == process(*FETCH, "--no-resume").code
    assert asked(published) == [[]]
    assert got(tmp_path) == {"got.bin": CONTENT}


def test_part_of_content_that_changed_meanwhile_is_left_alone(process, publish, origin, tmp_path):
    """It is of an artifact with another digest."""
    publish(origin)
    (tmp_path / ".got.bin.0123456789ab.part").write_bytes(b"older")

    assert 0 == process(*FETCH).code
    assert asked(origin) == [[]]


def test_second_fetch_at_once_is_refused_and_the_first_goes_on(start, process, published, tmp_path):
    """Two would write over each other."""
    go_on = threading.Event()

    def pauses(conversation):
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(CONTENT))
        conversation.send(CONTENT[:HALF])
        go_on.wait(60)
        conversation.send(CONTENT[HALF:])
        return True

    published.behaviour = pauses
    first = start()
    wait_for_part(tmp_path)

    second = process(*FETCH)
    go_on.set()

    assert (1, "") == (second.code, second.out)
    expected = "pulp-streamer: the same content is being written to got.bin already\n"
    assert expected == second.err
    assert 0 == first.wait(60)
    assert got(tmp_path) == {"got.bin": CONTENT}


# -- what it writes to ---------------------------------------------------------------------------


def test_full_disk_keeps_what_it_took(published, process, tmp_path):
    """And the next fetch goes on there."""

    def little_room():
        resource.setrlimit(resource.RLIMIT_FSIZE, (HALF, HALF))

    full = subprocess.run(
        [sys.executable, "-m", "streamer.cli", *FETCH],
        cwd=tmp_path,
        env=environ_of(tmp_path),
        capture_output=True,
        text=True,
        preexec_fn=little_room,
        timeout=60,
        check=False,
    )
    left = got(tmp_path)

    done = process(*FETCH, "--json")

    assert 1 == full.returncode
    assert full.stderr.startswith("pulp-streamer: got.bin cannot be written: File too large\n")
    assert "are kept in" in full.stderr
    assert left == {PARTIAL: CONTENT[:HALF]}
    assert (0, HALF) == (done.code, done.document["kept_bytes"])


def test_file_whose_name_is_no_utf_8_is_named_as_json_can(process, published, tmp_path):
    """Whatever the terminal's coding is."""
    name = os.fsdecode(b"\xff")

    done = process("fetch", "a/b/big.bin", "--json", "--output", name, PYTHONIOENCODING="utf-8")

    assert (0, name) == (done.code, done.document["output"])
    assert CONTENT == (tmp_path / name).read_bytes()


def test_fetch_into_a_device_writes_to_it_and_does_not_replace_it(process, published):
    """`/dev/null` stays what it is."""
    done = process("fetch", "a/b/big.bin", "--output", "/dev/null")

    assert 0 == done.code
    assert Path("/dev/null").is_char_device()


def test_fetch_into_a_named_pipe_writes_to_who_reads_it(start, process, published, tmp_path):
    """It stays a pipe."""
    os.mkfifo(tmp_path / "got.bin")
    fetching = start()

    assert CONTENT == (tmp_path / "got.bin").read_bytes()
    assert 0 == fetching.wait(60)
    assert stat.S_ISFIFO((tmp_path / "got.bin").stat().st_mode)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signal_ends_a_fetch_into_a_pipe_that_is_not_read(start, published, tmp_path, number, code):
    """Its reader may be a pager that shows the first page; the end never comes."""
    pipe = tmp_path / "got.bin"
    os.mkfifo(pipe)
    fetching = start()
    with pipe.open("rb", buffering=0) as reader:
        wait_until_full(reader)
        fetching.send_signal(number)
        ended = fetching.wait(60)
        taken = reader.read()

    assert code == ended
    assert len(taken) < len(CONTENT)
    assert "Traceback" not in fetching.stderr.read()


def test_reader_of_a_pipe_that_leaves_ends_the_fetch(published, tmp_path):
    """Nobody is left to fetch for."""
    reads, writes = os.pipe()
    os.close(reads)

    done = subprocess.run(
        [sys.executable, "-m", "streamer.cli", "fetch", "a/b/big.bin"],
        stdout=writes,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environ_of(tmp_path),
        timeout=60,
        check=False,
    )
    os.close(writes)

    assert 1 == done.returncode
    assert b"Traceback" not in done.stderr


def test_fetch_into_a_folder_that_is_absent_is_refused(process, published):
    """Nothing is asked of the origin for nothing."""
    done = process("fetch", "a/b/big.bin", "--output", "absent/got.bin")

    assert (1, "", 0) == (done.code, done.out, published.requests())
    assert "absent/got.bin cannot be written: No such file or directory" in done.err
