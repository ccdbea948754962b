"""Issue 4, line 3: the servers that importers meet, and the route that is really taken.

An nginx with a private authority that wants client certificates, a tinyproxy and a squid that want
a password, a token service. What each was asked stands in its own log.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from certificates import Authority
from chains import authority
from faulty_origins import KIB
from judging import RIGHT, honest, outcome_of
from origins import Origin, serves
from processes import sha256
from real_servers import NginxOrigin, Squid, Tinyproxy
from secrecy import SealingStreamer, Secrets, heads
from token_service import NOBODY, SCOPE, SERVICE, TokenService

CONTENT = random.Random(43).randbytes(200 * KIB)
LIMITS = {"delivery__first_byte": "4s", "delivery__idle": "1s"}
PROXY_USER, PROXY_PASSWORD = "a-user-of-it", "the-password-of-the-proxy"
MANY = {f"file-{number}": CONTENT for number in range(20)}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service that has a key for secrets."""
    with SealingStreamer(tmp_path_factory.mktemp("service"), **LIMITS) as streamer:
        yield streamer


@pytest.fixture
def publish(service, request, tmp_path):
    """Make an importer of the test's own and publish from it; give the URL of what is published."""

    def publish(url, contents, secrets=None, **config):
        name = f"of-{sha256(request.node.nodeid.encode())[:12]}"
        service.create_importer(name, url, secrets or Secrets(tmp_path), **config)
        service.publish_entries(name, name, contents)
        return f"{service.url}{name}/"

    return publish


def fetch_all(url, contents):
    """What comes of all of some contents, asked for by several at once."""
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(outcome_of, f"{url}{path}", contents[path]) for path in contents]
        return {each.result() for each in asked}


# -- nginx, a private authority, client certificates


class Identities:
    """An authority for servers, one for clients, and a client that its deputy signed."""

    def __init__(self):
        self.server, self.clients = Authority(), authority("an authority for clients")
        deputy = self.clients.issue("its deputy", is_authority=True)
        client = deputy.issue("the importer")
        self.key, self.certificates = client.key_pem, client.pem + deputy.pem


@pytest.fixture(scope="module")
def identities():
    """The same for all tests."""
    return Identities()


@pytest.fixture(scope="module")
def nginx(identities, tmp_path_factory):
    """An nginx that wants a certificate of its clients."""
    folder = tmp_path_factory.mktemp("nginx")
    with NginxOrigin(folder, identities.server, identities.clients) as origin:
        for path in MANY:
            (origin.content / path).write_bytes(CONTENT)
        yield origin


def test_nginx_sees_the_certificate_of_the_importer(publish, nginx, identities, tmp_path):
    """Each request bears it with its chain, over connections that are used again."""
    before = len(nginx.asked())
    secrets = Secrets(tmp_path, client_key=identities.key)

    url = publish(
        *(nginx.origin_url, MANY, secrets),
        client_cert=identities.certificates,
        ca_cert=identities.server.pem,
    )
    outcomes = fetch_all(url, MANY)

    asked = nginx.asked()[before:]
    assert outcomes == {RIGHT}
    assert {each[0] for each in asked} == {f"/{path}" for path in MANY}
    assert {each[2:] for each in asked} == {("CN=the importer", "-", "200")}
    assert len({each[1] for each in asked}) < len(MANY)


def test_nginx_without_the_certificate_serves_nothing(publish, nginx, identities):
    """What it says to a stranger is an honest status."""
    url = publish(nginx.origin_url, {"file-0": CONTENT}, ca_cert=identities.server.pem)

    assert outcome_of(f"{url}file-0", CONTENT) == honest(502)


def test_nginx_of_an_unknown_authority_gets_no_request(publish, nginx, identities, tmp_path):
    """Nothing is asked of who cannot be trusted, and the certificate is not shown."""
    before = len(nginx.asked())
    secrets = Secrets(tmp_path, client_key=identities.key)

    url = publish(
        *(nginx.origin_url, {"file-0": CONTENT}, secrets),
        client_cert=identities.certificates,
        ca_cert=Authority().pem,
    )

    assert outcome_of(f"{url}file-0", CONTENT) == honest(502)
    assert nginx.asked()[before:] == []


# -- tinyproxy and squid


@pytest.fixture(params=["tinyproxy", "squid"])
def proxy(request, tmp_path):
    """A proxy of the test's own."""
    kinds = {"tinyproxy": partial(Tinyproxy, tmp_path), "squid": Squid}
    with kinds[request.param](PROXY_USER, PROXY_PASSWORD) as proxy:
        proxy.name = request.param
        yield proxy


def through(proxy, folder, password=PROXY_PASSWORD):
    """The secrets and the config of an importer that goes through a proxy."""
    secrets = Secrets(folder, PROXY_USER, proxy_password=password)
    return secrets, {"proxy_url": proxy.url, "proxy_username": PROXY_USER}


def test_http_origin_is_asked_through_the_proxy(publish, proxy, tmp_path):
    """The proxy was shown its password, which the origin is not told."""
    secrets, config = through(proxy, tmp_path)
    with Origin(serves(CONTENT)) as origin:
        url = publish(origin.url, MANY, secrets, **config)

        outcomes = fetch_all(url, MANY)

    assert outcomes == {RIGHT}
    assert set(proxy.asked()) == {("GET", f"{origin.url}{path}") for path in MANY}
    assert all(proxy.name in str(talk.field("Via")) for talk in origin.conversations)
    assert secrets.seen_in(origin=heads(origin), proxy=proxy.log_text()) == []


