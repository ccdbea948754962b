"""The importer type `mirrors` over sockets: where a source lies, and what a mirror gets to see.

A list and its mirrors are origins on loopback, each of an address of its own where that matters.
"""

from __future__ import annotations

import base64
import threading

import pytest
from certificates import Authority
from origins import Origin, never_answers, serves
from pytest_twisted import ensureDeferred
from ranged_origins import serves_by_target
from token_service import TokenService
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent

from streamer.downloaders.short_content import short_content
from streamer.errors import (
    ConfigurationError,
    MirrorListUnusable,
    OriginFailing,
    OriginForbids,
    OriginNonsense,
    OriginUnreachable,
    RedirectRefused,
)
from streamer.importers.mirrors import (
    MAX_MIRRORS,
    MirrorsImporterType,
    SourceWithoutMirrors,
)
from streamer.interfaces import Surroundings
from streamer.mirrors.lists import MAX_LIST_BYTES
from streamer.model import DownloadConfig, RemoteArtifact

TYPE = MirrorsImporterType()
CONTENT = b"the content"
SECRET = "s3cret-pa55"
METALINK = "application/metalink+xml"


def source(url="a/f"):
    return RemoteArtifact(DownloadConfig(1, 1, "fedora", "mirrors", {}), url)


@pytest.fixture
def build(reactor, request):
    """Give a function that builds an importer, which is closed when the test is over."""
    built = []

    def make(lists, **config):
        defaults = {"url": f"{lists.url}list?repo=f", "allow_private_redirects": True}
        stored = TYPE.normalise({**defaults, **config})
        built.append(TYPE.build(stored, Surroundings(reactor, "test")))
        return built[-1]

    yield make
    for each in built:
        Deferred.fromCoroutine(each.close())


def names(*bases):
    """A plain list."""
    return serves("".join(f"{base}\n" for base in bases).encode(), ("Content-Type: text/plain",))


async def urls(importer, url="a/f"):
    """Where the source lies, as the downloaders would ask for it."""
    return [each._url for each in await importer.downloaders(source(url))]


async def fetched(importer, url="a/f", place=0):
    """What one of its places has."""
    downloaders = await importer.downloaders(source(url))
    return await short_content(await downloaders[place].open(), 1000)


def threads():
    return [each for each in threading.enumerate() if each.name == "mirror list"]


# -- where a source lies


@ensureDeferred
async def test_relative_source_is_joined_to_each_mirror(build):
    """Byte for byte, below a base with a slash and without."""
    with Origin(names("http://one.example/pub/", "https://two.example:8443/x")) as lists:
        found = await urls(build(lists), "a%2Bb/libc-1:2.3.deb?x=1")

    assert found == [
        "http://one.example/pub/a%2Bb/libc-1:2.3.deb?x=1",
        "https://two.example:8443/x/a%2Bb/libc-1:2.3.deb?x=1",
    ]


@ensureDeferred
async def test_mirror_is_asked_for_the_source_below_it(build):
    """And what it has is the content."""
    with Origin(serves(CONTENT)) as mirror, Origin(names(f"{mirror.url}pub/")) as lists:
        content = await fetched(build(lists))
        target = mirror.conversations[0].target

    assert (content, target) == (CONTENT, b"/pub/a/f")


@ensureDeferred
async def test_list_is_fetched_once_for_many(build):
    """With its query, whether they come before it is there or after."""
    with Origin(names("http://one.example/")) as lists:
        importer = build(lists)
        asked = [Deferred.fromCoroutine(importer.downloaders(source())) for _ in range(50)]
        await gatherResults(asked)
        await importer.downloaders(source())
        targets = [each.target for each in lists.conversations]

    assert targets == [b"/list?repo=f"]


@ensureDeferred
async def test_known_list_is_given_without_waiting(build):
    """A warm exchange does not even lose a turn of the reactor."""
    with Origin(names("http://one.example/")) as lists:
        importer = build(lists)
        await importer.downloaders(source())
        again = Deferred.fromCoroutine(importer.downloaders(source()))

    assert again.called


