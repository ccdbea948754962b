"""Plug-ins that cannot be used: each is told with its reason, and harms nobody beside it.

They are installed together, and good ones among them, beside the service under test.
"""

from __future__ import annotations

import json

import pytest
from origins import Origin, serves
from plugin_environments import StreamerWithPlugins, install
from processes import entry, get

from streamer.importers import SLOW_SECONDS

CONTENT = b"content"

GOOD = """
class Type:
    schemes = frozenset()
    secret_keys = frozenset()
    def normalise(self, config):
        return dict(config)
    def build(self, config, surroundings):
        return Importer()
"""

BREAKING = f"""
import os
if "PLUGIN_BREAKS" in os.environ:
    raise RuntimeError("no luck since the upgrade")
{GOOD}
"""

FLEEING = f"""
{GOOD}
class Importer:
    def downloader(self, source):
        raise SystemExit("without me, and without all others")
    async def close(self):
        raise SystemExit("once more")
"""

MODULES = {
    "raising": "raise RuntimeError('no luck today')",
    "leaving": "import sys; sys.exit('install something first')",
    "absent": GOOD,
    "untold": GOOD.replace("secret_keys", "other_keys"),
    "listing": GOOD.replace("secret_keys = frozenset()", "secret_keys = ['password']"),
    "counting": GOOD.replace("secret_keys = frozenset()", "secret_keys = frozenset({1})"),
    "scheming": GOOD.replace("schemes = frozenset()", "schemes = frozenset({'HTTP:'})"),
    "unfinished": GOOD.replace("def build", "def make"),
    "slow": f"import time\ntime.sleep({SLOW_SECONDS} + 0.1)\n{GOOD}",
    "unreadable": "class Type(",
    "needing": "import no_such_library",
    "loud": "raise RuntimeError('\\x1b[2J' + 10 * 'all is well\\n')",
    "breaking": BREAKING,
    "good": GOOD,
    "quitting": GOOD.replace("return Importer()", "raise SystemExit('not with this config')"),
    "fleeing": FLEEING,
}

REASONS = {
    "raising": "RuntimeError: no luck today",
    "leaving": "SystemExit: install something first",
    "absent": "AttributeError: ",
    "untold": "AttributeError: ",
    "listing": "TypeError: secret_keys is no frozenset",
    "counting": "TypeError: secret_keys holds what is no text",
    "scheming": "ValueError: schemes holds 'HTTP:'",
    "unfinished": "AttributeError: 'Type' object has no attribute 'build'",
    "twice": "two packages have it: ",
    "unreadable": "SyntaxError: ",
    "needing": "ModuleNotFoundError: No module named 'no_such_library'",
    "loud": "RuntimeError: ",
    "homeless": "ModuleNotFoundError: No module named 'no_such_module'",
}
"""How each reason begins; the types that are not here can be used."""


IMPORTERS = {"unlucky": "breaking", "leaving": "quitting", "fleeing": "fleeing"}
"""Those of the running service, and their types."""

TOLD = {
    "unlucky": "importer type 'breaking' is broken: RuntimeError: no luck since the upgrade",
    "leaving": "the importer type failed with SystemExit",
}
"""What is said of those whose type broke after they were made."""


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """A folder with all of them, one whose module is not there, and two that take names."""
    plugins = tmp_path_factory.mktemp("plugins")
    for name, module in MODULES.items():
        place = "plugin_absent:NoSuchType" if name == "absent" else f"plugin_{name}:Type"
        install(plugins, f"plugin_{name}", module, **{name: place})
    install(plugins, "plugin_homeless", "", homeless="no_such_module:Type")
    install(plugins, "plugin_impostor", "", http="plugin_raising:Type", twice="plugin_good:Type")
    install(plugins, "plugin_second", "", twice="plugin_breaking:Type")
    return plugins


@pytest.fixture(scope="module")
def commands(tmp_path_factory, plugins):
    """A service that does not run: its commands are what is asked."""
    return StreamerWithPlugins(tmp_path_factory.mktemp("commands"), plugins)


