"""Downloads of importer type `http` from the first slot to the last byte.

Redirects, what each hop is told, limits, how the origin's wish to be left alone is read, relaying.
The origins are connections in memory; connections are numbered in the order in which they are made.
"""

from __future__ import annotations

import pytest
from memory_origins import (
    BASE,
    ELSEWHERE,
    Network,
    Opening,
    Running,
    build,
    source,
    surroundings,
)
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone

from streamer.downloaders.contents import DISCARD_SECONDS
from streamer.downloaders.credentials import basic
from streamer.downloaders.http import MAX_RETRY_AFTER_SECONDS, retry_after_seconds
from streamer.errors import (
    ContentTruncated,
    OriginBusy,
    OriginCrowded,
    OriginFailing,
    OriginForbids,
    OriginLacksIt,
    OriginNonsense,
    OriginRefused,
    OriginUnreachable,
    RedirectRefused,
)
from streamer.importers.http import HttpImporter
from streamer.importers.http_config import read_config
from streamer.ranges import ByteRange

SECRET = "s3cret-pa55"
CREDENTIALS = {"username": "me", "password": SECRET, "secret_fields": {"X-Token": SECRET}}


def crowd():
    """An importer with one connection, and no queue."""
    return Opening(download_concurrency=1, queue=0)


def is_free(opening):
    opening.turn()
    return opening.open().results == []


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_followed_on_the_same_connection(status):
    """RFC 9110 15.4: a GET stays a GET; an empty redirect costs no connection."""
    opening = Opening(span=ByteRange(2, 5))

    opening.redirect("/other?x=%2f", status=status)

    assert [line for line, _ in opening.origins[0].requests] == [
        "GET /repo/f HTTP/1.1",
        "GET /other?x=%2f HTTP/1.1",
    ]
    assert opening.origins[0].field("range") == ["bytes=2-5"]
    assert len(opening.origins) == 1


def test_connection_is_not_kept_where_the_importer_says_so():
    """RFC 9112 9.6: the origin is told that there will be no second request."""
    opening = Opening(keep_alive=0)

    opening.redirect("/other")

    assert [origin.field("connection") for origin in opening.origins] == [["close"]] * 2
    assert opening.origins[1].request[0] == "GET /other HTTP/1.1"


def test_redirect_of_a_redirect_is_resolved_against_the_latter():
    """RFC 3986 5.1.3: the URL that answered is the base."""
    opening = Opening()

    opening.redirect(f"{ELSEWHERE}/a/b")
    opening.redirect("c")

    assert opening.origins[1].host == "93.184.215.14"
    assert opening.origins[1].requests[-1][0] == "GET /a/c HTTP/1.1"


def test_credentials_do_not_follow_a_redirect_to_another_origin():
    """Invariant 6: neither Authorization nor secret fields; what is not secret goes along."""
    opening = Opening(**CREDENTIALS, fields={"X-Client": "me"}, user_agent="we/1")

    opening.redirect(f"{ELSEWHERE}/f")

    assert opening.origins[0].field("authorization") == [basic("me", SECRET)]
    assert SECRET not in opening.origins[1].transport.value().decode()
    assert opening.origins[1].field("authorization") == []
    assert opening.origins[1].field("x-client") == ["me"]
    assert opening.origins[1].field("user-agent") == ["we/1"]


def test_credentials_follow_to_where_the_importer_says():
    """`credential_origins`, and back to the importer's own."""
    opening = Opening(**CREDENTIALS, credential_origins=[ELSEWHERE])

    opening.redirect(f"{ELSEWHERE}/f")
    opening.redirect(f"{BASE}/g")

    shown = [origin.field("x-token") for origin in opening.origins]
    assert shown == [[SECRET], [SECRET]]
    assert opening.origins[0].requests[-1][0] == "GET /repo/g HTTP/1.1"


def test_cookies_are_never_sent_back():
    """None are kept, not even for the next hop."""
    opening = Opening()

    opening.redirect("/other", "Set-Cookie: a=b; Path=/")

    assert opening.origins[0].requests[-1][0] == "GET /other HTTP/1.1"
    assert opening.origins[0].field("cookie") == []


