"""Issue 5, line 2: files as an origin, with all that may lie in a folder and happen to it.

The service is the real one. What it must not read is there with its right size and digest, so that
nothing but the rule for roots keeps it in.
"""

from __future__ import annotations

import json
import os
import random
import socket
import time

import pytest
from judging import BREAK, RIGHT, honest, outcome_of
from processes import Streamer, entry, get, sha256

MIB = 1024 * 1024
SHARED = random.Random(52).randbytes(MIB)
SMALL = SHARED[:20_000]
LARGE = SHARED * 48
"""More than the sockets between a file and a client that does not read can hold."""
OTHER = LARGE[1:]
"""What an origin sent wrong is remembered by its digest, so this is for another test."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A root, and beside it what must stay secret."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "root" / "mirror" / "d").mkdir(parents=True)
    (folder / "secret").write_bytes(SMALL)
    (folder / "second").mkdir()
    return folder


@pytest.fixture(scope="module")
def mirror(folders):
    """The folder that is published, with a link out of its root and one within, and a pipe."""
    mirror = folders / "root" / "mirror"
    (mirror / "small").write_bytes(SMALL)
    (mirror / "large").write_bytes(LARGE)
    (mirror / "d" / "link-within").symlink_to("../small")
    (mirror / "link-out").symlink_to("../../secret")
    (mirror / "link-out-absolute").symlink_to(folders / "secret")
    (mirror / "folder-out").symlink_to("../..")
    os.mkfifo(mirror / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(mirror / "socket"))
    return mirror


@pytest.fixture(scope="module")
def service(folders, mirror, tmp_path_factory):
    """A service that may read below the roots; everything in the folder is published."""
    roots = json.dumps([str(folders / "root"), str(folders / "second")])
    limits = {"delivery__first_byte": "30s", "delivery__idle": "10s"}
    with Streamer(
        tmp_path_factory.mktemp("service"), importers__file_roots=roots, **limits
    ) as streamer:
        create(streamer, "local", mirror)
        small = ["small", "d/link-within", "link-out", "link-out-absolute", "folder-out/secret"]
        small += ["pipe", "socket", "d", "missing"]
        contents = dict.fromkeys(small, SMALL) | {"large": LARGE}
        publish(streamer, "files", "local", [entry(path, each) for path, each in contents.items()])
        yield streamer
        assert streamer.tracebacks() == []


def create(service, name, folder):
    service.admin("importer", "create", name, "--type", "file", "--url", folder.as_uri() + "/")


def publish(service, base_path, importer, entries):
    lines = "".join(f"{json.dumps(each)}\n" for each in entries)
    service.admin("publish", base_path, "--importer", importer, "--entries", "-", stdin=lines)


@pytest.mark.parametrize("path", ["small", "d/link-within"])
def test_file_below_the_root_is_served(service, path):
    """A link that stays within is followed, as mirrors have them."""
    assert outcome_of(f"{service.url}files/{path}", SMALL) == RIGHT


def test_large_file_is_served_whole_and_in_part(service):
    """A range of content that is not verified ahead is passed on."""
    url = f"{service.url}files/large"

    status, _, part = get(url, Range=f"bytes={MIB - 5}-{MIB + 4}")

    assert outcome_of(url, LARGE) == RIGHT
    assert (status, part) == (206, LARGE[MIB - 5 : MIB + 5])


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("link-out", "leads out"),
        ("link-out-absolute", "leads out"),
        ("folder-out/secret", "leads out"),
        ("pipe", "no regular file"),
        ("socket", "no regular file"),
        ("d", "folder"),
    ],
)
def test_what_is_no_file_below_the_root_is_refused(service, path, why):
    """Neither a pipe nor a link out of the root is read, and the log says which it was."""
    outcome = outcome_of(f"{service.url}files/{path}", SMALL)

    (line,) = [each for each in service.transfers() if each["path"] == f"/files/{path}"]
    assert outcome == honest(502)
    assert why in line["reason"]


def test_missing_file_is_a_404(service):
    """As for any origin that lacks what was promised."""
    assert outcome_of(f"{service.url}files/missing", SMALL) == honest(404)


def test_folder_beside_the_roots_is_not_read(service, folders, tmp_path):
    """The log names the importer and the setting that would allow it."""
    create(service, "elsewhere", folders)
    publish(service, "elsewhere", "elsewhere", [entry("secret", SMALL)])

    outcome = outcome_of(f"{service.url}elsewhere/secret", SMALL)

    assert outcome == honest(500)
    assert any(
        "elsewhere" in json.dumps(line) and "importers.file_roots" in json.dumps(line)
        for line in service.log()
    )


def shrink_while_read(service, path, file):
    """Read the beginning of content, cut its file, and read on; gives what came in all."""
    request = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", service.port), timeout=60) as client:
        client.sendall(request)
        received = [client.recv(65536)]
        os.truncate(file, file.stat().st_size - MIB)
        try:
            while more := client.recv(MIB):
                received.append(more)
        except ConnectionResetError:
            pass
    return b"".join(received).partition(b"\r\n\r\n")[2]


def test_file_that_shrinks_while_it_is_read_breaks_visibly(service, mirror):
    """What came is a beginning of the right file, and less than the head promised."""
    (mirror / "shrinks").write_bytes(LARGE)
    publish(service, "shrinks", "local", [entry("shrinks", LARGE)])

    content = shrink_while_read(service, "/shrinks/shrinks", mirror / "shrinks")

    assert len(content) < len(LARGE)
    assert LARGE.startswith(content)
    assert outcome_of(f"{service.url}shrinks/shrinks", LARGE) in (BREAK, honest(502))


def test_file_that_shrinks_beside_a_whole_one_is_healed(service, mirror, folders):
    """The rest comes from the second file at the byte where the first one ended."""
    (mirror / "healed").write_bytes(OTHER)
    whole = folders / "second" / "whole"
    whole.write_bytes(OTHER)
    create(service, "second", folders / "second")
    sources = [
        {"url": "healed", "priority": 0},
        {"url": "whole", "importer": "second", "priority": 1},
    ]
    publish(service, "healed", "local", [{**entry("healed", OTHER), "sources": sources}])

    content = shrink_while_read(service, "/healed/healed", mirror / "healed")

    line = next(each for each in service.transfers() if each["path"] == "/healed/healed")
    assert sha256(content) == sha256(OTHER)
    assert (line["verdict"], line["origin"]) == ("complete", "second")
    assert service.metric("pulp_streamer_resumed_total", importer="second") == 1


def test_nothing_is_left_open(service, folders):
    """When all have been served the service holds no descriptor of any file."""
    get(f"{service.url}files/small")

    # A thread may still be closing the last one.
    for _ in range(100):
        held = [os.readlink(each) for each in os.scandir(f"/proc/{service.process.pid}/fd")]
        left = [each for each in held if each.startswith(str(folders))]
        if not left:
            break
        time.sleep(0.05)
    assert left == []
