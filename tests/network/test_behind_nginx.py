"""A caching nginx in front, as operators run it: what is wrong must never be stored.

nginx asks with HTTP/1.0 by default, which has no chunked coding: only the length and a reset tell
it that a response broke off.
"""

from __future__ import annotations

import random

import pytest
from fronts import nginx
from origins import Origin, cuts, flipped, serves
from processes import Streamer, run

MIB = 1024 * 1024
CONTENT = random.Random(6).randbytes(4 * MIB)


@pytest.fixture(params=["1.0", "1.1"])
def front(request, service, tmp_path):
    """The URL of an nginx that caches what the service sends, over one version of HTTP."""
    with nginx(tmp_path, service.port, request.param) as front:
        yield front.url


@pytest.fixture
def service(tmp_path):
    """The service behind it."""
    with Streamer(tmp_path) as streamer:
        yield streamer


@pytest.fixture
def origin(service):
    """An origin, and its content published as `os/file`."""
    with Origin(serves(CONTENT)) as origin:
        service.publish("os", origin.url, {"file": CONTENT})
        yield origin


def fetch(url, folder):
    """curl's exit code, and the content it left."""
    file = folder / "fetched"
    file.unlink(missing_ok=True)
    code = run("curl", "-sS", "-f", "-o", file, url).returncode
    return code, file.read_bytes() if file.exists() else b""


def test_right_content_is_stored(front, origin, tmp_path):
    """The second client is served without the origin; so the cases below could fail."""
    first = fetch(f"{front}os/file", tmp_path)
    second = fetch(f"{front}os/file", tmp_path)

    assert first == second == (0, CONTENT)
    assert origin.requests() == 1


@pytest.mark.parametrize(
    "lie",
    [serves(flipped(CONTENT, 3 * MIB)), serves(flipped(CONTENT, 4 * MIB - 1)), cuts(CONTENT, MIB)],
    ids=["flips a bit", "flips the last byte", "closes early"],
)
def test_wrong_content_is_neither_passed_nor_stored(lie, front, origin, tmp_path):
    """The client fails, and the next one, whose origin is honest, gets the right content."""
    origin.behaviour = lie
    first, _ = fetch(f"{front}os/file", tmp_path)
    origin.behaviour = serves(CONTENT)
    second = fetch(f"{front}os/file", tmp_path)

    assert first != 0
    assert second == (0, CONTENT)