@pytest.mark.parametrize("name", ["Set-Cookie", "Set-Cookie2"])
def test_cookie_that_nobody_can_read_is_no_matter(name):
    """RFC 9110 5.5: bytes beyond ASCII are opaque data; the content comes all the same."""
    opening = Opening()

    opening.origins[0].send("HTTP/1.1 200 OK", "Content-Length: 5", f"{name}: a=\xe9")

    assert opening.download.response.length == 5
    assert (name, "a=\xe9") in opening.download.response.fields


@pytest.mark.parametrize(
    ("location", "why"),
    [
        pytest.param("/repo/f", "circle", id="circle"),
        pytest.param("ftp://h/f", "scheme", id="scheme"),
        pytest.param("http://u:p@192.0.2.1/f", "credentials", id="credentials"),
    ],
)
def test_redirect_that_is_not_followed_is_a_failure(location, why):
    """With the reason; the slot is free again."""
    opening = crowd()

    opening.redirect(location)

    assert isinstance(opening.error, RedirectRefused)
    assert why in str(opening.error)
    assert is_free(opening)


def test_redirect_to_an_address_that_is_not_public_is_not_followed():
    """A URL that an origin named leads to the Internet, unless the importer says otherwise."""
    refused, allowed = Opening(), Opening(allow_private_redirects=True)

    refused.redirect("http://127.0.0.1/f")
    allowed.redirect("http://127.0.0.1/f")

    assert isinstance(refused.error, OriginUnreachable)
    assert allowed.origins[1].host == "127.0.0.1"


def test_absolute_url_of_an_entry_may_lead_anywhere_and_redirect_within():
    """An operator wrote it; it sees no credentials all the same."""
    opening = Opening("http://127.0.0.1:8080/f", **CREDENTIALS)

    opening.redirect("/g")

    assert opening.origins[0].requests[-1][0] == "GET /g HTTP/1.1"
    assert SECRET not in opening.origins[0].transport.value().decode()


def test_content_of_a_redirect_is_read_before_the_next_request():
    """So that its connection can carry that, if it is short."""
    opening = Opening()

    opening.origins[0].send(
        "HTTP/1.1 302 Found", "Location: /g", "Content-Length: 4", content=b"go"
    )
    early = len(opening.origins[0].requests)
    opening.origins[0].protocol.dataReceived(b"on")
    opening.turn()

    assert early == 1
    assert len(opening.origins[0].requests) == 2


@pytest.mark.parametrize("framing", ["Content-Length: 10000000", "Transfer-Encoding: chunked"])
def test_long_content_of_a_redirect_is_not_read(framing):
    """The next request goes out on a new connection."""
    opening = Opening()

    opening.origins[0].send("HTTP/1.1 302 Found", "Location: /g", framing)
    opening.turn()

    assert opening.origins[0].transport.producerState == "stopped"
    assert opening.origins[1].requests[-1][0] == "GET /g HTTP/1.1"


def test_content_of_a_redirect_that_does_not_come_is_not_awaited():
    """Two seconds, and the connection is given up."""
    opening = Opening()

    opening.origins[0].send("HTTP/1.1 302 Found", "Location: /g", "Content-Length: 4")
    opening.reactor.advance(DISCARD_SECONDS)
    opening.turn()

    assert opening.origins[0].transport.producerState == "stopped"
    assert len(opening.origins) == 2


# -- slots


def test_download_keeps_its_slot_until_its_content_is_over():
    """`limit` bounds connections, not requests."""
    opening = crowd()
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"h")
    opening.download.deliver(opening.sink)

    during = opening.open().error
    opening.origin.protocol.dataReceived(b"i")

    assert isinstance(during, OriginCrowded)
    assert is_free(opening)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda o: o.download.stop(), id="stopped"),
        pytest.param(lambda o: o.running.cancel(), id="nothing-left-to-cancel-then-stopped"),
        pytest.param(lambda o: o.origin.close(), id="broken-off"),
    ],
)
def test_slot_of_a_download_that_ends_early_is_free_again(end):
    """Every way out leads by its release, and twice is once."""
    opening = crowd()
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"h")
    opening.download.deliver(opening.sink)

    end(opening)
    opening.download.stop()
    opening.download.stop()

    assert is_free(opening)
    assert isinstance(opening.open().error, OriginCrowded)


