"""Pass-through, done: whole exchanges in memory, with `exchanges` as the service.

The origin is scripted by path. What may be asked and relayed at all is `test_relaying`'s; here it
is about paths, the head, the content and how it ends, and what is made again.
"""

from __future__ import annotations

import pytest
from exchanges import (
    FIRST_BYTE_SECONDS,
    IDLE_SECONDS,
    LARGE,
    MODIFIED_DATE,
    PSEUDONYM,
    SMALL,
    STALL_SECONDS,
    Service,
    answer_of,
    pieces,
)
from twisted.internet.defer import Deferred

from streamer.errors import (
    CatalogUnavailable,
    ContentTruncated,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginSilent,
    OriginUnreachable,
)
from streamer.model import DownloadConfig, PassThrough
from streamer.testing import MemoryDownload
from streamer.verify import TAIL_BYTES

IMPORTER = DownloadConfig(7, 1, "npm", "http", {})
ETAG = '"v1"'
TAGGED = (("ETag", ETAG), ("Content-Type", "text/plain"))


class Proxy(Service):
    """A service with one pass-through distribution at `proxy/npm`."""

    def __init__(self, *, keeps_query=False, **keywords):
        super().__init__(**keywords)
        self.catalog.bind(PassThrough("proxy/npm", IMPORTER, keeps_query))

    def script(self, *outcomes, path="f"):
        self.importers.script(path, *outcomes)

    @property
    def paths(self):
        """What the origin was asked for, in order."""
        return [path for _, path, _ in self.importers.relayed]

    @property
    def asked(self):
        """Method and fields of what the origin was asked, in order."""
        return [(method, fields) for method, _, fields in self.importers.relayed]


@pytest.fixture
def service():
    return Proxy()


def whole(content, *, fields=(), length=..., **keywords):
    """A download of content that comes in pieces."""
    announced = len(content) if length is ... else length
    return MemoryDownload(pieces(content), length=announced, fields=fields, **keywords)


def rest_of(content, start, *, etag=ETAG, **keywords):
    """The download of what comes after `start`."""
    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
    fields = (("ETag", etag), ("Content-Range", place))
    return whole(content[start:], fields=fields, status=206, **keywords)


# -- paths


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/proxy/npm/f", "f"),
        ("/proxy/npm/", ""),
        ("/proxy/npm/a/b/", "a/b/"),
        ("/proxy/npm/index.html", "index.html"),
        ("/proxy/npm/%40scope%3ax/~%7E", "%40scope%3ax/~%7E"),
        ("/%70roxy/npm/f", "f"),
        ("/proxy/npm/f?a=b", "f"),
    ],
)
def test_path_below_goes_to_the_origin_as_the_client_wrote_it(service, target, path):
    """Folders too: what they are, and what is in them, the origin decides."""
    service.script(whole(SMALL), path=path)

    answer = service.answer(target)

    assert ([path], 200, SMALL) == (service.paths, answer.status, answer.content)


def test_path_below_a_prefix_goes_to_the_origin_without_it():
    """The prefix is the service's own."""
    service = Proxy(prefix="/pulp/content")
    service.script(whole(SMALL), path="a/f")

    assert 200 == service.answer("/pulp/content/proxy/npm/a/f").status
    assert ["a/f"] == service.paths


def test_folder_of_the_origin_is_no_listing_of_ours():
    """So it is served where listings are switched off, too."""
    service = Proxy(listings=False)
    service.script(whole(SMALL), path="folder/")

    assert SMALL == service.answer("/proxy/npm/folder/").content


@pytest.mark.parametrize(
    "rest",
    [
        "../x",
        "%2e%2e/x",
        "a/../../x",
        "%2F%2Fh/x",
        "a//b",
        "a%2f..%2fb",
        "..%5cx",
        "..;/x",
        "%252e%252e/x",
        "/http://h/x",
    ],
)
def test_path_that_could_leave_the_folder_reaches_no_origin(service, rest):
    """It is 404 as everywhere, and also where only a lenient origin would read it so."""
    assert 404 == service.answer(f"/proxy/npm/{rest}").status
    assert [] == service.paths


