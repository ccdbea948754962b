"""`resolve`, `withdraw`, `fetch`: one published path at a time, seen as a client would."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import click

from streamer.catalog import CatalogStore
from streamer.cli.explaining import artifact_document, delivery_reasons, distribution_reasons, flat
from streamer.cli.frame import Invocation, common_options, examples, size_text
from streamer.errors import OperationRefused, PathNotPublished
from streamer.model import Digest, PublishedArtifact
from streamer.publishing.values import ValueRefused, read_digests

_DIGEST = re.compile(r"(sha\d+|md5):[0-9A-Fa-f]+", re.ASCII)


@click.command(
    short_help="Show what a path promises, asking no origin.",
    epilog=examples("pulp-streamer resolve fedora/40/os/Packages/b/bash.rpm --explain"),
)
@click.argument("path")
@click.option("--explain", is_flag=True, help="Say how the answer comes about.")
@common_options
@click.pass_obj
def resolve(invocation: Invocation, path: str, explain: bool) -> None:
    """Show what PATH (base path included) promises, without asking an origin."""
    path = path.lstrip("/")
    with invocation.store() as store:
        reasons = list(distribution_reasons(store, path, time.time())) if explain else []
        published = _published(store, path, *reasons)
    document = artifact_document(path, published)
    lines = [f"{key.replace('_', ' ')}: {value}" for key, value in flat(document)]
    if explain:
        reasons += delivery_reasons(published, time.time())
        document["explanation"] = reasons
    invocation.answer(document, *lines, *(f"- {reason}" for reason in reasons))


def _published(store: CatalogStore, path: str, *reasons: str) -> PublishedArtifact:
    try:
        return store.resolve(path)
    except PathNotPublished:
        sentence = "; ".join([*reasons, f"nothing is published at {path!r}"])
        raise OperationRefused(sentence) from None


@click.command(
    short_help="Let a path or content vanish everywhere.",
    epilog=examples(
        "pulp-streamer withdraw fedora/40/os/Packages/b/bash.rpm",
        "pulp-streamer withdraw --undo fedora/40/os/Packages/b/bash.rpm",
        "pulp-streamer withdraw sha256:$(sha256sum bash.rpm | cut -c1-64)",
    ),
)
@click.argument("what", metavar="(PATH | sha256:HEX)")
@click.option("--undo", is_flag=True, help="Take a withdrawal back.")
@common_options
@click.pass_obj
def withdraw(invocation: Invocation, what: str, undo: bool) -> None:
    """Let a path or content vanish everywhere at once, grace included.

    A path may come back with a later publication; content with a withdrawn digest may not.
    """
    with invocation.store() as store:
        if _DIGEST.fullmatch(what):
            name, count = _withdraw_digest(store, what, undo)
        else:
            name, count = _withdraw_path(store, what.lstrip("/"), undo)
    verb = "restored" if undo else "withdrew"
    invocation.answer(
        {"withdrawn": not undo, "subject": name, "entries": count},
        f"{verb} {name}: {count:,} published {'entry' if count == 1 else 'entries'}",
    )


def _withdraw_path(store: CatalogStore, path: str, undo: bool) -> tuple[str, int]:
    count = store.restore_path(path) if undo else store.withdraw_path(path)
    if not count:
        state = "withdrawn" if undo else "published"
        raise OperationRefused(f"nothing is {state} at {path!r}")
    return path, count


def _withdraw_digest(store: CatalogStore, text: str, undo: bool) -> tuple[str, int]:
    digest = _digest(text)
    count = store.restore_digest(digest) if undo else store.withdraw_digest(digest)
    return str(digest), count


def _digest(text: str) -> Digest:
    try:
        return read_digests([text])[0]
    except ValueRefused as error:
        raise click.UsageError(str(error)) from None


@click.command(
    short_help="Fetch a path from its origin and verify it.",
    epilog=examples(
        "pulp-streamer fetch fedora/40/os/Packages/b/bash.rpm --output bash.rpm",
        "pulp-streamer fetch fedora/40/os/repodata/repomd.xml | less",
    ),
)
@click.argument("path")
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file appears when its content is verified. Default: standard output.",
)
@common_options
@click.pass_obj
def fetch(invocation: Invocation, path: str, output: Path | None) -> None:
    """Fetch PATH (base path included) from its origin and verify it, without the service."""
    if output is None and (invocation.as_json or sys.stdout.isatty()):
        raise click.UsageError("name a file with --output: standard output is taken")
    # Twisted's reactor and all that stands on it; no other command needs it.
    from streamer.cli.fetching import Target, fetch_into

    settings, path = invocation.settings(), path.lstrip("/")
    with invocation.store() as store:
        published = _published(store, path)
    started = time.monotonic()
    with Target(output) as target:
        origin = fetch_into(target, published, settings)
    document = {
        "path": path,
        "digest": str(published.artifact.digest),
        "bytes": target.written_bytes,
        "origin": origin,
        "seconds": round(time.monotonic() - started, 3),
    }
    if output is not None:
        size = size_text(target.written_bytes)
        invocation.answer(document, f"fetched {path} from {origin}: {size}, verified")
