"""Issue 2, line 2: whatever an origin does, no client ends with exit code 0 and wrong content.

Real clients, with their own retries, against an origin that lies once and is honest afterwards
(the case in which a resume could join two halves) and against one that lies for good.
"""

from __future__ import annotations

import hashlib
import random

import pytest
from origins import Origin, cuts, flipped, serves, serves_chunked, serves_until_close
from processes import Streamer, get, raw_exchange, run, sha256

SIZE = 50 * 1024 * 1024
AT_60_PERCENT = SIZE * 6 // 10
SHARED = random.Random(22).randbytes(SIZE)

LIES = {
    "flips a bit at 60 %": lambda right: serves(flipped(right, AT_60_PERCENT)),
    "flips a bit in the last byte": lambda right: serves(flipped(right, SIZE - 1)),
    "announces and sends one byte more": lambda right: serves(right + b"x"),
    "announces and sends one byte less": lambda right: serves(right[:-1]),
    "sends one byte more, unannounced": lambda right: serves_chunked(right + b"x"),
    "sends one byte less, unannounced": lambda right: serves_until_close(right[:-1]),
    "closes at 60 %": lambda right: cuts(right, AT_60_PERCENT),
    "resets at 60 %": lambda right: cuts(right, AT_60_PERCENT, reset=True),
    "flips at 20 %, closes at 60 %": lambda right: cuts(flipped(right, SIZE // 5), AT_60_PERCENT),
}

# `-f`, because without it curl takes the text of a 502 for what was asked.
PLAIN = {
    "curl": "curl -sS -f -o file",
    "curl over HTTP 1.0": "curl -sS -f --http1.0 -o file",
    "wget": "wget -q -O file",
    "aria2c": "aria2c -q -o file --retry-wait=0",
}
RETRYING = {
    "curl with retries": "curl -sS -f --retry 2 --retry-all-errors --retry-delay 0 -o file",
    "wget": "wget -q -O file",
    "wget to its own name": "wget -q",
    "aria2c": "aria2c -q -o file --retry-wait=0",
    "aria2c by four": "aria2c -q -x4 -s4 -k1M -o file --retry-wait=0",
}
RESUMING = {
    "curl -C -": "curl -sS -f -C - -o file",
    "wget -c": "wget -q -c -O file",
    "aria2c -c": "aria2c -q -c -o file --retry-wait=0",
}


class Case:
    """One client against one lie, with content of its own: what breaks off once is distrusted."""

    def __init__(self, kind, client, lie):
        self.id = f"{client}, {lie}"
        self.path = hashlib.sha256(f"{kind}, {self.id}".encode()).hexdigest()[:16]
        self.tell = LIES[lie]
        self.command = client

    @property
    def content(self):
        return self.path.encode() + SHARED[16:]


def cases(kind, clients, lies=tuple(LIES)):
    """The cases of one test, as pytest takes them."""
    return [Case(kind, client, lie) for client in clients for lie in lies]


LYING_FOR_GOOD = cases("good", PLAIN)
LYING_ONCE = cases("once", RETRYING)
CALLED_AGAIN = cases("again", RESUMING)
CHUNKED = cases("chunked", ["raw"], ["flips a bit at 60 %", "flips a bit in the last byte"])
HONEST = Case("chunked", "raw", "closes at 60 %")
SIZED = [*LYING_FOR_GOOD, *LYING_ONCE, *CALLED_AGAIN]
UNSIZED = [*CHUNKED, HONEST]


@pytest.fixture(scope="module")
def origin():
    """One origin for all cases; each case says how it behaves."""
    with Origin(serves(SHARED)) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(origin, tmp_path_factory):
    """One service, which has the content of each case under a path of its own."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        sized = {f"{case.path}/file": {**promise(case), "size": SIZE} for case in SIZED}
        streamer.publish("sized", origin.url, sized)
        streamer.publish("unsized", origin.url, {case.path: promise(case) for case in UNSIZED})
        yield streamer


def promise(case):
    """The case's entry without its size."""
    return {"digests": {"sha256": sha256(case.content)}, "sources": [{"url": "file"}]}


def by_id(case):
    return case.id


def lies_once(case):
    """The given lie for the first request, honesty afterwards."""
    behaviours = iter([case.tell(case.content)])
    return lambda conversation: next(behaviours, serves(case.content))(conversation)


def found(folder):
    """The content that a client left under its final name, if any."""
    file = folder / "file"
    return file.read_bytes() if file.exists() else None


def call(command, service, case, folder):
    """Run a client on the case's file; give its exit code."""
    return run(*command.split(), f"{service.url}sized/{case.path}/file", cwd=folder).returncode


@pytest.mark.parametrize("case", LYING_FOR_GOOD, ids=by_id)
def test_client_of_an_origin_that_lies_for_good_fails(case, origin, service, tmp_path):
    """No client takes what it got for the file."""
    origin.behaviour = case.tell(case.content)

    assert call(PLAIN[case.command], service, case, tmp_path) != 0


@pytest.mark.parametrize("case", LYING_ONCE, ids=by_id)
def test_client_that_retries_is_right_or_fails(case, origin, service, tmp_path):
    """A client's own retries, which meet an honest origin, never complete a wrong file."""
    origin.behaviour = lies_once(case)

    end = call(RETRYING[case.command], service, case, tmp_path)

    assert end != 0 or found(tmp_path) == case.content


@pytest.mark.parametrize("case", CALLED_AGAIN, ids=by_id)
def test_client_called_again_is_right_or_fails(case, origin, service, tmp_path):
    """A person who calls a resuming client again and again never gets a wrong file."""
    origin.behaviour = lies_once(case)

    ends = [call(RESUMING[case.command], service, case, tmp_path) for _ in range(3)]

    assert 0 not in ends or found(tmp_path) == case.content


@pytest.mark.parametrize("case", CHUNKED, ids=by_id)
def test_chunked_response_of_wrong_content_has_no_end(case, origin, service):
    """Over chunked coding the last chunk is missing and the connection is reset."""
    origin.behaviour = case.tell(case.content)

    received, was_reset = raw_exchange(
        service.port, f"GET /unsized/{case.path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    )

    assert was_reset
    assert b"Transfer-Encoding: chunked" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_chunked_response_of_right_content_is_complete(origin, service):
    """Content of unknown size passes, so the cases above fail for their lies alone."""
    origin.behaviour = serves(HONEST.content)

    status, fields, received = get(f"{service.url}unsized/{HONEST.path}")

    assert (status, fields["Transfer-Encoding"]) == (200, "chunked")
    assert received == HONEST.content


def test_unknown_size_over_http_1_0_is_refused(origin, service):
    """What HTTP/1.0 cannot cut visibly is not begun."""
    origin.behaviour = serves(HONEST.content)

    done = run("curl", "-sS", "--http1.0", "-f", f"{service.url}unsized/{HONEST.path}")

    assert done.returncode == 22
    assert b"502" in done.stderr


def test_small_artifact_with_a_wrong_byte_is_a_status(origin, service):
    """Content within `delivery.small` is verified before its head, so the client sees a 502."""
    small = SHARED[:60_000]
    service.publish("small", origin.url, {"file": small})
    origin.behaviour = serves(flipped(small, 59_999))

    status, fields, received = get(f"{service.url}small/file")

    assert status == 502
    assert "http_protocol_error" in fields["Proxy-Status"]
    assert small[:1000] not in received
