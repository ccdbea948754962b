"""FTP, whatever a server says and a URL holds."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import strategies as st
from proof import holds_for
from twisted.internet.defer import Deferred
from twisted.internet.testing import StringTransport

from streamer.downloaders import ftp_dialogues as say
from streamer.downloaders.ftp_control import Control
from streamer.downloaders.ftp_places import ANONYMOUS, path_of, server_of
from streamer.downloaders.ftp_replies import MAX_REPLY_BYTES, Reply, ReplyReader
from streamer.errors import OriginError, OriginNonsense

CODES = st.sampled_from([b"120", b"150", b"220", b"226", b"229", b"331", b"421", b"550", b"999"])
PIECES = st.sampled_from([b"-", b" ", b"\r\n", b"\n", b"\r", b"a", b"(|||21|)", b"1,2,3,4,5,6"])
SPEECH = st.lists(CODES | PIECES | st.binary(max_size=5), max_size=30).map(b"".join)
REPLIES = st.lists(
    st.tuples(st.integers(100, 599), st.lists(st.text("ab -123(),|", max_size=12), min_size=1)),
    max_size=6,
)
TEXTS = st.text(max_size=30) | st.text("0123456789,()| -.", max_size=40)


def fed(reader, raw, cuts):
    """What a reader makes of bytes that come in these pieces: its replies, and whether it broke."""
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    replies = []
    try:
        for first, end in pairwise(edges):
            replies += reader.feed(raw[first:end])
    except OriginNonsense:
        return replies, True
    return replies, False


def written(code, lines):
    """A reply as RFC 959 section 4.2 has it."""
    *others, last = lines
    if not others:
        return f"{code} {last}\r\n".encode()
    first, *between = others
    return "".join(
        [f"{code}-{first}\r\n", *(f" {line}\r\n" for line in between), f"{code} {last}\r\n"]
    ).encode()


@holds_for(examples=400, replies=REPLIES, cuts=st.lists(st.integers(0, 500), max_size=8))
def test_replies_are_read_as_they_were_written(replies, cuts):
    """However they are cut."""
    raw = b"".join(written(code, lines) for code, lines in replies)
    reader = ReplyReader()

    got, is_broken = fed(reader, raw, cuts)

    assert not is_broken
    assert reader.is_between
    assert [code for code, _ in replies] == [reply.code for reply in got]
    assert [lines[-1] for _, lines in replies] == [reply.text.split("\n")[-1] for reply in got]


@holds_for(examples=800, share=2, raw=SPEECH, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_cuts_do_not_matter(raw, cuts):
    """What comes in one read means what it means in several."""
    whole, is_broken = fed(ReplyReader(), raw, [])
    pieces, is_broken_too = fed(ReplyReader(), raw, cuts)

    assert is_broken == is_broken_too
    assert is_broken or whole == pieces
    assert all(100 <= reply.code <= 599 for reply in pieces)


@holds_for(examples=60, raw=SPEECH.filter(bool), times=st.integers(1, 5000))
def test_nothing_is_kept_beyond_the_bound(raw, times):
    """However long it goes on."""
    reader = ReplyReader()
    try:
        for _ in range(times):
            reader.feed(raw)
            assert len(reader._rest) + reader._kept_bytes <= MAX_REPLY_BYTES
    except OriginNonsense:
        pass


DIALOGUES = st.sampled_from(
    [
        say.ask_for_tls,
        lambda: say.log_in(ANONYMOUS),
        say.protect_content,
        say.send_bytes_as_they_are,
        lambda: say.ask_for_size(b"f"),
        say.ask_for_extended_port,
        lambda: say.ask_for_port("1.2.3.4"),
        lambda: say.ask_to_start_at(7),
    ]
)


def outcome_of(dialogue, said):
    """What a dialogue comes to that gets these replies."""
    next(dialogue)
    try:
        for reply in said:
            dialogue.send(reply)
    except StopIteration as end:
        return end.value
    except OriginError as error:
        return error
    raise AssertionError("it goes on")


@holds_for(
    examples=1500,
    share=2,
    begin=DIALOGUES,
    said=st.lists(st.builds(Reply, st.integers(200, 599), TEXTS), min_size=2, max_size=2),
)
def test_dialogue_ends_in_an_answer_or_an_error_of_the_origin(begin, said):
    """After two replies at most, and in no other way; a number is one that can be used."""
    outcome = outcome_of(begin(), said)

    assert outcome is None or isinstance(outcome, OriginError) or 0 <= outcome < 10**18


@holds_for(examples=800, share=2, speech=st.lists(SPEECH, max_size=6))
def test_control_connection_takes_a_reply_for_each_command_and_no_more(speech):
    """Whatever else comes ends it; what was asked gets one answer or one error."""
    wire = StringTransport(lenient=True)
    wire.abortConnection = wire.loseConnection
    control = Control()
    control.makeConnection(wire)
    answers = [Deferred.fromCoroutine(control.greeting())]
    for each in speech:
        control.dataReceived(each)
        if answers[-1].called and not control.is_over:
            answers.append(Deferred.fromCoroutine(control.ask(b"NOOP")))
    control.drop()

    kinds = [answer.addErrback(lambda failure: failure.value).result for answer in answers]

    assert all(isinstance(kind, Reply | OriginError) for kind in kinds)
    assert all(isinstance(kind, Reply) and kind.kind != 1 for kind in kinds[:-1])


URLS = st.builds(
    "{}{}".format,
    st.sampled_from(["ftp://h/", "ftps://h:9/", "ftp://[::1]/", "ftp:", "ftp://"]),
    st.text(max_size=20)
    | st.lists(
        st.sampled_from(
            ["%0d", "%0A", "%00", "%ff", "%", "/", "..", ";type=", "i", "@", ":", "[", "?"]
        )
    ).map("".join),
)


@holds_for(examples=1500, share=2, url=URLS)
def test_path_of_a_url_ends_no_command(url):
    """Or the URL is refused; a server that is shown holds nothing else of it."""
    try:
        server, path = server_of(url), path_of(url)
    except ValueError:
        return

    assert path
    assert not re.search(rb"[\r\n\0\xff]", path)
    assert not set(str(server).partition("://")[2]) & set("@?#/")
