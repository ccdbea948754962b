"""What all commands share: the common options, the catalog, output, failures and exit codes.

Separate so that a command is its own sentence and nothing else. Text for people is a rich table
or a line; `--json` is one document on stdout. Refuses to let a name from the catalog speak to the
terminal: control characters are shown, never sent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from streamer.catalog import CatalogStore, open_store
from streamer.errors import (
    CatalogUnavailable,
    ConfigurationError,
    EntryRejected,
    ImporterBroken,
    OperationRefused,
    SettingInvalid,
    StreamerError,
)
from streamer.settings import OVERRIDE_PREFIX, Settings, load_settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

DONE, FAILED, WRONG_USAGE, CATALOG_AWAY = range(4)

_CATALOG_VARIABLE = f"{OVERRIDE_PREFIX}CATALOG__URL"


class EntriesRejected(OperationRefused):
    """Lines of a manifest or entries file are wrong, so nothing was published."""

    @property
    def rejections(self) -> Sequence[EntryRejected]:
        """One for each wrong line that was looked at."""
        rejections: Sequence[EntryRejected] = self.args[0]
        return rejections

    def __str__(self) -> str:
        lines = [str(rejection) for rejection in self.rejections]
        return "\n".join([*lines, "nothing was published"])


class Interrupted(StreamerError):
    """The operator pressed Ctrl-C; what had begun is taken back."""

    sentence = "interrupted"


@dataclass(slots=True)
class Invocation:
    """The common options of one call, gathered before and after the command's name."""

    config_file: Path | None = None
    catalog_url: str | None = field(default=None, repr=False)  # it may hold a password
    as_json: bool = False

    def settings(self) -> Settings:
        """Read the settings; `--catalog` counts as the last word on `catalog.url`."""
        environ = dict(os.environ)
        if self.catalog_url is None:
            return load_settings(self.config_file, environ)
        environ[_CATALOG_VARIABLE] = self.catalog_url
        try:
            return load_settings(self.config_file, environ)
        except SettingInvalid as error:
            place, allowed = error.args
            if not place.startswith(_CATALOG_VARIABLE):
                raise
            raise SettingInvalid("--catalog", allowed) from None

    @contextmanager
    def store(self) -> Iterator[CatalogStore]:
        """Open the catalog, creating an absent SQLite one; close it in the end."""
        store = open_store(self.settings().catalog.url.reveal())
        try:
            yield store
        finally:
            store.close()

    def answer(self, document: object, *lines: str) -> None:
        """Say what was done: `document` as JSON, or `lines` for a person."""
        if self.as_json:
            text = json.dumps(document, indent=2, ensure_ascii=False)
            # A file's name that is no UTF-8 has no other way to be written.
            click.echo(text.encode("utf-8", "backslashreplace"))
        for line in () if self.as_json else lines:
            click.echo(printable(line))

    def table(
        self, records: Iterable[Mapping[str, object]], columns: Mapping[str, str], empty: str
    ) -> None:
        """Show records: all of them as JSON, or the columns (title to key) for a person."""
        found = list(records)
        if self.as_json:
            self.answer(found)
        elif found:
            rows = [[record[key] for key in columns.values()] for record in found]
            _print_table([["-" if cell is None else cell for cell in row] for row in rows], columns)
        else:
            click.echo(empty)


def _print_table(rows: Iterable[Iterable[object]], titles: Iterable[str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(str(cell))) for cell in row))
    # In a pipe nothing is folded: a script reads a row as one line.
    console = Console(width=None if sys.stdout.isatty() else 4000)
    console.print(table)


def common_options(command: Decorated) -> Decorated:
    """Give a command `--config`, `--catalog` and `--json`, which count wherever they stand."""
    for option in (
        click.option(
            "--json",
            "as_json",
            is_flag=True,
            expose_value=False,
            callback=_remember,
            help="Print one JSON document; errors as JSON on stderr.",
        ),
        click.option(
            "--catalog",
            "catalog_url",
            metavar="URL",
            expose_value=False,
            callback=_remember,
            help="Use this catalog: sqlite:///FILE or postgresql://USER@HOST/DATABASE.",
        ),
        click.option(
            "--config",
            "config_file",
            type=click.Path(path_type=Path, dir_okay=False),
            expose_value=False,
            callback=_remember,
            help="Read the settings from this TOML file.",
        ),
    ):
        command = option(command)
    return command


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    # An empty value was meant and is judged; an option or a flag that is absent says nothing.
    if value not in (None, False) and option.name is not None:
        setattr(context.find_object(Invocation), option.name, value)


def examples(*lines: str) -> str:
    """Write the end of a help text; the backspace keeps click from joining the lines."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


# -- failures ------------------------------------------------------------------------------------


def exit_code(error: Exception) -> int:
    """The exit code that an error means."""
    if isinstance(error, CatalogUnavailable):
        return CATALOG_AWAY
    if isinstance(error, ConfigurationError) and not isinstance(error, ImporterBroken):
        return WRONG_USAGE
    return error.exit_code if isinstance(error, click.ClickException) else FAILED


def report_failure(error: Exception, *, as_json: bool) -> None:
    """Write what went wrong to stderr, in a line or as `{"error": {...}}`."""
    if as_json:
        click.echo(json.dumps({"error": _error_document(error)}), err=True)
    elif isinstance(error, click.ClickException):
        error.show()
    else:
        for line in [*str(error).splitlines(), *notes_of(error)]:
            click.echo(f"pulp-streamer: {printable(line)}", err=True)


def notes_of(error: BaseException) -> list[str]:
    """What was added to an error on its way up: sentences for whoever reads it."""
    notes: list[str] = getattr(error, "__notes__", [])
    return notes


def _error_document(error: Exception) -> dict[str, object]:
    document: dict[str, object] = {"kind": type(error).__name__, "message": str(error)}
    if isinstance(error, click.ClickException):
        document["message"] = error.format_message()
    if isinstance(error, EntriesRejected):
        document["lines"] = [
            {"line": number, "why": why} for number, why in (one.args for one in error.rejections)
        ]
    if notes_of(error):
        document["notes"] = notes_of(error)
    return document


# -- how values are shown ------------------------------------------------------------------------


def printable(text: str) -> str:
    """Replace every character that a terminal might obey."""
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


def size_text(size: int | None) -> str:
    """Write a size for a person."""
    if size is None:
        return "unknown"
    amount, units = float(size), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while amount >= 1024 and len(units) > 1:
        amount, units = amount / 1024, units[1:]
    return f"{size:,} bytes" if size < 1024 else f"{amount:,.1f} {units[0]}"


def time_text(seconds: float | None) -> str | None:
    """Write a time as RFC 3339, in UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
