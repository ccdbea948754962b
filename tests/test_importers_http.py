"""The importer type `http`: its URLs, what it asks and what it understands."""

from __future__ import annotations

import base64

import pytest
from memory_origins import Opening, build
from OpenSSL import SSL
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.python.failure import Failure
from twisted.web.client import ResponseNeverReceived
from twisted.web.error import SchemeNotSupported

from streamer.downloaders.faults import origin_errors
from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginError,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginProhibited,
    OriginRefused,
    OriginTimedOut,
    OriginTLSFailed,
    OriginUnreachable,
)
from streamer.importers.joining import join_below, join_url
from streamer.ranges import ByteRange

SECRET = "s3cret-pa55"


# -- URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("f", "http://h/repo/f", id="name"),
        pytest.param("a/b", "http://h/repo/a/b", id="folder"),
        pytest.param("/f", "http://h/f", id="absolute-path"),
        pytest.param("http://other/f", "http://other/f", id="absolute"),
        pytest.param("HTTPS://other/f", "HTTPS://other/f", id="scheme-in-capitals"),
        pytest.param("libc-1:2.3.deb", "http://h/repo/libc-1:2.3.deb", id="colon"),
        pytest.param("a%2Fb?c=%2f&d", "http://h/repo/a%2Fb?c=%2f&d", id="escapes-and-query"),
        pytest.param("a/../b", "http://h/repo/a/../b", id="dot-segments"),
        pytest.param("?x=1", "http://h/repo/?x=1", id="query-alone"),
        pytest.param("x?u=http://other/", "http://h/repo/x?u=http://other/", id="url-in-a-query"),
        pytest.param("@other/f", "http://h/repo/@other/f", id="no-user"),
    ],
)
@pytest.mark.parametrize("base", ["http://h/repo", "http://h/repo/"])
def test_url_is_joined_byte_for_byte(base, url, expected):
    """A base is a folder with and without its slash, and nothing is requoted."""
    assert expected == join_url(base, url)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("", "http://h/repo/", id="the-root"),
        pytest.param("a/b", "http://h/repo/a/b", id="folder"),
        pytest.param("a/", "http://h/repo/a/", id="trailing-slash"),
        pytest.param("http://other/f", "http://h/repo/http://other/f", id="absolute-is-a-path"),
        pytest.param("@other", "http://h/repo/@other", id="no-user"),
        pytest.param("a%20b?x=../..", "http://h/repo/a%20b?x=../..", id="query-is-no-path"),
        pytest.param("a..b/...", "http://h/repo/a..b/...", id="dots-in-names"),
    ],
)
@pytest.mark.parametrize("base", ["http://h/repo", "http://h/repo/"])
def test_path_of_a_client_is_put_below_the_importers_url(base, path, expected):
    """Byte for byte, and whatever it looks like."""
    assert expected == join_below(base, path)


@pytest.mark.parametrize(
    "path",
    [
        "/f",
        "//other/f",
        "..",
        "a/../../f",
        "a/.",
        "%2e%2E/f",
        ".%2e/f",
        "..;/f",
        "a/%2e%2e%3bx/f",
        "a%2f..%2Ff",
        "a%5c..%5cf",
        "a\\..\\f",
        "\\f",
        "a#b",
        "a b",
        "a\r\nX: y",
        "ä",
    ],
)
def test_path_that_could_lead_out_is_refused(path):
    """RFC 3986 5.2.4: some server understands each of these otherwise than it reads."""
    with pytest.raises(ValueError, match="stay below"):
        build().relayer(path)


# -- an origin in memory


@pytest.fixture
def opening():
    opening = Opening()
    opening.connect()
    return opening


def fields_sent(opening, name):
    return opening.connect().field(name)


# -- what is asked


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("a%2Fb/~c+d[1]|e?x=%2f&&y", "/repo/a%2Fb/~c+d[1]|e?x=%2f&&y", id="escapes"),
        pytest.param("f?", "/repo/f?", id="rfc3986-6.2.3-empty-query"),
        pytest.param("f;", "/repo/f;", id="empty-parameters"),
        pytest.param("a;b/f;?", "/repo/a;b/f;?", id="empty-both"),
        pytest.param("f??", "/repo/f??", id="question-in-a-query"),
        pytest.param("/a//b", "/a//b", id="empty-segment"),
        pytest.param("//a", "//a", id="two-slashes"),
        pytest.param("a/../%2e/b", "/repo/a/../%2e/b", id="dot-segments"),
        pytest.param("%zz%", "/repo/%zz%", id="broken-escapes"),
        pytest.param("http://192.0.2.1?x", "/?x", id="rfc9112-3.2.1-empty-path"),
        pytest.param("http://192.0.2.1", "/", id="rfc9112-3.2.1-nothing"),
        pytest.param("http://192.0.2.1//a?", "//a?", id="absolute"),
    ],
)
def test_origin_is_asked_for_the_url_as_it_stands(url, expected):
    """RFC 9112 3.2.1: the target goes out byte for byte; only a path there must be."""
    line, _ = Opening(url).connect().request

    assert f"GET {expected} HTTP/1.1" == line


