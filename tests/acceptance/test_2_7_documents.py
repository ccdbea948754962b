"""Issue 2, line 7: the documents are there, say what they are for, and lead nowhere that is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from streamer import settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])


def text(name):
    return (DOCS / name).read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_to_files(document):
    """No relative link is broken."""
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", document.read_text())

    assert [target for target in targets if not (document.parent / target).exists()] == []


def test_architecture_shows_the_pump():
    """The shape that everything later stands on is drawn and explained."""
    architecture = text("architecture.md")

    assert "fetch → verify → window → reader" in architecture
    assert all(word in architecture for word in ("ContentVerifier", "HeldTail", "BEFORE_HEAD"))


def test_http_gives_a_section_for_its_decisions():
    """The page of protocol decisions names the RFC and the section, again and again."""
    sections = set(re.findall(r"RFC \d{4} (?:section )?(\d+(?:\.\d+)*)", text("http.md")))

    assert len(sections) > 20


def test_configuration_lists_every_setting_with_its_key():
    """A setting that is not documented does not exist for an operator."""
    configuration = text("configuration.md")

    assert [key for key in settings.KEYS if f"`{key}`" not in configuration] == []


def test_default_file_shows_every_setting():
    """`etc/streamer.toml` names each key under its section, as a comment or set."""
    lines = (ROOT / "etc/streamer.toml").read_text().splitlines()
    shown, section = set(), ""
    for line in lines:
        if heading := re.match(r"#? ?\[(\w+)\]", line):
            section = heading[1]
        elif key := re.match(r"#? ?(\w+) = ", line):
            shown.add(f"{section}.{key[1]}")

    assert shown == set(settings.KEYS)


@pytest.mark.parametrize("word", ["distribution", "publication", "importer", "origin", "digest"])
def test_glossary_explains_the_words(word):
    """The words that code, log and documents share are explained."""
    assert re.search(rf"\*\*{word}\*\*|\| {word} \||^- {word}|^#+ .*{word}", text("glossary.md"),
                     re.IGNORECASE | re.MULTILINE)  # fmt: skip


@pytest.mark.parametrize("subject", ["dependenc", "beside Klein"])
def test_decisions_are_recorded(subject):
    """The dependencies, and content beside Klein, each have a page with its three parts."""
    pages = [page.read_text() for page in (DOCS / "adr").glob("*.md")]
    [page] = [page for page in pages if subject.lower() in page.splitlines()[0].lower()]

    assert all(part in page for part in ("## Context", "## Decision", "## Consequences"))
