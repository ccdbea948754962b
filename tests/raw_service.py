"""A service for raw bytes: what it publishes, what is hidden there, and clients that send bytes.

`/secret/file` is published like the rest, and fronts keep it to themselves.
"""

from __future__ import annotations

import contextlib
import socket

import pytest
from origins import Origin, flipped, serves
from processes import Streamer, entry
from raw_requests import CASES, ask

PUBLIC = b"public\n" * 3000
SECRET = b"secret\n" * 3000
LARGE = b"a large public file\n" * 200_000

SECRET_PATH = "/secret/file"
LAST_PATH = "/public/last"
LAST = ask(b"Connection: close", line=b"GET /public/last HTTP/1.1")
"""What ends a conversation, if nothing before it does; a proof that all is in order till then."""

every_case = pytest.mark.parametrize("case", [pytest.param(each, id=each.name) for each in CASES])

_AT_THE_ORIGIN = {
    b"/secret": SECRET,
    b"/large": LARGE,
    b"/wrong": flipped(LARGE, len(LARGE) - 1),
    b"/wrong-and-small": flipped(PUBLIC, 0),
}


@contextlib.contextmanager
def raw_service(folder):
    """A service with short time limits, and its origin, which has some contents wrong."""

    def behaviour(conversation):
        return serves(_AT_THE_ORIGIN.get(conversation.target, PUBLIC))(conversation)

    limits = {"content__head_timeout": "1s", "delivery__distrust": "1ms"}
    with Origin(behaviour) as origin, Streamer(folder, **limits) as service:
        public = dict.fromkeys(("file", "pipelined", "last", "wrong-and-small"), PUBLIC)
        secret = {**entry("file", SECRET), "sources": [{"url": f"{origin.url}secret"}]}
        service.publish("public", origin.url, {**public, "large": LARGE, "wrong": LARGE})
        service.publish("secret", origin.url, {"file": secret})
        yield service


def converse(port, *parts):
    """Send these bytes, and give what came until the other side was done.

    Each further part is sent when the answer to those before has begun. Who refuses does not read
    on, so that sending may fail and yet an answer be there.
    """
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        for number, part in enumerate(parts):
            if number > 0:
                received += client.recv(1)
            with contextlib.suppress(ConnectionError):
                client.sendall(part)
        with contextlib.suppress(ConnectionError):
            while more := client.recv(65536):
                received += more
    return received
