"""The admin command `pulp-streamer`: what is published, and from where.

`frame` holds what all commands share: options, output, exit codes. The other modules hold one
group of commands each, and this one puts them together and turns whatever went wrong into one
line and an exit code: 0 done, 1 failed or found something, 2 wrong usage, 3 catalog not reachable.
Nothing asks back, because scripts do not answer.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from streamer import __version__
from streamer.cli.catalog import catalog
from streamer.cli.content import fetch, resolve, withdraw
from streamer.cli.distributions import distribution, publication
from streamer.cli.frame import (
    FAILED,
    Interrupted,
    Invocation,
    common_options,
    examples,
    exit_code,
    notes_of,
    report_failure,
)
from streamer.cli.importers import importer
from streamer.cli.publish import publish
from streamer.cli.secrets import secrets
from streamer.errors import OperationRefused, StreamerError

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
"""What a shell reports for a command that Ctrl-C ended, and for one that was told to end."""

_EPILOG = """\b
Exit codes:
  0  done
  1  the operation failed or found something
  2  wrong usage
  3  catalog not reachable
  130, 143  interrupted by Ctrl-C or SIGTERM

""" + examples(
    "pulp-streamer importer create fedora --type http --url https://mirror.example/fedora/",
    "pulp-streamer publish fedora/40 --importer fedora --manifest PULP_MANIFEST",
    "pulp-streamer distribution show fedora/40",
)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, "--version", prog_name="pulp-streamer")
@common_options
def pulp_streamer() -> None:
    """Publish repositories whose content is fetched when somebody asks for it.

    All of it works while the service runs, which sees a change within a second.
    """


for command in (
    importer,
    publish,
    distribution,
    publication,
    withdraw,
    resolve,
    fetch,
    catalog,
    secrets,
):
    pulp_streamer.add_command(command)


def main() -> NoReturn:
    """Run the command that the process was started with, and exit."""
    _fill_in_streams()
    # Whoever ends a job (timeout, systemd, CI) sends this; what had begun is taken back then too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(TERMINATED))
    sys.exit(run(sys.argv[1:]))


def _fill_in_streams() -> None:
    """Stand in for the standard streams that the process was started without.

    Their descriptors would else be the next files that are opened: a catalog, for one.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - to the end


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code."""
    # A wrong option is found before `--json` behind it is read, and is reported as JSON too.
    as_json = "--json" in arguments
    try:
        code = pulp_streamer.main(
            list(arguments), prog_name="pulp-streamer", standalone_mode=False, obj=Invocation()
        )
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except (click.ClickException, StreamerError) as error:
        report_failure(error, as_json=as_json)
        return exit_code(error)
    except (click.Abort, KeyboardInterrupt) as stop:
        report_failure(_interrupted(stop), as_json=as_json)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone, and nobody is left to tell
        _abandon_output()
        return FAILED
    except OSError as error:
        # Files that a command reads have errors of their own: this is the disk, or the output.
        _abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        report_failure(OperationRefused(f"{place}{error.strerror}"), as_json=as_json)
        return FAILED


def _interrupted(stop: BaseException) -> Interrupted:
    """The error that stands for Ctrl-C, which click wraps into one of its own."""
    error = Interrupted()
    for note in notes_of(stop.__cause__ or stop):
        error.add_note(note)
    return error


def _abandon_output() -> None:
    """Let the interpreter not stumble once more over output that cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
