"""Requests and their answers: whole exchanges in memory, with `exchanges` as the service."""

from __future__ import annotations

import json

import pytest
from exchanges import (
    DISTRUST_SECONDS,
    FIRST_BYTE_SECONDS,
    IDLE_SECONDS,
    LARGE,
    MODIFIED_DATE,
    NOW,
    PSEUDONYM,
    SMALL,
    STALL_SECONDS,
    Service,
    answer_of,
    pieces,
    published,
    sha256,
    source,
)
from twisted.internet.defer import CancelledError, Deferred
from wire import Wire, read_answers

from streamer.errors import (
    CatalogUnavailable,
    CatalogUnusable,
    ContentTruncated,
    OriginBusy,
    OriginLacksIt,
    OriginRefused,
    OriginSilent,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
)
from streamer.exchange import PAGE_NAMES
from streamer.testing import MemoryDownload, MemoryImporters
from streamer.transfers import json_object


@pytest.fixture
def service():
    return Service()


# -- content


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
def test_published_content_is_fetched_and_served(service, content):
    """A path that is published is answered with what its origin has."""
    service.publish(content, MemoryDownload([content], length=len(content)))

    answer = service.answer("/base/f")

    assert answer.status == 200
    assert answer.content == content
    assert answer.is_complete


def test_content_has_the_fields_of_the_catalog(service):
    """What the catalog knows is said by the catalog, and nothing else is."""
    service.publish(SMALL, MemoryDownload([SMALL]))

    answer = service.answer("/base/f")

    expected = {
        "Content-Length": str(len(SMALL)),
        "Content-Type": "application/x-rpm",
        "Accept-Ranges": "bytes",
        "Repr-Digest": f"sha-256=:{sha256(SMALL).base64}:",
        "ETag": f'"{sha256(SMALL)}"',
        "Last-Modified": MODIFIED_DATE,
        "Cache-Control": "public, max-age=86400, stale-if-error=604800",
        "Via": f"1.1 {PSEUDONYM}",
        "X-Content-Type-Options": "nosniff",
        "Cache-Status": "pulp-streamer; fwd=uri-miss",
    }
    found = {name: value for name, value in answer.fields if name.lower() != "date"}
    assert {name.lower(): value for name, value in expected.items()} == {
        name.lower(): value for name, value in found.items()
    }
    assert len(answer.fields) == len(expected) + 1


def test_fields_of_the_origin_pass_by_the_list(service):
    """What may pass passes, and what steers a front or contradicts the catalog does not."""
    origin_fields = (
        ("Content-Disposition", "attachment"),
        ("X-PyPI-Last-Serial", "7"),
        ("X-Accel-Redirect", "/etc/passwd"),
        ("X-Sendfile", "/etc/passwd"),
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("ETag", '"theirs"'),
        ("Set-Cookie", "a=b"),
        ("Cache-Control", "no-store"),
    )
    service.publish(SMALL, MemoryDownload([SMALL], fields=origin_fields))

    answer = service.answer("/base/f")

    assert answer["Content-Disposition"] == "attachment"
    assert answer["X-PyPI-Last-Serial"] == "7"
    assert answer["X-Accel-Redirect"] is None
    assert answer["X-Sendfile"] is None
    assert answer["Set-Cookie"] is None
    assert answer["Content-Encoding"] is None
    assert answer["Content-Type"] == "application/x-rpm"
    assert answer["ETag"] == f'"{sha256(SMALL)}"'


def test_content_served_by_grace_is_cached_no_longer_than_it(service):
    """A superseded path is fresh for what is left of its grace."""
    service.publish(SMALL, MemoryDownload([SMALL]), grace_until=NOW + 30)

    assert service.answer("/base/f")["Cache-Control"] == "public, max-age=30, must-revalidate"


def test_content_of_unknown_size_is_served(service):
    """Small content gets the length that it turned out to have."""
    service.publish(SMALL, MemoryDownload([SMALL]), size=None)

    answer = service.answer("/base/f")

    assert answer["Content-Length"] == str(len(SMALL))
    assert answer.content == SMALL


def test_large_content_of_unknown_size_is_a_bad_gateway_for_http_1_0(service):
    """RFC 9112 8: a client that could not see a cut gets an honest status instead."""
    service.publish(LARGE, MemoryDownload(pieces(LARGE)), size=None)

    answer = service.answer("/base/f", version="1.0")

    assert answer.status == 502
    assert answer.is_complete


