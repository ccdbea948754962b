"""The header section: what an origin is asked, and what a client is told."""

from __future__ import annotations

import re

import pytest

from streamer import __version__
from streamer.errors import OriginLacksIt, OriginRefused, OriginTimedOut, OriginUnreachable
from streamer.fields import (
    MAX_FORWARDED,
    cache_status,
    content_fields,
    entity_tag,
    error_fields,
    folder_fields,
    forwardable,
    gateway_fields,
    is_loop,
    origin_request_fields,
    proxy_status,
    representation_fields,
    unsatisfiable_range,
    unverified,
)
from streamer.model import Artifact, Digest, PublicationId, PublishedArtifact
from streamer.partial_content import Selection
from streamer.ranges import ByteRange

SHA256 = Digest("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
SHA512 = Digest("sha512", "00" * 64)
MD5 = Digest("md5", "900150983cd24fb0d6963f7d28e17f72")
ARTIFACT = Artifact((SHA256,), 3, "text/plain")
PUBLISHED = PublishedArtifact("f", "base", PublicationId(1), ARTIFACT, "package", 784111777)


def of_artifact(artifact):
    return content_fields(Selection(artifact), accepts_ranges=True)


# -- to the origin


def test_origin_is_asked_for_bytes_as_they_are():
    """RFC 9110 12.5.3: identity, or a `.gz` labelled gzip would arrive decoded."""
    assert ("Accept-Encoding", "identity") in origin_request_fields("me")


def test_origin_is_told_who_asks():
    """RFC 9110 10.1.5 and 7.6.3, RFC 8586: the product, and the names that make a loop visible."""
    fields = dict(origin_request_fields("me"))

    assert fields["User-Agent"] == f"pulp-streamer/{__version__}"
    assert fields["Via"] == "1.1 me"
    assert fields["CDN-Loop"] == "me"


@pytest.mark.parametrize(
    ("via", "cdn_loop", "expected"),
    [
        pytest.param([], [], False, id="rfc9110-7.6.3-no-gateway"),
        pytest.param(["1.1 me"], [], True, id="rfc9110-7.6.3-same"),
        pytest.param(["1.0 fred, 1.1 me (twisted)"], [], True, id="rfc9110-7.6.3-list"),
        pytest.param(["1.0 fred", "HTTP/1.1 me"], [], True, id="rfc9110-5.2-two-lines"),
        pytest.param(["1.1 me2"], [], False, id="rfc9110-7.6.3-longer-name"),
        pytest.param(["1.1 other (me)"], [], False, id="rfc9110-7.6.3-name-in-a-comment"),
        pytest.param(["me"], [], False, id="rfc9110-7.6.3-no-protocol"),
        pytest.param([""], [""], False, id="empty"),
        pytest.param([], ["me"], True, id="rfc8586-2-same"),
        pytest.param([], ['cdn; v="1", me; id=1'], True, id="rfc8586-2-list-with-parameters"),
        pytest.param([], ["cdn"], False, id="rfc8586-2-other"),
    ],
)
def test_loop_is_seen_by_our_own_name_alone(via, cdn_loop, expected):
    """A chain of gateways is no loop; the same one twice is."""
    assert expected == is_loop("me", via, cdn_loop)


def test_own_request_is_recognised_as_a_loop():
    """What is written to an origin is what is looked for in a request."""
    sent = dict(origin_request_fields("me"))

    assert is_loop("me", [sent["Via"]], [])
    assert is_loop("me", [], [sent["CDN-Loop"]])


# -- from the origin


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Disposition", "Content-Language", "Link", "X-PyPI-Last-Serial", "x-checksum"),
        *("Docker-Content-Digest", "DOCKER-DISTRIBUTION-API-VERSION"),
    ],
)
def test_field_on_the_list_is_forwarded(name):
    """Names are compared without regard to case (RFC 9110 5.1), and kept as written."""
    assert forwardable(((name, "v"),)) == ((name, "v"),)


