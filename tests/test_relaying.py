"""Pass-through, decided: which request goes to the origin, and which answer may be relayed."""

from __future__ import annotations

import pytest

from streamer.errors import OriginNonsense
from streamer.fields import MAX_FORWARDED
from streamer.model import OriginResponse
from streamer.ranges import ByteRange
from streamer.relaying import answer, question, refuse_other_rest, rest

STRONG = '"v1"'


def asked(*fields, method="GET", path="f"):
    """The question that a request with these fields comes to."""
    return question(method, path, lambda name: [value for key, value in fields if key == name])


def told(status, *fields, length=None):
    return OriginResponse(length, fields, status=status)


def value(given, name):
    """The only value of a field of an answer; None where it is absent."""
    values = [value for key, value in given.fields if key == name]
    assert len(values) < 2
    return values[0] if values else None


# -- the question


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([], []),
        (
            [("If-None-Match", '"a"'), ("If-Modified-Since", "Sun")],
            [("If-None-Match", '"a"'), ("If-Modified-Since", "Sun")],
        ),
        (
            [("If-Match", "*"), ("If-Unmodified-Since", "Sun")],
            [("If-Match", "*"), ("If-Unmodified-Since", "Sun")],
        ),
        (
            [("If-None-Match", '"a"'), ("If-None-Match", 'W/"b"')],
            [("If-None-Match", '"a", W/"b"')],
        ),
        ([("If-Modified-Since", "Sun"), ("If-Modified-Since", "Mon")], []),
        ([("Range", "bytes=0-9")], [("Range", "bytes=0-9")]),
        ([("Range", "bytes=5-,-3")], [("Range", "bytes=5-,-3")]),
        (
            [("Range", "bytes=0-9"), ("If-Range", '"a"')],
            [("Range", "bytes=0-9"), ("If-Range", '"a"')],
        ),
        ([("If-Range", '"a"')], []),
        ([("Range", "bytes=0-9"), ("If-Range", '"a"'), ("If-Range", '"b"')], []),
        ([("Range", "bytes=0-9"), ("Range", "bytes=0-9")], []),
        ([("Range", "lines=0-9")], []),
        ([("Range", "bytes=9-0")], []),
        ([("Range", "bytes=" + "0-0," * 300 + "1-1")], []),
        ([("CDN-Loop", "a; b=c"), ("CDN-Loop", "d")], [("CDN-Loop", "a; b=c, d")]),
        (
            [
                ("Authorization", "Basic eDp5"),
                ("Cookie", "a=b"),
                ("Accept-Encoding", "gzip"),
                ("X-Token", "t"),
                ("Host", "h"),
            ],
            [],
        ),
    ],
    ids=[
        "nothing",
        "conditions of a cache",
        "conditions of a writer",
        "RFC 9110 5.3: two lines of a list",
        "RFC 9110 13.1.3: a repeated date",
        "one range",
        "several ranges",
        "RFC 9110 13.1.5: a range with its condition",
        "RFC 9110 13.1.5: the condition of no range",
        "a repeated condition of a range",
        "RFC 9110 14.2: a repeated range",
        "RFC 9110 14.2: another unit",
        "RFC 9110 14.1.1: a range that cannot be read",
        "more ranges than anybody needs",
        "RFC 8586 2: whom the request has passed",
        "whatever else a client sends",
    ],
)
def test_origin_is_asked_with_conditions_and_ranges_alone(fields, expected):
    """Nothing of a client reaches an origin but what it decides by."""
    assert expected == list(asked(*fields).fields)


def test_head_asks_for_no_range():
    """Range means something to GET alone (RFC 9110 section 14.2)."""
    found = asked(("Range", "bytes=0-9"), ("If-Match", "*"), method="HEAD")

    assert ((("If-Match", "*"),), ()) == (found.fields, found.ranges)


# -- the answer


@pytest.mark.parametrize(
    ("status", "fields"),
    [
        (206, []),
        (304, []),
        (304, [("If-Match", '"a"')]),
        (412, []),
        (412, [("If-None-Match", '"a"')]),
        (416, []),
        (416, [("If-None-Match", '"a"')]),
        (204, []),
        (201, []),
        (404, []),
    ],
)
def test_status_that_nothing_calls_for_is_nonsense(status, fields):
    """A client that did not ask for it would not know what to make of it."""
    with pytest.raises(OriginNonsense):
        answer(asked(*fields), told(status, ("Content-Range", "bytes 0-9/10"), length=10))


