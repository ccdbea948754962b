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
from streamer.learned import PieceStore
from streamer.outlook import CandidateReport
from streamer.pieces.learning import Learner

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


def candidate(importer, health=None, **changes):
    if health is not None:
        values = {
            "importer": "a",
            "importer_id": 1,
            "revision": 1,
            "origin": "https://a.example:443",
            "state": "closed",
            "failures": 0,
            "asked_again_in_seconds": 0.0,
            "last_error": None,
            "changed_seconds_ago": None,
            "quarantined": 0,
        }
        health = OriginReport(**values | health)
    return asdict(CandidateReport(importer, health=health, **changes))


class Admin(http.server.BaseHTTPRequestHandler):
    """Answers for one path with what the server was given."""

    def do_GET(self):
        self.send_response(200 if self.path == "/candidates?path=d%2Ff" else 404)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def explain(command):
    """Explain a path while the admin endpoint answers with candidates, or other content."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Admin)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()

    def run(*reports, content=None, path="d/f"):
        server.content = json.dumps(reports).encode() if content is None else content
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


def test_candidates_are_shown_in_the_order_that_the_service_tells(explain):
    """It knows whom it would ask; an origin is named, and no URL."""
    reasons = explain(candidate("b", origin="http://b:80"), candidate("a", origin="http://a:80"))

    assert candidates(reasons) == [
        "candidate 1: b at http://b:80; no failure is remembered",
        "candidate 2: a at http://a:80; no failure is remembered",
    ]


@pytest.mark.parametrize(
    ("health", "changes", "expected"),
    [
        pytest.param(
            {"failures": 1, "last_error": "OriginTimedOut"},
            {},
            "failed once, the last time with OriginTimedOut",
            id="failed",
        ),
        pytest.param(
            {
                "state": "open",
                "failures": 6,
                "last_error": "OriginFailing",
                "asked_again_in_seconds": 4.25,
            },
            {},
            "failed 6 times in a row, the last time with OriginFailing, is left alone for 4.2 s",
            id="open",
        ),
        pytest.param(
            {"state": "half_open", "asked_again_in_seconds": 1.0},
            {},
            "one request finds out now whether it is well",
            id="half-open",
        ),
        pytest.param(
            {"asked_again_in_seconds": 30.0}, {}, "is left alone for 30.0 s", id="resting"
        ),
        pytest.param(
            {"comes_last_for_seconds": 42.4},
            {},
            "comes last for 42 s because another one was faster",
            id="lags",
        ),
        pytest.param(
            {"at_least_bytes_per_second": 20480, "at_most_bytes_per_second": 21000},
            {},
            "no failure is remembered, sent 20.0 KiB a second lately",
            id="rate",
        ),
        pytest.param(
            {"at_least_bytes_per_second": 20480, "at_most_bytes_per_second": 99_000_000},
            {},
            "no failure is remembered, sent at least 20.0 KiB a second lately",
            id="rate-of-slow-clients",
        ),
        pytest.param(
            {"quarantined": 2},
            {"sent_other_content": True},
            "is asked last because it sent other content than this, "
            "sent wrong content for 2 of its artifacts lately",
            id="quarantined",
        ),
        pytest.param(
            None,
            {"lacks_it": True},
            "is not asked for this now because it said a moment ago that it lacks it",
            id="missing",
        ),
    ],
)
def test_candidate_is_shown_with_what_speaks_against_it(explain, health, changes, expected):
    """All that decides whether and when it is asked."""
    (shown,) = candidates(explain(candidate("a", health, origin="http://a:80", **changes)))

    assert f"candidate 1: a at http://a:80; {expected}" == shown


def test_importer_that_cannot_be_used_is_shown_with_the_reason(explain):
    """The service knows, which has the operator's key."""
    (shown,) = candidates(explain(candidate("a", problem="its type is missing")))

    assert shown == "candidate 1: a, which is not asked: its type is missing"


