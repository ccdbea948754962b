"""`importer …`: the named download configs. What a config may hold is decided by its type.

How its values are given is `configs`'s, how its secrets are kept `sealing`'s; none of these is
ever printed.
"""

from __future__ import annotations

from pathlib import Path

import click

from streamer.catalog import CatalogStore
from streamer.cli.configs import (
    config_document,
    exposures,
    shown_config,
    shown_value,
    stated_config,
)
from streamer.cli.frame import Invocation, common_options, examples
from streamer.cli.sealing import ImporterChange, in_the_clear, rewritten
from streamer.errors import OperationRefused
from streamer.importers import Registry, normalised, split_config, warnings
from streamer.keyring import Keyring
from streamer.model import DownloadConfig

_url_option = click.option("--url", metavar="URL", help="Where the origin's content lies.")
_set_option = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set a key. KEY=@FILE, KEY=env:NAME and KEY=- (standard input) keep a secret hidden.",
)
_file_option = click.option(
    "--config-file",
    "stated_file",  # `config_file` is where the settings are
    metavar="FILE.json",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A JSON object of keys and values; --url and --set go before it.",
)


@click.group()
@common_options
def importer() -> None:
    """Say where content comes from, and with which credentials."""


@importer.command(
    "create",
    short_help="Create an importer.",
    epilog=examples(
        "pulp-streamer importer create pypi --type http --url https://mirror.example/pypi/",
        "pulp-streamer importer create inner --type http --url https://inner.example/ \\",
        "    --set username=reader --set password=env:PASSWORD --set ca_cert=@/etc/inner-ca.pem",
    ),
)
@click.argument("name")
@click.option("--type", "type_name", metavar="TYPE", required=True, help="See `importer types`.")
@_url_option
@_set_option
@_file_option
@common_options
@click.pass_obj
def create(
    invocation: Invocation,
    name: str,
    type_name: str,
    url: str | None,
    assignments: tuple[str, ...],
    stated_file: Path | None,
) -> None:
    """Create the importer NAME; secrets are sealed with the operator's key."""
    registry = Registry()
    kind = registry.type(type_name)
    stated = stated_config(url, assignments, stated_file, kind)
    normal = normalised(kind, stated)
    config, secrets = split_config(kind, normal)
    keyring = Keyring(invocation.settings().secrets.key_file)
    with invocation.store() as store:
        created = store.create_importer(
            name, type_name, config, lambda id_: keyring.seal(id_, secrets) if secrets else None
        )
    problems = [*warnings(kind, normal), *exposures(assignments, kind)]
    document = {**config_document(created, registry), "problems": problems}
    invocation.answer(document, f"created importer {name}", *problems)


@importer.command(
    "update",
    short_help="Change keys of an importer.",
    epilog=examples("pulp-streamer importer update inner --set password=- < password"),
)
@click.argument("name")
@_url_option
@_set_option
@click.option("--unset", "removals", metavar="KEY", multiple=True, help="Remove a key.")
@_file_option
@common_options
@click.pass_obj
def update(
    invocation: Invocation,
    name: str,
    url: str | None,
    assignments: tuple[str, ...],
    removals: tuple[str, ...],
    stated_file: Path | None,
) -> None:
    """Change keys of the importer NAME and leave the others; publications follow at once.

    The key of secrets.key_file is needed only where a secret changes.
    """
    if not (url or assignments or removals or stated_file):
        raise click.UsageError("importer update needs something to change")
    registry = Registry()
    with invocation.store() as store:
        kind = registry.type(store.importer(name).type)
        stated = stated_config(url, assignments, stated_file, kind)
        keyring = Keyring(invocation.settings().secrets.key_file)
        change = ImporterChange(kind, keyring, stated, removals)
        updated = store.update_importer(name, change)
        problems = [*change.warnings, *exposures(assignments, kind)]
        problems += rewritten(store) if change.uncovered else []
    if change.unchecked is not None:
        problems.append(f"its secrets stay as they are and were not looked at: {change.unchecked}")
    document = {**config_document(updated, registry), "problems": problems}
    invocation.answer(document, f"updated importer {name}", *problems)


@importer.command("show")
@click.argument("name")
@common_options
@click.pass_obj
def show(invocation: Invocation, name: str) -> None:
    """Show the importer NAME; of a secret only whether it is set."""
    registry = Registry()
    with invocation.store() as store:
        stored = store.importer(name)
    shown = {"name": stored.name, "type": stored.type, **shown_config(stored, registry)}
    lines = [f"{key}: {shown_value(value)}" for key, value in shown.items()]
    invocation.answer(config_document(stored, registry), *lines)


@importer.command("list")
@common_options
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the importers."""
    registry = Registry()
    with invocation.store() as store:
        documents = [config_document(stored, registry) for stored in store.importers()]
    columns = {"name": "name", "type": "type", "revision": "revision"}
    invocation.table(documents, columns, "there are no importers yet")


@importer.command("delete", short_help="Delete an importer that nothing needs.")
@click.argument("name")
@common_options
@click.pass_obj
def delete(invocation: Invocation, name: str) -> None:
    """Delete the importer NAME, unless a publication or distribution needs it."""
    with invocation.store() as store:
        was_clear = in_the_clear(store.importer(name), Registry())
        store.delete_importer(name)
        problems = rewritten(store) if was_clear else []
    invocation.answer(
        {"deleted": name, "problems": problems}, f"deleted importer {name}", *problems
    )


@importer.command("types", short_help="List the importer types of this installation.")
@common_options
@click.pass_obj
def types(invocation: Invocation) -> None:
    """List the importer types of this installation, and why one cannot be used."""
    documents = [
        {"type": name, "usable": reason is None, "state": reason or "usable"}
        for name, reason in Registry().types().items()
    ]
    invocation.table(documents, {"type": "type", "state": "state"}, "there are no importer types")


def find_importer(store: CatalogStore, name: str) -> DownloadConfig | None:
    """An importer by name, or None."""
    try:
        return store.importer(name)
    except OperationRefused:
        return None
