"""How a download flows: it stops at any point, waits while it is paused, and keeps little.

`stop` and `pause` are tried from within the sink's methods too, because that is where the service
calls them from.
"""

from __future__ import annotations

import itertools
import tracemalloc

from streamer.testing.reading import Reading
from streamer.testing.subject import Subject, require, session_of

MAX_AFTER_PAUSE_BYTES = 256 * 1024
"""What may still come after a pause: a read of the socket, and what TLS has opened already."""

MAX_MEMORY_BYTES = 2 * 1024 * 1024
"""What a download may keep in memory, paused or not: far less than content may have."""


# -- stop


async def check_stop_before_content(subject: Subject) -> None:
    """A download that nobody takes anything from leaves nothing, paused or not."""
    for is_paused in (False, True):
        async with session_of(subject) as session:
            download = await session.open()
            if is_paused:
                download.pause()
            download.stop()
            download.stop()


async def check_stop_in_content(subject: Subject) -> None:
    """Nothing comes after `stop`, neither content nor a last word: within a call, or later."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.on_first = reading.stop
        await _stopped(subject, reading)
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        await _stopped(subject, reading)


async def check_stop_in_pause(subject: Subject) -> None:
    """A download can be stopped while it is paused: its client left before it could take more."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.on_first = reading.download.pause
        await _stopped(subject, reading)


async def check_stop_at_the_end(subject: Subject) -> None:
    """`stop` is called on every path: within the last word, and after it."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.on_end = reading.stop
        reading.begin()
        await reading.whole()
        reading.stop()
        await subject.quiet()
        reading.check()


async def _stopped(subject: Subject, reading: Reading) -> None:
    """Stop after the first bytes, and see that it stays so."""
    reading.begin()
    await reading.first_bytes()
    reading.stop()
    reading.stop()
    await subject.quiet()
    reading.check()


# -- pause


async def check_pause(subject: Subject) -> None:
    """After `pause` a bounded number of bytes comes, and after `resume` all the others."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.on_first = reading.download.pause
        reading.begin()
        await reading.first_bytes()
        reading.download.pause()
        await _check_pause_holds(subject, reading, reading.first_byte_count)
        reading.download.resume()
        reading.download.resume()
        await reading.whole()
        reading.stop()


async def check_pause_before_content(subject: Subject) -> None:
    """A pause counts from before `deliver`: who takes the content may be full already."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        reading.download.pause()
        reading.begin()
        await _check_pause_holds(subject, reading, 0)
        reading.download.resume()
        await reading.whole()
        reading.stop()


async def check_pause_often(subject: Subject) -> None:
    """A sink may pause at each chunk, and resume within the same call or later."""
    async with session_of(subject) as session:
        reading = Reading(session, await session.open(), subject.content)
        _pause_often(subject, reading)
        reading.begin()
        await reading.whole()
        reading.stop()


def _pause_often(subject: Subject, reading: Reading) -> None:
    download, is_within = reading.download, itertools.cycle((True, False))

    def resume() -> None:
        if not reading.is_ended:  # it may be stopped by then, and hear nothing any more
            download.resume()

    def waver() -> None:
        download.pause()
        if next(is_within):
            resume()
        else:
            subject.reactor.callLater(0, resume)

    reading.on_content = waver


async def check_memory(subject: Subject) -> None:
    """What a sink does not take is not kept: it stays with the origin."""
    is_ours = not tracemalloc.is_tracing()
    tracemalloc.start()
    try:
        async with session_of(subject) as session:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            reading = Reading(session, await session.open(), subject.content)
            reading.on_first = reading.download.pause
            reading.begin()
            await reading.first_bytes()
            await subject.quiet()
            _, most = tracemalloc.get_traced_memory()
            kept = most - before
            require(kept <= MAX_MEMORY_BYTES, f"a paused download took {kept:,} bytes of memory")
    finally:
        if is_ours:
            tracemalloc.stop()


async def _check_pause_holds(subject: Subject, reading: Reading, before: int) -> None:
    """At most a bounded number of bytes comes, beside those that came `before` the pause."""
    await subject.quiet()
    more = reading.received_bytes - before
    require(more <= MAX_AFTER_PAUSE_BYTES, f"{more:,} bytes came while the content was paused")
    require(not reading.is_ended, "the content ended while it was paused")
