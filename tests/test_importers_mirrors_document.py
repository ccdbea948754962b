"""docs/importers-mirrors.md: its table is held to the settings that there are."""

from __future__ import annotations

import re

import pytest
from setting_tables import DOCUMENTS, documented, rows

from streamer.errors import MirrorListUnusable, OriginProhibited
from streamer.importers.http_config import HttpConfig
from streamer.importers.mirrors import (
    MAX_MIRRORS,
    MirrorsConfig,
    MirrorsImporterType,
    SourceWithoutMirrors,
    read_config,
)
from streamer.mirrors import ListUnusable, read_list
from streamer.mirrors.lists import MAX_ADDRESSES, MAX_LIST_BYTES

BASE = "https://192.0.2.1/list?repo=f"
DOCUMENT = (DOCUMENTS / "importers-mirrors.md").read_text()


def defaults():
    """The stated defaults, by key."""
    found = {}
    for keys, stated, _ in rows("mirrors"):
        found |= dict(zip(keys, re.findall(r"`(.+?)`", stated), strict=False))
    return found


def test_every_setting_that_type_http_does_not_have_is_documented():
    """And every one that begins with another default or allows something else."""
    own = {
        key
        for key, field in MirrorsConfig.model_fields.items()
        if key not in HttpConfig.model_fields
        or field.default != HttpConfig.model_fields[key].default
        or field.metadata != HttpConfig.model_fields[key].metadata
    }

    assert own <= set(documented("mirrors"))
    assert {"url", "refresh", "list_file", "download_concurrency"} <= own


def test_every_setting_is_documented_here_or_with_type_http():
    """And none is that there is not."""
    here = documented("mirrors")
    there = documented("http")

    assert MirrorsConfig.model_fields.keys() - {"version"} == {*here, *there}
    assert len(set(here)) == len(here)


def test_settings_of_the_page_are_no_secrets():
    """Those that are stand with type http."""
    assert [secret.strip() for _, _, secret in rows("mirrors")] == [""] * len(rows("mirrors"))
    assert MirrorsImporterType.secret_keys.isdisjoint(documented("mirrors"))


def test_documented_defaults_are_those_of_the_model():
    """As an operator would write them."""
    config = read_config({"url": BASE})
    read = {
        key: getattr(read_config({"url": BASE, key: text}), key) for key, text in defaults().items()
    }

    assert {key: getattr(config, key) for key in read} == read
    assert len(read) >= 4


def test_setting_without_a_documented_default_has_none():
    """Nothing is switched on that the page does not mention."""
    config = read_config({"url": BASE})
    unset = [key for keys, stated, _ in rows("mirrors") for key in keys if stated.strip() == "none"]

    assert {key: getattr(config, key) for key in unset if getattr(config, key)} == {}


def test_documented_bounds_are_those_of_the_code():
    """In the words of the page."""
    assert f"first {MAX_MIRRORS} mirrors" in DOCUMENT
    assert f"{MAX_LIST_BYTES // 1024**2} MiB and {MAX_ADDRESSES:,} addresses" in DOCUMENT


@pytest.mark.parametrize("content", [b"<html></html>", b""], ids=["web-page", "empty"])
def test_message_of_a_list_that_is_none_is_explained(content):
    """What the operator sees can be found on the page."""
    with pytest.raises(ListUnusable) as caught:
        read_list(content)

    assert f"| {caught.value} |" in DOCUMENT


@pytest.mark.parametrize(
    "error",
    [
        MirrorListUnusable("no URL in it ends in the path of its file; see list_file"),
        MirrorListUnusable("its origin answered 404"),
        OriginProhibited("its address is not public"),
    ],
    ids=["no-bases", "missing", "private"],
)
def test_message_of_an_error_is_explained(error):
    """With its sentence, or with what is special in it."""
    found = re.findall(r"^\| (.+?) \|", DOCUMENT, re.MULTILINE)

    assert [row for row in found if str(error).endswith(row)] != []


def test_message_of_a_source_from_the_root_is_explained():
    """By its beginning."""
    assert f"| {str(SourceWithoutMirrors()).split(',')[0].split(' but')[0]} … |" in DOCUMENT
