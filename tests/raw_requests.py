"""Requests as strangers write them, byte for byte: what each is, and what the service owes it.

A case's name begins with the section that speaks of it. `answers` is what comes of it when it is
sent straight to the service: the status of each response, and the path under which the transfer log
knows it, `-` where the door refused. A refusal at the door ends the connection.

`SMUGGLED` stands where only a reader who errs finds a second request, and asks for what a front
keeps to itself. Where one may rightly follow, it is `PIPELINED`.
"""

from __future__ import annotations

from typing import NamedTuple

PATH = "/public/file"
PIPELINED_PATH = "/public/pipelined"
PIPELINED = b"GET /public/pipelined HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLED = b"GET /secret/file HTTP/1.1\r\nHost: h\r\n\r\n"

DOOR = "-"
SERVED = (200, PATH)
BAD = (400, DOOR)


class Case(NamedTuple):
    """One thing to send on a connection of its own."""

    name: str
    raw: bytes
    answers: tuple[tuple[int, str], ...]
    ends: bool = False
    """Whether the connection ends after them although nothing was refused at the door."""

    @property
    def goes_on(self):
        """Whether another request may follow on the connection."""
        return not self.ends and self.answers[-1][1] != DOOR

    @property
    def methods(self):
        """The method of each answer, which decides how it is read."""
        first = "HEAD" if self.raw.startswith(b"HEAD ") else "GET"
        return [first] + ["GET"] * (len(self.answers) - 1)


def ask(*fields, line=b"GET /public/file HTTP/1.1", host=b"Host: h", content=b""):
    """A request of these lines; `host=None` leaves that field out."""
    named = () if host is None else (host,)
    return b"\r\n".join((line, *named, *fields, b"", content))


def target(path):
    """A GET of a target."""
    return ask(line=b"GET " + path + b" HTTP/1.1")


# -- where content ends ---------------------------------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked"
POST = b"POST /public/file HTTP/1.1"
NO_CHUNKS = b"0\r\n\r\n"


def coded(field, status):
    """A spelling of Transfer-Encoding alone, and another request behind it."""
    return ask(field, content=NO_CHUNKS + SMUGGLED), ((status, DOOR),)


def counted_and_coded(field):
    """A request that is content by the length, and another request by the coding."""
    content = NO_CHUNKS + SMUGGLED
    return ask(b"Content-Length: %d" % len(content), field, line=POST, content=content), (BAD,)


def coded_and_counted(field):
    """A request that is content by the coding, and another request by the length."""
    size = b"%x\r\n" % TOTAL
    content = size + SMUGGLED + b"\r\n" + NO_CHUNKS
    return ask(field, b"Content-Length: %d" % len(size), content=content), (BAD,)


def length(value, status=400):
    """A spelling of Content-Length with a request as content."""
    field = b"Content-Length:" + value
    return ask(field, content=SMUGGLED), ((status, DOOR),)


