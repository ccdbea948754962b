"""Writing key files: the making of one, a new first key, the removal of the others.

Separate from `keyring`, which reads them, because only commands write. A file is replaced whole,
under another name first and on the disk before it gets its own, so whoever reads sees the old one
or the new one. What an operator wrote into it stays where it is. Refuses to overwrite a file that
it did not read.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from cryptography.fernet import Fernet

from streamer.errors import OperationRefused
from streamer.keyring import key_of, read_key_file

_HEAD = """\
# The keys of pulp-streamer: the first seals the secrets in the catalog, all of them open them.
# Keep a copy apart from the catalog, and nobody else's eyes on either.
"""


def create_key_file(path: Path) -> None:
    """Make a key file with one key; refused where there is something of that name."""
    with _failures_told(path):
        try:
            _put(path, f"{_HEAD}{_new_key()}\n", os.link)
        except FileExistsError:
            raise OperationRefused(
                f"{path} is there already: `pulp-streamer secrets rotate` puts a new key into it "
                "and seals what is in the clear"
            ) from None


def add_key(path: Path) -> None:
    """Put a new key before the others, of which there is one at least."""
    lines = read_key_file(path).split("\n")
    first = next(place for place, line in enumerate(lines) if key_of(line))
    lines.insert(first, _new_key())
    _replace(path, lines)


def keep_first_key(path: Path) -> int:
    """Remove all keys but the first; gives how many went.

    They are removed from what a killed command left beside the file, too. Other commands wait.
    """
    lines = read_key_file(path).split("\n")
    keyed = [place for place, line in enumerate(lines) if key_of(line)]
    if keyed[1:]:
        _replace(path, [line for place, line in enumerate(lines) if place not in keyed[1:]])
    with _failures_told(path):
        _clear_away_leftovers(path.resolve())
    return len(keyed[1:])


def _new_key() -> str:
    return Fernet.generate_key().decode()


def _replace(path: Path, lines: list[str]) -> None:
    with _failures_told(path):
        # A link in its place goes on leading to it, and whoever could read it still can.
        file = path.resolve()
        status = file.stat()
        _put(file, "\n".join(lines), os.replace, like=status)


def _put(
    path: Path,
    text: str,
    move: Callable[[str, Path], None],
    like: os.stat_result | None = None,
) -> None:
    """Write a file and give it its name when it is on the disk.

    Only its owner may read it, who is its writer; or it belongs to whom the file before did.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if like is not None:
                os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(descriptor)
        move(name, path)
        _sync_folder(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def _clear_away_leftovers(path: Path) -> None:
    for leftover in path.parent.glob(f".{escape(path.name)}.????????.new"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _failures_told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OperationRefused(f"{path} cannot be written: {error.strerror}") from error
