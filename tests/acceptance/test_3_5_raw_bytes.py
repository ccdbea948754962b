"""Issue 3, line 5: whatever strangers write to the service itself is boring.

Every case of `raw_requests` has exactly the answers and the lines of the log that the table says,
and so a request for `/secret/file` that hides in some of them is never answered. What fronts make
of the same bytes is in the file beside this one.
"""

from __future__ import annotations

import socket

import pytest
from logbook import Logbook, events, transfers
from processes import get
from raw_requests import DOOR, PATH, PIPELINED, SMUGGLED, ask
from raw_service import (
    LARGE,
    LAST,
    LAST_PATH,
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
    """One service for all cases."""
    with raw_service(tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def logbook(service):
    """The log of the service, read on from test to test."""
    return Logbook(service)


# -- one request, and what hides in it ------------------------------------------------------------


@every_case
def test_request_is_answered_as_the_table_says(case, service, logbook):
    """Straight to the service: those answers, those lines of the log, and no other."""
    logbook.lines()
    expected, methods = [*case.answers], [*case.methods]
    if case.goes_on:
        expected, methods = [*expected, (200, LAST_PATH)], [*methods, "GET"]

    received = converse(service.port, case.raw + LAST)
    statuses = [answer.status for answer in read_answers(received, *methods)]

    logged = logbook.lines_up_to(len(expected))
    assert [status for status, _ in expected] == statuses
    assert expected == [(each["status"], each["path"]) for each in transfers(logged)]
    assert events(logged) == []
    assert SECRET not in received


def test_smuggled_request_would_be_seen(service, logbook):
    """What the cases hide is there to be found, so they could fail."""
    logbook.lines()

    received = converse(service.port, SMUGGLED + LAST)

    found, last = read_answers(received, "GET", "GET")
    logged = logbook.lines_up_to(2)
    assert (found.content, last.content) == (SECRET, PUBLIC)
    assert [each["path"] for each in transfers(logged)] == [SECRET_PATH, LAST_PATH]


# -- clients that leave half of it ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "paths"),
    [
        pytest.param(b"", [], id="nothing"),
        pytest.param(b"GET /secret/file HT", [], id="half a request line"),
        pytest.param(b"GET /secret/file HTTP/1.1\r\nHost: h\r\n", [], id="half a head"),
        pytest.param(ask(), [PATH], id="a request"),
        pytest.param(ask() + PIPELINED[:-2], [PATH], id="a request and half a head"),
        pytest.param(ask(line=b"GET /public/large HTTP/1.1"), ["/public/large"], id="a large one"),
    ],
)
@pytest.mark.parametrize("ending", ["half-close", "close", "reset"])
def test_client_that_leaves_is_forgotten(sent, paths, ending, service, logbook):
    """RFC 9112 9.5: a request that came whole has one line, any other none, and nothing stays."""
    logbook.lines()
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as client:
        client.sendall(sent)
        leave(client, ending)

    still_connected = service.wait_for_metric("pulp_streamer_connections", 0)
    running = service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0)

    logged = logbook.lines_up_to(len(paths))
    assert (still_connected, running) == (0, 0)
    assert paths == [each["path"] for each in transfers(logged)]
    assert {each["verdict"] for each in transfers(logged)} <= {"complete", "client_gone"}
    assert events(logged) == []


# -- pipelines ------------------------------------------------------------------------------------


def test_pipeline_with_an_abort_ends_there(service, logbook):
    """RFC 9112 9.3.2: behind content that turns out wrong nothing more is served."""
    logbook.lines()
    pipeline = ask() + ask(line=b"GET /public/wrong HTTP/1.1") + PIPELINED + LAST

    received = converse(service.port, pipeline)

    first, second = read_answers(received, "GET", "GET")
    logged = logbook.lines_up_to(2)
    assert (first.status, first.content, first.is_complete) == (200, PUBLIC, True)
    assert (second.status, second.is_complete) == (200, False)
    assert LARGE.startswith(second.content)
    assert [each["verdict"] for each in transfers(logged)] == ["complete", "aborted"]
    assert all("sent other content than" in each["message"] for each in events(logged))