@ensureDeferred
async def test_absolute_source_is_asked_for_where_it_says(build):
    """It has no mirrors, and no list is fetched for it."""
    with Origin(names("http://one.example/")) as lists:
        found = await urls(build(lists), "https://other.example/f")

    assert found == ["https://other.example/f"]
    assert lists.requests() == 0


@ensureDeferred
async def test_absolute_source_may_lead_inside_a_network(build):
    """An operator wrote it."""
    with Origin(serves(CONTENT)) as origin, Origin(names("http://one.example/")) as lists:
        importer = build(lists, allow_private_redirects=False)

        assert await fetched(importer, f"{origin.url}f") == CONTENT


@ensureDeferred
async def test_source_from_the_root_is_refused_and_says_what_to_do(build):
    """Mirrors differ in what lies at their roots; no list is fetched."""
    with Origin(names("http://one.example/")) as lists:
        with pytest.raises(SourceWithoutMirrors, match="without the slash"):
            await build(lists).downloaders(source("/pub/f"))

        assert lists.requests() == 0


@ensureDeferred
async def test_list_longer_than_there_may_be_mirrors_is_cut(build):
    """Its beginning is what is near."""
    bases = [f"http://m{number}.example/" for number in range(MAX_MIRRORS + 5)]
    with Origin(names(*bases)) as lists:
        found = await urls(build(lists), "f")

    assert found == [f"{base}f" for base in bases[:MAX_MIRRORS]]


@ensureDeferred
async def test_second_place_at_one_origin_is_left_out_and_counted(build):
    """Health is kept by origin: what one of them lacks, the other would be taken to lack."""
    bases = ["http://one.example/a/", "http://ONE.example:80/b/", "https://one.example/a/"]
    with Origin(names(*bases)) as lists, capturedLogs() as events:
        found = await urls(build(lists), "f")
        lines = [formatEvent(event) for event in events if "list of mirrors" in formatEvent(event)]

    assert found == ["http://one.example/a/f", "https://one.example/a/f"]
    assert [line.partition(") ")[2] for line in lines] == [
        "names 2 that can be asked; left out: another place at the same origin: 1"
    ]


METALINK_3 = """\
<?xml version="1.0"?>
<metalink version="3.0" xmlns="http://www.metalinker.org/"><files><file name="repomd.xml">
<verification><hash type="sha256">{digest}</hash></verification><resources>
<url protocol="http" type="http" preference="10">http://last.example/9/repodata/repomd.xml</url>
<url protocol="ftp" type="ftp" preference="100">ftp://ftp.example/9/repodata/repomd.xml</url>
<url protocol="https" type="https" preference="90">https://best.example/9/repodata/repomd.xml</url>
</resources></file></files></metalink>"""
METALINK_4 = """\
<?xml version="1.0"?>
<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="disk.iso">
<hash type="sha-256">{digest}</hash>
<url priority="20">http://last.example/9/images/disk.iso</url>
<url priority="1">https://best.example/9/images/disk.iso</url>
</file></metalink>"""


@pytest.mark.parametrize(
    ("written", "config"),
    [(METALINK_3, {}), (METALINK_4, {"list_file": "images/disk.iso"})],
    ids=["metalink-3", "rfc5854-4.2.16"],
)
@ensureDeferred
async def test_mirrors_of_a_metalink_come_by_their_priority(build, written, config):
    """Best first, and those that this type does not speak to are left out."""
    content = written.format(digest="0" * 64).encode()
    with Origin(serves(content, (f"Content-Type: {METALINK}",))) as lists:
        found = await urls(build(lists, **config), "a/f")

    assert found == ["https://best.example/9/a/f", "http://last.example/9/a/f"]


@ensureDeferred
async def test_metalink_whose_file_lies_elsewhere_says_what_to_set(build):
    """Without `list_file` nobody knows what of its URLs is the mirror."""
    content = METALINK_4.replace("disk.iso</url>", "other.iso</url>").encode()
    with Origin(serves(content)) as lists, pytest.raises(MirrorListUnusable, match="see list_file"):
        await build(lists).downloaders(source())


