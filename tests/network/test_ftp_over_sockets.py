"""FTP on real sockets: sessions, spans, ends, and servers that mean harm."""

from __future__ import annotations

import random
import socket
import ssl
import time

import pytest
from certificates import Authority
from ftp_fetching import build, fetched, left_open, source, taken
from ftp_origins import FtpOrigin
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater

from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginTLSFailed,
    OriginUnreachable,
)
from streamer.model import OriginResponse
from streamer.ranges import ByteRange

CONTENT = random.Random(5).randbytes(300_000)
SIZE = len(CONTENT)
LOGIN = ["USER", "PASS", "TYPE"]
WHOLE = (OriginResponse(SIZE), CONTENT, None)


def origin(**answers):
    return FtpOrigin(CONTENT, **answers)


async def failing(opening, error):
    with pytest.raises(error) as found:
        await opening
    return found.value


# -- what is said ----------------------------------------------------------------------------------


@ensureDeferred
async def test_file_is_asked_for_in_the_usual_order(reactor):
    """Size first, since it is what a client is told."""
    with origin() as server:
        importer = build(reactor, server.url)

        got = await fetched(importer)
        await importer.close()

    assert WHOLE == got
    assert [
        b"USER anonymous",
        b"PASS anonymous@",
        b"TYPE I",
        b"SIZE f",
        b"EPSV",
        b"RETR f",
    ] == server.commands


@ensureDeferred
async def test_path_goes_below_that_of_the_importer(reactor):
    """Byte for byte, and in one piece."""
    with origin() as server:
        importer = build(reactor, f"{server.url}pub/%C3%A9/", keep_alive=0)

        await fetched(importer, "a%20b")
        await fetched(importer, "/top")

    paths = [each for each in server.commands if each.startswith(b"RETR")]
    assert ["RETR pub/é/a b".encode(), b"RETR top"] == paths


@ensureDeferred
async def test_server_over_ipv6_is_reached(reactor):
    """RFC 2428 is what made that possible."""
    with origin(address="::1") as server:
        importer = build(reactor, server.url, keep_alive=0)

        assert await fetched(importer) == WHOLE


@ensureDeferred
async def test_server_over_ipv6_is_not_asked_for_an_ipv4_port(reactor):
    """PASV could name no port of it."""
    with origin(address="::1", EPSV=b"502 no\r\n") as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginRefused)

    assert "PASV" not in server.verbs()


@ensureDeferred
async def test_port_over_ipv6_that_leads_nowhere_is_unreachable(reactor, free_port):
    """There is no old way."""
    nowhere = b"229 there (|||%d|)\r\n" % free_port()
    with origin(address="::1", EPSV=nowhere) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginUnreachable)


@ensureDeferred
async def test_server_without_extensions_is_asked_the_old_way(reactor):
    """RFC 959 alone: PASV, and nobody knows the size."""
    with origin(EPSV=b"500 what\r\n", SIZE=b"500 what\r\n") as server:
        importer = build(reactor, server.url)

        first, second = await fetched(importer), await fetched(importer)
        await importer.close()

    assert [(OriginResponse(None), CONTENT, None)] * 2 == [first, second]
    assert [*LOGIN, "SIZE", "EPSV", "PASV", "RETR", "SIZE", "PASV", "RETR"] == server.verbs()


@ensureDeferred
async def test_port_that_leads_nowhere_is_asked_for_again_the_old_way(reactor, free_port):
    """Firewalls open the ports that they see, and some do not know EPSV."""
    nowhere = b"229 there (|||%d|)\r\n" % free_port()
    with origin(EPSV=nowhere) as server:
        importer = build(reactor, server.url, keep_alive=0)

        assert await fetched(importer) == WHOLE
    assert [*LOGIN, "SIZE", "EPSV", "PASV", "RETR"] == server.verbs()


