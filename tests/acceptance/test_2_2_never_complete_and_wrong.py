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

CLIENTS = {
    "curl": ("curl", "-sS", "-o", "file"),
    "curl --http1.0": ("curl", "-sS", "--http1.0", "-o", "file"),
    "curl --retry": ("curl", "-sS", "--retry", "3", "--retry-all-errors", "--retry-delay", "0",
                     "-o", "file"),
    "wget": ("wget", "-q", "-O", "file"),
    "wget to its own name": ("wget", "-q"),
    "aria2c": ("aria2c", "-q", "-o", "file", "--retry-wait=0"),
    "aria2c -x4": ("aria2c", "-q", "-x4", "-s4", "-k1M", "-o", "file", "--retry-wait=0"),
}  # fmt: skip

RESUMING = {
    "curl -C -": ("curl", "-sS", "-C", "-", "-o", "file"),
    "wget -c": ("wget", "-q", "-c", "-O", "file"),
    "aria2c -c": ("aria2c", "-q", "-c", "-o", "file", "--retry-wait=0"),
}


@pytest.fixture(scope="module")
def origin():
    """One origin for all cases; each case says how it behaves."""
    with Origin(serves(SHARED)) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service for all cases."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer


@pytest.fixture
def content(request):
    """Content of the case's own, because what breaks off once is distrusted for a while."""
    name = request.node.nodeid.encode()
    return hashlib.sha256(name).digest() + SHARED[32:]


@pytest.fixture
def url(service, origin, content):
    """Where the case's content is published."""
    base_path = f"case/{sha256(content)[:12]}"
    service.publish(base_path, origin.url, {"file": content})
    return f"{service.url}{base_path}/file"


def lies_once(lie, right):
    """The given lie for the first request, honesty afterwards."""
    behaviours = iter([LIES[lie](right)])
    return lambda conversation: next(behaviours, serves(right))(conversation)


def found(folder):
    """The content that a client left under its final name, if any."""
    file = folder / "file"
    return file.read_bytes() if file.exists() else None


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_client_of_an_origin_that_lies_for_good_fails(client, lie, content, origin, url, tmp_path):
    """No client takes what it got for the file."""
    origin.behaviour = LIES[lie](content)

    done = run(*CLIENTS[client], url, cwd=tmp_path)

    assert done.returncode != 0


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("client", CLIENTS)
def test_client_that_retries_is_right_or_fails(client, lie, content, origin, url, tmp_path):
    """A client's own retries, which meet an honest origin, never complete a wrong file."""
    origin.behaviour = lies_once(lie, content)

    done = run(*CLIENTS[client], url, cwd=tmp_path)

    assert done.returncode != 0 or found(tmp_path) == content


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("client", RESUMING)
def test_client_called_again_is_right_or_fails(client, lie, content, origin, url, tmp_path):
    """A person who calls a resuming client again and again never gets a wrong file."""
    origin.behaviour = lies_once(lie, content)

    ends = [run(*RESUMING[client], url, cwd=tmp_path).returncode for _ in range(3)]

    assert 0 not in ends or found(tmp_path) == content


@pytest.fixture
def unsized_url(service, origin, content):
    """Where the case's content is published without its size."""
    base_path = f"unsized/{sha256(content)[:12]}"
    unsized = {"digests": {"sha256": sha256(content)}, "sources": [{"url": "file"}]}
    service.publish(base_path, origin.url, {"file": unsized})
    return f"{service.url}{base_path}/file"


@pytest.mark.parametrize("lie", ["flips a bit at 60 %", "flips a bit in the last byte"])
def test_chunked_response_of_wrong_content_has_no_end(lie, content, origin, service, unsized_url):
    """Over chunked coding the last chunk is missing and the connection is reset."""
    origin.behaviour = LIES[lie](content)
    target = unsized_url.removeprefix(service.url)

    received, was_reset = raw_exchange(
        service.port, f"GET /{target} HTTP/1.1\r\nHost: h\r\n\r\n".encode()
    )

    assert was_reset
    assert b"Transfer-Encoding: chunked" in received
    assert not received.endswith(b"0\r\n\r\n")


def test_chunked_response_of_right_content_is_complete(content, origin, unsized_url):
    """Content of unknown size passes, so the cases above fail for their lies alone."""
    origin.behaviour = serves(content)

    status, fields, received = get(unsized_url)

    assert (status, fields["Transfer-Encoding"]) == (200, "chunked")
    assert received == content


def test_unknown_size_over_http_1_0_is_refused(content, origin, unsized_url):
    """What HTTP/1.0 cannot cut visibly is not begun."""
    origin.behaviour = serves(content)

    done = run("curl", "-sS", "--http1.0", "-f", unsized_url)

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
