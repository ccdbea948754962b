"""Opening below a root, on a real disk: what is found, leads out, or changes meanwhile."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
import threading
from pathlib import Path

import pytest
from disks import descriptors_below

from streamer.downloaders.beneath import MAX_FOLDERS, MAX_LINKS, open_beneath

NOBODY = 65534


@pytest.fixture
def root(tmp_path):
    """A root with a file and a folder in it, and a secret beside it."""
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    (root / "d").mkdir(parents=True)
    (root / "f").write_bytes(b"file")
    (root / "d" / "g").write_bytes(b"in a folder")
    return root


@pytest.fixture(autouse=True)
def _no_descriptor_left(tmp_path):
    yield
    assert 0 == descriptors_below(tmp_path)


@pytest.fixture
def guarded():
    """A root for a user who may not read all of it, in whose place the superuser looks."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        for path, mode in (("closed/g", 0), ("entered/g", 0o111)):
            (root / path).parent.mkdir()
            (root / path).write_bytes(b"found")
            (root / path).parent.chmod(mode)
        (root / "f").touch(0)
        is_superuser = os.geteuid() == 0
        if is_superuser:
            os.seteuid(NOBODY)
        yield root
        if is_superuser:
            os.seteuid(0)


def names(path):
    return path.encode().split(b"/")


def read(root, path):
    opened = open_beneath(os.fsencode(root), names(path))
    try:
        return os.pread(opened.descriptor, 100, 0)
    finally:
        os.close(opened.descriptor)


def refusal(root, path):
    with pytest.raises(OSError, match=r".*") as caught:
        open_beneath(os.fsencode(root), names(path))
    return caught.value.errno


def when_looked_at(monkeypatch, name, change):
    """Change the disk when the walk has looked at a name, once, and has not opened it yet."""
    look, pending = os.stat, [change]

    def stat(path, *args, **kwargs):
        status = look(path, *args, **kwargs)
        if path == name.encode() and pending:
            pending.pop()()
        return status

    monkeypatch.setattr(os, "stat", stat)


# -- what is found -------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "content"), [("f", b"file"), ("d/g", b"in a folder")])
def test_file_is_opened_by_its_names(root, path, content):
    """One after the other, from the root on."""
    assert content == read(root, path)


def test_status_is_that_of_the_open_file(root):
    """And not of a name, which may mean another file by then."""
    opened = open_beneath(os.fsencode(root), [b"f"])
    os.close(opened.descriptor)

    assert (4, (root / "f").stat().st_ino) == (opened.status.st_size, opened.status.st_ino)


def test_descriptor_is_not_inherited(root):
    """A child of the service gets nothing."""
    opened = open_beneath(os.fsencode(root), [b"f"])
    is_inheritable = os.get_inheritable(opened.descriptor)
    os.close(opened.descriptor)

    assert not is_inheritable


def test_name_that_is_no_text_is_found(root):
    """Names are bytes."""
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_bytes(b"bytes")
    opened = open_beneath(os.fsencode(root), [b"\xff\xfe"])
    os.close(opened.descriptor)

    assert 5 == opened.status.st_size


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("missing", errno.ENOENT),
        ("missing/g", errno.ENOENT),
        ("d/missing", errno.ENOENT),
        ("f/g", errno.ENOTDIR),
        ("n" * 256, errno.ENAMETOOLONG),
        ("d", errno.EISDIR),
    ],
)
def test_what_is_no_file_is_refused(root, path, expected):
    """As the kernel would, but for a folder, which it would open."""
    assert expected == refusal(root, path)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_root_that_is_not_there_is_told_from_a_file_that_is_not(root, kind):
    """It is a fault of the machine, and not of the content."""
    absent = root / ("f" if kind == "file" else kind)

    assert errno.ENODEV == refusal(absent, "f")