def test_held_content_comes_out_of_the_catalog(service):
    """A held artifact needs no origin and is verified like any other."""
    service.catalog.publish("base/f", published(SMALL, held=True), SMALL)

    answer = service.answer("/base/f")

    assert answer.content == SMALL
    assert answer["Cache-Status"] == "pulp-streamer; hit"
    assert service.importers.opened == []
    assert service.transfer.source == "catalog"


def test_pieces_of_held_content_are_not_learned():
    """Nobody would ask for them: it comes out of the catalog, and its ranges too."""
    service = Service(learns=True)
    service.catalog.publish("base/f", published(LARGE, held=True), LARGE)

    answer = service.answer("/base/f")

    assert LARGE == answer.content
    assert {} == service.learned.tables


class ClaimingImporters(MemoryImporters):
    """Whose downloaders have something of their own under the name of a claim."""

    def importer(self, config):
        importer = super().importer(config)
        build = importer.downloader

        def downloader(source):
            built = build(source)
            built.claim = "mine"
            return built

        importer.downloader = downloader
        return importer


def test_downloader_whose_claim_is_something_else_has_none():
    """An importer may have been written before there were any."""
    service = Service(importers=ClaimingImporters())
    fields = (("Accept-Ranges", "bytes"),)
    service.publish(LARGE, MemoryDownload(pieces(LARGE), fields=fields))

    answer = service.answer("/base/f")

    assert (200, LARGE) == (answer.status, answer.content)


def test_requests_on_one_connection_are_answered_in_order(service):
    """RFC 9112 9.3.2: pipelined requests for different things."""
    service.publish(SMALL, MemoryDownload([SMALL]))
    wire = Wire(service.site, service.clock)

    wire.send(
        b"GET /base/f HTTP/1.1\r\nHost: h\r\n\r\n"
        b"GET /base/none HTTP/1.1\r\nHost: h\r\n\r\n"
        b"HEAD /base/f HTTP/1.1\r\nHost: h\r\n\r\n"
    )

    answers = read_answers(wire.value(), "GET", "GET", "HEAD")
    assert [answer.status for answer in answers] == [200, 404, 200]


# -- what the catalog answers alone


def test_head_agrees_with_get_field_by_field(service):
    """RFC 9110 9.3.2: the same fields, but for whether an origin was asked."""
    service.publish(SMALL, MemoryDownload([SMALL]))

    head, get = service.answer("/base/f", method="HEAD"), service.answer("/base/f")

    differing = {"Cache-Status", "Date"}
    assert [f for f in head.fields if f[0] not in differing] == [
        f for f in get.fields if f[0] not in differing
    ]
    assert head.content == b""
    assert len(service.importers.opened) == 1


def test_head_of_content_of_unknown_size_has_no_length(service):
    """RFC 9110 8.6: HEAD does not state what only the content tells."""
    service.publish(SMALL, size=None)

    answer = service.answer("/base/f", method="HEAD")

    assert answer["Content-Length"] is None
    assert answer["Transfer-Encoding"] is None


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize(
    "condition",
    [
        pytest.param(f'If-None-Match: "{sha256(SMALL)}"', id="rfc9110-13.1.2-tag"),
        pytest.param(f'If-None-Match: "x", W/"{sha256(SMALL)}"', id="rfc9110-13.1.2-list"),
        pytest.param(f"If-Modified-Since: {MODIFIED_DATE}", id="rfc9110-13.1.3-date"),
    ],
)
def test_matching_condition_is_not_modified_without_an_origin(service, condition, method):
    """RFC 9110 15.4.5: 304 repeats what a cache needs, and costs no transfer."""
    service.publish(SMALL)

    answer = service.answer("/base/f", condition, method=method)

    assert answer.status == 304
    assert answer["ETag"] == f'"{sha256(SMALL)}"'
    assert answer["Last-Modified"] == MODIFIED_DATE
    assert answer["Cache-Control"] == "public, max-age=86400, stale-if-error=604800"
    assert answer["Content-Type"] is None
    assert answer["Transfer-Encoding"] is None
    assert service.importers.opened == []
    assert service.transfer.verdict == "not_modified"


def test_other_condition_is_answered_whole(service):
    """RFC 9110 13.1.2: a tag that does not match is answered with content."""
    service.publish(SMALL, MemoryDownload([SMALL]))

    answer = service.answer(
        "/base/f", 'If-None-Match: "x"', "If-Modified-Since: Sun, 06 Nov 2094 08:49:37 GMT"
    )

    assert (answer.status, answer.content) == (200, SMALL)


def test_repeated_date_condition_is_ignored(service):
    """RFC 9110 13.1.3: If-Modified-Since is a single date."""
    service.publish(SMALL, MemoryDownload([SMALL]))

    answer = service.answer("/base/f", *[f"If-Modified-Since: {MODIFIED_DATE}"] * 2)

    assert answer.status == 200


