"""What strangers write to the door, byte for byte: served, or refused whole and for good.

Each case names the section that decides it. Every refusal is told by a complete response, ends the
connection, and nothing behind it is taken for a request, in whatever pieces it comes. That nothing
reaches the log is seen to by the fixture of all tests.
"""

from __future__ import annotations

import pytest
from doors import HEAD_SECONDS, STALL_SECONDS, Door
from wire import read_answers

from streamer.front import LINGER_SECONDS, PIPELINED_BYTES

GET = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
NEXT = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture
def door():
    return Door()


def head(request_line, *field_lines, host=b"Host: h"):
    return b"\r\n".join([request_line, *([host] if host else []), *field_lines, b"", b""])


def get(*field_lines, method=b"GET", version=b"1.1"):
    return head(b"%b /a HTTP/%b" % (method, version), *field_lines)


def hosted(*hosts, version=b"1.1"):
    return head(b"GET /a HTTP/" + version, *hosts, host=None)


def case(raw, status, name):
    return pytest.param(raw, status, id=name)


# -- served ----------------------------------------------------------------------------------------

SERVED = [
    case(GET, b"/a", "9112-3.2.1-origin-form"),
    case(head(b"GET /a?b=/c?d HTTP/1.1"), b"/a", "9112-3.2.1-query"),
    case(head(b'GET /<a>"[b]{c}|d^e`f\\g HTTP/1.1'), b'/<a>"[b]{c}|d^e`f\\g', "9112-3.2-unescaped"),
    # the absolute form, whose authority means nothing here
    case(head(b"GET http://other/a HTTP/1.1"), b"/a", "9112-3.2.2-absolute-form"),
    case(head(b"GET HTTPS://other/a HTTP/1.1"), b"/a", "9112-3.2.2-scheme-case"),
    case(head(b"GET http://other HTTP/1.1"), b"/", "9112-3.2.2-no-path"),
    case(head(b"GET http://other?q HTTP/1.1"), b"/", "9112-3.2.2-no-path-but-query"),
    case(head(b"GET http://other:80/a?q HTTP/1.1"), b"/a", "9112-3.2.2-port"),
    case(head(b"GET http://[::1]:80/a HTTP/1.1"), b"/a", "9112-3.2.2-ipv6"),
    case(head(b"GET http://other//evil/a HTTP/1.1"), b"//evil/a", "9112-3.2.2-double-slash"),
    case(head(b"GET http://h/http://h/a HTTP/1.1"), b"/http://h/a", "9112-3.2.2-url-in-the-path"),
    case(head(b"GET /\xc3\xa4 HTTP/1.1"), b"/%C3%A4", "9112-3.2-not-escaped-as-old-clients-do"),
    # Host
    case(hosted(b"Host: example.org:8751"), b"/a", "9110-7.2-port"),
    case(hosted(b"Host:h"), b"/a", "9112-5-no-space"),
    case(hosted(b"Host: \t h \t"), b"/a", "9112-5-spaces-around"),
    case(hosted(b"hOST: h"), b"/a", "9110-5.1-case"),
    case(hosted(b"Host:"), b"/a", "9110-7.2-empty"),
    case(hosted(b"Host: h:"), b"/a", "3986-3.2.3-empty-port"),
    case(hosted(b"Host: a..b"), b"/a", "3986-3.2.2-no-host-name-but-a-reg-name"),
    case(hosted(b"Host: %C3%A4.example"), b"/a", "3986-3.2.2-escaped"),
    case(hosted(b"Host: a_b!$&'()*+,;=~"), b"/a", "3986-3.2.2-sub-delims"),
    case(hosted(b"Host: 192.0.2.1:1"), b"/a", "3986-3.2.2-ipv4"),
    case(hosted(b"Host: [2001:db8::7]"), b"/a", "3986-3.2.2-ipv6"),
    case(hosted(b"Host: [::ffff:192.0.2.1]:443"), b"/a", "3986-3.2.2-ipv6-with-ipv4"),
    case(hosted(b"Host: [v1.fe80::a+en1]"), b"/a", "3986-3.2.2-ipvfuture"),
    case(hosted(version=b"1.0"), b"/a", "9112-3.2-none-in-1.0"),
    # versions
    case(get(version=b"1.2"), b"/a", "9110-2.5-higher-minor"),
    case(get(version=b"1.9"), b"/a", "9110-2.5-highest-minor"),
    # fields
    case(get(b"X: a\tb", b"Y:", b"Z: \xff\x80"), b"/a", "9110-5.5-tab-nothing-and-obs-text"),
    case(get(b"!#$%&'*+-.^_`|~09azAZ: x"), b"/a", "9110-5.6.2-all-of-token"),
    case(b"\r\n" + GET, b"/a", "9112-2.2-empty-line-before"),
    case(b"\r\n" * 4 + GET, b"/a", "9112-2.2-empty-lines-before"),
    case(get(b"Content-Length: 0"), b"/a", "9110-8.6-no-content"),
    case(get(b"Content-Length: 000"), b"/a", "9110-8.6-no-content-in-three-digits"),
    case(get(b"TE: trailers, gzip"), b"/a", "9110-10.1.4-te"),
    case(get(b"Transfer_Encoding: chunked"), b"/a", "9110-5.1-another-field"),
    case(get(b"Expect: 100-continue"), b"/a", "9110-10.1.1-nothing-to-invite"),
    case(get(b"Expect: 100-continue", b"Content-Length: 0"), b"/a", "9110-10.1.1-no-content"),
    case(get(b"Expect: a-miracle"), b"/a", "9110-10.1.1-other"),
    case(
        get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
        b"/a",
        "9110-7.8-upgrade-to-http-2",
    ),
    case(get(b"Connection: Upgrade", b"Upgrade: websocket"), b"/a", "9110-7.8-upgrade"),
    case(get(method=b"TRACE"), b"/a", "9110-9.3.8-trace-is-answered-behind-the-door"),
    case(get(method=b"BREW"), b"/a", "9110-9.1-other-methods-too"),
    case(get(*(b"X: 1",) * 499), b"/a", "6585-5-as-many-as-there-may-be"),
]


