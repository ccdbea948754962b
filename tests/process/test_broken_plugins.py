"""Plug-ins that cannot be used: each is told with its reason, and harms nobody beside it.

They are installed together, and good ones among them, beside the service under test.
"""

from __future__ import annotations

import json

import pytest
from origins import Origin, serves
from plugin_environments import StreamerWithPlugins, install
from processes import entry, get

CONTENT = b"content"

GOOD = """
class Type:
    schemes = frozenset()
    secret_keys = frozenset()
    def normalise(self, config):
        return dict(config)
"""

BREAKING = f"""
import os
if "PLUGIN_BREAKS" in os.environ:
    raise RuntimeError("no luck since the upgrade")
{GOOD}
"""

MODULES = {
    "raising": "raise RuntimeError('no luck today')",
    "leaving": "import sys; sys.exit('install something first')",
    "absent": GOOD,
    "untold": GOOD.replace("secret_keys", "other_keys"),
    "listing": GOOD.replace("secret_keys = frozenset()", "secret_keys = ['password']"),
    "unreadable": "class Type(",
    "needing": "import no_such_library",
    "loud": "raise RuntimeError('\\x1b[2J' + 10 * 'all is well\\n')",
    "breaking": BREAKING,
    "good": GOOD,
}

REASONS = {
    "raising": "RuntimeError: no luck today",
    "leaving": "SystemExit: install something first",
    "absent": "AttributeError: ",
    "untold": "AttributeError: ",
    "listing": "TypeError: secret_keys is no frozenset",
    "unreadable": "SyntaxError: ",
    "needing": "ModuleNotFoundError: No module named 'no_such_library'",
    "loud": "RuntimeError: ",
    "homeless": "ModuleNotFoundError: No module named 'no_such_module'",
}
"""How each reason begins; the types that are not here can be used."""


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A service that does not run yet, with all of them and one whose module is not there."""
    plugins = tmp_path_factory.mktemp("plugins")
    for name, module in MODULES.items():
        place = "plugin_absent:NoSuchType" if name == "absent" else f"plugin_{name}:Type"
        install(plugins, f"plugin_{name}", module, **{name: place})
    install(plugins, "plugin_homeless", "", homeless="no_such_module:Type")
    return StreamerWithPlugins(tmp_path_factory.mktemp("service"), plugins)


@pytest.fixture(scope="module")
def states(service):
    """What `importer types` says of each."""
    listed = json.loads(service.admin("--json", "importer", "types").stdout)
    return {each["type"]: each["state"] for each in listed}


@pytest.fixture
def origin():
    with Origin(serves(CONTENT)) as origin:
        yield origin


@pytest.mark.parametrize("name", REASONS)
def test_broken_type_is_listed_with_its_reason(states, name):
    """An operator sees at once what there is to mend."""
    assert states[name].startswith(REASONS[name])


def test_types_beside_broken_ones_are_usable(states):
    """The built-in ones, and those of other packages."""
    usable = {name for name, state in states.items() if state == "usable"}

    assert usable >= {"http", "good", "breaking"}
    assert usable & REASONS.keys() == set()


def test_reason_is_shown_without_what_a_terminal_would_obey(service):
    """A plug-in writes no lines of its own into the list."""
    done = service.admin("importer", "types")

    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith("all is well")]


@pytest.mark.parametrize("name", REASONS)
def test_importer_of_a_broken_type_is_refused_with_the_reason(service, name):
    """When it is created, and in no words but the command's own and the reason."""
    done = service.admin("importer", "create", "x", "--type", name, "--url", "/", check=False)

    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert [line for line in lines if not line.startswith("pulp-streamer: ")] == []
    assert f"importer type '{name}' is broken: {REASONS[name].strip()}" in done.stderr


def test_service_serves_beside_a_plugin_that_broke(service, origin):
    """Its entries are 500 and told on the health page; those of other importers come through."""
    service.admin("importer", "create", "unlucky", "--type", "breaking", "--url", "x")
    service.publish("os", origin.url, {"file": CONTENT})
    lines = json.dumps(entry("file", CONTENT))
    service.admin("publish", "bad", "--importer", "unlucky", "--entries", "-", stdin=lines)
    service.environment["PLUGIN_BREAKS"] = "1"

    with service:
        answers = [get(f"{service.url}{path}") for path in ("bad/file", "os/file")]
        health = get(f"{service.admin_url}healthz")
        listed = service.admin("importer", "list").stdout

    assert [500, 200] == [answer[0] for answer in answers]
    assert answers[1][2] == CONTENT
    assert b"no luck" not in answers[0][2]
    assert health[0] == 200
    said = "unlucky: importer type 'breaking' is broken: RuntimeError: no luck since the upgrade"
    assert said in health[2].decode()
    assert "unlucky" in listed
    assert service.tracebacks() == []
