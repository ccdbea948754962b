"""What comes of a download: fields first, then exactly the content that was asked for.

The service verifies all of it once more, so an importer that fails here harms no client; it is just
of no use.
"""

from __future__ import annotations

from streamer.errors import OriginError
from streamer.model import OriginResponse
from streamer.ranges import ByteRange
from streamer.testing.reading import Reading
from streamer.testing.subject import Subject, refusal, require, session_of

_PIECE_BYTES = 1000


async def check_fields(subject: Subject) -> None:
    """The fields come before the content, and nothing but what the origin said is in them."""
    async with session_of(subject) as session:
        download = await session.open()
        response = download.response
        _check_response(response)
        require(response.part_of is None, "part_of is set, and no span was asked for")
        announced, size = response.length, len(subject.content)
        require(announced in (None, size), f"the length is {announced} and should be {size}")
        reading = Reading(session, download, subject.content)
        reading.begin()
        await reading.first_bytes()
        require(download.response == response, "the response changed when its content came")


async def check_content(subject: Subject) -> None:
    """All of the content comes, from its first byte on and in order, and then the last word."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.begin()
        await reading.whole()
        await subject.quiet()
        reading.stop()
        reading.check()


async def check_spans(subject: Subject) -> None:
    """Who asks for a span gets it and is told so, or gets all and is told so; again and again."""
    async with session_of(subject) as session:
        downloader = await session.prepared()
        for span in _spans(len(subject.content)):
            download = await session.open(span, downloader)
            response, expected = download.response, subject.content
            _check_response(response)
            if response.part_of is not None:
                _check_part(response, span, len(subject.content))
                expected = subject.content[span.first : span.last + 1]
            reading = Reading(session, download, expected)
            reading.begin()
            await reading.whole()
            reading.stop()


async def check_broken(subject: Subject) -> None:
    """Content that breaks off ends in an `OriginError`, and not as if that were all."""
    if subject.broken is None:
        return
    async with session_of(subject) as session:
        download = await session.opened(session.asking(subject.broken))
        reading = Reading(session, download, subject.content)
        reading.begin()
        error = await reading.end()
        require(error is not None, "content that broke off ended as if it were complete")
        reading.stop()


async def check_unsized(subject: Subject) -> None:
    """Content of which nobody says how long it is has no length, and comes whole all the same."""
    if subject.unsized is None:
        return
    async with session_of(subject) as session:
        download = await session.opened(session.asking(subject.unsized))
        announced = download.response.length
        require(announced is None, f"the length is {announced}, and the origin said none")
        reading = Reading(session, download, subject.content)
        reading.begin()
        await reading.whole()
        reading.stop()


async def check_lying(subject: Subject) -> None:
    """Another part than the one that was asked for is refused: no digest would find it out."""
    if subject.lying is None:
        return
    async with session_of(subject) as session:
        span = ByteRange(1, _PIECE_BYTES)
        error = await refusal(subject, session.asking(subject.lying, span))
        found = f"open raised {type(error).__name__} of another part, and no OriginError"
        require(isinstance(error, OriginError), found)


def _spans(size: int) -> tuple[ByteRange, ...]:
    """The ends, and what lies between them: a part, the rest of it, all of it."""
    middle = size // 2
    return (
        ByteRange(0, 0),
        ByteRange(0, _PIECE_BYTES - 1),
        ByteRange(middle, middle + _PIECE_BYTES - 1),
        ByteRange(middle, size - 1),
        ByteRange(size - 1, size - 1),
        ByteRange(0, size - 1),
    )


def _check_response(response: OriginResponse) -> None:
    usual = (200,) if response.part_of is None else (200, 206)
    is_usual = response.status in usual
    require(is_usual, f"the status is {response.status}, as only that of a relayed answer may be")
    for field in response.fields:
        name, value = field
        is_clean = name.isascii() and not set(name + value) & set("\r\n\0")
        require(is_clean, "a field holds what no field can hold: a line break, NUL, another name")


def _check_part(response: OriginResponse, span: ByteRange, size: int) -> None:
    total, announced = response.part_of, response.length
    require(total == size, f"part_of is {total} and should be {size}, the length of all of it")
    is_right = announced in (None, span.length)
    require(is_right, f"the length is {announced}, and {span.length} were asked for")
