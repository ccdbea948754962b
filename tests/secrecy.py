"""Secrets of a test, a service that seals them, and who has seen them after all.

A secret is looked for as it is and in the forms that it takes on its way: Base64, alone and behind
a user name, percent-encoded, escaped for JSON; of a key in PEM its private lines count.
"""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from urllib.parse import quote

from processes import Streamer, entry

SHORTEST = 8
"""What is shorter stands in any text by chance."""


def forms_of(secret, username=None):
    """All byte strings that would give a secret away."""
    forms = set()
    for text in _telling_parts(secret):
        raw = text.encode()
        forms |= {raw, quote(text, safe="").encode(), json.dumps(text)[1:-1].encode()}
        forms |= _base64_anywhere(raw)
        if username is not None:
            forms.add(base64.b64encode(f"{username}:{text}".encode()))
    return forms


def _telling_parts(secret):
    """The secret, and of a key in PEM the lines that hold its private value.

    Those are the first two of an elliptic curve's; the third is public, and stands in a certificate
    as it stands here.
    """
    lines = [line for line in secret.splitlines() if len(line) >= SHORTEST and line[0] != "-"]
    return [secret, *lines[:2]] if len(lines) > 1 else [secret]


def _base64_anywhere(raw):
    """What Base64 makes of bytes wherever in a longer string they begin."""
    found = set()
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        # The characters at either end also hold bits of what stands beside.
        found.add(coded[(0, 2, 3)[offset] : -1])
    return {form for form in found if len(form) >= SHORTEST}


class Secrets:
    """Named secrets, and where they were seen.

    A secret is a text, or a dict of texts as for `secret_fields`. `options` gives them to an
    importer as a careful operator does: out of files.
    """

    def __init__(self, folder, username=None, **secrets):
        self._folder = folder
        self._secrets = secrets
        self._forms = {name: set() for name in secrets}
        for name, secret in secrets.items():
            for text in secret.values() if isinstance(secret, dict) else [secret]:
                self._forms[name] |= forms_of(text, username)

    def options(self, **config):
        """The options of `importer create` that set each to what stands in a file.

        A dict goes into a file of its own together with the rest of the config.
        """
        words, document = [], config
        for name, secret in self._secrets.items():
            if isinstance(secret, dict):
                document = {**document, name: secret}
            else:
                file = self._folder / f"{name}.secret"
                file.write_text(secret)
                words += ["--set", f"{name}=@{file}"]
        file = self._folder / "importer.json"
        file.write_text(json.dumps(document))
        return [*words, "--config-file", file]

    def seen_in(self, **places):
        """Which secret stands in which place; a place is text or bytes."""
        return [
            (name, place)
            for place, content in places.items()
            for name, forms in self._forms.items()
            if any(form in _bytes(content) for form in forms)
        ]


class SealingStreamer(Streamer):
    """A service with a key for the secrets of its importers."""

    def __init__(self, folder, **settings):
        super().__init__(folder, secrets__key_file=folder / "keys", **settings)
        self.admin("secrets", "init")

    def create_importer(self, name, url, secrets, **config):
        """Create an importer of type `http` whose whole config comes out of files."""
        options = secrets.options(url=url, **config)
        self.admin("importer", "create", name, "--type", "http", *options)

    def publish_entries(self, base_path, importer, contents):
        """Publish `{path: content or entry}` from an importer that is there."""
        lines = "".join(f"{json.dumps(entry(path, each))}\n" for path, each in contents.items())
        self.admin("publish", base_path, "--importer", importer, "--entries", "-", stdin=lines)


def _bytes(content):
    return content.encode() if isinstance(content, str) else content


class CommandLines:
    """What `ps` could show, of every process and at any moment, until the block ends."""

    def __init__(self):
        self.seen = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def text(self):
        """All command lines together."""
        return b"\n".join(self.seen)

    def _watch(self):
        while not self._stop.wait(0.02):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(file.read_bytes())
                except OSError:
                    continue


def catalog_dump(service):
    """Every byte of a service's SQLite catalog, its journal too."""
    files = sorted(service.folder.glob("catalog.db*"))
    return b"".join(file.read_bytes() for file in files)


def heads(*origins):
    """The heads of all requests that some origins have got."""
    return b"".join(talk.head for origin in origins for talk in origin.conversations)
