"""`resolve --explain` beside a service that runs: it says what the next client would meet."""

from __future__ import annotations

import json
import urllib.request

import pytest
from origins import Origin, flipped, never_answers, says, serves
from processes import Streamer, entry, free_port, get

CONTENT = b"what several origins have, some of them wrongly\n" * 10
LACKS = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
SECRET = "hush"


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    """What is explained before and after a client has met four origins, and the admin's pages.

    The first is away, the second lacks the content, the third lies, the fourth has it.
    """
    with (
        Origin(says(LACKS)) as lacking,
        Origin(serves(flipped(CONTENT, 3))) as lying,
        Origin(serves(CONTENT)) as good,
        Streamer(tmp_path_factory.mktemp("explaining")) as streamer,
    ):
        away = f"http://127.0.0.1:{free_port()}/"
        urls = [away, lacking.url, lying.url, good.url]
        sources = [
            {"url": f"{url}f?key={SECRET}", "priority": number} for number, url in enumerate(urls)
        ]
        line = {**entry("f", CONTENT), "sources": sources}
        streamer.publish("d", away, {"f": line}, importer="four")
        before = explanation(streamer)
        assert CONTENT == get(f"{streamer.url}d/f")[2]
        after = explanation(streamer)
        pages = [page(streamer, name) for name in ("", "origins", "candidates?path=d/f", "metrics")]
        yield [url.rstrip("/") for url in urls], before, after, pages


def explanation(streamer):
    done = streamer.admin("resolve", "d/f", "--explain", "--json")
    return json.loads(done.stdout)["explanation"]


def page(streamer, name):
    with urllib.request.urlopen(f"{streamer.admin_url}{name}", timeout=10) as answer:
        return answer.read().decode()


def candidates(reasons):
    return [reason for reason in reasons if reason.startswith("candidate")]


def test_candidates_of_a_service_that_has_asked_nobody_are_all_well(explained):
    """By priority, each with its origin."""
    urls, before, _, _ = explained

    assert candidates(before) == [
        f"candidate {number}: four at {url}; no failure is remembered"
        for number, url in enumerate(urls, start=1)
    ]


def test_candidates_are_explained_as_the_next_client_would_meet_them(explained):
    """Who lied is the last; who lacks it is not asked; who is away failed once."""
    (away, lacking, lying, good), _, after, _ = explained

    assert candidates(after) == [
        f"candidate 1: four at {away}; failed once, the last time with OriginUnreachable",
        f"candidate 2: four at {lacking}; "
        "is not asked for this now because it said a moment ago that it lacks it",
        f"candidate 3: four at {good}; no failure is remembered",
        f"candidate 4: four at {lying}; is asked last because it sent other content than this, "
        "sent wrong content for 1 of its artifacts lately",
    ]


def test_what_is_remembered_is_counted_by_kind(explained):
    """On the metrics."""
    metrics = explained[3][3]

    for kind, count in (("breakers", 1), ("rests", 0), ("quarantined", 1), ("missing", 1)):
        assert f'pulp_streamer_origin_memories{{kind="{kind}"}} {count}.0' in metrics


def test_no_page_and_no_explanation_holds_the_query_of_a_url(explained):
    """It is where signed URLs keep their secret."""
    _, before, after, pages = explained

    assert all(SECRET not in text for text in [*before, *after, *pages])


def test_list_that_nobody_sends_is_what_is_wrong(tmp_path):
    """The service is asked for as long as it waits for the list itself."""
    with Origin(never_answers) as lists, Streamer(tmp_path) as streamer:
        streamer.admin(
            "importer", "create", "listed", "--type", "mirrors", "--url", f"{lists.url}list"
        )
        line = {**entry("f", CONTENT), "sources": [{"url": "f"}]}
        streamer.publish("d", lists.url, {"f": line}, importer="listed")
        reasons = explanation(streamer)

    assert candidates(reasons) == [
        "candidate 1: listed, which is not asked: the origin did not answer in time"
    ]