# -- folders


def publish_tree(service):
    for path in ("base/f", "base/sub/g", "base/sub/deep/h"):
        service.catalog.publish(path, published(SMALL, source("u"), path=path))


def test_folder_is_a_page(service):
    """A folder is listed as HTML that loads nothing."""
    publish_tree(service)

    answer = service.answer("/base/")

    assert answer.status == 200
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer["Vary"] == "Accept"
    assert answer["Cache-Control"] == "public, max-age=60, must-revalidate"
    assert b'href="f"' in answer.content
    assert b'href="sub/"' in answer.content


def test_folder_is_json_for_who_accepts_it(service):
    """RFC 9110 12.5.1: Accept chooses the form."""
    publish_tree(service)

    answer = service.answer("/base/", "Accept: application/json")

    assert answer["Content-Type"] == "application/json"
    assert [item["name"] for item in json.loads(answer.content)["items"]] == ["f", "sub"]


def test_root_is_a_folder(service):
    """The distributions are listed at the root, even when there is none."""
    before = service.answer("/")
    publish_tree(service)
    after = service.answer("/")

    assert (before.status, after.status) == (200, 200)
    assert b'href="base/"' not in before.content
    assert b'href="base/"' in after.content


def test_long_folder_goes_on_behind_a_name(service):
    """`after` in the query is the last name of the page before."""
    for number in range(PAGE_NAMES + 2):
        service.catalog.publish(f"base/{number:05}+", published(SMALL, source("u")))

    first = json.loads(service.answer("/base/", "Accept: application/json").content)
    second = json.loads(
        service.answer(f"/base/{first['next']}", "Accept: application/json").content
    )

    assert len(first["items"]) == PAGE_NAMES
    assert [item["name"] for item in second["items"]] == ["01000+", "01001+"]
    assert second["next"] is None


def test_head_of_a_folder_agrees_with_get(service):
    """RFC 9110 9.3.2: the same fields, no content."""
    publish_tree(service)

    head, get = service.answer("/base/", method="HEAD"), service.answer("/base/")

    assert head.fields == get.fields
    assert head.content == b""


@pytest.mark.parametrize("target", ["/base", "/base/sub", "/base/sub?after=x"])
def test_folder_without_its_slash_is_redirected_to_a_relative_location(service, target):
    """RFC 9110 15.4.3 and 10.2.2: the location depends on no Host field."""
    publish_tree(service)

    answer = service.answer(target)

    name = target.partition("?")[0].rpartition("/")[2]
    assert answer.status == 302
    assert answer["Location"] == f"./{name}/"
    assert answer["Content-Length"] == "0"


def test_location_cannot_become_another_host(service):
    """RFC 3986 4.2: a name that looks like a scheme or host stays a name."""
    service.catalog.publish("evil.example:80/f", published(SMALL, source("u")))

    answer = service.answer("/evil.example:80")

    assert answer["Location"] == "./evil.example%3A80/"


def test_root_below_a_prefix_needs_its_slash_too():
    """The links of a listing are relative, so it is served at a path that ends in a slash."""
    service = Service(prefix="/pulp/content")

    bare, whole = service.answer("/pulp/content"), service.answer("/pulp/content/")

    assert (bare.status, bare["Location"]) == (302, "./content/")
    assert whole.status == 200


def test_index_html_of_a_publication_wins(service):
    """A publication that brings its own page shows it."""
    page = b"<h1>ours</h1>"
    service.publish(page, MemoryDownload([page]), path="base/index.html")

    answer = service.answer("/base/")

    assert answer.content == page
    assert answer["ETag"] == f'"{sha256(page)}"'


def test_folders_are_not_found_where_listings_are_off():
    """`content.listings` turns pages and redirects off, and nothing else."""
    service = Service(listings=False)
    publish_tree(service)
    service.importers.script("u", MemoryDownload([SMALL]))

    statuses = [service.answer(target).status for target in ("/base/", "/base", "/", "/base/f")]

    assert statuses == [404, 404, 404, 200]


def test_folder_with_an_index_is_redirected_to_where_listings_are_off():
    """What has a page of its own is found with and without its slash."""
    service = Service(listings=False)
    service.catalog.publish("base/docs/index.html", published(SMALL, source("u")))

    answer = service.answer("/base/docs")

    assert (answer.status, answer["Location"]) == (302, "./docs/")


