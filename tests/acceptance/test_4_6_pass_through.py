"""Issue 4, line 6: pass-through against nginx: conditions, ranges, HEAD, escapes, truncation.

What nginx answers itself is the measure: each question is put to it and to the service, and the
answers have to agree. What nginx would not do, an origin of raw bytes does: it breaks off.
"""

from __future__ import annotations

import random
from email.utils import formatdate
from http.client import HTTPException
from urllib.parse import quote

import pytest
from nginx_origins import REPOSITORY, NginxFiles
from origins import Origin, cuts, says, serves, serves_chunked, serves_until_close
from processes import Streamer, get, raw_exchange
from range_services import body_parts, transfers_of
from ranged_origins import in_turn, serves_by_target, serves_ranges

BYTES = random.Random(46).randbytes(1_000_000)
SMALL = b"small and plain\n"
OUTSIDE = b"this is nobody's business"
AWKWARD = "späce ü+~.txt"
FILES = {
    "small.txt": SMALL,
    "large.bin": BYTES,
    "empty": b"",
    AWKWARD: b"awkward",
    "folder/in/deep.txt": b"deep",
    "folder/index.html": b"<h1>an index</h1>",
    "list/one": b"1",
    "list/two": b"2",
}
SIZE = len(BYTES)
DESCRIBING = [
    "ETag",
    "Last-Modified",
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Accept-Ranges",
    "Cache-Control",
]
LONG_AGO, FAR_AHEAD = formatdate(0, usegmt=True), formatdate(2**33, usegmt=True)