def test_base_path_without_its_slash_is_redirected(service):
    """Relative, as for every folder; no origin is asked."""
    answer = service.answer("/proxy/npm?a=b")

    assert (302, "./npm/") == (answer.status, answer["Location"])
    assert ([], "catalog") == (service.paths, service.transfer.source)


def test_query_is_kept_where_the_distribution_says_so():
    """An empty one is none, and the redirect of the base path keeps it as well."""
    service = Proxy(keeps_query=True)
    for path in ("f?q=%20&r", "f", ""):
        service.script(whole(SMALL), path=path)

    answers = [service.answer(f"/proxy/npm/f{query}") for query in ("?q=%20&r", "?", "")]

    assert [200, 200] == [answer.status for answer in answers[:2]]
    assert ["f?q=%20&r", "f", "f"] == service.paths
    assert "./npm/?q=1" == service.answer("/proxy/npm?q=1")["Location"]


def test_methods_other_than_get_and_head_are_refused(service):
    """No origin is asked."""
    assert 405 == service.answer("/proxy/npm/f", "Content-Length: 0", method="DELETE").status
    assert [] == service.paths


# -- the question and the head


def test_origin_gets_conditions_and_ranges_and_nothing_else(service):
    """Credentials, cookies and codings of a client stay here."""
    service.script(rest_of(LARGE, 10))

    service.answer(
        "/proxy/npm/f",
        "Authorization: Basic eDp5",
        "Cookie: a=b",
        "Accept-Encoding: gzip",
        "X-Forwarded-For: 1.2.3.4",
        'If-None-Match: "a"',
        'If-None-Match: "b"',
        "Range: bytes=10-",
        f"If-Range: {ETAG}",
    )

    expected = (("If-None-Match", '"a", "b"'), ("Range", "bytes=10-"), ("If-Range", ETAG))
    assert [("GET", expected)] == service.asked


def test_head_of_the_origin_is_relayed_with_what_is_said_of_the_relay(service):
    """The origin's own words about its content, and ours about the way."""
    fields = (
        ("ETag", 'W/"v1"'),
        ("Last-Modified", MODIFIED_DATE),
        ("Date", MODIFIED_DATE),
        ("Cache-Control", "max-age=5"),
        ("Age", "3"),
        ("Vary", "Accept"),
        ("Content-Encoding", "gzip"),
        ("Content-Type", "text/html"),
        ("Set-Cookie", "a=b"),
        ("Server", "theirs"),
        ("Via", "1.1 theirs"),
        ("X-Content-Type-Options", "sniff"),
    )
    service.script(whole(SMALL, fields=fields))

    answer = service.answer("/proxy/npm/f")

    expected = {
        **dict(fields[:8]),
        "Content-Length": str(len(SMALL)),
        "Via": f"1.1 {PSEUDONYM}",
        "X-Content-Type-Options": "nosniff",
        "Cache-Status": "pulp-streamer; fwd=uri-miss; detail=unverified",
    }
    assert {name.lower(): value for name, value in expected.items()} == {
        name.lower(): value for name, value in answer.fields
    }
    assert len(expected) == len(answer.fields)


def test_content_without_a_type_gets_none(service):
    """Nothing is made up about content that nobody here knows."""
    service.script(whole(SMALL))

    assert service.answer("/proxy/npm/f")["Content-Type"] is None


def test_head_goes_out_before_any_content(service):
    """A client sees the fields when the origin's are there."""
    download = whole(LARGE, fields=TAGGED, at_once=False)
    service.script(download)

    wire = service.ask("/proxy/npm/f")

    assert b"200 OK" in wire.value()
    assert f"Content-Length: {len(LARGE)}".encode() in wire.value()
    wire.leave()


