"""Pass-through: whatever an origin answers, no client takes for complete what was not."""

from __future__ import annotations

import re

from exchanges import Service, pieces
from hypothesis import strategies as st
from proof import holds_for, nothing_logged
from texts import LATIN_1
from wire import read_answers

from streamer.errors import ContentTruncated
from streamer.model import DownloadConfig, PassThrough
from streamer.testing import MemoryDownload

NUMBERS = st.sampled_from(["0", "1", "9", "10", "99", "100", "*", "x"])
PLACES = st.builds("bytes {}-{}/{}".format, NUMBERS, NUMBERS, NUMBERS)
NAMES = st.sampled_from(
    [
        *["ETag", "Date", "Content-Type", "Cache-Control", "Vary", "Content-Encoding", "Age"],
        *["Content-Length", "Transfer-Encoding", "Connection", "Set-Cookie", "Via", "Location"],
        *["X-Accel-Redirect", "Link", "X\r\nA", "Trailer"],
    ]
)
VALUES = st.sampled_from(['"v1"', "a, b", "f/", "10", "chunked", "multipart/byteranges"]) | LATIN_1
FIELDS = st.lists(
    st.tuples(NAMES, VALUES) | st.tuples(st.just("Content-Range"), PLACES), max_size=6
).map(tuple)
ASKED = st.lists(
    st.sampled_from(
        [
            *['If-None-Match: "v1"', "If-Match: *", "If-Range: x", "If-Modified-Since: Sunday"],
            *["Range: bytes=0-9", "Range: bytes=-9", "Range: bytes=1-,5-6"],
        ]
    ),
    max_size=3,
)
STATUSES = st.sampled_from([200, 206, 302, 304, 412, 416, 204, 500])
SINGLE = {
    *["content-length", "content-type", "content-range", "etag", "date", "location", "age"],
    *["cache-status", "via", "x-content-type-options"],
}
NEVER = {"set-cookie", "trailer", "x-accel-redirect", "connection"}


@holds_for(
    examples=400,
    status=STATUSES,
    fields=FIELDS,
    asked=ASKED,
    method=st.sampled_from(["GET", "HEAD"]),
    version=st.sampled_from(["1.1", "1.0"]),
    content=st.binary(max_size=12)
    | st.binary(min_size=10, max_size=10).map(lambda one: one * 4000),
    length=st.none() | st.integers(0, 12) | st.just(40_000),
    breaks_off=st.booleans(),
)
def test_answer_of_an_origin_is_relayed_whole_or_not_at_all(
    status, fields, asked, method, version, content, length, breaks_off
):
    """What a client takes for complete is all that the origin sent, as long as it said."""
    service = Service()
    service.catalog.bind(PassThrough("proxy", DownloadConfig(1, 1, "i", "http", {})))
    error = ContentTruncated(len(content)) if breaks_off else None
    origin = MemoryDownload(
        pieces(content), length=length, fields=fields, status=status, error=error
    )
    service.importers.script("f", origin)
    with nothing_logged():
        wire = service.ask("/proxy/f", *asked, method=method, version=version)

    (answer,) = read_answers(wire.value(), method)
    names = [name.lower() for name, _ in answer.fields]
    assert all(names.count(name) == 1 for name in names if name in SINGLE)
    assert not NEVER & set(names)
    assert answer.status in (status, 502)
    if answer.status == 206:
        assert "Range" in {line.partition(":")[0] for line in asked}
    is_relayed = answer.status == status and status not in (302, 304) and method == "GET"
    # Of content whose length is none, its head is all.
    if is_relayed and answer.is_complete and length != 0:
        assert content == answer.content
        assert not breaks_off
        assert length in (None, len(content))
        place = re.match(r"bytes (\d+)-(\d+)/", answer["Content-Range"] or "")
        assert place is None or int(place[2]) - int(place[1]) + 1 == len(content)
    if not is_relayed and answer.status != 502:
        assert b"" == answer.content