@ensureDeferred
async def test_what_a_list_names_and_what_not_is_in_the_log(build):
    """For the operator who wonders where all the mirrors are."""
    content = names("http://one.example/", "ftp://two.example/", "rsync://three.example/m")
    with Origin(content) as lists, capturedLogs() as events:
        await build(lists).downloaders(source())
        lines = [formatEvent(event) for event in events if "list of mirrors" in formatEvent(event)]

    assert lines == [
        f"the list of mirrors at http://127.0.0.1:{lists.port} (mirrorlist) names 1 that can be"
        " asked; left out: another protocol: 2"
    ]


# -- a list that is none

UNUSABLE = {
    "a-web-page": (serves(b"<!DOCTYPE html><html><body>Log in</body></html>"), "web page"),
    "empty": (serves(b""), "names no mirror"),
    "comments-alone": (serves(b"# repo = x arch = y\n# no mirrors\n"), "names no mirror"),
    "no-protocol-of-ours": (serves(b"rsync://one.example/\n"), "another protocol: 1"),
    "no-text": (serves(b"\x00\x01\x02"), "no text"),
    "compressed": (serves(b"\x1f\x8b\x08\x00"), "compressed"),
    "document-type": (serves(b"<!DOCTYPE metalink><metalink/>"), "document type"),
    "missing": (serves(b"", status=b"404 Not Found"), "answered 404"),
}


@pytest.mark.parametrize(("behaviour", "why"), UNUSABLE.values(), ids=UNUSABLE)
@ensureDeferred
async def test_what_is_no_list_is_named(build, behaviour, why):
    """No content is missing: it is the list that is at fault, even where it is answered 404."""
    with Origin(behaviour) as lists, pytest.raises(MirrorListUnusable, match=why):
        await build(lists).downloaders(source())


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (serves(b"", status=b"503 Oops"), OriginFailing),
        (serves(b"", status=b"403 No"), OriginForbids),
        (serves(b"\n" * (MAX_LIST_BYTES + 1)), OriginNonsense),
    ],
    ids=["failing", "forbidden", "too-long"],
)
@ensureDeferred
async def test_list_that_cannot_be_had_is_the_error_that_it_is(build, behaviour, error):
    """As if it were content."""
    with Origin(behaviour) as lists, pytest.raises(error):
        await build(lists).downloaders(source())


@ensureDeferred
async def test_list_without_a_server_is_unreachable(build):
    """And told so once more without asking."""
    with Origin(names("http://one.example/")) as lists:
        importer = build(lists)
    for _ in range(2):
        with pytest.raises(OriginUnreachable):
            await importer.downloaders(source())


# -- what a mirror sees

CREDENTIALS = {
    "basic": {"username": "me", "password": SECRET},
    "bearer": {"bearer_token": SECRET},
    "field": {"secret_fields": {"X-Key": SECRET}},
    "cookie": {"secret_fields": {"Cookie": f"session={SECRET}"}},
    "authorization": {"secret_fields": {"Authorization": f"Custom {SECRET}"}},
}


BASIC = base64.b64encode(f"me:{SECRET}".encode())


def secrets_in(origin):
    """How many of its requests held the secret, in whatever way."""
    heads = [each.head for each in origin.conversations]
    return sum(SECRET.encode() in head or BASIC in head for head in heads)


@pytest.mark.parametrize("config", CREDENTIALS.values(), ids=CREDENTIALS)
@ensureDeferred
async def test_credentials_go_to_the_list_and_to_no_mirror(build, config):
    """Invariant 6: a list may name anybody."""
    with Origin(serves(CONTENT)) as mirror, Origin(names(mirror.url)) as lists:
        await fetched(build(lists, **config))
        seen = secrets_in(lists), secrets_in(mirror)
        asked = mirror.requests()

    assert (seen, asked) == ((1, 0), 1)