@pytest.fixture(scope="module")
def service(tmp_path_factory, plugins):
    """A running service, with importers whose types broke after those were made."""
    service = StreamerWithPlugins(tmp_path_factory.mktemp("service"), plugins)
    lines = json.dumps(entry("file", CONTENT))
    with Origin(serves(CONTENT)) as origin:
        service.publish("os", origin.url, {"file": CONTENT})
        for name, kind in IMPORTERS.items():
            service.admin("importer", "create", name, "--type", kind, "--url", "x")
            service.admin("publish", name, "--importer", name, "--entries", "-", stdin=lines)
        service.environment["PLUGIN_BREAKS"] = "1"
        with service:
            yield service


@pytest.fixture(scope="module")
def states(commands):
    """What `importer types` says of each."""
    listed = json.loads(commands.admin("--json", "importer", "types").stdout)
    return {each["type"]: each["state"] for each in listed}


@pytest.mark.parametrize("name", REASONS)
def test_broken_type_is_listed_with_its_reason(states, name):
    """An operator sees at once what there is to mend."""
    assert states[name].startswith(REASONS[name])


def test_types_beside_broken_ones_are_usable(states):
    """The built-in ones, and those of other packages."""
    usable = {name for name, state in states.items() if state == "usable"}

    assert usable >= {"file", "ftp", "http", "mirrors", "good", "slow", "breaking"}
    assert usable & REASONS.keys() == set()


def test_reason_is_shown_without_what_a_terminal_would_obey(commands):
    """A plug-in writes no lines of its own into the list."""
    done = commands.admin("importer", "types")

    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("all is well")]


@pytest.mark.parametrize("name", ["leaving", "unfinished", "twice", "homeless"])
def test_importer_of_a_broken_type_is_refused_with_the_reason(commands, name):
    """When it is created, and in no words but the command's own and the reason."""
    done = commands.admin("importer", "create", "x", "--type", name, "--url", "/", check=False)

    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line for line in lines if not line.startswith("pulp-streamer: ")] == []
    assert f"importer type '{name}' is broken: {REASONS[name].strip()}" in done.stderr


def test_service_serves_beside_plugins_that_broke(service):
    """Their entries are 500, without a word of theirs; those of other importers come through."""
    paths = ("unlucky/file", "leaving/file", "os/file")
    answers = [get(f"{service.url}{path}") for path in paths]

    assert [500, 500, 200] == [answer[0] for answer in answers]
    assert answers[2][2] == CONTENT
    assert b"no luck" not in answers[0][2]


def test_importers_of_types_that_broke_are_told_to_the_operator(service):
    """On the health page and in the log, by their names; the service is well."""
    for name in TOLD:
        get(f"{service.url}{name}/file")
    status, _, health = get(f"{service.admin_url}healthz")

    assert status == 200
    for name, why in TOLD.items():
        assert f"{name}: {why}" in health.decode()
        assert f"importer {name} cannot be used: {why}" in service.log_text()
    assert [] == [each for each in service.tracebacks() if "plugin_fleeing" not in json.dumps(each)]


def test_importer_that_would_end_the_process_ends_one_exchange(service):
    """Its client is told so, and the next one of another importer is served."""
    statuses = [get(f"{service.url}{name}/file")[0] for name in ("fleeing", "os")]

    told = [each for each in service.tracebacks() if "plugin_fleeing" in json.dumps(each)]
    assert statuses == [500, 200]
    assert len(told) == 1


def test_commands_work_beside_types_that_broke(service):
    """Those for the importers of these types, too."""
    listed = service.admin("importer", "list").stdout
    service.admin("importer", "show", "unlucky")

    assert [] == [name for name in TOLD if name not in listed]


def test_type_that_is_slow_to_load_is_named_in_the_log(service):
    """The start waits for it, and who wonders why reads it there."""
    assert "importer type slow took " in service.log_text()
