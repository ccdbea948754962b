"""Clients that leave: each asks for something, and goes at another moment, as the dice have it.

They are plain sockets, so that ten thousand of them cost seconds. Who stays to the end says what it
got, in the words of `judging`.
"""

from __future__ import annotations

import random
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

from judging import BREAK, RIGHT, WAITS, WRONG, honest

AT_ONCE = 40
SECONDS = 30
PATIENCE_SECONDS = 0.1
"""How long who leaves waits for more before it leaves with less."""
CHUNK = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


def crowd(port, contents, number, seed):
    """Let so many clients come; gives what those got who stayed, as pairs of path and outcome.

    `contents` has by path what a client would rightly get.
    """
    dice = random.Random(seed)
    paths, manners = sorted(contents), sorted(MANNERS)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        coming = [
            (path, pool.submit(_come, port, path, contents[path], manner, dice.random()))
            for path, manner in ((dice.choice(paths), dice.choice(manners)) for _ in range(number))
        ]
        return {(path, each.result()) for path, each in coming if each.result() is not None}


def _come(port, path, content, manner, luck):
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.settimeout(PATIENCE_SECONDS)
        try:
            return MANNERS[manner](client, _request(path), content, luck)
        except (ConnectionError, TimeoutError):
            return None
        finally:
            if luck > 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def _request(path):
    return f"GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode()


def _leaves_in_its_head(client, request, content, luck):
    client.sendall(request[: int(luck * len(request))])


def _leaves_at_once(client, request, content, luck):
    client.sendall(request)


def _leaves_at_the_first_byte(client, request, content, luck):
    client.sendall(request)
    _take(client, 1)


def _leaves_in_mid_stream(client, request, content, luck):
    client.sendall(request)
    _take(client, int(luck * len(content)))


def _leaves_before_the_end(client, request, content, luck):
    client.sendall(request)
    _take(client, len(content) - int(luck * 100))


def _closes_its_half(client, request, content, luck):
    client.sendall(request)
    client.shutdown(socket.SHUT_WR)
    _take(client, int(luck * 2 * len(content)))


def _leaves_a_pipeline(client, request, content, luck):
    client.sendall(request * 4)
    _take(client, int(luck * 3 * len(content)))


def _stays(client, request, content, luck):
    client.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    client.settimeout(SECONDS)
    received = []
    try:
        while more := client.recv(CHUNK):
            received.append(more)
    except ConnectionResetError:
        return BREAK
    except TimeoutError:
        return WAITS
    head, _, got = b"".join(received).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        return honest(int(head[9:12])) if head else BREAK
    if f"Content-Length: {len(got)}".encode() not in head.split(b"\r\n"):
        return BREAK
    return RIGHT if got == content else WRONG


def _take(client, count):
    while count > 0 and (more := client.recv(min(count, CHUNK))):
        count -= len(more)


MANNERS = {
    "leaves in its head": _leaves_in_its_head,
    "leaves at once": _leaves_at_once,
    "leaves at the first byte": _leaves_at_the_first_byte,
    "leaves in mid-stream": _leaves_in_mid_stream,
    "leaves before the end": _leaves_before_the_end,
    "closes its half": _closes_its_half,
    "leaves a pipeline": _leaves_a_pipeline,
    "stays": _stays,
}
