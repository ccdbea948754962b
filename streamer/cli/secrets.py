"""`secrets …`: the operator's key file, and the secrets that are sealed with it.

Strategy of a rotation, which may be interrupted at any point. The new key is in the file before
anything is sealed with it, and the file is on the disk before the catalog is; all of that happens
within one transaction of the catalog, which keeps other commands from sealing with an older key.
A key goes only when a later transaction has found everything sealed with the first one, on the
disk as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from streamer.catalog import CatalogStore
from streamer.cli.frame import FAILED, Invocation, common_options, examples
from streamer.cli.keyfiles import add_key, create_key_file, keep_first_key
from streamer.cli.sealing import in_the_clear, resealed, rewritten, secret_problems
from streamer.errors import OperationRefused
from streamer.importers import Registry
from streamer.keyring import Keyring
from streamer.model import DownloadConfig

_key_file_option = click.option(
    "--key-file",
    "stated_key_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The key file, where secrets.key_file does not name it (yet).",
)


@click.group()
@common_options
def secrets() -> None:
    """Look after the key that secrets are sealed with."""


@secrets.command(
    short_help="Make the key file and seal what is in the clear.",
    epilog=examples("pulp-streamer secrets init --key-file /etc/pulp-streamer/keys"),
)
@_key_file_option
@common_options
@click.pass_context
def init(context: click.Context, stated_key_file: Path | None) -> None:
    """Make a key file that nobody else may read, and seal secrets that are in the clear.

    An existing file is refused. Exits with 1 if there are secrets sealed with another key.
    """
    invocation = context.ensure_object(Invocation)
    path, is_set = _key_file(invocation, stated_key_file)
    keyring = Keyring(path)
    registry = Registry()
    with invocation.store() as store:
        create_key_file(path)
        sealed = store.reseal_importers(
            lambda stored: list(resealed(_unsealed(stored), registry, keyring))
        )
        problems = list(secret_problems(store.importers(), registry, keyring))
        # There may be traces of what was in the clear before, and was changed or deleted.
        problems += rewritten(store)
    names = [one.name for one in sealed]
    document = {"key_file": str(path), "is_set": is_set, "sealed": names, "problems": problems}
    invocation.answer(document, *_init_lines(path, is_set, names), *problems)
    if problems:
        context.exit(FAILED)


def _init_lines(path: Path, is_set: bool, names: Sequence[str]) -> list[str]:
    lines = [f"made {path}: keep a copy of it apart from the catalog"]
    if not is_set:
        lines.append(f'set `key_file = "{path}"` under [secrets], and start the service again')
    if names:
        lines += [
            f"sealed what was in the clear: {', '.join(names)}",
            "older copies of the catalog still hold it: delete them, or change these passwords",
        ]
    return lines


@secrets.command(
    short_help="Put a new key first and seal everything with it.",
    epilog=examples("pulp-streamer secrets rotate", "pulp-streamer secrets rotate --drop-old"),
)
@click.option(
    "--drop-old",
    "drops_old",
    is_flag=True,
    help="Add no key: remove those that nothing in the catalog needs any more.",
)
@_key_file_option
@common_options
@click.pass_context
def rotate(context: click.Context, stated_key_file: Path | None, drops_old: bool) -> None:
    """Put a new key first into the key file and seal all secrets with it; connections stay.

    The old keys stay too, until `--drop-old`: first bring the file to every machine that shares
    the catalog. May be interrupted at any point and run again.
    """
    invocation = context.ensure_object(Invocation)
    path, _ = _key_file(invocation, stated_key_file)
    keyring = Keyring(path)
    registry = Registry()
    with invocation.store() as store:
        was_clear = any(in_the_clear(stored, registry) for stored in store.importers())

        def reseal(importers: Sequence[DownloadConfig]) -> list[DownloadConfig]:
            keyring.check_keys()
            keyring.check(importers)
            if not drops_old:
                add_key(path)
            return list(resealed(importers, registry, keyring))

        sealed = store.reseal_importers(reseal)
        dropped = _drop_old(store, keyring, path) if drops_old else 0
        problems = rewritten(store) if was_clear else []
    names = [one.name for one in sealed]
    done = f"keys removed: {dropped}" if drops_old else f"a new key is the first of {path}"
    invocation.answer(
        {"key_file": str(path), "sealed": names, "dropped": dropped, "problems": problems},
        done,
        f"sealed with the first key: {', '.join(names) or 'nothing had to be'}",
        *problems,
    )
    if problems:
        context.exit(FAILED)


def _drop_old(store: CatalogStore, keyring: Keyring, path: Path) -> int:
    """Remove the keys after the first, unless something was sealed with them meanwhile."""
    dropped = 0

    def drop(importers: Sequence[DownloadConfig]) -> list[DownloadConfig]:
        nonlocal dropped
        if not all(one.sealed is None or keyring.is_newest(one.sealed) for one in importers):
            raise OperationRefused("a secret was sealed with an older key meanwhile: run it again")
        dropped = keep_first_key(path)
        return []

    store.reseal_importers(drop)
    return dropped


def _key_file(invocation: Invocation, stated: Path | None) -> tuple[Path, bool]:
    """The key file, and whether the settings name it."""
    setting = invocation.settings().secrets.key_file
    path = stated or setting
    if path is None:
        raise click.UsageError("there is no key file: set secrets.key_file, or name it: --key-file")
    return path.absolute(), setting is not None and setting.absolute() == path.absolute()


def _unsealed(importers: Sequence[DownloadConfig]) -> list[DownloadConfig]:
    """Those of which nothing is sealed yet: what another key has sealed, a new one cannot open."""
    return [one for one in importers if one.sealed is None]