def test_pipeline_with_small_wrong_content_goes_on(service, logbook):
    """What is verified whole before its head is a whole 502, behind which the rest is in order."""
    logbook.lines()
    pipeline = ask(line=b"GET /public/wrong-and-small HTTP/1.1") + PIPELINED + LAST

    received = converse(service.port, pipeline)

    answers = read_answers(received, "GET", "GET", "GET")
    logged = logbook.lines_up_to(3)
    assert [answer.status for answer in answers] == [502, 200, 200]
    assert [answer.content for answer in answers[1:]] == [PUBLIC, PUBLIC]
    assert [each["verdict"] for each in transfers(logged)] == ["error", "complete", "complete"]


@pytest.mark.parametrize(
    ("malformed", "status"),
    [
        pytest.param(b"GET /public/file HTTP/1.1\r\n\r\n", 400, id="RFC 9112 3.2: no Host"),
        pytest.param(b"\0\xff\r\n\r\n", 400, id="RFC 9112 3: no request line"),
        pytest.param(b"X" * 40_000, 414, id="RFC 9110 15.5.15: endless"),
        pytest.param(ask(b"Content-Length: 40", content=SMUGGLED), 413, id="RFC 9110 9.3.1"),
    ],
)
@pytest.mark.parametrize("comes_at_once", [True, False], ids=["at once", "while it runs"])
def test_malformed_request_behind_a_download_waits_for_it(
    malformed, status, comes_at_once, service, logbook
):
    """RFC 9112 9.3.2: the download is whole and right, and the refusal stands behind it."""
    logbook.lines()
    request = ask(line=b"GET /public/large HTTP/1.1")
    parts = [request + malformed] if comes_at_once else [request, malformed]

    received = converse(service.port, *parts)

    download, refusal = read_answers(received, "GET", "GET")
    logged = logbook.lines_up_to(2)
    assert (download.status, download.content) == (200, LARGE)
    assert (refusal.status, refusal.content) == (status, b"")
    # The refusal is decided within the end of the download, and so is written first.
    assert {(each["status"], each["path"]) for each in transfers(logged)} == {
        (200, "/public/large"),
        (status, DOOR),
    }
    assert len(transfers(logged)) == 2
    assert events(logged) == []


def test_long_pipeline_is_answered_in_order(service, logbook):
    """RFC 9112 9.3.2: hundreds of requests in one write, each with the answer that is its own."""
    logbook.lines()
    missing = ask(line=b"GET /public/missing HTTP/1.1")
    head = ask(line=b"HEAD /public/large HTTP/1.1")

    received = converse(service.port, (ask() + missing + head) * 100 + LAST)

    answers = read_answers(received, *(["GET", "GET", "HEAD"] * 100), "GET")
    assert [answer.status for answer in answers] == [200, 404, 200] * 100 + [200]
    assert {answer.content for answer in answers[:-1:3]} == {PUBLIC}
    assert len(transfers(logbook.lines_up_to(301))) == 301


# -- the whole run --------------------------------------------------------------------------------


def test_service_is_as_it_was(service):
    """Behind all of this: nobody is connected, nothing was 500 or a defect, and it serves."""
    everything = Logbook(service, from_the_start=True).lines()

    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    assert [each for each in everything if "failure" in each] == []
    assert [each for each in transfers(everything) if each["status"] == 500] == []
    assert get(f"{service.url}public/file")[2] == PUBLIC


# -- raw clients ----------------------------------------------------------------------------------


def leave(client, ending):
    """End a connection in one of the ways in which clients do."""
    if ending == "half-close":
        client.shutdown(socket.SHUT_WR)
        while client.recv(65536):
            pass
    elif ending == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
