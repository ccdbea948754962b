"""Download configs as an operator states them and as they are shown again.

A secret is read from a file, the environment or standard input, so that it stands in no process
list. What is shown of it is whether it is set; where nobody can say which keys are secret, that
is all that is shown of any key.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from streamer.errors import ConfigurationError
from streamer.importers import Registry
from streamer.model import DownloadConfig

MAX_VALUE_CHARACTERS = 1024**2


def stated_config(
    url: str | None,
    assignments: tuple[str, ...],
    stated_file: Path | None,
    secret_keys: frozenset[str],
) -> dict[str, object]:
    """Join `--config-file`, `--url` and `--set`, each going before the one named earlier."""
    config = {} if stated_file is None else _read_object(stated_file)
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
        return _without_line_end(sys.stdin.read(MAX_VALUE_CHARACTERS))
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
        except (ValueError, RecursionError):
            raise click.UsageError(f"--set {key}: begins like JSON and is not JSON") from None
    return value


def _read_value(key: str, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return _without_line_end(file.read(MAX_VALUE_CHARACTERS))
    except OSError as error:
        raise click.UsageError(f"--set {key}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--set {key}: {path}: is not UTF-8") from None


def _without_line_end(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def config_document(stored: DownloadConfig, registry: Registry) -> dict[str, object]:
    """A stored importer, ready for JSON and without its secrets."""
    return {
        "name": stored.name,
        "type": stored.type,
        "id": stored.id,
        "revision": stored.revision,
        "config": shown_config(stored, registry),
    }


def shown_config(stored: DownloadConfig, registry: Registry) -> dict[str, object]:
    """The config with `set` or `unset` in the place of each secret."""
    try:
        secrets = registry.type(stored.type).secret_keys
    except ConfigurationError:
        return dict.fromkeys(stored.config, "set")
    plain = {key: value for key, value in stored.config.items() if key not in secrets}
    return plain | {key: _is_set(stored.config, key) for key in sorted(secrets)}


def _is_set(config: Mapping[str, object], key: str) -> str:
    return "unset" if config.get(key) in (None, "", [], {}) else "set"


def shown_value(value: object) -> str:
    """Write a value as `--set` would take it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
