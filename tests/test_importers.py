"""Importer types as plugins, and the importers that are built from stored configs.

A plugin is a distribution on `sys.path`, so the tests install some by writing their metadata into
a folder, as pip would.
"""

from __future__ import annotations

import sys
from dataclasses import astuple

import pytest
from cryptography.fernet import Fernet
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher

from streamer.errors import ConfigurationError, ImporterBroken
from streamer.importers import (
    GROUP,
    MAX_IMPORTERS,
    ImporterPool,
    Registry,
    object_keys,
    secrets_set,
    split_config,
)
from streamer.importers.http import HttpImporterType
from streamer.interfaces import Surroundings
from streamer.keyring import Keyring
from streamer.model import DownloadConfig

PLUGINS = """
import time

from streamer.errors import ConfigurationError

class Importer:
    def __init__(self):
        self.closings = 0
        self.goodbye = None
    async def close(self):
        self.closings += 1
        if self.goodbye is not None:
            await self.goodbye

class Good:
    schemes = frozenset()
    secret_keys = frozenset({"password", "secret_fields"})
    def normalise(self, config):
        return dict(config)
    def build(self, config, surroundings):
        self.built_with = config, surroundings
        if "wrong" in config:
            raise ConfigurationError("wrong: is not allowed")
        if "crash" in config:
            raise RuntimeError(config["crash"])
        return Importer()

class Leaving:
    def __init__(self):
        raise SystemExit("install something first")

class Odd:
    def __init__(self):
        raise BaseException("no exception of the usual kind")

class Listing(Good):
    secret_keys = ["password"]

class Upper(Good):
    schemes = frozenset({"https", "HTTP"})

class Numbers(Good):
    secret_keys = frozenset({1})

class Listed(Good):
    object_keys = ["fields"]

class Half(Good):
    build = None

class Sleepy(Good):
    def __init__(self):
        time.sleep(0.01)

class Silent:
    schemes = frozenset()

class Raising:
    def __init__(self):
        raise RuntimeError("no luck today")

class Hungry(Good):
    attempts = 0
    def __init__(self):
        Hungry.attempts += 1
        if Hungry.attempts == 1:
            raise OSError(24, "Too many open files")

class Stubborn(Good):
    def build(self, config, surroundings):
        return StubbornImporter()

class StubbornImporter:
    async def close(self):
        raise RuntimeError("not now")

class Dying(Good):
    def build(self, config, surroundings):
        if "crash" in config:
            raise SystemExit(config["crash"])
        return DyingImporter()

class DyingImporter:
    async def close(self):
        raise SystemExit("not without the process")

class Blunt(Good):
    def build(self, config, surroundings):
        return BluntImporter()

class BluntImporter:
    def close(self):
        raise RuntimeError("not a coroutine either")
"""