@pytest.mark.parametrize(("raw", "path"), SERVED)
@pytest.mark.parametrize("piece", [1, 7, 100_000])
def test_request_in_order_is_served(door, raw, path, piece):
    """It reaches the application by its path, and the answer is the only one."""
    wire = door.connect()

    for start in range(0, len(raw), piece):
        wire.send(raw[start : start + piece])

    (answer,) = read_answers(wire.value(), "GET")
    assert (200, path) == (answer.status, answer.content)
    assert [path] == door.paths()
    assert door.refusals == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(head(b"GET http://evil.example/a HTTP/1.1"), id="9112-3.2.2"),
        pytest.param(hosted(b"Host: evil.example"), id="9110-7.2"),
    ],
)
def test_authority_stays_at_the_door(door, raw):
    """Nothing behind the door can build a reference, a redirect or a log line from it."""
    door.connect().send(raw)

    (request,) = door.resource.requests
    seen = [request.uri, request.getRequestHostname(), request.getAllHeaders()]
    assert b"evil" not in repr(seen).encode()


# -- refused ---------------------------------------------------------------------------------------

REFUSED = [
    # Host
    case(hosted(), 400, "9112-3.2-no-host"),
    case(hosted(version=b"1.2"), 400, "9112-3.2-no-host-in-1.2"),
    case(hosted(b"Host: h", b"Host: h"), 400, "9112-3.2-two-hosts-alike"),
    case(hosted(b"Host: a", b"hOsT: b"), 400, "9112-3.2-two-hosts"),
    case(hosted(b"Host: a", b"Host: b", version=b"1.0"), 400, "9112-3.2-two-hosts-in-1.0"),
    case(head(b"GET http://h/a HTTP/1.1", host=None), 400, "9112-3.2.2-no-host-beside-absolute"),
    case(hosted(b"Host: a b"), 400, "9110-7.2-space"),
    case(hosted(b"Host: a\tb"), 400, "9110-7.2-tab"),
    case(hosted(b"Host: a, b"), 400, "9110-7.2-list"),
    case(hosted(b"Host: h/a"), 400, "9110-7.2-path"),
    case(hosted(b"Host: h?a"), 400, "9110-7.2-query"),
    case(hosted(b"Host: h#a"), 400, "9110-7.2-fragment"),
    case(hosted(b"Host: http://h"), 400, "9110-7.2-url"),
    case(hosted(b"Host: user@h"), 400, "9110-7.2-user"),
    case(hosted(b"Host: h:80a"), 400, "3986-3.2.3-no-port"),
    case(hosted(b"Host: h:-1"), 400, "3986-3.2.3-negative-port"),
    case(hosted(b"Host: h:1:2"), 400, "3986-3.2.3-two-ports"),
    case(hosted(b"Host: ::1"), 400, "3986-3.2.2-ipv6-without-brackets"),
    case(hosted(b"Host: [::1"), 400, "3986-3.2.2-bracket-left-open"),
    case(hosted(b"Host: []"), 400, "3986-3.2.2-nothing-in-brackets"),
    case(hosted(b"Host: [h]"), 400, "3986-3.2.2-name-in-brackets"),
    case(hosted(b"Host: [1.2.3.4]"), 400, "3986-3.2.2-ipv4-in-brackets"),
    case(hosted(b"Host: [1::2::3]"), 400, "3986-3.2.2-ipv6-with-two-gaps"),
    case(hosted(b"Host: [fe80::1%25eth0]"), 400, "3986-3.2.2-ipv6-with-a-zone"),
    case(hosted(b"Host: [::1]h"), 400, "3986-3.2.2-name-behind-ipv6"),
    case(hosted(b"Host: [v.a]"), 400, "3986-3.2.2-ipvfuture-without-version"),
    case(hosted(b"Host: %4"), 400, "3986-2.1-broken-escape"),
    case(hosted(b"Host: h\xc3\xa4"), 400, "3986-3.2.2-not-ascii"),
    case(hosted(b"Host: h\x00"), 400, "9110-5.5-nul-in-host"),
    case(hosted(b"Host : h"), 400, "9112-5.1-space-before-the-colon-of-host"),
    case(hosted(b" Host: h"), 400, "9112-2.2-space-before-the-first-field"),
    # the forms of a target
    case(head(b"GET ftp://h/a HTTP/1.1"), 400, "9112-3.2.2-other-scheme"),
    case(head(b"GET http:/a HTTP/1.1"), 400, "9112-3.2.2-one-slash"),
    case(head(b"GET http:a HTTP/1.1"), 400, "9112-3.2.2-no-slash"),
    case(head(b"GET http:///a HTTP/1.1"), 400, "9110-4.2.1-no-host"),
    case(head(b"GET http://:80/a HTTP/1.1"), 400, "9110-4.2.1-port-without-host"),
    case(head(b"GET http://user@h/a HTTP/1.1"), 400, "9110-4.2.4-user"),
    case(head(b"GET http://user:p@h/a HTTP/1.1"), 400, "9110-4.2.4-user-and-password"),
    case(head(b"GET http://h:p/a HTTP/1.1"), 400, "9112-3.2.2-impossible-port"),
    case(head(b"GET http://h\\@e/a HTTP/1.1"), 400, "9112-3.2.2-backslash"),
    case(head(b"GET http://h#/a HTTP/1.1"), 400, "9112-3.2.2-fragment"),
    case(head(b"GET /a#b HTTP/1.1"), 400, "9112-3.2-fragment"),
    case(head(b"GET a HTTP/1.1"), 400, "9112-3.2.1-no-slash"),
    case(head(b"GET ?a HTTP/1.1"), 400, "9112-3.2.1-query-alone"),
    case(head(b"GET h:443 HTTP/1.1"), 400, "9112-3.2.3-authority-form-of-get"),
    case(head(b"GET * HTTP/1.1"), 400, "9112-3.2.4-asterisk-form-of-get"),
    case(head(b"GET *?a HTTP/1.1"), 400, "9112-3.2.4-asterisk-with-a-query"),
    case(head(b"OPTIONS * HTTP/1.1"), 405, "9112-3.2.4-asterisk-form"),
    case(head(b"OPTIONS * HTTP/1.1", host=None), 400, "9112-3.2-asterisk-form-without-host"),
    case(head(b"CONNECT h:443 HTTP/1.1"), 405, "9112-3.2.3-authority-form"),
    case(head(b"CONNECT [::1]:443 HTTP/1.0", host=None), 405, "9112-3.2.3-ipv6"),
    case(head(b"CONNECT h HTTP/1.1"), 400, "9110-9.3.6-no-port"),
    case(head(b"CONNECT h: HTTP/1.1"), 400, "9110-9.3.6-empty-port"),
    case(head(b"CONNECT :443 HTTP/1.1"), 400, "9110-9.3.6-no-host"),
    case(head(b"CONNECT /a HTTP/1.1"), 400, "9112-3.2.3-connect-to-a-path"),
    case(head(b"CONNECT http://h/ HTTP/1.1"), 400, "9112-3.2.3-connect-to-a-url"),
    # the request line
    case(b"GET  /a HTTP/1.1\r\n", 400, "9112-3-two-spaces"),
    case(b"GET /a  HTTP/1.1\r\n", 400, "9112-3-two-spaces-before-the-version"),
    case(b"GET /a HTTP/1.1 \r\n", 400, "9112-3-space-at-the-end"),
    case(b" GET /a HTTP/1.1\r\n", 400, "9112-3-space-at-the-beginning"),
    case(b"GET\t/a HTTP/1.1\r\n", 400, "9112-3-tab"),
    case(b"GET /a b HTTP/1.1\r\n", 400, "9112-3-space-in-the-target"),
    case(b"GET /a\tb HTTP/1.1\r\n", 400, "9112-3-tab-in-the-target"),
    case(b"GET /a HTTP/1.1 junk\r\n", 400, "9112-3-junk"),
    case(b"GET /\x7f HTTP/1.1\r\n", 400, "9112-3.2-delete"),
    case(b"GET /\x00 HTTP/1.1\r\n", 400, "9112-3.2-nul"),
    case(b"GET(x) /a HTTP/1.1\r\n", 400, "9110-9.1-no-token"),
    case(b"G\xcbT /a HTTP/1.1\r\n", 400, "9110-9.1-not-ascii"),
    case(b" /a HTTP/1.1\r\n", 400, "9112-3-no-method"),
    case(b"GET HTTP/1.1\r\n", 400, "9112-3-no-target"),
    case(b"GET /a\r\n", 400, "9112-3-http-0.9"),
    case(b"GET\r\n", 400, "9112-3-method-alone"),
    case(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, "9112-3-tls"),
    case(b"SSH-2.0-OpenSSH_9.2\r\n", 400, "9112-3-another-protocol"),
    case(b"HTTP/1.1 200 OK\r\n", 400, "9112-3-a-response"),
    # versions
    case(get(version=b"0.9"), 400, "9112-2.3-0.9"),
    case(get(version=b"2.0"), 505, "9110-15.6.6-2.0"),
    case(get(version=b"3.0"), 505, "9110-15.6.6-3.0"),
    case(get(version=b"9.9"), 505, "9110-15.6.6-9.9"),
    case(get(version=b"2"), 400, "9112-2.3-no-minor"),
    case(get(version=b"1.10"), 400, "9112-2.3-two-digits"),
    case(get(version=b"01.1"), 400, "9112-2.3-leading-zero"),
    case(get(version=b"1,1"), 400, "9112-2.3-comma"),
    case(b"GET /a http/1.1\r\n", 400, "9112-2.3-lower-case"),
    case(b"GET /a HTTPS/1.1\r\n", 400, "9112-2.3-other-name"),
    case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "9113-3.4-preface"),
    # line ends
    case(b"GET /a HTTP/1.1\n", 400, "9112-2.2-lf"),
    case(b"GET /a HTTP/1.1\nHost: h\n\n", 400, "9112-2.2-lf-only"),
    case(b"GET /a HTTP/1.1\r\nHost: h\n\r\n", 400, "9112-2.2-lf-behind-a-field"),
    case(b"GET /a HTTP/1.1\r\nHost: h\r\n\n", 400, "9112-2.2-lf-at-the-end"),
    case(b"GET /a HTTP/1.1\r\nHost: h\nX: y\r\n\r\n", 400, "9112-2.2-lf-in-a-field"),
    case(b"\n", 400, "9112-2.2-lf-before"),
    case(b"\n\n" + GET, 400, "9112-2.2-lf-before-a-request"),
    case(b"GET /a HTTP/1.1\rH", 400, "9112-2.2-cr"),
    case(b"GET /a HTTP/1.1\rHost: h\r\r", 400, "9112-2.2-cr-only"),
    case(b"GET /a HTTP/1.1\r\nX: a\rb", 400, "9112-2.2-cr-in-a-field"),
    case(b"GET /a HTTP/1.1\r\nX: a\r\r\n", 400, "9112-2.2-two-crs"),
    case(b"GET /a\rb HTTP/1.1\r\n", 400, "9112-2.2-cr-in-the-target"),
    case(b"\r\r", 400, "9112-2.2-cr-before"),
    case(b"\r\n" * 5, 400, "9112-2.2-flood-of-empty-lines"),
    case(b"\r\n" * 5 + GET, 400, "9112-2.2-too-many-empty-lines"),
    # field lines
    case(get(b" folded"), 400, "9112-5.2-obs-fold"),
    case(get(b"X: a", b"\tb"), 400, "9112-5.2-obs-fold-by-tab"),
    case(get(b"X: a", b" Content-Length: 5"), 400, "9112-5.2-length-in-a-fold"),
    case(get(b"X: a", b" "), 400, "9112-5.2-empty-fold"),
    case(get(b"no colon"), 400, "9112-5-no-colon"),
    case(get(b": x"), 400, "9112-5-no-name"),
    case(get(b"X : x"), 400, "9112-5.1-space-before-the-colon"),
    case(get(b"X\t: x"), 400, "9112-5.1-tab-before-the-colon"),
    case(get(b"X(y): x"), 400, "9110-5.1-no-token"),
    case(get(b"X\xc3\xa4: x"), 400, "9110-5.1-not-ascii"),
    case(get(b"X\x00: x"), 400, "9110-5.1-nul"),
    *(
        case(get(b"X: a%cb" % byte), 400, f"9110-5.5-control-{byte:02x}")
        for byte in (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F)
    ),
    # content, said plainly
    case(get(b"Content-Length: 1"), 413, "9110-15.5.14-length"),
    case(get(b"Content-Length: 01"), 413, "9110-15.5.14-leading-zero"),
    case(get(b"Content-Length: " + b"9" * 5000), 413, "9110-15.5.14-huge"),
    case(get(b"Content-Length: 5", version=b"1.0"), 413, "9110-15.5.14-length-in-1.0"),
    case(get(b"Transfer-Encoding: chunked"), 413, "9110-15.5.14-chunked"),
    case(get(b"Transfer-Encoding: CHUNKED"), 413, "9112-7-case"),
    case(get(b"Transfer-Encoding:\tchunked\t"), 413, "9112-5-tab-around"),
    case(get(b"Content-Length: 5", method=b"POST"), 405, "9110-15.5.6-length"),
    case(get(b"Transfer-Encoding: chunked", method=b"PUT"), 405, "9110-15.5.6-chunked"),
    case(get(b"Content-Length: 5", method=b"get"), 405, "9110-9.1-case-of-a-method"),
    case(get(b"Expect: 100-continue", b"Content-Length: 5"), 413, "9110-10.1.1-no-invitation"),
    # content, said so that two readers may read it apart
    case(get(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400, "9112-6.3-cl-te"),
    case(get(b"Transfer-Encoding: chunked", b"Content-Length: 5"), 400, "9112-6.3-te-cl"),
    case(get(b"Content-Length: 0", b"Transfer-Encoding: chunked"), 400, "9112-6.3-cl-0-te"),
    case(get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"), 400, "9112-6.3-te-te"),
    case(get(b"Transfer-Encoding: x", b"Transfer-Encoding: chunked"), 400, "9112-6.3-te-te-last"),
    case(get(*(b"Transfer-Encoding: chunked",) * 2), 400, "9112-6.1-chunked-twice"),
    case(get(b"Transfer-Encoding: chunked, chunked"), 400, "9112-6.1-chunked-twice-in-a-list"),
    case(get(b"Transfer-Encoding: gzip, chunked"), 400, "9112-6.1-unknown-coding-first"),
    case(get(b"Transfer-Encoding: chunked, gzip"), 400, "9112-6.3-chunked-not-last"),
    case(get(b"Transfer-Encoding: xchunked"), 400, "9112-6.3-xchunked"),
    case(get(b"Transfer-Encoding: chunkedx"), 400, "9112-6.3-chunkedx"),
    case(get(b'Transfer-Encoding: "chunked"'), 400, "9112-6.3-quoted"),
    case(get(b"Transfer-Encoding: chunked;x=y"), 400, "9112-7.1-parameter"),
    case(get(b"Transfer-Encoding: identity"), 400, "9112-6.1-identity"),
    case(get(b"Transfer-Encoding:"), 400, "9112-6.1-nothing"),
    case(get(b"Transfer-Encoding: ,chunked"), 400, "9112-6.1-empty-member"),
    case(get(b"Transfer-Encoding: \x0bchunked"), 400, "9110-5.5-vertical-tab-before"),
    case(get(b"Transfer-Encoding: chunked\x0c"), 400, "9110-5.5-form-feed-behind"),
    case(get(b"Transfer-Encoding : chunked"), 400, "9112-5.1-space-before-the-colon-of-te"),
    case(get(b" Transfer-Encoding: chunked"), 400, "9112-5.2-te-in-a-fold"),
    case(get(b"Transfer-Encoding:", b" chunked"), 400, "9112-5.2-te-folded"),
    case(get(b"X: y\nTransfer-Encoding: chunked"), 400, "9112-2.2-te-behind-lf"),
    case(get(b"X: y\rTransfer-Encoding: chunked"), 400, "9112-2.2-te-behind-cr"),
    case(get(b"Transfer-Encoding: chunked", version=b"1.0"), 400, "9112-6.1-te-in-1.0"),
    case(get(b"Transfer-Encoding: chunked", method=b"POST", version=b"1.0"), 400, "9112-6.1-post"),
    case(get(b"Content-Length: +5"), 400, "9110-8.6-plus"),
    case(get(b"Content-Length: -5"), 400, "9110-8.6-minus"),
    case(get(b"Content-Length: +0"), 400, "9110-8.6-plus-zero"),
    case(get(b"Content-Length: 0x5"), 400, "9110-8.6-hexadecimal"),
    case(get(b"Content-Length: 5e0"), 400, "9110-8.6-exponent"),
    case(get(b"Content-Length: 5.0"), 400, "9110-8.6-fraction"),
    case(get(b"Content-Length: 5 5"), 400, "9110-8.6-space-within"),
    case(get(b"Content-Length: 1_0"), 400, "9110-8.6-underscore"),
    case(get(b"Content-Length: \xb2"), 400, "9110-8.6-superscript"),
    case(get(b"Content-Length:"), 400, "9110-8.6-nothing"),
    case(get(b"Content-Length: 5, 5"), 400, "9110-8.6-list"),
    case(get(b"Content-Length: 0, 0"), 400, "9110-8.6-list-of-zeros"),
    case(get(b"Content-Length: 5", b"Content-Length: 6"), 400, "9110-8.6-two-lengths"),
    case(get(b"Content-Length: 0", b"Content-Length: 5"), 400, "9110-8.6-zero-and-more"),
    case(get(b"Content-Length: 0", b"Content-Length: 0"), 400, "9110-8.6-zero-twice"),
    # too much
    case(b"GET /" + b"x" * 17_000, 414, "9110-15.5.15-line-without-end"),
    case(head(b"GET /" + b"x" * 17_000 + b" HTTP/1.1"), 414, "9110-15.5.15-line"),
    case(get(b"X: " + b"x" * 17_000), 431, "6585-5-field"),
    case(get(*(b"X: " + b"x" * 5000,) * 4), 431, "6585-5-section"),
    case(get(*(b"X: 1",) * 500), 431, "6585-5-number"),
]


def in_one_read(wire, raw):
    wire.send(raw + NEXT)


def in_two_reads(wire, raw):
    wire.send(raw)
    wire.send(NEXT)


def byte_by_byte(wire, raw):
    for byte in raw + NEXT:
        wire.send(bytes([byte]))


@pytest.mark.parametrize(("raw", "status"), REFUSED)
@pytest.mark.parametrize("send", [in_one_read, in_two_reads, byte_by_byte])
def test_request_out_of_order_is_refused_for_good(door, raw, status, send):
    """One whole answer, one line for the log, and a request behind it is never taken for one."""
    wire = door.connect()

    send(wire, raw)
    door.clock.advance(LINGER_SECONDS)

    (answer,) = read_answers(wire.value(), "GET")
    assert (status, b"", True) == (answer.status, answer.content, answer.is_complete)
    assert (answer["Connection"], answer["Content-Length"]) == ("close", "0")
    assert (answer["Allow"] == "GET, HEAD") == (status == 405)
    assert (wire.is_half_closed, wire.ending) == (True, "aborted")
    assert [status] == [status for _, status in door.refusals]
    assert door.paths() == []


@pytest.mark.parametrize(("raw", "status"), REFUSED)
def test_request_out_of_order_is_refused_without_waiting(door, raw, status):
    """The client need not end what it began, nor the time for heads pass."""
    wire = door.connect()

    wire.send(raw)

    assert [status] == [status for _, status in door.refusals]


@pytest.mark.parametrize(
    "drip",
    [pytest.param([b"\r\n"] * 4, id="empty-lines"), pytest.param([b"\r", b"\n"] * 4, id="halves")],
)
def test_empty_lines_do_not_keep_a_connection(door, drip):
    """RFC 9112 2.2: they may be skipped, but the time for a head runs from the first of them."""
    wire = door.connect()

    for data in drip:
        wire.send(data)
        door.clock.advance(HEAD_SECONDS / len(drip))

    assert [408] == [status for _, status in door.refusals]


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param([b"Connection: close"], id="alone"),
        pytest.param([b"Connection: CLOSE"], id="case"),
        pytest.param([b"Connection: TE, close"], id="in-a-list"),
        pytest.param([b"Connection: TE", b"Connection: close"], id="in-a-second-line"),
        pytest.param([b"Connection: close,TE"], id="without-space"),
    ],
)
def test_connection_ends_where_the_client_says_so(door, connection):
    """RFC 9112 9.6: in whatever member of the list, and nothing behind the request is read."""
    wire = door.connect()

    wire.send(get(*connection) + NEXT)

    (answer,) = read_answers(wire.value(), "GET")
    assert (200, "close", "closed") == (answer.status, answer["Connection"], wire.ending)
    assert [b"/a"] == door.paths()