@ensureDeferred
async def test_content_at_another_host_is_not_fetched(reactor):
    """PASV names an address: a server could have this service connect wherever it likes."""
    with socket.create_server(("127.0.0.2", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        named = f"227 (127,0,0,2,{port // 256},{port % 256})\r\n".encode()
        with origin(EPSV=b"500 what\r\n", PASV=named) as server:
            importer = build(reactor, server.url)

            await failing(fetched(importer), OriginNonsense)
        elsewhere.settimeout(0.2)

        with pytest.raises(TimeoutError):
            elsewhere.accept()


@ensureDeferred
async def test_busy_server_may_announce_its_greeting(reactor):
    """RFC 959 section 5.4: 120, and 220 when it is ready."""
    with origin(greeting=b"120 in a moment\r\n220-now\r\n220 \r\n") as server:
        importer = build(reactor, server.url, keep_alive=0)

        assert await fetched(importer) == WHOLE


@ensureDeferred
async def test_content_before_the_reply_waits_for_it(reactor):
    """The two connections are not in step."""

    def hasty(talk, _):
        talk.send_content(CONTENT[: SIZE // 2])
        time.sleep(0.2)
        return talk.say(b"550 on second thoughts, no\r\n")

    with origin(RETR=hasty) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginLacksIt)
        await importer.close()


# -- credentials -----------------------------------------------------------------------------------


@ensureDeferred
async def test_login_is_shown_to_trusted_servers_alone(reactor):
    """An absolute URL may lead anywhere."""
    with origin() as own, origin() as named, origin() as other:
        importer = build(
            reactor,
            own.url,
            username="me",
            password="s3cret",
            credential_origins=[named.url],
            keep_alive=0,
        )

        for server in (own, named, other):
            await fetched(importer, f"{server.url}f")

    me, nobody = [b"USER me", b"PASS s3cret"], [b"USER anonymous", b"PASS anonymous@"]
    assert [me, me, nobody] == [server.commands[:2] for server in (own, named, other)]


# -- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "reply", "error"),
    [
        ("greeting", b"421 Too many connections\r\n", OriginBusy),
        ("greeting", b"530 not you\r\n", OriginForbids),
        ("greeting", b"550 No connections from there\r\n", OriginRefused),
        ("USER", b"530 Sorry, no anonymous logins\r\n", OriginForbids),
        ("USER", b"550 No such user\r\n", OriginRefused),
        ("USER", b"530 Sorry, the maximum number of clients is connected\r\n", OriginBusy),
        ("PASS", b"530 Login incorrect.\r\n", OriginForbids),
        ("PASS", b"332 Account?\r\n", OriginForbids),
        ("TYPE", b"504 only text\r\n", OriginRefused),
        ("SIZE", b"213 many\r\n", OriginNonsense),
        ("RETR", b"550 f: No such file\r\n", OriginLacksIt),
        ("RETR", b"550 f: Permission denied\r\n", OriginForbids),
        ("RETR", b"425 cannot connect\r\n", OriginFailing),
        ("RETR", b"450 busy\r\n", OriginFailing),
        ("RETR", b"451 disk\r\n", OriginFailing),
        ("RETR", b"421 bye\r\n", OriginBusy),
        ("RETR", b"226 there you are\r\n", OriginRefused),
    ],
)
@ensureDeferred
async def test_reply_that_refuses_is_an_error(reactor, verb, reply, error):
    """At whichever step it comes."""
    with origin(**{verb: reply}) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), error)
        await importer.close()

        assert await left_open(reactor, server) == 0


@pytest.mark.parametrize("verb", ["greeting", "USER", "PASS", "TYPE", "SIZE", "EPSV", "RETR"])
@ensureDeferred
async def test_server_that_hangs_up_is_an_error(reactor, verb):
    """Before there is content, that is no answer."""
    with origin(**{verb: lambda talk, _: False}) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginNonsense)


@ensureDeferred
async def test_host_that_refuses_is_unreachable(reactor, free_port):
    """Nobody listens there."""
    importer = build(reactor, f"ftp://127.0.0.1:{free_port()}/")

    await failing(fetched(importer), OriginUnreachable)


# -- sessions --------------------------------------------------------------------------------------


