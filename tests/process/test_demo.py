"""The script behind `make run`, as far as it gets where UPSTREAM cannot be published."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/demo.py"


@pytest.mark.parametrize(
    ("upstream", "message"),
    [
        ("absent", "{folder}/absent is not a folder with a PULP_MANIFEST"),
        ("file:///absent", "UPSTREAM must be an http:// or https:// URL, or a folder"),
        ("https://", "UPSTREAM must be an http:// or https:// URL, or a folder"),
        ("http://[", "UPSTREAM is not a URL"),
        ("http://user:hunter2@h/", "UPSTREAM must have no user, query or fragment"),
        ("http://h/?token=hunter2", "UPSTREAM must have no user, query or fragment"),
    ],
)
def test_upstream_that_cannot_be_published_is_refused_in_a_line(tmp_path, upstream, message):
    """Before anything is fetched or started; a secret is not repeated."""
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env=os.environ | {"UPSTREAM": upstream},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (1, "", 1) == (done.returncode, done.stdout, len(done.stderr.splitlines()))
    assert done.stderr.startswith(message.format(folder=tmp_path))
    assert "hunter2" not in done.stderr
