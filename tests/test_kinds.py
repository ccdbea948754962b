"""What a path says about its content: media type, cache kind, Cache-Control."""

from __future__ import annotations

import pytest

from streamer.kinds import cache_control, cache_kind, media_type
from streamer.model import Digest

pytestmark = pytest.mark.subset

SHA256 = "0123456789abcdef" * 4
DIGESTS = (Digest("sha256", SHA256), Digest("md5", "ab" * 16))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("Packages/b/bash-5.2.rpm", "application/x-rpm"),
        ("pool/main/b/bash_5.2_amd64.deb", "application/vnd.debian.binary-package"),
        ("zope-1.0-py3-none-any.whl", "application/octet-stream"),
        ("simple/zope-1.0-py3-none-any.whl", "application/octet-stream"),
        ("zope-1.0.tar.gz", "application/gzip"),
        ("zope-1.0.tgz", "application/gzip"),
        ("primary.xml.gz", "application/gzip"),
        ("Packages.xz", "application/x-xz"),
        ("primary.xml.zst", "application/zstd"),
        ("other.tar.bz2", "application/x-bzip2"),
        ("repodata/repomd.xml", "application/xml"),
        ("repomd.xml.asc", "application/pgp-signature"),
        ("repodata.json", "application/json"),
        ("UPPER.ISO", "application/x-iso9660-image"),
        ("index.html", "text/html"),
        ("README.txt", "text/plain"),
        ("dists/stable/InRelease", "text/plain"),
        ("PULP_MANIFEST", "text/plain"),
        ("simple/zope.interface", "text/html"),
        ("simple/zope.interface/index.html", "text/html"),
        ("no-extension", "application/octet-stream"),
        ("folder.xml/no-extension", "application/octet-stream"),
        ("unknown.extension", "application/octet-stream"),
        (".xml", "application/octet-stream"),
        ("trailing.", "application/octet-stream"),
    ],
)
def test_media_type_follows_the_last_extension_of_the_name(path, expected):
    """A compressed file is what it is, not what is in it."""
    assert expected == media_type(path)


@pytest.mark.parametrize(
    "path",
    [
        "repodata/repomd.xml",
        "repodata/repomd.xml.asc",
        "dists/stable/InRelease",
        "dists/stable/Release",
        "dists/stable/Release.gpg",
        "dists/stable/main/binary-amd64/Packages",
        "dists/stable/main/binary-amd64/Packages.xz",
        "dists/stable/main/source/Sources.gz",
        "dists/stable/main/Contents-amd64.gz",
        "dists/stable/main/i18n/Translation-en.bz2",
        "simple/zope.interface",
        "simple/zope-interface/index.html",
        "pypi/simple",
        "PULP_MANIFEST",
        "index.html",
        "helm/index.yaml",
        "metalink",
        "mirrorlist",
        "v3.20/main/x86_64/APKINDEX.tar.gz",
        "core/os/x86_64/core.db",
        "core/os/x86_64/core.db.tar.gz",
        "core/os/x86_64/core.db.sig",
        "org/example/maven-metadata.xml.sha1",
        "noarch/repodata.json.zst",
        "iso/SHA256SUMS.gpg",
        "iso/Fedora-40-x86_64-CHECKSUM",
    ],
)
def test_name_of_an_index_is_mutable(path):
    """What lists other content changes with it."""
    assert "mutable" == cache_kind(path, DIGESTS)


@pytest.mark.parametrize(
    "path",
    [
        "Packages/b/bash-5.2.rpm",
        "Release/bash-5.2.rpm",
        "simple/zope-1.0-py3-none-any.whl",
        "simple/zope/zope-1.0.tar.gz",
        "pool/main/p/packages_1.0.deb",
        "PackageKit-1.0.rpm",
        "Release-notes.pdf",
        "indexer-1.0.whl",
        "foo.db.rpm",
        "zope-1.0.tar.gz.asc",
        ".db",
    ],
)
def test_name_of_anything_else_is_a_package(path):
    """A name that only resembles an index is no index."""
    assert "package" == cache_kind(path, DIGESTS)


@pytest.mark.parametrize(
    "path",
    [
        f"repodata/{SHA256}-primary.xml.gz",
        f"repodata/{SHA256.upper()}-primary.xml.gz",
        f"dists/stable/main/by-hash/SHA256/{SHA256}",
        f"dists/stable/main/by-hash/MD5Sum/{'ab' * 16}",
        f"{SHA256}/index.html",
    ],
)
def test_path_with_its_digest_in_it_is_immutable(path):
    """Other content would have another path."""
    assert "immutable" == cache_kind(path, DIGESTS)


def test_path_with_another_digest_in_it_is_not_immutable():
    """Only the artifact's own digest binds a path to its content."""
    assert "package" == cache_kind(f"{'f' * 64}-primary.xml.gz", DIGESTS)


@pytest.mark.parametrize(
    ("kind", "grace_left_seconds", "expected"),
    [
        ("mutable", None, "public, max-age=60, must-revalidate"),
        ("package", None, "public, max-age=86400, stale-if-error=604800"),
        ("immutable", None, "public, max-age=31536000, immutable"),
        ("mutable", 3000.0, "public, max-age=60, must-revalidate"),
        ("mutable", 59.9, "public, max-age=59, must-revalidate"),
        ("package", 3000.0, "public, max-age=3000, must-revalidate"),
        ("package", 100_000.0, "public, max-age=86400, must-revalidate"),
        ("immutable", 3000.0, "public, max-age=3000, must-revalidate"),
        ("package", 0.5, "public, max-age=0, must-revalidate"),
        ("package", -1.0, "public, max-age=0, must-revalidate"),
    ],
)
def test_cache_control_promises_no_more_than_kind_and_grace_allow(
    kind, grace_left_seconds, expected
):
    """What is served by grace is nowhere fresh, stale or immutable beyond the grace."""
    assert expected == cache_control(kind, grace_left_seconds=grace_left_seconds)
