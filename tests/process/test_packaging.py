"""The wheel: what is in it, what must never be in it, and what installing it gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

pytestmark = pytest.mark.subset

CHECKOUT = Path(__file__).parents[2]
SCRIPTS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names in the wheel that is being tested; without one, in a wheel that is built now."""
    given = os.environ.get("STREAMER_WHEEL")
    wheel = Path(given) if given else _build(tmp_path_factory.mktemp("wheel"))
    with ZipFile(wheel) as archive:
        return archive.namelist()


def _build(folder):
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, CHECKOUT]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def output_of(script, *arguments):
    """Run a script of this environment, away from the checkout, and return what it printed."""
    command = [SCRIPTS / script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "name",
    [
        "streamer/__init__.py",
        "streamer/py.typed",
        "streamer/service.py",
        "streamer/cli/__init__.py",
        "streamer/catalog/migrations/env.py",
        "twisted/plugins/pulp_streamer.py",
    ],
)
def test_wheel_contains_what_the_service_needs(names, name):
    """Code, the typing marker, the migrations and the plugin are in the wheel."""
    assert name in names


def test_wheel_contains_a_revision_of_the_catalog(names):
    """A catalog can be created from the wheel alone."""
    assert [name for name in names if name.startswith("streamer/catalog/migrations/versions/")]


def test_wheel_owns_nothing_of_twisted_but_one_plugin(names):
    """An `__init__.py` of ours would overwrite Twisted's, and uninstalling would delete it."""
    ours = [name for name in names if name.startswith("twisted/")]

    assert ours == ["twisted/plugins/pulp_streamer.py"]


def test_wheel_holds_no_tests_and_no_leftovers(names):
    """Only the package, the plugin and the metadata are shipped."""
    roots = {name.split("/")[0].partition("-")[0] for name in names}

    assert roots == {"streamer", "twisted", "pulp_streamer"}
    assert [name for name in names if name.endswith((".pyc", "dropin.cache"))] == []


def test_twistd_lists_the_service():
    """`twistd --help` knows the service by name."""
    assert "pulp-streamer" in output_of("twistd", "--help")


def test_twistd_shows_the_options_of_the_service():
    """`twistd pulp-streamer --help` names the one option that matters."""
    assert "--config" in output_of("twistd", "pulp-streamer", "--help")


def test_admin_command_is_on_the_path():
    """`pulp-streamer --help` works wherever the wheel is installed."""
    assert "publish" in output_of("pulp-streamer", "--help")
