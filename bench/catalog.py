"""How long publishing, looking up and listing take, in a small publication and in a large one.

    python bench/catalog.py                                  a SQLite catalog in a temporary folder
    python bench/catalog.py --url postgresql://USER@HOST/DB  one that is there, for example this

Publishing is the command as a process of its own, so its peak of resident memory is its own too.
Look-ups and listings are timed in one run that takes turns among the sizes, so that whatever else
the machine does falls on all of them alike. Every question has an answer of the same length in
each size: what may differ is how much of the catalog has to be read for it.

In a catalog that was there before, what this adds is deleted in the end.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from streamer.catalog import CatalogStore, open_store, upgrade_catalog
from streamer.errors import PathNotPublished, StreamerError

NAME = f"bench-{os.getpid()}"
WARMING_ROUNDS = 50
PAGE = 10
"""Names in a listing: every folder has at least so many if there are 1,000 entries."""

Question = Callable[[CatalogStore, str, str], object]


def main() -> int:
    """Measure, print a table in Markdown, and leave nothing behind."""
    options = parsed_arguments()
    seed = random.Random(options.seed)
    with catalog_url(options.url) as url:
        upgrade_catalog(url)
        with open_store(url) as store, bench_importer(store):
            sizes = [Size(count, publish(url, count)) for count in options.entries]
            ask(store, sizes, options.rounds, seed)
    kind, python = url.partition(":")[0], sys.version.split()[0]
    print(f"{kind}, Python {python}, {options.rounds:,} rounds, one process at a time\n")
    print("\n".join(table(sizes)))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measure publishing, look-ups and listings; prints a table in Markdown.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--url", help="catalog to use; default: a SQLite one that is thrown away", default=None
    )
    parser.add_argument(
        "--entries",
        help="sizes of publications, at least 1000 each",
        type=entry_count,
        nargs="+",
        default=[1_000, 1_000_000],
        metavar="N",
    )
    parser.add_argument(
        "--rounds", help="how often each question is asked", type=positive, default=3_000
    )
    parser.add_argument("--seed", help="of the choice of paths", type=int, default=1)
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a number of rounds: enough for a 99th percentile."""
    if (number := int(text)) < 100:
        raise argparse.ArgumentTypeError("must be at least 100")
    return number


def entry_count(text: str) -> int:
    """Read a size that fills every folder."""
    if (number := int(text.replace(",", "").replace("_", ""))) < 1_000:
        raise argparse.ArgumentTypeError("must be at least 1000")
    return number


# -- the catalog -----------------------------------------------------------------------------------


@contextmanager
def catalog_url(url: str | None) -> Iterator[str]:
    """The URL that was given, or one of a SQLite catalog that lives as long as the block."""
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="pulp-streamer-bench-") as folder:
        yield f"sqlite:///{folder}/catalog.db"


@contextmanager
def bench_importer(store: CatalogStore) -> Iterator[None]:
    """An importer to publish with; goes in the end, with every publication that needs it."""
    store.create_importer(NAME, "http", {"version": 1, "url": "http://origin.invalid/"})
    try:
        yield
    finally:
        for info in store.distributions():
            if info.base_path.startswith(f"{NAME}/"):
                store.delete_distribution(info.base_path)
        store.delete_importer(NAME)


# -- publishing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Publishing:
    """What publishing cost."""

    seconds: float
    peak_bytes: int


