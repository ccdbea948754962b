"""A PostgreSQL server for one test session: a fresh cluster in a temporary folder, then ended.

It listens on a UNIX socket in that folder and on no port, so sessions never meet. PostgreSQL
refuses to run as root: there it runs as the user `postgres`, which its package creates.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import quote

_BINARIES = "/usr/lib/postgresql"

# Durability is nothing to a cluster that lives for a minute.
_OPTIONS = (
    "-c listen_addresses='' -c fsync=off -c synchronous_commit=off -c full_page_writes=off "
    "-c max_connections=60"
)


class PostgresServer:
    """A running cluster that gives every caller an empty database of its own."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self._folder = folder
        self._binaries = binaries
        self._numbers = count(1)

    def new_database(self) -> str:
        """Create an empty database and return its URL.

        Its collation is the system's, not C, so that nothing passes by the luck of a setting.
        """
        name = f"catalog_{next(self._numbers)}"
        self._run("createdb", "-h", str(self._folder), "-U", "tester", name)
        return f"postgresql://tester@/{name}?host={quote(str(self._folder))}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        log = self._folder / "log"
        options = f"{_OPTIONS} -c unix_socket_directories={self._folder}"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "-o", options, "start")

    def stop(self) -> None:
        """Stop the server; connections break."""
        self._run("pg_ctl", "-D", str(self._data), "-w", "-m", "fast", "stop")

    def create(self) -> None:
        """Create the cluster."""
        self._run(
            *("initdb", "-D", str(self._data), "-U", "tester", "-A", "trust", "-E", "UTF8"),
            *("--locale-provider=icu", "--icu-locale=en", "--no-sync"),
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._binaries / program), *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        finished = subprocess.run(
            command,
            cwd=self._folder,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if finished.returncode:
            raise RuntimeError(f"{program} failed: {finished.stderr}")


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A cluster that runs for as long as the block does."""
    folder = Path(tempfile.mkdtemp(prefix="pulp-streamer-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        server = PostgresServer(folder, _newest_binaries())
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _newest_binaries() -> Path:
    found = sorted(Path(_BINARIES).glob("*/bin"), key=lambda path: int(path.parent.name))
    if not found:
        raise RuntimeError(f"PostgreSQL is not installed below {_BINARIES}")
    return found[-1]
