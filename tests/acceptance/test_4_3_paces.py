"""Issue 4, "HTTP(S) in full": an importer keeps to its limits of requests and bytes in a second.

The origin is an nginx with a limit of its own, which says 429 to whoever asks for more: it is the
judge, and an importer without a limit shows that it judges. No test here measures time.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from faulty_origins import KIB
from judging import RIGHT, outcome_of
from nginx_origins import NginxFiles
from processes import Streamer, entry, get

FILES = {f"file-{number}": b"%d" % number * 100 for number in range(80)}
LARGE = random.Random(46).randbytes(2 * 1024 * KIB)

TAKES = (30, 40)
RATE = 20
"""Below what nginx takes, so that requests may bunch together on their way."""


@pytest.fixture
def nginx(tmp_path):
    """An origin that takes so many requests, and no more."""
    folder = tmp_path / "nginx"
    folder.mkdir()
    with NginxFiles(folder, {**FILES, "large": LARGE}, takes=TAKES) as origin:
        yield origin


@pytest.fixture
def service(tmp_path):
    """One service, with time enough for who waits its turn."""
    with Streamer(tmp_path, delivery__first_byte="60s") as streamer:
        yield streamer


def fetch_all(service, nginx, **config):
    """Ask for all files at once; what clients get, and what nginx answers."""
    entries = {path: entry(path, content) for path, content in FILES.items()}
    service.publish("many", nginx.repository_url, entries, **config)
    with ThreadPoolExecutor(len(FILES)) as pool:
        answers = list(pool.map(get, [f"{service.url}many/{path}" for path in FILES]))
    contents = [content for status, _, content in answers if status == 200]
    return contents, {each.status for each in nginx.asked()}


def test_requests_keep_to_the_rate_of_the_importer(service, nginx):
    """nginx refuses none of them, and every client is served."""
    contents, statuses = fetch_all(service, nginx, rate_limit=RATE, download_concurrency=50)

    assert contents == list(FILES.values())
    assert statuses == {"200"}


def test_requests_without_a_rate_are_more_than_the_origin_takes(service, nginx):
    """Else the test above would say nothing."""
    _, statuses = fetch_all(service, nginx, download_concurrency=50)

    assert "429" in statuses


def test_bytes_keep_to_the_rate_of_the_importer(service, nginx):
    """Who began later without a limit is through first, and both get what is right."""
    entries = {"large": entry("large", LARGE)}
    service.publish("slow", nginx.repository_url, entries, bandwidth_limit="1MiB")
    service.publish("quick", nginx.repository_url, entries)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(outcome_of, f"{service.url}slow/large", LARGE)
        service.wait_for_metric("pulp_streamer_exchanges_in_flight", 1)
        quick = outcome_of(f"{service.url}quick/large", LARGE)
        is_slow_through = slow.done()

    assert quick == slow.result() == RIGHT
    assert not is_slow_through
