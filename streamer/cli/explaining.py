"""What a published artifact is, in words and as a document.

Separate because `resolve --explain` answers the operator's question why a client gets what it
gets; these functions decide nothing and only repeat what the catalog and `kinds` decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from streamer.catalog import CatalogStore
from streamer.cli.asking import asked_candidates, in_words
from streamer.cli.frame import time_text
from streamer.cli.knowing import pieces_reasons
from streamer.errors import ConfigurationError, OperationRefused
from streamer.importers import Registry
from streamer.kinds import cache_control
from streamer.model import PassThrough, PublishedArtifact, RemoteArtifact
from streamer.plan import candidates
from streamer.settings import Settings


def artifact_document(path: str, published: PublishedArtifact) -> dict[str, object]:
    """Everything that the catalog promises at `path`, ready for JSON."""
    artifact = published.artifact
    return {
        "path": path,
        "distribution": published.base_path,
        "publication_id": published.publication,
        "digests": {digest.algorithm: digest.hex for digest in artifact.digests},
        "size": artifact.size,
        "media_type": artifact.media_type,
        "last_modified": time_text(published.last_modified),
        "cache": published.cache,
        "held": published.held,
        "grace_until": time_text(published.grace_until),
        "sources": [
            {"importer": one.importer.name, "url": _shown_url(one), "priority": one.priority}
            for one in candidates(published)
        ],
    }


def pass_through_document(path: str, found: PassThrough) -> dict[str, object]:
    """The little that the catalog knows of `path` where its origin alone knows what is there."""
    return {
        "path": path,
        "distribution": found.base_path,
        "importer": found.importer.name,
        "keeps_query": found.keeps_query,
    }


def flat(document: dict[str, object]) -> Iterator[tuple[str, object]]:
    """The lines of such a document for a person: what is absent is left out."""
    for key, value in document.items():
        if key == "digests" and isinstance(value, dict):
            yield from value.items()
        elif key == "sources" and isinstance(value, list):
            for one in value:
                yield "source", f"{one['importer']} {one['url']} (priority {one['priority']})"
        elif value is not None and value is not False:
            yield key, "yes" if value is True else value


def _shown_url(source: RemoteArtifact) -> str:
    """A query is where signed URLs keep their secret."""
    parts = urlsplit(source.url)
    return parts._replace(query="…" if parts.query else "").geturl()


def distribution_reasons(store: CatalogStore, path: str, now: float) -> Iterator[str]:
    """Which distribution a path falls under, and which publications answer for it."""
    covering = [
        info
        for info in store.distributions()
        if path == info.base_path or path.startswith(f"{info.base_path}/")
    ]
    if not covering:
        yield "no distribution covers this path"
        return
    longest = max(covering, key=lambda info: len(info.base_path))
    if longest.current is None:
        yield f"distribution {longest.base_path} passes through to importer {longest.importer}"
        return
    yield f"distribution {longest.base_path} shows publication {longest.current.number}"
    for info in store.publications(longest.base_path):
        if info.grace_until is not None and info.grace_until > now:
            until = time_text(info.grace_until)
            yield f"publication {info.number} answers until {until} where newer ones lack a path"


def pass_through_reasons(found: PassThrough) -> Iterator[str]:
    """What is promised of content that the catalog does not know."""
    yield (
        f"whether anything is there, the origin of importer {found.importer.name} alone knows; "
        "nothing is verified but that no end is missing"
    )
    query = "the origin sees" if found.keeps_query else "the origin does not see"
    yield f"{query} the query of a request"


def delivery_reasons(
    path: str, published: PublishedArtifact, now: float, settings: Settings
) -> Iterator[str]:
    """How the content is cached and verified, and who would be asked for it in which order."""
    grace_left = None if published.grace_until is None else published.grace_until - now
    if grace_left is not None:
        yield "the path comes from a superseded publication, within its grace"
    control = cache_control(published.cache, grace_left_seconds=grace_left)
    yield f"it is cached as {published.cache}: Cache-Control: {control}"
    if published.held:
        yield "the content lies in the catalog; no origin is asked"
        return
    yield from pieces_reasons(published.artifact, settings)
    try:
        known = [in_words(each) for each in asked_candidates(settings.admin.listen, path)]
    except OperationRefused as refusal:
        yield str(refusal)
        known = [_in_words(Registry(), each) for each in candidates(published)]
    yield from (f"candidate {number}: {words}" for number, words in enumerate(known, start=1))


def _in_words(registry: Registry, source: RemoteArtifact) -> str:
    """What the catalog alone says of a candidate."""
    return f"{source.importer.name}, {_usability(registry, source)}"


def _usability(registry: Registry, source: RemoteArtifact) -> str:
    config = source.importer
    try:
        kind = registry.type(config.type)
        if config.sealed is None:
            # The plain part alone may well be refused, as a certificate without its key.
            kind.normalise(config.config)
    except ConfigurationError as error:
        return f"which cannot be used: {error}"
    return f"an importer of type {config.type}"
