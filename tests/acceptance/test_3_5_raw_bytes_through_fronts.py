"""Issue 3, line 5: whatever strangers write to a front leaves its connection to us in order.

The cases are those of `raw_requests`, sent through nginx and HAProxy, whose single connection to
the service all clients share. If the front and the service disagreed about where a request ends,
the next client would be answered what somebody else had smuggled, or somebody would be answered
what the front keeps to itself.
"""

from __future__ import annotations

import re

import pytest
from fronts import haproxy, nginx
from logbook import Logbook, events, transfers
from processes import get
from raw_requests import PIPELINED, ask
from raw_service import (
    LARGE,
    LAST,
    PUBLIC,
    SECRET,
    SECRET_PATH,
    converse,
    every_case,
    raw_service,
)
from wire import read_answers


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service for all cases and fronts."""
    with raw_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module", params=["nginx", "HAProxy", "HAProxy that passes on"])
def front(request, service, tmp_path_factory):
    """A front with one connection to the service that all its clients share."""
    folder = tmp_path_factory.mktemp("front")
    fronts = {
        "nginx": lambda: nginx(folder, service.port),
        "HAProxy": lambda: haproxy(folder, service.port),
        "HAProxy that passes on": lambda: haproxy(folder, service.port, passes_malformed=True),
    }
    with fronts[request.param]() as front:
        yield front


@pytest.fixture(scope="module")
def logbook(service):
    """The log of the service, read on from test to test."""
    return Logbook(service)


@every_case
def test_request_through_a_front_spoils_nothing(case, front, logbook):
    """Nothing smuggled is answered, nothing is 500, and the next clients get what is theirs."""
    logbook.lines()

    received = converse(front.port, case.raw + LAST)
    nexts = [get(f"{front.url}public/file?{number}") for number in range(2)]
    stored = get(f"{front.url}public/file")

    logged = logbook.lines()
    statuses = {int(status) for status in re.findall(rb"^HTTP/1\.[01] (\d+)", received, re.M)}
    assert SECRET not in received
    assert [(200, PUBLIC)] * 3 == [(each[0], each[2]) for each in (*nexts, stored)]
    assert statuses & {500, 502, 503, 504} == set()
    assert [each for each in transfers(logged) if each["path"] == SECRET_PATH] == []
    assert [each for each in transfers(logged) if (each["status"] or 0) >= 500] == []
    assert events(logged) == []


def test_front_keeps_the_secret_to_itself(front, logbook):
    """Who asks for it openly is refused before us, so whatever else gets there was smuggled."""
    logbook.lines()

    status, _, _ = get(f"{front.url}secret/file")

    assert status == 403
    assert logbook.lines() == []


def test_pipeline_through_a_front_ends_at_an_abort_or_goes_on_right(front, logbook):
    """Whatever the front does about it, no answer behind the broken one is another's."""
    logbook.lines()
    pipeline = ask() + ask(line=b"GET /public/wrong HTTP/1.1") + PIPELINED + LAST

    received = converse(front.port, pipeline)
    after = get(f"{front.url}public/file?after")

    contents = [answer.content for answer in answers_of(received)]
    assert contents[0] == PUBLIC
    assert LARGE.startswith(contents[1])
    assert len(contents[1]) < len(LARGE)
    assert contents[2:] == []
    assert (after[0], after[2]) == (200, PUBLIC)
    told = [each["message"] for each in events(logbook.lines())]
    assert all("sent other content than" in each for each in told)


def test_service_is_as_it_was(service):
    """Behind all of this nothing was 500 or a defect, and it serves."""
    everything = Logbook(service, from_the_start=True).lines()

    assert [each for each in everything if "failure" in each] == []
    assert [each for each in transfers(everything) if each["status"] == 500] == []
    assert get(f"{service.url}public/file")[2] == PUBLIC


def answers_of(received):
    """All responses to GET that came, of which the last may be cut."""
    count = len(re.findall(rb"^HTTP/1\.1 \d", received, re.M))
    return read_answers(received, *["GET"] * count)
