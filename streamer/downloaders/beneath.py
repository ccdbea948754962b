"""Open a file below a root that nothing leads out of: no link, no `..`, no race, no special file.

Everything here may hang, as on a network mount whose server is silent, so it is called in a thread.

Strategy. The kernel is never given a path, only one name at a time, in a folder that is held open,
and never follows a link (`O_NOFOLLOW`). Links are read and followed here: the names of a relative
one go on in the folder that it lies in, those of an absolute one at the root, if its text begins
with the root's. `..` goes back to a folder that the walk came through, so a folder that is moved
meanwhile leads nowhere else, and at the root it is refused. So a change in the middle of the walk
can do no worse than to open another file that is, or just was, below the root. It is what `openat2`
does with `RESOLVE_BENEATH`, which Python cannot call, and absolute links besides.

What is no regular file is not opened at all, since that alone may do something (a tape, a
watchdog); should a name come to mean a pipe between the look at it and the opening, that does not
block (`O_NONBLOCK`), and it is looked at again.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

MAX_LINKS = 40
"""On one way, as in Linux."""

MAX_FOLDERS = 100
"""Held open on one way, the root included. Mirrors have ten; who may make folders and links could
have us hold every descriptor of the process."""

# With O_DIRECTORY, O_PATH mounts what an automounter has there; it needs no right to list it.
_ROOT_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Opened(NamedTuple):
    """A descriptor of a regular file, and what was found out about it when it was opened."""

    descriptor: int
    status: os.stat_result


def open_beneath(root: bytes, names: Iterable[bytes]) -> Opened:
    """Open the regular file that `names` lead to from the folder `root`, links included.

    The root is an absolute path without a trailing slash, and may be a link itself. Raises
    `OSError`, among others with ENODEV where there is no such root, EXDEV for what leads out, ELOOP
    for too many links, EMLINK for too many folders in each other, ENXIO for what is neither a file
    nor a folder, and EAGAIN for what changes meanwhile. Leaves no other descriptor open.
    """
    way = [_open_root(root)]
    try:
        return _walk(root, way, deque(names))
    finally:
        for folder in way:
            os.close(folder)


def _open_root(root: bytes) -> int:
    try:
        return os.open(root, _ROOT_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        raise OSError(errno.ENODEV, "the root is not there") from None


def _walk(root: bytes, way: list[int], ahead: deque[bytes]) -> Opened:
    """`way` are the folders from the root to where the walk is, each found in the one before it."""
    links = 0
    while ahead:
        name = ahead.popleft()
        if name == b"..":
            _go_back(way)
            continue
        mode = os.stat(name, dir_fd=way[-1], follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            links += 1
            if links > MAX_LINKS:
                raise OSError(errno.ELOOP, "too many links")
            with _changes_named():
                target = os.readlink(name, dir_fd=way[-1])
            _turn(root, way, ahead, target)
        elif not ahead:
            return _open_file(name, way[-1], mode)
        elif not stat.S_ISDIR(mode):
            raise OSError(errno.ENOTDIR, "it is no folder")
        else:
            _go_into(way, name)
    raise OSError(errno.EISDIR, "it is a folder")


@contextmanager
def _changes_named() -> Iterator[None]:
    """Say EAGAIN, as `openat2` does, where a name has become a link since, or is none any more."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ELOOP, errno.ENOTDIR):
            raise OSError(errno.EAGAIN, "it changed meanwhile") from error
        raise


def _go_into(way: list[int], name: bytes) -> None:
    if len(way) == MAX_FOLDERS:
        raise OSError(errno.EMLINK, "too many folders lie in each other")
    with _changes_named():
        way.append(os.open(name, _FOLDER_FLAGS, dir_fd=way[-1]))


def _go_back(way: list[int]) -> None:
    if len(way) == 1:
        raise OSError(errno.EXDEV, "it leads out of the root")
    os.close(way.pop())


def _turn(root: bytes, way: list[int], ahead: deque[bytes], target: bytes) -> None:
    """Go on where a link leads."""
    if target.startswith(b"/"):
        target = _below_root(root, target)
        while len(way) > 1:
            _go_back(way)
    ahead.extendleft(name for name in reversed(target.split(b"/")) if name not in (b"", b"."))


def _below_root(root: bytes, target: bytes) -> bytes:
    """The rest of an absolute link behind the root, under the name it has here or its real one."""
    for prefix in (root, os.path.realpath(root)):
        if target == prefix or target.startswith(prefix + b"/"):
            return target[len(prefix) :]
    raise OSError(errno.EXDEV, "it leads out of the root")


def _open_file(name: bytes, folder: int, mode: int) -> Opened:
    _check_regular(mode)
    with _changes_named():
        descriptor = os.open(name, _FILE_FLAGS, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        _check_regular(status.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return Opened(descriptor, status)


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.ENXIO, "it is no regular file")
