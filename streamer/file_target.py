"""A file as the target of a save: it gets its name when its content is verified, and not before.

Strategy. The content is written into a partial file beside the target. That one is named after the
content's digest, so whoever is to save the same content there later finds what an earlier save left
and can go on with it; it stays until then, unless there is nothing in it or its size is not known.
A lock on it keeps two from writing at once, and goes with its process.

Separate from `saving`, which knows no files. It refuses to write into a partial file that somebody
else owns or that has another name too, because whoever can change it could do so after its content
was verified. Its calls block while the disk does.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from streamer.errors import OperationRefused
from streamer.model import Artifact
from streamer.saving import not_writable

PIECE_BYTES = 1024 * 1024
"""What is read at once of what was kept: about a millisecond of digesting."""

MAX_NAME_BYTES = 255
"""The longest name of a file that Linux's file systems have in common."""

_OPENING = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def partial_path(path: Path, artifact: Artifact) -> Path:
    """Where the content of `artifact` lies until it is verified and becomes `path`."""
    suffix = f".{artifact.digest.hex[:12]}.part"
    room_bytes = MAX_NAME_BYTES - len(suffix) - len(".")
    name = os.fsdecode(os.fsencode(path.name)[:room_bytes])
    return path.with_name(f".{name}{suffix}")


class FileTarget:
    """A context in which `path` may get the content of `artifact`, or keep a part of it.

    The new file has the mode that any new file gets, or that of the file which it replaces. Where
    not told to `resume`, what was kept is dropped; what is longer than the content always is.
    """

    def __init__(self, path: Path, artifact: Artifact, *, resume: bool = True) -> None:
        # A link stays what it is, and the file that it leads to is replaced.
        self._path = Path(os.path.realpath(path))
        self._name = str(path)
        self._size = artifact.size
        self._resume = resume
        self._descriptor = -1
        self._is_finished = False
        self.partial = partial_path(self._path, artifact)
        """Where it is written."""

    def __enter__(self) -> Self:
        try:
            self._descriptor = self._open_own()
            if (mode := self._replaced_mode()) is not None:
                # Who cannot read the old file cannot read the new one either, even in parts.
                os.fchmod(self._descriptor, mode | stat.S_IRUSR | stat.S_IWUSR)
            if not self._resume or self._size is None or self._length() > self._size:
                self.start_over()
        except OSError as error:
            self._close()
            # What is in the way there, the reason says; without its name it would be a riddle.
            is_in_the_way = os.path.lexists(self.partial)
            name = str(self.partial) if is_in_the_way else self._name
            raise not_writable(name, error) from error
        except OperationRefused:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if not self._is_finished and not self.resumable_bytes:
                # Before it is closed, that is while it is locked.
                self.partial.unlink(missing_ok=True)
        except OSError as failure:
            raise not_writable(str(self.partial), failure) from failure
        finally:
            self._close()

    @property
    def resumable_bytes(self) -> int:
        """How much a later save could go on with if this one ended here."""
        if self._is_finished or self._size is None or self._descriptor < 0:
            return 0
        return self._length()

    # -- see `saving.Target`

    def kept(self) -> Iterable[bytes]:
        position = 0
        try:
            while piece := os.pread(self._descriptor, PIECE_BYTES, position):
                position += len(piece)
                yield piece
            os.lseek(self._descriptor, position, os.SEEK_SET)
        except OSError as error:
            raise OperationRefused(f"{self.partial} cannot be read: {error.strerror}") from error

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise not_writable(self._name, error) from error

    def start_over(self) -> bool:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.ftruncate(self._descriptor, 0)
        except OSError as error:
            raise not_writable(self._name, error) from error
        return True

    async def finish(self) -> None:
        try:
            os.fsync(self._descriptor)
            # Last, since a part that its owner cannot write is one that nobody goes on with.
            if (mode := self._replaced_mode()) is not None:
                os.fchmod(self._descriptor, mode)
            self.partial.replace(self._path)
        except OSError as error:
            raise not_writable(self._name, error) from error
        self._is_finished = True

    # -- the partial file

    def _open_own(self) -> int:
        """Open and lock the partial file; whoever held it before may have renamed or removed it."""
        while True:
            descriptor = os.open(self.partial, _OPENING, 0o666)
            try:
                self._lock(descriptor)
                if self._is_in_place(descriptor):
                    return descriptor
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        is_own = found.st_uid == os.geteuid() and found.st_nlink <= 1
        if not stat.S_ISREG(found.st_mode) or not is_own:
            raise OperationRefused(f"{self.partial} is in the way: it is not a file of ours alone")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OperationRefused(
                f"the same content is being written to {self._name} already"
            ) from None

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), self.partial.lstat())
        except FileNotFoundError:
            return False

    def _replaced_mode(self) -> int | None:
        """Who may do what with the file that is there."""
        try:
            found = self._path.lstat().st_mode
        except FileNotFoundError:
            return None
        return found & 0o777 if stat.S_ISREG(found) else None

    def _length(self) -> int:
        return os.fstat(self._descriptor).st_size

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
