"""From a config as it was written to one that is checked, or to the sentence that says what to do.

What every built-in type does in the same way: the keys and their values are a pydantic model of the
type, and the first fault in it becomes a `ConfigurationError` that begins with the key. No message
repeats a value, which may be secret, or be so under a misspelt key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from streamer.errors import ConfigurationError
from streamer.importers.config_values import REVEAL

C = TypeVar("C", bound=BaseModel)


def read_config_of(kind: str, model: type[C], config: Mapping[str, object]) -> C:
    """Check a config of type `kind`; the `description` of a key in its model says what is allowed.

    Raises `ConfigurationError`.
    """
    try:
        return model.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigurationError(_sentence(error, kind, model)) from None


def as_stored(config: BaseModel) -> dict[str, object]:
    """What is stored, secrets in the clear; defaults too, lest they change their meaning."""
    dumped = config.model_dump(mode="json", exclude_none=True, context=REVEAL)
    return {key: value for key, value in dumped.items() if value not in ([], {})}


def _sentence(error: ValidationError, kind: str, model: type[BaseModel]) -> str:
    """The first fault, by key; with no input in it, which might be a secret."""
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    said = fault["msg"].removeprefix("Value error, ")
    if not fault["loc"]:
        return said
    key = str(fault["loc"][0])
    if fault["type"] == "extra_forbidden":
        known = ", ".join(sorted(model.model_fields.keys() - {"version"}))
        return f"{key}: is not a setting of type {kind}; there are: {known}"
    if fault["type"] == "missing":
        return f"{key}: must be given"
    if fault["type"] == "value_error" and said:
        return f"{key}: {said}"
    return f"{key}: must be {model.model_fields[key].description}"