TRUNCATED = {
    "by-length": cuts(BYTES, SIZE // 2),
    "by-reset": cuts(BYTES, SIZE // 2, reset=True),
    "in-the-last-bytes": cuts(BYTES, SIZE - 1),
    "chunked": lambda talk: _cut_chunks(talk, BYTES[: SIZE // 2]),
    "chunked-without-last-chunk": lambda talk: _cut_chunks(talk, BYTES),
    "until-close": serves_until_close(BYTES),
    "small-until-close": serves_until_close(SMALL),
    "small-by-length": cuts(SMALL, 3),
}
RAW = {
    **TRUNCATED,
    "whole": serves(BYTES),
    "chunked-whole": serves_chunked(BYTES),
    "small-chunked": serves_chunked(SMALL),
    "unasked-206": says(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 0\r\n\r\n"),
    "unasked-304": says(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "unasked-412": says(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n"),
}


def _cut_chunks(conversation, content):
    """Chunks without the last one."""
    conversation.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(content), 65536):
        piece = content[start : start + 65536]
        conversation.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    return False


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    """An origin that knows all of HTTP."""
    with NginxFiles(tmp_path_factory.mktemp("nginx"), FILES, OUTSIDE) as origin:
        yield origin


@pytest.fixture(scope="module")
def raw():
    """An origin that says what it is told."""
    with Origin(serves_by_target(RAW)) as origin:
        yield origin


@pytest.fixture(scope="module")
def service(nginx, raw, tmp_path_factory):
    """One service; nothing that is asked of it may end in a traceback."""
    folder = tmp_path_factory.mktemp("service")
    streamer = Streamer(folder, secrets__key_file=folder / "keys")
    streamer.admin("secrets", "init")
    for name, url, sets in (
        ("nginx", nginx.repository_url, ("username=reader", "password=of-the-importer")),
        ("raw", raw.url, ("max_retries=0",)),
    ):
        keys = [word for each in sets for word in ("--set", each)]
        streamer.admin("importer", "create", name, "--type", "http", "--url", url, *keys)
    for base_path, importer, options in (
        ("proxy/nginx", "nginx", ()),
        ("proxy/query", "nginx", ("--keep-query",)),
        ("raw", "raw", ()),
    ):
        command = ("distribution", "pass-through", base_path, "--importer", importer)
        streamer.admin(*command, *options)
    with streamer:
        yield streamer
        assert [] == streamer.tracebacks()


@pytest.fixture
def url(service):
    """The pass-through distribution in front of nginx."""
    return f"{service.url}proxy/nginx/"


def described(answer):
    """What an answer says of a representation: status, fields, content."""
    status, fields, content = answer
    return status, {name: fields[name] for name in DESCRIBING}, content


def tag_of(url):
    return get(url, method="HEAD")[1]["ETag"]


# -- conditions, ranges, HEAD ----------------------------------------------------------------------

QUESTIONS = {
    "nothing": lambda tag, date: {},
    "If-None-Match that matches": lambda tag, date: {"If_None_Match": tag},
    "If-None-Match that matches weakly": lambda tag, date: {"If_None_Match": f'"x", W/{tag}'},
    "If-None-Match that does not": lambda tag, date: {"If_None_Match": '"x"'},
    "If-None-Match of anything": lambda tag, date: {"If_None_Match": "*"},
    "If-Modified-Since its own date": lambda tag, date: {"If_Modified_Since": date},
    "If-Modified-Since long ago": lambda tag, date: {"If_Modified_Since": LONG_AGO},
    "If-Match that matches": lambda tag, date: {"If_Match": tag},
    "If-Match that does not": lambda tag, date: {"If_Match": '"x"'},
    "If-Unmodified-Since long ago": lambda tag, date: {"If_Unmodified_Since": LONG_AGO},
    "If-Unmodified-Since far ahead": lambda tag, date: {"If_Unmodified_Since": FAR_AHEAD},
    "one range": lambda tag, date: {"Range": "bytes=1000-1999"},
    "the first byte": lambda tag, date: {"Range": "bytes=0-0"},
    "an open range": lambda tag, date: {"Range": f"bytes={SIZE - 70_000}-"},
    "an end beyond the size": lambda tag, date: {"Range": f"bytes=10-{SIZE * 2}"},
    "a suffix": lambda tag, date: {"Range": "bytes=-500"},
    "a suffix longer than all": lambda tag, date: {"Range": f"bytes=-{SIZE + 1}"},
    "a range beyond the end": lambda tag, date: {"Range": f"bytes={SIZE}-"},
    "another unit": lambda tag, date: {"Range": "lines=1-2"},
    "If-Range of its tag": lambda tag, date: {"Range": "bytes=5-9", "If_Range": tag},
    "If-Range of another tag": lambda tag, date: {"Range": "bytes=5-9", "If_Range": '"x"'},
    "If-Range of its date": lambda tag, date: {"Range": "bytes=5-9", "If_Range": date},
    "If-Range of another date": lambda tag, date: {"Range": "bytes=5-9", "If_Range": LONG_AGO},
    "a range of what is unchanged": lambda tag, date: {
        "Range": "bytes=5-9",
        "If_None_Match": tag,
    },
}


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("question", QUESTIONS)
def test_answer_is_that_of_the_origin(nginx, url, method, question):
    """Status, fields and content agree with what nginx says to the same question."""
    fields = get(f"{nginx.repository_url}large.bin", method="HEAD")[1]
    asked = QUESTIONS[question](fields["ETag"], fields["Last-Modified"])
    if method == "HEAD":
        asked.pop("Range", None)

    expected = get(f"{nginx.repository_url}large.bin", method, **asked)
    found = get(f"{url}large.bin", method, **asked)

    assert described(expected) == described(found)


@pytest.mark.parametrize("value", ["bytes=9-5", "bytes=x", "bytes=" + "0-0," * 300])
def test_range_that_cannot_be_read_is_ignored(nginx, url, value):
    """As everywhere in this service (RFC 9110 section 14.2); the origin does not hear of it."""
    assert (200, BYTES) == get(f"{url}large.bin", Range=value)[::2]
    assert "-" == nginx.asked()[-1].range


@pytest.mark.parametrize("name", [quote(name) for name in FILES])
def test_every_file_comes_as_it_is(nginx, url, name):
    """Small, empty, deep, and under names that have to be escaped."""
    expected = get(f"{nginx.repository_url}{name}")
    found = get(f"{url}{name}")

    assert 200 == found[0]
    assert described(expected) == described(found)


def test_several_ranges_come_as_the_origin_frames_them(nginx, url):
    """Its boundary differs from one answer to the next, and its parts do not."""
    _, expected, framed = get(f"{nginx.repository_url}large.bin", Range="bytes=0-9,500-509,-5")
    status, fields, content = get(f"{url}large.bin", Range="bytes=0-9,500-509,-5")

    assert 206 == status
    assert body_parts(expected, framed) == body_parts(fields, content)
    assert [BYTES[:10], BYTES[500:510], BYTES[-5:]] == [
        part for _, part in body_parts(fields, content)
    ]


def test_unchanged_content_is_logged_as_that(service, nginx, url):
    """Nothing of it was sent."""
    assert 304 == get(f"{url}small.txt", If_None_Match=tag_of(f"{url}small.txt"))[0]

    line = transfers_of(service, "/proxy/nginx/small.txt")[-1]
    assert ("not_modified", 304, 0) == (line["verdict"], line["status"], line["bytes"])
    assert ("proxy/nginx", "nginx") == (line["distribution"], line["origin"])


def test_answer_says_that_nobody_verified_it(url):
    """And nothing of the origin's that is not about its content."""
    fields = get(f"{url}small.txt")[1]

    assert "pulp-streamer; fwd=uri-miss; detail=unverified" == fields["Cache-Status"]
    assert "nosniff" == fields["X-Content-Type-Options"]
    assert (None, None) == (fields["Set-Cookie"], fields["Server"])


def test_folder_is_what_the_origin_makes_of_it(nginx, service, url):
    """Its listing, its index, and what it lacks; only the base path is redirected here."""
    for path in ("list/", "folder/", "folder/in/"):
        expected, found = get(f"{nginx.repository_url}{path}"), get(f"{url}{path}")
        assert (expected[0], expected[2]) == (found[0], found[2])

    status, fields, _ = get(f"{service.url}proxy/nginx")
    assert (302, "./nginx/") == (status, fields["Location"])
    status, fields, _ = get(f"{url}folder/in")
    assert (302, "./in/") == (status, fields["Location"])
    assert 404 == get(f"{url}nothing/")[0]
    assert b"nginx/" in get(f"{service.url}proxy/")[2]


def test_fields_of_a_client_stay_here(nginx, url):
    """The origin sees the importer's credentials and the service's coding, and no cookie."""
    get(
        f"{url}small.txt?whose=mine",
        Authorization="Bearer of-the-client",
        Cookie="of=the-client",
        Accept_Encoding="gzip, br",
        X_Forwarded_For="203.0.113.9",
    )

    last = nginx.asked()[-1]
    assert f"/{REPOSITORY}/small.txt" == last.target
    assert ("-", "identity") == (last.cookie, last.accept_encoding)
    assert last.authorization.startswith("Basic ")


def test_query_reaches_the_origin_where_it_may(nginx, service):
    """Byte for byte, and only for the distribution that keeps it."""
    for base_path in ("proxy/nginx", "proxy/query"):
        assert 200 == get(f"{service.url}{base_path}/small.txt?q=%20+&r=a/../b;c")[0]

    assert [f"/{REPOSITORY}/small.txt", f"/{REPOSITORY}/small.txt?q=%20+&r=a/../b;c"] == [
        each.target for each in nginx.asked()[-2:]
    ]


# -- escapes ---------------------------------------------------------------------------------------

ESCAPES = [
    "../outside.txt",
    "..%2foutside.txt",
    "%2e%2e/outside.txt",
    "%2E%2E%2Foutside.txt",
    ".%2e/outside.txt",
    "folder/../../outside.txt",
    "folder/%2e%2e/%2e%2e/outside.txt",
    "./../outside.txt",
    "/outside.txt",
    "%2foutside.txt",
    "//outside.txt",
    "%2f%2foutside.txt",
    "..%5coutside.txt",
    "..\\outside.txt",
    "%2e%2e%5coutside.txt",
    "folder%5c..%5c..%5coutside.txt",
    "%252e%252e/outside.txt",
    "%252e%252e%252foutside.txt",
    "..;/outside.txt",
    "..;a=b/outside.txt",
    "..%3b/outside.txt",
    "..%00/outside.txt",
    "%c0%ae%c0%ae/outside.txt",
    "..%0d%0aX: y/outside.txt",
    "http://127.0.0.1/outside.txt",
    "http:%2f%2f127.0.0.1/outside.txt",
    "..?/outside.txt",
]


@pytest.mark.parametrize("base_path", ["proxy/nginx", "proxy/query"])
@pytest.mark.parametrize("escape", ESCAPES)
def test_path_does_not_leave_the_importers_url(nginx, service, base_path, escape):
    """Neither is the file beside it served, nor does the origin hear of such a path."""
    before = len(nginx.asked())
    target = f"/{base_path}/{escape}"
    request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

    received, _ = raw_exchange(service.port, request.encode("latin-1"))

    assert received.split(b" ", 2)[1] in (b"400", b"404")
    assert OUTSIDE not in received
    assert [] == nginx.asked()[before:]


def test_absolute_form_is_about_this_service(nginx, service, url):
    """Whatever host it names, its path is looked up here."""
    target = f"http://127.0.0.1:{nginx.port}/proxy/nginx/small.txt"
    request = f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"

    received, _ = raw_exchange(service.port, request.encode())

    assert received.endswith(SMALL)
    assert f"/{REPOSITORY}/small.txt" == nginx.asked()[-1].target


# -- truncation ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRUNCATED)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_truncation_is_never_unseen(service, name, version):
    """A failure before the head is a status; after it no client can take what came for all."""
    request = f"GET /raw/{name} HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n"

    received, was_reset = raw_exchange(service.port, request.encode())

    assert _is_refusal(received) or was_reset or _is_visibly_short(received)


@pytest.mark.parametrize("name", TRUNCATED)
def test_clients_library_notices_truncation(service, name):
    """The client that most programs are made with raises, or gets an error."""
    try:
        status, _, _ = get(f"{service.url}raw/{name}")
    except (HTTPException, ConnectionError):
        status = "broken"

    assert status in ("broken", 502)


@pytest.mark.parametrize("name", ["whole", "chunked-whole"])
def test_what_is_whole_comes_whole(service, name):
    """The measure for the truncated ones."""
    assert (200, BYTES) == get(f"{service.url}raw/{name}")[::2]


def test_http_1_0_gets_what_is_small_and_never_what_has_no_end(service):
    """Its only way to end content of unknown length is the one that a cut takes."""
    answers = {
        name: raw_exchange(service.port, f"GET /raw/{name} HTTP/1.0\r\n\r\n".encode())[0]
        for name in ("small-chunked", "chunked-whole", "whole")
    }

    assert answers["small-chunked"].endswith(b"\r\n\r\n" + SMALL)
    assert f"Content-Length: {len(SMALL)}".encode() in answers["small-chunked"]
    assert _is_refusal(answers["chunked-whole"])
    assert answers["whole"].endswith(BYTES)


@pytest.mark.parametrize("name", ["unasked-206", "unasked-304", "unasked-412"])
def test_answer_that_nobody_asked_for_is_a_failure(service, name):
    """A client would take it for an answer to its own request."""
    assert 502 == get(f"{service.url}raw/{name}")[0]


def test_content_that_breaks_off_goes_on_where_its_tag_holds(service, raw):
    """The client gets all of it, from two connections."""
    tagged = serves_ranges(BYTES)
    RAW["resumed"] = in_turn(lambda talk: _breaks(talk, BYTES, '"first"'), tagged)

    status, _, content = get(f"{service.url}raw/resumed")

    assert (200, BYTES) == (status, content)
    assert ['"first"'] == raw.conversations[-1].field("If-Range")


def test_content_that_breaks_off_and_changes_stays_broken(service):
    """Two halves of two versions are no file."""
    changed = serves_ranges(BYTES[::-1], version='"second"')
    RAW["changed"] = in_turn(lambda talk: _breaks(talk, BYTES, '"first"'), changed)

    with pytest.raises((HTTPException, ConnectionError)):
        get(f"{service.url}raw/changed")


def _breaks(conversation, content, tag):
    """Announce all of it, with a tag, and break off in the middle."""
    head = f"HTTP/1.1 200 OK\r\nETag: {tag}\r\nContent-Length: {len(content)}\r\n\r\n"
    conversation.send(head.encode() + content[: len(content) // 2])
    return False


def _is_refusal(received):
    return received.split(b" ", 2)[1] == b"502"


def _is_visibly_short(received):
    """Whether what came is incomplete by its own account."""
    head, _, content = received.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if b"content-length" in fields:
        return len(content) < int(fields[b"content-length"])
    return b"transfer-encoding" in fields and not content.endswith(b"0\r\n\r\n")


# -- beside published content ----------------------------------------------------------------------


def test_published_distribution_below_is_served_as_published(service, nginx, url):
    """The longest base path decides; what is published is verified as ever."""
    service.publish("proxy/nginx/own", nginx.repository_url, {"small.txt": SMALL})

    status, fields, content = get(f"{url}own/small.txt")

    assert (200, SMALL) == (status, content)
    assert fields["Repr-Digest"] is not None
    assert 404 == get(f"{url}own/large.bin")[0]
    assert 200 == get(f"{url}large.bin")[0]