@pytest.mark.parametrize("config", CREDENTIALS.values(), ids=CREDENTIALS)
@ensureDeferred
async def test_credentials_go_to_a_mirror_that_the_operator_named(build, config):
    """By scheme, host and port: the mirror beside it at another address sees none."""
    with Origin(serves(CONTENT), address="0.0.0.0") as mirror:
        named, beside = mirror.url_at("127.0.0.2"), mirror.url_at("127.0.0.3")
        with Origin(names(named, beside)) as lists:
            importer = build(lists, credential_origins=[named.rstrip("/")], **config)
            for place in range(2):
                await fetched(importer, place=place)
        heads = [each.head for each in mirror.conversations]

    assert [True, False] == [b"Host: 127.0.0.2" in each for each in heads]
    assert [True, False] == [SECRET.encode() in each or BASIC in each for each in heads]


@ensureDeferred
async def test_plain_fields_and_the_user_agent_go_to_everybody(build):
    """They are no secrets."""
    with Origin(serves(CONTENT)) as mirror, Origin(names(mirror.url)) as lists:
        await fetched(build(lists, fields={"X-Plain": "shown"}, user_agent="test/1.0"))
        told = [
            (origin.conversations[0].field("X-Plain"), origin.conversations[0].field("User-Agent"))
            for origin in (lists, mirror)
        ]

    assert told == [(["shown"], ["test/1.0"])] * 2


@ensureDeferred
async def test_cookies_of_a_list_and_of_a_mirror_are_sent_to_nobody(build):
    """None is kept, not even for who has set it."""
    cookie = ("Set-Cookie: session=1; Path=/",)
    with Origin(serves(CONTENT, cookie)) as mirror:
        with Origin(serves(f"{mirror.url}\n".encode(), cookie)) as lists:
            importer = build(lists)
            await fetched(importer)
            await fetched(importer)
        sent = [each.field("Cookie") for each in mirror.conversations]

    assert sent == [[], []]


@ensureDeferred
async def test_mirror_that_wants_a_token_is_not_listened_to(build):
    """Its challenge would send the credentials wherever it says."""
    with (
        TokenService({"me": SECRET}) as tokens,
        Origin(tokens.guard(serves(CONTENT))) as mirror,
        Origin(names(mirror.url)) as lists,
    ):
        with pytest.raises(OriginForbids):
            await fetched(build(lists, username="me", password=SECRET))

        assert tokens.asked == []


@ensureDeferred
async def test_client_certificate_goes_to_the_list_and_to_named_mirrors_alone(build, tmp_path):
    """Each of them asks for one, and none insists."""
    authority, clients = Authority(), Authority()
    key, certificate = clients.issue("a client of a test")
    shown = []

    def notes(behaviour):
        def noting(talk):
            shown.append((talk.target.decode(), bool(talk.connection.getpeercert())))
            return behaviour(talk)

        return noting

    tls = authority.server_context(tmp_path, clients=clients, is_required=False)
    config = {"ca_cert": authority.pem, "client_cert": certificate, "client_key": key}
    with (
        Origin(notes(serves(CONTENT)), tls=tls) as stranger,
        Origin(notes(serves(CONTENT)), tls=tls) as named,
        Origin(notes(names(f"{stranger.url}stranger", f"{named.url}named")), tls=tls) as lists,
    ):
        importer = build(lists, credential_origins=[named.url.rstrip("/")], **config)
        for place in range(2):
            await fetched(importer, "f", place)

    assert shown == [("/list?repo=f", True), ("/stranger/f", False), ("/named/f", True)]


# -- where a mirror may be


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"])
@ensureDeferred
async def test_mirror_inside_the_network_is_not_asked(build, host):
    """A list may name anybody's machine, and the service stands within."""
    with (
        Origin(serves(CONTENT)) as mirror,
        Origin(names(f"http://{host}:{mirror.port}/")) as lists,
    ):
        importer = build(lists, allow_private_redirects=False)
        with pytest.raises(OriginUnreachable, match="not public"):
            await fetched(importer)

        assert mirror.requests() == 0


@ensureDeferred
async def test_mirror_inside_the_network_is_asked_where_that_is_allowed(build):
    """By the setting that allows redirects to lead there."""
    with Origin(serves(CONTENT)) as mirror, Origin(names(mirror.url)) as lists:
        assert await fetched(build(lists, allow_private_redirects=True)) == CONTENT