def test_head_asks_the_origin_for_a_head(service):
    """It has the fields that GET would have, and no content."""
    fields = (*TAGGED, ("Content-Length", "123"))
    download = MemoryDownload(length=0, fields=fields)
    service.script(download)

    answer = service.answer("/proxy/npm/f", method="HEAD")

    assert [("HEAD", ())] == service.asked
    assert (200, "123", ETAG) == (answer.status, answer["Content-Length"], answer["ETag"])
    assert b"" == answer.content
    assert download.is_stopped


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_unchanged_content_is_answered_with_304(service, version):
    """The origin decides; the log calls it what it is."""
    download = MemoryDownload(length=0, fields=TAGGED, status=304)
    service.script(download)

    answer = service.answer("/proxy/npm/f", f"If-None-Match: {ETAG}", version=version)

    assert (304, ETAG, None) == (answer.status, answer["ETag"], answer["Content-Length"])
    assert "pulp-streamer; fwd=uri-miss" == answer["Cache-Status"]
    assert download.is_stopped
    transfer = service.transfer
    assert ("not_modified", "none", "origin") == (
        transfer.verdict,
        transfer.verified,
        transfer.source,
    )


def test_folder_of_the_origin_without_its_slash_is_redirected(service):
    """Its own redirect, as far as it only adds the slash."""
    moved = MemoryDownload([b"moved"], fields=(("Location", "folder/"),), status=302)
    service.script(moved, path="a/folder")

    answer = service.answer("/proxy/npm/a/folder")

    assert (302, "./folder/", b"") == (answer.status, answer["Location"], answer.content)
    assert "0" == answer["Content-Length"]
    assert moved.is_stopped


@pytest.mark.parametrize(
    ("status", "fields", "asked"),
    [
        (412, (), 'If-Match: "other"'),
        (416, (("Content-Range", "bytes */500"),), "Range: bytes=900-"),
    ],
)
def test_refusal_of_the_origin_is_relayed_with_its_content(service, status, fields, asked):
    """Whether a condition holds, and where content ends, the origin decides."""
    service.script(whole(b"no", fields=fields, status=status))

    answer = service.answer("/proxy/npm/f", asked)

    assert (status, b"no") == (answer.status, answer.content)
    assert set(fields) <= set(answer.fields)


def test_part_is_relayed_with_its_place(service):
    """Its length is what its place says, though the origin did not say it otherwise."""
    service.script(rest_of(LARGE, 1000, length=None))

    answer = service.answer("/proxy/npm/f", "Range: bytes=1000-")

    assert (206, LARGE[1000:]) == (answer.status, answer.content)
    assert f"bytes 1000-{len(LARGE) - 1}/{len(LARGE)}" == answer["Content-Range"]
    assert str(len(LARGE) - 1000) == answer["Content-Length"]


def test_answer_that_the_request_does_not_call_for_is_a_failure(service):
    """What it holds is not sent, and its connection is given up."""
    download = rest_of(LARGE, 10)
    service.script(download)

    answer = service.answer("/proxy/npm/f")

    assert 502 == answer.status
    assert "http_protocol_error" in answer["Proxy-Status"]
    assert answer["Content-Range"] is None
    assert download.is_stopped


# -- content and how it ends


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("length", ["known", "unknown"])
def test_content_is_relayed_whole(service, content, length):
    """Chunked content too, which ends when the origin's end was seen."""
    announced = len(content) if length == "known" else None
    service.script(whole(content, length=announced))

    answer = service.answer("/proxy/npm/f")

    assert (200, content, True) == (answer.status, answer.content, answer.is_complete)
    expected = str(len(content)) if length == "known" else None
    assert expected == answer["Content-Length"]
    transfer = service.transfer
    assert ("complete", "proxy/npm", "npm", 1, "origin") == (
        transfer.verdict,
        transfer.distribution,
        transfer.origin,
        transfer.attempts,
        transfer.source,
    )
    assert ("passed" if content else "none") == transfer.verified


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_truncation_is_seen(service, length):
    """However the client learns of the length, the end does not come."""
    announced = len(LARGE) if length == "known" else None
    cut = MemoryDownload(pieces(LARGE[:100_000]), length=announced, error=ContentTruncated(100_000))
    service.script(cut)

    wire = service.ask("/proxy/npm/f")
    answer = answer_of(wire)

    assert "aborted" == wire.ending
    assert not answer.is_complete
    assert LARGE[:100_000].startswith(answer.content)
    assert "aborted" == service.transfer.verdict


