"""`twistd pulp-streamer` and the key of its importers' secrets: at the start, and while it runs."""

from __future__ import annotations

import base64
import subprocess

import pytest
from origins import Origin, serves
from processes import SCRIPTS, get
from secrecy import SealingStreamer

CONTENT = b"content"
PASSWORD = "hunter2-correct-horse"
AUTHORIZATION = b"Basic " + base64.b64encode(b"u:" + PASSWORD.encode())


@pytest.fixture
def origin():
    with Origin(serves(CONTENT)) as origin:
        yield origin


@pytest.fixture
def service(tmp_path, origin):
    """A service that does not run yet, with an importer that has a password."""
    service = SealingStreamer(tmp_path)
    service.publish("os", origin.url, {"file": CONTENT}, username="u", password=PASSWORD)
    yield service
    service.stop()


def start_refused(service):
    """Start a service that is expected to end by itself; gives its exit code and its stderr."""
    done = subprocess.run(
        [SCRIPTS / "twistd", "-n", "--pidfile=", "pulp-streamer"],
        cwd=service.folder,
        env=service.environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.unlink(), "is not there: put it back"),
        (lambda file: file.chmod(0o644), "run `chmod 600"),
        (lambda file: file.write_text("A" * 43 + "="), "no key of"),
    ],
    ids=["missing", "open to others", "another one"],
)
def test_service_that_needs_its_key_does_not_start_without(service, change, said):
    """One line names the importer and says what to do."""
    change(service.folder / "keys")

    code, stderr = start_refused(service)

    assert (1, 1) == (code, len(stderr.splitlines()))
    assert "pulp-streamer: importer 'importer-of-os': " in stderr
    assert said in stderr


def test_service_without_secrets_starts_without_its_key(service, origin):
    """A key that nothing needs may be away."""
    service.admin("importer", "update", "importer-of-os", "--unset", "password")
    (service.folder / "keys").unlink()

    with service:
        assert 200 == get(f"{service.url}os/file")[0]


def test_running_service_opens_secrets_that_were_sealed_with_a_newer_key(service, origin):
    """A rotation needs no restart, and shows nothing of keys and secrets."""
    with service:
        service.admin("secrets", "rotate")
        service.admin("secrets", "rotate", "--drop-old")

        status, _, content = get(f"{service.url}os/file")

        health = get(f"{service.admin_url}healthz")[2]
    shown = health.decode() + service.log_text()
    assert (200, CONTENT) == (status, content)
    assert AUTHORIZATION in b"".join(one.head for one in origin.conversations)
    assert PASSWORD not in shown


def test_importer_whose_key_went_works_again_when_it_is_back(service, origin):
    """Until then it is broken, which health says; the service runs on."""
    with service:
        key_file = service.folder / "keys"
        key_file.rename(service.folder / "away")
        broken = get(f"{service.url}os/file")[0]
        health = get(f"{service.admin_url}healthz")[2].decode()

        (service.folder / "away").rename(key_file)

        assert (500, 200) == (broken, get(f"{service.url}os/file")[0])
        assert "is not there: put it back" in health
