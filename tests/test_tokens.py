"""The token dance: a challenge, a token service, a bearer token; shared, bounded, for nobody else.

The origin and the service are connections in memory. The service is another origin, at a public
address, and trusted only where `credential_origins` says so.
"""

from __future__ import annotations

import json

import pytest
from memory_origins import ELSEWHERE, Opening
from twisted.internet.defer import CancelledError

from streamer.downloaders.challenges import Challenge, read_challenge
from streamer.downloaders.credentials import basic
from streamer.downloaders.redirects import MAX_CHARACTERS
from streamer.downloaders.tokens import MAX_ANSWER_BYTES, MAX_FETCH_SECONDS
from streamer.errors import (
    OriginForbids,
    OriginUnreachable,
    TokenRefused,
)
from streamer.model import OriginResponse

SECRET = "s3cret-pa55"
CHALLENGE = (
    f'WWW-Authenticate: Bearer realm="{ELSEWHERE}/token?a=b",'
    'service="the registry",scope="repository:x:pull"'
)
ASKED = "/token?a=b&service=the+registry&scope=repository%3Ax%3Apull"
USER = {"username": "me", "password": SECRET}
OK = ("HTTP/1.1 200 OK", "Content-Length: 0")


class Dance(Opening):
    """A download whose origin is at connection 0, and the token service after it."""

    def challenge(self, *lines, number=0):
        answer = lines or (CHALLENGE,)
        self.origins[number].send("HTTP/1.1 401 Unauthorized", "Content-Length: 0", *answer)
        self.turn()

    def give(self, value="t1", number=-1, **fields):
        content = json.dumps({"token": value, **fields}).encode()
        self.say(content, number=number)

    def say(self, content, status="200 OK", number=-1):
        self.origins[number].send(
            f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", content=content
        )
        self.turn()

    def accept(self, number=0):
        self.origins[number].send(*OK)
        self.turn()


def test_challenge_is_answered_with_a_token():
    """RFC 6750 2.1 and 3: the service is asked for what the challenge names."""
    dance = Dance()

    dance.challenge()
    (line, _) = dance.origins[1].request
    dance.give()
    dance.accept()

    assert line == f"GET {ASKED} HTTP/1.1"
    assert dance.origins[0].field("authorization") == ["Bearer t1"]
    assert dance.download.response.status == 200
    assert len(dance.origins) == 2


def test_range_is_asked_for_again_with_the_token():
    """The second request is the first one and a token."""
    dance = Dance(**USER)

    dance.challenge()
    dance.give()

    lines = [line for line, _ in dance.origins[0].requests]
    assert lines == ["GET /repo/f HTTP/1.1"] * 2
    assert dance.origins[0].field("authorization") == ["Bearer t1"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        pytest.param({}, [], id="other-origin"),
        pytest.param({"credential_origins": ELSEWHERE}, [basic("me", SECRET)], id="trusted"),
    ],
)
def test_credentials_go_to_a_token_service_that_is_trusted(config, expected):
    """The realm is a URL that an origin named."""
    dance = Dance(**USER, **config, secret_fields={"X-Token": SECRET})

    dance.challenge()

    assert dance.origins[1].field("authorization") == expected
    assert len(dance.origins[1].field("x-token")) == len(expected)


def test_token_of_the_neighbour_is_sent_at_once():
    """One challenge is enough for a folder."""
    dance = Dance()
    dance.challenge()
    dance.give()
    dance.accept()
    dance.download.stop()
    dance.turn()

    dance.open("g")

    assert dance.origins[0].requests[-1][0] == "GET /repo/g HTTP/1.1"
    assert dance.origins[0].field("authorization") == ["Bearer t1"]


def test_token_that_has_expired_is_fetched_before_it_is_refused():
    """`expires_in`, with some of it left: clocks differ."""
    dance = Dance()
    dance.challenge()
    dance.give(expires_in=100)
    dance.accept()
    dance.download.stop()
    dance.reactor.advance(91)

    dance.open("g")
    dance.give("t2")

    assert dance.origins[-1].field("authorization") == ["Bearer t2"]
    assert sum("/token" in line for o in dance.origins for line, _ in o.requests) == 2


def test_token_that_is_not_taken_any_more_is_replaced_once():
    """It may have been revoked; a new one that is refused as well is an answer."""
    dance = Dance()
    dance.challenge()
    dance.give()
    dance.accept()
    dance.download.stop()
    dance.turn()

    second = dance.open("g")
    dance.challenge()
    dance.give("t2")
    dance.challenge()

    assert dance.origins[0].field("authorization") == ["Bearer t2"]
    assert isinstance(second.error, OriginForbids)


def test_new_token_that_is_refused_is_an_answer():
    """Nobody asks for a third time."""
    dance = Dance()

    dance.challenge()
    dance.give()
    dance.challenge()

    assert isinstance(dance.error, OriginForbids)
    assert len(dance.origins[0].requests) == 2


