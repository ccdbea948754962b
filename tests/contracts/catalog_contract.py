"""What every catalog does, whatever database it lies in: mixed into one test class per database.

A test class gives three fixtures: `url` (a catalog without content), `empty_url` (a database
without tables) and `foreign_url` (a database with tables of something else). Time stands still
unless a test moves it.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import threading
from dataclasses import replace

import pytest
import pytest_twisted
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import column, delete, table, update
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.threads import deferToThread

from streamer.catalog import (
    DistributionInfo,
    Promise,
    ThreadedCatalog,
    open_store,
    upgrade_catalog,
)
from streamer.catalog.database import Database
from streamer.catalog.publishing import SLICE_BYTES
from streamer.catalog.schema import VERSION_TABLE
from streamer.catalog.tables import entries, held_slices, importers, metadata, publications
from streamer.errors import (
    CatalogUnavailable,
    CatalogUnusable,
    ContentTruncated,
    EntryRejected,
    KeyUnusable,
    OperationRefused,
    PathNotPublished,
)
from streamer.model import (
    Artifact,
    Digest,
    DownloadConfig,
    Entry,
    EntrySource,
    FolderItem,
    PassThrough,
    PublishedArtifact,
    RemoteArtifact,
)

HOUR = 3600.0
NOON = 1_700_000_000.0
MORE = Digest("sha512", "ab" * 64)
HEAD_START_SECONDS = 0.5
"""What another command gets to go wrong in, where it should wait."""


class Clock:
    """A time that a test moves."""

    def __init__(self):
        self.seconds = NOON

    def __call__(self):
        return self.seconds

    def advance(self, seconds):
        self.seconds += seconds


class Collector:
    """A sink that keeps what it gets, and pauses after every chunk if told so."""

    def __init__(self):
        self.chunks = []
        self.ended = Deferred()
        self.on_chunk = lambda: None

    def content_received(self, chunk):
        self.chunks.append(chunk)
        self.on_chunk()

    def content_ended(self, error):
        self.ended.callback(error)


def sha256(content):
    return Digest("sha256", hashlib.sha256(content.encode()).hexdigest())


def entry(path, line=1, content=None, **changes):
    """An entry whose content is its path unless stated otherwise."""
    content = path if content is None else content
    size = changes.pop("size", len(content))
    digests = (sha256(content), *changes.pop("more_digests", ()))
    return Entry(line, path, Artifact(digests, size, "text/plain"), "package", **changes)


def held_entry(path, content, line=1):
    digest = Digest("sha256", hashlib.sha256(content).hexdigest())
    artifact = Artifact((digest,), len(content), "text/plain")
    return Entry(line, path, artifact, "mutable", content=content)


def publish(store, base_path, *paths, grace=HOUR, keep=3):
    """Publish entries, each given as itself or as its path."""
    with store.publication(base_path) as draft:
        draft.add(
            entry(given, line) if isinstance(given, str) else given
            for line, given in enumerate(paths, 1)
        )
        return draft.publish(grace, keep)


def config_of(config, sealed=None):
    """A change of an importer into this config."""
    return lambda stored: replace(stored, config=config, sealed=sealed)


def refuse(*_):
    """What a caller raises within a transaction."""
    raise KeyUnusable("there is no key")


def listed(folder):
    """The names of a page, folders with a slash."""
    return [f"{item.name}/" if item.is_folder else item.name for item in folder.items]


def numbers(store, base_path):
    return [info.number for info in store.publications(base_path)]


def random_paths(chance):
    """A few hundred paths whose names begin alike, around the slash in byte order."""
    paths = {
        "/".join("".join(chance.choices("a-0é", k=chance.randint(1, 2))) for _ in range(depth))
        for depth in (1, 1, 2, 3, 3)
        for _ in range(60)
    }
    return sorted(paths)


def folders_of(paths):
    cuts = ((path, place) for path in paths for place, sign in enumerate(path, 1) if sign == "/")
    return {""} | {path[:place] for path, place in cuts}


def names_in(folder, paths):
    """What a folder must show: names, and whether they are folders, in their order."""
    rest = (path[len(folder) :].partition("/") for path in paths if path.startswith(folder))
    return sorted({(name, bool(slash)) for name, slash, _ in rest})


def read_by_pages(store, folder, limit):
    """The same, read page by page; a page never has more names than were asked for."""
    names, page = [], store.list_folder(folder, "", limit)
    while page.items:
        assert len({item.name for item in page.items}) <= limit
        names += [(item.name, item.is_folder) for item in page.items]
        if not page.more:
            break
        page = store.list_folder(folder, page.items[-1].name, limit)
    return names


async def collected(download):
    sink = Collector()
    download.deliver(sink)
    error = await sink.ended
    return b"".join(sink.chunks), error


class CatalogContract:
    """Everything that commands and the service rely on."""

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def store(self, url, clock):
        with open_store(url, now=clock) as store:
            yield store

    @pytest.fixture
    def catalog(self, url, store, clock, reactor):
        catalog = ThreadedCatalog(url, reactor, now=clock)
        catalog.start()
        yield catalog
        catalog.stop()

    # -- resolve ---------------------------------------------------------------------------------

    def test_published_path_resolves_to_what_its_entry_says(self, store, clock):
        """Every fact of an entry comes back, its sources joined with their importers."""
        importer = store.create_importer("fedora", "http", {"url": "http://origin.example/"})
        sha512 = Digest("sha512", "ab" * 64)
        stated = entry(
            "p/bash.rpm",
            more_digests=(sha512,),
            last_modified=123,
            sources=(
                EntrySource(importer.id, "mirror/bash.rpm", 5),
                EntrySource(importer.id, "p/bash.rpm", 0),
                EntrySource(importer.id, "other/bash.rpm", 5),
            ),
        )
        info = publish(store, "fedora/40", stated)

        assert PublishedArtifact(
            path="p/bash.rpm",
            base_path="fedora/40",
            publication=info.id,
            artifact=Artifact((sha256("p/bash.rpm"), sha512), 10, "text/plain"),
            cache="package",
            last_modified=123,
            sources=(
                RemoteArtifact(importer, "p/bash.rpm", 0),
                RemoteArtifact(importer, "mirror/bash.rpm", 5),
                RemoteArtifact(importer, "other/bash.rpm", 5),
            ),
        ) == store.resolve("fedora/40/p/bash.rpm")

    def test_unknown_size_stays_unknown(self, store):
        """A size that is not stated is not made up."""
        publish(store, "d", entry("f", size=None))

        assert store.resolve("d/f").artifact.size is None

    def test_size_beyond_32_bits_is_kept(self, store):
        """A disk image of 5 GiB has the size that was stated."""
        publish(store, "d", entry("f", size=5 << 30))

        assert store.resolve("d/f").artifact.size == 5 << 30

    def test_longest_base_path_answers_alone(self, store):
        """A path below two distributions belongs to the longer base path, found there or not."""
        publish(store, "os", "40/f", "40/g", "4/f")
        publish(store, "os/40", "f")

        assert store.resolve("os/40/f").base_path == "os/40"
        assert store.resolve("os/4/f").base_path == "os"
        with pytest.raises(PathNotPublished):
            store.resolve("os/40/g")

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/",
            "d",
            "d/",
            "d//f",
            "/d/f",
            "d/F",
            "e/f",
            "d/f/g",
            "d/f\x00",
            "d/\ud800",
            "d/\x01",
        ],
        ids=repr,
    )
    def test_path_that_is_not_published_is_refused(self, store, path):
        """Whatever was asked for, not being there is the only thing wrong with it."""
        publish(store, "d", "f")

        with pytest.raises(PathNotPublished):
            store.resolve(path)

    @pytest.mark.parametrize("path", ["x" * 100_000, "d/" * 5_000, "é" * 9_000], ids=len)
    def test_path_of_absurd_length_is_refused(self, store, path):
        """Length costs no more than the answer."""
        publish(store, "d", "f")

        with pytest.raises(PathNotPublished):
            store.resolve(path)

    def test_source_sees_the_importer_as_it_is_now(self, store):
        """A changed config counts for what was published before, under a new revision."""
        importer = store.create_importer("i", "http", {"url": "http://old.example/"})
        publish(store, "d", entry("f", sources=(EntrySource(importer.id, "f"),)))

        changed = store.update_importer("i", config_of({"url": "http://new.example/"}))

        assert store.resolve("d/f").sources == (RemoteArtifact(changed, "f"),)
        assert changed.revision == importer.revision + 1

    # -- the time of an entry --------------------------------------------------------------------

    def test_unstated_time_is_that_of_publishing(self, store, clock):
        """An entry that says nothing is as old as its publication."""
        with store.publication("d") as draft:
            draft.add([entry("f")])
            clock.advance(90)
            draft.publish(HOUR, 3)

        assert store.resolve("d/f").last_modified == NOON + 90

    def test_unchanged_file_keeps_its_time(self, store, clock):
        """Publishing the same content again does not make it look changed, however often."""
        for _ in range(3):
            publish(store, "d", "f")
            clock.advance(10)

        assert store.resolve("d/f").last_modified == NOON

    def test_changed_file_gets_a_new_time(self, store, clock):
        """Other content at the same path is as new as its publication."""
        publish(store, "d", "f")
        clock.advance(10)
        publish(store, "d", entry("f", content="changed"))

        assert store.resolve("d/f").last_modified == NOON + 10

    def test_file_that_changes_twice_within_a_second_gets_two_times(self, store):
        """RFC 9110 8.8.2.2: a date that two contents share must not let a range be joined."""
        times = []
        for content in ("one", "two", "three"):
            publish(store, "d", entry("f", content=content))
            times.append(store.resolve("d/f").last_modified)

        assert times == [NOON, NOON + 1, NOON + 2]

    # -- grace -----------------------------------------------------------------------------------

    def test_path_of_a_superseded_publication_answers_within_its_grace(self, store, clock):
        """A client with old metadata gets its file until the grace is over, and not after."""
        publish(store, "d", "old")
        publish(store, "d", "new", grace=HOUR)

        assert store.resolve("d/old").grace_until == NOON + HOUR
        assert store.resolve("d/new").grace_until is None
        clock.advance(HOUR)
        with pytest.raises(PathNotPublished):
            store.resolve("d/old")

    def test_newest_superseded_publication_answers_first(self, store, clock):
        """Of two graced publications the later one is what clients saw last."""
        publish(store, "d", entry("f", content="first"))
        clock.advance(1)
        publish(store, "d", entry("f", content="second"))
        clock.advance(1)
        publish(store, "d", "other")

        assert store.resolve("d/f").artifact.digest == sha256("second")

    def test_no_grace_ends_every_earlier_grace(self, store):
        """After publishing without grace only the new publication answers."""
        publish(store, "d", "first")
        publish(store, "d", "second", grace=HOUR)
        publish(store, "d", "third", grace=0)

        for path in ("d/first", "d/second"):
            with pytest.raises(PathNotPublished):
                store.resolve(path)

    # -- publishing ------------------------------------------------------------------------------

    def test_publication_is_described(self, store, clock):
        """What publishing returns says what was published."""
        clock.advance(5)
        info = publish(store, "d", entry("a", 1, size=3), entry("b", 2, size=None))

        assert (1, True, NOON + 5, None, 2, 3) == (
            info.number,
            info.is_current,
            info.published_at,
            info.superseded_at,
            info.entry_count,
            info.total_size,
        )
        assert info == store.distribution("d").current

    def test_empty_publication_replaces_what_was_there(self, store):
        """A repository may have become empty."""
        publish(store, "d", "f")
        publish(store, "d", grace=0)

        with pytest.raises(PathNotPublished):
            store.resolve("d/f")

    def test_draft_is_seen_by_nobody(self, store):
        """While a first publication is built, its distribution does not exist."""
        with store.publication("d") as draft:
            draft.add([entry("f")])

            with pytest.raises(PathNotPublished):
                store.resolve("d/f")
            assert store.distributions() == []
            assert store.list_folder("").items == ()

    def test_draft_given_up_leaves_nothing(self, store):
        """An exception while publishing removes what was written."""
        with contextlib.suppress(KeyError), store.publication("d") as draft:
            draft.add([entry("f"), held_entry("g", b"content", 2)])
            raise KeyError

        assert store.distributions() == []
        assert store.check() == []

    def test_draft_never_published_leaves_nothing(self, store):
        """Leaving the block without publishing is giving up."""
        with store.publication("d") as draft:
            draft.add([entry("f")])

        assert store.distributions() == []
        assert store.check() == []

    def test_held_content_beyond_one_transaction_is_all_there(self, store):
        """However large held entries are together, all of them are published."""
        contents = [bytes([number]) * (12 << 20) for number in range(4)]
        publish(store, "d", *(held_entry(f"{n}", content, n) for n, content in enumerate(contents)))

        assert listed(store.list_folder("d/")) == ["0", "1", "2", "3"]
        assert store.check() == []

    def test_interruption_after_the_switch_takes_nothing_back(self, store):
        """A publisher that never heard of its success does not delete what clients see."""
        with store.publication("d") as draft:
            draft.add([entry("f")])
            draft.publish(HOUR, 3)
            draft.discard()

        assert store.resolve("d/f").path == "f"

    def test_entries_beyond_one_transaction_are_all_there(self, store):
        """However many are added at once, all of them are published."""
        info = publish(store, "d", *(f"{number:05d}" for number in range(10_001)))

        assert info.entry_count == 10_001
        assert store.resolve("d/10000").path == "10000"
        assert store.check() == []

    @pytest.mark.parametrize("batches", [1, 2])
    def test_path_on_two_lines_is_rejected(self, store, batches):
        """The second line is named, and the first one in its message."""
        lines = [entry("a", 1), entry("f", 2), entry("b", 3), entry("f", 4, "other")]
        size = len(lines) // batches

        with store.publication("d") as draft:
            for start in range(0, len(lines) - size, size):
                draft.add(lines[start : start + size])
            with pytest.raises(EntryRejected) as caught:
                draft.add(lines[-size:])

        assert str(caught.value) == "line 4: the path 'f' is on line 2 already"
        assert store.distributions() == []

    def test_digest_with_two_sizes_is_rejected(self, store):
        """Both lines are named; a size that is not known contradicts nothing."""
        with pytest.raises(EntryRejected) as caught:
            publish(
                store,
                "d",
                entry("a", 1, "same", size=None),
                entry("b", 2, "same", size=4),
                entry("c", 3, "same", size=5),
            )

        assert (
            str(caught.value) == f"line 3: {sha256('same')} has 5 bytes here and 4 bytes on line 2"
        )
        assert store.distributions() == []

    def test_sizes_of_two_publications_do_not_meet(self, store):
        """One distribution's claim about a digest is nothing to another's."""
        publish(store, "liar", entry("f", content="same", size=999))
        publish(store, "d", entry("f", content="same"))

        assert store.resolve("d/f").artifact.size == 4
        assert store.resolve("liar/f").artifact.size == 999

    @pytest.mark.parametrize("path", ["a\x01b", "a\x00", "\ud800", "x" * 3_000], ids=ascii)
    def test_path_that_cannot_be_a_key_is_rejected(self, store, path):
        """Both databases refuse the same paths, by line."""
        with pytest.raises(EntryRejected) as caught:
            publish(store, "d", entry("fine", 1), entry(path, 2, "content"))

        assert caught.value.args[0] == 2

    @pytest.mark.parametrize(
        "base_path",
        ["", "/d", "d/", "a//b", "a/../b", ".", "d\x00", "d\n", "\ud800", "a/" * 40 + "b"],
    )
    def test_base_path_that_nobody_could_ask_for_is_refused(self, store, base_path):
        """A base path is segments joined by slashes and nothing else."""
        with pytest.raises(OperationRefused), store.publication(base_path):
            pass

    def test_two_publishers_at_once_get_numbers_in_the_order_of_their_end(self, store):
        """Whoever publishes last is current; the other one's work is superseded, not lost."""
        with store.publication("d") as slow, store.publication("d") as quick:
            slow.add([entry("slow")])
            quick.add([entry("quick")])
            first = quick.publish(HOUR, 3)
            second = slow.publish(HOUR, 3)

        assert (first.number, second.number) == (1, 2)
        assert store.resolve("d/slow").grace_until is None
        assert store.resolve("d/quick").grace_until == NOON + HOUR

    @pytest_twisted.ensureDeferred
    async def test_many_publishers_in_threads_do_not_disturb_each_other(self, store):
        """Publishing the same distribution from four threads numbers each publication once."""
        await gatherResults(
            [deferToThread(publish, store, "d", f"f{number}", keep=9) for number in range(4)]
        )

        assert numbers(store, "d") == [4, 3, 2, 1]
        assert store.check() == []

    # -- rollback --------------------------------------------------------------------------------

    def test_rollback_shows_the_publication_before(self, store):
        """The rolled-back one answers by grace only."""
        publish(store, "d", "first", grace=0)
        publish(store, "d", "second", grace=0)

        info = store.rollback("d", None, HOUR)

        assert (1, True, None) == (info.number, info.is_current, info.superseded_at)
        assert store.resolve("d/first").grace_until is None
        assert store.resolve("d/second").grace_until == NOON + HOUR

    def test_rollback_leads_forward_again(self, store):
        """Any publication that is kept can be named, a newer one too."""
        publish(store, "d", "first")
        newest = publish(store, "d", "second")
        store.rollback("d", None, 0)

        store.rollback("d", newest.id, 0)

        assert store.resolve("d/second").grace_until is None
        with pytest.raises(PathNotPublished):
            store.resolve("d/first")

    def test_publishing_after_a_rollback_takes_the_next_number(self, store):
        """A number is never given twice."""
        publish(store, "d", "first")
        publish(store, "d", "second")
        store.rollback("d", None, 0)

        assert publish(store, "d", "third").number == 3

    def test_rollback_without_a_target_is_refused(self, store):
        """No older publication, the current one, and one of another distribution are none."""
        only = publish(store, "d", "f")
        foreign = publish(store, "e", "f")

        for target in (None, only.id, foreign.id):
            with pytest.raises(OperationRefused):
                store.rollback("d", target, 0)

    # -- retention -------------------------------------------------------------------------------

    def test_publications_beyond_number_and_grace_are_deleted(self, store, clock):
        """Publishing keeps as many as it is told, the current one counted."""
        for _ in range(4):
            publish(store, "d", "f", grace=10, keep=2)
            clock.advance(10)

        assert numbers(store, "d") == [4, 3]
        assert store.check() == []

    def test_publications_within_their_grace_are_kept_beyond_the_number(self, store, clock):
        """Retention never takes away what still answers."""
        for _ in range(4):
            publish(store, "d", "f", grace=HOUR, keep=1)

        assert numbers(store, "d") == [4, 3, 2, 1]

    def test_current_publication_is_kept_though_older_than_others(self, store, clock):
        """After a rollback the current one counts first, whatever its number."""
        for _ in range(3):
            publish(store, "d", "f", grace=0)
        oldest = store.publications("d")[-1]
        store.rollback("d", oldest.id, 0)

        store.prune(keep=2)

        assert numbers(store, "d") == [3, 1]

    def test_superseded_publication_can_be_deleted(self, store):
        """Deleting ends its grace at once; the current one is refused."""
        old = publish(store, "d", "old")
        new = publish(store, "d", "new")

        store.delete_publication(old.id)

        assert numbers(store, "d") == [2]
        with pytest.raises(PathNotPublished):
            store.resolve("d/old")
        for publication in (new.id, old.id, 10**6):
            with pytest.raises(OperationRefused):
                store.delete_publication(publication)

    def test_deleted_distribution_begins_anew(self, store):
        """Nothing of a deleted distribution, withdrawals included, touches its successor."""
        publish(store, "d", "f", "g")
        store.withdraw_path("d/f")
        store.delete_distribution("d")

        assert store.distributions() == []
        assert store.check() == []
        assert publish(store, "d", "f").number == 1
        assert store.resolve("d/f").path == "f"

    def test_unknown_things_are_refused(self, store):
        """Every command that names what is not there says so."""
        for command in (
            lambda: store.distribution("d"),
            lambda: store.publications("d"),
            lambda: store.delete_distribution("d"),
            lambda: store.rollback("d", None, 0),
            lambda: store.withdraw_path("d/f"),
            lambda: store.restore_path("d/f"),
            lambda: store.importer("i"),
            lambda: store.update_importer("i", config_of({})),
            lambda: store.delete_importer("i"),
        ):
            with pytest.raises(OperationRefused):
                command()

    def test_distributions_are_listed_with_what_they_show(self, store):
        """The order is that of a tree, in which a folder precedes the names that begin like it."""
        for base_path in ("b", "a-b", "a/b", "a"):
            publish(store, base_path, "f")
        publish(store, "b", "f")

        assert [("a", 1, 1), ("a/b", 1, 1), ("a-b", 1, 1), ("b", 2, 2)] == [
            (info.base_path, info.current.number, info.publication_count)
            for info in store.distributions()
        ]

    # -- prune and check -------------------------------------------------------------------------

    def test_publication_that_a_crash_left_is_pruned_when_it_is_old(self, store, clock):
        """Age counts from the last batch, so a slow publisher is not taken for a dead one."""
        crashed = store.publication("d")
        draft = crashed.__enter__()
        clock.advance(100)
        draft.add([entry("f"), held_entry("g", b"content", 2)])

        assert len(store.check()) == 1
        assert store.prune(keep=3, unfinished_age_seconds=50).unfinished == 0
        clock.advance(51)
        counts = store.prune(keep=3, unfinished_age_seconds=50)

        assert (counts.unfinished, counts.entries) == (1, 2)
        assert store.check() == []
        crashed.__exit__(None, None, None)

    def test_publisher_whose_draft_was_pruned_is_told(self, store, clock):
        """A draft that is gone can neither grow nor be published."""
        with store.publication("d") as draft:
            draft.add([entry("f")])
            clock.advance(51)
            store.prune(keep=3, unfinished_age_seconds=50)

            with pytest.raises(OperationRefused):
                draft.add([entry("g")])
            with pytest.raises(OperationRefused):
                draft.publish(HOUR, 3)
        assert store.distributions() == []

    def test_prune_removes_what_grace_kept(self, store, clock):
        """What outlived its number by grace goes with the first prune after it."""
        for _ in range(3):
            publish(store, "d", "f", "g", grace=HOUR, keep=1)
        store.withdraw_path("d/f")
        publish(store, "d", "f", grace=HOUR, keep=1)
        clock.advance(HOUR)

        counts = store.prune(keep=1)

        assert (3, 6, 1) == (counts.superseded, counts.entries, counts.withdrawals)
        assert numbers(store, "d") == [4]

    def test_check_finds_a_pointer_to_nothing(self, store, url):
        """A distribution whose publication is gone is reported by its base path."""
        publish(store, "d", "f")
        self.execute(url, delete(publications))

        assert len(store.check()) == 1
        assert "'d'" in store.check()[0]

    @pytest.mark.parametrize("emptied", [entries, held_slices], ids=str)
    def test_check_finds_missing_rows(self, store, url, emptied):
        """Entries and held content that are gone are reported."""
        publish(store, "d", held_entry("f", b"content"))
        self.execute(url, delete(emptied))

        assert len(store.check()) == 1

    # -- all that is shown -----------------------------------------------------------------------

    @pytest_twisted.ensureDeferred
    async def test_all_entries_of_a_distribution_come_page_by_page(self, store, catalog):
        """In the order of a tree, each with its artifact, and none of another distribution."""
        held, plain = held_entry("b/held", b"held"), entry("a", size=None, more_digests=(MORE,))
        publish(store, "d", held, plain, *(f"b/{number}" for number in range(5)))
        publish(store, "d/b", "x")
        publish(store, "e", "other")

        pages, after = [], ""
        while page := await catalog.promises("d", after, 3):
            pages.append(page)
            after = page[-1].path

        assert [3, 3, 1] == [len(page) for page in pages]
        found = [each for page in pages for each in page]
        names = ["a", *(f"b/{number}" for number in range(5)), "b/held"]
        assert names == [each.path for each in found]
        assert Promise("a", plain.artifact, held=False) == found[0]
        assert Promise("b/held", held.artifact, held=True) == found[-1]

    @pytest_twisted.ensureDeferred
    async def test_next_page_is_of_what_was_published_meanwhile(self, store, catalog):
        """Nothing that the newest publication has behind the last page is left out."""
        publish(store, "d", "a", "c")
        (first,) = await catalog.promises("d", "", 1)
        publish(store, "d", entry("a", content="new"), "b", "c")

        found = await catalog.promises("d", first.path, 10)

        assert ["b", "c"] == [each.path for each in found]

    @pytest_twisted.ensureDeferred
    async def test_withdrawn_entries_are_on_no_page(self, store, catalog):
        """Neither by their path nor by their digest."""
        publish(store, "d", "a", "b", "c")
        store.withdraw_path("d/a")
        store.withdraw_digest(sha256("b"))

        assert ["c"] == [each.path for each in await catalog.promises("d", "", 10)]

    @pytest_twisted.ensureDeferred
    async def test_distribution_without_publication_has_no_page(self, store, catalog):
        """Whether it is absent or pass-through."""
        store.create_importer("o", "http", {})
        store.bind_distribution("t", "o")

        assert [[], []] == [await catalog.promises(name, "", 10) for name in ("t", "none")]

    # -- withdrawing -----------------------------------------------------------------------------

    def test_withdrawn_path_is_gone_at_once_from_all_publications(self, store):
        """Neither the current publication nor one within its grace answers."""
        publish(store, "d", "f", entry("only-old", 2))
        publish(store, "d", "f")

        assert store.withdraw_path("d/f") == 2
        assert store.withdraw_path("d/only-old") == 1
        for path in ("d/f", "d/only-old"):
            with pytest.raises(PathNotPublished):
                store.resolve(path)

    def test_withdrawn_path_may_be_published_again(self, store):
        """A later publication that has the path means it; a rollback does not bring it back."""
        publish(store, "d", "f")
        store.withdraw_path("d/f")
        publish(store, "d", entry("f", content="repaired"))

        assert store.resolve("d/f").artifact.digest == sha256("repaired")
        store.rollback("d", None, 0)
        with pytest.raises(PathNotPublished):
            store.resolve("d/f")

    def test_path_withdrawn_while_a_publication_is_built_is_in_that_publication(self, store):
        """A withdrawal holds for what was published at that moment."""
        publish(store, "d", "f")
        with store.publication("d") as draft:
            draft.add([entry("f", content="repaired")])
            store.withdraw_path("d/f")
            draft.publish(0, 3)

        assert store.resolve("d/f").artifact.digest == sha256("repaired")

    def test_withdrawn_path_is_restored(self, store):
        """The way back answers as before; there is none where nothing was withdrawn."""
        publish(store, "d", "f")
        store.withdraw_path("d/f")

        assert store.restore_path("d/f") == 1
        assert store.resolve("d/f").path == "f"
        assert store.restore_path("d/f") == 0

    def test_path_that_nothing_has_is_not_withdrawn(self, store):
        """It concerns no entry, so it has no effect on later ones either."""
        publish(store, "d", "f")

        assert store.withdraw_path("d/g") == 0

    def test_withdrawn_digest_is_gone_everywhere_and_for_good(self, store):
        """All distributions lose it, by whichever digest it is known; so do later publications."""
        sha512 = Digest("sha512", "ab" * 64)
        publish(store, "d", entry("f", content="bad"))
        publish(store, "e", entry("g", content="other", more_digests=(sha512,)), entry("h", 2))

        assert store.withdraw_digest(sha256("bad")) == 1
        assert store.withdraw_digest(sha512) == 1
        publish(store, "d", entry("again", content="bad"))
        for path in ("d/f", "e/g", "d/again"):
            with pytest.raises(PathNotPublished):
                store.resolve(path)
        assert store.resolve("e/h").path == "h"

    def test_withdrawn_content_does_not_uncover_an_older_one(self, store):
        """Where the current entry is withdrawn, the path does not fall back to former content."""
        publish(store, "d", entry("f", content="former"))
        publish(store, "d", entry("f", content="bad"))

        store.withdraw_digest(sha256("bad"))

        with pytest.raises(PathNotPublished):
            store.resolve("d/f")

    def test_withdrawn_digest_is_restored(self, store):
        """The way back answers as before; there is none where nothing was withdrawn."""
        publish(store, "d", "f")
        store.withdraw_digest(sha256("f"))

        assert store.restore_digest(sha256("f")) == 1
        assert store.resolve("d/f").path == "f"
        assert store.restore_digest(sha256("f")) == 0

    # -- listing ---------------------------------------------------------------------------------

    def test_folder_lists_names_in_byte_order(self, store):
        """A file comes before the folder of its name, and both before names that go on."""
        names = ["a", "a/b", "a-b", "a0", "a b/c", "é", "Z", "日本/x", "a-b/c", "\U0001f600", "%_"]
        publish(store, "d", *names)

        assert listed(store.list_folder("d/")) == [
            *("%_", "Z", "a", "a/", "a b/", "a-b", "a-b/", "a0", "é", "日本/", "\U0001f600")
        ]

    def test_pages_of_a_folder_join_without_gap_or_overlap(self, store):
        """Over random trees, every folder read page by page is what its paths say."""
        chance = random.Random(7)
        paths = sorted(
            {
                "/".join(
                    "".join(chance.choices("a-0é.", k=chance.randint(1, 2))) for _ in range(depth)
                )
                for depth in (1, 1, 2, 3, 3)
                for _ in range(60)
            }
        )
        paths = [path for path in paths if not {".", ".."} & set(path.split("/"))]
        publish(store, "d", *paths)
        folders = {""} | {
            path[: place + 1] for path in paths for place, c in enumerate(path) if c == "/"
        }

        for folder in folders:
            rest = [path[len(folder) :] for path in paths if path.startswith(folder)]
            expected = sorted(
                {(name, bool(slash)) for name, slash, _ in (path.partition("/") for path in rest)}
            )
            for limit in (1, 3, 100):
                found, page = [], store.list_folder(f"d/{folder}", "", limit)
                while page.items:
                    found += [(item.name, item.is_folder) for item in page.items]
                    assert len({item.name for item in page.items}) <= limit
                    if not page.more:
                        break
                    page = store.list_folder(f"d/{folder}", page.items[-1].name, limit)
                assert found == expected

    def test_file_is_listed_with_size_and_time(self, store):
        """What a listing says of a file is what resolving it says."""
        publish(store, "d", entry("f", size=None), entry("g", 2, size=7, last_modified=99), "h/i")

        assert store.list_folder("d/").items == (
            FolderItem("f", is_folder=False, size=None, last_modified=int(NOON)),
            FolderItem("g", is_folder=False, size=7, last_modified=99),
            FolderItem("h", is_folder=True),
        )

    def test_sub_folders_of_many_entries_are_one_name_each(self, store):
        """What lies deep below a folder does not show in it."""
        publish(store, "d", *(f"{folder}/{number}" for folder in "abc" for number in range(500)))

        assert listed(store.list_folder("d/")) == ["a/", "b/", "c/"]

    def test_base_paths_are_folders(self, store):
        """The root and the folders above a base path list what lies on the way to it."""
        for base_path in ("fedora/40/os", "fedora/41", "debian"):
            publish(store, base_path, "f")

        assert listed(store.list_folder("")) == ["debian/", "fedora/"]
        assert listed(store.list_folder("fedora/")) == ["40/", "41/"]
        assert listed(store.list_folder("fedora/40/")) == ["os/"]
        assert listed(store.list_folder("", "debian", 1)) == ["fedora/"]

    def test_base_paths_and_entries_are_listed_together(self, store):
        """A base path below a distribution hides what that one has under the same name."""
        publish(store, "d", "a", "b/c", "e/f", "e/g/hidden")
        publish(store, "d/a", "x")
        publish(store, "d/c", "x")
        publish(store, "d/e/g", "shown")

        assert listed(store.list_folder("d/")) == ["a/", "b/", "c/", "e/"]
        assert listed(store.list_folder("d/e/")) == ["f", "g/"]
        assert listed(store.list_folder("d/e/g/")) == ["shown"]

    def test_folder_shows_the_current_publication_only(self, store):
        """Grace answers for files, not in listings."""
        publish(store, "d", "old/f")
        publish(store, "d", "new")

        assert listed(store.list_folder("d/")) == ["new"]
        with pytest.raises(PathNotPublished):
            store.list_folder("d/old/")

    def test_withdrawn_entries_are_not_listed(self, store):
        """A folder with nothing else in it is gone too."""
        publish(store, "d", "a/f", entry("a/g", 2, "bad"), entry("b", 3, "bad"), entry("c", 4))

        store.withdraw_path("d/a/f")
        store.withdraw_digest(sha256("bad"))

        assert listed(store.list_folder("d/")) == ["c"]
        with pytest.raises(PathNotPublished):
            store.list_folder("d/a/")

    @pytest.mark.parametrize(
        "path", ["d", "d/f", "d/f/", "d/x/", "e/", "/", "d//", "d/\x00/", "\ud800/"], ids=ascii
    )
    def test_folder_that_is_not_there_is_refused(self, store, path):
        """A file is no folder, and a folder is written with its slash."""
        publish(store, "d", "f")

        with pytest.raises(PathNotPublished):
            store.list_folder(path)

    def test_page_behind_the_last_name_is_empty(self, store):
        """A folder that is there has an empty page at its end; one that is not has none."""
        publish(store, "d", "f")

        assert store.list_folder("d/", "f").items == ()
        with pytest.raises(PathNotPublished):
            store.list_folder("e/", "f")

    def test_empty_distribution_and_empty_root_are_folders(self, store):
        """They exist, and nothing is in them."""
        assert store.list_folder("").items == ()

        publish(store, "d")

        assert listed(store.list_folder("")) == ["d/"]
        assert store.list_folder("d/").items == ()

    # -- pass-through ----------------------------------------------------------------------------

    def test_bound_base_path_resolves_to_its_importer(self, store):
        """The base path itself and whatever is below it: the catalog knows nothing more."""
        importer = store.create_importer("npm", "http", {"url": "http://origin.example/"})

        info = store.bind_distribution("proxy/npm", "npm", keeps_query=True)

        expected = PassThrough("proxy/npm", importer, keeps_query=True)
        for path in ("proxy/npm", "proxy/npm/a", "proxy/npm/a/b", "proxy/npm/index.html"):
            assert expected == store.resolve(path)
        assert DistributionInfo("proxy/npm", None, 0, "npm", True) == info
        assert info == store.distribution("proxy/npm")
        for path in ("proxy", "proxy/np", "proxy/npm-a"):
            with pytest.raises(PathNotPublished):
                store.resolve(path)

    def test_bound_base_path_sees_the_importer_as_it_is_now(self, store):
        """A change of the importer's config counts from the next look-up on."""
        store.create_importer("npm", "http", {"url": "http://old.example/"})
        store.bind_distribution("npm", "npm")

        changed = store.update_importer("npm", config_of({"url": "http://new.example/"}))

        assert changed == store.resolve("npm/a").importer

    def test_base_path_is_bound_anew(self, store):
        """A pass-through distribution may get another importer, and another say about queries."""
        store.create_importer("old", "http", {})
        new = store.create_importer("new", "http", {})
        store.bind_distribution("d", "old", keeps_query=True)

        info = store.bind_distribution("d", "new")

        assert ("new", False) == (info.importer, info.keeps_query)
        assert PassThrough("d", new) == store.resolve("d/f")
        store.delete_importer("old")

    def test_longest_base_path_decides_whether_it_passes_through(self, store):
        """Either kind of distribution may lie below the other one."""
        store.create_importer("i", "http", {})
        store.bind_distribution("a", "i")
        publish(store, "a/b", "f", "c/hidden")
        store.bind_distribution("a/b/c", "i")

        assert "a" == store.resolve("a/f").base_path
        assert "f" == store.resolve("a/b/f").path
        assert "a/b/c" == store.resolve("a/b/c/hidden").base_path
        with pytest.raises(PathNotPublished):
            store.resolve("a/b/g")

    def test_base_path_with_publications_is_not_bound(self, store):
        """What clients see there does not vanish by accident."""
        store.create_importer("i", "http", {})
        publish(store, "d", "f")

        with pytest.raises(OperationRefused):
            store.bind_distribution("d", "i")

        assert "f" == store.resolve("d/f").path
        store.delete_distribution("d")
        assert "i" == store.bind_distribution("d", "i").importer

    def test_nothing_is_published_at_a_bound_base_path(self, store):
        """It is refused before anything is read, and when it was bound meanwhile at the end."""
        store.create_importer("i", "http", {})
        with store.publication("d") as draft:
            draft.add([entry("f")])
            store.bind_distribution("d", "i")
            with pytest.raises(OperationRefused):
                draft.publish(HOUR, 3)

        with pytest.raises(OperationRefused):
            publish(store, "d", "f")

        assert "i" == store.resolve("d/f").importer.name
        store.delete_distribution("d")
        assert 1 == publish(store, "d", "f").number

    @pytest.mark.parametrize("base_path", ["", "/d", "d/", "a//b", "a/../b", "a\n"])
    def test_base_path_that_nobody_could_ask_for_is_not_bound(self, store, base_path):
        """It follows the rules of every base path."""
        store.create_importer("i", "http", {})

        with pytest.raises(OperationRefused):
            store.bind_distribution(base_path, "i")

    def test_bound_base_path_has_no_publications(self, store):
        """What is about publications is refused by name, and leaves it as it is."""
        store.create_importer("i", "http", {})
        store.bind_distribution("d", "i")

        for command in (
            lambda: store.publications("d"),
            lambda: store.rollback("d", None, 0),
            lambda: store.bind_distribution("d", "unknown"),
            lambda: store.withdraw_path("d/f"),
        ):
            with pytest.raises(OperationRefused):
                command()
        assert 0 == store.prune(keep=1).superseded
        assert [] == store.check()
        assert "i" == store.distribution("d").importer

    def test_importer_of_a_bound_base_path_is_not_deleted(self, store):
        """The refusal names the base path."""
        store.create_importer("i", "http", {})
        store.bind_distribution("proxy/d", "i")

        with pytest.raises(OperationRefused, match="proxy/d"):
            store.delete_importer("i")

        store.delete_distribution("proxy/d")
        store.delete_importer("i")
        assert [] == store.distributions()

    def test_bound_base_paths_are_listed_among_the_others(self, store):
        """Distributions of both kinds stand in the order of one tree."""
        store.create_importer("i", "http", {})
        for base_path in ("b", "a-b", "a"):
            publish(store, base_path, "f")
        for base_path in ("a/b", "c"):
            store.bind_distribution(base_path, "i")

        assert [("a", None), ("a/b", "i"), ("a-b", None), ("b", None), ("c", "i")] == [
            (info.base_path, info.importer) for info in store.distributions()
        ]

    def test_bound_base_path_is_a_folder_of_which_the_catalog_knows_nothing(self, store):
        """Only other base paths are listed below it, and it hides what it lies upon."""
        store.create_importer("i", "http", {})
        publish(store, "d", "f", "npm/hidden")
        store.bind_distribution("d/npm", "i")
        publish(store, "d/npm/own/x", "f")

        assert ["f", "npm/"] == listed(store.list_folder("d/"))
        assert ["own/"] == listed(store.list_folder("d/npm/"))
        assert ["x/"] == listed(store.list_folder("d/npm/own/"))
        with pytest.raises(PathNotPublished):
            store.list_folder("d/npm/hidden/")

    def test_check_finds_a_bound_base_path_without_its_importer(self, store, url):
        """It answers nothing, and can be deleted."""
        store.create_importer("i", "http", {})
        store.bind_distribution("d", "i")
        self.execute(url, delete(importers))

        assert 1 == len(store.check())
        with pytest.raises(PathNotPublished):
            store.resolve("d/f")
        store.delete_distribution("d")
        assert [] == store.check()

    @pytest_twisted.ensureDeferred
    async def test_service_sees_a_bound_base_path_with_the_next_look_up(self, store, catalog):
        """Binding counts at once, like publishing."""
        importer = store.create_importer("i", "http", {})
        with pytest.raises(PathNotPublished):
            await catalog.resolve("d/f")

        store.bind_distribution("d", "i")

        assert PassThrough("d", importer) == await catalog.resolve("d/f")

    # -- importers -------------------------------------------------------------------------------

    def test_importers_are_stored_and_listed_by_name(self, store):
        """What was stored comes back, at its first revision."""
        second = store.create_importer("b", "http", {"url": "http://b.example/", "n": [1, None]})
        first = store.create_importer("a.B_c-1", "ftp", {})

        assert [first, second] == store.importers()
        assert second == store.importer("b")
        assert second == DownloadConfig(
            second.id, 1, "b", "http", {"url": "http://b.example/", "n": [1, None]}
        )

    @pytest.mark.parametrize(
        "name", ["", "-a", ".a", "a/b", "a b", "é", "a\n", "x" * 256], ids=ascii
    )
    def test_importer_name_that_is_no_word_is_refused(self, store, name):
        """Names appear in logs and commands, so they are letters, digits and three signs."""
        with pytest.raises(OperationRefused):
            store.create_importer(name, "http", {})

    def test_importer_of_a_taken_name_is_refused(self, store):
        """The one that is there stays as it is."""
        kept = store.create_importer("i", "http", {"url": "http://kept.example/"})

        with pytest.raises(OperationRefused):
            store.create_importer("i", "http", {})

        assert store.importer("i") == kept

    def test_secret_part_is_sealed_for_the_id_that_the_importer_gets(self, store):
        """It comes back as it was given, to the store and beside a source, and is not shown."""
        created = store.create_importer("i", "http", {"url": "http://h/"}, lambda id_: f"for {id_}")
        publish(store, "d", entry("f", sources=(EntrySource(created.id, "f"),)))

        assert f"for {created.id}" == created.sealed
        assert [created] == store.importers()
        assert created == store.resolve("d/f").sources[0].importer
        assert "for" not in repr(created)

    def test_importer_that_cannot_be_sealed_is_not_stored(self, store):
        """The name is free for the next attempt."""
        with pytest.raises(KeyUnusable):
            store.create_importer("i", "http", {}, refuse)

        assert [] == store.importers()

    def test_change_sees_what_is_stored_and_replaces_it(self, store):
        """Config and sealed part change together, under a new revision."""
        created = store.create_importer("i", "http", {"url": "http://h/"}, lambda id_: "old")
        seen = []

        def change(stored):
            seen.append(stored)
            return replace(stored, config={"n": 1}, sealed="new")

        changed = store.update_importer("i", change)

        assert [created] == seen
        assert replace(created, revision=2, config={"n": 1}, sealed="new") == changed
        assert changed == store.importer("i")

    def test_change_that_is_refused_changes_nothing(self, store):
        """Not even the revision."""
        created = store.create_importer("i", "http", {"n": 1}, lambda id_: "sealed")

        with pytest.raises(KeyUnusable):
            store.update_importer("i", refuse)

        assert created == store.importer("i")

    def test_sealing_anew_keeps_the_revision(self, store):
        """The secrets are the same, so connections stay; what is not given stays as it is."""
        plain = store.create_importer("a", "http", {})
        sealed = store.create_importer("b", "http", {"n": 1}, lambda id_: "old")
        seen = []

        def reseal(importers):
            seen.extend(importers)
            return [replace(sealed, config={}, sealed="new")]

        changed = store.reseal_importers(reseal)

        assert [plain, sealed] == seen
        assert [replace(sealed, config={}, sealed="new")] == changed
        assert [plain, *changed] == store.importers()

    def test_sealing_anew_that_is_refused_changes_nothing(self, store):
        """Importers are sealed anew all together or not at all."""
        created = store.create_importer("i", "http", {}, lambda id_: "old")

        def reseal(importers):
            yield replace(importers[0], sealed="new")
            refuse()

        with pytest.raises(KeyUnusable):
            store.reseal_importers(reseal)

        assert [created] == store.importers()

    def test_importer_is_not_changed_while_secrets_are_sealed_anew(self, url, store):
        """Whoever is about to seal waits, lest the key that it took is gone when it stores."""
        store.create_importer("i", "http", {}, lambda id_: "old")
        order = []

        def change(stored):
            order.append(f"change of {stored.sealed}")
            return replace(stored, sealed="changed")

        def change_elsewhere():
            with open_store(url) as other:
                other.update_importer("i", change)

        other = threading.Thread(target=change_elsewhere)

        def reseal(importers):
            other.start()
            other.join(HEAD_START_SECONDS)
            order.append("seal anew")
            return [replace(importers[0], sealed="sealed anew")]

        store.reseal_importers(reseal)
        other.join()

        assert ["seal anew", "change of sealed anew"] == order
        assert "changed" == store.importer("i").sealed

    def test_file_is_rewritten_with_all_that_is_in_it(self, store):
        """Nothing but room is lost."""
        created = store.create_importer("i", "http", {"n": 1}, lambda id_: "sealed")
        publish(store, "d", "f")

        store.rewrite_file()

        assert [created] == store.importers()
        assert "f" == store.resolve("d/f").path
        assert [] == store.check()

    def test_importer_in_use_is_not_deleted(self, store):
        """The refusal names the distributions, also of superseded and unfinished publications."""
        importer = store.create_importer("i", "http", {})
        using = entry("f", sources=(EntrySource(importer.id, "f"),))
        publish(store, "superseded", using)
        publish(store, "superseded", "f")
        with store.publication("unfinished") as draft:
            draft.add([using])
            with pytest.raises(OperationRefused) as caught:
                store.delete_importer("i")

        assert "superseded, unfinished" in str(caught.value)

    def test_importer_no_longer_in_use_is_deleted(self, store):
        """Its id is not given to the next one, which must not share its connections."""
        importer = store.create_importer("i", "http", {})
        publish(store, "d", entry("f", sources=(EntrySource(importer.id, "f"),)))
        store.delete_distribution("d")

        store.delete_importer("i")

        assert store.importers() == []
        assert store.create_importer("i", "http", {}).id > importer.id

    def test_entry_of_a_deleted_importer_is_rejected(self, store):
        """An importer that went while its entries were read is named by the line."""
        with pytest.raises(EntryRejected) as caught:
            publish(store, "d", "f", entry("g", 2, sources=(EntrySource(77, "g"),)))

        assert caught.value.args[0] == 2

    # -- versions --------------------------------------------------------------------------------

    def test_database_without_tables_is_refused_until_it_is_upgraded(self, empty_url):
        """The message names the command, which then does it; doing it again changes nothing."""
        with pytest.raises(CatalogUnusable, match="pulp-streamer catalog upgrade"):
            open_store(empty_url)

        upgrade_catalog(empty_url)

        assert upgrade_catalog(empty_url) is None
        with open_store(empty_url) as store:
            assert store.check() == []

    def test_catalog_of_a_newer_version_is_refused(self, url):
        """Neither opening nor upgrading touches it."""
        version = table(VERSION_TABLE, column("version_num"))
        self.execute(url, update(version).values(version_num="9999"))

        for refused in (open_store, upgrade_catalog):
            with pytest.raises(CatalogUnusable, match="newer pulp-streamer"):
                refused(url)

    def test_database_of_something_else_is_refused(self, foreign_url):
        """Neither opening nor upgrading puts tables beside those of others."""
        for refused in (open_store, upgrade_catalog):
            with pytest.raises(CatalogUnusable, match="something else"):
                refused(foreign_url)

    def test_migrations_make_the_tables_that_statements_use(self, url):
        """Alembic finds no difference between its revisions and `tables`."""
        database = Database(url)
        with database.reading() as connection:
            options = {"version_table": VERSION_TABLE}
            context = MigrationContext.configure(connection, opts=options)
            differences = compare_metadata(context, metadata)
        database.close()

        assert differences == []

    @pytest_twisted.ensureDeferred
    async def test_check_of_the_service_refuses_a_wrong_schema(self, empty_url, reactor):
        """A service may start before its database is ready, and says what is wrong with it."""
        catalog = ThreadedCatalog(empty_url, reactor)
        catalog.start()
        try:
            with pytest.raises(CatalogUnusable):
                await catalog.check()
        finally:
            catalog.stop()

    # -- the service's side ----------------------------------------------------------------------

    @pytest_twisted.ensureDeferred
    async def test_service_answers_as_the_store_does(self, store, catalog):
        """Look-ups off the reactor thread see the same catalog."""
        publish(store, "d", "f", "g/h")

        assert await catalog.check() is None
        assert await catalog.resolve("d/f") == store.resolve("d/f")
        assert await catalog.list_folder("d/", "", 10) == store.list_folder("d/", "", 10)
        with pytest.raises(PathNotPublished):
            await catalog.resolve("d/\x00")
        with pytest.raises(PathNotPublished):
            await catalog.list_folder("e/", "", 10)

    @pytest_twisted.ensureDeferred
    async def test_service_sees_a_change_with_the_next_look_up(self, store, catalog):
        """Nothing is remembered between look-ups."""
        publish(store, "d", "f")
        await catalog.resolve("d/f")

        store.withdraw_path("d/f")

        with pytest.raises(PathNotPublished):
            await catalog.resolve("d/f")

    @pytest_twisted.ensureDeferred
    async def test_publishing_disturbs_no_look_up(self, store, catalog):
        """While a large publication is written, every look-up finds the former one or the new."""
        publish(store, "d", entry("f", content="former"))
        new = [entry("f", 1, "new"), *(entry(f"{n:05d}", n) for n in range(2, 8_000))]
        publishing = deferToThread(publish, store, "d", *new)
        seen = []
        while not publishing.called or not seen:
            seen.append((await catalog.resolve("d/f")).artifact.digest)
        await publishing

        assert set(seen) <= {sha256("former"), sha256("new")}
        assert (await catalog.resolve("d/f")).artifact.digest == sha256("new")

    @pytest_twisted.ensureDeferred
    async def test_look_ups_beyond_the_queue_are_refused_at_once(self, url, store, reactor):
        """Those that found room are answered; the rest hear that the catalog is busy."""
        publish(store, "d", "f")
        catalog = ThreadedCatalog(url, reactor, most_waiting=2)
        catalog.start()
        asked = [Deferred.fromCoroutine(catalog.resolve("d/f")) for _ in range(20)]
        outcomes = []
        for answer in asked:
            try:
                outcomes.append((await answer).path)
            except CatalogUnavailable:
                outcomes.append("refused")
        catalog.stop()

        assert outcomes == ["f"] * 6 + ["refused"] * 14

    @pytest_twisted.ensureDeferred
    async def test_look_up_that_waited_too_long_is_not_begun(self, url, store, reactor):
        """What nobody waits for any more does not keep a database busy that is slow already."""
        publish(store, "d", "f")
        times = iter([0.0, 6.0])
        catalog = ThreadedCatalog(url, reactor, monotonic=lambda: next(times))
        catalog.start()
        try:
            with pytest.raises(CatalogUnavailable):
                await catalog.resolve("d/f")
        finally:
            catalog.stop()

    @pytest_twisted.ensureDeferred
    async def test_cancelled_look_up_is_over_at_once(self, store, catalog):
        """Whoever awaited it goes on, and so does the catalog."""
        publish(store, "d", "f")
        look_up = Deferred.fromCoroutine(catalog.resolve("d/f"))

        look_up.cancel()

        with pytest.raises(CancelledError):
            await look_up
        assert (await catalog.resolve("d/f")).path == "f"

    @pytest_twisted.ensureDeferred
    async def test_stopped_catalog_refuses(self, store, catalog, url, reactor):
        """A look-up after the end is refused like one while the database is away."""
        stopped = ThreadedCatalog(url, reactor)
        stopped.start()
        stopped.stop()

        with pytest.raises(CatalogUnavailable):
            await stopped.resolve("d/f")

    # -- held content ----------------------------------------------------------------------------

    @pytest.mark.parametrize("size", [0, 1, SLICE_BYTES, SLICE_BYTES + 1, 3 * SLICE_BYTES])
    @pytest_twisted.ensureDeferred
    async def test_held_content_comes_back_whole(self, store, catalog, size):
        """Every size comes in slices and ends without an error."""
        content = random.Random(size).randbytes(size)
        publish(store, "d", held_entry("f", content), held_entry("copy", content, 2))
        artifact = await catalog.resolve("d/copy")
        download = await catalog.open_held(artifact)

        assert artifact.held
        assert artifact.sources == ()
        assert download.response.length == size
        assert await collected(download) == (content, None)

    @pytest_twisted.ensureDeferred
    async def test_paused_held_content_waits(self, store, catalog):
        """After a pause nothing more is read until it is resumed."""
        content = bytes(3 * SLICE_BYTES)
        publish(store, "d", held_entry("f", content))
        download = await catalog.open_held(await catalog.resolve("d/f"))
        sink, arrived = Collector(), Deferred()
        sink.on_chunk = lambda: (download.pause(), arrived.called or arrived.callback(None))
        download.deliver(sink)
        await arrived
        for _ in range(5):
            await catalog.check()
        received_in_pause = len(sink.chunks)
        sink.on_chunk = lambda: None
        download.resume()
        error = await sink.ended

        assert (1, None, content) == (received_in_pause, error, b"".join(sink.chunks))

    @pytest_twisted.ensureDeferred
    async def test_stopped_held_content_is_silent(self, store, catalog):
        """Nothing is called after a stop, whether before, during or after a slice."""
        publish(store, "d", held_entry("f", bytes(3 * SLICE_BYTES)))
        artifact = await catalog.resolve("d/f")
        early, late = await catalog.open_held(artifact), await catalog.open_held(artifact)
        stopped_at_once, stopped_later, arrived = Collector(), Collector(), Deferred()
        stopped_later.on_chunk = lambda: (late.stop(), arrived.callback(None))
        early.deliver(stopped_at_once)
        early.stop()
        late.deliver(stopped_later)
        await arrived
        late.stop()
        late.resume()
        for _ in range(5):
            await catalog.check()

        assert (0, 1) == (len(stopped_at_once.chunks), len(stopped_later.chunks))
        assert not stopped_at_once.ended.called
        assert not stopped_later.ended.called

    @pytest_twisted.ensureDeferred
    async def test_held_content_of_a_deleted_publication_is_not_published(self, store, catalog):
        """An artifact that was resolved a moment before cannot be opened any more."""
        publish(store, "d", held_entry("f", b"content"))
        artifact = await catalog.resolve("d/f")
        store.delete_distribution("d")

        with pytest.raises(PathNotPublished):
            await catalog.open_held(artifact)

    @pytest_twisted.ensureDeferred
    async def test_held_content_deleted_while_it_is_read_breaks_off(self, store, catalog):
        """It ends with an error at the offset that was reached, never as if it were complete."""
        publish(store, "d", held_entry("f", bytes(3 * SLICE_BYTES)))
        download = await catalog.open_held(await catalog.resolve("d/f"))
        sink, arrived = Collector(), Deferred()
        sink.on_chunk = lambda: (download.pause(), arrived.callback(None))
        download.deliver(sink)
        await arrived
        store.delete_distribution("d")
        download.resume()
        error = await sink.ended

        assert isinstance(error, ContentTruncated)
        assert error.args == (SLICE_BYTES,)

    @staticmethod
    def execute(url, statement):
        """Do to a database what no command does."""
        database = Database(url)
        with database.writing() as connection:
            connection.execute(statement)
        database.close()
