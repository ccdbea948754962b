"""The process log as JSON lines: what `log.format = "json"` means.

Text is what `twistd` writes by itself; this module holds the other format, and the one place where
it is hooked into `twistd`, which chooses its observer before the service exists. The destination
stays what `twistd` was told: `--logfile`, `--nodaemon` and SIGUSR1 mean what they always do.

It refuses to overrule an operator who chose an observer on the command line, and it writes nothing
but the event's own words: no other value that an event may carry, because it may be a secret.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

from twisted.logger import FileLogObserver, LogEvent, formatEvent
from twisted.python.logfile import LogFile

from streamer.transfers import Transfer, json_object

if TYPE_CHECKING:
    from types import FrameType

# Annotated here, because Twisted does not.
_open_log_file: Callable[..., Any] = LogFile.fromFullPath


_server_options: Mapping[str, Any] = {}
"""What `twistd` was told. It takes the observer's factory by name and calls it without arguments,
so this is the one place that the two can meet; `choose_json` sets it."""


def choose_json(server_options: MutableMapping[str, Any]) -> None:
    """Make `twistd` log JSON lines, unless `--logger` or `--syslog` was given.

    `server_options` is the `parent` of the service's own options. To be called in `postOptions`:
    `twistd` builds its logger from these options before it calls `makeService`.
    """
    global _server_options
    if not server_options.get("logger") and not server_options.get("syslog"):
        _server_options = server_options
        server_options["logger"] = f"{__name__}.{json_observer.__name__}"


def json_observer() -> FileLogObserver:
    """Give the observer; the file is opened when `twistd` starts to log, not before."""
    return FileLogObserver(_destination(_server_options), json_line)


def json_line(event: LogEvent) -> str:
    """Render an event as one line of ASCII; a transfer as the keys of the transfer log alone."""
    transfer = event.get("transfer")
    if isinstance(transfer, Transfer):
        line = {"time": _time(event), **json_object(transfer)}
    else:
        line = _process_event(event)
    return json.dumps(line, separators=(",", ":")) + "\n"


def _process_event(event: LogEvent) -> dict[str, str | int | float | None]:
    level = event.get("log_level")
    line: dict[str, str | int | float | None] = {
        "time": _time(event),
        "level": level.name if level is not None else "info",
        "logger": str(event.get("log_namespace", "-")),
        "message": formatEvent(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        line["failure"] = failure.getTraceback()
    return line


def _time(event: LogEvent) -> str:
    """Write the event's time as RFC 3339 does, in UTC with milliseconds."""
    moment = datetime.fromtimestamp(event["log_time"], UTC)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _destination(server_options: Mapping[str, Any]) -> IO[Any]:
    """Decide as `twistd` does for its text log (`UnixAppLogger`)."""
    path = server_options.get("logfile")
    nodaemon = server_options.get("nodaemon", False)
    if path == "-" and not nodaemon:
        sys.exit("Daemons cannot log to stdout, exiting!")
    if path == "-" or (nodaemon and not path):
        return sys.stdout
    return cast("IO[Any]", _RotatedOnSignal(path or "twistd.log"))


class _RotatedOnSignal:
    """A log file that starts afresh at the first line after SIGUSR1, and not by its size.

    Twisted would rotate at each megabyte, and rename every older file each time; a stranger writes
    one with a few dozen requests.

    The signal only leaves a note: rotating inside its handler could cut a line that is being
    written. As in `twistd`, a handler that somebody else installed is left in place.
    """

    def __init__(self, path: str) -> None:
        self._file = _open_log_file(path, rotateLength=None)
        self._rotation_wanted = False
        if not signal.getsignal(signal.SIGUSR1):
            signal.signal(signal.SIGUSR1, self._want_rotation)

    def _want_rotation(self, number: int, frame: FrameType | None) -> None:
        self._rotation_wanted = True

    def write(self, text: str | bytes) -> None:
        if self._rotation_wanted:
            self._rotation_wanted = False
            self._file.rotate()
        self._file.write(text)

    def flush(self) -> None:
        self._file.flush()