TOTAL = len(SMUGGLED)
CODINGS = {
    "space before the colon": (b"Transfer-Encoding : chunked", 400),
    "space before the name": (b" Transfer-Encoding: chunked", 400),
    "tab before the name": (b"\tTransfer-Encoding: chunked", 400),
    "folded": (b"Transfer-Encoding:\r\n chunked", 400),
    "x before it": (b"Transfer-Encoding: xchunked", 400),
    "vertical tab": (b"Transfer-Encoding:\x0bchunked", 400),
    "form feed": (b"Transfer-Encoding: chunked\x0c", 400),
    "NUL after it": (b"Transfer-Encoding: chunked\0", 400),
    "NUL in the name": (b"Transfer-\0Encoding: chunked", 400),
    "8-bit space": (b"Transfer-Encoding:\xa0chunked", 400),
    "8-bit": (b"Transfer-Encoding: chunk\xc3\xa9d", 400),
    "quoted": (b'Transfer-Encoding: "chunked"', 400),
    "with a parameter": (b"Transfer-Encoding: chunked;q=1", 400),
    "identity": (b"Transfer-Encoding: identity", 400),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity", 400),
    "identity, chunked": (b"Transfer-Encoding: identity, chunked", 400),
    "gzip, chunked": (b"Transfer-Encoding: gzip, chunked", 400),
    "chunked twice": (b"Transfer-Encoding: chunked, chunked", 400),
    "two lines": (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", 400),
    "two lines that differ": (b"Transfer-Encoding: chunked\r\nTransfer-encoding: x", 400),
    "empty": (b"Transfer-Encoding:", 400),
    "empty member": (b"Transfer-Encoding: ,chunked", 400),
    "behind a bare LF": (b"X: y\nTransfer-Encoding: chunked", 400),
    "behind a bare CR": (b"X: y\rTransfer-Encoding: chunked", 400),
    "upper case": (b"TRANSFER-ENCODING: CHUNKED", 413),
    "tab before the value": (b"Transfer-Encoding:\tchunked", 413),
    "no space": (b"Transfer-Encoding:chunked", 413),
}
LENGTHS = {
    "plus": b" +%d" % TOTAL,
    "minus": b" -%d" % TOTAL,
    "minus nothing": b" -0",
    "hexadecimal": b" 0x%x" % TOTAL,
    "space inside": b" 3 6",
    "comma": b" %d, %d" % (TOTAL, TOTAL),
    "comma that differs": b" 0, %d" % TOTAL,
    "comma after it": b" %d," % TOTAL,
    "fraction": b" %d.0" % TOTAL,
    "exponent": b" 4e1",
    "underscore": b" 3_6",
    "letters": b" %dx" % TOTAL,
    "empty": b"",
    "Arabic digits": " ٤٠".encode(),
    "superscript": b" \xb2",
    "NUL": b" %d\0" % TOTAL,
    "vertical tab": b" \x0b%d" % TOTAL,
    "quoted": b' "%d"' % TOTAL,
    "folded": b"\r\n %d" % TOTAL,
    "folded over nothing": b" 0\r\n %d" % TOTAL,
    "space before the colon": b" %d\r\nContent-Length : 0" % TOTAL,
    "twice": b" %d\r\nContent-Length: %d" % (TOTAL, TOTAL),
    "twice, nothing first": b" 0\r\nContent-Length: %d" % TOTAL,
    "twice, nothing last": b" %d\r\nContent-Length: 0" % TOTAL,
    "behind a bare LF": b" 0\nContent-Length: %d" % TOTAL,
    "behind a bare CR": b" 0\rContent-Length: %d" % TOTAL,
}
CHUNKS = {
    "minus": b"-1\r\n",
    "hexadecimal prefix": b"0x5\r\nabcde\r\n0\r\n\r\n",
    "plus": b"+5\r\nabcde\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nabcde\r\n0\r\n\r\n",
    "no size": b"\r\n\r\n",
    "letters": b"xyz\r\n",
    "beyond 64 bits": b"10000000000000005\r\nabcde\r\n0\r\n\r\n",
    "many zeros": b"0" * 2000 + b"\r\n\r\n",
    "LF after the size": b"5\nabcde\r\n0\r\n\r\n",
    "CR after the size": b"5\rabcde\r\n0\r\n\r\n",
    "longer than its size": b"5\r\nabcdefgh\r\n0\r\n\r\n",
    "shorter than its size": b"8\r\nabcde\r\n0\r\n\r\n",
    "no end of a chunk": b"5\r\nabcde0\r\n\r\n",
    "extension": b"5;a=b\r\nabcde\r\n0\r\n\r\n",
    "extension with LF": b"2;\nxx\r\n",
    "extension with CR": b"5;a\rb\r\nabcde\r\n0\r\n\r\n",
    "extension in quotes": b'5;a="\r\n\r\nGET /\r\nabcde\r\n0\r\n\r\n',
    "huge extension": b"5;a=" + b"b" * 20_000 + b"\r\nabcde\r\n0\r\n\r\n",
    "trailer of framing": b"0\r\nContent-Length: 40\r\n\r\n",
    "trailer of Host": b"0\r\nHost: other\r\n\r\n",
    "trailer without colon": b"0\r\ntrailer\r\n\r\n",
    "trailer behind bare LF": b"0\n\n",
}

FRAMING = [
    Case("RFC 9112 6.1: CL.TE", *counted_and_coded(CHUNKED)),
    Case("RFC 9112 6.1: TE.CL", *coded_and_counted(CHUNKED)),
    Case(
        "RFC 9112 6.1: TE.CL of nothing",
        ask(CHUNKED, b"Content-Length: 0", content=b"%x\r\n%b\r\n0\r\n\r\n" % (TOTAL, SMUGGLED)),
        (BAD,),
    ),
    Case(
        "RFC 9112 6.1: chunked in HTTP/1.0",
        ask(CHUNKED, line=b"GET /public/file HTTP/1.0", content=NO_CHUNKS + SMUGGLED),
        (BAD,),
    ),
    *(
        Case(f"RFC 9112 6.1: TE: {name}", *coded(field, status))
        for name, (field, status) in CODINGS.items()
    ),
    *(
        Case(f"RFC 9112 6.1: CL.TE: {name}", *counted_and_coded(field))
        for name, (field, _) in CODINGS.items()
    ),
    *(
        Case(f"RFC 9112 6.1: TE.CL: {name}", *coded_and_counted(field))
        for name, (field, _) in CODINGS.items()
    ),
    *(Case(f"RFC 9110 8.6: length: {name}", *length(value)) for name, value in LENGTHS.items()),
    Case("RFC 9110 8.6: length in a wider field", *length(b" \t %d \t" % TOTAL, 413)),
    Case("RFC 9110 8.6: length with zeros", *length(b" 000%d" % TOTAL, 413)),
    Case("RFC 9110 8.6: length beyond 64 bits", *length(b" 18446744073709551656", 413)),
    Case("RFC 9110 8.6: length of 5,000 digits", *length(b" " + b"9" * 5000, 413)),
    Case(
        "RFC 9110 8.6: no content and another request",
        ask(b"Content-Length: 0", content=PIPELINED),
        (SERVED, (200, PIPELINED_PATH)),
    ),
    Case(
        "RFC 9110 8.6: no content in many digits",
        ask(b"Content-Length: 0000000", content=PIPELINED),
        (SERVED, (200, PIPELINED_PATH)),
    ),
    Case("RFC 9110 9.3.1: GET with content", *length(b" %d" % TOTAL, 413)),
    Case(
        "RFC 9110 9.3.2: HEAD with content",
        ask(
            b"Content-Length: %d" % TOTAL,
            line=b"HEAD /public/file HTTP/1.1",
            content=SMUGGLED,
        ),
        ((413, DOOR),),
    ),
    Case(
        "RFC 9110 9.3.3: POST with content",
        ask(b"Content-Length: %d" % TOTAL, line=POST, content=SMUGGLED),
        ((405, DOOR),),
    ),
    Case(
        "RFC 9110 9.3.7: OPTIONS with content",
        ask(
            b"Content-Length: %d" % TOTAL,
            line=b"OPTIONS * HTTP/1.1",
            content=SMUGGLED,
        ),
        ((405, DOOR),),
    ),
    Case(
        "RFC 9110 10.1.1: invited content",
        ask(
            b"Content-Length: %d" % TOTAL,
            b"Expect: 100-continue",
            line=POST,
            content=SMUGGLED,
        ),
        ((405, DOOR),),
    ),
    Case(
        "RFC 9110 10.1.1: an invitation and no content",
        ask(b"Expect: 100-continue"),
        (SERVED,),
    ),
    *(
        Case(
            f"RFC 9112 7.1: chunk: {name}",
            ask(CHUNKED, line=POST, content=chunks + SMUGGLED),
            ((405, DOOR),),
        )
        for name, chunks in CHUNKS.items()
    ),
    Case(
        "RFC 9112 7.1: chunk with a request",
        ask(CHUNKED, content=b"%x\r\n%b\r\n0\r\n\r\n" % (TOTAL, SMUGGLED)),
        ((413, DOOR),),
    ),
    Case(
        "RFC 9110 7.6.1: framing named as hop-by-hop",
        ask(
            b"Connection: keep-alive, Content-Length, Host",
            b"Content-Length: %d" % TOTAL,
            content=SMUGGLED,
        ),
        ((413, DOOR),),
    ),
    Case(
        "RFC 9110 5.1: framing with an underscore",
        ask(b"Content_Length: 40", b"Transfer_Encoding: chunked", content=PIPELINED),
        (SERVED, (200, PIPELINED_PATH)),
    ),
    Case("RFC 9110 10.1.4: TE means nothing", ask(b"TE: chunked, trailers"), (SERVED,)),
    Case(
        "RFC 9110 7.8: upgrade to HTTP/2",
        ask(
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQAAP__",
            content=PIPELINED,
        ),
        (SERVED, (200, PIPELINED_PATH)),
    ),
    Case(
        "RFC 9110 7.8: upgrade to WebSocket",
        ask(b"Connection: Upgrade", b"Upgrade: websocket", content=PIPELINED),
        (SERVED, (200, PIPELINED_PATH)),
    ),
]

# -- whom a request is for ------------------------------------------------------------------------

BAD_HOSTS = {
    "space": b"a b",
    "slash": b"h/secret",
    "user information": b"u@h",
    "port of letters": b"h:port",
    "two ports": b"h:1:2",
    "query": b"h?q",
    "fragment": b"h#f",
    "backslash": b"h\\@other",
    "NUL": b"h\0",
    "DEL": b"h\x7f",
    "8-bit": b"h\xe9",
    "broken escape": b"h%zz",
    "open bracket": b"[::1",
    "no address in brackets": b"[::g]",
    "zone": b"[fe80::1%25eth0]",
    "quote": b'"h"',
    "brace": b"{h}",
    "URL": b"http://h",
}
GOOD_HOSTS = {
    "port": b"h:80",
    "empty port": b"h:",
    "empty": b"",
    "IPv6": b"[::1]:8751",
    "future address": b"[v1.a:b]",
    "escape": b"h%41",
    "comma": b"a,b",
    "long": b"h" * 5000,
}
BAD_TARGETS = {
    "relative": b"public/file",
    "asterisk": b"*",
    "authority": b"h:80",
    "other scheme": b"ftp://h/public/file",
    "no authority": b"http:///public/file",
    "one slash": b"http:/public/file",
    "user information": b"http://u:p@h/public/file",
    "bad authority": b"http://h h/public/file",
    "bad port": b"http://h:x/public/file",
    "backslash in the authority": b"http://h\\other/public/file",
    "fragment": b"http://h/public/file#f",
    "javascript": b"javascript:alert(1)",
}

HOSTS = [
    Case("RFC 9112 3.2: no Host", ask(host=None), (BAD,)),
    Case(
        "RFC 9112 3.2: no Host in HTTP/1.0",
        ask(line=b"GET /public/file HTTP/1.0", host=None),
        (SERVED,),
        ends=True,
    ),
    Case("RFC 9112 3.2: two", ask(b"Host: other"), (BAD,)),
    Case("RFC 9112 3.2: two alike", ask(b"host: h"), (BAD,)),
    Case(
        "RFC 9112 3.2: two in HTTP/1.0",
        ask(b"Host: other", line=b"GET /public/file HTTP/1.0"),
        (BAD,),
    ),
    Case("RFC 9112 3.2: space before the colon", ask(host=b"Host : h"), (BAD,)),
    Case("RFC 9112 3.2: another folded into it", ask(host=b"Host: h\r\n other"), (BAD,)),
    Case("RFC 9112 3.2: one that is folded to", ask(host=b"X: y\r\n Host: h"), (BAD,)),
    *(
        Case(f"RFC 9112 3.2: bad: {name}", ask(host=b"Host: " + value), (BAD,))
        for name, value in BAD_HOSTS.items()
    ),
    *(
        Case(f"RFC 9112 3.2: good: {name}", ask(host=b"Host: " + value), (SERVED,))
        for name, value in GOOD_HOSTS.items()
    ),
    Case("RFC 9110 7.2: X-Forwarded-Host", ask(b"X-Forwarded-Host: other"), (SERVED,)),
    Case("RFC 9112 3.2.2: absolute form", target(b"http://h/public/file"), (SERVED,)),
    Case("RFC 9112 3.2.2: other authority", target(b"http://other/public/file"), (SERVED,)),
    Case("RFC 9112 3.2.2: upper case", target(b"HTTPS://OTHER:443/public/file?q"), (SERVED,)),
    Case(
        "RFC 9112 3.2.2: without Host",
        ask(line=b"GET http://h/public/file HTTP/1.1", host=None),
        (BAD,),
    ),
    Case("RFC 9112 3.2.2: empty path", target(b"http://other"), ((200, "/"),)),
    Case("RFC 9112 3.2.2: query alone", target(b"http://other?q=/secret/file"), ((200, "/"),)),
    Case(
        "RFC 9112 3.2.2: a URL in a URL",
        target(b"http://h/http://h/secret/file"),
        ((404, "/http://h/secret/file"),),
    ),
    *(
        Case(f"RFC 9112 3.2: target: {name}", target(value), (BAD,))
        for name, value in BAD_TARGETS.items()
    ),
]

# -- the request line -----------------------------------------------------------------------------


def line(raw, *answers, ends=False):
    """A request of this first line."""
    return ask(line=raw), answers, ends


LINES = {
    "RFC 9110 9.3.7: OPTIONS *": line(b"OPTIONS * HTTP/1.1", (405, DOOR)),
    "RFC 9110 9.3.7: OPTIONS": line(b"OPTIONS /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.3.6: CONNECT": line(b"CONNECT h:443 HTTP/1.1", (405, DOOR)),
    "RFC 9110 9.3.6: CONNECT of a path": line(b"CONNECT /public/file HTTP/1.1", BAD),
    "RFC 9110 9.3.6: CONNECT without port": line(b"CONNECT h HTTP/1.1", BAD),
    "RFC 9110 9.3.8: TRACE": line(b"TRACE /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.3.8: TRACE *": line(b"TRACE * HTTP/1.1", BAD),
    "RFC 9113 3.4: PRI": (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        (BAD,),
    ),
    "RFC 9110 9.1: POST without content": line(POST, (405, PATH)),
    "RFC 9110 9.1: PURGE": line(b"PURGE /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.1: lower case": line(b"get /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.1: odd token": line(b"!#$%&'*+-.^_`|~0 /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.1: a field's value": line(b"__class__ /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.1: long": line(b"A" * 8000 + b" /public/file HTTP/1.1", (405, PATH)),
    "RFC 9110 9.1: no token": line(b"G@T /public/file HTTP/1.1", BAD),
    "RFC 9110 9.1: NUL": line(b"G\0T /public/file HTTP/1.1", BAD),
    "RFC 9110 9.1: 8-bit": line(b"G\xc9T /public/file HTTP/1.1", BAD),
    "RFC 9110 9.1: none": line(b" /public/file HTTP/1.1", BAD),
    "RFC 9112 3: no target": line(b"GET HTTP/1.1", BAD),
    "RFC 9112 3: nothing but spaces": line(b"   ", BAD),
    "RFC 9112 3: two spaces": line(b"GET  /public/file HTTP/1.1", BAD),
    "RFC 9112 3: tab": line(b"GET\t/public/file HTTP/1.1", BAD),
    "RFC 9112 3: space inside": line(b"GET /public/file x HTTP/1.1", BAD),
    "RFC 9112 3: a version inside": line(b"GET /public/file HTTP/1.1 HTTP/1.1", BAD),
    "RFC 9112 3: space after it": line(b"GET /public/file HTTP/1.1 ", BAD),
    "RFC 9112 3: space before it": line(b" GET /public/file HTTP/1.1", BAD),
    "RFC 9112 3: byte order mark": line(b"\xef\xbb\xbfGET /public/file HTTP/1.1", BAD),
    "RFC 9112 3: bare CR": line(b"GET /public/file\rHTTP/1.1", BAD),
    "RFC 9112 3: bare CR and a request": line(
        b"GET /public/file HTTP/1.1\rHost: h\r\rGET /secret/file HTTP/1.1", BAD
    ),
    "RFC 9112 3: NUL in the target": line(b"GET /public/\0file HTTP/1.1", BAD),
    "RFC 9112 3: DEL in the target": line(b"GET /public/\x7ffile HTTP/1.1", BAD),
    "RFC 9112 3: 8-bit in the target": line(
        b"GET /public/f\xc3\xafle HTTP/1.1", (404, "/public/f%C3%AFle")
    ),
    "RFC 9112 3: 8-bit that is no UTF-8": line(b"GET /public/\xff HTTP/1.1", (400, "/public/%FF")),
    "RFC 9112 3: 8-bit control": line(
        b"GET /public/file\xc2\x85 HTTP/1.1", (400, "/public/file%C2%85")
    ),
    "RFC 9112 3: 8-bit space": line(b"GET /public/file\xa0HTTP/1.1", BAD),
    "RFC 9112 3: fragment": line(b"GET /public/file#/secret/file HTTP/1.1", BAD),
    "RFC 9112 2.3: HTTP/0.9": (b"GET /public/file\r\n", (BAD,)),
    "RFC 9112 2.3: HTTP/0.9 by name": line(b"GET /public/file HTTP/0.9", BAD),
    "RFC 9112 2.3: HTTP/1.2": line(b"GET /public/file HTTP/1.2", SERVED),
    "RFC 9112 2.3: HTTP/2.0": line(b"GET /public/file HTTP/2.0", (505, DOOR)),
    "RFC 9112 2.3: HTTP/1.10": line(b"GET /public/file HTTP/1.10", BAD),
    "RFC 9112 2.3: HTTP/11": line(b"GET /public/file HTTP/11", BAD),
    "RFC 9112 2.3: lower case": line(b"GET /public/file http/1.1", BAD),
    "RFC 9112 2.3: another protocol": line(b"GET /public/file RTSP/1.0", BAD),
    "RFC 9112 2.3: Arabic digit": line("GET /public/file HTTP/1.١".encode(), BAD),
    "RFC 9112 2.2: empty lines before it": (b"\r\n\r\n" + ask(), (SERVED,)),
    "RFC 9112 2.2: many empty lines before it": (b"\r\n" * 50 + ask(), (BAD,)),
    "RFC 9112 2.2: bare LF before it": (b"\n" + ask(), (BAD,)),
    "RFC 9112 2.2: bare CR before it": (b"\r" + ask(), (BAD,)),
    "RFC 9110 15.5.15: long target": line(b"GET /" + b"a" * 20_000 + b" HTTP/1.1", (414, DOOR)),
    "RFC 9110 15.5.15: endless target": (b"GET /" + b"a" * 300_000, ((414, DOOR),)),
    "RFC 9110 15.5.15: deep target": line(
        b"GET " + b"/a" * 4000 + b" HTTP/1.1", (404, "/a" * 4000)
    ),
    "RFC 8446 5.1: a TLS greeting": (
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(range(256)),
        (BAD,),
    ),
    "PROXY protocol 2.1": (b"PROXY TCP4 203.0.113.1 203.0.113.2 1 2\r\n" + ask(), (BAD,)),
    "PROXY protocol 2.2": (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(12) + ask(), (BAD,)),
}

# -- names that are not what they look like -------------------------------------------------------

NAMES = {
    "RFC 3986 2.4: escaped letter": (b"/public/%66ile", 200),
    "RFC 3986 2.4: escaped slash": (b"/public%2Ffile", 404),
    "RFC 3986 2.4: escaped twice": (b"/public/%2566ile", 404),
    "RFC 3986 2.1: broken escape": (b"/public/%zz", 400),
    "RFC 3986 2.1: cut escape": (b"/public/%", 400),
    "RFC 3986 2.1: %u": (b"/public/%u002e", 400),
    "RFC 3986 2.5: no UTF-8": (b"/public/%ff", 400),
    "RFC 3629 3: overlong dot": (b"/public/%c0%ae%c0%ae/secret/file", 400),
    "RFC 3629 3: surrogate": (b"/public/%ed%a0%80", 400),
    "RFC 3986 5.2.4: dots": (b"/public/../secret/file", 404),
    "RFC 3986 5.2.4: escaped dots": (b"/public/%2e%2e/secret/file", 404),
    "RFC 3986 5.2.4: escaped dots and slash": (b"/public/..%2Fsecret%2Ffile", 404),
    "RFC 3986 5.2.4: above the root": (b"/../../../../etc/passwd", 404),
    "RFC 3986 5.2.4: backslashes": (b"/public\\..\\secret\\file", 404),
    "RFC 3986 5.2.4: one dot": (b"/public/./file", 404),
    "RFC 3986 3.3: two slashes": (b"//public/file", 404),
    "RFC 3986 3.3: two slashes inside": (b"/public//file", 404),
    "RFC 3986 3.3: parameter": (b"/public;a=b/file", 404),
    "RFC 3986 3.3: slash after it": (b"/public/file/", 404),
    "RFC 3986 6.2.2.1: upper case": (b"/PUBLIC/file", 404),
    "RFC 3986 3.4: query": (b"/public/file?/../../secret/file?x=%00%zz", 200),
    "NUL": (b"/public/file%00", 400),
    "NUL and an extension": (b"/secret%00/public/file", 400),
    "CR and LF": (b"/public/file%0d%0aX-Injected:%20yes", 400),
    "C1 control": (b"/public/file%c2%85", 400),
    "right to left": (b"/public/%e2%80%aeelif", 404),
    "markup": (b"/public/<script>alert(1)</script>", 404),
    "quotes": (b"/public/\"file'{}|^`[]", 404),
    "a format": (b"/public/{0}%25s{transfer.__class__}", 404),
}

# -- fields ---------------------------------------------------------------------------------------


def field(raw, *answers):
    """A request with these lines of fields."""
    return ask(raw), answers


FIELDS = {
    "RFC 9112 5.1: no colon": field(b"X", BAD),
    "RFC 9112 5.1: no name": field(b": x", BAD),
    "RFC 9112 5.1: space before the colon": field(b"X : y", BAD),
    "RFC 9112 5.1: tab before the colon": field(b"X\t: y", BAD),
    "RFC 9110 5.1: space in the name": field(b"X Y: z", BAD),
    "RFC 9110 5.1: bracket in the name": field(b"X[0]: z", BAD),
    "RFC 9110 5.1: 8-bit in the name": field(b"X\xe9: y", BAD),
    "RFC 9110 5.1: NUL in the name": field(b"X\0Y: z", BAD),
    "RFC 9112 5.2: folded": field(b"X: y\r\n z", BAD),
    "RFC 9112 5.2: folded with a tab": field(b"X: y\r\n\tz", BAD),
    "RFC 9112 5.2: folded over nothing": field(b"X: y\r\n ", BAD),
    "RFC 9112 5.2: folded before the first": (
        ask(line=b"GET /public/file HTTP/1.1\r\n X: y"),
        (BAD,),
    ),
    "RFC 9112 5.2: a request folded in": field(b"X: y\r\n GET /secret/file HTTP/1.1", BAD),
    "RFC 9110 5.5: NUL in a value": field(b"X: y\0z", BAD),
    "RFC 9110 5.5: DEL in a value": field(b"X: y\x7fz", BAD),
    "RFC 9110 5.5: escape in a value": field(b"X: \x1b[31m", BAD),
    "RFC 9110 5.5: 8-bit in a value": field(b"X: \xff\xfe\xe9", SERVED),
    "RFC 9110 5.5: empty value": field(b"X:", SERVED),
    "RFC 9112 2.2: bare CR in a value": field(b"X: y\rz", BAD),
    "RFC 9112 2.2: bare CR before the end": field(b"X: y\r", BAD),
    "RFC 9112 2.2: bare LF": field(b"X: y\nZ: x", BAD),
    "RFC 9112 2.2: bare LF and a request": field(b"X: y\n\n" + SMUGGLED, BAD),
    "RFC 9112 2.2: bare CR and a request": field(b"X: y\r\r" + SMUGGLED, BAD),
    "RFC 9112 2.2: LF alone throughout": (ask().replace(b"\r", b""), (BAD,)),
    "RFC 9112 2.2: CR alone throughout": (ask().replace(b"\n", b""), (BAD,)),
    "RFC 9112 2.2: LF and CR": (ask().replace(b"\r\n", b"\n\r"), (BAD,)),
    "RFC 6585 5: long field": field(b"X: " + b"y" * 20_000, (431, DOOR)),
    "RFC 6585 5: long name": field(b"X" * 20_000 + b": y", (431, DOOR)),
    "RFC 6585 5: endless field": (
        b"GET /public/file HTTP/1.1\r\nHost: h\r\nX: " + b"y" * 300_000,
        ((431, DOOR),),
    ),
    "RFC 6585 5: long section": field(b"\r\n".join([b"X: " + b"y" * 990] * 20), (431, DOOR)),
    "RFC 6585 5: many fields": field(b"\r\n".join([b"X: y"] * 600), (431, DOOR)),
    "RFC 9110 7.6.3: a loop of others": field(b"Via: 1.1 a, 1.1 b, 1.1 c", SERVED),
    "RFC 9110 14.2: bad range": field(b"Range: bytes=%d-%d,,x", SERVED),
    "RFC 9110 14.2: thousands of ranges": field(
        b"Range: bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(1500)), SERVED
    ),
    "RFC 9110 14.2: digits without end": field(b"Range: bytes=" + b"9" * 9000 + b"-", (416, PATH)),
    "RFC 9110 13.1.1: condition of nothing": field(b'If-Match: "\xff', (412, PATH)),
    "RFC 9110 13.1.3: date without end": field(b"If-Modified-Since: " + b"9" * 9000, SERVED),
    "RFC 9110 13.1.3: year 0": field(b"If-Modified-Since: Mon, 00 Jan 0000 00:00:00 GMT", SERVED),
    "RFC 9110 13.1.5: date out of range": field(
        b"If-Range: Fri, 31 Dec 9999 99:99:99 GMT\r\nRange: bytes=0-0", SERVED
    ),
    "RFC 9110 12.5.1: Accept without end": field(b"Accept: " + b"*/*," * 3000, SERVED),
    "CVE-2014-6271: a function": field(b"User-Agent: () { :;}; echo", SERVED),
    "CVE-2021-44228: a look-up": field(b"User-Agent: ${jndi:ldap://127.0.0.1/a}", SERVED),
}

CASES = [
    *FRAMING,
    *HOSTS,
    *(Case(name, *rest) for name, rest in LINES.items()),
    *(
        Case(f"names: {name}", target(path), ((status, path.partition(b"?")[0].decode()),))
        for name, (path, status) in NAMES.items()
    ),
    *(Case(name, *rest) for name, rest in FIELDS.items()),
]