@ensureDeferred
async def test_session_is_used_again(reactor):
    """One login for any number of files, and spans that go to the end."""
    with origin() as server:
        importer = build(reactor, server.url)

        await fetched(importer)
        rest = await fetched(importer, "f", ByteRange(SIZE - 10, SIZE - 1))
        await fetched(importer)
        await importer.close()

    assert (OriginResponse(10, part_of=SIZE), CONTENT[-10:], None) == rest
    assert 1 == server.logins


@ensureDeferred
async def test_file_that_is_missing_costs_no_login(reactor):
    """What is wrong with one file is no matter to the next."""
    with origin(SIZE=b"550 no\r\n") as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginLacksIt)
        await failing(fetched(importer), OriginLacksIt)
        await importer.close()

    assert [*LOGIN, "SIZE", "SIZE"] == server.verbs()


@ensureDeferred
async def test_session_of_a_refused_file_is_not_used_again(reactor):
    """The port that was named, or the position of REST, may be left for the next one."""
    with origin(RETR=b"550 no\r\n") as server:
        importer = build(reactor, server.url)
        downloader = importer.downloader(source())

        await failing(downloader.open(ByteRange(10, SIZE - 1)), OriginLacksIt)
        await failing(downloader.open(), OriginLacksIt)
        await importer.close()

    assert 2 == server.logins


def says_once(reply, then):
    """An answer the second time, and `then` all others."""
    asked = []

    def answer(talk, argument):
        asked.append(argument)
        return talk.say(reply) and not reply.startswith(b"421") if len(asked) == 2 else then(talk)

    return answer


@ensureDeferred
async def test_session_that_is_given_notice_when_it_is_used_is_begun_anew(reactor):
    """Servers give idle sessions up; nobody has to hear of it."""
    size = says_once(b"421 idle for too long\r\n", lambda talk: talk.say(b"213 %d\r\n" % SIZE))
    with origin(SIZE=size) as server:
        importer = build(reactor, server.url)

        assert [await fetched(importer), await fetched(importer)] == [WHOLE, WHOLE]
        await importer.close()
    assert 2 == server.logins


@pytest.mark.parametrize(
    "farewell", [b"", b"421 idle for too long\r\n", b"220 unasked\r\n", b"nonsense\r\n"]
)
@ensureDeferred
async def test_session_that_is_closed_while_it_rests_is_not_used(reactor, farewell):
    """Nor one on which anything is said."""

    def retrieve(talk, _):
        talk.say(b"150 now\r\n")
        talk.send_content(CONTENT)
        talk.say(b"226 done\r\n")
        time.sleep(0.1)
        talk.say(farewell)
        return False

    with origin(RETR=retrieve) as server:
        importer = build(reactor, server.url)

        first = await fetched(importer)
        await deferLater(reactor, 0.3)
        second = await fetched(importer)
        await importer.close()

    assert [WHOLE, WHOLE] == [first, second]
    assert 2 == server.logins


@pytest.mark.parametrize("with_the_last_word", [True, False])
@ensureDeferred
async def test_session_on_which_a_reply_has_begun_is_not_used(reactor, with_the_last_word):
    """Its end would be the first answer to the next file."""

    def retrieve(talk, _):
        talk.say(b"150 now\r\n")
        talk.send_content(CONTENT)
        if with_the_last_word:
            return talk.say(b"226 done\r\n213 1")
        talk.say(b"226 done\r\n")
        time.sleep(0.1)
        return talk.say(b"213 1")

    with origin(RETR=retrieve) as server:
        importer = build(reactor, server.url)

        first = await fetched(importer)
        assert await left_open(reactor, server) == 0
        second = await fetched(importer)
        await importer.close()

    assert [WHOLE, WHOLE] == [first, second]
    assert 2 == server.logins


@ensureDeferred
async def test_session_that_has_rested_long_enough_is_closed(reactor):
    """Nothing is asked for meanwhile."""
    with origin() as server:
        importer = build(reactor, server.url, keep_alive="100ms")

        await fetched(importer)
        await deferLater(reactor, 0.3)

        assert await left_open(reactor, server) == 0


