"""Issue 5, line 4: a list of fifty mirrors of which forty-five are bad still serves in time.

The bad ones stand first, and each is bad in its own way: it says nothing, refuses, lacks the file,
has a fault, or sends something else. What was learned of them the next client need not learn.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket

import pytest
from judging import RIGHT, outcome_of
from origins import Origin, never_answers, serves
from processes import Streamer, entry

CONTENT = random.Random(54).randbytes(300_000)
BAD, GOOD = 45, 5

KINDS = {
    "silent": [never_answers],
    "mixed": [
        never_answers,
        None,
        serves(b"not here", status=b"404 Not Found"),
        serves(b"", status=b"500 Internal Server Error"),
        serves(b"<html>something else</html>"),
    ],
}


def refusing_url(taken):
    """A port that nobody listens on, nor can while the socket lives."""
    taken.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{taken.getsockname()[1]}/"


@pytest.mark.parametrize("kind", KINDS)
def test_long_list_of_bad_mirrors_serves_within_the_budget(kind, tmp_path):
    """The first client gets the right file, and the next ones ask hardly anybody but a good one."""
    with contextlib.ExitStack() as stack:
        bad = []
        for number in range(BAD):
            behaviour = KINDS[kind][number % len(KINDS[kind])]
            if behaviour is None:
                bad.append(refusing_url(stack.enter_context(socket.socket())))
            else:
                bad.append(stack.enter_context(Origin(behaviour)).url)
        good = [stack.enter_context(Origin(serves(CONTENT))).url for _ in range(GOOD)]
        lines = "".join(f"{url}\n" for url in (*bad, *good)).encode()
        listing = stack.enter_context(Origin(serves(lines)))
        service = stack.enter_context(Streamer(tmp_path, delivery__first_byte="12s"))
        create = [
            "importer",
            "create",
            "listed",
            "--type",
            "mirrors",
            "--url",
            f"{listing.url}list",
        ]
        service.admin(*create, "--set", "allow_private_redirects=true")
        lines = f"{json.dumps(entry('file', CONTENT) | {'sources': [{'url': 'file'}]})}\n"
        service.admin("publish", "m", "--importer", "listed", "--entries", "-", stdin=lines)

        outcomes = [outcome_of(f"{service.url}m/file", CONTENT) for _ in range(4)]
        attempts = [each["attempts"] for each in service.transfers()]

        assert [RIGHT] * 4 == outcomes
        assert attempts[0] > BAD
        assert max(attempts[1:]) <= 2
        assert listing.requests() == 1
