"""Issue 6, line 3: an origin that was good begins to lie, and no client ends with a wrong file.

aria2 with eight connections, curl and wget ask, and ask again for the rest, while the origin lies
and when it is honest again. It begins to lie in the middle of the first answer: before the content
is learned, while it is, or afterwards. It is learned by another client through another entry, which
has the same digest and an honest origin.

Each time a client says that it has the file it is the right one. What was learned before it got a
wrong byte is right in the end, and with a good second origin at once.
"""

from __future__ import annotations

import contextlib
import http.client
import math
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from origins import CHUNK, Origin
from processes import Streamer, entry, sha256
from ranged_origins import asked_range, serves_by_target, serves_ranges

MIB = 1024 * 1024
PAUSE_SECONDS = 0.001
"""Between slices, so that several connections of a client are open at once."""
CUT_AT = 4
"""In which slice of an answer an origin closes that cuts its answers."""
AT_ONCE = 4
SECONDS = 60

LIMITS = {"origins__breaker_failures": 0, "delivery__idle": "5s"}

CLIENTS = {
    "aria2c": (
        "aria2c -q -x8 -s8 -k1M -c -m2 --retry-wait=0 --file-allocation=none -o file",
        8 * MIB + 4321,
    ),
    "curl": ("curl -sS -f -C - -o file", 2 * MIB + 1234),
    "wget": ("wget -q -c -t2 --waitretry=0 -O file", 2 * MIB + 1234),
}
"""What is called first and again, and how long its content is: eight connections need 8 MiB."""

LIES = ("flips", "cuts", "other content", "stale content")
ORIGINS = ("one origin", "two origins")

BEFORE = "before it is learned"
WHILE = "while it is learned"
LEFT_WRONG = "left with a wrong beginning, then learned"
LEFT_RIGHT = "left with a right beginning, then learned"
AFTER = "after it is learned"
TURNS = {BEFORE: 0.5, WHILE: 0.25, LEFT_WRONG: 0.25, LEFT_RIGHT: 0.75, AFTER: 0.5}
"""After which part of the content the origin begins to lie."""
GATES = {WHILE: 0.5, LEFT_WRONG: 0.5, LEFT_RIGHT: 0.5}
"""And after which it waits until the content was learned."""

LEAVING = {LEFT_WRONG, LEFT_RIGHT}

SHARED = random.Random(63).randbytes(9 * MIB)
OTHER = random.Random(64).randbytes(9 * MIB)

RIGHT, FAILED, WRONG = "right", "failed", "WRONG"


class Case:
    """A client, and what happens to it; its content is its own."""

    def __init__(self, client, moment, origins, lie):
        self.id = f"{client}, {origins}, {lie}, {moment}"
        self.path = sha256(self.id.encode())[:16]
        self.client, self.moment, self.origins, self.lie = client, moment, origins, lie
        self.command, self.size = CLIENTS[client]

    @property
    def content(self):
        return self.path.encode() + SHARED[16 : self.size]


CASES = [
    Case(client, moment, origins, lie)
    for client in CLIENTS
    for moment in TURNS
    for origins in ORIGINS
    for lie in LIES
    # It is as wrong as what is flipped, so one moment will do.
    if lie != "other content" or moment == AFTER
]


BY_PATH = {case.path: case for case in CASES}