def test_content_shorter_than_its_length_is_not_completed(service):
    """Also where the importer takes a premature end for the end."""
    service.script(MemoryDownload(pieces(LARGE[:-1]), length=len(LARGE)))

    wire = service.ask("/proxy/npm/f")

    assert "aborted" == wire.ending
    assert not answer_of(wire).is_complete


def test_content_longer_than_its_length_is_cut_off(service):
    """Nothing beyond the announced length is sent, and it does not end well."""
    service.script(MemoryDownload([*pieces(LARGE), b"more"], length=len(LARGE)))

    wire = service.ask("/proxy/npm/f")
    answer = answer_of(wire)

    assert "aborted" == wire.ending
    assert not answer.is_complete
    assert LARGE.startswith(answer.content)


def test_last_bytes_wait_for_the_end(service):
    """A client has all of it only when the origin's end was seen."""
    download = MemoryDownload(length=len(LARGE), at_once=False)
    service.script(download)
    wire = service.ask("/proxy/npm/f")

    download.send(LARGE)
    held = answer_of(wire)
    download.end()

    assert len(LARGE) - TAIL_BYTES == len(held.content)
    assert LARGE == answer_of(wire).content


def test_small_content_of_unknown_length_is_given_to_http_1_0(service):
    """Held until it is whole, its length is known."""
    service.script(whole(SMALL, length=None))

    answer = service.answer("/proxy/npm/f", version="1.0")

    assert (200, SMALL, str(len(SMALL))) == (
        answer.status,
        answer.content,
        answer["Content-Length"],
    )


def test_large_content_of_unknown_length_is_refused_to_http_1_0(service):
    """Its end could not be told from a cut."""
    download = whole(LARGE, length=None)
    service.script(download)

    assert 502 == service.answer("/proxy/npm/f", version="1.0").status
    assert download.is_stopped


def test_content_whose_end_the_origin_does_not_show_is_refused_to_http_1_0(service):
    """A cut of small content is found out before the head, so it is an attempt that failed."""
    service.script(MemoryDownload([SMALL], error=ContentTruncated(len(SMALL))))

    answer = service.answer("/proxy/npm/f", version="1.0")

    assert 502 == answer.status
    assert "http_response_incomplete" in answer["Proxy-Status"]


def test_client_that_reads_slowly_slows_its_origin_down(service):
    """Nothing is gathered here, and a client that stalls for too long is left."""
    download = MemoryDownload(length=len(LARGE), at_once=False)
    service.script(download)
    wire = service.ask("/proxy/npm/f")

    wire.stop_reading()
    for _ in range(4):
        service.clock.advance(STALL_SECONDS / 4)

    assert "pause" in download.calls
    assert "aborted" == wire.ending
    assert download.is_stopped


def test_origin_that_falls_silent_is_left(service):
    """After the head that breaks the connection."""
    download = MemoryDownload(length=len(LARGE), at_once=False)
    service.script(download)
    wire = service.ask("/proxy/npm/f")

    download.send(LARGE[:50_000])
    service.clock.advance(IDLE_SECONDS)

    assert "aborted" == wire.ending
    assert str(OriginSilent(IDLE_SECONDS)) == service.transfer.reason
    assert download.is_stopped


def test_client_that_leaves_stops_its_origin(service):
    """Nothing is left behind, and nothing speaks against the origin."""
    download = MemoryDownload(length=len(LARGE), at_once=False)
    service.script(download)
    wire = service.ask("/proxy/npm/f")

    wire.leave()

    assert download.is_stopped
    assert [] == service.clock.getDelayedCalls()
    assert "client_gone" == service.transfer.verdict


