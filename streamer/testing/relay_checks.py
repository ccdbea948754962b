"""What an importer has to do that a pass-through distribution may be bound to.

Each check is a coroutine function of a `RelaySubject`, as those of `checks` are of a `Subject`. A
download that is relayed flows, pauses and stops as any other, which is checked there.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, cast

from streamer.errors import OriginError
from streamer.interfaces import Download, Relayer, RelayingImporter
from streamer.model import Fields
from streamer.testing.opening_checks import cancel_at_moments
from streamer.testing.reading import Reading
from streamer.testing.subject import Session, Subject, refusal, require, session_of

_ONE_BYTE = (("Range", "bytes=1-1"),)


@dataclass(frozen=True, slots=True)
class RelaySubject:
    """A subject whose importer can relay: the `path` of its content, and one where nothing is."""

    subject: Subject
    path: str
    missing: str


async def check_relaying(relayed: RelaySubject) -> None:
    """Run all checks; the first that fails ends it."""
    for check in RELAY_CHECKS:
        await check(relayed)


async def check_relayed_get(relayed: RelaySubject) -> None:
    """GET brings all of the content, with the origin's fields and status."""
    async with session_of(relayed.subject) as session:
        download = await _relay(session, relayed, "GET")
        status = download.response.status
        require(status == 200, f"the status of a GET is {status} and should be 200")
        await _read(session, download, relayed.subject.content)


async def check_relayed_head(relayed: RelaySubject) -> None:
    """HEAD brings the same head as GET, and no content."""
    async with session_of(relayed.subject) as session:
        download = await _relay(session, relayed, "HEAD")
        announced, size = download.response.length, len(relayed.subject.content)
        is_right = announced in (None, size)
        require(is_right, f"the length of a HEAD is {announced} and should be {size}")
        await _read(session, download, b"")


async def check_relayed_fields(relayed: RelaySubject) -> None:
    """The fields of a client reach the origin: a Range is answered 206, and said to be so."""
    async with session_of(relayed.subject) as session:
        download = await _relay(session, relayed, "GET", _ONE_BYTE)
        response, content = download.response, relayed.subject.content
        require(response.status == 206, f"the status of a range is {response.status}, not 206")
        values = [value for name, value in response.fields if name.lower() == "content-range"]
        expected = [f"bytes 1-1/{len(content)}"]
        require(values == expected, f"Content-Range is {values} and should be {expected}")
        await _read(session, download, content[1:2])


async def check_relayed_refusal(relayed: RelaySubject) -> None:
    """What is no answer to relay is an `OriginError`, as it is for a downloader."""
    async with session_of(relayed.subject) as session:
        relaying = _relayer(session, relayed.missing).relay("GET", ())
        error = await refusal(relayed.subject, relaying)
        found = f"relay raised {type(error).__name__} and should raise an OriginError"
        require(isinstance(error, OriginError), found)


async def check_cancelled_relay(relayed: RelaySubject) -> None:
    """A relay that is cancelled raises and leaves nothing, at whichever moment that is."""
    await cancel_at_moments(
        relayed.subject, lambda session: _relayer(session, relayed.path).relay("GET", ())
    )


def _relayer(session: Session, path: str) -> Relayer:
    return cast(RelayingImporter, session.importer).relayer(path)


async def _relay(
    session: Session, relayed: RelaySubject, method: str, fields: Fields = ()
) -> Download:
    return await session.opened(_relayer(session, relayed.path).relay(method, fields))


async def _read(session: Session, download: Download, expected: bytes) -> None:
    reading = Reading(session, download, expected)
    reading.begin()
    await reading.whole()
    reading.stop()


RelayCheck = Callable[[RelaySubject], Coroutine[Any, Any, None]]

RELAY_CHECKS: tuple[RelayCheck, ...] = (
    check_relayed_get,
    check_relayed_head,
    check_relayed_fields,
    check_relayed_refusal,
    check_cancelled_relay,
)
