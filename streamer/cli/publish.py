"""`publish`: a manifest or an entries file into a publication, whole or not at all.

Lines stream from the file through the parser into the catalog, so memory does not grow with
them. Wrong lines are gathered until there are enough to be worth reading; then, or at the end,
the draft is dropped. The catalog sees to it that a draft which is dropped leaves nothing visible,
whatever ends the command.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import BinaryIO

import click

from streamer.catalog import CatalogStore, PublicationInfo
from streamer.cli.frame import EntriesRejected, Invocation, common_options, examples, size_text
from streamer.cli.importers import find_importer
from streamer.cli.progress import Progress, make_progress
from streamer.errors import EntryRejected, OperationRefused
from streamer.importers import Registry
from streamer.model import DownloadConfig, Entry
from streamer.publishing import bounded_lines, parse_entries, publish_manifest
from streamer.publishing.entries import MAX_HELD_BYTES

MAX_REJECTIONS = 20


@dataclass(frozen=True, slots=True)
class _Input:
    """The file to publish from: its lines, its name, and where its relative files lie."""

    stream: BinaryIO
    path: Path
    is_manifest: bool

    def lines(self, progress: Progress) -> Iterator[bytes]:
        try:
            for line in bounded_lines(self.stream):
                progress.read(len(line))
                yield line
        except OSError as error:
            sentence = f"{self.stream.name} cannot be read: {error.strerror}"
            raise OperationRefused(sentence) from error


@dataclass(slots=True)
class _Rejections:
    """The wrong lines so far; ends the reading when there are enough of them."""

    gathered: list[EntryRejected] = field(default_factory=list)

    def report(self, rejection: EntryRejected) -> None:
        self.gathered.append(rejection)
        if len(self.gathered) >= MAX_REJECTIONS:
            raise EntriesRejected(tuple(self.gathered))

    def passed(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Let entries through until a line was wrong; from then on read on for others only."""
        for entry in entries:
            if not self.gathered:
                yield entry
        if self.gathered:
            raise EntriesRejected(tuple(self.gathered))


@click.command(
    short_help="Publish a manifest or an entries file.",
    epilog=examples(
        "pulp-streamer publish fedora/40/os --importer fedora --manifest PULP_MANIFEST",
        "generate-entries | pulp-streamer publish pypi --importer pypi --entries -",
    ),
)
@click.argument("base_path")
@click.option(
    "--importer",
    "importer_name",
    metavar="NAME",
    help="Where content comes from; may be left out if every entry names its own.",
)
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Lines `path,sha256,size`, as in a PULP_MANIFEST, published with them.",
)
@click.option(
    "--entries",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="JSON lines, one entry each; - is standard input.",
)
@click.option("--no-grace", is_flag=True, help="End what was published before at once.")
@common_options
@click.pass_obj
def publish(
    invocation: Invocation,
    base_path: str,
    importer_name: str | None,
    manifest: Path | None,
    entries: Path | None,
    no_grace: bool,
) -> None:
    """Publish a manifest or an entries file at BASE_PATH, in place of what is there.

    Clients see all of it at once or, if a line is wrong, nothing. The publication before goes on
    answering for `catalog.grace` where the new one lacks a path.
    """
    path = manifest or entries
    if path is None or (manifest and entries):
        raise click.UsageError("publish needs either --manifest or --entries")
    if manifest and importer_name is None:
        raise click.UsageError("--manifest needs --importer")
    started = time.monotonic()
    with _opened(path, is_manifest=manifest is not None) as source, invocation.store() as store:
        info = _publish(invocation, store, base_path.strip("/"), importer_name, source, no_grace)
    seconds = time.monotonic() - started
    document = {
        "base_path": info.base_path,
        "publication": info.number,
        "id": info.id,
        "entries": info.entry_count,
        "bytes": info.total_size,
        "seconds": round(seconds, 3),
    }
    invocation.answer(
        document,
        f"published {info.base_path} as publication {info.number} (id {info.id}):"
        f" {info.entry_count:,} {'entry' if info.entry_count == 1 else 'entries'},"
        f" {size_text(info.total_size)} promised, {seconds:.1f} s",
    )


@contextmanager
def _opened(path: Path, *, is_manifest: bool) -> Iterator[_Input]:
    if str(path) == "-" and not is_manifest:
        yield _Input(sys.stdin.buffer, Path(), is_manifest)
        return
    try:
        stream = path.open("rb")
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    with stream:
        yield _Input(stream, path, is_manifest)


def _publish(
    invocation: Invocation,
    store: CatalogStore,
    base_path: str,
    importer_name: str | None,
    source: _Input,
    no_grace: bool,
) -> PublicationInfo:
    settings = invocation.settings().catalog
    importer = None if importer_name is None else store.importer(importer_name)
    grace_seconds = 0.0 if no_grace else settings.grace_seconds
    rejections = _Rejections()
    with (
        make_progress(source.stream, silent=invocation.as_json) as progress,
        store.publication(base_path) as draft,
    ):
        found = _entries(source, store, importer, progress, rejections)
        try:
            draft.add(progress.counted(rejections.passed(found)))
            return draft.publish(grace_seconds=grace_seconds, keep=settings.keep)
        except EntryRejected as rejection:
            # The catalog finds what only all lines together can show.
            raise EntriesRejected((*rejections.gathered, rejection)) from None


def _entries(
    source: _Input,
    store: CatalogStore,
    importer: DownloadConfig | None,
    progress: Progress,
    rejections: _Rejections,
) -> Iterator[Entry]:
    lines, report = source.lines(progress), rejections.report
    if source.is_manifest and importer is not None:
        if source.path.stat().st_size > MAX_HELD_BYTES:
            progress.say(f"{source.path.name} is too large to hold: it stays with its origin")
        return publish_manifest(lines, source.path.name, importer, report=report)
    return parse_entries(
        lines,
        cache(partial(find_importer, store)),
        importer,
        source.path.parent,
        schemes=cache(partial(_schemes_of, Registry())),
        report=report,
    )


def _schemes_of(registry: Registry, importer: DownloadConfig) -> frozenset[str]:
    return registry.type(importer.type).schemes
