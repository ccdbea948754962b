"""Pass-through, decided: what of a request goes to the origin, and which answer may be relayed.

Strategy. The origin decides, so its answer is not compared with anything but the question and
itself. It must be one that this question can have (RFC 9110 sections 13.2.2 and 14.2), and it must
say of a part which one it is, so that no client files bytes in the wrong place.

| status | only where | content |
|---|---|---|
| 200 | | as it comes |
| 206 | Range was sent, and If-Range holds | one part, within a range that was asked for and as |
| | | long as it says; or with several ranges multipart/byteranges, as it comes |
| 302 | it does nothing but add a slash, relative to the request | none |
| 304 | If-None-Match or If-Modified-Since was sent | none |
| 412 | If-Match or If-Unmodified-Since was sent | as it comes |
| 416 | Range was sent | as it comes |

Separate from `passing`, which does it. Whatever does not fit is `OriginNonsense`: an attempt that
failed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from streamer import fields
from streamer.errors import OriginNonsense
from streamer.model import Fields, OriginResponse
from streamer.preconditions import read_date
from streamer.ranges import ByteRange, Spec, lies_within, read_ranges, read_relayed_range

_LISTS = ("If-Match", "If-None-Match", "CDN-Loop")
_DATES = ("If-Modified-Since", "If-Unmodified-Since")

_CACHE_CONDITIONS = {"If-None-Match", "If-Modified-Since"}
_WRITE_CONDITIONS = {"If-Match", "If-Unmodified-Since"}

_STRONG_TAG = re.compile(r'"[\x21\x23-\x7e\x80-\xff]*"')  # RFC 9110 section 8.8.3
_UNSATISFIED = re.compile(r"bytes \*/[0-9]{1,19}", re.IGNORECASE)
_LENGTH = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Question:
    """What an origin is asked on behalf of a client: nothing else of the request reaches it."""

    method: str
    path: str
    fields: Fields
    ranges: tuple[Spec, ...] = ()

    def value(self, name: str) -> str | None:
        """The value of a field; None where it is not sent."""
        return dict(self.fields).get(name)

    def has_any(self, names: set[str]) -> bool:
        """Whether one of these fields is sent."""
        return any(name in names for name, _ in self.fields)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told of an origin's answer.

    `length` is that of the content that follows, None where the origin does not say; `first` is
    where it begins in the representation. `etag` is set where a strong one shows that the rest, if
    it has to be asked for, is of the same representation.
    """

    status: int
    fields: Fields
    has_content: bool
    length: int | None
    first: int = 0
    etag: str | None = None


def question(method: str, path: str, values: Callable[[str], Sequence[str]]) -> Question:
    """What to ask for `path`, given all values of each field of the client's request.

    The lines of a list become one; a date that is repeated is ignored, and so is a Range that
    cannot be read, or whose If-Range is repeated (RFC 9110 sections 5.3, 13.1 and 14.2). Whom the
    request has passed goes on with it, or two services that pass to each other would never know
    (RFC 8586 section 2).
    """
    told = [(name, ", ".join(values(name))) for name in _LISTS if values(name)]
    told += [(name, values(name)[0]) for name in _DATES if len(values(name)) == 1]
    ranges = read_ranges(values("Range")) if method == "GET" else ()
    if ranges and len(values("If-Range")) <= 1:
        told += [(name, values(name)[0]) for name in ("Range", "If-Range") if values(name)]
    else:
        ranges = ()
    return Question(method, path, tuple(told), ranges)


def answer(asked: Question, origin: OriginResponse) -> Answer:
    """Decide what to make of an origin's answer; raises `OriginNonsense`."""
    if origin.status == 302:
        return _added_slash(asked, origin)
    _refuse_unasked(asked, origin.status)
    told = (*_told_range(origin), *fields.relayable(origin.fields))
    if origin.status == 304:
        return Answer(304, told, has_content=False, length=None)
    if asked.method == "HEAD":
        return Answer(origin.status, (*_told_length(origin), *told), has_content=False, length=None)
    if origin.status == 206:
        _refuse_changed(asked, origin)
        if not (len(asked.ranges) > 1 and _is_multipart(origin)):
            return _part(asked, origin, told)
    etag = _strong_tag(origin) if origin.status == 200 else None
    return Answer(origin.status, told, has_content=True, length=origin.length, etag=etag)


def rest(given: Answer, span: ByteRange) -> Fields:
    """What asks for a `span` of the content that an answer began, and for nothing else."""
    return (("Range", f"bytes={_wanted(given, span)}"), ("If-Range", given.etag or ""))