# -- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "target", "path"),
    [
        ("l", "f", "l"),
        ("l", "./d/.././/f", "l"),
        ("l", "d", "l/../f"),
        ("d/l", "../f", "d/l"),
        ("d/l", "../d/../f", "d/l"),
        ("l", "{root}/f", "l"),
        ("d/l", "{root}/f", "d/l"),
        ("d/l", "{root}//f", "d/l"),
        ("d/l", "{root}", "d/l/f"),
    ],
)
def test_link_inside_the_root_is_followed(root, link, target, path):
    """Relative to where it lies, or absolute with the root's own text."""
    (root / link).symlink_to(target.format(root=root))

    assert b"file" == read(root, path)


def test_dots_behind_a_link_go_back_from_where_it_leads(root):
    """As in the kernel, and not by the text."""
    (root / "d" / "e").mkdir()
    (root / "d" / "f").write_bytes(b"beside e")
    (root / "to-e").symlink_to("d/e")
    (root / "l").symlink_to("to-e/../f")

    assert b"beside e" == read(root, "l")


def test_links_may_follow_each_other_up_to_a_bound(root):
    """One more is too many."""
    (root / "1").symlink_to("f")
    for number in range(1, MAX_LINKS + 1):
        (root / f"{number + 1}").symlink_to(f"{number}")

    assert b"file" == read(root, f"{MAX_LINKS}")
    assert errno.ELOOP == refusal(root, f"{MAX_LINKS + 1}")


@pytest.mark.parametrize("is_linked", [False, True], ids=["by-name", "by-link"])
def test_folders_may_lie_in_each_other_up_to_a_bound(root, is_linked):
    """Each is held open: who may make folders would take every descriptor that there is."""
    depth = MAX_FOLDERS - 1
    folder = root.joinpath(*["d"] * depth)
    (folder / "d").mkdir(parents=True)
    for path in (folder / "f", folder / "d" / "f"):
        path.write_bytes(b"deep")
    deep, deeper = (f"{'d/' * count}f" for count in (depth, depth + 1))
    if is_linked:
        (root / "deep").symlink_to(deep)
        (root / "deeper").symlink_to(deeper)
        deep, deeper = "deep", "deeper"

    assert b"deep" == read(root, deep)
    assert errno.EMLINK == refusal(root, deeper)


def test_circle_of_links_ends(root):
    """It has no end by itself."""
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")

    assert errno.ELOOP == refusal(root, "a")


@pytest.mark.parametrize(
    "target", ["../../secret", "../d/../../secret", "{root}/../secret", "/etc/passwd"]
)
@pytest.mark.parametrize("path", ["d/out", "chained"])
def test_link_out_of_the_root_is_refused(root, target, path):
    """Directly, and through another link inside."""
    (root / "d" / "out").symlink_to(target.format(root=root))
    (root / "chained").symlink_to("d/out")

    assert errno.EXDEV == refusal(root, path)


def test_link_that_comes_back_to_the_root_is_refused_all_the_same(root):
    """What lies beside the root is not looked at, not even for a link."""
    (root / "l").symlink_to(f"../{root.name}/f")

    assert errno.EXDEV == refusal(root, "l")


def test_link_to_a_folder_whose_name_begins_like_the_root_leads_out(root):
    """Whole names count."""
    beside = root.with_name(root.name + "2")
    beside.mkdir()
    (beside / "f").write_bytes(b"secret")
    (root / "l").symlink_to(beside / "f")

    assert errno.EXDEV == refusal(root, "l")


def test_folder_that_is_a_link_out_is_not_walked_through(root):
    """The name behind it is never looked at."""
    (root / "out").symlink_to("..")

    assert errno.EXDEV == refusal(root, "out/secret")


@pytest.mark.parametrize("prefix", ["alias", "root"])
def test_root_that_is_a_link_is_followed_and_known_by_both_names(root, prefix):
    """The operator named it; an absolute link below may use either."""
    alias = root.with_name("alias")
    alias.symlink_to(root)
    (root / "l").symlink_to(root.with_name(prefix) / "f")

    assert b"file" == read(alias, "l")