# -- several requests on one connection ------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(b"nonsense\r\n", id="malformed"),
        pytest.param(b"GET /b HTTP/1.1\n", id="9112-2.2-lf"),
        pytest.param(get(b"Content-Length: 5"), id="9110-15.5.14-content"),
        pytest.param(b"x" * 20_000, id="9110-15.5.15-line-without-end"),
    ],
)
@pytest.mark.parametrize("is_one_read", [True, False], ids=["in-one-read", "later"])
def test_refusal_does_not_break_into_a_running_response(door, fault, is_one_read):
    """RFC 9112 9.3.2: what is wrong behind a request is answered behind its response."""
    door.resource.answers_at_once = False
    wire = door.connect()
    for data in [GET + fault] if is_one_read else [GET, fault]:
        wire.send(data)
    (request,) = door.resource.requests
    request.setHeader(b"content-length", b"10")
    request.write(b"01234")
    door.clock.advance(HEAD_SECONDS * 2)
    early = list(door.refusals)

    request.write(b"56789")
    request.finish()

    first, second = read_answers(wire.value(), "GET", "GET")
    assert early == []
    assert (200, b"0123456789", True) == (first.status, first.content, first.is_complete)
    assert 400 <= second.status < 500
    assert len(door.refusals) == 1


def test_refusal_waits_until_the_response_before_it_is_taken(door):
    """What a client has not taken yet is not cut off by the end that its next fault brings."""
    door.resource.answers_at_once = False
    wire = door.connect()
    wire.send(GET + b"nonsense\r\n")
    wire.stop_reading()
    door.resource.answer(door.resource.requests[0])
    early = list(door.refusals)

    wire.read_on()

    assert early == []
    assert [400] == [status for _, status in door.refusals]
    wire.leave()