def test_https_origin_is_asked_through_tunnels_that_are_kept(
    publish, proxy, nginx, identities, tmp_path
):
    """The proxy sees only where to; the origin sees the certificate behind the tunnel."""
    before = len(nginx.asked())
    _, config = through(proxy, tmp_path)
    secrets = Secrets(
        tmp_path, PROXY_USER, proxy_password=PROXY_PASSWORD, client_key=identities.key
    )
    url = publish(
        *(nginx.origin_url, MANY, secrets),
        client_cert=identities.certificates,
        ca_cert=identities.server.pem,
        **config,
    )

    outcomes = {outcome_of(f"{url}{path}", CONTENT) for path in MANY}

    assert outcomes == {RIGHT}
    assert set(proxy.asked()) == {("CONNECT", f"127.0.0.1:{nginx.port}")}
    assert len(proxy.asked()) < len(MANY)
    assert {each[2:] for each in nginx.asked()[before:]} == {("CN=the importer", "-", "200")}
    assert secrets.seen_in(proxy=proxy.log_text()) == []


@pytest.mark.parametrize("proxy", ["tinyproxy"], indirect=True)
def test_host_of_no_proxy_is_asked_directly(publish, proxy, tmp_path):
    """The proxy hears nothing of it."""
    secrets, config = through(proxy, tmp_path)
    with Origin(serves(CONTENT)) as origin:
        url = publish(
            *(origin.url, {"file": CONTENT}, secrets),
            **{**config, "no_proxy": ["example.com", "127.0.0.0/8"]},
        )

        outcome = outcome_of(f"{url}file", CONTENT)

    assert outcome == RIGHT
    assert proxy.asked() == []
    assert origin.requests() == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_wrong_password_of_a_proxy_is_an_honest_status(
    scheme, publish, service, proxy, nginx, tmp_path
):
    """The origin is not asked; the log says that it was the proxy where a tunnel was refused."""
    before = len(nginx.asked())
    secrets, config = through(proxy, tmp_path, password="not-the-password-of-it")
    with Origin(serves(CONTENT)) as origin:
        asked = origin.url if scheme == "http" else nginx.origin_url
        url = publish(asked, {"file-0": CONTENT}, secrets, **config)

        outcome = outcome_of(f"{url}file-0", CONTENT)

    path = "/" + f"{url}file-0".split("/", 3)[3]
    (line,) = [each for each in service.transfers() if each["path"] == path]
    assert outcome == honest(502)
    assert origin.requests() == 0
    assert nginx.asked()[before:] == []
    assert scheme == "http" or "proxy" in line["reason"]
    assert secrets.seen_in(log=service.log_text(), proxy=proxy.log_text()) == []


# -- a token service


@pytest.fixture
def tokens():
    """A token service with one user."""
    with TokenService({"me": TOKEN_PASSWORD}) as tokens:
        yield tokens


TOKEN_PASSWORD = "the-password-for-tokens"


def credentials(folder):
    """The password that the token service knows."""
    return Secrets(folder, "me", password=TOKEN_PASSWORD)


def test_many_who_want_a_token_ask_for_one(publish, tokens, tmp_path):
    """It is asked for once, by the user of the importer, and used again until it is refused."""
    with Origin(tokens.guard(serves(CONTENT))) as origin:
        url = publish(
            *(origin.url, MANY, credentials(tmp_path)),
            username="me",
            credential_origins=[tokens.url],
        )

        outcomes = fetch_all(url, MANY)
        asked = list(tokens.asked)
        again = fetch_all(url, MANY)
        asked_again = len(tokens.asked) - len(asked)

    assert outcomes == again == {RIGHT}
    assert asked == [("me", {"service": [SERVICE], "scope": [SCOPE]})]
    assert asked_again == 0


def test_token_that_is_not_taken_any_more_is_replaced_once(publish, tokens, tmp_path):
    """No client notices."""
    with Origin(tokens.guard(serves(CONTENT))) as origin:
        url = publish(
            *(origin.url, MANY, credentials(tmp_path)),
            username="me",
            credential_origins=[tokens.url],
        )
        fetch_all(url, MANY)
        tokens.forget()

        outcomes = fetch_all(url, MANY)

    assert outcomes == {RIGHT}
    assert [user for user, _ in tokens.asked] == ["me", "me"]


def test_token_service_that_was_not_named_is_asked_without_credentials(publish, tokens, tmp_path):
    """Who may see the password is what the importer says, not what an origin says."""
    secrets = credentials(tmp_path)
    with Origin(tokens.guard(serves(CONTENT))) as origin:
        url = publish(
            *(origin.url, {"file": CONTENT}, secrets),
            username="me",
            allow_private_redirects=True,
        )

        outcome = outcome_of(f"{url}file", CONTENT)

    assert outcome == RIGHT
    assert [user for user, _ in tokens.asked] == [NOBODY]
    assert secrets.seen_in(token_service=heads(tokens)) == []


def test_token_that_is_refused_is_an_honest_status(publish, service, tokens, tmp_path):
    """And it is not asked for over and over with a password that is wrong."""
    secrets = Secrets(tmp_path, "me", password="not-the-password-of-anybody")
    with Origin(tokens.guard(serves(CONTENT))) as origin:
        url = publish(
            *(origin.url, {"file": CONTENT}, secrets),
            username="me",
            credential_origins=[tokens.url],
        )

        outcome = outcome_of(f"{url}file", CONTENT)

    assert outcome == honest(502)
    assert tokens.asked == []
    assert tokens.refusals == 1
    assert secrets.seen_in(log=service.log_text()) == []
