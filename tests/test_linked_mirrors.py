"""Importers that are allowed to heed what origins say of mirrors: whose word counts, and for what.

The origins are connections in memory, as in `test_http_downloads`; the mirrors have addresses that
are public, where a test is not about one that is not.
"""

from __future__ import annotations

import pytest
from memory_origins import BASE, ELSEWHERE, TYPE, Network, Running, build, source, surroundings
from twisted.internet.defer import Deferred

from streamer.errors import OriginLacksIt, OriginUnreachable, RedirectRefused
from streamer.importers.mirrors import MirrorsImporterType
from streamer.ranges import ByteRange

MIRROR = "http://93.184.215.20"
OTHER_MIRROR = "http://93.184.215.21"
PRIVATE = "http://10.0.0.1"
SECRET = "s3cret-pa55"
OK = ("HTTP/1.1 200 OK", "Content-Length: 0")


def link(url, *params):
    return "; ".join((f"Link: <{url}>", "rel=duplicate", *params))


class Mirrored(Network):
    """One importer that may learn, and what it asks."""

    def __init__(self, kind=TYPE, **config):
        super().__init__()
        stored = kind.normalise({"url": BASE, "allow_linked_mirrors": True} | config)
        self.importer = kind.build(stored, surroundings(self))

    def places(self, url="f"):
        """The downloaders for a source, which are there at once."""
        found = []
        Deferred.fromCoroutine(self.importer.downloaders(source(url))).addCallback(found.extend)
        return found

    def origins_of(self, url="f"):
        """Whom these ask, in order."""
        return [each.origin for each in self.places(url)]

    def open(self, url="f", place=0, span=None):
        return Running(self.places(url)[place].open(span))

    def answer(self, *lines, content=b""):
        """Let who was asked last answer, and its connection be free again."""
        self.origins[-1].send(*lines, content=content)
        self.turn()
        self.turn()

    def learn(self, *urls, **asked):
        """Ask for a source whose origin names these mirrors."""
        running = self.open(**asked)
        self.answer(*OK, *map(link, urls))
        return running


@pytest.fixture
def mirrored():
    return Mirrored()


OWN = "http://192.0.2.1:80"


# -- whose word counts


def test_origin_is_not_heeded_unless_that_is_allowed():
    """By default an importer has one place for each source, and asks for no others."""
    assert not hasattr(build(), "downloaders")


def test_source_has_its_own_place_until_its_origin_names_others(mirrored):
    """No list is waited for."""
    assert mirrored.origins_of() == [OWN]


def test_mirrors_follow_the_sources_own_place_by_priority(mirrored):
    """RFC 6249 3.1: a lower number is better."""
    mirrored.open()
    mirrored.answer(
        *OK, link(f"{MIRROR}/f", "pri=2"), link(f"{OTHER_MIRROR}/f", "pri=1"), link("ftp://h/f")
    )

    assert mirrored.origins_of() == [OWN, f"{OTHER_MIRROR}:80", f"{MIRROR}:80"]
    assert mirrored.origins_of("g") == [OWN]


def test_mirror_is_asked_for_the_url_of_the_link(mirrored):
    """Byte for byte, whatever the source is called."""
    mirrored.learn(f"{MIRROR}/pub/a%2Fb?c")

    mirrored.open(place=1)

    assert mirrored.origins[-1].host == "93.184.215.20"
    assert mirrored.origins[-1].request[0] == "GET /pub/a%2Fb?c HTTP/1.1"


def test_redirect_of_the_origin_is_heeded(mirrored):
    """MirrorBrain and mirrorbits name the others beside the one that they redirect to."""
    running = mirrored.open()
    mirrored.redirect(f"{ELSEWHERE}/f", link(f"{MIRROR}/f"))
    mirrored.answer(*OK)

    assert running.error is None
    assert mirrored.origins_of() == [OWN, f"{MIRROR}:80"]


def test_target_of_a_redirect_is_not_heeded(mirrored):
    """It is nobody whom the operator named."""
    mirrored.open()
    mirrored.redirect(f"{ELSEWHERE}/f")
    mirrored.answer(*OK, link(f"{MIRROR}/f"))

    assert mirrored.origins_of() == [OWN]


def test_redirect_within_the_origin_is_heeded_to_its_end(mirrored):
    """The last word of the same origin is about the same source."""
    mirrored.open()
    mirrored.redirect("/there", link(f"{MIRROR}/f"))
    mirrored.answer(*OK, link(f"{OTHER_MIRROR}/f"))

    assert mirrored.origins_of() == [OWN, f"{OTHER_MIRROR}:80"]


def test_stranger_that_redirects_back_puts_no_words_into_the_origins_mouth(mirrored):
    """It chose what the origin is asked for."""
    mirrored.open()
    mirrored.redirect(f"{ELSEWHERE}/f")
    mirrored.redirect(f"{BASE}/uploads/page")
    own = mirrored.origins[0]
    own.send(*OK, link(f"{MIRROR}/f"))

    assert own.requests[-1][0] == "GET /repo/uploads/page HTTP/1.1"
    assert mirrored.origins_of() == [OWN]