@ensureDeferred
async def test_mirror_inside_the_network_is_asked_where_it_is_named(build):
    """Who may see the credentials may be asked, too."""
    with Origin(serves(CONTENT)) as mirror, Origin(names(mirror.url)) as lists:
        named = [mirror.url.rstrip("/")]
        importer = build(lists, allow_private_redirects=False, credential_origins=named)

        assert await fetched(importer) == CONTENT


@ensureDeferred
async def test_origin_of_the_list_may_be_a_mirror_of_its_own(build):
    """It is the operator's."""
    answers = serves_by_target({"pub/a/f": serves(CONTENT)})
    with Origin(answers) as lists:
        lists.behaviour = serves_by_target(
            {"list?repo=f": names(f"{lists.url}pub/"), "pub/a/f": serves(CONTENT)}
        )

        assert await fetched(build(lists, allow_private_redirects=False)) == CONTENT


@ensureDeferred
async def test_mirror_that_redirects_inside_the_network_is_not_followed(build):
    """Where a mirror may be says nothing of where it leads; here the list is its origin's own."""
    with Origin(serves(CONTENT)) as inside, Origin(serves(b"")) as lists:
        moved = serves(b"", (f"Location: {inside.url}f",), b"302 Found")
        lists.behaviour = serves_by_target(
            {"list?repo=f": names(f"{lists.url}pub/"), "pub/a/f": moved}
        )
        importer = build(lists, allow_private_redirects=False)
        with pytest.raises(OriginUnreachable, match="not public"):
            await fetched(importer)

        assert inside.requests() == 0


@pytest.mark.parametrize("is_named", [False, True], ids=["own-origin", "named-origin"])
@ensureDeferred
async def test_mirror_that_redirects_to_who_sees_credentials_is_not_followed(build, is_named):
    """What is asked there with the operator's credentials is not a stranger's to say."""
    with Origin(serves(CONTENT)) as named, Origin(serves(b"")) as lists:
        trusted = named if is_named else lists
        moved = serves(b"", (f"Location: {trusted.url}private",), b"302 Found")
        with Origin(moved) as mirror:
            lists.behaviour = names(mirror.url)
            named_origins = [named.url.rstrip("/")]
            importer = build(
                lists, credential_origins=named_origins, username="me", password=SECRET
            )
            with pytest.raises(RedirectRefused, match="from a mirror to where credentials are"):
                await fetched(importer)

        assert (lists.requests(), named.requests()) == (1, 0)


@ensureDeferred
async def test_mirror_that_is_named_may_redirect_to_who_sees_credentials(build):
    """It is no stranger: the operator named it."""
    with Origin(serves(CONTENT)) as named, Origin(serves(CONTENT)) as lists:
        moved = serves(b"", (f"Location: {named.url}f",), b"302 Found")
        with Origin(moved) as mirror:
            lists.behaviour = names(mirror.url)
            trusted = [each.url.rstrip("/") for each in (named, mirror)]
            importer = build(lists, credential_origins=trusted, username="me", password=SECRET)

            assert await fetched(importer) == CONTENT
        assert secrets_in(named) == 1


# -- reading, cancelling, closing

LONG = serves(
    b"<metalink xmlns='urn:ietf:params:xml:ns:metalink'>" + b"<a/>" * 70_000 + b"</metalink>"
)
"""It takes long enough to be read that one can leave meanwhile."""


async def reading(reactor):
    """Wait until a list is being read."""
    while not threads():
        await deferLater(reactor, 0)


async def left(reactor, count):
    """What `count` counts when that is nothing, or when patience ends."""
    for _ in range(1000):
        if not count():
            break
        await deferLater(reactor, 0.01)
    return count()


@ensureDeferred
async def test_list_is_read_in_a_thread_that_ends_with_the_importer(build, reactor):
    """The longest takes a quarter of a second, for which all transfers would have to wait."""
    with Origin(names("http://one.example/")) as lists:
        importer = build(lists)
        await importer.downloaders(source())
        before = len(threads())
        await importer.close()

        assert (before, await left(reactor, threads)) == (1, [])