def test_client_that_leaves_before_the_head_ends_the_attempt(service):
    """The importer is told, and the log."""
    opening = Deferred()
    service.script(opening)
    wire = service.ask("/proxy/npm/f")

    wire.leave()

    assert opening.called
    assert "client_gone" == service.transfer.verdict
    assert [] == service.clock.getDelayedCalls()


# -- failures and attempts


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (OriginLacksIt(404), 404),
        (OriginLacksIt(410), 404),
        (OriginForbids(401), 502),
        (OriginForbids(403), 502),
        (OriginFailing(500), 502),
        (OriginUnreachable("it refuses"), 502),
        (OriginNonsense("it is not HTTP"), 502),
        (OriginBusy(429), 503),
    ],
    ids=str,
)
def test_failure_of_the_origin_has_the_status_that_it_has_everywhere(service, error, status):
    """Its own words and challenges stay behind."""
    service.script(error)

    answer = service.answer("/proxy/npm/f")

    assert status == answer.status
    assert 'next-hop="npm"' in answer["Proxy-Status"]
    assert ("error", 1) == (service.transfer.verdict, service.transfer.attempts)


def test_lacking_path_is_asked_for_again_by_the_next_client(service):
    """The origin decides each time: nothing is remembered of what it lacks."""
    service.script(OriginLacksIt(404), whole(SMALL))

    assert [404, 200] == [service.answer("/proxy/npm/f").status for _ in range(2)]


def test_paths_that_fail_do_not_take_the_origin_from_others(service):
    """A client chooses them, so they say nothing of what others ask for."""
    for number in range(20):
        service.script(OriginFailing(500), path=f"broken/{number}")
        service.answer(f"/proxy/npm/broken/{number}")
        service.clock.advance(0.3)
    service.script(whole(SMALL))

    assert 200 == service.answer("/proxy/npm/f").status


def test_attempt_before_the_head_is_made_again(service):
    """As often as the importer grants; the answer says what failed."""
    service.importers.retries = 1
    service.script(OriginUnreachable("it refuses"), whole(SMALL))

    wire = service.ask("/proxy/npm/f")
    service.clock.advance(1)
    answer = answer_of(wire)

    assert (200, SMALL) == (answer.status, answer.content)
    assert "destination_unavailable" in answer["Proxy-Status"]
    assert ("complete", 2) == (service.transfer.verdict, service.transfer.attempts)


def test_attempt_is_not_made_again_where_the_importer_grants_none(service):
    """There is no other candidate."""
    service.script(OriginUnreachable("it refuses"), whole(SMALL))

    assert 502 == service.answer("/proxy/npm/f").status
    assert ["f"] == service.paths


def test_origin_that_does_not_answer_in_time_is_504(service):
    """The budget for the first byte holds here too."""
    service.script(Deferred())

    wire = service.ask("/proxy/npm/f")
    service.clock.advance(FIRST_BYTE_SECONDS)

    assert 504 == answer_of(wire).status


def test_importer_that_cannot_be_used_is_500(service):
    """As for published content."""
    service.importers.broken["npm"] = "its type is missing"

    assert 500 == service.answer("/proxy/npm/f").status


def test_importer_that_cannot_relay_is_500(service):
    """A distribution may have been bound before its type forgot how to."""
    service.importers.can_relay = False

    answer = service.answer("/proxy/npm/f")

    assert 500 == answer.status
    assert "cannot relay" in service.transfer.reason


def test_catalog_that_is_away_is_503(service):
    """Nobody knows whom to ask."""
    service.catalog.failure = CatalogUnavailable("it refuses")

    assert 503 == service.answer("/proxy/npm/f").status


# -- content that breaks off and goes on


def broken_off(content, after, **keywords):
    """A download that breaks off after so many bytes."""
    return MemoryDownload(
        pieces(content[:after]),
        length=len(content),
        fields=TAGGED,
        error=ContentTruncated(after),
        **keywords,
    )


def settled(service, wire):
    """The answer, after all that is to be waited for."""
    service.clock.pump([0.5] * 20)
    return answer_of(wire)