def test_refused_client_has_its_time_for_the_responses_before(door):
    """The moment after a refusal is long enough for a refusal; a response may take longer."""
    wire = door.connect()
    wire.send(GET + b"nonsense\r\n")

    door.clock.pump([LINGER_SECONDS] * 2)
    before = wire.ending
    door.clock.pump([STALL_SECONDS / 4] * 4)

    assert (before, wire.ending) == (None, "aborted")


def test_responses_before_a_refusal_keep_their_order(door):
    """RFC 9112 9.3.2: two are served, the third is refused, the fourth never read."""
    wire = door.connect()

    wire.send(GET + GET.replace(b"/a", b"/b") + hosted() + NEXT)

    answers = read_answers(wire.value(), "GET", "GET", "GET")
    assert [200, 200, 400] == [answer.status for answer in answers]
    assert [b"/a", b"/b"] == door.paths()


@pytest.mark.parametrize("has_begun", [True, False], ids=["after-the-head", "before-the-head"])
def test_request_behind_an_aborted_response_is_never_answered(door, has_begun):
    """RFC 9112 9.3.2: content that turned out wrong takes the connection with it."""
    door.resource.answers_at_once = False
    wire = door.connect()
    wire.send(GET + NEXT)
    (request,) = door.resource.requests
    if has_begun:
        request.setHeader(b"content-length", b"10")
        request.write(b"01234")

    request.transport.abortConnection()
    wire.send(NEXT)
    door.clock.advance(0)

    assert [b"/a"] == door.paths()
    assert wire.value().count(b"HTTP/1.1") == has_begun
    assert door.clock.getDelayedCalls() == []


