"""`importer …`: the named download configs, and how secrets get into them.

A secret is read from a file, the environment or standard input, so that it stands in no process
list; none is ever printed. What a config may hold is decided by its type.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from streamer.catalog import CatalogStore
from streamer.cli.frame import Invocation, common_options
from streamer.errors import ConfigurationError, OperationRefused
from streamer.importers import Registry
from streamer.model import DownloadConfig

MAX_VALUE_BYTES = 1024**2

_url_option = click.option("--url", metavar="URL", help="Where the origin's content lies.")
_set_option = click.option(
    "--set",
    "assignments",
    metavar="KEY=VALUE",
    multiple=True,
    help="Set a key; @FILE, env:NAME and - (standard input) keep a secret out of sight.",
)
_file_option = click.option(
    "--config-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A JSON object of keys and values; --url and --set go before it.",
)


@click.group()
@common_options
def importer() -> None:
    """Say where content comes from, and with which credentials."""


@importer.command("create")
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
    config_file: Path | None,
) -> None:
    """Create the importer NAME.

    \b
    Examples:
      pulp-streamer importer create pypi --type http --url https://mirror.example/pypi/
      pulp-streamer importer create inner --type http --url https://inner.example/ \\
          --set username=reader --set password=env:INNER_PASSWORD --set ca_cert=@/etc/inner-ca.pem
    """
    registry = Registry()
    secrets = registry.type(type_name).secret_keys
    config = _stated_config(url, assignments, config_file, secrets)
    checked = registry.type(type_name).normalise(config)
    with invocation.store() as store:
        created = store.create_importer(name, type_name, checked)
    invocation.answer(_document(created, registry), f"created importer {name}")


@importer.command("update")
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
    config_file: Path | None,
) -> None:
    """Change keys of the importer NAME and leave the others; publications follow at once.

    \b
    Example:
      pulp-streamer importer update inner --set password=- < new-password
    """
    registry = Registry()
    with invocation.store() as store:
        stored = store.importer(name)
        kind = registry.type(stored.type)
        for key in removals:
            if key not in stored.config:
                raise OperationRefused(f"importer {name!r} has no key {key!r} to unset")
        kept = {key: value for key, value in stored.config.items() if key not in removals}
        stated = _stated_config(url, assignments, config_file, kind.secret_keys)
        store.update_importer(name, kind.normalise({**kept, **stated}))
        updated = store.importer(name)
    invocation.answer(_document(updated, registry), f"updated importer {name}")


@importer.command("show")
@click.argument("name")
@common_options
@click.pass_obj
def show(invocation: Invocation, name: str) -> None:
    """Show the importer NAME; of a secret only whether it is set."""
    with invocation.store() as store:
        stored = store.importer(name)
    registry = Registry()
    shown = {"name": stored.name, "type": stored.type, **_shown_config(stored, registry)}
    lines = [f"{key}: {_text(value)}" for key, value in shown.items()]
    invocation.answer(_document(stored, registry), *lines)


@importer.command("list")
@common_options
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """List the importers."""
    registry = Registry()
    with invocation.store() as store:
        documents = [_document(config, registry) for config in store.importers()]
    columns = {"name": "name", "type": "type", "revision": "revision"}
    invocation.table(documents, columns, "there are no importers yet")


@importer.command("delete")
@click.argument("name")
@common_options
@click.pass_obj
def delete(invocation: Invocation, name: str) -> None:
    """Delete the importer NAME, unless a publication needs it."""
    with invocation.store() as store:
        store.delete_importer(name)
    invocation.answer({"deleted": name}, f"deleted importer {name}")


@importer.command("types")
@common_options
@click.pass_obj
def types(invocation: Invocation) -> None:
    """List the importer types of this installation, and why one cannot be used."""
    documents = [
        {"type": name, "usable": reason is None, "reason": reason, "state": reason or "usable"}
        for name, reason in Registry().types().items()
    ]
    invocation.table(documents, {"type": "type", "state": "state"}, "there are no importer types")


# -- configs as they are stated ------------------------------------------------------------------


def _stated_config(
    url: str | None,
    assignments: tuple[str, ...],
    config_file: Path | None,
    secret_keys: frozenset[str],
) -> dict[str, object]:
    config = {} if config_file is None else _read_object(config_file)
    if url is not None:
        config["url"] = url
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise click.UsageError("--set wants KEY=VALUE, KEY=@FILE, KEY=env:NAME or KEY=-")
        config[key] = _stated_value(key, value, is_secret=key in secret_keys)
    return config


def _read_object(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_bytes())
    except OSError as error:
        raise click.UsageError(f"--config-file {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise click.UsageError(f"--config-file {path}: is not JSON") from None
    if not isinstance(config, dict):
        raise click.UsageError(f"--config-file {path}: is not a JSON object")
    return config


def _stated_value(key: str, value: str, *, is_secret: bool) -> object:
    """Read a value from where it stands. Lists and objects of plain keys are written as JSON."""
    if value == "-":
        return _without_line_end(sys.stdin.read(MAX_VALUE_BYTES))
    if value.startswith("@"):
        return _read_value(key, Path(value[1:]))
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise click.UsageError(f"--set {key}: {name} is not set in the environment")
        return os.environ[name]
    if value.startswith(("[", "{")) and not is_secret:
        try:
            return json.loads(value)
        except ValueError:
            raise click.UsageError(f"--set {key}: begins like JSON and is not JSON") from None
    return value


def _read_value(key: str, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return _without_line_end(file.read(MAX_VALUE_BYTES))
    except OSError as error:
        raise click.UsageError(f"--set {key}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--set {key}: {path}: is not UTF-8") from None


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


# -- configs as they are shown -------------------------------------------------------------------


def _document(config: DownloadConfig, registry: Registry) -> dict[str, object]:
    return {
        "name": config.name,
        "type": config.type,
        "id": config.id,
        "revision": config.revision,
        "config": _shown_config(config, registry),
    }


def _shown_config(config: DownloadConfig, registry: Registry) -> dict[str, object]:
    """Show the config; where nobody knows which keys are secret, all of them are."""
    try:
        secrets = registry.type(config.type).secret_keys
    except ConfigurationError:
        return dict.fromkeys(config.config, "set")
    plain = {key: value for key, value in config.config.items() if key not in secrets}
    return plain | {key: _is_set(config.config, key) for key in sorted(secrets)}


def _is_set(config: Mapping[str, object], key: str) -> str:
    return "unset" if config.get(key) in (None, "", [], {}) else "set"


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def find_importer(store: CatalogStore, name: str) -> DownloadConfig | None:
    """An importer by name, or None."""
    try:
        return store.importer(name)
    except OperationRefused:
        return None