@ensureDeferred
async def test_resting_sessions_count_as_connections(reactor):
    """One for another server has to go."""
    with origin() as one, origin() as another:
        importer = build(reactor, one.url, download_concurrency=1)

        await fetched(importer, f"{one.url}f")
        await fetched(importer, f"{another.url}f")

        assert await left_open(reactor, one) == 0
        assert another.open_connections == 1
        await importer.close()


@ensureDeferred
async def test_login_that_failed_counts_no_more(reactor):
    """There is room for two that rest."""
    with origin(USER=b"530 no\r\n") as closed, origin() as one, origin() as another:
        importer = build(reactor, one.url, download_concurrency=2)

        await failing(fetched(importer, f"{closed.url}f"), OriginForbids)
        await fetched(importer, f"{one.url}f")
        await fetched(importer, f"{another.url}f")
        await deferLater(reactor, 0.1)

        assert (one.open_connections, another.open_connections) == (1, 1)
        await importer.close()


@ensureDeferred
async def test_no_more_sessions_than_allowed_are_open(reactor):
    """And all are served."""
    seen = []

    def retrieve(talk, _):
        seen.append(talk.origin.open_connections)
        talk.say(b"150 now\r\n")
        time.sleep(0.02)
        talk.send_content(CONTENT)
        return talk.say(b"226 done\r\n")

    with origin(RETR=retrieve) as server:
        importer = build(reactor, server.url, download_concurrency=2)

        work = [Deferred.fromCoroutine(fetched(importer)) for _ in range(12)]
        got = await gatherResults(work)
        await importer.close()

    assert [WHOLE] * 12 == got
    assert max(seen) <= 2


@ensureDeferred
async def test_closed_importer_keeps_no_session(reactor):
    """What was made before may still be opened."""
    with origin() as server:
        importer = build(reactor, server.url)
        await importer.close()

        assert await fetched(importer) == WHOLE
        assert await left_open(reactor, server) == 0


# -- spans -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "position"),
    [
        (0, 9, None),
        (0, SIZE - 1, None),
        (7, 7, 7),
        (9, SIZE - 2, 9),
        (SIZE - 1, SIZE - 1, SIZE - 1),
    ],
)
@ensureDeferred
async def test_span_is_sent_and_no_more(reactor, first, last, position):
    """FTP says where to begin; where it ends is seen to here."""
    with origin() as server:
        importer = build(reactor, server.url, keep_alive=0)

        response, content, error = await fetched(importer, "f", ByteRange(first, last))

    assert OriginResponse(last - first + 1, part_of=SIZE) == response
    assert (CONTENT[first : last + 1], None) == (content, error)
    rests = [command for command in server.commands if command.startswith(b"REST")]
    assert [b"REST %d" % each for each in [position] if each] == rests


@pytest.mark.parametrize(
    "answers",
    [
        {"REST": b"502 what\r\n"},
        {"REST": b"501 no such position\r\n"},
        {"REST": b"200 well\r\n"},
    ],
)
@ensureDeferred
async def test_server_that_cannot_begin_within_sends_all(reactor, answers):
    """That is allowed, and said."""
    with origin(**answers) as server:
        importer = build(reactor, server.url, keep_alive=0)

        assert await fetched(importer, "f", ByteRange(10, 20)) == WHOLE


@ensureDeferred
async def test_span_of_a_file_of_unknown_size_is_all_of_it(reactor):
    """Nothing would show what it is a part of."""
    with origin(SIZE=b"502 no\r\n") as server:
        importer = build(reactor, server.url, keep_alive=0)

        got = await fetched(importer, "f", ByteRange(10, 20))

    assert (OriginResponse(None), CONTENT, None) == got


@ensureDeferred
async def test_span_beyond_the_end_is_all_of_it(reactor):
    """Whoever asked sees that it is another file."""
    with origin() as server:
        importer = build(reactor, server.url, keep_alive=0)

        assert await fetched(importer, "f", ByteRange(10, SIZE)) == WHOLE


@ensureDeferred
async def test_server_that_only_says_that_it_begins_there_is_found_out(reactor):
    """It says 350 and sends all, as a proxy of old does; what was asked for is filled with that.

    So the digest of the whole shows that it is wrong, and nobody else goes on behind it.
    """
    with origin(REST=b"350 of course\r\n") as server:
        importer = build(reactor, server.url)

        _, content, error = await fetched(importer, "f", ByteRange(10, SIZE - 1))

    assert isinstance(error, OriginNonsense)
    assert SIZE - 10 == len(content)


