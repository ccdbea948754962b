"""Download configs as an operator states them and as they are shown again.

A secret is read from a file, the environment or standard input, so that it stands in no process
list. What is shown of it is whether it is set; where nobody can say which keys are secret, that
is all that is shown of any key.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from streamer.errors import ConfigurationError
from streamer.importers import ImporterType, Registry, object_keys, secrets_set
from streamer.keyring import sealed_keys
from streamer.model import DownloadConfig

MAX_VALUE_CHARACTERS = 1024**2


def stated_config(
    url: str | None,
    assignments: tuple[str, ...],
    stated_file: Path | None,
    kind: ImporterType,
) -> dict[str, object]:
    """Join `--config-file`, `--url` and `--set`, each going before the one named earlier."""
    config = {} if stated_file is None else _read_object(stated_file)
    if url is not None:
        config["url"] = url
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise click.UsageError("--set wants KEY=VALUE, KEY=@FILE, KEY=env:NAME or KEY=-")
        config[key] = _stated_value(key, value, kind)
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


def _stated_value(key: str, value: str, kind: ImporterType) -> object:
    """Lists and objects are written as JSON.

    A secret that merely looks like it is taken as it is: a password may be a JSON document.
    """
    text = _found_text(key, value)
    looks_like_json = text == value and value.startswith(("[", "{"))
    if key in object_keys(kind) or (looks_like_json and key not in kind.secret_keys):
        return _read_json(key, text)
    return text


def _found_text(key: str, value: str) -> str:
    """Read a value from where it stands."""
    if value == "-":
        return _checked(key, sys.stdin.read(MAX_VALUE_CHARACTERS + 1))
    if value.startswith("@"):
        return _read_value(key, Path(value[1:]))
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise click.UsageError(f"--set {key}: {name} is not set in the environment")
        return os.environ[name]
    return value


def _read_value(key: str, path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return _checked(key, file.read(MAX_VALUE_CHARACTERS + 1))
    except OSError as error:
        raise click.UsageError(f"--set {key}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--set {key}: {path}: is not UTF-8") from None


def _read_json(key: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # which would repeat what may be secret
        raise click.UsageError(f"--set {key}: must be JSON and is not") from None


def _checked(key: str, text: str) -> str:
    """Leave one line end out, and never a part of the value."""
    if len(text) > MAX_VALUE_CHARACTERS:
        raise click.UsageError(f"--set {key}: is longer than {MAX_VALUE_CHARACTERS} characters")
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
    """The config with `set` or `unset` in the place of each secret, for which no key is needed."""
    try:
        kind = registry.type(stored.type)
    except ConfigurationError:
        return dict.fromkeys([*stored.config, *sorted(sealed_keys(stored.sealed))], "set")
    plain = {key: value for key, value in stored.config.items() if key not in kind.secret_keys}
    found = secrets_set(kind, stored)
    secrets = sorted(kind.secret_keys | found)
    return plain | {key: "set" if key in found else "unset" for key in secrets}


def shown_value(value: object) -> str:
    """Write a value as `--set` would take it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
