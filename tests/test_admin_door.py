"""The operator's endpoint has the door of the content endpoint, and no path breaks it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.address import UNIXAddress
from twisted.internet.task import Clock
from wire import Wire, read_answers

from streamer.admin import MAX_CONNECTIONS, MAX_SHOWN_ORIGINS, AdminApp, AdminSite, Status
from streamer.errors import CatalogUnavailable, PathNotPublished
from streamer.health import OriginReport
from streamer.metrics import Metrics
from streamer.outlook import CandidateReport
from streamer.testing import MemoryCatalog


class Admin:
    """The operator's endpoint of a service that does nothing."""

    def __init__(self, origins=list, candidates=None):
        self.clock = Clock()
        status = Status(
            catalog=MemoryCatalog(),
            metrics=Metrics(CollectorRegistry()),
            in_flight=lambda: 0,
            connections=lambda: 0,
            is_draining=lambda: False,
            broken_importers=list,
            uptime_seconds=lambda: 0.0,
            origins=origins,
            candidates=candidates,
        )
        self.site = AdminSite(AdminApp(status).app.resource(), reactor=self.clock)

    def connect(self):
        return Wire(self.site, self.clock)

    def ask(self, raw, method="GET"):
        wire = self.connect()
        wire.send(raw)
        (answer,) = read_answers(wire.value(), method)
        wire.leave()
        return answer


@pytest.fixture
def admin():
    return Admin()


def get(target=b"/healthz", host=b"h", method=b"GET"):
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n\r\n" % (method, target, host)


@pytest.mark.parametrize(
    "page", [b"/", b"/healthz", b"/readyz", b"/metrics", b"/origins", b"http://h/healthz"]
)
def test_page_is_served(admin, page):
    """The pages of the operator, without the name of the software below."""
    answer = admin.ask(get(page))

    assert 200 == answer.status
    assert answer["Server"] is None


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_probe_may_ask_with_either_method(admin, method):
    """HEAD has the status of GET."""
    assert 200 == admin.ask(get(method=method), method.decode()).status


@pytest.mark.parametrize("host", [b"", b"a..b", b"x" * 70, b"%C3%A4", b"[::1]:1", b"evil.example"])
def test_name_that_the_client_gives_us_does_not_matter(admin, host):
    """Klein would look it up by the rules of host names, and fail."""
    assert 200 == admin.ask(get(host=host)).status


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_page_is_served_on_a_unix_socket(admin, version):
    """There is no host to fall back on there."""
    wire = admin.connect()
    wire.hostAddr = UNIXAddress(b"/run/admin.sock")

    wire.send(b"GET /healthz HTTP/%b\r\nHost: h\r\n\r\n" % version)

    (answer,) = read_answers(wire.value(), "GET")
    assert 200 == answer.status
    wire.leave()


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        pytest.param(get(b"/none"), 404, id="no-such-page"),
        pytest.param(get(b"/healthz/"), 404, id="folder"),
        pytest.param(get(b"//healthz"), 404, id="double-slash"),
        pytest.param(get(b"/%2Fhealthz"), 404, id="escaped-slash"),
        pytest.param(get(b"/../healthz"), 404, id="rfc3986-5.2.4-dots"),
        pytest.param(get(b"/<script>alert(1)</script>"), 404, id="markup"),
        pytest.param(get(b"/%ff"), 400, id="not-utf8"),
        pytest.param(get(b"/%00"), 400, id="nul"),
        pytest.param(get(b"/%"), 400, id="rfc3986-2.1-broken-escape"),
        pytest.param(get(method=b"POST"), 405, id="rfc9110-15.5.6-post"),
        pytest.param(get(method=b"OPTIONS"), 405, id="rfc9110-15.5.6-options"),
        pytest.param(get(method=b"TRACE"), 405, id="rfc9110-15.5.6-trace"),
        pytest.param(get(b"*", method=b"OPTIONS"), 405, id="rfc9112-3.2.4-asterisk-form"),
        pytest.param(get(b"*"), 400, id="rfc9112-3.2.4-asterisk-form-of-get"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", 400, id="rfc9112-3.2-no-host"),
        pytest.param(get(host=b"a b"), 400, id="rfc9112-3.2-impossible-host"),
        pytest.param(b"nonsense\r\n", 400, id="rfc9112-3-request-line"),
    ],
)
def test_request_that_has_no_page_is_refused(admin, raw, status):
    """A plain status, nothing of what was asked for, and no traceback in the log."""
    answer = admin.ask(raw)

    assert (status, True) == (answer.status, answer.is_complete)
    assert b"script" not in answer.content


