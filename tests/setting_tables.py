"""The tables of settings in the documents of importer types, as tests read them."""

from __future__ import annotations

import re
from pathlib import Path

DOCUMENTS = Path(__file__).parents[1] / "docs"
_ROW = re.compile(r"^\| (`.+?`) \| (.+?) \| .+ \|(.*)\|$", re.MULTILINE)
_KEYS = re.compile(r"(`\w+`(, )?)+")


def rows(name):
    """The keys of each row of `importers-NAME.md`, their defaults, and which are secret."""
    text = (DOCUMENTS / f"importers-{name}.md").read_text()
    return [
        (re.findall(r"`(\w+)`", keys), defaults, secret)
        for keys, defaults, secret in _ROW.findall(text)
        if _KEYS.fullmatch(keys)
    ]


def documented(name):
    """All keys of the table."""
    return [key for keys, _, _ in rows(name) for key in keys]
