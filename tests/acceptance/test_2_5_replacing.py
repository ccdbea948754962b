"""Issue 2, line 5: replacing a publication under load; grace, withdrawal, rollback."""

from __future__ import annotations

import random
import time

import pytest
from origins import Origin, serves
from processes import Clients, Streamer, get, sha256

OLD, NEW, SAME = (random.Random(seed).randbytes(300_000) for seed in (1, 2, 3))
FILES = {"old.rpm": OLD, "new.rpm": NEW, "same.rpm": SAME}


def behaviour(conversation):
    """Each file under its own name."""
    name = conversation.target.rsplit(b"/", 1)[-1].decode()
    return serves(FILES[name])(conversation)


@pytest.fixture(scope="module")
def origin():
    """An origin that has the files of both publications."""
    with Origin(behaviour) as origin:
        yield origin


@pytest.fixture
def service(origin, tmp_path):
    """A service with a first publication, replaced by a second."""
    with Streamer(tmp_path) as streamer:
        streamer.publish("os", origin.url, {"old.rpm": OLD, "same.rpm": SAME})
        yield streamer


def test_replacing_under_load_disturbs_nobody(service, origin):
    """Clients of a file that stays see 200 and the right bytes throughout."""
    with Clients(4, f"{service.url}os/same.rpm") as clients:
        for _ in range(5):
            service.publish("os", origin.url, {"new.rpm": NEW, "same.rpm": SAME})

    assert clients.outcomes == {(200, sha256(SAME))}


def test_client_with_old_metadata_gets_its_file_for_the_grace(service, origin):
    """A file of the superseded publication answers, and may be cached no longer than the grace."""
    service.publish("os", origin.url, {"new.rpm": NEW, "same.rpm": SAME})

    status, fields, content = get(f"{service.url}os/old.rpm")

    assert (status, content) == (200, OLD)
    assert 0 < int(fields["Cache-Control"].split("max-age=")[1].split(",")[0]) <= 3600


def test_grace_ends(origin, tmp_path):
    """After `catalog.grace` a file of the superseded publication is gone."""
    with Streamer(tmp_path, catalog__grace="2s") as service:
        service.publish("os", origin.url, {"old.rpm": OLD})
        service.publish("os", origin.url, {"new.rpm": NEW})
        during = get(f"{service.url}os/old.rpm")[0]
        time.sleep(2.5)
        after = get(f"{service.url}os/old.rpm")[0]

    assert (during, after) == (200, 404)


def test_publishing_without_grace_ends_the_old_at_once(service, origin):
    """`publish --no-grace` leaves nothing of the publication it supersedes."""
    service.publish("os", origin.url, {"new.rpm": NEW}, options=["--no-grace"])

    assert get(f"{service.url}os/old.rpm")[0] == 404


@pytest.mark.parametrize("what", ["os/old.rpm", f"sha256:{sha256(OLD)}"], ids=["path", "digest"])
def test_withdrawal_ends_the_grace_at_once(what, service, origin):
    """What is withdrawn is gone everywhere, and nothing else is."""
    service.publish("os", origin.url, {"new.rpm": NEW, "same.rpm": SAME})

    service.admin("withdraw", what)

    assert get(f"{service.url}os/old.rpm")[0] == 404
    assert get(f"{service.url}os/same.rpm")[0] == 200


def test_withdrawal_can_be_undone(service):
    """`withdraw --undo` is the way back."""
    service.admin("withdraw", "os/old.rpm")

    service.admin("withdraw", "--undo", "os/old.rpm")

    assert get(f"{service.url}os/old.rpm")[0] == 200


def test_rollback_returns_to_the_publication_before(service, origin):
    """After a rollback the distribution lists and serves the former publication."""
    service.publish("os", origin.url, {"new.rpm": NEW}, options=["--no-grace"])

    service.admin("distribution", "rollback", "os")

    assert get(f"{service.url}os/old.rpm")[2] == OLD
    assert b"new.rpm" not in get(f"{service.url}os/")[2]
