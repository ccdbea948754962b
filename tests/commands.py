"""The admin command, run within the test's process or as one of its own.

`command_in` saves half a second a call: it gives the command a standard input and outputs that are
real files, an environment and a folder, and takes its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from io import TextIOWrapper
from typing import NamedTuple
from unittest import mock

from streamer import cli


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def document(self):
        return json.loads(self.out)

    @property
    def error(self):
        return json.loads(self.err)["error"]


def environ_of(folder):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PULP_STREAMER")}
    return clean | {
        "PULP_STREAMER__CATALOG__URL": f"sqlite:///{folder}/catalog.db",
        "PULP_STREAMER__SECRETS__KEY_FILE": f"{folder}/keys",
    }


def command_in(folder):
    """Give a function that runs the command in a folder, with the catalog that lies there."""

    def run(*arguments, text=b"", **variables):
        environment = environ_of(folder) | variables
        with Streams(text) as streams, contextlib.chdir(folder):
            with mock.patch.dict(os.environ, environment, clear=True):
                code = cli.run([str(argument) for argument in arguments])
            return Result(code, *streams.outputs())

    return run


class Streams:
    """Standard input, output and error of this process, as files, while the block runs."""

    def __init__(self, text):
        self._stack = contextlib.ExitStack()
        self._files = [TextIOWrapper(tempfile.TemporaryFile(), "utf-8") for _ in range(3)]  # noqa: SIM115
        self._files[0].buffer.write(text)
        self._files[0].seek(0)

    def __enter__(self):
        for name, file in zip(("stdin", "stdout", "stderr"), self._files, strict=True):
            self._stack.enter_context(file)
            self._stack.enter_context(mock.patch.object(sys, name, file))
        return self

    def __exit__(self, *_):
        self._stack.close()

    def outputs(self):
        """All of standard output, and of standard error."""
        return [self._content(file) for file in self._files[1:]]

    @staticmethod
    def _content(file):
        file.flush()
        file.seek(0)
        return file.read()


def process_in(folder):
    """Give a function that runs the command as a process, otherwise as `command_in` does."""

    def run(*arguments, text=b"", **variables):
        done = subprocess.run(
            [sys.executable, "-m", "streamer.cli", *map(str, arguments)],
            input=text,
            capture_output=True,
            cwd=folder,
            env=environ_of(folder) | variables,
            timeout=60,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