@ensureDeferred
async def test_leaving_while_a_list_is_read_leaves_nothing(build, reactor):
    """The thread comes to its end, and nobody hears of it."""
    with Origin(LONG) as lists:
        importer = build(lists)
        asked = Deferred.fromCoroutine(importer.downloaders(source()))
        await reading(reactor)
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        await importer.close()

        assert await left(reactor, threads) == []


@ensureDeferred
async def test_closing_while_a_list_is_fetched_leaves_nothing(build, reactor):
    """Nobody waits for it any more."""
    with Origin(never_answers) as lists:
        importer = build(lists)
        asked = Deferred.fromCoroutine(importer.downloaders(source()))
        while not lists.requests():
            await deferLater(reactor, 0.01)
        asked.cancel()
        with pytest.raises(CancelledError):
            await asked
        await importer.close()

        assert await left(reactor, lambda: lists.open_connections) == 0


# -- its config


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"url": "https://h/list#x"}, "url: must not have a query or a fragment"),
        ({"url": "https://h/list?a#x"}, "url: must have a query of visible ASCII"),
        ({"url": "https://h/list?a b"}, "url: must have a query of visible ASCII"),
        ({"url": "https://h/list?\u00e4"}, "url: must have a query of visible ASCII"),
        ({"url": "https://h/l?repo=f-$releasever"}, "url: must have its variables filled in"),
        ({"url": "https://h/${basearch}/l"}, "url: must have its variables filled in"),
        ({"url": "https://u:p@h/list?a"}, "url: must not hold credentials"),
        ({"url": "ftp://h/list"}, "url: must be an absolute http:// or https:// URL"),
        ({"url": "https://h/l", "refresh": "1s"}, "refresh: must be"),
        ({"url": "https://h/l", "refresh": "30d"}, "refresh: must be"),
        ({"url": "https://h/l", "list_file": "/repodata/x"}, "list_file: must be a path below"),
        ({"url": "https://h/l", "list_file": "../x"}, "list_file: must be a path below"),
    ],
)
def test_config_that_cannot_work_is_refused_by_key(config, sentence):
    """When it is stored."""
    with pytest.raises(ConfigurationError) as caught:
        TYPE.normalise(config)

    assert str(caught.value).startswith(sentence)


@pytest.mark.parametrize(
    "url",
    [
        "https://mirrors.example/metalink?repo=fedora-44&arch=x86_64",
        "http://mirrorlist.example/?release=9&arch=x86_64&repo=os",
        "http://mirrorlist.example?release=9",
        "https://mirrors.example/list?x=a%20b/c?d",
        "https://mirrors.example/list",
    ],
)
def test_url_of_a_list_is_kept_with_its_query(url):
    """Distributions say there which list is wanted."""
    assert TYPE.normalise({"url": url})["url"] == url


def test_weak_digests_are_warned_of():
    """A stranger's content would be believed by them."""
    warnings = TYPE.warnings({"url": "https://h/list", "allow_weak_digests": True})

    assert warnings == ["SHA-1 or MD5 alone may have to vouch for mirrors that nobody chose"]


SHOWN_QUERY = "url has a credential in its query, as a name there says: it is stored and shown"


@pytest.mark.parametrize(
    ("query", "is_named"),
    [
        pytest.param("repo=f&arch=x86_64", False, id="which-list"),
        pytest.param("repo=token", False, id="word-in-a-value"),
        pytest.param("repo=f&Access_Token=x", True, id="token"),
        pytest.param("api%5Fkey=x", True, id="encoded"),
        pytest.param("sessionid", True, id="without-a-value"),
    ],
)
def test_credential_in_the_query_of_the_list_is_named(query, is_named):
    """It is stored and shown in the clear, and the warning does not repeat it."""
    warnings = TYPE.warnings({"url": f"https://h/list?{query}"})

    assert warnings == [SHOWN_QUERY] * is_named
