"""FTP servers whose two connections are out of step, in pieces, or torn."""

from __future__ import annotations

import random
import time

import pytest
from certificates import Authority
from ftp_fetching import build, fetched, left_open
from ftp_origins import HONEST, FtpOrigin
from pytest_twisted import ensureDeferred

from streamer.errors import ContentTruncated
from streamer.model import OriginResponse

CONTENT = random.Random(7).randbytes(300_000)
SIZE = len(CONTENT)
WHOLE = (OriginResponse(SIZE), CONTENT, None)
BEGUN, DONE = b"150 now\r\n", b"226 done\r\n"
UNKNOWN = b"500 what\r\n"


def slowly(verb):
    """The honest answer, a byte at a time."""

    def answer(talk, argument):
        whole, said = talk.say, []
        talk.say = lambda raw: said.append(raw) or True
        honest = HONEST[verb]
        try:
            said.append(honest) if isinstance(honest, bytes) else honest(talk, argument)
        finally:
            talk.say = whole
        for byte in b"".join(said):
            talk.say(bytes([byte]))
            time.sleep(0.001)
        return True

    return answer


@ensureDeferred
async def test_replies_in_single_bytes_are_read(reactor):
    """A reply is a reply when its line has ended."""
    verbs = ("greeting", "USER", "PASS", "TYPE", "SIZE", "EPSV", "REST")
    with FtpOrigin(CONTENT, **{verb: slowly(verb) for verb in verbs}) as server:
        importer = build(reactor, server.url)

        got = await fetched(importer)
        await importer.close()

    assert WHOLE == got


@pytest.mark.parametrize("size", [b"213 300000\r\n", UNKNOWN], ids=["told", "unknown"])
@ensureDeferred
async def test_last_word_before_the_last_byte_waits_for_it(reactor, size):
    """The control connection is the faster one."""

    def retrieve(talk, _):
        talk.say(BEGUN)
        with talk.data_connection() as data:
            data.sendall(CONTENT[: SIZE // 2])
            talk.say(DONE)
            time.sleep(0.1)
            data.sendall(CONTENT[SIZE // 2 :])
        return True

    with FtpOrigin(CONTENT, SIZE=size, RETR=retrieve) as server:
        importer = build(reactor, server.url)

        first, second = await fetched(importer), await fetched(importer)
        await importer.close()

    assert [(CONTENT, None)] * 2 == [first[1:], second[1:]]
    assert 1 == server.logins


@ensureDeferred
async def test_last_word_before_content_that_breaks_off_does_not_make_it_whole(reactor):
    """The size says otherwise."""

    def retrieve(talk, _):
        talk.say(BEGUN + DONE)
        return talk.send_content(CONTENT[:-1])

    with FtpOrigin(CONTENT, RETR=retrieve) as server:
        importer = build(reactor, server.url)

        _, content, error = await fetched(importer)
        await importer.close()

    assert CONTENT[:-1] == content
    assert isinstance(error, ContentTruncated)


@pytest.mark.parametrize(
    ("size", "error"), [(b"213 300000\r\n", None), (UNKNOWN, ContentTruncated)]
)
@ensureDeferred
async def test_control_connection_that_goes_first_costs_its_word_alone(reactor, size, error):
    """Firewalls forget one that nothing is said on; a known size is enough."""

    def retrieve(talk, _):
        talk.say(BEGUN)
        with talk.data_connection() as data:
            data.sendall(CONTENT[: SIZE // 2])
            talk.wire.shutdown(2)
            time.sleep(0.1)
            data.sendall(CONTENT[SIZE // 2 :])
        return False

    with FtpOrigin(CONTENT, SIZE=size, RETR=retrieve) as server:
        importer = build(reactor, server.url)

        _, content, found = await fetched(importer)

        assert CONTENT == content
        assert isinstance(found, error or type(None))
        assert await left_open(reactor, server) == 0


@pytest.mark.parametrize(
    ("size", "content", "error"),
    [
        pytest.param(b"213 300000\r\n", CONTENT, None, id="whole"),
        pytest.param(b"213 300000\r\n", CONTENT[:-1], ContentTruncated, id="short"),
        pytest.param(UNKNOWN, CONTENT, ContentTruncated, id="unknown"),
    ],
)
@ensureDeferred
async def test_tls_that_ends_without_its_last_word_may_have_been_cut(
    reactor, tmp_path, size, content, error
):
    """Anybody on the way can close it, and the server says 226 all the same."""
    authority = Authority()
    tls = authority.server_context(tmp_path)

    def retrieve(talk, _):
        talk.say(BEGUN)
        talk.send_content(content, is_torn=True)
        return talk.say(DONE)

    with FtpOrigin(CONTENT, tls=tls, SIZE=size, RETR=retrieve) as server:
        importer = build(reactor, server.url, explicit_tls=True, ca_cert=authority.pem)

        _, got, found = await fetched(importer)
        await importer.close()

    assert content == got
    assert isinstance(found, error or type(None))


@ensureDeferred
async def test_path_is_the_servers_to_read(reactor):
    """Dot segments are an operator's to write, and whether they lead anywhere is the server's."""
    with FtpOrigin(CONTENT) as server:
        importer = build(reactor, f"{server.url}pub/")

        await fetched(importer, "../%2e%2e/a%20%20b/")
        await importer.close()

    assert b"RETR pub/../../a  b/" == server.commands[-1]
