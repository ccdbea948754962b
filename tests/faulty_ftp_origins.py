"""FTP servers with one fault each, and for good: the rows of a matrix.

A fault is told by answers of `ftp_origins`, under TLS where it is one of TLS, or it lies in the
URL. Every server is on a port of its own, so that what a service learns about one says nothing of
another. What is not said of a server it does as it should, REST included.
"""

from __future__ import annotations

import contextlib
import time

from certificates import Authority
from faulty_origins import DRIBBLE_SECONDS, KIB, STEP, half
from ftp_origins import HONEST, FtpOrigin
from origins import flipped
from processes import NOBODYS_PORT

BEGUN = b"150 here it comes\r\n"
SENT = b"226 that was it\r\n"
BROKEN_OFF = b"426 it broke off\r\n"
UNKNOWN = b"500 what\r\n"
SIZELESS = {"SIZE": UNKNOWN}


def sends(content, until=None, last=SENT, **how):
    """RETR of a server that gives up at `until`, and then says `last`, or hangs up without it.

    A client that asks it to begin behind that gets nothing.
    """

    def retrieve(talk, _):
        talk.send_content(content[_begin(talk) : until], **how)
        return talk.say(last) if last else False

    return {"RETR": retrieve}


def sends_and_waits(content, until=None):
    """The same of a server that closes its data connection and says nothing more."""

    def retrieve(talk, argument):
        talk.send_content(content[_begin(talk) : until])
        return never_replies(talk, argument)

    return {"RETR": retrieve}


def falls_silent(content, at):
    """RETR of a server that sends `at` bytes and then nothing, with its connections open."""

    def retrieve(talk, argument):
        start = _begin(talk)
        with talk.data_connection() as data:
            data.sendall(content[start:at])
            return never_replies(talk, argument)

    return {"RETR": retrieve}


def _begin(talk):
    """Say that content comes; gives where it begins."""
    talk.say(BEGUN)
    start, talk.position = talk.position, 0
    return start


def never_replies(talk, _):
    """A server that takes a command and does not reply."""
    talk.hear()
    return False


def dribbles(talk, _):
    """A server whose reply never ends, though something always comes."""
    while True:
        talk.wire.sendall(b"220-wait\r\n")
        time.sleep(DRIBBLE_SECONDS)


def talks_on(talk, _):
    """A server whose reply never ends, and comes as fast as it can."""
    while True:
        talk.wire.sendall(b"220-rules of this server\r\n" * KIB)


def cuts_each(content, step=STEP):
    """RETR of a server that closes each data connection after `step` bytes, and owns up to it."""

    def retrieve(talk, argument):
        end = talk.position + step
        last = SENT if end >= len(content) else BROKEN_OFF
        return sends(content, end, last)["RETR"](talk, argument)

    return {"RETR": retrieve}


def begins_at_0(content):
    """RETR of a server that breaks off, agrees to go on from there, and sends all of it anew."""

    def retrieve(talk, _):
        talk.send_content(content if _begin(talk) else content[: half(content)])
        return talk.say(SENT)

    return {"RETR": retrieve}


def fails_once(reply):
    """RETR of a server that is well at the second time of asking."""
    ahead = [reply]

    def retrieve(talk, argument):
        return talk.say(ahead.pop()) if ahead else HONEST["RETR"](talk, argument)

    return {"RETR": retrieve}


def names_a_port(port):
    """A server whose content is at that port, however one asks."""
    passive = f"227 Entering (127,0,0,1,{port // 256},{port % 256}).\r\n"
    return {"EPSV": f"229 there (|||{port}|)\r\n".encode(), "PASV": passive.encode()}


def sends_in_the_clear(talk, _):
    """A server that has agreed to protect content and does not."""
    talk.say(BEGUN)
    with contextlib.suppress(OSError), talk.data_connection(in_the_clear=True) as data:
        data.sendall(talk.origin.content)
    return talk.say(SENT)


def says_size(number):
    return {"SIZE": b"213 %d\r\n" % number}


ELSEWHERE = b"227 Entering (127,0,0,9,200,200).\r\n"

