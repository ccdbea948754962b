"""Whether an importer keeps its secrets: everything that it shows is read and searched for them.

Kept apart from the other checks because it listens to the log, and says nothing about what it
found: a failing test must not print the secret that it is about.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from streamer.model import RemoteArtifact
from streamer.testing.reading import Reading
from streamer.testing.subject import Session, Subject, refusal, require, session_of


async def check_secrets(subject: Subject) -> None:
    """No secret is in a `repr`, a field, an error with all that caused it, or the log."""
    shown: list[tuple[str, str]] = []
    with _overheard(shown):
        async with session_of(subject) as session:
            shown += _looks(importer=session.importer, downloader=await session.prepared())
            await _show_download(session, subject.source, shown)
            if subject.broken is not None:
                await _show_download(session, subject.broken, shown)
            for source, _ in subject.refused:
                await _show_refusal(session, source, shown)
    for where, text in shown:
        is_clean = not any(secret in text for secret in subject.secrets)
        require(is_clean, f"a secret of the config is seen in {where}")


async def _show_download(
    session: Session, source: RemoteArtifact, shown: list[tuple[str, str]]
) -> None:
    download = await session.opened(session.asking(source))
    shown += _looks(download=download, response=download.response)
    reading = Reading(session, download, session.subject.content)
    reading.begin()
    error = await reading.end()
    reading.stop()
    shown += _looks(download=download)
    if error is not None:
        _show_error(error, shown)


async def _show_refusal(
    session: Session, source: RemoteArtifact, shown: list[tuple[str, str]]
) -> None:
    _show_error(await refusal(session.subject, session.asking(source)), shown)


def _show_error(error: BaseException, shown: list[tuple[str, str]]) -> None:
    shown += _looks(error=error)
    shown.append(("an error or what caused it", "".join(traceback.format_exception(error))))


def _looks(**things: object) -> Iterator[tuple[str, str]]:
    for name, thing in things.items():
        yield f"the {name}", f"{thing!r} {thing}"


@contextmanager
def _overheard(shown: list[tuple[str, str]]) -> Iterator[None]:
    """Keep every event of the log as text, tracebacks included."""

    def observe(event: LogEvent) -> None:
        failure = cast(Failure | None, event.get("log_failure"))
        trace = "" if failure is None else failure.getTraceback()
        shown.append(("the log", f"{formatEvent(event)} {event!r} {trace}"))

    observer = cast(ILogObserver, observe)
    globalLogPublisher.addObserver(observer)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(observer)
