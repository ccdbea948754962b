"""The operator's keys, and what they seal: the secrets of importers, as the catalog stores them.

Strategy. A key file holds one Fernet key on a line; the first one seals, all of them open, so a
key can be replaced while everything runs. The file is read anew for each operation, which is
rare: what `secrets rotate` did is seen at once, and a key that was put back works again.

A sealed text is a JSON object of two: `keys`, the names of the secrets, for whoever shows a config
without a key, and `token`. Fernet has no associated data, so the importer's id is sealed beside
the secrets, and a token that was moved to another importer is refused.

Separate from the catalog, which stores sealed texts and knows no key, and from the importers, which
get their secrets and know no key either. Refuses a key file that others may read. No message holds
anything of a key, a token or a secret.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from streamer.errors import KeyUnusable
from streamer.model import DownloadConfig

MAX_KEY_FILE_BYTES = 64 * 1024
"""More than a thousand keys; whoever names a disk image by mistake does not load it."""

_KEY = re.compile(r"[A-Za-z0-9_-]{43}=")
_INIT = "`pulp-streamer secrets init`"


class Keyring:
    """Seals and opens with the keys of one file, or with none: then every use is refused.

    Only what is asked for needs the file, so one that is missing harms nobody without secrets.
    """

    def __init__(self, key_file: Path | None = None) -> None:
        # Daemons change their folder.
        self._key_file = None if key_file is None else key_file.absolute()

    def __repr__(self) -> str:
        return "<Keyring>"

    def seal(self, importer_id: int, secrets: Mapping[str, object]) -> str:
        """Encrypt secrets for one importer with the first key; raises `KeyUnusable`."""
        content = json.dumps({"importer": importer_id, "secrets": dict(secrets)})
        token = Fernet(self._keys()[0]).encrypt(content.encode())
        return json.dumps({"keys": sorted(secrets), "token": token.decode()})

    def unseal(self, importer_id: int, sealed: str) -> dict[str, object]:
        """Open what was sealed for this importer with any of the keys; raises `KeyUnusable`."""
        opened = _opened(self._keys(), sealed)
        if opened is None:
            raise KeyUnusable(
                f"no key of {self._key_file} opens its secrets: put back the key that they were "
                "sealed with, or set them anew"
            )
        if opened["importer"] != importer_id:
            raise KeyUnusable("its secrets were sealed for another importer: set them anew")
        return dict(opened["secrets"])

    def is_newest(self, sealed: str) -> bool:
        """Whether the first key alone opens it, so that nothing else is needed for it."""
        return _opened(self._keys()[:1], sealed) is not None

    def check_keys(self) -> None:
        """Return if there is a key to seal with; `KeyUnusable` says what to do."""
        self._keys()

    def check(self, importers: Iterable[DownloadConfig]) -> None:
        """Return if all secrets that are sealed can be opened; `KeyUnusable` names the importer.

        Where nothing is sealed the key file is not looked at.
        """
        for importer in importers:
            if importer.sealed is None:
                continue
            try:
                self.unseal(importer.id, importer.sealed)
            except KeyUnusable as error:
                raise KeyUnusable(f"importer {importer.name!r}: {error}") from None

    def _keys(self) -> list[str]:
        if self._key_file is None:
            raise KeyUnusable(
                f"there is no key: set secrets.key_file, and run {_INIT} if there is no file yet"
            )
        keys = keys_in(read_key_file(self._key_file))
        if not keys:
            raise KeyUnusable(
                f"the key file {self._key_file} holds no key: put one into it, or delete it and "
                f"run {_INIT}"
            )
        for place, key in enumerate(keys, start=1):
            if not _KEY.fullmatch(key):
                raise KeyUnusable(f"the key file {self._key_file}: key {place} is no Fernet key")
        return keys


def sealed_keys(sealed: str | None) -> frozenset[str]:
    """The names of the secrets in a sealed text; none where there is none or it is damaged."""
    return frozenset() if sealed is None else frozenset(_parts(sealed)[0])


def read_key_file(path: Path) -> str:
    """The text of a key file that is private, regular and small; else raises `KeyUnusable`."""
    try:
        # Without O_NONBLOCK a pipe of that name would hold the process.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            content = os.read(descriptor, MAX_KEY_FILE_BYTES + 1) if _is_file(status) else b""
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise KeyUnusable(
            f"the key file {path} is not there: put it back, or run {_INIT} and set anew what it "
            "had sealed"
        ) from None
    except OSError as error:
        raise KeyUnusable(f"the key file {path} cannot be read: {error.strerror}") from None
    if not _is_file(status):
        raise KeyUnusable(f"the key file {path} is not a regular file")
    if not is_private(status.st_mode, status.st_uid):
        raise KeyUnusable(f"the key file {path} is open to others: run `chmod 600 {path}`")
    if len(content) > MAX_KEY_FILE_BYTES:
        raise KeyUnusable(f"the key file {path} is larger than {MAX_KEY_FILE_BYTES} bytes")
    return content.decode("utf-8", "surrogateescape")


def is_private(mode: int, owner_id: int) -> bool:
    """Whether nobody but its owner has a part in a file with this mode.

    What root owns its group may read: so do secrets come that a container or a manager mounts.
    """
    allowed = stat.S_IRWXU | (stat.S_IRGRP if owner_id == 0 else 0)
    return not stat.S_IMODE(mode) & ~allowed


def keys_in(text: str) -> list[str]:
    """The keys of a key file in their order; a `#` begins a comment, empty lines are left out."""
    lines = (key_of(line) for line in text.split("\n"))
    return [key for key in lines if key]


def key_of(line: str) -> str:
    """The key on one line, empty where there is none."""
    return line.partition("#")[0].strip()


def _is_file(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode)


def _opened(keys: Sequence[str], sealed: str) -> dict[str, Any] | None:
    """What one of the keys finds in a sealed text, or None."""
    names, token = _parts(sealed)
    try:
        content = MultiFernet([Fernet(key) for key in keys]).decrypt(
            token.encode("ascii", "replace")
        )
    except InvalidToken:
        return None
    opened: dict[str, Any] = json.loads(content)
    # The names stand in the clear, where anybody may have changed them.
    return opened if sorted(opened["secrets"]) == names else None


def _parts(sealed: str) -> tuple[list[str], str]:
    """Names and token; empty where a sealed text is damaged."""
    try:
        stated = json.loads(sealed)
        return [str(name) for name in stated["keys"]], str(stated["token"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return [], ""
