"""Issue 6, line 5: whatever happens to the store of pieces, transfers go on and are right.

It is killed in a write, full, read-only, removed, damaged, in the way of something else, and shared
by two processes. What is in it is a help: where it is gone, the same is learned again. What one
process has learned the other knows.
"""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from origins import Origin, flipped, serves
from processes import Streamer, get, sha256
from range_services import fetch

from streamer.learned import PieceStore
from streamer.pieces.table import LEAF_BYTES, Table

SIZE = 70_000
"""Just too much to be verified whole before the head, so that a table costs next to nothing."""

SHARED = random.Random(65).randbytes(SIZE)
PATHS = [f"{number:04}" for number in range(160)]
MIB = 1024 * 1024
KILLS = 2
SECONDS = 30


def content_of(path):
    return path.encode() + SHARED[len(path) :]


def tell(conversation):
    """The origin of everything; it is honest."""
    return serves(content_of(conversation.target.decode().removeprefix("/")))(conversation)


@pytest.fixture(scope="module")
def origin():
    with Origin(tell) as origin:
        yield origin


@pytest.fixture(scope="module")
def catalog_url(origin, tmp_path_factory):
    """A catalog with everything, which all services share; each has a store of its own."""
    streamer = Streamer(tmp_path_factory.mktemp("catalog"))
    streamer.publish("os", origin.url, {path: content_of(path) for path in PATHS})
    return streamer.catalog_url


@pytest.fixture
def service(catalog_url, tmp_path):
    """A service that is not started; nothing ends in a traceback."""
    streamer = Streamer(tmp_path, catalog_url, pieces__url=f"sqlite:///{tmp_path}/pieces")
    yield streamer
    streamer.stop()
    assert streamer.tracebacks() == []


@pytest.fixture(scope="module")
def running(catalog_url, tmp_path_factory):
    """One service for all that can happen to a store while it is used."""
    folder = tmp_path_factory.mktemp("running")
    (folder / "of the store").mkdir()
    url = f"sqlite:///{folder}/of the store/pieces"
    with Streamer(folder, catalog_url, pieces__url=url) as streamer:
        yield streamer
        assert streamer.tracebacks() == []


def store_of(service):
    url = service.environment["PULP_STREAMER__PIECES__URL"]
    return Path(url.removeprefix("sqlite:///"))


def parts_of(store):
    """The files that it consists of."""
    return [store, *(store.with_name(f"{store.name}{end}") for end in ("-wal", "-shm"))]


def ask(service, paths=PATHS):
    """Fetch these, several at a time, all of them right; gives how many were proven by pieces.

    All are that this process has learned; of what only the store knows some may be looked up in
    vain, where that takes too long.
    """
    before = proven(service)
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda path: get(f"{service.url}os/{path}"), paths))
    assert [status for status, _, _ in got] == [200] * len(paths)
    assert [content for _, _, content in got] == [content_of(path) for path in paths]
    return proven(service) - before


def proven(service):
    """How many transfers were, when none is under way."""
    assert service.wait_for_metric("pulp_streamer_exchanges_in_flight", 0) == 0
    return service.metric("pulp_streamer_verified_total", kind="pieces")


def written(service):
    return service.metric("pulp_streamer_pieces_tables_total", event="written")


