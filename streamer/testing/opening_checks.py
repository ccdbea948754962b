"""Opening, and what the downloads of one importer share: connections, but no trouble.

An open is the part that waits for others, so it is cancelled here at many moments.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, FirstError, gatherResults

from streamer.errors import OriginError
from streamer.interfaces import Download
from streamer.testing.reading import Reading
from streamer.testing.subject import (
    Session,
    Subject,
    fail,
    refusal,
    require,
    session_of,
    started,
)

MAX_MOMENTS = 26
FIRST_MOMENTS = 12
"""When an open is cancelled: after each of the first turns of the reactor, then ever later ones."""

ODD_URLS = ("", " ", "%", "%zz", "a\0b", "a\r\nX: y", "\u00e9", "[", "http://[", "any://h/f", "..")
"""What a list may hold, by mistake or by malice."""


# -- open


async def check_cancelled_open(subject: Subject) -> None:
    """An open that is cancelled raises and leaves nothing, at whichever moment that is."""
    await cancel_at_moments(subject, Session.asking)


async def cancel_at_moments(
    subject: Subject, begin: Callable[[Session], Coroutine[Any, Any, Download]]
) -> None:
    """Cancel what `begin` begins, at ever later moments, until it is too late for that."""
    for moment in range(MAX_MOMENTS):
        turns = moment if moment < FIRST_MOMENTS else FIRST_MOMENTS << (moment - FIRST_MOMENTS)
        async with session_of(subject) as session:
            opening = started(begin(session))
            await subject.turns(turns)
            if opening.called:
                (await opening).stop()
                return
            await _cancelled(subject, opening)


async def _cancelled(subject: Subject, opening: Deferred[Download]) -> None:
    opening.cancel()
    try:
        with suppress(CancelledError, OriginError):
            download = await subject.in_time(opening, "a cancelled open did not end")
            download.stop()
            fail("a cancelled open completed")
    except AssertionError:
        raise
    except Exception as error:
        fail(f"a cancelled open raised {type(error).__name__}", error)


async def check_refused(subject: Subject) -> None:
    """What cannot be opened raises the `OriginError` that says why, and leaves nothing."""
    for source, expected in subject.refused:
        async with session_of(subject) as session:
            error = await refusal(subject, session.asking(source))
            name = type(error).__name__
            found = f"open raised {name} and should raise {expected.__name__}"
            require(isinstance(error, expected), found)
            require(_has_sentence(error), f"{name} makes no sentence of its arguments")


def _has_sentence(error: Exception) -> bool:
    """Whether it can be shown: its arguments are those that its sentence has places for."""
    try:
        return bool(str(error))
    except (IndexError, ValueError, TypeError):
        return False


async def check_any_source(subject: Subject) -> None:
    """Whatever was published makes a downloader, and what cannot be asked is an `OriginError`."""
    for url in ODD_URLS:
        async with session_of(subject) as session:
            opening = started(session.asking(replace(subject.source, url=url)))
            try:
                (await subject.in_time(opening, f"the open of {url[:40]!r} did not end")).stop()
            except OriginError:
                continue
            except AssertionError:
                raise
            except Exception as error:
                fail(f"the source {url[:40]!r} raised {type(error).__name__}", error)


# -- what is shared


async def check_concurrent(subject: Subject) -> None:
    """Downloads of one importer do not disturb each other, even if one stops and one waits."""
    async with session_of(subject) as session:
        ways = (_read, _read_a_part, _read_slowly, _read)
        work = [started(way(session)) for way in ways]
        running = gatherResults(work, consumeErrors=True)
        try:
            await subject.in_time(running, "downloads side by side did not end")
        except FirstError as error:
            error.subFailure.raiseException()
        finally:
            for each in work:
                each.cancel()


async def _read(session: Session) -> None:
    reading = Reading(session, await session.open(), session.subject.content)
    reading.begin()
    await reading.whole()
    reading.stop()


async def _read_a_part(session: Session) -> None:
    reading = Reading(session, await session.open(), session.subject.content)
    reading.on_first = reading.stop
    reading.begin()
    await reading.first_bytes()
    await session.subject.quiet()
    reading.check()


async def _read_slowly(session: Session) -> None:
    reading = Reading(session, await session.open(), session.subject.content)
    reading.on_first = reading.download.pause
    reading.begin()
    await reading.first_bytes()
    await session.subject.quiet()
    reading.download.resume()
    await reading.whole()
    reading.stop()


async def check_close(subject: Subject) -> None:
    """`close` waits for nobody, and ends nothing that is open.

    A download that is paused meanwhile comes to its end, and a downloader of before may be opened
    once more.
    """
    async with session_of(subject) as session:
        late = await session.prepared()
        reading = Reading(session, await session.open(), subject.content)
        reading.on_first = reading.download.pause
        reading.begin()
        await reading.first_bytes()
        await session.close()
        await subject.turns(1)
        reading.download.resume()
        await reading.whole()
        reading.stop()
        reading = Reading(session, await session.open(downloader=late), subject.content)
        reading.begin()
        await reading.whole()
        reading.stop()


async def check_silent(subject: Subject) -> None:
    """An origin that never answers keeps neither `close` nor who is cancelled."""
    if subject.silent is None:
        return
    async with session_of(subject) as session:
        opening = started(session.asking(subject.silent))
        await subject.quiet()
        if opening.called:
            opening.addCallbacks(lambda download: download.stop(), lambda _: None)
            fail("open ended, and its origin has not said a word")
        await session.close()
        await _cancelled(subject, opening)


async def check_origin(subject: Subject) -> None:
    """`origin` names the same place each time, with no credential, path or query; `retries` counts.

    What is known of an origin is kept under its name, and operators see it.
    """
    async with session_of(subject) as session:
        one, another = await session.prepared(), await session.prepared()
        origin = one.origin
        require(bool(origin) and origin.isprintable(), "origin is no name that can be shown")
        same = {one.origin, another.origin, (await session.prepared()).origin}
        require(same == {origin}, "origin is not the same at each look")
        authority = origin.partition("://")[2] or origin
        require(not set(authority) & set("@?#/"), "origin holds more than a scheme, host and port")
        require(not any(each in origin for each in subject.secrets), "origin holds a secret")
        require(one.retries >= 0, "retries is no number of attempts")