@pytest.mark.parametrize(
    ("authority", "host", "port"),
    [
        pytest.param("[2001:db8::1]:8080", "2001:db8::1", 8080, id="rfc3986-3.2.2-ipv6"),
        pytest.param("my_repo", "my_repo", 80, id="underscore"),
        pytest.param("r3---sn.example", "r3---sn.example", 80, id="hyphens"),
        pytest.param("xn--n3h.example", "xn--n3h.example", 80, id="rfc5892-no-label"),
        pytest.param("h.example.", "h.example.", 80, id="rfc1034-3.1-absolute"),
        pytest.param("h.example:", "h.example", 80, id="rfc3986-3.2.3-empty-port"),
        pytest.param("[2001:db8::1]:", "2001:db8::1", 80, id="empty-port-of-ipv6"),
    ],
)
def test_host_is_connected_to_whatever_its_name(authority, host, port):
    """Who names it knows whether it exists; IDNA is for names beyond ASCII."""
    opening = Opening(f"http://{authority}/f")

    (client,) = opening.reactor.tcpClients

    assert client[:2] == (host, port)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://h..example/f", id="empty-label"),
        pytest.param(f"http://{'h' * 64}.example/f", id="long-label"),
        pytest.param("http://me@192.0.2.1/f", id="user"),
        pytest.param("http://192.0.2.2:80@192.0.2.1/f", id="host-as-user"),
        pytest.param("http://192.0.2.1:99999/f", id="port"),
        pytest.param("http://192.0.2.2[::1]/f", id="name-and-address"),
        pytest.param("http://192.0.2.%31/f", id="escape"),
        pytest.param("http://[::1]192.0.2.2/f", id="address-and-name"),
        pytest.param("a b", id="space"),
        pytest.param("a\r\nX: y", id="line"),
        pytest.param("ä", id="beyond-ascii"),
    ],
)
def test_url_that_cannot_be_sent_is_a_failure_and_asks_nobody(url):
    """Whatever got past the publishing."""
    opening = Opening(url, username="me", password=SECRET)

    assert isinstance(opening.error, OriginUnreachable)
    assert opening.origins == []


def test_origin_is_asked_for_identity_and_nothing_else():
    """RFC 9110 12.5.3: one field, one coding."""
    assert fields_sent(Opening(), "accept-encoding") == ["identity"]


def test_origin_is_told_who_asks():
    """RFC 9110 7.6.3 and 10.1.5, RFC 8586 2."""
    opening = Opening()
    fields = {name.lower(): value for name, value in opening.connect().request[1]}

    assert fields["via"] == "1.1 me"
    assert fields["cdn-loop"] == "me"
    assert fields["user-agent"].startswith("pulp-streamer/")


def test_credentials_go_to_the_importers_origin():
    """RFC 7617 2: user and password in UTF-8."""
    opening = Opening(username="mé", password=SECRET)

    (value,) = fields_sent(opening, "authorization")

    assert base64.b64decode(value.removeprefix("Basic ")).decode() == f"mé:{SECRET}"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://192.0.2.2/f", id="other-host"),
        pytest.param("http://192.0.2.1:8080/f", id="other-port"),
        pytest.param("http://192.0.2.10/f", id="host-with-the-same-beginning"),
    ],
)
def test_credentials_go_nowhere_else(url):
    """RFC 9110 4.3.1: another origin is another authority."""
    assert fields_sent(Opening(url, username="me", password=SECRET), "authorization") == []


def test_credentials_go_to_the_same_origin_in_other_words():
    """RFC 9110 4.2.3: the default port and the case of the scheme change nothing."""
    opening = Opening("HTTP://192.0.2.1:80/f", username="me", password=SECRET)

    assert len(fields_sent(opening, "authorization")) == 1


