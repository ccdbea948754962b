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


@importer.command(
    "create",
    epilog=examples(
        "pulp-streamer importer create pypi --type http --url https://mirror.example/pypi/",
        "pulp-streamer importer create inner --type http --url https://inner.example/ --set username=reader --set password=env:INNER_PASSWORD --set ca_cert=@/etc/inner-ca.pem",
        """,
        "gistry = Registry()",
        "crets = registry.type(type_name).secret_keys",
        "nfig = _stated_config(url, assignments, config_file, secrets)",
        "ecked = registry.type(type_name).normalise(config)",
        "th invocation.store() as store:",
        "  created = store.create_importer(name, type_name, checked)",
        "vocation.answer(_document(created, registry), f"created importer {name}")",
        "",
        "",
        "ter.command("update")",
        ".argument("name")",
        "option",
        "option",
        ".option("--unset", "removals", metavar="KEY", multiple=True, help="Remove a key.")",
        "_option",
        "n_options",
        ".pass_obj",
        "date(",
        "vocation: Invocation,",
        "me: str,",
        "l: str | None,",
        "signments: tuple[str, ...],",
        "movals: tuple[str, ...],",
        "nfig_file: Path | None,",
        "one:",
        ""Change keys of the importer NAME and leave the others; publications follow at once.",
        "",
        "",
        "ample:",
        "pulp-streamer importer update inner --set password=- < new-password",
        """,
        "gistry = Registry()",
        "th invocation.store() as store:",
        "  stored = store.importer(name)",
        "  kind = registry.type(stored.type)",
        "  for key in removals: if key not in stored.config: raise OperationRefused(f"importer {name!r} has no key {key!r} to unset")",
        "  kept = {key: value for key, value in stored.config.items() if key not in removals}",
        "  stated = _stated_config(url, assignments, config_file, kind.secret_keys)",
        "  store.update_importer(name, kind.normalise({**kept, **stated}))",
        "  updated = store.importer(name)",
        "vocation.answer(_document(updated, registry), f"updated importer {name}")",
        "",
        "",
        "ter.command("show")",
        ".argument("name")",
        "n_options",
        ".pass_obj",
        "ow(invocation: Invocation, name: str) -> None:",
        ""Show the importer NAME; of a secret only whether it is set."""",
        "th invocation.store() as store:",
        "  stored = store.importer(name)",
        "gistry = Registry()",
        "own = {"name": stored.name, "type": stored.type, **_shown_config(stored, registry)}",
        "nes = [f"{key}: {_text(value)}" for key, value in shown.items()]",
        "vocation.answer(_document(stored, registry), *lines)",
        "",
        "",
        "ter.command("list")",
        "n_options",
        ".pass_obj",
        "st_(invocation: Invocation) -> None:",
        ""List the importers."""",
        "gistry = Registry()",
        "th invocation.store() as store:",
        "  documents = [_document(config, registry) for config in store.importers()]",
        "lumns = {"name": "name", "type": "type", "revision": "revision"}",
        "vocation.table(documents, columns, "there are no importers yet")",
        "",
        "",
        "ter.command("delete")",
        ".argument("name")",
        "n_options",
        ".pass_obj",
        "lete(invocation: Invocation, name: str) -> None:",
        ""Delete the importer NAME, unless a publication needs it."""",
        "th invocation.store() as store:",
        "  store.delete_importer(name)",
        "vocation.answer({"deleted": name}, f"deleted importer {name}")",
        "",
        "",
        "ter.command("types")",
        "n_options",
        ".pass_obj",
        "pes(invocation: Invocation) -> None:",
        ""List the importer types of this installation, and why one cannot be used."""",
        "cuments = [",
        "  {"type": name, "usable": reason is None, "reason": reason, "state": reason or "usable"}",
        "  for name, reason in Registry().types().items()",
        "",
        "vocation.table(documents, {"type": "type", "state": "state"}, "there are no importer types")",
        "",
        "",
        "onfigs as they are stated ------------------------------------------------------------------",
        "",
        "",
        "tated_config(",
        "l: str | None,",
        "signments: tuple[str, ...],",
        "nfig_file: Path | None,",
        "cret_keys: frozenset[str],",
        "ict[str, object]:",
        "nfig = {} if config_file is None else _read_object(config_file)",
        " url is not None:",
        "  config["url"] = url",
        "r assignment in assignments:",
        "  key, equals, value = assignment.partition("=")",
        "  if not (key and equals): raise click.UsageError("--set wants KEY=VALUE, KEY=@FILE, KEY=env:NAME or KEY=-")",
        "  config[key] = _stated_value(key, value, is_secret=key in secret_keys)",
        "turn config",
        "",
        "",
        "ead_object(path: Path) -> dict[str, object]:",
        "y:",
        "  config = json.loads(path.read_bytes())",
        "cept OSError as error:",
        "  raise click.UsageError(f"--config-file {path}: {error.strerror}") from None",
        "cept (ValueError, RecursionError):",
        "  raise click.UsageError(f"--config-file {path}: is not JSON") from None",
        " not isinstance(config, dict):",
        "  raise click.UsageError(f"--config-file {path}: is not a JSON object")",
        "turn config",
        "",
        "",
        "tated_value(key: str, value: str, *, is_secret: bool) -> object:",
        ""Read a value from where it stands. Lists and objects of plain keys are written as JSON."""",
        " value == "-":",
        "  return _without_line_end(sys.stdin.read(MAX_VALUE_BYTES))",
        " value.startswith("@"):",
        "  return _read_value(key, Path(value[1:]))",
        " value.startswith("env:"):",
        "  name = value.removeprefix("env:")",
        "  if name not in os.environ: raise click.UsageError(f"--set {key}: {name} is not set in the environment")",
        "  return os.environ[name]",
        " value.startswith(("[", "{")) and not is_secret:",
        "  try: return json.loads(value)",
        "  except ValueError: raise click.UsageError(f"--set {key}: begins like JSON and is not JSON") from None",
        "turn value",
        "",
        "",
        "ead_value(key: str, path: Path) -> str:",
        "y:",
        "  with path.open(encoding="utf-8") as file: return _without_line_end(file.read(MAX_VALUE_BYTES))",
        "cept OSError as error:",
        "  raise click.UsageError(f"--set {key}: {path}: {error.strerror}") from None",
        "cept UnicodeDecodeError:",
        "  raise click.UsageError(f"--set {key}: {path}: is not UTF-8") from None",
        "",
        "",
        "ithout_line_end(text: str) -> str:",
        "turn text.removesuffix("\\n").removesuffix("\\r")",
        "",
        "",
        "onfigs as they are shown -------------------------------------------------------------------",
        "",
        "",
        "ocument(config: DownloadConfig, registry: Registry) -> dict[str, object]:",
        "turn {",
        "  "name": config.name,",
        "  "type": config.type,",
        "  "id": config.id,",
        "  "revision": config.revision,",
        "  "config": _shown_config(config, registry),",
        "",
        "",
        "",
        "hown_config(config: DownloadConfig, registry: Registry) -> dict[str, object]:",
        ""Show the config; where nobody knows which keys are secret, all of them are."""",
        "y:",
        "  secrets = registry.type(config.type).secret_keys",
        "cept ConfigurationError:",
        "  return dict.fromkeys(config.config, "set")",
        "ain = {key: value for key, value in config.config.items() if key not in secrets}",
        "turn plain | {key: _is_set(config.config, key) for key in sorted(secrets)}",
        "",
        "",
        "s_set(config: Mapping[str, object], key: str) -> str:",
        "turn "unset" if config.get(key) in (None, "", [], {}) else "set"",
        "",
        "",
        "ext(value: object) -> str:",
        "turn value if isinstance(value, str) else json.dumps(value)",
        "",
        "",
        "nd_importer(store: CatalogStore, name: str) -> DownloadConfig | None:",
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
    config_file: Path | None,
) -> None:
    """Create the importer NAME."""An importer by name, or None."""
    try:
        return store.importer(name)
    except OperationRefused:
        return None
