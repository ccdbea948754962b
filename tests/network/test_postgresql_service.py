"""The service on a PostgreSQL catalog: the same commands, and a server that goes away."""

from __future__ import annotations

import random

import pytest
from catalog_servers import postgres_server
from origins import Origin, serves
from processes import Streamer, get

CONTENT = random.Random(5).randbytes(300_000)


@pytest.fixture
def server():
    with postgres_server() as server:
        yield server


@pytest.fixture
def service(server, tmp_path):
    """A service whose catalog is a fresh database, made by `catalog upgrade`."""
    streamer = Streamer(tmp_path, catalog_url=server.new_database())
    refused = streamer.admin("distribution", "list", check=False)
    streamer.admin("catalog", "upgrade")
    with streamer:
        yield streamer

    assert refused.returncode == 1
    assert "catalog upgrade" in refused.stderr


@pytest.fixture
def published(service):
    """The URL of published content, its origin running."""
    with Origin(serves(CONTENT)) as origin:
        service.publish("os", origin.url, {"file": CONTENT})
        yield f"{service.url}os/file"


def test_content_is_published_served_and_rolled_back(service, published):
    """Nothing a client or an operator does differs from SQLite."""
    served = get(published)[2]
    service.publish("os", "http://127.0.0.1:9/", {"other": b"x"}, options=["--no-grace"])
    replaced = get(published)[0]
    service.admin("distribution", "rollback", "os")

    assert served == CONTENT
    assert replaced == 404
    assert get(published, "HEAD")[0] == 200


def test_server_that_goes_away_is_503_and_comes_back(server, service, published):
    """While it is away clients are asked to come again; nothing has to be restarted."""
    server.stop()
    status, fields, _ = get(published)
    ready = get(f"{service.admin_url}readyz")[0]
    alive = get(f"{service.admin_url}healthz")[0]
    server.start()
    again = get(published)

    assert (status, ready, alive) == (503, 503, 200)
    assert int(fields["Retry-After"]) > 0
    assert (again[0], again[2]) == (200, CONTENT)
    assert service.tracebacks() == []


def test_service_starts_while_its_server_is_away(server, tmp_path):
    """The order in which machines boot does not matter."""
    streamer = Streamer(tmp_path, catalog_url=server.new_database())
    streamer.admin("catalog", "upgrade")
    server.stop()
    streamer.start(ready=False)
    away = get(f"{streamer.url}os/file")[0]
    server.start()
    back = get(f"{streamer.url}os/file")[0]
    streamer.stop()

    assert (away, back) == (503, 404)


def test_what_is_learned_ahead_is_known_to_the_running_service(service, published):
    """Both keep it in the catalog's database."""

    def explained():
        return service.admin("resolve", "os/file", "--explain").stdout

    before = explained()

    learned = service.admin("fetch", "--learn", "os")
    _, _, content = get(published, Range="bytes=100000-100999")

    assert "its pieces are not known" in before
    assert "learned 1 artifact of 293.0 KiB\n" == learned.stdout
    assert "its pieces are known: 5 leaves of 64.0 KiB" in explained()
    assert CONTENT[100000:101000] == content
    assert ["pieces"] == [line["verified"] for line in service.transfers(1)]