@ensureDeferred
async def test_content_that_broke_off_is_gone_on_with(reactor):
    """The two parts are the whole."""

    def cuts(talk, _):
        del talk.origin.answers["RETR"]
        talk.origin.answers |= {"RETR": honest}
        talk.say(b"150 now\r\n")
        return talk.send_content(CONTENT[:100_000]) and talk.say(b"426 cut\r\n")

    with origin() as server:
        honest = server.answers["RETR"]
        server.answers["RETR"] = cuts
        importer = build(reactor, server.url)

        _, begun, error = await fetched(importer)
        rest = await fetched(importer, "f", ByteRange(len(begun), SIZE - 1))
        await importer.close()

    assert isinstance(error, ContentTruncated)
    assert CONTENT == begun + rest[1]


# -- how content ends ------------------------------------------------------------------------------


def sends(content, last_word, *, reset=False):
    """Content, and what is said of it; the connection stays."""

    def retrieve(talk, _):
        talk.say(b"150 now\r\n")
        talk.send_content(content, reset=reset)
        return talk.say(last_word) and bool(last_word)

    return retrieve


DONE = b"226 done\r\n"


@pytest.mark.parametrize(
    ("size", "content", "last_word", "error"),
    [
        pytest.param(b"213 300000", CONTENT, DONE, None, id="whole"),
        pytest.param(b"213 300000", CONTENT, b"250 done\r\n", None, id="whole-250"),
        pytest.param(b"213 300000", CONTENT, b"", None, id="whole-without-a-word"),
        pytest.param(b"213 300000", CONTENT, b"426 no\r\n", ContentTruncated, id="denied"),
        pytest.param(b"213 300000", CONTENT, b"551 no\r\n", ContentTruncated, id="denied-5yz"),
        pytest.param(b"213 300000", CONTENT[:-1], DONE, ContentTruncated, id="short"),
        pytest.param(b"213 300000", b"", DONE, ContentTruncated, id="nothing"),
        pytest.param(b"213 299999", CONTENT, DONE, OriginNonsense, id="long"),
        pytest.param(b"213 0", b"", DONE, None, id="empty"),
        pytest.param(b"213 0", b"x", DONE, OriginNonsense, id="not-empty"),
        pytest.param(b"500", CONTENT, DONE, None, id="unknown"),
        pytest.param(b"500", CONTENT, b"426 no\r\n", ContentTruncated, id="unknown-denied"),
        pytest.param(b"500", CONTENT, b"", ContentTruncated, id="unknown-without-a-word"),
        pytest.param(b"500", b"", DONE, None, id="unknown-empty"),
    ],
)
@ensureDeferred
async def test_content_is_whole_where_everything_says_so(reactor, size, content, last_word, error):
    """The size, the end of the connection and the last word."""
    with FtpOrigin(content, SIZE=size + b"\r\n", RETR=sends(content, last_word)) as server:
        importer = build(reactor, server.url, keep_alive=0)

        _, got, found = await fetched(importer)

    assert isinstance(found, error or type(None))
    assert content.startswith(got)
    assert error is not None or got == content


@ensureDeferred
async def test_content_of_unknown_size_that_breaks_is_broken_off(reactor):
    """A reset is no end, whatever is said of it."""
    with origin(SIZE=b"500\r\n", RETR=sends(CONTENT, DONE, reset=True)) as server:
        importer = build(reactor, server.url, keep_alive=0)

        _, _, error = await fetched(importer)

    assert isinstance(error, ContentTruncated)


# -- servers that mean harm ------------------------------------------------------------------------


def without_end(beginning, more):
    """A server that does not stop speaking until it is left."""

    def answer(talk, _):
        talk.wire.sendall(beginning)
        while True:
            talk.wire.sendall(more)

    return answer


