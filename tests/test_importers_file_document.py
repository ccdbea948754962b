"""docs/importers-file.md: its tables are held to the code."""

from __future__ import annotations

import re
from pathlib import Path

from disks import TYPE

from streamer.downloaders.beneath import MAX_FOLDERS, MAX_LINKS
from streamer.importers.file import THREADS, FileConfig, read_config

DOCUMENT = Path(__file__).parents[1] / "docs" / "importers-file.md"
TEXT = DOCUMENT.read_text()
ROWS = re.findall(r"^\| `(\w+)` \| (.+?) \| .+ \| *\|$", TEXT, re.MULTILINE)


def test_every_setting_is_documented():
    """And none that there is not; none is secret."""
    assert FileConfig.model_fields.keys() - {"version"} == {key for key, _ in ROWS}
    assert frozenset() == TYPE.secret_keys


def test_documented_defaults_are_those_of_the_model():
    """As an operator would write them."""
    url = "file:///srv/"
    stated = {key: default.strip("`") for key, default in ROWS if default != "must be given"}

    assert read_config({"url": url}) == read_config({"url": url, **stated})
    assert FileConfig.model_fields.keys() - {"version", "url"} == stated.keys()


def test_number_of_threads_is_the_documented_one():
    """It is written as a word."""
    assert ("four", 4) == (re.findall(r"in up to (\w+) threads", TEXT)[0], THREADS)


def test_bounds_of_a_way_are_the_documented_ones():
    """In the text and in the table."""
    bounds = re.findall(r"after (\d+) links|more than (\d+) folders", TEXT)

    assert [("40", ""), ("", "100"), ("", "100")] == bounds
    assert (40, 100) == (MAX_LINKS, MAX_FOLDERS)