def test_service_of_another_catalog_is_said_in_one_line(explain, command):
    """It does not know the path."""
    sources = {"sources": [{"url": "g"}], "digests": {"sha256": hashlib.sha256(b"").hexdigest()}}
    line = json.dumps({"path": "g", "size": 0, **sources})
    assert (
        0 == command("publish", "e", "--importer", "a", "--entries", "-", text=line.encode()).code
    )

    reasons = explain(path="e/g")

    assert 1 == sum(f"answers 404 for this path, {UNKNOWN}" in each for each in reasons)
    assert ["candidate 1: a, an importer of type http"] == candidates(reasons)


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

    assert (
        f"the service does not answer at http://127.0.0.1:{port}/candidates, {UNKNOWN}"
    ) in reasons
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


# -- what is known of its pieces -------------------------------------------------------------------

LARGE = b"large" * 40_000
IS_LARGE = {"size": len(LARGE), "digests": {"sha256": hashlib.sha256(LARGE).hexdigest()}}


@pytest.fixture
def pieces(tmp_path):
    """What is said of the pieces of an entry, whose artifact is large unless stated otherwise."""
    command = command_in(tmp_path)
    options = ("--url", "https://o.example/", "--set", "allow_weak_digests=true")
    assert 0 == command("importer", "create", "o", "--type", "http", *options).code

    def run(*, settings=None, **changes):
        line = json.dumps({"path": "f", "sources": [{"url": "f"}]} | IS_LARGE | changes).encode()
        assert 0 == command("publish", "d", "--importer", "o", "--entries", "-", text=line).code
        settings = {"PULP_STREAMER__ADMIN__LISTEN": "unix:/run/absent.sock"} | (settings or {})
        done = command("resolve", "d/f", "--explain", "--json", **settings)
        assert (0, "") == (done.code, done.err)
        # The lines between those that are there of every artifact.
        start, end = (
            next(
                place for place, reason in enumerate(done.document["explanation"]) if word in reason
            )
            for word in ("it is cached as", "the admin endpoint")
        )
        return done.document["explanation"][start + 1 : end]

    return run


def test_known_pieces_are_explained_with_their_number(pieces, tmp_path):
    """The last one is shorter."""
    store = PieceStore(f"sqlite:///{tmp_path}/catalog.db.pieces", 1024**2)
    learner = Learner()
    learner.update(LARGE)
    digest = f"sha256:{IS_LARGE['digests']['sha256']}"
    store.write({digest: learner.table()}, today=1)
    store.close()

    assert pieces() == [
        "its pieces are known: 4 leaves of 64.0 KiB; "
        "ranges and wholes are verified before they are sent"
    ]


def test_pieces_that_are_not_known_are_explained_and_no_store_is_made(pieces, tmp_path):
    """With what can be done about it."""
    (reason,) = pieces()

    assert reason.startswith("its pieces are not known: ")
    assert reason.endswith("or fetch --learn, learns them")
    assert not (tmp_path / "catalog.db.pieces").exists()


@pytest.mark.parametrize(
    ("changes", "settings", "expected"),
    [
        ({"digests": {"md5": "0" * 32}}, {}, "cannot be learned: a digest of md5 proves nothing"),
        ({"size": None}, {}, "cannot be learned: its size is not known"),
        ({"size": 16 * 1024**3 + 1}, {}, "cannot be learned: it is larger than 16.0 GiB"),
        ({"size": 65536}, {}, "verified whole before it is sent"),
        ({}, {"PULP_STREAMER__PIECES__ENABLED": "false"}, "pieces.enabled is false"),
    ],
    ids=["weak", "sizeless", "large", "small", "disabled"],
)
def test_pieces_that_cannot_be_known_are_explained(pieces, changes, settings, expected):
    """In one line."""
    (reason,) = pieces(settings=settings, **changes)

    assert expected in reason


def test_store_that_cannot_be_read_is_explained(pieces, tmp_path):
    """The rest is said all the same."""
    file = tmp_path / "theirs.db"
    file.write_bytes(b"no database" * 1000)

    (reason,) = pieces(settings={"PULP_STREAMER__PIECES__URL": f"sqlite:///{file}"})

    assert reason.startswith(f"whether its pieces are known cannot be seen: {file} cannot be read")