def refuse_other_rest(given: Answer, span: ByteRange, origin: OriginResponse) -> None:
    """Return where an answer to `rest` is exactly that, by all that can be seen of it."""
    part, size = read_relayed_range(_value(origin, "Content-Range") or "") or (None, None)
    before = {name.lower(): value for name, value in given.fields}
    is_same = (
        origin.status == 206
        and part == _wanted(given, span)
        and origin.length in (None, span.length)
        and _strong_tag(origin) == given.etag
        and _value(origin, "Content-Encoding") == before.get("content-encoding")
        and (size is None or _total(given) in (None, size))
    )
    if not is_same:
        raise OriginNonsense("it does not go on with the content that it began")


def _wanted(given: Answer, span: ByteRange) -> ByteRange:
    """Where a span of the content lies in the representation."""
    return ByteRange(given.first + span.first, given.first + span.last)


def _refuse_unasked(asked: Question, status: int) -> None:
    is_asked = {
        206: bool(asked.ranges),
        304: asked.has_any(_CACHE_CONDITIONS),
        412: asked.has_any(_WRITE_CONDITIONS),
        416: bool(asked.ranges),
    }.get(status, status == 200)
    if not is_asked:
        raise OriginNonsense(f"nothing in the request calls for its answer {status}")


def _refuse_changed(asked: Question, origin: OriginResponse) -> None:
    """A part of other content than If-Range names, by an origin that did not heed it."""
    wanted = asked.value("If-Range")
    if wanted is None:
        return
    if wanted.endswith('"'):
        is_other = _value(origin, "ETag") not in (None, wanted)
    else:
        is_other = read_date(_value(origin, "Last-Modified")) not in (None, read_date(wanted))
    if is_other:
        raise OriginNonsense("it sends a part of other content than the client goes on with")


def _added_slash(asked: Question, origin: OriginResponse) -> Answer:
    """Where a folder was asked for like a file; any other redirect tells where the origin is.

    The reference is written anew: with `./`, no name can make it another host or scheme.
    """
    path, mark, query = asked.path.partition("?")
    name = path.rpartition("/")[2]
    place = (_value(origin, "Location") or "").partition("?")[0].removeprefix("./")
    if not name or place != f"{name}/":
        raise OriginNonsense("it redirects to somewhere else")
    told = (("Location", f"./{name}/{mark}{query}"), ("Content-Length", "0"))
    return Answer(302, told, has_content=False, length=None)


def _part(asked: Question, origin: OriginResponse, told: Fields) -> Answer:
    """One part of the representation, if that is what was asked for (RFC 9110 section 15.3.7.1)."""
    part, size = read_relayed_range(_value(origin, "Content-Range") or "") or (None, None)
    if part is None or origin.length not in (None, part.length):
        raise OriginNonsense("it does not say which part it sends")
    if len(asked.ranges) == 1 and not lies_within(part, asked.ranges[0], size):
        raise OriginNonsense("it sends another part than the one it was asked for")
    place = ("Content-Range", f"bytes {part}/{'*' if size is None else size}")
    return Answer(206, (place, *told), True, part.length, part.first, _strong_tag(origin))


def _is_multipart(origin: OriginResponse) -> bool:
    """Whether there are several parts, each of which says itself which one it is."""
    media_type = (_value(origin, "Content-Type") or "").lower()
    return media_type.startswith("multipart/byteranges")


def _told_range(origin: OriginResponse) -> Fields:
    """The length that a 416 tells."""
    written = _value(origin, "Content-Range") if origin.status == 416 else None
    is_told = written is not None and _UNSATISFIED.fullmatch(written)
    return (("Content-Range", written),) if written is not None and is_told else ()


def _told_length(origin: OriginResponse) -> Fields:
    """The length that a GET would have, where an answer to HEAD tells it."""
    written = _value(origin, "Content-Length")
    is_told = written is not None and _LENGTH.fullmatch(written)
    return (("Content-Length", written),) if written is not None and is_told else ()


def _strong_tag(origin: OriginResponse) -> str | None:
    written = _value(origin, "ETag")
    return written if written is not None and _STRONG_TAG.fullmatch(written) else None


def _total(given: Answer) -> int | None:
    """The complete length of the representation, as far as the first answer told it."""
    for name, value in given.fields:
        if name == "Content-Range":
            return (read_relayed_range(value) or (None, None))[1]
    return given.length


def _value(origin: OriginResponse, name: str) -> str | None:
    """The only value of a field; None where it is absent or repeated."""
    values = [value for key, value in origin.fields if key.lower() == name.lower()]
    return values[0].strip(" \t") if len(values) == 1 else None
