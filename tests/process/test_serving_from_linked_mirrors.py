"""A service whose origin names mirrors in Link fields, and what clients get when that is gone."""

from __future__ import annotations

import contextlib
import json
import random

import pytest
from judging import RIGHT, outcome_of
from origins import Origin, flipped, serves
from processes import Streamer, get, sha256
from ranged_origins import serves_ranges

CONTENT = random.Random(6249).randbytes(3_000_000)
SERVED = (200, sha256(CONTENT))
ALLOWED = {"allow_linked_mirrors": "true", "allow_private_redirects": "true"}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with Streamer(tmp_path_factory.mktemp("service"), delivery__first_byte="8s") as streamer:
        yield streamer


@pytest.fixture
def serving():
    """Start origins that are stopped in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda behaviour: stack.enter_context(Origin(behaviour))


def links(*mirrors):
    """Fields that name a file at each of them, the first one as the best."""
    return [
        f"Link: <{mirror.url}copy>; rel=duplicate; pri={number}"
        for number, mirror in enumerate(mirrors, 1)
    ]


def fetched(url):
    status, _, content = get(url)
    return status, sha256(content)


def last_transfer(service, path):
    return [each for each in service.transfers() if each["path"] == path][-1]


def quarantined(service):
    """The URLs of those that are a last resort for something."""
    known = json.loads(get(f"{service.admin_url}origins")[2])
    return {f"{each['origin']}/" for each in known if each["quarantined"]}


@pytest.mark.parametrize("way", ["beside-the-content", "beside-a-redirect"])
def test_mirror_serves_what_its_origin_cannot_serve_any_more(way, service, serving):
    """The first client gets the file from the origin, or where that leads, the next from it."""
    mirror = serving(serves_ranges(CONTENT))
    target = serving(serves(CONTENT))
    redirect = serves(b"", [f"Location: {target.url}file", *links(mirror)], b"302 Found")
    origin = serving(serves(CONTENT, links(mirror)) if way == "beside-the-content" else redirect)
    service.publish(way, origin.url, {"file": CONTENT}, **ALLOWED)
    url = f"{service.url}{way}/file"

    first = fetched(url)
    asked = mirror.requests()
    origin.stop()
    target.stop()
    second = fetched(url)
    status, _, part = get(url, Range="bytes=1000-1999")

    assert (first, asked, second) == (SERVED, 0, SERVED)
    assert (status, part) == (206, CONTENT[1000:2000])
    assert mirror.requests() >= 2
    assert last_transfer(service, f"/{way}/file")["source"] == "origin"


def test_mirror_that_lies_is_set_aside_alone(service, serving):
    """It is asked once, and its client sees nothing: the pieces were learned from the origin."""
    liar = serving(serves(flipped(CONTENT, 10)))
    mirror = serving(serves(CONTENT))
    origin = serving(serves(CONTENT, links(liar, mirror)))
    service.publish("lies", origin.url, {"file": CONTENT}, **ALLOWED)
    url = f"{service.url}lies/file"

    first = fetched(url)
    origin.stop()
    outcomes = [outcome_of(url, CONTENT) for _ in range(4)]

    assert first == SERVED
    assert outcomes == [RIGHT] * 4
    assert liar.requests() == 1
    assert quarantined(service) == {liar.url}


def test_mirror_is_not_asked_where_that_is_not_allowed(service, serving):
    """By default what an origin links to is nothing to us."""
    mirror = serving(serves(CONTENT))
    origin = serving(serves(CONTENT, links(mirror)))
    service.publish("not-allowed", origin.url, {"file": CONTENT}, allow_private_redirects="true")
    url = f"{service.url}not-allowed/file"

    first = fetched(url)
    origin.stop()
    status, _, _ = get(url)

    assert first == SERVED
    assert status == 502
    assert mirror.requests() == 0


def test_mirror_inside_the_network_is_not_asked_where_that_is_not_allowed(service, serving):
    """An origin cannot make the service look around where it runs."""
    mirror = serving(serves(CONTENT))
    origin = serving(serves(CONTENT, links(mirror)))
    service.publish("inside", origin.url, {"file": CONTENT}, allow_linked_mirrors="true")
    url = f"{service.url}inside/file"

    first = fetched(url)
    origin.stop()
    status, _, _ = get(url)

    assert first == SERVED
    assert status == 502
    assert mirror.open_connections == mirror.requests() == 0


def test_no_failure_was_a_traceback(service):
    """What origins did was expected, all of it."""
    assert service.tracebacks() == []
