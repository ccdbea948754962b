"""What a service has logged since somebody last looked, without reading all of it again."""

from __future__ import annotations

import json
import time

WAITING_SECONDS = 20


class Logbook:
    """Reads the log of one service on; nothing is read twice."""

    def __init__(self, service, from_the_start=False):
        self._file = service.log_file
        self._read_bytes = 0
        if not from_the_start:
            self.lines()

    def lines(self):
        """Every line that has come since the last look."""
        new = self._file.read_bytes()[self._read_bytes :]
        new = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(new)
        return [json.loads(line) for line in new.splitlines()]

    def lines_up_to(self, count):
        """What has come since, once there are `count` transfers or for a while there are not."""
        found = self.lines()
        deadline = time.monotonic() + WAITING_SECONDS
        while len(transfers(found)) < count and time.monotonic() < deadline:
            time.sleep(0.02)
            found += self.lines()
        return found


def transfers(lines):
    """The lines of the transfer log among these."""
    return [line for line in lines if "verdict" in line]


def events(lines):
    """The lines about the service itself among these."""
    return [line for line in lines if "verdict" not in line]
