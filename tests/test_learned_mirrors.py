"""What is kept of the mirrors that an origin names: which of them, how many, and for how long."""

from __future__ import annotations

import pytest
from mirror_samples import MIRRORBITS_FIELDS, MIRRORBRAIN_FIELDS
from twisted.internet.task import Clock

from streamer.downloaders.learned import (
    ENTRY_BYTES,
    LIFETIME_SECONDS,
    MAX_BYTES,
    MAX_MIRRORS,
    LearnedMirrors,
)
from streamer.model import OriginResponse

URL = "http://origin.example/pub/f"
A, B = "http://a.example/f", "http://b.example/f"


class Memory(LearnedMirrors):
    """One with a clock, told of links as they stand in a field."""

    def __init__(self):
        self.clock = Clock()
        super().__init__(self.clock.seconds)

    def hear_links(self, *targets, url=URL, status=200):
        links = tuple(("Link", f"<{target}>; rel=duplicate") for target in targets)
        self.hear(url, OriginResponse(None, links, status=status))


@pytest.fixture
def memory():
    return Memory()


def test_source_of_which_nothing_was_heard_has_no_mirrors(memory):
    """Nothing is guessed from what its neighbours have."""
    memory.hear_links(A, url=f"{URL}/other")

    assert memory.of(URL) == ()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param(
            MIRRORBITS_FIELDS,
            ("http://two.example/pub/a.iso", "http://three.example/a.iso"),
            id="mirrorbits",
        ),
        pytest.param(MIRRORBRAIN_FIELDS, ("http://one.example/a.iso",), id="mirrorbrain"),
        pytest.param(
            (("Link", f"<{A}>; rel=duplicate; pri=2, <{B}>; rel=duplicate; pri=1"),),
            (B, A),
            id="rfc6249-3.1-priority",
        ),
        pytest.param((("Link", f"<{A}>; rel=describedby"),), (), id="another-relation"),
        pytest.param((("Content-Location", A),), (), id="another-field"),
    ],
)
def test_mirrors_are_kept_by_priority(memory, fields, expected):
    """Those that are asked over HTTP: a field may name others beside them."""
    memory.hear(URL, OriginResponse(None, fields, status=302))

    assert memory.of(URL) == expected


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("/elsewhere/f", id="relative"),
        pytest.param("//a.example/f", id="relative-to-the-scheme"),
        pytest.param("http://me:pw@a.example/f", id="credentials"),
        pytest.param("http://me@a.example/f", id="user"),
        pytest.param("ftp://a.example/f", id="ftp"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("javascript:alert(1)", id="no-place"),
        pytest.param("http://a.example:0/f", id="port-0"),
        pytest.param("http://a.example/f g", id="space"),
        pytest.param("http://[::1/f", id="bracket-left-open"),
        pytest.param(f"http://a.example/{'f' * 3000}", id="too-long"),
        pytest.param("http://origin.example/copy", id="the-same-origin"),
        pytest.param("HTTP://origin.example:80/copy", id="the-same-origin-in-other-words"),
    ],
)
def test_link_that_names_no_other_place_is_left_out(memory, target):
    """The ones beside it count."""
    memory.hear_links(target, A)

    assert memory.of(URL) == (A,)


def test_mirror_without_tls_is_none_of_a_source_with_it(memory):
    """As a redirect from https to http is not followed; the other way is."""
    memory.hear_links(A, "https://b.example/f", url="https://origin.example/f")
    memory.hear_links("https://b.example/f")

    assert memory.of("https://origin.example/f") == ("https://b.example/f",)
    assert memory.of(URL) == ("https://b.example/f",)


def test_second_place_at_one_mirror_is_left_out(memory):
    """Health is kept by origin: what one of them lacks, the other would be taken to lack."""
    memory.hear_links(A, "http://a.example:80/other/f", B)

    assert memory.of(URL) == (A, B)


@pytest.mark.parametrize("status", [200, 206, 301, 302, 303, 307, 308])
def test_answer_about_what_was_asked_for_is_heard(memory, status):
    """The content, a part of it, and where it is."""
    memory.hear_links(A, status=status)

    assert memory.of(URL) == (A,)


@pytest.mark.parametrize("status", [203, 300, 304, 401, 403, 404, 416, 429, 500, 503])
def test_answer_about_something_else_is_not_heard(memory, status):
    """RFC 8288 3.2: the links of an error page are the page's."""
    memory.hear_links(A, status=status)

    assert memory.of(URL) == ()


def test_last_answer_that_names_mirrors_counts(memory):
    """One without them, as of a server that is set up otherwise than its neighbour, takes none."""
    memory.hear_links(A)
    memory.hear_links(B)
    memory.hear_links()

    assert memory.of(URL) == (B,)


def test_mirrors_are_forgotten_in_time(memory):
    """Each answer that names them begins the time anew."""
    memory.hear_links(A)
    memory.clock.advance(LIFETIME_SECONDS - 1)
    memory.hear_links(A)
    memory.clock.advance(LIFETIME_SECONDS - 1)
    late = memory.of(URL)
    memory.clock.advance(1)

    assert late == (A,)
    assert memory.of(URL) == ()


def test_thousands_of_links_are_bounded(memory):
    """The first ones are kept, where none is said to be better."""
    targets = [f"http://m{number}.example/f" for number in range(5000)]

    memory.hear_links(*targets)

    assert memory.of(URL) == tuple(targets[:MAX_MIRRORS])


def test_thousands_of_sources_are_bounded(memory):
    """The last ones are kept."""
    most = MAX_BYTES // ENTRY_BYTES
    urls = [f"{URL}{number}" for number in range(most + 100)]

    for url in urls:
        memory.hear_links(A, url=url)

    kept = [url for url in urls if memory.of(url)]
    assert 0 < len(kept) < most
    assert kept == urls[-len(kept) :]


def test_long_urls_leave_room_for_fewer_sources(memory):
    """It is bytes that are bounded, as an origin chooses how long its links are."""
    links = [f"http://m{number}.example/{'f' * 2000}" for number in range(MAX_MIRRORS)]
    urls = [f"{URL}{number}" for number in range(1000)]

    for url in urls:
        memory.hear_links(*links, url=url)

    assert sum(bool(memory.of(url)) for url in urls) <= MAX_BYTES // (MAX_MIRRORS * 2000)