def test_representation_of_the_origin_is_described_as_it_does():
    """Validators, caching and coding are the origin's own; what is something else stays behind."""
    fields = (
        ("etag", 'W/"v1"'),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Date", "Sun, 06 Nov 1994 08:50:00 GMT"),
        ("Cache-Control", "private,\tmax-age=5"),
        ("cache-control", "\x01"),
        ("cache-control", ""),
        ("cache-control", "no-transform"),
        ("Age", "3"),
        ("Expires", "Sun, 06 Nov 1994 08:55:00 GMT"),
        ("Vary", "Accept"),
        ("Content-Encoding", "gzip"),
        ("Content-Type", "text/html"),
        ("Accept-Ranges", "bytes"),
        ("Content-Disposition", "attachment"),
        ("X-PyPI-Last-Serial", "7"),
    )
    others = (
        ("Set-Cookie", "a=b"),
        ("Server", "nginx"),
        ("Content-Range", "bytes 0-9/10"),
        ("Content-Length", "7"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "X-A"),
        ("Strict-Transport-Security", "max-age=1"),
        ("Location", "http://other.example/"),
        ("WWW-Authenticate", "Basic"),
        ("X-Accel-Redirect", "/etc/passwd"),
        ("Content-Language", ""),
    )

    given = answer(asked(), told(200, *fields, *others, length=7))

    expected = dict(fields[7:]) | {
        "ETag": 'W/"v1"',
        "Last-Modified": "Sun, 06 Nov 1994 08:49:37 GMT",
        "Date": "Sun, 06 Nov 1994 08:50:00 GMT",
        "Cache-Control": "private, max-age=5, no-transform",
    }
    assert sorted(expected.items()) == sorted(given.fields)
    assert (200, True, 7, 0, None) == (
        given.status,
        given.has_content,
        given.length,
        given.first,
        given.etag,
    )


def test_what_describes_the_content_is_not_crowded_out():
    """Without its coding it would be other content, and without its caching everybody's."""
    crowd = [(f"X-{number}", "v") for number in range(150)]
    own = [("Cache-Control", "no-store"), ("Content-Encoding", "gzip"), ("Vary", "Accept")]

    given = answer(asked(), told(200, *crowd, *own, length=7))

    assert set(own) <= set(given.fields)
    assert len(given.fields) == MAX_FORWARDED + len(own)


@pytest.mark.parametrize(
    "name", ["ETag", "Last-Modified", "Content-Type", "Age", "Date", "Expires"]
)
def test_field_that_is_said_twice_says_nothing(name):
    """Two validators are none; a client would take the first or the last of them."""
    given = answer(asked(), told(200, (name, "1"), (name.lower(), "2")))

    assert () == given.fields


@pytest.mark.parametrize(
    ("etag", "expected"),
    [('"v1"', '"v1"'), ('W/"v1"', None), ("v1", None), ('"', None), ("", None)],
)
def test_only_a_strong_tag_lets_content_go_on(etag, expected):
    """A weak one does not say that bytes are the same (RFC 9110 section 8.8.1)."""
    assert expected == answer(asked(), told(200, ("ETag", etag), length=10)).etag


@pytest.mark.parametrize(
    ("wanted", "sent", "length"),
    [
        ("bytes=0-9", "bytes 0-9/100", 10),
        ("bytes=0-9", "bytes 0-9/100", None),
        ("bytes=0-9", "bytes 0-9/*", 10),
        ("bytes=0-9", "bytes 0-4/100", 5),
        ("bytes=0-200", "bytes 0-99/100", 100),
        ("bytes=90-", "bytes 90-99/100", 10),
        ("bytes=90-", "bytes 90-99/*", 10),
        ("bytes=-10", "bytes 90-99/100", 10),
        ("bytes=-10", "bytes 90-99/*", 10),
        ("bytes=-200", "bytes 0-99/100", 100),
        ("bytes=0-1,5-6", "bytes 0-6/100", 7),
    ],
)
def test_part_that_was_asked_for_is_relayed(wanted, sent, length):
    """It is as long as it says, so its length is known."""
    given = answer(asked(("Range", wanted)), told(206, ("Content-Range", sent), length=length))

    assert (206, sent) == (given.status, value(given, "Content-Range"))
    first, last = map(int, sent.removeprefix("bytes ").split("/")[0].split("-"))
    assert (first, last - first + 1) == (given.first, given.length)