TOLD = {
    "AUTH-refused": lambda content: {"AUTH": UNKNOWN},
    "another-protocol": lambda content: {"greeting": b"SSH-2.0-OpenSSH_9.2\r\n"},
    "slow-greeting": lambda content: {"greeting": dribbles},
    "endless-reply": lambda content: {"greeting": talks_on},
    "421-at-once": lambda content: {"greeting": b"421 too many connections\r\n"},
    "530-login": lambda content: {"PASS": b"530 not you\r\n"},
    "530-too-many": lambda content: {"PASS": b"530 too many users\r\n"},
    "550-missing": lambda content: {"SIZE": b"550 no such file\r\n"},
    "550-at-RETR": lambda content: SIZELESS | {"RETR": b"550 no such file\r\n"},
    "550-forbidden": lambda content: {"RETR": b"550 permission denied\r\n"},
    "421-at-RETR": lambda content: {"RETR": b"421 going down\r\n"},
    "451": lambda content: {"RETR": b"451 local error\r\n"},
    "451-once": lambda content: fails_once(b"451 local error\r\n"),
    "PASV-elsewhere": lambda content: {"EPSV": UNKNOWN, "PASV": ELSEWHERE},
    "port-refused": lambda content: names_a_port(NOBODYS_PORT),
    "stall-before-150": lambda content: {"RETR": never_replies},
    "stall-0": lambda content: falls_silent(content, 0),
    "cut-0-226": lambda content: sends(content, 0),
    "stall-50": lambda content: falls_silent(content, half(content)),
    "reset-50": lambda content: sends(content, half(content), BROKEN_OFF, reset=True),
    "cut-50-226": lambda content: sends(content, half(content)),
    "cut-50-426": lambda content: sends(content, half(content), BROKEN_OFF),
    "cut-50-hangs-up": lambda content: sends(content, half(content), None),
    "cut-50-silence": lambda content: sends_and_waits(content, half(content)),
    "cut-50-226-no-SIZE": lambda content: SIZELESS | sends(content, half(content)),
    "all-426": lambda content: sends(content, None, BROKEN_OFF),
    "all-silence": sends_and_waits,
    "all-hangs-up-no-SIZE": lambda content: SIZELESS | sends(content, None, None),
    "SIZE-one-less": lambda content: says_size(len(content) - 1),
    "SIZE-one-more": lambda content: says_size(len(content) + 1),
    "more-than-SIZE": lambda content: sends(content + b"x"),
    "more-no-SIZE": lambda content: SIZELESS | sends(content + b"x"),
    "wrong-digest": lambda content: sends(flipped(content, half(content))),
    "cut-each-256KiB": cuts_each,
    "cut-each-256KiB-REST-refused": lambda content: {"REST": UNKNOWN} | cuts_each(content),
    "cut-50-REST-ignored": begins_at_0,
}
"""By fault: given the right content, the answers that tell it."""

TOLD_UNDER_TLS = {
    "TLS-cut-50": lambda content: sends(content, half(content), is_torn=True),
    "TLS-cut-50-no-SIZE": lambda content: SIZELESS | sends(content, half(content), is_torn=True),
    "TLS-all-torn": lambda content: sends(content, is_torn=True),
    "TLS-content-in-the-clear": lambda content: {"RETR": sends_in_the_clear},
}
"""The same for a server whose TLS begins with the connection and is trusted."""

PLACED = ("refused", "dns", "tls")
"""Faults that lie in the URL, or in a certificate that nobody signed."""


class FaultyFtpOrigins:
    """One faulty server for each content of `{name: (fault, content)}`, and a good one.

    `authority` is whom those under TLS have their certificates of.
    """

    def __init__(self, faults, folder, authority):
        self._trusted = authority.server_context(folder)
        self._unknown = Authority().server_context(folder)
        self._closed_port = NOBODYS_PORT
        self._names = list(faults)
        self._faults = {name: fault for name, (fault, _) in faults.items()}
        self._faulty = {name: self._server(*each) for name, each in faults.items()}
        self._good = {name: FtpOrigin(content) for name, (_, content) in faults.items()}

    def _server(self, fault, content):
        if fault == "tls":
            return FtpOrigin(content, tls=self._unknown, is_implicit=True)
        if fault in TOLD_UNDER_TLS:
            answers = TOLD_UNDER_TLS[fault](content)
            return FtpOrigin(content, tls=self._trusted, is_implicit=True, **answers)
        return FtpOrigin(content, **({} if fault in PLACED else TOLD[fault](content)))

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for origin in (*self._faulty.values(), *self._good.values()):
                stack.enter_context(origin)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    def good_url(self, name):
        """Where the content is served as it should be."""
        return f"{self._good[name].url}file"

    def url(self, name):
        """Where the fault of that name is told."""
        number = self._names.index(name)
        match self._faults[name]:
            case "refused":
                return f"ftp://127.1.{number // 200}.{1 + number % 200}:{self._closed_port}/file"
            case "dns":
                return f"ftp://nobody-{number}.invalid/file"
        return f"{self._faulty[name].url}file"
