"""Issue 5, line 2: an importer behind a SOCKS5 server, what clients get and who sees the password.

All of it is real: the command that stores the config, the service, microsocks and the origin.
"""

from __future__ import annotations

import random

import pytest
from certificates import Authority
from judging import RIGHT, honest, outcome_of
from origins import Origin, cuts, serves
from processes import get, sha256
from ranged_origins import in_turn, serves_ranges
from secrecy import SealingStreamer, Secrets, catalog_dump, heads
from socks_servers import Microsocks

CONTENT = random.Random(3).randbytes(3_000_000)
USER, PASSWORD = "a-user-of-it", "the-password-of-the-proxy"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service that has a key for secrets."""
    with SealingStreamer(tmp_path_factory.mktemp("service"), delivery__first_byte="4s") as streamer:
        yield streamer


@pytest.fixture
def server(tmp_path):
    """A SOCKS server with one user."""
    with Microsocks(tmp_path, USER, PASSWORD) as server:
        yield server


@pytest.fixture
def origin():
    with Origin(serves(CONTENT)) as origin:
        yield origin


def publish(service, name, origin, server, secrets, scheme="socks5h", **config):
    """Publish a file from an origin behind a server; give its URL."""
    config |= {"proxy_url": server.url(scheme), "proxy_username": USER}
    service.create_importer(name, origin.url, secrets, **config)
    service.publish_entries(name, name, {"file": CONTENT})
    return f"{service.url}{name}/file"


def test_content_comes_by_way_of_the_server(service, server, origin, tmp_path):
    """The password is sealed in the catalog, and nobody but the server is told it."""
    secrets = Secrets(tmp_path, USER, proxy_password=PASSWORD)
    url = publish(service, "through", origin, server, secrets)

    status, _, content = get(url)

    assert (status, sha256(content)) == (200, sha256(CONTENT))
    assert server.asked() == [f"127.0.0.1:{origin.port}"]
    places = {
        "log": service.log_text(),
        "catalog": catalog_dump(service),
        "origin": heads(origin),
        "server": server.log_text(),
    }
    assert secrets.seen_in(**places) == []


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_tls_with_the_origin_goes_through_the_server(service, server, tmp_path, scheme):
    """The certificate that counts is the origin's, and the server sees a host and a port."""
    authority = Authority()
    secrets = Secrets(tmp_path, USER, proxy_password=PASSWORD)
    with Origin(serves(CONTENT), tls=authority.server_context(tmp_path)) as origin:
        config = {"scheme": scheme, "ca_cert": authority.pem}
        url = publish(service, f"tls-{scheme}", origin, server, secrets, **config)

        outcome = outcome_of(url, CONTENT)

    assert outcome == RIGHT
    assert server.asked() == [f"127.0.0.1:{origin.port}"]


def test_content_that_breaks_off_goes_on_through_the_server(service, server, tmp_path):
    """The rest is asked for by its range, on another tunnel."""
    secrets = Secrets(tmp_path, USER, proxy_password=PASSWORD)
    behaviour = in_turn(cuts(CONTENT, 2_000_000), serves_ranges(CONTENT))
    with Origin(behaviour) as origin:
        url = publish(service, "cut", origin, server, secrets)

        outcome = outcome_of(url, CONTENT)

        asked = [each.field("Range") for each in origin.conversations]
    assert outcome == RIGHT
    assert asked == [[], ["bytes=2000000-2999999"]]
    assert len(server.asked()) == 2


def test_server_that_has_gone_is_an_honest_status(service, server, origin, tmp_path):
    """Nobody goes to the origin without it."""
    secrets = Secrets(tmp_path, USER, proxy_password=PASSWORD)
    url = publish(service, "gone", origin, server, secrets)
    server.stop()

    outcome = outcome_of(url, CONTENT)

    assert outcome == honest(502)
    assert origin.requests() == 0


def test_wrong_password_of_the_server_is_an_honest_status(service, server, origin, tmp_path):
    """The origin is not asked; the client and the log are told that it was the proxy."""
    secrets = Secrets(tmp_path, USER, proxy_password="not-the-password-of-it")
    url = publish(service, "wrong", origin, server, secrets)

    status, fields, content = get(url)

    (line,) = [each for each in service.transfers() if each["path"] == "/wrong/file"]
    assert status == 502
    assert origin.requests() == 0
    assert "the proxy on the way to the origin does not help" in fields["Proxy-Status"]
    assert "it wants credentials, or other ones" in line["reason"]
    said = {"log": service.log_text(), "fields": str(fields), "content": content}
    assert secrets.seen_in(**said) == []