def publish(url: str, count: int) -> Publishing:
    """Publish so many entries with the command."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.writelines(entry_lines(count))
        file.flush()
        command = [sys.executable, "-m", "streamer.cli", "publish", base_path(count)]
        # The URL may hold a password, which does not belong on a command line.
        environment = os.environ | {"PULP_STREAMER__CATALOG__URL": url}
        started = time.perf_counter()
        process = subprocess.Popen(
            [*command, "--importer", NAME, "--entries", file.name],
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"publishing {count:,} entries failed, see above")
    return Publishing(time.perf_counter() - started, usage.ru_maxrss * 1024)


def base_path(count: int) -> str:
    return f"{NAME}/{count}"


def entry_path(number: int) -> str:
    """The path of an entry: 10 folders with 10 folders each, and all names in those."""
    return f"{number % 10}/{number // 10 % 10}/package-{number}-1.0.noarch.rpm"


def entry_lines(count: int) -> Iterator[str]:
    for number in range(count):
        path = entry_path(number)
        digest = hashlib.sha256(path.encode()).hexdigest()
        stated = {"path": path, "size": number, "sources": [{"url": path}]}
        yield json.dumps(stated | {"digests": {"sha256": digest}}) + "\n"


# -- looking up and listing ------------------------------------------------------------------------


def look_up(store: CatalogStore, base: str, path: str) -> object:
    """Find a path that is published."""
    return store.resolve(f"{base}/{path}")


def look_up_in_vain(store: CatalogStore, base: str, path: str) -> None:
    """Find out that a path is not published."""
    with suppress(PathNotPublished):
        store.resolve(f"{base}/{path}.asc")


def list_folders(store: CatalogStore, base: str, path: str) -> object:
    """List a folder that has only folders: what lies in them is skipped, not read."""
    return store.list_folder(f"{base}/{path.split('/')[0]}/", limit=PAGE)


def list_names(store: CatalogStore, base: str, path: str) -> object:
    """List the first page of a folder of names."""
    return store.list_folder(f"{base}/{path.rpartition('/')[0]}/", limit=PAGE)


QUESTIONS: dict[str, Question] = {
    "look-up": look_up,
    "look-up in vain": look_up_in_vain,
    f"listing of {PAGE} folders": list_folders,
    f"listing of {PAGE} names": list_names,
}


@dataclass(slots=True)
class Size:
    """One publication: how large it is, what publishing it cost, how long each question took."""

    count: int
    publishing: Publishing
    seconds: dict[str, list[float]] = field(
        default_factory=lambda: {name: [] for name in QUESTIONS}
    )


def ask(store: CatalogStore, sizes: Sequence[Size], rounds: int, seed: random.Random) -> None:
    """Ask every question of every size, once a round and in an order that changes."""
    turns = [(size, name) for size in sizes for name in QUESTIONS]
    for number in range(WARMING_ROUNDS + rounds):
        seed.shuffle(turns)
        for size, name in turns:
            path = entry_path(seed.randrange(size.count))
            started = time.perf_counter()
            QUESTIONS[name](store, base_path(size.count), path)
            if number >= WARMING_ROUNDS:
                size.seconds[name].append(time.perf_counter() - started)


# -- what is printed -------------------------------------------------------------------------------


def table(sizes: Sequence[Size]) -> Iterator[str]:
    """The lines of the table; the last column compares the last size with the first one."""
    titles = [f"{size.count:,} entries" for size in sizes]
    yield f"| | {' | '.join(titles)} | ratio |"
    yield f"|---|{'--:|' * (len(sizes) + 1)}"
    yield row("publish, s", [size.publishing.seconds for size in sizes])
    yield row(
        "publish, µs per entry", [size.publishing.seconds / size.count * 1e6 for size in sizes]
    )
    yield row("publish, peak MiB", [size.publishing.peak_bytes / 1024**2 for size in sizes])
    for name in QUESTIONS:
        yield row(f"{name}, median µs", [median(size.seconds[name]) * 1e6 for size in sizes])
        yield row(f"{name}, p99 µs", [percentile_99(size.seconds[name]) * 1e6 for size in sizes])


def percentile_99(seconds: Sequence[float]) -> float:
    return quantiles(seconds, n=100)[98]


def row(title: str, values: Sequence[float]) -> str:
    cells = [f"{value:,.2f}" if value < 100 else f"{value:,.0f}" for value in values]
    return f"| {title} | {' | '.join(cells)} | {values[-1] / values[0]:.2f} |"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except StreamerError as error:
        sys.exit(f"{Path(__file__).name}: {error}")
