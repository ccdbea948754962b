"""What is said to an FTP server and what its replies mean; no I/O, so a table can test all of it.

A dialogue is a generator: it yields commands, is sent the final reply to each, and returns what it
was about, or raises the `OriginError` that the replies come to. Whoever runs one (`ftp_control`)
sends and waits. No words of a server leave this module: they may repeat a path.

| reply | error |
|---|---|
| 421, and 530 where it says that too many are there | `OriginBusy` |
| 4yz | `OriginFailing`: the same may work a moment later (RFC 959 section 4.2.1) |
| 530, 532, 332: who are you | `OriginForbids` |
| 550 and 553, where they say that it is about permissions | `OriginForbids` |
| 550, 553, of a file | `OriginLacksIt` |
| any other | `OriginRefused` |

The errors hold statuses of HTTP, since that is what `Proxy-Status` and the log know. `ENOENT` and
`EACCES` are both 550, and only the words tell them apart; where they do not, it is not there. Who
is turned away with 550 before a file was named has learned nothing of any file.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from ipaddress import IPv4Address
from typing import TypeVar

from streamer.downloaders.ftp_places import Login
from streamer.downloaders.ftp_replies import Reply
from streamer.errors import (
    OriginAnsweredOtherwise,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTLSFailed,
)

T = TypeVar("T")

Dialogue = Generator[bytes, Reply, T]
"""Commands without their line end, the reply to each, and what comes of it."""

AUTH_TLS = b"AUTH TLS"

_MAX_DIGITS = 18
"""Of a size: more is no file, and takes time to read."""

_SIZE = re.compile(rf"\s*([0-9]{{1,{_MAX_DIGITS}}})\s*", re.ASCII)
_EXTENDED = re.compile(r"\(([\x21-\x7e])\1\1([0-9]{1,5})\1\)")  # RFC 2428 section 3
_PASSIVE = re.compile(r"(?<![0-9])" + ",".join([r"([0-9]{1,3})"] * 6) + r"(?![0-9])")
_CROWDED = re.compile(r"too many|maximum|limit|try (again )?later", re.IGNORECASE)
_FORBIDDEN = re.compile(r"permission|denied|privilege|not allowed|forbidden", re.IGNORECASE)


def refusal_of_file(reply: Reply) -> OriginAnsweredOtherwise:
    """What a reply to SIZE or RETR says that is not the one that was wanted; the table above."""
    is_about_it = reply.code in (550, 553) and not _FORBIDDEN.search(reply.text)
    return OriginLacksIt(404) if is_about_it else refusal(reply)


def refusal(reply: Reply) -> OriginAnsweredOtherwise:
    """The same of a reply to anything else."""
    match reply.code:
        case 421:
            return OriginBusy(503)
        case 530 if _CROWDED.search(reply.text):
            return OriginBusy(503)
        case 530 | 532 | 331 | 332:
            return OriginForbids(401)
        case 550 | 553 if _FORBIDDEN.search(reply.text):
            return OriginForbids(403)
    return OriginFailing(503) if reply.kind == 4 else OriginRefused(501)


# -- before the first file


def check_greeting(reply: Reply) -> None:
    """Raise where a server does not say that it is ready."""
    if reply.kind != 2:
        raise refusal(reply)


def ask_for_tls() -> Dialogue[None]:
    """RFC 4217 section 4; TLS begins with the end of the reply. There is no going on without."""
    reply = yield AUTH_TLS
    if reply.code == 421:
        raise refusal(reply)
    if reply.code != 234:
        raise OriginTLSFailed("it does not begin TLS")


def log_in(login: Login) -> Dialogue[None]:
    """RFC 959 section 6: some want no password, and those that want an account are not for us."""
    reply = yield b"USER " + login.username.encode()
    if reply.kind == 3 and reply.code != 332:
        reply = yield b"PASS " + login.password.encode()
    if reply.kind != 2:
        raise refusal(reply)


def protect_content() -> Dialogue[None]:
    """RFC 4217 section 9: without PROT P content goes in the clear. PBSZ is a formality."""
    yield b"PBSZ 0"
    reply = yield b"PROT P"
    if reply.kind != 2:
        raise OriginTLSFailed("it does not protect content")


def send_bytes_as_they_are() -> Dialogue[None]:
    """Everything else would change line ends, and sizes would be those of other content."""
    reply = yield b"TYPE I"
    if reply.kind != 2:
        raise refusal(reply)


# -- for each file


def ask_for_size(path: bytes) -> Dialogue[int | None]:
    """RFC 3659 section 4; None where the server does not tell.

    550 is the end of it, as it is for curl: to ask for content that is not there would cost a data
    connection, and leaves vsftpd in a state in which the next one fails.
    """
    reply = yield b"SIZE " + path
    if reply.code in (421, 550):
        raise refusal_of_file(reply)
    if reply.kind != 2:
        return None
    match = _SIZE.fullmatch(reply.text)
    if reply.code != 213 or match is None:
        raise OriginNonsense("the size that it tells is none")
    return int(match[1])


def ask_for_extended_port() -> Dialogue[int | None]:
    """The port for the next connection by RFC 2428, which names no address.

    None where the server offers none that can be used; then there is `ask_for_port`.
    """
    reply = yield b"EPSV"
    if reply.code == 421:
        raise refusal(reply)
    match = _EXTENDED.search(reply.text)
    if reply.code != 229 or match is None or not _is_port(int(match[2])):
        return None
    return int(match[2])


def ask_for_port(peer: str) -> Dialogue[int]:
    """The same by RFC 959, which is of IPv4 and names an address: it has to be that of `peer`.

    A server that could name another one would choose whom this service connects to.
    """
    reply = yield b"PASV"
    if reply.kind != 2:
        raise refusal(reply)
    match = _PASSIVE.search(reply.text)
    numbers = [] if match is None else [int(each) for each in match.groups()]
    if reply.code != 227 or max(numbers, default=256) > 255:
        raise OriginNonsense("it does not say where its content is")
    if str(IPv4Address(bytes(numbers[:4]))) != peer:
        raise OriginNonsense("it names another host for its content")
    port = numbers[4] * 256 + numbers[5]
    if not _is_port(port):
        raise OriginNonsense("it does not say where its content is")
    return port


def ask_to_start_at(position: int) -> Dialogue[bool]:
    """RFC 3659 section 5: whether the next RETR begins there."""
    reply = yield b"REST %d" % position
    if reply.code == 421:
        raise refusal(reply)
    return reply.code == 350


def has_sent_all(reply: Reply) -> bool:
    """Whether the last reply to RETR says so (RFC 959 section 5.4)."""
    return reply.kind == 2


def _is_port(number: int) -> bool:
    return 0 < number < 65536
