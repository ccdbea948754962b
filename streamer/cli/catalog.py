"""`catalog …`: the database itself, its version, its soundness and its size."""

from __future__ import annotations

from dataclasses import asdict

import click

from streamer.catalog import upgrade_catalog
from streamer.cli.frame import FAILED, Invocation, common_options
from streamer.cli.sealing import secret_problems
from streamer.importers import Registry
from streamer.keyring import Keyring
from streamer.settings import TIME_TEXT, read_seconds


def _read_age(context: click.Context, parameter: click.Parameter, text: str) -> float:
    try:
        return read_seconds(text)
    except ValueError:
        raise click.BadParameter(f"must be {TIME_TEXT}") from None


@click.group()
@common_options
def catalog() -> None:
    """Look after the catalog's database."""


@catalog.command(short_help="Bring an older catalog to this version.")
@common_options
@click.pass_obj
def upgrade(invocation: Invocation) -> None:
    """Bring an older catalog to this version, after a copy of it was made.

    Also creates an absent one, and the tables of an empty PostgreSQL database. Upgrading what is
    up to date does nothing.
    """
    copy = upgrade_catalog(invocation.settings().catalog.url.reveal())
    document = {"upgraded": True, "copy": None if copy is None else str(copy)}
    saved = f"; the copy from before is {copy}" if copy is not None else ""
    invocation.answer(document, f"the catalog is up to date{saved}")


@catalog.command(short_help="Look for damage and for unsealed secrets.")
@common_options
@click.pass_context
def check(context: click.Context) -> None:
    """Look for damage, and for secrets that are not sealed; exits with 1 if there is any."""
    invocation = context.ensure_object(Invocation)
    keyring = Keyring(invocation.settings().secrets.key_file)
    with invocation.store() as store:
        problems = list(store.check())
        problems += secret_problems(store.importers(), Registry(), keyring)
    invocation.answer({"problems": problems}, *(problems or ["no problems found"]))
    if problems:
        context.exit(FAILED)


@catalog.command(short_help="Delete what is old or broken.")
@click.option(
    "--unfinished-age",
    "unfinished_age_seconds",
    callback=_read_age,
    default="1h",
    show_default=True,
    metavar="TIME",
    help="A publish that added nothing for so long is taken for broken.",
)
@common_options
@click.pass_obj
def prune(invocation: Invocation, unfinished_age_seconds: float) -> None:
    """Delete publications beyond `catalog.keep` and their grace, and what broken runs left."""
    settings = invocation.settings().catalog
    with invocation.store() as store:
        counts = store.prune(unfinished_age_seconds=unfinished_age_seconds, keep=settings.keep)
    document = asdict(counts)
    told = ", ".join(f"{count:,} {name}" for name, count in document.items())
    invocation.answer(document, f"removed: {told}")