# -- what is no regular file ---------------------------------------------------------------------


def test_pipe_is_refused_without_waiting_for_a_writer(root):
    """Opening one for reading would."""
    os.mkfifo(root / "pipe")

    assert errno.ENXIO == refusal(root, "pipe")


def test_socket_is_refused(root, monkeypatch):
    """It cannot be opened anyway."""
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")

        assert errno.ENXIO == refusal(root, "s")


def test_device_is_refused_without_being_opened(monkeypatch):
    """To open one may do something."""
    opened, real = [], os.open
    monkeypatch.setattr(
        os, "open", lambda name, *a, **kw: opened.append(name) or real(name, *a, **kw)
    )

    assert errno.ENXIO == refusal("/dev", "null")
    assert [b"/dev"] == opened


@pytest.mark.parametrize("path", ["f", "closed/g"])
def test_what_may_not_be_read_is_refused(guarded, path):
    """The service has the rights of its user."""
    assert errno.EACCES == refusal(guarded, path)


def test_folder_that_may_be_entered_and_not_listed_is_walked_through(guarded):
    """Nothing here lists a folder."""
    assert b"found" == read(guarded, "entered/g")


# -- what changes meanwhile ----------------------------------------------------------------------


def test_file_replaced_by_a_link_out_is_not_followed(root, monkeypatch):
    """Between the look at it and its opening."""

    def replace():
        (root / "f").unlink()
        (root / "f").symlink_to("../secret")

    when_looked_at(monkeypatch, "f", replace)

    assert errno.EAGAIN == refusal(root, "f")


def test_link_replaced_by_a_file_is_to_be_looked_at_again(root, monkeypatch):
    """It is none any more, and the next attempt will find the file."""
    (root / "l").symlink_to("f")

    def replace():
        (root / "l").unlink()
        (root / "l").write_bytes(b"new")

    when_looked_at(monkeypatch, "l", replace)

    assert errno.EAGAIN == refusal(root, "l")


def test_folder_replaced_by_a_link_out_is_not_followed(root, monkeypatch):
    """The same one name earlier."""
    (root.parent / "g").write_bytes(b"secret")

    def replace():
        (root / "d").rename(root / "old")
        (root / "d").symlink_to("..")

    when_looked_at(monkeypatch, "d", replace)

    assert errno.EAGAIN == refusal(root, "d/g")


def test_file_replaced_by_a_pipe_does_not_block(root, monkeypatch):
    """It is opened, and then looked at again."""

    def replace():
        (root / "f").unlink()
        os.mkfifo(root / "f")

    when_looked_at(monkeypatch, "f", replace)

    assert errno.ENXIO == refusal(root, "f")


def test_folder_that_is_moved_out_leads_nowhere_else(root, monkeypatch):
    """Dots go back to the folder that the walk came from, wherever the other one is now."""
    (root / "d" / "l").symlink_to("../secret")
    when_looked_at(monkeypatch, "l", lambda: (root / "d").rename(root.parent / "d"))

    assert errno.ENOENT == refusal(root, "d/l")


def test_link_that_changes_all_the_time_never_leads_out(root):
    """A file and a link out take turns under one name while it is opened again and again."""
    over = threading.Event()

    def swap():
        while not over.is_set():
            (root / "new").symlink_to("../secret")
            (root / "new").replace(root / "f")
            (root / "new").write_bytes(b"inside")
            (root / "new").replace(root / "f")

    swapping = threading.Thread(target=swap)
    swapping.start()
    found = set()
    for _ in range(2000):
        try:
            found.add(read(root, "f"))
        except OSError as error:
            found.add(error.errno)
    over.set()
    swapping.join()

    assert found <= {b"file", b"inside", errno.EAGAIN, errno.EXDEV}
