"""A service whose origin names mirrors in the very answer that comes to nothing."""

from __future__ import annotations

import contextlib
import random

import pytest
from judging import RIGHT, outcome_of
from origins import Origin, serves
from processes import Streamer
from ranged_origins import serves_ranges

CONTENT = random.Random(6249).randbytes(3_000_000)
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


def test_mirror_goes_on_with_the_answer_that_named_it(service, serving):
    """The origin dies in the middle of the first answer that it ever gave."""
    mirror = serving(serves_ranges(CONTENT))
    origin = serving(None)

    def dies(talk):
        link = f"Link: <{mirror.url}copy>; rel=duplicate"
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(CONTENT)}\r\n{link}\r\n\r\n"
        talk.send(head.encode() + CONTENT[:1_000_000])
        origin.stop()

    origin.behaviour = dies
    service.publish("dies", origin.url, {"file": CONTENT}, **ALLOWED)

    outcome = outcome_of(f"{service.url}dies/file", CONTENT)

    assert outcome == RIGHT
    assert len(mirror.conversations[0].field("Range")) == 1


def test_mirror_serves_in_place_of_the_one_that_it_was_named_beside(service, serving):
    """The origin redirects to where the file is not, and nobody has asked for it before."""
    mirror = serving(serves(CONTENT))
    lacking = serving(serves(b"", status=b"404 Not Found"))
    fields = [f"Location: {lacking.url}file", f"Link: <{mirror.url}copy>; rel=duplicate"]
    origin = serving(serves(b"", fields, b"302 Found"))
    service.publish("lacks", origin.url, {"file": CONTENT}, **ALLOWED)

    outcome = outcome_of(f"{service.url}lacks/file", CONTENT)

    assert outcome == RIGHT
