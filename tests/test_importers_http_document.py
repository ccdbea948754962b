"""docs/importers-http.md: its table is held to the settings that there are."""

from __future__ import annotations

import re

from memory_origins import BASE, TYPE
from setting_tables import documented, rows

from streamer.importers.http_config import HttpConfig, read_config


def test_every_setting_is_documented():
    """And none that there is not."""
    assert sorted(HttpConfig.model_fields.keys() - {"version"}) == sorted(documented("http"))


def test_secrets_are_documented_as_such():
    """A row of one key says yes; a row of several names the one that is."""
    secret = {
        key
        for keys, _, said in rows("http")
        for key in keys
        if said.strip() == f"`{key}`" or (said.strip() == "yes" and len(keys) == 1)
    }

    assert TYPE.secret_keys == secret


def test_documented_defaults_are_those_of_the_model():
    """As an operator would write them."""
    config = read_config({"url": BASE})
    stated = {
        key: text
        for keys, defaults, _ in rows("http")
        for key, text in zip(keys, re.findall(r"`(.+?)`", defaults), strict=False)
        if not text.startswith("pulp-streamer/")
    }
    read = {
        key: getattr(read_config({"url": BASE, key: text}), key) for key, text in stated.items()
    }

    assert {key: getattr(config, key) for key in stated} == read
    assert len(stated) > 5


def test_setting_without_a_documented_default_has_none():
    """Nothing is switched on that the page does not mention."""
    config = read_config({"url": BASE})
    unset = [
        key for keys, defaults, _ in rows("http") for key in keys if defaults.strip() == "none"
    ]

    assert {key: getattr(config, key) for key in unset if getattr(config, key)} == {}