def test_prefix_is_part_of_every_path():
    """Nothing is served beside `content.prefix`."""
    service = Service(prefix="/pulp/content")
    service.publish(SMALL, MemoryDownload([SMALL]))

    statuses = [
        service.answer(target).status
        for target in ("/pulp/content/base/f", "/base/f", "/pulp/contentX/base/f", "/")
    ]

    assert statuses == [200, 404, 404, 404]


# -- requests that are refused


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param("/base/none", 404, id="not-published"),
        pytest.param("/base/f/", 404, id="file-as-folder"),
        pytest.param("/base%2Ff", 404, id="escaped-slash"),
        pytest.param("//base/f", 404, id="double-slash"),
        pytest.param("/base/../base/f", 404, id="rfc3986-5.2.4-dots"),
        pytest.param("/base/%00", 400, id="nul"),
        pytest.param("/base/%0d%0aX-Evil:%201", 400, id="crlf"),
        pytest.param("/base/%ff", 400, id="not-utf8"),
        pytest.param("/base/%zz", 400, id="rfc3986-2.1-broken-escape"),
        pytest.param("/base/<script>alert(1)</script>", 404, id="markup"),
    ],
)
def test_hostile_target_is_refused_in_plain_text(service, target, status):
    """A refusal is plain, complete, and echoes nothing."""
    service.publish(SMALL)

    answer = service.answer(target)

    assert status == answer.status
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert answer["X-Evil"] is None
    assert b"script" not in answer.content
    assert service.transfer.verdict == "refused"
    assert service.importers.opened == []


def test_absence_may_be_remembered_and_other_refusals_not(service):
    """RFC 9111 4.2.2: a 404 for a little while, the rest not at all."""
    missing, malformed = service.answer("/none"), service.answer("/%zz")

    assert missing["Cache-Control"] == "max-age=30"
    assert malformed["Cache-Control"] == "no-store"


def test_refusal_states_no_digest_and_no_tag(service):
    """RFC 9530 3: what is said of the representation is not said of an error."""
    service.publish(SMALL, OriginRefused(500))

    answer = service.answer("/base/f")

    assert answer["Repr-Digest"] is None
    assert answer["ETag"] is None
    assert answer["Last-Modified"] is None


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "BREW"])
def test_other_methods_are_not_allowed(service, method):
    """RFC 9110 15.5.6: the answer names the methods there are."""
    service.publish(SMALL)

    answer = service.answer("/base/f", method=method)

    assert answer.status == 405
    assert answer["Allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(f"Via: 1.1 {PSEUDONYM}", id="rfc9110-7.6.3-via"),
        pytest.param(f"CDN-Loop: other, {PSEUDONYM}", id="rfc8586-2-cdn-loop"),
    ],
)
def test_loop_is_detected(service, field):
    """RFC 5842 7.2: a request that came through here already is not forwarded again."""
    service.publish(SMALL)

    answer = service.answer("/base/f", field)

    assert answer.status == 508
    assert service.importers.opened == []


def test_head_of_an_error_has_no_content(service):
    """RFC 9110 9.3.2: HEAD of what is not there is 404 without a sentence."""
    answer = service.answer("/none", method="HEAD")

    assert answer.status == 404
    assert answer.content == b""
    assert service.transfer.bytes == 0


@pytest.mark.parametrize(
    ("failure", "status", "retry_after"),
    [
        pytest.param(CatalogUnavailable("away"), 503, "10", id="rfc9110-15.6.4-away"),
        pytest.param(CatalogUnusable("run upgrade"), 500, None, id="rfc9110-15.6.1-unusable"),
    ],
)
def test_catalog_that_cannot_answer_is_not_an_absence(service, failure, status, retry_after):
    """A path is 404 only when the catalog says so."""
    service.catalog.failure = failure

    answer = service.answer("/base/f")

    assert status == answer.status
    assert retry_after == answer["Retry-After"]
    assert service.transfer.verdict == "error"


@pytest.mark.parametrize(
    "failure", [CatalogUnavailable("socket /run/pg"), CatalogUnusable("run /run/pg")]
)
def test_client_is_not_told_where_the_catalog_lies(service, failure):
    """The operator reads it in the log."""
    service.catalog.failure = failure

    answer = service.answer("/base/f")

    assert b"/run/pg" not in answer.content
    assert "/run/pg" in service.transfer.reason


def test_broken_importer_is_an_error_of_ours(service):
    """RFC 9110 15.6.1: nobody else can help it."""
    service.publish(SMALL)
    service.importers.broken["fedora"] = "its type is missing"

    assert service.answer("/base/f").status == 500


