"""Folder pages: what they link to, what they say, and what a hostile name cannot do to them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urljoin, urlsplit

import pytest

from streamer.listing import CONTENT_SECURITY_POLICY, render_html, render_json
from streamer.model import Folder, FolderItem

BASE = "http://gateway.example/pulp/content/"


class Page(HTMLParser):
    """The links (reference, text) of a page, its text, and every element and attribute on it."""

    def __init__(self, html: bytes) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.text = ""
        self.elements: set[str] = set()
        self.titles: list[str] = []
        self._reference: str | None = None
        self.feed(html.decode())

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        values = dict(attributes)
        self._reference = values.get("href")
        if values.get("title"):
            self.titles.append(values["title"])

    def handle_endtag(self, tag):
        self._reference = None

    def handle_data(self, text):
        self.text += text
        if self._reference is not None:
            self.links.append((self._reference, text))


def folder(*items, path="fedora/40/", more=False):
    return Folder(path=path, items=items, more=more)


def file(name, size=1, last_modified=None):
    return FolderItem(name, is_folder=False, size=size, last_modified=last_modified)


def subfolder(name):
    return FolderItem(name, is_folder=True)


def test_page_of_a_folder_links_up_and_to_every_item():
    """Breadcrumbs come first, then the parent, then the items, folders with a slash."""
    page = Page(render_html(folder(subfolder("os"), file("a.rpm"))))

    assert page.links == [
        ("../../", "/"),
        ("../", "fedora/"),
        ("../", "../"),
        ("os/", "os/"),
        ("a.rpm", "a.rpm"),
    ]


def test_page_of_the_root_has_no_way_up():
    """The root links to its items alone."""
    page = Page(render_html(folder(subfolder("fedora"), path="")))

    assert page.links == [("fedora/", "fedora/")]


def test_page_below_a_prefix_shows_it_and_does_not_link_above_it():
    """The prefix is part of what is shown, and the links stay relative."""
    page = Page(render_html(folder(file("a"), path="fedora/"), prefix="/pulp/content"))

    assert "Index of /pulp/content/fedora/" in page.text
    assert page.links[0] == ("../", "/pulp/content/")


def test_page_of_an_empty_root_says_what_to_do():
    """A new installation explains itself."""
    page = Page(render_html(folder(path="")))

    assert "Nothing is published here yet." in page.text


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("javascript:alert(1)", id="scheme"),
        pytest.param("a:b", id="colon in the first segment"),
        pytest.param('"><script>alert(1)</script>', id="markup"),
        pytest.param("' onmouseover='x", id="attribute"),
        pytest.param("a?b#c&amp;d%2Fe%", id="delimiters of a URL"),
        pytest.param("Ünï çødé 漢字.rpm", id="not ASCII"),
        pytest.param("a b+c", id="space and plus"),
        pytest.param("\\evil", id="backslash"),
    ],
)
@pytest.mark.parametrize("item", [file, subfolder])
def test_link_of_any_name_leads_to_that_name_and_shows_it(item, name):
    """A browser that follows the link asks for exactly that name in this folder."""
    page = Page(render_html(folder(item(name), path="")))

    [(reference, text)] = page.links
    slash = "/" if item is subfolder else ""
    target = urlsplit(urljoin(BASE, reference))
    assert unquote(target.path) == f"/pulp/content/{name}{slash}"
    assert (target.scheme, target.query, target.fragment) == ("http", "", "")
    assert text == name + slash
    assert "script" not in page.elements


def test_title_and_breadcrumbs_of_a_hostile_path_are_escaped():
    """The names of the folders above are as untrusted as the items."""
    html = render_html(folder(file("a"), path="</title><script>/<b>/"))

    assert "script" not in Page(html).elements
    assert "b" not in Page(html).elements


@pytest.mark.parametrize(
    ("size", "shown", "exact"),
    [
        (0, "0 B", "0 bytes"),
        (1, "1 B", "1 bytes"),
        (1023, "1023 B", "1,023 bytes"),
        (1024, "1.0 KiB", "1,024 bytes"),
        (1536, "1.5 KiB", "1,536 bytes"),
        (1024**2, "1.0 MiB", "1,048,576 bytes"),
        (5 * 1024**4, "5.0 TiB", "5,497,558,138,880 bytes"),
        (3 * 1024**6, "3072.0 PiB", "3,458,764,513,820,540,928 bytes"),
    ],
)
def test_size_is_shown_rounded_and_kept_exact(size, shown, exact):
    """A size is readable at a glance and exact on pointing."""
    page = Page(render_html(folder(file("a", size))))

    assert re.search(rf"(?<!\d){re.escape(shown)}", page.text)
    assert page.titles == [exact]


def test_size_that_is_not_known_is_a_dash():
    """An artifact whose size is yet to be learned shows a dash."""
    page = Page(render_html(folder(file("a", size=None))))

    assert "–" in page.text


def test_date_is_shown_in_utc_and_machine_readable():
    """A date is in UTC, whatever the server's zone."""
    html = render_html(folder(file("a", last_modified=1767323045))).decode()

    assert '<time datetime="2026-01-02T03:04:05Z">2026-01-02 03:04</time>' in html


def test_first_page_of_a_long_folder_links_to_the_next():
    """The next page begins behind the last name of this one."""
    page = Page(render_html(folder(file("a"), file("b&c d"), more=True, path="")))

    assert page.links[-1] == ("?after=b%26c%20d", "Next page")


def test_later_page_links_to_the_first_and_not_to_the_parent():
    """A later page leads back to the beginning of its folder."""
    page = Page(render_html(folder(file("c"), path="fedora/"), after="b"))

    assert page.links == [("../", "/"), ("c", "c"), ("./", "First page")]


def test_page_loads_nothing_and_its_policy_admits_its_style():
    """The policy allows the one style sheet that is on the page, and nothing else."""
    html = render_html(folder(file("a"))).decode()
    [style] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none';")
    assert not re.search(r"\b(src|style|on\w+)=|url\(|@import", html)


def test_json_of_a_folder_has_its_items_and_the_next_page():
    """A program gets names, exact sizes, dates and a reference to follow."""
    page = folder(subfolder("os"), file("ä", 5, 1767323045), more=True)

    assert json.loads(render_json(page)) == {
        "path": "fedora/40/",
        "items": [
            {"name": "os", "folder": True, "size": None, "last_modified": None},
            {"name": "ä", "folder": False, "size": 5, "last_modified": "2026-01-02T03:04:05Z"},
        ],
        "next": "?after=%C3%A4",
    }


def test_json_of_the_last_page_has_no_next():
    """The last page says so with null."""
    assert json.loads(render_json(folder(file("a"))))["next"] is None