@pytest.mark.parametrize(
    ("wanted", "fields", "length"),
    [
        ("bytes=0-9", [], 10),
        ("bytes=0-9", [("Content-Range", "bytes 0-9/100")], 11),
        ("bytes=0-9", [("Content-Range", "bytes 0-10/100")], 11),
        ("bytes=5-9", [("Content-Range", "bytes 0-9/100")], 10),
        ("bytes=-10", [("Content-Range", "bytes 80-89/100")], 10),
        ("bytes=-10", [("Content-Range", "bytes 80-99/*")], 20),
        ("bytes=90-", [("Content-Range", "bytes 80-99/*")], 20),
        ("bytes=0-9", [("Content-Range", "bytes 9-0/100")], 10),
        ("bytes=0-9", [("Content-Range", "bytes 0-9/5")], 10),
        ("bytes=0-9", [("Content-Range", "bytes */100")], 10),
        ("bytes=0-9", [("Content-Range", "bytes 0-9/100")] * 2, 10),
        ("bytes=0-9", [("Content-Type", "multipart/byteranges; boundary=b")], 100),
        ("bytes=0-1,5-6", [("Content-Type", "text/plain")], 100),
    ],
    ids=[
        "no Content-Range",
        "another length than it says",
        "more than was asked for",
        "an earlier beginning",
        "another suffix",
        "a longer suffix",
        "an earlier open range",
        "a range that runs backwards",
        "a range beyond its own total",
        "no range",
        "two ranges",
        "RFC 9110 15.3.7.2: several parts of one range",
        "neither one part nor several",
    ],
)
def test_part_that_nobody_asked_for_is_nonsense(wanted, fields, length):
    """A client would put its bytes in the wrong place."""
    with pytest.raises(OriginNonsense):
        answer(asked(("Range", wanted)), told(206, *fields, length=length))


DATE, OTHER_DATE = "Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT"
PART = ("Content-Range", "bytes 5-9/10")


@pytest.mark.parametrize("ranges", ["bytes=5-9", "bytes=5-6,8-9"])
@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        (STRONG, [("ETag", '"v2"')]),
        (STRONG, [("ETag", f"W/{STRONG}")]),
        (DATE, [("Last-Modified", OTHER_DATE)]),
        ("no date", [("Last-Modified", DATE)]),
    ],
)
def test_part_of_other_content_than_is_gone_on_with_is_nonsense(ranges, condition, fields):
    """An origin that does not know If-Range would let a client join two halves of two things."""
    question_of = asked(("Range", ranges), ("If-Range", condition))

    with pytest.raises(OriginNonsense):
        answer(question_of, told(206, PART, *fields, length=5))


@pytest.mark.parametrize(
    ("condition", "fields"),
    [
        (STRONG, [("ETag", STRONG)]),
        (STRONG, []),
        (DATE, [("Last-Modified", DATE), ("ETag", STRONG)]),
        ("Sunday, 06-Nov-94 08:49:37 GMT", [("Last-Modified", DATE)]),
    ],
)
def test_part_of_the_content_that_is_gone_on_with_is_relayed(condition, fields):
    """Who names no validator is taken at its word: it was asked under a condition."""
    question_of = asked(("Range", "bytes=5-9"), ("If-Range", condition))

    assert 206 == answer(question_of, told(206, PART, *fields, length=5)).status


def test_several_parts_are_relayed_as_they_come():
    """Each part says itself which one it is, and content that is framed does not go on."""
    media_type = ("Content-Type", "multipart/byteranges; boundary=b")

    given = answer(
        asked(("Range", "bytes=0-1,5-6")), told(206, media_type, ("ETag", STRONG), length=200)
    )

    assert {media_type, ("ETag", STRONG)} == set(given.fields)
    assert (206, 200, None) == (given.status, given.length, given.etag)


@pytest.mark.parametrize(
    ("path", "place", "expected"),
    [
        ("a/folder", "folder/", "./folder/"),
        ("folder", "./folder/", "./folder/"),
        ("a:b", "./a:b/", "./a:b/"),
        ("f?q=%20&r=a/b", "f/?q=other", "./f/?q=%20&r=a/b"),
        ("f", "f/?q=1", "./f/"),
        ("%C3%A9+~;v=1", "%C3%A9+~;v=1/", "./%C3%A9+~;v=1/"),
    ],
)
def test_folder_without_its_slash_is_told_so(path, place, expected):
    """Only so do the relative references in it lead where they should."""
    given = answer(asked(path=path), told(302, ("Location", place), ("ETag", STRONG), length=9))

    assert (302, (("Location", expected), ("Content-Length", "0")), False) == (
        given.status,
        given.fields,
        given.has_content,
    )


