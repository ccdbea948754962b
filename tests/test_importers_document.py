"""docs/importers.md: its example is run as a plugin, and its tables are held to the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from streamer import errors
from streamer.importers import GROUP, Registry
from streamer.testing.checks import CHECKS
from streamer.testing.type_checks import TYPE_CHECKS

DOCS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCS / "importers.md"
EXAMPLES = sorted((DOCS / "examples").rglob("*.py"))
STABLE = re.compile(r"^\| `streamer\.(\w+)` \| (.+) \|$", re.MULTILINE)
ROW = re.compile(r"\| `(\w+)\((.*)\)` \| .+ \| (\w+) \| (yes|no) \| (yes|no) \|")


SPAN = frozenset({"first", "last", "length"})
"""What a `ByteRange` has."""


def document():
    return DOCUMENT.read_text()


def blocks(language):
    """The fenced blocks of the document, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", document(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Install the example as its packaging says, as pip would, and give its folder."""
    example, tests = blocks("python")
    (project,) = map(tomllib.loads, blocks("toml"))
    (tmp_path / "noise_importer.py").write_text(example)
    (tmp_path / "test_noise_importer.py").write_text(tests)
    metadata = tmp_path / "pulp_streamer_noise-1.0.dist-info"
    metadata.mkdir()
    name, version = project["project"]["name"], project["project"]["version"]
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = project["project"]["entry-points"][GROUP]
    lines = [f"[{GROUP}]", *(f"{point} = {place}" for point, place in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("noise_importer", None)


def test_example_is_found_as_a_plugin(plugin):
    """Its entry point stands beside those that are built in, and can be used."""
    types = Registry().types()

    assert types["noise"] is None


def test_example_passes_the_checks_as_the_document_runs_them(plugin):
    """Plain pytest with pytest-twisted, in a folder of its own, as an author has it."""
    (plugin / "pytest.ini").write_text("[pytest]\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=plugin,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    expected = f"{len(CHECKS) + len(TYPE_CHECKS)} passed"
    assert (0, True) == (run.returncode, expected in run.stdout), run.stdout[-3000:]


def test_modules_that_an_author_may_use_have_what_the_table_names():
    """Names, parts of a `ByteRange`, and modules of `streamer.testing`."""
    rows = {module: re.findall(r"`(\w+)`", text) for module, text in STABLE.findall(document())}

    checked = [import_module(f"streamer.testing.{name}") for name in rows.pop("testing")]
    lacking = {
        name
        for module, names in rows.items()
        for name in names
        if not hasattr(import_module(f"streamer.{module}"), name) and name not in SPAN
    }
    assert {"interfaces", "model", "errors", "ranges"} == rows.keys()
    assert len(checked) == 3
    assert lacking == set()


@pytest.mark.parametrize("path", EXAMPLES, ids=[each.name for each in EXAMPLES])
def test_example_package_uses_what_the_table_names(path):
    """And nothing else of the service, in its tests neither."""
    found = {
        each.module.split(".")[1]
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.ImportFrom) and (each.module or "").startswith("streamer.")
    }

    assert found <= {module for module, _ in STABLE.findall(document())}


def test_table_says_of_each_error_what_the_code_says():
    """Outcome, whether it is asked again, and whether it counts against the origin."""
    rows = ROW.findall(document())

    said = {name: (outcome, again, counts) for name, _, outcome, again, counts in rows}
    found = {name: facts(getattr(errors, name)) for name in said}
    assert said == found


def test_table_has_every_error_that_is_not_the_service_s_own():
    """What is not there is raised by the service, or a branch that nobody raises."""
    ours = {
        errors.OriginError,
        errors.OriginAnsweredOtherwise,
        errors.OriginAvoided,
        errors.OriginSilent,
        errors.OriginTooSlow,
        errors.PieceDoubted,
        errors.ContentMismatch,
        *errors.ContentMismatch.__subclasses__(),
    }
    of_origins = {
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.OriginError)
    }

    assert {each.__name__ for each in of_origins - ours} == {
        name for name, *_ in ROW.findall(document())
    }


def facts(error):
    words = {True: "yes", False: "no"}
    return error.outcome.name, words[error.may_recover], words[error.counts_against]