class Turning:
    """An origin that knows ranges, and lies once it has sent so much of the content.

    It lies in the middle of its answers; but before it sends stale content, with a tag of its own,
    it breaks off all of them. At its gate it waits, once, until it may go on.
    """

    def __init__(self, case):
        self._content = case.content
        self._lie = case.lie
        self._stale = OTHER[: case.size // 2] + self._content[case.size // 2 :]
        self._turn_at = TURNS[case.moment] * case.size
        self._gate_at = GATES.get(case.moment, math.inf) * case.size
        self._sent_bytes = 0
        self._lock = threading.Lock()
        self._opened = threading.Event()
        self.is_at_gate = threading.Event()
        self.has_lied = False
        self.is_honest = False

    def open(self):
        self._opened.set()

    def __call__(self, conversation):
        if self.is_honest:
            return serves_ranges(self._content)(conversation)
        is_stale = self._lie == "stale content" and self._lies
        content, tag = (self._stale, "stale") if is_stale else (self._content, "first")
        self.has_lied = self.has_lied or is_stale
        size = len(content)
        part = asked_range(conversation, size)
        first, last = part or (0, size - 1)
        described = [
            f'ETag: "{tag}"',
            "Accept-Ranges: bytes",
            f"Content-Length: {last - first + 1}",
        ]
        if part is not None:
            described.append(f"Content-Range: bytes {first}-{last}/{size}")
        status = "200 OK" if part is None else "206 Partial Content"
        conversation.send("\r\n".join([f"HTTP/1.1 {status}", *described, "", ""]).encode())
        return self._send(conversation, content, range(first, last + 1, CHUNK), last)

    def _send(self, conversation, content, starts, last):
        for number, start in enumerate(starts):
            piece = content[start : min(start + CHUNK, last + 1)]
            if self._lies and content is not self._stale:
                if self._lie == "stale content":
                    return False
                self.has_lied = True
                if self._lie == "cuts" and number >= CUT_AT:
                    conversation.send(piece[: len(piece) // 2])
                    return False
                piece = self._wrong(piece, start)
            conversation.connection.sendall(piece)
            with self._lock:
                self._sent_bytes += len(piece)
            self._wait()
        return True

    @property
    def _lies(self):
        return self._sent_bytes >= self._turn_at

    def _wrong(self, piece, start):
        if self._lie == "flips":
            return piece[:-1] + bytes([piece[-1] ^ 1])
        return OTHER[start : start + len(piece)] if self._lie == "other content" else piece

    def _wait(self):
        time.sleep(PAUSE_SECONDS)
        if self._sent_bytes >= self._gate_at:
            self.is_at_gate.set()
            self._opened.wait(SECONDS)


class Client:
    """Calls of one client for one file, one after the other."""

    def __init__(self, case, url, folder):
        self._command = [*case.command.split(), url]
        self._content = case.content
        self._folder = folder
        self._process = None

    def begin(self):
        self._process = subprocess.Popen(
            self._command, cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def leave(self):
        """Stop it, as a person does."""
        self._process.terminate()
        self._process.wait(SECONDS)

    @property
    def is_over(self):
        return self._process.poll() is not None

    def end(self):
        """Wait for it; say what it believes to have, and whether that is so."""
        if self._process.wait(SECONDS) != 0:
            return FAILED
        return RIGHT if (self._folder / "file").read_bytes() == self._content else WRONG

    def call(self):
        self.begin()
        return self.end()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What came of each case: whether the origin lied, and how each of the calls ended."""
    folder = tmp_path_factory.mktemp("clients")
    turning = {}
    with (
        Origin(serves_by_target(turning)) as first,
        Origin(honest) as second,
        Streamer(folder, **LIMITS) as service,
    ):
        elsewhere = {case.path: entry(case.path, case.content) for case in CASES}
        entries = {path: promise(BY_PATH[path], each) for path, each in elsewhere.items()}
        service.publish("elsewhere", second.url, elsewhere, importer="honest")
        service.publish("os", first.url, entries, importer="turning", max_retries=1)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield {case: pool.submit(calls, case, turning, service, folder) for case in CASES}
        assert service.tracebacks() == []


def honest(conversation):
    """An origin that has what all of the cases have; it is made when it is asked for."""
    content = BY_PATH[conversation.target.decode().removeprefix("/")].content
    return serves_ranges(content)(conversation)


def promise(case, honest_entry):
    """The case's entry: at the origin that will lie, and maybe at a good one."""
    sources = [{"url": case.path, "priority": 0}]
    if case.origins == "two origins":
        sources.append({"url": case.path, "importer": "honest", "priority": 1})
    return {**honest_entry, "sources": sources}


def calls(case, turning, service, folder):
    """Call the client while the origin turns, while it lies, and twice when it is honest again.

    Who has the file is not called again.
    """
    origin = turning[case.path] = Turning(case)
    (folder / case.path).mkdir()
    client = Client(case, f"{service.url}os/{case.path}", folder / case.path)
    if case.moment == AFTER:
        learn(case, service)
    client.begin()
    if case.moment in GATES:
        while not origin.is_at_gate.wait(0.01) and not client.is_over:
            pass
        if case.moment in LEAVING:
            client.leave()
        learn(case, service)
        origin.open()
    ends = [] if case.moment in LEAVING else [client.end()]
    for is_honest in (False, True, True):
        if RIGHT not in ends:
            origin.is_honest = is_honest
            ends.append(client.call())
    del turning[case.path]
    return origin.has_lied, ends


def learn(case, service):
    """Let a client of another address get the content through the other entry."""
    another = http.client.HTTPConnection(
        "127.0.0.1", service.port, timeout=SECONDS, source_address=("127.0.0.2", 0)
    )
    with contextlib.closing(another):
        another.request("GET", f"/elsewhere/{case.path}")
        assert another.getresponse().read() == case.content


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_client_has_the_right_file_or_says_that_it_has_not(case, found):
    """Whatever the origin begins to do, and whenever."""
    has_lied, ends = found[case].result()

    assert has_lied or case.origins == "two origins"
    assert WRONG not in ends
    if case.moment in (LEFT_RIGHT, AFTER):
        assert ends[-1] == RIGHT
        assert ends[0] == RIGHT or case.origins == "one origin"
