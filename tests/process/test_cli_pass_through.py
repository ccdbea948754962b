"""`distribution pass-through`, and what the other commands say of such a distribution."""

from __future__ import annotations

import hashlib
import json

import pytest
from commands import command_in

from streamer.importers import GROUP

PLUGIN = """
class Plain:
    schemes = frozenset({"http"})
    secret_keys = frozenset()

    def normalise(self, config):
        return dict(config)

    def build(self, config, surroundings):
        raise NotImplementedError
"""


@pytest.fixture
def command(tmp_path):
    """Run the command in a folder of its own, where there is no catalog yet."""
    return command_in(tmp_path)


@pytest.fixture
def npm(command):
    """An importer that can relay."""
    made = command("importer", "create", "npm", "--type", "http", "--url", "http://npm.example/")
    assert 0 == made.code
    return "npm"


@pytest.fixture
def plain_type(tmp_path, monkeypatch):
    """An importer type that knows nothing of relaying, installed as a plugin is."""
    (tmp_path / "plain_plugin.py").write_text(PLUGIN)
    metadata = tmp_path / "plain_plugin-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: plain-plugin\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nplain = plain_plugin:Plain\n")
    monkeypatch.syspath_prepend(tmp_path)
    return "plain"


@pytest.fixture
def publish(command, npm):
    """Publish one file of a name at a base path."""

    def run(base_path):
        digest = hashlib.sha256(b"f").hexdigest()
        line = {"path": "f", "digests": {"sha256": digest}, "sources": [{"url": "f"}]}
        text = json.dumps(line).encode()
        return command("publish", base_path, "--importer", npm, "--entries", "-", text=text)

    return run


def bind(command, base_path="proxy/npm", *options):
    return command("distribution", "pass-through", base_path, "--importer", "npm", *options)


def test_base_path_passes_through_to_an_importer(command, npm):
    """Slashes around a base path are the writer's own; nothing has to be published."""
    done = bind(command, "/proxy/npm/")

    assert (0, "proxy/npm passes through to importer npm\n") == (done.code, done.out)
    assert ["base path: proxy/npm", "kept: 0", "importer: npm"] == (
        command("distribution", "show", "proxy/npm").out.splitlines()
    )


def test_base_path_is_bound_anew(command, npm):
    """The same command changes what it said before, for scripts as JSON."""
    first = bind(command, "npm", "--keep-query", "--json").document
    second = bind(command, "npm", "--json").document

    assert [("npm", True), ("npm", False)] == [
        (each["importer"], each["keeps_query"]) for each in (first, second)
    ]
    assert (None, 0) == (second["publication"], second["kept"])
    assert second == command("distribution", "show", "npm", "--json").document


def test_both_kinds_are_listed_in_one_table(command, publish):
    """What one kind does not have is a dash, or null."""
    publish("a")
    bind(command, "b")

    table = command("distribution", "list").out.splitlines()
    documents = command("distribution", "list", "--json").document

    assert ["a", "-"] == [table[-2].split()[0], table[-2].split()[-1]]
    assert ["b", "-", "-", "-", "-", "0", "npm"] == table[-1].split()
    assert [("a", None, 1), ("b", "npm", None)] == [
        (each["base_path"], each["importer"], each["publication"]) for each in documents
    ]


def test_base_path_with_publications_is_not_bound(command, publish):
    """And the other way round; the refusal says what to do."""
    publish("a")
    bind(command, "b")

    bound, published = bind(command, "a"), publish("b")

    assert (1, 1) == (bound.code, published.code)
    assert "delete the distribution first" in bound.err
    assert "delete the distribution first" in published.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("distribution", "rollback", "npm"), "is pass-through"),
        (("publication", "list", "npm"), "is pass-through"),
        (("importer", "delete", "npm"), "npm passes through to"),
        (("fetch", "npm/a", "--output", "a"), "cannot be verified"),
        (("withdraw", "npm/a"), "its origin alone can take away"),
    ],
    ids=["rollback", "publications", "importer", "fetch", "withdraw"],
)
def test_what_needs_publications_is_refused(command, npm, arguments, said):
    """An operator is told what stands in the way."""
    bind(command, "npm")

    done = command(*arguments)

    assert 1 == done.code
    assert said in done.err
    assert 0 == command("catalog", "check").code


def test_path_below_resolves_to_the_importer(command, npm):
    """That is all that the catalog knows of it."""
    bind(command, "proxy/npm", "--keep-query")

    found = command("resolve", "proxy/npm/a/b", "--json").document
    told = command("resolve", "proxy/npm/a/b", "--explain").out.splitlines()

    expected = {
        "path": "proxy/npm/a/b",
        "distribution": "proxy/npm",
        "importer": "npm",
        "keeps_query": True,
    }
    assert expected == found
    assert "distribution: proxy/npm" in told
    assert "- distribution proxy/npm passes through to importer npm" in told


def test_distribution_is_deleted_and_its_importer_after_it(command, npm):
    """Nothing of it is left over."""
    bind(command, "npm")

    assert 0 == command("distribution", "delete", "npm").code
    assert 0 == command("importer", "delete", "npm").code
    assert [] == command("distribution", "list", "--json").document


def test_importer_that_cannot_relay_is_refused(command, plain_type):
    """A type has to say that it can; what cannot answer is not bound."""
    command("importer", "create", "plain", "--type", plain_type, "--url", "http://h/")

    refused = command("distribution", "pass-through", "d", "--importer", "plain")
    unknown = command("distribution", "pass-through", "d", "--importer", "unknown")

    assert (1, 1) == (refused.code, unknown.code)
    assert "importer 'plain' is of type plain, which cannot relay" in refused.err
    assert "there is no importer 'unknown'" in unknown.err
    assert [] == command("distribution", "list", "--json").document
