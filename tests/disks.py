"""Files to serve, calls that hang, and what is left open of them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from streamer.importers.file import FileImporterType
from streamer.interfaces import Surroundings
from streamer.model import DownloadConfig, RemoteArtifact

TYPE = FileImporterType()
THREAD_NAME = "file importer"
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 20


def source(url="f"):
    return RemoteArtifact(DownloadConfig(1, 1, "local", "file", {}), url)


def build(reactor, folder, roots=None, **config):
    """An importer of a folder, which is its own root unless others are named."""
    stored = TYPE.normalise({"url": Path(folder).as_uri()} | config)
    allowed = (str(folder),) if roots is None else tuple(map(str, roots))
    return TYPE.build(stored, Surroundings(reactor, "me", file_roots=allowed))


def descriptors_below(*folders):
    """How many descriptors this process has of files and folders there."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # that of the listing itself
        count += any(Path(target.removesuffix(" (deleted)")).is_relative_to(f) for f in folders)
    return count


def threads_at_work():
    """How many threads importers of files have."""
    return sum(thread.name == THREAD_NAME for thread in threading.enumerate())


async def until(reactor, condition):
    """Wait for what has to happen in another thread."""
    deadline = reactor.seconds() + PATIENCE_SECONDS
    while not condition():
        assert reactor.seconds() < deadline, "it did not happen"
        await deferLater(reactor, POLL_SECONDS)


class Sink:
    """Takes content; `ended` fires with the error or None."""

    def __init__(self, on_chunk=lambda: None):
        self.chunks = []
        self.ended = Deferred()
        self._on_chunk = on_chunk

    @property
    def content(self):
        return b"".join(self.chunks)

    def content_received(self, chunk):
        self.chunks.append(chunk)
        self._on_chunk()

    def content_ended(self, error):
        self.ended.callback(error)


class Gate:
    """Stands before a call of `os`: it lets the threads of importers through when it is opened."""

    def __init__(self, monkeypatch, name, matches=lambda *args: True):
        self._waiting = []
        self._opened = threading.Event()
        self._call = getattr(os, name)
        self._matches = matches
        monkeypatch.setattr(os, name, self._pass)

    @property
    def waiting(self):
        """How many threads have come here."""
        return len(self._waiting)

    def open(self):
        self._opened.set()

    def _pass(self, *args, **kwargs):
        if threading.current_thread().name == THREAD_NAME and self._matches(*args):
            self._waiting.append(threading.current_thread())
            self._opened.wait()
        return self._call(*args, **kwargs)
