"""`distribution …` and `publication …`: what clients see now, and what they could see again.

A distribution shows a publication, or passes through to an importer, which has to be of a type that
can do that; it becomes the other only by way of being deleted.
"""

from __future__ import annotations

import click

from streamer.catalog import CatalogStore, DistributionInfo, PublicationInfo
from streamer.cli.frame import Invocation, common_options, examples, size_text, time_text
from streamer.errors import OperationRefused
from streamer.importers import Registry
from streamer.model import PublicationId

_DISTRIBUTION_COLUMNS = {
    "base path": "base_path",
    "publication": "publication",
    "published": "published_at",
    "entries": "entries",
    "size": "size",
    "kept": "kept",
    "importer": "importer",
}
_PUBLICATION_COLUMNS = {
    "publication": "number",
    "id": "id",
    "state": "state",
    "published": "published_at",
    "entries": "entries",
    "size": "size",
}


@click.group()
@common_options
def distribution() -> None:
    """See and switch what a base path shows."""


@distribution.command("list")
@common_options
@click.pass_obj
def list_distributions(invocation: Invocation) -> None:
    """List the distributions and what each one shows."""
    with invocation.store() as store:
        documents = [_distribution_document(info) for info in store.distributions()]
    invocation.table(documents, _DISTRIBUTION_COLUMNS, "nothing is published yet")


@distribution.command("show")
@click.argument("base_path")
@common_options
@click.pass_obj
def show_distribution(invocation: Invocation, base_path: str) -> None:
    """Show the distribution at BASE_PATH."""
    with invocation.store() as store:
        document = _distribution_document(store.distribution(base_path.strip("/")))
    lines = [
        f"{key.replace('_', ' ')}: {'yes' if value is True else value}"
        for key, value in document.items()
        if value is not None and value is not False
    ]
    invocation.answer(document, *lines)


@distribution.command(
    "pass-through",
    short_help="Let an importer's origin answer below a base path.",
    epilog=examples(
        "pulp-streamer importer create npm --type http --url https://registry.example/",
        "pulp-streamer distribution pass-through npm --importer npm",
    ),
)
@click.argument("base_path")
@click.option(
    "--importer", "importer_name", metavar="NAME", required=True, help="Whose origin answers."
)
@click.option(
    "--keep-query", is_flag=True, help="Let the origin see queries. Default: it sees none."
)
@common_options
@click.pass_obj
def pass_through(
    invocation: Invocation, base_path: str, importer_name: str, keep_query: bool
) -> None:
    """Let the origin of an importer answer for everything below BASE_PATH, unverified.

    Nothing has to be published. What comes is relayed as it is; only a transfer that breaks off is
    noticed. Where BASE_PATH passes through already it gets this importer instead.
    """
    with invocation.store() as store:
        type_name = store.importer(importer_name).type
        if not getattr(Registry().type(type_name), "can_relay", False):
            raise OperationRefused(
                f"importer {importer_name!r} is of type {type_name}, which cannot relay"
            )
        info = store.bind_distribution(base_path.strip("/"), importer_name, keep_query)
    invocation.answer(
        _distribution_document(info), f"{info.base_path} passes through to importer {info.importer}"
    )


@distribution.command(
    "rollback",
    short_help="Show an older publication again.",
    epilog=examples(
        "pulp-streamer publication list fedora/40/os",
        "pulp-streamer distribution rollback fedora/40/os --to 7",
    ),
)
@click.argument("base_path")
@click.option("--to", type=click.IntRange(min=1), metavar="NUMBER", help="Default: the previous.")
@click.option("--no-grace", is_flag=True, help="End what is shown now at once.")
@common_options
@click.pass_obj
def rollback(invocation: Invocation, base_path: str, to: int | None, no_grace: bool) -> None:
    """Let BASE_PATH show an older publication again; `--to` also leads forward."""
    path = base_path.strip("/")
    grace_seconds = 0.0 if no_grace else invocation.settings().catalog.grace_seconds
    with invocation.store() as store:
        target = None if to is None else _publication_id(store, path, to)
        info = store.rollback(path, target, grace_seconds=grace_seconds)
    invocation.answer(
        _publication_document(info), f"{info.base_path} shows publication {info.number} again"
    )


@distribution.command("delete", short_help="Delete a distribution and what it shows.")
@click.argument("base_path")
@common_options
@click.pass_obj
def delete_distribution(invocation: Invocation, base_path: str) -> None:
    """Delete the distribution at BASE_PATH with all of its publications, at once."""
    path = base_path.strip("/")
    with invocation.store() as store:
        store.delete_distribution(path)
    invocation.answer(
        {"deleted": path}, f"deleted distribution {path} and all that was shown there"
    )


@click.group()
@common_options
def publication() -> None:
    """See and delete what was published."""


@publication.command("list")
@click.argument("base_path")
@common_options
@click.pass_obj
def list_publications(invocation: Invocation, base_path: str) -> None:
    """List the publications of BASE_PATH, as far as they are kept."""
    with invocation.store() as store:
        found = store.publications(base_path.strip("/"))
    documents = [_publication_document(info) for info in found]
    invocation.table(documents, _PUBLICATION_COLUMNS, "nothing is published there")


@publication.command("delete", short_help="Delete a publication that is not shown.")
@click.argument("publication_id", metavar="ID", type=int)
@common_options
@click.pass_obj
def delete_publication(invocation: Invocation, publication_id: int) -> None:
    """Delete the publication ID, unless a distribution shows it; its grace ends too."""
    with invocation.store() as store:
        store.delete_publication(PublicationId(publication_id))
    invocation.answer({"deleted": publication_id}, f"deleted publication with id {publication_id}")


def _publication_id(store: CatalogStore, base_path: str, number: int) -> PublicationId:
    kept = {info.number: info.id for info in store.publications(base_path)}
    if number not in kept:
        there_are = ", ".join(map(str, kept))
        raise OperationRefused(
            f"publication {number} of {base_path!r} is not kept; there are: {there_are}"
        )
    return kept[number]


def _distribution_document(info: DistributionInfo) -> dict[str, object]:
    """The same keys for both kinds of distribution; what one does not have is null."""
    current = {} if info.current is None else _publication_document(info.current)
    return {
        "base_path": info.base_path,
        "publication": current.get("number"),
        "id": current.get("id"),
        "published_at": current.get("published_at"),
        "entries": current.get("entries"),
        "bytes": current.get("bytes"),
        "size": current.get("size"),
        "kept": info.publication_count,
        "importer": info.importer,
        "keeps_query": info.keeps_query,
    }


def _publication_document(info: PublicationInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "base_path": info.base_path,
        "number": info.number,
        "state": "current" if info.is_current else "superseded",
        "published_at": time_text(info.published_at),
        "superseded_at": time_text(info.superseded_at),
        "grace_until": time_text(info.grace_until),
        "entries": info.entry_count,
        "bytes": info.total_size,
        "size": size_text(info.total_size),
    }
