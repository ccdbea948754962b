"""One page of a folder, as HTML for people and as JSON for programs.

It is separate from `app` because it is pure: a `Folder` goes in, bytes come out, and what a page
looks like can be read and tested without a server. Every link is relative, so a page is right below
any prefix, host and proxy. There is no script and nothing is loaded from anywhere; the policy that
says so to the browser is `CONTENT_SECURITY_POLICY`.

It refuses to trust a name: names come from manifests that others wrote. Each is escaped as text and
percent-encoded as a link, and cannot become a tag, an attribute, a scheme or another folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from streamer.model import Folder, FolderItem

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

_STYLE = """
:root { color-scheme: light dark; --text: #1f2328; --dim: #656d76; --line: #d8dee4;
  --page: #fff; --row: #f6f8fa; --link: #0550ae; }
@media (prefers-color-scheme: dark) { :root { --text: #e6edf3; --dim: #8d96a0; --line: #30363d;
  --page: #0d1117; --row: #161b22; --link: #79b8ff; } }
body { margin: 0 auto; padding: 1.5rem 1rem; max-width: 60rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere; margin: 0 .5rem 1rem; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 500; font-size: .85rem; color: var(--dim); }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); vertical-align: baseline; }
tbody tr:hover { background: var(--row); }
td:first-child { overflow-wrap: anywhere; }
.size, .date { white-space: nowrap; color: var(--dim); }
.size { text-align: right; }
nav { display: flex; gap: 1.5rem; margin: 1rem .5rem; }
footer, .empty { color: var(--dim); margin: 2rem .5rem; }
footer { font-size: .85rem; }
@media (max-width: 34rem) { .date { display: none; } }
"""

_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The value of `Content-Security-Policy` for every HTML page of this module."""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{breadcrumbs}</h1>
{content}
<footer>pulp-streamer</footer>
</body>
</html>
"""

_TABLE = """<table>
<thead><tr><th>Name</th><th class="size">Size</th><th class="date">Modified (UTC)</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
{pages}"""

_EMPTY_ROOT = (
    '<p class="empty">Nothing is published here yet. '
    "<code>pulp-streamer publish</code> makes the first distribution.</p>"
)


def render_html(folder: Folder, *, prefix: str = "", after: str = "") -> bytes:
    """Render one page of a folder, which begins behind the name `after`.

    `prefix` is the decoded path before the root (`content.prefix`); it is shown, never linked to.
    The page has to be served at a path that ends in a slash, because its links are relative.
    """
    rows = [*_parent_rows(folder, after), *map(_row, folder.items)]
    if folder.path or after or folder.items:
        content = _TABLE.format(rows="\n".join(rows), pages=_page_links(folder, after))
    else:
        content = _EMPTY_ROOT
    root = f"/{prefix.strip('/')}/" if prefix.strip("/") else "/"
    page = _PAGE.format(
        title=escape(f"Index of {root}{folder.path}"),
        style=_STYLE,
        breadcrumbs=_breadcrumbs(root, folder.path),
        content=content,
    )
    return page.encode()


def render_json(folder: Folder) -> bytes:
    """Render one page of a folder as `path`, `items` and `next`, a relative reference or null."""
    page = {
        "path": folder.path,
        "items": [_json_item(item) for item in folder.items],
        "next": _next_reference(folder),
    }
    return json.dumps(page, ensure_ascii=False, separators=(",", ":")).encode()


def _breadcrumbs(root: str, path: str) -> str:
    """Link every folder above this one; the last one is where the reader is."""
    names = [root, *(f"{name}/" for name in path.split("/") if name)]
    levels_up = range(len(names) - 1, 0, -1)
    links = [
        f'<a href="{"../" * up}">{escape(name)}</a>'
        for name, up in zip(names[:-1], levels_up, strict=True)
    ]
    return "".join([*links, escape(names[-1])])


def _parent_rows(folder: Folder, after: str) -> Iterator[str]:
    if folder.path and not after:
        yield '<tr><td><a href="../">../</a></td><td class="size"></td><td class="date"></td></tr>'


def _row(item: FolderItem) -> str:
    name = f"{item.name}/" if item.is_folder else item.name
    return (
        f'<tr><td><a href="{escape(_reference(item))}">{escape(name)}</a></td>'
        f'<td class="size"{_exact_size(item)}>{_human_size(item)}</td>'
        f'<td class="date">{_date(item)}</td></tr>'
    )


def _page_links(folder: Folder, after: str) -> str:
    links = []
    if after:
        links.append('<a href="./">First page</a>')
    following = _next_reference(folder)
    if following:
        links.append(f'<a href="{escape(following)}" rel="next">Next page</a>')
    return f"<nav>{''.join(links)}</nav>" if links else ""


def _next_reference(folder: Folder) -> str | None:
    if folder.more and folder.items:
        return f"?after={quote(folder.items[-1].name, safe='')}"
    return None


def _reference(item: FolderItem) -> str:
    """Link to an item of this folder.

    A colon in a first segment would make it a scheme (RFC 3986 section 4.2), hence the `./`.
    """
    segment = quote(item.name, safe="!$'()*+,:;=@~")
    guard = "./" if ":" in segment else ""
    return f"{guard}{segment}{'/' if item.is_folder else ''}"


def _exact_size(item: FolderItem) -> str:
    return "" if item.size is None else f' title="{item.size:,} bytes"'


def _human_size(item: FolderItem) -> str:
    if item.size is None:
        return "" if item.is_folder else "–"
    power = min(max(item.size.bit_length() - 1, 0) // 10, len(_UNITS) - 1)
    return f"{item.size / 1024**power:.{min(power, 1)}f} {_UNITS[power]}"


def _date(item: FolderItem) -> str:
    if item.last_modified is None:
        return ""
    moment = datetime.fromtimestamp(item.last_modified, UTC)
    return f'<time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{moment:%Y-%m-%d %H:%M}</time>'


def _json_item(item: FolderItem) -> dict[str, str | int | bool | None]:
    modified = item.last_modified
    return {
        "name": item.name,
        "folder": item.is_folder,
        "size": item.size,
        "last_modified": None
        if modified is None
        else datetime.fromtimestamp(modified, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