@pytest.mark.parametrize("verb", ["greeting", "USER", "SIZE", "RETR"])
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(without_end(b"220 ", b"a" * 1000), id="line"),
        pytest.param(without_end(b"220-a\r\n", b"b\r\n" * 300), id="lines"),
        pytest.param(without_end(b"", b"120 wait\r\n" * 100), id="announcements"),
        pytest.param(without_end(b"", b"\0" * 1000), id="zeros"),
    ],
)
@ensureDeferred
async def test_server_that_never_stops_speaking_is_left(reactor, verb, answer):
    """Within the bound of a reply."""
    with origin(**{verb: answer}) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginNonsense)

        assert await left_open(reactor, server) == 0


@pytest.mark.parametrize(
    ("verb", "raw"),
    [
        pytest.param("greeting", b"220 a\r\n230 b\r\n", id="greeting"),
        pytest.param("greeting", b"220 a\r\n230 b", id="greeting-and-a-half"),
        pytest.param("USER", b"331 a\r\n230 b\r\n", id="user"),
        pytest.param("USER", b"130 a\r\n", id="announced-user"),
        pytest.param("PASS", b"230 a\r\n200 b\r\n", id="pass"),
        pytest.param("SIZE", b"213 300000\r\n229 (|||1|)\r\n", id="size"),
        pytest.param("RETR", b"150 a\r\n150 b\r\n", id="announced-twice"),
        pytest.param("RETR", b"150 a\r\n226 b\r\n226 c\r\n", id="ended-twice"),
    ],
)
@ensureDeferred
async def test_reply_that_nobody_asked_for_breaks_the_session(reactor, verb, raw):
    """It would pass for the answer to what is asked next."""
    with origin(**{verb: raw}) as server:
        importer = build(reactor, server.url)

        await failing(fetched(importer), OriginNonsense)
        before = len(server.commands)
        assert await left_open(reactor, server) == 0

    assert before == len(server.commands)
    assert verb == (server.verbs() or ["greeting"])[-1]


# -- TLS -------------------------------------------------------------------------------------------


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
def tls(authority, tmp_path):
    return authority.server_context(tmp_path)


@pytest.mark.parametrize("is_implicit", [True, False], ids=["implicit", "explicit"])
@pytest.mark.parametrize("version", ["1.2", "1.3"])
@ensureDeferred
async def test_everything_is_under_tls(reactor, authority, tls, is_implicit, version):
    """Both connections, each time."""
    with FtpOrigin(CONTENT, tls=tls, is_implicit=is_implicit) as server:
        importer = build(
            reactor,
            server.url,
            explicit_tls=not is_implicit,
            ca_cert=authority.pem,
            tls_maximum=version,
        )

        assert [await fetched(importer), await fetched(importer)] == [WHOLE, WHOLE]
        await importer.close()

    begins = [] if is_implicit else ["AUTH"]
    login = [*begins, "USER", "PASS", "PBSZ", "PROT", "TYPE"]
    assert [*login, *["SIZE", "EPSV", "RETR"] * 2] == server.verbs()


@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": b"500 what\r\n"},
        {"AUTH": b"534 no\r\n"},
        {"AUTH": b"334 another way\r\n"},
        {"AUTH": b"200 well\r\n"},
    ],
)
@ensureDeferred
async def test_server_without_tls_is_told_nothing(reactor, answers):
    """Neither a name nor a password goes out in the clear."""
    with origin(**answers) as server:
        importer = build(reactor, server.url, explicit_tls=True, username="me", password="s3cret")

        await failing(fetched(importer), OriginTLSFailed)

    assert ["AUTH"] == server.verbs()


@pytest.mark.parametrize(
    ("injected", "error"),
    [
        (b"230 welcome\r\n", OriginNonsense),
        (b"230 wel", OriginTLSFailed),
        (b"\x16", OriginTLSFailed),
    ],
)
@ensureDeferred
async def test_what_is_said_before_tls_is_not_heard_within(reactor, tls, injected, error):
    """Anybody on the way could have said it: the session is given up (as curl's CVE-2021-22947)."""

    def answer(talk, _):
        talk.say(b"234 go\r\n" + injected)
        talk.begin_tls()
        return True

    with origin(AUTH=answer, tls=tls) as server:
        importer = build(reactor, server.url, explicit_tls=True, tls_validation=False)

        await failing(fetched(importer), error)

    assert ["AUTH"] == server.verbs()