@pytest.mark.parametrize("is_reading", [True, False], ids=["reads", "does-not-read"])
def test_what_is_pipelined_is_bounded(door, is_reading):
    """A client that sends on behind a running response is not read, whether it reads or not."""
    door.resource.answers_at_once = False
    wire = door.connect()
    wire.send(GET)
    if not is_reading:
        wire.stop_reading()

    wire.send(b"x" * PIPELINED_BYTES)
    before = wire.producerState
    wire.send(b"x")

    assert ("producing", "paused") == (before, wire.producerState)
    wire.leave()


def test_client_that_was_not_read_is_read_on(door):
    """When the response is over, all that was pipelined is answered in order."""
    door.resource.answers_at_once = False
    wire = door.connect()
    count = PIPELINED_BYTES // len(GET) + 2
    wire.send(GET)
    for number in range(count):
        wire.send(GET.replace(b"/a", b"/%d" % number))
    paused = wire.producerState
    door.resource.answers_at_once = True

    door.resource.answer(door.resource.requests[0])

    assert ("paused", "producing") == (paused, wire.producerState)
    assert [b"/a", *(b"/%d" % number for number in range(count))] == door.paths()


def test_thousands_of_requests_in_one_read_are_answered(door):
    """Each is handed over when the one before it has ended, and none from within another."""
    wire = door.connect()

    wire.send(GET * 3000)

    assert len(read_answers(wire.value(), *["GET"] * 3000)) == 3000