def wait_until_kept(store, paths):
    """Wait until the tables of these are in the store; give whether they are."""
    wanted = {f"sha256:{sha256(content_of(path))}" for path in paths}
    deadline = time.monotonic() + SECONDS
    while not (kept := wanted <= digests_in(store)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return kept


def digests_in(store):
    """The digests of which it has tables; none where it cannot be read just now."""
    try:
        return set(query(store, "SELECT digest FROM pulp_streamer_pieces"))
    except sqlite3.Error:
        return set()


def query(store, statement):
    """What SQLite says of it to somebody else; the first column."""
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=rw", uri=True)) as connection:
        return [row[0] for row in connection.execute(statement)]


def is_sound(store):
    """Whether it is whole, and holds as much as it says."""
    kept = query(store, "SELECT coalesce(sum(bytes), 0) FROM pulp_streamer_pieces")
    told = query(store, "SELECT bytes FROM pulp_streamer_pieces_state")
    return query(store, "PRAGMA integrity_check") == ["ok"] and kept == told


# -- killed in a write ---------------------------------------------------------------------------


def test_store_of_a_service_killed_in_a_write_is_sound(service):
    """What a batch left behind, whole or not at all, is used by the next process."""
    store = store_of(service)
    for _ in range(KILLS):
        service.start()
        with asked_for_ever(service):
            await_write(store)
            service.stop(signal.SIGKILL)

    service.start()
    ask(service)
    is_kept = wait_until_kept(store, PATHS)
    service.stop()

    assert is_kept
    assert is_sound(store)
    service.start()
    assert ask(service) > 0


@contextlib.contextmanager
def asked_for_ever(service):
    """Clients that ask for one after the other, whatever comes of it."""
    is_over = threading.Event()

    def come(paths):
        for path in paths:
            if is_over.is_set():
                return
            with contextlib.suppress(OSError, http.client.HTTPException):
                get(f"{service.url}os/{path}")

    clients = [threading.Thread(target=come, args=(PATHS[number::4],)) for number in range(4)]
    for client in clients:
        client.start()
    yield
    is_over.set()
    for client in clients:
        client.join()


def await_write(store):
    """Return as soon as any of its files has another size or time."""
    before = footprint(store)
    deadline = time.monotonic() + SECONDS
    while footprint(store) == before:
        assert time.monotonic() < deadline, "nothing is written"


def footprint(store):
    found = []
    for part in parts_of(store):
        with contextlib.suppress(FileNotFoundError):
            found.append((part.stat().st_mtime_ns, part.stat().st_size))
    return found


# -- full, read-only -----------------------------------------------------------------------------


def test_full_store_forgets_the_oldest(catalog_url, tmp_path):
    """It stays within its bound, and knows what was learned last."""
    url = f"sqlite:///{tmp_path}/pieces"
    service = Streamer(tmp_path, catalog_url, pieces__url=url, pieces__max_size="1MiB")
    large = Table(1024 * LEAF_BYTES, bytes(32 * 1024))
    filling = PieceStore(f"sqlite:///{store_of(service)}", MIB)
    filling.write({f"sha256:{number:064}": large for number in range(40)}, today=1)
    filling.close()
    paths = PATHS[:100]

    with service:
        ask(service, paths)
        is_kept = wait_until_kept(store_of(service), paths)
        stored = service.metric("pulp_streamer_pieces_stored_bytes")
        evicted = service.metric("pulp_streamer_pieces_tables_total", event="evicted")

    assert is_kept
    assert is_sound(store_of(service))
    assert evicted > 0
    assert 0 < stored <= MIB
    assert sum(query(store_of(service), "SELECT bytes FROM pulp_streamer_pieces")) == stored


def test_read_only_store_is_read(service):
    """What is in it is known, and what is learned meanwhile is known to this process.

    For root nothing is read-only, so the file says of itself that it is, in the way of SQLite:
    another version is needed to write to it.
    """
    store = store_of(service)
    old, new = PATHS[:50], PATHS[50:100]
    with service:
        ask(service, old)
        wait_until_kept(store, old)
    set_byte(store, 18, 3)
    before = store.read_bytes()

    with service:
        known = ask(service, old)
        learned = ask(service, new), ask(service, new)
        is_usable = service.wait_for_metric("pulp_streamer_pieces_usable", 0)
        count = written(service)

    assert 0 < known <= len(old)
    assert learned == (0, len(new))
    assert (is_usable, count) == (0, 0)
    assert store.read_bytes() == before


def set_byte(file, position, value):
    with file.open("r+b") as opened:
        opened.seek(position)
        opened.write(bytes([value]))


def test_store_that_can_be_nowhere_is_done_without(catalog_url, tmp_path):
    """The process remembers what it learns, and says once that nothing keeps it."""
    with Streamer(tmp_path, catalog_url, pieces__url="sqlite:////dev/null/pieces") as service:
        learned = ask(service, PATHS[:20]), ask(service, PATHS[:20])
        is_usable = service.wait_for_metric("pulp_streamer_pieces_usable", 0)

    said = [line for line in service.log() if "does not help" in str(line)]
    assert learned == (0, 20)
    assert is_usable == 0
    assert (len(said), service.tracebacks()) == (1, [])


# -- removed, damaged ----------------------------------------------------------------------------


def overwrite(store):
    """Let its second half, in which there are tables, be anything."""
    content = bytearray(store.read_bytes())
    half = len(content) // 2
    content[half:] = random.Random(66).randbytes(len(content) - half)
    store.write_bytes(content)


def remove(store):
    for part in parts_of(store):
        part.unlink(missing_ok=True)


def remove_folder(store):
    remove(store)
    store.parent.rmdir()


def spoil_rows(store):
    """Give some rows the leaves of another, and others a wrong bit in their own."""
    with contextlib.closing(sqlite3.connect(store)) as connection, connection:
        rows = connection.execute("SELECT digest, leaves FROM pulp_streamer_pieces").fetchall()
        spoilt = [
            (rows[number - 1][1] if number % 2 else flipped(leaves, len(leaves) - 1), digest)
            for number, (digest, leaves) in enumerate(rows)
        ]
        connection.executemany(
            "UPDATE pulp_streamer_pieces SET leaves = ? WHERE digest = ?", spoilt
        )


HARMS = {
    "its files are removed": remove,
    "the file alone is removed": lambda store: store.unlink(),
    "its folder is removed": remove_folder,
    "its second half is anything": overwrite,
    "its end is missing": lambda store: store.write_bytes(
        store.read_bytes()[: store.stat().st_size // 2]
    ),
    "it is empty": lambda store: store.write_bytes(b""),
}


@pytest.mark.parametrize("harm", HARMS)
def test_store_that_is_harmed_while_it_is_used_begins_anew(harm, running):
    """Clients miss nothing, and what is learned from then on is kept again."""
    store = store_of(running)
    place = 20 * list(HARMS).index(harm)
    old, new = PATHS[place : place + 10], PATHS[place + 10 : place + 20]
    ask(running, old)
    wait_until_kept(store, old)
    HARMS[harm](store)

    ask(running, [*new, *old])

    assert wait_until_kept(store, new)
    assert is_sound(store)


def test_tables_that_are_changed_between_two_runs_make_nothing_fail(service):
    """No right content is refused for them; what cannot be trusted any more is learned again."""
    store = store_of(service)
    with service:
        ask(service)
        wait_until_kept(store, PATHS)
    spoil_rows(store)

    with service:
        known = ask(service)
        again = ask(service)
        is_kept = wait_until_kept(store, PATHS)

    assert known < len(PATHS)
    assert again == len(PATHS)
    assert is_kept
    assert is_sound(store)


def write_text(file):
    file.write_bytes(b"this is somebody's only copy\n" * 1000)


def write_database(file):
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE theirs (theirs TEXT)")
        connection.execute("INSERT INTO theirs VALUES ('their only copy')")


@pytest.mark.parametrize("write", [write_text, write_database])
def test_file_of_somebody_else_is_not_lost(write, service):
    """A setting may lead to it by mistake; at worst it lies beside its place then."""
    store = store_of(service)
    write(store)
    before = store.read_bytes()

    with service:
        learned = ask(service, PATHS[:20]), ask(service, PATHS[:20])

    assert learned == (0, 20)
    assert before in [file.read_bytes() for file in store.parent.glob("pieces*")]


# -- two processes -------------------------------------------------------------------------------


@pytest.fixture
def two(catalog_url, tmp_path):
    """Two services with one store."""
    with contextlib.ExitStack() as running:
        url = f"sqlite:///{tmp_path}/pieces"
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
        both = [
            running.enter_context(Streamer(tmp_path / name, catalog_url, pieces__url=url))
            for name in ("one", "other")
        ]
        yield both
        assert [each.tracebacks() for each in both] == [[], []]


def test_what_one_process_has_learned_the_other_knows(two, origin):
    """At once and without having fetched it; a lie that it is told then is found out in time."""
    one, other = two
    paths = PATHS[:50]
    ask(one, paths)
    wait_until_kept(store_of(one), paths)

    known = ask(other, paths)
    ask(other, paths)
    origin.behaviour = lambda conversation: serves(flipped(SHARED, SIZE - 1))(conversation)
    got = fetch(f"{other.url}os/{paths[0]}")
    origin.behaviour = tell

    assert known > 0
    assert got is None


def test_two_processes_write_at_the_same_time(two):
    """Each writes what it learns, and in the end each knows all; also what both have learned."""
    one, other = two
    store = store_of(one)
    parts = {one: PATHS[:100], other: PATHS[60:]}

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda service: ask(service, parts[service]), two))

    assert wait_until_kept(store, PATHS)
    assert is_sound(store)
    assert [ask(service, parts[service]) for service in two] == [100, 100]


def test_process_goes_on_where_the_other_is_killed_in_a_write(two):
    """No lock outlives its process, and nothing that one of them has written is lost."""
    one, other = two
    store = store_of(one)
    with asked_for_ever(one):
        await_write(store)
        one.stop(signal.SIGKILL)

    ask(other)

    assert wait_until_kept(store, PATHS)
    assert is_sound(store)
    assert ask(other) == len(PATHS)