def test_broken_importer_is_passed_over_where_another_can_serve(service):
    """One importer's fault does not take an entry away that has a second source."""
    service.importers.broken["broken"] = "its type is missing"
    service.importers.script("good", MemoryDownload([SMALL]))
    sources = (source("u", importer="broken"), source("good", priority=1))
    service.catalog.publish("base/f", published(SMALL, *sources))

    assert service.answer("/base/f").content == SMALL


@pytest.mark.parametrize("defect", [ZeroDivisionError, SystemExit, BaseException])
def test_defect_is_an_error_without_a_traceback(service, logged_failures, defect):
    """What we did not foresee is logged in full and answered in one sentence.

    A library of a plug-in may end the process, as it means to, by what is no Exception.
    """
    service.catalog.failure = defect("secret detail")

    answer = service.answer("/base/f")

    assert answer.status == 500
    assert answer.content == b"the service failed\n"
    assert len(logged_failures.flush(defect)) == 1


# -- origins that fail before the head


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        pytest.param(OriginUnreachable("it refuses"), 502, id="refused"),
        pytest.param(OriginTLSFailed("expired"), 502, id="tls"),
        pytest.param(OriginRefused(500), 502, id="500"),
        pytest.param(OriginRefused(403), 502, id="403-is-not-passed-on"),
        pytest.param(OriginTimedOut(), 504, id="timed-out"),
        pytest.param(OriginBusy(429), 503, id="429"),
        pytest.param(OriginLacksIt(404), 404, id="404"),
        pytest.param(OriginLacksIt(410), 404, id="410"),
        pytest.param(MemoryDownload([b"wrong content"]), 502, id="wrong-digest"),
        pytest.param(MemoryDownload([SMALL[1:]]), 502, id="short"),
        pytest.param(MemoryDownload([SMALL, b"x"]), 502, id="long"),
        pytest.param(MemoryDownload([b"s"], error=ContentTruncated(1)), 502, id="cut"),
        pytest.param(MemoryDownload([SMALL], length=7), 502, id="other-length"),
    ],
)
def test_failure_of_the_only_origin_is_an_honest_status(service, outcome, status):
    """RFC 9209 2: the status of docs/errors.md, with the reason in Proxy-Status."""
    service.publish(SMALL, outcome)

    answer = service.answer("/base/f")

    assert status == answer.status
    assert answer["Proxy-Status"].startswith("pulp-streamer; error=")
    assert 'next-hop="fedora"' in answer["Proxy-Status"]
    assert answer["Retry-After"] == ("10" if status == 503 else None)
    assert service.transfer.verdict == "error"
    assert service.transfer.attempts == 1


def test_wrong_length_of_a_large_file_is_found_before_the_head(service):
    """A login page in the place of a file costs the client nothing."""
    download = MemoryDownload([b"<html>"], length=6)
    service.publish(LARGE, download)

    answer = service.answer("/base/f")

    assert answer.status == 502
    assert download.calls == ["stop"]


def test_origin_that_does_not_answer_is_a_gateway_timeout(service):
    """RFC 9110 15.6.5: the budget for the first byte ends the attempt."""
    opening = Deferred()
    service.publish(SMALL, opening)
    wire = service.ask("/base/f")

    service.clock.advance(FIRST_BYTE_SECONDS - 1)
    before = wire.value()
    service.clock.advance(1)

    assert before == b""
    assert answer_of(wire).status == 504
    assert opening.called


def test_origin_that_trickles_small_content_is_a_gateway_timeout(service):
    """The budget counts until the head, which waits for the last byte of a small file."""
    download = MemoryDownload(at_once=False)
    service.publish(SMALL, download)
    wire = service.ask("/base/f")

    for _ in range(FIRST_BYTE_SECONDS):
        download.send(b"s")
        service.clock.advance(1)

    assert answer_of(wire).status == 504
    assert download.is_stopped


def test_budget_for_the_first_byte_does_not_bound_a_large_transfer(service):
    """After the head a transfer may take its time."""
    download = MemoryDownload(at_once=False)
    service.publish(LARGE, download)
    wire = service.ask("/base/f")

    for start in range(0, len(LARGE), 10_000):
        service.clock.advance(IDLE_SECONDS - 1)
        download.send(LARGE[start : start + 10_000])
    download.end()

    assert answer_of(wire).content == LARGE


# -- several origins


