"""What every importer has to do, as checks that any author can run.

Each check is a coroutine function of a `Subject`; it makes an importer of its own and raises
`AssertionError` with a sentence where the contract of `interfaces` is broken. `CHECKS` names all of
them, for a test of each; `check_importer` runs them one after the other. They need the running
reactor and a real origin: a fake that never waits hides what goes wrong in between.

Strategy. What must happen is waited for with patience. What must not happen is given a moment of
quiet to happen in. That nothing is left is asked of the reactor, and of the author's `count_open`,
after the importer was closed: before that it may keep connections for later. No check measures how
long something takes, so none can tell an importer that blocks the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from streamer.testing.content_checks import (
    check_broken,
    check_content,
    check_fields,
    check_lying,
    check_spans,
    check_unsized,
)
from streamer.testing.flow_checks import (
    check_memory,
    check_pause,
    check_pause_before_content,
    check_pause_often,
    check_stop_at_the_end,
    check_stop_before_content,
    check_stop_in_content,
    check_stop_in_pause,
)
from streamer.testing.opening_checks import (
    check_any_source,
    check_cancelled_open,
    check_close,
    check_concurrent,
    check_origin,
    check_refused,
    check_silent,
)
from streamer.testing.overhearing import check_secrets
from streamer.testing.subject import LEAST_BYTES, Subject

Check = Callable[[Subject], Coroutine[Any, Any, None]]

CHECKS: tuple[Check, ...] = (
    check_fields,
    check_content,
    check_unsized,
    check_spans,
    check_lying,
    check_broken,
    check_stop_before_content,
    check_stop_in_content,
    check_stop_in_pause,
    check_stop_at_the_end,
    check_pause,
    check_pause_before_content,
    check_pause_often,
    check_memory,
    check_cancelled_open,
    check_refused,
    check_any_source,
    check_concurrent,
    check_close,
    check_silent,
    check_origin,
    check_secrets,
)

__all__ = ["CHECKS", "LEAST_BYTES", "Check", "Subject", "check_importer"]


async def check_importer(subject: Subject) -> None:
    """Run all checks; the first that fails ends it."""
    for check in CHECKS:
        await check(subject)
