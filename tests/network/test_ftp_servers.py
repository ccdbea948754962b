"""FTP servers as operators run them: vsftpd, which is strict about TLS, and pyftpdlib, watched."""

from __future__ import annotations

import random

import pytest
from certificates import Authority
from ftp_fetching import build, fetched
from ftp_servers import PyftpdServer, Vsftpd
from pytest_twisted import ensureDeferred

from streamer.errors import ContentTruncated, OriginForbids, OriginLacksIt, OriginNonsense
from streamer.model import OriginResponse
from streamer.ranges import ByteRange

CONTENT = random.Random(6).randbytes(4_500_000)
SIZE = len(CONTENT)
NAME = "bücher & 100%.rpm"
QUOTED = "b%C3%BCcher%20%26%20100%25.rpm"
WHOLE = (OriginResponse(SIZE), CONTENT, None)
REST = ByteRange(3_000_001, SIZE - 1)


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
def folder(tmp_path):
    """What the servers have."""
    root = tmp_path / "root"
    (root / "pub").mkdir(parents=True)
    for name in (NAME, "broken"):
        (root / "pub" / name).write_bytes(CONTENT)
    return root


async def fetch_all(importer):
    """A file, the rest of it, a part of it, one that is missing, and the file again."""
    first = await fetched(importer, QUOTED)
    rest = await fetched(importer, QUOTED, REST)
    with pytest.raises(OriginLacksIt):
        await fetched(importer, "missing")
    again = await fetched(importer, QUOTED)
    part = await fetched(importer, QUOTED, ByteRange(5, 10))
    await importer.close()
    return first, rest, again, part


EXPECTED = (
    WHOLE,
    (OriginResponse(SIZE - REST.first, part_of=SIZE), CONTENT[REST.first :], None),
    WHOLE,
    (OriginResponse(6, part_of=SIZE), CONTENT[5:11], None),
)


@ensureDeferred
async def test_vsftpd_serves_strangers(reactor, tmp_path, folder):
    """On one session."""
    with Vsftpd(tmp_path, folder) as server:
        got = await fetch_all(build(reactor, f"{server.url}pub/"))

    assert EXPECTED == got
    assert 1 == server.log_text().count("OK LOGIN")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
@pytest.mark.parametrize("is_implicit", [True, False], ids=["implicit", "explicit"])
@ensureDeferred
async def test_vsftpd_over_tls_sees_one_tls_session(
    reactor, tmp_path, folder, authority, is_implicit, version
):
    """`require_ssl_reuse` is its default: content is sent to who has logged in, to nobody else."""
    file = authority.server_file(tmp_path)
    with Vsftpd(tmp_path, folder, server_file=file, is_implicit=is_implicit) as server:
        importer = build(
            reactor,
            f"{server.url}pub/",
            ca_cert=authority.pem,
            explicit_tls=not is_implicit,
            tls_maximum=version,
        )
        got = await fetch_all(importer)

    assert EXPECTED == got
    assert 1 == server.log_text().count("OK LOGIN")


@pytest.mark.parametrize("tls", [None, "explicit", "implicit"])
@ensureDeferred
async def test_pyftpdlib_serves_who_logs_in(reactor, tmp_path, folder, authority, tls):
    """Plain, and over TLS of both kinds."""
    file = authority.server_file(tmp_path)
    with PyftpdServer(folder, "mé", "s3 cret:%", tls=tls, server_file=file) as server:
        importer = build(
            reactor,
            f"{server.url}pub/",
            username="mé",
            password="s3 cret:%",
            ca_cert=authority.pem,
            explicit_tls=tls == "explicit",
        )
        got = await fetch_all(importer)

    assert EXPECTED == got
    assert 1 == server.logins


@ensureDeferred
async def test_pyftpdlib_that_breaks_off_is_gone_on_with(reactor, folder):
    """Its disk fails after three million bytes; what it says then is no end."""
    with PyftpdServer(folder, "me", "s3cret") as server:
        importer = build(reactor, f"{server.url}pub/", username="me", password="s3cret")

        _, begun, error = await fetched(importer, "broken")
        rest = ByteRange(len(begun), SIZE - 1)
        _, content, last = await fetched(importer, QUOTED, rest)
        await importer.close()

    assert isinstance(error, ContentTruncated)
    assert 0 < len(begun) < SIZE
    assert (CONTENT, None) == (begun + content, last)


@ensureDeferred
async def test_pyftpdlib_that_names_another_host_is_refused(reactor, folder):
    """As behind a wrong `masquerade_address`, which matters to PASV alone."""
    settings = {"masquerade_address": "192.0.2.1"}
    with PyftpdServer(folder, "me", "s3cret", without={"EPSV"}, **settings) as server:
        importer = build(reactor, f"{server.url}pub/", username="me", password="s3cret")

        with pytest.raises(OriginNonsense, match="another host"):
            await fetched(importer, QUOTED)
        assert [] == [verb for verb in server.verbs() if verb == "RETR"]
        await importer.close()


@ensureDeferred
async def test_pyftpdlib_behind_a_wrong_address_serves_by_epsv(reactor, folder):
    """That reply names no address."""
    settings = {"masquerade_address": "192.0.2.1"}
    with PyftpdServer(folder, "me", "s3cret", **settings) as server:
        importer = build(reactor, f"{server.url}pub/", username="me", password="s3cret")

        got = await fetched(importer, QUOTED)
        await importer.close()

    assert WHOLE == got


@ensureDeferred
async def test_pyftpdlib_refuses_a_wrong_password(reactor, folder):
    """That is ours to solve."""
    with PyftpdServer(folder, "me", "s3cret") as server:
        importer = build(reactor, f"{server.url}pub/", username="me", password="other")

        with pytest.raises(OriginForbids):
            await fetched(importer, QUOTED)
