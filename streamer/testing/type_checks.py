"""What every importer type has to do with configs, as checks that any author can run.

Each is a function of the type, of configs as an operator would state them, which together set every
key, and of the secret texts in them; it raises `AssertionError` with a sentence. `TYPE_CHECKS`
names all of them. They open nothing and need no reactor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Protocol

from streamer.errors import ConfigurationError
from streamer.testing.subject import fail, require

UNKNOWN_KEY = "no_such_setting"
MARK = "nobody-may-read-this"
"""The value that wrong configs hold; what is refused must not be repeated."""

_WRONG: tuple[object, ...] = (MARK, {MARK: MARK}, [{MARK: [MARK]}], -1, True)


class ConfigChecker(Protocol):
    """The part of an importer type that a command needs."""

    @property
    def schemes(self) -> frozenset[str]:
        """See `interfaces.ImporterType`."""

    @property
    def secret_keys(self) -> frozenset[str]:
        """See `interfaces.ImporterType`."""

    def normalise(self, config: Mapping[str, object]) -> dict[str, object]:
        """See `interfaces.ImporterType`."""


Config = Mapping[str, object]
Configs = Sequence[Config]


def check_type(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """Run all checks; the first that fails ends it."""
    for check in TYPE_CHECKS:
        check(kind, configs, secrets)


def check_constants(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """What a type says of its keys are frozensets; without the first two it is not loaded."""
    for name in ("schemes", "secret_keys", "object_keys"):
        stated: object = getattr(kind, name, frozenset() if name == "object_keys" else None)
        require(isinstance(stated, frozenset), f"{name} is no frozenset")


def check_schemes(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """Schemes are written as they are compared."""
    wrong = [each for each in kind.schemes if each != each.lower() or ":" in each]
    require(not wrong, f"schemes are in lower case and without a colon, not {wrong}")


def check_normal_form(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """A normal form is its own normal form, and what was given to `normalise` stays as it was."""
    for config in configs:
        given = deepcopy(dict(config))
        once = kind.normalise(given)
        require(given == dict(config), "normalise changed what it was given")
        require(kind.normalise(once) == once, "what is normalised twice is another config")


def check_dump(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """A config comes back from the catalog as it went there, its secrets included."""
    kept = ""
    for once in map(kind.normalise, configs):
        try:
            back = json.loads(json.dumps(once))
        except (TypeError, ValueError) as error:
            fail(f"a normalised config is not JSON: {type(error).__name__}")
        require(back == once, "a config that was stored as JSON comes back as another one")
        require(kind.normalise(back) == once, "a config that was stored is read as another one")
        kept += json.dumps(once, ensure_ascii=False)
    lost = [number for number, each in enumerate(secrets, 1) if _quoted(each) not in kept]
    require(not lost, f"secrets {lost} of those that were given are not in the normalised configs")


def check_secret_keys(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """`secret_keys` are keys of the config, and hold all that is secret."""
    normal = [kind.normalise(config) for config in configs]
    known = {key for once in normal for key in once}
    for name in ("secret_keys", "object_keys"):
        unknown = sorted(getattr(kind, name, frozenset()) - known)
        require(not unknown, f"{name} that none of the configs has: {', '.join(unknown)}")
    for key, value in [pair for once in normal for pair in once.items()]:
        shown = "" if key in kind.secret_keys else json.dumps(value, ensure_ascii=False)
        require(not any(_quoted(each) in shown for each in secrets), f"{key} shows a secret")


def check_texts(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """Numbers, `true` and `false` may be written as text: a command reads nothing else."""
    for config in configs:
        once = kind.normalise(config)
        for key, value in config.items():
            if isinstance(value, int | float) and key != "version":
                written = {**config, key: json.dumps(value)}
                require(_refusal(kind, written, key) is None, f"{key} as text is refused")
                require(kind.normalise(written) == once, f"{key} as text is another one")


def check_unknown_key(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """A misspelt key is refused by its name: otherwise a password would be kept and shown."""
    sentence = _refusal(kind, {**configs[0], UNKNOWN_KEY: MARK}, UNKNOWN_KEY)
    require(sentence is not None, "a key that does not exist is accepted")
    require(UNKNOWN_KEY in (sentence or ""), "the refusal of an unknown key does not name it")
    require(MARK not in (sentence or ""), "the refusal of an unknown key repeats its value")


def check_refusals(kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
    """A wrong value is refused with `ConfigurationError`, which names the key and no value."""
    wrong = [(config, key, each) for config in configs for key in config for each in _WRONG]
    for config, key, value in wrong:
        changed = {**config, key: value}
        sentence = _refusal(kind, changed, key)
        if sentence is not None:
            _check_sentence(sentence, changed, key, secrets)


def _check_sentence(sentence: str, changed: Config, key: str, secrets: Sequence[str]) -> None:
    is_silent = not any(secret in sentence for secret in (MARK, *secrets))
    require(is_silent, f"the refusal of a wrong {key} repeats a value")
    is_named = any(each in sentence for each in changed)
    require(is_named, f"the refusal of a wrong {key} names no key")


def _refusal(kind: ConfigChecker, config: Config, key: str) -> str | None:
    """The sentence of the refusal; None where there is none."""
    try:
        kind.normalise(config)
    except ConfigurationError as error:
        return str(error)
    except Exception as error:
        fail(f"a wrong {key} raises {type(error).__name__}, and no ConfigurationError")
    return None


def _quoted(secret: str) -> str:
    """As it stands within JSON."""
    return json.dumps(secret, ensure_ascii=False)[1:-1]


class TypeCheck(Protocol):
    """One of the checks."""

    @property
    def __name__(self) -> str:
        """What it is about."""

    def __call__(self, kind: ConfigChecker, configs: Configs, secrets: Sequence[str] = ()) -> None:
        """Raise `AssertionError` where the type does not do what is checked."""


TYPE_CHECKS: tuple[TypeCheck, ...] = (
    check_constants,
    check_schemes,
    check_normal_form,
    check_dump,
    check_secret_keys,
    check_texts,
    check_unknown_key,
    check_refusals,
)
