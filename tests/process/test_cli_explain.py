"""`resolve --explain`: whom the plan would ask, and what the service remembers of them."""

from __future__ import annotations

import hashlib
import http.server
import json
import socket
import threading
from dataclasses import asdict

import pytest
from commands import command_in

from streamer.health import OriginReport

UNKNOWN = "so the origins' health is not known"


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """Run the command on a catalog with an entry of two importers of one priority."""
    run = command_in(tmp_path_factory.mktemp("explained"))
    for name in ("a", "b"):
        url = f"https://{name}.example/files/"
        assert 0 == run("importer", "create", name, "--type", "http", "--url", url).code
    sources = [{"url": "f", "importer": "a"}, {"url": "https://b.example/f", "importer": "b"}]
    digests = {"sha256": hashlib.sha256(b"x").hexdigest()}
    line = json.dumps({"path": "f", "digests": digests, "size": 1, "sources": sources}).encode()
    assert 0 == run("publish", "d", "--importer", "a", "--entries", "-", text=line).code
    return run


def report(importer_id, origin, **changes):
    values = {
        "importer_id": importer_id,
        "revision": 1,
        "origin": origin,
        "state": "closed",
        "failures": 0,
        "asked_again_in_seconds": 0.0,
        "last_error": None,
        "changed_seconds_ago": None,
        "quarantined": 0,
    }
    return asdict(OriginReport(**values | changes))


class Admin(http.server.BaseHTTPRequestHandler):
    """Answers `/origins` with what the server was given."""

    def do_GET(self):
        self.send_response(200 if self.path == "/origins" else 404)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def explain(command):
    """Explain a path while the admin endpoint answers with `reports`, or other content."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def run(reports=(), content=None, path="d/f"):
        server.content = json.dumps(list(reports)).encode() if content is None else content
        listen = f"tcp:{server.server_port}:interface=127.0.0.1"
        return explained(command, listen, path)

    yield run
    server.shutdown()
    thread.join()
    server.server_close()


def explained(command, listen, path="d/f"):
    done = command("resolve", path, "--explain", "--json", PULP_STREAMER__ADMIN__LISTEN=listen)
    assert (0, "") == (done.code, done.err)
    return done.document["explanation"]


def candidates(reasons):
    return [reason for reason in reasons if reason.startswith("candidate")]


def test_candidates_are_shown_in_the_order_of_the_entry_where_all_are_well(explain):
    """And it is said that nothing is known against them."""
    expected = [
        f"candidate {number}: {name}, an importer of type http; no failure of it is remembered"
        for number, name in ((1, "a"), (2, "b"))
    ]

    assert expected == candidates(explain())


def test_origin_that_failed_is_shown_behind_its_equal_and_with_its_state(explain):
    """As the plan would ask them."""
    ailing = report(
        1,
        "https://a.example:443",
        state="open",
        failures=6,
        last_error="OriginTimedOut",
        asked_again_in_seconds=4.25,
        quarantined=2,
    )

    first, second = candidates(explain([ailing]))

    assert first.startswith("candidate 1: b,")
    assert second == (
        "candidate 2: a, an importer of type http; https://a.example:443 failed 6 times in a row, "
        "the last time with OriginTimedOut, is left alone for 4.2 s, "
        "sent wrong content for 2 of its artifacts lately"
    )


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(report(9, "https://a.example:443", failures=1), id="importer"),
        pytest.param(report(1, "https://a.example:443", failures=1, revision=9), id="revision"),
        pytest.param(report(1, "https://c.example:443", failures=1), id="origin"),
        pytest.param(report(1, "http://a.example:80", failures=1), id="scheme"),
    ],
)
def test_report_on_another_origin_is_not_shown(explain, other):
    """What is known is known of one revision of one importer, and one origin of it."""
    assert all("no failure of it is remembered" in each for each in candidates(explain([other])))


@pytest.mark.parametrize(
    "content",
    [b"<html>", b"7", b"[7]", b'[{"origin": "o"}]', b"\xff"],
    ids=["markup", "number", "numbers", "other-keys", "not-utf8"],
)
def test_answer_of_something_else_is_no_answer(explain, content):
    """Another service may listen there."""
    reasons = explain(content=content)

    assert 1 == sum(UNKNOWN in each for each in reasons)
    assert 2 == len(candidates(reasons))


def test_service_that_does_not_run_is_said_in_one_line(command):
    """The candidates are shown by what the catalog knows."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        reasons = explained(command, f"tcp:{port}:interface=127.0.0.1")

    assert (f"the service does not answer at http://127.0.0.1:{port}/origins, {UNKNOWN}") in reasons
    assert [
        "candidate 1: a, an importer of type http",
        "candidate 2: b, an importer of type http",
    ] == candidates(reasons)


def test_endpoint_that_is_no_tcp_is_said_in_one_line(command):
    """Nothing is guessed."""
    reasons = explained(command, "unix:/run/absent.sock")

    assert f"the admin endpoint is not a tcp: endpoint, {UNKNOWN}" in reasons


def test_pass_through_distribution_is_explained_without_asking_anybody(command):
    """The catalog knows nothing of what lies below it."""
    assert 0 == command("distribution", "pass-through", "p", "--importer", "b").code

    reasons = explained(command, "tcp:1", path="p/any/file")

    assert "the origin of importer b alone knows" in "; ".join(reasons)
    assert "the origin does not see the query of a request" in reasons
