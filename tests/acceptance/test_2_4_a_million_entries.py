"""Issue 2, line 4: a publication of a million entries, in bounded memory and all at once.

How long look-ups and listings take beside those of a small publication is measured, in one
interleaved run, by `bench/catalog.py`; no test asserts a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from origins import Origin, serves
from processes import SCRIPTS, Clients, Streamer, get, sha256

ENTRIES = 1_000_000
MIB = 1024 * 1024
CONTENT = random.Random(24).randbytes(2 * MIB)


def write_entries(file, count):
    """Entries of the shape that a package repository has."""
    with file.open("w") as lines:
        for number in range(count):
            digest = hashlib.sha256(b"%d" % number).hexdigest()
            path = f"Packages/{number % 36:02d}/package-{number}-1.0.noarch.rpm"
            entry = {
                "path": path,
                "size": number,
                "digests": {"sha256": digest},
                "sources": [{"url": path}],
            }
            lines.write(json.dumps(entry) + "\n")


@pytest.fixture(scope="module")
def million(tmp_path_factory):
    """An entries file with a million lines."""
    file = tmp_path_factory.mktemp("entries") / "million.jsonl"
    write_entries(file, ENTRIES)
    return file


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service whose catalog this module fills."""
    with Streamer(tmp_path_factory.mktemp("service")) as streamer:
        streamer.admin(
            "importer", "create", "far", "--type", "http", "--url", "http://127.0.0.1:9/"
        )
        yield streamer


def start_publishing(service, base_path, entries):
    """The command as a process, its standard error readable."""
    return subprocess.Popen(
        [
            SCRIPTS / "pulp-streamer",
            "publish",
            base_path,
            "--importer",
            "far",
            "--entries",
            entries,
        ],
        env=service.environment,
        cwd=service.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killing_the_publisher_leaves_nothing_visible(service, million):
    """Thousands of rows are written when it dies; clients and listings see none of them."""
    publisher = start_publishing(service, "killed", million)
    said = publisher.stderr.readline()
    publisher.send_signal(signal.SIGKILL)
    publisher.wait()
    publisher.stderr.close()

    pruned = service.admin("catalog", "prune", "--unfinished-age", "1ms")

    assert re.search(r"\d+ entries|entries", said)
    assert get(f"{service.url}killed/")[0] == 404
    assert "killed" not in service.admin("distribution", "list").stdout
    assert "1" in pruned.stdout


def test_million_entries_publish_within_300_mib_beside_50_clients(service, million):
    """Memory is bounded, progress is shown, and clients that download notice nothing."""
    with Origin(serves(CONTENT)) as origin:
        service.publish("busy", origin.url, {"file": CONTENT})
        publisher = start_publishing(service, "large", million)
        with Clients(50, f"{service.url}busy/file", pause_seconds=1) as clients:
            peak_bytes = watch_peak(publisher)
            progress = publisher.stderr.read()
        publisher.stderr.close()

    assert publisher.returncode == 0, progress
    assert 0 < peak_bytes < 300 * MIB
    assert len(re.findall(r"[\d,]+ entries", progress)) > 1
    assert clients.outcomes == {(200, sha256(CONTENT))}
    assert get(f"{service.url}large/Packages/00/package-0-1.0.noarch.rpm", "HEAD")[0] == 200


def watch_peak(process):
    """Wait until a process ends; give the most memory that it had resident.

    Not `ru_maxrss`, which counts what the tests' own process had when it started the other.
    """
    status = Path(f"/proc/{process.pid}/status")
    peak_bytes = 0
    while process.poll() is None:
        with contextlib.suppress(OSError):
            if found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text()):
                peak_bytes = int(found[1]) * 1024
        time.sleep(0.1)
    return peak_bytes


def test_listing_a_large_publication_shows_its_folders(service):
    """36 folders stand for a million entries, and a page of names for each of them."""
    top = json.loads(get(f"{service.url}large/Packages/", Accept="application/json")[2])
    page = json.loads(get(f"{service.url}large/Packages/07/", Accept="application/json")[2])

    assert len(top["items"]) == 36
    assert len(page["items"]) == 1000
    assert page["next"] is not None