def test_sources_are_tried_in_the_order_of_their_priority(service):
    """The lowest priority first, as long as each fails before the head."""
    service.importers.script("good", MemoryDownload([SMALL]))
    service.importers.script("bad", OriginRefused(500))
    sources = (source("good", priority=2), source("none", priority=0), source("bad", priority=1))
    service.catalog.publish("base/f", published(SMALL, *sources))

    answer = service.answer("/base/f")

    assert answer.content == SMALL
    assert [url for _, url in service.importers.opened] == ["none", "bad", "good"]
    assert service.transfer.attempts == 3
    assert service.transfer.verdict == "complete"


def test_next_source_serves_when_small_content_of_the_first_is_wrong(service):
    """Nothing that a failed attempt brought leaks, no byte and no field; that it failed is told."""
    service.importers.script("a", MemoryDownload([b"wrong content"], fields=(("X-From", "a"),)))
    service.importers.script("b", MemoryDownload([SMALL], fields=(("X-Other", "b"),)))
    service.catalog.publish("base/f", published(SMALL, source("a"), source("b")))

    answer = service.answer("/base/f")

    assert answer.content == SMALL
    assert answer["X-From"] is None
    assert answer["X-Other"] == "b"
    assert answer["Proxy-Status"].startswith('pulp-streamer; error=http_protocol_error; next-hop="')
    assert answer["Proxy-Status"].endswith(', pulp-streamer; next-hop="fedora"')


def test_missing_is_said_only_if_every_origin_says_so(service):
    """A 404 makes package managers delete; so all must agree."""
    service.importers.script("gone", OriginLacksIt(410))
    service.importers.script("ill", OriginUnreachable("it refuses"))
    service.catalog.publish("base/all", published(SMALL, source("none"), source("gone")))
    service.catalog.publish("base/one", published(SMALL, source("none"), source("ill")))

    assert service.answer("/base/all").status == 404
    assert service.answer("/base/one").status == 502


def test_every_failed_attempt_is_in_proxy_status(service):
    """RFC 9209 2: one member for each, in order, by importer."""
    service.importers.script("a", OriginTimedOut())
    sources = (source("a", importer="first"), source("none", importer="second"))
    service.catalog.publish("base/f", published(SMALL, *sources))

    value = service.answer("/base/f")["Proxy-Status"]

    assert value.count("pulp-streamer; error=") == 2
    assert value.index('next-hop="first"') < value.index('next-hop="second"')


def test_entry_without_a_source_is_a_bad_gateway(service):
    """There is nobody to ask, and no other entry's source is borrowed."""
    service.publish(SMALL, MemoryDownload([SMALL]), path="base/other")
    service.catalog.publish("base/f", published(SMALL))

    answer = service.answer("/base/f")

    assert answer.status == 502
    assert answer["Proxy-Status"] is None
    assert service.importers.opened == []


def test_attempts_share_one_budget_for_the_first_byte(service):
    """When it is used up, no further origin is asked."""
    service.importers.script("a", Deferred())
    service.catalog.publish("base/f", published(SMALL, source("a"), source("b")))
    wire = service.ask("/base/f")

    service.clock.advance(FIRST_BYTE_SECONDS)

    assert answer_of(wire).status == 504
    assert [url for _, url in service.importers.opened] == ["a"]


# -- origins that fail after the head


def broken_downloads():
    return {
        "wrong-last-byte": MemoryDownload(pieces(LARGE[:-1] + b"x")),
        "short": MemoryDownload(pieces(LARGE[:-1])),
        "long": MemoryDownload(pieces(LARGE + b"x")),
        "cut": MemoryDownload(pieces(LARGE[:9000]), error=ContentTruncated(9000)),
    }


@pytest.mark.parametrize("fault", broken_downloads())
@pytest.mark.parametrize("size", [..., None], ids=["size-known", "size-unknown"])
def test_failure_after_the_head_breaks_the_response_off(service, fault, size):
    """Where nobody can go on, no client takes the response for complete."""
    service.importers.script("a", broken_downloads()[fault])
    service.catalog.publish("base/f", published(LARGE, source("a"), size=size))

    wire = service.ask("/base/f")
    service.clock.advance(1)

    assert wire.ending == "aborted"
    assert not answer_of(wire).is_complete
    assert service.transfer.verdict == "aborted"
    assert service.transfer.status == 200


def test_silence_after_the_head_breaks_the_response_off(service):
    """A stalled origin ends in an abort, not in a client that waits for ever."""
    download = MemoryDownload(at_once=False)
    service.publish(LARGE, download)
    wire = service.ask("/base/f")
    download.send(LARGE[:9000])

    service.clock.advance(IDLE_SECONDS)
    service.clock.advance(1)

    assert wire.ending == "aborted"
    assert str(OriginSilent(IDLE_SECONDS)) == service.transfer.reason