def install(folder, name, points):
    """Put the metadata of a distribution into a folder of the path."""
    metadata = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"[{GROUP}]", *(f"{name} = {place}" for name, place in points.items())]
    (metadata / "entry_points.txt").write_text("\n".join(lines))


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Install a distribution with good and bad importer types."""
    (tmp_path / "example_plugins.py").write_text(PLUGINS)
    points = {
        "good": "example_plugins:Good",
        "stubborn": "example_plugins:Stubborn",
        "blunt": "example_plugins:Blunt",
        "dying": "example_plugins:Dying",
        "upper": "example_plugins:Upper",
        "numbers": "example_plugins:Numbers",
        "listed": "example_plugins:Listed",
        "half": "example_plugins:Half",
        "sleepy": "example_plugins:Sleepy",
        "leaving": "example_plugins:Leaving",
        "odd": "example_plugins:Odd",
        "listing": "example_plugins:Listing",
        "silent": "example_plugins:Silent",
        "hungry": "example_plugins:Hungry",
        "raising": "example_plugins:Raising",
        "absent": "example_plugins:Absent",
        "homeless": "no_such_module:Type",
    }
    install(tmp_path, "example-plugins", points)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("example_plugins", None)


@pytest.fixture
def registry(plugins):
    return Registry()


def test_type_of_ours_keeps_its_name(plugins, tmp_path):
    """Who took it would get the secrets of its importers."""
    install(tmp_path, "impostor", {"http": "example_plugins:Good"})

    assert isinstance(Registry().type("http"), HttpImporterType)


def test_name_that_two_packages_have_is_nobodys(plugins, tmp_path):
    """Which of them a config was made for nobody knows."""
    install(tmp_path, "impostor", {"good": "example_plugins:Listing"})

    reason = Registry().types()["good"]

    assert "two packages have it" in reason
    assert {"example-plugins", "impostor"} == set(reason.partition(": ")[2].split(" and "))


@pytest.fixture
def pool(registry):
    return ImporterPool(registry, Surroundings(Clock(), "me"))


def config(id_=1, revision=1, type_="good", **values):
    return DownloadConfig(id_, revision, f"importer-{id_}", type_, values)


# -- types


def test_built_in_type_is_a_plugin_like_any_other():
    """`http` comes from the entry point group and can be used."""
    types = Registry().types()

    assert types["http"] is None


def test_broken_types_are_named_with_their_reasons(plugins):
    """Each reason stands beside its type, and the good ones beside them work."""
    types = Registry().types()

    assert types["good"] is None
    assert types["http"] is None
    assert types["raising"] == "RuntimeError: no luck today"
    assert types["absent"].startswith("AttributeError: ")
    assert types["homeless"].startswith("ModuleNotFoundError: ")
    assert types["leaving"] == "SystemExit: install something first"
    assert types["odd"] == "BaseException: no exception of the usual kind"


def test_type_that_does_not_say_what_is_secret_is_broken(plugins):
    """What it forgot, or wrote as a list, would be stored in the clear."""
    types = Registry().types()

    assert types["listing"] == "TypeError: secret_keys is no frozenset"
    assert types["silent"] == "AttributeError: 'Silent' object has no attribute 'secret_keys'"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("upper", "ValueError: schemes holds 'HTTP', which no URL begins with in lower case"),
        ("numbers", "TypeError: secret_keys holds what is no text"),
        ("listed", "TypeError: object_keys is no frozenset"),
        ("half", "TypeError: build cannot be called"),
    ],
)
def test_type_that_could_not_be_used_is_broken(plugins, name, reason):
    """It is found out when it is listed, and not by the first client."""
    assert Registry().types()[name] == reason


@pytest.mark.parametrize(("seconds", "count"), [(0.01, 1), (60, 0)])
def test_type_that_is_slow_to_load_is_named_in_the_log(plugins, seconds, count):
    """Nobody can end an import that takes long."""
    said = []
    globalLogPublisher.addObserver(said.append)
    try:
        Registry(slow_seconds=seconds).type("sleepy")
    finally:
        globalLogPublisher.removeObserver(said.append)

    told = [each for each in map(formatEvent, said) if "importer type sleepy took" in each]
    assert len(told) == count


def test_type_is_loaded_when_it_is_needed(plugins):
    """Making a registry imports no plugin; asking for a type imports that one."""
    registry = Registry()
    before = "example_plugins" in sys.modules
    registry.type("good")

    assert before is False
    assert "example_plugins" in sys.modules


def test_type_is_loaded_once(plugins):
    """Every use of a type meets the same object."""
    registry = Registry()

    assert registry.type("good") is registry.type("good")


def test_broken_type_repeats_its_reason(plugins):
    """The second use fails like the first."""
    registry = Registry()

    sentences = []
    for _ in range(2):
        with pytest.raises(ConfigurationError) as caught:
            registry.type("raising")
        sentences.append(str(caught.value))

    assert sentences == ["importer type 'raising' is broken: RuntimeError: no luck today"] * 2


def test_type_that_failed_for_want_of_descriptors_is_tried_again(plugins):
    """What a crowd of clients caused for a moment must not last until a restart."""
    registry = Registry()
    with pytest.raises(ConfigurationError, match="Too many open files"):
        registry.type("hungry")

    assert registry.type("hungry") is registry.type("hungry")


def test_unknown_type_is_refused_with_the_names_there_are(plugins):
    """Who mistypes a name sees the right one."""
    with pytest.raises(ConfigurationError, match=r"no importer type 'htpt'; there are: .*\bhttp\b"):
        Registry().type("htpt")


# -- secrets

SECRETS = {"password": "hunter2", "secret_fields": {"X-Key": "hunter3"}}


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "keys"
    path.touch(0o600)
    path.write_bytes(Fernet.generate_key())
    return path


@pytest.fixture
def keyed_pool(registry, key_file):
    """A pool whose service has a key file."""
    return ImporterPool(registry, Surroundings(Clock(), "me"), Keyring(key_file))


def sealed_config(key_file, id_=1, sealed_for=1, **values):
    sealed = Keyring(key_file).seal(sealed_for, SECRETS)
    return DownloadConfig(id_, 1, f"importer-{id_}", "good", values, sealed)


def test_config_is_split_into_what_is_shown_and_what_is_sealed(registry):
    """A secret key goes whole, whatever it holds; an empty one is no secret."""
    stated = {"url": "u", "fields": {"A": "b"}, "password": "", **SECRETS}

    assert ({"url": "u", "fields": {"A": "b"}}, SECRETS) == split_config(
        registry.type("good"), stated
    )
    for empty in ("", None, {}, []):
        assert ({"password": empty}, {}) == split_config(registry.type("good"), {"password": empty})


def test_secrets_that_are_set_are_known_without_a_key(registry, key_file):
    """Sealed or in the clear."""
    kind = registry.type("good")

    assert {"password", "secret_fields"} == secrets_set(kind, sealed_config(key_file))
    assert {"password"} == secrets_set(kind, config(password="hunter2"))
    assert set() == secrets_set(kind, config(password="", url="u"))


def test_type_that_names_no_object_keys_has_none(registry):
    """Most plugins need none."""
    assert frozenset() == object_keys(registry.type("good"))


def test_importer_is_built_with_its_secrets_and_without_the_keys(registry, keyed_pool, key_file):
    """The keyring goes no further than the pool."""
    keyed_pool.importer(sealed_config(key_file, url="u"))

    built_with, surroundings = registry.type("good").built_with
    assert {"url": "u", **SECRETS} == built_with
    assert not [each for each in astuple(surroundings) if isinstance(each, Keyring)]


def test_secrets_in_the_clear_go_on_working_without_a_key(registry, pool):
    """A catalog from before needs nothing."""
    pool.importer(config(url="u", password="hunter2"))

    assert {"url": "u", "password": "hunter2"} == registry.type("good").built_with[0]


def test_importer_without_its_key_is_broken_until_the_key_is_back(keyed_pool, key_file):
    """Health says what to do meanwhile; no restart is needed."""
    stored, key = sealed_config(key_file), key_file.read_bytes()
    key_file.unlink()
    with pytest.raises(ImporterBroken):
        keyed_pool.importer(stored)
    told = keyed_pool.broken()

    key_file.touch(0o600)
    key_file.write_bytes(key)

    assert keyed_pool.importer(stored) is keyed_pool.importer(stored)
    assert [True] == ["is not there: put it back" in sentence for sentence in told]
    assert [] == keyed_pool.broken()


def test_importer_that_is_built_needs_its_key_no_more(keyed_pool, key_file):
    """Connections outlive the key file."""
    built = keyed_pool.importer(sealed_config(key_file))

    key_file.unlink()

    assert built is keyed_pool.importer(config())


def test_secrets_of_another_importer_break_the_one_that_they_were_moved_to(keyed_pool, key_file):
    """Nothing of them is told."""
    with pytest.raises(ImporterBroken) as caught:
        keyed_pool.importer(sealed_config(key_file, id_=2, sealed_for=1))

    assert "sealed for another importer" in str(caught.value)
    assert not any(text in str(caught.value) for text in ("hunter2", "hunter3"))


# -- the pool


def test_one_revision_of_one_config_has_one_importer(pool):
    """What downloads share, they share in it."""
    assert pool.importer(config()) is pool.importer(config())


def test_two_configs_share_nothing(pool):
    """Not even if they are the same in every value."""
    assert pool.importer(config(1)) is not pool.importer(config(2))


@ensureDeferred
async def test_new_revision_replaces_the_old_one_and_closes_it(pool):
    """A change of the config makes a new importer."""
    old = pool.importer(config(revision=1))

    new = pool.importer(config(revision=2))

    assert new is not old
    assert (old.closings, new.closings) == (1, 0)
    assert pool.importer(config(revision=2)) is new


def test_importer_that_cannot_be_built_is_broken(pool, logged_failures):
    """The error names the importer and says why."""
    with pytest.raises(ImporterBroken) as caught:
        pool.importer(config(wrong=1))

    assert caught.value.args == ("importer-1", "wrong: is not allowed")


@pytest.mark.parametrize("type_", ["raising", "homeless", "unknown"])
def test_importer_of_a_type_that_cannot_be_used_is_broken(pool, type_):
    """A missing plugin harms its own importers."""
    with pytest.raises(ImporterBroken):
        pool.importer(config(1, type_=type_))

    assert pool.importer(config(2)) is not None


def test_new_revision_that_is_broken_leaves_the_old_one_alone(pool):
    """A mistake does not close what still serves."""
    old = pool.importer(config(revision=1))

    with pytest.raises(ImporterBroken):
        pool.importer(config(revision=2, wrong=1))

    assert old.closings == 0
    assert pool.importer(config(revision=1)) is old


def test_importer_that_was_repaired_is_named_no_more(pool):
    """Health forgets what has been seen to work since."""
    with pytest.raises(ImporterBroken):
        pool.importer(config(wrong=True))

    pool.importer(config(revision=2))

    assert pool.broken() == []


@pytest.mark.parametrize(("type_", "error"), [("good", "RuntimeError"), ("dying", "SystemExit")])
def test_plugin_that_raises_something_else_is_broken_without_its_words(pool, type_, error):
    """A message of a plugin may hold the config that it was given."""
    with pytest.raises(ImporterBroken) as caught:
        pool.importer(config(type_=type_, crash="a secret"))

    why = str(caught.value)
    assert why == f"importer 'importer-1' cannot be used: the importer type failed with {error}"


def test_health_names_each_broken_importer_once(pool):
    """A thousand requests for one broken importer are one fact."""
    for _ in range(3):
        with pytest.raises(ImporterBroken):
            pool.importer(config(wrong=1))

    assert pool.broken() == ["importer-1: wrong: is not allowed"]


def test_importer_unused_for_longest_is_closed_when_there_are_too_many(pool):
    """Connections of forgotten importers do not pile up."""
    first, second = pool.importer(config(1)), pool.importer(config(2))
    pool.importer(config(1))

    for number in range(3, MAX_IMPORTERS + 2):
        pool.importer(config(number))

    assert (first.closings, second.closings) == (0, 1)


@ensureDeferred
async def test_close_closes_every_importer(pool):
    """At the end nothing idles."""
    importers = [pool.importer(config(number)) for number in (1, 2)]

    await pool.close()

    assert [importer.closings for importer in importers] == [1, 1]


@pytest.mark.parametrize("type_", ["stubborn", "blunt", "dying"])
def test_importer_that_fails_to_close_harms_no_request(pool, logged_failures, type_):
    """The failure is logged; the new revision serves, and is the one for all."""
    pool.importer(config(revision=1, type_=type_))

    new = pool.importer(config(revision=2, type_=type_))

    assert pool.importer(config(revision=2, type_=type_)) is new
    assert len(logged_failures.flush(RuntimeError, SystemExit)) == 1


@pytest.mark.parametrize("type_", ["stubborn", "blunt", "dying"])
@ensureDeferred
async def test_importer_that_fails_to_close_keeps_no_other_from_it(pool, logged_failures, type_):
    """Nor what the service has to stop after them."""
    pool.importer(config(1, type_=type_))
    good = pool.importer(config(2))

    await pool.close()

    assert good.closings == 1
    assert len(logged_failures.flush(RuntimeError, SystemExit)) == 1


def test_importers_do_not_wait_for_each_other_to_close(pool):
    """One that takes its time is waited for, and cancelled with whoever waits."""
    slow, quick = (pool.importer(config(number)) for number in (1, 2))
    slow.goodbye = Deferred()

    closing = Deferred.fromCoroutine(pool.close())

    assert (slow.closings, quick.closings) == (1, 1)
    assert not closing.called
    closing.cancel()
    assert closing.addErrback(lambda failure: failure.type).result is CancelledError
