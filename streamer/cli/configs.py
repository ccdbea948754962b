"""Download configs as an operator states them and as they are shown again.

A secret is read from a file, the environment or standard input, so that it stands in no process
list. What is shown of it is whether it is set; where nobody can say which keys are secret, that
is all that is shown of any key.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from streamer.errors import ConfigurationError
from streamer.importers import Registry, object_keys, secrets_set
from streamer.interfaces import ImporterType
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
    stated = [_parts(assignment) for assignment in assignments]
    if [value for _, value in stated].count("-") > 1:
        raise click.UsageError("--set KEY=-: standard input can be read for one key alone")
    for key, value in stated:
        config[key] = _stated_value(key, value, kind)
    return config


def exposures(assignments: tuple[str, ...], kind: ImporterType) -> list[str]:
    """What to say of each secret that stood on the command line itself."""
    return [
        f"{key} stood on the command line, which every user of this machine may have read: change "
        f"it, and give it as {key}=@FILE, {key}=env:NAME or {key}=-"
        for key, value in map(_parts, assignments)
        if key in kind.secret_keys and not (value == "-" or value.startswith(("@", "env:")))
    ]


def _parts(assignment: str) -> tuple[str, str]:
    key, equals, value = assignment.partition("=")
    if not (key and equals):
        raise click.UsageError("--set wants KEY=VALUE, KEY=@FILE, KEY=env:NAME or KEY=-")
    return key, value


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
    if not text and key in kind.secret_keys:
        raise click.UsageError(f"--set {key}: is empty; --unset removes what is there")
    looks_like_json = text == value and value.startswith(("[", "{"))
    if key in object_keys(kind) or (looks_like_json and key not in kind.secret_keys):
        return _read_json(key, text)
    return text


def _found_text(key: str, value: str) -> str:
    """Read a value from where it stands."""
    if value == "-":
        if sys.stdin is None:
            raise click.UsageError(f"--set {key}: standard input is closed")
        with _failures_told(key, "standard input"):
            return _checked(key, sys.stdin.read(MAX_VALUE_CHARACTERS + 1))
    if value.startswith("@"):
        place = value[1:]
        with _failures_told(key, place), Path(place).open(encoding="utf-8") as file:
            return _checked(key, file.read(MAX_VALUE_CHARACTERS + 1))
    if value.startswith("env:"):
        name = value.removeprefix("env:")
        if name not in os.environ:
            raise click.UsageError(f"--set {key}: {name} is not set in the environment")
        return _checked(key, os.environ[name])
    return value


@contextmanager
def _failures_told(key: str, place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise click.UsageError(f"--set {key}: {place}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--set {key}: {place}: is not UTF-8") from None


def _read_json(key: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # which would repeat what may be secret
        raise click.UsageError(f"--set {key}: must be JSON and is not") from None


def _checked(key: str, text: str) -> str:
    """Leave one line end out, and never a part of the value."""
    if len(text) > MAX_VALUE_CHARACTERS:
        raise click.UsageError(f"--set {key}: is longer than {MAX_VALUE_CHARACTERS} characters")
    return text.removesuffix("\n")


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
    """The config with `set` or `unset` in the place of each secret, for which no key is needed.

    The URL comes first, which is what is looked for, and the other keys by name.
    """
    try:
        kind = registry.type(stored.type)
    except ConfigurationError:
        return dict.fromkeys([*stored.config, *sorted(sealed_keys(stored.sealed))], "set")
    plain = {key: value for key, value in stored.config.items() if key not in kind.secret_keys}
    found = secrets_set(kind, stored)
    secrets = sorted(kind.secret_keys | found)
    shown = plain | {key: "set" if key in found else "unset" for key in secrets}
    return {key: shown[key] for key in sorted(shown, key=lambda key: (key != "url", key))}


def shown_value(value: object) -> str:
    """Write a value as `--set` would take it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
