"""Origins that are asked for a range: one that is honest, and those that lie about it.

Each lie is one lie: what is not said of an origin here it does honestly, and a request without a
Range gets the whole. Separate from `origins`, whose behaviours know nothing of a request.
"""

from __future__ import annotations

import gzip
import re
import time

from origins import CHUNK, flipped, serves

VERSION = '"first"'
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_BOUNDARY = "of-the-origin"


def asked_range(conversation, size):
    """First and last position of the single range that is asked for; None where there is none.

    Both are beyond the end where the range is.
    """
    values = conversation.field("Range")
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or match.group() == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size - 1
    first = int(match[1])
    return first, min(int(match[2]), max(first, size - 1)) if match[2] else max(first, size - 1)


def serves_ranges(content, fields=(), version=VERSION):
    """The honest origin: 206 or 416, and If-Range by its entity tag, if it has one."""
    size = len(content)
    tags = (f"ETag: {version}",) if version else ()
    said = ("Accept-Ranges: bytes", *tags, *fields)

    def behaviour(conversation):
        asked = asked_range(conversation, size)
        if asked is None or conversation.field("If-Range") not in ([], [version]):
            return serves(content, said)(conversation)
        if asked[0] >= size:
            unsatisfiable = (f"Content-Range: bytes */{size}",)
            return serves(b"", unsatisfiable, b"416 Range Not Satisfiable")(conversation)
        return _sends(conversation, content, asked, said)

    return behaviour


def serves_by_target(behaviours):
    """One origin with a behaviour for each target; 404 for every other."""

    def behaviour(conversation):
        name = conversation.target.decode().removeprefix("/")
        lacks = serves(b"", status=b"404 Not Found")
        return behaviours.get(name, lacks)(conversation)

    return behaviour


def in_turn(*behaviours):
    """An origin that answers each request by the next of its behaviours, and by the last for good.

    With two versions of its content it is one that is replaced while it is read.
    """
    ahead = list(behaviours)
    return lambda talk: (ahead.pop(0) if len(ahead) > 1 else ahead[0])(talk)


def drips(content, pause_seconds=0.02):
    """An origin that knows no ranges and takes its time: 64 KiB, a pause, 64 KiB …"""

    def behaviour(conversation):
        conversation.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        for start in range(0, len(content), CHUNK):
            conversation.connection.sendall(content[start : start + CHUNK])
            time.sleep(pause_seconds)
        return True

    return behaviour


# -- lies ----------------------------------------------------------------------------------------


def shifts_range(content, by=1):
    """Sends a range that begins and ends elsewhere, and says so."""
    return _answers(content, lambda talk, asked: _sends(talk, content, _shifted(asked, by)))


def shifts_bytes(content, by=1):
    """Sends the bytes beside those that it says it sends."""
    moved = content[-by:] + content[:-by]
    return _answers(content, lambda talk, asked: _sends(talk, moved, asked))


def narrows_range(content):
    """Sends a part of the range that it was asked for, and says so."""
    return _answers(
        content, lambda talk, asked: _sends(talk, content, (asked[0], (sum(asked)) // 2))
    )


def changes_total(content, total):
    """Says of every range that the whole is of another size, or that it does not know (`*`)."""
    return _answers(content, lambda talk, asked: _sends(talk, content, asked, total=total))


def omits_content_range(content):
    """Sends the range as 206 without a word which one it is."""
    return _answers(
        content,
        lambda talk, asked: serves(_cut(content, asked), status=b"206 Partial Content")(talk),
    )


def repeats_content_range(content):
    """Names two ranges in one answer."""
    return _answers(
        content,
        lambda talk, asked: _sends(
            talk, content, asked, (f"Content-Range: bytes 0-0/{len(content)}",)
        ),
    )


def sends_206_unasked(content):
    """Answers a request for the whole with all of it as a range."""
    ranges = serves_ranges(content)

    def behaviour(conversation):
        if asked_range(conversation, len(content)) is None:
            return _sends(conversation, content, (0, len(content) - 1))
        return ranges(conversation)

    return behaviour


def sends_multipart(content):
    """Frames a single range as one of several."""

    def answer(conversation, asked):
        described = f"Content-Range: bytes {asked[0]}-{asked[1]}/{len(content)}"
        opening = f"--{_BOUNDARY}\r\n{described}\r\n\r\n".encode()
        framed = opening + _cut(content, asked) + f"\r\n--{_BOUNDARY}--\r\n".encode()
        media_type = f"Content-Type: multipart/byteranges; boundary={_BOUNDARY}"
        return serves(framed, (media_type,), b"206 Partial Content")(conversation)

    return _answers(content, answer)


def encodes_gzip(content, whole_too=True):
    """Compresses the range that it sends in spite of `identity`, and the whole if told so."""
    coding = "Content-Encoding: gzip"

    def answer(conversation, asked):
        described = f"Content-Range: bytes {asked[0]}-{asked[1]}/{len(content)}"
        packed = gzip.compress(_cut(content, asked))
        return serves(packed, (coding, described), b"206 Partial Content")(conversation)

    whole = serves(gzip.compress(content), (coding,)) if whole_too else None
    return _answers(content, answer, whole)


def cuts_ranges(content, by=1):
    """Announces the range and closes `by` bytes before its end."""

    def answer(conversation, asked):
        conversation.send(_part_head(content, asked))
        conversation.send(_cut(content, asked)[:-by])
        return False

    return _answers(content, answer)


def overruns_ranges(content, surplus=b"x"):
    """Sends more than the range that it announces, and does not say how much."""

    def answer(conversation, asked):
        sent = _cut(content, asked) + surplus
        described = f"Content-Range: bytes {asked[0]}-{asked[1]}/{len(content)}"
        head = f"HTTP/1.1 206 Partial Content\r\n{described}\r\nConnection: close\r\n\r\n"
        conversation.send(head.encode() + sent)
        return False

    return _answers(content, answer)


def flips_in_ranges(content, at):
    """Has one bit other at `at` in every range, and in none of its wholes."""
    wrong = flipped(content, at)
    return _answers(content, lambda talk, asked: _sends(talk, wrong, asked))


def _answers(content, answer, whole=None):
    """An origin that gives `answer` to a range, and else the whole."""
    honest = whole or serves(content, ("Accept-Ranges: bytes",))

    def behaviour(conversation):
        asked = asked_range(conversation, len(content))
        return honest(conversation) if asked is None else answer(conversation, asked)

    return behaviour


def _sends(conversation, content, part, fields=(), total=None):
    conversation.send(_part_head(content, part, fields, total))
    conversation.send(_cut(content, part))
    return True


def _part_head(content, part, fields=(), total=None):
    length = part[1] - part[0] + 1
    described = f"Content-Range: bytes {part[0]}-{part[1]}/{total or len(content)}"
    lines = ["HTTP/1.1 206 Partial Content", f"Content-Length: {length}", described, *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _cut(content, part):
    return content[part[0] : part[1] + 1]


def _shifted(part, by):
    return (part[0] - by, part[1] - by) if part[0] >= by else (part[0] + by, part[1] + by)
