"""Issue 5, line 2: a mirror that is slow is left in the middle, and is not asked first again.

A client or a limit of the operator's that is as slow makes nobody leave a mirror that is well.
"""

from __future__ import annotations

import json
import random
import re
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from judging import RIGHT, outcome_of
from origins import Origin
from processes import Streamer, entry
from ranged_origins import serves_ranges

KIB = 1024
LARGE = random.Random(52).randbytes(10 * KIB * KIB)
MEDIUM = random.Random(53).randbytes(350 * KIB)
SLOW = 20 * KIB
WATCHED_SECONDS = 15
"""Long enough for a slow mirror to be left."""


def dribbles(content, per_second=SLOW):
    """An origin that sends so many bytes in each second, in ten parts."""

    def behaviour(talk):
        step = per_second // 10
        talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        for start in range(0, len(content), step):
            talk.connection.sendall(content[start : start + step])
            time.sleep(0.1)
        return True

    return behaviour


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service for all of them."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        yield streamer


def publish(service, name, content, *mirrors, **config):
    """Publish `NAME/file` with these mirrors, in this order and of equal priority."""
    sources = [{"url": f"{mirror.url}{name}"} for mirror in mirrors]
    line = entry("file", content) | {"sources": sources}
    service.publish(name, mirrors[0].url, {"file": line}, **config)
    return f"{service.url}{name}/file"


def known(service, mirror):
    """What the admin endpoint tells of a mirror."""
    with urllib.request.urlopen(f"{service.admin_url}origins", timeout=10) as answer:
        found = [each for each in json.load(answer) if f"{each['origin']}/" == mirror.url]
    return found[0]


def candidates(service, path):
    """What `resolve --explain` says of each, in their order."""
    told = json.loads(service.admin("resolve", path, "--explain", "--json").stdout)
    return [each for each in told["explanation"] if each.startswith("candidate")]


def test_slow_mirror_is_left_for_a_good_one_which_is_first_from_then_on(service):
    """The client gets all of it in one response; the log and the operator's pages say who was."""
    with Origin(dribbles(LARGE)) as slow, Origin(serves_ranges(LARGE)) as good:
        url = publish(service, "left", LARGE, slow, good)

        first = outcome_of(url, LARGE)
        asked = slow.requests()
        second = outcome_of(url, LARGE)

        slow_origin, good_origin = slow.url.rstrip("/"), good.url.rstrip("/")
        (left,) = [line for line in service.log_text().splitlines() if " is left at byte" in line]
        explained = candidates(service, "left/file")
        assert [RIGHT] * 2 == [first, second]
        assert (1, 1) == (asked, slow.requests())
        assert f"importer-of-left: {slow_origin} is left at byte" in left
        assert f"where {good_origin} goes on" in left
        assert known(service, slow)["at_most_bytes_per_second"] < 2 * SLOW
        assert known(service, slow)["comes_last_for_seconds"] > 0
        assert known(service, good)["at_least_bytes_per_second"] > 10 * SLOW
        assert [True, True] == [
            f"at {origin};" in each
            for origin, each in zip((good_origin, slow_origin), explained, strict=True)
        ]
        assert "because another one was faster" in explained[1]
        rate = re.search(r"sent ([0-9.]+) KiB a second lately", explained[1])
        # It cannot be more than the mirror sends; on a busy machine it is less.
        assert 0 < float(rate[1]) <= 1.1 * SLOW / KIB


def test_client_that_reads_slowly_stays_with_its_mirror(service):
    """What it does not take is not what the mirror does not send."""
    with Origin(serves_ranges(LARGE)) as first, Origin(serves_ranges(LARGE)) as second:
        url = publish(service, "read-slowly", LARGE, first, second)
        deadline = time.monotonic() + WATCHED_SECONDS

        with urllib.request.urlopen(url, timeout=30) as answer:
            while time.monotonic() < deadline:
                answer.read(SLOW // 10)
                time.sleep(0.1)

        assert (1, 0) == (first.requests(), second.requests())


def test_limit_of_the_operator_makes_nobody_leave_a_mirror(service):
    """Two clients that share 40 KiB in each second have 20 each, and both get their content."""
    with Origin(serves_ranges(MEDIUM)) as first, Origin(serves_ranges(MEDIUM)) as second:
        url = publish(service, "limited", MEDIUM, first, second, bandwidth_limit="40KiB")

        with ThreadPoolExecutor(2) as pool:
            outcomes = list(pool.map(lambda _: outcome_of(url, MEDIUM), range(2)))

        assert [RIGHT] * 2 == outcomes
        assert (2, 0) == (first.requests(), second.requests())