def test_without_a_user_no_credentials_are_sent():
    """Nothing is made up."""
    assert fields_sent(Opening(), "authorization") == []


# -- what is answered


def test_download_is_open_when_the_fields_are_here(opening):
    """Length and fields are known before any content."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 5", "X-A: 1", "x-a: 2")

    assert opening.download.response.length == 5
    assert [value for name, value in opening.download.response.fields if name.lower() == "x-a"] == [
        "1",
        "2",
    ]


def test_content_is_delivered_as_it_comes(opening):
    """Chunks pass as they are, and the end is told once."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 5")
    opening.download.deliver(opening.sink)

    opening.origin.protocol.dataReceived(b"hel")
    early = opening.sink.content
    opening.origin.protocol.dataReceived(b"lo")

    assert early == b"hel"
    assert opening.sink.content == b"hello"
    assert opening.sink.endings == [None]


def test_content_labelled_as_gzip_is_not_decoded(opening):
    """An eager origin labels `.gz` files; their bytes are what the catalog promises."""
    opening.origin.send(
        "HTTP/1.1 200 OK", "Content-Length: 3", "Content-Encoding: gzip", content=b"\x1f\x8b\x08"
    )
    opening.download.deliver(opening.sink)

    assert opening.sink.content == b"\x1f\x8b\x08"
    assert opening.download.response.length == 3


def test_content_without_a_length_has_none(opening):
    """RFC 9112 7.1: chunked content ends by itself."""
    opening.origin.send(
        "HTTP/1.1 200 OK", "Transfer-Encoding: chunked", content=b"2\r\nhi\r\n0\r\n\r\n"
    )
    opening.download.deliver(opening.sink)

    assert opening.download.response.length is None
    assert opening.sink.content == b"hi"
    assert opening.sink.endings == [None]


def test_content_that_ends_with_the_connection_is_over(opening):
    """RFC 9112 6.3: the origin claims no length; the verifier knows."""
    opening.origin.send("HTTP/1.1 200 OK", content=b"hi")
    opening.download.deliver(opening.sink)

    opening.origin.close()

    assert opening.sink.endings == [None]


@pytest.mark.parametrize(
    ("framing", "content"),
    [
        pytest.param("Content-Length: 5", b"hi", id="rfc9112-6.3-length"),
        pytest.param("Transfer-Encoding: chunked", b"5\r\nhi", id="rfc9112-7.1-chunked"),
    ],
)
@pytest.mark.parametrize("reason", [ConnectionDone(), ConnectionLost()], ids=["fin", "reset"])
def test_content_that_breaks_off_is_truncated(opening, framing, content, reason):
    """RFC 9112 8: less came than was announced."""
    opening.origin.send("HTTP/1.1 200 OK", framing, content=content)
    opening.download.deliver(opening.sink)

    opening.origin.close(reason)

    (error,) = opening.sink.endings
    assert isinstance(error, ContentTruncated)
    assert error.args == (2,)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        pytest.param(404, OriginLacksIt, id="rfc9110-15.5.5"),
        pytest.param(410, OriginLacksIt, id="rfc9110-15.5.11"),
        pytest.param(429, OriginBusy, id="rfc6585-4"),
        pytest.param(401, OriginForbids, id="rfc9110-15.5.2"),
        pytest.param(403, OriginForbids, id="rfc9110-15.5.4"),
        pytest.param(500, OriginFailing, id="rfc9110-15.6.1"),
        pytest.param(503, OriginFailing, id="rfc9110-15.6.4"),
        pytest.param(300, OriginRefused, id="rfc9110-15.4.1-nobody-chooses"),
        pytest.param(206, OriginRefused, id="rfc9110-15.3.7-nobody-asked-for-a-part"),
        pytest.param(204, OriginRefused, id="rfc9110-15.3.5"),
        pytest.param(304, OriginRefused, id="rfc9110-15.4.5"),
    ],
)
def test_other_status_than_200_is_an_error(opening, status, error):
    """Only 200 opens a download."""
    opening.origin.send(f"HTTP/1.1 {status} Whatever", "Content-Length: 0", "Location: http://x/")

    assert type(opening.error) is error
    assert opening.error.args == (status,)


def test_short_refusal_is_read_so_that_its_connection_is_kept(opening):
    """An error page costs less than a new connection."""
    opening.origin.send("HTTP/1.1 404 Not Found", "Content-Length: 4", content=b"gone")

    assert opening.origin.transport.producerState == "producing"
    assert not opening.origin.transport.disconnecting


