"""Fields that pass, and heads that are written: whatever came in, no control character goes out."""

from __future__ import annotations

import re
from urllib.parse import quote

from exchanges import SMALL, Service, published, source
from hypothesis import strategies as st
from proof import holds_for, nothing_logged
from texts import LATIN_1, changed
from wire import read_answers

from streamer.errors import (
    ImporterBroken,
    OriginAnsweredOtherwise,
    OriginLacksIt,
    OriginNonsense,
    OriginUnreachable,
    SizeMismatch,
)
from streamer.fields import forwardable, is_loop, proxy_status
from streamer.testing import MemoryDownload

TOKENS = st.text("!#$%&'*+-.^_`|~0123456789abcXYZ", min_size=1, max_size=12)
NAMES = changed(
    st.sampled_from(
        [
            *["X-A", "x-accel-redirect", "Link", "Content-Disposition", "Docker-X", "X-Sendfile"],
            *["Set-Cookie", "Content-Length", "Transfer-Encoding", "ETag", "Via", "X-Auth-Token"],
        ]
    ),
    # A plugin's importer may bring what is no token, and what no head can hold.
    TOKENS | st.text(max_size=3),
)
VALUES = changed(st.sampled_from(["attachment", "a, b", "7", ""]), LATIN_1) | LATIN_1 | st.text()
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple)

OURS = {
    *["content-length", "content-type", "accept-ranges", "repr-digest", "etag", "last-modified"],
    *["cache-control", "cache-status", "via", "date", "x-content-type-options"],
}
STEERING = ("x-accel-", "x-sendfile", "x-forwarded-", "x-cache", "x-content-type-options")


def is_clean(text):
    return not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in text)


@holds_for(examples=300, fields=FIELDS)
def test_fields_that_pass_are_clean_and_allowed(fields):
    """RFC 9110 5.5: of any fields of an origin, what passes is a part, in order, as it was."""
    passed = forwardable(fields)

    rest = iter(fields)
    assert all(field in rest for field in passed)
    assert all(is_clean(value) and value for _, value in passed)
    for name, _ in passed:
        lower = name.lower()
        assert lower in ("content-disposition", "content-language", "link") or lower.startswith(
            ("x-", "docker-")
        )
        assert not lower.startswith(STEERING)


@holds_for(examples=100, fields=FIELDS)
def test_answer_with_any_fields_of_an_origin_is_in_order(fields):
    """However an origin decorates content, the client gets it with fields of ours and few more."""
    service = Service()
    service.publish(SMALL, MemoryDownload([SMALL], fields=fields))
    with nothing_logged():
        wire = service.ask("/base/f")

    (answer,) = read_answers(wire.value(), "GET")
    head = wire.value().partition(b"\r\n\r\n")[0].decode("latin-1")
    assert (answer.status, answer.content, answer.is_complete) == (200, SMALL, True)
    assert all(is_clean(line) for line in head.split("\r\n"))
    names = [name.lower() for name, _ in answer.fields]
    assert all(names.count(name) == 1 for name in names if name in OURS)
    allowed = {name.lower() for name, _ in forwardable(fields)} | OURS
    assert set(names) <= allowed


ANY_TEXT = st.text(max_size=20)
FAILURES = st.one_of(
    st.builds(OriginUnreachable, ANY_TEXT),
    st.builds(OriginNonsense, ANY_TEXT),
    st.builds(OriginAnsweredOtherwise, st.integers(100, 999)),
    st.builds(OriginLacksIt, st.just(404)),
    st.builds(SizeMismatch, st.integers(), st.integers()),
)


@holds_for(failures=st.lists(st.tuples(ANY_TEXT, FAILURES), max_size=3))
def test_proxy_status_is_visible_ascii(failures):
    """RFC 8941 3.3.3: names of importers and reasons may be in any script."""
    for _, value in proxy_status(failures):
        assert value.isascii()
        assert value.isprintable()
        assert re.fullmatch(r'([^"]|"([^"\\]|\\["\\])*")*', value)


@holds_for(name=ANY_TEXT, failure=FAILURES, is_broken=st.booleans())
def test_error_is_answered_in_any_words(name, failure, is_broken):
    """An importer of any name and a failure of any reason come to a whole response."""
    service = Service()
    if is_broken:
        service.importers.broken[name] = str(ImporterBroken(name, "it is"))
    service.importers.script("u", failure)
    service.catalog.publish("base/f", published(SMALL, source("u", importer=name)))
    with nothing_logged():
        wire = service.ask("/base/f")

    (answer,) = read_answers(wire.value(), "GET")
    assert answer.is_complete
    assert answer.status in ({500} if is_broken else {404, 502})
    assert all(is_clean(value) for _, value in answer.fields)


@holds_for(
    segments=st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=9).filter(
            lambda segment: not {"/"} & set(segment) and segment not in (".", "..")
        ),
        min_size=1,
        max_size=3,
    )
)
def test_redirect_to_a_folder_of_any_name_stays_below(segments):
    """RFC 3986 4.2: the location is ASCII, relative, and names the folder itself."""
    path = "/".join(segments)
    service = Service()
    service.catalog.publish(f"{path}/f", published(SMALL, source("u")))
    with nothing_logged():
        answer = service.answer(f"/{quote(path)}")

    assert answer.status == 302
    assert answer["Location"] == f"./{quote(segments[-1])}/"


@holds_for(via=st.lists(LATIN_1, max_size=3), loop=st.lists(LATIN_1, max_size=3))
def test_loop_is_looked_for_in_any_words(via, loop):
    """What cannot be read names nobody."""
    named = any("us" in value for value in via + loop)

    assert not is_loop("us", via, loop) or named
