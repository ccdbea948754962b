"""`resolve`, `withdraw`, `fetch`: one published path at a time, seen as a client would."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

import click
from click.core import ParameterSource

from streamer.catalog import CatalogStore
from streamer.cli.explaining import (
    artifact_document,
    delivery_reasons,
    distribution_reasons,
    flat,
    pass_through_document,
    pass_through_reasons,
)
from streamer.cli.frame import FAILED, Invocation, common_options, examples, size_text
from streamer.cli.learning import JOBS, MOST_JOBS, learned_all, published_at
from streamer.errors import OperationRefused, PathNotPublished
from streamer.model import Digest, PassThrough, PublishedArtifact
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
        found = _found(store, path, *reasons)
    if isinstance(found, PassThrough):
        document = pass_through_document(path, found)
    else:
        document = artifact_document(path, found)
    lines = [f"{key.replace('_', ' ')}: {value}" for key, value in flat(document)]
    if explain:
        if isinstance(found, PassThrough):
            reasons += pass_through_reasons(found)
        else:
            reasons += delivery_reasons(path, found, time.time(), invocation.settings())
        document["explanation"] = reasons
    invocation.answer(document, *lines, *(f"- {reason}" for reason in reasons))


def _found(store: CatalogStore, path: str, *reasons: str) -> PublishedArtifact | PassThrough:
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
        "pulp-streamer fetch --learn fedora/40/os",
    ),
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option(
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file appears when its content is verified. Default, and -: standard output.",
)
@click.option(
    "--no-resume",
    is_flag=True,
    help="Drop what an interrupted fetch of this content to this file has kept.",
)
@click.option(
    "--learn",
    is_flag=True,
    help="Keep only the digests of its pieces; a base path stands for all that lies below.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    default=JOBS,
    show_default=True,
    metavar="N",
    help="How many are learned at a time.",
)
@common_options
@click.pass_context
def fetch(
    context: click.Context,
    paths: tuple[str, ...],
    output: Path | None,
    no_resume: bool,
    learn: bool,
    jobs: int,
) -> None:
    """Fetch PATH (base path included) from its origin and verify it, without the service.

    A fetch into a file that is interrupted keeps what it has beside the file, and the same command
    goes on there. What is learned is verified before it is sent from then on, its ranges too; to
    learn once more goes on with what is missing.
    """
    invocation = context.ensure_object(Invocation)
    if learn:
        if output is not None or no_resume:
            raise click.UsageError("--learn keeps no content: --output and --no-resume are for it")
        if not learned_all(invocation, paths, jobs):
            context.exit(FAILED)
        return
    if context.get_parameter_source("jobs") is not ParameterSource.DEFAULT:
        raise click.UsageError("--jobs is for --learn")
    if len(paths) > 1:
        raise click.UsageError("one path at a time; --learn takes several")
    _fetch(invocation, paths[0], output, resume=not no_resume)


def _fetch(invocation: Invocation, path: str, output: Path | None, *, resume: bool) -> None:
    if output == Path("-"):
        output = None
    if output is None and (invocation.as_json or sys.stdout.isatty()):
        raise click.UsageError("name a file with --output: standard output is taken")
    # Twisted's reactor and all that stands on it; no other command needs it.
    from streamer.cli.fetching import fetch_into

    settings, path = invocation.settings(), path.lstrip("/")
    with invocation.store() as store:
        published = published_at(store, path)
    started = time.monotonic()
    fetched = fetch_into(output, published, settings, resume=resume, silent=invocation.as_json)
    saved = fetched.saved
    document = {
        "path": path,
        "output": str(output),
        "size": saved.size,
        "digests": {digest.algorithm: digest.hex for digest in saved.digests},
        "origin": fetched.origin,
        "attempts": fetched.attempts,
        "kept_bytes": saved.kept_bytes,
        "seconds": round(time.monotonic() - started, 3),
    }
    if output is not None:
        origin = f" from {fetched.origin}" if fetched.origin else ""
        kept = f" ({size_text(saved.kept_bytes)} kept from before)" if saved.kept_bytes else ""
        size = size_text(saved.size)
        invocation.answer(document, f"fetched {path}{origin}: {size}{kept}, verified")