@pytest.mark.parametrize("framing", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
def test_long_refusal_is_not_read(opening, framing):
    """An origin that answers 404 with a film is cut off."""
    opening.origin.send("HTTP/1.1 404 Not Found", framing)

    assert opening.origin.transport.producerState == "stopped"


# -- pausing and stopping


def test_pause_and_resumption_reach_the_connection(opening):
    """The socket of a paused download is not read."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 5")
    opening.download.deliver(opening.sink)

    states = []
    for step in (opening.download.pause, opening.download.pause, opening.download.resume):
        step()
        states.append(opening.origin.transport.producerState)

    assert states == ["paused", "paused", "producing"]


def test_pause_before_the_delivery_holds(opening):
    """Delivering resumes a connection; who paused before is still obeyed."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 5")

    opening.download.pause()
    opening.download.deliver(opening.sink)

    assert opening.origin.transport.producerState == "paused"


@pytest.mark.parametrize("is_delivering", [True, False], ids=["delivering", "not-delivering"])
def test_stop_gives_the_connection_up_and_calls_nothing_more(opening, is_delivering):
    """After `stop` the sink hears nothing, not even the end; twice is once."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 5")
    if is_delivering:
        opening.download.deliver(opening.sink)

    opening.download.stop()
    opening.download.stop()
    opening.origin.close()

    assert opening.origin.transport.producerState == "stopped"
    assert opening.sink.content == b""
    assert opening.sink.endings == []


def test_stop_after_the_end_is_harmless(opening):
    """Whoever holds a download stops it in the end, on every path."""
    opening.origin.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"hi")
    opening.download.deliver(opening.sink)

    opening.download.stop()

    assert opening.sink.endings == [None]
    assert opening.origin.transport.producerState == "producing"


# -- cancelling, and what the way to the origin does wrong


def test_cancelling_while_connecting_is_a_cancellation():
    """A client that leaves early is no defect."""
    opening = Opening()

    opening.running.cancel()
    opening.turn()

    assert isinstance(opening.error, CancelledError)
    assert opening.reactor.getDelayedCalls() == []


def test_cancelling_while_waiting_for_the_fields_drops_the_connection(opening):
    """The origin need not go on with what nobody wants."""
    opening.running.cancel()

    assert isinstance(opening.error, CancelledError)
    assert opening.origin.transport.disconnected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another-protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", id="rfc9112-5-no-colon"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            id="rfc9112-6.3-two-lengths",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", id="rfc9112-6.1-coding"
        ),
    ],
)
def test_answer_that_is_not_usable_is_nonsense(opening, answer):
    """Whatever the parser makes of it, it is the origin's fault."""
    opening.origin.protocol.dataReceived(answer)
    opening.origin.close(ConnectionAborted())

    assert isinstance(opening.error, OriginNonsense)


def test_connection_that_closes_before_the_fields_is_nonsense(opening):
    """An origin that hangs up has not answered."""
    opening.origin.protocol.dataReceived(b"HTTP/1.1 200 OK\r\nX: ")

    opening.origin.close()

    assert isinstance(opening.error, OriginNonsense)


LEAK = f"http://me:{SECRET}@h/f?token={SECRET}"


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        pytest.param(ConnectError(LEAK), OriginUnreachable, id="refused"),
        pytest.param(NoRouteError(LEAK), OriginUnreachable, id="no-route"),
        pytest.param(DNSLookupError(LEAK), OriginUnreachable, id="unknown-name"),
        pytest.param(TCPTimedOutError(LEAK), OriginTimedOut, id="connect-timed-out"),
        pytest.param(SSL.Error([("ssl", LEAK, "failed")]), OriginTLSFailed, id="tls"),
        pytest.param(ConnectionLost(LEAK), OriginNonsense, id="lost"),
        pytest.param(ValueError(LEAK), OriginProhibited, id="invalid-host"),
        pytest.param(SchemeNotSupported(LEAK), OriginProhibited, id="scheme"),
        pytest.param(
            ResponseNeverReceived([Failure(SSL.Error([("ssl", LEAK, "failed")]))]),
            OriginTLSFailed,
            id="tls-within",
        ),
        pytest.param(
            ResponseNeverReceived([Failure(ResponseNeverReceived([Failure(ConnectionDone())]))]),
            OriginNonsense,
            id="nested",
        ),
        pytest.param(ResponseNeverReceived([]), OriginNonsense, id="no-reason"),
    ],
)
def test_failure_is_mapped_without_its_words(raised, expected):
    """Foreign messages may repeat a URL; ours do not."""
    with pytest.raises(OriginError) as caught, origin_errors():
        raise raised

    assert type(caught.value) is expected
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize(
    ("raised", "sentence"),
    [
        (
            SSL.Error([("", "", "certificate verify failed")]),
            "its certificate is not trusted, has expired, or is for another host",
        ),
        (SSL.Error([("", "", "wrong version number")]), "failed (wrong version number)"),
        (SSL.Error([]), "the handshake failed"),
        (SSL.SysCallError(-1, "Unexpected EOF"), "the handshake failed"),
    ],
)
def test_handshake_that_fails_says_why(raised, sentence):
    """An operator sees whether it is the certificate; OpenSSL's reasons are constants."""
    with pytest.raises(OriginTLSFailed) as caught, origin_errors():
        raise raised

    assert str(caught.value).endswith(sentence)


