"""What becomes of the secrets of stored importers: changed, sealed anew, or left as they are.

Separate from the commands, because `importer update`, `secrets init` and `secrets rotate` share
it, and from the catalog, which knows neither keys nor which parts of a config are secret.

Strategy of a change. The key is needed only where a secret that stays has to be looked at:

- every sealed secret is stated anew or removed: no old key is needed, so a lost one is survived;
- the key opens them: the whole config is checked, as at the start of its life;
- the key does not, and no secret changes: the plain keys are checked alone, and the answer says so;
- the key does not, and a secret changes: refused, nothing is stored.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from streamer.catalog import CatalogStore
from streamer.errors import CatalogError, ConfigurationError, KeyUnusable, OperationRefused
from streamer.importers import Registry, normalised, split_config, warnings, whole_config
from streamer.interfaces import ImporterType
from streamer.keyring import Keyring, sealed_keys
from streamer.model import DownloadConfig


class ImporterChange:
    """One `importer update`, called by the catalog within its transaction; tells what it did."""

    def __init__(
        self,
        kind: ImporterType,
        keyring: Keyring,
        stated: Mapping[str, object],
        removals: Collection[str],
    ) -> None:
        self._kind = kind
        self._keyring = keyring
        self._stated = stated
        self._removals = removals
        self.unchecked: str | None = None
        """Why the secrets were not looked at, if they were not."""
        self.uncovered = False
        """Whether a secret that was in the clear is no more."""
        self.warnings: list[str] = []
        """What the type says of the config that it accepts."""

    def __call__(self, stored: DownloadConfig) -> DownloadConfig:
        """The importer as it is to be; raises `ConfigurationError` or `OperationRefused`."""
        staying = sealed_keys(stored.sealed) - {*self._stated, *self._removals}
        for key in self._removals:
            if key not in stored.config and key not in sealed_keys(stored.sealed):
                raise OperationRefused(f"importer {stored.name!r} has no key {key!r} to unset")
        if not staying:
            return self._sealed(stored, self._changed(stored.config))
        try:
            whole = whole_config(stored, self._keyring)
        except KeyUnusable as error:
            if self._changes_a_secret():
                raise
            return self._with_secrets_unseen(stored, error)
        return self._sealed(stored, self._changed(whole))

    def _changed(self, config: Mapping[str, object]) -> dict[str, object]:
        kept = {key: value for key, value in config.items() if key not in self._removals}
        return {**kept, **self._stated}

    def _normalised(self, config: Mapping[str, object]) -> dict[str, object]:
        normal = normalised(self._kind, config)
        self.warnings = warnings(self._kind, normal)
        return normal

    def _changes_a_secret(self) -> bool:
        return not self._kind.secret_keys.isdisjoint([*self._stated, *self._removals])

    def _sealed(self, stored: DownloadConfig, config: Mapping[str, object]) -> DownloadConfig:
        normal = self._normalised(config)
        plain, secrets = split_config(self._kind, normal)
        was_clear = bool(split_config(self._kind, stored.config)[1])
        if not secrets:
            self.uncovered = was_clear
            return replace(stored, config=plain, sealed=None)
        try:
            sealed = self._keyring.seal(stored.id, secrets)
        except KeyUnusable:
            if self._changes_a_secret():
                raise
            # In the clear since there was no key, and no worse for staying so; `check` tells it.
            return replace(stored, config=normal, sealed=None)
        self.uncovered = was_clear
        return replace(stored, config=plain, sealed=sealed)

    def _with_secrets_unseen(self, stored: DownloadConfig, why: KeyUnusable) -> DownloadConfig:
        try:
            config = self._normalised(self._changed(stored.config))
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (its secrets were not looked at: {why})") from None
        self.unchecked = str(why)
        return replace(stored, config=config)


def resealed(
    importers: Iterable[DownloadConfig], registry: Registry, keyring: Keyring
) -> Iterator[DownloadConfig]:
    """Seal with the first key whatever is not; gives only the importers that it changed."""
    for stored in importers:
        plain, clear = _split(stored, registry)
        is_current = stored.sealed is None or keyring.is_newest(stored.sealed)
        if clear or not is_current:
            opened = {} if stored.sealed is None else keyring.unseal(stored.id, stored.sealed)
            sealed = keyring.seal(stored.id, {**clear, **opened})
            yield replace(stored, config=plain, sealed=sealed)


def in_the_clear(stored: DownloadConfig, registry: Registry) -> list[str]:
    """The names of secrets that nobody has sealed; none where the type cannot say what is one."""
    return sorted(_split(stored, registry)[1])


def secret_problems(
    importers: Iterable[DownloadConfig], registry: Registry, keyring: Keyring
) -> Iterator[str]:
    """What is wrong with the secrets of a catalog, and what to do."""
    for stored in importers:
        if clear := in_the_clear(stored, registry):
            yield (
                f"importer {stored.name!r} has {', '.join(clear)} in the clear: run "
                "`pulp-streamer secrets init`, or `secrets rotate` if there is a key file"
            )
        try:
            keyring.check([stored])
        except KeyUnusable as error:
            yield str(error)


def rewritten(store: CatalogStore) -> list[str]:
    """Let the catalog's file forget what stood in the clear; what hinders it is a problem."""
    try:
        store.rewrite_file()
    except CatalogError as error:
        return [
            f"the catalog's file may still hold what was in the clear: {error}; run `sqlite3 FILE "
            "VACUUM` on it when nobody uses it, the service stopped"
        ]
    return []


def _split(
    stored: DownloadConfig, registry: Registry
) -> tuple[dict[str, object], dict[str, object]]:
    try:
        return split_config(registry.type(stored.type), stored.config)
    except ConfigurationError:
        return dict(stored.config), {}