def test_many_who_want_a_token_share_one_fetch():
    """Single flight: one waits with another, and both go on."""
    dance = Dance()
    other = dance.open("g")
    dance.challenge(number=0)
    dance.challenge(number=1)

    assert len(dance.origins) == 3
    dance.give()

    assert [dance.origins[n].field("authorization") for n in (0, 1)] == [["Bearer t1"]] * 2
    assert other.results == []


def test_waiter_that_leaves_does_not_cancel_the_fetch_of_the_others():
    """Whose client left first, by chance, began it."""
    dance = Dance()
    dance.open("g")
    dance.challenge(number=0)
    dance.challenge(number=1)

    dance.running.cancel()
    dance.give()

    shown = [origin.field("authorization") for origin in dance.origins[:2]]
    assert isinstance(dance.error, CancelledError)
    assert ["Bearer t1"] in shown


def test_last_waiter_that_leaves_cancels_the_fetch():
    """Nothing goes on for nobody, and the next one begins anew."""
    dance = Dance()
    other = dance.open("g")
    dance.challenge(number=0)
    dance.challenge(number=1)

    dance.running.cancel()
    other.running.cancel()
    dance.open("h")
    dance.challenge(number=0)

    assert isinstance(other.error, CancelledError)
    assert dance.origins[2].transport.disconnected
    assert dance.origins[3].request[0] == f"GET {ASKED} HTTP/1.1"


def test_waiter_that_is_told_may_make_another_one_leave():
    """One exchange that ends may end others; who has left is told nothing."""
    dance = Dance()
    other = dance.open("g")
    dance.challenge(number=0)
    dance.challenge(number=1)
    dance.running.addBoth(lambda _: other.running.cancel())

    dance.say(b"no token")

    assert isinstance(dance.error, TokenRefused)
    assert isinstance(other.error, CancelledError)


def test_service_that_says_nothing_is_given_up_though_somebody_always_waits():
    """The last one to leave would end the fetch, and there is no last one; then it begins anew."""
    dance = Dance()
    dance.challenge()

    waiting = dance
    for number in range(MAX_FETCH_SECONDS):
        last, waiting = waiting, dance.open(f"{number}")
        dance.challenge()
        last.running.cancel()
        assert not dance.origins[1].transport.disconnected
        dance.reactor.advance(1)

    assert dance.origins[1].transport.disconnected
    assert isinstance(waiting.error, TokenRefused)


def test_service_that_is_gone_is_forgotten():
    """The origin may name another one by now: the next download asks it."""
    dance = Dance(keep_alive=3600)
    dance.challenge()
    dance.give(expires_in=100)
    dance.accept()
    dance.download.stop()
    dance.reactor.advance(91)

    second = dance.open("g")
    dance.say(b"", "410 Gone")
    dance.challenge(f'WWW-Authenticate: Bearer realm="{ELSEWHERE}/new"')
    dance.give("t2")

    assert dance.origins[0].field("authorization") == ["Bearer t2"]
    assert second.results == []


def test_challenge_that_was_never_met_is_not_what_the_neighbours_want():
    """A service that gives no token is asked where a challenge names it, and not before."""
    dance = Dance()
    dance.challenge()
    dance.say(b"", "503 Busy")

    dance.open("g")

    assert dance.origins[0].requests[-1][0] == "GET /repo/g HTTP/1.1"
    assert dance.origins[0].field("authorization") == []


def test_new_token_of_the_neighbours_is_not_all_there_is():
    """An origin that wants different tokens in one folder says so, and gets the other one."""
    dance = Dance(keep_alive=3600)
    dance.challenge()
    dance.give(expires_in=100)
    dance.accept()
    dance.download.stop()
    dance.reactor.advance(91)

    second = dance.open("g")
    dance.give("t2")
    dance.challenge(f'WWW-Authenticate: Bearer realm="{ELSEWHERE}/other"')
    dance.give("t3")

    assert dance.origins[0].field("authorization") == ["Bearer t3"]
    assert second.results == []


def test_token_does_not_go_on_with_a_redirect():
    """It is a credential like any other (invariant 6)."""
    dance = Dance()
    dance.challenge()
    dance.give()

    dance.redirect(f"{ELSEWHERE}/blob", number=0)

    assert dance.origins[-1].requests[-1][0] == "GET /blob HTTP/1.1"
    assert dance.origins[-1].field("authorization") == []


@pytest.mark.parametrize(
    "config",
    [
        pytest.param({"bearer_token": SECRET}, id="bearer-token"),
        pytest.param({"secret_fields": {"Authorization": SECRET}}, id="a-field"),
    ],
)
def test_token_of_the_operators_own_is_not_taken_to_a_service(config):
    """What to show was said; 401 is the answer."""
    dance = Dance(**config)

    dance.challenge()

    assert isinstance(dance.error, OriginForbids)
    assert len(dance.origins) == 1


