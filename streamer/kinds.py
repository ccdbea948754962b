"""What a path says about its content: media type, and how long it may be cached.

Both are decided when an entry is published, from the name alone, so that every answer for an
artifact agrees (DESIGN, *What must always hold*, 10). Separate from `fields`, which writes what
was decided. Refuses to ask `mimetypes`, whose table differs between machines and versions of
Python: the same manifest makes the same publication everywhere.

A compressed file is named as what it is, never as what is in it: `Content-Type: text/xml` on a
`.xml.gz` together with no `Content-Encoding` is a lie that some clients act upon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from streamer.model import CacheKind, Digest

OCTETS = "application/octet-stream"

# What repositories are made of. Packages that happen to be ZIP or tar files are named as octets:
# their users want them whole, and some browsers unpack what is called an archive.
_TYPES = {
    ".rpm": "application/x-rpm",
    ".drpm": "application/x-rpm",
    ".deb": "application/vnd.debian.binary-package",
    ".udeb": "application/vnd.debian.binary-package",
    ".ddeb": "application/vnd.debian.binary-package",
    ".dsc": "text/plain",
    ".whl": OCTETS,
    ".egg": OCTETS,
    ".gem": OCTETS,
    ".apk": OCTETS,  # of Alpine or of Android, which the name does not tell
    ".conda": OCTETS,
    ".crate": "application/gzip",
    ".jar": "application/java-archive",
    ".tgz": "application/gzip",
    ".gz": "application/gzip",
    ".bz2": "application/x-bzip2",
    ".tbz2": "application/x-bzip2",
    ".xz": "application/x-xz",
    ".txz": "application/x-xz",
    ".lzma": "application/x-lzma",
    ".zst": "application/zstd",
    ".tzst": "application/zstd",
    ".zck": OCTETS,
    ".lz4": OCTETS,
    ".z": "application/x-compress",
    ".zip": "application/zip",
    ".tar": "application/x-tar",
    ".iso": "application/x-iso9660-image",
    ".img": OCTETS,
    ".qcow2": OCTETS,
    ".xml": "application/xml",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".asc": "application/pgp-signature",
    ".gpg": "application/pgp-signature",
    ".sig": "application/pgp-signature",
    ".key": "application/pgp-keys",
    ".html": "text/html",
    ".htm": "text/html",
    ".txt": "text/plain",
    ".log": "text/plain",
    ".sh": "text/plain",
    ".py": "text/plain",
    ".patch": "text/plain",
    ".diff": "text/plain",
    ".metadata": "text/plain",  # of a wheel, PEP 658
    ".css": "text/css",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".webp": "image/webp",
    ".ico": "image/vnd.microsoft.icon",
    ".woff2": "font/woff2",
    ".wasm": "application/wasm",
}
# fmt: off
_TEXT_NAMES = frozenset((
    "InRelease", "Release", "Packages", "Sources", "PACKAGES", "PULP_MANIFEST", "mirrorlist",
    "MD5SUMS", "SHA1SUMS", "SHA256SUMS", "SHA512SUMS", "CHECKSUM", ".treeinfo", "treeinfo",
))

_MUTABLE_NAMES = _TEXT_NAMES | {
    "repomd.xml", "Index", "simple", "metalink", "metalink.xml", "maven-metadata.xml", "summary",
    "ls-lR", "specs.4.8", "latest_specs.4.8", "prerelease_specs.4.8",
    "repodata.json", "current_repodata.json", "channeldata.json",
}
# fmt: on
_MUTABLE_PATTERN = re.compile(
    r"index\..+|index"
    r"|(Packages|Sources|PACKAGES)\..+"
    r"|(Contents|Translation|Components|Commands)-[A-Za-z0-9_@-]+(\.yml)?"
    r"|APKINDEX(\..+)?"
    r"|.+\.(db|files)"  # pacman
    r"|.+-CHECKSUM"
)
# Signatures, digests and compressed forms of a name are as mutable as the name.
_COMPANION = re.compile(
    r"\.(asc|gpg|sig|sign|key|md5|sha1|sha256|sha512|gz|xz|bz2|zst|zck|lzma|lz4|tar)\Z"
)


def media_type(path: str) -> str:
    """Name the type of the content at `path`, from the last extension of its name."""
    if _is_project_page(path):
        return "text/html"  # pip reads no other type (PEP 503)
    name = path.rpartition("/")[2]
    if name in _TEXT_NAMES:
        return "text/plain"
    stem, _, extension = name.rpartition(".")
    return _TYPES.get("." + extension.lower(), OCTETS) if stem else OCTETS


def _is_project_page(path: str) -> bool:
    """Whether this is `simple/<project>`, whose name may hold dots and is no file name."""
    folder, _, name = path.rpartition("/")
    is_file = "." + name.rpartition(".")[2].lower() in _TYPES
    return folder.rpartition("/")[2] == "simple" and not is_file


def cache_kind(path: str, digests: Iterable[Digest]) -> CacheKind:
    """Guess whether the content at `path` may change: never, sometimes, or as a package does."""
    lowered = path.lower()
    if any(digest.hex in lowered for digest in digests):
        return "immutable"
    return "mutable" if _is_mutable(path) else "package"


def _is_mutable(path: str) -> bool:
    if _is_project_page(path):
        return True
    name = path.rpartition("/")[2]
    while not (name in _MUTABLE_NAMES or _MUTABLE_PATTERN.fullmatch(name)):
        shorter = _COMPANION.sub("", name)
        if shorter == name:
            return False
        name = shorter
    return True


_MAX_AGE_SECONDS = {"mutable": 60, "package": 86_400, "immutable": 31_536_000}
_CACHE_CONTROL = {
    "mutable": "public, max-age=60, must-revalidate",
    "package": "public, max-age=86400, stale-if-error=604800",
    "immutable": "public, max-age=31536000, immutable",
}


def cache_control(kind: CacheKind, *, grace_left_seconds: float | None = None) -> str:
    """Write Cache-Control (RFC 9111 section 5.2.2, RFC 5861, RFC 8246) for content of `kind`.

    What is served by grace must be gone from caches when the grace ends, so neither staleness nor
    immutability is granted to it.
    """
    if grace_left_seconds is None:
        return _CACHE_CONTROL[kind]
    max_age = min(_MAX_AGE_SECONDS[kind], max(0, int(grace_left_seconds)))
    return f"public, max-age={max_age}, must-revalidate"