def test_slot_is_free_again_when_the_opening_is_cancelled():
    """While connecting, while waiting for the fields, while a redirect is read."""
    for prepare in (
        lambda o: None,
        lambda o: o.connect(),
        lambda o: o.connect().send("HTTP/1.1 302 X", "Location: /g", "Content-Length: 4"),
    ):
        opening = crowd()
        prepare(opening)

        opening.running.cancel()

        assert isinstance(opening.error, CancelledError)
        assert is_free(opening)


def test_slot_of_a_refusal_is_free_when_its_content_was_read():
    """Its connection carries the next request."""
    opening = crowd()
    opening.connect().send("HTTP/1.1 404 Not Found", "Content-Length: 4", content=b"go")

    during = opening.open().error
    opening.origin.protocol.dataReceived(b"ne")

    assert isinstance(opening.error, OriginLacksIt)
    assert isinstance(during, OriginCrowded)
    assert is_free(opening)
    assert len(opening.origins) == 1


def test_download_that_waits_for_a_slot_begins_when_one_is_free():
    """In its turn, on the same connection."""
    opening = Opening(download_concurrency=1)
    waiting = opening.open("g")
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 0")
    opening.download.deliver(opening.sink)
    opening.turn()

    assert opening.origin.requests[-1][0] == "GET /repo/g HTTP/1.1"
    assert waiting.results == []
    assert len(opening.origins) == 1


# -- rates


def test_requests_keep_to_the_rate():
    """One a second: the second one waits, and its hops count as well."""
    opening = Opening(rate_limit=1)
    opening.open("g")

    early = len(opening.origins)
    opening.reactor.advance(1)

    assert early == 1
    assert len(opening.origins) == 2


def test_wait_for_a_turn_is_no_fault_of_the_origin():
    """Whose time is over says who took most of it: the importer's own limit, or the origin."""
    opening = Opening(rate_limit=0.01)
    waiting = opening.open("g")

    opening.reactor.advance(12)
    opening.running.cancel()
    waiting.running.cancel()

    assert isinstance(opening.error, CancelledError)
    assert isinstance(waiting.error, OriginCrowded)


def test_bytes_keep_to_the_rate_and_the_sink_hears_of_it():
    """A connection is paused for what is owed; empty chunks show that it is not silent."""
    opening = Opening(bandwidth_limit="1KiB")
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 9000", content=b"x" * 3072)
    opening.download.deliver(opening.sink)
    state = opening.origin.transport
    states = [state.producerState]

    for _ in range(3):
        opening.reactor.advance(1)
        states.append(state.producerState)

    assert states == ["paused", "paused", "paused", "producing"]
    assert opening.sink.empty_chunks == 3
    assert len(opening.sink.content) == 3072


@pytest.mark.parametrize("pauses_first", [True, False])
def test_connection_flows_while_neither_the_sink_nor_the_rate_holds_it(pauses_first):
    """Two reasons to pause, and both have to be gone."""
    opening = Opening(bandwidth_limit="1KiB")
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 9000", content=b"x" * 1024)
    opening.download.deliver(opening.sink)
    transport = opening.origin.transport

    opening.download.pause()
    if pauses_first:
        opening.download.resume()
        early = transport.producerState
        opening.reactor.advance(1)
    else:
        opening.reactor.advance(1)
        early = transport.producerState
        opening.download.resume()

    assert early == "paused"
    assert transport.producerState == "producing"


def test_throttled_download_that_stops_leaves_no_timer():
    """Whoever stops it hears nothing more."""
    opening = Opening(bandwidth_limit="1KiB")
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 9000", content=b"x" * 4096)
    opening.download.deliver(opening.sink)

    opening.download.stop()
    opening.turn()

    assert opening.reactor.getDelayedCalls() == []
    assert opening.sink.endings == []


def test_throttled_download_that_ends_leaves_no_timer():
    """The end is told at once: what is owed, the next download waits for."""
    opening = Opening(bandwidth_limit="1KiB", keep_alive=3600)
    opening.connect().send("HTTP/1.1 200 OK", "Content-Length: 4096", content=b"x" * 4096)
    opening.download.deliver(opening.sink)
    opening.reactor.advance(5)

    assert opening.sink.endings == [None]
    assert opening.sink.empty_chunks == 0