def test_challenge_of_another_origin_is_not_heard():
    """An absolute URL of an entry, elsewhere: no token is fetched for it."""
    dance = Dance("http://192.0.2.2/f", **USER)

    dance.challenge()

    assert isinstance(dance.error, OriginForbids)
    assert len(dance.origins) == 1


@pytest.mark.parametrize(
    "challenge",
    [
        pytest.param('WWW-Authenticate: Basic realm="x"', id="rfc7617-2-basic"),
        pytest.param("WWW-Authenticate: Bearer", id="no-realm"),
        pytest.param("X: y", id="none"),
    ],
)
def test_challenge_that_no_token_answers_is_a_refusal(challenge):
    """Basic credentials are sent up front, where there are some."""
    dance = Dance(**USER)

    dance.challenge(challenge)

    assert isinstance(dance.error, OriginForbids)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"no json", "not JSON", id="not-json"),
        pytest.param(b"[" * 60000, "not JSON", id="deep"),
        pytest.param(b"[]", "no token", id="no-object"),
        pytest.param(b"{}", "no token", id="no-token"),
        pytest.param(b'{"token": 5}', "can be sent", id="no-text"),
        pytest.param(b'{"token": "a b"}', "can be sent", id="space"),
        pytest.param(b'{"token": "a\\r\\nX: y"}', "can be sent", id="crlf"),
        pytest.param(b'{"token": "%s"}' % (b"a" * 20000), "too long", id="long-token"),
        pytest.param(b" " * (MAX_ANSWER_BYTES + 1), "too long", id="long-answer"),
    ],
)
def test_answer_that_holds_no_token_is_a_failure(content, why):
    """With a reason, and nothing of the answer."""
    dance = Dance()
    dance.challenge()

    dance.say(content)

    assert isinstance(dance.error, TokenRefused)
    assert why in str(dance.error)
    assert "X: y" not in str(dance.error)


@pytest.mark.parametrize("status", ["401 Unauthorized", "302 Found", "503 Busy"])
def test_service_that_refuses_is_a_failure(status):
    """The status is said; a redirect of a service is not followed."""
    dance = Dance()
    dance.challenge()

    dance.say(b"", status)

    assert isinstance(dance.error, TokenRefused)
    assert status[:3] in str(dance.error)


def test_service_that_is_not_there_is_a_failure_of_the_service():
    """And not the origin's; the sentence has no URL."""
    dance = Dance()
    dance.challenge()

    dance.origins[1].close()

    assert isinstance(dance.error, TokenRefused)
    assert ELSEWHERE not in str(dance.error)
    assert "the origin closed" not in str(dance.error)


@pytest.mark.parametrize(
    "realm",
    [
        pytest.param("http://192.0.2.9/token", id="private"),
        pytest.param("http://127.0.0.1/token", id="loopback"),
    ],
)
def test_service_at_an_address_that_is_not_public_is_not_asked(realm):
    """A realm is learned: the address rule holds for it."""
    dance = Dance()

    dance.challenge(f'WWW-Authenticate: Bearer realm="{realm}"')

    assert isinstance(dance.error, TokenRefused)
    assert isinstance(dance.error.__cause__, OriginUnreachable)
    assert len(dance.origins) == 1


@pytest.mark.parametrize(
    "value",
    [
        'Bearer realm="http://h/t"',
        "bEARER  realm=http://h/t",
        'Basic realm="x", Bearer realm="http://h/t"',
        'Bearer realm="http://h/t", Basic realm="x"',
    ],
)
def test_challenge_is_found_however_it_is_written(value):
    """RFC 9110 11.3: schemes have no case, and several may share a line."""
    response = OriginResponse(0, (("www-authenticate", value),), status=401)

    assert read_challenge("http://o/f", response) == Challenge("http://h/t", None, None)


@pytest.mark.parametrize(
    ("url", "realm"),
    [
        pytest.param("https://o/f", "http://h/t", id="downgrade"),
        pytest.param("http://o/f", "/t", id="relative"),
        pytest.param("http://o/f", "ftp://h/t", id="scheme"),
        pytest.param("http://o/f", f"http://me:{SECRET}@h/t", id="credentials"),
    ],
)
def test_realm_that_is_not_to_be_asked_is_refused(url, realm):
    """The rules of redirects hold for it."""
    field = ("WWW-Authenticate", f'Bearer realm="{realm}"')

    with pytest.raises(TokenRefused) as caught:
        read_challenge(url, OriginResponse(0, (field,), status=401))

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["realm", "service", "scope"])
def test_challenge_that_makes_a_long_url_is_refused(name):
    """What a service is asked is as long as any other URL at the most."""
    said = {"realm": "http://h/", "service": "", "scope": ""}
    said[name] += "a" * MAX_CHARACTERS
    value = "Bearer " + ",".join(f'{key}="{text}"' for key, text in said.items())

    with pytest.raises(TokenRefused):
        read_challenge("http://o/f", OriginResponse(0, (("WWW-Authenticate", value),), status=401))
