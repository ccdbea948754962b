"""docs/importers-ftp.md: its table is held to the settings that there are."""

from __future__ import annotations

import re

from ftp_fetching import TYPE
from setting_tables import DOCUMENTS, documented, rows

from streamer.downloaders.ftp_pool import MAX_AGE_SECONDS
from streamer.importers.ftp_config import FtpConfig, read_config

BASE = "ftp://192.0.2.1/repo"
DOCUMENT = DOCUMENTS / "importers-ftp.md"


def test_every_setting_is_documented():
    """And none that there is not."""
    assert sorted(FtpConfig.model_fields.keys() - {"version"}) == sorted(documented("ftp"))


def test_secrets_are_documented_as_such():
    """A row of several keys names the one that is."""
    secret = {key for _, _, said in rows("ftp") for key in re.findall(r"`(\w+)`", said)}

    assert TYPE.secret_keys == secret


def test_documented_defaults_are_those_of_the_model():
    """As an operator would write them."""
    config = read_config({"url": BASE})
    stated = {
        key: text
        for keys, defaults, _ in rows("ftp")
        for key, text in zip(keys, re.findall(r"`(.+?)`", defaults), strict=False)
    }
    read = {
        key: getattr(read_config({"url": BASE, key: text}), key) for key, text in stated.items()
    }

    assert {key: getattr(config, key) for key in stated} == read
    assert len(stated) > 5


def test_setting_without_a_documented_default_has_none():
    """Nothing is switched on that the page does not mention."""
    config = read_config({"url": BASE})
    unset = [key for keys, defaults, _ in rows("ftp") for key in keys if defaults.strip() == "none"]

    assert {key: getattr(config, key) for key in unset if getattr(config, key)} == {}


def test_documented_age_of_a_session_is_the_one_that_holds():
    """In minutes."""
    minutes = re.findall(r"on a session that is older than (\d+) minutes", DOCUMENT.read_text())

    assert [MAX_AGE_SECONDS / 60] == [float(each) for each in minutes]