# -- refusals


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("120", 120, id="rfc9110-10.2.3-delay"),
        pytest.param(" 0 ", 0, id="now"),
        pytest.param("Sun, 06 Nov 1994 08:49:57 GMT", 20, id="rfc9110-5.6.7-date"),
        pytest.param("Sun, 06 Nov 1994 08:00:00 GMT", 0, id="date-that-has-passed"),
        pytest.param("Sun, 06 Nov 2094 08:00:00 GMT", MAX_RETRY_AFTER_SECONDS, id="far-date"),
        pytest.param("9" * 5000, MAX_RETRY_AFTER_SECONDS, id="more-digits-than-numbers-have"),
        pytest.param("-1", None, id="negative"),
        pytest.param("1.5", None, id="fraction"),
        pytest.param("soon", None, id="word"),
        pytest.param("²", None, id="digit-of-another-kind"),
    ],
)
def test_wish_to_be_left_alone_is_read(value, expected):
    """Seconds or a date, bounded; what cannot be read was not said."""
    now = 784111777.0

    assert expected == retry_after_seconds((("retry-after", value),), now)
    assert retry_after_seconds((("retry-after", value), ("Retry-After", value)), now) is None


@pytest.mark.parametrize(("status", "kind"), [(429, OriginBusy), (503, OriginFailing)])
def test_refusal_says_how_long_the_origin_wants_to_be_left_alone(status, kind):
    """The plan obeys it."""
    network = Network()
    config = read_config({"url": BASE})
    importer = HttpImporter(config, surroundings(network), now=lambda: 784111777.0)
    running = Running(importer.downloader(source()).open())

    network.origins[0].send(
        f"HTTP/1.1 {status} X", "Content-Length: 0", "Retry-After: Sun, 06 Nov 1994 08:49:57 GMT"
    )

    assert type(running.error) is kind
    assert running.error.retry_after_seconds == 20


def test_downloader_is_named_by_the_origin_it_asks():
    """Scheme, host and port of its own URL; no credential, path or query."""
    importer = build(max_retries=2)

    names = [
        importer.downloader(source(url)).origin
        for url in ("f", "https://[2001:DB8::1]/f?token=x", "http://u:p@h:x/")
    ]

    assert names == [
        "http://192.0.2.1:80",
        "https://[2001:db8::1]:443",
        "(a URL that cannot be used)",
    ]
    assert importer.downloader(source()).retries == 2


# -- relaying


class Relaying(Network, Running):
    """One request that is relayed, on its way."""

    def __init__(self, path="d/f", method="GET", fields=(), **config):
        Network.__init__(self)
        self.importer = build(self.reactor, **config)
        Running.__init__(self, self.importer.relayer(path).relay(method, fields))
        self.origin = self.origins[0]


def test_relayed_request_carries_the_fields_that_it_was_given():
    """Beside the importer's own."""
    fields = (("If-None-Match", '"x"'), ("Range", "bytes=0-"))
    relaying = Relaying("d/f%20x?y=1", fields=fields, **CREDENTIALS)

    assert relaying.origin.request[0] == "GET /repo/d/f%20x?y=1 HTTP/1.1"
    assert relaying.origin.field("if-none-match") == ['"x"']
    assert relaying.origin.field("range") == ["bytes=0-"]
    assert relaying.origin.field("accept-encoding") == ["identity"]
    assert relaying.origin.field("authorization") == [basic("me", SECRET)]


@pytest.mark.parametrize("status", [200, 206, 304, 412, 416])
def test_answer_that_a_client_may_be_told_is_given_back(status):
    """With its fields as they are, the coding of its content among them."""
    relaying = Relaying()

    relaying.origin.send(
        f"HTTP/1.1 {status} X", "Content-Length: 0", 'ETag: "x"', "Content-Encoding: gzip"
    )

    told = {name.lower(): value for name, value in relaying.download.response.fields}
    assert relaying.download.response.status == status
    assert told["etag"] == '"x"'
    assert told["content-encoding"] == "gzip"


