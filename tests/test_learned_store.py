"""The store of pieces: what is written is read, or is not known, and never is anything else."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from piece_stores import (
    MIB,
    Place,
    database,
    digest,
    file,
    in_file,
    is_sound,
    on_server,
    place,
    server,
    size_of,
    table,
    tables,
)

from streamer.learned.changes import Mark
from streamer.learned.failures import StoreUnavailable, StoreUnfit
from streamer.learned.rows import ROW_BYTES, cost
from streamer.learned.store import PieceStore, Written, place_beside

__all__ = ["database", "file", "in_file", "on_server", "place", "server"]  # fixtures

COST = cost(table("any"))
TODAY = 20_000

WRITER = """
import sys
from piece_stores import tables
from streamer.learned.failures import StoreUnavailable
from streamer.learned.store import PieceStore
url, name, batches, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = PieceStore(url, 2**30)
for batch in range(batches):
    changes = tables(*(f"{name} {batch} {number}" for number in range(count)))
    print("writing", batch, flush=True)
    while True:
        try:
            store.write(changes, 1)
        except StoreUnavailable as error:
            print("later:", error, file=sys.stderr)
        else:
            break
store.close()
"""

FULL_DISK = """
import resource, sys
from piece_stores import digest, tables
from streamer.learned.failures import StoreUnavailable
from streamer.learned.store import PieceStore
store = PieceStore(sys.argv[1], 2**30)
store.write(tables("before"), 1)
resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
try:
    store.write(tables(*range(5000)), 1)
except StoreUnavailable as error:
    print("refused:", error)
