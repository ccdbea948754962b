"""`resolve`, `withdraw`, `fetch`: one published path at a time, seen as a client would."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import click

from streamer.catalog import CatalogStore
from streamer.cli.fetching import Target, fetch_into
from streamer.cli.frame import Invocation, common_options, printable, size_text, time_text
from streamer.errors import ConfigurationError, OperationRefused, PathNotPublished
from streamer.importers import Registry
from streamer.kinds import cache_control
from streamer.model import Digest, PublishedArtifact, RemoteArtifact
from streamer.plan import candidates
from streamer.publishing.values import ValueRefused, read_digests

_DIGEST = re.compile(r"(sha\d+|md5):[0-9A-Fa-f]+", re.ASCII)


@click.command(
    epilog=examples(
        "pulp-streamer resolve fedora/40/os/Packages/b/bash.rpm --explain",
        """,
        "th = path.lstrip("/")",
        "th invocation.store() as store:",
        "  reasons = list(_distribution_reasons(store, path)) if explain else []",
        "  try: published = store.resolve(path)",
        "  except PathNotPublished: raise OperationRefused( "; ".join([*reasons, f"nothing is published at {path}"]) ) from None",
        "cument = _artifact_document(published)",
        "nes = [f"{key.replace(\"_\", \" \")}: {value}" for key, value in _flat(document)]",
        " explain:",
        "  reasons += _delivery_reasons(published)",
        "  document["explanation"] = reasons",
        "vocation.answer(document, *lines, *(f"- {reason}" for reason in reasons))",
        "",
        "",
        ".command()",
        ".argument("what", metavar="(PATH | sha256:HEX)")",
        ".option("--undo", is_flag=True, help="Take a withdrawal back.")",
        "n_options",
        ".pass_obj",
        "thdraw(invocation: Invocation, what: str, undo: bool) -> None:",
        ""Let a path or content vanish everywhere at once, grace included.",
        "",
        "path may come back with a later publication; content with a withdrawn digest may not.",
        "",
        "",
        "amples:",
        "pulp-streamer withdraw fedora/40/os/Packages/b/bash.rpm",
        "pulp-streamer withdraw sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "pulp-streamer withdraw --undo fedora/40/os/Packages/b/bash.rpm",
        """,
        "th invocation.store() as store:",
        "  if _DIGEST.fullmatch(what): name, count = _withdraw_digest(store, what, undo)",
        "  else: name, count = _withdraw_path(store, what.lstrip("/"), undo)",
        "rb = "restored" if undo else "withdrew"",
        "vocation.answer(",
        "  {"withdrawn": not undo, "subject": name, "entries": count},",
        "  f"{verb} {name}: {count:,} published {\"entry\" if count == 1 else \"entries\"}",",
        "",
        "",
        "",
        ".command()",
        ".argument("path")",
        ".option(",
        "-output",",
        "pe=click.Path(path_type=Path, dir_okay=False),",
        "lp="Write to this file; it appears when its content is verified. Default: standard output.",",
        "",
        "n_options",
        ".pass_obj",
        "tch(invocation: Invocation, path: str, output: Path | None) -> None:",
        ""Fetch PATH (base path included) from its origin and verify it, without the service.",
        "",
        "",
        "ample:",
        "pulp-streamer fetch fedora/40/os/Packages/b/bash.rpm --output bash.rpm",
        """,
        " output is None and (invocation.as_json or sys.stdout.isatty()):",
        "  raise click.UsageError("name a file with --output: standard output is taken")",
        "ttings = invocation.settings()",
        "th invocation.store() as store:",
        "  published = store.resolve(path.lstrip("/"))",
        "arted = time.monotonic()",
        "th Target(output) as target:",
        "  origin = fetch_into(target, published, settings)",
        "cument = {",
        "  "path": published.path,",
        "  "digest": str(published.artifact.digest),",
        "  "bytes": target.written_bytes,",
        "  "origin": origin,",
        "  "seconds": round(time.monotonic() - started, 3),",
        "",
        " output is not None:",
        "  size = size_text(target.written_bytes)",
        "  invocation.answer(document, f"fetched {published.path} from {origin}: {size}, verified")",
        "",
        "",
        "ithdrawing ---------------------------------------------------------------------------------",
        "",
        "",
        "ithdraw_path(store: CatalogStore, path: str, undo: bool) -> tuple[str, int]:",
        "unt = store.restore_path(path) if undo else store.withdraw_path(path)",
        " not count:",
        "  state = "withdrawn" if undo else "published"",
        "  raise OperationRefused(f"nothing is {state} at {path}")",
        "turn path, count",
        "",
        "",
        "ithdraw_digest(store: CatalogStore, text: str, undo: bool) -> tuple[str, int]:",
        "gest = _digest(text)",
        "unt = store.restore_digest(digest) if undo else store.withdraw_digest(digest)",
        "turn str(digest), count",
        "",
        "",
        "igest(text: str) -> Digest:",
        "y:",
        "  return read_digests([text])[0]",
        "cept ValueRefused as error:",
        "  raise click.UsageError(str(error)) from None",
        "",
        "",
        "xplaining ----------------------------------------------------------------------------------",
        "",
        "",
        "rtifact_document(published: PublishedArtifact) -> dict[str, object]:",
        "tifact = published.artifact",
        "turn {",
        "  "path": published.path,",
        "  "distribution": published.base_path,",
        "  "publication_id": published.publication,",
        "  "digests": {digest.algorithm: digest.hex for digest in artifact.digests},",
        "  "size": artifact.size,",
        "  "media_type": artifact.media_type,",
        "  "last_modified": time_text(published.last_modified),",
        "  "cache": published.cache,",
        "  "held": published.held,",
        "  "grace_until": time_text(published.grace_until),",
        "  "sources": [ {"importer": one.importer.name, "url": _shown_url(one), "priority": one.priority} for one in candidates(published)",
        "  ],",
        "",
        "",
        "",
        "lat(document: dict[str, object]) -> Iterator[tuple[str, object]]:",
        "r key, value in document.items():",
        "  if key == "digests" and isinstance(value, dict): yield from value.items()",
        "  elif key == "sources" and isinstance(value, list): for source in value: yield ( "source", f"{source[\"importer\"]} {source[\"url\"]} (priority {source[\"priority\"]})", )",
        "  elif value is not None: yield key, value",
        "",
        "",
        "hown_url(source: RemoteArtifact) -> str:",
    ),
)
@click.argument("path")
@click.option("--explain", is_flag=True, help="Say how the answer comes about.")
@common_options
@click.pass_obj
def resolve(invocation: Invocation, path: str, explain: bool) -> None:
    """Show what PATH (base path included) promises, without asking an origin."""A query is where signed URLs keep their secret."""
    parts = urlsplit(source.url)
    return parts._replace(query="…" if parts.query else "").geturl()


def _distribution_reasons(store: CatalogStore, path: str) -> Iterator[str]:
    covering = [
        info
        for info in store.distributions()
        if path == info.base_path or path.startswith(f"{info.base_path}/")
    ]
    if not covering:
        yield "no distribution covers this path"
        return
    longest = max(covering, key=lambda info: len(info.base_path))
    yield f"distribution {longest.base_path} shows publication {longest.current.number}"
    for info in store.publications(longest.base_path):
        if info.grace_until is not None and info.grace_until > time.time():
            until = time_text(info.grace_until)
            yield f"publication {info.number} answers until {until} where newer ones lack a path"


def _delivery_reasons(published: PublishedArtifact) -> Iterator[str]:
    if published.grace_until is not None:
        yield "the path comes from a superseded publication, within its grace"
    grace_left = None if published.grace_until is None else published.grace_until - time.time()
    control = cache_control(published.cache, grace_left_seconds=grace_left)
    yield f"it is cached as {published.cache}: Cache-Control: {control}"
    if published.held:
        yield "the content lies in the catalog; no origin is asked"
    registry = Registry()
    for place, source in enumerate(candidates(published), start=1):
        yield f"candidate {place}: {printable(source.importer.name)}, {_usability(registry, source)}"


def _usability(registry: Registry, source: RemoteArtifact) -> str:
    try:
        registry.type(source.importer.type).normalise(source.importer.config)
    except ConfigurationError as error:
        return f"which cannot be used: {error}"
    return f"an importer of type {source.importer.type}"