@ensureDeferred
async def test_server_that_does_not_protect_content_sends_none(reactor, authority, tls):
    """Not even its size is asked for."""
    with origin(tls=tls, PROT=b"536 no\r\n") as server:
        importer = build(reactor, server.url, explicit_tls=True, ca_cert=authority.pem)

        await failing(fetched(importer), OriginTLSFailed)

    assert "PROT" == server.verbs()[-1]


@pytest.mark.parametrize("is_implicit", [True, False], ids=["implicit", "explicit"])
@ensureDeferred
async def test_server_that_is_not_trusted_hears_no_name(reactor, tls, is_implicit):
    """Its certificate is another authority's."""
    with FtpOrigin(CONTENT, tls=tls, is_implicit=is_implicit) as server:
        importer = build(
            reactor,
            server.url,
            explicit_tls=not is_implicit,
            ca_cert=Authority().pem,
            username="me",
            password="s3cret",
        )

        await failing(fetched(importer), OriginTLSFailed)

    assert [] == [verb for verb in server.verbs() if verb != "AUTH"]


@ensureDeferred
async def test_content_from_somebody_else_is_refused(reactor, authority, tls, tmp_path):
    """Who is at the port of the content has to be who is at that of the commands."""
    (tmp_path / "other").mkdir()
    stranger = Authority().server_context(tmp_path / "other")

    def retrieve(talk, _):
        talk.say(b"150 now\r\n")
        talk.origin.tls = stranger
        return talk.send_content(CONTENT) and talk.say(DONE)

    with origin(tls=tls, RETR=retrieve) as server:
        importer = build(reactor, server.url, explicit_tls=True, ca_cert=authority.pem)

        await failing(fetched(importer), OriginTLSFailed)


@ensureDeferred
async def test_plain_server_at_the_port_of_tls_is_refused(reactor):
    """It greets, which is no handshake."""
    with origin() as server:
        importer = build(reactor, server.url.replace("ftp:", "ftps:"))

        await failing(fetched(importer), OriginTLSFailed)


@ensureDeferred
async def test_client_certificate_is_shown_to_trusted_servers_alone(reactor, authority, tmp_path):
    """Both want one, for both of their connections."""
    clients = Authority()
    key, certificate = clients.issue("a client of a test")
    context = authority.server_context(tmp_path, clients)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        FtpOrigin(CONTENT, tls=context, is_implicit=True) as own,
        FtpOrigin(CONTENT, tls=context, is_implicit=True) as other,
    ):
        importer = build(
            reactor,
            own.url,
            ca_cert=authority.pem,
            client_cert=certificate,
            client_key=key,
            keep_alive=0,
        )

        assert await fetched(importer) == WHOLE
        await failing(fetched(importer, f"{other.url}f"), OriginTLSFailed)


# -- leaving ---------------------------------------------------------------------------------------


@ensureDeferred
async def test_open_that_is_cancelled_at_a_silent_server_leaves_nothing(reactor):
    """It has connected, and nobody speaks."""
    with origin(greeting=lambda talk, _: talk.hear()) as server:
        importer = build(reactor, server.url, download_concurrency=1)
        opening = Deferred.fromCoroutine(importer.downloader(source()).open())
        await deferLater(reactor, 0.1)

        opening.cancel()

        await failing(opening, CancelledError)
        assert await left_open(reactor, server) == 0
        server.answers["greeting"] = b"220 hello\r\n"
        assert await fetched(importer) == WHOLE
        await importer.close()


@ensureDeferred
async def test_download_that_is_stopped_gives_its_slot_back(reactor):
    """The session goes, since the rest of the file would come."""
    with origin() as server:
        importer = build(reactor, server.url, download_concurrency=1)

        download = await importer.downloader(source()).open()
        download.stop()

        assert await taken(await importer.downloader(source()).open()) == (CONTENT, None)
        await importer.close()
    assert 2 == server.logins