print("known:", store.read(digest("before"), 2**20) is not None)
store.close()
"""


@pytest.fixture
def opened():
    """Give stores that are closed in the end."""
    stores = []

    def open_one(place, max_bytes=100 * MIB):
        stores.append(PieceStore(place.url, max_bytes))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(place, opened):
    store = opened(place)
    store.write({}, TODAY)
    return store


def process(script, *arguments):
    """Run a script that sees what tests see."""
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def known(store, *names, size=MIB):
    """Those of the names whose tables are read as they were written."""
    found = {name: store.read(digest(name), size) for name in names}
    return [name for name, row in found.items() if row and row.table == table(name, size)]


# -- what is written is read -----------------------------------------------------------------------


def test_what_is_written_is_read_with_the_day_of_its_last_use(store):
    """A table comes back as it was."""
    store.write(tables("a"), TODAY)

    found = store.read(digest("a"), MIB)
    assert table("a") == found.table
    assert TODAY == found.used


def test_what_was_never_written_is_not_known(store):
    """There is no row."""
    store.write(tables("a"), TODAY)

    assert store.read(digest("b"), MIB) is None


def test_table_of_another_size_is_not_found(store):
    """A size that the catalog has wrong proves nothing."""
    store.write(tables("a"), TODAY)

    assert store.read(digest("a"), MIB + 1) is None


def test_table_of_the_largest_content_is_read(store):
    """It has 8 MiB."""
    store.write(tables("large", size=16 * 1024**3), TODAY)

    assert ["large"] == known(store, "large", size=16 * 1024**3)


def test_what_is_written_is_known_to_another_process(store, place, opened):
    """And after a new start."""
    store.write(tables("a"), TODAY)

    assert ["a"] == known(opened(place), "a")


def test_nothing_is_known_where_there_is_no_store(place, opened):
    """Which is no failure."""
    assert opened(place).read(digest("a"), MIB) is None


def test_reading_makes_no_file(in_file, file, opened):
    """Only who writes makes one."""
    opened(in_file).read(digest("a"), MIB)

    assert not file.exists()


def test_table_written_again_is_there_once(store, place):
    """It costs what it did."""
    store.write(tables("a", "b"), TODAY)
    again = store.write(tables("a"), TODAY + 1)

    assert Written(written=1, bytes=2 * COST) == again
    assert (2 * COST, 2 * COST) == place.counted()
    assert TODAY + 1 == place.day_of("a")


def test_what_is_forgotten_is_not_known(store, place):
    """Its room is free."""
    store.write(tables("a", "b"), TODAY)
    store.write({digest("a"): Mark.FORGOTTEN, digest("never"): Mark.FORGOTTEN}, TODAY)

    assert ["b"] == known(store, "a", "b")
    assert (COST, COST) == place.counted()


def test_use_moves_the_day(store, place):
    """Of what was used, and of nothing else."""
    store.write(tables("a", "b"), TODAY)
    store.write({digest("a"): Mark.USED, digest("never"): Mark.USED}, TODAY + 3)

    assert TODAY + 3 == place.day_of("a")
    assert TODAY == place.day_of("b")


# -- what is not as it was written is not used -----------------------------------------------------


def test_row_with_a_changed_byte_has_no_table(store, place):
    """Right content would fail for ever."""
    store.write(tables("a"), TODAY)
    place.spoil("a")

    assert store.read(digest("a"), MIB).table is None


def test_row_that_was_cut_has_no_table(store, place):
    """It has not one digest for each leaf."""
    store.write(tables("a"), TODAY)
    place.execute("UPDATE pulp_streamer_pieces SET leaves = :few", few=b"few")

    assert store.read(digest("a"), MIB).table is None


def test_row_under_the_digest_of_another_has_no_table(store, place):
    """It would prove wrong content."""
    store.write(tables("a"), TODAY)
    place.execute("UPDATE pulp_streamer_pieces SET digest = :other", other=digest("b"))

    assert store.read(digest("b"), MIB).table is None


def test_row_with_another_size_has_no_table(store, place):
    """The last leaf would end elsewhere."""
    store.write(tables("a"), TODAY)
    place.execute("UPDATE pulp_streamer_pieces SET size = size - 1")

    assert store.read(digest("a"), MIB - 1).table is None


def test_row_that_is_not_as_it_was_is_written_anew(store, place):
    """By whoever learns it again."""
    store.write(tables("a"), TODAY)
    place.spoil("a")
    store.write(tables("a"), TODAY)

    assert ["a"] == known(store, "a")


# -- the bound -------------------------------------------------------------------------------------


def test_what_was_not_used_for_the_longest_time_makes_room(place, opened):
    """By the day."""
    store = opened(place, max_bytes=3 * COST)
    for day, name in enumerate(["old", "older", "new"]):
        store.write(tables(name), TODAY + day)
    store.write({digest("old"): Mark.USED}, TODAY + 4)
    done = store.write(tables("newest"), TODAY + 5)

    assert Written(written=1, evicted=1, bytes=3 * COST) == done
    assert ["old", "new", "newest"] == known(store, "old", "older", "new", "newest")


def test_store_never_holds_more_than_its_bound(place, opened):
    """However much goes in, in whatever portions."""
    store = opened(place, max_bytes=10 * COST + 1)
    held = []
    for batch in range(12):
        store.write(tables(*(f"{batch} {number}" for number in range(batch))), TODAY + batch)
        held.append(place.counted())

    assert [] == [each for each in held if each[0] != each[1] or each[1] > 10 * COST + 1]
    assert (10 * COST, 10 * COST) == held[-1]


def test_table_that_outweighs_the_bound_is_dropped(place, opened):
    """And moves nothing out."""
    store = opened(place, max_bytes=3 * COST)
    store.write(tables("small"), TODAY)
    done = store.write(tables("large", size=size_of(3 * COST)), TODAY)

    assert Written(dropped=1, bytes=COST) == done
    assert ["small"] == known(store, "small")


def test_batch_that_outweighs_the_bound_leaves_its_newest(place, opened):
    """Those that came last."""
    store = opened(place, max_bytes=3 * COST)
    done = store.write(tables(*range(10)), TODAY)

    assert Written(written=3, dropped=7, bytes=3 * COST) == done
    assert [7, 8, 9] == known(store, *range(10))


def test_bound_that_was_lowered_holds_from_the_start(place, opened):
    """Before anything is learned."""
    opened(place).write(tables(*range(10)), TODAY)
    done = opened(place, max_bytes=4 * COST).write({}, TODAY)

    assert Written(evicted=6, bytes=4 * COST) == done
    assert (4 * COST, 4 * COST) == place.counted()


def test_count_that_others_made_wrong_is_put_right(place, opened):
    """Somebody emptied the table by hand."""
    store = opened(place, max_bytes=4 * COST)
    store.write(tables(*range(4)), TODAY)
    place.execute("DELETE FROM pulp_streamer_pieces")
    store.write(tables("a"), TODAY)

    assert (COST, COST) == place.counted()
    assert ["a"] == known(store, "a")


def test_file_is_at_most_twice_as_large_as_the_bound(in_file, file, opened):
    """Whatever goes through it, be it of sizes that leave much of a page unused."""
    store = opened(in_file, max_bytes=4 * MIB)
    for batch in range(20):
        names = [f"{batch} {number}" for number in range(300)]
        store.write(tables(*names, size=MIB * (batch + 1)), TODAY + batch)
    store.close()

    assert file.stat().st_size < 8 * MIB + 512 * 1024


def test_file_shrinks_after_its_bound_was_lowered(in_file, file, opened):
    """A little with each batch."""
    store = opened(in_file)
    store.write(tables(*range(4), size=16 * 1024**3), TODAY)
    store.close()
    before = file.stat().st_size
    smaller = opened(in_file, max_bytes=MIB)
    for _ in range(5):
        smaller.write({}, TODAY)
    smaller.close()

    assert before > 32 * MIB
    assert file.stat().st_size < 9 * MIB


# -- several at once, and ends of all kinds --------------------------------------------------------


def test_processes_that_write_at_once_lose_nothing(store, place):
    """They wait for each other, or try again."""
    writers = [process(WRITER, place.url, name, 15, 20) for name in ("a", "b", "c")]
    ended = [(writer.communicate(timeout=120)[1], writer.returncode) for writer in writers]
    names = [f"{name} {batch} {n}" for name in "abc" for batch in range(15) for n in range(20)]

    assert [0, 0, 0] == [code for _, code in ended]
    assert names == known(store, *names)
    assert (900 * COST, 900 * COST) == place.counted()


def test_stores_that_are_made_at_once_are_one(place, opened):
    """Whoever comes second finds it there."""
    writers = [process(WRITER, place.url, name, 1, 1) for name in "abcd"]
    codes = [(writer.communicate(timeout=120), writer.returncode)[1] for writer in writers]

    assert [0, 0, 0, 0] == codes
    assert ["a 0 0", "d 0 0"] == known(opened(place), "a 0 0", "d 0 0")


def test_store_outlives_a_process_that_is_killed_while_it_writes(place, opened):
    """A batch is there whole or not at all."""
    writer = process(WRITER, place.url, "a", 1000, 3000)
    for line in writer.stdout:
        if line == "writing 2\n":
            break
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    store = opened(place)
    store.write(tables("after"), TODAY)
    said, held = place.counted()

    assert -signal.SIGKILL == writer.returncode
    assert ["a 0 0", "a 1 2999", "after"] == known(store, "a 0 0", "a 1 2999", "after")
    assert said == held
    assert 1 == held // COST % 3000


def test_file_is_sound_after_its_writer_was_killed(in_file, file):
    """Also where it was killed as it began."""
    for number in range(4):
        writer = process(WRITER, in_file.url, number, 1000, 500)
        for line in writer.stdout:
            if line == f"writing {number}\n":
                break
        writer.send_signal(signal.SIGKILL)
        writer.communicate()

    assert is_sound(file)


def test_full_disk_refuses_a_batch_and_nothing_else(in_file, file, opened):
    """What was there is known, and there is room again as soon as there is."""
    output, errors = process(FULL_DISK, in_file.url).communicate(timeout=60)
    store = opened(in_file)
    store.write(tables("after"), TODAY)

    assert "refused: " in output, errors
    assert "known: True" in output
    assert ["before", "after"] == known(store, "before", 1, 4999, "after")
    assert is_sound(file)


# -- files -----------------------------------------------------------------------------------------


def test_file_is_for_its_owner_only_and_alone(in_file, file, opened):
    """What lies in it decides what content is taken for right."""
    store = opened(in_file)
    store.write(tables("a"), TODAY)
    modes = {each.stat().st_mode & 0o777 for each in file.parent.iterdir()}
    store.close()

    assert {0o600} == modes
    assert [file.name] == [each.name for each in file.parent.iterdir()]


@pytest.mark.parametrize("of_the_catalog", [True, False], ids=["catalog", "folder"])
def test_file_that_root_makes_is_for_who_has_what_it_lies_beside(tmp_path, opened, of_the_catalog):
    """Root may learn ahead, and the service uses it; anybody else owns what they make."""
    owner = (12345, 12346) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    folder, catalog = tmp_path / "folder", tmp_path / "folder" / "catalog.db"
    folder.mkdir()
    if of_the_catalog:
        catalog.touch()
    os.chown(catalog if of_the_catalog else folder, *owner)

    opened(Place(f"sqlite:///{catalog}.pieces")).write(tables("a"), TODAY)
    made = [each.stat() for each in folder.iterdir() if each != catalog]

    assert {(*owner, 0o600)} == {(each.st_uid, each.st_gid, each.st_mode & 0o777) for each in made}


def test_file_is_made_in_a_folder_that_is_absent(tmp_path):
    """As the catalog's is."""
    store = PieceStore(f"sqlite:///{tmp_path}/new/folder/pieces.db", MIB)
    store.write(tables("a"), TODAY)
    found = known(store, "a")
    store.close()

    assert ["a"] == found