@pytest.mark.parametrize(
    "name",
    [
        # steer a front
        *("X-Accel-Redirect", "x-accel-buffering", "X-Sendfile", "X-Sendfile2"),
        *("X-LIGHTTPD-send-file", "X-LiteSpeed-Location", "X-Rewrite-URL", "X-Original-URL"),
        *("X-HTTP-Method-Override",),
        # reveal or forge
        *("X-Powered-By", "X-Forwarded-For", "X-Real-IP", "X-Cache", "X-Cache-Hits"),
        *("X-Served-By", "X-Varnish", "X-Backend-Server", "X-Runtime", "X-Amz-Request-Id"),
        *("X-AspNet-Version",),
        # decide for a whole site
        *("X-Frame-Options", "X-XSS-Protection", "X-Content-Type-Options", "X-Robots-Tag"),
        *("Set-Cookie", "Strict-Transport-Security", "Alt-Svc", "Content-Security-Policy"),
        *("Access-Control-Allow-Origin", "Clear-Site-Data"),
        # the catalog's own to say
        *("ETag", "Last-Modified", "Content-Type", "Content-Length", "Cache-Control", "Expires"),
        *("Accept-Ranges", "Content-Range", "Repr-Digest", "Digest", "Age", "Vary", "Pragma"),
        # of the connection or of the coding
        *("Content-Encoding", "Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE"),
        *("Trailer", "Proxy-Authenticate", "WWW-Authenticate", "Via", "Server", "Date"),
        *("Location", "Refresh", "Proxy-Status", "Cache-Status"),
    ],
)
def test_field_not_on_the_list_stays_behind(name):
    """Nothing is passed on because nobody objected."""
    assert forwardable(((name, "v"),)) == ()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("a\0b", id="rfc9110-5.5-nul"),
        pytest.param("a\r\nX-Evil: 1", id="rfc9110-5.5-crlf"),
        pytest.param("a\rb", id="rfc9110-5.5-cr"),
        pytest.param("a\x7fb", id="delete"),
        pytest.param("a\x85b", id="c1"),
    ],
)
def test_value_with_controls_or_nothing_in_it_stays_behind(value):
    """A field that could split a response or says nothing is dropped whole."""
    assert forwardable((("X-Name", value), ("X-Other", "kept"))) == (("X-Other", "kept"),)


def test_repeated_fields_keep_their_order():
    """RFC 9110 5.3: the order of lines of one name has a meaning."""
    links = (("Link", "<a>"), ("X-A", "1"), ("Link", "<b>"))

    assert forwardable(links) == links


# -- what the catalog says


def test_entity_tag_is_the_digest_and_strong():
    """RFC 9110 8.8.3: a quoted tag without `W/`."""
    assert entity_tag(ARTIFACT) == f'"sha256:{SHA256.hex}"'


def test_representation_has_its_validators_and_its_freshness():
    """RFC 9110 15.4.5: what a 304 repeats."""
    assert representation_fields(PUBLISHED, now=0.0) == (
        ("ETag", f'"sha256:{SHA256.hex}"'),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Cache-Control", "public, max-age=86400, stale-if-error=604800"),
    )


def test_representation_served_by_grace_is_fresh_for_what_is_left_of_it():
    """A cache must not outlive the grace (RFC 9111 5.2.2.1)."""
    graced = PublishedArtifact(
        "f", "base", PublicationId(1), ARTIFACT, "immutable", 0, grace_until=1000.0
    )

    fields = dict(representation_fields(graced, now=980.5))

    assert fields["Cache-Control"] == "public, max-age=19, must-revalidate"


def test_content_of_known_size_has_its_length_type_and_digest():
    """RFC 9110 8.6 and 8.3, RFC 9530 3."""
    assert of_artifact(ARTIFACT) == (
        ("Content-Length", "3"),
        ("Content-Type", "text/plain"),
        ("Accept-Ranges", "bytes"),
        ("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"),
    )


def test_part_of_content_has_the_digest_of_the_whole():
    """RFC 9530 3: Repr-Digest is about the representation, whatever part of it is sent."""
    part = Selection(ARTIFACT, (ByteRange(0, 0),))

    assert content_fields(part, accepts_ranges=True) == (
        ("Content-Length", "1"),
        ("Content-Type", "text/plain"),
        ("Content-Range", "bytes 0-0/3"),
        ("Accept-Ranges", "bytes"),
        ("Repr-Digest", "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"),
    )


