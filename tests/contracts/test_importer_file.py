"""The built-in type `file` under the contract, with real files.

One of them shrinks while it is read: whoever reads its third MiB cuts it there.
"""

from __future__ import annotations

import os
import random

import pytest
from disks import TYPE, build, descriptors_below, source, threads_at_work
from importer_contract import ImporterContract, ImporterTypeContract

from streamer.errors import OriginForbids, OriginLacksIt
from streamer.importers.file import FileConfig
from streamer.testing.checks import LEAST_BYTES, Subject

CONTENT = random.Random(5).randbytes(LEAST_BYTES + 321)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A root with a file in it, and with what is none."""
    folder = tmp_path / "root"
    (folder / "d").mkdir(parents=True)
    (folder / "f").write_bytes(CONTENT)
    (folder / "link").symlink_to("d/../f")
    (folder / "out").symlink_to("../secret")
    (tmp_path / "secret").write_bytes(CONTENT)
    os.mkfifo(folder / "pipe")
    shrinking = folder / "shrinking"
    shrinking.write_bytes(CONTENT)
    inode, read = shrinking.stat().st_ino, os.pread

    def pread(descriptor, count, offset):
        if offset > 2 * 1024**2 and os.fstat(descriptor).st_ino == inode:
            os.truncate(shrinking, offset)
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", pread)
    return folder


def subject_of(reactor, folder, url, **config):
    return Subject(
        reactor=reactor,
        make_importer=lambda: build(reactor, folder, **config),
        source=source(url),
        content=CONTENT,
        refused=(
            (source("missing"), OriginLacksIt),
            (source("d"), OriginForbids),
            (source("pipe"), OriginForbids),
            (source("out"), OriginForbids),
            (source("../secret"), OriginForbids),
            (source("file:///etc/passwd"), OriginForbids),
        ),
        broken=source("shrinking"),
        count_open=lambda: descriptors_below(folder) + threads_at_work(),
    )


class TestFile(ImporterContract):
    """A file by its name."""

    @pytest.fixture
    def subject(self, reactor, folder):
        return subject_of(reactor, folder, "f")


class TestOneFile(ImporterContract):
    """Through a link, with one file open at a time, which all downloads have to wait for."""

    @pytest.fixture
    def subject(self, reactor, folder):
        return subject_of(reactor, folder, "link", download_concurrency=1)


class TestFileType(ImporterTypeContract):
    """Its configs; it has no secrets."""

    @pytest.fixture
    def kind(self):
        return TYPE

    @pytest.fixture
    def secrets(self):
        return ()

    @pytest.fixture
    def configs(self):
        return [
            {
                "version": 1,
                "url": "file:///srv/mirror/",
                "download_concurrency": 5,
                "max_retries": 2,
                "allow_weak_digests": True,
            }
        ]

    def test_configs_of_the_contract_set_every_key(self, kind, configs):
        """A key that is added to the type is added here."""
        assert {key for config in configs for key in config} == set(FileConfig.model_fields)