def test_client_that_stops_reading_is_broken_off(service):
    """A stalled client is no origin's fault and is recorded as an abort."""
    download = MemoryDownload(at_once=False)
    service.publish(LARGE, download)
    wire = service.ask("/base/f")
    wire.stop_reading()

    for _ in range(4):
        service.clock.advance(STALL_SECONDS / 4)

    assert wire.ending == "aborted"
    assert download.is_stopped
    assert service.transfer.verdict == "aborted"


# -- resuming after an abort (invariant 1)


def test_resumption_after_an_abort_is_refused(service):
    """A client that holds a wrong beginning must not join it to a right rest."""
    service.publish(LARGE, MemoryDownload([LARGE[:-1] + b"x"]), MemoryDownload([LARGE]))
    service.ask("/base/f")

    answer = service.answer("/base/f", "Range: bytes=9000-")

    assert answer.status == 502
    assert answer["Cache-Control"] == "no-store"
    assert len(service.importers.opened) == 1


@pytest.mark.parametrize("field", ["Range: bytes=0-", "Accept: */*"])
def test_request_from_the_first_byte_is_served_after_an_abort(service, field):
    """A client that begins anew is as safe as ever."""
    service.publish(LARGE, MemoryDownload([LARGE[:-1] + b"x"]), MemoryDownload([LARGE]))
    service.ask("/base/f")

    answer = service.answer("/base/f", field)

    assert answer.content == LARGE


def test_resumption_is_refused_at_every_path_of_the_content(service):
    """The client may resume elsewhere: the artifact is distrusted, not the path."""
    service.publish(LARGE, MemoryDownload([LARGE[:-1]]))
    service.publish(LARGE, path="base/copy")
    service.ask("/base/f")

    assert service.answer("/base/copy", "Range: bytes=1-").status == 502


def test_resumption_is_possible_again_after_a_while(service):
    """Distrust ends."""
    service.publish(LARGE, MemoryDownload([LARGE[:-1] + b"x"]), MemoryDownload([LARGE]))
    service.ask("/base/f")

    service.clock.advance(DISTRUST_SECONDS)

    assert service.answer("/base/f", "Range: bytes=9000-").status == 206


def test_resumption_after_a_failure_before_the_head_is_not_refused(service):
    """No client got anything, so nobody holds a wrong beginning."""
    service.publish(SMALL, MemoryDownload([b"wrong content"]), MemoryDownload([SMALL]))
    service.ask("/base/f")

    assert service.answer("/base/f", "Range: bytes=3-").status == 206


# -- clients that leave


def waiting_for_the_catalog(service):
    service.catalog.gate = Deferred()
    return service.ask("/base/f")


def waiting_for_the_origin(service):
    service.publish(LARGE, Deferred())
    return service.ask("/base/f")


def in_the_middle(service):
    download = MemoryDownload([LARGE[:9000]], at_once=False)
    service.publish(LARGE, download)
    wire = service.ask("/base/f")
    download.send()
    return wire


def while_paused(service):
    wire = in_the_middle(service)
    wire.stop_reading()
    return wire


STAGES = pytest.mark.parametrize(
    "reach_stage", [waiting_for_the_catalog, waiting_for_the_origin, in_the_middle, while_paused]
)


@STAGES
def test_client_that_leaves_leaves_nothing_behind(service, reach_stage):
    """No timer, no exchange, no connection; one line in the log."""
    wire = reach_stage(service)

    wire.leave()

    assert service.clock.getDelayedCalls() == []
    assert service.content.in_flight == 0
    assert service.transfer.verdict == "client_gone"
    assert service.metric("pulp_streamer_exchanges_in_flight") == 0


def a_name_that_is_looked_up():
    """An attempt whose cancelling says that the name does not exist, as Twisted's does."""
    return Deferred(lambda look_up: look_up.errback(OriginUnreachable("its name is not known")))


def test_client_that_leaves_during_a_look_up_is_no_failure_of_the_origin(service):
    """Otherwise anybody could have resumptions refused by connecting and leaving."""
    service.publish(LARGE, a_name_that_is_looked_up(), MemoryDownload(pieces(LARGE)))
    service.ask("/base/f").leave()

    verdict = service.transfer.verdict
    resumed = service.answer("/base/f", "Range: bytes=9000-").status

    assert (verdict, resumed) == ("client_gone", 206)
    assert b"origin_failures_total{" not in service.metrics.exposition()


def test_look_up_beyond_the_budget_is_a_gateway_timeout(service):
    """RFC 9110 15.6.5: what took too long is what it is called."""
    service.publish(LARGE, a_name_that_is_looked_up())
    wire = service.ask("/base/f")

    service.clock.advance(FIRST_BYTE_SECONDS)

    assert answer_of(wire).status == 504