@pytest.mark.parametrize(
    "place",
    ["", "/", "//h/", "/f/", "http://h/", "http://h/f/", "f", "g/", "../f/", "f/g/", "f/#x", "../"],
)
def test_redirect_to_anywhere_else_is_nonsense(place):
    """Clients do not learn where the origin is, nor are they sent to another one."""
    with pytest.raises(OriginNonsense):
        answer(asked(), told(302, ("Location", place)))
    with pytest.raises(OriginNonsense):
        answer(asked(path="a/"), told(302, ("Location", place)))


def test_unchanged_content_is_not_sent():
    """A 304 has no content, whatever length it speaks of."""
    given = answer(
        asked(("If-None-Match", STRONG)),
        told(304, ("ETag", STRONG), ("Content-Length", "10"), length=0),
    )

    assert (304, (("ETag", STRONG),), False) == (given.status, given.fields, given.has_content)


@pytest.mark.parametrize(
    ("sent", "expected"), [("bytes */10", "bytes */10"), ("bytes 0-9/10", None), ("x", None)]
)
def test_length_of_a_range_beyond_the_end_is_told(sent, expected):
    """A 416 says how long the content is, and nothing that looks like a part of it."""
    given = answer(asked(("Range", "bytes=99-")), told(416, ("Content-Range", sent), length=5))

    assert (416, expected, 5) == (given.status, value(given, "Content-Range"), given.length)


@pytest.mark.parametrize(("sent", "expected"), [("10", "10"), ("ten", None), ("-1", None)])
def test_head_tells_the_length_that_get_would_have(sent, expected):
    """It comes as a field, for there is no content."""
    given = answer(asked(method="HEAD"), told(200, ("Content-Length", sent), length=0))

    assert (expected, False) == (value(given, "Content-Length"), given.has_content)


# -- the rest of content that broke off


def begun(*, wanted=None, sent=None, length=100, more=()):
    """An answer with a strong tag, to a Range or to none."""
    fields = [("ETag", STRONG), *([("Content-Range", sent)] if sent else []), *more]
    status = 206 if sent else 200
    request = [("Range", wanted)] if wanted else []
    return answer(asked(*request), told(status, *fields, length=length))


def test_rest_is_asked_for_under_the_condition_that_it_is_the_same():
    """If-Range makes an origin send something recognisably else if it has changed."""
    whole, part = begun(), begun(wanted="bytes=50-", sent="bytes 50-99/100", length=50)

    assert (("Range", "bytes=30-99"), ("If-Range", STRONG)) == rest(whole, ByteRange(30, 99))
    assert (("Range", "bytes=80-99"), ("If-Range", STRONG)) == rest(part, ByteRange(30, 49))


def test_rest_that_is_exactly_that_is_taken():
    """Of a part, positions count from where the part began."""
    whole, part = begun(), begun(wanted="bytes=50-", sent="bytes 50-99/100", length=50)
    tag = ("ETag", STRONG)

    for given, span, sent in (
        (whole, ByteRange(30, 99), "bytes 30-99/100"),
        (part, ByteRange(30, 49), "bytes 80-99/100"),
    ):
        origin = told(206, tag, ("Content-Range", sent), length=span.length)
        assert refuse_other_rest(given, span, origin) is None


@pytest.mark.parametrize(
    ("status", "sent", "length", "more"),
    [
        (200, None, 100, [("ETag", STRONG)]),
        (206, None, 70, [("ETag", STRONG)]),
        (206, "bytes 29-99/100", 71, [("ETag", STRONG)]),
        (206, "bytes 30-98/100", 69, [("ETag", STRONG)]),
        (206, "bytes 30-99/101", 70, [("ETag", STRONG)]),
        (206, "bytes 30-99/100", 71, [("ETag", STRONG)]),
        (206, "bytes 30-99/100", 70, [("ETag", '"v2"')]),
        (206, "bytes 30-99/100", 70, [("ETag", f"W/{STRONG}")]),
        (206, "bytes 30-99/100", 70, []),
        (206, "bytes 30-99/100", 70, [("ETag", STRONG), ("Content-Encoding", "gzip")]),
    ],
    ids=[
        "all of it",
        "no Content-Range",
        "an earlier beginning",
        "an earlier end",
        "another total",
        "another length than it says",
        "another tag",
        "a weak tag",
        "no tag",
        "another coding",
    ],
)
def test_other_rest_is_refused(status, sent, length, more):
    """Nothing would show that two pieces of it belong together."""
    place = [("Content-Range", sent)] if sent else []

    with pytest.raises(OriginNonsense):
        refuse_other_rest(begun(), ByteRange(30, 99), told(status, *place, *more, length=length))