def test_file_that_was_removed_is_made_anew(in_file, file, opened):
    """What is learned from then on is known, also to a process that comes later."""
    store = opened(in_file)
    store.write(tables("before"), TODAY)
    file.unlink()
    nothing = store.read(digest("before"), MIB)
    store.write(tables("after"), TODAY)

    assert nothing is None
    assert ["after"] == known(store, "before", "after")
    assert ["after"] == known(opened(in_file), "before", "after")
    assert is_sound(file)


def test_what_a_killed_process_left_beside_a_removed_file_is_not_used(in_file, file, opened):
    """SQLite would take its log for a part of the new file."""
    writer = process(WRITER, in_file.url, "a", 1000, 100)
    for line in writer.stdout:
        if line == "writing 2\n":
            break
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    log_is_left = Path(f"{file}-wal").stat().st_size > 0
    file.unlink()
    store = opened(in_file)
    store.write(tables("after"), TODAY)

    assert log_is_left
    assert ["after"] == known(store, "a 0 0", "after")
    assert (COST, COST) == in_file.counted()


def test_file_that_is_no_database_is_put_aside(in_file, file, opened):
    """It may be what a power failure left of one."""
    file.write_bytes(b"damaged" * 1000)
    store = opened(in_file)
    with pytest.raises(StoreUnfit, match=r"put aside as .*\.pieces\.unfit"):
        store.write(tables("a"), TODAY)
    store.write(tables("a"), TODAY)

    assert ["a"] == known(store, "a")
    assert b"damaged" * 1000 == Path(f"{file}.unfit").read_bytes()