def test_cancellation_out_of_nowhere_does_not_leave_a_client_waiting(service):
    """If a port is cancelled by itself, the connection ends rather than hang."""
    service.catalog.failure = CancelledError()

    wire = service.ask("/base/f")

    assert wire.ending == "aborted"


# -- stopping


def test_drain_fires_when_the_last_exchange_has_ended(service):
    """Running exchanges end first, and their connections close after them."""
    download = MemoryDownload(at_once=False)
    service.publish(LARGE, download)
    wire = service.ask("/base/f")

    drained = service.content.drain()
    before = drained.called
    download.send(LARGE)
    download.end()

    assert before is False
    assert drained.called
    assert answer_of(wire).content == LARGE


def test_drain_of_an_idle_service_fires_at_once(service):
    """There is nothing to wait for."""
    assert service.content.drain().called


def test_connection_closes_after_a_request_that_came_while_draining(service):
    """RFC 9112 9.6: the client is told to ask elsewhere next time."""
    service.content.drain()

    wire = service.ask("/none")

    assert answer_of(wire)["Connection"] == "close"
    assert wire.ending == "closed"


def test_exchange_that_does_not_end_in_time_is_broken_off(service):
    """The deadline of the drain ends in visible aborts."""
    wire = in_the_middle(service)
    drained = service.content.drain()

    service.content.abort_all()

    assert drained.called
    assert wire.ending == "aborted"
    assert service.transfer.verdict == "aborted"
    assert service.transfer.reason == "the service stops"


# -- the transfer log and the metrics


def test_complete_transfer_is_recorded_in_full(service):
    """One line per exchange, with every key there is."""
    download = MemoryDownload(at_once=False)
    service.publish(LARGE, download)
    service.ask("/base/f?x=1", "Range: bytes=0-")
    service.clock.advance(2)
    download.send(LARGE)
    download.end()

    assert json_object(service.transfer) == {
        "request_id": "id-1",
        "client": "203.0.113.7",
        "method": "GET",
        "path": "/base/f",
        "distribution": "base",
        "status": 206,
        "verdict": "complete",
        "reason": None,
        "bytes": len(LARGE),
        "range": "bytes=0-",
        "origin": "fedora",
        "attempts": 1,
        "verified": "held_tail",
        "source": "origin",
        "first_byte_ms": 0.0,
        "duration_ms": 2000.0,
    }


def test_small_content_is_recorded_as_verified_whole(service):
    """The record tells the two ways of verification apart."""
    service.publish(SMALL, MemoryDownload([SMALL]))

    service.ask("/base/f")

    assert service.transfer.verified == "whole"


def test_head_is_recorded_without_an_origin(service):
    """What the catalog answered has no origin, no attempt, no content."""
    service.publish(SMALL)

    service.ask("/base/f", method="HEAD")

    transfer = service.transfer
    assert (transfer.verdict, transfer.source, transfer.origin) == ("complete", "catalog", None)
    assert (transfer.bytes, transfer.attempts, transfer.verified) == (0, 0, "none")


def test_failed_transfer_is_recorded_with_its_reason(service):
    """The reason names the importer and what it met."""
    service.publish(SMALL, OriginRefused(503))

    service.ask("/base/f")

    assert service.transfer.reason == "fedora: the origin answered 503"
    assert service.transfer.status == 502


def test_request_refused_at_the_door_is_recorded(service):
    """What never became a request has a line too."""
    wire = Wire(service.site, service.clock)

    wire.send(b"nonsense\r\n")

    transfer = service.transfer
    assert (transfer.verdict, transfer.status, transfer.path) == ("refused", 400, "-")
    wire.leave()


def test_exchanges_are_counted(service):
    """What the log says of one, the metrics say of all."""
    service.publish(SMALL, OriginTimedOut(), MemoryDownload([SMALL]))

    for _ in range(2):
        service.ask("/base/f")

    ended = 'pulp_streamer_exchanges_total{status_class="%s",verdict="%s"}'
    failed = 'pulp_streamer_origin_failures_total{error="OriginTimedOut",importer="fedora"}'
    received = 'pulp_streamer_received_bytes_total{importer="fedora"}'
    assert service.metric(ended % ("2xx", "complete")) == 1
    assert service.metric(ended % ("5xx", "error")) == 1
    assert service.metric(failed) == 1
    assert service.metric(received) == len(SMALL)
    assert service.metric("pulp_streamer_exchanges_in_flight") == 0