def test_mirror_is_not_heeded(mirrored):
    """Else one stranger would lead to the next; nor for an entry that names its URL itself."""
    mirrored.learn(f"{MIRROR}/f")
    mirrored.learn(f"{OTHER_MIRROR}/f", place=1)

    assert mirrored.origins_of() == [OWN, f"{MIRROR}:80"]
    assert mirrored.origins_of(f"{MIRROR}/f") == [f"{MIRROR}:80"]


def test_part_of_the_content_is_heeded(mirrored):
    """What goes on where content broke off, or is asked for in ranges alone, teaches too."""
    mirrored.open(span=ByteRange(1, 2))
    mirrored.answer(
        "HTTP/1.1 206 Partial Content",
        "Content-Length: 2",
        "Content-Range: bytes 1-2/5",
        link(f"{MIRROR}/f"),
        content=b"xx",
    )

    assert mirrored.origins_of() == [OWN, f"{MIRROR}:80"]


def test_error_of_the_origin_is_not_heeded(mirrored):
    """RFC 8288 3.2: what it links to is about the error."""
    running = mirrored.open()
    mirrored.answer("HTTP/1.1 404 Not Found", "Content-Length: 0", link(f"{MIRROR}/f"))

    assert isinstance(running.error, OriginLacksIt)
    assert mirrored.origins_of() == [OWN]


def test_origin_of_an_absolute_url_is_heeded(mirrored):
    """An operator wrote it into an entry; what it names belongs to that source."""
    url = f"{ELSEWHERE}/f"
    mirrored.learn(f"{MIRROR}/f", url=url)

    assert mirrored.origins_of(url) == [f"{ELSEWHERE}:80", f"{MIRROR}:80"]
    assert mirrored.origins_of() == [OWN]


def test_pass_through_is_not_heeded(mirrored):
    """Nobody knows a digest of what lies there, so nobody else may be asked for it."""
    Running(mirrored.importer.relayer("f").relay("GET", ()))
    mirrored.answer(*OK, link(f"{MIRROR}/f"))

    assert mirrored.origins_of() == [OWN]


def test_importers_do_not_tell_each_other():
    """What one tenant's origin says is no news for another's."""
    one, another = Mirrored(), Mirrored()

    one.learn(f"{MIRROR}/f")

    assert another.origins_of() == [OWN]


# -- what a mirror may do, and sees


def test_mirror_inside_the_network_is_not_connected_to(mirrored):
    """As a redirect to there is not followed."""
    mirrored.learn(f"{PRIVATE}/f")
    asked = len(mirrored.origins)

    running = mirrored.open(place=1)

    assert isinstance(running.error, OriginUnreachable)
    assert len(mirrored.origins) == asked


def test_mirror_inside_the_network_may_be_allowed():
    """By the setting that allows redirects to there."""
    mirrored = Mirrored(allow_private_redirects=True)
    mirrored.learn(f"{PRIVATE}/f")

    mirrored.open(place=1)

    assert mirrored.origins[-1].host == "10.0.0.1"


def test_credentials_stay_with_the_origin():
    """The mirror is told who asks, and nothing that proves it."""
    mirrored = Mirrored(username="me", password=SECRET, secret_fields={"X-Key": SECRET})
    mirrored.learn(f"{MIRROR}/f")

    mirrored.open(place=1)

    assert len(mirrored.origins[0].field("authorization")) == 1
    assert mirrored.origins[0].field("x-key") == [SECRET]
    assert mirrored.origins[1].field("authorization") == []
    assert mirrored.origins[1].field("x-key") == []
    assert mirrored.origins[1].field("via") == ["1.1 me"]


def test_mirror_that_the_operator_trusts_sees_credentials():
    """Named among `credential_origins`, it is no stranger."""
    mirrored = Mirrored(secret_fields={"X-Key": SECRET}, credential_origins=[MIRROR])
    mirrored.learn(f"{MIRROR}/f")

    mirrored.open(place=1)

    assert mirrored.origins[1].field("x-key") == [SECRET]


def test_mirror_that_redirects_back_to_the_origin_is_not_followed():
    """It would say what is asked there with the operator's credentials."""
    mirrored = Mirrored(username="me", password=SECRET)
    mirrored.learn(f"{MIRROR}/f")

    running = mirrored.open(place=1)
    mirrored.answer("HTTP/1.1 302 Found", f"Location: {BASE}/private", "Content-Length: 0")

    assert isinstance(running.error, RedirectRefused)
    assert [each.host for each in mirrored.origins] == ["192.0.2.1", "93.184.215.20"]


# -- type `mirrors`


@pytest.mark.parametrize(
    ("is_allowed", "named"),
    [
        pytest.param(True, [f"{MIRROR}:80"], id="allowed"),
        pytest.param(False, [], id="not-allowed"),
    ],
)
def test_source_with_a_place_of_its_own_has_the_mirrors_that_are_named_there(is_allowed, named):
    """What is on no list may have mirrors all the same, and waits for no list."""
    kind = MirrorsImporterType()
    mirrored = Mirrored(kind, url=f"{BASE}/list", allow_linked_mirrors=is_allowed)
    url = f"{ELSEWHERE}/f"

    mirrored.learn(f"{MIRROR}/f", url=url)

    assert mirrored.origins_of(url) == [f"{ELSEWHERE}:80", *named]