def test_file_that_is_damaged_while_it_is_open_is_put_aside(in_file, file, opened):
    """By whoever finds that out, reading or writing; then it begins anew."""
    store = opened(in_file)
    store.write(tables(*range(2000)), TODAY)
    store.close()
    content = bytearray(file.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    file.write_bytes(content)
    with pytest.raises(StoreUnfit):
        store.read(digest(1), MIB)
    nothing = store.read(digest(1), MIB)
    store.write(tables("after"), TODAY)

    assert nothing is None
    assert ["after"] == known(store, 1, "after")
    assert is_sound(file)


def test_of_files_that_were_put_aside_the_last_is_kept(in_file, file, opened):
    """A disk that damages all that it is given is not filled."""
    store = opened(in_file)
    for content in (b"first" * 1000, b"second" * 1000):
        file.write_bytes(content)
        with pytest.raises(StoreUnfit):
            store.write({}, TODAY)

    assert [f"{file.name}.unfit"] == [each.name for each in file.parent.iterdir()]
    assert Path(f"{file}.unfit").read_bytes().startswith(b"second")


def test_file_of_another_version_is_put_aside(in_file, file, opened):
    """Its rows may mean something else."""
    store = opened(in_file)
    store.write(tables("a"), TODAY)
    in_file.execute("UPDATE pulp_streamer_pieces_state SET version = 99")
    with pytest.raises(StoreUnfit, match="another version"):
        store.write({}, TODAY)
    store.write(tables("b"), TODAY)

    assert ["b"] == known(store, "a", "b")
    assert is_sound(f"{file}.unfit")


def test_database_of_something_else_is_left_alone(in_file, file, opened):
    """Also where it is damaged: it may be somebody's only copy."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("CREATE TABLE theirs (id INTEGER)")
    sound = file.read_bytes()
    damaged = sound[:4096] + b"\xa5" * 4096
    store = opened(in_file)
    for content in (sound, damaged):
        file.write_bytes(content)
        with pytest.raises(StoreUnavailable, match="something else"):
            store.write(tables("a"), TODAY)
        with pytest.raises(StoreUnavailable, match="something else"):
            store.read(digest("a"), MIB)

    assert damaged == file.read_bytes()
    assert [file.name] == [each.name for each in file.parent.iterdir()]


def test_empty_file_is_as_good_as_none(in_file, file, opened):
    """Somebody made it for its rights."""
    file.touch()
    store = opened(in_file)
    nothing = store.read(digest("a"), MIB)
    store.write(tables("a"), TODAY)

    assert nothing is None
    assert ["a"] == known(store, "a")


def test_folder_in_the_place_of_the_file_is_no_store(in_file, file, opened):
    """As soon as it is gone there is one."""
    file.mkdir()
    store = opened(in_file)
    for work in (lambda: store.write({}, TODAY), lambda: store.read(digest("a"), MIB)):
        with pytest.raises(StoreUnavailable):
            work()
    file.rmdir()
    store.write(tables("a"), TODAY)

    assert ["a"] == known(store, "a")


def test_file_in_the_place_of_the_folder_is_no_store(tmp_path):
    """No folder can be made there."""
    (tmp_path / "folder").touch()
    store = PieceStore(f"sqlite:///{tmp_path}/folder/pieces.db", MIB)

    with pytest.raises(StoreUnavailable):
        store.write({}, TODAY)


# -- servers ---------------------------------------------------------------------------------------


def test_server_that_was_away_is_used_again(server, on_server, opened):
    """What it had is known."""
    store = opened(on_server)
    store.write(tables("a"), TODAY)
    server.stop()
    try:
        for work in (lambda: store.write({}, TODAY), lambda: store.read(digest("a"), MIB)):
            with pytest.raises(StoreUnavailable):
                work()
    finally:
        server.start()

    assert ["a"] == known(store, "a")


def test_tables_of_another_version_on_a_server_are_left_alone(on_server, opened):
    """Another service may be using them."""
    store = opened(on_server)
    store.write(tables("a"), TODAY)
    on_server.execute("UPDATE pulp_streamer_pieces_state SET version = 99")
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="another version"):
            store.write({digest("a"): Mark.FORGOTTEN}, TODAY)

    assert (COST, COST) == on_server.counted()


def test_server_that_lets_nobody_write_is_read(on_server, opened):
    """A standby, for one, or a user who may not do more."""
    opened(on_server).write(tables("a"), TODAY)
    on_server.execute("DROP ROLE IF EXISTS guest")
    on_server.execute("CREATE ROLE guest LOGIN")
    on_server.execute("GRANT SELECT ON pulp_streamer_pieces TO guest")
    try:
        guest = PieceStore(on_server.url.replace("tester@", "guest@"), 100 * MIB)
        with pytest.raises(StoreUnavailable, match="denied"):
            guest.write(tables("b"), TODAY)
        found = known(guest, "a", "b")
        guest.close()
    finally:
        on_server.execute("DROP OWNED BY guest")

    assert ["a"] == found


def test_server_that_lets_nobody_create_is_no_store(on_server):
    """It says so."""
    on_server.execute("DROP ROLE IF EXISTS guest")
    on_server.execute("CREATE ROLE guest LOGIN")
    guest = PieceStore(on_server.url.replace("tester@", "guest@"), 100 * MIB)
    with pytest.raises(StoreUnavailable, match="denied"):
        guest.write(tables("b"), TODAY)
    found = known(guest, "b")
    guest.close()

    assert [] == found


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        ("sqlite:////var/lib/c.db", "sqlite:////var/lib/c.db.pieces"),
        ("postgresql://me:secret@db/catalog?sslmode=require",) * 2,
    ],
    ids=["a file beside it", "the same database"],
)
def test_place_beside_a_catalog(catalog, expected):
    """Where the store lies when nobody says so."""
    assert expected == place_beside(catalog)


def test_what_a_store_is_called_holds_no_secret():
    """It goes into the log."""
    store = PieceStore("postgresql://me:secret@db/catalog", MIB)

    assert "PostgreSQL database catalog" == str(store)


def test_row_costs_more_than_its_leaves():
    """Many small tables would fill a disk with what is beside them."""
    assert ROW_BYTES + 16 * 32 == cost(table("a", MIB))