def test_content_whose_ranges_are_not_served_says_so():
    """RFC 9110 14.3: `none` advises a client not to try."""
    fields = content_fields(Selection(ARTIFACT), accepts_ranges=False)

    assert dict(fields)["Accept-Ranges"] == "none"


def test_head_of_unverified_content_lets_no_cache_keep_it():
    """What nobody verified must not be served to others as if it were right."""
    head = (("ETag", '"x"'), ("Cache-Control", "public, max-age=86400"), ("Via", "1.1 me"))

    assert unverified(head) == (
        ("ETag", '"x"'),
        ("Via", "1.1 me"),
        ("Cache-Control", "no-store"),
    )


def test_unsatisfiable_range_tells_the_length():
    """RFC 9110 14.4."""
    assert unsatisfiable_range(47022) == (("Content-Range", "bytes */47022"),)


def test_content_of_unknown_size_has_no_length():
    """RFC 9110 8.6: a length that is not known is not stated."""
    names = [name for name, _ in of_artifact(Artifact((SHA256,), None, "text/plain"))]

    assert "Content-Length" not in names


def test_digests_of_algorithms_that_rfc9530_names_are_stated_together():
    """RFC 9530 5: one dictionary member for each, none for a deprecated one."""
    artifact = Artifact((SHA256, SHA512, MD5), 3, "text/plain")

    value = dict(of_artifact(artifact))["Repr-Digest"]

    assert value == f"sha-256=:{SHA256.base64}:, sha-512=:{SHA512.base64}:"


def test_weak_digest_alone_is_not_stated():
    """RFC 9530 5: md5 is insecure and no client should rely on it."""
    names = [name for name, _ in of_artifact(Artifact((MD5,), 3, "text/plain"))]

    assert "Repr-Digest" not in names


def test_every_response_names_the_gateway_and_forbids_sniffing():
    """RFC 9110 7.6.3."""
    assert gateway_fields("me") == (("Via", "1.1 me"), ("X-Content-Type-Options", "nosniff"))


# -- errors and cache status


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        pytest.param(404, {"Cache-Control": "max-age=30"}, id="rfc9111-5.2.2.1-404"),
        pytest.param(400, {"Cache-Control": "no-store"}, id="rfc9111-5.2.2.5-400"),
        pytest.param(502, {"Cache-Control": "no-store"}, id="rfc9111-5.2.2.5-502"),
        pytest.param(
            503, {"Cache-Control": "no-store", "Retry-After": "10"}, id="rfc9110-10.2.3-503"
        ),
        pytest.param(
            405, {"Cache-Control": "no-store", "Allow": "GET, HEAD"}, id="rfc9110-10.2.1-405"
        ),
    ],
)
def test_error_says_how_long_it_holds_and_what_to_do(status, expected):
    """An error is plain text of known length, with no more than its status asks for."""
    own = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": "5"}

    assert own | expected == dict(error_fields(status, 5))


def test_folder_changes_when_one_publishes():
    """A listing is as mutable as an index, and came out of the catalog."""
    assert folder_fields() == (
        ("Cache-Control", "public, max-age=60, must-revalidate"),
        ("Cache-Status", "pulp-streamer; hit"),
    )


TRIED = [("a", OriginTimedOut()), ('b"', OriginLacksIt(404))]


@pytest.mark.parametrize(
    ("keywords", "expected"),
    [
        pytest.param({"hit": True}, "hit", id="rfc9211-2.1-hit"),
        pytest.param({"hit": False}, "fwd=uri-miss", id="rfc9211-2.2-miss"),
        pytest.param(
            {"hit": False, "is_unverified": True},
            "fwd=uri-miss; detail=unverified",
            id="rfc9211-2.8-detail",
        ),
        pytest.param(
            {"hit": False, "failures": TRIED},
            r'fwd=uri-miss; detail="a: connection_timeout; b\": http_protocol_error"',
            id="rfc9211-2.8-who-failed-before",
        ),
        pytest.param(
            {"hit": False, "is_unverified": True, "failures": TRIED[:1]},
            "fwd=uri-miss; detail=unverified",
            id="rfc9211-2.8-unverified-above-all",
        ),
    ],
)
def test_cache_status_says_whether_an_origin_was_asked(keywords, expected):
    """RFC 9211 2: one list member with parameters."""
    assert cache_status(**keywords) == (("Cache-Status", f"pulp-streamer; {expected}"),)


