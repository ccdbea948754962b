"""What a transfer costs whose pieces are known, beside a first pass and one that learns nothing.

    python bench/pieces.py                      three rounds of 1 GiB; needs nginx and curl
    python bench/pieces.py --mebibytes 256 --rounds 5

Services are asked in turns for the same content of one nginx: one that does not learn; one that
does, which is asked twice (the first pass, and then the learned one); and one that knows what that
one learned and has `pieces.also_digest`. What counts is the time that all threads of a service
spent on the processor, in user and system mode, and the ratios are taken within each round. Each
round has content of its own, and needs that much room on the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MEBIBYTE = 1024 * 1024
TICKS = os.sysconf("SC_CLK_TCK")
SCRIPTS = Path(sys.executable).parent
STATES = ("digest alone", "first pass", "learned", "learned, digest too")

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; root {folder}/content; }}
}}
"""


def main() -> int:
    """Measure, print a table in Markdown, and leave nothing behind."""
    options = parsed_arguments()
    size = options.mebibytes * MEBIBYTE
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pulp-streamer-")))
        folder.chmod(0o755)  # nginx serves as nobody
        origin = stack.enter_context(nginx(folder))
        plain = Service(folder / "plain", pieces__enabled="false")
        learning = Service(folder / "learning")
        strict = Service(folder / "learning", pieces__also_digest="true")
        names = [f"round-{number}" for number in range(options.rounds)]
        publish(folder, origin, names, size, (plain, learning))
        for service in (plain, learning, strict):
            stack.enter_context(service.running())
        rounds = []
        for name in names:
            rounds.append(costs(name, size, plain, learning, strict))
            (folder / "content" / name).unlink()
    print(f"{options.mebibytes} MiB, Python {sys.version.split()[0]}, {options.rounds} rounds\n")
    print("\n".join(table(rounds, size)))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure first passes and learned ones; prints a table in Markdown.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--mebibytes", help="size of the content", type=positive, default=1024)
    parser.add_argument("--rounds", help="how often it is measured", type=positive, default=3)
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a number that is at least 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


# -- one round -------------------------------------------------------------------------------------


def costs(
    name: str, size: int, plain: Service, learning: Service, strict: Service
) -> dict[str, Cost]:
    """What one transfer costs in each state."""
    found = {"digest alone": plain.cost(name, size), "first pass": learning.cost(name, size)}
    learning.wait_until_learned()
    found["learned"] = learning.cost(name, size)
    found["learned, digest too"] = strict.cost(name, size)
    verified = [found[state].verified for state in STATES]
    if verified != ["held_tail", "held_tail", "pieces", "pieces"]:
        raise SystemExit(f"this is not what was to be measured: {verified}")
    return found


