"""Issue 5, line 1: the contract checks run over every type that is built in.

What is built in is what the installed distribution says, and what is checked is what pytest finds
in tests/contracts, so a type that is added without its contract fails here. The example plug-in's
turn is in `test_5_1_plugin_package`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path

import pytest

from streamer.importers import GROUP, OWN_PACKAGE, Registry
from streamer.testing.checks import CHECKS
from streamer.testing.relay_checks import RELAY_CHECKS
from streamer.testing.type_checks import TYPE_CHECKS

CHECKOUT = Path(__file__).parents[2]
BUILT_IN = sorted(
    point.name for point in distribution(OWN_PACKAGE).entry_points if point.group == GROUP
)
NODE = re.compile(r"tests/contracts/test_importer_(\w+)\.py::\w+::test_(\w+)\[(\w+)\]")
KINDS = {
    "importer_keeps_the_contract": "importer",
    "type_keeps_the_contract": "type",
    "importer_relays_by_the_contract": "relaying",
}
COLLECTING_SECONDS = 300


@pytest.fixture(scope="module")
def collected():
    """Each check that pytest finds: the type that its file is named after, its kind, its name."""
    pytest_itself = Path(sys.executable).with_name("pytest")
    done = subprocess.run(
        [pytest_itself, "--collect-only", "-q", "-p", "no:cacheprovider", "tests/contracts"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=COLLECTING_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    found = [NODE.fullmatch(line) for line in done.stdout.splitlines()]
    return [
        (each[1], KINDS[each[2]], each[3])
        for each in found
        if each is not None and each[2] in KINDS
    ]


def wanted(can_relay):
    """What a type has to be held to, as pairs of a kind and a check."""
    kinds = {"importer": CHECKS, "type": TYPE_CHECKS, "relaying": RELAY_CHECKS if can_relay else ()}
    return {(kind, check.__name__) for kind, checks in kinds.items() for check in checks}


def lacking(name, collected, *, can_relay=False):
    """The checks that no class in the file of a type runs."""
    found = {(kind, check) for file, kind, check in collected if file == name}
    return sorted(wanted(can_relay) - found)


def test_what_is_built_in_can_be_used():
    """Every type that the distribution names is listed by `importer types` as usable."""
    listed = Registry().types()

    assert len(BUILT_IN) >= 4
    assert {name: listed[name] for name in BUILT_IN} == dict.fromkeys(BUILT_IN)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_check_runs_over_each_built_in_type(name, collected, record_property):
    """Those of the importer, of its type and, where it can relay, of its relaying."""
    can_relay = getattr(Registry().type(name), "can_relay", False)
    counts = Counter(kind for file, kind, _ in collected if file == name)
    for kind in KINDS.values():
        record_property("matrix", ("contract checks", name, kind, str(counts[kind] or "")))

    assert lacking(name, collected, can_relay=can_relay) == []


def test_type_that_is_added_without_its_contract_would_be_found(collected):
    """It lacks every check, and one without a single check lacks that one."""
    without_pause = [each for each in collected if each[2] != "check_pause"]

    assert len(lacking("invented", collected)) == len(CHECKS) + len(TYPE_CHECKS)
    assert lacking("http", without_pause, can_relay=True) == [("importer", "check_pause")]
