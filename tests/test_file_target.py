"""A file that gets its name when it is verified, and what lies beside it until then."""

from __future__ import annotations

import fcntl
import os
import stat

import pytest
from exchanges import LARGE, published
from twisted.internet.defer import Deferred

from streamer.errors import OperationRefused
from streamer.file_target import FileTarget, partial_path

ARTIFACT = published(LARGE).artifact
DIGEST = ARTIFACT.digest.hex[:12]
PARTIAL = f".file.{DIGEST}.part"
HALF = len(LARGE) // 2


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


@pytest.fixture
def umask():
    """A mask that lets others read, whatever this process was started with."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def finish(target):
    Deferred.fromCoroutine(target.finish())


def save_half(path, content=LARGE[:HALF]):
    """Be interrupted in the middle."""
    with FileTarget(path, ARTIFACT) as target:
        target.write(content)


def names(path):
    return sorted(each.name for each in path.parent.iterdir())


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_file_has_no_name_until_it_is_finished(path):
    """What is written lies beside it."""
    with FileTarget(path, ARTIFACT) as target:
        target.write(LARGE)
        before = names(path)
        finish(target)

    assert before == [PARTIAL]
    assert names(path) == ["file"]
    assert path.read_bytes() == LARGE


def test_file_that_is_not_finished_keeps_its_part(path):
    """The older file stays as it was."""
    path.write_bytes(b"older")

    with FileTarget(path, ARTIFACT) as target:
        target.write(LARGE[:HALF])
        kept_bytes = target.resumable_bytes

    assert kept_bytes == HALF
    assert names(path) == [PARTIAL, "file"]
    assert path.read_bytes() == b"older"


def test_part_is_gone_on_with(path):
    """What it had is read, and what is written goes behind it."""
    save_half(path)

    with FileTarget(path, ARTIFACT) as target:
        kept = b"".join(target.kept())
        target.write(LARGE[HALF:])
        finish(target)

    assert kept == LARGE[:HALF]
    assert path.read_bytes() == LARGE


def test_part_is_forgotten(path):
    """What is written then goes where it was."""
    save_half(path, b"!" * HALF)

    with FileTarget(path, ARTIFACT) as target:
        list(target.kept())
        could_forget = target.start_over()
        target.write(LARGE)
        finish(target)

    assert could_forget
    assert path.read_bytes() == LARGE


@pytest.mark.parametrize(
    ("artifact", "content", "resume"),
    [
        (ARTIFACT, LARGE + b"!", True),
        (ARTIFACT, LARGE[:HALF], False),
        (published(LARGE, size=None).artifact, LARGE[:HALF], True),
    ],
    ids=["too-long", "told-so", "size-unknown"],
)
def test_part_that_is_no_use_is_dropped(path, artifact, content, resume):
    """It would not lead to the content, or is not wanted."""
    path.with_name(PARTIAL).write_bytes(content)

    with FileTarget(path, artifact, resume=resume) as target:
        kept = list(target.kept())

    assert kept == []
    assert names(path) == []


def test_part_of_other_content_is_another_part(path):
    """Its name says which it is of."""
    save_half(path)

    with FileTarget(path, published(b"other").artifact) as target:
        assert list(target.kept()) == []

    assert names(path) == [PARTIAL]


@pytest.mark.parametrize("size", [len(LARGE), None])
def test_part_that_no_later_save_could_use_is_removed(path, size):
    """There is nothing in it, or its size is not known."""
    with FileTarget(path, published(LARGE, size=size).artifact) as target:
        target.write(b"" if size else LARGE[:HALF])

    assert names(path) == []


def test_second_save_of_the_same_content_to_the_same_file_is_refused(path):
    """And the first one goes on."""
    with FileTarget(path, ARTIFACT) as first:
        with pytest.raises(OperationRefused, match=r"is being written to .*file already"):
            save_half(path)
        first.write(LARGE)
        finish(first)

    assert path.read_bytes() == LARGE


def test_save_that_was_overtaken_leaves_the_finished_file_alone(path, monkeypatch):
    """Between its opening and its lock the other one was done, and took the part with it."""
    path.with_name(PARTIAL).write_bytes(LARGE)
    flock = fcntl.flock

    def lock(descriptor, operation):
        if not path.exists():
            path.with_name(PARTIAL).rename(path)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", lock)
    save_half(path, b"!" * HALF)

    assert path.read_bytes() == LARGE
    assert path.with_name(PARTIAL).read_bytes() == b"!" * HALF


@pytest.mark.usefixtures("umask")
def test_new_file_has_the_mode_of_any_new_file(path):
    """The mask of the process decides."""
    with FileTarget(path, ARTIFACT) as target:
        finish(target)

    assert mode(path) == 0o644


@pytest.mark.usefixtures("umask")
@pytest.mark.parametrize(("old", "part"), [(0o600, 0o600), (0o664, 0o664), (0o440, 0o640)])
def test_replaced_file_keeps_its_mode(path, old, part):
    """Not even the part is read by who could not read the old one; its owner can go on with it."""
    path.touch()
    path.chmod(old)

    with FileTarget(path, ARTIFACT) as target:
        part_mode = mode(target.partial)
        finish(target)

    assert (part_mode, mode(path)) == (part, old)


@pytest.mark.usefixtures("umask")
def test_part_of_a_file_that_is_only_read_can_be_gone_on_with_to_the_end(path, monkeypatch):
    """A disk may take minutes to be safe, in which the process may be killed."""
    seen = []
    path.touch()
    path.chmod(0o440)

    with FileTarget(path, ARTIFACT) as target:
        monkeypatch.setattr(os, "fsync", lambda descriptor: seen.append(mode(target.partial)))
        finish(target)

    assert (seen, mode(path)) == ([0o640], 0o440)


def test_link_stays_a_link(path):
    """The file that it leads to is replaced."""
    link = path.with_name("link")
    link.symlink_to("file")

    with FileTarget(link, ARTIFACT) as target:
        target.write(LARGE)
        finish(target)

    assert link.is_symlink()
    assert path.read_bytes() == LARGE


def test_link_that_leads_nowhere_but_to_itself_is_replaced(path):
    """There is no file behind it."""
    path.symlink_to("file")

    with FileTarget(path, ARTIFACT) as target:
        target.write(LARGE)
        finish(target)

    assert path.read_bytes() == LARGE


def test_link_in_the_place_of_the_part_is_not_followed(path):
    """Somebody else may have put it there."""
    victim = path.with_name("victim")
    victim.write_bytes(b"victim")
    path.with_name(PARTIAL).symlink_to("victim")

    with pytest.raises(OperationRefused, match=rf"/{PARTIAL} cannot be written"):
        save_half(path)

    assert victim.read_bytes() == b"victim"


def test_folder_in_the_place_of_the_part_is_named(path):
    """Nobody would look for it behind the name of the file."""
    path.with_name(PARTIAL).mkdir()

    with pytest.raises(OperationRefused) as refused:
        save_half(path)

    assert str(refused.value) == f"{path.with_name(PARTIAL)} cannot be written: Is a directory"


def test_second_name_in_the_place_of_the_part_is_not_written_to(path):
    """It is another file of ours."""
    victim = path.with_name("victim")
    victim.write_bytes(b"victim")
    path.with_name(PARTIAL).hardlink_to(victim)

    with pytest.raises(OperationRefused, match="is in the way"):
        save_half(path)

    assert victim.read_bytes() == b"victim"


def test_pipe_in_the_place_of_the_part_is_refused_at_once(path):
    """Opening it does not wait for somebody who reads."""
    os.mkfifo(path.with_name(PARTIAL))

    with pytest.raises(OperationRefused, match="is in the way"):
        save_half(path)


def test_folder_that_is_absent_is_named_as_it_was_given(path):
    """With the reason that the system gives."""
    absent = path / "absent"

    with pytest.raises(OperationRefused) as refused:
        save_half(absent)

    assert str(refused.value) == f"{absent} cannot be written: No such file or directory"


def test_name_that_became_a_folder_leaves_the_part(path):
    """Another command goes on with it."""
    with FileTarget(path, ARTIFACT) as target:
        target.write(LARGE)
        path.mkdir()
        finishing = Deferred.fromCoroutine(target.finish())
        failure = finishing.result
        finishing.addErrback(lambda failure: None)

    assert failure.check(OperationRefused)
    assert path.with_name(PARTIAL).read_bytes() == LARGE


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_longest_names_have_a_part(path, name):
    """A part has no longer name than the file system takes."""
    longest = path.with_name(name)

    with FileTarget(longest, ARTIFACT) as target:
        finish(target)

    assert names(path) == [name]
    assert len(os.fsencode(partial_path(longest, ARTIFACT).name)) == 255


def test_target_leaves_no_descriptor(path):
    """Neither where it ends well nor where it is refused."""
    before = os.listdir("/proc/self/fd")

    save_half(path)
    with FileTarget(path, ARTIFACT), pytest.raises(OperationRefused):
        save_half(path)

    assert len(os.listdir("/proc/self/fd")) == len(before)
