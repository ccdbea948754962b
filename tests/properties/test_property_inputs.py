"""What operators and clients write: targets, manifests, entries, importers' configs.

Of any bytes comes a value that keeps its rules, or the refusal that is documented for it; and what
was accepted can be asked for.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote

from hypothesis import strategies as st
from proof import holds_for
from texts import changed

from streamer.errors import (
    ConfigurationError,
    EntryRejected,
    PathNotPublished,
    TargetMalformed,
)
from streamer.importers.http import HttpImporterType
from streamer.model import STRONG_ALGORITHMS, DownloadConfig
from streamer.publishing import parse_entries, parse_manifest, publish_manifest
from streamer.publishing.values import MAX_PATH_BYTES, MAX_SECONDS, check_url
from streamer.target import read_target

MIRROR = DownloadConfig(1, 1, "mirror", "http", {})
WEAK = DownloadConfig(2, 1, "weak", "http", {"allow_weak_digests": True})
IMPORTERS = {config.name: config for config in (MIRROR, WEAK)}
NOWHERE = Path("/nonexistent")
SCHEMES = frozenset({"http", "https"})

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
ODD_TEXT = st.text(max_size=6) | st.sampled_from(
    [
        "/",
        "..",
        "./",
        "/.",
        "%2e",
        "%",
        "\x00",
        "\ud800",
        "é",
        "\u202e",
        "//",
        "9" * 5000,
        "a" * 3000,
    ]
)


# -- targets ---------------------------------------------------------------------------------------

TARGETS = changed(
    st.sampled_from([b"/", b"/a/b.rpm", b"/pulp/content/a%20b/c", b"/%C3%A4/%2Fx", b"/a/../b"]),
    st.binary(max_size=3) | st.sampled_from([b"%", b"%2f", b"%00", b"/", b".", b"\xff", b"%c3"]),
)


@holds_for(
    examples=300,
    raw=TARGETS | st.binary(max_size=40),
    prefix=st.sampled_from(["", "/pulp/content", "/a"]),
)
def test_target_of_any_bytes_is_a_clean_path_or_refused(raw, prefix):
    """A path without tricks, of which another spelling is the same path; or one of two refusals."""
    try:
        path = read_target(raw, prefix)
    except (TargetMalformed, PathNotPublished):
        return

    assert not re.search(rb"%(?![0-9A-Fa-f]{2})", raw)
    segments = path.removesuffix("/").split("/") if path else []
    assert not {"", ".", ".."} & set(segments)
    assert not CONTROL.search(path)
    assert read_target(f"{prefix}/{quote(path)}".encode(), prefix) == path


# -- manifests and entries -------------------------------------------------------------------------


def check_entry(entry):
    """What a catalog and a response build on."""
    path = entry.path
    assert 0 < len(path.encode()) <= MAX_PATH_BYTES
    assert read_target(f"/{quote(path)}".encode()) == path
    assert not path.endswith("/")
    assert entry.artifact.size is None or 0 <= entry.artifact.size < 2**63
    assert entry.artifact.media_type.isascii()
    assert entry.artifact.media_type.replace("\t", " ").isprintable()
    assert entry.last_modified is None or 0 <= entry.last_modified <= MAX_SECONDS
    assert entry.cache in ("mutable", "package", "immutable")
    assert entry.artifact.digests
    for digest in entry.artifact.digests:
        assert re.fullmatch("[0-9a-f]+", digest.hex)
        assert bytes.fromhex(digest.base64 and digest.hex)
    for source in entry.sources:
        assert check_url(source.url, SCHEMES) == source.url
    assert (entry.content is None) == bool(entry.sources)


def read_all(parse, lines):
    """The entries, each of which keeps the rules; and the numbers of the lines refused."""
    refused = []

    def report(rejection):
        assert isinstance(rejection, EntryRejected)
        assert str(rejection).isprintable()
        refused.append(rejection.args[0])

    entries = list(parse(lines, report))
    for entry in entries:
        check_entry(entry)
    return entries, refused


SHA256 = "0123456789abcdef" * 4
MANIFEST_LINES = changed(
    st.sampled_from(
        [f"isos/disk.iso,{SHA256},4096\n", f"a,b, {SHA256} , 0 \r\n", f"ä/b,{SHA256.upper()},1"]
    ),
    ODD_TEXT | st.sampled_from([",", "-1", "١", "1e3", SHA256, "\n", "\ufeff"]),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
RAW_LINES = st.binary(max_size=40) | st.sampled_from([b"[" * 5000, b'{"path":' * 2000])


@holds_for(examples=200, lines=st.lists(MANIFEST_LINES | RAW_LINES, max_size=4))
def test_manifest_of_any_bytes_is_entries_or_refused_by_line(lines):
    """No line is lost: it is blank, an entry, or refused with its number."""
    entries, refused = read_all(lambda ls, report: parse_manifest(ls, MIRROR, report=report), lines)

    numbers = sorted([entry.line for entry in entries] + refused)
    assert len(set(numbers)) == len(numbers)
    silent = set(range(1, len(lines) + 1)) - set(numbers)
    assert all(
        not lines[number - 1].decode("utf-8-sig" if number == 1 else "utf-8").strip()
        for number in silent
    )


@holds_for(
    lines=st.lists(MANIFEST_LINES | RAW_LINES, max_size=3),
    name=st.sampled_from(["PULP_MANIFEST", "a,b", "isos/disk.iso"]),
    max_held_bytes=st.sampled_from([0, 100, 10_000]),
)
def test_manifest_is_published_as_the_bytes_it_was_read_from(lines, name, max_held_bytes):
    """The last entry promises the manifest itself, and is the only one of its name."""

    def parse(lines, report):
        return publish_manifest(lines, name, MIRROR, report=report, max_held_bytes=max_held_bytes)

    entries, _ = read_all(parse, lines)

    content = b"".join(lines)
    assert [entry.path for entry in entries].count(name) == 1
    assert entries[-1].path == name
    assert entries[-1].artifact.size == len(content)
    assert entries[-1].content == (content if len(content) <= max_held_bytes else None)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | ODD_TEXT
    | st.sampled_from(["mutable", "text/plain", SHA256, f"sha256-{SHA256}", "http://h/a", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD_TEXT, inner, max_size=3),
    max_leaves=6,
)
GOOD_URLS = st.sampled_from(["b", "http://h:80/a?b", "/x", "a:b%20c"])
GOOD_ENTRIES = st.fixed_dictionaries(
    {
        "path": st.sampled_from(["b/bash.rpm", "ä b", "a:b", "..a/...", "%2e"]),
        "digests": st.sampled_from(
            [
                {"sha256": SHA256},
                [f"sha256-{base64.b64encode(bytes(32)).decode()}"],
                f"sha512={'0' * 128} md5:{'0' * 32}",
                {"SHA-256": SHA256.upper(), "sha1": "0" * 40},
                {"md5": "0" * 32},
            ]
        ),
        "sources": st.lists(st.fixed_dictionaries({"url": GOOD_URLS}), min_size=1, max_size=1),
    }
)
GOOD_HELD_ENTRIES = st.fixed_dictionaries(
    {
        "path": st.just("index.html"),
        "content_base64": st.binary(max_size=9).map(lambda raw: base64.b64encode(raw).decode()),
    }
)
ODD_VALUES = {
    "path": st.sampled_from(["./a", "a/./b", "a/../b", "a//b", "/a", "a/", "a\x00", "\ud800"])
    | changed(st.just("a/b"), ODD_TEXT),
    "digests": st.dictionaries(st.sampled_from(["sha256", "md5", "sha3", "SHA1"]), ODD_TEXT),
    "size": st.integers(-1, 2**64),
    "sources": st.lists(
        st.fixed_dictionaries(
            {"url": changed(GOOD_URLS | st.just("//h"), ODD_TEXT)},
            optional={
                "importer": st.sampled_from(["mirror", "weak", "none"]) | ODD_TEXT,
                "priority": st.integers(-(2**33), 2**33),
            },
        ),
        max_size=2,
    ),
    "content_base64": st.sampled_from(["", "AA==", "A", "é"]),
    "content_file": ODD_TEXT,
    "media_type": changed(st.sampled_from(["text/plain", 'a/b; c="d"']), ODD_TEXT),
    "last_modified": st.sampled_from(["Sun, 06 Nov 1994 08:49:37 GMT", "2024-02-30T00:00:00Z"])
    | st.floats()
    | st.integers(),
    "cache": st.sampled_from(["mutable", "package", "immutable", "never"]),
    "unknown": st.none(),
}


@st.composite
def entry_objects(draw):
    """An entry of which up to two values are odd."""
    entry = dict(draw(GOOD_ENTRIES | GOOD_HELD_ENTRIES))
    for key in draw(st.lists(st.sampled_from(["path", *sorted(ODD_VALUES)]), max_size=2)):
        entry[key] = draw(ODD_VALUES[key] | ODD_VALUES[key] | JSON_VALUES)
    return entry


ENTRY_OBJECTS = entry_objects()
ENTRY_LINES = changed(
    ENTRY_OBJECTS.map(json.dumps),
    st.sampled_from(
        ["{", "}", "[", '"', ",", "NaN", "-", "1e9999", "\\ud800", "[" * 2000, '"path":']
    )
    | ODD_TEXT,
).map(lambda text: text.encode("utf-8", "surrogatepass"))


@holds_for(
    share=3,
    examples=500,
    lines=st.lists(
        ENTRY_OBJECTS.map(lambda entry: json.dumps(entry).encode()) | ENTRY_LINES | RAW_LINES,
        min_size=1,
        max_size=3,
    ),
    default=st.sampled_from([None, MIRROR, WEAK]),
)
def test_entries_of_any_bytes_are_entries_or_refused_by_line(lines, default):
    """No line is a defect; what is accepted proves what it promises."""

    def parse(lines, report):
        return parse_entries(lines, IMPORTERS.get, default, NOWHERE, report=report)

    entries, refused = read_all(parse, lines)

    assert len(entries) + len(refused) <= len(lines)
    by_id = {config.id: config for config in IMPORTERS.values()}
    for entry in entries:
        is_weak = entry.artifact.digest.algorithm not in STRONG_ALGORITHMS
        allow = [by_id[source.importer_id] is WEAK for source in entry.sources]
        assert not is_weak or all(allow)


@holds_for(examples=100, given=ENTRY_OBJECTS.filter(lambda stated: "content_file" not in stated))
def test_entry_is_the_same_in_any_spelling_of_its_json(given):
    """Escapes and white space of JSON say nothing."""
    spellings = [json.dumps(given), json.dumps(given, ensure_ascii=False, indent=0)]
    lines = [text.replace("\n", " ").encode("utf-8", "surrogatepass") for text in spellings]
    found = []
    for line in lines:
        entries, _ = read_all(
            lambda ls, report: parse_entries(ls, IMPORTERS.get, MIRROR, NOWHERE, report=report),
            [line],
        )
        found.append(entries)

    if b"\xed" not in lines[1]:
        assert found[0] == found[1]


# -- importers -------------------------------------------------------------------------------------

SECRET = "correct-horse-battery"
CONFIGS = st.fixed_dictionaries(
    {"url": changed(st.sampled_from(["https://h.example/a/", "http://[::1]:8080/"]), ODD_TEXT)},
    optional={
        "version": st.sampled_from([1, 2, "1"]),
        "username": ODD_TEXT,
        "password": st.sampled_from([SECRET, [SECRET], {"a": SECRET}, {SECRET: 1}]) | ODD_TEXT,
        "ca_cert": ODD_TEXT | st.just(f"-----BEGIN CERTIFICATE-----\n{SECRET}\n"),
        "connect_timeout": st.floats() | st.integers() | st.sampled_from([SECRET, "5", "5s"]),
        "allow_weak_digests": JSON_VALUES,
    },
) | st.dictionaries(
    st.sampled_from(["url", "password", "username", "ca_cert", "passwrod", ""]) | ODD_TEXT,
    JSON_VALUES | st.just(SECRET),
    max_size=4,
)


@holds_for(examples=300, config=CONFIGS)
def test_importer_config_of_any_values_is_normalised_or_refused(config):
    """Invariant 9: a refusal names the key and no value; what is accepted is accepted again."""
    try:
        stored, refusal = HttpImporterType().normalise(config), ""
    except ConfigurationError as error:
        stored, refusal = None, str(error)

    assert SECRET not in refusal
    if stored is None:
        return
    again = HttpImporterType().normalise(json.loads(json.dumps(stored)))
    assert stored == again
    assert stored.get("password", SECRET) == config.get("password", SECRET)
