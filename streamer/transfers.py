"""The transfer log: one record per exchange, written when its last byte has gone or it broke.

Twisted's access log runs only when a response ends well, so it is silent about just those transfers
that an operator looks for. This record is made at the one place where an exchange ends, whichever
way it ends, and it is separate from the metrics because it may name a path and they may not.

It refuses to let a client write into the log: whatever came from outside is quoted and escaped, so
one record is one line of ASCII, and nothing in a path can look like another key or another line.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Literal

from twisted.logger import Logger

Verdict = Literal["complete", "client_gone", "aborted", "not_modified", "refused", "error"]
"""How the exchange ended, as the client saw it."""

Verified = Literal["whole", "pieces", "held_tail", "passed", "none"]
"""How the content was checked; `passed` was forwarded unchecked, `none` had no content."""

Source = Literal["origin", "memory", "shared", "catalog"]
"""Where the content came from; `shared` is a fetch that another exchange had started."""

_BARE = re.compile(r"[A-Za-z0-9._:+-]+\Z")


@dataclass(slots=True)
class Notes:
    """What the record of an exchange will say, filled in as it becomes known."""

    distribution: str | None = None
    origin: str | None = None
    attempts: int = 0
    verified: Verified = "none"
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """One exchange, over. The names are the keys of the transfer log and do not change.

    `status` is absent if the client went before there was one, `source` and `origin` if no content
    was asked for, `first_byte_ms` if none was sent. `path` is the target as the client wrote it,
    without its query; `range` is the field as the client wrote it; `origin` is an importer's name.
    `bytes` counts content only.
    """

    request_id: str
    client: str
    method: str
    path: str
    distribution: str | None
    status: int | None
    verdict: Verdict
    reason: str | None
    bytes: int
    range: str | None
    origin: str | None
    attempts: int
    verified: Verified
    source: Source | None
    first_byte_ms: float | None
    duration_ms: float

    def __str__(self) -> str:
        return text_line(self)


def text_line(transfer: Transfer) -> str:
    """Render the record for people: the request in quotes, then `key=value`, absent ones left out.

    Text is written bare only where it is made of letters, digits and `._:+-`.
    """
    request = _quoted(f"{transfer.method} {transfer.path}")
    rest = {
        "bytes": transfer.bytes,
        "range": transfer.range,
        "distribution": transfer.distribution,
        "origin": transfer.origin,
        "attempts": transfer.attempts,
        "verified": transfer.verified,
        "source": transfer.source,
        "first_byte_ms": transfer.first_byte_ms,
        "duration_ms": transfer.duration_ms,
        "reason": transfer.reason,
        "request_id": transfer.request_id,
    }
    pairs = [f"{key}={_word(value)}" for key, value in rest.items() if value is not None]
    status = "-" if transfer.status is None else str(transfer.status)
    return " ".join([_word(transfer.client), request, status, transfer.verdict, *pairs])


def json_object(transfer: Transfer) -> dict[str, str | int | float | None]:
    """Give the keys of the transfer log, all of them; whoever writes the line adds `time`."""
    return asdict(transfer)


class TransferLog:
    """Writes transfers as events of the `streamer.transfer` logger.

    The record travels in the event as `transfer`, so an observer may render it in its own way.
    """

    def __init__(self) -> None:
        # Not a class attribute: a Logger found on a class takes the name of the class.
        self._log = Logger(namespace="streamer.transfer")

    def write(self, transfer: Transfer) -> None:
        """Log the transfer. The format names the record, so braces in a path stay braces."""
        self._log.info("{transfer}", transfer=transfer)


def _word(value: str | int | float) -> str:
    if isinstance(value, str):
        return value if _BARE.match(value) else _quoted(value)
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    escaped = text.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"'
