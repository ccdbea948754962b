"""Issue 2, line 1: a fresh clone, one command, and a real file comes through right."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from processes import get, run

CHECKOUT = Path(__file__).parents[2]
SETTING_UP_SECONDS = 600
"""`make run` takes under two minutes; a machine that is busy with tests gets more."""


class MakeRun:
    """`make run` in a clone: what it printed, and the processes that it started."""

    def __init__(self, clone):
        self.clone = clone
        self.output = clone.parent / "output"
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PULP_STREAM")
        }
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                ["make", "run"],
                cwd=clone,
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def wait_for_invitation(self):
        """The URL and the digest of the file that it tells to try."""
        deadline = time.monotonic() + SETTING_UP_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            said = self.output.read_text()
            found = re.search(r"curl -sS '(\S+)' \| sha256sum\s+([0-9a-f]{64})", said)
            if found:
                return found[1], found[2]
            time.sleep(0.2)
        raise AssertionError(self.output.read_text())

    def stop_origin(self):
        """End the separate process that serves the demo's files."""
        [pid] = [
            int(process.name)
            for process in Path("/proc").iterdir()
            if process.name.isdigit() and self._is_origin(process)
        ]
        os.kill(pid, signal.SIGKILL)

    def _is_origin(self, process):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            return b"http.server" in command and (process / "cwd").readlink() == self.clone
        return False

    def stop(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        return self.process.wait(60)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`make run` in a fresh clone of this checkout."""
    clone = tmp_path_factory.mktemp("fresh") / "clone"
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, clone], check=True)
    made = MakeRun(clone)
    yield made
    made.stop()


def test_make_run_serves_a_real_file_right(made):
    """curl gets the content that the manifest promises; HEAD agrees; 304 needs no origin."""
    url, digest = made.wait_for_invitation()

    fetched = run("bash", "-c", f"curl -sS -f '{url}' | sha256sum")
    of_get, of_head = [fields_of(run("curl", "-sS", "-f", *how, url)) for how in (GET, HEAD)]
    made.stop_origin()
    status, _, content = get(url, If_None_Match=f'"sha256:{digest}"')
    without_origin = get(url)[0]

    assert fetched.stdout.split()[0].decode() == digest
    assert of_head == of_get
    assert int(of_get["content-length"]) > 0
    assert (status, content) == (304, b"")
    assert without_origin == 502


GET = ("-D", "-", "-o", "/dev/null")
HEAD = ("-I",)
DIFFERING = {"date", "cache-status"}
"""The moment, and whether an origin was asked."""


def fields_of(done):
    """The fields of a response that curl printed, but for those that have to differ."""
    lines = [line.split(": ", 1) for line in done.stdout.decode().split("\r\n") if ": " in line]
    return {name.lower(): value for name, value in lines if name.lower() not in DIFFERING}


def test_admin_endpoint_of_the_demo_is_healthy(made):
    """The same command serves health and metrics beside content."""
    made.wait_for_invitation()

    with urllib.request.urlopen("http://127.0.0.1:8752/healthz", timeout=10) as response:
        assert response.read().startswith(b"ok\n")