def test_content_that_broke_off_goes_on_under_its_tag(service):
    """The client sees nothing of it; the origin is asked for the rest of the very same."""
    service.script(broken_off(LARGE, 100_000), rest_of(LARGE, 100_000))

    answer = settled(service, service.ask("/proxy/npm/f"))

    assert (200, LARGE, True) == (answer.status, answer.content, answer.is_complete)
    wanted = (("Range", f"bytes=100000-{len(LARGE) - 1}"), ("If-Range", ETAG))
    assert [("GET", ()), ("GET", wanted)] == service.asked
    assert ("complete", 2) == (service.transfer.verdict, service.transfer.attempts)


def test_part_that_broke_off_goes_on_from_where_it_was(service):
    """Positions count in the representation, not in the response."""
    content = LARGE[1000:]
    place = (("Content-Range", f"bytes 1000-{len(LARGE) - 1}/{len(LARGE)}"), *TAGGED)
    cut = MemoryDownload(
        pieces(content[:50_000]),
        length=len(content),
        fields=place,
        status=206,
        error=ContentTruncated(50_000),
    )
    service.script(cut, rest_of(LARGE, 51_000))

    answer = settled(service, service.ask("/proxy/npm/f", "Range: bytes=1000-"))

    assert (206, content) == (answer.status, answer.content)
    assert ("Range", f"bytes=51000-{len(LARGE) - 1}") in service.asked[1][1]


@pytest.mark.parametrize(
    "others",
    [
        [whole(LARGE, fields=TAGGED)],
        [rest_of(LARGE, 100_000, etag='"v2"')],
        [rest_of(LARGE, 99_999)],
        [rest_of(LARGE + b"x", 100_000)],
        [OriginLacksIt(404)],
        [OriginForbids(403)],
    ],
    ids=["all of it", "another tag", "another place", "another total", "404", "403"],
)
def test_content_that_broke_off_does_not_go_on_with_something_else(service, others):
    """In doubt it stays broken."""
    service.script(broken_off(LARGE, 100_000), *others)

    wire = service.ask("/proxy/npm/f")
    answer = settled(service, wire)

    assert "aborted" == wire.ending
    assert not answer.is_complete
    assert LARGE[:100_000].startswith(answer.content)


@pytest.mark.parametrize(
    "fields", [(), (("ETag", 'W/"v1"'),), (("Last-Modified", MODIFIED_DATE),)], ids=str
)
def test_content_without_a_strong_tag_does_not_go_on(service, fields):
    """Nothing would show that the rest is of the same representation."""
    cut = MemoryDownload(
        pieces(LARGE[:100_000]),
        length=len(LARGE),
        fields=fields,
        error=ContentTruncated(100_000),
    )
    service.script(cut, rest_of(LARGE, 100_000))

    wire = service.ask("/proxy/npm/f")
    settled(service, wire)

    assert "aborted" == wire.ending
    assert ["f"] == service.paths


def test_content_of_unknown_length_does_not_go_on(service):
    """Where it ends, the rest could not show."""
    cut = MemoryDownload(pieces(LARGE[:100_000]), fields=TAGGED, error=ContentTruncated(100_000))
    service.script(cut, rest_of(LARGE, 100_000))

    wire = service.ask("/proxy/npm/f")
    settled(service, wire)

    assert "aborted" == wire.ending
    assert ["f"] == service.paths


def test_client_that_stopped_reading_while_content_goes_on_is_not_flooded(service):
    """The rest waits like the beginning did."""
    cut = MemoryDownload(length=len(LARGE), fields=TAGGED, at_once=False)
    rest = rest_of(LARGE, 100_000, at_once=False)
    service.script(cut, rest)
    wire = service.ask("/proxy/npm/f")
    cut.send(LARGE[:100_000])

    wire.stop_reading()
    cut.end(ContentTruncated(100_000))
    service.clock.pump([0.5] * 20)

    assert ["pause", "deliver"] == rest.calls[:2]
    wire.leave()