def test_content_is_refused_before_it_is_read(admin, tmp_path, monkeypatch):
    """However much is announced, no file is made for it."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    head = b"POST /healthz HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n"

    answer = admin.ask(head + b"x" * 200_000)

    assert (405, "close") == (answer.status, answer["Connection"])


def test_connections_are_bounded(admin):
    """Who finds the operator's endpoint cannot take all descriptors."""
    wires = [admin.connect() for _ in range(MAX_CONNECTIONS + 1)]

    endings = [wire.ending for wire in wires]
    for wire in wires[:-1]:
        wire.leave()

    assert [None] * MAX_CONNECTIONS + ["aborted"] == endings


AILING = OriginReport(
    importer="fedora",
    importer_id=7,
    revision=2,
    origin="https://a.example:443",
    state="half_open",
    failures=6,
    asked_again_in_seconds=1.0,
    last_error="OriginTimedOut",
    changed_seconds_ago=0.5,
    quarantined=3,
)


def test_origins_that_failed_are_a_json_list():
    """Scripts and `resolve --explain` read all that is known of each."""
    answer = Admin(lambda: [AILING]).ask(get(b"/origins"))

    assert "application/json" == answer["Content-Type"]
    assert [asdict(AILING)] == json.loads(answer.content)


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"d/f", "d/f"), (b"d%2Ff%20%C3%A4", "d/f \u00e4"), (b"a%26path%3Db&path=c", "a&path=b")],
)
def test_candidates_of_a_path_are_a_json_list(target, path):
    """`resolve --explain` asks for them; the path is encoded as in a form."""
    reports, asked = [CandidateReport("a", origin="o", health=AILING), CandidateReport("b")], []

    async def candidates(of_path):
        asked.append(of_path)
        return reports

    answer = Admin(candidates=candidates).ask(get(b"/candidates?path=" + target))

    assert [path] == asked
    assert "application/json" == answer["Content-Type"]
    assert [asdict(each) for each in reports] == json.loads(answer.content)


@pytest.mark.parametrize(
    ("target", "error", "status"),
    [
        pytest.param(b"/candidates", None, 400, id="no-path"),
        pytest.param(b"/candidates?path=%ff", None, 400, id="not-utf8"),
        pytest.param(b"/candidates?path=f", PathNotPublished(), 404, id="not-published"),
        pytest.param(b"/candidates?path=f", CatalogUnavailable("away"), 503, id="catalog-away"),
    ],
)
def test_path_without_candidates_to_show_is_refused_in_plain_text(target, error, status):
    """And the log has no traceback."""

    async def candidates(_):
        raise error

    answer = Admin(candidates=candidates).ask(get(target))

    assert (status, "text/plain; charset=utf-8") == (answer.status, answer["Content-Type"])


def test_origins_that_failed_are_shown_on_the_page():
    """An operator sees at a glance who is left alone, and why."""
    page = Admin(lambda: [AILING]).ask(get(b"/")).content.decode()

    assert "<td>https://a.example:443<td>fedora (revision 2)<td>half open<td>6" in page
    assert "<td>OriginTimedOut<td>in 1 s<td><td>3" in page


def test_origin_that_was_too_slow_is_shown_on_the_page():
    """Beside those that failed; who has no more than a rate is well."""
    slow = replace(AILING, state="closed", last_error=None, comes_last_for_seconds=42.0)
    well = replace(
        slow,
        origin="https://well.example:443",
        failures=0,
        asked_again_in_seconds=0.0,
        quarantined=0,
        comes_last_for_seconds=0.0,
        at_least_bytes_per_second=10**6,
        at_most_bytes_per_second=10**6,
    )

    page = Admin(lambda: [slow, well]).ask(get(b"/")).content.decode()

    assert "<td>for 42 s<td>3" in page
    assert "well.example" not in page


def test_name_of_an_origin_is_escaped_on_the_page():
    """A plug-in chooses it."""
    page = Admin(lambda: [replace(AILING, origin="<script>&")]).ask(get(b"/")).content

    assert b"<script>" not in page
    assert b"&lt;script&gt;&amp;" in page


def test_page_shows_a_bounded_number_of_origins():
    """With more of them it says how many there are."""
    page = Admin(lambda: [AILING] * (MAX_SHOWN_ORIGINS + 9)).ask(get(b"/")).content

    assert MAX_SHOWN_ORIGINS == page.count(b"a.example")
    assert b"and 9 more" in page