def test_bytes_beyond_ascii_in_a_relayed_field_stay_as_they_are():
    """An entity tag may hold such bytes (RFC 9110 section 8.8.3)."""
    relaying = Relaying("f", fields=(("If-None-Match", '"\xe9"'),))

    assert relaying.origin.field("if-none-match") == ['"\xe9"']


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (301, ["max-age=9"]),
        (308, ["max-age=9"]),
        (302, ["max-age=9", "no-cache"]),
        (303, ["max-age=9", "no-cache"]),
        (307, ["max-age=9", "no-cache"]),
    ],
)
def test_what_a_passing_redirect_led_to_is_asked_for_again(status, expected):
    """A cache would keep the latest of something under the name that leads to it."""
    relaying = Relaying("latest")

    relaying.redirect("/repo/7", status=status)
    relaying.redirect("/repo/eight", status=301)
    relaying.origin.send("HTTP/1.1 200 OK", "Cache-Control: max-age=9", "Content-Length: 0")

    fields = relaying.download.response.fields
    assert expected == [value for name, value in fields if name.lower() == "cache-control"]


def test_coded_content_is_relayed_as_it_comes():
    """Nothing is decoded, and no empty coding is made up where there is none."""
    relaying = Relaying()

    relaying.origin.send("HTTP/1.1 200 OK", "Content-Length: 2", content=b"\x1f\x8b")
    relaying.download.deliver(relaying.sink)

    assert relaying.sink.content == b"\x1f\x8b"
    assert [
        n for n, _ in relaying.download.response.fields if n.lower() == "content-encoding"
    ] == []


@pytest.mark.parametrize(
    ("status", "error"),
    [(404, OriginLacksIt), (401, OriginForbids), (500, OriginFailing), (204, OriginRefused)],
)
def test_other_answer_to_a_relayed_request_is_an_error(status, error):
    """As for a download."""
    relaying = Relaying()

    relaying.origin.send(f"HTTP/1.1 {status} X", "Content-Length: 0")

    assert type(relaying.error) is error


def test_length_of_a_head_is_that_of_the_content_there_would_be():
    """RFC 9110 9.3.2; its connection goes on to serve."""
    relaying = Relaying(method="HEAD")

    relaying.origin.send("HTTP/1.1 200 OK", "Content-Length: 5")
    relaying.download.stop()
    relaying.turn()
    Running(relaying.importer.relayer("g").relay("GET", ()))

    assert relaying.origin.request[0] == "HEAD /repo/d/f HTTP/1.1"
    assert relaying.download.response.length == 5
    assert ("Content-Length", "5") in relaying.download.response.fields
    assert relaying.origins[-1].requests[-1][0] == "GET /repo/g HTTP/1.1"


def test_relayed_content_that_ends_with_the_connection_is_truncated():
    """RFC 9112 8: nothing shows that it was all, and nobody verifies it."""
    relaying = Relaying()
    relaying.origin.send("HTTP/1.1 200 OK", content=b"hi")
    relaying.download.deliver(relaying.sink)

    relaying.origin.close(ConnectionDone())

    (error,) = relaying.sink.endings
    assert isinstance(error, ContentTruncated)


def test_redirect_that_adds_a_slash_is_given_back():
    """Relative, so that the client asks here again; no other field of it is told."""
    relaying = Relaying("d", **CREDENTIALS)

    relaying.redirect("http://192.0.2.1/repo/d/", "X-Served-By: h", status=301)

    assert relaying.download.response.status == 302
    assert relaying.download.response.fields == (("Location", "d/"),)


def test_other_redirect_of_a_relayed_request_is_followed():
    """Whatever is met later, a slash too."""
    relaying = Relaying("d")

    relaying.redirect(f"{ELSEWHERE}/e")
    relaying.redirect("/e/")
    relaying.origins[-1].send("HTTP/1.1 200 OK", "Content-Length: 0")

    assert relaying.origins[-1].requests[-1][0] == "GET /e/ HTTP/1.1"
    assert relaying.download.response.status == 200


def test_relayed_nonsense_is_an_error():
    """What is not HTTP is nobody's answer."""
    relaying = Relaying()

    relaying.origin.protocol.dataReceived(b"SSH-2.0\r\n")
    relaying.origin.close()

    assert isinstance(relaying.error, OriginNonsense)