# -- a span


SPAN = ByteRange(2, 5)
PARTIAL = "206 Partial Content"


def test_span_is_asked_for_as_a_range():
    """RFC 9110 14.2: both positions, included."""
    assert fields_sent(Opening(span=SPAN), "range") == ["bytes=2-5"]


def test_whole_content_is_asked_for_without_a_range():
    """A Range that nobody needs would only invite mistakes."""
    assert fields_sent(Opening(), "range") == []


def test_span_that_is_proven_opens_a_download():
    """RFC 9110 15.3.7: 206, and Content-Range says what was asked for, and of how much."""
    opening = Opening(span=SPAN)

    opening.connect().send(
        f"HTTP/1.1 {PARTIAL}", "Content-Range: bytes 2-5/10", "Content-Length: 4", content=b"cdef"
    )
    opening.download.deliver(opening.sink)

    assert opening.download.response.part_of == 10
    assert opening.download.response.length == 4
    assert opening.sink.content == b"cdef"


def test_origin_that_ignores_the_range_opens_a_download_of_all():
    """RFC 9110 14.2: a server may; whoever asked sees it by `part_of`."""
    opening = Opening(span=SPAN)

    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 10", content=b"abcdefghij")

    assert opening.download.response.part_of is None
    assert opening.download.response.length == 10


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(["Content-Range: bytes 1-4/10"], id="shifted"),
        pytest.param(["Content-Range: bytes 2-6/10"], id="longer"),
        pytest.param(["Content-Range: bytes 2-4/10"], id="shorter"),
        pytest.param(["Content-Range: bytes 2-5/*"], id="of-unknown-length"),
        pytest.param(["Content-Range: bytes 2-5"], id="malformed"),
        pytest.param(["Content-Range: bytes 2-5/10", "Content-Range: bytes 2-5/10"], id="repeated"),
        pytest.param(["Content-Type: multipart/byteranges; boundary=x"], id="multipart"),
        pytest.param(["Content-Range: bytes 2-5/10", "Content-Length: 5"], id="other-length"),
    ],
)
def test_span_that_is_not_proven_is_refused(fields):
    """No digest would find it out."""
    opening = Opening(span=SPAN)
    origin = opening.connect()

    origin.send(f"HTTP/1.1 {PARTIAL}", *fields)

    assert isinstance(opening.error, OriginNonsense)
    assert origin.transport.producerState == "stopped"


def test_span_of_a_file_that_is_labelled_gzip_is_a_span():
    """Many mirrors label `.gz` files so; that they are the files their length shows."""
    opening = Opening(span=SPAN)

    opening.connect().send(
        f"HTTP/1.1 {PARTIAL}", "Content-Range: bytes 2-5/10", "Content-Encoding: gzip"
    )

    assert opening.download.response.part_of == 10


def test_partial_content_that_nobody_asked_for_is_refused():
    """RFC 9110 15.3.7: a 206 answers a Range, and there was none."""
    opening = Opening()

    opening.connect().send(
        f"HTTP/1.1 {PARTIAL}", "Content-Range: bytes 2-5/10", "Content-Length: 4"
    )

    assert opening.error.received_status == 206


def test_origin_that_finds_the_range_not_satisfiable_is_refused():
    """What it has is shorter than what was published."""
    opening = Opening(span=SPAN)

    opening.connect().send("HTTP/1.1 416 Range Not Satisfiable", "Content-Length: 0")

    assert opening.error.received_status == 416