def test_proxy_status_ends_with_who_served_in_the_end():
    """RFC 9209 2.1.2: a next hop without an error is where the content comes from."""
    ((_, value),) = proxy_status(TRIED[:1], served_by="mirror")

    assert value.endswith(', pulp-streamer; next-hop="mirror"')


def test_proxy_status_is_absent_where_the_first_origin_served():
    """There is nothing to explain."""
    assert proxy_status([], served_by="mirror") == ()


def test_fields_about_many_failures_stay_short():
    """A front that takes 4 KiB of head still takes this one."""
    failures = [(f"importer-number-{number}", OriginTimedOut()) for number in range(30)]

    written = [*cache_status(hit=False, failures=failures), *proxy_status(failures, served_by="x")]

    assert sum(len(value) for _, value in written) < 2048
    assert "importer-number-29" in written[0][1]
    assert "importer-number-21" not in written[0][1]


def test_proxy_status_has_one_member_for_each_failure():
    """RFC 9209 2: what went wrong, and by way of which importer."""
    failures = [("first", OriginTimedOut()), ("second", OriginUnreachable("it refuses"))]

    ((name, value),) = proxy_status(failures)

    assert name == "Proxy-Status"
    assert value == (
        f'pulp-streamer; error={OriginTimedOut.proxy_error}; next-hop="first"; '
        'details="the origin did not answer in time", '
        f'pulp-streamer; error={OriginUnreachable.proxy_error}; next-hop="second"; '
        'details="no connection to the origin: it refuses"'
    )


def test_same_failure_of_an_importer_is_told_once():
    """However often it was asked, and by however many mirrors; another failure is another."""
    failures = [("a", OriginTimedOut()), ("b", OriginTimedOut())] * 9
    failures += [("a", OriginUnreachable("it refuses"))]

    ((_, told),) = proxy_status(failures)
    ((_, cached),) = cache_status(hit=False, failures=failures)

    assert ["a", "b", "a"] == re.findall('next-hop="(.)"', told)
    assert ["a", "b", "a"] == re.findall("(.): [a-z_]+", cached.partition("detail=")[2])


def test_proxy_status_is_absent_where_no_origin_was_asked():
    """RFC 9209 2: nothing to say, nothing said."""
    assert proxy_status([]) == ()


def test_name_of_an_importer_cannot_break_out_of_its_string():
    """RFC 8941 3.3.3: quotes and backslashes escaped, other characters replaced."""
    ((_, value),) = proxy_status([('a"; b=\\c\r\nä', OriginLacksIt(404))])

    assert 'next-hop="a\\"; b=\\\\c???"' in value
    assert value.isascii()
    assert value.isprintable()


def test_refusal_of_an_origin_keeps_its_status_in_the_details():
    """What the origin answered helps whoever looks for the reason."""
    ((_, value),) = proxy_status([("a", OriginRefused(403))])

    assert 'details="the origin answered 403"' in value


@pytest.mark.parametrize(
    "field",
    [("X-a b", "1"), ("X-é", "1"), ("X-ok", "漢"), ("X-", "a\nb"), ("X-a:", "1")],
    ids=["space-in-the-name", "name-not-ascii", "value-beyond-latin-1", "control", "colon"],
)
def test_field_that_no_head_can_hold_stays_behind(field):
    """A plugin's importer may bring what HTTP cannot write."""
    assert forwardable((("X-A", "1"), field)) == (("X-A", "1"),)


def test_fields_beyond_a_bound_stay_behind():
    """Clients refuse a head of more than a hundred."""
    many = tuple((f"X-{number}", "1") for number in range(150))

    assert forwardable(many) == many[:MAX_FORWARDED]
