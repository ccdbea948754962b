"""Importer types by name, and the importers that serve stored download configs.

Types come from the entry point group `pulp_streamer.importers`, the built-in ones included. A
type is loaded when it is first needed; one that fails to load is remembered with its reason,
which every later use repeats, and harms no other.

Which keys of a config are secret only its type knows, so it is here that a config is split into
the part that the catalog shows and the part that is sealed, and put together again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from cachetools import LRUCache
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from streamer.errors import NOT_OURS, ConfigurationError, ImporterBroken
from streamer.interfaces import Importer, ImporterType, Surroundings
from streamer.keyring import Keyring, sealed_keys
from streamer.model import DownloadConfig

GROUP = "pulp_streamer.importers"
OWN_PACKAGE = "pulp-streamer"
MAX_IMPORTERS = 1024
"""How many importers keep their connections; beyond it the one unused for longest is closed."""

EMPTY: tuple[object, ...] = (None, "", [], {})
"""Values of a config that stand for none."""

SLOW_SECONDS = 1.0
"""A type that takes as long to load is named in the log: a start, or a command, waits for it."""

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")

_log = Logger()


@contextmanager
def faults_named() -> Iterator[None]:
    """Turn whatever a type does wrong into `ConfigurationError`.

    The words of a plugin's own fault may hold what it was given, so they are not repeated.
    """
    try:
        yield
    except (ConfigurationError, *NOT_OURS):
        raise
    except BaseException as error:
        raise ConfigurationError(f"the importer type failed with {type(error).__name__}") from None


def normalised(kind: ImporterType, config: Mapping[str, object]) -> dict[str, object]:
    """The form of a config that is stored; raises `ConfigurationError`, whatever the type does."""
    with faults_named():
        return kind.normalise(config)


def split_config(
    kind: ImporterType, config: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """The plain and the secret part of a normalised config; what is empty is no secret."""
    secrets = {
        key: value
        for key, value in config.items()
        if key in kind.secret_keys and value not in EMPTY
    }
    return {key: value for key, value in config.items() if key not in secrets}, secrets


def object_keys(kind: ImporterType) -> frozenset[str]:
    """The keys of a type whose values are lists or objects."""
    keys: frozenset[str] = getattr(kind, "object_keys", frozenset())
    return keys


def warnings(kind: ImporterType, config: Mapping[str, object]) -> list[str]:
    """What a type says of a config that it accepts, such as that it trusts anybody."""
    say: Callable[[Mapping[str, object]], list[str]] | None = getattr(kind, "warnings", None)
    with faults_named():
        return [] if say is None else list(say(config))


def secrets_set(kind: ImporterType, stored: DownloadConfig) -> frozenset[str]:
    """The secret keys that have a value, sealed or in the clear; needs no key."""
    return sealed_keys(stored.sealed) | frozenset(split_config(kind, stored.config)[1])


def whole_config(stored: DownloadConfig, keyring: Keyring) -> dict[str, object]:
    """A stored config with its secrets in their places; raises `KeyUnusable`."""
    if stored.sealed is None:
        return dict(stored.config)
    return {**stored.config, **keyring.unseal(stored.id, stored.sealed)}


class Registry:
    """The importer types of this installation, and one importer for each config in use."""

    def __init__(self, slow_seconds: float = SLOW_SECONDS) -> None:
        self._slow_seconds = slow_seconds
        self._loaded: dict[str, ImporterType] = {}
        self._reasons: dict[str, str] = {}
        self._entry_points: dict[str, EntryPoint] = {}
        for point in entry_points(group=GROUP):
            self._add(point)

    def types(self) -> dict[str, str | None]:
        """Every type by name, with the reason why it cannot be used, or None."""
        return {name: self._try(name) for name in sorted(self._entry_points)}

    def type(self, name: str) -> ImporterType:
        """A type by name; raises `ConfigurationError` with the reason or the names there are."""
        if name not in self._entry_points:
            known = ", ".join(sorted(self._entry_points))
            raise ConfigurationError(f"there is no importer type {name!r}; there are: {known}")
        if (reason := self._try(name)) is not None:
            raise ConfigurationError(f"importer type {name!r} is broken: {reason}")
        return self._loaded[name]

    def _add(self, point: EntryPoint) -> None:
        """Who takes the name of another type would get the secrets of its importers."""
        known = self._entry_points.get(point.name)
        if known is None or _is_ours(point):
            self._entry_points[point.name] = point
            self._reasons.pop(point.name, None)
        elif not _is_ours(known):
            sentence = f"two packages have it: {_package(known)} and {_package(point)}"
            self._reasons.setdefault(point.name, sentence)

    def _try(self, name: str) -> str | None:
        """Load a type if it is not loaded; give the reason why it cannot be."""
        if name in self._loaded or name in self._reasons:
            return self._reasons.get(name)
        began_at = time.monotonic()
        try:
            self._loaded[name] = _checked(self._entry_points[name].load()())
        except OSError as error:
            # Too many open files, a disk that is away: it may pass, so it is not remembered.
            return f"{type(error).__name__}: {error}"
        except NOT_OURS:
            raise
        except BaseException as error:
            self._reasons[name] = f"{type(error).__name__}: {error}"
        finally:
            self._tell_if_slow(name, time.monotonic() - began_at)
        return self._reasons.get(name)

    def _tell_if_slow(self, name: str, seconds: float) -> None:
        """Nobody can end an import that takes long, but who starts the service can learn which."""
        if seconds >= self._slow_seconds:
            said = "importer type {name} took {seconds:.1f} s to load"
            _log.warn(said, name=name, seconds=seconds)


def _is_ours(point: EntryPoint) -> bool:
    return _package(point) == OWN_PACKAGE


def _package(point: EntryPoint) -> str:
    return "an unknown one" if point.dist is None else point.dist.name


def _checked(kind: ImporterType) -> ImporterType:
    """Refuse a type that could not be used, or that does not say what is secret.

    What it forgot, or wrote as a list, would be stored in the clear.
    """
    for name in ("schemes", "secret_keys", "object_keys"):
        stated: object = getattr(kind, name) if name != "object_keys" else object_keys(kind)
        if not isinstance(stated, frozenset):
            raise TypeError(f"{name} is no frozenset")
        if not all(isinstance(each, str) for each in stated):
            raise TypeError(f"{name} holds what is no text")
    if wrong := sorted(each for each in kind.schemes if not _SCHEME.fullmatch(each)):
        raise ValueError(f"schemes holds {wrong[0]!r}, which no URL begins with in lower case")
    for name in ("normalise", "build"):
        if not callable(getattr(kind, name)):
            raise TypeError(f"{name} cannot be called")
    return kind


class ImporterPool:
    """One importer for each id and revision: what downloads share, they share in here.

    A new revision replaces the old one, whose idle connections are closed; downloads that are
    open on it end by themselves.
    """

    def __init__(
        self, registry: Registry, surroundings: Surroundings, keyring: Keyring | None = None
    ) -> None:
        """The keys go no further than here: an importer gets its own secrets and nothing else."""
        self._registry = registry
        self._surroundings = surroundings
        self._keyring = Keyring() if keyring is None else keyring
        self._importers: LRUCache[int, tuple[int, Importer]] = _ClosingCache(MAX_IMPORTERS)
        self._broken: LRUCache[int, tuple[int, str]] = LRUCache(MAX_IMPORTERS)

    def importer(self, config: DownloadConfig) -> Importer:
        """See `interfaces.Importers`. What makes a config unusable is logged once.

        It is tried again each time: a key that was put back, or a plugin's luck, counts at once.
        """
        revision, importer = self._importers.get(config.id, (0, None))
        if importer is not None and revision == config.revision:
            return importer
        built = self._build(config)
        if importer is not None:
            _close(importer)
        self._importers[config.id] = (config.revision, built)
        return built

    def broken(self) -> list[str]:
        """What was found unusable and has not been seen to work since, for the health page."""
        return sorted(sentence for _, sentence in self._broken.values())

    async def close(self) -> None:
        """Close the idle connections of all importers, which do not wait for each other."""
        closings = [_close(importer) for _, importer in self._importers.values()]
        self._importers.clear()
        for closing in closings:
            await closing

    def _build(self, config: DownloadConfig) -> Importer:
        try:
            kind = self._registry.type(config.type)
            with faults_named():
                made = kind.build(whole_config(config, self._keyring), self._surroundings)
                # One that has `downloaders` in its place is asked for that by who finds it.
                built = cast(Importer, made)
        except ConfigurationError as error:
            why = str(error)
        else:
            self._broken.pop(config.id, None)
            return built
        if self._broken.get(config.id, (None, ""))[0] != config.revision:
            _log.error("importer {name} cannot be used: {why}", name=config.name, why=why)
        self._broken[config.id] = (config.revision, f"{config.name}: {why}")
        raise ImporterBroken(config.name, why)


class _ClosingCache(LRUCache[int, tuple[int, Importer]]):
    """Closes the importer that it evicts."""

    def popitem(self) -> tuple[int, tuple[int, Importer]]:
        id_, (revision, importer) = super().popitem()
        _close(importer)
        return id_, (revision, importer)


def _close(importer: Importer) -> Deferred[None]:
    """Begin to close an importer; what it does wrong is logged and harms nobody else."""
    return Deferred.fromCoroutine(_closed(importer))


async def _closed(importer: Importer) -> None:
    try:
        await importer.close()
    except (CancelledError, *NOT_OURS):
        raise
    except BaseException:
        _log.failure("closing an importer failed")