def table(rounds: list[dict[str, Cost]], size: int) -> Iterator[str]:
    """Medians over the rounds, as lines of Markdown."""
    yield "| state | CPU, s/GiB | MiB/s | CPU against the first pass |"
    yield "|---|---|---|---|"
    for state in STATES:
        cpu = median(each[state].cpu_seconds for each in rounds) * 1024 * MEBIBYTE / size
        speed = median(size / MEBIBYTE / each[state].seconds for each in rounds)
        ratio = median(each[state].cpu_seconds / each["first pass"].cpu_seconds for each in rounds)
        yield f"| {state} | {cpu:.2f} | {speed:,.0f} | {ratio:.2f} |"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one transfer: processor time of the service, how long the client waited, and its log."""

    cpu_seconds: float
    seconds: float
    verified: str


# -- the service -----------------------------------------------------------------------------------


class Service:
    """`twistd pulp-streamer` with a catalog in `folder`, its log beside it."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._port, self._admin_port = free_port(), free_port()
        self._log_file = folder / f"service-{self._port}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._learned = self._transfers = 0
        chosen = {
            "catalog__url": f"sqlite:///{folder}/catalog.db",
            "content__listen": f"tcp:{self._port}:interface=127.0.0.1",
            "admin__listen": f"tcp:{self._admin_port}:interface=127.0.0.1",
            "log__format": "json",
            **settings,
        }
        self._environment = os.environ | {
            f"PULP_STREAMER__{name.upper()}": value for name, value in chosen.items()
        }

    def publish(self, origin: str, entries: str) -> None:
        """Publish what these lines say below `/bench/`."""
        create = ["importer", "create", "bench", "--type", "http", "--url", origin]
        self._command(create, "")
        self._command(["publish", "bench", "--importer", "bench", "--entries", "-"], entries)

    def _command(self, arguments: list[str], stdin: str) -> None:
        subprocess.run(
            [SCRIPTS / "pulp-streamer", *arguments],
            input=stdin.encode(),
            env=self._environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """The service runs while the block does."""
        self._process = subprocess.Popen(
            [SCRIPTS / "twistd", "-n", "--pidfile=", "-l", self._log_file, "pulp-streamer"],
            env=self._environment,
            cwd=self._folder,
        )
        try:
            self._wait_for("healthz", lambda answer: True)
            yield
        finally:
            self._process.terminate()
            self._process.wait()

    def cost(self, name: str, size: int) -> Cost:
        """Let a client fetch `name`, which is to have so many bytes."""
        before, began = self._cpu_seconds(), time.perf_counter()
        url = f"http://127.0.0.1:{self._port}/bench/{name}"
        command = ["curl", "-sf", "-o", "/dev/null", "-w", "%{size_download}", url]
        received = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        if int(received) != size:
            raise SystemExit(f"{received} bytes came instead of {size}")
        seconds = time.perf_counter() - began
        self._transfers += 1
        verified = self._verified()
        return Cost(self._cpu_seconds() - before, seconds, verified)

    def wait_until_learned(self) -> None:
        """One table more is in the store from now on, where other processes find it."""
        self._learned += 1
        written = f'pulp_streamer_pieces_tables_total{{event="written"}} {self._learned}.0'
        self._wait_for("metrics", lambda text: written in text)

    def _verified(self) -> str:
        """How the last transfer was verified; its record is written when it has ended here too."""
        for _ in range(100):
            lines = map(json.loads, self._log_file.read_text().splitlines())
            verified = [str(line["verified"]) for line in lines if "verdict" in line]
            if len(verified) == self._transfers:
                return verified[-1]
            time.sleep(0.01)
        raise SystemExit(f"{self._log_file} has no record of the last transfer")

    def _cpu_seconds(self) -> float:
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def _wait_for(self, path: str, is_there: Callable[[str], bool]) -> None:
        url = f"http://127.0.0.1:{self._admin_port}/{path}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with suppress(OSError), urllib.request.urlopen(url) as response:
                if is_there(response.read().decode()):
                    return
            time.sleep(0.1)
        raise SystemExit(f"the service at {url} does not come to what was expected")


def publish(
    folder: Path, origin: str, names: Sequence[str], size: int, services: Sequence[Service]
) -> None:
    """Write content for the origin, each with other bytes, and promise it."""
    lines = []
    for number, name in enumerate(names):
        digest = write_content(folder / "content" / name, size, number)
        entry = {
            "path": name,
            "size": size,
            "digests": {"sha256": digest},
            "sources": [{"url": name}],
        }
        lines.append(json.dumps(entry) + "\n")
    for service in services:
        service.publish(origin, "".join(lines))


def write_content(path: Path, size: int, seed: int) -> str:
    """Fill a file with bytes that no other seed gives; returns their SHA-256."""
    digest = hashlib.sha256()
    block = random.Random(seed).randbytes(min(size, MEBIBYTE))
    with path.open("wb") as file:
        for _ in range(size // len(block)):
            file.write(block)
            digest.update(block)
    return digest.hexdigest()


# -- its origin ------------------------------------------------------------------------------------


@contextmanager
def nginx(folder: Path) -> Iterator[str]:
    """An nginx that serves what lies in `content` below the folder; gives its URL."""
    port = free_port()
    (folder / "content").mkdir()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    process = subprocess.Popen(["nginx", "-e", folder / "nginx.log", "-c", config])
    try:
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        process.wait()


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise SystemExit("nginx does not start")


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
