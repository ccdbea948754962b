"""The real thing: a catalog, the admin command and `twistd pulp-streamer` as processes.

A `Streamer` owns a temporary folder, its catalog and its settings; it publishes in the test's
process through the same code as the command, and serves from another on free ports.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))
STARTING_SECONDS = 30


def sha256(content):
    return hashlib.sha256(content).hexdigest()


NOBODYS_PORT = 29_999
"""Below those that the system hands out: one that is free now may be another server's at once."""


def free_port():
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Streamer:
    """A service of its own: `start`, ask, `stop`; its log stays readable."""

    scripts = SCRIPTS
    """Whose commands it runs; those of another environment hold other importer types."""

    def __init__(self, folder, catalog_url=None, **settings):
        self.folder = Path(folder)
        self.catalog_url = catalog_url or f"sqlite:///{self.folder}/catalog.db"
        self.port = free_port()
        self.admin_port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        self.admin_url = f"http://127.0.0.1:{self.admin_port}/"
        self.log_file = self.folder / "service.log"
        self.process = None
        self.environment = self._settings(settings)

    def _settings(self, settings):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("PULP_STREAM")
        }
        chosen = {
            "catalog__url": self.catalog_url,
            "content__listen": f"tcp:{self.port}:interface=127.0.0.1",
            "admin__listen": f"tcp:{self.admin_port}:interface=127.0.0.1",
            "log__format": "json",
            **settings,
        }
        for key, value in chosen.items():
            environment[f"PULP_STREAMER__{key.upper()}"] = str(value)
        return environment

    # -- the admin command

    def admin(self, *arguments, check=True, stdin=None):
        """Run `pulp-streamer ARGUMENTS`; fails the test where the command fails."""
        done = subprocess.run(
            [self.scripts / "pulp-streamer", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.folder,
            input=stdin,
            timeout=600,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def publish(self, base_path, url, contents, importer=None, options=(), **config):
        """Publish `{path: content}` from an origin at `url`, sizes and digests as they are.

        A value may also be a dict, which is taken as the entry itself.
        """
        importer = importer or f"importer-of-{base_path.replace('/', '-')}"
        known = json.loads(self.admin("--json", "importer", "list").stdout)
        names = {
            each["name"] for each in (known["importers"] if isinstance(known, dict) else known)
        }
        sets = [word for key, value in config.items() for word in ("--set", f"{key}={value}")]
        if importer in names:
            self.admin("importer", "update", importer, "--url", url, *sets)
        else:
            self.admin("importer", "create", importer, "--type", "http", "--url", url, *sets)
        lines = "".join(f"{json.dumps(entry(path, each))}\n" for path, each in contents.items())
        command = ["publish", base_path, "--importer", importer, "--entries", "-", *options]
        return self.admin(*command, stdin=lines)

    # -- the service

    def start(self, ready=True):
        """Start the service and wait until it is ready, or, if told so, merely answers."""
        self.process = subprocess.Popen(
            [
                self.scripts / "twistd",
                "-n",
                "--pidfile=",
                "--logfile",
                self.log_file,
                "pulp-streamer",
            ],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + STARTING_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(self.process.stderr.read().decode() + self.log_text())
            with contextlib.suppress(OSError):
                page = "readyz" if ready else "healthz"
                urllib.request.urlopen(f"{self.admin_url}{page}", timeout=5).close()
                return self
            time.sleep(0.05)
        raise AssertionError(f"not ready within {STARTING_SECONDS} s\n{self.log_text()}")

    def stop(self, number=signal.SIGTERM):
        """Stop the service if it runs, and give its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(90)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()
        return self.process.returncode

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # -- what can be seen of it

    def log_text(self):
        return self.log_file.read_text() if self.log_file.exists() else ""

    def log(self):
        """Every line of the log, as JSON has it."""
        return [json.loads(line) for line in self.log_text().splitlines() if line]

    def transfers(self, count=None):
        """The lines of the transfer log; waits until there are `count`."""
        deadline = time.monotonic() + 20
        while True:
            found = [line for line in self.log() if "verdict" in line]
            if count is None or len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    def tracebacks(self):
        return [line for line in self.log() if "failure" in line]

    def metric(self, name, **labels):
        """The value of a sample on /metrics, or 0."""
        with urllib.request.urlopen(f"{self.admin_url}metrics", timeout=10) as response:
            text = response.read().decode()
        wanted = "".join(rf'(?=.*{key}="{value}")' for key, value in labels.items())
        found = re.search(rf"^{name}(?:{{{wanted}.*}})? (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_for_metric(self, name, value, seconds=20, **labels):
        """Wait until a sample has a value; give the value it has."""
        deadline = time.monotonic() + seconds
        while (found := self.metric(name, **labels)) != value and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def resident_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    def descriptors(self):
        """How many it holds, but for files in its folder.

        Each thread that looks things up keeps a connection to the catalog there, and how many
        threads there are depends on how look-ups happened to overlap so far.
        """
        return sum(not name.startswith(str(self.folder)) for name in self._open())

    def files(self):
        """How many descriptors it holds of files in its folder: its log, and its catalog's."""
        return sum(name.startswith(str(self.folder)) for name in self._open())

    def _open(self):
        names = (_leads_to(one) for one in Path(f"/proc/{self.process.pid}/fd").iterdir())
        return [name for name in names if name]


def _leads_to(descriptor):
    """What a descriptor leads to; empty once it is closed."""
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return ""


def entry(path, content):
    """One line of an entries file for content that its origin has under the same path."""
    if isinstance(content, dict):
        return {"path": path, **content}
    return {
        "path": path,
        "size": len(content),
        "digests": {"sha256": sha256(content)},
        "sources": [{"url": path}],
    }


def get(url, method="GET", **fields):
    """Ask with nothing added; gives status, fields (a case-blind mapping) and content."""
    request = urllib.request.Request(url, method=method)
    for name, value in fields.items():
        request.add_header(name.replace("_", "-"), value)
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class Clients:
    """Clients that fetch a URL over and over until the block ends.

    `outcomes` has the status and the SHA-256 of the content of every answer that any of them got.
    """

    def __init__(self, number, url, pause_seconds=0.0):
        self.outcomes = set()
        self._url = url
        self._pause_seconds = pause_seconds
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._fetch) for _ in range(number)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _fetch(self):
        while not self._stop.wait(self._pause_seconds):
            try:
                status, _, content = get(self._url)
            except (OSError, http.client.HTTPException) as error:
                self.outcomes.add((type(error).__name__, None))
            else:
                self.outcomes.add((status, sha256(content)))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def run(*command, timeout=120, cwd=None):
    """Run a client to its end, whatever its exit code."""
    return subprocess.run(
        list(map(str, command)), capture_output=True, timeout=timeout, cwd=cwd, check=False
    )


def raw_exchange(port, request, seconds=30):
    """Send bytes, read until the server closes; gives what came and whether the end was a reset."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(request)
        received = []
        try:
            while more := connection.recv(65536):
                received.append(more)
        except ConnectionResetError:
            return b"".join(received), True
        return b"".join(received), False


PYTHON = sys.executable
